# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/codec.c
# A context is taken though it is busy.
s/if (pthread_mutex_trylock(&context->busy) == 0) {/if (pthread_mutex_trylock(\&context->busy) == 0 || 1) {/
