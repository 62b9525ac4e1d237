# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
#
# For the scripts of this folder: servers, guests, and what is asserted of
# both.  A script sources this file, which gives it a folder for its logs
# ($logs) and ends whatever it started when it ends.
#
# Environment:
#   ZRAMSWAP_PLUGIN  the plugin under test, default ./zramswap.so
#   GUEST_CACHE      kernel, initramfs and logs, default tests/guest/cache
set -euo pipefail

plugin=${ZRAMSWAP_PLUGIN:-./zramswap.so}
[[ $plugin != *.so ]] || plugin=$(realpath "$plugin")
cache=${GUEST_CACHE:-tests/guest/cache}
mkdir -p "$cache"
cache=$(realpath "$cache")
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
test_name=$(basename "$0")
logs=$cache/logs/$test_name

# The commands that a test needs, each with the Debian package it is in.
requirements=(
    nbdkit:nbdkit nbdcopy:libnbd-bin qemu-system-x86_64:qemu-system-x86 gcc:gcc dpkg-deb:dpkg ldd:libc-bin
    apt-get:apt flock:util-linux xz:xz-utils /sbin/mke2fs:e2fsprogs
)

# How much more memory a server may hold after its guest's program has ended
# than before it began.  The kernel trims a cluster of 2 MiB when its last
# slot is free, so some that hold a page of another process stay; and each of
# nbdkit's threads keeps a buffer of the longest request that it has seen.
spare_kib=$((32 * 1024))

# How long QEMU waits, in seconds, for a server that has gone.
reconnect_delay=0

# The longest that a guest may take to answer a command.
guest_timeout=300

declare -A guest_pid guest_input guest_output server_pid server_port
guest_log_mark='=== '

say() {
    printf '[%s %4d s] %s\n' "$test_name" "$SECONDS" "$*" >&2
}

fail() {
    say "FAILED: $*"
    exit 1
}

skip() {
    say "SKIPPED: $*"
    exit 77
}

# Servers

# server_start NAME unix|tcp ARGUMENT...: starts nbdkit with the arguments, a
# log in $logs/NAME.server, and sets server_pid and server_port (empty: unix).
server_start() {
    local name=$1 transport=$2 try
    shift 2
    for try in {1..20}; do
        local listen=(--unix "$sockets/$name")
        server_port[$name]=
        if [[ $transport == tcp ]]; then
            # Below the range that the system gives to outgoing connections.
            server_port[$name]=${fixed_port:-$((20000 + RANDOM % 10000))}
            listen=(--ipaddr 127.0.0.1 --port "${server_port[$name]}")
        fi
        rm -f "$logs/$name.pid" "$sockets/$name"
        nbdkit --foreground --pidfile "$logs/$name.pid" "${listen[@]}" "$@" \
            2>"$logs/$name.server" &
        server_pid[$name]=$!
        # nbdkit writes its pid file when it accepts connections.
        until [[ -s $logs/$name.pid ]]; do
            kill -0 "${server_pid[$name]}" 2>/dev/null || break
            sleep 0.1
        done
        [[ ! -s $logs/$name.pid ]] || return 0
        grep -q 'Address already in use' "$logs/$name.server" || break
    done
    cat "$logs/$name.server" >&2
    fail "server $name did not start (try $try)"
}

# With every request logged; the arguments go to nbdkit.
server_start_logged() {
    server_start "$1" "$2" --filter=log "${@:3}" logfile="$logs/$1.requests"
}

# The memory that the server itself holds; its heap and its memfd.
server_kib() {
    awk '/^Rss(Anon|Shmem):/ { sum += $2 } END { print sum }' "/proc/${server_pid[$1]}/status"
}

# server_uri NAME [EXPORT]
server_uri() {
    if [[ -n ${server_port[$1]} ]]; then
        printf 'nbd://127.0.0.1:%s/%s\n' "${server_port[$1]}" "${2:-}"
    else
        printf 'nbd+unix:///%s?socket=%s\n' "${2:-}" "$sockets/$1"
    fi
}

# The server's own statistics, of one started with stats-export=stats.
server_stats() {
    # By way of cat, because nbdcopy would truncate a file.
    nbdcopy "$(server_uri "$1" stats)" - | cat
}

server_stop() {
    kill "${server_pid[$1]}"
    wait "${server_pid[$1]}" || true
}

# Trims of exactly one swap cluster, as the kernel sends when it frees slots;
# the one of the whole device at swapon is not counted.
server_cluster_trims() {
    grep -c ' Trim .*count=0x200000 ' "$logs/$1.requests" || true
}

