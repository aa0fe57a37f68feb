//! The places of everything in the region, in pages, and the mappings of the address space at the beginning.
//!
//! ```text
//! text       hole       constants  window     heap       guard gap   room      stack | heap .. stack | ..
//! READ                  READ       remapped   READ,WRITE 256 pages   <-- GROWSDOWN   | the next guest's
//! ```
//! A stack grows through its room. An even guest's room ends at the guard gap of its heap; an odd guest's is larger than the limit of a stack.

use std::error::Error;
use std::ops::Range;
use vmaple::mm::{Limits, ObjectId};
use vmaple::{Mm, PAGE_SIZE, VmaFlags, VmaSpec};

pub(crate) const GUESTS: u64 = 4;
pub(crate) const STACK_LIMIT_PAGES: u64 = 384;
/// The objects that are mapped: the heaps are further ones, and the generations of the window.
pub(crate) const TEXT: ObjectId = object(1);
const CONSTANTS: ObjectId = object(2);
const HEAPS: u64 = 10;
const WINDOW_OBJECTS: u64 = 1000;

const TEXT_PAGES: u64 = 256;
const WINDOW_PAGES: u64 = 16;
const SLOTS: u64 = TEXT_PAGES + 2 * GUESTS + WINDOW_PAGES;
const HEAP_PAGES: u64 = 64;
const GAP_PAGES: u64 = 256;
const SLOT_PAGES: u64 = HEAP_PAGES + GAP_PAGES + 512;
const FIRST_STACK_PAGES: u64 = 4;

/// Returns the object with a small number.
const fn object(number: u64) -> ObjectId {
    match ObjectId::new(number) {
        Ok(object) => object,
        Err(_) => panic!("the library names objects from there on"),
    }
}

/// Returns the size of the region.
pub(crate) const REGION_PAGES: u64 = SLOTS + GUESTS * SLOT_PAGES;

fn pages(start: u64, first: u64, count: u64) -> Range<u64> {
    start + first * PAGE_SIZE..start + (first + count) * PAGE_SIZE
}

/// The text, which all guests read.
pub(crate) fn text(start: u64) -> Range<u64> {
    pages(start, 0, TEXT_PAGES)
}

/// The hole, which is never mapped. It has a page for each guest to access.
pub(crate) fn hole(start: u64) -> Range<u64> {
    pages(start, TEXT_PAGES, GUESTS)
}

/// The constants, which may only be read. They have a page for each guest to try to write.
pub(crate) fn constants(start: u64) -> Range<u64> {
    pages(start, TEXT_PAGES + GUESTS, GUESTS)
}

/// The window, which is mapped and unmapped all the time.
pub(crate) fn window(start: u64) -> Range<u64> {
    pages(start, TEXT_PAGES + 2 * GUESTS, WINDOW_PAGES)
}

/// Returns the object that is mapped in the window in a generation.
pub(crate) fn window_object(generation: u64) -> ObjectId {
    object(WINDOW_OBJECTS + generation)
}

/// The memory of one guest.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) heap: Range<u64>,
    pub(crate) object: ObjectId,
    /// The end of the stack, and its first start.
    pub(crate) top: u64,
    pub(crate) first_bottom: u64,
    /// The most pages that the guard gap of its neighbour allows the stack.
    pub(crate) room_pages: u64,
}

/// Returns the memory of a guest.
pub(crate) fn slot(start: u64, guest: u64) -> Slot {
    let end = SLOTS + (guest + 1) * SLOT_PAGES;
    let room_pages = if guest.is_multiple_of(2) { 320 } else { 512 };
    let heap = pages(start, end - room_pages - GAP_PAGES - HEAP_PAGES, HEAP_PAGES);
    let stack = pages(start, end - FIRST_STACK_PAGES, FIRST_STACK_PAGES);
    Slot { heap, object: object(HEAPS + guest), top: stack.end, first_bottom: stack.start, room_pages }
}

/// Makes the address space, except for the window.
pub(crate) fn address_space(start: u64) -> Result<Mm, Box<dyn Error>> {
    let mut limits = Limits::default();
    limits.stack_bytes = STACK_LIMIT_PAGES * PAGE_SIZE;
    limits.stack_guard_gap_pages = GAP_PAGES;
    let mm = Mm::builder().limits(limits)?.build();
    let mut writer = mm.write();
    let mut map = |range: Range<u64>, spec| writer.insert(range.start, range.end - range.start, spec);
    map(text(start), VmaSpec::of_object(TEXT, 0, VmaFlags::READ))?;
    map(constants(start), VmaSpec::of_object(CONSTANTS, 0, VmaFlags::READ))?;
    for slot in (0..GUESTS).map(|guest| slot(start, guest)) {
        map(slot.heap, VmaSpec::of_object(slot.object, 0, VmaFlags::READ | VmaFlags::WRITE))?;
        let stack = VmaFlags::READ | VmaFlags::WRITE | VmaFlags::GROWSDOWN;
        map(slot.first_bottom..slot.top, VmaSpec::anonymous(stack))?;
    }
    drop(writer);
    Ok(mm)
}

/// Returns the number of pages of all stacks in the end.
pub(crate) fn full_stack_pages() -> u64 {
    (0..GUESTS).map(|guest| slot(0, guest).room_pages.min(STACK_LIMIT_PAGES)).sum()
}

/// Returns the number of bytes that guests read: all of the text, of their heap and of their stack.
pub(crate) fn guests_bytes() -> u64 {
    (GUESTS * (TEXT_PAGES + HEAP_PAGES) + full_stack_pages()) * PAGE_SIZE
}
