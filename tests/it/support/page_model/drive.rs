//! Runs library and model in step. After each operation, also a failed one, it compares the outcome, each page, the bounds of VMAs, the
//! accounts and the page tables that the hooks keep, checks the invariants, and checks that no locked VMA has changed.

use super::hooks::{self, Marked, Tables};
use super::keys::Keys;
use super::op::{IN_MEMORY, Op, Place, Verb, Way, What, Within, named};
use super::outcome::{Outcome, Refusal, Value as _};
use super::page::{Model, PAGES, Page, address};
use super::remap::Remap;
use super::settle::{Seen, is_seen, see};
use super::{EAGAIN, ENOMEM, Terms};
use std::collections::BTreeSet;
use vmaple::lock::{MmLock, Patience};
use vmaple::mm::fault::FaultError;
use vmaple::mm::{ForkError, KeyDenial, MapRequest, MmWriteGuard, Plan, ProtectRequest, ProtectionKey, Vma, VmaGuard, VmaHandle};
use vmaple::{Access, FaultContext, Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};
use vmaple::{ErrorCode, SegvCode, Signal};

/// The VMAs as they are, records and all.
type Layout = Vec<(Span, VmaHandle<Marked>)>;

fn layout_of(writer: &MmWriteGuard<'_, Marked>) -> Layout {
    all(writer.iter())
}

fn all<'v>(vmas: impl Iterator<Item = Vma<'v, Marked>>) -> Layout {
    vmas.map(|vma| (vma.span(), vma.handle())).collect()
}

/// The layout as it will be by what a plan shows.
fn shown(mut layout: Layout, removed: &Layout, inserted: Layout) -> Layout {
    for (span, record) in removed {
        let is_it = |vma: &(Span, VmaHandle<Marked>)| vma.0 == *span && vma.1 == *record;
        let i = layout.iter().position(is_it).expect("what a plan removes is there");
        layout.remove(i);
    }
    layout.extend(inserted);
    layout.sort_by_key(|(span, _)| span.start());
    layout
}

fn is_same(one: &Layout, other: &Layout) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && one.1 == other.1)
}

/// Commits a plan as is said: where it is made twice, the first is dropped, and has done nothing.
macro_rules! carry_out {
    ($writer:ident, $way:expr, $plan:expr, $direct:expr) => {{
        let outcome = match $way {
            Way::Direct => $direct,
            Way::Planned => {
                let before = layout_of($writer);
                let plan = $plan;
                let (removed, inserted) = (all(plan.removed()), all(plan.inserted()));
                let outcome = Plan::commit(plan);
                assert!(is_same(&shown(before, &removed, inserted), &layout_of($writer)), "a plan showed another change: {removed:?}");
                outcome
            }
            Way::Twice => {
                let (before, stats, brk) = (layout_of($writer), $writer.mm().stats(), $writer.mm().program_break());
                let plan = $plan;
                let first = plan.outcome();
                drop(plan);
                assert!(is_same(&before, &layout_of($writer)), "a plan was dropped, and something changed");
                assert_eq!((stats, brk), ($writer.mm().stats(), $writer.mm().program_break()), "a plan was dropped, and something changed");
                assert!(hooks::calls().is_empty(), "a plan was dropped, and hooks were called");
                let outcome = Plan::commit($plan);
                assert_eq!(outcome, first, "the second plan has another outcome");
                outcome
            }
        };
        outcome.map_or_else(Refusal::sort, |outcome| Outcome::Done(outcome.value()))
    }};
}

fn request((at, len): (u64, u64), what: What, place: Place, within: Within, populate: bool) -> MapRequest<Marked> {
    let spec = match what.object {
        Some((IN_MEMORY, offset)) => VmaSpec::of_shared_memory(named(IN_MEMORY), offset, what.flags),
        Some((object, offset)) => VmaSpec::of_object(named(object), offset, what.flags),
        None => VmaSpec::anonymous(what.flags),
    };
    let request = MapRequest::new(len, spec.with_payload(what.payload));
    let request = match place {
        Place::Anywhere => request,
        Place::Near => request.near(at),
        Place::Fixed => request.fixed(at),
        Place::NoReplace => request.fixed_no_replace(at),
    };
    let request = match within {
        Within::All => request,
        Within::Low => request.in_low_addresses(),
        Within::AboveLow => request.above_low_addresses(),
    };
    if populate { request.populated() } else { request }
}

