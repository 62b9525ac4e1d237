// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The lock-free core as a model: one slot, the directory entry above it, and what is done to them
// at the same time.  spin tries every order of the steps below (tests/model/check).
//
// Each step is one access to shared memory, and names the function that makes it.  What the model
// leaves out: the root above the directory (the same step one level up), the words of a leaf beside
// the one (they share nothing but the leaf), the stack of waiting chunks (pushed and popped by one
// atomic access each, here a set), locks of the allocator (alloc and free are one step each), and
// the ager (a compactor that makes no copy).
//
// A page has two halves.  A write of the page sets both; a partial write sets the second and must
// keep what the first is at that instant, so that a lost update shows.
//
// Properties, all of them assertions:
//     nothing is freed twice, or while a reader that may hold it is in its section;
//     at the end what is allocated is what the table refers to: no leak;
//     a reader sees a content that the page had at some instant of its section;
//     a partial write and a move publish just what the page's history says.

#define NR_OBJECTS 6 // 1 is the first, 0 is none
#define NR_LEAVES 4

#define PAGE(first, second) ((first) * 4 + (second))
#define FIRST(page) ((page) / 4)
#define POISON 15 // content of a freed object

// Who is in a read-side section, by bit.
#define OVERWRITER 0
#define PARTIAL_WRITER 1
#define COMPACTOR 2
#define EXTRACTOR 3
#define READER 4
#define TRIMMER 5 // never in one
#define NR_PROCS 6
#define BIT(n) (1 << (n))

byte entry;                    // of the directory: a leaf or 0
byte word[NR_LEAVES + 1];      // of the slot, in each leaf: an object or 0
byte content[NR_OBJECTS + 1];  // of an object; 0 of object 0: the empty page
bool is_object[NR_OBJECTS + 1], is_leaf[NR_LEAVES + 1]; // allocated
byte waiting_objects, waiting_leaves; // for a drain: sets
byte nr_todo; // of the processes started, how many have not ended

// RCU: who is in a section, and for whom of them a drain still waits.
byte in_section, in_grace;

// What the properties are about, and no code has: the page's content by the history of each leaf,
// what each process got hold of in its section, what the reader may see.
byte history[NR_LEAVES + 1];
byte held_object[NR_PROCS], held_leaf[NR_PROCS];
short may_see; // set of contents

inline read_lock(me) { // zr_rcu_read_lock
    d_step {
        in_section = in_section | BIT(me);
        if
        :: me == READER -> may_see = BIT(history[entry])
        :: else
        fi
    }
}

inline read_unlock(me) { // zr_rcu_read_unlock
    d_step {
        in_section = in_section & ~BIT(me);
        in_grace = in_grace & ~BIT(me);
        held_object[me] = 0;
        held_leaf[me] = 0;
        if
        :: me == READER -> may_see = 0
        :: else
        fi
    }
}

// Ghost: the page of leaf l has changed, or the entry.
inline note_change(l) {
    if
    :: (in_section & BIT(READER)) && (l == entry || l == held_leaf[READER]) ->
        may_see = may_see | BIT(history[l])
    :: else
    fi
}

// zr_pool_alloc, and what the object is filled with before anybody sees it.  It takes the lowest
// free one, so that objects come back soon.
inline alloc_object(o, page) {
    d_step {
        o = 1;
        do
        :: o <= NR_OBJECTS && is_object[o] -> o++
        :: else -> break
        od;
        assert(o <= NR_OBJECTS); // never the limit
        is_object[o] = true;
        content[o] = page
    }
}

inline free_object(o) { // zr_pool_free
    assert(is_object[o]);
    for (p : 0 .. NR_PROCS - 1) {
        assert(!(in_section & BIT(p)) || held_object[p] != o)
    }
    is_object[o] = false;
    content[o] = POISON
}

inline free_leaf(l) { // zr_pool_free, or back to the spare chunks
    assert(is_leaf[l]);
    for (p : 0 .. NR_PROCS - 1) {
        assert(!(in_section & BIT(p)) || held_leaf[p] != l)
    }
    is_leaf[l] = false;
    word[l] = 0;
    history[l] = 0
}

