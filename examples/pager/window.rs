//! A window that is mapped to one object after another, and threads that read it meanwhile.
//!
//! The writer's clock shows which generation can be seen: 4g while generation g is being mapped, 4g + 1 while it is mapped, 4g + 2 while it is
//! being unmapped, and 4g + 3 when it is unmapped. A reader reads the clock before and after, and so knows what it may have read.

use crate::content;
use crate::guest::Seen;
use crate::layout;
use crate::memory::{Memory, PAGE_BYTES, Page};
use nix::errno::Errno;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use vmaple::{Mm, PAGE_SIZE, VmaFlags, VmaSpec};

const GENERATIONS: u64 = 200;
/// The number of times that the window is read before it changes again.
const LOOKS: u64 = 8;

const MAPPED: u64 = 1;
const UNMAPPING: u64 = 2;
const GONE: u64 = 3;
const END: u64 = 4 * GENERATIONS + MAPPED;

#[derive(Debug)]
pub(crate) struct Window {
    clock: AtomicU64,
    looks: AtomicU64,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { clock: AtomicU64::new(GONE), looks: AtomicU64::new(0) }
    }

    /// Maps one generation after the other, and leaves the last.
    pub(crate) fn remap(&self, memory: &Memory, mm: &Mm) -> Result<(), Box<dyn Error + Send + Sync>> {
        let range = layout::window(memory.start());
        for generation in 1..=GENERATIONS {
            self.clock.store(4 * generation, SeqCst);
            let mut writer = mm.write();
            writer.insert(
                range.start,
                range.end - range.start,
                VmaSpec::of_object(layout::window_object(generation), 0, VmaFlags::READ),
            )?;
            memory.discard(&range)?; // what was refused here
            drop(writer);
            self.clock.store(4 * generation + MAPPED, SeqCst);
            if generation == GENERATIONS {
                break;
            }
            self.let_them_look();
            self.clock.store(4 * generation + UNMAPPING, SeqCst);
            let mut writer = mm.write();
            writer.munmap(range.start, range.end - range.start)?; // no pager fills a page of it any more
            memory.discard(&range)?;
            drop(writer);
            self.clock.store(4 * generation + GONE, SeqCst);
            self.let_them_look();
        }
        Ok(())
    }

    fn let_them_look(&self) {
        let enough = self.looks.load(SeqCst) + LOOKS;
        while self.looks.load(SeqCst) < enough {
            thread::yield_now();
        }
    }

    /// Reads the window until it no longer changes, and then once more.
    pub(crate) fn watch(&self, memory: &Memory) -> Seen {
        let (mut seen, range) = (Seen::default(), layout::window(memory.start()));
        loop {
            let is_last = self.clock.load(SeqCst) == END;
            for at in range.clone().step_by(PAGE_BYTES) {
                self.look(memory, at, at - range.start, &mut seen);
            }
            if is_last {
                return seen;
            }
        }
    }

    fn look(&self, memory: &Memory, at: u64, offset: u64, seen: &mut Seen) {
        let (mut page, mut wanted): (Page, Page) = ([0; PAGE_BYTES], [0; PAGE_BYTES]);
        let before = self.clock.load(SeqCst);
        let read = memory.try_read(at, &mut page);
        let after = self.clock.load(SeqCst);
        self.looks.fetch_add(1, SeqCst);
        let may_be_seen = (before + 4 - GONE) / 4..=after / 4;
        match read {
            Ok(()) => {
                let is_one = may_be_seen.clone().any(|generation| {
                    content::fill(&mut wanted, layout::window_object(generation), offset);
                    page == wanted
                });
                if is_one {
                    seen.verified_bytes += PAGE_SIZE;
                } else {
                    seen.wrong.push(format!("{at:#x}: a page of none of the generations {may_be_seen:?}"));
                }
            }
            Err(Errno::EFAULT) if before != after || before % 4 != MAPPED => seen.refused += 1,
            Err(error) => seen.wrong.push(format!("{at:#x}: {error} at {before}..={after} of the clock")),
        }
    }
}