/// Permissions and growth as the arguments of a system call. Any other flag stands for a bit that means nothing.
fn protect_request(access: VmaFlags, key: i32) -> ProtectRequest {
    let named = [(VmaFlags::GROWSDOWN, 0x0100_0000), (VmaFlags::GROWSUP, 0x0200_0000), (VmaFlags::SHARED, 0x10)];
    let named = named.into_iter().filter(|(flag, _)| access.contains(*flag)).map(|(_, bit)| bit);
    ProtectRequest::from_raw(named.fold(access.prot().bits().into(), |prot, bit| prot | bit), key)
}

/// Does it in the library and in the model, and returns the outcome and the expected one.
fn carry_out(writer: &mut MmWriteGuard<'_, Marked>, model: &mut Model, verb: Verb, way: Way) -> (Outcome, Result<u64, i32>) {
    let never = Patience::Never;
    let outcome = match verb {
        Verb::Mmap { at, len, what, place, within, populate } => {
            let asked = request((at, len), what, place, within, populate);
            carry_out!(writer, way, writer.plan(never).mmap(&asked), writer.mmap(&asked))
        }
        Verb::Munmap { at, len } => carry_out!(writer, way, writer.plan(never).munmap(at, len), writer.munmap(at, len)),
        Verb::Mprotect { at, len, access } => {
            let request = protect_request(access, -1);
            carry_out!(writer, way, writer.plan(never).mprotect(at, len, request), writer.mprotect(at, len, request))
        }
        Verb::PkeyMprotect { at, len, access, key } => {
            let request = protect_request(access, key);
            carry_out!(writer, way, writer.plan(never).mprotect(at, len, request), writer.mprotect(at, len, request))
        }
        Verb::PkeyAlloc { denial } => {
            let denial = KeyDenial::from_bits_retain(denial);
            carry_out!(writer, way, writer.plan(never).pkey_alloc(denial), writer.pkey_alloc(denial))
        }
        Verb::PkeyFree { key } => {
            let key = ProtectionKey::new(key).expect("a key");
            carry_out!(writer, way, writer.plan(never).pkey_free(key), writer.pkey_free(key))
        }
        Verb::Mremap { from, old_len, new_len, flags, to } => {
            let request = Remap { from, old_len, new_len, flags, to }.request();
            carry_out!(writer, way, writer.plan(never).mremap(&request), writer.mremap(&request))
        }
        Verb::Brk { brk } => carry_out!(writer, way, writer.plan(never).brk(brk), writer.brk(brk)),
        Verb::Madvise { at, len, advice } => {
            carry_out!(writer, way, writer.plan(never).madvise(at, len, advice), writer.madvise(at, len, advice))
        }
        Verb::Mlock { at, len, on_fault: false } => carry_out!(writer, way, writer.plan(never).mlock(at, len), writer.mlock(at, len)),
        Verb::Mlock { at, len, on_fault: true } => {
            carry_out!(writer, way, writer.plan(never).mlock_on_fault(at, len), writer.mlock_on_fault(at, len))
        }
        Verb::Munlock { at, len } => carry_out!(writer, way, writer.plan(never).munlock(at, len), writer.munlock(at, len)),
        Verb::Mlockall { what } => carry_out!(writer, way, writer.plan(never).mlockall(what), writer.mlockall(what)),
        Verb::Munlockall => carry_out!(writer, way, writer.plan(never).munlockall(), writer.munlockall()),
        Verb::Mseal { at, len } => carry_out!(writer, way, writer.plan(never).mseal(at, len), writer.mseal(at, len)),
        other => unreachable!("{other:?} is no operation with a plan"),
    };
    let expected = match verb {
        Verb::Mmap { at, len, what, place, within, populate } => model.mmap(at, len, what, place, within, populate),
        Verb::Munmap { at, len } => model.munmap(at, len),
        Verb::Mprotect { at, len, access } => model.mprotect(at, len, access, -1),
        Verb::PkeyMprotect { at, len, access, key } => model.mprotect(at, len, access, key),
        Verb::PkeyAlloc { denial } => model.keys.alloc(denial),
        Verb::PkeyFree { key } => model.keys.free(key),
        Verb::Mremap { from, old_len, new_len, flags, to } => model.mremap(Remap { from, old_len, new_len, flags, to }),
        Verb::Brk { brk } => model.move_brk(brk),
        Verb::Madvise { at, len, advice } => model.madvise(at, len, advice),
        Verb::Mlock { at, len, on_fault } => model.mlock(at, len, on_fault),
        Verb::Munlock { at, len } => model.munlock(at, len),
        Verb::Mlockall { what } => model.mlockall(what),
        Verb::Munlockall => Ok(model.munlockall()),
        Verb::Mseal { at, len } => model.mseal(at, len),
        other => unreachable!("{other:?} is no operation with a plan"),
    };
    (outcome, expected)
}

