//! Limits, the callers that they do not bind, and where nothing may be mapped. Numbers are those of `docs/semantics.md`.

use crate::support::address_space::{RW, map_all, mm_with, page};
use vmaple::lock::Patience;
use vmaple::mm::{Advice, AnonOwner, Backing, Capabilities, Limits, LockAll, MapRequest, MmWriteGuard, ObjectId, RemapRequest};
use vmaple::{ErrorCode, Mm, PAGE_SIZE, VmaFlags, VmaSpec};

/// Each limit on locked memory, with and without the capability to exceed it (5.5, 5.17, 5.25, 5.26).
#[test]
fn a_caller_that_may_lock_any_amount_has_no_limit_on_it() {
    for (capabilities, is_bound) in [(Capabilities::empty(), true), (Capabilities::SYS_RAWIO, true), (Capabilities::IPC_LOCK, false)] {
        for bytes in [0, PAGE_SIZE] {
            let mm = mm_with(|limits| (limits.locked_bytes, limits.capabilities) = (bytes, capabilities));
            let mut writer = mm.write();
            let locked = MapRequest::new(2 * PAGE_SIZE, VmaSpec::anonymous(RW | VmaFlags::LOCKED)).fixed(page(0));
            assert_eq!(writer.mmap(&locked).is_err(), is_bound, "{capabilities:?}, {bytes} bytes");
            writer.mmap(&MapRequest::new(2 * PAGE_SIZE, VmaSpec::anonymous(RW)).fixed(page(4))).expect("nothing is locked");
            assert_eq!(writer.mlock(page(4), 2 * PAGE_SIZE).is_err(), is_bound, "{capabilities:?}, {bytes} bytes");
            assert_eq!(writer.mlockall(LockAll::Current).is_err(), is_bound, "{capabilities:?}, {bytes} bytes");
            assert_eq!(writer.mlockall(LockAll::Future).is_err(), is_bound && bytes == 0, "{capabilities:?}, {bytes} bytes");
        }
    }
}

/// The numbers of capabilities are Linux's, so the mask of a process can be used.
#[test]
fn capabilities_have_the_numbers_of_linux() {
    assert_eq!(Capabilities::from_bits_truncate(0x1ff_feff_ffff), Capabilities::all());
    assert_eq!((Capabilities::IPC_LOCK.bits(), Capabilities::SYS_RAWIO.bits()), (1 << 14, 1 << 17));
}

/// A limit that has no meaning is refused when it is set, with the name of its field, and the limits stay as they were.
#[test]
fn limits_that_mean_nothing_are_refused_by_name() {
    type Change = fn(&mut Limits);
    let senseless: [(&str, u64, Change); 11] = [
        ("hugetlb_bytes", 0, |limits| limits.hugetlb_bytes = 0),
        ("hugetlb_bytes", 2048, |limits| limits.hugetlb_bytes = 2048),
        ("hugetlb_sizes", 2 << 20 | 1 << 30 | 8, |limits| limits.hugetlb_sizes |= 8),
        ("protection_keys", 17, |limits| limits.protection_keys = 17),
        ("task_size", u64::MAX, |limits| limits.task_size = u64::MAX),
        ("task_size", 0xffff_ffff_ffff_f001, |limits| limits.task_size = 0xffff_ffff_ffff_f001),
        ("task_size", 0x10_5800, |limits| limits.task_size = 0x10_5800),
        ("huge_page_bytes", 0, |limits| limits.huge_page_bytes = 0),
        ("huge_page_bytes", 3, |limits| limits.huge_page_bytes = 3),
        ("huge_page_bytes", 5000, |limits| limits.huge_page_bytes = 5000),
        ("huge_page_bytes", u64::MAX, |limits| limits.huge_page_bytes = u64::MAX),
    ];
    let mm = mm_with(|limits| limits.stack_bytes = 7);
    for (field, value, change) in senseless {
        let mut limits = Limits::default();
        change(&mut limits);
        let refused = limits.validate().expect_err(field);
        assert_eq!((refused.field(), refused.value(), refused.errno()), (field, value, 22));
        assert!(refused.to_string().contains(&format!("`{field}` is {value:#x}")), "{refused}");
        assert_eq!(mm.set_limits(limits.clone()), Err(refused));
        assert_eq!(mm.limits().stack_bytes, 7, "the limits of before stay");
        assert_eq!(vmaple::Mm::<()>::builder().limits(limits).expect_err(field), refused);
    }
}

