//! The address space: one file per operation, then what concerns them all.

mod accounts;
mod change_payloads;
mod concurrent_readers;
mod extremes;
mod historic;
mod hook_panics;
mod keys;
mod limits;
mod mmap;
mod payload_hooks;
mod policies;
mod sequences;
