//! The operations of the address space: every allocation of each fails in turn. The allocator is the binary's own; `main.rs` has it.

use super::allocator::{each_failure, short};
use std::fmt::Debug;
use vmaple::mm::{Advice, AnonOwner, Backing, Limits, LockAll, MapRequest, MmWriteGuard, PartialEffects, Prot, RemapRequest};
use vmaple::{ErrorCode, Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};

const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);
const ENOMEM: i32 = 12;
const EAGAIN: i32 = 11;
/// More than a node of the index holds, and than an operation can note without asking for memory.
const VMAS: u64 = if cfg!(miri) { 20 } else { 36 };

fn page(n: u64) -> u64 {
    0x10_0000 + n * PAGE_SIZE
}

/// VMAs of four pages, every other one writable, with a gap above every eighth.
fn filled(partial: PartialEffects) -> Mm {
    let mut limits = Limits::default();
    limits.policy.partial = partial;
    limits.huge_page_bytes = 1;
    let mm = Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build();
    let mut writer = mm.write();
    for i in 0..VMAS {
        let flags = if i % 2 == 0 { RW } else { VmaFlags::READ };
        let request = MapRequest::new(4 * PAGE_SIZE, VmaSpec::anonymous(flags)).fixed(at(i));
        writer.mmap(&request).expect("memory");
    }
    writer.set_heap(at(VMAS), at(VMAS)).expect("a heap in the address space");
    drop(writer);
    mm
}

/// Where a VMA starts.
fn at(vma: u64) -> u64 {
    page(vma * 4 + vma / 8)
}

/// Returns the length of `count` VMAs, from the first of a run of eight on.
fn of_vmas(count: u64) -> u64 {
    count * 4 * PAGE_SIZE
}

/// A VMA: bounds, flags, backing, offset, and whether its pages have an owner.
type Row = (Span, VmaFlags, Backing, u64, bool);

fn rows(writer: &MmWriteGuard<'_>) -> Vec<Row> {
    writer.validate().expect("the invariants hold");
    let row = |vma: vmaple::mm::Vma<'_>| (vma.span(), vma.flags(), vma.backing(), vma.linear_offset(), vma.anon_owner().is_some());
    writer.iter().map(row).collect()
}

