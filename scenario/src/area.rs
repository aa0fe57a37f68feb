//! Converts an area of a scenario to a VMA of the library and back, without losing anything. Called by `mm_space`, `model`, `apply`,
//! `exact` and `layout`.

use crate::marks::{Tags, Words};
use std::collections::HashMap;
use vmaple::mm::{AnonOwner, Backing, ObjectId, Payload, ProtectionKey, Vma};
use vmaple::{Span, VmaFlags, VmaSpec};
use vmaple_trace::{Area, AreaFlags, Extent, MarkKind, Object, Offset, Perm};

/// Attributes of an area that the library does not know. They travel with the VMA as its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rider {
    flags: AreaFlags,
    pub(super) tags: Tags,
}

impl Rider {
    /// Returns the payload with these marks, and with the flags that the payload carries.
    pub(super) fn with(tags: Tags, flags: AreaFlags) -> Self {
        let riders = RIDERS.into_iter().filter(|rider| flags.contains(*rider));
        Self { tags, flags: riders.fold(AreaFlags::EMPTY, AreaFlags::union) }
    }

    /// Returns a copy with another mark of one kind; `None` if it has that mark already.
    #[must_use]
    pub fn marked(&self, kind: MarkKind, number: (u32, bool)) -> Option<Self> {
        let tags = self.tags.with(kind, number);
        (tags != self.tags).then_some(Self { tags, ..*self })
    }
}

impl Payload for Rider {
    /// The policy, the userfaultfd context, the name and the open file must be equal (5.7).
    fn merges_with(&self, next: &Self) -> bool {
        self.tags == next.tags
    }

    fn moved(&self, _from: Span, _to: Span) -> Self {
        Self { tags: self.tags.moved(), ..*self }
    }

    /// A VMA with a hook does not vanish in a merge (5.12).
    fn may_vanish(&self) -> bool {
        !self.flags.contains(AreaFlags::HOOK)
    }
}

/// The flags that become flags of the VMA.
pub(super) const FLAGS: [(AreaFlags, VmaFlags); 21] = [
    (AreaFlags::GROWSDOWN, VmaFlags::GROWSDOWN),
    (AreaFlags::GROWSUP, VmaFlags::GROWSUP),
    (AreaFlags::LOCKED, VmaFlags::LOCKED),
    (AreaFlags::LOCKONFAULT, VmaFlags::LOCKONFAULT),
    (AreaFlags::DONTCOPY, VmaFlags::DONTCOPY),
    (AreaFlags::DONTEXPAND, VmaFlags::DONTEXPAND),
    (AreaFlags::SEALED, VmaFlags::SEALED),
    (AreaFlags::NORESERVE, VmaFlags::NORESERVE),
    (AreaFlags::IO, VmaFlags::IO),
    (AreaFlags::PFNMAP, VmaFlags::PFNMAP),
    (AreaFlags::SEQREAD, VmaFlags::SEQ_READ),
    (AreaFlags::RANDREAD, VmaFlags::RAND_READ),
    (AreaFlags::DONTDUMP, VmaFlags::DONTDUMP),
    (AreaFlags::MERGEABLE, VmaFlags::MERGEABLE),
    (AreaFlags::HUGEPAGE, VmaFlags::HUGEPAGE),
    (AreaFlags::NOHUGEPAGE, VmaFlags::NOHUGEPAGE),
    (AreaFlags::WIPEONFORK, VmaFlags::WIPEONFORK),
    (AreaFlags::HUGETLB, VmaFlags::HUGETLB),
    (AreaFlags::MIXEDMAP, VmaFlags::MIXEDMAP),
    (AreaFlags::DROPPABLE, VmaFlags::DROPPABLE),
    (AreaFlags::SYNC, VmaFlags::SYNC),
];

const PERMS: [(Perm, VmaFlags); 4] =
    [(Perm::READ, VmaFlags::READ), (Perm::WRITE, VmaFlags::WRITE), (Perm::EXEC, VmaFlags::EXEC), (Perm::SHARED, VmaFlags::SHARED)];

/// The flags that the payload carries.
const RIDERS: [AreaFlags; 1] = [AreaFlags::HOOK];

/// The objects, marks and owners of an address space: their names in the scenario, their numbers in the library.
#[derive(Clone, Debug, Default)]
pub struct Names {
    objects: Vec<Object>,
    numbers: HashMap<Object, ObjectId>,
    pub(super) words: Words,
    owners: u64,
    files: Files,
}

/// Where the files of an address space are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// On file systems, except those that `memfd_create` makes.
    #[default]
    OnDisk,
    /// All in memory.
    InMemory,
}

