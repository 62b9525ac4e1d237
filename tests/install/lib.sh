# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
#
# For the tests of this folder that "make check" runs, from the top of the build.
set -euo pipefail

test_name=$(basename "$0")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    printf '%s: FAILED: %s\n' "$test_name" "$*" >&2
    exit 1
}

skip() {
    printf '%s: SKIPPED: %s\n' "$test_name" "$*" >&2
    exit 77
}

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null || skip "$1 is missing: apt-get install $2"
}

# same WHAT FILE FILE
same() {
    diff "$2" "$3" >&2 || fail "$1"
}
