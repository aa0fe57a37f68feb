//! masstree's `MassTree` with inline values. A replace is a remove and an insert: in between a mapped address looks unmapped.
//!
//! Its inline values have 8 bytes. A pointer to a 16-byte aligned record needs 44 of the 64 bits; the region's length, in units of 16
//! bytes, has the other 20. (Boxed values would make its writer pay for a box at each replace.)

use crate::regions::Region;
use crate::subject::{Changes, Edits, Grows, Index, Iterates, Lookups, Tally};
use masstree::{MassTree, RangeBound};
use std::fmt;

/// The bits of a value.
const VALUE_BITS: u32 = 44;

/// The bytes of a unit of length.
const UNIT: u64 = 16;

/// The tree: packed length and value by last address, in big-endian order.
#[derive(Default)]
pub struct Mass(MassTree<u64>);

impl fmt::Debug for Mass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mass").field(&self.0.len()).finish()
    }
}

fn pack(region: Region) -> u64 {
    debug_assert!(region.value >> VALUE_BITS == 0);
    ((region.last - region.start + 1) / UNIT) << VALUE_BITS | region.value
}

#[inline]
fn unpack(key: &[u8], packed: u64) -> Option<Region> {
    let last = u64::from_be_bytes(key.try_into().ok()?);
    Some(Region { start: last + 1 - (packed >> VALUE_BITS) * UNIT, last, value: packed & ((1 << VALUE_BITS) - 1) })
}

impl Mass {
    /// Returns the first region that ends at or after the address.
    #[inline]
    fn find(&self, address: u64) -> Option<Region> {
        let mut found = None;
        let visit = |key: &[u8], packed| {
            found = unpack(key, packed);
            false
        };
        self.0.scan(RangeBound::Included(&address.to_be_bytes()), RangeBound::Unbounded, visit, &self.0.guard());
        found
    }
}

impl Index for Mass {
    const NAME: &'static str = "masstree";
    type Reader<'i> = &'i Self;

    fn of(regions: &[Region]) -> Self {
        let index = Self::default();
        let mut writer = index.writer();
        for &region in regions {
            writer.insert(region);
        }
        index
    }

    fn reader(&self) -> &Self {
        self
    }

    fn settle(&self) {
        self.0.flush(&self.0.guard());
    }
}

impl Lookups for &Mass {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        self.find(address).filter(|region| region.start <= address)
    }
}

impl Edits for Mass {
    type Writer<'i> = &'i Self;

    fn writer(&self) -> &Self {
        self
    }
}

impl Changes for &Mass {
    fn insert(&mut self, region: Region) {
        self.0.insert_with_guard(&region.last.to_be_bytes(), pack(region), &self.0.guard());
    }

    fn replace(&mut self, region: Region) {
        let guard = self.0.guard();
        let key = region.last.to_be_bytes();
        self.0.remove_with_guard(&key, &guard).expect("the region is there");
        self.0.insert_with_guard(&key, pack(region), &guard);
    }
}

impl Grows for &Mass {
    fn grow(&mut self, address: u64, start: u64) {
        // The first region that ends at or above the new start must be this region.
        let old = self.find(start).filter(|region| region.start == address).expect("the region that grows, and no neighbour in the way");
        self.replace(Region { start, ..old });
    }
}

impl Iterates for Mass {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let visit = |key: &[u8], packed| {
            tally.note(unpack(key, packed));
            true
        };
        self.0.scan_intra_leaf_batch(RangeBound::Unbounded, RangeBound::Unbounded, visit, &self.0.guard());
        tally
    }
}