/// A mapping at a given address is at or above the lowest one, whichever operation places it; a privileged caller may map down to 0. A
/// move is refused only after its target was unmapped (5.3, 5.20).
#[test]
fn nothing_is_placed_below_the_lowest_address_but_by_the_privileged() {
    let at = page(0);
    for (capabilities, is_privileged) in [(Capabilities::empty(), false), (Capabilities::IPC_LOCK, false), (Capabilities::SYS_RAWIO, true)]
    {
        type Places = fn(&mut MmWriteGuard<'_>, u64) -> Result<u64, i32>;
        let ways: [(&str, Places); 5] = [
            ("mmap", |writer, to| writer.mmap(&MapRequest::new(0x2000, VmaSpec::anonymous(RW)).fixed(to)).map_err(|error| error.errno())),
            ("mmap, not replacing", |writer, to| {
                writer.mmap(&MapRequest::new(0x2000, VmaSpec::anonymous(RW)).fixed_no_replace(to)).map_err(|error| error.errno())
            }),
            ("insert", |writer, to| writer.insert(to, 0x2000, VmaSpec::anonymous(RW)).map(|()| to).map_err(|error| error.cause.errno())),
            ("brk", |writer, to| {
                writer.set_heap(to, to).expect("a heap in the address space");
                writer.plan(Patience::Forever).brk(to + 0x2000).commit().map(|brk| brk - 0x2000).map_err(|error| error.errno())
            }),
            ("mremap with a hint", |writer, to| {
                writer.mremap(&RemapRequest::dont_unmap(page(0), 0x2000, to)).map_err(|error| error.errno())
            }),
        ];
        for (way, places) in ways {
            for to in [0_u64, 0x1000, 0xf000, 0x1_0000] {
                let mm = mm_with(|limits| (limits.mmap_min_addr, limits.capabilities) = (0x1_0000, capabilities));
                map_all(&mm, &[(0, 2, RW)]);
                let result = places(&mut mm.write(), to);
                let is_no_hint = way == "mremap with a hint" && to == 0;
                let expected = if to >= 0x1_0000 || is_privileged { Ok(to) } else { Err(1) };
                let is_right = if is_no_hint { result.is_ok_and(|at| at > page(0)) } else { result == expected };
                assert!(is_right, "{way} to {to:#x} with {capabilities:?}: {result:?}");
                mm.write().validate().expect("the invariants hold");
            }
        }
        for (old_len, new_len) in [(0x1000, 0x1000), (0x2000, 0x1000), (0x1000, 0x2000)] {
            let mm =
                mm_with(|limits| (limits.mmap_min_addr, limits.min_addr_floor, limits.capabilities) = (0x1_0000, 0, Capabilities::all()));
            map_all(&mm, &[(0, 2, RW)]);
            let mut writer = mm.write();
            writer.mmap(&MapRequest::new(0x4000, VmaSpec::anonymous(VmaFlags::READ)).fixed(0)).expect("privileged");
            let mut limits = Limits::clone(&mm.limits());
            limits.capabilities = capabilities;
            mm.set_limits(limits).expect("limits that mean something");
            let result = writer.mremap(&RemapRequest::resize(at, old_len, new_len).fixed(0));
            assert_eq!(result.map_err(|error| error.errno()), if is_privileged { Ok(0) } else { Err(1) });
            assert_eq!(writer.lookup(0).is_some(), is_privileged, "the target goes first");
            assert!(writer.lookup(0x3000).is_some(), "what is beyond the target stays");
        }
    }
}

/// A mapping below the lowest address was made by a privileged caller. It grows in place only for such a caller (5.19).
#[test]
fn what_lies_below_the_lowest_address_grows_in_place_for_the_privileged() {
    for (capabilities, result) in [(Capabilities::SYS_RAWIO, Ok(0)), (Capabilities::empty(), Err(12))] {
        let mm = mm_with(|limits| limits.capabilities = Capabilities::SYS_RAWIO);
        let mut writer = mm.write();
        writer.mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(RW)).fixed(0)).expect("privileged");
        let mut limits = Limits::clone(&mm.limits());
        limits.capabilities = capabilities;
        mm.set_limits(limits).expect("limits that mean something");
        assert_eq!(writer.mremap(&RemapRequest::resize(0, 0x1000, 0x2000)).map_err(|error| error.errno()), result);
        let len = if result.is_ok() { 0x2000 } else { 0x1000 };
        let at = writer.mremap(&RemapRequest::resize(0, len, 0x3000).may_move()).expect("there is room");
        assert_eq!(at == 0, result.is_ok());
        writer.munmap(0, 0x3000).expect("who unmaps it is no matter");
    }
}

