// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Packed leaves and the ager as a model: a directory, the entry of one leaf in it, two slots, and
// what is done to them at the same time.  spin tries every order of the steps (tests/model/check).
// core.pml is the same for one slot of a full leaf, with all that is done to that.
//
// Each step is one access to shared memory, and names the function that makes it, with these
// exceptions, none of which hides an order that matters.  A read-side section begins with its first
// access and ends with its last one, since a section that is open for longer only makes others
// wait.  What nobody else sees yet is filled in one step, and so is what is immutable (objects,
// packed chunks) read in one.  What is left out: the root's other entries, locks of the allocator,
// accounts, and the stack of waiting chunks (here sets, as in core.pml).
//
// Properties, all of them assertions:
//     nothing is used when it is not allocated, and nothing is freed twice;
//     a word is written only to a leaf that is in its directory or that a trim took;
//     a packed chunk takes no more words than it has room for;
//     a reader sees a content that the page had at some instant of its section;
//     at the end what is allocated is just what the table refers to, once, and the pages are what
//     their history says: no word is lost and none is there twice.

#define NR_OBJECTS 6 // 1 is the first, 0 is none
#define NR_LEAVES 5
#define NR_PACKED 5
#define NR_DIRECTORIES 3

#ifdef WITH_SECOND_PASS
#define NR_PASSES 2
#else
#define NR_PASSES 1
#endif

#define PAGE(first, second) ((first) * 4 + (second)) // as in core.pml
#define FIRST(page) ((page) / 4)
#define POISON 15

// A slot word: an object, and ZR_SLOT_AGE as one bit.
#define OBJECT(word) ((word) & 7)
#define AGED 8

// An entry of a directory: a full leaf, or a packed one.
#define ID(entry) ((entry) & 7)
#define IS_MARKED 8
#define IS_PACKED 16
#define WITHOUT_MARK(entry) ((entry) & ~IS_MARKED)

// Who is in a read-side section, by bit.
#define OVERWRITER 0
#define PARTIAL_WRITER 1
#define PACKER 2
#define EXTRACTOR 3
#define READER 4
#define AGER 5
#define TRIMMER 6
#define BIT(n) (1 << (n))

byte root;                                // a directory or 0
byte entry[NR_DIRECTORIES + 1];           // of the leaf, in each directory
byte word[2 * (NR_LEAVES + 1)];           // of the slots, in each full leaf
byte packed_word[2 * (NR_PACKED + 1)];    // the same, 0 where the chunk has none
byte content[NR_OBJECTS + 1];             // of an object; 0 of object 0: the empty page
byte objects, leaves, packed, directories;                                 // allocated: sets
byte waiting_objects, waiting_leaves, waiting_packed, waiting_directories; // for a drain: sets
byte nr_todo; // of the processes started, how many have not ended

// RCU: who is in a section, and for whom of them a drain and zr_slot_table_pack still wait.
byte in_section, in_drain_grace, in_pack_grace;

// What the properties are about, and no code has.
byte page[2];        // of the slots, by the history of the table
byte trimmed;        // leaves that a trim took: a set
byte reader_slot;    // what the reader reads
byte reader_leaf;    // the full leaf that it found
byte reader_directory;
short may_see;       // and what it may see there: a set of contents

#define SLOT(chunk, slot) (2 * (chunk) + (slot))
#define IS_IN_TABLE(d, l) (root == (d) && WITHOUT_MARK(entry[d]) == (l))

// These are parts of steps: they stand in a d_step.

inline enter(me) { // zr_rcu_read_lock
    in_section = in_section | BIT(me)
}

inline leave(me) { // zr_rcu_read_unlock
    in_section = in_section & ~BIT(me);
    in_drain_grace = in_drain_grace & ~BIT(me);
    in_pack_grace = in_pack_grace & ~BIT(me)
}

// Of objects, leaves, packed, directories: the lowest free one, so that they come back soon.
inline alloc(set, id, limit) {
    id = 1;
    do
    :: set & BIT(id) -> id++
    :: else -> break
    od;
    assert(id <= limit); // never the limit
    set = set | BIT(id)
}

inline alloc_object(o, contents) { // make_word, zr_pool_alloc_copy
    alloc(objects, o, NR_OBJECTS);
    content[o] = contents
}