/// One address space and what is known of it.
struct Story<'m> {
    mm: &'m Mm<Marked>,
    terms: Terms,
    model: Model,
    tables: Tables,
    objects: BTreeSet<u64>,
    locked: Vec<VmaGuard<'m, Marked>>,
}

impl<'m> Story<'m> {
    fn new(mm: &'m Mm<Marked>, terms: Terms, model: Model) -> Self {
        Self { mm, terms, model, tables: Tables::default(), objects: BTreeSet::new(), locked: Vec::new() }
    }

    fn writer(&self) -> MmWriteGuard<'m, Marked> {
        let mut writer = self.mm.try_write().expect("nobody else is inside");
        writer.set_key_rights(self.model.keys.rights());
        writer
    }

    /// Takes a step; a child, if the story goes on with it.
    fn step(&mut self, op: Op) -> Option<(Mm<Marked>, Model)> {
        match op.verb {
            Verb::LockVma { at } => {
                if self.locked.len() >= 4 {
                    drop(self.locked.remove(0));
                }
                self.locked.extend(self.mm.lock_vma(at));
            }
            Verb::UnlockVmas => self.locked.clear(),
            Verb::Fork { child } => return self.fork(child),
            Verb::Exit => {
                self.locked.clear();
                self.writer().exit().expect("memory");
                let before = self.model.clone();
                self.model.pages = [None; PAGES];
                (self.model.brk, self.model.locks_future) = (self.model.brk_start, VmaFlags::empty());
                self.model.keys = Keys::new(self.model.limits.protection_keys);
                self.compare(&before);
            }
            Verb::ExpandDown { at } => self.expand(at, |story| story.writer().expand_down_with(at, Patience::Never).is_ok()),
            Verb::ExpandUp { at } => self.expand(at, |story| story.writer().expand_up_with(at, Patience::Never).is_ok()),
            Verb::Fault { at, access } => self.fault(at, access),
            Verb::Own { at } => self.own(at),
            verb if is_open(verb) => {}
            verb => self.operate(verb, op.way),
        }
        None
    }

    fn operate(&mut self, verb: Verb, way: Way) {
        let before = self.model.clone();
        let mut writer = self.writer();
        let layout = layout_of(&writer);
        // A thread that would wait for itself plans instead, which fails and does not wait.
        let way = if way == Way::Direct && !self.locked.is_empty() { Way::Planned } else { way };
        let (outcome, mut expected) = carry_out(&mut writer, &mut self.model, verb, way);
        let is_unchanged = is_same(&layout, &layout_of(&writer));
        drop(writer);
        // Limits on numbers are checked before the guard gaps.
        if self.model.is_guarded(&before) && !matches!(outcome, Outcome::Short(_)) {
            // 7.9: refused whole, by its own error if it has one. The execute-only key stays only where that came first (8.2).
            expected = Err(expected.err().unwrap_or(ENOMEM));
            let stays = execute_only(self.mm) == self.model.keys.execute_only;
            let keys = if stays { self.model.keys.clone() } else { before.keys.clone() };
            self.model = Model { keys, ..before.clone() };
        }
        match outcome {
            Outcome::Busy => {
                assert!(!self.locked.is_empty() && is_unchanged, "nobody has locked a VMA, or something changed: {outcome:?}");
                self.model = before.clone();
            }
            Outcome::Short(errno) => {
                assert!(errno == ENOMEM || errno == EAGAIN || errno == super::EINVAL, "{errno} for what is short");
                assert!(
                    self.terms.tight || Self::is_unsplittable(&before) || is_overlong(verb),
                    "nothing is short, and {verb:?} returned {errno}"
                );
                self.take_partial(verb, &before);
            }
            Outcome::Done(value) => assert_eq!(Ok(value), expected, "{verb:?} was done"),
            Outcome::Refused(errno) => assert_eq!(Err(errno), expected, "{verb:?} was refused"),
        }
        if self.terms.whole && !matches!(outcome, Outcome::Done(_)) {
            assert!(is_unchanged, "all or nothing, and {verb:?} returned {outcome:?} and left something");
            self.model = before.clone();
        }
        if let (Outcome::Done(_), Verb::Mlock { .. } | Verb::Mmap { .. }) = (outcome, verb)
            && self.terms.tight
        {
            let (stats, limits) = (self.mm.stats(), &self.model.limits);
            assert!(stats.total_pages <= limits.address_space_bytes / PAGE_SIZE, "{stats:?}");
            // More may have been there: a refused `munmap` may leave a split, and asks no limit for it (5.15).
            let most = if matches!(verb, Verb::Mmap { .. }) { limits.max_map_count + 1 } else { limits.max_map_count.max(layout.len()) };
            assert!(self.mm.len() <= most, "{} VMAs", self.mm.len());
            assert!(stats.locked_pages <= limits.locked_bytes / PAGE_SIZE || matches!(verb, Verb::Mmap { .. }));
        }
        self.compare(&before);
    }

    fn is_unsplittable(before: &Model) -> bool {
        before.pages.iter().flatten().any(|page| page.payload == Marked::WHOLE)
    }

    /// After a failure that the model did not foresee: what may be left behind, by the table of part 5.
    fn take_partial(&mut self, verb: Verb, before: &Model) {
        let seen = see(&self.writer());
        let done = std::mem::replace(&mut self.model, before.clone());
        // The execute-only key is asked for on the way (8.2).
        if execute_only(self.mm) == done.keys.execute_only {
            self.model.keys = done.keys.clone();
        }
        self.model.seams.clear();
        match verb {
            // Nothing is lost; at most there are more bounds.
            Verb::Mmap { .. } | Verb::Munmap { .. } | Verb::Brk { .. } | Verb::Mlockall { .. } | Verb::Munlockall => {}
            // What lies below is done.
            Verb::Mprotect { .. }
            | Verb::PkeyMprotect { .. }
            | Verb::Madvise { .. }
            | Verb::Mlock { .. }
            | Verb::Munlock { .. }
            | Verb::Mseal { .. } => {
                let until = (0..PAGES).find(|&i| !done.fits(i, &seen)).unwrap_or(PAGES);
                self.model.pages[..until].copy_from_slice(&done.pages[..until]);
                self.model.written = done.written;
                // Pages are brought in when all are locked.
                self.model.written.retain(|&i| i < until && !matches!(verb, Verb::Mlock { .. }));
            }
            Verb::Mremap { .. } => self.take_partial_remap(&seen, &done, before),
            other => unreachable!("{other:?} is no operation"),
        }
    }

    /// The target may be unmapped, the source shrunk, and of several VMAs some moved: one of the stages that it was to pass. Which of two
    /// that look the same, so what became of the pages themselves is not known.
    fn take_partial_remap(&mut self, seen: &Seen, done: &Model, before: &Model) {
        let mut fitting = std::iter::once(&before.pages).chain(&done.stages).filter(|stage| is_seen(stage, seen));
        let stage = fitting.next_back().expect("it stopped at one of its stages");
        let token = |page: Option<Page>| page.map(|page| page.token);
        self.model.unknown.extend(fitting.flat_map(|other| (0..PAGES).filter(|&i| token(other[i]) != token(stage[i]))));
        (self.model.pages, self.model.tokens) = (*stage, done.tokens);
    }

    fn compare(&mut self, before: &Model) {
        let writer = self.writer();
        let seen = see(&writer);
        assert_eq!(self.mm.program_break(), self.model.brk, "the break");
        assert_eq!(execute_only(self.mm), self.model.keys.execute_only, "the execute-only key");
        assert!(!self.terms.exact || self.mm.len() <= self.model.limits.max_map_count, "7.8: {} VMAs", self.mm.len());
        self.model.settle(&seen, before, &mut self.objects);
        self.tables.follow(&hooks::calls(), before, &self.model);
        self.model.unknown.clear();
        for guard in &self.locked {
            let vma = writer.lookup(guard.vma().start()).expect("a VMA that is locked is mapped");
            assert_eq!(vma, guard.vma(), "a VMA that is locked changed");
        }
    }

    /// Growth, by whichever path. Its rules have a model of their own; here it is what became of pages.
    fn expand(&mut self, at: u64, grow: impl FnOnce(&Self) -> bool) {
        let before = self.model.clone();
        let page = Model::pages_of(at, 1).next().or_else(|| Model::pages_of(at & !(PAGE_SIZE - 1), PAGE_SIZE).next());
        let was_free = page.is_some_and(|page| self.model.pages[page].is_none());
        let is_done = grow(self);
        let seen = see(&self.writer());
        // A fault may grow a stack that allows no access, and be refused after that.
        if was_free && let Some(page) = page.filter(|&page| seen[page].is_some()) {
            let joined = |i: usize| seen[i].is_some_and(|page| page.joined);
            let above = (page + 1..PAGES).find(|&i| before.pages[i].is_some()).filter(|&i| (page + 1..=i).all(joined));
            let from = above.or_else(|| (0..page).rev().find(|&i| before.pages[i].is_some())).expect("it grew from somewhere");
            self.model.grow(from, page);
        } else {
            // A refusal that came late may have given the VMA an owner already (2.4).
            assert!(!is_done || !was_free, "it has grown to {at:#x}, and is not there");
            let owned: Vec<_> = (0..PAGES).filter(|&i| self.model.pages[i].is_some_and(|page| page.flags.is_stack())).collect();
            self.model.written.extend(owned.into_iter().filter(|&i| seen[i].is_some_and(|page| page.owner.is_some())));
        }
        self.compare(&before);
    }

    /// 8.6: what is mapped then allows the access, and the thread's rights do, or it is refused.
    fn fault(&mut self, at: u64, access: Access) {
        let asked = access.with_rights(self.model.keys.rights());
        let mut outcome = None;
        self.expand(at, |story| {
            let fault = story.mm.handle_fault(at, asked, FaultContext::KernelWithoutFixup).map(drop);
            outcome = Some(fault);
            fault.is_ok()
        });
        let Some(page) = self.model.at(at & !(PAGE_SIZE - 1)).and_then(|i| self.model.pages[i]) else { return };
        let expected = match (self.model.keys.is_denied(&page, access), page.flags.allows(access)) {
            (true, _) => Some(Signal::Segv(SegvCode::PkuErr { key: page.flags.pkey() })),
            (false, true) => None,
            (false, false) => Some(Signal::Segv(SegvCode::AccErr)),
        };
        let is_found = !matches!(outcome, Some(Err(FaultError::WouldBlock)));
        assert!(
            !is_found || outcome.map(|outcome| outcome.err().and_then(|fault| fault.signal())) == Some(expected),
            "{access} at {at:#x}: {outcome:?}"
        );
    }

    fn own(&mut self, at: u64) {
        let before = self.model.clone();
        let is_private = self.model.at(at).filter(|&i| self.model.pages[i].is_some_and(|page| !page.flags.contains(VmaFlags::SHARED)));
        let owner = self.writer().own(at);
        assert_eq!(owner.is_some(), is_private.is_some(), "an owner of {at:#x}");
        self.model.written.extend(is_private);
        self.compare(&before);
    }

    /// 5.28.
    fn fork(&mut self, goes_on: bool) -> Option<(Mm<Marked>, Model)> {
        let before = self.model.clone();
        let child = self.writer().fork_with_lock(MmLock::new(), Patience::Never);
        self.compare(&before);
        let child = match child {
            Ok(child) => child,
            Err(ForkError::Wait(_)) => {
                assert!(!self.locked.is_empty(), "nobody has locked a VMA");
                return None;
            }
            Err(error) => panic!("nothing else is short: {error}"),
        };
        let writer = child.try_write().expect("nobody knows it");
        let seen = see(&writer);
        drop(writer);
        let mut model = self.model.clone();
        model.locks_future = VmaFlags::empty();
        for (i, seen) in seen.iter().enumerate() {
            let Some(page) = &mut model.pages[i] else { continue };
            page.flags -= VmaFlags::LOCKED_MASK;
            let is_to_own = page.owner.take().is_some() && !page.flags.contains(VmaFlags::WIPEONFORK);
            if page.flags.contains(VmaFlags::DONTCOPY) {
                model.pages[i] = None;
            } else if is_to_own {
                model.written.insert(i);
            }
            let theirs = seen.and_then(|page| page.owner);
            assert_eq!(theirs.is_some(), is_to_own && seen.is_some(), "page {i} of the child has its parent's pages");
            assert!(
                theirs.is_none_or(|theirs| before.pages.iter().flatten().all(|page| page.owner != Some(theirs))),
                "the owner is the child's"
            );
        }
        let as_parent = model.clone();
        model.settle(&seen, &as_parent, &mut BTreeSet::new());
        model.inherited = model.pages.iter().flatten().filter_map(|page| page.owner).collect();
        assert_eq!(child.program_break(), model.brk, "the child's break");
        goes_on.then_some((child, model))
    }
}