/// Returns whether an area has an owner of its pages although it does not show one: the kernel takes back the promise for private anonymous
/// memory that is no longer writable, unless it has an owner.
#[must_use]
pub fn has_kept_promise(perm: Perm, flags: AreaFlags, object: &Object) -> bool {
    *object == Object::Anon && flags.contains(AreaFlags::ACCOUNT) && !perm.contains(Perm::WRITE) && !perm.contains(Perm::SHARED)
}

impl Names {
    /// Converts an area to a VMA. If the area has pages of its own they belong to `owner`, or to a new owner.
    pub fn spec_of(&mut self, area: &Area, owner: Option<AnonOwner>) -> VmaSpec<Rider> {
        let offset = start_offset(area.extent, (area.perm, area.flags), &area.object, area.offset);
        let spec = match &area.object {
            Object::Anon => VmaSpec::anonymous(flags_of(area)).at_offset(offset),
            object if self.is_in_memory(object) => VmaSpec::of_shared_memory(self.number_of(object), offset, flags_of(area)),
            object => VmaSpec::of_object(self.number_of(object), offset, flags_of(area)),
        };
        let is_owned = area.flags.contains(AreaFlags::FAULTED) || has_kept_promise(area.perm, area.flags, &area.object);
        let spec = match (area.flags.contains(AreaFlags::INHERITED), is_owned) {
            (true, _) => spec.inherited_by(owner.unwrap_or_else(|| self.next_owner())),
            (false, true) => spec.owned_by(owner.unwrap_or_else(|| self.next_owner())),
            (false, false) => spec,
        };
        let tags = self.words.tags_of(&area.marks);
        spec.with_payload(Rider::with(tags, area.flags))
    }

    /// Converts a VMA to an area.
    #[must_use]
    pub fn area_of(&self, vma: Vma<'_, Rider>) -> Area {
        #[cfg(test)]
        tests::MADE.set(tests::MADE.get() + 1);
        let (extent, has) = (extent_of(vma.span()), vma.flags());
        let perm = PERMS.into_iter().filter(|(_, flag)| has.contains(*flag)).fold(Perm::NONE, |perm, (bit, _)| perm.union(bit));
        let mut flags = vma.payload().flags.union(AreaFlags::of_pkey(has.pkey().number())).union(of_huge_pages(has));
        for (word, _) in FLAGS.into_iter().filter(|(_, flag)| has.contains(*flag)) {
            flags = flags.union(word);
        }
        if has.contains(VmaFlags::ACCOUNT) && !flags.is_promised(perm) {
            flags = flags.union(AreaFlags::ACCOUNT);
        }
        if vma.anon_owner().is_some() {
            flags = flags.union(AreaFlags::FAULTED);
        }
        // an object that the library named itself is shared memory without a name
        let object = self.object_of(vma).unwrap_or(Object::Anon);
        let bytes = vma.offset_of(extent.start);
        let default = start_offset(extent, (perm, flags), &object, Offset::Default);
        let offset = if bytes == default { Offset::Default } else { Offset::Bytes(bytes) };
        Area { extent, perm, flags, marks: self.words.marks_of(vma.payload().tags), object, offset }
    }

    /// Returns the object that the VMA maps, if it has a name.
    pub(super) fn object_of(&self, vma: Vma<'_, Rider>) -> Option<Object> {
        match vma.backing() {
            Backing::Object(object) | Backing::SharedMemory(object) => {
                usize::try_from(object.number()).ok().and_then(|number| self.objects.get(number)).cloned()
            }
            _ => None,
        }
    }

    /// Sets where the files are.
    pub(super) fn have_files(&mut self, files: Files) {
        self.files = files;
    }

    /// Returns whether an object is shared memory, or a file in memory.
    #[must_use]
    pub(crate) fn is_in_memory(&self, object: &Object) -> bool {
        match object {
            Object::Shm(_) => true,
            Object::File(name) => self.files == Files::InMemory || name.bytes().starts_with(b"/memfd:"),
            Object::Anon | Object::Special(_) => false,
        }
    }

    /// Returns the library's number of an object; a new one for an object that has none yet.
    pub fn number_of(&mut self, object: &Object) -> ObjectId {
        if let Some(number) = self.numbers.get(object) {
            return *number;
        }
        let number = self.objects.len() as u64;
        let number = ObjectId::new(number).unwrap_or_else(|_| unreachable!("there is memory for fewer objects"));
        self.objects.push(object.clone());
        self.numbers.insert(object.clone(), number);
        number
    }

