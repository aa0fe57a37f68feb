//! The limbo: nodes and values that an edit unlinked, and that readers may still use. Called by the writer's files, and by the tree when it
//! ends.
//!
//! The writer owns everything here; a reader frees and drops nothing. There are two batches. `open` gathers what edits retire. `closed`
//! waits for one grace period. When that is over, every reader that was pinned when the batch was closed has left, so the batch is
//! recycled: nodes go to the pool, values to `droppable`. Then `open` is closed in its turn. So there is one grace period per batch, however
//! much is retired. The writer asks the collector whether it is over. With crossbeam-epoch a grace period is one deferred call, which may
//! run on a reader's thread and only drops a ticket. Slots defer no call.
//!
//! Only the writer moves this along, at each write and in `reclaim()`. A write recycles a bounded number of nodes and values, and more only
//! if it retires as many itself, so that a write after a large removal does not pay for all of it.

use super::super::node::NodePtr;
use super::super::stats::Counters;
use super::contained::drop_contained;
use super::pool::{Pool, node_bytes, step_bytes};
use crate::error::ResourceError;
use crate::fallible::{release, reserve, trim};
use crate::sync::{Collector, Reclaim};
use crate::value::Value;
use alloc::vec::Vec;
use core::mem::{self, MaybeUninit};

/// From this many held bytes on, the writer helps the collector more, because a reader that was off its core for long may be back.
const MUCH_BYTES: usize = 1 << 20;

/// How many nodes and values a write recycles at most, in addition to twice as many as were retired since the last poll. So what is retired
/// is recycled faster than more comes, and a hold of the lock does not pay for all of what an earlier one removed.
const AT_ONCE: usize = 64;

/// If much is held, the writer makes a step after this many polls, even if its edits retire nothing meanwhile.
const POLLS: usize = 64;

/// How many steps of the collector the writer makes at once if much is held, or an edit would exceed the budget. They are enough for two
/// grace periods.
const MANY_STEPS: usize = 8;

/// How the bytes that an edit retires count against the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Charge {
    /// The edit adds or replaces. It is refused if they would exceed the budget.
    #[default]
    Checked,
    /// The edit removes. They are counted, but the edit is never refused for them.
    Exempt,
}

/// The nodes and values that were retired between the starts of two grace periods.
#[derive(Debug)]
struct Batch<V> {
    nodes: Vec<NodePtr<V>>,
    values: Vec<MaybeUninit<V>>,
    node_bytes: usize,
    value_bytes: usize,
}

impl<V> Batch<V> {
    const fn new() -> Self {
        Self { nodes: Vec::new(), values: Vec::new(), node_bytes: 0, value_bytes: 0 }
    }

    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.values.is_empty()
    }

    fn bytes(&self) -> usize {
        self.node_bytes.wrapping_add(self.value_bytes)
    }

    /// Frees the memory of the lists of a large batch, once they are empty.
    fn trim(&mut self) {
        trim(&mut self.nodes);
        trim(&mut self.values);
    }
}

/// Values that the caller owns while code runs that may unwind. If it does, `keep` moves them to the limbo.
struct KeptOnUnwind<'l, V: Value, T> {
    held: Option<T>,
    limbo: &'l mut Limbo<V>,
    keep: fn(&mut Limbo<V>, T),
}

impl<V: Value, T> Drop for KeptOnUnwind<'_, V, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            (self.keep)(self.limbo, held);
        }
    }
}

/// What waits for readers, and what waits for the unlock.
#[derive(Debug)]
pub(in crate::tree) struct Limbo<V> {
    open: Batch<V>,
    closed: Batch<V>,
    /// Values that no reader can reach any more, for the writer to drop once it has unlocked.
    droppable: Vec<MaybeUninit<V>>,
    grace: <Collector as Reclaim>::Grace,
    collector: Collector,
    budget_bytes: usize,
    since_step_bytes: usize,
    polls_since_step: usize,
    /// The number of nodes and values that were retired since the last poll.
    since_polled: usize,
}

