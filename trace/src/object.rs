//! What an area maps, and the names of objects. Called by `line`, `show` and `marks`.

use std::fmt;

/// The object that an area maps. Objects with equal names are the same object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// No object: private anonymous memory.
    Anon,
    /// Shared anonymous memory.
    Shm(Name),
    /// A file.
    File(Name),
    /// Memory that the kernel maps itself, to which no rules apply: `vdso`, `vvar`, `vsyscall`.
    Special(Name),
}

/// The offset at which a mapping begins in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offset {
    /// `-`: the address itself for private anonymous memory, otherwise 0.
    Default,
    /// That many bytes.
    Bytes(u64),
}

/// The name of an object: one or more bytes of any value.
///
/// In a trace, blanks, `%`, `#`, control characters and bytes that are not UTF-8 are written as `%XX`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Returns the name with these bytes; `None` if there are none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// Returns the bytes, unescaped.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads a name as a trace writes it.
    pub(crate) fn unescape(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte == b'%' {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                bytes.push(hex_digit(digits[0])? << 4 | hex_digit(digits[1])?);
            } else if byte.is_ascii_control() {
                return None;
            } else {
                bytes.push(byte);
            }
        }
        Self::new(&bytes)
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                if matches!(letter, '%' | '#') || letter.is_whitespace() || letter.is_control() {
                    let mut buffer = [0; 4];
                    for byte in letter.encode_utf8(&mut buffer).bytes() {
                        write!(f, "%{byte:02X}")?;
                    }
                } else {
                    write!(f, "{letter}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anon => f.write_str("anon"),
            Self::Shm(name) => write!(f, "shm:{name}"),
            Self::File(name) => write!(f, "file:{name}"),
            Self::Special(name) => write!(f, "special:{name}"),
        }
    }
}

impl Object {
    /// Reads an object as a trace writes it.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if text == "anon" {
            return Some(Self::Anon);
        }
        let (kind, name) = text.split_once(':')?;
        let name = Name::unescape(name)?;
        match kind {
            "shm" => Some(Self::Shm(name)),
            "file" => Some(Self::File(name)),
            "special" => Some(Self::Special(name)),
            _ => None,
        }
    }
}
