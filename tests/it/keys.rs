//! Protection keys, rule by rule: part 8 of `docs/semantics.md`. What each call and each access comes to was asked of Linux 6.18.44 on a
//! processor with keys.

use vmaple::{
    Access, Fault, FaultContext, KeyChange, KeyDenial, KeyRights, KeyedAccess, Limits, LockAll, MapRequest, Mm, MmWriteGuard, MremapFlags,
    ObjectId, PAGE_SIZE, Patience, PkeyAllocError, ProtectionKey, RangeMap, SegvCode, Signal, VmaFlags, VmaSpec,
};

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
    Mm::with(RangeMap::builder().private_epochs(), limits).expect("limits that mean something")
}

fn map(writer: &mut MmWriteGuard<'_>, at: u64, pages: u64, access: VmaFlags) {
    let request = MapRequest::of_len(pages * PAGE_SIZE, VmaSpec::anonymous(access)).fixed(page(at));
    assert_eq!(writer.mmap(&request), Ok(page(at)));
}

/// The VMAs as pages from the first on: where each begins and ends, and its key.
fn layout(writer: &MmWriteGuard<'_>) -> Vec<(u64, u64, u8)> {
    writer.validate().expect("the invariants hold");
    let pages = |address: u64| (address - page(0)) / PAGE_SIZE;
    writer.vmas().map(|vma| (pages(vma.start()), pages(vma.last() + 1), vma.flags().pkey().number())).collect()
}

fn key_at(writer: &MmWriteGuard<'_>, at: u64) -> u8 {
    writer.vma(page(at)).expect("mapped").flags().pkey().number()
}

/// 8.1: a key is a part of the VMA.
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
    writer.pkey_mprotect(page(2), 2 * PAGE_SIZE, RW, first).expect("allocated");
    assert_eq!(layout(&writer), [(0, 2, 0), (2, 4, 1), (4, 8, 0)]);
    // A neighbour gets the same key, and the two are one; a key more, and they are two.
    writer.pkey_mprotect(page(4), PAGE_SIZE, RW, first).expect("allocated");
    assert_eq!(layout(&writer), [(0, 2, 0), (2, 5, 1), (5, 8, 0)]);
    writer.pkey_mprotect(page(2), PAGE_SIZE, RW, second).expect("allocated");
    assert_eq!(layout(&writer), [(0, 2, 0), (2, 3, 2), (3, 5, 1), (5, 8, 0)]);
    writer.pkey_mprotect(page(0), 8 * PAGE_SIZE, RW, ProtectionKey::ZERO).expect("key 0");
    assert_eq!(layout(&writer), [(0, 8, 0)]);
}

/// 8.1: a part keeps it, and so does what is moved, what grows, and what a child has.
#[test]
fn rule_8_1_split_move_growth_and_fork_keep_the_key() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    let one = writer.pkey_alloc(KeyDenial::empty()).expect("free");
    map(&mut writer, 0, 4, RW);
    writer.pkey_mprotect(page(0), 4 * PAGE_SIZE, RW, one).expect("allocated");
    writer.munmap(page(1), PAGE_SIZE).expect("cut");
    writer.mprotect(page(3), PAGE_SIZE, R).expect("cut");
    assert_eq!(layout(&writer), [(0, 1, 1), (2, 3, 1), (3, 4, 1)]);
    writer.mremap(page(3), PAGE_SIZE, 2 * PAGE_SIZE, MremapFlags::empty(), 0).expect("room above");
    let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
    writer.mremap(page(0), PAGE_SIZE, 2 * PAGE_SIZE, flags, page(10)).expect("moved");
    let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED | MremapFlags::DONTUNMAP;
    writer.mremap(page(2), PAGE_SIZE, PAGE_SIZE, flags, page(20)).expect("moved");
    assert_eq!(layout(&writer), [(2, 3, 1), (3, 5, 1), (10, 12, 1), (20, 21, 1)]);
    map(&mut writer, 600, 1, RW | VmaFlags::GROWSDOWN);
    writer.pkey_mprotect(page(600), PAGE_SIZE, RW, one).expect("allocated");
    writer.expand_down(page(597)).expect("room below");
    assert_eq!(key_at(&writer, 597), 1);
    let child = writer.fork().expect("memory");
    let child = child.write();
    assert_eq!(layout(&child), layout(&writer));
}

