//! The recorded histories of real programs under `traces/`, as lists of calls. Called by the workload `replay`. `vmaple-trace` reads the
//! format.
//!
//! All addresses are moved into one window: pieces that are far apart in the recording are moved closer, each by one distance, so that all fit
//! beside the mappings of this process. Where the kernel chose a place, the list requests that place. Failed calls are left out, page faults
//! become addresses that readers look up, and stacks do not grow.

use crate::calls::{Backing, Call, Flags, Place, Setup, Target, WINDOW, What};
use crate::regions::PAGE;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;
use vmaple_trace::{Area, MapFlags, Object, Offset, Operation, Outcome, Perm, Prot, Reader, Record, RemapFlags, Setting};

/// Unmapped ranges of at least this size are left out of the window.
const FAR: u64 = 64 << 30;

/// The start of the kernel's own areas, which are not part of a program's layout.
const END: u64 = 0x7fff_ffff_f000;

const TRACES: [(&str, &[u8]); 4] = [
    ("python", include_bytes!("../../traces/python.trace.gz")),
    ("serial", include_bytes!("../../traces/serial.trace.gz")),
    ("java", include_bytes!("../../traces/java.trace.gz")),
    ("cc1plus", include_bytes!("../../traces/cc1plus.trace.gz")),
];

/// One program's history.
#[derive(Clone, Debug)]
pub struct History {
    /// The program.
    pub name: &'static str,
    /// The calls that build the starting layout in an empty address space.
    pub begin: Vec<Call>,
    /// The calls of the program.
    pub calls: Vec<Call>,
    /// The calls that empty the address space again.
    pub end: Vec<Call>,
    /// The addresses of page faults.
    pub faults: Vec<u64>,
}

/// All histories, and the properties of an address space for them.
#[derive(Clone, Debug)]
pub struct Histories {
    /// One history for each trace.
    pub all: Vec<History>,
    /// The objects of all histories.
    pub setup: Setup,
}

/// Returns all histories. The first call reads the traces.
///
/// # Panics
/// If a committed trace cannot be read.
pub fn histories() -> &'static Histories {
    static HISTORIES: OnceLock<Histories> = OnceLock::new();
    HISTORIES.get_or_init(|| {
        let mut objects = Objects::default();
        let all = TRACES.iter().map(|&(name, gzip)| Raw::read(name, gzip, &mut objects).moved(name)).collect();
        Histories { all, setup: Setup { top: END, objects: objects.bytes } }
    })
}

/// The objects by name, with numbers and minimum sizes.
#[derive(Default)]
struct Objects {
    numbers: BTreeMap<(&'static str, Object), u32>,
    bytes: Vec<u64>,
}

impl Objects {
    fn backing(&mut self, trace: &'static str, object: &Object, is_shared: bool, offset: Offset, len: u64) -> Backing {
        if matches!(object, Object::Anon | Object::Special(_)) {
            return Backing::Anonymous;
        }
        let next = u32::try_from(self.bytes.len()).expect("few objects");
        let number = *self.numbers.entry((trace, object.clone())).or_insert(next);
        if number == next {
            self.bytes.push(0);
        }
        let offset = if let Offset::Bytes(bytes) = offset { bytes } else { 0 };
        let bytes = &mut self.bytes[number as usize];
        *bytes = (*bytes).max(offset + len);
        if is_shared { Backing::Shared(number, offset) } else { Backing::Private(number, offset) }
    }
}

/// A history at the addresses of the recording.
#[derive(Default)]
struct Raw {
    heap: u64,
    areas: Vec<Call>,
    calls: Vec<Call>,
    faults: Vec<u64>,
}

impl Raw {
    fn read(name: &'static str, gzip: &'static [u8], objects: &mut Objects) -> Self {
        let mut raw = Self::default();
        for line in Reader::gzip(name, gzip) {
            match line.expect("a committed trace is a good one").record {
                Record::Set(Setting::BrkStart(start)) => raw.heap = start,
                Record::Area(area) if area.extent.end <= END => raw.areas.push(area_call(name, &area, objects)),
                Record::Fault { addr, .. } if addr < END => raw.faults.push(addr),
                Record::Operation(operation, Outcome::Value(result)) => raw.calls.extend(call(name, &operation, result, objects)),
                _ => {}
            }
        }
        raw
    }

    /// Returns the history at addresses of the window.
    fn moved(self, name: &'static str) -> History {
        let touched = self.areas.iter().chain(&self.calls).filter_map(touched);
        let pieces = Pieces::of(touched.chain(std::iter::once(self.heap..self.heap + PAGE)));
        let moved = |calls: &[Call]| calls.iter().map(|call| pieces.moved_call(*call)).collect::<Vec<_>>();
        let heap = pieces.moved(self.heap).expect("the heap is in a piece");
        let begin = [vec![Call::Heap(heap)], moved(&self.areas)].concat();
        let end = pieces.0.iter().map(|(piece, to)| Call::Unmap(*to, piece.end - piece.start)).collect();
        let faults = self.faults.iter().filter_map(|&at| pieces.moved(at)).collect();
        History { name, begin, calls: moved(&self.calls), end, faults }
    }
}

/// The pieces of a recording's addresses, and the start of each in the window.
struct Pieces(Vec<(Range<u64>, u64)>);

impl Pieces {
    fn of(touched: impl Iterator<Item = Range<u64>>) -> Self {
        const STEP: u64 = 1 << 30;
        let mut touched: Vec<Range<u64>> = touched.collect();
        touched.sort_by_key(|range| range.start);
        let mut pieces: Vec<Range<u64>> = Vec::new();
        for range in touched {
            match pieces.last_mut() {
                Some(last) if range.start < last.end.saturating_add(FAR) => last.end = last.end.max(range.end),
                _ => pieces.push(range),
            }
        }
        let mut to = WINDOW;
        let place = |piece: Range<u64>| {
            // Moved by whole GiB, so that alignments stay.
            let at = to + piece.start % STEP;
            to = (at + (piece.end - piece.start)).next_multiple_of(STEP) + STEP;
            (piece, at)
        };
        Self(pieces.into_iter().map(place).collect())
    }

