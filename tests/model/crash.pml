// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A crash at every step, as a model: what a server that starts again finds in its store.  Two pages
// of one leaf, the entry above it, the superblocks, spans that serve several kinds of objects in
// turn.  spin tries every order of the steps below, and in every state that it comes to, recovery
// looks at what would be left if the server died there (tests/model/check).
//
// Each step is one access to the store, or one section under a lock of the allocator, and names the
// function that makes it.  What core.pml shows is not shown again: readers, leaks, double frees of a
// server that lives.
//
// The store, which survives: superblocks, kind of each span, roots, memory.  All else is gone.
//
// Properties, all of them assertions, in every state:
//     a copy of the superblock is sound, and the one that counts is not mixed of two;
//     each handle found is claimed: its span's kind is that of the object, no other handle has it;
//     the kind of each span with a claimed object is that for which the span was taken;
//     each page is what was last acknowledged, or what a request under way makes of it;
//     each page is what a reader would have seen at that instant: no request is torn.

#define NR_SPANS 4
#define NR_UNITS (2 * NR_SPANS)
#define NR_PAGES 2

// Kinds of objects, 0: none.  A unit is half a span.
#define CHUNK 1 // a leaf: one a span, its units are the words of the pages
#define SMALL 2 // two a span
#define LARGE 3 // one a span
#define SMALL_FOR(content) ((content) % 2 == 1)
#define KIND_FOR(content) (SMALL_FOR(content) -> SMALL : LARGE)

// A word or entry: 0, or where its object is and how long: what a handle says.
#define HANDLE(unit, kind) (1 + (unit) * 2 + ((kind) != SMALL))
#define UNIT(handle) (((handle) - 1) / 2)
#define SPAN(handle) (UNIT(handle) / 2)
#define IS_LONG(handle) (((handle) - 1) % 2)

#define EMPTY 0    // content of a page without an object
#define GARBAGE 15 // of memory that nobody owns: it may have been given back, or written anew
#define LOST 14    // of a page whose handle cannot be claimed

#define BIT(n) (1 << (n))

// ---- The store

// Two copies of the superblock.  Their record of the export says where its root is, and of what size
// the export is then.
bool sb_has_magic[2];
byte sb_generation[2], sb_root[2], sb_size[2], sb_crc[2];
byte root[2]; // the entry, in either place
byte kind[NR_SPANS];                          // span_kind[]
byte memory[NR_UNITS];

#define SIZE(at) (5 + (at)) // of an export whose root is at this place
#define CRC(generation, at, size) (1 + (generation) * 32 + (at) * 16 + (size))

// ---- The server

byte class[NR_SPANS]; // for what each span was taken; 0: it is free
byte used;            // units: what the bitmaps of the spans say
bool is_locked;       // the locks of the allocator
byte entry_at;        // the root in use
int waiting, waiting_leaves; // for a drain: sets of handles
byte nr_todo;         // of the processes started, how many have not ended

#define WRITER 0
#define OTHER_WRITER 1
#define COMPACTOR 2
byte in_section, in_grace; // RCU, as in core.pml

// ---- What the properties are about, and no code has

byte now[NR_PAGES];       // what a reader sees
short before[NR_PAGES];   // contents that a page may have but for the requests under way
short under_way[NR_PAGES]; // contents that these make
byte nr_under_way[NR_PAGES];

inline begin(page, what) {
    d_step {
        nr_under_way[page]++;
        under_way[page] = under_way[page] | BIT(what)
    }
}

// The last of requests that overlap: any of them may have been the last to change the page.
inline acknowledge(page) {
    d_step {
        nr_under_way[page]--;
        if
        :: nr_under_way[page] == 0 ->
            before[page] = under_way[page];
            under_way[page] = 0
        :: else
        fi
    }
}

