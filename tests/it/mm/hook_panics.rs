//! Hooks that panic: the operation calls all its hooks nevertheless, the layout changes, and the first panic is resumed.

use crate::support::address_space::{RW, page};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use vmaple::mm::{MapRequest, MmWriteGuard, Payload, Prot, RemapRequest};
use vmaple::{Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};

thread_local! {
    /// The hooks that were called, each with the number of its VMA.
    static CALLED: RefCell<Vec<(&'static str, u8)>> = const { RefCell::new(Vec::new()) };
    /// The VMAs whose panics were dropped.
    static DROPPED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The payload of a VMA by its number, and whether its hooks panic.
#[derive(Clone, Debug)]
struct Hooked {
    number: u8,
    panics: bool,
}

/// The value that the hooks of a VMA panic with. Its drop panics, too. It has no size, so that nothing leaks if it is never dropped.
struct Thrown<const NUMBER: u8>;

impl<const NUMBER: u8> Drop for Thrown<NUMBER> {
    fn drop(&mut self) {
        DROPPED.with_borrow_mut(|dropped| dropped.push(NUMBER));
        resume_unwind(Box::new("dropped what a hook panicked with"));
    }
}

fn throw(number: u8) -> ! {
    match number {
        0 => resume_unwind(Box::new(Thrown::<0>)),
        1 => resume_unwind(Box::new(Thrown::<1>)),
        2 => resume_unwind(Box::new(Thrown::<2>)),
        3 => resume_unwind(Box::new(Thrown::<3>)),
        _ => unreachable!("there are {VMAS} VMAs"),
    }
}

/// Returns the VMA whose hook panicked.
fn thrown(with: Box<dyn Any + Send>) -> Option<u8> {
    let are = [with.is::<Thrown<0>>(), with.is::<Thrown<1>>(), with.is::<Thrown<2>>(), with.is::<Thrown<3>>()];
    let number = (0..VMAS).find(|number| are[usize::from(*number)])?;
    std::mem::forget(with);
    Some(number)
}

impl Hooked {
    fn called(&self, hook: &'static str) {
        CALLED.with_borrow_mut(|called| called.push((hook, self.number)));
        if self.panics {
            throw(self.number);
        }
    }
}

impl Payload for Hooked {
    fn merges_with(&self, next: &Self) -> bool {
        self.number == next.number
    }

    fn unmapped(&self, _: Span) {
        self.called("unmapped");
    }

    fn protected(&self, _: Span, _: VmaFlags) {
        self.called("protected");
    }

    fn pages_moved(&self, _: Span, _: Span) {
        self.called("pages_moved");
    }
}

const VMAS: u8 = 4;

/// Returns the address of a VMA. Each has two pages.
fn at(number: u8) -> u64 {
    page(2 * u64::from(number))
}

fn of_vmas(count: u64) -> u64 {
    count * 2 * PAGE_SIZE
}

type Operation = fn(&mut MmWriteGuard<'_, Option<Hooked>>);

const OPERATIONS: [(&str, &[&str], Operation); 5] = [
    ("munmap", &["unmapped"], |w| w.munmap(page(0), of_vmas(4)).expect("memory")),
    ("exit", &["unmapped"], |w| w.exit().expect("memory")),
    ("mprotect", &["protected"], |w| w.mprotect(page(0), of_vmas(4), Prot::READ).expect("memory")),
    ("mremap", &["pages_moved", "unmapped"], |w| {
        w.mremap(&RemapRequest::resize(page(0), of_vmas(4), of_vmas(4)).fixed(page(100))).expect("memory");
    }),
    ("mmap over them", &["unmapped"], |w| {
        let request = MapRequest::new(of_vmas(4), VmaSpec::anonymous(RW).with_payload(None)).fixed(page(0));
        w.mmap(&request).expect("memory");
    }),
];

fn filled(panicking: u32) -> Mm<Option<Hooked>> {
    let mm = Mm::builder().private_epochs().build();
    for number in 0..VMAS {
        let payload = Hooked { number, panics: panicking >> number & 1 == 1 };
        let request = MapRequest::new(of_vmas(1), VmaSpec::anonymous(RW).with_payload(Some(payload))).fixed(at(number));
        mm.write().mmap(&request).expect("it is free");
    }
    mm
}

fn layout(mm: &Mm<Option<Hooked>>) -> Vec<(Span, VmaFlags)> {
    let writer = mm.try_write().expect("the lock is free");
    writer.validate().expect("the invariants hold");
    writer.iter().map(|vma| (vma.span(), vma.flags())).collect()
}

/// Runs each operation with each set of VMAs whose hooks panic.
#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn every_hook_is_called_whichever_panic() {
    for (name, hooks, operation) in OPERATIONS {
        let quiet = filled(0);
        operation(&mut quiet.write());
        let (after, all) = (layout(&quiet), CALLED.take());
        assert_eq!(all.len(), hooks.len() * usize::from(VMAS), "{name}: {all:?}");
        assert!(all.iter().all(|(hook, _)| hooks.contains(hook)), "{name}: {all:?}");
        for panicking in (1..1_u32 << VMAS).step_by(if cfg!(miri) { 7 } else { 1 }) {
            let mm = filled(panicking);
            let outcome = catch_unwind(AssertUnwindSafe(|| operation(&mut mm.write())));
            let Err(with) = outcome else { panic!("{name}: no hook of {panicking:#b} panicked") };
            let thrown = thrown(with).unwrap_or_else(|| panic!("{name}: another panic than a hook's"));
            let first = all.iter().map(|(_, number)| *number).find(|number| panicking >> number & 1 == 1);
            assert_eq!(Some(thrown), first, "{name}, {panicking:#b}: the first panic goes on");
            assert_eq!(CALLED.take(), all, "{name}, {panicking:#b}");
            assert_eq!(DROPPED.take(), [], "{name}: what hooks panic with is the embedder's");
            assert_eq!(layout(&mm), after, "{name}, {panicking:#b}");
        }
    }
}
