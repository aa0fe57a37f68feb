//! Memory: what is retired and which thread may drop it, the budget, and the embedder's code that runs when a value is dropped.

mod budget;
mod drops;
// Miri would take minutes for these hundreds of runs with two threads each. They run with AddressSanitizer.
#[cfg(not(miri))]
mod panics;
mod pinned;
mod reclamation;
mod stats;
mod values;

use std::sync::Arc;
use std::thread::{self, ThreadId};
use vmaple::{RangeMap, Value};

const FEW: usize = if cfg!(miri) { 40 } else { 4000 };

/// The unit of budgets. It is smaller under Miri, because a write near the budget tries several times to recycle.
const KIB: usize = if cfg!(miri) { 128 } else { 1024 };

fn private<V: Value>() -> vmaple::map::Builder<V> {
    RangeMap::builder().private_epochs()
}

fn filled(builder: vmaple::map::Builder<u64>, n: u64) -> RangeMap<u64> {
    builder.build_from((0..n).map(|i| (i * 16..i * 16 + 8, i))).expect("sorted")
}

/// A value that notes where it was dropped, and panics when requested.
struct Loud {
    dropped_on: Arc<std::sync::Mutex<Vec<ThreadId>>>,
    drop_panics: bool,
    clone_panics: bool,
}

impl Clone for Loud {
    fn clone(&self) -> Self {
        assert!(!self.clone_panics, "requested to panic in clone");
        Self { dropped_on: Arc::clone(&self.dropped_on), ..*self }
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        self.dropped_on.lock().expect("not poisoned").push(thread::current().id());
        assert!(!self.drop_panics || thread::panicking(), "requested to panic in drop");
    }
}
