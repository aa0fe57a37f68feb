//! Mapping: Linux's `mmap` (5.1 to 5.6), in its order.
//!
//! Called by embedders through the write guard and its planner.

use super::MmWriteGuard;
use super::draft::{LayoutDraft, Sides};
use super::flag_rules::{NEVER_LOCKED, account_of};
use super::huge::page_bytes;
use super::keys::Keyring;
use super::limits::{Limits, PartialEffects};
use super::pages::with_adjacent;
use super::place::{Alignment, Search, Within, round_hint};
use super::plan::{Plan, Planner};
use super::prot::ExecAlone;
use super::staged::Carried;
use super::state::StateUpdate;
use crate::addr::{PAGE_SIZE, Span, page_floor};
use crate::error::{LayoutError, MmapError};
use crate::key::ProtectionKey;
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Backing, Payload, VmaFlags, VmaSpec};

/// What is to be mapped, how much of it, and where.
///
/// # Examples
/// ```
/// use vmaple::mm::MapRequest;
/// use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mm: Mm = Mm::new();
/// let data = VmaFlags::READ | VmaFlags::WRITE;
/// // At the highest free address below the base.
/// let at = mm.write().mmap(&MapRequest::new(0x4000, VmaSpec::anonymous(data)))?;
/// // Directly below: the two merge.
/// mm.write().mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(data)))?;
/// assert_eq!((mm.len(), mm.read().lookup(at).map(|vma| vma.start())), (1, Some(at - 0x1000)));
/// // Replaces what is there.
/// mm.write().mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(VmaFlags::READ)).fixed(at))?;
/// assert_eq!(mm.len(), 3);
/// # Ok::<(), vmaple::mm::MmapError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct MapRequest<P = ()> {
    pub(super) len: u64,
    pub(super) spec: VmaSpec<P>,
    pub(super) address: Address,
    pub(super) within: Within,
    pub(super) populate: Populate,
    pub(super) exec_alone: ExecAlone,
}

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// At this address if it is free, otherwise anywhere. 0 is no preference.
    Hint(u64),
    /// At this address, replacing what is mapped there.
    Fixed(u64),
    /// At this address, or nowhere if anything is mapped there.
    FixedNoReplace(u64),
}

/// Whether pages are populated at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Populate {
    Later,
    Now,
}

impl<P> MapRequest<P> {
    /// Requests `len` bytes, rounded up to whole pages, anywhere.
    ///
    /// The flags of the specification are those of the VMA: permissions, `SHARED`, `GROWSDOWN`, `LOCKED`, `NORESERVE` and so on, and the
    /// `MAY` flags that [`VmaSpec`] adds. A protection key in them is ignored: the key is 0, or the execute-only key if `EXEC` is the only
    /// permission (8.2).
    ///
    /// `HUGETLB` requests huge pages, of the size that the flags say ([`VmaFlags::of_huge_pages`]) or of the system's default
    /// ([`Limits::hugetlb_bytes`](crate::mm::Limits::hugetlb_bytes)): the length and the hint are rounded up to whole ones, and a fixed
    /// address must be at the start of one. `DROPPABLE` pages are not accounted, not inherited by children and not dumped (`MAP_DROPPABLE`).
    pub const fn new(len: u64, spec: VmaSpec<P>) -> Self {
        let (address, within, populate) = (Address::Hint(0), Within::All, Populate::Later);
        Self { len, spec, address, within, populate, exec_alone: ExecAlone::Unreadable }
    }

    /// Places the mapping in the low 2 GiB (`MAP_32BIT`).
    ///
    /// That is at the hint if it is there and free, or else at the lowest room from
    /// [`Limits::low_search_base`](crate::mm::Limits::low_search_base) on. What is fixed stays where it is.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::MapRequest;
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm: Mm = Mm::new();
    /// let code = VmaSpec::anonymous(VmaFlags::READ | VmaFlags::EXEC);
    /// let at = mm.write().mmap(&MapRequest::new(0x1000, code).in_low_addresses())?;
    /// assert_eq!(at, 0x4000_0000);
    /// # Ok::<(), vmaple::mm::MmapError>(())
    /// ```
    pub fn in_low_addresses(mut self) -> Self {
        self.within = Within::Low;
        self
    }

