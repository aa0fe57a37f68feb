//! The reader: an iterator over the records of a trace.
//!
//! Public through the crate's root. It calls `line` for each line. Whatever the input, it holds at most one line, and ends with the last record
//! or with one [`TraceError`]; it never panics.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::fields::Fields;
use super::line::{self, Place};
use super::{HEADER, Line, MAX_AREAS, MAX_LINE_BYTES, PROMISE, Record, TraceError, TraceFault};

/// Reads a trace record by record. After an error it returns `None`.
pub struct Reader {
    file: String,
    input: Box<dyn BufRead>,
    number: u64,
    state: State,
    /// What the first line says about the end of the trace.
    whole: Whole,
    place: Place,
    /// The number of areas so far, in the layout and in the current block.
    areas: u64,
    block: u64,
    /// The end of the last line of the block.
    block_end: u64,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first line.
    Fresh,
    /// Between records.
    Open,
    /// After the end, or after an error.
    Over,
}

/// Whether a trace says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// The first line says nothing: the trace ends with the file.
    Unsaid,
    /// The first line says that the trace ends with `complete`.
    Promised,
    /// The line `complete` was read.
    Complete,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("file", &self.file).field("number", &self.number).finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a trace. A file whose name ends in `.gz` is decompressed.
    ///
    /// # Errors
    /// If the file cannot be opened, is a directory, or is empty.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| {
            let about = file.metadata()?;
            // a directory can be opened, but not read
            if about.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok((file, about.is_file() && about.len() == 0)) }
        });
        let opened = match opened {
            Ok((_, true)) => return Err(TraceError { file: name, line: 0, fault: TraceFault::Empty }),
            Ok((file, false)) => Ok(file),
            Err(error) => Err(error),
        };
        match opened {
            Ok(file) if path.extension().is_some_and(|extension| extension == "gz") => Ok(Self::gzip(name, file)),
            Ok(file) => Ok(Self::new(name, BufReader::new(file))),
            Err(error) => Err(TraceError { file: name, line: 0, fault: error.into() }),
        }
    }

    /// Reads a trace that is compressed with gzip; error messages call it `name`.
    pub fn gzip(name: impl Into<String>, input: impl io::Read + 'static) -> Self {
        Self::new(name, BufReader::new(MultiGzDecoder::new(BufReader::new(input))))
    }

    /// Reads a trace as text; error messages call it `name`.
    pub fn new(name: impl Into<String>, input: impl BufRead + 'static) -> Self {
        Self {
            file: name.into(),
            input: Box::new(input),
            number: 0,
            state: State::Fresh,
            whole: Whole::Unsaid,
            place: Place::Outside,
            areas: 0,
            block: 0,
            block_end: 0,
            buffer: Vec::new(),
        }
    }

    /// Returns what error messages call the trace.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Reads up to the next record.
    fn advance(&mut self) -> Result<Option<Line>, TraceFault> {
        if self.state == State::Fresh {
            if !self.fill()? {
                self.number = 1;
                return Err(TraceFault::ends("file", format!("`{HEADER}`")));
            }
            let first = text(&self.buffer)?;
            self.whole = match first.trim_end_matches([' ', '\t']).strip_prefix(HEADER) {
                Some("") => Whole::Unsaid,
                Some(PROMISE) => Whole::Promised,
                _ => return Err(TraceFault::unexpected(first, format!("`{HEADER}`"))),
            };
            self.state = State::Open;
        }
        while self.fill()? {
            if self.is_the_end()? {
                continue;
            }
            if let Some((stamp, record)) = line::record(text(&self.buffer)?, self.place)? {
                self.check(&record)?;
                return Ok(Some(Line { number: self.number, stamp, record }));
            }
        }
        match (self.place, self.whole) {
            (Place::Outside, Whole::Promised) => Err(TraceFault::ends("file", "`complete` (was the trace cut short?)")),
            (Place::Outside, _) => Ok(None),
            _ => Err(TraceFault::ends("file", "`end` of the block (was the trace cut short?)")),
        }
    }

    /// Returns whether the line is `complete`, or a blank line or comment after it.
    fn is_the_end(&mut self) -> Result<bool, TraceFault> {
        let mut fields = Fields::of(text(&self.buffer)?);
        match (fields.optional(), self.whole) {
            (Some(first), Whole::Complete) => return Err(TraceFault::unexpected(first, "nothing after `complete`")),
            (Some("complete"), Whole::Promised) if self.place == Place::Outside => {}
            _ => return Ok(false),
        }
        fields.done()?;
        self.whole = Whole::Complete;
        Ok(true)
    }

    /// Checks what depends on the lines before.
    fn check(&mut self, record: &Record) -> Result<(), TraceFault> {
        match record {
            Record::Area(_) => self.areas += 1,
            Record::Reset => self.areas = 0,
            Record::Maps => self.begin_block(Place::InMaps),
            Record::Cover => self.begin_block(Place::InCover),
            Record::End => self.place = Place::Outside,
            Record::Expected(line) => {
                if line.extent.start < self.block_end {
                    let found = line.extent.to_string();
                    let expected = format!("an area at or above {:#x}, where the one before ends", self.block_end);
                    return Err(TraceFault::unexpected(&found, expected));
                }
                self.block_end = line.extent.end;
                self.block += 1;
            }
            _ => {}
        }
        if self.areas > MAX_AREAS || self.block > MAX_AREAS { Err(TraceFault::TooManyAreas) } else { Ok(()) }
    }

    fn begin_block(&mut self, place: Place) {
        self.place = place;
        self.block = 0;
        self.block_end = 0;
    }

    /// Reads the next line into the buffer, without its line feed. Returns `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, TraceFault> {
        self.buffer.clear();
        self.number += 1;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if available.is_empty() {
                if self.buffer.is_empty() {
                    self.number -= 1;
                    return Ok(false);
                }
                // the part of a line may look like a valid line
                return Err(TraceFault::ends("file", "a line feed after the last line (was the trace cut short?)"));
            }
            let feed = available.iter().position(|byte| *byte == b'\n');
            let taken = feed.unwrap_or(available.len());
            if self.buffer.len() + taken > MAX_LINE_BYTES {
                return Err(TraceFault::LineTooLong);
            }
            self.buffer.extend_from_slice(&available[..taken]);
            self.input.consume(taken + usize::from(feed.is_some()));
            if feed.is_some() {
                return Ok(true);
            }
        }
    }
}