/// 8.2: `mmap` and `mprotect` to `EXEC` alone, and `pkey_mprotect` without a key: the execute-only key, the same from then on.
#[test]
fn rule_8_2_exec_alone_has_the_execute_only_key() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    assert_eq!(mm.execute_only_key(), None);
    map(&mut writer, 0, 1, X);
    assert_eq!((key_at(&writer, 0), mm.execute_only_key()), (1, Some(key(1))));
    map(&mut writer, 2, 2, RW);
    writer.mprotect(page(2), PAGE_SIZE, X).expect("mapped");
    writer.pkey_mprotect(page(3), PAGE_SIZE, X, KeyChange::of_argument(-1)).expect("mapped");
    assert_eq!(layout(&writer), [(0, 1, 1), (2, 4, 1)]);
    // It is the lowest that is free when it is first asked for.
    let mm = with_keys(16);
    let mut writer = mm.write();
    for n in 1..=3 {
        assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(n)));
    }
    writer.pkey_free(key(2)).expect("allocated");
    map(&mut writer, 0, 1, X);
    assert_eq!((key_at(&writer, 0), mm.execute_only_key()), (2, Some(key(2))));
}

/// 8.2: where no key is free what is mapped has key 0, and what is changed keeps its key.
#[test]
fn rule_8_2_without_a_free_key_it_can_be_read() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    while writer.pkey_alloc(KeyDenial::empty()).is_ok() {}
    map(&mut writer, 0, 1, X);
    map(&mut writer, 2, 1, R);
    writer.pkey_mprotect(page(2), PAGE_SIZE, R, key(3)).expect("allocated");
    writer.mprotect(page(2), PAGE_SIZE, X).expect("mapped");
    assert_eq!(layout(&writer), [(0, 1, 0), (2, 3, 3)]);
    assert_eq!(mm.execute_only_key(), None);
    writer.mlock(page(0), PAGE_SIZE).expect("it can be read");
    // As soon as one is free it is the execute-only key.
    writer.pkey_free(key(7)).expect("allocated");
    writer.mprotect(page(2), PAGE_SIZE, X).expect("mapped");
    assert_eq!(key_at(&writer, 2), 7);
    writer.mprotect(page(2), PAGE_SIZE, R).expect("mapped");
    assert_eq!(key_at(&writer, 2), 0);
}

/// 8.2: the key is allocated where Linux asks for it, and stays allocated when the operation fails after that.
#[test]
fn rule_8_2_the_key_stays_allocated_when_the_operation_fails() {
    let next = |mm: &Mm| mm.write().pkey_alloc(KeyDenial::empty()).expect("free").number();
    // Before it is asked for: nothing of a length, nothing of the layout, a gap.
    let mm = with_keys(16);
    let exec = |len| MapRequest::of_len(len, VmaSpec::anonymous(X));
    assert_eq!(mm.write().mmap(&exec(0)).map_err(|error| error.errno()), Err(EINVAL));
    assert_eq!(mm.write().mmap(&exec(u64::MAX)).map_err(|error| error.errno()), Err(ENOMEM));
    assert_eq!(mm.write().mprotect(page(0), PAGE_SIZE, X).map_err(|error| error.errno()), Err(ENOMEM));
    assert_eq!(next(&mm), 1);
    // After it: no room, the address, a lock.
    for request in [exec(1 << 50), exec(PAGE_SIZE).fixed(page(0) + 1), exec(PAGE_SIZE).fixed(0x1000)] {
        let mm = with_keys(16);
        let told = mm.write().mmap(&request).map_err(|error| error.errno());
        assert!(told.is_err(), "{request:?}: {told:?}");
        assert_eq!(next(&mm), 2, "{request:?}");
    }
    // Of `mprotect`, before it is asked whether the VMA may be changed.
    let mm = with_keys(16);
    mm.write().map(page(0)..page(1), VmaSpec::anonymous(R | VmaFlags::MAYREAD)).expect("free");
    assert_eq!(mm.write().mprotect(page(0), PAGE_SIZE, X).map_err(|error| error.errno()), Err(EACCES));
    assert_eq!(next(&mm), 2);
    let mm = with_keys(16);
    map(&mut mm.write(), 0, 1, R);
    mm.write().mseal(page(0), PAGE_SIZE).expect("mapped");
    assert_eq!(mm.write().mprotect(page(0), PAGE_SIZE, X).map_err(|error| error.errno()), Err(EPERM));
    assert_eq!(next(&mm), 2);
    // A plan that is dropped has allocated none.
    let mm = with_keys(16);
    map(&mut mm.write(), 0, 1, R);
    drop(mm.write().plan_mprotect(page(0), PAGE_SIZE, X, Patience::Forever));
    drop(mm.write().plan_mmap(&exec(PAGE_SIZE), Patience::Forever));
    assert_eq!(next(&mm), 1);
}

