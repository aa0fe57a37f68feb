//! Accesses and populating with the thread's rights to keys (8.6 to 8.8).

use super::*;
use vmaple::ErrorCode;

/// 8.6: every access to memory with all permissions under all denials. If both the key and the VMA forbid the access, it is `SEGV_PKUERR`.
#[test]
fn rule_8_6_accesses_are_judged_by_the_threads_rights() {
    let mm = with_keys(16);
    let one = mm.write().pkey_alloc(KeyDenial::empty()).expect("free");
    for access in [NONE, R, RW, X, R | X, VmaFlags::WRITE] {
        let mut writer = mm.write();
        map(&mut writer, 0, 1, RW);
        writer.mprotect(page(0), PAGE_SIZE, ProtectRequest::new(access.prot()).with_key(one)).expect("allocated");
        drop(writer);
        for denial in [KeyDenial::empty(), KeyDenial::ACCESS, KeyDenial::WRITE, KeyDenial::all()] {
            let result = |asked: Access| {
                // The rights are made in two ways, and each must give the same result, also through a `Reader`.
                let rights = [KeyRights::ALL.with(one, denial), KeyRights::from_pkru(denial.bits() << 2)];
                let result = rights.map(|rights| mm.handle_fault(page(0), asked.with_rights(rights), NO_FIXUP).map(drop));
                assert_eq!(result[0], result[1]);
                assert_eq!(mm.reader().handle_fault(page(0), asked.with_rights(rights[0]), NO_FIXUP).map(drop), result[0]);
                result[0].err().map(|fault| (fault.errno(), fault.signal()))
            };
            let (acc, pku) = (Some(Signal::Segv(SegvCode::AccErr)), Some(Signal::Segv(SegvCode::PkuErr { key: one })));
            let expected = |is_denied: bool, is_allowed: bool| match (is_denied, is_allowed) {
                (true, _) => Some((14, pku)),
                (false, true) => None,
                (false, false) => Some((14, acc)),
            };
            let what = format!("{access:?} under {denial:?}");
            let reads = expected(denial.contains(KeyDenial::ACCESS), access.is_accessible());
            assert_eq!(result(Access::Read), reads, "to read {what}");
            assert_eq!(result(Access::Write), expected(!denial.is_empty(), access.contains(VmaFlags::WRITE)), "to write {what}");
            assert_eq!(result(Access::Exec), expected(false, access.contains(X)), "to execute {what}");
        }
    }
    assert_eq!(Signal::Segv(SegvCode::PkuErr { key: one }).code(), 4);
}

/// 8.6: by default, a thread has no right to read or write with the execute-only key, and may execute. Key 0 has rights, too.
#[test]
fn rule_8_6_the_default_rights() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, X);
    map(&mut writer, 2, 1, RW | X);
    drop(writer);
    let result = |at: u64, access: KeyedAccess| mm.handle_fault(page(at), access, NO_FIXUP).map(drop);
    let vma = mm.read().lookup(page(0)).expect("mapped").span();
    let denied = |access| Err(FaultError::DeniedByKey { at: page(0), access, vma, key: key(1) });
    assert_eq!(result(0, Access::Read.into()), denied(Access::Read));
    assert_eq!(result(0, Access::Write.into()), denied(Access::Write));
    assert_eq!(result(0, Access::Exec.into()), Ok(()));
    // A thread may have given itself the right by writing its register.
    assert_eq!(result(0, Access::Read.with_rights(KeyRights::from_pkru(0))), Ok(()));
    assert!(matches!(result(0, Access::Write.with_rights(KeyRights::from_pkru(0))), Err(FaultError::Denied { .. })));
    for access in [Access::Read, Access::Write, Access::Exec] {
        let is_denied = result(2, access.with_rights(KeyRights::from_pkru(1))).is_err();
        assert_eq!(is_denied, access != Access::Exec, "key 0, to {access}");
    }
    assert_eq!(result(2, Access::Read.with_rights(KeyRights::from_pkru(2))), Ok(()));
}

/// 8.6 with 1.8: a stack grows before its key is checked.
#[test]
fn rule_8_6_a_stack_with_a_key_grows_and_is_denied() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    let one = writer.pkey_alloc(KeyDenial::ACCESS).expect("free");
    map(&mut writer, 600, 1, RW | VmaFlags::GROWSDOWN);
    writer.mprotect(page(600), PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(one)).expect("allocated");
    drop(writer);
    let access = Access::Write.with_rights(KeyRights::ALL.with(one, KeyDenial::ACCESS));
    let result = mm.handle_fault(page(599), access, NO_FIXUP).map(drop);
    assert!(matches!(result, Err(FaultError::DeniedByKey { key, .. }) if key == one), "{result:?}");
    assert_eq!(mm.stats().stack_pages, 2);
}