    fn moved(&self, at: u64) -> Option<u64> {
        let (piece, to) = self.0.iter().find(|(piece, _)| (piece.start..=piece.end).contains(&at))?;
        Some(at - piece.start + to)
    }

    fn moved_call(&self, call: Call) -> Call {
        let to = |at| self.moved(at).expect("all that is touched is in a piece");
        match call {
            Call::Map(Place::Anywhere, ..) => unreachable!("a recording has places"),
            Call::Map(Place::Near(at), len, what) => Call::Map(Place::Near(to(at)), len, what),
            Call::Map(Place::Fixed(at), len, what) => Call::Map(Place::Fixed(to(at)), len, what),
            Call::Unmap(at, len) => Call::Unmap(to(at), len),
            Call::Protect(at, len, flags) => Call::Protect(to(at), len, flags),
            Call::Remap(at, old, new, Target::Here) => Call::Remap(to(at), old, new, Target::Here),
            Call::Remap(at, old, new, Target::There(there)) => Call::Remap(to(at), old, new, Target::There(to(there))),
            Call::Brk(0) => Call::Brk(0),
            Call::Brk(brk) => Call::Brk(to(brk)),
            Call::Heap(at) => Call::Heap(to(at)),
        }
    }
}

/// Returns the range of a call that must be within one piece.
fn touched(call: &Call) -> Option<Range<u64>> {
    match *call {
        Call::Map(Place::Near(at) | Place::Fixed(at), len, _) | Call::Unmap(at, len) | Call::Protect(at, len, _) => Some(at..at + len),
        Call::Remap(at, old, new, Target::Here) => Some(at..at + old.max(new)),
        Call::Remap(.., new, Target::There(there)) => Some(there..there + new),
        Call::Brk(brk) if brk > 0 => Some(brk..brk + PAGE),
        _ => None,
    }
}

fn area_call(trace: &'static str, area: &Area, objects: &mut Objects) -> Call {
    let len = area.extent.end - area.extent.start;
    let backing = objects.backing(trace, &area.object, area.perm.contains(Perm::SHARED), area.offset, len);
    let flags = Flags(area.perm.bits() & 7);
    Call::Map(Place::Fixed(area.extent.start), len, What { flags, backing })
}

fn access_of(prot: Prot) -> Flags {
    let bits = [(Prot::READ, 1), (Prot::WRITE, 2), (Prot::EXEC, 4)];
    Flags(bits.into_iter().filter(|(asked, _)| prot.contains(*asked)).map(|(_, bit)| bit).sum())
}

/// Returns the call for a recorded operation with this result, or `None` if it changes nothing that is compared.
fn call(trace: &'static str, operation: &Operation, result: u64, objects: &mut Objects) -> Option<Call> {
    let pages = |len: u64| len.next_multiple_of(PAGE);
    Some(match *operation {
        Operation::Mmap { len, prot, flags, ref object, offset, .. } => {
            let len = pages(len);
            let place = if flags.contains(MapFlags::FIXED) { Place::Fixed(result) } else { Place::Near(result) };
            let mut access = access_of(prot);
            if flags.contains(MapFlags::NORESERVE) {
                access = Flags(access.0 | Flags::NORESERVE.0);
            }
            let backing = objects.backing(trace, object, flags.is_shared(), offset, len);
            Call::Map(place, len, What { flags: access, backing })
        }
        Operation::Munmap { addr, len } => Call::Unmap(addr, pages(len)),
        Operation::Mprotect { addr, len, prot } if len > 0 => Call::Protect(addr, pages(len), access_of(prot)),
        Operation::Mremap { addr, old_len, new_len, flags, .. } if !flags.contains(RemapFlags::DONTUNMAP) => {
            let target = if result == addr { Target::Here } else { Target::There(result) };
            Call::Remap(addr, pages(old_len), pages(new_len), target)
        }
        Operation::Brk { addr: 0 } => Call::Brk(0),
        Operation::Brk { .. } => Call::Brk(result),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_traces_are_there_whole_and_in_the_window() {
        let histories = histories();
        let calls: Vec<usize> = histories.all.iter().map(|history| history.calls.len()).collect();
        assert_eq!(calls, [2_129, 688, 537, 332]);
        for history in &histories.all {
            assert!(history.faults.len() > 10_000 && history.begin.len() > 10, "{}", history.name);
            let inside = |call: &Call| touched(call).is_none_or(|range| range.start >= WINDOW && range.end < WINDOW + (1 << 40));
            assert!(history.begin.iter().chain(&history.calls).all(inside), "{}", history.name);
        }
    }
}
