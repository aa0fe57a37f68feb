//! Protection keys: part 8 of `docs/semantics.md`, one test or more for each rule. The expected results are those of Linux 6.18.44 on a
//! processor with keys.

mod access;

use vmaple::lock::Patience;
use vmaple::mm::fault::FaultError;
use vmaple::mm::{
    KeyDenial, KeyRights, KeyedAccess, Limits, LockAll, MapRequest, MmWriteGuard, ObjectId, PkeyAllocError, Prot, ProtectRequest,
    ProtectionKey, RemapRequest,
};
use vmaple::{Access, ErrorCode, FaultContext, Mm, PAGE_SIZE, SegvCode, Signal, VmaFlags, VmaSpec};

const R: VmaFlags = VmaFlags::READ;
const RW: VmaFlags = R.union(VmaFlags::WRITE);
const X: VmaFlags = VmaFlags::EXEC;
const NONE: VmaFlags = VmaFlags::empty();
const NO_FIXUP: FaultContext<'static> = FaultContext::KernelWithoutFixup;
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

fn page(n: u64) -> u64 {
    0x10_0000 + n * PAGE_SIZE
}

fn key(number: u8) -> ProtectionKey {
    ProtectionKey::new(number).expect("a key")
}

fn with_keys(count: u8) -> Mm {
    let mut limits = Limits::default();
    limits.protection_keys = count;
    Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build()
}

fn map(writer: &mut MmWriteGuard<'_>, at: u64, pages: u64, access: VmaFlags) {
    let request = MapRequest::new(pages * PAGE_SIZE, VmaSpec::anonymous(access)).fixed(page(at));
    assert_eq!(writer.mmap(&request), Ok(page(at)));
}

/// Returns the VMAs: first page, page after the last, key.
fn layout(writer: &MmWriteGuard<'_>) -> Vec<(u64, u64, u8)> {
    writer.validate().expect("the invariants hold");
    let pages = |address: u64| (address - page(0)) / PAGE_SIZE;
    writer.iter().map(|vma| (pages(vma.start()), pages(vma.last() + 1), vma.flags().pkey().number())).collect()
}

fn key_at(writer: &MmWriteGuard<'_>, at: u64) -> u8 {
    writer.lookup(page(at)).expect("mapped").flags().pkey().number()
}

/// 8.1: VMAs with different keys do not merge, and VMAs with equal keys do.
/// ```text
/// before   AAAAAAAA
/// mprotect   kk
/// after    AAkkAAAA
/// ```
#[test]
fn rule_8_1_vmas_with_different_keys_never_merge() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 8, RW);
    let (first, second) = (writer.pkey_alloc(KeyDenial::empty()).expect("free"), writer.pkey_alloc(KeyDenial::empty()).expect("free"));
    assert_eq!((first, second), (key(1), key(2)));
    writer.mprotect(page(2), 2 * PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(first)).expect("allocated");
    assert_eq!(layout(&writer), [(0, 2, 0), (2, 4, 1), (4, 8, 0)]);
    // A neighbour that gets the same key merges; a part that gets another key is split off.
    writer.mprotect(page(4), PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(first)).expect("allocated");
    assert_eq!(layout(&writer), [(0, 2, 0), (2, 5, 1), (5, 8, 0)]);
    writer.mprotect(page(2), PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(second)).expect("allocated");
    assert_eq!(layout(&writer), [(0, 2, 0), (2, 3, 2), (3, 5, 1), (5, 8, 0)]);
    writer.mprotect(page(0), 8 * PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(ProtectionKey::ZERO)).expect("key 0");
    assert_eq!(layout(&writer), [(0, 8, 0)]);
}

