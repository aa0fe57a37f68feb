//! A lock as an embedder brings one: std's mutex, parked threads, and an interrupt of its own.
//!
//! It is slow and plain, and it behaves as the default lock does where the tests depend on it: a waiting writer keeps new readers out, a
//! writer that leaves lets in all waiting readers, and the last reader lets in the writer that has waited longest.

#![allow(unsafe_code, reason = "an unsafe trait")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use vmaple::lock::{InterruptedError, RawMmLock};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Interrupts the threads that wait under it.
#[derive(Default)]
pub(crate) struct Kill {
    raised: AtomicBool,
    waiting: Mutex<Vec<Thread>>,
}

impl Kill {
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        locked(&self.waiting).iter().for_each(Thread::unpark);
    }

    fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }
}

/// Parks until `is_over`, or the thread is killed. The thread that makes it true unparks this one.
fn park_until(mut is_over: impl FnMut() -> bool, kill: Option<&Kill>) -> Result<(), InterruptedError> {
    let own = thread::current();
    if let Some(kill) = kill {
        locked(&kill.waiting).push(own.clone());
    }
    let result = loop {
        if is_over() {
            break Ok(());
        }
        if kill.is_some_and(Kill::is_raised) {
            break Err(InterruptedError::new());
        }
        thread::park();
    };
    if let Some(kill) = kill {
        locked(&kill.waiting).retain(|thread| thread.id() != own.id());
    }
    result
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
}

struct Waiter {
    mode: Mode,
    thread: Thread,
    granted: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    readers: usize,
    writing: bool,
    waiting: Vec<Waiter>,
}

impl State {
    fn try_enter(&mut self, mode: Mode) -> bool {
        let free = !self.writing && if mode == Mode::Read { !self.writers_wait() } else { self.readers == 0 };
        if free {
            self.enter(mode);
        }
        free
    }

    fn enter(&mut self, mode: Mode) {
        match mode {
            Mode::Read => self.readers += 1,
            Mode::Write => self.writing = true,
        }
    }

    fn writers_wait(&self) -> bool {
        self.waiting.iter().any(|waiter| waiter.mode == Mode::Write)
    }

    fn let_in(&mut self, waiter: &Waiter) {
        self.enter(waiter.mode);
        waiter.granted.store(true, Ordering::SeqCst);
        waiter.thread.unpark();
    }

    fn let_readers_in(&mut self) {
        let (readers, writers): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiter| waiter.mode == Mode::Read);
        self.waiting = writers;
        for reader in &readers {
            self.let_in(reader);
        }
    }

    /// Lets the first waiting writer in, if no thread is inside.
    fn let_a_writer_in(&mut self) {
        if !self.writing && self.readers == 0 {
            let first = self.waiting.iter().position(|waiter| waiter.mode == Mode::Write);
            if let Some(writer) = first.map(|first| self.waiting.remove(first)) {
                self.let_in(&writer);
            }
        }
    }
}

/// The embedder's lock.
#[derive(Default)]
pub(crate) struct Fifo {
    state: Mutex<State>,
    /// Who waits, inside, for readers of a VMA.
    drains: Mutex<Option<Thread>>,
}

impl Fifo {
    fn enter(&self, mode: Mode, kill: Option<&Kill>) -> Result<(), InterruptedError> {
        let granted = Arc::new(AtomicBool::new(false));
        {
            let mut state = locked(&self.state);
            if state.try_enter(mode) {
                return Ok(());
            }
            state.waiting.push(Waiter { mode, thread: thread::current(), granted: Arc::clone(&granted) });
        }
        park_until(|| granted.load(Ordering::SeqCst), kill).or_else(|killed| {
            let mut state = locked(&self.state);
            if granted.load(Ordering::SeqCst) {
                return Ok(());
            }
            state.waiting.retain(|waiter| !Arc::ptr_eq(&waiter.granted, &granted));
            if !state.writing && !state.writers_wait() {
                state.let_readers_in();
            }
            Err(killed)
        })
    }
}

// SAFETY: a state under a mutex, changed whole: a writer enters if no thread is inside, and a reader if no writer is; an upgrade and a
// downgrade are one change. The mutex orders what was done under the holds. What leaves does not panic.
unsafe impl RawMmLock for Fifo {
    type Interrupt = Kill;

    fn read(&self) {
        self.enter(Mode::Read, None).expect("nobody kills it");
    }

    fn try_read(&self) -> bool {
        locked(&self.state).try_enter(Mode::Read)
    }

    fn read_interruptible(&self, kill: &Kill) -> Result<(), InterruptedError> {
        self.enter(Mode::Read, Some(kill))
    }

    fn write(&self) {
        self.enter(Mode::Write, None).expect("nobody kills it");
    }

    fn try_write(&self) -> bool {
        locked(&self.state).try_enter(Mode::Write)
    }

    fn write_interruptible(&self, kill: &Kill) -> Result<(), InterruptedError> {
        self.enter(Mode::Write, Some(kill))
    }

    fn is_raised(kill: &Kill) -> bool {
        kill.is_raised()
    }

    fn wait_until(&self, is_over: impl FnMut() -> bool, kill: Option<&Kill>) -> Result<(), InterruptedError> {
        *locked(&self.drains) = Some(thread::current());
        let result = park_until(is_over, kill);
        *locked(&self.drains) = None;
        result
    }

    fn notify(&self) {
        if let Some(writer) = &*locked(&self.drains) {
            writer.unpark();
        }
    }

    unsafe fn unlock_read(&self) {
        let mut state = locked(&self.state);
        state.readers -= 1;
        state.let_a_writer_in();
    }

    unsafe fn unlock_write(&self) {
        let mut state = locked(&self.state);
        state.writing = false;
        state.let_readers_in();
        state.let_a_writer_in();
    }

    unsafe fn downgrade(&self) {
        let mut state = locked(&self.state);
        (state.writing, state.readers) = (false, 1);
        state.let_readers_in();
    }

    unsafe fn try_upgrade(&self) -> bool {
        let mut state = locked(&self.state);
        let alone = state.readers == 1 && !state.writers_wait();
        if alone {
            (state.writing, state.readers) = (true, 0);
        }
        alone
    }
}
