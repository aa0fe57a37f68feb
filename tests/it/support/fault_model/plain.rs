//! The plainest address space: a sorted list of VMAs in pages, and the rules of `docs/semantics.md` once more, in their order.
//!
//! There is one thread, so whatever it would wait for is held by itself: a wait ends with the errno that the caller's patience has for it.

use vmaple::mm::UpgradePolicy;
use vmaple::{Access, VmaFlags};

pub(crate) const EPERM: i32 = 1;
pub(crate) const EINTR: i32 = 4;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const ENOMEM: i32 = 12;
pub(crate) const EFAULT: i32 = 14;
pub(crate) const EEXIST: i32 = 17;
pub(crate) const EINVAL: i32 = 22;
/// Not an errno: the operation would wait for itself forever.
pub(crate) const NEVER_RETURNS: i32 = -1;

/// The number of pages after which offsets wrap around.
pub(crate) const OFFSETS: u64 = 1 << 52;

/// One VMA. All numbers are pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vma {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) flags: VmaFlags,
    /// Of the first page.
    pub(crate) offset: u64,
    /// Which record: growth keeps it, a split makes new ones.
    pub(crate) record: u64,
    pub(crate) readers: u32,
    /// Write-locked until the end of the present write hold.
    pub(crate) write_locked: bool,
}

/// Who is inside the mm lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    Nobody,
    Readers(usize),
    Writer,
}

/// The limits, in pages.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) lowest: u64,
    pub(crate) end: u64,
    pub(crate) gap: u64,
    pub(crate) total: u64,
    pub(crate) stack: u64,
    pub(crate) locked: u64,
    pub(crate) data: u64,
    pub(crate) commit: u64,
    pub(crate) count: usize,
    pub(crate) huge: Option<(u64, u64)>,
    pub(crate) upgrade: UpgradePolicy,
}

/// How faults ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) per_vma: u64,
    pub(crate) mm_read: u64,
    pub(crate) upgraded: u64,
    pub(crate) retaken: u64,
    pub(crate) failed: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) vmas: Vec<Vma>,
    pub(crate) rules: Rules,
    pub(crate) inside: Inside,
    pub(crate) sequence: u64,
    pub(crate) taken: Taken,
    records: u64,
}

fn is(condition: bool, errno: i32) -> Result<(), i32> {
    if condition { Err(errno) } else { Ok(()) }
}

fn grows_down(flags: VmaFlags) -> bool {
    flags.contains(VmaFlags::GROWSDOWN)
}

fn grows_up(flags: VmaFlags) -> bool {
    flags.contains(VmaFlags::GROWSUP)
}

fn accessible(flags: VmaFlags) -> bool {
    flags.intersects(VmaFlags::READ | VmaFlags::WRITE | VmaFlags::EXEC)
}

pub(crate) fn stack(flags: VmaFlags) -> bool {
    grows_down(flags) || grows_up(flags)
}

/// Writable, private, no stack (2.8).
pub(crate) fn data(flags: VmaFlags) -> bool {
    flags.contains(VmaFlags::WRITE) && !flags.contains(VmaFlags::SHARED) && !stack(flags)
}

pub(crate) fn locked(flags: VmaFlags) -> bool {
    flags.contains(VmaFlags::LOCKED)
}

pub(crate) fn promised(flags: VmaFlags) -> bool {
    flags.contains(VmaFlags::ACCOUNT)
}

fn allows(flags: VmaFlags, access: Access) -> bool {
    match access {
        Access::Write => flags.contains(VmaFlags::WRITE),
        Access::Exec => flags.contains(VmaFlags::EXEC),
        _ => accessible(flags),
    }
}

