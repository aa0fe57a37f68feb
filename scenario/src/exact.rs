//! A VMA with everything that both the library and the kernel show, and a comparison of two lists of such VMAs. Made by `mm_space` and
//! `kernel`, compared by `diff` and `fuzz`.

use crate::area::{FLAGS, extent_of, of_huge_pages};
use crate::space::Failure;
use std::fmt;
use vmaple::VmaFlags;
use vmaple::mm::{Payload, Vma};
use vmaple_trace::{Area, AreaFlags, Extent, Marks, Object, Offset, Perm};

/// A VMA: its bounds, its flags, and the object that it maps, if that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exact {
    pub(super) extent: Extent,
    pub(super) flags: VmaFlags,
    /// The object, and the offset at which the VMA begins.
    pub(super) object: Option<(Object, u64)>,
}

/// Returns the object of memory without a named object. `None` if the offset in the object does not matter.
pub(super) fn nameless(flags: VmaFlags) -> Option<Object> {
    flags.contains(VmaFlags::HUGETLB).then_some(Object::Anon)
}

/// The flags that the kernel shows. Others are ignored.
const SHOWN: VmaFlags = VmaFlags::IO.union(VmaFlags::PFNMAP).union(VmaFlags::MIXEDMAP).union(VmaFlags::GROWSUP).complement();

impl Exact {
    pub(super) fn of<P: Payload>(vma: Vma<'_, P>, object: Option<Object>) -> Self {
        let extent = extent_of(vma.span());
        let flags = vma.flags().intersection(SHOWN);
        Self { extent, flags, object: object.or_else(|| nameless(flags)).map(|object| (object, vma.offset_of(extent.start))) }
    }

    /// Returns the VMA as a line of a scenario, which omits some of its flags.
    pub(super) fn area(&self) -> Area {
        let perms =
            [(VmaFlags::READ, Perm::READ), (VmaFlags::WRITE, Perm::WRITE), (VmaFlags::EXEC, Perm::EXEC), (VmaFlags::SHARED, Perm::SHARED)];
        let perm = perms.into_iter().filter(|(flag, _)| self.flags.contains(*flag)).fold(Perm::NONE, |perm, (_, bit)| perm.union(bit));
        let words = FLAGS.into_iter().filter(|(_, flag)| self.flags.contains(*flag));
        let kind = AreaFlags::of_pkey(self.flags.pkey().number()).union(of_huge_pages(self.flags));
        let mut flags = words.fold(kind, |flags, (word, _)| flags.union(word));
        if self.flags.contains(VmaFlags::ACCOUNT) && !flags.is_promised(perm) {
            flags = flags.union(AreaFlags::ACCOUNT);
        }
        let (object, offset) = match &self.object {
            Some((object, 0)) => (object.clone(), Offset::Default),
            Some((object, bytes)) => (object.clone(), Offset::Bytes(*bytes)),
            None => (Object::Anon, Offset::Default),
        };
        Area { extent: self.extent, perm, flags, marks: Marks::default(), object, offset }
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Area { extent, perm, .. } = self.area();
        write!(f, "{:08x}-{:08x} {perm} ", extent.start, extent.end)?;
        let mut between = "";
        let elsewhere = VmaFlags::ACCESS | VmaFlags::SHARED | VmaFlags::PKEY_MASK | VmaFlags::HUGE_SIZE;
        for (name, _) in self.flags.difference(elsewhere).iter_names() {
            write!(f, "{between}{}", name.to_ascii_lowercase())?;
            between = ",";
        }
        if let Some(bytes) = self.flags.huge_page_bytes() {
            write!(f, "{between}huge:{bytes:#x}")?;
            between = ",";
        }
        if self.flags.intersects(VmaFlags::PKEY_MASK) {
            write!(f, "{between}pkey:{}", self.flags.pkey())?;
        }
        match &self.object {
            Some((object, offset)) => write!(f, " {object} {offset:#x}"),
            None => f.write_str(" anon"),
        }
    }
}

/// Returns the lines that show where the layouts differ: `-` is the kernel's, `+` the library's. Empty if they are equal.
pub(super) fn compare(kernel: &[Exact], library: &[Exact]) -> Vec<String> {
    if kernel == library {
        return Vec::new();
    }
    let mut lines = Vec::new();
    // both lists are in order
    let (mut kernel, mut library) = (kernel.iter().peekable(), library.iter().peekable());
    loop {
        let (mark, vma) = match (kernel.peek(), library.peek()) {
            (Some(one), Some(other)) if one == other => {
                library.next();
                (' ', kernel.next())
            }
            (Some(one), Some(other)) if one.extent > other.extent => ('+', library.next()),
            (Some(_), _) => ('-', kernel.next()),
            (None, _) => ('+', library.next()),
        };
        let Some(vma) = vma else { return lines };
        lines.push(format!("  {mark} {vma}"));
    }
}

/// Returns the result of an operation in one line.
pub(super) fn shown(outcome: &Result<u64, Failure>) -> String {
    match outcome {
        Ok(value) => format!("{value:#x}"),
        Err(Failure { errno, why }) => format!("-{errno}: {why}"),
    }
}
