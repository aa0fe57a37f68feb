//! Limits and arguments at their extremes. No operation panics, wraps around, maps where nothing may be, or runs long under the lock.

use quickcheck::{Arbitrary, Gen, QuickCheck};
use vmaple::mm::{Advice, Capabilities, GuardGapPolicy, Limits, MapCountLimit, MapRequest, PartialEffects, ProtectRequest, RemapRequest};
use vmaple::{Access, ErrorCode, FaultContext, Mm, PAGE_SIZE, VmaFlags, VmaSpec};

/// A number near which arithmetic wraps around, or near which something is mapped.
#[derive(Clone, Copy, Debug)]
struct Edge(u64);

impl Arbitrary for Edge {
    fn arbitrary(g: &mut Gen) -> Self {
        let small = u64::from(u8::arbitrary(g)) * PAGE_SIZE;
        let base = *g
            .choose(&[0, small, small, small, 0x10_0000, 1 << 31, 1 << 32, 0x7fff_ffff_f000, 1 << 47, 1 << 63, u64::MAX - 0xfff, u64::MAX])
            .unwrap_or(&0);
        let near = *g.choose(&[0, 0, 0, PAGE_SIZE, PAGE_SIZE.wrapping_neg(), 1, 1_u64.wrapping_neg()]).unwrap_or(&0);
        Self(base.wrapping_add(near))
    }
}

#[derive(Clone, Debug)]
struct Story(Vec<(u8, [Edge; 3], u8)>);

impl Arbitrary for Story {
    fn arbitrary(g: &mut Gen) -> Self {
        Self((0..40).map(|_| (u8::arbitrary(g), [0; 3].map(|_| Edge::arbitrary(g)), u8::arbitrary(g))).collect())
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let steps = self.0.clone();
        Box::new((0..steps.len()).map(move |i| {
            let mut fewer = steps.clone();
            fewer.remove(i);
            Self(fewer)
        }))
    }
}

fn flags_of(more: u8) -> VmaFlags {
    let access = [VmaFlags::empty(), VmaFlags::READ, VmaFlags::READ | VmaFlags::WRITE][usize::from(more % 3)];
    let kind = [VmaFlags::empty(), VmaFlags::GROWSDOWN, VmaFlags::GROWSUP, VmaFlags::SHARED, VmaFlags::LOCKED, VmaFlags::HUGETLB];
    access | kind[usize::from(more / 3) % kind.len()]
}

/// Sets one of the limits. A value that has no meaning is refused, and changes nothing.
fn set(mm: &Mm, which: u8, value: u64) {
    let before = mm.limits();
    let mut limits = before.clone();
    match which % 20 {
        0 => limits.task_size = value,
        1 => limits.task_size = value & !(PAGE_SIZE - 1),
        2 => limits.mmap_min_addr = value,
        3 => limits.min_addr_floor = value,
        4 => limits.stack_guard_gap_pages = value,
        5 => limits.mmap_base = value,
        6 => limits.mmap_legacy_base = value,
        7 => limits.huge_page_bytes = value,
        8 => limits.huge_page_bytes = 1 << (value % 64),
        9 => limits.stack_bytes = value,
        10 => limits.locked_bytes = value,
        11 => limits.data_bytes = value,
        12 => limits.address_space_bytes = value,
        13 => limits.loaded_data_bytes = value,
        14 => limits.capabilities = Capabilities::from_bits_truncate(value << 14),
        15 => limits.policy.guard_gap = [GuardGapPolicy::AsLinux, GuardGapPolicy::Enforced][usize::from(value > 1 << 20)],
        16 => limits.policy.map_count = [MapCountLimit::AsLinux, MapCountLimit::Exact][usize::from(value > 1 << 20)],
        17 => limits.policy.partial = [PartialEffects::AsLinux, PartialEffects::Never][usize::from(value > 1 << 20)],
        18 => (limits.map_window, limits.low_search_base) = (value, value),
        _ => (limits.hugetlb_bytes, limits.hugetlb_sizes) = (value, value),
    }
    // An address space does not end below what is mapped.
    if mm.read().find(limits.task_size).is_some() {
        return;
    }
    let is_sensible = limits.validate().is_ok();
    assert_eq!(mm.set_limits(limits).is_ok(), is_sensible);
    assert!(is_sensible || mm.limits() == before);
}