/// 7.10 with 8.2: an operation that is all or nothing, and fails, leaves no key allocated.
#[test]
fn all_or_nothing_holds_for_keys() {
    let mm = with_keys(16);
    let mut limits = mm.limits();
    limits.policy.partial = vmaple::PartialEffects::Never;
    mm.set_limits(limits).expect("limits that mean something");
    let mut writer = mm.write();
    map(&mut writer, 0, 1, R);
    let request = MapRequest::of_len(PAGE_SIZE, VmaSpec::anonymous(X)).fixed_no_replace(page(0));
    assert!(writer.mmap(&request).is_err() && writer.mprotect(page(0), 2 * PAGE_SIZE, X).is_err());
    assert_eq!((mm.execute_only_key(), writer.pkey_alloc(KeyDenial::empty())), (None, Ok(key(1))));
}

/// 8.3: away from execute-only back to key 0; any other key stays, but where it becomes execute-only.
#[test]
fn rule_8_3_mprotect_and_the_key_of_before() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, RW);
    for access in [NONE, R, RW, R | X, VmaFlags::WRITE] {
        writer.mprotect(page(0), PAGE_SIZE, X).expect("mapped");
        assert_eq!(key_at(&writer, 0), 1);
        writer.mprotect(page(0), PAGE_SIZE, access).expect("mapped");
        assert_eq!(key_at(&writer, 0), 0, "{access:?}");
    }
    let other = writer.pkey_alloc(KeyDenial::empty()).expect("free");
    writer.pkey_mprotect(page(0), PAGE_SIZE, RW, other).expect("allocated");
    for access in [NONE, R, R | X, RW] {
        writer.mprotect(page(0), PAGE_SIZE, access).expect("mapped");
        assert_eq!(key_at(&writer, 0), 2, "{access:?}");
    }
    // With a key of its own it is not execute-only memory, though it has that permission alone.
    writer.pkey_mprotect(page(0), PAGE_SIZE, X, other).expect("allocated");
    writer.mprotect(page(0), PAGE_SIZE, R).expect("mapped");
    assert_eq!(key_at(&writer, 0), 2);
    writer.mprotect(page(0), PAGE_SIZE, X).expect("mapped");
    writer.mprotect(page(0), PAGE_SIZE, RW).expect("mapped");
    assert_eq!(key_at(&writer, 0), 0, "not the key of before");
}

/// 8.3: where more than `PROT_EXEC` is asked for that is no access, memory is not execute-only.
#[test]
fn rule_8_3_more_than_exec_is_not_execute_only() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, R);
    writer.pkey_mprotect(page(0), PAGE_SIZE, X, KeyChange::IMPLIED_READABLE).expect("mapped");
    assert_eq!((key_at(&writer, 0), mm.execute_only_key()), (0, None));
    writer.mprotect(page(0), PAGE_SIZE, X).expect("mapped");
    writer.pkey_mprotect(page(0), PAGE_SIZE, X, KeyChange::IMPLIED_READABLE).expect("mapped");
    assert_eq!(key_at(&writer, 0), 0);
    let request = MapRequest::of_len(PAGE_SIZE, VmaSpec::anonymous(X)).fixed(page(2)).readable();
    writer.mmap(&request).expect("free");
    assert_eq!(key_at(&writer, 2), 0);
}

