// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Groups of cold pages as a model: a leaf of two slots whose pages lie in one group, or in none yet
// (SINGLES), and what is done to them at the same time.  spin tries every order of the steps below (tests/model/check).
//
// Each step is one access to shared memory, and names the function that makes it; core.pml says
// what all such models leave out.  Here a span of the log holds one group, the leaf is always
// there, and the cache of decompressed groups has one entry, used by one reader.
//
// Properties, all of them assertions:
//     a group has an owner for each word that refers to it, or will once it was freed: it goes with
//     the last one, and never under a reader;
//     a move, into a group, from one to another or out of it, changes no page and loses no write;
//     a reader sees a content that the page had at some instant of its section, from the cache, too;
//     at the end nothing leaks.

#define NR_SLOTS 2
#define NR_SINGLES 4 // pages in an object of their own; 1 is the first
#define NR_PLACES 3  // for groups
#define GROUP 8      // + place: the word of a page in that group; less: a single page; 0: none

#define POISON 7 // content of what was freed
#define PAGE(place, slot) page[(place) * NR_SLOTS + (slot)]

// Who is in a read-side section, by bit.
#define OVERWRITER 0
#define EXTRACTOR 1
#define DEMOTER 2
#define CLEANER 3
#define READER 4
#define NR_PROCS 5
#define BIT(n) (1 << (n))

byte word[NR_SLOTS];
byte content[NR_SINGLES + 1]; // of a single page
bool is_single[NR_SINGLES + 1], is_group[NR_PLACES + 1]; // allocated
byte owners[NR_PLACES + 1], id[NR_PLACES + 1];
byte page[(NR_PLACES + 1) * NR_SLOTS]; // of a group's members
bool was_read[NR_PLACES + 1];          // slot 0 of it, once
bool is_isolated[NR_PLACES + 1];       // its span
byte next_id = 1;
byte cached_id, cached_page; // of slot 0; id 0: nothing
byte waiting_singles;        // for a drain: a set
byte waiting_owners[NR_PLACES + 1];
byte nr_todo; // of the processes started, how many have not ended

// RCU: who is in a section, and for whom of them a drain still waits.
byte in_section, in_grace;

// What the properties are about, and no code has.
byte history[NR_SLOTS];                              // what each page is
byte held_singles[NR_PROCS], held_groups[NR_PROCS]; // sets
byte may_see; // set of contents of slot 0

inline read_lock(me) { // zr_rcu_read_lock
    d_step {
        in_section = in_section | BIT(me);
        if
        :: me == READER -> may_see = BIT(history[0])
        :: else
        fi
    }
}

inline read_unlock(me) { // zr_rcu_read_unlock
    d_step {
        in_section = in_section & ~BIT(me);
        in_grace = in_grace & ~BIT(me);
        held_singles[me] = 0;
        held_groups[me] = 0;
        if
        :: me == READER -> may_see = 0
        :: else
        fi
    }
}

inline free_single(o) { // zr_pool_free
    assert(is_single[o]);
    for (p : 0 .. NR_PROCS - 1) {
        assert(!(in_section & BIT(p)) || !(held_singles[p] & BIT(o)))
    }
    is_single[o] = false;
    content[o] = POISON
}

// The span is empty, and nobody has isolated it: the allocator takes it back.
inline free_group_if_empty(g) {
    if
    :: owners[g] == 0 && !is_isolated[g] ->
        assert(is_group[g]);
        for (p : 0 .. NR_PROCS - 1) {
            assert(!(in_section & BIT(p)) || !(held_groups[p] & BIT(g)))
        }
        is_group[g] = false;
        PAGE(g, 0) = POISON;
        PAGE(g, 1) = POISON
    :: else
    fi
}

inline take_owner_off(g) { // zr_pool_free of a word of a group
    assert(owners[g] > 0);
    owners[g]--;
    free_group_if_empty(g)
}

inline alloc_single(o, data) {
    d_step {
        o = 1;
        do
        :: o <= NR_SINGLES && is_single[o] -> o++
        :: else -> break
        od;
        assert(o <= NR_SINGLES); // never the limit
        is_single[o] = true;
        content[o] = data
    }
}

// What a word that was replaced or extracted refers to: zr_deferred_free_words.
inline defer(w) {
    if
    :: w > GROUP -> waiting_owners[w - GROUP]++
    :: w > 0 && w < GROUP ->
        assert(!(waiting_singles & BIT(w)));
        waiting_singles = waiting_singles | BIT(w)
    :: else
    fi;
    w = 0
}

inline load(me, slot, w) { // zr_leaf_word
    d_step {
        w = word[slot];
        if
        :: w > GROUP -> held_groups[me] = held_groups[me] | BIT(w - GROUP)
        :: w > 0 && w < GROUP -> held_singles[me] = held_singles[me] | BIT(w)
        :: else
        fi
    }
}

