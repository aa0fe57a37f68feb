//! The address space: one file for each operation, and files about all of them.

mod accounts;
mod brk;
mod change_payloads;
mod concurrent_readers;
mod extremes;
mod fork;
mod hook_panics;
mod keys;
mod limits;
mod merge;
mod mmap;
mod mprotect;
mod mremap;
mod munmap;
mod payload_hooks;
mod policies;
mod sequences;