impl Plain {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { vmas: Vec::new(), rules, inside: Inside::Nobody, sequence: 0, taken: Taken::default(), records: 0 }
    }

    fn fresh_record(&mut self) -> u64 {
        self.records += 1;
        self.records
    }

    pub(crate) fn pages(&self, of: impl Fn(VmaFlags) -> bool) -> u64 {
        self.vmas.iter().filter(|vma| of(vma.flags)).map(|vma| vma.end - vma.start).sum()
    }

    /// 1.3: the first that ends above the page.
    fn first_above(&self, at: u64) -> Option<usize> {
        self.vmas.iter().position(|vma| vma.end > at)
    }

    fn containing(&self, at: u64) -> Option<usize> {
        self.vmas.iter().position(|vma| vma.start <= at && at < vma.end)
    }

    /// 3.1: a write hold begins.
    pub(crate) fn begin(&mut self) {
        self.sequence += 1;
    }

    /// 3.1, 3.2: it ends, by release or downgrade, and all write locks with it.
    pub(crate) fn end(&mut self) {
        self.sequence += 1;
        self.vmas.iter_mut().for_each(|vma| vma.write_locked = false);
    }

    /// Does it under the write hold that there is, or under one of its own; not at all beside readers.
    pub(crate) fn writing<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.inside {
            Inside::Readers(_) => None,
            Inside::Writer => Some(work(self)),
            Inside::Nobody => {
                self.begin();
                let result = work(self);
                self.end();
                Some(result)
            }
        }
    }

    /// 3.4.
    fn start_write(&mut self, i: usize, wait: i32) -> Result<(), i32> {
        let vma = &mut self.vmas[i];
        is(!vma.write_locked && vma.readers > 0, wait)?;
        vma.write_locked = true;
        Ok(())
    }

    /// 3.5, 3.6: the record locked, or why not.
    pub(crate) fn lock(&mut self, at: u64) -> Result<u64, &'static str> {
        let i = self.containing(at).ok_or("absent")?;
        if self.vmas[i].write_locked {
            return Err("busy");
        }
        self.vmas[i].readers += 1;
        Ok(self.vmas[i].record)
    }

    pub(crate) fn unlock(&mut self, record: u64) {
        let vma = self.vmas.iter_mut().find(|vma| vma.record == record).expect("what is locked is mapped");
        vma.readers -= 1;
    }

    /// Rules 1.1 to 1.10; the VMA that contains the page.
    pub(crate) fn fault(&mut self, at: u64, wait: i32) -> Result<usize, i32> {
        let result = self.find_or_grow(at, wait);
        self.taken.failed += u64::from(result.is_err());
        result
    }

    fn find_or_grow(&mut self, at: u64, wait: i32) -> Result<usize, i32> {
        is(self.inside == Inside::Writer, wait)?; // 1.1
        let i = self.first_above(at).ok_or(EFAULT)?; // 1.4
        if self.vmas[i].start <= at {
            self.taken.mm_read += 1;
            return Ok(i); // 1.3
        }
        is(!grows_down(self.vmas[i].flags), EFAULT)?; // 1.4
        // 1.5, 1.6: another reader is in the way of both.
        is(self.inside != Inside::Nobody, wait)?;
        self.begin();
        let grown = self.down(at, wait); // 1.8
        self.end(); // 1.9
        let i = grown?;
        match self.rules.upgrade {
            UpgradePolicy::Never => self.taken.retaken += 1,
            _ => self.taken.upgraded += 1,
        }
        Ok(i)
    }

    /// 1.14: under the VMA's own lock, or by the helper; then the access.
    pub(crate) fn handle(&mut self, at: u64, access: Access, wait: i32) -> Result<usize, i32> {
        let i = match self.containing(at).filter(|&i| !self.vmas[i].write_locked) {
            Some(i) => {
                self.taken.per_vma += 1;
                i
            }
            None => self.fault(at, wait)?,
        };
        is(!allows(self.vmas[i].flags, access), EFAULT)?;
        Ok(i)
    }

    /// 1.11, after the read hold was dropped; 1.12 under the write hold.
    pub(crate) fn find_or_extend(&mut self, at: u64, wait: i32) -> Result<usize, i32> {
        if let Some(i) = self.containing(at) {
            return Ok(i);
        }
        let above = self.first_above(at).filter(|&i| grows_down(self.vmas[i].flags));
        let below = self.vmas.iter().rposition(|vma| vma.end <= at).filter(|&i| grows_up(self.vmas[i].flags));
        match (below.map(|_| self.up(at, wait)), above) {
            (Some(Ok(i)), _) => Ok(i),
            // A wait that ended, or that never would, is the end of it.
            (Some(Err(error)), _) if error == wait => Err(error),
            (_, Some(_)) => self.down(at, wait),
            (Some(refused), None) => refused,
            (None, None) => Err(EFAULT),
        }
    }

    /// Rules 2.1 to 2.9.
    pub(crate) fn down(&mut self, at: u64, wait: i32) -> Result<usize, i32> {
        let i = self.first_above(at).ok_or(EFAULT)?;
        let Vma { start, end, flags, offset, .. } = self.vmas[i];
        is(!grows_down(flags), EFAULT)?; // 2.1
        is(at < self.rules.lowest, EPERM)?; // 2.2
        if let Some(below) = i.checked_sub(1).map(|i| self.vmas[i]) {
            let guarded = accessible(below.flags) && !grows_down(below.flags);
            is(guarded && at - below.end < self.rules.gap, ENOMEM)?; // 2.3
        }
        self.start_write(i, wait)?; // 2.5
        if at >= start {
            return Ok(i); // 2.6
        }
        let grow = start - at;
        is(grow > offset, ENOMEM)?; // 2.7
        self.limits(flags, grow, (at, end))?; // 2.8
        (self.vmas[i].start, self.vmas[i].offset) = (at, offset - grow); // 2.9
        Ok(i)
    }

    /// Rules 2.10 to 2.12.
    pub(crate) fn up(&mut self, at: u64, wait: i32) -> Result<usize, i32> {
        let i = self.vmas.iter().rposition(|vma| vma.start <= at).ok_or(EFAULT)?;
        let Vma { start, end, flags, offset, .. } = self.vmas[i];
        is(!grows_up(flags), EFAULT)?;
        is(at >= self.rules.end, ENOMEM)?; // 2.10
        let limit = (at + 1 + self.rules.gap).min(self.rules.end);
        if let Some(above) = self.vmas.get(i + 1).filter(|above| above.start < limit) {
            is(accessible(above.flags) && !grows_up(above.flags), ENOMEM)?; // 2.11
        }
        self.start_write(i, wait)?;
        if at < end {
            return Ok(i);
        }
        is(offset + (at + 1 - start) > OFFSETS, ENOMEM)?; // 2.12
        self.limits(flags, at + 1 - end, (start, at + 1))?;
        self.vmas[i].end = at + 1;
        Ok(i)
    }

    /// 2.8, in its order.
    fn limits(&self, flags: VmaFlags, grow: u64, (start, end): (u64, u64)) -> Result<(), i32> {
        is(self.pages(|_| true) + grow > self.rules.total, ENOMEM)?;
        is(end - start > self.rules.stack, ENOMEM)?;
        is(locked(flags) && self.pages(locked) + grow > self.rules.locked, ENOMEM)?;
        is(self.rules.huge.is_some_and(|huge| huge.0 < end && start < huge.1), EFAULT)?;
        is(promised(flags) && self.pages(promised) + grow > self.rules.commit, ENOMEM)
    }

    /// 5.1, 5.3, 5.5.
    pub(crate) fn map(&mut self, (start, end): (u64, u64), flags: VmaFlags, offset: u64) -> Result<(), i32> {
        is(stack(flags) && flags.contains(VmaFlags::SHARED), EINVAL)?;
        is(end > self.rules.end, ENOMEM)?;
        is(start < self.rules.lowest, EPERM)?;
        is(self.vmas.iter().any(|vma| vma.start < end && start < vma.end), EEXIST)?;
        is(self.vmas.len() > self.rules.count, ENOMEM)?;
        let more = end - start;
        is(locked(flags) && self.pages(locked) + more > self.rules.locked, EAGAIN)?;
        is(self.pages(|_| true) + more > self.rules.total, ENOMEM)?;
        is(data(flags) && self.pages(data) + more > self.rules.data, ENOMEM)?;
        is(promised(flags) && self.pages(promised) + more > self.rules.commit, ENOMEM)?;
        let record = self.fresh_record();
        // 3.10: write-locked before it can be seen.
        self.vmas.push(Vma { start, end, flags, offset, record, readers: 0, write_locked: true });
        self.vmas.sort_unstable_by_key(|vma| vma.start);
        Ok(())
    }

    /// 5.15: how many pages went.
    pub(crate) fn unmap(&mut self, (start, end): (u64, u64), wait: i32) -> Result<u64, i32> {
        is(end > self.rules.end, EINVAL)?;
        let gone: Vec<usize> = (0..self.vmas.len()).filter(|&i| self.vmas[i].start < end && start < self.vmas[i].end).collect();
        let Some(&first) = gone.first() else { return Ok(0) };
        let is_sealed = |vma: &Vma| vma.flags.contains(VmaFlags::SEALED);
        let vma = self.vmas[first];
        if vma.start < start {
            is(end < vma.end && self.vmas.len() >= self.rules.count, ENOMEM)?;
            is(is_sealed(&vma), EPERM)?;
            if gone.iter().any(|&i| is_sealed(&self.vmas[i])) {
                // The split where the range begins is left behind.
                self.start_write(first, wait)?;
                let (low, high) = (self.fresh_record(), self.fresh_record());
                let offset = (vma.offset + (start - vma.start)) % OFFSETS;
                self.vmas[first] = Vma { end: start, record: low, write_locked: true, ..vma };
                self.vmas.insert(first + 1, Vma { start, offset, record: high, write_locked: true, ..vma });
                return Err(EPERM);
            }
        }
        is(gone.iter().any(|&i| is_sealed(&self.vmas[i])), EPERM)?;
        for &i in &gone {
            self.start_write(i, wait)?;
        }
        for vma in std::mem::take(&mut self.vmas) {
            if vma.end <= start || end <= vma.start {
                self.vmas.push(vma);
                continue;
            }
            // What stays of it is write-locked, because it is new.
            for (from, to) in [(vma.start, vma.end.min(start)), (vma.start.max(end), vma.end)] {
                if from < to {
                    let record = self.fresh_record();
                    let offset = (vma.offset + (from - vma.start)) % OFFSETS;
                    self.vmas.push(Vma { start: from, end: to, offset, record, ..vma });
                }
            }
        }
        Ok(0)
    }
}