// zr_device_write, zr_device_trim: the exchange.
inline change(slot, w, data, old) {
    d_step {
        old = word[slot];
        word[slot] = w;
        history[slot] = data;
        if
        :: slot == 0 && (in_section & BIT(READER)) -> may_see = may_see | BIT(data)
        :: else
        fi
    }
}

// zr_slot_table_move: true if the word was still `old`.
inline exchange(at, was, becomes, has_replaced) {
    d_step {
        if
#ifdef BUG_STORE_INSTEAD_OF_CAS
        :: true ->
#else
        :: word[at] == was ->
#endif
            word[at] = becomes;
            has_replaced = true;
            if
            :: becomes > GROUP -> assert(PAGE(becomes - GROUP, at) == history[at])
            :: else -> assert(content[becomes] == history[at])
            fi
        :: else -> has_replaced = false
        fi
    }
}

proctype overwriter() {
    byte new, old;

    alloc_single(new, 2);
    read_lock(OVERWRITER);
    change(0, new, 2, old);
    read_unlock(OVERWRITER);
    d_step {
        new = 0;
        defer(old);
        nr_todo--
    }
}

proctype extractor() {
    byte old;

    read_lock(EXTRACTOR);
    change(1, 0, 0, old);
    read_unlock(EXTRACTOR);
    d_step {
        defer(old);
        nr_todo--
    }
}

// zr_group_make and zr_log_append: a group of the pages that were gathered, in w of who does it, and
// their owners.  The end of the log is isolated.
inline append(g) {
    d_step {
        g = 1;
        do
        :: g <= NR_PLACES && is_group[g] -> g++
        :: else -> break
        od;
        assert(g <= NR_PLACES); // never the limit
        is_group[g] = true;
        is_isolated[g] = true;
        was_read[g] = false;
        id[g] = next_id;
        next_id++;
        owners[g] = 0;
        for (s : 0 .. NR_SLOTS - 1) {
            PAGE(g, s) = 0;
            if
            :: w[s] > GROUP -> PAGE(g, s) = PAGE(w[s] - GROUP, s)
            :: w[s] > 0 && w[s] < GROUP -> PAGE(g, s) = content[w[s]]
            :: else
            fi;
            assert(PAGE(g, s) != POISON);
#ifndef BUG_OWNERS_AFTER_SECTION
            owners[g] = owners[g] + (w[s] != 0 -> 1 : 0)
#endif
        }
        s = 0
    }
}

// publish in store/demoter.c, a page of it.  What was replaced is left in w[slot].
inline publish(g, slot, has_replaced) {
    if
    :: w[slot] != 0 ->
        exchange(slot, w[slot], GROUP + g, has_replaced);
        d_step {
            if
            :: !has_replaced ->
                w[slot] = 0; // lost the race; nobody saw it
#if !defined(BUG_KEEP_OWNER_ON_LOST_CAS) && !defined(BUG_OWNERS_AFTER_SECTION)
                take_owner_off(g)
#endif
            :: else
            fi;
            has_replaced = false
        }
    :: else
    fi
}

inline put_back(g) { // zr_pool_put_back
    d_step {
        is_isolated[g] = false;
        free_group_if_empty(g);
        g = 0
    }
}

// zr_demoter_demote.
proctype demoter() {
    byte w[NR_SLOTS], g, s, p;
    bool has_replaced;

    read_lock(DEMOTER);
    load(DEMOTER, 0, w[0]);
    load(DEMOTER, 1, w[1]);
    d_step { // is_cold
        w[0] = (w[0] > GROUP -> 0 : w[0]);
        w[1] = (w[1] > GROUP -> 0 : w[1])
    }
    if
    :: w[0] != 0 || w[1] != 0 ->
        append(g);
        publish(g, 0, has_replaced);
        publish(g, 1, has_replaced)
    :: else
    fi;
    read_unlock(DEMOTER);
#ifdef BUG_OWNERS_AFTER_SECTION
    owners[g] = owners[g] + (w[0] != 0 -> 1 : 0) + (w[1] != 0 -> 1 : 0);
#endif
    d_step {
        defer(w[0]);
        defer(w[1])
    }
    if
    :: g != 0 -> put_back(g)
    :: else
    fi;
    nr_todo--
}

// clean_span and free_cleaned: what is left of the first group goes into a new one.
proctype cleaner() {
    byte w[NR_SLOTS], g, s, p, place;
    bool has_replaced;

    d_step { // zr_pool_try_isolate
        if
        :: is_group[1] && !is_isolated[1] -> is_isolated[1] = true; place = 1
        :: else
        fi
    }
    if
    :: place != 0 ->
        read_lock(CLEANER);
        load(CLEANER, 0, w[0]);
        load(CLEANER, 1, w[1]);
        d_step { // gather_members
            w[0] = (w[0] == GROUP + place -> w[0] : 0);
            w[1] = (w[1] == GROUP + place -> w[1] : 0)
        }
        if
        :: w[0] != 0 || w[1] != 0 ->
            append(g);
            publish(g, 0, has_replaced);
            publish(g, 1, has_replaced)
        :: else
        fi;
        read_unlock(CLEANER);
#ifdef BUG_CLEANED_AT_ONCE
        d_step {
            owners[place] = owners[place] - (w[0] != 0 -> 1 : 0) - (w[1] != 0 -> 1 : 0);
            w[0] = 0;
            w[1] = 0
        }
#else
        d_step {
            defer(w[0]);
            defer(w[1])
        }
#endif
        put_back(place);
        if
        :: g != 0 -> put_back(g)
        :: else
        fi
    :: else
    fi;
    nr_todo--
}

