// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "size-class.h"

#include <assert.h>
#include <string.h>

void zr_size_classes_init(struct zr_size_classes *classes)
{
    uint32_t count, class, coarse, units = 0;

    memset(classes, 0, sizeof *classes);

    // From the smallest size up; counts whose sizes round to the same 16 bytes share a class.
    for (count = ZR_SPAN_BYTES / ZR_OBJECT_MIN_BYTES; count >= ZR_SPAN_BYTES / ZR_OBJECT_MAX_BYTES;
         count--) {
        uint16_t bytes = (uint16_t)(ZR_SPAN_BYTES / count & ~15u);

        class = classes->nr_classes;
        if (class > 0 && classes->object_bytes[class - 1] == bytes) {
            continue;
        }
        assert(class < ZR_NR_CLASSES_MAX - 1);
        classes->object_bytes[class] = bytes;
        classes->nr_classes++;
        for (; units <= bytes / 16u; units++) {
            classes->by_units[units] = (uint8_t) class;
        }
    }
    for (class = coarse = classes->nr_classes - 1; class < classes->nr_classes; class --) {
        if (classes->object_bytes[class] + ZR_COARSE_BYTES <= classes->object_bytes[coarse]) {
            coarse = class;
        }
        classes->coarse[class] = (uint8_t)coarse;
    }
    class = classes->nr_classes++;
    classes->object_bytes[class] = ZR_CHUNK_BYTES;
    classes->coarse[class] = (uint8_t) class;
}
