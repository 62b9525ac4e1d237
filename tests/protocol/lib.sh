# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
#
# What the tests that are scripts share: a folder of their own, and servers that end with them.
#
#     ZRAMSWAP_PLUGIN  the plugin, ./zramswap.so when unset
#     NBDKIT_PRELOAD   LD_PRELOAD for nbdkit alone: how a plugin built with a sanitizer loads

# shellcheck disable=SC2034 # for the tests
plugin=$(realpath "${ZRAMSWAP_PLUGIN:-./zramswap.so}")
folder=$(mktemp -d)
# Another user's server may not get at the tree, if that is below /root: what a sanitizer reads goes along.
for options in LSAN_OPTIONS TSAN_OPTIONS; do
    file=${!options-}
    file=${file##*suppressions=}
    [[ -n $file ]] || continue
    cp "$file" "$folder/$options"
    export "$options=${!options%"$file"}$folder/$options"
done
declare -A servers # name: process
as=()              # what runs a server as another user
listen=()          # where it listens, if not on the socket $folder/NAME

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

skip() {
    echo "SKIPPED: $*" >&2
    exit 77
}

# need COMMAND DEBIAN-PACKAGE
need() {
    command -v "$1" >/dev/null || skip "no $1 here: install the Debian package $2"
}

clean_up() {
    local pid
    for pid in "${servers[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# For servers of other users: the folders above the build may be closed to them.
share_build() {
    local library libraries=()
    chmod 755 "$folder"
    cp "$plugin" "$folder/zramswap.so"
    plugin=$folder/zramswap.so
    for library in ${NBDKIT_PRELOAD-}; do
        if [[ $library == */malloc-first.so ]]; then
            cp "$library" "$folder"
            library=$folder/malloc-first.so
        fi
        libraries+=("$library")
    done
    chmod 755 "$folder"/*.so
    [[ -z ${NBDKIT_PRELOAD-} ]] || NBDKIT_PRELOAD=${libraries[*]}
}

# start_server NAME ARGUMENT...
start_server() {
    local name=$1
    local at=("${listen[@]}")
    shift
    ((${#at[@]} > 0)) || at=(--unix "$folder/$name")
    "${as[@]}" env LD_PRELOAD="${NBDKIT_PRELOAD-}" nbdkit --foreground --exit-with-parent \
        "${at[@]}" --pidfile "$folder/$name.pid" "$@" 2>"$folder/$name.messages" &
    servers[$name]=$!
    # nbdkit writes the file when it accepts connections.
    until [[ -s $folder/$name.pid ]]; do
        kill -0 "${servers[$name]}" 2>/dev/null ||
            fail "the server did not start: $(<"$folder/$name.messages")"
        sleep 0.05
    done
}

# take_messages NAME: those of refused clients are expected.
take_messages() {
    cat "$folder/$1.messages"
    : >"$folder/$1.messages"
}

# stop_server NAME [REGEX]: it ends well, and has said nothing, but for lines that match.
stop_server() {
    local pid=${servers[$1]} status=0 messages
    unset "servers[$1]"
    kill "$pid"
    wait "$pid" || status=$?
    rm -f "$folder/$1.pid" "$folder/$1"
    messages=$(grep -vE "${2:-^$}" "$folder/$1.messages" || true)
    [[ $status == 0 && -z $messages ]] || fail "the server ended with status $status: $messages"
}
