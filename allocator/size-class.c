// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "size-class.h"

#include <assert.h>
#include <string.h>

void zr_size_classes_init(struct zr_size_classes *classes)
{
    uint32_t count, class_nr, coarse, units = 0;

    memset(classes, 0, sizeof *classes);

    // From the smallest size up; counts whose sizes round to the same 16 bytes share a class.
    for (count = ZR_SPAN_BYTES / ZR_OBJECT_MIN_BYTES; count >= ZR_SPAN_BYTES / ZR_OBJECT_MAX_BYTES;
         count--) {
        uint16_t bytes = (uint16_t)(ZR_SPAN_BYTES / count & ~15u);

        class_nr = classes->nr_classes;
        if (class_nr > 0 && classes->object_bytes[class_nr - 1] == bytes) {
            continue;
        }
        assert(class_nr < ZR_NR_CLASSES_MAX - 2);
        classes->object_bytes[class_nr] = bytes;
        classes->nr_classes++;
        for (; units <= bytes / 16u; units++) {
            classes->by_units[units] = (uint8_t)class_nr;
        }
    }
    for (class_nr = coarse = classes->nr_classes - 1; class_nr < classes->nr_classes; class_nr--) {
        if (classes->object_bytes[class_nr] + ZR_COARSE_BYTES <= classes->object_bytes[coarse]) {
            coarse = class_nr;
        }
        classes->coarse[class_nr] = (uint8_t)coarse;
    }
    class_nr = classes->nr_classes++;
    classes->object_bytes[class_nr] = ZR_CHUNK_BYTES;
    classes->coarse[class_nr] = (uint8_t)class_nr;
    class_nr = classes->nr_classes++;
    classes->coarse[class_nr] = (uint8_t)class_nr;
}
