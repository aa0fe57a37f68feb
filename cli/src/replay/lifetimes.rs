//! When each area existed, and when each sampled address was mapped, so that answers given beside a writer can be checked. Called by `checked`
//! and `speed`. It applies the edits to a plain model once more.
//!
//! Moments are counted in edits: moment 0 is the starting layout, moment n the layout after the n-th edit. After the history come the edits
//! that lead back to the start, so that the last moment of a round is moment 0 of the next. If `done` was the last
//! finished edit before a lookup, and `begun` the last begun edit after it, the answer must have been true at a moment in `done..=begun`.

use super::history::{History, Step};
use super::layout_model::{Bounds, Edit, LayoutModel, Region};
use super::samples::Samples;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// One area, and the moments at which it was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) space: u32,
    pub(super) area: Region,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// When one sampled address was mapped during a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Mapped at every moment.
    Always,
    /// Mapped at none.
    Never,
    /// Mapped at some.
    Sometimes,
}

/// All lifetimes in one round of a history.
#[derive(Debug)]
pub(super) struct Lifetimes {
    /// By space, start and first moment.
    areas: Vec<Lifetime>,
    /// For each sample: whether it is mapped at moment 0, and where its moments of change begin in `flips`.
    samples: Vec<(bool, usize)>,
    flips: Vec<u32>,
    /// The last moment, which is the number of edits of a round.
    length: u32,
    /// The edits from the end of the history back to its start.
    pub(super) restore: Vec<Step>,
}

/// The moments at which a lookup can have been answered, as moments of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moments {
    /// From the first to the last.
    Between(u32, u32),
    /// From the first to the end of the round, and in the next round up to the last.
    Around(u32, u32),
    /// A whole round passed.
    Any,
}

/// Why an answer cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The area does not contain the address.
    Elsewhere,
    /// No such area was there at any of the moments.
    NeverThere,
    /// The address was mapped at all of the moments.
    Missed,
}

impl Lifetimes {
    /// Runs the plain model over the history and back.
    pub(super) fn of(history: &History, samples: &Samples) -> Self {
        let mut log = Log::new(history, samples);
        for (moment, step) in (1..).zip(&history.steps) {
            log.apply(moment, step);
        }
        let mut restore = Vec::new();
        let last_operation = u32::try_from(history.operation_lines.len()).unwrap_or(u32::MAX);
        for (space, (model, start)) in (0..).zip(log.models.iter().zip(&history.spaces)) {
            let edits = way_back(model, &start.start);
            restore.extend(edits.into_iter().map(|edit| Step { space, operation: last_operation, edit }));
        }
        let first = u32::try_from(history.steps.len() + 1).unwrap_or(u32::MAX);
        for (moment, step) in (first..).zip(&restore) {
            log.apply(moment, step);
        }
        log.finish(restore)
    }

    /// Returns the areas with their moments, by space and start.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lifetime> {
        self.areas.iter()
    }

    /// Returns the number of edits of a round.
    fn round(&self) -> u64 {
        u64::from(self.length)
    }

    /// Returns the moment of a round that `edits` edits, counted over all rounds, lead to.
    pub(super) fn moment(&self, edits: u64) -> u32 {
        match edits.checked_sub(1) {
            // the remainder is below the length, which is a `u32`
            Some(before) if self.length > 0 => u32::try_from(before % self.round()).unwrap_or(0) + 1,
            _ => 0,
        }
    }

    /// Returns the moments of a lookup: `done` edits were made before it, `begun` were begun when it had its answer.
    pub(super) fn moments(&self, done: u64, begun: u64) -> Moments {
        let (first, last) = (self.moment(done), self.moment(begun));
        match () {
            () if begun.saturating_sub(done) >= self.round().max(1) => Moments::Any,
            () if first <= last => Moments::Between(first, last),
            () => Moments::Around(first, last),
        }
    }

    /// Checks that an answer for a sample was true at one of the moments.
    pub(super) fn explain(&self, space: u32, sample: usize, address: u64, answer: Option<Region>, moments: Moments) -> Result<(), Wrong> {
        let among = |range: RangeInclusive<u32>| self.explain_among(space, sample, address, answer, &range);
        match moments {
            Moments::Between(first, last) => among(first..=last),
            Moments::Around(first, last) => among(first..=self.length).or_else(|_| among(0..=last)),
            Moments::Any => among(0..=self.length),
        }
    }

    fn explain_among(
        &self,
        space: u32,
        sample: usize,
        address: u64,
        answer: Option<Region>,
        moments: &RangeInclusive<u32>,
    ) -> Result<(), Wrong> {
        match answer {
            None if self.mapped_throughout(sample, moments) => Err(Wrong::Missed),
            None => Ok(()),
            Some(area) if !(area.start..=area.last).contains(&address) => Err(Wrong::Elsewhere),
            Some(area) if self.was_there(space, area, moments) => Ok(()),
            Some(_) => Err(Wrong::NeverThere),
        }
    }

    /// Returns when a sample was mapped.
    pub(super) fn fate(&self, sample: usize) -> Fate {
        let (mapped, flips) = self.flips_of(sample);
        match (mapped, flips.is_empty()) {
            (true, true) => Fate::Always,
            (false, true) => Fate::Never,
            _ => Fate::Sometimes,
        }
    }

    fn was_there(&self, space: u32, area: Region, moments: &RangeInclusive<u32>) -> bool {
        let key = |lifetime: &Lifetime| (lifetime.space, lifetime.area.start, lifetime.from);
        let after = self.areas.partition_point(|lifetime| key(lifetime) <= (space, area.start, *moments.end()));
        // the lifetimes of areas that begin at one address follow one another
        let candidates = self.areas[..after].iter().rev();
        candidates
            .take_while(|lifetime| lifetime.space == space && lifetime.area.start == area.start && lifetime.to >= *moments.start())
            .any(|lifetime| lifetime.area == area)
    }

    fn mapped_throughout(&self, sample: usize, moments: &RangeInclusive<u32>) -> bool {
        let (mapped, flips) = self.flips_of(sample);
        let before = flips.partition_point(|moment| moment <= moments.start());
        let mapped_first = mapped ^ (before % 2 == 1);
        mapped_first && flips.get(before).is_none_or(|moment| moment > moments.end())
    }

    fn flips_of(&self, sample: usize) -> (bool, &[u32]) {
        let (mapped, from) = self.samples[sample];
        let to = self.samples.get(sample + 1).map_or(self.flips.len(), |(_, next)| *next);
        (mapped, &self.flips[from..to])
    }
}

