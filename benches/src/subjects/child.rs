//! A bench that runs in a process of its own, because what it measures is that process's address space. It is a fork of this one; it
//! receives how many operations a lap has, runs and times the lap by itself, and reports how long it took.

use super::kernel::{in_child, wait_for};
use crate::workload::{Bench, Lap, Pace};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The bench in its process.
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
    /// Starts it.
    ///
    /// # Panics
    /// If there can be no such process.
    pub fn start<B: Bench>(make: impl FnOnce() -> B) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let pid = in_child(|| serve(&theirs, &mut make()));
        Self { pid, line: ours }
    }
}

/// The life of a child: laps, until it is asked for one of no operations.
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

/// Has a child end. It may hold other children's lines, so that the end of a line is nothing it could see.
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
        // If it no longer listens it has ended.
        _ = self.line.write_all(&END);
        wait_for(self.pid);
    }
}