/// A search ends at the end of the address space, even if its bases are above; a layout with VMAs beyond the end is invalid (5.4, 5.29).
#[test]
fn nothing_is_placed_beyond_the_address_space() {
    for end in [0x1_0000_0000, 0x10_0000, 0x1_2000, 0x1_1000, 0x1_0000, 0x1000, 0] {
        let mm = mm_with(|limits| limits.task_size = end);
        let mut writer = mm.write();
        let result = writer.mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(RW)));
        if end > 0x1_0000 {
            assert_eq!(result, Ok(end - 0x1000));
            let moved = writer.mremap(&RemapRequest::resize(end - 0x1000, 0x1000, 0x2000).may_move());
            let room = end.checked_sub(0x3000).filter(|at| *at >= 0x1_0000);
            assert_eq!(moved.ok(), room, "{end:#x}");
        } else {
            assert!(result.is_err_and(|error| error.errno() == 12), "{end:#x}: {result:?}");
        }
        writer.validate().expect("the invariants hold");
        writer.set_heap(0, end).expect("a heap in the address space");
        assert_eq!((writer.brk(end.saturating_add(1)).is_err(), mm.program_break()), (true, end));
    }
    let mm = mm_with(|_| {});
    map_all(&mm, &[(0, 2, RW)]);
    let mut limits = Limits::default();
    limits.task_size = page(1);
    mm.set_limits(limits).expect("limits that mean something");
    let found = mm.write().validate().expect_err("it ends beyond");
    assert!(found.rule == "5.29" && found.found.contains("beyond"), "{found}");
}

/// If a specification cannot be mapped, it is returned unchanged.
#[test]
fn what_is_not_mapped_comes_back_as_it_was() {
    let specs = [
        VmaSpec::anonymous(RW),
        VmaSpec::anonymous(RW).at_offset(0x7000),
        VmaSpec::anonymous(RW).owned_by(AnonOwner::from(7)),
        VmaSpec::anonymous(RW).inherited_by(AnonOwner::new((1 << 61) - 1).expect("the last of the caller's")),
        VmaSpec::anonymous(VmaFlags::READ | VmaFlags::HUGETLB | VmaFlags::SHARED),
        VmaSpec::of_object(ObjectId::from(3), 0x5000, VmaFlags::READ),
    ];
    for spec in specs {
        // The budget is 0, so a pinned reader uses it up; and some requests are refused by the rules.
        let mm: Mm = Mm::builder().private_epochs().budget_bytes(0).build();
        let pin = mm.pin();
        let mut writer = mm.write();
        let (mut at, mut refused) = (page(0) >> 30 << 30, None);
        while refused.is_none() {
            refused = writer.insert(at, 4 << 20, spec.clone()).err();
            at += 8 << 20;
        }
        let refused = refused.expect("it was refused");
        assert_eq!(refused.value, spec, "{}", refused.cause);
        drop(pin);
        let at = writer.iter().next().expect("one is mapped").start();
        for (start, len) in [(0, 4 << 20), (at, 4 << 20), (7, 2), (7, 0), (u64::MAX - 1, 1), (u64::MAX, 2)] {
            assert_eq!(writer.insert(start, len, spec.clone()).expect_err("refused").value, spec);
        }
    }
}