impl<V: Value> Limbo<V> {
    pub(in crate::tree) const fn new(collector: Collector, budget_bytes: usize) -> Self {
        Self {
            open: Batch::new(),
            closed: Batch::new(),
            droppable: Vec::new(),
            grace: Collector::NO_GRACE,
            collector,
            budget_bytes,
            since_step_bytes: 0,
            polls_since_step: 0,
            since_polled: 0,
        }
    }

    /// Makes room for what an edit will retire, so that retiring cannot fail.
    #[inline]
    pub(in crate::tree) fn reserve(&mut self, nodes: usize, values: usize) -> Result<(), ResourceError> {
        reserve(&mut self.open.nodes, nodes)?;
        reserve(&mut self.open.values, values)
    }

    /// Checks that an edit that adds may retire this much: within the budget, or if no reader is pinned that would hold it back. An edit
    /// that retires nothing needs no budget.
    #[inline]
    pub(in crate::tree) fn admit(&mut self, needed_bytes: usize, pool: &mut Pool<V>, counters: &Counters) -> Result<(), ResourceError> {
        let (budget_bytes, held) = (self.budget_bytes, counters.held_bytes.read());
        let fits = |held: usize| needed_bytes == 0 || held.saturating_add(needed_bytes) <= budget_bytes;
        // What only waits to be recycled does not count.
        if crate::sync::seeded("budget_not_counted") || fits(held) || self.is_grace_over() && fits(held.wrapping_sub(self.closed.bytes())) {
            return Ok(());
        }
        self.step(MANY_STEPS, usize::MAX, pool, counters)?;
        let held_bytes = counters.held_bytes.read();
        // An edit that alone exceeds the budget is admitted if no reader is pinned. That nothing waits does not prove that: a reader may have
        // been pinned since the last edit.
        if fits(held_bytes) || held_bytes == 0 && self.readers_have_left()? {
            return Ok(());
        }
        Err(ResourceError::OverBudget { held_bytes, needed_bytes, budget_bytes })
    }

    /// Whether every reader that was pinned at the time of the call has left. Called when nothing waits.
    fn readers_have_left(&mut self) -> Result<bool, ResourceError> {
        // The grace period of an edit that was refused may still last, because of readers that were pinned then.
        if !self.grace_ends()? {
            return Ok(false);
        }
        let mut probed = self.collector.probe(1)?;
        self.collector.start_grace_period(&mut self.grace, &mut probed)?;
        self.grace_ends()
    }

    /// Returns whether the last grace period is over. What was retired before it started can be reached by no reader then.
    #[inline]
    fn is_grace_over(&mut self) -> bool {
        self.collector.is_over(&mut self.grace)
    }

    /// Helps the collector until the grace period is over, or until only readers can be in its way. Returns whether it is over.
    fn grace_ends(&mut self) -> Result<bool, ResourceError> {
        for _ in 0..Collector::FUTILE_TRIES * MANY_STEPS {
            if self.is_grace_over() {
                return Ok(true);
            }
            let mut probed = self.collector.probe(1)?;
            self.collector.advance(&mut probed);
        }
        Ok(self.is_grace_over())
    }

    /// Takes an unlinked node (T7). The caller has reserved room.
    pub(in crate::tree) fn retire_node(&mut self, node: NodePtr<V>, counters: &Counters) {
        let bytes = node_bytes(node);
        self.open.node_bytes += bytes;
        self.open.nodes.push(node);
        counters.held_bytes.add(bytes);
        counters.retired_nodes.add(1);
        self.since_step_bytes += bytes;
        self.since_polled += 1;
    }

    /// Takes the values that an edit removed, which count for `bytes` together. The caller has reserved room.
    pub(in crate::tree) fn retire_values(&mut self, values: impl Iterator<Item = MaybeUninit<V>>, bytes: usize, counters: &Counters) {
        let before = self.open.values.len();
        for value in values {
            self.open.values.push(value);
        }
        self.open.value_bytes = self.open.value_bytes.wrapping_add(bytes);
        counters.held_bytes.add(bytes);
        counters.held_values.add(self.open.values.len() - before);
        self.since_polled += self.open.values.len() - before;
        self.since_step_bytes = self.since_step_bytes.saturating_add(bytes);
    }