// Refused: it changed nothing.
inline refuse(page) {
    d_step {
        nr_under_way[page]--;
        if
        :: nr_under_way[page] == 0 ->
            before[page] = before[page] | under_way[page];
            under_way[page] = 0
        :: else
        fi
    }
}

// ---- The allocator

// alloc_in_class in allocator/pool.c: of a span of this class, or of a free one, whose kind is stored
// before the lock is given back.  0: no memory.  `late` is the span whose kind was not stored.
inline alloc(what, handle, late) {
    atomic {
        !is_locked -> is_locked = true;
        d_step {
            u = 0;
            do
            :: u < NR_UNITS && (class[u / 2] != what || (used & BIT(u)) ||
                                (what != SMALL && u % 2 == 1)) -> u++
            :: else -> break
            od;
            late = NR_SPANS;
            if
            :: u == NR_UNITS -> // get_free_span
                u = 0;
                do
                :: u < NR_UNITS && class[u / 2] != 0 -> u = u + 2
                :: else -> break
                od;
                if
                :: u < NR_UNITS -> class[u / 2] = what; late = u / 2
                :: else
                fi
            :: else
            fi;
            if
            :: u < NR_UNITS ->
                used = used | BIT(u) | (what != SMALL -> BIT(u + 1) : 0);
                handle = HANDLE(u, what)
            :: else -> handle = 0
            fi;
            u = 0
        }
    }
#ifndef BUG_KIND_AFTER_WORD
    store_kind(what, late);
#endif
    is_locked = false
}

inline store_kind(what, late) {
    if
    :: late < NR_SPANS -> kind[late] = what
    :: else
    fi;
    late = NR_SPANS
}

// free_locked, put_emptied_spans.  The span's kind stays.
inline free(handle) {
    d_step {
        assert(used & BIT(UNIT(handle)));
        used = used & ~BIT(UNIT(handle));
        memory[UNIT(handle)] = GARBAGE;
        if
        :: IS_LONG(handle) ->
            used = used & ~BIT(UNIT(handle) + 1);
            memory[UNIT(handle) + 1] = GARBAGE
        :: else
        fi;
        if
        :: (used & (3 << (SPAN(handle) * 2))) == 0 -> class[SPAN(handle)] = 0
        :: else
        fi
    }
#ifdef BUG_KIND_CLEARED_WHEN_FREE
    if
    :: class[SPAN(handle)] == 0 -> kind[SPAN(handle)] = 0 // when others may have it already
    :: else
    fi
#endif
}

// What is written before anybody can see it.
inline fill(handle, first, second) {
    memory[UNIT(handle)] = first;
    if
    :: IS_LONG(handle) -> memory[UNIT(handle) + 1] = second
    :: else
    fi
}

inline read_lock(me) {
    in_section = in_section | BIT(me)
}

inline read_unlock(me) {
    d_step {
        in_section = in_section & ~BIT(me);
        in_grace = in_grace & ~BIT(me)
    }
}

// zr_deferred_free_words.
inline defer(handle) {
    d_step {
        waiting = waiting | (handle != 0 -> BIT(handle) : 0);
        handle = 0
    }
}

// ---- Requests, and what goes on behind them

