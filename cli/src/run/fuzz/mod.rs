//! The differential fuzzer: random operations, library and kernel in step, everything compared after each. `run` comes in, and so does the
//! fuzz target `kernel_diff`; `generate` makes the operations as `chance` has it, `Both` of `diff` executes, `shrink` makes what differs
//! short, `table` counts what came of what.

mod chance;
mod generate;
mod shrink;
mod step;
mod table;

use super::diff::Both;
use super::space::{Refusal, Space as _};
use crate::args::FuzzArgs;
use anyhow::{Context as _, Result};
use chance::{Bytes, Chance};
use generate::Generator;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use step::{Refused, Step};
use table::Table;
use vmaple_host::Host;
use vmaple_trace::{Context, Ending, ForkOutcome, Found, HEADER, Name, Record, Setting, Writer};

/// How many operations one process lives for.
const SEQUENCE: usize = 96;

/// Where searches for room begin: what is above does not take part.
const BASE: u64 = 0x1_0810_0000;

/// The sequence under way, and the address spaces of it.
struct Play {
    current: Both,
    /// Parents and children that were left: they live on, for the owners of private pages.
    others: Vec<Both>,
}

/// What was found.
enum Seen {
    Same,
    Different,
}

impl Play {
    /// The scene of each sequence.
    fn begin() -> Result<Self, Refusal> {
        let mut current = Both::begin()?;
        for setting in scene() {
            current.set(setting)?;
        }
        Ok(Self { current, others: Vec::new() })
    }

    /// Takes a step; tells the record of it, as the library has it, and whether the two differ.
    fn take(&mut self, step: &Step, table: &mut Table) -> Result<(Vec<Record>, Seen), Refusal> {
        let mut records = Vec::new();
        match step {
            Step::Set(setting) => {
                self.current.set(*setting)?;
                records.push(Record::Set(*setting));
            }
            Step::Do(operation) => {
                if let Some(need) = step::need(operation).filter(|need| !Host::probe().has(*need)) {
                    return Err(Refusal::Lacks(need.to_string()));
                }
                let told = self.current.apply(operation)?;
                table.count(step, step::refused(operation, &told));
                records.push(Record::Operation(operation.clone(), step::outcome(&told)));
            }
            Step::Touch(addr, access) => {
                let told = self.current.fault(*addr, *access, Context::User)?;
                table.count(step, told.is_err().then_some(Refused::Fault));
                let found = told.map_or(Found::None, Found::Area);
                records.push(Record::Fault { addr: *addr, access: *access, context: Context::User, found });
            }
            Step::Fork(follow) => self.fork(*follow, table, &mut records)?,
        }
        let seen = if self.current.divergences().is_empty() { Seen::Same } else { Seen::Different };
        Ok((records, seen))
    }

    fn fork(&mut self, follow: step::Follow, table: &mut Table, records: &mut Vec<Record>) -> Result<(), Refusal> {
        let told = self.current.fork()?;
        table.count(&Step::Fork(follow), told.as_ref().err().map(|failure| Refused::Errno(failure.errno)));
        let Ok(child) = told else { return Ok(()) };
        let Some(name) = Name::new(format!("child{}", self.others.len()).as_bytes()) else { return Ok(()) };
        records.push(Record::Fork(ForkOutcome::Child(name.clone())));
        if follow == step::Follow::Child {
            records.push(Record::As(name));
            let parent = std::mem::replace(&mut self.current, child);
            self.others.push(parent);
        } else {
            self.others.push(child);
        }
        // what differed in the fork is the parent's to tell
        for other in &mut self.others {
            for difference in other.divergences() {
                self.current.tell(difference);
            }
        }
        Ok(())
    }
}

/// Whether a sequence shows a difference, and the records of it, to where it does.
fn replay(steps: &[Step]) -> Result<Option<Vec<Record>>, Refusal> {
    let mut play = Play::begin()?;
    let (mut table, mut records) = (Table::default(), Vec::new());
    for step in steps {
        let (told, seen) = play.take(step, &mut table)?;
        records.extend(told);
        if matches!(seen, Seen::Different) {
            return Ok(Some(records));
        }
    }
    Ok(None)
}

