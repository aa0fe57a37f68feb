//! How the holder of the write hold waits for something other than the lock, until it is notified.
//!
//! Called by `mm_lock`. Only the holder of the write hold waits here, so there is one waiter at most. Any thread may notify, at any time.
//!
//! Why no notification is lost: before each check of its condition the waiter lowers the flag, under the mutex. A notification raises the
//! flag under the same mutex if a thread waits. If the notification comes before the lowering, the check sees everything that came before
//! the notification. If it comes after, the waiter finds the flag up and does not sleep, or it is woken. A notification that was meant for
//! an earlier waiter only makes this one check once more.

use super::interrupt::{Interrupt, POLL_INTERVAL};
use crate::error::InterruptedError;
use crate::sync::{Flag, Key, Mutex, Park, Parking, const_fn, seeded};

#[derive(Debug)]
pub(super) struct Notify {
    /// What the waiter sleeps under, if there is one.
    waiter: Mutex<Option<Key>>,
    notified: Flag,
}

impl Notify {
    const_fn! {
        pub(super) fn new() -> Self {
            Self { waiter: Mutex::new(None), notified: Flag::new() }
        }
    }

    /// Sleeps until `is_over` returns true, or until interrupted. `is_over` is called at the start and after each notification.
    pub(super) fn wait_until(&self, mut is_over: impl FnMut() -> bool, interrupt: Option<&Interrupt>) -> Result<(), InterruptedError> {
        let key = interrupt.map_or_else(|| Key::of(&self.notified), Interrupt::key);
        self.set_waiter(Some(key));
        let lower = || {
            let waiter = self.waiter.lock();
            self.notified.lower();
            drop(waiter);
        };
        let is_late = seeded("notified_lowered_after_check");
        let result = loop {
            if !is_late {
                lower();
            }
            if is_over() {
                break Ok(());
            }
            if is_late {
                lower();
            }
            if interrupt.is_some_and(Interrupt::is_raised) {
                break Err(InterruptedError);
            }
            Parking::sleep(key, [Some(&self.notified), interrupt.map(Interrupt::flag)], interrupt.map(|_| POLL_INTERVAL));
        };
        self.set_waiter(None);
        result
    }

    fn set_waiter(&self, key: Option<Key>) {
        *self.waiter.lock() = key;
    }

    /// Wakes the waiter, if there is one. Under the mutex, so that what the waiter sleeps under still exists.
    pub(super) fn notify(&self) {
        let waiter = self.waiter.lock();
        if let Some(key) = *waiter {
            Parking::wake(key, &self.notified);
        }
        drop(waiter);
    }
}

// loom's and shuttle's atomics exist only inside a model.
#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// A condition that is already true needs no notification and is not interrupted. Afterwards no thread is registered as waiting.
    #[test]
    fn a_wait_that_is_over_is_not_interrupted() {
        let (notify, interrupt) = (Notify::new(), Interrupt::new());
        interrupt.raise();
        assert_eq!(notify.wait_until(|| true, Some(&interrupt)), Ok(()));
        assert_eq!(notify.wait_until(|| false, Some(&interrupt)), Err(InterruptedError));
        assert!(notify.waiter.lock().is_none());
    }

    /// A notification between the check and the sleep makes the waiter check again.
    #[test]
    fn a_notification_between_check_and_sleep_is_not_lost() {
        let (notify, checks) = (Notify::new(), Cell::new(0));
        let is_over = || {
            checks.set(checks.get() + 1);
            notify.notify();
            checks.get() == 3
        };
        assert_eq!(notify.wait_until(is_over, None), Ok(()));
        notify.notify(); // no thread waits
        assert_eq!(checks.get(), 3);
    }
}
