//! A child's address space, and the end of one: Linux's `fork` (5.28) and `exit`.
//!
//! Called by embedders through the write guard.

use super::keys::Keys;
use super::state::StateUpdate;
use super::{Mm, MmWriteGuard, Record};
use crate::addr::Span;
use crate::error::{ExitError, ForkError, LayoutError, ResourceError};
use crate::lock::{Patience, RawMmLock};
use crate::sync::Shared;
use crate::tree::{Charge, Entry};
use crate::vma::{AnonOwner, Payload, VmaFlags};
use core::cell::Cell;

/// From this many VMAs on a core's own caches may not hold the records, and a copy waits for memory.
const FAR: usize = 4096;
/// How many VMAs ahead a record is prefetched then: enough to cover the latency of memory.
const AHEAD: usize = 8;

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Creates the address space of a child.
    ///
    /// VMAs with `DONTCOPY` are not in it, nothing is locked in memory, and VMAs with `WIPEONFORK` have no owner of private pages. Limits, heap
    /// and protection keys are the same. Private pages have owners that share with the parent's (5.9).
    ///
    /// # Concurrency
    /// Write-locks each VMA before it is copied, which waits for its readers (3.13).
    ///
    /// # Errors
    /// [`ForkError`]: the limit on committed memory is reached, or memory is short. The parent has not changed. The copies made so far
    /// are dropped after the unlock; each further attempt under the same guard keeps more of them.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{Advice, MapRequest};
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// let at = writer.mmap(&MapRequest::new(0x4000, VmaSpec::anonymous(VmaFlags::READ)))?;
    /// writer.madvise(at, 0x1000, Advice::DontFork)?;
    /// let child = writer.fork()?;
    /// assert_eq!((mm.len(), child.len()), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fork(&mut self) -> Result<Mm<P, L>, ForkError>
    where
        L: Default,
    {
        self.fork_with_lock(L::default(), Patience::Forever)
    }

    /// Creates the address space of a child, with this mm lock. `patience` says how long it waits for the readers of VMAs.
    ///
    /// # Errors
    /// As [`fork`](Self::fork), and [`ForkError::Wait`] if the wait ended early.
    pub fn fork_with_lock<K: RawMmLock>(&mut self, lock: K, patience: Patience<'_, L::Interrupt>) -> Result<Mm<P, K>, ForkError> {
        let (mm, sequence) = (self.mm(), self.sequence());
        let (limits, sums) = (mm.limits(), Cell::new(self.sums()));
        let AnonOwner(mut owner) = AnonOwner::uniques(mm.len());
        let mut ahead = (mm.len() >= FAR).then(|| self.guard.iter().skip(AHEAD));
        let payloads = &mut self.later.payloads;
        // For the payload of a record that there is no memory for.
        payloads.make_room()?;
        let copy = |entry: Entry<'_, Record<P>>| -> Result<Option<Record<P>>, ForkError> {
            if let Some(later) = ahead.as_mut().and_then(Iterator::next) {
                later.value().prefetch();
            }
            let (record, span) = (entry.value(), entry.span());
            mm.start_write(record, sequence, patience)?;
            if record.flags().contains(VmaFlags::DONTCOPY) {
                let mut rest = sums.get();
                rest.sub(record.flags(), span.pages());
                sums.set(rest);
                return Ok(None);
            }
            let child = Shared::try_new(record.inherited(AnonOwner(owner))).map_err(|record| {
                payloads.put_back(record.into_payload());
                ResourceError::OutOfMemory
            })?;
            owner += 1;
            Ok(Some(child))
        };
        let may_finish = || {
            let mut inherited = sums.get();
            inherited.unlock();
            sums.set(inherited);
            Ok(inherited.check_commit(&limits, VmaFlags::ACCOUNT, 0)?)
        };
        let map = self.guard.dup_with(lock, copy, may_finish)?;
        // Nothing can fail from here on, because the limits are copied into the child without an allocation.
        let child = Mm::over(map, limits);
        child.accounts.set(sums.get());
        if let Some(heap) = self.mm().state.heap() {
            child.state.set_heap(heap);
        }
        child.state.set_keys(self.mm().state.keys());
        Ok(child)
    }

    /// Unmaps everything, sealed VMAs included, as the end of a process does.
    ///
    /// # Errors
    /// [`ExitError`]: memory is short. Nothing has changed.
    pub fn exit(&mut self) -> Result<(), ExitError> {
        let state =
            StateUpdate { brk: self.mm().state.heap().map(|heap| heap.start), locks_future: Some(VmaFlags::empty()), keyring: None };
        let limits = self.mm().limits();
        let plan = self.plan(Patience::Forever).draft(Span::ALL, &limits, |draft| {
            draft.state = state;
            draft.keyring.keys = Keys::default();
            draft.charge = Charge::Exempt;
            draft.remove(0..draft.vmas.len())
        });
        // Removing splits nothing and exceeds no limit, and a wait without an interrupt is not interrupted (`RawMmLock::wait_until`).
        plan.commit().map(|_: u64| ()).map_err(|error| match error {
            LayoutError::Resource(error) => error.into(),
            error => unreachable!("nothing else can keep everything from being unmapped: {error}"),
        })
    }
}