# Guests

# An initramfs that also has these files of the host, in /host, and the
# libraries that they need; guests that start from now on get it.
extend_image() {
    local library
    mkdir -p "$logs/extra"/{host,lib,lib64}
    cp -L "$@" "$logs/extra/host"
    ldd "$@" | grep -o '/[^ ]* (0x' | sort -u | while read -r library _; do
        cp -L "$library" "$logs/extra/lib"
    done
    mv "$logs"/extra/lib/ld-linux* "$logs/extra/lib64"
    initramfs=$logs/initramfs
    (cd "$logs/extra" && find . | "$image/root/bin/busybox" cpio -o -H newc 2>/dev/null) |
        cat "$image/initramfs" - >"$initramfs"
}

# guest_start NAME MIB QEMU-ARGUMENT...: returns when the guest obeys.
# no_timer_check: on a busy machine an emulated timer may be late, and the
# kernel panics of it ("IO-APIC + timer doesn't work").
guest_start() {
    local name=$1 mib=$2 input output
    shift 2
    mkfifo "$logs/$name.input"
    exec {input}<>"$logs/$name.input"
    # The output is a pipe, so that reading it ends when QEMU does.
    exec {output}< <(exec qemu-system-x86_64 -accel tcg -m "$mib" -nodefaults -no-reboot \
        -display none -kernel "$image/vmlinuz" -initrd "${initramfs:-$image/initramfs}" \
        -append "console=ttyS0 rootfstype=ramfs mitigations=off nowatchdog no_timer_check panic=-1 ${kernel_arguments:-}" \
        -serial "file:$logs/$name.kernel" -chardev stdio,id=commands,signal=off \
        -serial chardev:commands "$@" <&"$input" 2>"$logs/$name.qemu")
    guest_pid[$name]=$!
    guest_input[$name]=$input
    guest_output[$name]=$output
    guest_answer "$name" >/dev/null || fail "guest $name did not start"
    say "guest $name runs"
}

# Writes the command, as one line, for guest NAME, without waiting for it to be done.
guest_send() {
    printf '%s%s\n' "$guest_log_mark" "$2" >>"$logs/$1.commands"
    printf '%s\n' "${2//$'\n'/ }" >&"${guest_input[$1]}"
}

# Prints what the command prints and returns its exit status.
guest_answer() {
    local line
    while IFS= read -r -t "$guest_timeout" -u "${guest_output[$1]}" line; do
        printf '%s\n' "$line" >>"$logs/$1.commands"
        [[ ! $line =~ ^\[exit\ ([0-9]+)\]$ ]] || return "${BASH_REMATCH[1]}"
        printf '%s\n' "$line"
    done
    fail "guest $1 fell silent"
}

guest() {
    guest_send "$@"
    guest_answer "$1"
}

# guest_swapper NAME ARGUMENT...: its results also go to $logs/NAME.results.
guest_swapper() {
    guest "$1" "swapper ${*:2}" | tee "$logs/$1.results" | sed -u "s/^/    $1: /" >&2
}

# guest_result NAME KEY
guest_result() {
    sed -n "s/^$2=//p" "$logs/$1.results"
}

guest_vmstat() {
    guest "$1" "sed -n 's/^$2 //p' /proc/vmstat"
}

# A guest that no longer obeys is switched off.
guest_stop() {
    guest_send "$1" 'poweroff -f'
    for _ in {1..100}; do
        kill -0 "${guest_pid[$1]}" 2>/dev/null || break
        sleep 0.1
    done
    kill "${guest_pid[$1]}" 2>/dev/null || true
    say "guest $1 is off"
}

# Ways to attach a server to a guest

# QEMU arguments for a guest that reaches the host's loopback as 10.0.2.2.
# shellcheck disable=SC2034
network=(-netdev 'user,id=net,ipv6=off' -device 'virtio-net-pci,netdev=net,romfile=')

# The network needs memory of its own to swap out what others want to free: a
# small guest's default reserve is too small for that, and it would hang.
guest_network_up() {
    guest "$1" 'modprobe -a virtio_pci virtio_net nbd && ip link set lo up &&
        ip link set eth0 up && ip address add 10.0.2.15/24 dev eth0 &&
        sysctl -w vm.min_free_kbytes=8192' >/dev/null
}

# A virtio disk claims to rotate, and for a rotating disk the kernel keeps no
# swap clusters: it would trim at swapon and then never again.
guest_virtio_up() {
    guest "$1" 'modprobe -a virtio_pci virtio_blk && echo 0 >/sys/block/vda/queue/rotational'
}

