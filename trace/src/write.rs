//! The writer of traces; `record` comes in, and the tests that read back what was written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{HEADER, PROMISE, Record, Stamp};

/// Writes a trace record by record. [`Writer::finish`] completes it; a writer that is only dropped may lose its end.
pub struct Writer {
    output: Output,
    ending: Ending,
}

/// How a trace ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its last record.
    Open,
    /// With the line `complete`, which the first line promises: a reader then recognizes a trace that was cut short, also between two lines.
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
    /// Creates or empties a file and writes the first line; a name that ends in `.gz` is compressed.
    ///
    /// # Errors
    /// When the file cannot be created or written.
    pub fn create(path: &Path, ending: Ending) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        if path.extension().is_some_and(|extension| extension == "gz") {
            Self::begin(Output::Gzip(Box::new(GzEncoder::new(Box::new(file), Compression::best()))), ending)
        } else {
            Self::begin(Output::Plain(Box::new(file)), ending)
        }
    }

    /// Writes plain text, beginning with the first line.
    ///
    /// # Errors
    /// When the output cannot be written.
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

    /// Writes a comment; line feeds in it begin new comments.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.sink(), "# {line}")?;
        }
        Ok(())
    }

    /// Writes one record.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn record(&mut self, stamp: Option<Stamp>, record: &Record) -> io::Result<()> {
        match stamp {
            Some(stamp) => writeln!(self.sink(), "{stamp} {record}"),
            None => writeln!(self.sink(), "{record}"),
        }
    }

    /// Hands everything written so far to the system, as far as compression allows.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink().flush()
    }

    /// Completes the trace.
    ///
    /// # Errors
    /// When the output cannot be written.
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