/// A call, which returns an address or an errno.
type Request = fn(&mut MmWriteGuard<'_>) -> Result<u64, i32>;

/// 8.7: populating reads the memory with the rights of the calling thread.
#[test]
fn rule_8_7_populating_execute_only_memory() {
    let mm = with_keys(16);
    let mut writer = mm.write();
    map(&mut writer, 0, 1, X);
    assert_eq!(writer.mlock(page(0), PAGE_SIZE).map_err(|error| error.errno()), Err(ENOMEM));
    assert_eq!(mm.stats().locked_pages, 1);
    assert!(writer.lookup(page(0)).is_some_and(|vma| vma.flags().contains(VmaFlags::LOCKED)));
    writer.munlock(page(0), PAGE_SIZE).expect("mapped");
    assert_eq!(writer.mlock_on_fault(page(0), PAGE_SIZE), Ok(()));
    writer.munlock(page(0), PAGE_SIZE).expect("mapped");
    assert_eq!(writer.mlockall(LockAll::CurrentAndFuture), Ok(()));
    let populated = MapRequest::new(PAGE_SIZE, VmaSpec::anonymous(X)).fixed(page(2)).populated();
    assert_eq!(writer.mmap(&populated), Ok(page(2)));
    assert_eq!(mm.stats().locked_pages, 2);
    // A thread whose register grants the right can populate. A thread that requests execute-only memory loses the right.
    let key = mm.execute_only_key().expect("requested");
    let granted = KeyRights::from_pkru(0);
    writer.set_key_rights(granted);
    assert_eq!(writer.mlock(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(writer.mmap(&populated), Ok(page(2)));
    // The right stays lost in later operations.
    assert_eq!(writer.key_rights(), granted.with(key, KeyDenial::ACCESS));
    assert_eq!(writer.mlock(page(0), PAGE_SIZE).map_err(|error| error.errno()), Err(ENOMEM));
    // The right is also lost by `mprotect`, and if the operation fails after the request of the key.
    let requests: [(Request, i32); 2] = [
        (|writer| writer.mprotect(page(2), 2 * PAGE_SIZE, X.prot()).map(|()| 0).map_err(|error| error.errno()), ENOMEM),
        (
            |writer| {
                let taken = MapRequest::new(PAGE_SIZE, VmaSpec::anonymous(X)).fixed_no_replace(page(2));
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
    // A plan that is dropped takes no right.
    writer.set_key_rights(granted);
    drop(writer.plan(Patience::Forever).mmap(&populated));
    assert_eq!(writer.key_rights(), granted);
}

/// 8.7: every denial, for memory that populating reads and for memory that it writes.
#[test]
fn rule_8_7_populating_by_the_threads_rights() {
    for denial in [KeyDenial::empty(), KeyDenial::ACCESS, KeyDenial::WRITE, KeyDenial::all()] {
        for access in [NONE, R, RW, X, R | X, VmaFlags::WRITE] {
            let mm = with_keys(16);
            let mut writer = mm.write();
            let one = writer.pkey_alloc(denial).expect("free");
            map(&mut writer, 0, 1, access);
            writer.mprotect(page(0), PAGE_SIZE, ProtectRequest::new(access.prot()).with_key(one)).expect("allocated");
            writer.set_key_rights(KeyRights::ALL.with(one, denial));
            let is_written = access.contains(VmaFlags::WRITE);
            let denying = if is_written { KeyDenial::all() } else { KeyDenial::ACCESS };
            let is_refused = denial.intersects(denying) || !access.is_accessible();
            let result = writer.mlock(page(0), PAGE_SIZE).map_err(|error| error.errno());
            assert_eq!(result, if is_refused { Err(ENOMEM) } else { Ok(()) }, "{access:?} under {denial:?}");
            let has_owner = writer.lookup(page(0)).is_some_and(|vma| vma.anon_owner().is_some());
            assert_eq!(has_owner, is_written && !is_refused, "{access:?} under {denial:?}: pages of its own");
        }
    }
    // Populating only reads shared pages.
    let mm = with_keys(16);
    let mut writer = mm.write();
    let one = writer.pkey_alloc(KeyDenial::WRITE).expect("free");
    let shared = VmaSpec::of_object(ObjectId::from(1), 0, RW | VmaFlags::SHARED);
    writer.mmap(&MapRequest::new(PAGE_SIZE, shared).fixed(page(0))).expect("free");
    writer.mprotect(page(0), PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(one)).expect("allocated");
    writer.set_key_rights(KeyRights::ALL.with(one, KeyDenial::WRITE));
    assert_eq!(writer.mlock(page(0), PAGE_SIZE), Ok(()));
    // A locked VMA that becomes writable, with a key that forbids it, is not populated, which is no error (5.16).
    map(&mut writer, 2, 1, R | VmaFlags::LOCKED);
    assert_eq!(writer.mprotect(page(2), PAGE_SIZE, ProtectRequest::new(RW.prot()).with_key(one)), Ok(()));
    assert!(writer.lookup(page(2)).is_some_and(|vma| vma.anon_owner().is_none()));
}

/// 8.8: on a machine without keys, memory with `EXEC` alone can be read.
#[test]
fn rule_8_8_without_keys() {
    let mm: Mm = Mm::builder().private_epochs().build();
    let mut writer = mm.write();
    assert_eq!(mm.limits().protection_keys, 0);
    map(&mut writer, 0, 1, X);
    map(&mut writer, 2, 1, RW);
    writer.mprotect(page(2), PAGE_SIZE, X.prot()).expect("mapped");
    assert_eq!((layout(&writer), mm.execute_only_key()), (vec![(0, 1, 0), (2, 3, 0)], None));
    assert_eq!(writer.mlock(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(writer.pkey_alloc(KeyDenial::empty()), Err(PkeyAllocError::Unsupported));
    assert_eq!(writer.pkey_free(ProtectionKey::ZERO).map_err(|error| error.errno()), Err(EINVAL));
    assert_eq!(
        writer.mprotect(page(0), PAGE_SIZE, ProtectRequest::new(R.prot()).with_key(ProtectionKey::ZERO)).map_err(|error| error.errno()),
        Err(EINVAL)
    );
    assert_eq!(writer.mprotect(page(0), PAGE_SIZE, X.prot()), Ok(()));
    drop(writer);
    assert!(mm.handle_fault(page(0), Access::Read, NO_FIXUP).is_ok());
}
