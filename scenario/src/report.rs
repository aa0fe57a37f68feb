//! The report of a run: each difference, the outcome of each record without an expected result, and a summary.
//!
//! Called by `runner`, by `diff` for [`Difference`], and by the program's `run` for the totals.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{self, Write};
use vmaple_trace::Line;

/// Counts of what a run did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Cases.
    pub cases: u64,
    /// Assertions that held.
    pub held: u64,
    /// Assertions that did not hold, and address spaces whose invariants did not.
    pub differing: u64,
    /// Address spaces whose invariants did not hold at their end; `differing` counts them, too.
    pub broken: u64,
    /// Cases that were left out because no process of this kernel can execute them.
    pub skipped: u64,
    /// Cases that were left out because this machine or this user lacks something, by what is lacking.
    pub left_out: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.held += other.held;
        self.differing += other.differing;
        self.broken += other.broken;
        self.skipped += other.skipped;
        for (need, count) in &other.left_out {
            *self.left_out.entry(need.clone()).or_default() += count;
        }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, held, differing, skipped, left_out, .. } = self;
        let (cases, held) = (counted(*cases, "case"), counted(*held, "assertion"));
        write!(f, "{cases}, {held} held{}{}", also(*differing, "differ"), also(*skipped, "not for this system"))?;
        if !left_out.is_empty() {
            let needs: Vec<String> = left_out.iter().map(|(need, count)| format!("{need} {count}")).collect();
            write!(f, "{} ({})", also(left_out.values().sum(), "left out"), needs.join(", "))?;
        }
        Ok(())
    }
}

/// Returns a count with its noun: `1 area`, `2 areas`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Returns `, N WHAT`, or nothing if the count is 0.
#[must_use]
pub fn also(count: u64, what: &str) -> String {
    if count == 0 { String::new() } else { format!(", {count} {what}") }
}

/// A difference: the two short answers, and lines that show the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Lines that show the layout around it.
    pub layout: Vec<String>,
}

/// The report of one file, written while the file is executed.
pub struct Report<'o> {
    out: &'o mut dyn Write,
    file: String,
    case: Option<String>,
    tally: Tally,
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("file", &self.file).field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl<'o> Report<'o> {
    /// Returns an empty report that is written to `out`; `file` is what it calls the scenario.
    pub fn new(out: &'o mut dyn Write, file: String) -> Self {
        Self { out, file, case: None, tally: Tally::default() }
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Begins a case, whose name the following differences show.
    pub(crate) fn case(&mut self, words: &str) {
        self.tally.cases += 1;
        // control characters are escaped, because a terminal would obey them
        self.case = Some(words.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect());
    }

    /// Counts an assertion that held.
    pub(crate) fn held(&mut self) {
        self.tally.held += 1;
    }

    /// Counts and writes an assertion that did not hold.
    pub(crate) fn differs(&mut self, line: &Line, difference: &Difference) -> io::Result<()> {
        self.differs_at(line.number, &asked(line), difference)
    }

    /// Counts and writes an address space whose invariants do not hold at its end.
    pub(crate) fn broken_at(&mut self, number: u64, found: String) -> io::Result<()> {
        self.tally.broken += 1;
        let expected = "an address space whose invariants hold".to_owned();
        self.differs_at(number, "the end of an address space", &Difference { expected, found, layout: Vec::new() })
    }

    fn differs_at(&mut self, number: u64, asked: &str, difference: &Difference) -> io::Result<()> {
        self.tally.differing += 1;
        let Difference { expected, found, layout } = difference;
        let case = self.case.as_ref().map(|case| format!("  (case {case})")).unwrap_or_default();
        writeln!(self.out, "{}:{number}: {asked}{case}", self.file)?;
        writeln!(self.out, "  expected {expected}")?;
        writeln!(self.out, "  found    {found}")?;
        for line in layout {
            writeln!(self.out, "  {line}")?;
        }
        Ok(())
    }

    /// Writes the outcome of a record that expects none.
    pub(crate) fn outcome(&mut self, line: &Line, found: &str) -> io::Result<()> {
        writeln!(self.out, "{}:{}: {} = {found}", self.file, line.number, asked(line))
    }

    /// Counts and writes a record that no process of this kernel can execute: the rest of the case is left out.
    pub(crate) fn skips(&mut self, line: &Line, why: &str) -> io::Result<()> {
        self.tally.skipped += 1;
        let case = self.case.as_ref().map(|case| format!("  (case {case})")).unwrap_or_default();
        writeln!(self.out, "{}:{}: {}: the case is left out: {why}{case}", self.file, line.number, asked(line))
    }

    /// Counts and writes a record that needs what this machine lacks: the rest of the case is left out.
    pub(crate) fn lacks(&mut self, line: &Line, need: &str) -> io::Result<()> {
        *self.tally.left_out.entry(need.to_owned()).or_default() += 1;
        let case = self.case.as_ref().map(|case| format!("  (case {case})")).unwrap_or_default();
        writeln!(self.out, "{}:{}: {}: left out: this machine lacks {need}{case}", self.file, line.number, asked(line))
    }

    /// Writes the counts as the last line.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn summary(&mut self) -> io::Result<()> {
        writeln!(self.out, "{}: {}", self.file, self.tally)
    }
}

/// Returns a record without its result.
pub(crate) fn asked(line: &Line) -> String {
    let text = line.record.to_string();
    match text.rsplit_once(" = ") {
        Some((asked, _)) => asked.to_owned(),
        None => text,
    }
}
