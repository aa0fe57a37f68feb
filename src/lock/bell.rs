//! Where the one who holds the lock for writing waits for something else: until who may have ended it rings.
//!
//! `mm_lock` comes in. The listener is the holder, so there is one at most; any thread may ring, at any time.
//!
//! Why no ring is lost: before each look the listener lowers the flag, under the mutex; a ring raises it under the mutex, if someone
//! listens. So a ring comes before the lowering, and the look sees all that came before the ring; or after it, and the flag is up, or the
//! sleeper woken. What came of an earlier listener's time only makes this one look once more.

use super::interrupt::{Interrupt, LOOK};
use crate::error::Interrupted;
use crate::sync::{Flag, Key, Mutex, Park, Parking};

#[derive(Debug)]
pub(super) struct Bell {
    /// What the listener sleeps under.
    listens: Mutex<Option<Key>>,
    rung: Flag,
}

impl Bell {
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    pub(super) const fn new() -> Self {
        Self { listens: Mutex::new(None), rung: Flag::new() }
    }

    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    pub(super) fn new() -> Self {
        Self { listens: Mutex::new(None), rung: Flag::new() }
    }

    /// Sleeps until it is over, unless interrupted.
    pub(super) fn listen(&self, mut is_over: impl FnMut() -> bool, interrupt: Option<&Interrupt>) -> Result<(), Interrupted> {
        let key = interrupt.map_or_else(|| Key::of(&self.rung), Interrupt::key);
        self.set(Some(key));
        let told = loop {
            let listens = self.listens.lock();
            self.rung.lower();
            drop(listens);
            if is_over() {
                break Ok(());
            }
            if interrupt.is_some_and(Interrupt::is_raised) {
                break Err(Interrupted);
            }
            Parking::sleep(key, [Some(&self.rung), interrupt.map(Interrupt::flag)], interrupt.map(|_| LOOK));
        };
        self.set(None);
        told
    }

    fn set(&self, listens: Option<Key>) {
        *self.listens.lock() = listens;
    }

    /// Wakes the listener, if one is there still: under the mutex, so that what it sleeps under is there.
    pub(super) fn ring(&self) {
        let listens = self.listens.lock();
        if let Some(key) = *listens {
            Parking::wake(key, &self.rung);
        }
        drop(listens);
    }
}

// The atomics of the checkers live in models alone.
#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// What is over needs no bell, and an interrupt ends waits alone; nobody listens afterwards.
    #[test]
    fn what_is_over_is_not_interrupted() {
        let (bell, interrupt) = (Bell::new(), Interrupt::new());
        interrupt.raise();
        assert_eq!(bell.listen(|| true, Some(&interrupt)), Ok(()));
        assert_eq!(bell.listen(|| false, Some(&interrupt)), Err(Interrupted));
        assert!(bell.listens.lock().is_none());
    }

    /// It rings between the look and the sleep: the listener looks again.
    #[test]
    fn a_ring_between_look_and_sleep_is_heard() {
        let (bell, looks) = (Bell::new(), Cell::new(0));
        let over = || {
            looks.set(looks.get() + 1);
            bell.ring();
            looks.get() == 3
        };
        assert_eq!(bell.listen(over, None), Ok(()));
        bell.ring(); // nobody listens
        assert_eq!(looks.get(), 3);
    }
}
