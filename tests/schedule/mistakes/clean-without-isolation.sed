# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# A span may go, and be used anew, while it is cleaned.
/^static void clean_span(/,/^}/s/if (!zr_pool_try_isolate(.*/if (zr_span_class(span) != zr_size_class_log(\&demoter->pool->classes)) {/
/^static unsigned free_cleaned(/,/^}/s/^ *zr_pool_put_back(.*//
