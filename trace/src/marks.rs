//! Marks: attributes that keep similar areas separate, because the kernel compares them before it merges two areas, and that neither permissions
//! nor flags show. Called by `line` and `show`, for areas, `mark` and `with`.

use super::{AreaFlags, Name};
use std::fmt;

/// A kind of mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarkKind {
    /// `open`: which opening of the file was mapped. Without this mark it is the first.
    Open,
    /// `policy`: the memory nodes that pages come from.
    Policy,
    /// `userfault`: the userfaultfd that handles page faults, and its modes. A word that ends in `+remap` stays with pages that are moved.
    Userfault,
    /// `name`: the name of anonymous memory.
    Name,
}

impl MarkKind {
    /// All kinds, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Open, Self::Policy, Self::Userfault, Self::Name];

    /// Returns the word of this kind in the format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Policy => "policy",
            Self::Userfault => "userfault",
            Self::Name => "name",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == text)
    }
}

/// The marks of an area, at most one of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks([Option<Name>; 4]);

impl Marks {
    /// Returns the mark of a kind.
    #[must_use]
    pub fn of(&self, kind: MarkKind) -> Option<&Name> {
        self.0[kind as usize].as_ref()
    }

    /// Sets the mark of a kind, or removes it.
    pub fn set(&mut self, kind: MarkKind, word: Option<Name>) {
        self.0[kind as usize] = word;
    }

    /// Returns whether there are no marks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Returns the marks with their kinds.
    pub fn iter(&self) -> impl Iterator<Item = (MarkKind, &Name)> {
        MarkKind::ALL.into_iter().filter_map(|kind| Some((kind, self.of(kind)?)))
    }

    /// Adds `KIND:WORD`; `None` if the text is something else, or there is a mark of this kind.
    fn take(&mut self, text: &str) -> Option<()> {
        let (kind, word) = text.split_once(':')?;
        let kind = MarkKind::from_text(kind)?;
        if self.of(kind).is_some() {
            return None;
        }
        self.set(kind, Some(Name::unescape(word)?));
        Some(())
    }
}

impl fmt::Display for Marks {
    /// Writes `KIND:WORD`, joined by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (kind, word) in self.iter() {
            write!(f, "{before}{}:{}", kind.word(), InList(word))?;
            before = ",";
        }
        Ok(())
    }
}

/// A name in a comma list: a comma in it is escaped.
struct InList<'a>(&'a Name);

impl fmt::Display for InList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().replace(',', "%2C"))
    }
}

/// Reads `-` or a comma list of flags and marks. Each word may occur once.
pub(super) fn flags_and_marks(text: &str) -> Option<(AreaFlags, Marks)> {
    let mut marks = Marks::default();
    let mut flags = String::new();
    for word in text.split(',') {
        if word.is_empty() {
            return None;
        }
        // `pkey:N` is a flag, not a mark
        if word.contains(':') && !word.starts_with("pkey:") {
            marks.take(word)?;
        } else {
            flags.push_str(if flags.is_empty() { "" } else { "," });
            flags.push_str(word);
        }
    }
    let flags = if flags.is_empty() { AreaFlags::EMPTY } else { AreaFlags::from_text(&flags)? };
    // `-` stands for neither, so it cannot occur together with marks
    (marks.is_empty() || !text.split(',').any(|word| word == "-")).then_some((flags, marks))
}

/// Writes flags and marks as one comma list; `-` if there are none.
pub(super) fn write_flags_and_marks(f: &mut fmt::Formatter<'_>, flags: AreaFlags, marks: &Marks) -> fmt::Result {
    match (flags == AreaFlags::EMPTY, marks.is_empty()) {
        (_, true) => write!(f, "{flags}"),
        (true, false) => write!(f, "{marks}"),
        (false, false) => write!(f, "{flags},{marks}"),
    }
}

/// The record `with`: what the arguments of the next operation do not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct With {
    /// Flags that the driver of the mapped object gives to the new area.
    pub flags: AreaFlags,
    /// Marks of the new area.
    pub marks: Marks,
    /// Why the kernel refused the operation, if no layout decides that.
    pub refused: Option<Name>,
}

impl With {
    /// Reads a comma list of flags, marks and `refused:CAUSE`.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut refused = None;
        let mut rest = Vec::new();
        for word in text.split(',') {
            match word.strip_prefix("refused:") {
                Some(cause) if refused.is_none() => refused = Some(Name::unescape(cause)?),
                Some(_) => return None,
                None => rest.push(word),
            }
        }
        let (flags, marks) = if rest.is_empty() { Default::default() } else { flags_and_marks(&rest.join(","))? };
        let with = Self { flags, marks, refused };
        (!with.is_empty() && !rest.contains(&"-")).then_some(with)
    }

    /// Returns whether this says nothing. A trace has no such record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flags, marks, refused } = self;
        let is_plain = *flags == AreaFlags::EMPTY && marks.is_empty();
        if !is_plain {
            write_flags_and_marks(f, *flags, marks)?;
        }
        match refused {
            Some(cause) => write!(f, "{}refused:{}", if is_plain { "" } else { "," }, InList(cause)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).expect("not empty")
    }

    #[test]
    fn flags_and_marks_share_a_list() {
        let (flags, marks) = flags_and_marks("locked,open:2,pkey:3,name:a%2Cb:c,io").expect("a list");
        assert_eq!(flags, AreaFlags::LOCKED.union(AreaFlags::IO).union(AreaFlags::of_pkey(3)));
        assert_eq!((marks.of(MarkKind::Open), marks.of(MarkKind::Name)), (Some(&name("2")), Some(&name("a,b:c"))));
        assert_eq!(marks.to_string(), "open:2,name:a%2Cb:c");
        assert_eq!(flags_and_marks("-"), Some(Default::default()));
        assert_eq!(flags_and_marks("policy:x").map(|(_, marks)| marks.to_string()), Some("policy:x".to_owned()));
        for wrong in ["", "open:2,open:3", "-,open:2", "open:", "opens:2", "locked,locked", "open"] {
            assert_eq!(flags_and_marks(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_with_record_is_read_and_never_empty() {
        let with = With::from_text("dontexpand,open:3,refused:no%20room").expect("a list");
        assert_eq!((with.flags, with.refused.as_ref()), (AreaFlags::DONTEXPAND, Some(&name("no room"))));
        assert_eq!(with.to_string(), "dontexpand,open:3,refused:no%20room");
        assert_eq!(With::from_text("refused:x").map(|with| with.to_string()), Some("refused:x".to_owned()));
        for wrong in ["-", "", "refused:", "refused:a,refused:b", "-,refused:a"] {
            assert_eq!(With::from_text(wrong), None, "{wrong}");
        }
    }
}