// load_group and promote in store/device.c: slot 0.
inline read_of_group(w, new, has_replaced) {
    d_step { // zr_group_cache_read
        assert(PAGE(w - GROUP, 0) != POISON);
        if
#ifdef BUG_CACHE_BY_PLACE
        :: cached_id == w ->
#else
        :: cached_id == id[w - GROUP] ->
#endif
        :: else ->
#ifdef BUG_CACHE_BY_PLACE
            cached_id = w;
#else
            cached_id = id[w - GROUP];
#endif
            cached_page = PAGE(w - GROUP, 0)
        fi;
        assert(may_see & BIT(cached_page))
    }
    d_step { // zr_group_note_read
        has_replaced = was_read[w - GROUP];
        was_read[w - GROUP] = true
    }
    if
    :: has_replaced ->
        alloc_single(new, cached_page);
        exchange(0, w, new, has_replaced);
        d_step {
            if
            :: !has_replaced -> w = 0; free_single(new)
            :: else
            fi;
            new = 0
        }
    :: else -> w = 0
    fi;
    has_replaced = false
}

proctype reader() {
    byte w, new, nr, p;
    bool has_replaced;

    do
    :: nr < 2 ->
        nr++;
        read_lock(READER);
        load(READER, 0, w);
        if
        :: w > GROUP -> read_of_group(w, new, has_replaced)
        :: else ->
            d_step {
                assert(content[w] != POISON);
                assert(may_see & BIT(content[w]));
                w = 0
            }
        fi;
        read_unlock(READER);
        d_step {
            defer(w) // a group's word that was replaced
        }
    :: else -> break
    od;
    nr_todo--
}

// zr_deferred_free_drain.
proctype drainer() {
    byte singles, gone[NR_PLACES + 1], n, p;

    do
    :: waiting_singles != 0 || waiting_owners[1] + waiting_owners[2] + waiting_owners[3] != 0 ->
        d_step {
            singles = waiting_singles;
            waiting_singles = 0;
            for (n : 1 .. NR_PLACES) {
                gone[n] = waiting_owners[n];
                waiting_owners[n] = 0
            }
            n = 0
        }
#ifndef BUG_NO_GRACE_PERIOD
        in_grace = in_section; // zr_rcu_synchronize
        in_grace == 0;
#endif
        d_step {
            for (n : 1 .. NR_SINGLES) {
                if
                :: singles & BIT(n) -> free_single(n)
                :: else
                fi
            }
            for (n : 1 .. NR_PLACES) {
                do
                :: gone[n] > 0 -> gone[n]--; take_owner_off(n)
                :: else -> break
                od
            }
            singles = 0;
            n = 0;
            p = 0
        }
    :: nr_todo == 0 && waiting_singles == 0 &&
           waiting_owners[1] + waiting_owners[2] + waiting_owners[3] == 0 -> break
    od;
    skip;
    d_step { // nothing leaks
        for (n : 1 .. NR_PLACES) {
            assert(owners[n] == (word[0] == GROUP + n -> 1 : 0) + (word[1] == GROUP + n -> 1 : 0));
            assert(is_group[n] == (owners[n] > 0))
        }
        for (n : 1 .. NR_SINGLES) {
            assert(is_single[n] == (word[0] == n || word[1] == n))
        }
    }
}

init {
    atomic {
        // Two pages are stored.
        history[0] = 1;
        history[1] = 1;
#ifdef WITH_SINGLES
        word[0] = 1;
        word[1] = 2;
        is_single[1] = true;
        is_single[2] = true;
        content[1] = 1;
        content[2] = 1;
#else
        word[0] = GROUP + 1;
        word[1] = GROUP + 1;
        is_group[1] = true;
        owners[1] = 2;
        id[1] = next_id;
        next_id++;
        PAGE(1, 0) = 1;
        PAGE(1, 1) = 1;
#endif
        // Who takes part; all at once are too many orders to try.
#ifdef WITH_OVERWRITER
        run overwriter();
        nr_todo++;
#endif
#ifdef WITH_EXTRACTOR
        run extractor();
        nr_todo++;
#endif
#ifdef WITH_DEMOTER
        run demoter();
        nr_todo++;
#endif
#ifdef WITH_CLEANER
        run cleaner();
        nr_todo++;
#endif
#ifdef WITH_READER
        run reader();
        nr_todo++;
#endif
        run drainer()
    }
}