// zr_device_write of a whole page.
proctype writer(byte me, page, what) {
    byte new, old, leaf, made, u, late, leaf_late;

    begin(page, what);
#ifdef BUG_WRITE_ACKNOWLEDGED_EARLY
    acknowledge(page);
#endif
    alloc(KIND_FOR(what), new, late);
    if
    :: new == 0 -> goto refused // ENOSPC
    :: else
    fi;
#ifndef BUG_WORD_BEFORE_OBJECT
    fill(new, what, what);
#endif
    read_lock(me);
    // get_leaf in store/slot-table.c
    leaf = root[entry_at];
    if
    :: leaf == 0 ->
        alloc(CHUNK, made, leaf_late); // zr_pool_alloc_chunk
        if
        :: made == 0 ->
            free(new);
            read_unlock(me);
            goto refused
        :: else
        fi;
#ifndef BUG_ENTRY_BEFORE_ZEROS
        fill(made, 0, 0);
#endif
        d_step { // get_chunk
            if
            :: root[entry_at] == 0 ->
                root[entry_at] = made;
                leaf = made;
                made = 0
            :: else -> leaf = root[entry_at]
            fi
        }
        if
        :: made != 0 -> free(made) // nobody saw ours
        :: else
        fi;
#ifdef BUG_ENTRY_BEFORE_ZEROS
        fill(leaf, 0, 0);
#endif
#ifdef BUG_KIND_AFTER_WORD
        store_kind(CHUNK, leaf_late);
#endif
    :: else
    fi;
    d_step { // zr_slot_table_store: the exchange
        old = memory[UNIT(leaf) + page];
        memory[UNIT(leaf) + page] = new;
        if
        :: leaf == root[entry_at] -> now[page] = what
        :: else // a trim has detached the leaf: it came later
        fi
    }
#ifdef BUG_WORD_BEFORE_OBJECT
    fill(new, what, what);
#endif
#ifdef BUG_KIND_AFTER_WORD
    store_kind(KIND_FOR(what), late);
#endif
    read_unlock(me);
    defer(old);
#ifndef BUG_WRITE_ACKNOWLEDGED_EARLY
    acknowledge(page);
#endif
    goto done;
refused:
    refuse(page);
done:
    nr_todo--
}

// move_object in store/compactor.c, of the first page.
proctype compactor() {
    byte new, old, leaf, u, late;

    read_lock(COMPACTOR);
    leaf = root[entry_at];
    old = (leaf != 0 -> memory[UNIT(leaf)] : 0);
    if
    :: old != 0 ->
        alloc((IS_LONG(old) -> LARGE : SMALL), new, late); // zr_pool_alloc_copy
        if
        :: new != 0 ->
#ifdef BUG_FREE_BEFORE_MOVE
            fill(new, memory[UNIT(old)], memory[UNIT(old)]);
            free(old);
#endif
#ifndef BUG_WORD_BEFORE_COPY
            fill(new, memory[UNIT(old)], memory[UNIT(old)]);
#endif
            d_step { // zr_slot_table_replace
                if
                :: memory[UNIT(leaf)] == old ->
                    memory[UNIT(leaf)] = new;
                    new = 0
                :: else
                fi
            }
#ifdef BUG_WORD_BEFORE_COPY
            d_step {
                if
                :: new == 0 -> fill(memory[UNIT(leaf)], memory[UNIT(old)], memory[UNIT(old)])
                :: else
                fi
            }
#endif
#ifdef BUG_KIND_AFTER_WORD
            store_kind((IS_LONG(old) -> LARGE : SMALL), late);
#endif
            if
            :: new != 0 -> // a writer was faster
                free(new);
                old = 0
            :: else
            fi;
#ifdef BUG_FREE_BEFORE_MOVE
            old = 0
#endif
        :: else -> old = 0
        fi
    :: else
    fi;
    read_unlock(COMPACTOR);
    defer(old);
    nr_todo--
}

// A trim of the leaf: extract_leaf in store/slot-table.c.
proctype trimmer() {
    byte leaf;

    begin(0, EMPTY);
    begin(1, EMPTY);
#ifdef BUG_TRIM_ACKNOWLEDGED_EARLY
    acknowledge(0);
    acknowledge(1);
#endif
    d_step { // take
        leaf = root[entry_at];
        root[entry_at] = 0;
        now[0] = EMPTY;
        now[1] = EMPTY
    }
    d_step { // zr_deferred_free_chunk
        waiting_leaves = waiting_leaves | (leaf != 0 -> BIT(leaf) : 0);
        leaf = 0
    }
#ifndef BUG_TRIM_ACKNOWLEDGED_EARLY
    acknowledge(0);
    acknowledge(1);
#endif
    nr_todo--
}