    /// Returns an owner that no other area has.
    fn next_owner(&mut self) -> AnonOwner {
        self.owners += 1;
        AnonOwner::new(self.owners).unwrap_or_else(|_| unreachable!("they are counted one by one"))
    }
}

/// Returns the flags that show the size of a VMA's huge pages.
pub(super) fn of_huge_pages(has: VmaFlags) -> AreaFlags {
    has.huge_page_bytes().map_or(AreaFlags::EMPTY, AreaFlags::of_huge_pages)
}

/// Returns the flags of the VMA, to which its specification adds the `MAY` flags.
fn flags_of(area: &Area) -> VmaFlags {
    let said = FLAGS.into_iter().filter(|(word, _)| area.flags.contains(*word)).map(|(_, flag)| flag);
    let allowed = PERMS.into_iter().filter(|(bit, _)| area.perm.contains(*bit)).map(|(_, flag)| flag);
    let mut flags = said.chain(allowed).fold(VmaFlags::empty(), VmaFlags::union);
    flags |= area.flags.huge_page_bytes().map_or(VmaFlags::empty(), VmaFlags::of_huge_pages);
    flags = flags.with_pkey(ProtectionKey::new(area.flags.pkey()).unwrap_or_default());
    let is_promised = area.flags.is_promised(area.perm) || area.flags.contains(AreaFlags::ACCOUNT);
    if is_promised && !area.perm.contains(Perm::SHARED) {
        flags |= VmaFlags::ACCOUNT;
    }
    flags
}

/// Returns the offset in bytes at which an area begins. The default is the address itself for private anonymous memory of ordinary pages, otherwise 0.
#[must_use]
pub fn start_offset(extent: Extent, (perm, flags): (Perm, AreaFlags), object: &Object, offset: Offset) -> u64 {
    let has_no_object = *object == Object::Anon && !perm.contains(Perm::SHARED) && !flags.contains(AreaFlags::HUGETLB);
    match offset {
        Offset::Bytes(bytes) => bytes,
        Offset::Default if has_no_object => extent.start,
        Offset::Default => 0,
    }
}

/// Converts a range of the library to a range of the format. No VMA ends at the last byte of all, because it would not be in whole pages.
pub(super) fn extent_of(span: Span) -> Extent {
    Extent { start: span.start(), end: span.last().saturating_add(1) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;
    use vmaple::Mm;
    use vmaple_trace::{Line, Reader, Record};

    thread_local! {
        /// The number of areas that this thread has converted from VMAs.
        pub(crate) static MADE: Cell<usize> = const { Cell::new(0) };
    }

    /// Every flag, permission, kind of object and offset survives the conversion to a VMA and back.
    #[test]
    fn an_area_comes_back_as_it_was() {
        let text = "vmaple-trace 1\n\
            area 1000-2000 rw-p growsdown,locked,noreserve,dontcopy,sealed anon -\n\
            area 2000-3000 --xp growsup,dontexpand,faulted anon 0x1000\n\
            area 3000-5000 r-xs io,pfnmap,hook file:a -\n\
            area 5000-6000 r--p - file:a 0x3000\n\
            area 6000-7000 rw-s - shm:a -\n\
            area 7000-8000 rw-s - anon -\n\
            area 8000-9000 r-xp - special:vdso -\n\
            area 9000-a000 rw-p locked,policy:bind,userfault:1+remap anon -\n\
            area a000-b000 r--p open:2,name:a%2C%20b file:a 0x1000\n\
            area b000-c000 rw-p noreserve,dontdump,wipeonfork,droppable anon -\n\
            area c000-d000 rw-p sync anon -\n\
            area 200000-400000 rw-p dontexpand,hugetlb anon -\n\
            area 400000-800000 r--s dontexpand,hugetlb file:h 0x200000\n\
            area 40000000-80000000 ---p noreserve,dontexpand,hugetlb,huge_1gb anon -\n";
        let areas: Vec<Area> = Reader::new("areas", std::io::Cursor::new(text))
            .map(|line| match line {
                Ok(Line { record: Record::Area(area), .. }) => area,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(areas.len(), 14);
        let (mut names, mm) =
            (Names::default(), Mm::builder().limits(crate::placement::no_limits()).expect("limits that mean something").build());
        for area in &areas {
            mm.write().insert(area.extent.start, area.extent.end - area.extent.start, names.spec_of(area, None)).expect("free");
        }
        let reader = mm.read();
        let back: Vec<Area> = reader.iter().map(|vma| names.area_of(vma)).collect();
        assert_eq!(back, areas);
        assert_eq!(names.objects.len(), 4, "two equal names are one object");
    }
}