/// An error shows the arguments that were given, even if they wrap around in whole pages.
#[test]
fn errors_say_what_was_asked() {
    let mm = mm_with(|_| {});
    map_all(&mm, &[(0, 2, RW)]);
    let mut writer = mm.write();
    let (at, all) = (page(0), format!("{:#x} bytes", u64::MAX));
    let says = |message: String, words: &str| assert!(message.contains(words), "`{message}` does not say `{words}`");
    says(writer.mremap(&RemapRequest::resize(at, 0x1000, u64::MAX).may_move()).expect_err("refused").to_string(), &all);
    says(writer.mremap(&RemapRequest::resize(at + 1, u64::MAX, 0x1000).may_move()).expect_err("refused").to_string(), &all);
    says(
        writer.mremap(&RemapRequest::resize(at, 0xffff_0000_0000_0001, 0x1000).may_move()).expect_err("refused").to_string(),
        "0xffff000000000001 bytes",
    );
    says(writer.mremap(&RemapRequest::resize(at, 0x1000, 0x1001).fixed(u64::MAX)).expect_err("refused").to_string(), "0x1001 bytes");
    says(writer.mremap(&RemapRequest::resize(at, 0x1000, 0).fixed(page(8))).expect_err("refused").to_string(), "0x0 bytes");
    let request = |len| MapRequest::new(len, VmaSpec::anonymous(RW));
    for len in [u64::MAX, 0x7fff_ffff_ffff_0001] {
        says(writer.mmap(&request(len)).expect_err("refused").to_string(), &format!("{len:#x} bytes"));
    }
    says(
        writer.mmap(&request(0x1001).fixed(0xffff_ffff_ffff_f000)).expect_err("refused").to_string(),
        "0x1001 bytes at 0xfffffffffffff000",
    );
    says(writer.munmap(at, u64::MAX).expect_err("refused").to_string(), &all);
    says(writer.mprotect(at, 0xffff_ffff_ffff_0001, RW.prot()).expect_err("refused").to_string(), "0xffffffffffff0001 bytes");
    says(writer.munlock(at + 1, 0xffff_ffff_ffff_0001).expect_err("refused").to_string(), &format!("from {:#x}", at + 1));
    says(writer.madvise(at, u64::MAX, Advice::Normal).expect_err("refused").to_string(), &all);
    says(writer.mseal(at, u64::MAX).expect_err("refused").to_string(), &all);
}

/// A fixed address in the last page reads as an errno (5.3).
#[test]
fn an_address_in_the_last_page_reads_as_an_errno() {
    let mm = mm_with(|limits| limits.task_size = 0xffff_ffff_ffff_f000);
    let mut writer = mm.write();
    let mut map = |at: u64, len| writer.mmap(&MapRequest::new(len, VmaSpec::anonymous(RW)).fixed(at)).map_err(|error| error.errno());
    for errno in (1_i32..=4095).step_by(if cfg!(miri) { 1_000 } else { 1 }) {
        let at = u64::MAX - u64::from(errno.unsigned_abs() - 1);
        assert_eq!(map(at, 0x1000), Err(errno));
        assert_eq!(map(at, u64::MAX), Err(12), "the length is looked at before");
    }
    assert_eq!(map(0xffff_ffff_ffff_f000, 0x1000), Err(12));
    assert_eq!(map(0xffff_ffff_ffff_e000, 0x1000), Ok(0xffff_ffff_ffff_e000));
    writer.validate().expect("the invariants hold");
}

/// A caller cannot give a name that belongs to the library, and the names that it gives are returned unchanged.
#[test]
fn names_do_not_collide_with_the_librarys_own() {
    let mm: Mm = mm_with(|_| {});
    let mut writer = mm.write();
    let shared = VmaSpec::anonymous(RW | VmaFlags::SHARED);
    let at = writer.mmap(&MapRequest::new(PAGE_SIZE, shared)).expect("room");
    let Some(Backing::SharedMemory(own)) = writer.lookup(at).map(|vma| vma.backing()) else { panic!("it was given an object") };
    for number in [1 << 63, own.number(), u64::MAX] {
        let refused = ObjectId::new(number).expect_err("the library's");
        assert_eq!((refused.number, refused.own_from, refused.errno()), (number, 1 << 63, 22));
        assert_eq!(refused.to_string(), format!("{number:#x} cannot be an id: from 0x8000000000000000 on, ids are the library's"));
    }
    for number in [1 << 61, AnonOwner::unique().number(), 1 << 62, u64::MAX] {
        let refused = AnonOwner::new(number).expect_err("the library's");
        assert_eq!((refused.number, refused.own_from), (number, 1 << 61));
    }
    let owners = [0, 1, (1 << 61) - 1].map(|number| AnonOwner::new(number).expect("the caller's"));
    for (n, owner) in (0..).step_by(2).zip(owners) {
        let object = ObjectId::new((1 << 63) - 1 - n).expect("the caller's");
        for spec in [VmaSpec::of_object(object, 0, RW).owned_by(owner), VmaSpec::of_object(object, 0, RW).inherited_by(owner)] {
            writer.insert(page(n), PAGE_SIZE, spec).expect("free");
            let vma = writer.lookup(page(n)).expect("mapped");
            assert_eq!((vma.anon_owner(), vma.backing()), (Some(owner), Backing::Object(object)));
            writer.munmap(page(n), PAGE_SIZE).expect("memory");
        }
    }
}
