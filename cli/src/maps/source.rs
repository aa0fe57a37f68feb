//! The source of a map: a process by its number, a file, or the standard input. Called by `maps` and `watch`. `procmaps` reads the text.

use crate::procmaps::{self, MapLine, MapsError};
use anyhow::{Context as _, Result};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::sync::Arc;

/// How often a live map is read again when a change fell between two of the kernel's pages of it.
const ATTEMPTS: u32 = 5;

/// What the user named.
#[derive(Debug)]
pub(super) enum Source {
    /// A process, by its number or `self`.
    Process(String),
    /// A saved text.
    File(String),
    /// The text on standard input.
    StandardInput,
}

impl Source {
    /// Digits are a process, `-` the standard input, everything else a file.
    pub(super) fn of(text: &str) -> Self {
        if text == "-" {
            Self::StandardInput
        } else if text == "self" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())) {
            Self::Process(text.to_owned())
        } else {
            Self::File(text.to_owned())
        }
    }

    /// Reads the whole map.
    pub(super) fn load(&self) -> Result<Vec<Arc<MapLine>>> {
        let lines = match self {
            Self::StandardInput => procmaps::read(std::io::stdin().lock(), "standard input")?,
            Self::File(path) => read_file(path)?,
            Self::Process(_) => self.load_live()?,
        };
        Ok(lines.into_iter().map(Arc::new).collect())
    }

    /// The kernel hands the text out a page at a time; an area that changes between two pages can come twice.
    fn load_live(&self) -> Result<Vec<MapLine>> {
        let path = self.to_string();
        let mut attempt = 1;
        loop {
            match read_file(&path) {
                Err(error) if attempt < ATTEMPTS && is_torn(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    /// Reads the map again; `None` if the process or the file no longer exists.
    pub(super) fn load_again(&self) -> Result<Option<Vec<Arc<MapLine>>>> {
        match self.load() {
            // a process that has ended and was not waited for yet has a map without lines
            Ok(lines) if lines.is_empty() && matches!(self, Self::Process(_)) => Ok(None),
            Ok(lines) => Ok(Some(lines)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The command of a process, for the heading.
    pub(super) fn command(&self) -> Option<String> {
        let Self::Process(pid) = self else {
            return None;
        };
        let text = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(text.trim_end().to_owned())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "/proc/{pid}/maps"),
            Self::File(path) => f.write_str(path),
            Self::StandardInput => f.write_str("standard input"),
        }
    }
}

fn read_file(path: &str) -> Result<Vec<MapLine>> {
    let file = File::open(path).with_context(|| path.to_owned())?;
    Ok(procmaps::read(BufReader::new(file), path)?)
}

fn is_torn(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(MapsError::Order { .. }))
}

fn is_gone(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == ErrorKind::NotFound || io.raw_os_error() == Some(nix::libc::ESRCH))
}
