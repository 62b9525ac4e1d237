// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The client's part of NBD's fixed newstyle negotiation, up to where the kernel takes over: opens
// an export by NBD_OPT_GO and asks for its description.
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
#ifndef ZR_GUEST_NEGOTIATE_H
#define ZR_GUEST_NEGOTIATE_H

#include "export.h"

enum { ZR_EXPORT_NAME_LENGTH = 255 }; // at most; longer ones need no server to support them

// On a connected socket, which then is in the transmission phase, with nothing under way.  0 or
// -errno: those of transfer.h; -ENOENT, -EACCES, -ENOKEY if the server does not have the export,
// does not let anybody have it, or only by TLS; -EPROTO for what is no such server.  Allocates
// nothing.
int zr_negotiate(int socket, const char *name, int64_t deadline_ms, struct zr_export *export);

#endif