    /// Places the mapping above the low 4 GiB if there is room there below the base (`MAP_ABOVE4G`).
    ///
    /// A hint that is free and what is fixed stay where they are. Has no effect with [`in_low_addresses`](Self::in_low_addresses).
    pub fn above_low_addresses(mut self) -> Self {
        if self.within == Within::All {
            self.within = Within::AboveLow;
        }
        self
    }

    /// Places the mapping at this address if that is free, otherwise anywhere.
    ///
    /// [Rule 5.2](crate::docs::semantics#5-operations).
    pub fn near(mut self, address: u64) -> Self {
        self.address = Address::Hint(address);
        self
    }

    /// Places the mapping at this address, replacing what is mapped there (`MAP_FIXED`).
    ///
    /// [Rules 5.3 and 5.6](crate::docs::semantics#5-operations).
    pub fn fixed(mut self, address: u64) -> Self {
        self.address = Address::Fixed(address);
        self
    }

    /// Places the mapping at this address, or fails if anything is mapped there (`MAP_FIXED_NOREPLACE`).
    ///
    /// [Rule 5.3](crate::docs::semantics#5-operations).
    pub fn fixed_no_replace(mut self, address: u64) -> Self {
        self.address = Address::FixedNoReplace(address);
        self
    }

    /// Populates the mapping's pages at once (`MAP_POPULATE`), which gives private writable pages an owner.
    pub fn populated(mut self) -> Self {
        self.populate = Populate::Now;
        self
    }

    /// Keeps the mapping readable if only `EXEC` is set, without the execute-only key, as Linux does for `PROT_EXEC | PROT_SEM`.
    pub fn readable(mut self) -> Self {
        self.exec_alone = ExecAlone::Readable;
        self
    }
}

impl<P> MapRequest<P> {
    /// Returns whether the mapping is to get the execute-only key (8.2).
    fn asks_for_execute_only(&self) -> bool {
        self.spec.attrs.flags.is_exec_alone() && self.exec_alone == ExecAlone::Unreadable
    }
}

/// The longest file (`MAX_LFS_FILESIZE`).
const MAX_FILE_BYTES: u64 = i64::MAX.cast_unsigned();

/// Returns the flags with those that Linux adds to a new mapping, besides the `MAY` flags.
fn complete(mut flags: VmaFlags, key: ProtectionKey) -> VmaFlags {
    if flags.contains(VmaFlags::HUGETLB) {
        flags |= VmaFlags::DONTEXPAND;
    }
    if flags.contains(VmaFlags::DROPPABLE) {
        flags |= VmaFlags::NORESERVE | VmaFlags::WIPEONFORK | VmaFlags::DONTDUMP;
    }
    flags.with_pkey(key) | account_of(flags)
}