inline free_object(o) {
    assert(objects & BIT(o));
    objects = objects & ~BIT(o);
    content[o] = POISON
}

inline free_word(w) {
    if
    :: w != 0 -> free_object(OBJECT(w))
    :: else
    fi
}

inline free_leaf(l) {
    assert(leaves & BIT(l));
    leaves = leaves & ~BIT(l);
    trimmed = trimmed & ~BIT(l);
    word[SLOT(l, 0)] = 0;
    word[SLOT(l, 1)] = 0
}

inline free_packed(p) {
    assert(packed & BIT(p));
    packed = packed & ~BIT(p);
    packed_word[SLOT(p, 0)] = 0;
    packed_word[SLOT(p, 1)] = 0
}

inline wait_object(w) {
    if
    :: w != 0 ->
        assert(!(waiting_objects & BIT(OBJECT(w))));
        waiting_objects = waiting_objects | BIT(OBJECT(w))
    :: else
    fi
}

inline wait_packed(p) {
    assert(!(waiting_packed & BIT(p)));
    waiting_packed = waiting_packed | BIT(p)
}

// The page of a slot in leaf l of directory d has changed; where a trim took the leaf, that write
// came before it.
inline note_page(d, l, s, contents) {
    if
    :: IS_IN_TABLE(d, l) -> page[s] = contents
    :: else
    fi;
    if
    :: s == reader_slot && (IS_IN_TABLE(d, l) || l == reader_leaf || d == reader_directory) ->
        may_see = may_see | BIT(contents)
    :: else
    fi
}

// What d refers to is out of the table.
inline note_trim(d) {
    if
    :: d != 0 && !(entry[d] & IS_PACKED) -> trimmed = trimmed | BIT(ID(entry[d]))
    :: else
    fi
}

inline note_emptied() {
    page[0] = 0;
    page[1] = 0;
    may_see = may_see | BIT(0)
}

inline expect_writable(d, l) {
    assert(leaves & BIT(l));
    assert(WITHOUT_MARK(entry[d]) == l || (trimmed & BIT(l)))
}

// From here on steps.

#ifdef WITH_DIRECTORY_TRIMMER
#define NEXT_STEP } d_step {
#else
#define NEXT_STEP // nobody changes the root
#endif

// leaf_entry, and the load of the entry; the first access of a section.
inline walk(me, d, e) {
    d_step {
        enter(me);
        d = root;
        if
        :: me == READER ->
            may_see = BIT(page[reader_slot]);
            reader_directory = d
        :: else
        fi;
        NEXT_STEP
        assert(d == 0 || (directories & BIT(d)));
        e = entry[d];
        if
        :: me == READER && !(e & IS_PACKED) -> reader_leaf = ID(e)
        :: else
        fi
    }
}

// get_leaf in store/slot-table.c: e is a full leaf then; or 0 or packed, which is -EAGAIN.
inline get_leaf(me, d, e) {
#ifdef WITH_DIRECTORY_TRIMMER
    d_step {
        enter(me);
        d = root
    }
    if
    :: d == 0 ->
        d_step {
            alloc(directories, d, NR_DIRECTORIES)
        }
        d_step { // get_chunk
            if
            :: root == 0 -> root = d
            :: else ->
                directories = directories & ~BIT(d); // nobody saw ours
                d = root
            fi
        }
    :: else
    fi;
    skip; // a d_step cannot be jumped into
#endif
    walk_on(me, d, e);
    if
    :: e == 0 ->
        d_step { // zr_pool_alloc_chunk
            alloc(leaves, e, NR_LEAVES)
        }
        d_step { // get_chunk
            assert(directories & BIT(d));
            if
            :: entry[d] == 0 -> entry[d] = e
            :: else ->
                free_leaf(e); // nobody saw ours
                e = entry[d]
            fi
        }
    :: else
    fi;
    open_leaf(d, e)
}

inline walk_on(me, d, e) {
    d_step {
        enter(me);
#ifndef WITH_DIRECTORY_TRIMMER
        d = root;
#endif
        assert(directories & BIT(d));
        e = entry[d]
    }
}

