//! Mapping: Linux's `mmap` (5.1 to 5.6), in its order.

use super::MmWriteGuard;
use super::draft::{LayoutDraft, Sides};
use super::flag_rules::{NEVER_LOCKED, account_of};
use super::huge::page_bytes;
use super::keys::Keyring;
use super::limits::{Limits, PartialEffects};
use super::pages::with_adjacent;
use super::pkey_mprotect::ExecAlone;
use super::place::{Alignment, Search, Within, round_hint};
use super::plan::Plan;
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
/// // Below the base, downward.
/// let at = mm.write().mmap(&MapRequest::new(0x4000, VmaSpec::anonymous(data)))?;
/// // Right below: the two merge.
/// mm.write().mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(data)))?;
/// assert_eq!((mm.len(), mm.read().lookup(at).map(|vma| vma.start())), (1, Some(at - 0x1000)));
/// // In the middle of it, replacing what is there.
/// mm.write().mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(VmaFlags::READ)).fixed(at))?;
/// assert_eq!(mm.len(), 3);
/// # Ok::<(), vmaple::mm::MmapError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MapRequest<P = ()> {
    pub(super) len: u64,
    pub(super) spec: VmaSpec<P>,
    pub(super) address: Address,
    pub(super) within: Within,
    pub(super) populate: Populate,
    pub(super) exec_alone: ExecAlone,
}

/// Where a mapping is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// There if it is free; 0: anywhere.
    Hint(u64),
    /// There, whatever is there.
    Fixed(u64),
    /// There, or not at all.
    FixedNoReplace(u64),
}

/// Whether pages are brought in at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Populate {
    Later,
    Now,
}

impl<P> MapRequest<P> {
    /// So many bytes of that (rounded up to whole pages), anywhere.
    ///
    /// The flags of the specification are those of the VMA: what may be done, `SHARED`, `GROWSDOWN`, `LOCKED`, `NORESERVE`, ... All `MAY`
    /// flags are added, unless it has some. The protection key is not the specification's to say: it is 0, or, where `EXEC` alone is
    /// allowed, the execute-only key (8.2).
    ///
    /// With `HUGETLB` it is made of huge pages, of the size that the flags say ([`VmaFlags::of_huge_pages`]) or of the system's default
    /// ([`Limits::hugetlb_bytes`](crate::mm::Limits::hugetlb_bytes)): the length is rounded up to whole ones, the hint, too, and a fixed address
    /// must be at the start of one. With `DROPPABLE` its pages are not promised, not given to children and not dumped (`MAP_DROPPABLE`).
    pub const fn new(len: u64, spec: VmaSpec<P>) -> Self {
        let (address, within, populate) = (Address::Hint(0), Within::All, Populate::Later);
        Self { len, spec, address, within, populate, exec_alone: ExecAlone::Unreadable }
    }

    /// In the low 2 GiB (`MAP_32BIT`): at the hint if it is there and free, else at the lowest room from
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

    /// Above the low 4 GiB, where there is room below the base (`MAP_ABOVE4G`). A hint that is free and what is fixed stay where they are;
    /// with [`in_low_addresses`](Self::in_low_addresses) it means nothing.
    pub fn above_low_addresses(mut self) -> Self {
        if self.within == Within::All {
            self.within = Within::AboveLow;
        }
        self
    }

    /// There, if that is free; else anywhere (5.2).
    pub fn near(mut self, address: u64) -> Self {
        self.address = Address::Hint(address);
        self
    }

    /// There, instead of what is there (`MAP_FIXED`, 5.3, 5.6).
    pub fn fixed(mut self, address: u64) -> Self {
        self.address = Address::Fixed(address);
        self
    }

    /// There, or not at all (`MAP_FIXED_NOREPLACE`, 5.3).
    pub fn fixed_no_replace(mut self, address: u64) -> Self {
        self.address = Address::FixedNoReplace(address);
        self
    }

    /// Its pages are brought in at once (`MAP_POPULATE`): those of a private writable mapping have an owner then.
    pub fn populated(mut self) -> Self {
        self.populate = Populate::Now;
        self
    }

    /// `EXEC` alone does not give it the execute-only key: what Linux does where more than `PROT_EXEC` is asked for that is no access.
    pub fn readable(mut self) -> Self {
        self.exec_alone = ExecAlone::Readable;
        self
    }
}

impl<P> MapRequest<P> {
    fn asks_for_execute_only(&self) -> bool {
        self.spec.attrs.flags.is_exec_alone() && self.exec_alone == ExecAlone::Unreadable
    }
}

/// How long a file can be (`MAX_LFS_FILESIZE`).
const MAX_FILE_BYTES: u64 = i64::MAX.cast_unsigned();

