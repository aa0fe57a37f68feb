//! The exact check: performs the history, operation by operation, in an address space of the library (`Mm`), whose rules decide which VMAs
//! split and merge. Its layout must equal every recorded layout, VMA by VMA, with permissions, flags, objects and offsets.
//!
//! Called by `replay::run` while the trace is read: [`Follower::line`] is called with each record before `history` reads it. `follow` performs
//! the operations, `compare` finds differences and their causes, and `resync` gives the address space the kernel's layout, so that a
//! difference is reported once. The address space is that of `vmaple-scenario`.

mod compare;
mod follow;
mod known;
mod resync;
#[cfg(test)]
mod tests;

use compare::Cause;
use follow::Followed;
use known::{Faults, Since};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vmaple::VmaFlags;
use vmaple_scenario::layout::{compare_cover, within};
use vmaple_scenario::mm_space::MmSpace;
use vmaple_scenario::space::{Refusal, Space as _};
use vmaple_scenario::spaces::Spaces;
use vmaple_trace::{Access, Expected, Extent, ForkOutcome, Found, Line, Object, Offset, Operation, Record, Stamp, With};

/// The most lines of one block. A longer block ends the check.
const BLOCK_LINES: usize = 1 << 20;
/// The most areas of all children together that are kept until their first operation.
const CHILDREN_AREAS: usize = 1 << 20;
/// The most differences of each kind that are kept for the report; all are counted.
const MAX_FINDINGS: usize = 20;

/// What the exact check found, as `--json` writes it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Exact {
    /// `maps` blocks.
    pub(super) layouts: u64,
    /// VMAs of these blocks.
    pub(super) areas: u64,
    /// Blocks that the address space's layout equalled, VMA by VMA.
    pub(super) equal_layouts: u64,
    /// `cover` blocks, `count`, `vm` and `seq` lines.
    pub(super) counts: u64,
    /// Results of operations that were compared.
    pub(super) results: u64,
    /// Operations that the kernel refused for a cause that no layout decides, and how many of them for each cause.
    pub(super) outside: u64,
    pub(super) refused: BTreeMap<String, u64>,
    /// How often something was done that is not recorded, by its name.
    pub(super) unrecorded: BTreeMap<String, u64>,
    /// Operations that the library does not support. They are left out.
    pub(super) unsupported: u64,
    /// Mappings whose place the kernel chose.
    pub(super) placements: u64,
    /// Of these, how many the library would have placed there.
    pub(super) placed_alike: u64,
    /// Of the others, how many are large parts of files where the file system aligns such parts for huge pages.
    pub(super) placed_by_file_system: u64,
    /// The first of all others.
    pub(super) placed_elsewhere: Vec<Finding>,
    /// VMAs that got an owner of their private pages by a recorded fault, and by what a later layout shows alone.
    pub(super) owners_by_faults: u64,
    pub(super) owners_by_layouts: u64,
    /// Differences that the recording cannot decide, by cause.
    pub(super) explained: BTreeMap<&'static str, u64>,
    /// The first of them.
    pub(super) explained_examples: Vec<Finding>,
    /// Differences without such a cause.
    pub(super) unexplained: u64,
    /// The first of them.
    pub(super) unexplained_examples: Vec<Finding>,
    /// Why the check ended before the trace; `None` if it did not.
    pub(super) ended_early: Option<String>,
    /// Operations that were done, and the time that they took.
    pub(super) operations: u64,
    pub(super) seconds: f64,
}

/// A finding of the report: the line of the trace, the text, and the layout around it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) line: u64,
    pub(super) text: String,
    pub(super) around: Vec<String>,
}

impl Exact {
    /// Returns whether every difference has a cause in the recording.
    pub(super) fn holds(&self) -> bool {
        self.unexplained == 0
    }

    /// Returns the areas around an address, or nothing if the report is full, because then they are not printed.
    fn around(&self, space: &MmSpace, at: Option<u64>) -> Vec<String> {
        if self.unexplained_examples.len() == MAX_FINDINGS {
            return Vec::new();
        }
        space.around(at).unwrap_or_default()
    }