// open_leaf: takes the mark away.
inline open_leaf(d, e) {
#ifdef BUG_MARK_STAYS
    e = WITHOUT_MARK(e);
#endif
    do
    :: e & IS_MARKED ->
        d_step {
            if
#ifdef BUG_STORE_UNMARKED
            :: true ->
#else
            :: entry[d] == e ->
#endif
                e = WITHOUT_MARK(e);
                entry[d] = e
            :: else ->
#ifdef BUG_WRITE_TO_OLD_LEAF
                e = WITHOUT_MARK(e)
#else
                e = entry[d]
#endif
            fi
        }
    :: else -> break
    od;
    skip
}

// zr_slot_table_unpack.  It may leave all as it is.
inline unpack(me, d, e, l) {
    walk(me, d, e);
    if
    :: e & IS_PACKED ->
#ifdef BUG_UNPACK_OUTSIDE_SECTION
        d_step {
            leave(me)
        }
#endif
        d_step { // zr_pool_alloc_chunk, zr_packed_chunk_unpack
            assert(packed & BIT(ID(e)));
            alloc(leaves, l, NR_LEAVES);
            word[SLOT(l, 0)] = packed_word[SLOT(ID(e), 0)];
            word[SLOT(l, 1)] = packed_word[SLOT(ID(e), 1)]
        }
        d_step {
            if
#ifdef BUG_STORE_UNPACKED
            :: true ->
#else
            :: entry[d] == e ->
#endif
                entry[d] = l
            :: else ->
                free_leaf(l); // another was faster; nobody saw ours
                e = 0
            fi;
            l = 0;
            leave(me)
        }
        d_step { // the last one that referred to the packed chunk
            if
            :: e != 0 ->
#ifdef BUG_FREE_UNPACKED_AT_ONCE
                free_packed(ID(e));
#else
#ifdef BUG_FREE_UNPACKED_WITH_WORDS
                wait_object(packed_word[SLOT(ID(e), 0)]);
                wait_object(packed_word[SLOT(ID(e), 1)]);
#endif
                wait_packed(ID(e));
#endif
                e = 0
            :: else
            fi
        }
    :: else ->
        d_step {
            e = 0;
            leave(me)
        }
    fi;
    skip
}

// zr_slot_table_replace, after which the section is still open.
inline replace(me, d, e, s, old, new, has_replaced) {
    get_leaf(me, d, e);
    d_step {
        has_replaced = false;
        if
        :: e != 0 && !(e & IS_PACKED) ->
            expect_writable(d, e);
            if
#ifdef BUG_AGER_STORES
            :: me == AGER || word[SLOT(e, s)] == old ->
#else
            :: word[SLOT(e, s)] == old ->
#endif
                word[SLOT(e, s)] = new;
                has_replaced = true;
                if
                :: me == PARTIAL_WRITER ->
                    assert(content[OBJECT(new)] == PAGE(FIRST(content[OBJECT(old)]), 3));
                    note_page(d, e, s, content[OBJECT(new)])
                :: else -> // aged or moved
                    assert(content[OBJECT(new)] == content[OBJECT(old)])
                fi
            :: else
            fi
        :: else
        fi
    }
}

// zr_slot_table_store of slot 0: a write of the page.
proctype overwriter() {
    byte new, old, d, e, l;

    d_step {
        alloc_object(new, PAGE(2, 2))
    }
    do
    :: new != 0 ->
        get_leaf(OVERWRITER, d, e);
        d_step { // try_store
            if
            :: e != 0 && !(e & IS_PACKED) ->
                expect_writable(d, e);
                old = word[SLOT(e, 0)];
                word[SLOT(e, 0)] = new;
                note_page(d, e, 0, PAGE(2, 2));
                new = 0
            :: else
            fi;
            d = 0;
            e = 0;
            leave(OVERWRITER)
        }
        if
        :: new != 0 -> unpack(OVERWRITER, d, e, l)
        :: else
        fi
    :: else -> break
    od;
    skip;
    d_step {
        wait_object(old);
        nr_todo--
    }
}

