//! An address space and a plain model of it: sequences of mappings, faults and growths, with locks held across them. After each operation
//! the answer or the errno, the layout, the accounts, the paths, the write sequence and the state of the lock are compared.
//!
//! Called by `fault::sequences` and by the fuzz target `fault_ops`.

mod plain;

use plain::{EAGAIN, EINTR, Inside, NEVER_RETURNS, OFFSETS, Plain, Rules, data, locked, promised, stack};
use std::fmt;
use vmaple::lock::{Patience, Speculation};
use vmaple::mm::fault::ExpandError;
use vmaple::mm::{Limits, LockVmaError, MmReadGuard, MmWriteGuard, UpgradePolicy, VmaGuard};
use vmaple::{Access, ErrorCode, FaultContext, Interrupt, Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};

/// The number of pages. The first and the last pages are outside the range that may be mapped, unless the limits are changed.
pub(crate) const SIDE: u8 = 96;
/// The address of page 0.
const BASE: u64 = 0x10_0000_0000;

const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);
const DOWN: VmaFlags = RW.union(VmaFlags::GROWSDOWN);
const UP: VmaFlags = RW.union(VmaFlags::GROWSUP);

/// The flags of mappings.
const KINDS: [VmaFlags; 16] = [
    RW,
    VmaFlags::empty(),
    DOWN,
    UP,
    VmaFlags::READ,
    VmaFlags::EXEC,
    DOWN,
    UP,
    DOWN.union(VmaFlags::LOCKED),
    UP.union(VmaFlags::LOCKED),
    DOWN.union(VmaFlags::ACCOUNT),
    UP.union(VmaFlags::ACCOUNT),
    RW.union(VmaFlags::SHARED).union(VmaFlags::LOCKED),
    DOWN.union(VmaFlags::SHARED),
    DOWN.union(VmaFlags::SEALED),
    VmaFlags::GROWSDOWN,
];

/// The context of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    User,
    /// Kernel code with a fixup, in a thread that is being killed.
    Killed,
    NoFixup,
}

/// One operation, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The first page, the number of further pages, one of [`KINDS`], and one of some offsets.
    Map(u8, u8, u8, u8),
    /// The first page, and the number of further pages.
    Unmap(u8, u8, Context),
    Down(u8, Context),
    Up(u8, Context),
    /// `find_vma_for_fault`.
    Find(u8, Context),
    /// `handle_fault`, for one of three accesses.
    Handle(u8, u8, Context),
    ExpandStack(u8, Context),
    FindExtend(u8),
    /// Locks the VMA at a page and keeps it locked.
    Lock(u8),
    /// Releases one of these VMAs, by its number.
    Unlock(u8),
    Read,
    Write,
    /// Releases the hold of the mm lock that was taken last.
    Leave,
    Upgrade,
    Downgrade,
    /// Sets one of the limits to a value.
    Limit(u8, u8),
    Speculate,
}

/// Operations that print themselves as a test.
#[derive(Clone)]
pub(crate) struct Ops(pub(crate) Vec<Op>);

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n#[test]\nfn found_by_quickcheck() {{\n    use Context::*;\n    use Op::*;\n    replay(&[")?;
        for op in &self.0 {
            writeln!(f, "        {op:?},")?;
        }
        writeln!(f, "    ]);\n}}")
    }
}

/// Returns the address of a page.
fn at(page: u64) -> u64 {
    BASE + page * PAGE_SIZE
}

/// Returns an address in a page.
fn inside(page: u8) -> u64 {
    at(page.into()) + [0, 1, PAGE_SIZE - 1][usize::from(page) % 3]
}

fn pages(span: Span) -> (u64, u64) {
    ((span.start() - BASE) / PAGE_SIZE, (span.last() + 1 - BASE) / PAGE_SIZE)
}

fn rules() -> Rules {
    Rules {
        lowest: 2,
        end: u64::from(SIDE) - 2,
        gap: 2,
        total: 70,
        stack: 24,
        locked: 16,
        data: 40,
        commit: 16,
        count: 14,
        huge: Some((40, 44)),
        upgrade: UpgradePolicy::Optimistic,
    }
}

fn limits_of(rules: &Rules) -> Limits {
    let mut limits = Limits::default();
    (limits.mmap_min_addr, limits.task_size) = (at(rules.lowest), at(rules.end));
    limits.stack_guard_gap_pages = rules.gap;
    // A part of a page does not count where pages are counted.
    limits.address_space_bytes = rules.total * PAGE_SIZE + 17;
    limits.stack_bytes = rules.stack * PAGE_SIZE;
    limits.locked_bytes = rules.locked * PAGE_SIZE;
    limits.data_bytes = rules.data * PAGE_SIZE;
    limits.commit_bytes = rules.commit * PAGE_SIZE;
    limits.max_map_count = rules.count;
    limits.huge_pages_only = rules.huge.map(|(start, end)| Span::from_bounds(at(start)..at(end)).expect("not empty"));
    limits.upgrade = rules.upgrade;
    limits
}