/// Plays a sequence: its steps, to the one that shows a difference if one does.
fn sequence<C: Chance>(mut generator: Generator<C>, table: &mut Table) -> Result<(Vec<Step>, Seen)> {
    let mut play = Play::begin().context("the first of the processes that make the system calls")?;
    let mut steps = generator.scene();
    let mut next = 0;
    while next < steps.len() {
        let seen = match play.take(&steps[next], table) {
            Ok((_, seen)) => {
                next += 1;
                seen
            }
            // another machine, or another user, can do it
            Err(Refusal::Lacks(need)) => {
                table.leave_out(&steps.remove(next), &need);
                Seen::Same
            }
            Err(refusal) => return Err(refusal).with_context(|| steps[next].to_string()),
        };
        if matches!(seen, Seen::Different) {
            steps.truncate(next);
            return Ok((steps, seen));
        }
        if next == steps.len() && next < SEQUENCE && !generator.is_spent() {
            steps.push(generator.step(&play.current.library));
        }
    }
    Ok((steps, Seen::Same))
}

/// One sequence, as the bytes choose it: where library and kernel differ, the scenario that shows it, made short.
///
/// # Errors
/// Where this system cannot be asked.
pub fn in_step(bytes: &[u8]) -> Result<Option<String>> {
    let (steps, seen) = sequence(Generator::new(Bytes(bytes)), &mut Table::default())?;
    if matches!(seen, Seen::Same) {
        return Ok(None);
    }
    let Some(records) = shrink::shortest(&steps)? else {
        return Ok(Some(format!("# the sequence differed once, and not when it was done again:\n# {steps:?}")));
    };
    let lines = scene().into_iter().map(Record::Set).chain(records).map(|record| format!("{record}\n"));
    Ok(Some(format!("{HEADER}\n{}", lines.collect::<String>())))
}

/// What the records of a sequence stand on: the protection keys that the machine has, too.
fn scene() -> [Setting; 3] {
    [Setting::Pkeys(Host::probe().protection_keys), Setting::MmapBase(BASE), Setting::BrkStart(generate::HEAP)]
}

/// Runs it. The status is 1 where a difference was found.
///
/// # Errors
/// Where this system cannot be asked, or a trace cannot be written.
pub(super) fn run(args: &FuzzArgs, out: &mut dyn Write) -> Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let (mut table, began) = (Table::default(), Instant::now());
    let (mut done, mut found) = (0, 0_u64);
    let mut number = 0_u64;
    while done < args.ops && found < args.differences {
        // each sequence by its own number, so that one can be had again
        let own_seed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        number += 1;
        let (steps, seen) = sequence(Generator::new(fastrand::Rng::with_seed(own_seed)), &mut table)?;
        done += steps.len() as u64;
        if matches!(seen, Seen::Different) {
            found += 1;
            report(args, &steps, own_seed, out)?;
            out.flush()?;
        }
    }
    let took = began.elapsed();
    write!(out, "{table}")?;
    let per_minute = u128::from(done) * 60_000 / took.as_millis().max(1);
    writeln!(
        out,
        "seed {seed}: {done} operations in {number} sequences, {:.1} s, {per_minute} a minute: {found} differ",
        took.as_secs_f64()
    )?;
    Ok(ExitCode::from(u8::from(found > 0)))
}

/// Makes the sequence short, and writes it down.
fn report(args: &FuzzArgs, steps: &[Step], seed: u64, out: &mut dyn Write) -> Result<()> {
    let Some(records) = shrink::shortest(steps)? else {
        writeln!(out, "the sequence of seed {seed} differed once, and not when it was done again")?;
        return Ok(());
    };
    std::fs::create_dir_all(&args.out)?;
    let path: PathBuf = args.out.join(format!("kernel-diff-{seed:016x}.vmaple"));
    let mut writer = Writer::create(&path, Ending::Open)?;
    writer.record(None, &Record::Case(format!("the library differs from the kernel in the last record (seed {seed})")))?;
    for record in scene().map(Record::Set).iter().chain(&records) {
        writer.record(None, record)?;
    }
    writer.finish()?;
    writeln!(out, "differs: {}", path.display())?;
    let mut report = super::report::Report::new(out, path.display().to_string());
    super::runner::run::<Both>(vmaple_trace::Reader::open(&path)?, &mut report)?;
    Ok(())
}
