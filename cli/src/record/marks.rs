//! The marks that a layout shows: which userfaultfd handles an area, and the name of anonymous memory. Called by `space` for each layout
//! that is read.

use super::layout::Seen;
use vmaple_trace::{Extent, MarkKind, Marks, Name, Operation};

/// The areas that a userfaultfd handled in the last layout that was read.
#[derive(Debug, Default)]
pub(super) struct Userfault {
    /// The mark of areas that are registered from now on, from the last request.
    pub(super) word: Option<Name>,
    /// In ascending order.
    areas: Vec<(Extent, Name)>,
}

impl Userfault {
    /// Returns the mark of an area.
    fn mark(&self, area: &Seen) -> Option<Name> {
        let modes = std::str::from_utf8(&area.userfault).ok().filter(|modes| !modes.is_empty())?;
        let word = self.word.as_ref().map_or("unknown".into(), |word| String::from_utf8_lossy(word.bytes()).into_owned());
        // an area that was registered before keeps its word, as long as its modes are the same
        let known = self.areas.iter().find(|(extent, _)| extent.overlaps(area.extent));
        let kept = known.map(|(_, word)| word).filter(|word| word.bytes().starts_with(format!("{modes}:").as_bytes()));
        kept.cloned().or_else(|| Name::new(format!("{modes}:{word}").as_bytes()))
    }

    /// Follows a layout. Returns the changes since the last one as the marks that would have made them.
    pub(super) fn follow(&mut self, seen: &[Seen]) -> Vec<Operation> {
        let now: Vec<(Extent, Name)> = seen.iter().filter_map(|area| Some((area.extent, self.mark(area)?))).collect();
        let before = std::mem::replace(&mut self.areas, now);
        let mut bounds: Vec<u64> = before.iter().chain(&self.areas).flat_map(|(extent, _)| [extent.start, extent.end]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let changed = |pair: &[u64]| {
            let (addr, len) = (pair[0], pair[1] - pair[0]);
            let word = at(&self.areas, addr);
            // an unmapped area has lost its mark with the unmapping
            let is_mapped = word.is_some() || seen.iter().any(|area| area.extent.start < pair[1] && addr < area.extent.end);
            let operation = || Operation::Mark { addr, len, kind: MarkKind::Userfault, word: word.cloned() };
            (is_mapped && word != at(&before, addr)).then(operation)
        };
        bounds.windows(2).filter_map(changed).collect()
    }

    /// Returns the marks of an area in the starting layout of a trace.
    pub(super) fn marks_of(&mut self, area: &Seen) -> Marks {
        let mut marks = Marks::default();
        if let Some(word) = self.mark(area) {
            marks.set(MarkKind::Userfault, Some(word.clone()));
            self.areas.push((area.extent, word));
        }
        let bracketed = area.path.strip_prefix(b"[").and_then(|path| path.strip_suffix(b"]"));
        let name = bracketed.and_then(|path| path.strip_prefix(b"anon:").or_else(|| path.strip_prefix(b"anon_shmem:")));
        marks.set(MarkKind::Name, name.and_then(Name::new));
        marks
    }
}

fn at(areas: &[(Extent, Name)], address: u64) -> Option<&Name> {
    areas.iter().find(|(extent, _)| extent.contains(address)).map(|(_, word)| word)
}
