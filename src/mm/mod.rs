//! An address space: virtual memory areas (VMAs), the mm lock, and Linux's operations on them.
//!
//! [`Mm`] is the address space. What a caller may assume follows from what it holds:
//!
//! | holds | type | may assume |
//! |---|---|---|
//! | a pin | [`MmPin`], [`MmReader`] | records that were read stay readable; nothing about the present |
//! | one VMA's lock | [`VmaGuard`] | that VMA keeps its bounds, flags and offset |
//! | the mm lock for reading | [`MmReadGuard`], [`LockedVma`] | the whole layout stays as it is |
//! | the mm lock for writing | [`MmWriteGuard`] | the same, and may change it |
//!
//! Page faults are in [`fault`].

// [`Mm`] (L3): one address space: Linux's rules over a map.
//
// `fault` comes in, and adds to it what a page fault needs. The map below gives the index and the mm lock; `vma` the records and their
// locks. One operation a file.
//
// | held | by | may be assumed |
// |---|---|---|
// | a pin | [`MmPin`], [`MmReader`] | records that were read stay readable; nothing of the present |
// | a VMA for reading | [`VmaGuard`] | this VMA stays, with its bounds, flags and offset; its neighbours may change |
// | the mm lock for reading | [`MmReadGuard`], [`LockedVma`] | the whole layout stands still |
// | the mm lock for writing | [`MmWriteGuard`] | and is the holder's to change |
// | the mm lock for writing, and a VMA is write-locked | inside an operation | no [`VmaGuard`] of it, until the end of the hold or a downgrade |
//
// | field | changed under | read |
// |---|---|---|
// | the index | the write guard, with every VMA write-locked that loses or gains addresses | without a lock |
// | a record's lock | by itself | |
// | the rest of a record | never | without a lock |
// | [`Limits`] | replaced whole, at any time | without a lock, once an operation |
// | the heap's bounds, `mlockall`'s flags for what is mapped later, the protection keys | the write guard | each word without a lock; together under the mm lock |
// | counters of pages | the write guard | without a lock |
// | counters of paths | at any time, each thread on a line of its own (of eight) | without a lock |
//
// **Order**: the mm lock, then a VMA's. Who holds a [`VmaGuard`] never waits for the mm lock: a writer that holds it may wait for him
// (3.11). Debug builds panic at such a wait.

mod accounts;
mod brk;
mod builder;
mod capabilities;
mod draft;
pub mod fault;
mod flag_rules;
mod fork;
mod gap;
mod guard;
mod guard_gap;
mod huge;
mod keys;
mod later;
mod limits;
#[cfg(all(test, not(any(miri, vmaple_loom, vmaple_shuttle))))]
mod linear;
mod lock_next;
mod lock_vma;
mod madvise;
mod map;
mod mlock;
mod mmap;
mod mprotect;
mod mremap;
mod mseal;
mod munmap;
mod pages;
mod payloads;
mod pin;
mod pinned_record;
mod pkey_alloc;
mod pkey_free;
mod pkey_mprotect;
mod place;
mod plan;
mod populate;
mod row;
mod staged;
mod state;
mod stats;
mod validate;
mod view;

pub use builder::MmBuilder;
pub use capabilities::Capabilities;
pub use guard::{LockedVma, MmReadGuard, MmWriteGuard};
pub use huge::{SharedHugePages, SharedHugePolicy};
pub use limits::{GuardGapPolicy, LayoutPolicy, Limits, MapCountLimit, PartialEffects, UpgradePolicy};
pub use lock_vma::VmaGuard;
pub use madvise::Advice;
pub use mlock::LockAll;
pub use mmap::MapRequest;
pub use mremap::MremapFlags;
pub use pin::{MmPin, MmReader};
pub use pkey_mprotect::KeyChange;
pub use plan::Plan;
pub use stats::{FaultPaths, MmStats};
pub use view::{Gaps, MmView, VmaIter};

pub use crate::error::{
    BrkError, HeapError, LayoutError, LimitsError, LockVmaError, MadviseError, MapCause, MapError, MlockError, MmapError, MprotectError,
    MremapError, MsealError, MunmapError, NameError, PkeyAllocError, PkeyFreeError,
};
pub use crate::key::{KeyDenial, KeyRights, KeyedAccess, ProtectionKey};
pub use crate::vma::{AnonOwner, Backing, ObjectId, Payload, Vma, VmaFlags, VmaHandle, VmaSpec};

pub(crate) use guard::WriteLockedVma;
pub(crate) use stats::FaultPath;