    /// Recycles what no reader can reach any more, as far as that is due.
    pub(in crate::tree) fn poll(&mut self, pool: &mut Pool<V>, counters: &Counters) {
        let held = counters.held_bytes.read();
        // Values of size 0 may wait when there are no bytes.
        if held == 0 && !self.has_values() {
            return;
        }
        self.polls_since_step += 1;
        // With a small budget the writer looks sooner. Nodes can wait until there are many, but a value may be a device or a file, and its
        // owner waits for its drop.
        let is_due = self.since_step_bytes >= step_bytes(counters).min(self.budget_bytes / 16) || V::DROP_TELLS && self.has_values();
        // A batch that is partly recycled is continued.
        if is_due || self.polls_since_step >= POLLS || !self.closed.is_empty() && self.is_grace_over() {
            self.poll_due(is_due, held, pool, counters);
        }
    }

    /// The rest of [`poll`](Self::poll), out of line because most edits end before it.
    #[inline(never)]
    fn poll_due(&mut self, is_due: bool, held: usize, pool: &mut Pool<V>, counters: &Counters) {
        let is_much = held >= MUCH_BYTES.min(self.budget_bytes / 4);
        let is_due = is_due || is_much && self.polls_since_step >= POLLS;
        if !is_much {
            // Otherwise every poll would come here from now on.
            self.polls_since_step = 0;
        }
        let most = match is_due {
            true if is_much => MANY_STEPS,
            true => 1,
            // The batch is continued without a step of the collector.
            false if !self.closed.is_empty() && self.is_grace_over() => 0,
            false => return,
        };
        let room = AT_ONCE.saturating_add(mem::take(&mut self.since_polled).saturating_mul(2));
        _ = self.step(most, room, pool, counters);
    }

    /// Recycles everything that waits, as far as readers permit. Tries again while that makes progress, and as many times more as the
    /// collector may need.
    pub(in crate::tree) fn reclaim(&mut self, pool: &mut Pool<V>, counters: &Counters) {
        let mut futile_tries = 0;
        while futile_tries < Collector::FUTILE_TRIES && !(self.open.is_empty() && self.closed.is_empty()) {
            let held = counters.held_bytes.read();
            // If memory is short, everything goes on waiting.
            if self.step(MANY_STEPS, usize::MAX, pool, counters).is_err() {
                return;
            }
            futile_tries = if counters.held_bytes.read() < held { 0 } else { futile_tries + 1 };
        }
    }

    fn has_values(&self) -> bool {
        !self.open.values.is_empty() || !self.closed.values.is_empty()
    }

    /// Makes at most `most` steps of the collector, and recycles at most `room` nodes and values.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`]. Everything goes on waiting, and the next write tries again.
    pub(in crate::tree) fn step(
        &mut self,
        most: usize,
        mut room: usize,
        pool: &mut Pool<V>,
        counters: &Counters,
    ) -> Result<(), ResourceError> {
        for _ in 0..most {
            // The allocator is probed once for both calls of a turn, because a probe costs as much as either of them.
            let calls = usize::from(!self.is_grace_over()) + usize::from(!self.open.is_empty());
            let mut probed = self.collector.probe(calls)?;
            if !self.is_grace_over() {
                self.collector.advance(&mut probed);
            }
            if self.is_grace_over() {
                self.recycle(&mut room, pool, counters);
                // The next batch is closed when this one is empty.
                if self.open.is_empty() || room == 0 {
                    break;
                }
                // First the start, which may fail: a closed batch without a grace period would be recycled.
                self.collector.start_grace_period(&mut self.grace, &mut probed)?;
                mem::swap(&mut self.open, &mut self.closed);
            }
        }
        if self.is_grace_over() {
            self.recycle(&mut room, pool, counters);
        }
        if most > 0 {
            self.since_step_bytes = 0;
            self.polls_since_step = 0;
        }
        Ok(())
    }

