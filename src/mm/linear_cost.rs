//! Tests that an operation over n VMAs moves O(n) items of its draft. They count moves and measure no time.
//!
//! Compiled for `cargo test` alone. The counter is the row's (`row.rs`). A plain vector would move n² items in each operation that merges or
//! moves n VMAs.

use super::row::tests::moved_by;
use super::{Advice, Limits, LockAll, MapRequest, Mm, MmWriteGuard, Prot, ProtectRequest, RemapRequest};
use crate::key::KeyDenial;
use crate::lock::Patience;
use crate::vma::{VmaFlags, VmaSpec};

const R: VmaFlags = VmaFlags::READ;
const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);
const PAGE: u64 = 0x1000;
const AT: u64 = 0x1000_0000;

/// The numbers of VMAs that are compared, few and many.
const COUNTS: [u64; 2] = [250, 1000];

/// VMAs of two pages, `gap_pages` apart; every other one is writable.
fn layout(count: u64, gap_pages: u64) -> Mm {
    let limits = Limits { max_map_count: usize::MAX, locked_bytes: u64::MAX, protection_keys: 16, ..Limits::default() };
    let mm: Mm = Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build();
    let mut writer = mm.write();
    for i in 0..count {
        let flags = if i % 2 == 0 { RW } else { R };
        let at = AT + i * (2 + gap_pages) * PAGE;
        writer.mmap(&MapRequest::new(2 * PAGE, VmaSpec::anonymous(flags)).fixed(at)).expect("free");
    }
    drop(writer);
    mm
}

/// An operation over n VMAs, and the pages between two of them.
struct Case {
    name: &'static str,
    gap_pages: u64,
    /// Given the address space, and the length of all that is mapped in it.
    run: fn(&mut MmWriteGuard<'_, ()>, u64),
}

const CASES: &[Case] = &[
    Case { name: "mprotect that merges", gap_pages: 0, run: |mm, len| mm.mprotect(AT, len, RW.prot()).expect("mapped") },
    Case { name: "mprotect that changes", gap_pages: 1, run: |mm, len| _ = mm.mprotect(AT, len, RW.prot()).expect_err("gaps") },
    Case { name: "mprotect that changes all", gap_pages: 0, run: |mm, len| mm.mprotect(AT, len, Prot::EXEC).expect("mapped") },
    Case { name: "a plan that is dropped", gap_pages: 0, run: |mm, len| drop(mm.plan(Patience::Forever).mprotect(AT, len, RW.prot())) },
    Case { name: "madvise", gap_pages: 1, run: |mm, len| _ = mm.madvise(AT, len, Advice::DontFork).expect_err("gaps") },
    Case { name: "mlock", gap_pages: 0, run: |mm, len| mm.mlock(AT, len).expect("mapped") },
    Case {
        name: "munlock",
        gap_pages: 0,
        run: |mm, len| {
            mm.mlock(AT, len).expect("mapped");
            mm.munlock(AT, len).expect("mapped");
        },
    },
    Case {
        name: "pkey_mprotect",
        gap_pages: 0,
        run: |mm, len| {
            let key = mm.pkey_alloc(KeyDenial::empty()).expect("free");
            mm.mprotect(AT, len, ProtectRequest::new(RW.prot()).with_key(key)).expect("mapped");
        },
    },
    Case { name: "change_payloads", gap_pages: 1, run: |mm, len| _ = mm.change_payloads(AT, len, |()| Some(())).expect_err("gaps") },
    Case { name: "fork", gap_pages: 1, run: |mm, _| drop(mm.fork().expect("memory")) },
    Case { name: "mlockall", gap_pages: 1, run: |mm, _| mm.mlockall(LockAll::Current).expect("privileged") },
    Case { name: "mseal", gap_pages: 0, run: |mm, len| mm.mseal(AT, len).expect("mapped") },
    Case { name: "munmap", gap_pages: 0, run: |mm, len| mm.munmap(AT + PAGE, len - 2 * PAGE).expect("mapped") },
    Case {
        name: "mmap over all",
        gap_pages: 0,
        run: |mm, len| {
            mm.mmap(&MapRequest::new(len - 2 * PAGE, VmaSpec::anonymous(RW)).fixed(AT + PAGE)).expect("room");
        },
    },
    Case {
        name: "mremap of several upward",
        gap_pages: 1,
        run: |mm, len| _ = mm.mremap(&RemapRequest::resize(AT, len, len).fixed(AT + len)).expect("mapped"),
    },
    Case {
        name: "mremap of several downward, over others",
        gap_pages: 0,
        run: |mm, len| {
            let half = len / 2;
            mm.mremap(&RemapRequest::resize(AT + half, half, half).fixed(AT)).expect("mapped");
        },
    },
    Case { name: "mremap that shrinks", gap_pages: 1, run: |mm, len| _ = mm.mremap(&RemapRequest::resize(AT, len, PAGE)).expect("mapped") },
    Case {
        name: "brk over all",
        gap_pages: 0,
        run: |mm, len| {
            mm.set_heap(AT, AT + len).expect("a heap that means something");
            assert_eq!(mm.brk(AT + PAGE), Ok(AT + PAGE));
        },
    },
    Case { name: "exit", gap_pages: 0, run: |mm, _| mm.exit().expect("memory") },
];

#[test]
fn no_operation_moves_more_than_a_few_parts_for_each_vma() {
    for Case { name, gap_pages, run } in CASES {
        let moved = COUNTS.map(|count| {
            let mm = layout(count, *gap_pages);
            let len = count * (2 + gap_pages) * PAGE;
            moved_by(|| run(&mut mm.write(), len)).0
        });
        println!("{name}: {moved:?}");
        let [few, many] = COUNTS.map(|count| usize::try_from(count).expect("a small number"));
        assert!(moved[1] <= 8 * many, "{name} moves {} parts of {many} VMAs", moved[1]);
        assert!(moved[1] <= 5 * moved[0] + few, "{name} moves {moved:?} parts of {few} and {many} VMAs");
    }
}

/// An operation on a few VMAs loads only these, however many there are.
#[test]
fn a_small_operation_moves_nothing_of_a_large_layout() {
    let mm = layout(COUNTS[1], 0);
    for i in (0..COUNTS[1]).step_by(97) {
        let at = AT + i * 2 * PAGE;
        let (moved, ()) = moved_by(|| {
            let mut writer = mm.write();
            writer.mprotect(at + PAGE, PAGE, Prot::EXEC).expect("mapped");
            writer.munmap(at + PAGE, PAGE).expect("mapped");
            writer.madvise(at, PAGE, Advice::DontDump).expect("mapped");
        });
        assert!(moved <= 16, "{moved}");
    }
}