fn tell(Story(steps): Story) {
    let mm: Mm = Mm::builder().private_epochs().build();
    let keep = |which: u8, [Edge(a), Edge(b), Edge(c)]: [Edge; 3], more: u8| {
        let context = FaultContext::KernelWithoutFixup;
        if which % 20 < 6 {
            set(&mm, more, a);
            return;
        }
        let mut writer = mm.write();
        let limits = mm.limits();
        let spec = VmaSpec::anonymous(flags_of(more)).at_offset(if more > 200 { c } else { 0 });
        let request = MapRequest::new(b, if more > 200 { spec.clone() } else { VmaSpec::anonymous(flags_of(more)) });
        match which % 20 {
            6 => {
                if let Ok(at) = writer.mmap(&request.clone().near(a)) {
                    // The place was searched for, or is a hint that was raised: it is never below the minimum or beyond the end.
                    assert!(at >= limits.lowest_address() && b <= limits.task_size - at, "{at:#x} by {limits:?}");
                }
            }
            7 | 8 => {
                if let Ok(at) = writer.mmap(&request.fixed(a)) {
                    assert!(at == a && (limits.capabilities.contains(Capabilities::SYS_RAWIO) || at >= limits.mmap_min_addr));
                }
            }
            9 => _ = writer.insert(a, b, spec),
            10 => _ = writer.munmap(a, b),
            11 => {
                let prot = u64::from(more & 0xf) | u64::from(more >> 4 & 3) << 24;
                _ = writer.mprotect(a, b, ProtectRequest::from_raw(prot, -1));
            }
            12 | 13 => {
                let vma = writer.find(a).map_or(a, |vma| vma.start());
                let from = if more > 100 { vma } else { a };
                if let Ok(at) = writer.mremap(&RemapRequest::from_raw(from, b, c, u32::from(more % 8), c.wrapping_add(a))) {
                    assert!(at < limits.task_size);
                }
            }
            14 => {
                if writer.set_heap(a, b).is_ok() {
                    assert!(a <= b && b <= limits.task_size);
                }
            }
            15 => {
                let before = mm.program_break();
                let result = writer.brk(a);
                assert!(result.is_ok_and(|brk| brk == a) || result.is_err() && mm.program_break() == before);
            }
            16 => _ = writer.madvise(a, b, Advice::DontFork),
            17 => _ = (writer.mlock(a, b), writer.munlock(b, a), writer.mseal(a, if more > 250 { b } else { 0 })),
            18 => _ = (writer.expand_down(a), writer.expand_up(b)),
            _ => {
                drop(writer);
                _ = mm.handle_fault(a, Access::Read, context);
                if let Ok(held) = mm.read().expand_stack(b, context) {
                    assert!(held.vma().contains(b));
                }
                return;
            }
        }
        writer.validate().expect("the invariants hold");
    };
    for (which, edges, more) in steps {
        keep(which, edges, more);
    }
}

#[test]
fn extreme_limits_and_arguments_at_random() {
    let (tests, size) = if cfg!(miri) { (2, 8) } else { (1500, 100) };
    QuickCheck::new().rng(Gen::new(size)).tests(tests).max_tests(tests).quickcheck(tell as fn(Story));
}

/// With a guard gap larger than the address space, the searches upward and downward end, and nothing is placed at 0.
#[test]
fn a_guard_gap_beyond_all_addresses() {
    for (floor, policy) in [(0, GuardGapPolicy::AsLinux), (0, GuardGapPolicy::Enforced), (0x1_0000, GuardGapPolicy::AsLinux)] {
        let mut limits = Limits::default();
        (limits.stack_guard_gap_pages, limits.policy.guard_gap) = (u64::MAX, policy);
        (limits.mmap_base, limits.mmap_legacy_base, limits.task_size) = (0x2_0000, 0x10_0000, 0x100_0000);
        (limits.mmap_min_addr, limits.min_addr_floor) = (0, floor);
        let mm: Mm = Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build();
        let mut writer = mm.write();
        let start = if floor == 0 { 0 } else { 0x1_0000 };
        writer.insert(start, 0x2_0000 - start, VmaSpec::anonymous(VmaFlags::READ)).expect("free");
        let up = writer.insert(0x10_0000, 0x1_0000, VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSUP));
        assert!(up.is_ok());
        let result = writer.mmap(&MapRequest::new(PAGE_SIZE, VmaSpec::anonymous(VmaFlags::READ)));
        assert!(result.is_err_and(|error| error.errno() == 12), "{result:?}");
        writer.validate().expect("the invariants hold");
    }
}
