# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
"""What the project has set itself: rows, or ratios of rows, that are held against a limit.

Nothing fails on one.  A ratio is made round by round; a target without its rows is passed over.
"""

R1, R1_16, R4_16 = (f"4 KiB random reads, {how}" for how in (
    "1 connection × depth 1", "1 connection × depth 16", "4 connections × depth 16"))
W1, W4_16 = (f"4 KiB random writes, {how}" for how in (
    "1 connection × depth 1", "4 connections × depth 16"))
L1_16, L4_16 = (f"128 KiB writes, {how}" for how in (
    "1 connection × depth 16", "4 connections × depth 16"))
EXCESS = "µs server CPU beyond null and codec"
ONE_THREAD = "null, one thread"
BESIDE = "4 KiB reads beside "

# name, operator, limit, (work, subject, unit)[, (work, subject) that it is divided by]
TARGETS = []


def ratio(name, op, limit, work, unit, subject, reference):
    TARGETS.append((name, op, limit, (work, subject, unit), (work, reference)))


def absolute(name, op, limit, work, unit, subject):
    TARGETS.append((name, op, limit, (work, subject, unit)))


def engine():
    writes, reads = "4 KiB writes, warm, 1 thread", "random 4 KiB reads, 1 thread"
    for codec in ("lz4", "zstd"):
        ratio(f"checksum on ÷ off, {codec}", "<=", 1.03,
              "random 4 KiB reads in turns, checksum on and off", "ns CPU/page",
              f"checksum=on {codec}", f"checksum=off {codec}")
    for what, work in (("4 KiB writes", writes), ("random reads", reads)):
        for codec, limit in (("lz4", 0.92), ("zstd", 0.97)):
            ratio(f"engine ÷ codec loop, {what}, {codec}", ">=", limit, work, "pages/s",
                  f"engine {codec}", f"codec loop {codec}")
    for what, work, limit in (("4 KiB writes", "4 KiB writes, warm", 1.4),
                              ("random reads", "random 4 KiB reads", 3)):
        for threads in ("1 thread", "2 threads"):
            ratio(f"engine ÷ zram, {what}, {threads}", ">=", limit, f"{work}, {threads}",
                  "pages/s", "engine lz4", "zram lz4")
    ratio("zram's 2 MiB discard ÷ engine's 2 MiB trim", ">=", 200,
          "2 MiB trim, mean of a burst", "ns", "zram lz4", "engine lz4")
    for way, limit in (("batch", 4), ("whole leaf", 100)):
        ratio(f"synchronous free ÷ {way}, request path", ">=", limit,
              "trim, request path per slot", "ns", "synchronous", way)
    for way in ("batch", "whole leaf"):
        ratio(f"{way} ÷ synchronous free, all CPU", "<=", 1,
              "trim, CPU per slot until freed", "ns CPU", way, "synchronous")
    absolute("trim of a whole device, full", "<=", 2, "trim of the whole device", "ms",
             "engine lz4")
    absolute("the same but its first page, as swapon does", "<=", 2,
             "trim of the whole device but a page", "ms", "engine lz4")


def server():
    for codec in ("lz4", "zstd"):
        ours = f"zramswap {codec}"
        for null in ("null", "one-thread null"):
            absolute(f"random read, depth 1: p50 beyond {null} and decode, {codec}", "<=", 1, R1,
                     f"µs p50 beyond {null} and codec", ours)
            absolute(f"CPU of a read beyond {null} and codec, depth 1, {codec}", "<=", 1, R1,
                     f"µs server CPU beyond {null} and codec", ours)
        for null in ("null", ONE_THREAD):
            ratio(f"random read, depth 1: p99 ÷ {null}, {codec}", "<=", 1.1, R1, "µs p99", ours,
                  null)
            ratio(f"2 MiB trim, p50 ÷ {null}, {codec}", "<=", 1.1, "2 MiB trims", "µs p50", ours,
                  null)
        for how, work in (("1 connection", R1_16), ("4 connections", R4_16)):
            ratio(f"random reads/s, depth 16, {how} ÷ null, {codec}", ">=", 0.92, work,
                  "requests/s", ours, "null")
        for what, work in (("a read", R4_16), ("a 4 KiB write", W4_16)):
            absolute(f"CPU of {what} beyond null and codec, 4 × 16, {codec}", "<=", 1, work,
                     EXCESS, ours)
        absolute(f"CPU of a 4 KiB write beyond null and codec, depth 1, {codec}", "<=", 1, W1,
                 EXCESS, ours)
        for how, work in (("1 connection", L1_16), ("4 connections", L4_16)):
            ratio(f"128 KiB writes/s, depth 16, {how} ÷ memory zstd, {codec}", ">=",
                  {"lz4": 5, "zstd": 2.2}[codec], work, "requests/s", ours, "memory zstd")
        for what, work, limit in (
                ("while another writes 4 KiB", "another writes 4 KiB at depth 16", 1.3),
                ("while another writes 128 KiB", "another writes 128 KiB, 500 a second", 1.3),
                ("while another trims", "another trims 2 MiB, 250 a second", 1.2)):
            ratio(f"p99 of reads {what} ÷ null, {codec}", "<=", limit,
                  f"4 KiB reads while {work}", "µs p99", ours, "null")
    for reference, limit in (("null", 0.75), ("memory zstd", 10)):
        ratio(f"4 KiB writes/s, depth 16, 4 connections ÷ {reference}, lz4", ">=", limit, W4_16,
              "requests/s", "zramswap lz4", reference)
    for writers, limit in (("8 connections that write 128 KiB", 1.0),
                           ("16 connections that write 4 KiB", 1.2)):
        ratio(f"p99 of reads beside {writers} ÷ null", "<=", limit, BESIDE + writers, "µs p99",
              "zramswap lz4", "null")
    huge = "6 connections that write 32 MiB"
    TARGETS.append((f"p99 of reads beside {huge} ÷ alone", "<=", 3,
                    (BESIDE + huge, "zramswap lz4", "µs p99"),
                    (BESIDE + "no connection that writes", "zramswap lz4")))


