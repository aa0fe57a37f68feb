//! Why a trace cannot be read, with file and line.
//!
//! Made by `parse`, `line` and `fields`. Text from the file is quoted, escaped and shortened here, because it may be anything.

use crate::{MAX_AREAS, MAX_LINE_BYTES};
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

/// The most characters of the input that a message repeats.
const MAX_SHOWN: usize = 100;

/// A trace could not be read: the file, the line, and the reason.
#[derive(Debug)]
pub struct TraceError {
    /// The file as the caller named it.
    pub file: String,
    /// The line, counted from 1; 0 if the file could not be opened.
    pub line: u64,
    /// The reason.
    pub fault: TraceFault,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, fault } = self;
        write!(f, "{file}:{line}: {fault}")
    }
}

impl Error for TraceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.fault)
    }
}

/// What is wrong with a line of a trace.
#[derive(Debug)]
#[non_exhaustive]
pub enum TraceFault {
    /// The file could not be opened or read. A compressed file that was cut short ends with this.
    Io(io::Error),
    /// The file is empty.
    Empty,
    /// The line has something else than the format allows there.
    Unexpected {
        /// What the line has, quoted and shortened.
        found: String,
        /// What the format allows there.
        expected: Cow<'static, str>,
    },
    /// The line has more than [`MAX_LINE_BYTES`] bytes.
    LineTooLong,
    /// A layout or a block has more than [`MAX_AREAS`] areas.
    TooManyAreas,
}

impl fmt::Display for TraceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "cannot be read: {error} (was the trace cut short?)")
            }
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Empty => f.write_str("the file is empty: a recorder that is killed before it writes anything leaves such a file"),
            Self::Unexpected { found, expected } => write!(f, "read {found}, expected {expected}"),
            Self::LineTooLong => write!(f, "read a line of more than {MAX_LINE_BYTES} bytes, expected at most that"),
            Self::TooManyAreas => write!(f, "read more than {MAX_AREAS} areas, expected at most that in one layout"),
        }
    }
}

impl Error for TraceFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for TraceFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl TraceFault {
    /// Returns the fault of a line that has `found` instead of what is `expected`; quotes, escapes and shortens `found`.
    #[must_use]
    pub fn unexpected(found: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::Unexpected { found: Quoted(found).to_string(), expected: expected.into() }
    }

    /// The line, the file or the block (`what`) ends where the format requires `expected`.
    pub(crate) fn ends(what: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::Unexpected { found: format!("the end of the {what}"), expected: expected.into() }
    }
}

/// Shows text from the file: quoted, with control characters escaped, and cut after [`MAX_SHOWN`] characters.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
        let more = if self.0.chars().nth(MAX_SHOWN).is_some() { "..." } else { "" };
        write!(f, "`{shown}{more}`")
    }
}
