//! A domain: the epoch, the slots, and the grace periods.
//!
//! Called by `collector`. The head of [`super`] has the protocol.

#![allow(unsafe_code, reason = "blocks of slots in a list that only grows")]

use super::super::const_fn::const_fn;
use super::super::prim::{AtomicPtr, AtomicU64};
use super::super::seeded::seeded;
use super::fences::{heavy, register};
use super::slot::Slot;
use crate::error::ResourceError;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

/// The slots of a block. The checkers have few, because every load of a slot multiplies the interleavings.
pub(super) const SLOTS: usize = if cfg!(any(vmaple_loom, vmaple_shuttle)) { 2 } else { 16 };

/// The block of a domain's own; an embedder's that is in no domain; one that a domain uses; one that a domain allocated.
const FIRST: u64 = 0;
const UNUSED: u64 = 1;
const IN_USE: u64 = 2;
const ALLOCATED: u64 = 3;

/// Some slots. A domain has one of its own, allocates more, and uses those that an embedder provides.
#[derive(Debug)]
pub(super) struct Block {
    slots: [Slot; SLOTS],
    /// The next block of the domain. Null in its last one, and stored once.
    next: AtomicPtr<Block>,
    source: AtomicU64,
}

/// The epoch, on lines of its own, because writers change it and readers load it.
#[derive(Debug)]
#[repr(align(128))]
struct Epoch(AtomicU64);

/// Readers that announce their pins in slots, and writers that wait for them.
#[derive(Debug)]
pub(crate) struct Domain {
    epoch: Epoch,
    first: Block,
}

/// The grace periods of one writer, at most one at a time.
#[derive(Debug)]
pub(crate) struct Grace {
    /// The stamp of the grace period that is not over. 0 if there is none.
    stamp: u64,
    /// The number of slots that it waits for no more.
    passed: usize,
}

impl Grace {
    /// No grace period.
    pub(super) const NONE: Self = Self { stamp: 0, passed: 0 };
}

/// A slot that was claimed. Dropping it makes the slot free, if it is at rest.
#[derive(Debug)]
pub(super) struct Claim<'d> {
    epoch: &'d AtomicU64,
    slot: &'d Slot,
    /// The place of the slot in its domain.
    pub(super) place: usize,
}

impl Block {
    const_fn! {
        /// Makes a block that is in no domain.
        pub(super) fn new() -> Self {
            Self::from_source(UNUSED)
        }
    }

    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    const fn from_source(source: u64) -> Self {
        Self { slots: [const { Slot::new() }; SLOTS], next: AtomicPtr::new(ptr::null_mut()), source: AtomicU64::new(source) }
    }

    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    fn from_source(source: u64) -> Self {
        let slots = core::array::from_fn(|_| Slot::new());
        Self { slots, next: AtomicPtr::new(ptr::null_mut()), source: AtomicU64::new(source) }
    }

    /// Allocates a block.
    fn allocate() -> Result<NonNull<Self>, ResourceError> {
        // SAFETY: a block is not of size 0.
        let memory = unsafe { alloc(Layout::new::<Self>()) };
        let block: NonNull<Self> = NonNull::new(memory).ok_or(ResourceError::OutOfMemory)?.cast();
        // SAFETY: allocated just now with this layout.
        unsafe { block.write(Self::from_source(ALLOCATED)) };
        Ok(block)
    }

    /// Returns the block that follows.
    #[inline]
    fn next(&self) -> Option<&Self> {
        // Acquire: the block's fields; pairs with `Domain::append`.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: a block that was appended stays valid as long as the domain, and so as long as the block before it.
        unsafe { next.as_ref() }
    }
}

impl Domain {
    const_fn! {
        /// Makes a domain with slots of its own for a few readers.
        pub(super) fn new() -> Self {
            // The first epoch is 1, so that no stamp is 0.
            Self { epoch: Epoch(AtomicU64::new(1)), first: Block::from_source(FIRST) }
        }
    }

    /// Chooses the fences of the process. Called where a moment more does no harm: when a collector is made at run time. For a map that was
    /// made at compile time the first grace period does it.
    pub(super) fn prepare(&self) {
        register();
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        core::iter::successors(Some(&self.first), |block| block.next())
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.blocks().flat_map(|block| &block.slots)
    }