    /// Recycles what is in the closed batch, whose grace period is over, up to `room` nodes and values.
    fn recycle(&mut self, room: &mut usize, pool: &mut Pool<V>, counters: &Counters) {
        let Batch { nodes, values, node_bytes: of_nodes, value_bytes: of_values } = &mut self.closed;
        let turn = nodes.len().min(*room);
        *room -= turn;
        for node in nodes.drain(nodes.len() - turn..) {
            let bytes = node_bytes(node);
            *of_nodes -= bytes;
            counters.held_bytes.sub(bytes);
            counters.recycled_nodes.add(1);
            pool.take_back_retired(node, counters);
        }
        let turn = values.len().min(*room);
        if reserve(&mut self.droppable, turn).is_ok() {
            *room -= turn;
            // From here on the values wait for the unlock, not for readers. The last ones take what is left of the sum.
            let bytes = if turn == values.len() { *of_values } else { *of_values / values.len() * turn };
            *of_values = of_values.wrapping_sub(bytes);
            counters.held_bytes.sub(bytes);
            counters.held_values.sub(turn);
            self.droppable.extend(values.drain(values.len() - turn..));
        }
        // If memory is short the values stay in the batch, which is swapped with the open one, and wait once more.
        self.closed.trim();
    }

    /// Whether there are values to drop after the unlock.
    pub(in crate::tree) fn has_droppable(&self) -> bool {
        !self.droppable.is_empty()
    }

    /// Moves the values to drop after the unlock to `to`, which is usually empty, so that nothing is copied. If memory is short they stay
    /// here until the next call.
    pub(in crate::tree) fn hand_out_droppable(&mut self, to: &mut Vec<MaybeUninit<V>>) {
        if to.is_empty() {
            *to = mem::take(&mut self.droppable);
        } else if reserve(to, self.droppable.len()).is_ok() {
            to.append(&mut self.droppable);
        }
    }

    /// Makes room for values that may have to be dropped without ever having been in the index.
    pub(in crate::tree) fn reserve_droppable(&mut self, values: usize) -> Result<(), ResourceError> {
        reserve(&mut self.droppable, values)
    }

    /// Takes a value that was never in the index, to be dropped after the unlock. It is leaked if no room was reserved and memory is short,
    /// because its drop is the embedder's code and may not run here.
    pub(in crate::tree) fn drop_after_unlock(&mut self, value: MaybeUninit<V>) {
        if reserve(&mut self.droppable, 1).is_ok() {
            self.droppable.push(value);
        }
    }

    /// Runs the embedder's code while the caller owns values. If that code unwinds, `keep` moves them to the limbo.
    #[inline]
    pub(in crate::tree) fn hold_while<T, U>(&mut self, held: T, keep: fn(&mut Self, T), run: impl FnOnce(&mut T) -> U) -> (T, U) {
        let mut kept = KeptOnUnwind { held: Some(held), limbo: self, keep };
        let outcome = kept.held.as_mut().map(run);
        let Some(both) = kept.held.take().zip(outcome) else { unreachable!("they are taken here and in the drop alone") };
        both
    }

    /// Returns the collector that the tree retires through.
    pub(in crate::tree) fn collector(&self) -> Collector {
        self.collector.clone()
    }

    /// Frees the memory of the lists that are empty.
    pub(in crate::tree) fn release(&mut self) {
        for batch in [&mut self.open, &mut self.closed] {
            release(&mut batch.nodes);
            release(&mut batch.values);
        }
        release(&mut self.droppable);
    }

    /// Frees and drops everything at once. Called when the tree ends and no reader is left.
    pub(in crate::tree) fn drop_all(&mut self) {
        for batch in [&mut self.open, &mut self.closed] {
            batch.nodes.drain(..).for_each(Pool::free);
            batch.values.drain(..).for_each(|value| _ = drop_contained(value));
        }
        self.droppable.drain(..).for_each(|value| _ = drop_contained(value));
    }
}