fn execute_only(mm: &Mm<Marked>) -> Option<u8> {
    mm.execute_only_key().map(ProtectionKey::number)
}

/// A length that no limit leaves room for is refused by whichever comes first.
fn is_overlong(verb: Verb) -> bool {
    matches!(verb, Verb::Mlock { len, .. } | Verb::Mmap { len, .. } if len >= 1 << 40)
}

/// Where the model says nothing: of a source of no bytes inside its target, and of one that wraps around, the library and Linux tell
/// different errors. The kernel is asked for these (`vmaple run --fuzz`).
fn is_open(verb: Verb) -> bool {
    let Verb::Mremap { from, old_len, flags, .. } = verb else { return false };
    let is_round = from.checked_add(old_len).is_none_or(|end| end > u64::MAX - PAGE_SIZE);
    old_len == 0 && flags.bits() > 1 || is_round
}

/// Runs operations under some terms.
pub(crate) fn run(terms: u8, ops: &[Op]) {
    drop(hooks::calls());
    let terms = Terms::of(terms);
    let limits = terms.limits();
    let mut model = Model::new(limits.clone());
    (model.brk_start, model.brk) = (address(6) + 0x123, address(6) + 0x123);
    let mut mm = Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build();
    mm.write().set_heap(model.brk_start, model.brk).expect("a heap in the address space");
    let mut ops = ops.iter();
    loop {
        let mut story = Story::new(&mm, terms, model);
        // What the child has is touched.
        let known = story.model.clone();
        story.tables.follow(&[], &Model::new(known.limits.clone()), &known);
        let Some((child, of_child)) = ops.by_ref().find_map(|op| story.step(*op)) else { return };
        drop(story);
        (mm, model) = (child, of_child);
    }
}