/// Returns the edits that turn one layout into another. An address that both map stays mapped throughout.
fn way_back(now: &LayoutModel, start: &[Region]) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for area in start {
        if now.lookup(area.start) != Some(*area) {
            edits.push(Edit::Replace(*area));
        }
    }
    let mut from = Some(0);
    let ends = start.iter().map(|area| Some(*area)).chain([None]);
    for area in ends {
        let last = area.map_or(Some(u64::MAX), |area| area.start.checked_sub(1));
        if let Some((start, last)) = from.zip(last).filter(|(start, last)| start <= last) {
            let hole = Bounds { start, last };
            if now.intersecting(hole).next().is_some() {
                edits.push(Edit::Remove(hole));
            }
        }
        from = area.and_then(|area| area.last.checked_add(1));
    }
    edits
}

/// The state while the edits are applied.
struct Log<'h> {
    samples: &'h Samples,
    models: Vec<LayoutModel>,
    lifetimes: Vec<Lifetime>,
    /// The lifetimes that have not ended, by space and start.
    open: HashMap<(u32, u64), usize>,
    initially: Vec<bool>,
    /// The sample and the moment of each change.
    flips: Vec<(usize, u32)>,
    now: u32,
}

impl<'h> Log<'h> {
    fn new(history: &History, samples: &'h Samples) -> Self {
        let mut models = Vec::new();
        let (mut lifetimes, mut open) = (Vec::new(), HashMap::new());
        for (space, state) in (0..).zip(&history.spaces) {
            let mut model = LayoutModel::default();
            for area in &state.start {
                model.apply(&Edit::Insert(*area));
                open.insert((space, area.start), lifetimes.len());
                lifetimes.push(Lifetime { space, area: *area, from: 0, to: u32::MAX });
            }
            models.push(model);
        }
        let mapped = |(space, address): (u32, u64)| models[space as usize].lookup(address).is_some();
        let initially = samples.iter().map(mapped).collect();
        Self { samples, models, lifetimes, open, initially, flips: Vec::new(), now: 0 }
    }

    fn apply(&mut self, moment: u32, step: &Step) {
        let change = self.models[step.space as usize].apply(&step.edit);
        for area in change.died {
            if let Some(lifetime) = self.open.remove(&(step.space, area.start)) {
                self.lifetimes[lifetime].to = moment - 1;
            }
        }
        for area in change.born {
            self.open.insert((step.space, area.start), self.lifetimes.len());
            self.lifetimes.push(Lifetime { space: step.space, area, from: moment, to: u32::MAX });
        }
        for extent in change.mapped.iter().chain(&change.unmapped) {
            let samples = self.samples.within(step.space, *extent);
            self.flips.extend(samples.map(|sample| (sample, moment)));
        }
        self.now = moment;
    }

    fn finish(mut self, restore: Vec<Step>) -> Lifetimes {
        for lifetime in self.open.values() {
            self.lifetimes[*lifetime].to = self.now;
        }
        self.lifetimes.sort_unstable_by_key(|lifetime| (lifetime.space, lifetime.area.start, lifetime.from));
        self.flips.sort_unstable();
        let mut samples = Vec::new();
        let mut from = 0;
        for (sample, mapped) in self.initially.iter().enumerate() {
            samples.push((*mapped, from));
            from += self.flips[from..].partition_point(|(of, _)| *of == sample);
        }
        let flips = self.flips.into_iter().map(|(_, moment)| moment).collect();
        Lifetimes { areas: self.lifetimes, samples, flips, length: self.now, restore }
    }
}

#[cfg(test)]
mod tests;