/// 8.1: a VMA keeps its key when it is split, moved, grown, or copied to a child.
#[test]
fn rule_8_1_split_move_growth_and_fork_keep_the_key() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    let one = writer.pkey_alloc(KeyDenial::empty()).expect("free");
    map(&mut writer, 0, 4, RW);
    writer.mprotect(page(0), 4 * PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(one)).expect("allocated");
    writer.munmap(page(1), PAGE_SIZE).expect("cut");
    writer.mprotect(page(3), PAGE_SIZE, R.prot()).expect("cut");
    assert_eq!(layout(&writer), [(0, 1, 1), (2, 3, 1), (3, 4, 1)]);
    writer.mremap(&RemapRequest::resize(page(3), PAGE_SIZE, 2 * PAGE_SIZE)).expect("room above");
    writer.mremap(&RemapRequest::resize(page(0), PAGE_SIZE, 2 * PAGE_SIZE).fixed(page(10))).expect("moved");
    writer.mremap(&RemapRequest::dont_unmap(page(2), PAGE_SIZE, 0).fixed(page(20))).expect("moved");
    assert_eq!(layout(&writer), [(2, 3, 1), (3, 5, 1), (10, 12, 1), (20, 21, 1)]);
    map(&mut writer, 600, 1, RW | VmaFlags::GROWSDOWN);
    writer.mprotect(page(600), PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(one)).expect("allocated");
    writer.expand_down(page(597)).expect("room below");
    assert_eq!(key_at(&writer, 597), 1);
    let child = writer.fork().expect("memory");
    let child = child.write();
    assert_eq!(layout(&child), layout(&writer));
}

/// 8.2: `mmap` and `mprotect` with `EXEC` alone, and `pkey_mprotect` without a key, give the execute-only key, which stays the same.
#[test]
fn rule_8_2_exec_alone_has_the_execute_only_key() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    assert_eq!(mm.execute_only_key(), None);
    map(&mut writer, 0, 1, X);
    assert_eq!((key_at(&writer, 0), mm.execute_only_key()), (1, Some(key(1))));
    map(&mut writer, 2, 2, RW);
    writer.mprotect(page(2), PAGE_SIZE, X.prot()).expect("mapped");
    writer.mprotect(page(3), PAGE_SIZE, ProtectRequest::from_raw(X.prot().bits().into(), -1)).expect("mapped");
    assert_eq!(layout(&writer), [(0, 1, 1), (2, 4, 1)]);
    // It is the lowest key that is free at the first request.
    let mm = with_keys(16);
    let mut writer = mm.write();
    for n in 1..=3 {
        assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(n)));
    }
    writer.pkey_free(key(2)).expect("allocated");
    map(&mut writer, 0, 1, X);
    assert_eq!((key_at(&writer, 0), mm.execute_only_key()), (2, Some(key(2))));
}

/// 8.2: if no key is free, a new mapping gets key 0, and a changed VMA keeps its key.
#[test]
fn rule_8_2_without_a_free_key_it_can_be_read() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    while writer.pkey_alloc(KeyDenial::empty()).is_ok() {}
    map(&mut writer, 0, 1, X);
    map(&mut writer, 2, 1, R);
    writer.mprotect(page(2), PAGE_SIZE, ProtectRequest::new(R.prot()).with_key(key(3))).expect("allocated");
    writer.mprotect(page(2), PAGE_SIZE, X.prot()).expect("mapped");
    assert_eq!(layout(&writer), [(0, 1, 0), (2, 3, 3)]);
    assert_eq!(mm.execute_only_key(), None);
    writer.mlock(page(0), PAGE_SIZE).expect("it can be read");
    // When a key is free again, it becomes the execute-only key at the next request.
    writer.pkey_free(key(7)).expect("allocated");
    writer.mprotect(page(2), PAGE_SIZE, X.prot()).expect("mapped");
    assert_eq!(key_at(&writer, 2), 7);
    writer.mprotect(page(2), PAGE_SIZE, R.prot()).expect("mapped");
    assert_eq!(key_at(&writer, 2), 0);
}