    fn unexplained(&mut self, line: u64, text: String, around: Vec<String>) {
        self.unexplained += 1;
        keep(&mut self.unexplained_examples, Finding { line, text, around });
    }

    fn explained(&mut self, line: u64, cause: &Cause, text: &str, around: Vec<String>) {
        *self.explained.entry(cause.word()).or_default() += 1;
        keep(&mut self.explained_examples, Finding { line, text: format!("{text}; cause: {cause}"), around });
    }
}

/// Returns whether a record maps a part of a file that is large enough for a huge page, at an address at which one fits.
fn is_aligned_file(record: &Record, at: u64) -> bool {
    const HUGE_PAGE: u64 = 2 << 20;
    let Record::Operation(Operation::Mmap { len, object: Object::File(_), offset: Offset::Bytes(offset), .. }, _) = record else {
        return false;
    };
    *len >= HUGE_PAGE && at.wrapping_sub(*offset).is_multiple_of(HUGE_PAGE)
}

/// Counts something by its name. A trace may have any number of names; beyond `NAMES` they count as one.
fn count(counts: &mut BTreeMap<String, u64>, name: String) {
    const NAMES: usize = 64;
    let name = if counts.len() < NAMES || counts.contains_key(&name) { name } else { "others".to_owned() };
    *counts.entry(name).or_default() += 1;
}

fn keep(list: &mut Vec<Finding>, finding: Finding) {
    if list.len() < MAX_FINDINGS {
        list.push(finding);
    }
}

/// Performs a recording in an address space and compares.
pub(super) struct Follower {
    /// `None` when the check has ended.
    spaces: Option<Spaces<MmSpace>>,
    window: Option<Extent>,
    /// The block that is being read, and its line.
    block: Option<(Block, u64, Vec<Expected>)>,
    children_areas: usize,
    faults: Faults,
    /// Whether the end of the heap is known.
    heap_known: bool,
    /// The `with` record of the next operation.
    with: With,
    since: Since,
    time: Duration,
    exact: Exact,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Maps,
    Cover,
}

impl Follower {
    pub(super) fn new() -> Self {
        let (spaces, ended_early) = match Spaces::begin() {
            Ok(spaces) => (Some(spaces), None),
            Err(refusal) => (None, Some(refusal.to_string())),
        };
        Self {
            spaces,
            window: None,
            block: None,
            children_areas: 0,
            faults: Faults::default(),
            heap_known: false,
            with: With::default(),
            since: Since::default(),
            time: Duration::ZERO,
            exact: Exact { ended_early, ..Exact::default() },
        }
    }

    /// Performs one record. A record that the address space cannot perform ends this check only.
    pub(super) fn line(&mut self, line: &Line) {
        let Some(mut spaces) = self.spaces.take() else { return };
        if let Some(Stamp { tid, .. }) = line.stamp
            && self.since.threads.len() < 1 << 16
        {
            self.since.threads.insert(tid);
        }
        match self.record(&mut spaces, line) {
            Ok(()) => self.spaces = Some(spaces),
            Err(refusal) => self.exact.ended_early = Some(format!("line {}: {refusal}", line.number)),
        }
    }

    /// Returns the results, with broken invariants of the address spaces that are left.
    pub(super) fn finish(mut self) -> Exact {
        let broken: Vec<String> =
            self.spaces.iter().flat_map(Spaces::all).filter_map(|space| space.verdict().err()).map(|failure| failure.why).collect();
        for why in broken {
            self.exact.unexplained(0, format!("expected an address space whose invariants hold, found {why}"), Vec::new());
        }
        self.exact.seconds = self.time.as_secs_f64();
        self.exact
    }

