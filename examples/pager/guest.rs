//! A guest: a thread that uses the memory as a program does, and checks every byte of it.
//!
//! It shares the text with the other guests, and has a heap and a stack of its own. It does not depend on the pager's code.

use crate::content;
use crate::layout::{self, STACK_LIMIT_PAGES, Slot};
use crate::memory::{Memory, PAGE_BYTES};
use nix::errno::Errno;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use vmaple::PAGE_SIZE;
use vmaple::mm::ObjectId;

/// The results of a guest.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) verified_bytes: u64,
    /// Pushes below the mapped part of the stack.
    pub(crate) growths: u64,
    /// Accesses that ended with `EFAULT`.
    pub(crate) refused: u64,
    /// What was wrong.
    pub(crate) wrong: Vec<String>,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Self) {
        self.verified_bytes += other.verified_bytes;
        self.growths += other.growths;
        self.refused += other.refused;
        self.wrong.extend(other.wrong);
    }

    /// Makes an access that must end with an error, by a system call that gets the address.
    fn expect_refusal(&mut self, what: &str, result: nix::Result<()>) {
        match result {
            Err(Errno::EFAULT) => self.refused += 1,
            result => self.wrong.push(format!("{what}: {result:?} instead of EFAULT")),
        }
    }
}

/// Runs a guest.
pub(crate) fn live(memory: &Memory, me: u64) -> Seen {
    let (mut seen, slot) = (Seen::default(), layout::slot(memory.start(), me));
    // Each guest begins at another place of the text, and reads pages that other guests have read or are reading.
    let text = layout::text(memory.start());
    let begin = text.start + (text.end - text.start) / PAGE_SIZE * me / layout::GUESTS * PAGE_SIZE;
    check_object(memory, &(begin..text.end), layout::TEXT, begin - text.start, &mut seen);
    check_object(memory, &(text.start..begin), layout::TEXT, 0, &mut seen);
    check_object(memory, &slot.heap, slot.object, 0, &mut seen);
    use_stack(memory, &slot, &mut seen);

    let page = [0xff; PAGE_BYTES];
    seen.expect_refusal("a write to constants", memory.try_write(layout::constants(memory.start()).start + me * PAGE_SIZE, &page));
    seen.expect_refusal("a write to a hole", memory.try_write(layout::hole(memory.start()).start + me * PAGE_SIZE, &page));
    seen
}

/// Compares mapped memory with the object's content.
fn check_object(memory: &Memory, range: &Range<u64>, object: ObjectId, offset: u64, seen: &mut Seen) {
    for at in range.clone().step_by(8) {
        let (found, wanted) = (memory.word(at).load(Relaxed), content::word(object, offset + (at - range.start)));
        check(at, found, wanted, seen);
    }
}

fn check(at: u64, found: u64, wanted: u64, seen: &mut Seen) {
    if found == wanted {
        seen.verified_bytes += 8;
    } else {
        seen.wrong.push(format!("{at:#x}: {found:#x} instead of {wanted:#x}"));
    }
}

/// Calls functions with frames of one to seven pages until the stack is full, accesses one more page, and returns from all of them.
fn use_stack(memory: &Memory, slot: &Slot, seen: &mut Seen) {
    let pages = slot.room_pages.min(STACK_LIMIT_PAGES);
    let bottom = slot.top - pages * PAGE_SIZE;
    let mut frames = Vec::new();
    let mut pointer = slot.top;
    for frame in (1..=7).cycle() {
        pointer = (pointer - frame * PAGE_SIZE).max(bottom);
        memory.word(pointer).store(pointer, Relaxed);
        seen.growths += u64::from(pointer < slot.first_bottom);
        frames.push(pointer);
        if pointer == bottom {
            break;
        }
    }
    let mut page = [0; PAGE_BYTES];
    seen.expect_refusal("a stack overflow", memory.try_read(bottom - PAGE_SIZE, &mut page));
    while let Some(frame) = frames.pop() {
        let caller = frames.last().copied().unwrap_or(slot.top);
        for at in (frame..caller).step_by(8) {
            check(at, memory.word(at).load(Relaxed), if at == frame { frame } else { 0 }, seen);
        }
    }
}