/// 8.2: the key is allocated at the same step of the operation as in Linux, and stays allocated if a later step fails.
#[test]
fn rule_8_2_the_key_stays_allocated_when_the_operation_fails() {
    let next = |mm: &Mm| mm.write().pkey_alloc(KeyDenial::empty()).expect("free").number();
    // Operations that fail before that step: by their length, or by a gap.
    let mm = with_keys(16);
    let exec = |len| MapRequest::new(len, VmaSpec::anonymous(X));
    assert_eq!(mm.write().mmap(&exec(0)).map_err(|error| error.errno()), Err(EINVAL));
    assert_eq!(mm.write().mmap(&exec(u64::MAX)).map_err(|error| error.errno()), Err(ENOMEM));
    assert_eq!(mm.write().mprotect(page(0), PAGE_SIZE, X.prot()).map_err(|error| error.errno()), Err(ENOMEM));
    assert_eq!(next(&mm), 1);
    // Operations that fail after it: there is no room, or the address is refused.
    for request in [exec(1 << 50), exec(PAGE_SIZE).fixed(page(0) + 1), exec(PAGE_SIZE).fixed(0x1000)] {
        let mm = with_keys(16);
        let result = mm.write().mmap(&request).map_err(|error| error.errno());
        assert!(result.is_err(), "{request:?}: {result:?}");
        assert_eq!(next(&mm), 2, "{request:?}");
    }
    // `mprotect` allocates the key before it checks whether the VMA may change.
    let mm = with_keys(16);
    mm.write().insert(page(0), PAGE_SIZE, VmaSpec::anonymous(R | VmaFlags::MAYREAD)).expect("free");
    assert_eq!(mm.write().mprotect(page(0), PAGE_SIZE, X.prot()).map_err(|error| error.errno()), Err(EACCES));
    assert_eq!(next(&mm), 2);
    let mm = with_keys(16);
    map(&mut mm.write(), 0, 1, R);
    mm.write().mseal(page(0), PAGE_SIZE).expect("mapped");
    assert_eq!(mm.write().mprotect(page(0), PAGE_SIZE, X.prot()).map_err(|error| error.errno()), Err(EPERM));
    assert_eq!(next(&mm), 2);
    // A plan that is dropped allocates no key.
    let mm = with_keys(16);
    map(&mut mm.write(), 0, 1, R);
    drop(mm.write().plan(Patience::Forever).mprotect(page(0), PAGE_SIZE, X.prot()));
    drop(mm.write().plan(Patience::Forever).mmap(&exec(PAGE_SIZE)));
    assert_eq!(next(&mm), 1);
}

/// 7.10 with 8.2: under `PartialEffects::Never`, an operation that fails leaves no key allocated.
#[test]
fn all_or_nothing_holds_for_keys() {
    let mm = with_keys(16);
    let mut limits = mm.limits();
    limits.policy.partial = vmaple::mm::PartialEffects::Never;
    mm.set_limits(limits).expect("limits that mean something");
    let mut writer = mm.write();
    map(&mut writer, 0, 1, R);
    let request = MapRequest::new(PAGE_SIZE, VmaSpec::anonymous(X)).fixed_no_replace(page(0));
    assert!(writer.mmap(&request).is_err() && writer.mprotect(page(0), 2 * PAGE_SIZE, X.prot()).is_err());
    assert_eq!((mm.execute_only_key(), writer.pkey_alloc(KeyDenial::empty())), (None, Ok(key(1))));
}

/// 8.3: memory that is no longer execute-only gets key 0 back. Any other key stays, unless the memory becomes execute-only.
#[test]
fn rule_8_3_mprotect_and_the_key_of_before() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, RW);
    for access in [NONE, R, RW, R | X, VmaFlags::WRITE] {
        writer.mprotect(page(0), PAGE_SIZE, X.prot()).expect("mapped");
        assert_eq!(key_at(&writer, 0), 1);
        writer.mprotect(page(0), PAGE_SIZE, access.prot()).expect("mapped");
        assert_eq!(key_at(&writer, 0), 0, "{access:?}");
    }
    let other = writer.pkey_alloc(KeyDenial::empty()).expect("free");
    writer.mprotect(page(0), PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(other)).expect("allocated");
    for access in [NONE, R, R | X, RW] {
        writer.mprotect(page(0), PAGE_SIZE, access.prot()).expect("mapped");
        assert_eq!(key_at(&writer, 0), 2, "{access:?}");
    }
    // With a key that was given, memory is not execute-only, although it has only that permission.
    writer.mprotect(page(0), PAGE_SIZE, ProtectRequest::new(X.prot()).with_key(other)).expect("allocated");
    writer.mprotect(page(0), PAGE_SIZE, R.prot()).expect("mapped");
    assert_eq!(key_at(&writer, 0), 2);
    writer.mprotect(page(0), PAGE_SIZE, X.prot()).expect("mapped");
    writer.mprotect(page(0), PAGE_SIZE, RW.prot()).expect("mapped");
    assert_eq!(key_at(&writer, 0), 0, "not the key of before");
}

