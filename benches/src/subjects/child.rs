//! A bench that runs in a child process, because it measures that process's address space. The child is a fork of this process. It receives
//! the number of operations of a lap, runs and times the lap, and returns its time.

use super::kernel::{in_child, wait_for};
use crate::workload::{Bench, Lap, Pace};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A bench in a child process.
pub struct Child {
    pid: i32,
    line: UnixStream,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Child {
    /// Starts the child.
    ///
    /// # Panics
    /// If the process cannot be created.
    pub fn start<B: Bench>(make: impl FnOnce() -> B) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let pid = in_child(|| serve(&theirs, &mut make()));
        Self { pid, line: ours }
    }
}

/// Runs laps in the child, until a lap of no operations is requested.
fn serve(mut line: &UnixStream, bench: &mut impl Bench) {
    let mut asked = [0; 8];
    while line.read_exact(&mut asked).is_ok() && asked != END {
        let Pace { ops, elapsed } = bench.lap(u64::from_ne_bytes(asked)).pace;
        let took = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        if line.write_all([ops.to_ne_bytes(), took.to_ne_bytes()].as_flattened()).is_err() {
            break;
        }
    }
}

/// Ends the child by a request. Closing its socket is not enough, because other children may hold a copy of it.
const END: [u8; 8] = [0; 8];

impl Bench for Child {
    fn lap(&mut self, ops: u64) -> Lap {
        let mut words = [[0; 8]; 2];
        self.line.write_all(&ops.max(1).to_ne_bytes()).expect("the child listens");
        self.line.read_exact(words.as_flattened_mut()).expect("the child runs its lap");
        let [ops, took] = words.map(u64::from_ne_bytes);
        Pace { ops, elapsed: Duration::from_nanos(took) }.into()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // If it does not receive this, it has ended.
        _ = self.line.write_all(&END);
        wait_for(self.pid);
    }
}