// The object of a word that was extracted or replaced: zr_deferred_free_words.  The last step of all.
inline defer_object(o) {
    d_step {
        if
        :: o != 0 ->
#ifdef BUG_FREE_AT_ONCE
            free_object(o);
#else
            assert(!(waiting_objects & BIT(o)));
            waiting_objects = waiting_objects | BIT(o);
#endif
        :: else
        fi;
        o = 0;
        nr_todo--
    }
}

// zr_slot_table_leaf: the walk down the table.
inline find_leaf(me, l) {
    d_step {
        l = entry;
        held_leaf[me] = l
    }
}

// get_leaf in store/slot-table.c: makes the leaf if there is none.
inline get_leaf(me, l) {
    find_leaf(me, l);
    if
    :: l == 0 ->
        d_step { // zr_pool_alloc_chunk
            l = 1;
            do
            :: l <= NR_LEAVES && is_leaf[l] -> l++
            :: else -> break
            od;
            assert(l <= NR_LEAVES);
            is_leaf[l] = true
        }
        d_step { // get_chunk: compare-exchange of the entry
            if
#ifdef BUG_STORE_LEAF
            :: true ->
#else
            :: entry == 0 ->
#endif
                entry = l
            :: else -> free_leaf(l); l = entry // nobody saw ours
            fi;
            held_leaf[me] = l
        }
    :: else
    fi
}

// zr_slot_table_replace: true if the word was still `old`.
inline replace(me, l, old, new, has_replaced) {
    get_leaf(me, l);
    d_step {
        if
#ifdef BUG_STORE_INSTEAD_OF_CAS
        :: me == PARTIAL_WRITER || word[l] == old ->
#else
        :: word[l] == old ->
#endif
            word[l] = new;
            has_replaced = true;
            if
            :: me == PARTIAL_WRITER -> history[l] = PAGE(FIRST(history[l]), 3)
            :: else // a move: the page does not change
            fi;
            assert(content[new] == history[l]);
            note_change(l)
        :: else -> has_replaced = false
        fi;
        l = 0
    }
}

// zr_device_write of a whole page: zr_slot_table_store.
proctype overwriter() {
    byte new, old, l, p;

    alloc_object(new, PAGE(2, 2)); // make_word
    read_lock(OVERWRITER);
    get_leaf(OVERWRITER, l);
#ifdef BUG_SECTION_ENDS_EARLY
    read_unlock(OVERWRITER);
#endif
    d_step { // the exchange
        old = word[l];
        word[l] = new;
        history[l] = PAGE(2, 2);
        note_change(l);
        new = 0;
        l = 0
    }
#ifndef BUG_SECTION_ENDS_EARLY
    read_unlock(OVERWRITER);
#endif
    defer_object(old)
}

// try_write_partial_page in store/device.c.
proctype partial_writer() {
    byte new, old, page, l, p;
    bool has_replaced;

    do
    :: !has_replaced ->
        read_lock(PARTIAL_WRITER);
        find_leaf(PARTIAL_WRITER, l);
        d_step {
            old = word[l];
            held_object[PARTIAL_WRITER] = old
        }
        d_step { // load_page
            assert(content[old] != POISON);
            page = PAGE(FIRST(content[old]), 3)
        }
#ifdef BUG_SECTION_PER_STEP
        read_unlock(PARTIAL_WRITER);
        read_lock(PARTIAL_WRITER);
#endif
        alloc_object(new, page);
        replace(PARTIAL_WRITER, l, old, new, has_replaced);
        d_step {
            if
            :: !has_replaced -> free_object(new) // never published
            :: else
            fi;
            new = 0;
            page = 0
        }
        read_unlock(PARTIAL_WRITER)
    :: else -> break
    od;
    skip; // a d_step cannot be jumped into
    defer_object(old)
}

// compact_leaf and move_object in store/compactor.c.
proctype compactor() {
    byte new, old, l, p;
    bool has_replaced;

    read_lock(COMPACTOR);
    find_leaf(COMPACTOR, l);
    d_step {
        old = word[l];
        held_object[COMPACTOR] = old
    }
    if
    :: old != 0 ->
        assert(content[old] != POISON);
        alloc_object(new, content[old]); // zr_pool_alloc_copy, memcpy
        replace(COMPACTOR, l, old, new, has_replaced);
        d_step {
            if
            :: !has_replaced ->
#ifndef BUG_KEEP_COPY_ON_LOST_CAS
                free_object(new); // a writer was faster
#endif
#ifndef BUG_FREE_ON_LOST_CAS
                old = 0
#endif
            :: else
            fi;
            new = 0
        }
    :: else
    fi;
    read_unlock(COMPACTOR);
    defer_object(old)
}

