//! What a run says: each difference where it is found, what was asked and not expected, and a summary. The runner comes in.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{self, Write};
use vmaple_trace::Line;

/// How much was asked, and what came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) cases: u64,
    pub(super) held: u64,
    pub(super) differing: u64,
    /// Of what differs, the address spaces whose invariants did not hold in the end.
    pub(super) broken: u64,
    /// Cases that were not executed to their end because no process of such a system can have them.
    pub(super) skipped: u64,
    /// And those that this machine, or this user, lacks something for: what it is, and how many.
    pub(super) left_out: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
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

/// `1 area`, `2 areas`.
pub(super) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `, N WHAT`, unless there are none.
pub(super) fn also(count: u64, what: &str) -> String {
    if count == 0 { String::new() } else { format!(", {count} {what}") }
}

/// What differs: two short answers, and lines that show the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) layout: Vec<String>,
}

/// The report of one file, written as it comes.
pub(super) struct Report<'o> {
    out: &'o mut dyn Write,
    file: String,
    case: Option<String>,
    tally: Tally,
}

impl<'o> Report<'o> {
    pub(super) fn new(out: &'o mut dyn Write, file: String) -> Self {
        Self { out, file, case: None, tally: Tally::default() }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// `case`: the name of what follows.
    pub(super) fn case(&mut self, words: &str) {
        self.tally.cases += 1;
        // a terminal would obey what it is shown
        self.case = Some(words.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect());
    }

    /// An assertion held.
    pub(super) fn held(&mut self) {
        self.tally.held += 1;
    }

    /// An assertion did not.
    pub(super) fn differs(&mut self, line: &Line, difference: &Difference) -> io::Result<()> {
        self.differs_at(line.number, &asked(line), difference)
    }

    /// The invariants of an address space do not hold at its end, which no record asked for.
    pub(super) fn broken_at(&mut self, number: u64, found: String) -> io::Result<()> {
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

    /// The outcome of what was not to be checked.
    pub(super) fn outcome(&mut self, line: &Line, found: &str) -> io::Result<()> {
        writeln!(self.out, "{}:{}: {} = {found}", self.file, line.number, asked(line))
    }

    /// A record that this system cannot execute: the rest of the case is left out.
    pub(super) fn skips(&mut self, line: &Line, why: &str) -> io::Result<()> {
        self.tally.skipped += 1;
        let case = self.case.as_ref().map(|case| format!("  (case {case})")).unwrap_or_default();
        writeln!(self.out, "{}:{}: {}: the case is left out: {why}{case}", self.file, line.number, asked(line))
    }

    /// A record that needs what this machine lacks: the rest of the case is left out.
    pub(super) fn lacks(&mut self, line: &Line, need: &str) -> io::Result<()> {
        *self.tally.left_out.entry(need.to_owned()).or_default() += 1;
        let case = self.case.as_ref().map(|case| format!("  (case {case})")).unwrap_or_default();
        writeln!(self.out, "{}:{}: {}: left out: this machine lacks {need}{case}", self.file, line.number, asked(line))
    }

    /// How it all ended.
    pub(super) fn summary(&mut self) -> io::Result<()> {
        writeln!(self.out, "{}: {}", self.file, self.tally)
    }
}

/// The record without its result.
pub(super) fn asked(line: &Line) -> String {
    let text = line.record.to_string();
    match text.rsplit_once(" = ") {
        Some((asked, _)) => asked.to_owned(),
        None => text,
    }
}
