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
//! Page faults are in [`fault`]. Numbers in parentheses, such as (3.5), are those of the rules in [`docs::semantics`](crate::docs::semantics).

// [`Mm`] (L3): one address space: Linux's rules over a map.
//
// Called by `fault`, which adds what a page fault needs. Below it, `map` has the index and the mm lock, and `vma` the records and their
// locks. Each operation has a file.
//
// `docs/locking.md` has the table of what may be assumed under which lock, write-locked VMAs included.
//
// | field | changed under | read |
// |---|---|---|
// | the index | the write guard, with every VMA write-locked that loses or gains addresses | without a lock |
// | a record's lock | by itself | |
// | a record's anon owner | once, under the mm lock for reading or writing | without a lock |
// | the rest of a record | never | without a lock |
// | [`Limits`] | replaced whole, at any time | without a lock, once an operation |
// | the heap's bounds, `mlockall`'s flags for what is mapped later, the protection keys | the write guard | each word without a lock; together under the mm lock |
// | counters of pages | the write guard | without a lock |
// | counters of paths | at any time, each thread in one of eight cache lines | without a lock |
//
// **Order**: the mm lock, then a VMA's. A thread that holds a [`VmaGuard`] must not wait for the mm lock, because a writer that holds the mm
// lock may wait for the guard (3.11). Debug builds with std panic at such a wait.

mod accounts;
mod brk;
mod builder;
mod capabilities;
mod change_payloads;
mod draft;
pub mod fault;
mod flag_rules;
mod fork;
mod gap;
mod guard;
mod guard_gap;
mod huge;
mod insert;
mod keys;
mod later;
mod limits;
#[cfg(all(test, not(any(miri, vmaple_loom, vmaple_shuttle))))]
mod linear_cost;
mod lock_find;
mod lock_vma;
mod madvise;
mod mlock;
mod mmap;
mod mprotect;
mod mremap;
mod mseal;
mod munmap;
mod pages;
mod pin;
mod pinned_record;
mod pkey_alloc;
mod pkey_free;
mod place;
mod plan;
mod populate;
mod prot;
mod remap_request;
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
pub use pin::{MmPin, MmReader};
pub use plan::{Plan, Planner};
pub use prot::{Prot, ProtectRequest};
pub use remap_request::RemapRequest;
pub use stats::{FaultPaths, MmStats};
pub use view::{Gaps, MmView, VmaIter};