def memory():
    states = (("fill", 2, 1.025), ("5 × random rewrite", 2, 1.03),
              ("trimming a random half", 2, 1.03), ("trimming a random 90 %", 5, 1.06))
    for mib in (64, 1024, 4096):
        for what, seconds, limit in states:
            work, unit = f"after {what}, {mib} MiB", f"× compressed bytes, {seconds} s later"
            for codec in ("lz4", "zstd"):  # a small store may be off by twice as much
                absolute(f"zramswap {codec} {work}", "<=", limit if mib >= 1024 else 2 * limit - 1,
                         work, unit, f"zramswap {codec}")
            ratio(f"zramswap lz4 ÷ zram, {work}", "<=", 1, work, unit, "zramswap lz4", "zram lz4")
        for codec in ("lz4", "zstd"):
            work = f"after trimming all, {mib} MiB"
            absolute(f"zramswap {codec} {work}", "<=", 16, work, "MiB beyond empty, 5 s later",
                     f"zramswap {codec}")
    at_rest = "4 KiB reads one at a time, at rest"
    TARGETS.append(("p99 of reads while it compacts ÷ at rest", "<=", 1.5,
                    ("4 KiB reads one at a time, after trimming a random half", "zramswap lz4",
                     "µs p99"), (at_rest, "zramswap lz4")))


def tenants():
    reads, refused = "4 KiB reads of a tenant", "other writes against its limit"
    ratio("p99 of reads while another tenant is refused ÷ alone", "<=", 1.3, reads, "µs p99",
          refused, "alone")
    ratio("p99 of reads while another tenant is refused ÷ while it may write", "<=", 1.0, reads,
          "µs p99", refused, "other writes within its limit")
    absolute("writes refused to a tenant with room beside one that is refused", "<=", 0,
             "4 KiB writes of a tenant with 3 MiB of room", "refused of 100 000",
             "other's 2 MiB are refused on 3 connections")


def restart():
    for codec in ("lz4", "zstd"):
        absolute(f"kill to first answer, 1 GiB stored, {codec}", "<=", 100,
                 "restart, 1 GiB stored", "ms from kill to first answer", f"zramswap {codec}")
        for gib in (1, 8):  # 1 s for 100 GiB
            absolute(f"recovery, {gib} GiB stored, {codec}", "<=", 10,
                     f"restart, {gib} GiB stored", "ms of recovery per GiB", f"zramswap {codec}")
    for work in ("4 KiB reads, depth 16", "4 KiB writes, depth 16", "4 KiB trims, depth 16",
                 "2 MiB trims, depth 1"):
        absolute(f"with a store ÷ without, {work}", ">=", 0.98, f"beside none, {work}",
                 "ratio of requests/s", "with / without")


def cold():
    for codec in ("lz4", "zstd"):
        absolute(f"demotion of {codec} pages, a core", ">=", 150,
                 f"demotion of {codec} pages, by CPU time", "MB/s", "demoter")
    for way in ("", ", over a socket"):
        absolute(f"cold read alone: p50 beyond a zstd page's{way}", "<=", 40,
                 f"read of a page at random{way}", "µs p50 beyond a zstd page's", "groups")
        ratio(f"reads of its 15 neighbours: p50 ÷ an lz4 page's{way}", "<=", 1,
              f"reads of its 15 neighbours after it{way}", "µs p50", "groups", "lz4")
    for how in ("demotion", "demotion, cold-cpu=100"):
        ratio(f"p99 of hot reads, {how} ÷ no demotion", "<=", 1.1,
              "reads of hot pages, 400 a second", "µs p99", how, "no demotion")
    absolute("demotion beside more than 1000 requests a second", "<=", 0,
             "beside 2000 requests a second", "pages demoted in 2 s", "demotion, cold-cpu=100")
    hour, size = "an hour later", "MiB beyond empty, a GiB of pages"
    for codec in ("lz4", "zstd"):
        ours = f"zramswap {codec}"
        absolute(f"resident, a GiB of pages, an hour later, {codec}", "<=", 205, hour, size, ours)
        ratio(f"zram's lz4 ÷ zramswap {codec}, an hour later", ">=", 1.85, hour, size, "zram lz4",
              ours)
        for what, limit in (("", 1.04), (": a random half trimmed", 1.04),
                            (": a random 90 % trimmed", 1.12)):
            absolute(f"resident ÷ compressed, {hour}{what}, {codec}", "<=", limit, hour + what,
                     "× compressed bytes, 1 s later", ours)


for part in (engine, server, memory, tenants, restart, cold):
    part()
# Beside each of the hostile clients: of all works with such rows.
HOSTILE_UNITS, HOSTILE_LIMIT = ("µs p99 beside", "µs p99 alone"), 2
