//! Reads the memory of a stopped thread where an argument of a call points to it. Called by `decode`, `prctl` and `userfault`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::unistd::Pid;

/// Reads whole words from an address. Returns `None` if they cannot all be read.
pub(super) fn words<const N: usize>(tid: Pid, address: u64) -> Option<[u64; N]> {
    let memory = File::open(format!("/proc/{tid}/mem")).ok()?;
    let mut words = [0; N];
    for (place, word) in (0_u64..).zip(&mut words) {
        let mut bytes = [0; 8];
        memory.read_exact_at(&mut bytes, address.checked_add(8 * place)?).ok()?;
        *word = u64::from_le_bytes(bytes);
    }
    Some(words)
}

/// Reads a text of at most `most` bytes that ends with a zero.
pub(super) fn text(tid: Pid, address: u64, most: usize) -> Option<Vec<u8>> {
    let memory = File::open(format!("/proc/{tid}/mem")).ok()?;
    let mut text = Vec::new();
    while text.len() < most {
        let mut byte = [0];
        memory.read_exact_at(&mut byte, address.checked_add(text.len() as u64)?).ok()?;
        match byte {
            [0] => return Some(text),
            [byte] => text.push(byte),
        }
    }
    None
}