// zr_deferred_free_drain.
proctype drainer() {
    int objects, leaves;
    byte n, word;

    do
    :: waiting != 0 || waiting_leaves != 0 ->
        d_step {
            objects = waiting;
            leaves = waiting_leaves;
            waiting = 0;
            waiting_leaves = 0
        }
        in_grace = in_section;
        in_grace == 0;
        n = 1;
        do
        :: n <= NR_UNITS * 2 ->
            if
            :: leaves & BIT(n) -> // free_chunk
                word = memory[UNIT(n)];
                if
                :: word != 0 -> free(word)
                :: else
                fi;
                word = memory[UNIT(n) + 1];
                if
                :: word != 0 -> free(word)
                :: else
                fi;
                word = 0;
                free(n)
            :: (objects & BIT(n)) -> free(n)
            :: else
            fi;
            n++
        :: else -> break
        od;
        skip;
        d_step {
            n = 0;
            objects = 0;
            leaves = 0
        }
    :: nr_todo == 1 && waiting == 0 && waiting_leaves == 0 -> break
    od;
    nr_todo--
}

inline run_requests() {
    atomic {
#ifdef WITH_WRITER
        nr_todo++;
        run writer(WRITER, 0, 2);
#endif
#ifdef WITH_SMALL_WRITER
        nr_todo++;
        run writer(WRITER, 0, 3);
#endif
#ifdef WITH_OTHER_WRITER
        nr_todo++;
        run writer(OTHER_WRITER, 1, 3);
#endif
#ifdef WITH_COMPACTOR
        nr_todo++;
        run compactor();
#endif
#ifdef WITH_TRIMMER
        nr_todo++;
        run trimmer();
#endif
        nr_todo++;
        run drainer()
    }
}

// zr_superblock_write: what is between the fences, in whatever order the compiler wants.
inline write_copy(copy, generation, at) {
#if !defined(BUG_MAGIC_STAYS)
    sb_has_magic[copy] = false;
#endif
    left = 15;
    do
    :: left & 1 -> sb_generation[copy] = generation; left = left & ~1
    :: left & 2 -> sb_root[copy] = at; left = left & ~2
    :: left & 4 -> sb_size[copy] = SIZE(at); left = left & ~4
    :: left & 8 -> sb_crc[copy] = CRC(generation, at, SIZE(at)); left = left & ~8
    :: left == 0 -> break
    od;
    sb_has_magic[copy] = true
}

// zr_store_file_commit
inline commit(generation, at) {
#ifdef BUG_BOTH_COPIES_AT_ONCE
    sb_has_magic[0] = false;
#endif
    write_copy(1, generation, at);
    write_copy(0, generation, at)
}

// What a start does before any request: the export grows, and its root moves to a longer place
// (zr_store_file_grow); another export gets the old one.
proctype starter() {
    byte left;

#ifdef BUG_COMMIT_BEFORE_ROOT
    commit(2, 1);
    root[1] = root[0];
#else
    root[1] = root[0];
#ifdef BUG_PLACE_TAKEN_BEFORE_COMMIT
    root[0] = GARBAGE;
#endif
    commit(2, 1);
#endif
    entry_at = 1;
    root[0] = GARBAGE; // make_region
    commit(3, 1);
    run_requests();
    nr_todo--
}

// ---- Recovery: store/recover.c, from what is in the store alone.

