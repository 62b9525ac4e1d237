# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# Owners are counted when others may have dropped them already.
/^static bool publish(/,/^}/{
    s/zr_log_append(&demoter->log, bytes, nr, owned_bytes,/zr_log_append(\&demoter->log, bytes, 0, 0,/
    s/^    count(&demoter->nr_groups, 1);/    pthread_mutex_lock(\&demoter->pool->class[zr_size_class_log(\&demoter->pool->classes)].lock);\n    zr_span_add_owners(demoter->log.end, nr, owned_bytes);\n    demoter->pool->class[zr_size_class_log(\&demoter->pool->classes)].nr_objects += nr;\n    demoter->pool->class[zr_size_class_log(\&demoter->pool->classes)].stored_bytes += owned_bytes;\n    pthread_mutex_unlock(\&demoter->pool->class[zr_size_class_log(\&demoter->pool->classes)].lock);\n&/
}