// try_write_partial_page in store/device.c, of slot 0.
proctype partial_writer() {
    byte new, old, d, e, l;
    bool has_replaced;

    do
    :: !has_replaced ->
        unpack(PARTIAL_WRITER, d, e, l);
        walk(PARTIAL_WRITER, d, e);
        d_step {
            if
            :: e & IS_PACKED -> // packed again
                assert(packed & BIT(ID(e)));
                old = packed_word[SLOT(ID(e), 0)]
            :: else -> // a marked one too
                assert(e == 0 || (leaves & BIT(ID(e))));
                old = word[SLOT(ID(e), 0)]
            fi
        }
        d_step { // load_page, make_word
            assert(old == 0 || (objects & BIT(OBJECT(old))));
            alloc_object(new, PAGE(FIRST(content[OBJECT(old)]), 3))
        }
        replace(PARTIAL_WRITER, d, e, 0, old, new, has_replaced);
        d_step {
            if
            :: !has_replaced -> free_object(new) // never published
            :: else
            fi;
            new = 0;
            d = 0;
            e = 0;
            leave(PARTIAL_WRITER)
        }
    :: else -> break
    od;
    skip;
    d_step {
        wait_object(old);
        nr_todo--
    }
}

// A trim of slot 1: extract_in_leaf in store/slot-table.c.
proctype extractor() {
    byte old, d, e, l;
    bool is_done;

    do
    :: !is_done ->
        walk(EXTRACTOR, d, e);
        open_leaf(d, e);
        d_step { // try_extract_in_leaf
            if
            :: e & IS_PACKED -> skip
            :: e == 0 -> is_done = true
            :: else ->
                expect_writable(d, e);
                old = word[SLOT(e, 1)];
                word[SLOT(e, 1)] = 0;
                note_page(d, e, 1, 0);
                is_done = true
            fi;
            d = 0;
            e = 0;
            leave(EXTRACTOR)
        }
        if
        :: !is_done -> unpack(EXTRACTOR, d, e, l)
        :: else
        fi
    :: else -> break
    od;
    skip;
    d_step {
        wait_object(old);
        nr_todo--
    }
}

// A pass of the compactor, or two: try_compact_leaf, then zr_slot_table_pack.
proctype packer() {
    byte d, e, p, w0, w1, room, nr_passes;
#ifdef WITH_MOVES
    byte new, l;
    bool has_replaced;
#endif

    do
    :: nr_passes < NR_PASSES ->
#ifdef WITH_MOVES
        // wants_packed
        if
        :: unpack(PACKER, d, e, l)
        :: true
        fi;
#endif
        walk(PACKER, d, e);
#ifdef WITH_MOVES
        if
        :: e != 0 && !(e & IS_PACKED) ->
            d_step {
                assert(leaves & BIT(ID(e)));
                w0 = word[SLOT(ID(e), 0)]
            }
            if
            :: w0 != 0 ->
                d_step { // zr_pool_alloc_copy, memcpy
                    assert(objects & BIT(OBJECT(w0)));
                    alloc_object(new, content[OBJECT(w0)])
                }
                replace(PACKER, d, e, 0, w0, new | (w0 & AGED), has_replaced);
                d_step {
                    if
                    :: !has_replaced ->
                        free_object(new); // a writer was faster
                        w0 = 0
                    :: else
                    fi;
                    new = 0;
                    has_replaced = false
                }
                walk(PACKER, d, e)
            :: else
            fi
        :: else
        fi;
        skip;
#endif
        d_step { // zr_slot_table_try_mark; zr_rcu_synchronize begins
            if
            :: e == 0 || (e & IS_PACKED) -> e = 0
#ifdef BUG_STORE_MARK
            :: else -> entry[d] = e | IS_MARKED
#else
            :: else ->
                if
                :: entry[d] == e -> entry[d] = e | IS_MARKED
                :: else -> e = 0
                fi
#endif
            fi;
            leave(PACKER);
            in_pack_grace = in_section
        }
#ifdef WITH_MOVES
        d_step { // what was moved
            wait_object(w0);
            w0 = 0
        }
#endif
#ifdef BUG_NO_GRACE_AFTER_MARK
        in_pack_grace = 0;
#endif
        if
        :: e != 0 ->
            in_pack_grace == 0; // writers that saw no mark
            walk(PACKER, d, e); // try_pack
#ifdef BUG_PACK_UNMARKED
            e = (e & IS_PACKED -> 0 : e);
            if
            :: e != 0 ->
#else
            if
            :: e & IS_MARKED ->
#endif
                d_step { // pack_leaf: the words are looked at once, and one by one
                    assert(leaves & BIT(ID(e)));
                    w0 = word[SLOT(ID(e), 0)]
                }
                d_step {
                    w1 = word[SLOT(ID(e), 1)]
                }
                room = (w0 != 0) + (w1 != 0);
                if
                :: room != 0 ->
                    d_step {
                        alloc(packed, p, NR_PACKED)
                    }
#ifdef BUG_COUNT_THEN_COPY
                    d_step {
                        w0 = word[SLOT(ID(e), 0)]
                    }
                    d_step {
                        w1 = word[SLOT(ID(e), 1)]
                    }
#endif
                    d_step { // zr_packed_chunk_pack
                        assert((w0 != 0) + (w1 != 0) <= room);
                        packed_word[SLOT(p, 0)] = w0;
                        packed_word[SLOT(p, 1)] = w1
                    }
                :: true // too full, or no memory for it: the mark goes
                fi;
                skip;
                d_step { // the compare-exchange; zr_rcu_synchronize begins
                    if
#ifdef BUG_STORE_PACKED
                    :: true ->
#else
                    :: entry[d] == e ->
#endif
                        if
                        :: p != 0 -> entry[d] = p | IS_PACKED
                        :: p == 0 && room != 0 ->
                            entry[d] = WITHOUT_MARK(e);
                            e = 0
                        :: else -> entry[d] = 0 // nothing is left in it
                        fi
                    :: else -> // a writer or a trim was faster; nobody saw ours
                        if
                        :: p != 0 -> free_packed(p)
                        :: else
                        fi;
                        e = 0
                    fi;
                    p = 0;
                    w0 = 0;
                    w1 = 0;
                    room = 0;
                    leave(PACKER);
                    in_pack_grace = in_section
                }
#ifdef BUG_NO_GRACE_BEFORE_FREE
                in_pack_grace = 0;
#endif
                if
                :: e != 0 ->
                    in_pack_grace == 0; // readers of the full leaf
                    d_step {
                        free_leaf(ID(e)); // and not what it refers to
                        e = 0
                    }
                :: else
                fi
            :: else ->
                d_step {
                    leave(PACKER)
                }
            fi
        :: else
        fi;
        d_step {
            d = 0;
            e = 0;
            nr_passes++
        }
    :: else -> break
    od;
    skip;
    nr_todo--
}