    fn record(&mut self, spaces: &mut Spaces<MmSpace>, line: &Line) -> Result<(), Refusal> {
        self.faults.follow_start(line, self.exact.operations == 0);
        match &line.record {
            Record::Set(setting) => spaces.current()?.set(*setting)?,
            Record::Area(area) => spaces.current()?.place(area)?,
            Record::Operation(operation, outcome) => {
                let space = spaces.current()?;
                let with = std::mem::take(&mut self.with);
                space.note(&with)?;
                let began = Instant::now();
                let followed = follow::follow(space, operation, *outcome, with.refused.as_ref(), &mut self.heap_known);
                self.time += began.elapsed();
                self.exact.operations += 1;
                self.followed(space, line, followed);
            }
            Record::With(with) => self.with = with.clone(),
            Record::Own(extent) => spaces.current()?.own(*extent)?,
            Record::Unrecorded(what) => {
                count(&mut self.exact.unrecorded, what.to_string());
                self.since.unrecorded.get_or_insert_with(|| what.clone());
            }
            Record::Fork(outcome) => self.fork(spaces, outcome)?,
            Record::As(name) => spaces.choose(name)?,
            Record::Exit => drop(spaces.exit()?),
            Record::Grew(extent) => {
                self.since.growths += 1;
                self.grow(spaces.current()?, *extent, line.number);
            }
            Record::Fault { addr, access, found, .. } => {
                self.faults.any = true;
                if *access == Access::Write {
                    self.faults.written.insert(*addr);
                }
                let space = spaces.current()?;
                if let Found::Area(extent) = found
                    && extent.contains(*addr)
                    && space.mm.pin().lookup(*addr).is_none()
                {
                    self.grow(space, *extent, line.number);
                }
                self.own(space, *addr, *access);
            }
            Record::Maps => self.block = Some((Block::Maps, line.number, Vec::new())),
            Record::Cover => self.block = Some((Block::Cover, line.number, Vec::new())),
            Record::Expected(expected) => {
                if let Some((_, _, lines)) = &mut self.block {
                    if lines.len() == BLOCK_LINES {
                        return Err(Refusal::Area(format!("a block has more than {BLOCK_LINES} lines")));
                    }
                    lines.push(expected.clone());
                }
            }
            Record::End => match self.block.take() {
                Some((Block::Maps, at, lines)) => self.maps(spaces.current()?, at, &lines)?,
                Some((Block::Cover, at, lines)) => self.cover(spaces.current()?, at, &lines)?,
                None => {}
            },
            Record::Count(count) => {
                let found = spaces.current()?.count(self.window)?;
                self.value(line, &format!("{count} areas"), &format!("{found} areas"));
            }
            Record::Vm(expected) => {
                let found = vmaple_scenario::asked_for(*expected, spaces.current()?.vm()?);
                self.value(line, &expected.to_string(), &found.to_string());
            }
            Record::Seq(cycles) => {
                let found = spaces.current()?.write_cycles()?;
                self.value(line, &format!("seq +{cycles}"), &format!("seq +{found}"));
            }
            Record::Reset => {
                *spaces = Spaces::begin()?;
                (self.window, self.children_areas, self.heap_known) = (None, 0, false);
            }
            Record::Window(extent) => self.window = Some(*extent),
            // `history` asks the index these
            Record::Lookup { .. } | Record::Find { .. } | Record::Gap { .. } | Record::Case(_) | Record::Needs(_) => {}
        }
        Ok(())
    }

    fn fork(&mut self, spaces: &mut Spaces<MmSpace>, outcome: &ForkOutcome) -> Result<(), Refusal> {
        let ForkOutcome::Child(name) = outcome else { return Ok(()) };
        let space = spaces.current()?;
        // the trace continues with the parent: each child has a trace of its own
        self.children_areas = self.children_areas.saturating_add(space.mm.len() + 1);
        if self.children_areas > CHILDREN_AREAS {
            return Ok(());
        }
        if let Ok(child) = space.fork()? {
            spaces.keep(name, child);
        }
        Ok(())
    }