/// Returns the alignment of an address that is searched for.
fn alignment_of<P>(spec: &VmaSpec<P>, flags: VmaFlags, limits: &Limits) -> Alignment {
    if let Some(huge) = flags.huge_page_bytes() {
        return Alignment::Huge { huge };
    }
    match (spec.attrs.backing, spec.offset) {
        (Backing::Anonymous, _) if !flags.contains(VmaFlags::SHARED) => Alignment::Private { huge: limits.huge_page_bytes },
        (Backing::Anonymous, _) | (Backing::SharedMemory(_), None) => Alignment::of_new_shared_memory(limits),
        (Backing::SharedMemory(_), Some(offset)) => Alignment::of_shared_memory(offset, limits),
        (Backing::Object(_), _) => Alignment::Pages,
    }
}

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Maps what the request describes. Returns its address.
    ///
    /// # Concurrency
    /// As [`munmap`](Self::munmap) if a fixed mapping replaces VMAs: each of their addresses is mapped at any time, by the old VMA or by the new.
    ///
    /// # Errors
    /// [`MmapError`]: [rules 5.1 to 5.6](crate::docs::semantics#5-operations).
    ///
    /// # Examples
    /// At [`MapRequest`].
    pub fn mmap(&mut self, request: &MapRequest<P>) -> Result<u64, MmapError> {
        self.plan(Patience::Forever).mmap(request).commit()
    }

    /// Extends a range by the VMAs that are adjacent to it.
    fn with_neighbours(&self, span: Span) -> Span {
        let prev = span.start().checked_sub(1).and_then(|at| self.lookup(at));
        let next = span.last().checked_add(1).and_then(|at| self.lookup(at));
        Span::from_entry(prev.map_or(span.start(), |vma| vma.start()), next.map_or(span.last(), |vma| vma.last()))
    }

    /// Checks the request (5.1 to 5.5). Returns where the mapping goes, and its flags.
    fn check_mmap(&self, request: &MapRequest<P>, keyring: &mut Keyring, limits: &Limits) -> Result<(Span, VmaFlags), MmapError> {
        let MapRequest { len, spec, address, .. } = request;
        let offset = spec.offset.unwrap_or(0);
        // 5.1
        if !offset.is_multiple_of(PAGE_SIZE) {
            return Err(MmapError::Unaligned { at: offset });
        }
        let asked = limits.sized(spec.attrs.flags);
        let page = page_bytes(asked);
        if asked.contains(VmaFlags::HUGETLB) && limits.hugetlb_sizes & page == 0 {
            return Err(MmapError::NoSuchHugePages { bytes: page });
        }
        let whole = len.checked_next_multiple_of(page);
        if *len == 0 {
            return Err(MmapError::ZeroLength);
        }
        let asked_len = *len;
        // In whole huge pages it may wrap around to 0, which Linux refuses as a length of 0.
        if whole.is_none() && page > PAGE_SIZE {
            return Err(MmapError::LengthWraps { len: asked_len });
        }
        let len = whole.ok_or(MmapError::TooLong { len: asked_len })?;
        limits.may_map(self.mm().len())?;
        // The key stays allocated even if a later check fails (8.2).
        let key = if request.asks_for_execute_only() { keyring.request_execute_only(limits) } else { None };
        if len > limits.task_size {
            return Err(MmapError::TooLong { len: asked_len });
        }
        // 5.2 to 5.4
        let start = match *address {
            Address::Hint(hint) => {
                let search = Search { within: request.within, alignment: alignment_of(spec, asked, limits), flags: asked };
                self.place(round_hint(hint, limits), len, search, limits).ok_or(MmapError::NoRoom { len: asked_len })?
            }
            Address::Fixed(at) | Address::FixedNoReplace(at) if !at.is_multiple_of(page) && page > PAGE_SIZE => {
                return Err(MmapError::Unaligned { at });
            }
            Address::Fixed(at) | Address::FixedNoReplace(at) => self.check_fixed(at, (asked_len, len), limits)?,
        };
        let span = Span::from_entry(start, start + (len - 1));
        if let Address::FixedNoReplace(_) = address
            && let Some(by) = self.find(start).filter(|by| by.start() <= span.last())
        {
            return Err(MmapError::Occupied { asked: span, by: by.span() });
        }
        // 5.5
        let mut flags = complete(asked, key.unwrap_or_default());
        if flags.contains(VmaFlags::LOCKED) && !limits.may_lock() {
            return Err(MmapError::MayNotLock);
        }
        flags |= self.mm().state.locks_future();
        self.sums().check_locked(limits, flags, span.pages()).map_err(|limit| MmapError::LockLimit { limit })?;
        // Linux counts offsets in pages, which do not wrap around, but no file is longer than this.
        let has_object = spec.attrs.backing != Backing::Anonymous || flags.contains(VmaFlags::HUGETLB);
        if has_object && offset.checked_add(len).is_none_or(|end| end > MAX_FILE_BYTES) {
            return Err(MmapError::OffsetOverflow { offset });
        }
        let is_plain = !has_object && !flags.contains(VmaFlags::SHARED);
        if flags.contains(VmaFlags::DROPPABLE) && (!is_plain || flags.is_stack() || asked.contains(VmaFlags::LOCKED)) {
            return Err(MmapError::Droppable);
        }
        if flags.is_stack() && !is_plain {
            return Err(MmapError::Growing);
        }
        Ok((span, flags))
    }

    /// Checks a fixed address (5.3).
    fn check_fixed(&self, at: u64, (asked_len, len): (u64, u64), limits: &Limits) -> Result<u64, MmapError> {
        let task_size = limits.task_size;
        if at > page_floor(u64::MAX) {
            return Err(MmapError::ReadsAsErrno { at });
        }
        if at > task_size - len {
            return Err(MmapError::BeyondTask { at, len: asked_len, task_size });
        }
        if !at.is_multiple_of(PAGE_SIZE) {
            return Err(MmapError::Unaligned { at });
        }
        if !limits.may_place_at(at) {
            return Err(MmapError::BelowMinimum { at, minimum: limits.mmap_min_addr });
        }
        Ok(at)
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::mmap`].
    pub fn mmap(self, request: &MapRequest<P>) -> Plan<'w, 'm, P, Result<u64, MmapError>, L> {
        let limits = self.guard.mm().limits();
        let mut keyring = self.guard.keyring();
        let (span, flags) = match self.guard.check_mmap(request, &mut keyring, &limits) {
            Ok(checked) => checked,
            Err(error) => {
                let keeps_key = limits.policy.partial == PartialEffects::AsLinux;
                let state = StateUpdate { keyring: keeps_key.then_some(keyring), ..StateUpdate::default() };
                return self.nothing(Err(error)).with_state(state);
            }
        };
        // A populated VMA may merge with its neighbours, and then shares the owner of theirs (5.9).
        let range = match request.populate {
            Populate::Now => self.guard.with_neighbours(span),
            Populate::Later => span,
        };
        self.draft(with_adjacent(range), &limits, |draft| {
            draft.keyring = keyring;
            draft.map(span, flags, request, &limits)
        })
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Replaces what is mapped in the range by a new VMA, merged with its neighbours (5.6).
    fn map(&mut self, span: Span, flags: VmaFlags, request: &MapRequest<P>, limits: &Limits) -> Result<u64, MmapError> {
        let going = self.cut_free(span, limits)?;
        // The limits apply to the net number of pages. If one refuses, the VMAs stay, split as they are.
        let (mut after, mut net) = (self.sums, span.pages());
        for i in going.clone() {
            let part = &self.vmas[i];
            after.sub(part.flags(), part.span.pages());
            net -= part.span.pages();
        }
        self.sums.check_room(limits, flags, net)?;
        after.check_commit(limits, flags, span.pages())?;
        self.remove(going)?;
        let offset = request.spec.offset.unwrap_or(0);
        if flags.contains(VmaFlags::HUGETLB) && !offset.is_multiple_of(page_bytes(flags)) {
            // Checked last, because in Linux the object of the huge pages refuses it.
            return Err(MmapError::Unaligned { at: offset });
        }
        let payload = self.keep(|_| request.spec.payload.clone()).map_err(LayoutError::from)?;
        let mut spec = request.spec.like_with(Carried::Kept(payload));
        // A VMA that is never locked is not locked here either, although the limit was checked (5.26).
        spec.attrs.flags = if flags.intersects(NEVER_LOCKED) { flags - VmaFlags::LOCKED_MASK } else { flags };
        if flags.intersects(VmaFlags::SHARED | VmaFlags::HUGETLB) && spec.attrs.backing == Backing::Anonymous {
            // Each mapping of shared pages or of huge pages has an object of its own (5.8). Only huge pages may have an offset in it.
            spec.attrs.backing = Backing::unnamed(flags);
            spec.offset = spec.offset.filter(|_| flags.contains(VmaFlags::HUGETLB));
        }
        self.put_merging(span, spec.into_new_vma(span.start()), Sides::Both)?;
        if request.populate == Populate::Now || flags.contains(VmaFlags::LOCKED) {
            self.populate(span)?;
        }
        Ok(span.start())
    }
}
