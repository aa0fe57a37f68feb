//! Lower bound: the bare pin of crossbeam-epoch, than which a pin for each lookup cannot be faster. It finds nothing.

use crate::regions::Region;
use crate::subject::{Index, Lookups};
use crossbeam_epoch::{Collector, LocalHandle};

/// A collector without garbage.
#[derive(Debug)]
pub struct FloorPin(Collector);

/// A thread that pins.
#[derive(Debug)]
pub struct Pinning(LocalHandle);

impl Index for FloorPin {
    const NAME: &'static str = "floor-pin";
    type Reader<'i> = Pinning;

    fn of(_: &[Region]) -> Self {
        Self(Collector::new())
    }

    fn reader(&self) -> Pinning {
        Pinning(self.0.register())
    }
}

impl Lookups for Pinning {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        let _pin = self.0.pin();
        Some(Region { start: address, last: address, value: 0 })
    }
}
