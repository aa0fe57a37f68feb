//! The position of an address in the picture of the map. An address space is almost empty, and its areas differ in size by factors of
//! millions. So the axis is cut at every boundary that any area ever had, each piece gets a height that grows slowly with its size, and
//! what was never mapped is squeezed. Called by `scene`.
//!
//! Adjacent pieces form a band (the program, its heap, the libraries, the stack). The height of a band grows more slowly than its content,
//! so that a thousand small mappings do not squeeze out the rest.

use super::super::figures::{float, float_len};
use super::super::lifetimes::Lifetime;

/// A never mapped gap larger than this separates two bands.
const BAND_GAP: u64 = 96 << 20;
/// Heights grow with this power of the number of pages.
const POWER: f64 = 0.35;
/// The shares of bands grow with this power of what is in them.
const BAND_POWER: f64 = 0.65;
/// What was never mapped, inside a band, gets this part of the height that it would have if it were mapped.
const SQUEEZE: f64 = 0.12;
/// The least share of the height that a band gets, and the share of each space between two bands.
const LEAST_BAND: f64 = 0.05;
const SPACE: f64 = 0.025;
const PAGE_BITS: u32 = 12;

/// The pieces of the axis, from below.
#[derive(Debug)]
pub(super) struct Axis {
    /// The first address of each piece and where it stands, 0 below and 1 above.
    marks: Vec<(u64, f64)>,
    pub(super) bands: Vec<Band>,
}

/// A part of the address space that is drawn without a break.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Band {
    pub(super) start: u64,
    pub(super) last: u64,
    /// Where it stands.
    pub(super) from: f64,
    pub(super) to: f64,
}

/// A stretch between two boundaries.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u64,
    last: u64,
    mapped: bool,
}

impl Piece {
    fn weight(&self) -> f64 {
        let pages = ((self.last - self.start) >> PAGE_BITS) + 1;
        let weight = float(pages).powf(POWER);
        if self.mapped { weight } else { weight * SQUEEZE }
    }
}

impl Axis {
    /// Divides the height among everything that was ever mapped.
    pub(super) fn of<'l>(lifetimes: impl Iterator<Item = &'l Lifetime>) -> Self {
        let bands = split(pieces(lifetimes.map(|lifetime| (lifetime.area.start, lifetime.area.last)).collect()));
        let weights: Vec<f64> = bands.iter().map(|band| band.iter().map(Piece::weight).sum::<f64>().powf(BAND_POWER)).collect();
        let shares = shares(&weights);
        let (mut axis, mut at) = (Self { marks: Vec::new(), bands: Vec::new() }, 0.0);
        for (band, share) in bands.iter().zip(shares) {
            let total: f64 = band.iter().map(Piece::weight).sum();
            let from = at;
            for piece in band {
                axis.marks.push((piece.start, at));
                at += share * piece.weight() / total;
            }
            if let (Some(first), Some(last)) = (band.first(), band.last()) {
                axis.bands.push(Band { start: first.start, last: last.last, from, to: at });
                // the end of a band is a mark of its own: what follows is the space to the next one
                axis.marks.push((last.last.saturating_add(1), at));
            }
            at += SPACE;
        }
        axis
    }

    /// Where an address stands; between two marks, in proportion.
    pub(super) fn place(&self, address: u64) -> f64 {
        let after = self.marks.partition_point(|(start, _)| *start <= address);
        match (after.checked_sub(1).map(|before| self.marks[before]), self.marks.get(after)) {
            (Some((below, from)), Some((above, to))) => {
                let part = float(address - below) / float(above - below);
                from + (to - from) * part
            }
            (Some((_, from)), None) => from,
            (None, _) => 0.0,
        }
    }
}

/// Cuts the address space at every boundary, and says of each piece whether it was ever mapped.
fn pieces(mut extents: Vec<(u64, u64)>) -> Vec<Piece> {
    let mut cuts: Vec<u64> = extents.iter().flat_map(|(start, last)| [*start, last.saturating_add(1)]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    extents.sort_unstable();
    let (mut pieces, mut next, mut reach) = (Vec::new(), 0, None::<u64>);
    for pair in cuts.windows(2) {
        let (start, last) = (pair[0], pair[1] - 1);
        while let Some((_, end)) = extents.get(next).filter(|(from, _)| *from <= start) {
            reach = reach.max(Some(*end));
            next += 1;
        }
        pieces.push(Piece { start, last, mapped: reach.is_some_and(|reach| reach >= last) });
    }
    pieces
}

/// Divides the pieces into bands at the large gaps; the gaps themselves are dropped.
fn split(pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let mut bands = vec![Vec::new()];
    for piece in pieces {
        if !piece.mapped && piece.last - piece.start >= BAND_GAP {
            bands.push(Vec::new());
        } else if let Some(band) = bands.last_mut() {
            band.push(piece);
        }
    }
    bands.retain(|band| !band.is_empty());
    bands
}

/// Divides what the spaces leave of the height by weight, but gives every band the least share.
fn shares(weights: &[f64]) -> Vec<f64> {
    let count = float_len(weights.len());
    let total: f64 = weights.iter().sum();
    let height = (1.0 - SPACE * (count - 1.0)).max(0.1);
    let least = LEAST_BAND.min(height / count / 2.0);
    weights.iter().map(|weight| least + (height - least * count) * weight / total).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::layout_model::Region;
    use super::super::super::packed::PackedAttrs;
    use super::*;

    fn lifetime(start: u64, end: u64) -> Lifetime {
        Lifetime { space: 0, area: Region { start, last: end - 1, attrs: PackedAttrs(0) }, from: 0, to: 1 }
    }

    #[test]
    fn places_rise_with_addresses_and_stay_inside() {
        let lifetimes = [lifetime(0x1000, 0x3000), lifetime(0x2000, 0x9000), lifetime(0xa000, 0xb000), lifetime(1 << 40, 1 << 41)];
        let axis = Axis::of(lifetimes.iter());
        assert_eq!(axis.bands.len(), 2);
        let addresses = [0x1000, 0x2000, 0x2fff, 0x9000, 0xa000, 0xafff, 0xb000, 1 << 40, (1 << 41) - 1];
        let places: Vec<f64> = addresses.iter().map(|address| axis.place(*address)).collect();
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
        assert!(places.iter().all(|place| (0.0..=1.0).contains(place)), "{places:?}");
        assert!((axis.bands[1].to - 1.0).abs() < 1e-9);
        let height = |band: &Band| band.to - band.from;
        assert!(axis.bands.iter().all(|band| height(band) >= LEAST_BAND));
    }

    #[test]
    fn the_last_byte_of_all_has_a_place() {
        let lifetimes = [
            lifetime(0x1000, 0x2000),
            Lifetime { area: Region { start: u64::MAX - 9, last: u64::MAX, attrs: PackedAttrs(0) }, ..lifetime(1, 2) },
        ];
        let axis = Axis::of(lifetimes.iter());
        assert!(axis.place(u64::MAX) <= 1.0);
    }

    #[test]
    fn nothing_mapped_is_an_empty_axis() {
        assert_eq!(Axis::of([].iter()).bands, []);
    }
}
