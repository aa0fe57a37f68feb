//! The library's own collector: each reader announces its pin in a *slot*, and the writer waits for the slots.
//!
//! Called by `map` and `tree`, as [`Collector`](super), without the feature `std` and in builds with `--cfg vmaple_slots`. Of the shape of liburcu's "bulletproof"
//! flavour: no thread local in the domain, no lock, no callback, no allocation once a slot is claimed. `slot.rs` has one slot, `domain.rs`
//! the slots and the grace periods, `fences.rs` the two fences, `membarrier.rs` the system call, `collector.rs` the crate's trait.
//!
//! # The protocol
//!
//! ```text
//! pin      e = epoch (Acquire); slot = e, 1 (Release); light fence       nested: slot = slot + 1; light fence
//! unpin    slot = 0 (Release)                                            nested: slot = slot - 1
//! repin    e = epoch (Acquire); if slot differs from e, 1: slot = e, 1 (Release); light fence
//! grace    (the unlinking store;) stamp = epoch, epoch + 1 (AcqRel); heavy fence
//! is over  each slot (Acquire) is 0, or its epoch is above the stamp
//! ```
//!
//! # States of a slot
//! * **S1** The owner's word is `NOBODY` or the tag of one owner. It changes from `NOBODY` by a compare-and-swap (Acquire), and back by a
//!   store of the owner (Release) while the slot's word is 0. So the slot of one owner passes to the next with its word 0.
//! * **S2** The slot's word is 0 (at rest), or an epoch that was current and a count of pins. Only the owner's thread stores to it, and
//!   handlers that interrupt that thread. A count that reaches its maximum stays there, and the slot stays pinned: that happens if guards
//!   are forgotten.
//! * **S3** A handler leaves the word as it found it, because its pins and unpins are balanced.
//! * **S4** A slot is memory of the domain, or `static`. It is valid, and is looked at by every writer, as long as the domain lives. Blocks
//!   of slots are only appended.
//!
//! # A pin beside a grace period
//! The writer unlinks, takes the stamp s, executes the heavy fence, and loads the slot. Let the reader store the epoch e to the slot. The
//! fences guarantee that the writer sees this store (or a later one), or that the reader's later loads find what the writer stored
//! (`fences.rs`).
//!
//! | what the writer loads | why that is right |
//! |---|---|
//! | e, with e at most s | it waits, whether or not the reader found what was unlinked |
//! | e, with e above s | the reader loaded an epoch that the writer's addition, or a later one, had stored. The unlinking comes before that addition, so the reader does not find what was unlinked. What its earlier pin in the same slot read comes before the store of e (Release), which the writer has loaded (Acquire) |
//! | 0, stored by an unpin | what the pin read comes before that store (Release), which the writer has loaded (Acquire) |
//! | 0, or any word that is older than the reader's store | by the fences, the reader does not find what was unlinked |
//!
//! The last row is also why a slot that was found at rest or newer is not looked at again by the same grace period, and why a slot that is
//! claimed, or appended, after the fence does not matter.
//!
//! **An old epoch.** Between the load of the epoch and the store to the slot, a reader may be interrupted for any time, and grace periods
//! may end meanwhile. The epoch that it then stores is older than the present one. That is safe: the grace periods that are over already
//! saw 0, so by the last row the reader finds nothing that they unlinked. Those that are not over wait for it, and so do later ones, until
//! it unpins or repins. An old epoch holds back too much, and never too little.
//!
//! **A new epoch over an old pin.** A repin is the end of a pin and the beginning of one, by one store. The rows for e apply. If the epoch
//! has not changed, the pin goes on: no store, and no fence, because the fence of the store that pinned is still before all loads of links.
//!
//! # A handler at any instruction
//! A handler may interrupt its thread between two steps of a pin, repin or unpin, and pin, look up and unpin the same slot.
//!
//! | it interrupts | it finds | why that is right |
//! |---|---|---|
//! | a pin or repin before its store | 0, or the pin that ends | it pins or nests by itself, and leaves the word as it was (S3), so what the interrupted code has loaded is still true. The epoch may be old by then, see above |
//! | a pin or repin between its store and its fence | the new pin | it nests. The fence of the interrupted pin has not been executed, so a nested pin has a fence of its own: without it the handler could look up before the writer can see the slot |
//! | an unpin before its store | the pin | it nests and leaves the word as it was (S3), and the unpin stores what it computed from it |
//! | an unpin after its store | 0, or the outer pin | it pins or nests by itself |
//!
//! A handler does not *repin* the slot that it interrupted: a repin relies on the fence of the pin that goes on.
//!
//! A handler that interrupts the *claim* of a slot claims another, or the same one first, and then the interrupted compare-and-swap fails
//! and goes on to the next slot. A handler must not grow the domain, because that allocates. A handler that interrupts the writer is a
//! reader like any other: it runs before or after each of the writer's instructions, and on the same processor, so it sees what the
//! writer's thread has stored.
//!
//! # Writers
//! Several writers may share a domain. Each takes a stamp of its own, and waits for its own. An addition to the epoch by one continues the
//! release sequence of the others, so an epoch above a stamp is from after that stamp's unlinking, whichever writer's addition stored it.
//!
//! # After a fork
//! The child has one thread and a copy of the slots. `Domain::after_fork_in_child` clears those of the threads that are gone.
//!
//! # Models
//! `models.rs` runs readers beside one writer and two under loom, with sequentially consistent fences. `tests.rs` enumerates the points at which a
//! handler can interrupt, and has the rest. `docs/verification.md` lists the seeded bugs.

#[cfg(any(vmaple_slots, not(feature = "std")))]
mod collector;
mod domain;
mod fences;
mod membarrier;
#[cfg(all(test, vmaple_loom))]
mod models;
mod slot;
#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod tests;

#[cfg(any(vmaple_slots, not(feature = "std")))]
pub(crate) use collector::Slots;