use crate::error::{InterruptedError, WaitError};
use crate::lock::Patience;
use crate::lock::{MmLock, RawMmLock, Speculation};
use crate::map::RangeMap;
use crate::sync::{Newest, Shared};
use crate::vma::VmaRecord;
use accounts::Accounts;
use core::fmt;
use state::State;
use stats::FaultPathCounters;

/// What the index holds.
type Record<P> = Shared<VmaRecord<P>>;

/// An address space: disjoint VMAs, the mm lock, a lock for each VMA, the limits and the accounts.
///
/// `P` is what the embedder keeps with each VMA; `L` is the mm lock ([`MmBuilder::lock`]).
///
/// # Concurrency
/// One writer changes it; lookups take no lock; a fault takes the lock of its VMA alone, where it can. Who holds what, and what may be
/// assumed then, is a table in the architecture notes. A thread that holds a [`VmaGuard`] must not wait for the mm lock.
///
/// # Examples
/// ```
/// use vmaple::{Access, FaultContext, Interrupt, Mm, VmaFlags, VmaSpec};
///
/// let mm = Mm::new();
/// let stack = VmaFlags::READ | VmaFlags::WRITE | VmaFlags::GROWSDOWN;
/// mm.write().map(0x7ff0_0000..0x7ff1_0000, VmaSpec::anonymous(stack))?;
///
/// let killed = Interrupt::new();
/// // A fault below the stack: it grows, the read lock is upgraded to the write lock and back.
/// let grown = mm.handle_fault(0x7fef_8000, Access::Write, FaultContext::User(&killed))?;
/// assert_eq!(grown.vma().start(), 0x7fef_8000);
/// drop(grown);
/// // The next fault there takes no mm lock at all.
/// drop(mm.handle_fault(0x7fef_8123, Access::Read, FaultContext::User(&killed))?);
/// let paths = mm.stats().fault_paths;
/// assert_eq!((paths.upgraded, paths.per_vma), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Mm<P = (), L: RawMmLock = MmLock> {
    map: RangeMap<Record<P>, L>,
    limits: Newest<Limits>,
    pages: Accounts,
    fault_paths: FaultPathCounters,
    state: State,
}

impl<P> Mm<P> {
    /// Creates an address space in which nothing is mapped, with Linux's default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, which configures the limits, the lock, the budget and the epochs.
    pub fn builder() -> MmBuilder<P> {
        MmBuilder::new()
    }
}

impl<P, L: RawMmLock> Mm<P, L> {
    fn over(mut map: RangeMap<Record<P>, L>, limits: Limits) -> Self {
        // A record may be kept beyond the address space: it must say that it is not attached.
        map.at_end(|record| record.lock().detach());
        Self {
            map,
            limits: Newest::new(limits),
            pages: Accounts::default(),
            fault_paths: FaultPathCounters::default(),
            state: State::default(),
        }
    }

