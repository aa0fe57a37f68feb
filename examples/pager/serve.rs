//! The pager: serves a fault that the kernel reports by a page or by a refusal. This is the part to copy.
//!
//! Any number of threads run [`serve`] at once. [`Mm`] decides each fault, and [`Memory`] answers it. These threads must not access the region
//! themselves, because no thread would serve their faults.

use crate::content;
use crate::memory::{FaultEvent, Filled, Memory, PAGE_BYTES, Page, Wake};
use std::collections::BTreeMap;
use std::io::PipeReader;
use vmaple::mm::fault::{ExpandError, FaultError};
use vmaple::mm::{Backing, Limit, Vma};
use vmaple::{ErrorCode, FaultContext, Interrupt, Mm};

/// The reasons for which the guests are refused.
pub(crate) const UNMAPPED: &str = "nothing is mapped there";
pub(crate) const DENIED: &str = "the VMA does not allow it";
pub(crate) const GUARD_GAP: &str = "a stack's guard gap";
pub(crate) const STACK_LIMIT: &str = "a stack's limit";
pub(crate) const OTHER: &str = "something else";

/// Counts of what a thread served.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) faults: u64,
    /// Pages with an object's content.
    pub(crate) copied: u64,
    /// Pages of zeros.
    pub(crate) zeroed: u64,
    /// Pages that another thread had installed.
    pub(crate) present: u64,
    /// Refusals, by the reason and its errno.
    pub(crate) refused: BTreeMap<(&'static str, i32), u64>,
    /// Refusals that were no longer right when they were checked again.
    pub(crate) looked_again: u64,
}

impl Served {
    pub(crate) fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.copied += other.copied;
        self.zeroed += other.zeroed;
        self.present += other.present;
        self.looked_again += other.looked_again;
        for (why, count) in &other.refused {
            *self.refused.entry(*why).or_default() += count;
        }
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// Serves faults until the other end of the pipe is closed.
pub(crate) fn serve(memory: &Memory, mm: &Mm, stop: &PipeReader) -> nix::Result<Served> {
    let mut pager = Pager { memory, mm, killed: Interrupt::new(), page: [0; PAGE_BYTES], served: Served::default() };
    while memory.wait(stop)? == Wake::Fault {
        while let Some(event) = memory.next_fault()? {
            pager.resolve(event)?;
        }
    }
    Ok(pager.served)
}

struct Pager<'p> {
    memory: &'p Memory,
    mm: &'p Mm,
    /// Would end a wait for the mm lock. No guest is killed here.
    killed: Interrupt,
    page: Page,
    served: Served,
}

impl Pager<'_> {
    fn resolve(&mut self, event: FaultEvent) -> nix::Result<()> {
        self.served.faults += 1;
        loop {
            match self.mm.handle_fault(event.page, event.access, FaultContext::User(&self.killed)) {
                // The VMA is held until the page is installed: a thread that unmaps it waits for that, and then drops the page.
                Ok(held) => return self.fill(event.page, held.vma()),
                Err(fault) => match self.refuse(event, fault)? {
                    Refusal::Given => return Ok(()),
                    Refusal::Outdated => self.served.looked_again += 1,
                },
            }
        }
    }

    fn fill(&mut self, page: u64, vma: Vma<'_>) -> nix::Result<()> {
        let (filled, count) = match vma.backing() {
            Backing::Object(object) => {
                content::fill(&mut self.page, object, vma.offset_of(page));
                (self.memory.copy(page, &self.page)?, &mut self.served.copied)
            }
            _ => (self.memory.zero(page)?, &mut self.served.zeroed),
        };
        match filled {
            Filled::Now => *count += 1,
            Filled::Before => self.served.present += 1,
        }
        Ok(())
    }

    /// Refuses a fault if the answer is the same under the mm lock. A refused page stays refused until a thread that maps there discards
    /// it, also under that lock, so no mapping finds an older refusal. (Here no thread raises a stack's limit or unmaps its neighbour;
    /// one that did would have to discard the refused pages below the stack.)
    fn refuse(&mut self, FaultEvent { page, access }: FaultEvent, fault: FaultError) -> nix::Result<Refusal> {
        let mut writer = self.mm.write();
        if writer.find_extend_vma_locked(page).is_ok_and(|vma| vma.flags().allows(access)) {
            return Ok(Refusal::Outdated);
        }
        self.memory.poison(page)?;
        *self.served.refused.entry((reason(&fault), fault.errno())).or_default() += 1;
        Ok(Refusal::Given)
    }
}

enum Refusal {
    Given,
    Outdated,
}

fn reason(fault: &FaultError) -> &'static str {
    match fault {
        FaultError::Unmapped { .. } => UNMAPPED,
        FaultError::Denied { .. } => DENIED,
        FaultError::Growth(ExpandError::GuardGap { .. }) => GUARD_GAP,
        FaultError::Growth(ExpandError::Limit(Limit::Stack { .. })) => STACK_LIMIT,
        _ => OTHER,
    }
}