/// 8.3: if a request has `PROT_EXEC` and a bit that is no access, the memory does not become execute-only.
#[test]
fn rule_8_3_more_than_exec_is_not_execute_only() {
    // PROT_EXEC | PROT_SEM
    let exec_and_sem = ProtectRequest::from_raw(4 | 8, -1);
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, R);
    writer.mprotect(page(0), PAGE_SIZE, exec_and_sem).expect("mapped");
    assert_eq!((key_at(&writer, 0), mm.execute_only_key()), (0, None));
    writer.mprotect(page(0), PAGE_SIZE, X.prot()).expect("mapped");
    writer.mprotect(page(0), PAGE_SIZE, exec_and_sem).expect("mapped");
    assert_eq!(key_at(&writer, 0), 0);
    let request = MapRequest::new(PAGE_SIZE, VmaSpec::anonymous(X)).fixed(page(2)).readable();
    writer.mmap(&request).expect("free");
    assert_eq!(key_at(&writer, 2), 0);
}

/// 8.4: the keys that may be given, and the order of this check among the others.
#[test]
fn rule_8_4_pkey_mprotect_refuses() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 2, R);
    let mut asked = |at: u64, len: u64, access: VmaFlags, number| {
        writer.mprotect(at, len, ProtectRequest::from_raw(access.prot().bits().into(), number)).map_err(|error| error.errno())
    };
    let (start, len) = (page(0), PAGE_SIZE);
    for number in [5, 16, 1 << 20, -2, i32::MIN] {
        assert_eq!(asked(start, len, R, number), Err(EINVAL), "{number}");
        assert_eq!(asked(start, 0, R, number), Ok(()), "of no length nothing is looked at");
        assert_eq!(asked(start, u64::MAX - PAGE_SIZE, R, number), Err(ENOMEM), "it wraps around");
        assert_eq!(asked(page(100), len, R, number), Err(EINVAL), "before it is asked what is mapped");
    }
    assert_eq!(asked(start, len, R, 0), Ok(()), "key 0 is allocated");
    assert_eq!(asked(start, len, X, -1), Ok(()));
    assert_eq!(mm.execute_only_key(), Some(key(1)));
    assert_eq!(asked(start, len, X, 1), Err(EINVAL), "the execute-only key by number");
    // The memory has `EXEC` alone, and can be read, because it has key 0.
    assert_eq!(asked(start, len, X, 0), Ok(()));
    assert_eq!(key_at(&writer, 0), 0);
    drop(writer);
    assert!(mm.handle_fault(start, Access::Read, NO_FIXUP).is_ok());
}

/// 8.5: `pkey_alloc` returns the lowest key that is free, until there is none.
#[test]
fn rule_8_5_pkey_alloc() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    assert_eq!(writer.pkey_alloc(KeyDenial::from_bits_retain(4)), Err(PkeyAllocError::Rights { bits: 4 }));
    map(&mut writer, 0, 1, X);
    for n in 2..16 {
        let denial = KeyDenial::from_bits_retain(u32::from(n) % 4);
        assert_eq!(writer.pkey_alloc(denial), Ok(key(n)));
    }
    let full = writer.pkey_alloc(KeyDenial::empty());
    assert_eq!((full, full.map_err(|error| error.errno())), (Err(PkeyAllocError::Exhausted), Err(ENOSPC)));
    writer.pkey_free(key(9)).expect("allocated");
    writer.pkey_free(key(4)).expect("allocated");
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(4)));
    // There are as many keys as the machine has.
    let mm = with_keys(8);
    let result: Vec<_> = std::iter::from_fn(|| mm.write().pkey_alloc(KeyDenial::empty()).ok()).collect();
    assert_eq!(result, (1..8).map(key).collect::<Vec<_>>());
    // A plan has no effect until it is committed.
    let mm = with_keys(16);
    let mut writer = mm.write();
    drop(writer.plan(Patience::Never).pkey_alloc(KeyDenial::empty()));
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(1)));
    drop(writer.plan(Patience::Never).pkey_free(key(1)));
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(2)));
}

