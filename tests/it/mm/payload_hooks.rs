//! Which hooks of the payload each operation calls, in order, with the spans.

use crate::support::address_space::{RW, page};
use std::cell::{Cell, RefCell};
use vmaple::mm::{MapRequest, Payload, Prot, RemapRequest};
use vmaple::{Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};

thread_local! {
    static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes a call of a hook, with pages by number.
#[derive(Clone, Debug)]
struct Recording(&'static str);

fn call(name: &str, of: &[Span]) {
    let of: Vec<_> = of.iter().map(|span| format!("{}-{}", number(span.start()), number(span.last() + 1))).collect();
    CALLS.with_borrow_mut(|calls| calls.push(format!("{name} {}", of.join(" "))));
}

fn number(address: u64) -> u64 {
    (address - page(0)) / PAGE_SIZE
}

impl Payload for Recording {
    fn merges_with(&self, next: &Self) -> bool {
        self.0 == next.0
    }

    fn merged(&self, next: &Self) -> Self {
        assert_eq!(self.0, next.0, "only what may merge is merged");
        call("merged", &[]);
        self.clone()
    }

    fn part(&self, whole: Span, part: Span) -> Self {
        call("part", &[whole, part]);
        self.clone()
    }

    fn moved(&self, from: Span, to: Span) -> Self {
        call("moved", &[from, to]);
        self.clone()
    }

    fn unmapped(&self, pages: Span) {
        call("unmapped", &[pages]);
    }

    fn protected(&self, pages: Span, _flags: VmaFlags) {
        call("protected", &[pages]);
    }

    fn pages_moved(&self, from: Span, to: Span) {
        call("pages_moved", &[from, to]);
    }
}

/// Returns the calls since the last time, sorted, because their order is not promised.
fn calls() -> Vec<String> {
    let mut calls = CALLS.take();
    calls.sort();
    calls.dedup();
    calls
}

fn hook_calls() -> Vec<String> {
    calls().into_iter().filter(|call| !call.starts_with("part") && !call.starts_with("merged")).collect()
}

#[test]
fn payloads_are_split_merged_and_moved_with_their_spans() {
    let mm: Mm<Recording> = Mm::builder().private_epochs().build();
    let mut writer = mm.write();
    let bytes = |pages: u64| pages * PAGE_SIZE;
    let request = |at, pages| MapRequest::new(bytes(pages), VmaSpec::anonymous(RW).with_payload(Recording("a"))).fixed(page(at));
    writer.mmap(&request(0, 6)).expect("memory");
    assert!(calls().is_empty(), "nothing is there yet");

    // AAAAAA -> AA.aAA: `part` is called for each part that stays, the other hook for the pages alone
    writer.munmap(page(2), bytes(1)).expect("memory");
    let all = calls();
    assert!(all.contains(&"part 0-6 0-2".to_owned()), "{all:?}");
    assert!(all.contains(&"unmapped 2-3".to_owned()), "{all:?}");
    writer.mprotect(page(3), bytes(1), Prot::READ).expect("memory");
    let all = calls();
    assert!(all.contains(&"part 3-6 3-4".to_owned()) && all.contains(&"protected 3-4".to_owned()), "{all:?}");

    // the flags are as before, so two merges follow
    writer.mprotect(page(3), bytes(1), RW.prot()).expect("memory");
    assert!(calls().contains(&"merged ".to_owned()));
    assert_eq!(mm.len(), 2);

    // the upper VMA moves over the mapping there
    writer.mmap(&request(10, 4)).expect("memory");
    drop(calls());
    writer.mremap(&RemapRequest::resize(page(4), bytes(2), bytes(2)).fixed(page(11))).expect("memory");
    let all = calls();
    for expected in ["moved 4-6 11-13", "pages_moved 4-6 11-13", "unmapped 11-13", "unmapped 4-6"] {
        assert!(all.contains(&expected.to_owned()), "{expected} is not among {all:?}");
    }
    // a plan that is dropped calls no hook about pages
    drop(writer.plan(vmaple::lock::Patience::Never).munmap(page(0), bytes(1)));
    assert!(hook_calls().is_empty());
    writer.exit().expect("memory");
    assert_eq!(hook_calls(), ["unmapped 0-2", "unmapped 10-14", "unmapped 3-4"], "one call for each VMA that was there");
}

/// Counts how often it is cloned.
#[derive(Debug, Default)]
struct Counting;

thread_local! {
    static CLONES: Cell<usize> = const { Cell::new(0) };
}

impl Clone for Counting {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        Self
    }
}

impl Payload for Counting {
    fn merges_with(&self, _: &Self) -> bool {
        true
    }
}

/// The payload that an operation creates for a VMA is moved into its record, not cloned again. A hook is called on a clone of its own.
#[test]
fn a_payload_is_made_once_for_each_new_record() {
    let mm: Mm<Counting> = Mm::builder().private_epochs().build();
    let mut writer = mm.write();
    let bytes = |pages: u64| pages * PAGE_SIZE;
    let request = |at| MapRequest::new(bytes(4), VmaSpec::anonymous(RW).with_payload(Counting)).fixed(page(at));
    let clones = |run: &mut dyn FnMut()| {
        CLONES.set(0);
        run();
        CLONES.get()
    };
    // ....AAAA: one record
    assert_eq!(clones(&mut || _ = writer.mmap(&request(4)).expect("memory")), 1);
    // AAAAAAAA: the new VMA's, and that of the merged VMA
    assert_eq!(clones(&mut || _ = writer.mmap(&request(0)).expect("memory")), 2);
    // aaaaaaaa: the flags change, and a hook is called
    assert_eq!(clones(&mut || writer.mprotect(page(0), bytes(8), Prot::READ).expect("mapped")), 2);
    // aaa..aaa: the VMA is cut in two twice, and a hook is called
    assert_eq!(clones(&mut || writer.munmap(page(3), bytes(2)).expect("mapped")), 5);
    // aaa..aaa: the first VMA is moved to page 20
    assert_eq!(clones(&mut || _ = writer.mremap(&RemapRequest::resize(page(0), bytes(3), bytes(3)).fixed(page(20))).expect("room")), 3);
    drop(writer);
    mm.write().validate().expect("the invariants and the accounts hold");
}
