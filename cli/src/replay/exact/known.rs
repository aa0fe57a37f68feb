//! The records between two layouts, as far as they can be the cause of a difference. Called by `exact` and `compare`.

use std::collections::BTreeSet;
use vmaple_trace::{AreaFlags, Extent, Line, Name, Operation, Outcome, Perm, Record};

/// The records since the last layout that was compared.
#[derive(Debug, Default)]
pub(super) struct Since {
    pub(super) threads: BTreeSet<u32>,
    pub(super) growths: u64,
    /// The first thing that was done and is not recorded.
    pub(super) unrecorded: Option<Name>,
}

/// The recorded page faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Whether the trace has faults.
    pub(super) any: bool,
    /// The addresses of faults that wrote.
    pub(super) written: BTreeSet<u64>,
    /// Private areas without pages at the start of a trace that does not begin with a program. They may have owners all the same.
    pub(super) from_before: Vec<Extent>,
}

impl Faults {
    /// Collects the areas of the starting layout in `from_before`, and removes the parts that later records unmap.
    pub(super) fn follow_start(&mut self, line: &Line, is_first: bool) {
        let gone = match line.record {
            Record::Area(ref area) if is_first => {
                let is_owned = area.perm.contains(Perm::SHARED) || area.flags.contains(AreaFlags::FAULTED);
                self.from_before.extend((!is_owned).then_some(area.extent));
                return;
            }
            // not a call: it shows where an inherited heap ends
            Record::Operation(Operation::Brk { addr: 0 }, _) if is_first && line.stamp.is_none() => return,
            Record::Operation(..) if is_first => return self.from_before.clear(),
            Record::Operation(Operation::Mmap { len, .. }, Outcome::Value(addr))
            | Record::Operation(Operation::Munmap { addr, len }, Outcome::Value(_)) => Extent::new(addr, addr.saturating_add(len)),
            _ => None,
        };
        let Some(gone) = gone else { return };
        self.from_before = self.from_before.iter().flat_map(|part| part.without(gone)).flatten().collect();
    }
}