/// Flags with what Linux adds where a mapping is made.
fn complete(mut flags: VmaFlags, key: ProtectionKey) -> VmaFlags {
    let may = VmaFlags::MAYREAD | VmaFlags::MAYWRITE | VmaFlags::MAYEXEC;
    if !flags.intersects(may) {
        flags |= may;
    }
    if flags.contains(VmaFlags::SHARED) {
        flags |= VmaFlags::MAYSHARE;
    } else {
        flags |= VmaFlags::MAYWRITE;
    }
    if flags.contains(VmaFlags::HUGETLB) {
        flags |= VmaFlags::DONTEXPAND;
    }
    if flags.contains(VmaFlags::DROPPABLE) {
        flags |= VmaFlags::NORESERVE | VmaFlags::WIPEONFORK | VmaFlags::DONTDUMP;
    }
    flags.with_pkey(key) | account_of(flags)
}

/// To what the address is aligned where it is searched.
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

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Maps what is asked for; tells where.
    ///
    /// # Concurrency
    /// As [`munmap`](Self::munmap), where a fixed mapping replaces VMAs: each address of them shows the old or the new one, never nothing.
    ///
    /// # Errors
    /// [`MmapError`]: rules 5.1 to 5.6.
    ///
    /// # Examples
    /// At [`MapRequest`].
    pub fn mmap(&mut self, request: &MapRequest<P>) -> Result<u64, MmapError> {
        self.plan_mmap(request, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_mmap(&mut self, request: &MapRequest<P>, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, MmapError, L> {
        let limits = self.mm().limits_now();
        let mut keyring = self.keyring();
        let (span, flags) = match self.check_mmap(request, &mut keyring, &limits) {
            Ok(checked) => checked,
            Err(error) => {
                let mut plan = self.nothing(Err(error));
                if limits.policy.partial == PartialEffects::AsLinux {
                    plan.remember(StateUpdate { keyring: Some(keyring), ..StateUpdate::default() });
                }
                return plan;
            }
        };
        // What is brought in may be one VMA with those that touch it, and shares the owner of their neighbours then (5.9).
        let stretch = match request.populate {
            Populate::Now => self.with_neighbours(span),
            Populate::Later => span,
        };
        self.plan(with_adjacent(stretch), &limits, patience, |draft| {
            draft.keyring = keyring;
            draft.map(span, flags, request, &limits)
        })
    }

    /// The range and the VMAs that touch it.
    fn with_neighbours(&self, span: Span) -> Span {
        let prev = span.start().checked_sub(1).and_then(|at| self.lookup(at));
        let next = span.last().checked_add(1).and_then(|at| self.lookup(at));
        Span::from_entry(prev.map_or(span.start(), |vma| vma.start()), next.map_or(span.last(), |vma| vma.last()))
    }

    /// 5.1 to 5.5: where it goes, and with which flags.
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
        // In whole huge pages a length may come round to none.
        if *len == 0 || whole.is_none() && page > PAGE_SIZE {
            return Err(MmapError::ZeroLength);
        }
        let asked_len = *len;
        let len = whole.ok_or(MmapError::TooLong { len: asked_len })?;
        limits.may_map(self.mm().len())?;
        // 8.2: the key stays allocated, whatever else is wrong.
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
        // Linux counts offsets in pages, which do not come round; but no file is longer than this.
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

    /// 5.3.
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

impl<P: Payload> LayoutDraft<'_, P> {
    /// 5.6: what is there goes, and the new VMA comes, merged with what touches it.
    fn map(&mut self, span: Span, flags: VmaFlags, request: &MapRequest<P>, limits: &Limits) -> Result<u64, MmapError> {
        let going = self.cut_free(span, limits)?;
        // The limits are on the net pages, whatever those are that go. Where they refuse, all of them stay, cut as they are.
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
            // It is their object that sees it, when what was there is gone.
            return Err(MmapError::Unaligned { at: offset });
        }
        let payload = self.keep(|_| request.spec.payload.clone()).map_err(LayoutError::from)?;
        let mut spec = request.spec.like_with(Carried::Kept(payload));
        // 5.26: what is never locked is not locked from the start either, though it was held against the limit.
        spec.attrs.flags = if flags.intersects(NEVER_LOCKED) { flags - VmaFlags::LOCKED_MASK } else { flags };
        if flags.intersects(VmaFlags::SHARED | VmaFlags::HUGETLB) && spec.attrs.backing == Backing::Anonymous {
            // 5.8: shared pages and huge pages have an object, one for each mapping. Where one begins is said only of huge pages.
            spec.attrs.backing = Backing::unnamed(flags);
            spec.offset = Some(if flags.contains(VmaFlags::HUGETLB) { offset } else { 0 });
        }
        if spec.attrs.backing != Backing::Anonymous {
            spec.offset = Some(spec.offset.unwrap_or(0));
        }
        self.put_merging(span, spec.into_draft(span.start()), Sides::Both)?;
        if request.populate == Populate::Now || flags.contains(VmaFlags::LOCKED) {
            self.populate(span)?;
        }
        Ok(span.start())
    }
}
