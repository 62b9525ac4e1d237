#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
"""Say from logs of nbdkit's log filter how pages are read: rereads.py LOG...

A life of a page begins with a write and ends with the next write or trim, or with the log.  Pages
that were never written do not count.  A guest frees without a word unless a whole 2 MiB are free:
a life may end earlier than it seems, so "never read" includes pages that nobody could read.

Opening read: the first read for a minute of 16 aligned slots.  Its neighbours: those of the other
15 that hold a page.

Cold: T seconds after its last write a page becomes dense, whether or not it was read.  The Nth read
that finds it dense makes it fast, and T later it is dense again.
"""

import collections
import datetime
import math
import os
import re
import statistics
import sys

PAGE = 4096
GROUP = 16
AGES = (1, 10, 60, 300, math.inf)
COLD = (60, 300)
REQUEST = re.compile(r"^(\S+ \S+) connection=\d+ (Read|Write|Zero|Trim) id=\d+ "
                     r"offset=(\w+) count=(\w+)")


def requests(path):
    """(seconds, what, first page, one behind the last)"""
    with open(path, encoding="utf-8") as file:
        for line in file:
            match = REQUEST.match(line)
            if match:
                when, what, offset, count = match.groups()
                first, end = int(offset, 0), int(offset, 0) + int(count, 0)
                yield (datetime.datetime.fromisoformat(when).timestamp(), what, first // PAGE,
                       -(-end // PAGE))


class Log:
    """lives: [written, end, read, read, ...]; opening: an event for each opening read"""

    def __init__(self, path):
        self.lives, self.opening = [], []
        self.nr_reads = self.nr_writes = self.nr_trims = 0
        self.live = {}
        self.group_read = {}  # group: time of its last read
        self.open = collections.deque()
        self.start = self.now = None
        for self.now, what, first, end in requests(path):
            self.start = self.start or self.now
            if what == "Trim":
                self.nr_trims += 1
                pages = range(first, end) if end - first < len(self.live) else \
                    [page for page in self.live if first <= page < end]
                for page in pages:
                    self.end(page)
                continue
            for page in range(max(first, 1), end):  # page 0 is mkswap's
                if what == "Read":
                    self.read(page)
                else:
                    self.nr_writes += 1
                    self.end(page)
                    self.live[page] = [self.now, None]
        for page in list(self.live):
            self.end(page)
        self.close(math.inf)

    def end(self, page):
        life = self.live.pop(page, None)
        if life:
            life[1] = self.now
            self.lives.append(life)

    def read(self, page):
        life = self.live.get(page)
        if not life:
            return
        self.nr_reads += 1
        life.append(self.now)
        group = page // GROUP
        self.close(self.now - 60)
        last, event = self.group_read.get(group, (-math.inf, None))
        if self.now - last >= 60:
            stored = sum(p in self.live for p in range(group * GROUP, (group + 1) * GROUP)) - 1
            event = {"time": self.now, "page": page, "age": self.now - life[0],
                     "first": len(life) == 3, "stored": stored, "1 s": set(), "60 s": set()}
            self.open.append(event)
        elif event and page != event["page"] and life[0] < event["time"]:
            for name, seconds in (("1 s", 1), ("60 s", 60)):
                if self.now - event["time"] <= seconds:
                    event[name].add(page)
        self.group_read[group] = self.now, event

    def close(self, before):
        while self.open and self.open[0]["time"] < before:
            self.opening.append(self.open.popleft())


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


def by_age(ages):
    """Shares of up to 1 s, 1 to 10 s ..."""
    counts = [sum(low <= age < high for age in ages) for low, high in zip((0,) + AGES, AGES)]
    return [percent(count, len(ages)) for count in counts]


def dense(lives, cold, reads_to_go_back):
    """(pages made dense, reads that find one dense, moves back)"""
    made = found = back = 0
    for written, end, *reads in lives:
        dense_at, nr = written + cold, 0
        for read in reads:
            if read < dense_at:
                continue
            found += 1
            nr += 1
            if nr == reads_to_go_back:
                made += 1
                back += 1
                dense_at, nr = read + cold, 0
        made += end > dense_at
    return made, found, back


def near(events):
    """How many, and means: neighbours, those read within a second, a minute; how often none is."""
    events = [event for event in events if event["stored"] > 0]
    if not events:
        return ["0"] + ["-"] * 4
    stored = sum(event["stored"] for event in events)
    cells = [str(len(events)), f"{stored / len(events):.1f}"]
    for name in ("1 s", "60 s"):
        cells.append(f"{sum(len(event[name]) for event in events) / len(events):.1f}")
    return cells + [percent(sum(not event["60 s"] for event in events), len(events))]


def table(head, rows):
    print()
    for line in (head, ["---"] + ["--:"] * (len(head) - 1), *rows):
        print("| " + " | ".join(line) + " |")


def main():
    logs = {os.path.basename(path).split(".")[0]: Log(path) for path in sys.argv[1:]}
    if not logs:
        sys.exit(__doc__)

    rows = []
    for name, log in logs.items():
        held = sum(life[1] == log.now for life in log.lives) * PAGE >> 20
        rows.append([name, f"{log.now - log.start:.0f}", str(log.nr_writes), str(log.nr_reads),
                     str(log.nr_trims), str(held)])
    table(["work", "s", "pages written", "read", "trims", "MiB held at the end"], rows)

    print("\nReads of a page between its writes; cold: of those first read so many seconds or more "
          "after the write")
    rows = []
    for name, log in logs.items():
        for cold in (0, *COLD):
            # With the first read at least so late, or unread and at least so old.
            lives = [life for life in log.lives if (life[2] if life[2:] else life[1]) - life[0] >= cold]
            reads = [len(life) - 2 for life in lives]
            read = sum(nr > 0 for nr in reads)
            again = [life for life in lives if len(life) > 3]
            waited = [life[3] - life[2] for life in again]
            rows.append([name if cold == 0 else f"… cold, {cold} s", str(len(lives)),
                         *(percent(reads.count(nr), len(lives)) for nr in range(3)),
                         percent(sum(nr > 2 for nr in reads), len(lives)),
                         percent(len(again), read),
                         f"{sum(reads) / read:.2f}" if read else "-", *by_age(waited)])
    table(["work", "pages", "0 reads", "1", "2", "3+", "again, of those read",
           "reads a read page", "2nd after < 1 s", "1–10 s", "10–60 s", "1–5 min", "later"], rows)

    print("\nThe first read, after the last write")
    rows = []
    for name, log in logs.items():
        ages = [life[2] - life[0] for life in log.lives if life[2:]]
        rows.append([name, str(len(ages)), f"{statistics.median(ages or [0]):.1f} s", *by_age(ages)])
    table(["work", "pages", "median", "< 1 s", "1–10 s", "10–60 s", "1–5 min", "later"], rows)

    print("\nNeighbours: of the other 15 aligned slots, read after an opening read")
    rows = []
    for name, log in logs.items():
        first = [event for event in log.opening if event["first"]]
        rows.append([name, *near(first)])
        for cold in COLD:
            rows.append([f"… cold, {cold} s", *near([event for event in first if event["age"] >= cold])])
    table(["work", "opening first reads", "stored", "read in 1 s", "in 60 s", "none in 60 s"], rows)

    print("\nDense form: what a rule for the way back costs")
    rows = []
    for name, log in logs.items():
        for cold in COLD:
            for reads_to_go_back, rule in ((1, "1st read"), (2, "2nd"), (math.inf, "never")):
                made, found, back = dense(log.lives, cold, reads_to_go_back)
                rows.append([f"{name}, {cold} s", rule, str(made), str(found),
                             percent(found, log.nr_reads), str(back)])
    table(["work, cold after", "back at", "made dense", "reads of dense", "of all reads",
           "moves back"], rows)


if __name__ == "__main__":
    main()