    /// Returns a copy of the limits as they are now: one value, whole.
    ///
    /// # Concurrency
    /// Lock-free: starts anew only if the limits were replaced meanwhile. Allocates nothing.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits.load()
    }

    /// Replaces the limits whole. Operations under way go by those that they began with; what exceeds the new ones already stays.
    ///
    /// # Concurrency
    /// Waits for threads that are reading the limits before the present ones, so for some instructions of theirs. Allocates nothing. Not for
    /// signal handlers.
    ///
    /// # Errors
    /// [`LimitsError`]: a field has a value that means nothing ([`Limits::validate`]). The limits are those of before then.
    pub fn set_limits(&self, limits: Limits) -> Result<(), LimitsError> {
        limits.validate()?;
        self.limits.replace(limits);
        Ok(())
    }

    /// Pins the calling thread: what is read through the guard stays readable. It promises nothing about the present.
    pub fn pin(&self) -> MmPin<'_, P, L> {
        MmPin::new(self, self.map.pin())
    }

    /// Registers the calling thread with the address space's epochs, in advance: see [`RangeMap::register_thread`].
    pub fn register_thread(&self) {
        self.map.register_thread();
    }

    /// A kept handle for a thread that faults again and again.
    pub fn reader(&self) -> MmReader<'_, P, L> {
        MmReader::new(self, self.map.reader())
    }

    /// Locks the layout for reading. Waits for a writer that is inside or waits.
    ///
    /// # Panics
    /// In debug builds, where the calling thread would wait for itself.
    #[track_caller]
    pub fn read(&self) -> MmReadGuard<'_, P, L> {
        MmReadGuard::new(self, self.map.read())
    }

    /// The same without waiting; none if a writer is inside, or waits.
    #[must_use]
    pub fn try_read(&self) -> Option<MmReadGuard<'_, P, L>> {
        Some(MmReadGuard::new(self, self.map.try_read()?))
    }

    /// The same, but the wait ends when the interrupt is raised.
    ///
    /// # Errors
    /// [`InterruptedError`]: nothing is held.
    #[track_caller]
    pub fn read_interruptible(&self, interrupt: &L::Interrupt) -> Result<MmReadGuard<'_, P, L>, InterruptedError> {
        Ok(MmReadGuard::new(self, self.map.read_interruptible(interrupt)?))
    }

    /// Locks the layout for writing: the one way to change it. Waits until nobody holds it.
    ///
    /// # Panics
    /// In debug builds, where the calling thread would wait for itself.
    #[track_caller]
    pub fn write(&self) -> MmWriteGuard<'_, P, L> {
        MmWriteGuard::new(self, self.map.write())
    }

    /// The same without waiting; none if anyone is inside.
    #[must_use]
    pub fn try_write(&self) -> Option<MmWriteGuard<'_, P, L>> {
        Some(MmWriteGuard::new(self, self.map.try_write()?))
    }

    /// The same, but the wait ends when the interrupt is raised.
    ///
    /// # Errors
    /// [`InterruptedError`]: nothing is held.
    #[track_caller]
    pub fn write_interruptible(&self, interrupt: &L::Interrupt) -> Result<MmWriteGuard<'_, P, L>, InterruptedError> {
        Ok(MmWriteGuard::new(self, self.map.write_interruptible(interrupt)?))
    }

    /// Begins lockless work that is worth something only if no writer was inside meanwhile; none if one is inside now (3.8).
    #[must_use]
    pub fn speculate(&self) -> Option<Speculation<'_>> {
        self.map.speculate()
    }

    /// The write sequence: odd while the mm lock is write-held (3.1).
    #[must_use]
    pub fn write_sequence(&self) -> u64 {
        self.map.write_sequence()
    }

    /// As if so many write holds had begun and ended.
    #[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
    pub(crate) fn start_sequence_at(&self, number: u64) {
        self.map.lock().start_sequence_at(number);
    }

    /// Returns the number of VMAs (Linux's `map_count`).
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Returns `true` if nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The accounts, and how often each path was taken, without a lock.
    #[must_use]
    pub fn stats(&self) -> MmStats {
        self.pages.sums().stats(self.fault_paths.sum())
    }

    /// As [`RangeMap::reclaim`]: recycles what no reader can reach any more, records and payloads of VMAs that are gone included, gives the
    /// system what is kept for the next operations, and says how many bytes must wait still.
    ///
    /// # Concurrency
    /// Takes the mm lock for writing; never waits for readers without a lock.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn reclaim(&self) -> usize {
        self.map.reclaim()
    }

    /// Locks for reading, waiting as long as is said.
    #[track_caller]
    pub(crate) fn read_with(&self, patience: Patience<'_, L::Interrupt>) -> Result<MmReadGuard<'_, P, L>, WaitError> {
        match patience {
            Patience::Never => self.try_read().ok_or(WaitError::WouldBlock),
            Patience::Forever => Ok(self.read()),
            Patience::Interruptible(interrupt) => Ok(self.read_interruptible(interrupt)?),
        }
    }

    /// The same for writing.
    #[track_caller]
    pub(crate) fn write_with(&self, patience: Patience<'_, L::Interrupt>) -> Result<MmWriteGuard<'_, P, L>, WaitError> {
        match patience {
            Patience::Never => self.try_write().ok_or(WaitError::WouldBlock),
            Patience::Forever => Ok(self.write()),
            Patience::Interruptible(interrupt) => Ok(self.write_interruptible(interrupt)?),
        }
    }

    /// Write-locks a VMA for the write hold of this sequence: waits for its readers, as long as is said.
    fn start_write(&self, record: &VmaRecord<P>, sequence: u64, patience: Patience<'_, L::Interrupt>) -> Result<(), WaitError> {
        record.lock().start_write(sequence, self.map.lock(), patience)
    }

    /// A copy of the limits, for one operation.
    pub(crate) fn limits_now(&self) -> Limits {
        self.limits.load()
    }

    /// What an operation needs of the limits, where that is little. `read` calls nobody (see `sync/newest.rs`).
    pub(crate) fn read_limits<R>(&self, read: impl FnOnce(&Limits) -> R) -> R {
        self.limits.read(read)
    }

    #[inline]
    pub(crate) fn note(&self, path: FaultPath) {
        self.fault_paths.note(path);
    }
}

impl<P> Default for Mm<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P, L: RawMmLock> fmt::Debug for Mm<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mm").field("len", &self.len()).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
