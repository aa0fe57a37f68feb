//! The value that the index keeps for an area: permissions, flags and backing packed into one machine word, so that two neighbours may be
//! one area exactly if their words are equal. Called by every part of `replay`.

use super::limits;
use anyhow::{Result, bail};
use std::collections::HashMap;
use vmaple_trace::{AreaFlags, Object, Perm};

/// An area's attributes in one word.
///
/// | bits | what |
/// |---|---|
/// | 0 to 3 | the permissions |
/// | from 4 | the flags of [`AreaFlags`] that [`KEPT`] has; `LOCKONFAULT` is bit 27 |
/// | 14 to 18 | the size of its huge pages, as a power of two |
/// | 19 | whether the kernel may drop its pages |
/// | 20 to 26 | the marks of `madvise` |
/// | 28 to 31 | the protection key |
/// | from 32 | the number of the backing in [`Backings`] |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedAttrs(pub(super) u64);

const FLAGS_AT: u32 = 4;
const HUGE_AT: u32 = 14;
const DROPPABLE_AT: u32 = 19;
const MARKS_AT: u32 = 20;
const KEY_AT: u32 = 28;
const BACKING_AT: u32 = 32;
/// The flags that a word contains. The exact check (`exact`) compares the others. Flags that `madvise` sets are marks here.
const KEPT: u64 = 0x3ff & !AreaFlags::FAULTED.bits() | AreaFlags::LOCKONFAULT.bits();

impl PackedAttrs {
    /// Packs permissions, flags and the number of a backing.
    pub(super) fn new(perm: Perm, flags: AreaFlags, backing: u32) -> Self {
        let key = u64::from(flags.pkey()) << KEY_AT;
        let flags_kept = (flags.bits() & KEPT) << FLAGS_AT;
        Self(u64::from(perm.bits()) | flags_kept | key | u64::from(backing) << BACKING_AT).with_huge_pages(flags.huge_page_bytes())
    }

    /// Returns the size in bytes of its huge pages, if it consists of them.
    pub(super) fn huge_page(self) -> Option<u64> {
        let power = self.0 >> HUGE_AT & 31;
        (power != 0).then(|| 1 << power)
    }

    /// Returns the word with this size of huge pages, in bytes and below 2^32.
    pub(super) fn with_huge_pages(self, bytes: Option<u64>) -> Self {
        let power = bytes.map_or(0, |bytes| u64::from(bytes.trailing_zeros().min(31)));
        Self(self.0 & !(31 << HUGE_AT) | power << HUGE_AT)
    }

    /// Returns the protection key.
    pub(super) fn key(self) -> u8 {
        (self.0 >> KEY_AT & 15) as u8
    }

    /// Returns the word with another protection key.
    pub(super) fn with_key(self, key: u8) -> Self {
        Self(self.0 & !(15 << KEY_AT) | u64::from(key & 15) << KEY_AT)
    }

    /// Returns the permissions.
    pub(super) fn perm(self) -> Perm {
        Perm::from_bits((self.0 & 15) as u8)
    }

    /// Returns the word with other permissions.
    pub(super) fn with_perm(self, perm: Perm) -> Self {
        Self(self.0 & !15 | u64::from(perm.bits()))
    }

    /// Returns whether all of these flags are set.
    pub(super) fn has(self, flags: AreaFlags) -> bool {
        let wanted = flags.bits() << FLAGS_AT;
        self.0 & wanted == wanted
    }

    /// Returns the word with these flags set.
    pub(super) fn set(self, flags: AreaFlags) -> Self {
        Self(self.0 | (flags.bits() & KEPT) << FLAGS_AT)
    }

    /// Returns the word without these flags.
    pub(super) fn clear(self, flags: AreaFlags) -> Self {
        Self(self.0 & !((flags.bits() & KEPT) << FLAGS_AT))
    }

    /// Returns the word of memory that the kernel may drop: a child gets it empty, and no dump contains it.
    pub(super) fn droppable(self) -> Self {
        Self(self.0 | 1 << DROPPABLE_AT).with_marks(0b110_0000, 0b110_0000)
    }

    /// Returns whether its pages are never locked in memory.
    pub(super) fn is_never_locked(self) -> bool {
        self.stays_alone() || self.0 >> DROPPABLE_AT & 1 == 1
    }

    /// Returns the word with the marks in `mask` replaced by `marks`.
    pub(super) fn with_marks(self, mask: u64, marks: u64) -> Self {
        Self(self.0 & !(mask << MARKS_AT) | marks << MARKS_AT)
    }

    /// Returns the number of the backing.
    pub(super) fn backing(self) -> u32 {
        (self.0 >> BACKING_AT) as u32
    }

    /// Returns the word with another backing.
    pub(super) fn with_backing(self, backing: u32) -> Self {
        Self(self.0 & ((1 << BACKING_AT) - 1) | u64::from(backing) << BACKING_AT)
    }