// age_leaf in store/ager.c.
proctype ager() {
    byte d, e, p, s, old;
    bool has_replaced;

    walk(AGER, d, e);
    if
    :: e & IS_PACKED -> // age_packed
        d_step { // zr_pool_alloc_copy, memcpy, the older words
            assert(packed & BIT(ID(e)));
            alloc(packed, p, NR_PACKED);
            packed_word[SLOT(p, 0)] = packed_word[SLOT(ID(e), 0)];
            packed_word[SLOT(p, 1)] = packed_word[SLOT(ID(e), 1)];
            if
            :: packed_word[SLOT(p, 0)] != 0 ->
                packed_word[SLOT(p, 0)] = packed_word[SLOT(p, 0)] | AGED
            :: else
            fi;
            if
            :: packed_word[SLOT(p, 1)] != 0 ->
                packed_word[SLOT(p, 1)] = packed_word[SLOT(p, 1)] | AGED
            :: else
            fi
        }
#ifdef BUG_AGER_SECTION_PER_STEP
        d_step {
            leave(AGER)
        }
#endif
        d_step { // zr_slot_table_replace_packed
            if
#ifdef BUG_AGER_STORES_PACKED
            :: true ->
#else
            :: entry[d] == e ->
#endif
                entry[d] = p | IS_PACKED
            :: else ->
                free_packed(p); // a writer was faster
                e = 0
            fi;
            p = 0;
            leave(AGER)
        }
        d_step {
            if
            :: e != 0 ->
#ifdef BUG_AGER_FREES_WORDS
                wait_object(packed_word[SLOT(ID(e), 0)]);
                wait_object(packed_word[SLOT(ID(e), 1)]);
#endif
                wait_packed(ID(e))
            :: else
            fi
        }
    :: else -> // age_words
        byte found = ID(e);
        do
        :: found != 0 && s < 2 ->
            d_step {
                assert(leaves & BIT(found));
                old = word[SLOT(found, s)]
            }
            if
            :: old != 0 && !(old & AGED) ->
                replace(AGER, d, e, s, old, old | AGED, has_replaced)
            :: else
            fi;
            d_step {
                has_replaced = false; // a failure only means that the page was just written
                s++
            }
        :: else -> break
        od;
        skip;
        d_step {
            leave(AGER)
        }
    fi;
    skip;
    nr_todo--
}

