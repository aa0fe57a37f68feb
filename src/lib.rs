//! An index of virtual memory areas with lock-free lookups, and the address space on top of it.
//!
//! * [`RangeMap`] maps disjoint ranges of 64-bit addresses to values. Lookups take no lock and write nothing that other readers
//!   read. One writer at a time changes the map, and readers see each change whole or not at all.
//! * [`Mm`] is an address space: mappings, stacks and page faults under Linux's rules.
//!
//! The index is an RCU-style B+-tree, like Linux's maple tree, under epoch reclamation.
//!
//! **For** virtual machine monitors (guest memory, device buses), allocators and garbage collectors (which heap segment owns this pointer?),
//! JITs (program counter to code object), user-space pagers, emulators and tracers, and without the feature `std`
//! kernels. **Not for** signal handlers, because a pin may do work of the collector; for ranges that overlap; or for writers that must run
//! in parallel.
//!
//! # Example
//! ```
//! use vmaple::RangeMap;
//!
//! // A bus: address ranges to device numbers.
//! let bus: RangeMap<u64> = RangeMap::new();
//! bus.write().insert(0xfee0_0000..0xfee0_1000, 1)?;
//!
//! std::thread::scope(|threads| {
//!     threads.spawn(|| {
//!         let mut vcpu = bus.reader(); // takes no lock
//!         while vcpu.lookup(0x1010).is_none() {
//!             assert_eq!(vcpu.lookup(0xfee0_0020).map(|device| *device.value()), Some(1));
//!         }
//!     });
//!     bus.write().insert(0x1000..=0x1fff, 2).unwrap();
//! });
//! # Ok::<(), vmaple::map::InsertError<u64>>(())
//! ```
//!
//! # Modules
//! | module | contents |
//! |---|---|
//! | [`map`] | the map: builder, guards, readers, entries, gap queries, errors |
//! | [`mm`] | the address space: guards, VMAs, operations, limits, errors |
//! | [`mm::fault`] | page faults |
//! | [`lock`] | the reader-writer lock under both, interrupts, and the trait for a custom lock |
#![cfg_attr(doc, doc = "| [`docs`] | the rules of the address space by number, the locks, memory, and the reasons for the design |")]
//!
//! # Ways to look up
//! | a caller that needs | uses | and holds |
//! |---|---|---|
//! | one answer | [`RangeMap::pin`] | a pin: no lock; what was read stays readable |
//! | many answers | [`map::Reader`] | the same, several times cheaper |
//! | several answers about one state | [`RangeMap::read`] | the lock for reading |
//! | to change the map | [`RangeMap::write`] | the lock for writing |
//!
//! And of an address space:
//!
//! | a caller that needs to | uses | and holds |
//! |---|---|---|
//! | handle a page fault | [`Mm::handle_fault`] or an [`mm::MmReader`] | the VMA's own lock, or the mm lock for reading |
//! | lock a VMA | [`Mm::lock_vma`] | the VMA's own lock |
//! | find a VMA, or grow a stack to the address | [`Mm::find_vma_for_fault`] | the mm lock for reading |
//! | map, unmap, protect, move | [`Mm::write`] | the mm lock for writing |
//!
//! # Guarantees
//! * **Linearizable.** Each lookup returns what was true at one moment during the call. Each change is published by one store.
//! * **Wait-free lookups.** [`lookup`](map::View::lookup) and [`find`](map::View::find) take as many steps as the tree is high, and never
//!   retry. Iteration and [`prev`](map::View::prev) are lock-free.
//! * **Whole or not at all.** An operation of a map that fails changes nothing and hands back the values that it was given. A panic in the
//!   caller's code (`Clone`, `Drop`, an iterator) leaves the map valid and poisons nothing.
//! * **Bounded memory.** What pinned readers hold back stays within a [budget](map::Builder::budget_bytes), removals excepted.
//! * **Memory shortage is an error**, not an abort, in every operation that changes a map or an address space.
//!   With the feature `std`, [`register_thread`](RangeMap::register_thread) does in advance what cannot be refused.
//! * **Errors** all have an errno ([`ErrorCode`]). If something was in the way of a change, the error says what was asked and what that was.
//!
//! # Features
//! * `std` (default): epochs by crossbeam-epoch, and vector instructions where the processor has them. Without it the crate needs `alloc`
//!   alone, for example on `x86_64-unknown-none`. Then readers announce themselves in slots of the library's own, and
//!   * a panic in the caller's code that the map calls (`Clone`, `Drop`, a hook) may abort, because nothing can catch it;
//!   * no thread is known, so a thread that holds a pin and waits for pins, in [`synchronize`](RangeMap::synchronize) or for the budget, waits
//!     forever instead of getting an error, and debug builds do not notice a thread that waits for its own lock.
//! * `parking` (default, needs `std`): a thread that waits for a lock sleeps. Without the feature it spins with growing pauses, and then yields between
//!   tries, with the same guarantees, order of waiting and interrupts. That suits short holds and threads of one priority, because a yield
//!   does not give way to threads of lower priority.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![cfg_attr(doctest, doc = include_str!("../docs/examples.md"))]
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![cfg_attr(
    any(vmaple_loom, vmaple_shuttle),
    allow(clippy::result_large_err, clippy::large_enum_variant, reason = "the checkers' mutexes are large, and guards have one")
)]
#![cfg_attr(not(test), warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core))]

extern crate alloc;

mod addr;
#[cfg(doc)]
pub mod docs;
mod error;
mod fallible;
mod key;
pub mod lock;
pub mod map;
pub mod mm;
mod sync;
mod tree;
mod unwind;
mod value;
mod vma;

pub use addr::{Access, PAGE_SIZE, Span};
pub use error::{ErrorCode, RangeError, SegvCode, Signal};
pub use lock::Interrupt;
pub use map::RangeMap;
pub use mm::Mm;
pub use mm::fault::FaultContext;
pub use value::{Inline, Value};
pub use vma::{VmaFlags, VmaSpec};