/// An address space and its model, in step, and the locks that are held.
struct Pair<'m> {
    mm: &'m Mm,
    calm: &'m Interrupt,
    raised: &'m Interrupt,
    plain: Plain,
    locked: Vec<(VmaGuard<'m>, u64, Span)>,
    readers: Vec<MmReadGuard<'m>>,
    writer: Option<MmWriteGuard<'m>>,
    speculation: Option<(Speculation<'m>, u64)>,
}

impl<'m> Pair<'m> {
    /// Returns the context for a fault. If this thread holds the lock, the fault must not wait, because the thread would wait for itself.
    fn context(&self, asked: Context) -> (FaultContext<'m>, i32) {
        match asked {
            _ if self.plain.inside != Inside::Nobody => (FaultContext::KernelWithoutFixup, EAGAIN),
            Context::NoFixup => (FaultContext::KernelWithoutFixup, EAGAIN),
            Context::User => (FaultContext::User(self.calm), NEVER_RETURNS),
            Context::Killed => (FaultContext::KernelWithFixup(self.raised), EINTR),
        }
    }

    /// Runs the operation on both, under the current write hold or a new one, and skips it if it would wait forever.
    fn write<T: PartialEq + fmt::Debug>(
        &mut self,
        plainly: impl FnOnce(&mut Plain) -> Result<T, i32>,
        really: impl FnOnce(&mut MmWriteGuard<'m>) -> Result<T, i32>,
    ) {
        let mut next = self.plain.clone();
        let expected = next.writing(plainly);
        if expected == Some(Err(NEVER_RETURNS)) {
            return;
        }
        let result = match &mut self.writer {
            Some(writer) => Some(really(writer)),
            None => self.mm.try_write().map(|mut writer| really(&mut writer)),
        };
        assert_eq!(result, expected, "before it: {:#?}", self.plain);
        self.plain = next;
    }

    /// Compares a fault, which takes its holds itself.
    fn ask(&mut self, plainly: impl FnOnce(&mut Plain) -> Result<usize, i32>, really: impl FnOnce(&Self) -> Result<(u64, u64), i32>) {
        let mut next = self.plain.clone();
        let expected = plainly(&mut next).map(|i| (next.vmas[i].start, next.vmas[i].end));
        if expected != Err(NEVER_RETURNS) {
            assert_eq!(really(self), expected, "before it: {:#?}", self.plain);
            self.plain = next;
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Map(start, len, kind, offset) => self.map((start.into(), u64::from(start) + 1 + u64::from(len)), kind, offset),
            Op::Unmap(start, len, context) => {
                let (start, end) = (u64::from(start), u64::from(start) + 1 + u64::from(len));
                let (context, wait) = self.context(context);
                self.write(
                    |plain| plain.unmap((start, end), wait),
                    |writer| {
                        writer
                            .plan(context.patience())
                            .munmap(at(start), at(end) - at(start))
                            .commit()
                            .map(|()| 0)
                            .map_err(|error| error.errno())
                    },
                );
            }
            Op::Down(page, context) => {
                self.grow(context, |plain, wait| plain.down(page.into(), wait), |writer, p| writer.expand_down_with(inside(page), p));
            }
            Op::Up(page, context) => {
                self.grow(context, |plain, wait| plain.up(page.into(), wait), |writer, p| writer.expand_up_with(inside(page), p));
            }
            Op::Find(page, context) => {
                let (context, wait) = self.context(context);
                self.ask(
                    |plain| plain.fault(page.into(), wait),
                    |pair| {
                        let found = pair.mm.find_vma_for_fault(inside(page), context).map_err(|fault| fault.errno())?;
                        assert!(pair.mm.try_write().is_none() && pair.mm.try_read().is_some(), "read-held");
                        Ok(pages(found.vma().span()))
                    },
                );
            }
            Op::Handle(page, access, context) => {
                let access = [Access::Read, Access::Write, Access::Exec][usize::from(access) % 3];
                let (context, wait) = self.context(context);
                self.ask(
                    |plain| plain.handle(page.into(), access, wait),
                    |pair| {
                        let found = pair.mm.handle_fault(inside(page), access, context).map_err(|fault| fault.errno())?;
                        assert!(found.vma().is_attached() && found.vma().flags().allows(access));
                        Ok(pages(found.vma().span()))
                    },
                );
            }
            Op::ExpandStack(page, context) => self.expand_stack(page, context),
            Op::FindExtend(page) => self.write(
                |plain| plain.find_or_extend(page.into(), NEVER_RETURNS).map(|i| (plain.vmas[i].start, plain.vmas[i].end)),
                |writer| writer.find_extend_vma_locked(inside(page)).map(|vma| pages(vma.span())).map_err(|error| error.errno()),
            ),
            Op::Lock(page) => self.lock(page),
            Op::Unlock(n) => {
                if !self.locked.is_empty() {
                    let (guard, record, _) = self.locked.swap_remove(usize::from(n) % self.locked.len());
                    self.plain.unlock(record);
                    drop(guard);
                }
            }
            Op::Read | Op::Write | Op::Leave | Op::Upgrade | Op::Downgrade => self.hold(op),
            Op::Limit(which, value) => self.limit(which, value.into()),
            Op::Speculate => {
                let begun = self.mm.speculate();
                assert_eq!(begun.is_some(), self.plain.inside != Inside::Writer, "3.8");
                self.speculation = begun.map(|speculation| (speculation, self.plain.sequence));
            }
        }
    }

    fn map(&mut self, (start, end): (u64, u64), kind: u8, offset: u8) {
        let flags = KINDS[usize::from(kind) % KINDS.len()];
        let moved = match offset % 4 {
            0 => Some(u64::from(offset / 4)),
            1 => Some(OFFSETS - (end - start) - u64::from(offset / 4)),
            _ => None,
        };
        let spec = VmaSpec::anonymous(flags).exact_flags();
        let spec = moved.map_or(spec.clone(), |offset| spec.at_offset(offset * PAGE_SIZE));
        self.write(
            |plain| plain.map((start, end), flags, moved.unwrap_or(at(start) / PAGE_SIZE)),
            |writer| writer.insert(at(start), at(end) - at(start), spec).map_err(|error| error.cause.errno()),
        );
    }

    fn grow(
        &mut self,
        context: Context,
        plainly: impl FnOnce(&mut Plain, i32) -> Result<usize, i32>,
        really: impl FnOnce(&mut MmWriteGuard<'m>, Patience<'m>) -> Result<Span, ExpandError>,
    ) {
        let (context, wait) = self.context(context);
        self.write(
            |plain| plainly(plain, wait).map(|i| (plain.vmas[i].start, plain.vmas[i].end)),
            |writer| really(writer, context.patience()).map(pages).map_err(|error| error.errno()),
        );
    }

    /// 1.11: a read hold goes in, one of the asker's own.
    fn expand_stack(&mut self, page: u8, context: Context) {
        if self.plain.inside == Inside::Writer {
            return;
        }
        let (context, wait) = self.context(context);
        self.ask(
            |plain| plain.writing(|plain| plain.find_or_extend(page.into(), wait)).unwrap_or(Err(wait)),
            |pair| {
                let reader = pair.mm.try_read().expect("no writer is inside");
                let found = reader.expand_stack(inside(page), context).map_err(|fault| fault.errno())?;
                assert!(pair.mm.try_write().is_none() && pair.mm.try_read().is_some(), "read-held");
                Ok(pages(found.vma().span()))
            },
        );
    }

    fn lock(&mut self, page: u8) {
        let result = self.mm.lock_vma(inside(page));
        match (self.plain.lock(page.into()), result) {
            (Ok(record), Ok(guard)) => {
                let span = guard.vma().span();
                self.locked.push((guard, record, span));
            }
            (Err("absent"), Err(LockVmaError::Absent { at })) | (Err("busy"), Err(LockVmaError::Busy { at })) if at == inside(page) => {}
            (expected, result) => panic!("{result:?}, not {expected:?}: {:#?}", self.plain),
        }
    }

    fn hold(&mut self, op: Op) {
        match (op, self.plain.inside) {
            (Op::Read, Inside::Nobody | Inside::Readers(0..3)) => self.readers.push(self.mm.try_read().expect("no writer")),
            (Op::Write, Inside::Nobody) => {
                self.writer = self.mm.try_write();
                self.plain.begin();
            }
            (Op::Leave, Inside::Readers(_)) => drop(self.readers.pop()),
            (Op::Leave, Inside::Writer) => {
                self.writer = None;
                self.plain.end();
            }
            (Op::Upgrade, Inside::Readers(n)) => match self.readers.pop().map(MmReadGuard::try_upgrade) {
                Some(Ok(writer)) => {
                    assert_eq!(n, 1, "an upgrade is for the only reader");
                    self.writer = Some(writer);
                    self.plain.begin();
                }
                Some(Err(reader)) => {
                    assert!(n > 1, "the only reader may upgrade");
                    self.readers.push(reader);
                }
                None => unreachable!("the readers are counted"),
            },
            (Op::Downgrade, Inside::Writer) => {
                self.readers.extend(self.writer.take().map(MmWriteGuard::downgrade));
                self.plain.end();
            }
            _ => {}
        }
        self.plain.inside = match (&self.writer, self.readers.len()) {
            (Some(_), _) => Inside::Writer,
            (None, 0) => Inside::Nobody,
            (None, n) => Inside::Readers(n),
        };
    }

    fn limit(&mut self, which: u8, value: u64) {
        // An address space does not end below what is mapped.
        let mapped_end = self.plain.vmas.last().map_or(0, |vma| vma.end);
        let rules = &mut self.plain.rules;
        match which % 11 {
            0 => rules.lowest = value % 24,
            1 => rules.end = (u64::from(SIDE) - value % 24).max(mapped_end),
            2 => rules.gap = value % 8,
            3 => rules.total = value,
            4 => rules.stack = value % 64,
            5 => rules.locked = value % 64,
            6 => rules.data = value % 64,
            7 => rules.commit = value % 64,
            8 => rules.count = usize::try_from(value % 32).expect("small"),
            9 => rules.huge = (value < 192).then_some((value % 80, value % 80 + 1 + value % 4)),
            _ => rules.upgrade = [UpgradePolicy::Never, UpgradePolicy::Optimistic][usize::from(value > 127)],
        }
        self.mm.set_limits(limits_of(rules)).expect("limits that mean something");
    }

    fn check(&self) {
        let plain = &self.plain;
        let pin = self.mm.pin();
        let mut next = Some(0);
        for want in &plain.vmas {
            let vma = next.and_then(|from| pin.find(from)).expect("as many as the model has");
            let result = (pages(vma.span()), vma.flags(), vma.page_offset_of(vma.start()), vma.is_attached());
            assert_eq!(result, ((want.start, want.end), want.flags, want.offset, true), "the layout");
            next = vma.last().checked_add(1);
        }
        assert!(next.and_then(|from| pin.find(from)).is_none(), "more VMAs than {:#?}", plain.vmas);
        assert_eq!((self.mm.len(), self.mm.write_sequence()), (plain.vmas.len(), plain.sequence));
        let stats = self.mm.stats();
        let accounts = (stats.total_pages, stats.stack_pages, stats.data_pages, stats.locked_pages, stats.committed_pages);
        let sums = (plain.pages(|_| true), plain.pages(stack), plain.pages(data), plain.pages(locked), plain.pages(promised));
        assert_eq!(accounts, sums, "the accounts");
        let (paths, taken) = (stats.fault_paths, plain.taken);
        assert_eq!((paths.per_vma, paths.mm_read, paths.found_again), (taken.per_vma, taken.mm_read, 0));
        assert_eq!((paths.upgraded, paths.retaken, paths.failed), (taken.upgraded, taken.retaken, taken.failed));
        for (guard, record, span) in &self.locked {
            let now = plain.vmas.iter().find(|vma| vma.record == *record).expect("what is locked stays");
            assert_eq!((guard.vma().span(), pages(guard.vma().span()), guard.vma().is_attached()), (*span, (now.start, now.end), true));
        }
        assert_eq!(self.mm.try_read().is_some(), plain.inside != Inside::Writer);
        assert!(plain.inside == Inside::Nobody || self.mm.try_write().is_none());
        if let Some((speculation, begun)) = &self.speculation {
            assert_eq!(speculation.validate(), *begun == plain.sequence, "3.8");
        }
        if let Some(writer) = &self.writer {
            writer.validate().expect("the invariants hold");
        }
    }
}

/// Applies all of them, checking after each.
pub(crate) fn replay(ops: &[Op]) {
    let rules = rules();
    let (calm, raised) = (Interrupt::new(), Interrupt::new());
    raised.raise();
    let mm = Mm::builder().private_epochs().limits(limits_of(&rules)).expect("limits that mean something").build();
    let mut pair = Pair {
        mm: &mm,
        calm: &calm,
        raised: &raised,
        plain: Plain::new(rules),
        locked: Vec::new(),
        readers: Vec::new(),
        writer: None,
        speculation: None,
    };
    for &op in ops {
        pair.apply(op);
        pair.check();
    }
    drop(pair);
    mm.try_write().expect("nothing is held").validate().expect("the invariants hold");
}
