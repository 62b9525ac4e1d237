// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// State: a small file on a real disk (state=FILE) that says which exports are in use.  It outlives
// what they hold: after the host rebooted, or the store's file went, a guest may still refer to
// pages that nobody has.  An export that was in use and whose uuid is another one now is lost.
//
// One line is appended for each note and is on the disk before the call returns: "UUID NAME" says
// that the export of that uuid is in use, "- NAME" that it was dropped.  The last line of a name
// counts; a line without its end was never acknowledged.
//
// Threads: note may overlap with itself; the rest is for one thread, before any request.
#ifndef ZR_STATE_H
#define ZR_STATE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define ZR_STATE_WHY_BYTES 512
#define ZR_STATE_UUID_BYTES 16

struct zr_state {
    pthread_mutex_t lock;
    int fd;     // -1: there is none, and nothing is noted
    char *text; // the file's lines as they were at the start, each ended by a 0
    size_t text_bytes;
    uint64_t end; // of the last whole line in the file
};

// Opens the file, or makes it, for this server alone.  path NULL: no file.  0 or -errno, with one
// line that names the file in why, ZR_STATE_WHY_BYTES long.  Allocates.
int zr_state_init(struct zr_state *state, const char *path, char *why);
void zr_state_fini(struct zr_state *state);

#define ZR_STATE_UUID_TEXT_BYTES ((size_t)2 * ZR_STATE_UUID_BYTES + 1)

// In hexadecimal digits, ended by a 0.
void zr_state_print_uuid(const uint8_t *uuid, char text[ZR_STATE_UUID_TEXT_BYTES]);

enum zr_export_use {
    ZR_EXPORT_UNUSED,
    ZR_EXPORT_IN_USE,
    ZR_EXPORT_IS_LOST, // one of this name and another uuid is in use
};

// What the file said of the export at the start.
enum zr_export_use zr_state_find(const struct zr_state *state, const char *name,
                                 const uint8_t *uuid);

// Notes that the export is in use.  0, or -errno: it is not on the disk.  Blocks for the disk.
int zr_state_note(struct zr_state *state, const char *name, const uint8_t *uuid);

// Notes that the export was dropped.  As note.
int zr_state_drop(struct zr_state *state, const char *name);

#endif