// zr_pool_claim: 0 if this cannot be right.
inline claim(handle, is_chunk, is_claimed) {
    is_claimed = false;
    if
    :: kind[SPAN(handle)] == CHUNK && is_chunk && IS_LONG(handle) && UNIT(handle) % 2 == 0 -> is_claimed = true
    :: kind[SPAN(handle)] == LARGE && !is_chunk && IS_LONG(handle) && UNIT(handle) % 2 == 0 -> is_claimed = true
    :: kind[SPAN(handle)] == SMALL && !is_chunk && !IS_LONG(handle) -> is_claimed = true
    :: else
    fi;
    if
    :: is_claimed && !(claimed & BIT(UNIT(handle))) ->
        claimed = claimed | BIT(UNIT(handle)) | (IS_LONG(handle) -> BIT(UNIT(handle) + 1) : 0);
        assert(class[SPAN(handle)] == kind[SPAN(handle)])
    :: else -> is_claimed = false
    fi
}

// Returns to the state that it came from, so that it costs no states.
inline recover() {
    d_step {
#ifdef BUG_MAGIC_STAYS
        is_sound[0] = true; // the crc would find it: it is ignored
        is_sound[1] = true;
#else
        is_sound[0] = sb_has_magic[0] && sb_crc[0] == CRC(sb_generation[0], sb_root[0], sb_size[0]);
        is_sound[1] = sb_has_magic[1] && sb_crc[1] == CRC(sb_generation[1], sb_root[1], sb_size[1]);
#endif
        assert(is_sound[0] || is_sound[1]);
        which = (is_sound[1] && (!is_sound[0] || sb_generation[1] > sb_generation[0]) -> 1 : 0);
        assert(sb_size[which] == SIZE(sb_root[which]));
        leaf = root[sb_root[which]];
        is_there = true;
        if
        :: leaf != 0 ->
            assert(leaf <= NR_UNITS * 2);
            claim(leaf, true, is_there);
            assert(is_there)
        :: else
        fi;
        for (p : 0 .. NR_PAGES - 1) {
            word = (leaf != 0 -> memory[UNIT(leaf) + p] : 0);
            found = EMPTY;
            if
            :: word == 0
            :: word > NR_UNITS * 2 -> found = LOST
            :: else ->
                claim(word, false, is_there);
                found = (is_there -> memory[UNIT(word)] : LOST);
                if // the other half must be the same
                :: is_there && IS_LONG(word) && memory[UNIT(word) + 1] != found -> found = GARBAGE
                :: else
                fi
            fi;
            assert((before[p] | under_way[p]) & BIT(found));
            assert(found == now[p])
        }
        claimed = 0;
        p = 0;
        word = 0;
        found = 0;
        leaf = 0;
        which = 0;
        is_there = false;
        is_sound[0] = false;
        is_sound[1] = false
    }
}

proctype crash() {
    byte claimed, p, word, found, leaf, which;
    bool is_there, is_sound[2];

    do
    :: nr_todo > 0 -> recover()
    :: nr_todo == 0 -> break
    od;
    skip; // a d_step cannot be jumped into
    recover()
}

init {
    byte n;

    atomic {
        // A page is stored, the other one empty.
        for (n : 0 .. NR_UNITS - 1) {
            memory[n] = GARBAGE
        }
        class[0] = CHUNK;
        kind[0] = CHUNK;
        class[1] = SMALL;
        kind[1] = SMALL;
        used = 7;
        memory[0] = HANDLE(2, SMALL);
        memory[1] = 0;
        memory[2] = 1;
        root[0] = HANDLE(0, CHUNK);
        root[1] = GARBAGE;
        for (n : 0 .. 1) {
            sb_has_magic[n] = true;
            sb_generation[n] = 1;
            sb_size[n] = SIZE(0);
            sb_crc[n] = CRC(1, 0, SIZE(0))
        }
        now[0] = 1;
        before[0] = BIT(1);
        before[1] = BIT(EMPTY);
        // Spans that were used before have some kind.
        if
        :: kind[2] = CHUNK
        :: kind[2] = SMALL
        :: kind[2] = LARGE
        :: skip
        fi;
        kind[3] = LARGE;
        n = 0;
        nr_todo = 1;
        run crash();
#ifdef WITH_STARTER
        run starter()
#else
        nr_todo--;
        run_requests()
#endif
    }
}