/// 8.5: VMAs keep a key that is freed.
#[test]
fn rule_8_5_pkey_free() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    let mut freed = |n| writer.pkey_free(key(n)).map_err(|error| error.errno());
    assert_eq!((freed(1), freed(15)), (Err(EINVAL), Err(EINVAL)));
    map(&mut writer, 0, 1, X);
    map(&mut writer, 2, 1, R);
    let two = writer.pkey_alloc(KeyDenial::empty()).expect("free");
    writer.mprotect(page(2), PAGE_SIZE, ProtectRequest::new(R.prot()).with_key(two)).expect("allocated");
    assert_eq!(writer.pkey_free(key(1)).map_err(|error| error.errno()), Err(EINVAL), "the execute-only key");
    writer.pkey_free(two).expect("allocated");
    assert_eq!(writer.pkey_free(two).map_err(|error| error.errno()), Err(EINVAL));
    assert_eq!(key_at(&writer, 2), 2);
    assert!(writer.mprotect(page(2), PAGE_SIZE, ProtectRequest::new(R.prot()).with_key(two)).is_err(), "it is not allocated any more");
    writer.mprotect(page(2), PAGE_SIZE, RW.prot()).expect("mapped");
    assert_eq!(key_at(&writer, 2), 2, "and stays all the same");
    // Key 0 is allocated from the start, and can be freed, too.
    writer.pkey_free(ProtectionKey::ZERO).expect("allocated");
    assert!(writer.pkey_free(ProtectionKey::ZERO).is_err());
    assert!(writer.mprotect(page(2), PAGE_SIZE, ProtectRequest::new(R.prot()).with_key(ProtectionKey::ZERO)).is_err());
    assert_eq!(writer.mprotect(page(2), PAGE_SIZE, R.prot()), Ok(()));
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(ProtectionKey::ZERO));
    assert_eq!(writer.mprotect(page(2), PAGE_SIZE, ProtectRequest::new(R.prot()).with_key(ProtectionKey::ZERO)), Ok(()));
}

/// 8.5: if a freed key becomes the execute-only key, accesses to VMAs that still have it are denied, and those with `EXEC` alone are
/// execute-only.
#[test]
fn rule_8_5_a_freed_key_becomes_the_execute_only_key() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, R);
    map(&mut writer, 2, 1, R);
    let one = writer.pkey_alloc(KeyDenial::empty()).expect("free");
    writer.mprotect(page(0), PAGE_SIZE, ProtectRequest::new(X.prot()).with_key(one)).expect("allocated");
    writer.mprotect(page(2), PAGE_SIZE, ProtectRequest::new(R.prot()).with_key(one)).expect("allocated");
    writer.pkey_free(one).expect("allocated");
    drop(writer);
    assert!(mm.handle_fault(page(2), Access::Read, NO_FIXUP).is_ok());
    let mut writer = mm.write();
    map(&mut writer, 4, 1, X);
    writer.mprotect(page(0), PAGE_SIZE, R.prot()).expect("mapped");
    assert_eq!(layout(&writer), [(0, 1, 0), (2, 3, 1), (4, 5, 1)]);
    writer.mprotect(page(2), PAGE_SIZE, Prot::WRITE).expect("mapped");
    assert_eq!(key_at(&writer, 2), 1, "it was not execute-only");
    drop(writer);
    assert!(mm.handle_fault(page(2), Access::Read, NO_FIXUP).is_err());
}

/// 8.5: a child has the same keys allocated as its parent; `exit` frees all keys.
#[test]
fn rule_8_5_fork_copies_the_allocation_and_exit_forgets_it() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, X);
    writer.pkey_alloc(KeyDenial::empty()).expect("free");
    let child = writer.fork().expect("memory");
    assert_eq!(child.execute_only_key(), Some(key(1)));
    assert_eq!(child.write().pkey_alloc(KeyDenial::empty()), Ok(key(3)));
    // From then on, the allocations of parent and child are independent.
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(3)));
    child.write().pkey_free(key(2)).expect("allocated");
    assert!(child.write().pkey_free(key(2)).is_err() && writer.pkey_free(key(2)).is_ok());
    writer.exit().expect("memory");
    assert_eq!((mm.execute_only_key(), writer.pkey_alloc(KeyDenial::empty())), (None, Ok(key(1))));
}
