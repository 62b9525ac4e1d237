// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "zramswap-state 1\n"
#define MAX_BYTES (16 << 20) // some 50 000 lines of the longest names
#define MAX_LINE_BYTES (ZR_STATE_UUID_TEXT_BYTES + 1 + 255 + 1)

static int refuse(const char *path, const char *what, int error, char *why)
{
    snprintf(why, ZR_STATE_WHY_BYTES, "state=%.200s: %s%s%s", path, what, error ? ": " : "",
             error ? strerrordesc_np(error) : "");
    return error ? -error : -EINVAL;
}

// Appends at the end of the last whole line, over what a kill has left there.
static int append(struct zr_state *state, const char *line, size_t bytes)
{
    ssize_t written = pwrite(state->fd, line, bytes, (off_t)state->end);
    int rc = 0;

    if (written != (ssize_t)bytes) {
        rc = written < 0 ? -errno : -ENOSPC;
    } else if (fdatasync(state->fd) < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        (void)!ftruncate(state->fd, (off_t)state->end); // the next line starts there, too
        return rc;
    }
    state->end += bytes;
    return 0;
}

// A new file's name must be on the disk, too.
static int sync_folder(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0) {
        close(fd);
    }
    free(copy);
    return rc;
}

static int begin_file(struct zr_state *state, const char *path, char *why)
{
    int rc = append(state, FIRST_LINE, strlen(FIRST_LINE));

    if (rc == 0) {
        rc = sync_folder(path);
    }
    return rc < 0 ? refuse(path, "cannot write", -rc, why) : 0;
}

// Reads the whole lines.
static int read_file(struct zr_state *state, const char *path, size_t bytes, char *why)
{
    ssize_t got;
    char *end;
    size_t i;

    state->text = malloc(bytes + 1);
    if (!state->text) {
        return refuse(path, "cannot read", ENOMEM, why);
    }
    got = pread(state->fd, state->text, bytes, 0);
    if (got < 0 || (size_t)got < bytes) {
        return refuse(path, "cannot read", got < 0 ? errno : EIO, why);
    }
    if (bytes < strlen(FIRST_LINE) && memcmp(state->text, FIRST_LINE, bytes) == 0) {
        return begin_file(state, path, why); // a kill came before its first line was whole
    }
    if (bytes < strlen(FIRST_LINE) || memcmp(state->text, FIRST_LINE, strlen(FIRST_LINE)) != 0) {
        return refuse(path, "is no state of this format: its first line is not zramswap-state 1", 0,
                      why);
    }
    end = memrchr(state->text, '\n', bytes);
    state->text_bytes = (size_t)(end - state->text) + 1;
    state->end = state->text_bytes;
    for (i = 0; i < state->text_bytes; i++) {
        if (state->text[i] == '\n') {
            state->text[i] = '\0';
        }
    }
    return 0;
}

static int open_file(struct zr_state *state, const char *path, char *why)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat status;

    state->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (state->fd < 0 || fstat(state->fd, &status) < 0) {
        return refuse(path, "cannot open", errno, why);
    }
    if (!S_ISREG(status.st_mode)) {
        return refuse(path, "is not a file", 0, why);
    }
    if (fcntl(state->fd, F_OFD_SETLK, &lock) < 0) {
        return errno == EAGAIN || errno == EACCES
                   ? refuse(path, "another server has it", EBUSY, why)
                   : refuse(path, "cannot lock", errno, why);
    }
    if (status.st_size > MAX_BYTES) {
        return refuse(path, "is too long", EFBIG, why);
    }
    return read_file(state, path, (size_t)status.st_size, why);
}

int zr_state_init(struct zr_state *state, const char *path, char *why)
{
    int rc;

    *state = (struct zr_state){.fd = -1};
    pthread_mutex_init(&state->lock, NULL);
    rc = path ? open_file(state, path, why) : 0;
    if (rc < 0) {
        zr_state_fini(state);
    }
    return rc;
}

void zr_state_fini(struct zr_state *state)
{
    if (state->fd >= 0) {
        close(state->fd);
    }
    state->fd = -1;
    free(state->text);
    state->text = NULL;
    pthread_mutex_destroy(&state->lock);
}

void zr_state_print_uuid(const uint8_t *uuid, char text[ZR_STATE_UUID_TEXT_BYTES])
{
    size_t i;

    for (i = 0; i < ZR_STATE_UUID_BYTES; i++) {
        snprintf(&text[2 * i], 3, "%02x", uuid[i]);
    }
}

// What the last line of the name says before it: a uuid or "-", not ended.  NULL if there is none.
static const char *find_last(const struct zr_state *state, const char *name)
{
    const char *line = state->text, *found = NULL;

    for (; line && line < state->text + state->text_bytes; line += strlen(line) + 1) {
        const char *space = strchr(line, ' ');

        if (space && strcmp(space + 1, name) == 0 && line != state->text) {
            found = line;
        }
    }
    return found;
}

enum zr_export_use zr_state_find(const struct zr_state *state, const char *name,
                                 const uint8_t *uuid)
{
    const char *found = find_last(state, name);
    char text[ZR_STATE_UUID_TEXT_BYTES];

    if (!found || *found == '-') {
        return ZR_EXPORT_UNUSED;
    }
    zr_state_print_uuid(uuid, text);
    return strncmp(found, text, strlen(text)) == 0 ? ZR_EXPORT_IN_USE : ZR_EXPORT_IS_LOST;
}

static int note(struct zr_state *state, const char *what, const char *name)
{
    char line[MAX_LINE_BYTES + 1];
    int bytes = snprintf(line, sizeof line, "%s %s\n", what, name);
    int rc = 0;

    if (state->fd >= 0) {
        pthread_mutex_lock(&state->lock);
        rc = append(state, line, (size_t)bytes);
        pthread_mutex_unlock(&state->lock);
    }
    return rc;
}

int zr_state_note(struct zr_state *state, const char *name, const uint8_t *uuid)
{
    char text[ZR_STATE_UUID_TEXT_BYTES];

    zr_state_print_uuid(uuid, text);
    return note(state, text, name);
}

int zr_state_drop(struct zr_state *state, const char *name)
{
    return note(state, "-", name);
}