/// 8.4: which keys may be given, and where among the other errors that is asked.
#[test]
fn rule_8_4_pkey_mprotect_refuses() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 2, R);
    let mut asked = |at: u64, len: u64, access, number| {
        writer.pkey_mprotect(at, len, access, KeyChange::of_argument(number)).map_err(|error| error.errno())
    };
    let (start, len) = (page(0), PAGE_SIZE);
    for number in [5, 16, 1 << 20, -2, i32::MIN] {
        assert_eq!(asked(start, len, R, number), Err(EINVAL), "{number}");
        assert_eq!(asked(start, 0, R, number), Ok(0), "of no length nothing is looked at");
        assert_eq!(asked(start, u64::MAX - PAGE_SIZE, R, number), Err(ENOMEM), "it comes round");
        assert_eq!(asked(page(100), len, R, number), Err(EINVAL), "before it is asked what is mapped");
    }
    assert_eq!(asked(start, len, R, 0), Ok(0), "key 0 is allocated");
    assert_eq!(asked(start, len, X, -1), Ok(0));
    assert_eq!(mm.execute_only_key(), Some(key(1)));
    assert_eq!(asked(start, len, X, 1), Err(EINVAL), "the execute-only key by number");
    // Execute-only by its permissions, and readable.
    assert_eq!(asked(start, len, X, 0), Ok(0));
    assert_eq!(key_at(&writer, 0), 0);
    drop(writer);
    assert!(mm.handle_fault(start, Access::Read, NO_FIXUP).is_ok());
}

/// 8.5: the lowest key that is free, until there is none.
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
    // As many as the machine has.
    let mm = with_keys(8);
    let told: Vec<_> = std::iter::from_fn(|| mm.write().pkey_alloc(KeyDenial::empty()).ok()).collect();
    assert_eq!(told, (1..8).map(key).collect::<Vec<_>>());
    // A plan is nothing until it is committed.
    let mm = with_keys(16);
    let mut writer = mm.write();
    drop(writer.plan_pkey_alloc(KeyDenial::empty()));
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(1)));
    drop(writer.plan_pkey_free(key(1)));
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(2)));
}

/// 8.5: a key is freed, and VMAs keep it.
#[test]
fn rule_8_5_pkey_free() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    let mut freed = |n| writer.pkey_free(key(n)).map_err(|error| error.errno());
    assert_eq!((freed(1), freed(15)), (Err(EINVAL), Err(EINVAL)));
    map(&mut writer, 0, 1, X);
    map(&mut writer, 2, 1, R);
    let two = writer.pkey_alloc(KeyDenial::empty()).expect("free");
    writer.pkey_mprotect(page(2), PAGE_SIZE, R, two).expect("allocated");
    assert_eq!(writer.pkey_free(key(1)).map_err(|error| error.errno()), Err(EINVAL), "the execute-only key");
    writer.pkey_free(two).expect("allocated");
    assert_eq!(writer.pkey_free(two).map_err(|error| error.errno()), Err(EINVAL));
    assert_eq!(key_at(&writer, 2), 2);
    assert!(writer.pkey_mprotect(page(2), PAGE_SIZE, R, two).is_err(), "it is not allocated any more");
    writer.mprotect(page(2), PAGE_SIZE, RW).expect("mapped");
    assert_eq!(key_at(&writer, 2), 2, "and stays all the same");
    // Key 0, which is allocated from the start.
    writer.pkey_free(ProtectionKey::ZERO).expect("allocated");
    assert!(writer.pkey_free(ProtectionKey::ZERO).is_err());
    assert!(writer.pkey_mprotect(page(2), PAGE_SIZE, R, ProtectionKey::ZERO).is_err());
    assert_eq!(writer.pkey_mprotect(page(2), PAGE_SIZE, R, KeyChange::IMPLIED), Ok(0));
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(ProtectionKey::ZERO));
    assert_eq!(writer.pkey_mprotect(page(2), PAGE_SIZE, R, ProtectionKey::ZERO), Ok(0));
}

