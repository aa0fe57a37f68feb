//! The edit that stays inside one leaf, as nearly every edit does. Called by `splice`.
//!
//! It is possible if the leaf routes the whole range, holds the result, and ends where it ended. Then its parent's key stays exact (T2),
//! nothing but its own slot is stored to, and T8 asks for no other node. The leaf is copied with the range's entries exchanged, and its gap
//! summary follows from what was noted and from the gaps next to the change. All other edits go by `groups`, which leaves the same in the
//! pending edit.

use super::super::layout::{FANOUT, MIN_FILL};
use super::super::node::{Child, Exchange, RawEntry, Summary};
use super::position::Position;
use super::publish::{Replacement, Target};
use crate::error::ResourceError;
use crate::value::Value;
use smallvec::SmallVec;

impl<'t, V: Value> Position<'_, 't, V> {
    /// Builds the replacement of one leaf. `None` if the result is not one legal leaf; nothing has happened then.
    pub(super) fn edit_leaf(&mut self, inserted: &[RawEntry<V>]) -> Result<Option<Replacement<'t, V>>, ResourceError> {
        let (span, path) = (self.span, self.path());
        let (old, bound, parent, depth) = (path.leaf, path.bound, path.parent(), path.depth());
        let Some(leaf) = self.editor.leaf(old).filter(|_| self.is_in_one_leaf()) else { return Ok(None) };
        let first = leaf.rank(span.start());
        let end = (first..leaf.len()).find(|&i| leaf.start(i) > span.last()).unwrap_or(leaf.len());
        // The parts of the first and the last entry that stick out of the range stay.
        let has_low = first < end && leaf.start(first) < span.start();
        let has_high = first < end && leaf.last(end - 1) > span.last();
        if inserted.len() > FANOUT {
            return Ok(None);
        }
        let mut entries: SmallVec<[RawEntry<V>; 3]> = SmallVec::new();
        if inserted.len() > 1 {
            entries.try_reserve(inserted.len() + 2).map_err(|_| ResourceError::OutOfMemory)?;
        }
        if has_low {
            entries.push(RawEntry { start: leaf.start(first), last: span.start() - 1, value: leaf.bits(first) });
        }
        for item in inserted {
            entries.push(item.copy());
        }
        if has_high {
            entries.push(RawEntry { start: span.last() + 1, last: leaf.last(end - 1), value: leaf.bits(end - 1) });
        }
        let exchange = Exchange { range: first..end, entries };
        let behind = exchange.behind();
        let len = behind + leaf.len() - end;
        // Only a leaf on the right edge has the maximum for its key. It may hold fewer entries (T3), and end anywhere (T2).
        let at_right_edge = bound == u64::MAX;
        let ends_alike = end < leaf.len() || exchange.entries.last().is_some_and(|item| item.last == bound);
        let holds_enough = (MIN_FILL..=FANOUT).contains(&len) && ends_alike;
        let is_legal = holds_enough || at_right_edge && (1..=FANOUT).contains(&len);
        if !is_legal {
            return Ok(None);
        }
        let noted = self.editor.noted(depth);
        let before = leaf.gap_among(first..=end);
        let pending = &mut self.editor.writer.pending;
        if has_low && has_high && end - first == 1 {
            // One entry sticks out on both sides. It is cut in two, and the upper part will get a clone of the value.
            pending.hole = Some((leaf.value(first).into(), behind - 1));
        }
        pending.inserted = behind - first;
        pending.note_entries(leaf, first..end)?;
        pending.note_node(old)?;
        let node = self.editor.build_leaf_of(leaf, &exchange)?;
        let Some(leaf) = self.editor.leaf(node) else { unreachable!("a leaf was built") };
        let gap = noted.and_then(|noted| noted.gap_after(before, leaf.gap_among(first..=behind)));
        let summary = gap.map_or_else(|| leaf.summary(), |gap| Summary { low: leaf.start(0), gap });
        let target = match parent {
            Some(step) => Target::Child { parent: self.editor.inner(step.node), index: step.index, depth: depth - 1 },
            None => Target::Root(self.editor.root),
        };
        Ok(Some(Replacement { top: Some(Child { node, last: bound, summary }), target }))
    }
}
