//! What can be wrong with a trace, said with file and line; the reader makes these, every caller prints them.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// The most characters of what was read that a message repeats.
const MAX_SHOWN: usize = 100;

/// Why a trace could not be read, and where.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {fault}")]
pub struct TraceError {
    /// The file as the caller named it.
    pub file: String,
    /// The line, from 1; 0 when the file could not be opened.
    pub line: u64,
    /// What is wrong there.
    #[source]
    pub fault: TraceFault,
}

/// What is wrong with a line of a trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceFault {
    /// The file could not be opened or read on; so ends a compressed file that was cut short.
    #[error("cannot be read: {0}{hint}", hint = if .0.kind() == io::ErrorKind::UnexpectedEof { " (was the trace cut short?)" } else { "" })]
    Io(#[from] io::Error),
    /// There is nothing in the file.
    #[error("the file is empty: a recorder that is killed leaves such a file when it has written nothing yet")]
    Empty,
    /// Something else was expected than what stands there.
    #[error("read {found}, expected {expected}")]
    Unexpected {
        /// What stands there, quoted and shortened.
        found: String,
        /// What would have been right.
        expected: Cow<'static, str>,
    },
    /// The line is longer than the format allows.
    #[error("read a line of more than {max} bytes, expected at most that", max = super::MAX_LINE_BYTES)]
    LineTooLong,
    /// A layout has more areas than the format allows.
    #[error("read more than {max} areas, expected at most that in one layout", max = super::MAX_AREAS)]
    TooManyAreas,
}

impl TraceFault {
    /// `found` stands where `expected` should.
    pub(crate) fn unexpected(found: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::Unexpected { found: Quoted(found).to_string(), expected: expected.into() }
    }

    /// The line, the file or the block ends where `expected` should stand.
    pub(crate) fn ends(what: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::Unexpected { found: format!("the end of the {what}"), expected: expected.into() }
    }
}

/// Shows hostile text harmlessly: quoted, escaped and cut.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
        let more = if self.0.chars().nth(MAX_SHOWN).is_some() { "..." } else { "" };
        write!(f, "`{shown}{more}`")
    }
}