/// 8.5: a freed key that becomes the execute-only key: VMAs that have it still are denied, and what has `EXEC` alone is execute-only.
#[test]
fn rule_8_5_a_freed_key_becomes_the_execute_only_key() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, R);
    map(&mut writer, 2, 1, R);
    let one = writer.pkey_alloc(KeyDenial::empty()).expect("free");
    writer.pkey_mprotect(page(0), PAGE_SIZE, X, one).expect("allocated");
    writer.pkey_mprotect(page(2), PAGE_SIZE, R, one).expect("allocated");
    writer.pkey_free(one).expect("allocated");
    drop(writer);
    assert!(mm.handle_fault(page(2), Access::Read, NO_FIXUP).is_ok());
    let mut writer = mm.write();
    map(&mut writer, 4, 1, X);
    writer.mprotect(page(0), PAGE_SIZE, R).expect("mapped");
    assert_eq!(layout(&writer), [(0, 1, 0), (2, 3, 1), (4, 5, 1)]);
    writer.mprotect(page(2), PAGE_SIZE, VmaFlags::WRITE).expect("mapped");
    assert_eq!(key_at(&writer, 2), 1, "it was not execute-only");
    drop(writer);
    assert!(mm.handle_fault(page(2), Access::Read, NO_FIXUP).is_err());
}

/// 8.5: a child has its parent's allocation; an address space that ends forgets it.
#[test]
fn rule_8_5_fork_copies_the_allocation_and_exit_forgets_it() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, X);
    writer.pkey_alloc(KeyDenial::empty()).expect("free");
    let child = writer.fork().expect("memory");
    assert_eq!(child.execute_only_key(), Some(key(1)));
    assert_eq!(child.write().pkey_alloc(KeyDenial::empty()), Ok(key(3)));
    // The two are two from then on.
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Ok(key(3)));
    child.write().pkey_free(key(2)).expect("allocated");
    assert!(child.write().pkey_free(key(2)).is_err() && writer.pkey_free(key(2)).is_ok());
    writer.exit().expect("memory");
    assert_eq!((mm.execute_only_key(), writer.pkey_alloc(KeyDenial::empty())), (None, Ok(key(1))));
}

/// 8.6: every access to every permission under every denial. The key comes first: what the VMA itself forbids too is `SEGV_PKUERR`.
#[test]
fn rule_8_6_accesses_are_judged_by_the_threads_rights() {
    let mm = with_keys(16);
    let one = mm.write().pkey_alloc(KeyDenial::empty()).expect("free");
    for access in [NONE, R, RW, X, R | X, VmaFlags::WRITE] {
        let mut writer = mm.write();
        map(&mut writer, 0, 1, RW);
        writer.pkey_mprotect(page(0), PAGE_SIZE, access, one).expect("allocated");
        drop(writer);
        for denial in [KeyDenial::empty(), KeyDenial::ACCESS, KeyDenial::WRITE, KeyDenial::all()] {
            let told = |asked: Access| {
                // With a register as it is, or with a default that is changed; and on either handle.
                let rights = [KeyRights::ALL.with(one, denial), KeyRights::from_pkru(denial.bits() << 2)];
                let told = rights.map(|rights| mm.handle_fault(page(0), asked.with_rights(rights), NO_FIXUP).map(drop));
                assert_eq!(told[0], told[1]);
                assert_eq!(mm.reader().handle_fault(page(0), asked.with_rights(rights[0]), NO_FIXUP).map(drop), told[0]);
                told[0].err().map(|fault| (fault.errno(), fault.signal()))
            };
            let (acc, pku) = (Some(Signal::Segv(SegvCode::AccErr)), Some(Signal::Segv(SegvCode::PkuErr { key: one })));
            let expected = |is_denied: bool, is_allowed: bool| match (is_denied, is_allowed) {
                (true, _) => Some((14, pku)),
                (false, true) => None,
                (false, false) => Some((14, acc)),
            };
            let what = format!("{access:?} under {denial:?}");
            let reads = expected(denial.contains(KeyDenial::ACCESS), access.is_accessible());
            assert_eq!(told(Access::Read), reads, "to read {what}");
            assert_eq!(told(Access::Write), expected(!denial.is_empty(), access.contains(VmaFlags::WRITE)), "to write {what}");
            assert_eq!(told(Access::Exec), expected(false, access.contains(X)), "to execute {what}");
        }
    }
    assert_eq!(Signal::Segv(SegvCode::PkuErr { key: one }).code(), 4);
}

