//! Marks of areas (`vmaple_trace::Marks`) as small numbers in the payload of a VMA, and back. Called by `area` and `apply`.

use std::collections::HashMap;
use vmaple_trace::{MarkKind, Marks, Name};

/// The marks of a VMA: for each kind the number of its word, or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    numbers: [u32; 4],
    /// Whether the userfaultfd mark stays with pages that are moved.
    is_kept_by_moves: bool,
}

impl Tags {
    /// Returns the marks that moved pages have.
    pub(super) fn moved(mut self) -> Self {
        if !self.is_kept_by_moves {
            self.numbers[MarkKind::Userfault as usize] = 0;
        }
        self
    }

    /// Returns a copy with another mark of one kind.
    pub(super) fn with(mut self, kind: MarkKind, (number, is_kept_by_moves): (u32, bool)) -> Self {
        self.numbers[kind as usize] = number;
        if kind == MarkKind::Userfault {
            self.is_kept_by_moves = is_kept_by_moves;
        }
        self
    }
}

/// The words of an address space and their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    words: Vec<Name>,
    numbers: HashMap<Name, u32>,
}

impl Words {
    /// Returns the number of a word, and whether the mark stays with pages that are moved.
    pub(super) fn number_of(&mut self, kind: MarkKind, word: Option<&Name>) -> (u32, bool) {
        // no mark means the first opening
        let Some(word) = word.filter(|word| kind != MarkKind::Open || word.bytes() != b"1") else { return (0, false) };
        let is_kept_by_moves = word.bytes().ends_with(b"+remap");
        if let Some(number) = self.numbers.get(word) {
            return (*number, is_kept_by_moves);
        }
        self.words.push(word.clone());
        // there are no more words than lines of the scenario
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.numbers.insert(word.clone(), number);
        (number, is_kept_by_moves)
    }

    pub(super) fn tags_of(&mut self, marks: &Marks) -> Tags {
        marks.iter().fold(Tags::default(), |tags, (kind, word)| tags.with(kind, self.number_of(kind, Some(word))))
    }

    pub(super) fn marks_of(&self, tags: Tags) -> Marks {
        let mut marks = Marks::default();
        for kind in MarkKind::ALL {
            let number = tags.numbers[kind as usize] as usize;
            marks.set(kind, number.checked_sub(1).and_then(|at| self.words.get(at)).cloned());
        }
        marks
    }
}
