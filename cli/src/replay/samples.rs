//! The addresses that the readers look up: those of the recorded faults, one per page, or, if a trace has no faults, addresses at the edges and
//! in the middle of every area. Called by `lifetimes`, `checked` and `speed`.

use super::history::{Fault, History};
use super::layout_model::{Bounds, Edit, Region};
use std::ops::Range;

/// The most addresses that are taken from the layout.
const DRAWN: usize = 16_384;
/// The most pages of recorded faults that are looked up.
const PAGES: usize = 262_144;
/// The size of a page here, whatever the trace's is. Fault addresses in one page are one sample.
const PAGE_BITS: u32 = 12;

/// Where the addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From recorded faults.
    Faults,
    /// From the layout.
    Layout,
}

/// The addresses, and the order in which the recording touched them.
#[derive(Debug)]
pub(super) struct Samples {
    /// The space and the address of each sample, sorted.
    addresses: Vec<(u32, u64)>,
    /// The touches in the order of the recording: the sample, and how many edits came before.
    touches: Vec<(u32, u32)>,
    pub(super) origin: Origin,
}

impl Samples {
    /// Takes the samples from the faults, or else from the layout.
    pub(super) fn of(history: &History) -> Self {
        if history.faults.is_empty() { Self::drawn(history) } else { Self::of_faults(&history.faults) }
    }

    fn of_faults(faults: &[Fault]) -> Self {
        let page = |fault: &Fault| (fault.space, fault.address >> PAGE_BITS);
        let mut addresses: Vec<(u32, u64)> = faults.iter().map(|fault| (fault.space, fault.address)).collect();
        addresses.sort_unstable();
        addresses.dedup_by_key(|(space, address)| (*space, *address >> PAGE_BITS));
        // evenly thinned, so that every part of the address space keeps its share
        let stride = addresses.len().div_ceil(PAGES).max(1);
        let addresses: Vec<(u32, u64)> = addresses.into_iter().step_by(stride).collect();
        let sample_of = |fault: &Fault| {
            let at = addresses.partition_point(|(space, address)| (*space, *address >> PAGE_BITS) <= page(fault));
            u32::try_from(at.saturating_sub(1)).unwrap_or(0)
        };
        let touches = faults.iter().map(|fault| (sample_of(fault), fault.after)).collect();
        Self { addresses, touches, origin: Origin::Faults }
    }

    fn drawn(history: &History) -> Self {
        let starts = (0..).zip(&history.spaces);
        let initial = starts.flat_map(|(space, state)| state.start.iter().map(move |area| (space, *area, 0)));
        let edits = (1..).zip(&history.steps).filter_map(|(moment, step)| match step.edit {
            Edit::Insert(area) | Edit::Replace(area) => Some((step.space, area, moment)),
            Edit::Remove(_) | Edit::ExtendDown { .. } | Edit::ExtendUp { .. } => None,
        });
        let mut drawn: Vec<(u32, u64, u32)> = Vec::new();
        for (space, Region { start, last, .. }, moment) in initial.chain(edits) {
            let inside = [start, start + (last - start) / 2, last];
            let outside = [start.checked_sub(1), last.checked_add(1)];
            let all = inside.into_iter().chain(outside.into_iter().flatten());
            drawn.extend(all.map(|address| (space, address, moment)));
        }
        if drawn.is_empty() {
            // nothing is ever mapped, so the readers must find nothing
            drawn.push((0, 0, 0));
        }
        let stride = drawn.len().div_ceil(DRAWN).max(1);
        let drawn: Vec<_> = drawn.into_iter().step_by(stride).collect();
        let mut addresses: Vec<(u32, u64)> = drawn.iter().map(|(space, address, _)| (*space, *address)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let sample_of = |space: u32, address: u64| {
            let at = addresses.partition_point(|known| *known < (space, address));
            u32::try_from(at).unwrap_or(0)
        };
        let touches = drawn.iter().map(|(space, address, moment)| (sample_of(*space, *address), *moment)).collect();
        Self { addresses, touches, origin: Origin::Layout }
    }

    /// Returns the number of samples, which is at least 1.
    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Returns the space and the address of each sample.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.addresses.iter().copied()
    }

    /// Returns the space and the address of a sample.
    pub(super) fn address(&self, sample: usize) -> (u32, u64) {
        self.addresses[sample]
    }

    /// Returns the samples of one space in a range.
    pub(super) fn within(&self, space: u32, extent: Bounds) -> Range<usize> {
        let from = self.addresses.partition_point(|known| *known < (space, extent.start));
        let to = self.addresses.partition_point(|known| *known <= (space, extent.last));
        from..to
    }

    /// Returns the samples in the order in which the recording touched them. There is at least one.
    pub(super) fn touches(&self) -> &[(u32, u32)] {
        &self.touches
    }

    /// Returns the index of the first touch after `edits` edits.
    pub(super) fn touch_after(&self, edits: u32) -> usize {
        self.touches.partition_point(|(_, after)| *after < edits)
    }
}
