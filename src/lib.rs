//! A lock-free index of virtual memory areas.
//!
//! [`RangeMap`] maps disjoint ranges of 64-bit addresses to values. Lookups take no lock and write no shared memory, so a page-fault
//! handler, an exit dispatcher or a collector asks it while another thread maps and unmaps. Changes go through one writer at a time and
//! are seen whole or not at all: an RCU B+-tree (as Linux's maple tree is one) under epoch reclamation.
//!
//! ```
//! use vmaple::RangeMap;
//!
//! // A bus: address ranges to device numbers.
//! let bus: RangeMap<u64> = RangeMap::new();
//! bus.write().insert(0xfee0_0000..0xfee0_1000, 1)?;
//!
//! std::thread::scope(|threads| {
//!     threads.spawn(|| {
//!         let mut vcpu = bus.reader(); // lockless
//!         while vcpu.lookup(0x1010).is_none() {
//!             assert_eq!(vcpu.lookup(0xfee0_0020).map(|device| *device.value()), Some(1));
//!         }
//!     });
//!     bus.write().insert(0x1000..=0x1fff, 2).unwrap();
//! });
//! # Ok::<(), vmaple::map::InsertError<u64>>(())
//! ```
//!
//! | to ask | through | what it promises |
//! |---|---|---|
//! | once | [`RangeMap::pin`] | no lock; what was read stays readable |
//! | again and again | [`map::Reader`] | the same, several times cheaper |
//! | a state that stands still | [`RangeMap::read`] | the layout is locked |
//! | and to change it | [`RangeMap::write`] | one writer |
//!
//! [`Mm`] is an address space on top of it, with Linux's rules for page faults:
//!
//! | to | through | what is held |
//! |---|---|---|
//! | handle a fault | [`Mm::handle_fault`], or a kept [`mm::MmReader`] | the VMA's own lock, or the mm lock for reading |
//! | find a VMA and lock it, without the mm lock | [`Mm::lock_vma`] | the VMA's own lock |
//! | find a VMA under the mm lock, growing a stack to it | [`Mm::find_vma_for_fault`] | the mm lock for reading |
//! | map, unmap, grow | [`Mm::write`] | the mm lock for writing |
//!
//! # Features
//! * `parking` (default): a thread that waits for a lock sleeps, by std's mutexes and condition variables. Without it such a thread spins,
//!   in growing turns, and then yields between looks, with the same guarantees, orders of waiting and interrupts. That is for short holds
//!   and for threads of one priority: a yield gives way to no lower one.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![cfg_attr(doctest, doc = include_str!("../docs/examples.md"))]

mod addr;
mod error;
mod fallible;
mod key;
pub mod lock;
pub mod map;
pub mod mm;
mod sync;
mod tree;
mod value;
mod vma;

pub use addr::{Access, PAGE_SIZE, Span};
pub use error::RangeError;
pub use lock::Interrupt;
pub use map::RangeMap;
pub use mm::Mm;
pub use mm::fault::FaultContext;
pub use value::{Inline, Value};
pub use vma::{VmaFlags, VmaSpec};