    /// Counts the outcome of an operation.
    fn followed(&mut self, space: &MmSpace, line: &Line, followed: Followed) {
        let asked = || {
            let text = line.record.to_string();
            text.rsplit_once(" = ").map_or(text.clone(), |(asked, _)| asked.to_owned())
        };
        match followed {
            Followed::Unchecked => {}
            Followed::Refused(cause) => {
                self.exact.outside += 1;
                count(&mut self.exact.refused, cause);
            }
            Followed::Unsupported => self.exact.unsupported += 1,
            Followed::Alike { place } => {
                self.exact.results += 1;
                let Some(place) = place else { return };
                self.exact.placements += 1;
                match place.own {
                    Ok(own) if own == place.recorded => self.exact.placed_alike += 1,
                    own => {
                        self.exact.placed_by_file_system += u64::from(is_aligned_file(&line.record, place.recorded));
                        let own = own.map_or_else(|failure| format!("nowhere: {}", failure.why), |own| format!("at {own:#x}"));
                        let text = format!("{}: the kernel chose {:#x}, the library {own}", asked(), place.recorded);
                        keep(&mut self.exact.placed_elsewhere, Finding { line: line.number, text, around: Vec::new() });
                    }
                }
            }
            Followed::Differs { expected, found, at } => {
                self.exact.results += 1;
                let text = format!("{}: expected {expected}, found {found}", asked());
                let around = self.exact.around(space, at);
                self.exact.unexplained(line.number, text, around);
            }
        }
    }

    /// Grows an area to the recorded range.
    fn grow(&mut self, space: &mut MmSpace, to: Extent, line: u64) {
        match space.grow(to) {
            Ok(Ok(found)) if found.start <= to.start && to.end <= found.end => {}
            other => {
                let why = match other {
                    Ok(Ok(found)) => found.to_string(),
                    Ok(Err(why)) => why.unwrap_or_else(|| "nothing".to_owned()),
                    Err(refusal) => refusal.to_string(),
                };
                let around = self.exact.around(space, Some(to.start));
                self.exact.unexplained(line, format!("grew: expected {to}, found {why}"), around);
            }
        }
    }

    /// Gives a VMA an owner if the fault writes to a private page.
    fn own(&mut self, space: &MmSpace, addr: u64, access: Access) {
        let reader = space.mm.read();
        let Some(vma) = reader.lookup(addr).filter(|vma| vma.anon_owner().is_none()) else { return };
        let flags = vma.flags();
        if access == Access::Write && flags.contains(VmaFlags::WRITE) && !flags.contains(VmaFlags::SHARED) {
            reader.own(addr);
            self.exact.owners_by_faults += 1;
        }
    }

    fn maps(&mut self, space: &mut MmSpace, at: u64, lines: &[Expected]) -> Result<(), Refusal> {
        self.exact.layouts += 1;
        self.exact.areas += lines.len() as u64;
        let areas = within(space.layout()?, self.window);
        let differences = compare::differences(lines, &areas);
        if differences.is_empty() {
            self.exact.equal_layouts += 1;
        }
        for difference in &differences {
            let cause = compare::cause(difference, &self.faults, &self.since);
            let (text, around) = (difference.text(), difference.around(&areas));
            let line = at + 1 + difference.first_line as u64;
            match cause {
                Some(cause) => self.exact.explained(line, &cause, &text, around),
                None => self.exact.unexplained(line, text, around),
            }
        }
        for difference in &differences {
            resync::resync(space, difference);
        }
        self.exact.owners_by_layouts += resync::learn_owners(space, lines);
        self.since = Since::default();
        Ok(())
    }

    fn cover(&mut self, space: &MmSpace, at: u64, lines: &[Expected]) -> Result<(), Refusal> {
        self.exact.counts += 1;
        let areas = within(space.layout()?, self.window);
        let differing = compare_cover(lines, &areas, self.window);
        if !differing.is_empty() {
            self.exact.unexplained(at, "expected the mapped bytes of the block, found different ones".to_owned(), differing);
        }
        Ok(())
    }

    fn value(&mut self, line: &Line, expected: &str, found: &str) {
        self.exact.counts += 1;
        if expected != found {
            self.exact.unexplained(line.number, format!("expected {expected}, found {found}"), Vec::new());
        }
    }
}
