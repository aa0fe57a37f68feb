//! The mm lock alone, through the map's guards and without them, and the locks that a program could use instead.

#![allow(unsafe_code, reason = "the lock without its guards")]

use std::hint::black_box;
use vmaple::RangeMap;
use vmaple::lock::{MmLock, RawMmLock};

/// A reader-writer lock, taken and released in the ways that a fault needs.
pub trait Lock: Default + Send + Sync + 'static {
    /// The subject's name.
    const NAME: &'static str;

    /// Takes and releases a read hold.
    fn read(&self);

    /// Takes and releases the write hold.
    fn write(&self);

    /// Takes a read hold, upgrades it if the lock can, and releases the write hold.
    fn read_then_write(&self);

    /// Takes the write hold, downgrades it, and releases the read hold.
    fn write_then_read(&self);
}

/// The mm lock of a map, with the map's guards: an editor and the write sequence come with it.
#[derive(Debug, Default)]
pub struct Guarded(RangeMap<u64>);

impl Lock for Guarded {
    const NAME: &'static str = "vmaple-lock";

    #[inline]
    fn read(&self) {
        drop(black_box(self.0.read()));
    }

    #[inline]
    fn write(&self) {
        drop(black_box(self.0.write()));
    }

    #[inline]
    fn read_then_write(&self) {
        drop(black_box(self.0.read().try_upgrade().expect("alone")));
    }

    #[inline]
    fn write_then_read(&self) {
        drop(black_box(self.0.write().downgrade()));
    }
}

/// [`Guarded`] without upgrades: it releases the read lock and takes the write lock.
#[derive(Debug, Default)]
pub struct Retaken(Guarded);

impl Lock for Retaken {
    const NAME: &'static str = "vmaple-retake";

    #[inline]
    fn read(&self) {
        self.0.read();
    }

    #[inline]
    fn write(&self) {
        self.0.write();
    }

    #[inline]
    fn read_then_write(&self) {
        self.0.read();
        self.0.write();
    }

    #[inline]
    fn write_then_read(&self) {
        self.0.write_then_read();
    }
}

/// The mm lock alone: no editor, no sequence.
#[derive(Debug, Default)]
pub struct Raw(MmLock);

impl Raw {
    #[inline]
    fn unlock_read(&self) {
        // SAFETY: called where this thread holds it for reading.
        unsafe { self.0.unlock_read() }
    }

    #[inline]
    fn unlock_write(&self) {
        // SAFETY: called where this thread holds it for writing.
        unsafe { self.0.unlock_write() }
    }
}

impl Lock for Raw {
    const NAME: &'static str = "vmaple-lock-raw";

    #[inline]
    fn read(&self) {
        self.0.read();
        self.unlock_read();
    }

    #[inline]
    fn write(&self) {
        self.0.write();
        self.unlock_write();
    }

    #[inline]
    fn read_then_write(&self) {
        self.0.read();
        // SAFETY: read-held, by this thread.
        let upgraded = unsafe { self.0.try_upgrade() };
        assert!(upgraded, "alone");
        self.unlock_write();
    }

    #[inline]
    fn write_then_read(&self) {
        self.0.write();
        // SAFETY: write-held, by this thread.
        unsafe { self.0.downgrade() };
        self.unlock_read();
    }
}

impl Lock for parking_lot::RwLock<()> {
    const NAME: &'static str = "parking-lot-rwlock";

    #[inline]
    fn read(&self) {
        drop(black_box(Self::read(self)));
    }

    #[inline]
    fn write(&self) {
        drop(black_box(Self::write(self)));
    }

    /// An upgrade needs an upgradable hold, of which there is one at a time.
    #[inline]
    fn read_then_write(&self) {
        drop(black_box(parking_lot::RwLockUpgradableReadGuard::upgrade(self.upgradable_read())));
    }

    #[inline]
    fn write_then_read(&self) {
        drop(black_box(parking_lot::RwLockWriteGuard::downgrade(Self::write(self))));
    }
}

impl Lock for std::sync::RwLock<()> {
    const NAME: &'static str = "std-rwlock";

    #[inline]
    fn read(&self) {
        drop(black_box(Self::read(self)));
    }

    #[inline]
    fn write(&self) {
        drop(black_box(Self::write(self)));
    }

    /// The lock has no upgrade, so it is released and taken again.
    #[inline]
    fn read_then_write(&self) {
        Lock::read(self);
        Lock::write(self);
    }

    #[inline]
    fn write_then_read(&self) {
        drop(black_box(std::sync::RwLockWriteGuard::downgrade(Self::write(self).expect("nobody panicked in it"))));
    }
}