    /// Claims the slot at a place of the first block, if it is free.
    #[inline]
    pub(super) fn claim_at(&self, tag: u64, place: usize) -> Option<Claim<'_>> {
        let slot = self.first.slots.get(place)?;
        slot.claim(tag).then(|| Claim { epoch: &self.epoch.0, slot, place })
    }

    /// Claims a free slot, at `place` if that is free. Returns `None` if all slots are claimed. Takes no lock and allocates nothing.
    pub(super) fn claim(&self, tag: u64, place: usize) -> Option<Claim<'_>> {
        // From the place to the end, then from the beginning.
        let from = self.slots().enumerate().skip(place);
        let (place, slot) = from.chain(self.slots().enumerate().take(place)).find(|(_, slot)| slot.claim(tag))?;
        Some(Claim { epoch: &self.epoch.0, slot, place })
    }

    /// Claims a free slot, after allocating more if all slots are claimed.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`].
    pub(super) fn claim_or_grow(&self, tag: u64, place: usize) -> Result<Claim<'_>, ResourceError> {
        loop {
            if let Some(claim) = self.claim(tag, place) {
                return Ok(claim);
            }
            self.append(Block::allocate()?);
        }
    }

    /// Adds an embedder's slots. Returns whether they were in no domain before.
    pub(super) fn provide(&self, block: &'static Block) -> bool {
        // Relaxed: the append publishes the block.
        let is_new = block.source.compare_exchange(UNUSED, IN_USE, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_new {
            self.append(NonNull::from(block));
        }
        is_new
    }

    /// Appends a block, which is in no domain.
    fn append(&self, block: NonNull<Block>) {
        let mut last = &self.first;
        loop {
            // Release: the block's fields; pairs with `Block::next`. (Acquire: those of the block that was first.)
            match last.next.compare_exchange(ptr::null_mut(), block.as_ptr(), Ordering::Release, Ordering::Acquire) {
                Ok(_) => return,
                // SAFETY: as in `Block::next`; a null pointer would have been replaced.
                Err(next) => last = unsafe { &*next },
            }
        }
    }

    /// Returns whether an owner of this tag is pinned. Called by the thread that claims with this tag.
    pub(super) fn is_pinned(&self, tag: u64) -> bool {
        self.slots().any(|slot| slot.is_owned_by(tag) && slot.is_pinned())
    }

    /// Starts a grace period. The previous one of `grace` must be over.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`]: none was started.
    pub(super) fn start_grace_period(&self, grace: &mut Grace) -> Result<(), ResourceError> {
        debug_assert_eq!(grace.stamp, 0, "one grace period at a time");
        // Release: the stores that unlinked come before the new epoch; pairs with the loads of the epoch in `Slot`.
        // (Read-modify-write: the addition of another writer continues this one's release sequence.)
        let stamp = if seeded("slots_epoch_added_in_two_steps") {
            let stamp = self.epoch.0.load(Ordering::Acquire);
            self.epoch.0.store(stamp + 1, Ordering::Release);
            stamp
        } else {
            self.epoch.0.fetch_add(1, Ordering::AcqRel)
        };
        // Before the slots are looked at: a reader that stored to its slot too late to be seen finds nothing that was unlinked.
        heavy()?;
        *grace = Grace { stamp, passed: 0 };
        Ok(())
    }

    /// Returns whether the last grace period is over. True if none was started.
    ///
    /// A slot that was found at rest or newer is not looked at again: a reader that pins it later finds nothing that was unlinked before.
    #[inline]
    pub(super) fn is_over(&self, grace: &mut Grace) -> bool {
        grace.stamp == 0 || self.look(grace)
    }

    #[inline(never)]
    fn look(&self, grace: &mut Grace) -> bool {
        let mut place = 0;
        for block in self.blocks() {
            for (i, slot) in block.slots.iter().enumerate() {
                let skipped = seeded("slots_last_of_a_block_skipped") && i == SLOTS - 1;
                if place >= grace.passed && !skipped && slot.waits_for(grace.stamp) {
                    grace.passed = place;
                    return false;
                }
                place += 1;
            }
        }
        *grace = Grace::NONE;
        true
    }

    /// Frees the slots of threads that do not exist in the child of a `fork`, so that its writers do not wait for them.
    ///
    /// # Safety
    /// The calling thread is the only one of the process. What was pinned, kept or borrowed through slots of other tags than `kept` is never
    /// used again.
    // Without the feature `std` all owners have one tag, so it cannot keep one of them.
    pub(super) unsafe fn after_fork_in_child(&self, kept: u64) {
        self.slots().filter(|slot| !slot.is_owned_by(kept)).for_each(Slot::clear);
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let mut next = self.first.next.load(Ordering::Acquire);
        while let Some(block) = NonNull::new(next) {
            // SAFETY: no claim is left, because each borrows the domain; the blocks are the domain's, and each is visited once.
            let is_allocated = unsafe { block.as_ref() }.source.load(Ordering::Relaxed) == ALLOCATED;
            // SAFETY: as above.
            next = unsafe { block.as_ref() }.next.load(Ordering::Acquire);
            if is_allocated {
                // SAFETY: from `Block::allocate`, and used no more.
                unsafe { ptr::drop_in_place(block.as_ptr()) };
                // SAFETY: as above.
                unsafe { dealloc(block.as_ptr().cast(), Layout::new::<Block>()) };
            }
        }
    }
}

impl Claim<'_> {
    /// The slot.
    #[inline]
    pub(super) fn slot(&self) -> &Slot {
        self.slot
    }

    /// The epoch of the domain.
    #[inline]
    pub(super) fn epoch(&self) -> &AtomicU64 {
        self.epoch
    }
}

impl Drop for Claim<'_> {
    #[inline]
    fn drop(&mut self) {
        self.slot.give_up();
    }
}
