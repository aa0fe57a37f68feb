//! vmaple's address space, by the paths that a fault can take: the VMA's own lock, the mm lock, and, if a stack grows, an upgrade or a release
//! and a new write lock.

use crate::regions::Region;
use crate::subject::{Faults, Held, Serves};
use std::fmt;
use std::marker::PhantomData;
use vmaple::map::BudgetPolicy;
use vmaple::mm::fault::FaultedVma;
use vmaple::mm::{Limits, MmReader, UpgradePolicy};
use vmaple::{Access, FaultContext, Interrupt, Mm, VmaFlags, VmaSpec};

/// The access that every region allows, as in the peers.
pub(super) const FLAGS: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE).union(VmaFlags::GROWSDOWN);

/// A path of faults.
pub trait FaultPath: Send + Sync + 'static {
    /// The subject's name.
    const NAME: &'static str;

    /// How a fault that must grow gets from the read lock to the write lock.
    const UPGRADE: UpgradePolicy = UpgradePolicy::Optimistic;

    /// The handle of a thread.
    type Way<'m>;

    /// Returns a handle for the calling thread.
    fn way(mm: &Mm<u64>) -> Self::Way<'_>;

    /// Serves a fault.
    fn fault<'m>(way: &mut Self::Way<'m>, address: u64, context: FaultContext<'_>) -> Option<FaultedVma<'m, u64>>;

    /// Returns whether the fault ended on another path.
    #[must_use]
    fn is_detour(_vma: &FaultedVma<'_, u64>) -> bool {
        false
    }
}

/// The whole path of a fault, which begins with the VMA's own lock.
#[derive(Debug)]
pub struct PerVma;

impl FaultPath for PerVma {
    const NAME: &'static str = "vmaple-per-vma";
    type Way<'m> = &'m Mm<u64>;

    fn way(mm: &Mm<u64>) -> &Mm<u64> {
        mm
    }

    #[inline]
    fn fault<'m>(mm: &mut Self::Way<'m>, address: u64, context: FaultContext<'_>) -> Option<FaultedVma<'m, u64>> {
        mm.handle_fault(address, Access::Write, context).ok()
    }

    fn is_detour(vma: &FaultedVma<'_, u64>) -> bool {
        matches!(vma, FaultedVma::Mm(_))
    }
}

/// The whole path, by a thread that keeps a reader.
#[derive(Debug)]
pub struct PerVmaReader;

impl FaultPath for PerVmaReader {
    const NAME: &'static str = "vmaple-per-vma-reader";
    type Way<'m> = MmReader<'m, u64>;

    fn way(mm: &Mm<u64>) -> MmReader<'_, u64> {
        mm.reader()
    }

    #[inline]
    fn fault<'m>(reader: &mut Self::Way<'m>, address: u64, context: FaultContext<'_>) -> Option<FaultedVma<'m, u64>> {
        reader.handle_fault(address, Access::Write, context).ok()
    }

    fn is_detour(vma: &FaultedVma<'_, u64>) -> bool {
        PerVma::is_detour(vma)
    }
}

/// A path by the mm lock alone.
macro_rules! by_mm_lock {
    () => {
        type Way<'m> = &'m Mm<u64>;

        fn way(mm: &Mm<u64>) -> &Mm<u64> {
            mm
        }

        #[inline]
        fn fault<'m>(mm: &mut Self::Way<'m>, address: u64, context: FaultContext<'_>) -> Option<FaultedVma<'m, u64>> {
            let held = mm.find_vma_for_fault(address, context).ok()?;
            held.vma().flags().allows(Access::Write).then_some(FaultedVma::Mm(held))
        }
    };
}

/// Under the mm lock alone: what Linux's faults did before VMAs had locks.
#[derive(Debug)]
pub struct MmLock;

impl FaultPath for MmLock {
    const NAME: &'static str = "vmaple-mm-lock";
    by_mm_lock!();
}

/// Growth by an upgrade of the read hold.
#[derive(Debug)]
pub struct Upgrade;

impl FaultPath for Upgrade {
    const NAME: &'static str = "vmaple-upgrade";
    by_mm_lock!();
}

/// Growth by releasing the read lock and taking the write lock, as in Linux.
#[derive(Debug)]
pub struct Retake;

impl FaultPath for Retake {
    const NAME: &'static str = "vmaple-retake";
    const UPGRADE: UpgradePolicy = UpgradePolicy::Never;
    by_mm_lock!();
}

/// The address space, with faults by one of the paths.
pub struct VmapleMm<R> {
    mm: Mm<u64>,
    /// Never raised.
    killed: Interrupt,
    path: PhantomData<R>,
}

impl<R> fmt::Debug for VmapleMm<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmapleMm").field("mm", &self.mm).finish_non_exhaustive()
    }
}

fn spec(region: Region) -> VmaSpec<u64> {
    VmaSpec::anonymous(FLAGS).with_payload(region.value)
}

impl<R: FaultPath> Faults for VmapleMm<R> {
    const NAME: &'static str = R::NAME;
    type Server<'s> = Server<'s, R>;

    fn of(regions: &[Region]) -> Self {
        let mut limits = Limits::default();
        // All rules are checked, and none refuses growth up to the neighbour.
        limits.max_map_count = usize::MAX;
        limits.stack_bytes = u64::MAX;
        limits.stack_guard_gap_pages = 0;
        limits.upgrade = R::UPGRADE;
        // A pinned reader that does not run must not make a write fail.
        let mm = Mm::builder().policy(BudgetPolicy::Wait).limits(limits).expect("limits that mean something").build();
        let space = Self { mm, killed: Interrupt::new(), path: PhantomData };
        for &region in regions {
            space.map(region);
        }
        space
    }

    fn server(&self) -> Server<'_, R> {
        Server { way: R::way(&self.mm), killed: &self.killed }
    }

    fn map(&self, region: Region) {
        self.mm.write().insert(region.start, region.last - region.start + 1, spec(region)).expect("the place is free");
    }

    fn unmap(&self, region: Region) {
        self.mm.write().munmap(region.start, region.last - region.start + 1).expect("it is whole pages");
    }
}

/// A thread that faults.
pub struct Server<'s, R: FaultPath> {
    way: R::Way<'s>,
    killed: &'s Interrupt,
}

impl<R: FaultPath> fmt::Debug for Server<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl<R: FaultPath> Serves for Server<'_, R> {
    #[inline]
    fn fault(&mut self, address: u64) -> Option<impl Held> {
        R::fault(&mut self.way, address, FaultContext::User(self.killed)).map(|vma| Serving::<R>(vma, PhantomData))
    }
}

/// A VMA held for a fault.
struct Serving<'m, R>(FaultedVma<'m, u64>, PhantomData<R>);

impl<R: FaultPath> Held for Serving<'_, R> {
    #[inline]
    fn region(&self) -> Region {
        let vma = self.0.vma();
        Region { start: vma.start(), last: vma.last(), value: *vma.payload() }
    }

    #[inline]
    fn is_detour(&self) -> bool {
        R::is_detour(&self.0)
    }
}
