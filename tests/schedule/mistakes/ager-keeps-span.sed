# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# A page that grew older meanwhile counts as another one, and its span is never cleaned.
/^static bool exchange(/,/^}/s/    } while (.*/    } while (false \&\& now);/
