//! The names of mapped objects: one name per object in all traces of a recording, whether the object is found by the mapped descriptor or
//! by the path in a layout. Called by `space` and `effect`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::stat::{major, minor};
use nix::unistd::Pid;

use super::layout::{FileId, Seen};
use vmaple_trace::{Name, Object, Perm};

/// Where the object of an `mmap` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// There is no object: private anonymous memory.
    Nothing,
    /// Shared anonymous memory, whose identity only the layout shows.
    Layout,
    /// A descriptor.
    Descriptor(i32),
}

/// The names of objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    names: HashMap<FileId, Name>,
    /// The file that first had a name. Another file with that name gets a suffix.
    owners: HashMap<Name, FileId>,
}

/// The name of an object of which nothing was mapped, because the call failed.
fn nameless() -> Name {
    Name::new(b"none").unwrap_or_else(|| unreachable!("four bytes"))
}

impl Objects {
    /// Returns the object of an area.
    pub(super) fn of_area(&mut self, area: &Seen) -> Object {
        let path = area.path.as_slice();
        let bracketed = path.strip_prefix(b"[").and_then(|path| path.strip_suffix(b"]"));
        match bracketed {
            // a name that the program gave to shared anonymous memory
            Some(name) if name.starts_with(b"anon_shmem:") => self.shared(area),
            Some(name) if name == b"heap" || name.starts_with(b"stack") || name.starts_with(b"anon:") => Object::Anon,
            Some(name) => Object::Special(Name::new(name).unwrap_or_else(nameless)),
            None if path.is_empty() => Object::Anon,
            None if path == b"/dev/zero (deleted)" && area.perm.contains(Perm::SHARED) => self.shared(area),
            None if path.starts_with(b"/SYSV") => self.shared(area),
            None if path.starts_with(b"/anon_hugepage") && area.perm.contains(Perm::SHARED) => self.shared(area),
            None if path.starts_with(b"/anon_hugepage") => Object::Anon,
            None => Object::File(self.name(area.file, path)),
        }
    }

    /// Returns the object of a descriptor, or `None` if only the layout after the mapping shows it. The descriptor's owner is stopped.
    pub(super) fn of_descriptor(&self, tid: Pid, descriptor: i32) -> Option<Object> {
        // only the layout shows what a driver adds to a mapping
        if !fs::metadata(format!("/proc/{tid}/fd/{descriptor}")).ok()?.is_file() {
            return None;
        }
        // some file systems show other numbers in a layout than `fstat` returns: trust only what was seen in a layout
        let name = self.names.get(&identity(tid, descriptor)?)?;
        // a shared mapping of this is anonymous memory with an identity of its own
        (name.bytes() != b"/dev/zero").then(|| Object::File(name.clone()))
    }

    /// Records the object that the layout shows after the first mapping of a descriptor, for later mappings.
    pub(super) fn learn(&mut self, tid: Pid, descriptor: i32, object: &Object) {
        let Object::File(name) = object else { return };
        if let Some(file) = identity(tid, descriptor) {
            self.names.entry(file).or_insert_with(|| name.clone());
        }
    }

    fn shared(&mut self, area: &Seen) -> Object {
        let FileId { major, minor, inode } = area.file;
        let plain = inode.to_string();
        Object::Shm(self.register(area.file, plain.as_bytes(), &format!("{major}:{minor}:{inode}")))
    }

    fn name(&mut self, file: FileId, path: &[u8]) -> Name {
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        let FileId { major, minor, inode } = file;
        self.register(file, path, &format!("{}@{major}:{minor}:{inode}", String::from_utf8_lossy(path)))
    }

    fn register(&mut self, file: FileId, plain: &[u8], distinct: &str) -> Name {
        if let Some(name) = self.names.get(&file) {
            return name.clone();
        }
        let plain = Name::new(plain).unwrap_or_else(nameless);
        let name = match self.owners.get(&plain) {
            None => plain,
            Some(_) => Name::new(distinct.as_bytes()).unwrap_or_else(nameless),
        };
        self.owners.insert(name.clone(), file);
        self.names.insert(file, name.clone());
        name
    }
}

/// Returns the size in bytes of the huge pages that the file of a descriptor consists of, or `None` if it does not.
pub(super) fn huge_page(tid: Pid, descriptor: i32) -> Option<u64> {
    let found = nix::sys::statfs::statfs(format!("/proc/{tid}/fd/{descriptor}").as_str()).ok()?;
    let is_huge = found.filesystem_type() == nix::sys::statfs::HUGETLBFS_MAGIC;
    u64::try_from(found.block_size()).ok().filter(|bytes| is_huge && bytes.is_power_of_two())
}

/// The file of a descriptor.
pub(super) fn identity(tid: Pid, descriptor: i32) -> Option<FileId> {
    let data = fs::metadata(format!("/proc/{tid}/fd/{descriptor}")).ok()?;
    Some(FileId { major: major(data.dev()), minor: minor(data.dev()), inode: data.ino() })
}

/// Returns the object to write for a call that failed.
pub(super) fn failed(source: Source) -> Object {
    match source {
        Source::Nothing => Object::Anon,
        Source::Layout => Object::Shm(nameless()),
        Source::Descriptor(_) => Object::File(nameless()),
    }
}

#[cfg(test)]
mod tests {
    use super::{FileId, Objects};
    use crate::record::layout::Seen;
    use vmaple_trace::{AreaFlags, Extent, Perm};

    fn shown(objects: &mut Objects, path: &[u8], inode: u64, perm: &str) -> String {
        let area = Seen {
            extent: Extent { start: 0, end: 4096 },
            perm: perm.parse::<Perm>().expect("permissions"),
            offset: 0,
            file: FileId { major: 8, minor: 1, inode },
            path: path.to_vec(),
            flags: AreaFlags::EMPTY,
            userfault: Vec::new(),
        };
        objects.of_area(&area).to_string()
    }

    #[test]
    fn each_kind_of_area_has_its_object() {
        let objects = &mut Objects::default();
        for (path, perm, object) in [
            (&b""[..], "rw-p", "anon"),
            (b"[heap]", "rw-p", "anon"),
            (b"[stack]", "rw-p", "anon"),
            (b"[anon: arena]", "rw-p", "anon"),
            (b"[vdso]", "r-xp", "special:vdso"),
            (b"/lib/a b", "r--p", "file:/lib/a%20b"),
        ] {
            let inode = 1000 + u64::try_from(path.len()).expect("short");
            assert_eq!(shown(objects, path, inode, perm), object);
        }
        assert_eq!(shown(objects, b"/dev/zero (deleted)", 7, "rw-s"), "shm:7");
        assert_eq!(shown(objects, b"[anon_shmem:x]", 7, "rw-s"), "shm:7");
    }

    #[test]
    fn one_object_keeps_its_name_and_another_gets_another() {
        let objects = &mut Objects::default();
        assert_eq!(shown(objects, b"/a", 1, "r--p"), "file:/a");
        assert_eq!(shown(objects, b"/a (deleted)", 1, "r--p"), "file:/a");
        assert_eq!(shown(objects, b"/a", 2, "r--p"), "file:/a@8:1:2");
        assert_eq!(shown(objects, b"/renamed", 1, "r--p"), "file:/a");
        assert_eq!(shown(objects, b"/a", 2, "r--p"), "file:/a@8:1:2");
    }
}