fn text(line: &[u8]) -> Result<&str, TraceFault> {
    std::str::from_utf8(line).map_err(|_| TraceFault::unexpected(&String::from_utf8_lossy(line), "text in UTF-8"))
}

impl Iterator for Reader {
    type Item = Result<Line, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Over {
            return None;
        }
        match self.advance() {
            Ok(Some(line)) => Some(Ok(line)),
            Ok(None) => {
                self.state = State::Over;
                None
            }
            Err(fault) => {
                self.state = State::Over;
                Some(Err(TraceError { file: self.file.clone(), line: self.number, fault }))
            }
        }
    }
}

impl std::iter::FusedIterator for Reader {}

#[cfg(test)]
mod tests {
    use super::{MAX_AREAS, Reader};
    use crate::TraceFault;

    #[test]
    fn more_than_sixteen_million_areas_are_refused() {
        let area = "area 1000-2000 rw-p - anon -";
        for (trace, counted) in [
            (format!("vmaple-trace 1\n{area}\n{area}\n"), "areas"),
            ("vmaple-trace 1\nmaps\n1000-2000\n2000-3000\nend\n".to_owned(), "block"),
        ] {
            let mut reader = Reader::new("many", std::io::Cursor::new(trace));
            if counted == "block" {
                assert!(matches!(reader.next(), Some(Ok(_))));
                reader.block = MAX_AREAS - 1;
            } else {
                reader.areas = MAX_AREAS - 1;
            }
            assert!(matches!(reader.next(), Some(Ok(_))), "{counted}: the last that fits");
            let error = reader.next().expect("an error").expect_err("one too many");
            assert!(matches!(error.fault, TraceFault::TooManyAreas), "{counted}: {error}");
            assert!(reader.next().is_none());
        }
    }
}