// A trim of less than a leaf: extract_in_leaf in store/slot-table.c.
proctype extractor() {
    byte old, l, p;

    read_lock(EXTRACTOR);
    find_leaf(EXTRACTOR, l);
    d_step {
        if
        :: l != 0 ->
            old = word[l];
            word[l] = 0;
            history[l] = 0;
            note_change(l)
        :: else
        fi;
        l = 0
    }
    read_unlock(EXTRACTOR);
    defer_object(old)
}

// A trim of a whole leaf: detach in store/slot-table.c, zr_deferred_free_chunk.
proctype trimmer() {
    byte l;

    d_step {
        l = entry;
        entry = 0;
        note_change(0)
    }
    d_step {
        waiting_leaves = waiting_leaves | (l != 0 -> BIT(l) : 0);
        l = 0;
        nr_todo--
    }
}

// read_pages in store/device.c.
proctype reader() {
    byte o, l;

    read_lock(READER);
    find_leaf(READER, l);
#ifdef BUG_NO_READ_SECTION
    in_section = in_section & ~BIT(READER); // for a drain it is in none
#endif
    d_step {
        o = word[l];
        held_object[READER] = o;
        l = 0
    }
    d_step {
        assert(content[o] != POISON);
        assert(may_see & BIT(content[o]));
        o = 0
    }
    read_unlock(READER);
    nr_todo--
}

// zr_deferred_free_drain, by the keeper's thread or any other: one at a time, by drain_lock.
proctype drainer() {
    byte objects, leaves, n, p;

    do
    :: waiting_objects != 0 || waiting_leaves != 0 ->
        d_step { // flush_stripes, and the exchange of the stack's top
            objects = waiting_objects;
            leaves = waiting_leaves;
            waiting_objects = 0;
            waiting_leaves = 0
        }
#ifdef BUG_WORDS_BEFORE_GRACE
        d_step {
            for (n : 1 .. NR_LEAVES) {
                if
                :: (leaves & BIT(n)) && word[n] != 0 -> objects = objects | BIT(word[n])
                :: else
                fi
            }
        }
#endif
#ifndef BUG_NO_GRACE_PERIOD
        in_grace = in_section; // zr_rcu_synchronize
        in_grace == 0;
#endif
        d_step { // free_chunk: what a leaf refers to now, then the leaf
            for (n : 1 .. NR_LEAVES) {
                if
                :: leaves & BIT(n) ->
#ifndef BUG_WORDS_BEFORE_GRACE
                    if
                    :: word[n] != 0 -> free_object(word[n])
                    :: else
                    fi;
#endif
                    free_leaf(n)
                :: else
                fi
            }
            leaves = 0;
            n = 0;
            p = 0
        }
        d_step { // and the words of batches
            for (n : 1 .. NR_OBJECTS) {
                if
                :: objects & BIT(n) -> free_object(n)
                :: else
                fi
            }
            objects = 0;
            n = 0;
            p = 0
        }
    :: nr_todo == 0 && waiting_objects == 0 && waiting_leaves == 0 -> break
    od;
    skip;
    d_step { // nothing leaks
        for (n : 1 .. NR_LEAVES) {
            assert(is_leaf[n] == (n == entry))
        }
        for (n : 1 .. NR_OBJECTS) {
            assert(is_object[n] == (n == word[entry]))
        }
    }
}

init {
    atomic {
        // A page is stored.
        entry = 1;
        is_leaf[1] = true;
        word[1] = 1;
        is_object[1] = true;
        content[1] = PAGE(1, 1);
        history[1] = PAGE(1, 1);
        // Who takes part; all at once are too many orders to try.
#ifdef WITH_OVERWRITER
        run overwriter();
        nr_todo++;
#endif
#ifdef WITH_PARTIAL_WRITER
        run partial_writer();
        nr_todo++;
#endif
#ifdef WITH_COMPACTOR
        run compactor();
        nr_todo++;
#endif
#ifdef WITH_EXTRACTOR
        run extractor();
        nr_todo++;
#endif
#ifdef WITH_READER
        run reader();
        nr_todo++;
#endif
#ifdef WITH_TRIMMER
        run trimmer();
        nr_todo++;
#endif
        run drainer()
    }
}