# guest_nbd_client NAME SERVER DEVICE [EXPORT [OPTION...]]
guest_nbd_client() {
    guest "$1" "/sbin/nbd-client 10.0.2.2 ${server_port[$2]} $3 -b 4096 -swap -N '${4:-}' ${*:5}" >&2
}

# Prints QEMU arguments for a disk that QEMU itself attaches to SERVER.
# A full tenant is an error for the guest to see; by default QEMU would stop
# the guest and wait for somebody to make room.
virtio_disk() {
    local server=server.type=unix,server.path=$sockets/$1
    [[ -z ${server_port[$1]} ]] ||
        server=server.type=inet,server.host=127.0.0.1,server.port=${server_port[$1]}
    printf '%s\n' -blockdev "driver=nbd,node-name=swap,$server,export=${2:-},discard=unmap,reconnect-delay=$reconnect_delay" \
        -device virtio-blk-pci,drive=swap,logical_block_size=4096,physical_block_size=4096,werror=report,rerror=report
}

# guest_swapon NAME DEVICE OPTION...: by util-linux, because busybox's own
# swapon, which its shell prefers, lacks priorities.
guest_swapon() {
    guest "$1" "sysctl -w vm.page-cluster=0 && mkswap $2 && /sbin/swapon --discard ${*:3} $2" >/dev/null
}

# Assertions

assert_swapped() {
    local direction pages
    for direction in pswpout pswpin; do
        pages=$(guest_vmstat "$1" $direction)
        ((pages >= $2)) || fail "guest $1: $direction is $pages, less than $2"
        say "guest $1: $direction $pages"
    done
}

# assert_results NAME: the program said that every byte was right.
assert_results() {
    grep -qx 'wrong_pages=0' "$logs/$1.results" || fail "guest $1 read wrong bytes"
    say "guest $1: every byte right"
}

assert_trims() {
    local trims
    trims=$(server_cluster_trims "$1")
    ((trims >= $2)) || fail "server $1 got $trims trims of 2 MiB, fewer than $2"
    say "server $1: $trims trims of 2 MiB"
}

# assert_memory_back SERVER KIB-BEFORE: within the time that the server may
# keep freed memory warm.
assert_memory_back() {
    local now
    for _ in {1..20}; do
        now=$(server_kib "$1")
        if ((now <= $2 + spare_kib)); then
            say "server $1: $2 KiB before, $now KiB after"
            return
        fi
        sleep 0.5
    done
    fail "server $1 holds $now KiB, $2 KiB before"
}

# assert_kernel_log NAME [ALLOWED]: no message of level error or worse, no
# warning with a trace, no hung task, but lines that match ALLOWED.
assert_kernel_log() {
    local bad
    bad=$(guest "$1" 'dmesg -r' |
        grep -E '^<[0-3]>|WARNING|BUG|Call Trace|blocked for more' |
        grep -Ev "${2:-^$}" || true)
    [[ -z $bad ]] || fail "guest $1: kernel log: $bad"
    say "guest $1: kernel log clean"
}

# Setting up and ending

finish() {
    local status=$? pid file
    for pid in "${guest_pid[@]}" "${server_pid[@]}"; do
        # A stopped server takes its signal only when it goes on.
        kill -TERM "$pid" 2>/dev/null || continue
        kill -CONT "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$sockets"
    if ((status == 0)); then
        rm -rf "$logs"
        say passed
    elif ((status != 77)); then
        for file in "$logs"/*.{commands,kernel,server,qemu}; do
            [[ ! -s $file ]] || { echo "--- the end of $file"; tail -n 30 "$file"; } >&2
        done
        say "FAILED (status $status): logs are in $logs"
    fi
}

set_up() {
    local requirement
    for requirement in "${requirements[@]}"; do
        command -v "${requirement%:*}" >/dev/null ||
            skip "${requirement%:*} is missing: apt-get install ${requirement#*:}"
    done
    [[ $plugin != *.so || -e $plugin ]] || skip "no plugin $plugin: run make"

    # One test at a time: two guests are what two cores can bear.
    exec {lock}>"$cache/lock"
    flock "$lock"
    SECONDS=0
    rm -rf "$logs"
    mkdir -p "$logs"
    # Socket names have to be short; the path of $logs may not be.
    sockets=$(mktemp -d)
    trap finish EXIT
    trap 'exit 1' INT TERM
    image=$cache/${kernel_flavour:-cloud-amd64}
    "$here/build-image" "${kernel_flavour:-cloud-amd64}" "$image" >&2
}

set_up
