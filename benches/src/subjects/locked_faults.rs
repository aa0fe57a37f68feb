//! Faults on a `BTreeMap` under a reader-writer lock, as a program without this library would do it. A fault takes the lock for reading, finds
//! the region, checks the address and the access, and returns the guard as the hold. To grow, it drops the lock, takes it for writing, checks
//! everything again, and downgrades.

use super::vmaple_mm::FLAGS;
use crate::regions::Region;
use crate::subject::{Faults, Held, Serves};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use vmaple::{Access, VmaFlags};

/// The regions, by last address.
type Map = BTreeMap<u64, Vma>;

/// A region, except its last address, which is the map's key.
#[derive(Clone, Copy, Debug)]
pub struct Vma {
    start: u64,
    flags: VmaFlags,
    value: u64,
}

/// A reader-writer lock around the map, whose write hold can become a read hold.
pub trait Lock: Send + Sync + 'static {
    /// The subject's name.
    const NAME: &'static str;

    /// A hold for reading.
    type Read<'l>: Deref<Target = Map>;

    /// A hold for writing.
    type Write<'l>: DerefMut<Target = Map>;

    /// Puts a map under the lock.
    fn around(map: Map) -> Self;

    /// Takes the lock for reading.
    fn read(&self) -> Self::Read<'_>;

    /// Takes the lock for writing.
    fn write(&self) -> Self::Write<'_>;

    /// Downgrades the write hold to a read hold.
    fn downgrade(hold: Self::Write<'_>) -> Self::Read<'_>;
}

impl Lock for parking_lot::RwLock<Map> {
    const NAME: &'static str = super::BASE;
    type Read<'l> = parking_lot::RwLockReadGuard<'l, Map>;
    type Write<'l> = parking_lot::RwLockWriteGuard<'l, Map>;

    fn around(map: Map) -> Self {
        Self::new(map)
    }

    #[inline]
    fn read(&self) -> Self::Read<'_> {
        Self::read(self)
    }

    #[inline]
    fn write(&self) -> Self::Write<'_> {
        Self::write(self)
    }

    #[inline]
    fn downgrade(hold: Self::Write<'_>) -> Self::Read<'_> {
        parking_lot::RwLockWriteGuard::downgrade(hold)
    }
}

impl Lock for std::sync::RwLock<Map> {
    const NAME: &'static str = <super::StdLocked as crate::subject::Index>::NAME;
    type Read<'l> = std::sync::RwLockReadGuard<'l, Map>;
    type Write<'l> = std::sync::RwLockWriteGuard<'l, Map>;

    fn around(map: Map) -> Self {
        Self::new(map)
    }

    #[inline]
    fn read(&self) -> Self::Read<'_> {
        Self::read(self).expect("nobody panicked in it")
    }

    #[inline]
    fn write(&self) -> Self::Write<'_> {
        Self::write(self).expect("nobody panicked in it")
    }

    #[inline]
    fn downgrade(hold: Self::Write<'_>) -> Self::Read<'_> {
        std::sync::RwLockWriteGuard::downgrade(hold)
    }
}

/// The map under a lock.
#[derive(Debug)]
pub struct LockedFaults<L>(L);

/// The result of looking for an address.
enum Look {
    Hit(Region),
    /// The region above can grow. Its last address.
    Growable(u64),
    Miss,
}

#[inline]
fn look(map: &Map, address: u64) -> Look {
    match map.range(address..).next() {
        Some((_, vma)) if !vma.flags.allows(Access::Write) => Look::Miss,
        Some((&last, &Vma { start, value, .. })) if start <= address => Look::Hit(Region { start, last, value }),
        Some((&last, vma)) if vma.flags.contains(VmaFlags::GROWSDOWN) => Look::Growable(last),
        _ => Look::Miss,
    }
}

impl<L: Lock> LockedFaults<L> {
    #[cold]
    fn grow(&self, address: u64) -> Option<Holding<L::Read<'_>>> {
        let mut writer = self.0.write();
        let region = match look(&writer, address) {
            Look::Hit(region) => region,
            Look::Growable(last) => {
                let below = writer.range(..address).next_back().map(|(&last, _)| last);
                if below.is_some_and(|below| below >= address) {
                    return None;
                }
                // The key is the last address, so growth changes no key.
                let vma = writer.get_mut(&last)?;
                vma.start = address;
                Region { start: address, last, value: vma.value }
            }
            Look::Miss => return None,
        };
        Some(Holding { _hold: L::downgrade(writer), region })
    }
}

impl<L: Lock> Faults for LockedFaults<L> {
    const NAME: &'static str = L::NAME;
    type Server<'s> = &'s Self;

    fn of(regions: &[Region]) -> Self {
        let space = Self(L::around(Map::new()));
        for &region in regions {
            space.map(region);
        }
        space
    }

    fn server(&self) -> &Self {
        self
    }

    fn map(&self, region: Region) {
        let before = self.0.write().insert(region.last, Vma { start: region.start, flags: FLAGS, value: region.value });
        assert!(before.is_none(), "the place is free");
    }

    fn unmap(&self, region: Region) {
        let before = self.0.write().remove(&region.last);
        assert!(before.is_some(), "the region was mapped");
    }
}

impl<L: Lock> Serves for &LockedFaults<L> {
    #[inline]
    fn fault(&mut self, address: u64) -> Option<impl Held> {
        let reader = self.0.read();
        match look(&reader, address) {
            Look::Hit(region) => Some(Holding { _hold: reader, region }),
            Look::Growable(_) => {
                drop(reader);
                self.grow(address)
            }
            Look::Miss => None,
        }
    }
}

/// A region, with the lock held for reading.
struct Holding<H> {
    _hold: H,
    region: Region,
}

impl<H> Held for Holding<H> {
    #[inline]
    fn region(&self) -> Region {
        self.region
    }
}