/// Runs an operation with its first allocation failing, then with its second, and so on until it gets through.
fn fail_each<T: Copy + Debug + PartialEq>(name: &str, errno: i32, operation: impl Fn(&mut MmWriteGuard<'_>) -> Result<T, i32>) {
    for partial in [PartialEffects::AsLinux, PartialEffects::Never] {
        let whole = filled(partial);
        let result = operation(&mut whole.write());
        let done = rows(&whole.write());
        each_failure(|shortage, nth| {
            let mm = filled(partial);
            let mut writer = mm.write();
            let (before, brk) = (rows(&writer), mm.program_break());
            let (failed, reached) = short(shortage, nth, || operation(&mut writer));
            let after = rows(&writer);
            if !reached {
                assert_eq!((failed, &after), (result, &done), "{name}: nothing failed");
                assert!(nth > 0, "{name} allocates nothing: the test tests nothing");
                return false;
            }
            assert_eq!(failed, Err(errno), "{name}: allocation {nth} failed");
            assert_eq!(after, before, "{name}: allocation {nth} failed and something changed");
            assert_eq!(mm.program_break(), brk, "{name}: allocation {nth} failed and the break moved");
            assert_eq!(operation(&mut writer), result, "{name}: a second try after allocation {nth} failed");
            assert_eq!(rows(&writer), done, "{name}: a second try after allocation {nth} failed");
            true
        });
    }
}

fn anonymous(pages: u64, flags: VmaFlags) -> MapRequest {
    MapRequest::new(pages * PAGE_SIZE, VmaSpec::anonymous(flags))
}

#[test]
fn every_allocation_of_mapping_and_unmapping_may_fail() {
    let object = VmaSpec::of_object(vmaple::mm::ObjectId::from(1), 0, VmaFlags::READ);
    fail_each("mmap", ENOMEM, |w| w.mmap(&MapRequest::new(PAGE_SIZE, object.clone())).map_err(|e| e.errno()));
    fail_each("mmap that cuts", ENOMEM, |w| w.mmap(&anonymous(2, VmaFlags::EXEC).fixed(at(3) + PAGE_SIZE)).map_err(|e| e.errno()));
    fail_each("mmap over many", ENOMEM, |w| w.mmap(&anonymous(70, VmaFlags::EXEC).fixed(at(3) + PAGE_SIZE)).map_err(|e| e.errno()));
    fail_each("mmap that is locked", ENOMEM, |w| w.mmap(&anonymous(9, RW | VmaFlags::LOCKED).fixed(at(2))).map_err(|e| e.errno()));
    fail_each("munmap in the middle", ENOMEM, |w| w.munmap(at(2) + PAGE_SIZE, PAGE_SIZE).map_err(|e| e.errno()));
    fail_each("munmap of many", ENOMEM, |w| w.munmap(at(2) + PAGE_SIZE, of_vmas(12)).map_err(|e| e.errno()));
    fail_each("brk", ENOMEM, |w| w.plan(vmaple::lock::Patience::Never).brk(at(VMAS) + of_vmas(1)).commit().map_err(|e| e.errno()));
    fail_each("exit", ENOMEM, |w| w.exit().map(|()| 0).map_err(|e| e.errno()));
}

#[test]
fn every_allocation_of_what_changes_flags_may_fail() {
    fail_each("mprotect", ENOMEM, |w| w.mprotect(at(2) + PAGE_SIZE, 2 * PAGE_SIZE, Prot::EXEC).map_err(|e| e.errno()));
    fail_each("mprotect of many", ENOMEM, |w| w.mprotect(at(8) + PAGE_SIZE, of_vmas(7), Prot::EXEC).map_err(|e| e.errno()));
    fail_each("mprotect that merges", ENOMEM, |w| w.mprotect(at(8), of_vmas(8), RW.prot()).map_err(|e| e.errno()));
    fail_each("madvise", EAGAIN, |w| w.madvise(at(8) + PAGE_SIZE, of_vmas(7), Advice::DontFork).map_err(|e| e.errno()));
    fail_each("mlock", ENOMEM, |w| w.mlock(at(8) + PAGE_SIZE, of_vmas(7)).map_err(|e| e.errno()));
    fail_each("mlockall", ENOMEM, |w| w.mlockall(LockAll::CurrentAndFuture).map_err(|e| e.errno()));
    fail_each("mseal", ENOMEM, |w| w.mseal(at(8) + PAGE_SIZE, of_vmas(7)).map_err(|e| e.errno()));
}

#[test]
fn every_allocation_of_mremap_may_fail() {
    let far = at(VMAS) + page(100);
    let fail = |name, request: RemapRequest| fail_each(name, ENOMEM, |w| w.mremap(&request).map_err(|e| e.errno()));
    fail("mremap in place", RemapRequest::resize(at(7), of_vmas(1), of_vmas(1) + PAGE_SIZE));
    fail("mremap that shrinks", RemapRequest::resize(at(2), of_vmas(1), PAGE_SIZE));
    fail("mremap that moves", RemapRequest::resize(at(2), of_vmas(1), of_vmas(2)).may_move());
    fail("mremap to", RemapRequest::resize(at(2) + PAGE_SIZE, PAGE_SIZE, PAGE_SIZE).fixed(at(5)));
    fail("mremap of several", RemapRequest::resize(at(8), of_vmas(8), of_vmas(8)).fixed(far));
    fail("mremap that leaves", RemapRequest::dont_unmap(at(2), of_vmas(1), 0).fixed(far));
}

/// There is no child then, and the parent is as it was; a second try makes one.
#[test]
fn every_allocation_of_a_fork_may_fail() {
    each_failure(|shortage, nth| {
        let mm = filled(PartialEffects::AsLinux);
        let mut writer = mm.write();
        assert!(writer.own(at(2)).is_some_and(|owner: AnonOwner| owner.number() > 0), "a VMA with an owner is among them");
        let before = rows(&writer);
        let (child, reached) = short(shortage, nth, || writer.fork());
        assert_eq!(rows(&writer), before, "allocation {nth}: the parent changed");
        assert_eq!(child.as_ref().err().map(vmaple::mm::ForkError::errno), reached.then_some(ENOMEM), "allocation {nth}");
        let child = child.or_else(|_| writer.fork()).expect("a second try succeeds");
        assert_eq!(rows(&child.write()), before, "the child");
        assert!(reached || nth > 0, "it allocates nothing: the test tests nothing");
        reached
    });
}
