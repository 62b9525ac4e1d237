// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Bytes → damaged objects.  Half of the inputs are an object as it stands; the others are a page
// that is compressed first, so that damage meets deep states of the decoder.  Whatever the object
// is, decompress says 0 or -EIO, reads nothing behind it and writes nothing beside the page.
//
// The libraries are Debian's, without instrumentation: so what lies around object and page is not
// mapped, or is looked at afterwards.
#include "fuzz.h"

#include "store/codec.h"

#include <errno.h>
#include <sys/mman.h>

#define MAX_DAMAGES 8
#define EDGE 0xa5

static const struct zr_codec_ops *ops;
static void *contexts[2]; // one for each codec
static void *context;
static unsigned char *area; // a page of edge, then the page
static unsigned char *object_end;

// Where nr_pages end and memory that is not mapped begins.
static unsigned char *map_guarded(size_t nr_pages)
{
    size_t bytes = nr_pages * ZR_PAGE_BYTES;
    unsigned char *base = mmap(NULL, bytes + ZR_PAGE_BYTES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    FUZZ_CHECK(base != MAP_FAILED);
    FUZZ_CHECK(mprotect(base + bytes, ZR_PAGE_BYTES, PROT_NONE) == 0);
    return base + bytes;
}

static void start(void)
{
    for (size_t i = 0; i < NR_OF(contexts); i++) {
        contexts[i] = zr_codecs[i]->create(zr_codecs[i]->default_level);
        FUZZ_CHECK(contexts[i]);
    }
    object_end = map_guarded(2);
    area = map_guarded(2) - 2 * ZR_PAGE_BYTES;
    memset(area, EDGE, ZR_PAGE_BYTES);
}

static void check_edge(void)
{
    for (unsigned i = 0; i < ZR_PAGE_BYTES; i++) {
        FUZZ_CHECK(area[i] == EDGE);
    }
}

static int decompress(const uint8_t *bytes, size_t nr_bytes)
{
    unsigned char *object = object_end - nr_bytes;
    int rc;

    memcpy(object, bytes, nr_bytes);
    rc = ops->decompress(context, object, nr_bytes, area + ZR_PAGE_BYTES);
    FUZZ_CHECK(rc == 0 || rc == -EIO);
    check_edge();
    return rc;
}

// Repeats what is left of the input over a page.
static void fill_page(unsigned char *page, const struct fuzz_input *input)
{
    for (size_t i = 0; i < ZR_PAGE_BYTES; i++) {
        page[i] = input->nr_bytes > 0 ? input->bytes[i % input->nr_bytes] : 0;
    }
}

static void damage_compressed(struct fuzz_input *input)
{
    unsigned nr_damages = (unsigned)fuzz_number(input, 1) % (MAX_DAMAGES + 1);
    unsigned char page[ZR_PAGE_BYTES], object[ZR_CODEC_BOUND_MAX_BYTES];
    uint32_t damages[MAX_DAMAGES];
    unsigned cut = (unsigned)fuzz_number(input, 1);
    size_t nr_bytes;

    for (unsigned i = 0; i < nr_damages; i++) {
        damages[i] = (uint32_t)fuzz_number(input, 3);
    }
    fill_page(page, input);
    nr_bytes = ops->compress(context, page, object);
    FUZZ_CHECK(nr_bytes > 0 && nr_bytes <= ops->bound_bytes);
    FUZZ_CHECK(decompress(object, nr_bytes) == 0);
    FUZZ_CHECK(memcmp(area + ZR_PAGE_BYTES, page, ZR_PAGE_BYTES) == 0);

    for (unsigned i = 0; i < nr_damages; i++) {
        object[(damages[i] >> 8) % nr_bytes] ^= (unsigned char)damages[i];
    }
    decompress(object, nr_bytes - (cut < nr_bytes ? cut : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
    struct fuzz_input input = {bytes, nr_bytes};
    unsigned selector = (unsigned)fuzz_number(&input, 1);

    if (!area) {
        start();
    }
    ops = zr_codecs[selector % NR_OF(contexts)];
    context = contexts[selector % NR_OF(contexts)];
    if (selector / NR_OF(contexts) % 2 == 0) {
        decompress(input.bytes, input.nr_bytes < ZR_PAGE_BYTES ? input.nr_bytes : ZR_PAGE_BYTES);
    } else {
        damage_compressed(&input);
    }
    return 0;
}
