# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
#
# For the tests of the reconnector: a server with stores, always at the same address, and a guest that
# zramswap-guest attaches it to.
#
# Environment: ZRAMSWAP_NBD  the reconnector, default ./zramswap-nbd
# shellcheck source=tests/guest/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

reconnector=${ZRAMSWAP_NBD:-./zramswap-nbd}
[[ -e $reconnector ]] || skip "no $reconnector: run make, with libnl-genl-3-dev installed"

# What the kernel says of connections that are killed, and of requests that it sends again.
# shellcheck disable=SC2034
provoked='block nbd0: (Receive (control|data) failed|Send (control|data) failed|Request send failed, requeueing|Dead connection, failed to find a fallback|Connection timed out, retrying)'

# A store lives on a tmpfs.
stores=$(mktemp -d /dev/shm/zramswap-reconnect.XXXXXX)
trap 'finish; rm -rf "$stores"' EXIT

# start_on STORE [--filter=FILTER PARAMETER]
start_on() {
    fixed_port=${server_port[server]:-} \
        server_start server tcp ${2:+"$2"} "$plugin" size=256M store="$stores/$1" ${3:+"$3"}
}

kill_server() {
    kill -KILL "${server_pid[server]}"
    wait "${server_pid[server]}" 2>/dev/null || true
}

# By Debian's shell; the guest's own is busybox's.
script() {
    guest guest "dash /sbin/zramswap-guest $* 2>&1"
}

# wait_for_status CODE TEXT: until "status" says so.
wait_for_status() {
    local output code
    for _ in {1..120}; do
        code=0
        output=$(script status) || code=$?
        [[ $code != "$1" || $output != *"$2"* ]] || return 0
        sleep 0.5
    done
    fail "status is $code $output, not $1 $2"
}

# What the reconnector has logged.
logged() {
    guest guest dmesg | sed -n 's/.*zramswap-nbd: //p'
}

# assert_logged NUMBER TEXT
assert_logged() {
    local number
    number=$(logged | grep -cF "$2" || true)
    ((number == $1)) || fail "it has logged '$2' $number times, not $1: $(logged)"
}

up() {
    script "up host=10.0.2.2 port=${server_port[server]}" || fail "up: $(logged)"
    wait_for_status 0 ', connected'
}

extend_image "$reconnector"
start_on first
guest_start guest 128 -smp 2 "${network[@]}"
guest guest 'modprobe -a virtio_pci virtio_net && mkdir -p /run && ip link set eth0 up &&
    ip address add 10.0.2.15/24 dev eth0 && echo 0123456789abcdef0123456789abcdef >/etc/machine-id' >/dev/null
up