    /// Returns whether such areas never merge with a neighbour.
    pub(super) fn stays_alone(self) -> bool {
        const ALONE: u64 = AreaFlags::IO.bits() | AreaFlags::PFNMAP.bits() | AreaFlags::DONTEXPAND.bits();
        self.0 >> FLAGS_AT & ALONE != 0 || self.huge_page().is_some()
    }
}

/// An object, and the offset in it that address 0 would have: two neighbours continue each other exactly if both are equal. For private
/// anonymous memory the offset is always 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Backing {
    object: u32,
    origin: u64,
}

/// All backings of a history, numbered.
#[derive(Debug, Default)]
pub(super) struct Backings {
    objects: Vec<Object>,
    object_numbers: HashMap<Object, u32>,
    all: Vec<Backing>,
    numbers: HashMap<Backing, u32>,
    name_bytes: usize,
}

impl Backings {
    /// Returns the number of an object that is mapped from `offset` at `start`.
    pub(super) fn number(&mut self, object: &Object, start: u64, offset: u64) -> Result<u32> {
        let object = self.object_number(object)?;
        Ok(self.backing_number(object, start, offset))
    }

    /// Returns the number of a backing after its part at `from` has moved to `to`.
    pub(super) fn moved(&mut self, backing: u32, from: u64, to: u64) -> u32 {
        let Backing { object, origin } = self.all[backing as usize];
        self.backing_number(object, to, origin.wrapping_add(from))
    }

    /// Returns the object of a backing.
    pub(super) fn object(&self, backing: u32) -> &Object {
        &self.objects[self.all[backing as usize].object as usize]
    }

    fn object_number(&mut self, object: &Object) -> Result<u32> {
        if let Some(number) = self.object_numbers.get(object) {
            return Ok(*number);
        }
        self.name_bytes += match object {
            Object::Anon => 0,
            Object::Shm(name) | Object::File(name) | Object::Special(name) => name.bytes().len(),
        };
        if self.name_bytes > limits::NAME_BYTES {
            bail!("read names of objects of more than {} bytes, expected at most that", limits::NAME_BYTES);
        }
        let number = u32::try_from(self.objects.len())?;
        self.objects.push(object.clone());
        self.object_numbers.insert(object.clone(), number);
        Ok(number)
    }

    fn backing_number(&mut self, object: u32, start: u64, offset: u64) -> u32 {
        let origin = match self.objects[object as usize] {
            Object::Anon => 0,
            _ => offset.wrapping_sub(start),
        };
        let backing = Backing { object, origin };
        if let Some(number) = self.numbers.get(&backing) {
            return *number;
        }
        // every backing comes with an edit, and those are far fewer than 2^32
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(backing.clone());
        self.numbers.insert(backing, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmaple_trace::Name;

    #[test]
    fn unpacking_returns_what_was_packed() {
        let attrs = PackedAttrs::new(Perm::READ.union(Perm::SHARED), AreaFlags::LOCKED.union(AreaFlags::FAULTED), 7);
        assert_eq!(attrs.perm().to_string(), "r--s");
        assert!(attrs.has(AreaFlags::LOCKED) && !attrs.has(AreaFlags::FAULTED) && !attrs.has(AreaFlags::SEALED));
        assert_eq!(attrs.backing(), 7);
        let other = attrs.with_perm(Perm::WRITE).clear(AreaFlags::LOCKED).set(AreaFlags::SEALED).with_backing(9);
        assert_eq!(other, PackedAttrs::new(Perm::WRITE, AreaFlags::SEALED, 9));
        assert_eq!(other.with_marks(3, 2).with_marks(3, 0), other);
        let keyed = PackedAttrs::new(Perm::WRITE, AreaFlags::SEALED.union(AreaFlags::of_pkey(13)), 9);
        let huge = PackedAttrs::new(Perm::WRITE, AreaFlags::SEALED.union(AreaFlags::of_huge_pages(1 << 30)), 9);
        assert_eq!((huge.huge_page(), other.with_huge_pages(Some(1 << 30)), huge.with_huge_pages(None)), (Some(1 << 30), huge, other));
        assert!(huge.stays_alone() && !other.stays_alone() && other.huge_page().is_none());
        assert_eq!((keyed.key(), other.with_key(13), keyed.with_key(0)), (13, keyed, other));
    }

    // file   0     3     5
    // at    1000  4000  6000
    #[test]
    fn parts_of_a_file_continue_one_another_only_in_order() {
        let mut backings = Backings::default();
        let file = Object::File(Name::new(b"f").expect("a name"));
        let first = backings.number(&file, 0x1000, 0).expect("few names");
        assert_eq!(backings.number(&file, 0x4000, 0x3000).expect("few names"), first);
        assert_ne!(backings.number(&file, 0x4000, 0).expect("few names"), first);
        let moved = backings.moved(first, 0x4000, 0x9000);
        assert_eq!(backings.number(&file, 0x9000, 0x3000).expect("few names"), moved);
        assert_eq!(backings.object(moved), &file);
        let anon = backings.number(&Object::Anon, 0x1000, 0x1000).expect("few names");
        assert_eq!(backings.number(&Object::Anon, 0x7000, 0).expect("few names"), anon);
    }
}
