//! What an area maps, and the names of such things; layouts and `mmap` use them, nobody is called.

use std::fmt;

/// What an area maps. Two equal names are the same object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// Nothing: fresh pages, private.
    Anon,
    /// Anonymous memory that is shared.
    Shm(Name),
    /// A file.
    File(Name),
    /// Something that the kernel put there, outside the rules: `vdso`, `vvar`, `vsyscall`.
    Special(Name),
}

/// The name of an object: any bytes, but at least one.
///
/// A trace shows it as text, with blanks, `%`, `#`, control characters and what is not UTF-8 as `%XX`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The name of these bytes; none if there are none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// The bytes, as they are.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads a name as a trace shows it.
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
    /// Reads an object as a trace shows it.
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
