//! The writer of traces. Public through the crate's root; records write themselves (`show`).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{HEADER, PROMISE, Record, Stamp};

/// Writes a trace record by record. Call [`Writer::finish`] at the end: a writer that is dropped instead may lose the last records.
pub struct Writer {
    output: Output,
    ending: Ending,
}

/// How a trace ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The trace ends with its last record.
    Open,
    /// The trace ends with the line `complete`, and its first line says so. A reader then recognizes a trace that was cut short, even
    /// between two lines.
    Promised,
}

enum Output {
    Plain(Box<dyn Write>),
    Gzip(Box<GzEncoder<Box<dyn Write>>>),
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Creates a file, or empties an existing one, and writes the first line. A file whose name ends in `.gz` is compressed.
    ///
    /// # Errors
    /// If the file cannot be created or written.
    pub fn create(path: &Path, ending: Ending) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        if path.extension().is_some_and(|extension| extension == "gz") {
            Self::begin(Output::Gzip(Box::new(GzEncoder::new(Box::new(file), Compression::best()))), ending)
        } else {
            Self::begin(Output::Plain(Box::new(file)), ending)
        }
    }

    /// Writes a trace as plain text to `output`.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn new(output: impl Write + 'static) -> io::Result<Self> {
        Self::begin(Output::Plain(Box::new(output)), Ending::Open)
    }

    fn begin(output: Output, ending: Ending) -> io::Result<Self> {
        let mut writer = Self { output, ending };
        let promise = if ending == Ending::Promised { PROMISE } else { "" };
        writeln!(writer.sink(), "{HEADER}{promise}")?;
        Ok(writer)
    }

    fn sink(&mut self) -> &mut dyn Write {
        match &mut self.output {
            Output::Plain(output) => output,
            Output::Gzip(output) => output,
        }
    }

    /// Writes a comment. Each line of the text becomes a comment of its own.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.sink(), "# {line}")?;
        }
        Ok(())
    }

    /// Writes one record.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn record(&mut self, stamp: Option<Stamp>, record: &Record) -> io::Result<()> {
        match stamp {
            Some(stamp) => writeln!(self.sink(), "{stamp} {record}"),
            None => writeln!(self.sink(), "{record}"),
        }
    }

    /// Flushes what was written so far to the output, as far as compression allows.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink().flush()
    }

    /// Writes the end of the trace and flushes the output.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        if self.ending == Ending::Promised {
            writeln!(self.sink(), "complete")?;
        }
        match self.output {
            Output::Plain(mut output) => output.flush(),
            Output::Gzip(output) => output.finish()?.flush(),
        }
    }
}