pub use crate::error::{
    BrkError, ChangePayloadsError, ExitError, ForkError, HeapError, IdError, InsertVmaCause, InsertVmaError, LayoutError, Limit,
    LimitsError, LockFindError, LockVmaError, MadviseError, MlockError, MmapError, MprotectError, MremapError, MsealError, MunmapError,
    PkeyAllocError, PkeyFreeError,
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

/// The value of an entry of the index.
type Record<P> = Shared<VmaRecord<P>>;

/// An address space: disjoint VMAs, the mm lock, a lock for each VMA, the limits and the accounts.
///
/// `P` is what the embedder keeps with each VMA; `L` is the mm lock ([`MmBuilder::lock`]).
///
/// # Concurrency
/// There is one writer at a time. Lookups take no lock, and a fault takes only the lock of its VMA if it can. The [module](crate::mm) has
/// the table of what may be assumed under which lock. A thread that holds a [`VmaGuard`] must not wait for the mm lock.
///
/// # Examples
/// ```
/// use vmaple::{Access, FaultContext, Interrupt, Mm, VmaFlags, VmaSpec};
///
/// let mm = Mm::new();
/// let stack = VmaFlags::READ | VmaFlags::WRITE | VmaFlags::GROWSDOWN;
/// mm.write().insert(0x7ff0_0000, 0x1_0000, VmaSpec::anonymous(stack))?;
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
    accounts: Accounts,
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
        // A handle may outlive the address space: its record must say that it is not attached.
        map.at_end(|record| record.lock().detach());
        Self {
            map,
            limits: Newest::new(limits),
            accounts: Accounts::default(),
            fault_paths: FaultPathCounters::default(),
            state: State::default(),
        }
    }

    /// Returns a consistent copy of the limits.
    ///
    /// # Concurrency
    /// Lock-free: starts again only if the limits were replaced meanwhile. Allocates nothing.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits.load()
    }

    /// Replaces all limits at once.
    ///
    /// An operation that has begun keeps the limits with which it began. What exceeds the new limits already stays mapped.
    ///
    /// # Concurrency
    /// Waits for threads that are reading older limits, which takes a few instructions of theirs. Allocates nothing. Must not be called in a
    /// signal handler.
    ///
    /// # Errors
    /// [`LimitsError`]: a field has an invalid value ([`Limits::validate`]). The limits are unchanged.
    pub fn set_limits(&self, limits: Limits) -> Result<(), LimitsError> {
        limits.validate()?;
        self.limits.replace(limits);
        Ok(())
    }

    /// Pins the calling thread: what is read through the pin stays readable, without a lock.
    pub fn pin(&self) -> MmPin<'_, P, L> {
        MmPin::new(self, self.map.pin())
    }

    /// Registers the calling thread with the address space's epochs in advance. See [`RangeMap::register_thread`].
    pub fn register_thread(&self) {
        self.map.register_thread();
    }

    /// Returns a reader, a handle that a thread keeps for many lookups or faults.
    pub fn reader(&self) -> MmReader<'_, P, L> {
        MmReader::new(self, self.map.reader())
    }

    /// Locks the layout for reading. Waits for a writer that holds the lock or waits for it.
    ///
    /// # Panics
    /// In debug builds with the feature `std`, if the calling thread would wait for itself.
    #[track_caller]
    pub fn read(&self) -> MmReadGuard<'_, P, L> {
        MmReadGuard::new(self, self.map.read())
    }

    /// Locks the layout for reading without waiting. Returns `None` if a writer holds the lock or waits for it.
    #[must_use]
    pub fn try_read(&self) -> Option<MmReadGuard<'_, P, L>> {
        Some(MmReadGuard::new(self, self.map.try_read()?))
    }

    /// Locks the layout for reading, unless the interrupt is raised during a wait for the lock.
    ///
    /// A lock that is free is taken even if the interrupt is raised already.
    ///
    /// # Errors
    /// [`InterruptedError`]: nothing is held.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_interruptible(&self, interrupt: &L::Interrupt) -> Result<MmReadGuard<'_, P, L>, InterruptedError> {
        Ok(MmReadGuard::new(self, self.map.read_interruptible(interrupt)?))
    }

    /// Locks the layout for writing, which is the only way to change it. Waits until there is no other hold.
    ///
    /// # Panics
    /// In debug builds with the feature `std`, if the calling thread would wait for itself.
    #[track_caller]
    pub fn write(&self) -> MmWriteGuard<'_, P, L> {
        MmWriteGuard::new(self, self.map.write())
    }

    /// Locks the layout for writing without waiting. Returns `None` if the lock is held.
    #[must_use]
    pub fn try_write(&self) -> Option<MmWriteGuard<'_, P, L>> {
        Some(MmWriteGuard::new(self, self.map.try_write()?))
    }

    /// Locks the layout for writing, unless the interrupt is raised during a wait for the lock or for the budget.
    ///
    /// A lock that is free is taken even if the interrupt is raised already.
    ///
    /// # Errors
    /// [`InterruptedError`]: nothing is held. Readers that waited only because of this writer are admitted.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_interruptible(&self, interrupt: &L::Interrupt) -> Result<MmWriteGuard<'_, P, L>, InterruptedError> {
        Ok(MmWriteGuard::new(self, self.map.write_interruptible(interrupt)?))
    }

    /// Begins lockless work that is valid only if no writer holds the lock meanwhile. Returns `None` if one holds it now.
    ///
    /// [Rule 3.8](crate::docs::semantics#3-the-lock-of-a-vma).
    #[must_use]
    pub fn speculate(&self) -> Option<Speculation<'_>> {
        self.map.speculate()
    }

    /// Returns the write sequence, which is odd while the mm lock is held for writing.
    ///
    /// [Rule 3.1](crate::docs::semantics#3-the-lock-of-a-vma).
    #[must_use]
    pub fn write_sequence(&self) -> u64 {
        self.map.write_sequence()
    }

    /// Sets the write sequence, as if that many write holds had begun and ended.
    #[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
    pub(crate) fn start_sequence_at(&self, number: u64) {
        self.map.lock().start_sequence_at(number);
    }

    /// Returns the number of VMAs (Linux's `map_count`).
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Returns whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Returns the accounts, and how often faults took each path. Takes no lock.
    #[must_use]
    pub fn stats(&self) -> MmStats {
        self.accounts.sums().stats(self.fault_paths.sum())
    }

    /// Frees what no reader can reach any more, and returns the number of bytes that must still wait for readers.
    ///
    /// That includes the records and payloads of VMAs that are gone, and memory that is kept for the next operations. See
    /// [`RangeMap::reclaim`].
    ///
    /// # Concurrency
    /// Takes the mm lock for writing. Does not wait for pinned readers.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn reclaim(&self) -> usize {
        self.map.reclaim()
    }

    /// Locks for reading with a limited wait.
    #[track_caller]
    pub(crate) fn read_with(&self, patience: Patience<'_, L::Interrupt>) -> Result<MmReadGuard<'_, P, L>, WaitError> {
        match patience {
            Patience::Never => self.try_read().ok_or(WaitError::WouldBlock),
            Patience::Forever => Ok(self.read()),
            Patience::Interruptible(interrupt) => Ok(self.read_interruptible(interrupt)?),
        }
    }

    /// Locks for writing with a limited wait.
    #[track_caller]
    pub(crate) fn write_with(&self, patience: Patience<'_, L::Interrupt>) -> Result<MmWriteGuard<'_, P, L>, WaitError> {
        match patience {
            Patience::Never => self.try_write().ok_or(WaitError::WouldBlock),
            Patience::Forever => Ok(self.write()),
            Patience::Interruptible(interrupt) => Ok(self.write_interruptible(interrupt)?),
        }
    }

    /// Write-locks a VMA in the write hold of this number, with a limited wait for its readers.
    fn start_write(&self, record: &VmaRecord<P>, sequence: u64, patience: Patience<'_, L::Interrupt>) -> Result<(), WaitError> {
        record.lock().start_write(sequence, self.map.lock(), patience)
    }

    /// Returns what `read` takes from the limits. `read` is short and calls no code of the embedder (see `sync/newest.rs`).
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
