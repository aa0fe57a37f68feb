//! `brk`: the result is the new break. The range between it and the previous break is mapped or removed.

use super::super::layout_model::{Bounds, Region};
use super::super::packed::PackedAttrs;
use super::builder::Builder;
use anyhow::Result;
use vmaple_trace::{Object, Outcome, Perm};

impl Builder {
    pub(super) fn brk(&mut self, outcome: Outcome) -> Result<()> {
        let Outcome::Value(to) = outcome else { return Ok(()) };
        let (Some(from), Some(to)) = (self.whole_pages(self.heap_end()), self.whole_pages(to)) else {
            return Err(self.refuse(&format!("the break {to:#x}"), "a break that can be rounded up to pages"));
        };
        self.states[self.current].brk = Some(to);
        if to < from {
            return self.clear(Bounds { start: to, last: from - 1 });
        }
        if to == from {
            return Ok(());
        }
        self.states[self.current].heap.get_or_insert(from);
        let backing = self.history.backings.number(&Object::Anon, from, 0)?;
        let attrs = PackedAttrs::new(Perm::READ.union(Perm::WRITE), self.states[self.current].default_flags, backing);
        // Linux extends the area before the break, whatever its attributes are by now
        let below = from.checked_sub(1).and_then(|at| self.model().lookup(at));
        let heap = below.filter(|area| area.attrs.backing() == backing && area.attrs.perm() == attrs.perm());
        self.lay(Region { start: from, last: to - 1, attrs: heap.map_or(attrs, |area| area.attrs) })
    }

    /// Returns the break. Before the first call it is the end of the heap in the starting layout.
    fn heap_end(&self) -> u64 {
        let state = &self.states[self.current];
        if let Some(brk) = state.brk {
            return brk;
        }
        let mut end = state.settings.brk_start;
        let is_heap = |area: &Region| {
            let anonymous = matches!(self.history.backings.object(area.attrs.backing()), Object::Anon);
            anonymous && area.attrs.perm() == Perm::READ.union(Perm::WRITE)
        };
        let Some(start) = self.whole_pages(end) else { return end };
        let mut at = start;
        while let Some(area) = state.model.lookup(at).filter(is_heap) {
            let Some(after) = area.last.checked_add(1) else { break };
            end = after;
            at = after;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::finish;

    // start  HHHH
    // brk    HHHHHHHH   then   HHHHHH
    #[test]
    fn the_heap_grows_from_where_the_layout_has_it() {
        let text =
            "set brk_start 0x10000\narea 0x10000-0x12000 rw-p - anon -\nbrk 0 = 0x12000\nbrk 0x14000 = 0x14000\nbrk 0x13000 = 0x13000\n";
        assert_eq!(finish(text), ["00010000-00013000 rw-p"]);
    }

    #[test]
    fn a_refused_break_changes_nothing() {
        let text = "set brk_start 0x10000\nbrk 0 = 0x10000\nbrk 0x11001 = 0x11001\nbrk 0xffffffffff = 0x11001\n";
        assert_eq!(finish(text), ["00010000-00012000 rw-p"]);
    }
}