// A trim of the leaf: extract_leaf, and drop, in store/slot-table.c.
proctype trimmer() {
    byte d, e;

    walk(TRIMMER, d, e);
    d_step { // take
        e = entry[d];
        note_trim(d);
        if
        :: root == d -> note_emptied()
        :: else
        fi;
        entry[d] = 0;
        leave(TRIMMER)
    }
    d_step { // drop: a packed leaf cannot change, but is still read by others
        if
        :: e & IS_PACKED ->
            assert(packed & BIT(ID(e)));
#ifndef BUG_DROP_WITHOUT_WORDS
            wait_object(packed_word[SLOT(ID(e), 0)]);
            wait_object(packed_word[SLOT(ID(e), 1)]);
#endif
            wait_packed(ID(e))
        :: e != 0 && !(e & IS_PACKED) -> waiting_leaves = waiting_leaves | BIT(ID(e))
        :: else
        fi;
        nr_todo--
    }
}

// A trim of the directory: zr_slot_table_extract, zr_deferred_free_chunk.
proctype directory_trimmer() {
    byte d;

    d_step { // take
        d = root;
        note_trim(d);
        note_emptied();
        root = 0
    }
    d_step {
        waiting_directories = waiting_directories | (d != 0 -> BIT(d) : 0);
        nr_todo--
    }
}

// read_pages in store/device.c.
proctype reader() {
    byte d, e, w;

    walk(READER, d, e);
    d_step { // zr_leaf_word
        if
        :: e & IS_PACKED ->
            assert(packed & BIT(ID(e)));
            w = packed_word[SLOT(ID(e), reader_slot)]
        :: else ->
            assert(e == 0 || (leaves & BIT(ID(e))));
            w = word[SLOT(ID(e), reader_slot)]
        fi
    }
    d_step { // load_page
        assert(w == 0 || (objects & BIT(OBJECT(w))));
        assert(may_see & BIT(content[OBJECT(w)]));
        reader_leaf = 0;
        reader_directory = 0;
        may_see = 0;
        leave(READER);
        nr_todo--
    }
}

// zr_deferred_free_drain, by the keeper's thread or any other: one at a time, by drain_lock.
#define HAS_WAITING (waiting_objects | waiting_leaves | waiting_packed | waiting_directories)

