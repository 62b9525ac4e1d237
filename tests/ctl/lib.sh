# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
#
# For the tests of zramswapctl.
#
#     ZRAMSWAPCTL  the program, ./zramswapctl when unset

# shellcheck source=tests/protocol/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../protocol/lib.sh"

ctl=$(realpath -m "${ZRAMSWAPCTL:-./zramswapctl}")
[[ -x $ctl ]] || skip 'zramswapctl was not built: install the Debian packages' \
    'libnbd-dev libjson-c-dev libncurses-dev libsmartcols-dev, and configure again'
unset ZRAMSWAP_URI

expect_equal() {
    [[ $2 == "$3" ]] || fail "$1: expected"$'\n'"$2"$'\n'"but it is"$'\n'"$3"
}

# expect_error STATUS PATTERN ARGUMENT...: one line on stderr that matches, and nothing on stdout.
expect_error() {
    local expected=$1 pattern=$2 status=0 output
    shift 2
    # Who dies of an error does not free first.
    output=$(ASAN_OPTIONS=detect_leaks=0 "${ctl[@]}" "$@" 2>"$folder/error" </dev/null) || status=$?
    [[ $status == "$expected" ]] ||
        fail "zramswapctl $*: status $status instead of $expected: $(<"$folder/error")"
    [[ -z $output ]] || fail "zramswapctl $*: prints in spite of an error: $output"
    [[ $(wc -l <"$folder/error") == 1 && $(<"$folder/error") =~ ^zramswapctl:\ .*$pattern ]] ||
        fail "zramswapctl $*: expected one line with '$pattern', but it says: $(<"$folder/error")"
}

# Pages: 256 of text, 256 of zeros, 256 of a repeated word, 300 of random bytes; half a one of text.
make_image() {
    head -c 1M < <(seq -f 'page %.0f' 1000000)
    head -c 1M /dev/zero
    head -c 1M < <(yes abc)
    head -c 1200K /dev/urandom
    head -c 2K < <(seq -f 'page %.0f' 1000000)
}