/// 8.6: the execute-only key is denied to a thread that says nothing of its rights, and to no access that executes. Key 0 has rights, too.
#[test]
fn rule_8_6_the_default_rights() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, X);
    map(&mut writer, 2, 1, RW | X);
    drop(writer);
    let told = |at: u64, access: KeyedAccess| mm.handle_fault(page(at), access, NO_FIXUP).map(drop);
    let vma = mm.read().vma(page(0)).expect("mapped").span();
    let denied = |access| Err(Fault::DeniedByKey { at: page(0), access, vma, key: key(1) });
    assert_eq!(told(0, Access::Read.into()), denied(Access::Read));
    assert_eq!(told(0, Access::Write.into()), denied(Access::Write));
    assert_eq!(told(0, Access::Exec.into()), Ok(()));
    // A register that grants it, as a thread can make it grant it.
    assert_eq!(told(0, Access::Read.with_rights(KeyRights::from_pkru(0))), Ok(()));
    assert!(matches!(told(0, Access::Write.with_rights(KeyRights::from_pkru(0))), Err(Fault::Denied { .. })));
    for access in [Access::Read, Access::Write, Access::Exec] {
        let is_denied = told(2, access.with_rights(KeyRights::from_pkru(1))).is_err();
        assert_eq!(is_denied, access != Access::Exec, "key 0, to {access}");
    }
    assert_eq!(told(2, Access::Read.with_rights(KeyRights::from_pkru(2))), Ok(()));
}

/// 8.6 with 1.8: a stack grows before its key is looked at.
#[test]
fn rule_8_6_a_stack_with_a_key_grows_and_is_denied() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    let one = writer.pkey_alloc(KeyDenial::ACCESS).expect("free");
    map(&mut writer, 600, 1, RW | VmaFlags::GROWSDOWN);
    writer.pkey_mprotect(page(600), PAGE_SIZE, RW, one).expect("allocated");
    drop(writer);
    let access = Access::Write.with_rights(KeyRights::ALL.with(one, KeyDenial::ACCESS));
    let told = mm.handle_fault(page(599), access, NO_FIXUP).map(drop);
    assert!(matches!(told, Err(Fault::DeniedByKey { key, .. }) if key == one), "{told:?}");
    assert_eq!(mm.stats().stack_pages, 2);
}

/// A call, and its errno.
type Request = fn(&mut MmWriteGuard<'_>) -> Result<u64, i32>;

/// 8.7: what is brought in is read by the calling thread.
#[test]
fn rule_8_7_populating_execute_only_memory() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, X);
    assert_eq!(writer.mlock(page(0), PAGE_SIZE).map_err(|error| error.errno()), Err(ENOMEM));
    assert_eq!(mm.stats().locked_pages, 1);
    assert!(writer.vma(page(0)).is_some_and(|vma| vma.flags().contains(VmaFlags::LOCKED)));
    writer.munlock(page(0), PAGE_SIZE).expect("mapped");
    assert_eq!(writer.mlock_on_fault(page(0), PAGE_SIZE), Ok(0));
    writer.munlock(page(0), PAGE_SIZE).expect("mapped");
    assert_eq!(writer.mlockall(LockAll::CurrentAndFuture), Ok(0));
    let populated = MapRequest::of_len(PAGE_SIZE, VmaSpec::anonymous(X)).fixed(page(2)).populated();
    assert_eq!(writer.mmap(&populated), Ok(page(2)));
    assert_eq!(mm.stats().locked_pages, 2);
    // A register that grants it reads it. But who asks for execute-only memory loses the right with that.
    let key = mm.execute_only_key().expect("requested");
    let granted = KeyRights::from_pkru(0);
    writer.set_key_rights(granted);
    assert_eq!(writer.mlock(page(0), PAGE_SIZE), Ok(0));
    assert_eq!(writer.mmap(&populated), Ok(page(2)));
    // It is lost for the operations that come after, too.
    assert_eq!(writer.key_rights(), granted.with(key, KeyDenial::ACCESS));
    assert_eq!(writer.mlock(page(0), PAGE_SIZE).map_err(|error| error.errno()), Err(ENOMEM));
    // Likewise by `mprotect`, and by what fails after the request.
    let requests: [(Request, i32); 2] = [
        (|writer| writer.mprotect(page(2), 2 * PAGE_SIZE, X).map_err(|error| error.errno()), ENOMEM),
        (
            |writer| {
                let taken = MapRequest::of_len(PAGE_SIZE, VmaSpec::anonymous(X)).fixed_no_replace(page(2));
                writer.mmap(&taken).map_err(|error| error.errno())
            },
            EEXIST,
        ),
    ];
    for (request, errno) in requests {
        writer.set_key_rights(granted);
        assert_eq!(request(&mut writer), Err(errno));
        assert_eq!(writer.key_rights(), granted.with(key, KeyDenial::ACCESS));
    }
    // A plan that is dropped takes nothing.
    writer.set_key_rights(granted);
    drop(writer.plan_mmap(&populated, Patience::Forever));
    assert_eq!(writer.key_rights(), granted);
}