proctype drainer() {
    byte objects_now, leaves_now, packed_now, directories_now, n;

    do
    :: HAS_WAITING != 0 ->
        d_step { // flush_stripes, and the exchange of the stack's top; zr_rcu_synchronize begins
            objects_now = waiting_objects;
            leaves_now = waiting_leaves;
            packed_now = waiting_packed;
            directories_now = waiting_directories;
            waiting_objects = 0;
            waiting_leaves = 0;
            waiting_packed = 0;
            waiting_directories = 0;
            in_drain_grace = in_section
        }
#ifdef BUG_ENTRIES_BEFORE_GRACE
        d_step {
            for (n : 1 .. NR_DIRECTORIES) {
                if
                :: (directories_now & BIT(n)) && entry[n] != 0 ->
                    if
                    :: entry[n] & IS_PACKED ->
                        wait_object(packed_word[SLOT(ID(entry[n]), 0)]);
                        wait_object(packed_word[SLOT(ID(entry[n]), 1)]);
                        packed_now = packed_now | BIT(ID(entry[n]))
                    :: else -> leaves_now = leaves_now | BIT(ID(entry[n]))
                    fi
                :: else
                fi
            }
        }
#endif
#ifdef BUG_NO_GRACE_IN_DRAIN
        in_drain_grace = 0;
#endif
        in_drain_grace == 0;
        d_step { // free_chunk: of a directory what it refers to now, then itself
            for (n : 1 .. NR_DIRECTORIES) {
                if
                :: directories_now & BIT(n) ->
                    assert(directories & BIT(n));
#ifndef BUG_ENTRIES_BEFORE_GRACE
                    if
                    :: entry[n] & IS_PACKED -> // free_packed_chunk
                        free_word(packed_word[SLOT(ID(entry[n]), 0)]);
                        free_word(packed_word[SLOT(ID(entry[n]), 1)]);
                        free_packed(ID(entry[n]))
                    :: entry[n] != 0 && !(entry[n] & IS_PACKED) ->
                        free_word(word[SLOT(ID(entry[n]), 0)]);
                        free_word(word[SLOT(ID(entry[n]), 1)]);
                        free_leaf(ID(entry[n]))
                    :: else
                    fi;
#endif
                    entry[n] = 0;
                    directories = directories & ~BIT(n)
                :: else
                fi
            }
            for (n : 1 .. NR_LEAVES) {
                if
                :: leaves_now & BIT(n) ->
                    free_word(word[SLOT(n, 0)]);
                    free_word(word[SLOT(n, 1)]);
                    free_leaf(n)
                :: else
                fi
            }
            for (n : 1 .. NR_PACKED) {
                if
                :: packed_now & BIT(n) -> free_packed(n)
                :: else
                fi
            }
            for (n : 1 .. NR_OBJECTS) {
                if
                :: objects_now & BIT(n) -> free_object(n)
                :: else
                fi
            }
            objects_now = 0;
            leaves_now = 0;
            packed_now = 0;
            directories_now = 0;
            n = 0
        }
    :: nr_todo == 0 && HAS_WAITING == 0 -> break
    od;
    skip;
    d_step { // nothing leaks
        byte e = entry[root], w0, w1;

        if
        :: e & IS_PACKED ->
            w0 = packed_word[SLOT(ID(e), 0)];
            w1 = packed_word[SLOT(ID(e), 1)];
            assert(packed == BIT(ID(e)) && leaves == 0)
        :: else ->
            w0 = word[SLOT(ID(e), 0)];
            w1 = word[SLOT(ID(e), 1)];
            assert(packed == 0 && leaves == (e == 0 -> 0 : BIT(ID(e))))
        fi;
        assert(directories == (root == 0 -> 0 : BIT(root)));
        assert(objects == (BIT(OBJECT(w0)) | BIT(OBJECT(w1))) >> 1 << 1);
        assert(w0 == 0 || OBJECT(w0) != OBJECT(w1));
        assert(content[OBJECT(w0)] == page[0]);
        assert(content[OBJECT(w1)] == page[1])
    }
}

init {
    // Two pages are stored, in a leaf that is full or packed, or one in a full leaf.
    if
    :: true -> reader_slot = 0
    :: true -> reader_slot = 1
    fi;
    atomic {
        root = 1;
        directories = BIT(1);
        objects = BIT(1) | BIT(2);
        content[1] = PAGE(1, 1);
        content[2] = PAGE(1, 2);
        page[0] = PAGE(1, 1);
        page[1] = PAGE(1, 2);
        if
        :: true ->
            entry[1] = 1;
            leaves = BIT(1);
            word[SLOT(1, 0)] = 1;
            word[SLOT(1, 1)] = 2
        :: true ->
            entry[1] = 1;
            leaves = BIT(1);
            word[SLOT(1, 1)] = 2;
            objects = BIT(2);
            content[1] = 0;
            page[0] = 0
        :: true ->
            entry[1] = 1 | IS_PACKED;
            packed = BIT(1);
            packed_word[SLOT(1, 0)] = 1;
            packed_word[SLOT(1, 1)] = 2
        fi;
#ifdef WITH_OVERWRITER
        run overwriter();
        nr_todo++;
#endif
#ifdef WITH_PARTIAL_WRITER
        run partial_writer();
        nr_todo++;
#endif
#ifdef WITH_EXTRACTOR
        run extractor();
        nr_todo++;
#endif
#ifdef WITH_PACKER
        run packer();
        nr_todo++;
#endif
#ifdef WITH_AGER
        run ager();
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
#ifdef WITH_DIRECTORY_TRIMMER
        run directory_trimmer();
        nr_todo++;
#endif
        run drainer()
    }
}