/// 8.7: every denial, for memory that is read where it is brought in, and for memory that is written.
#[test]
fn rule_8_7_populating_by_the_threads_rights() {
    for denial in [KeyDenial::empty(), KeyDenial::ACCESS, KeyDenial::WRITE, KeyDenial::all()] {
        for access in [NONE, R, RW, X, R | X, VmaFlags::WRITE] {
            let mm = with_keys(16);
            let mut writer = mm.write();
            let one = writer.pkey_alloc(denial).expect("free");
            map(&mut writer, 0, 1, access);
            writer.pkey_mprotect(page(0), PAGE_SIZE, access, one).expect("allocated");
            writer.set_key_rights(KeyRights::ALL.with(one, denial));
            let is_written = access.contains(VmaFlags::WRITE);
            let denying = if is_written { KeyDenial::all() } else { KeyDenial::ACCESS };
            let is_refused = denial.intersects(denying) || !access.is_accessible();
            let told = writer.mlock(page(0), PAGE_SIZE).map_err(|error| error.errno());
            assert_eq!(told, if is_refused { Err(ENOMEM) } else { Ok(0) }, "{access:?} under {denial:?}");
            let has_owner = writer.vma(page(0)).is_some_and(|vma| vma.anon_owner().is_some());
            assert_eq!(has_owner, is_written && !is_refused, "{access:?} under {denial:?}: pages of its own");
        }
    }
    // Shared pages are only read.
    let mm = with_keys(16);
    let mut writer = mm.write();
    let one = writer.pkey_alloc(KeyDenial::WRITE).expect("free");
    let shared = VmaSpec::of_object(ObjectId::from(1), 0, RW | VmaFlags::SHARED);
    writer.mmap(&MapRequest::of_len(PAGE_SIZE, shared).fixed(page(0))).expect("free");
    writer.pkey_mprotect(page(0), PAGE_SIZE, RW, one).expect("allocated");
    writer.set_key_rights(KeyRights::ALL.with(one, KeyDenial::WRITE));
    assert_eq!(writer.mlock(page(0), PAGE_SIZE), Ok(0));
    // What is locked, becomes writable, and may not be written gets no pages, and that is no error (5.16).
    map(&mut writer, 2, 1, R | VmaFlags::LOCKED);
    assert_eq!(writer.pkey_mprotect(page(2), PAGE_SIZE, RW, one), Ok(0));
    assert!(writer.vma(page(2)).is_some_and(|vma| vma.anon_owner().is_none()));
}

/// 8.8: a machine without keys. Memory with `EXEC` alone is as any other.
#[test]
fn rule_8_8_without_keys() {
    let mm: Mm = Mm::with(RangeMap::builder().private_epochs(), Limits::default()).expect("limits");
    let mut writer = mm.write();
    assert_eq!(mm.limits().protection_keys, 0);
    map(&mut writer, 0, 1, X);
    map(&mut writer, 2, 1, RW);
    writer.mprotect(page(2), PAGE_SIZE, X).expect("mapped");
    assert_eq!((layout(&writer), mm.execute_only_key()), (vec![(0, 1, 0), (2, 3, 0)], None));
    assert_eq!(writer.mlock(page(0), PAGE_SIZE), Ok(0));
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Err(PkeyAllocError::Unsupported));
    assert_eq!(writer.pkey_free(ProtectionKey::ZERO).map_err(|error| error.errno()), Err(EINVAL));
    assert_eq!(writer.pkey_mprotect(page(0), PAGE_SIZE, R, ProtectionKey::ZERO).map_err(|error| error.errno()), Err(EINVAL));
    assert_eq!(writer.pkey_mprotect(page(0), PAGE_SIZE, X, KeyChange::IMPLIED), Ok(0));
    drop(writer);
    assert!(mm.handle_fault(page(0), Access::Read, NO_FIXUP).is_ok());
}
