//! The differential fuzzer: random operations that library and kernel perform in step, with a comparison after each. Called by the program's `run
//! --fuzz` and by the fuzz target `kernel_diff`.
//!
//! `generate` makes the operations from the choices of `entropy`, `play` executes them, `shrink` shortens a sequence that shows a
//! difference, and `table` counts the results.

mod entropy;
mod generate;
mod play;
mod shrink;
mod step;
mod table;

use crate::diff::Both;
use crate::report::Report;
use crate::runner::{self, RunError};
use crate::space::Refusal;
use entropy::{Bytes, Entropy};
use generate::Generator;
use play::{Play, Seen, scene};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;
use step::Step;
use table::Table;
use thiserror::Error;
use vmaple_trace::{Ending, HEADER, Reader, Record, TraceError, Writer};

/// The options of [`run`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The number of random operations.
    pub operations: u64,
    /// The seed of the random operations; `None` for another one each time.
    pub seed: Option<u64>,
    /// The number of differences after which it stops.
    pub differences: u64,
    /// The folder that scenarios are written to.
    pub out: PathBuf,
}

/// Why random operations were not executed to the end.
#[derive(Debug, Error)]
pub enum FuzzError {
    /// No process of this system can execute a step.
    #[error("{asked}: {refusal}")]
    Refused {
        /// The step.
        asked: String,
        /// The reason.
        refusal: Refusal,
    },
    /// A sequence that showed a difference cannot be repeated.
    #[error(transparent)]
    Again(#[from] Refusal),
    /// The scenario of a difference cannot be executed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The scenario of a difference cannot be read back.
    #[error(transparent)]
    Read(#[from] TraceError),
    /// A scenario or the output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// The number of operations of one sequence.
const SEQUENCE: usize = 96;

/// Executes a sequence. Returns its steps, up to the one that shows a difference if one does.
fn sequence<C: Entropy>(mut generator: Generator<C>, table: &mut Table) -> Result<(Vec<Step>, Seen), FuzzError> {
    let first = |refusal| FuzzError::Refused { asked: "the first process that makes system calls".to_owned(), refusal };
    let mut play = Play::begin().map_err(first)?;
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
            Err(refusal) => return Err(FuzzError::Refused { asked: steps[next].to_string(), refusal }),
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

/// Executes one sequence, chosen by the bytes. Returns the shortened scenario that shows a difference; `None` if there is none.
///
/// # Errors
/// If this system cannot execute the operations.
pub fn in_step(bytes: &[u8]) -> Result<Option<String>, FuzzError> {
    let (steps, seen) = sequence(Generator::new(Bytes(bytes)), &mut Table::default())?;
    if matches!(seen, Seen::Same) {
        return Ok(None);
    }
    let Some(records) = shrink::shortest(&steps)? else {
        return Ok(Some(format!("# the sequence differed once, and did not differ when it was repeated:\n# {steps:?}")));
    };
    let lines = scene().into_iter().map(Record::Set).chain(records).map(|record| format!("{record}\n"));
    Ok(Some(format!("{HEADER}\n{}", lines.collect::<String>())))
}

/// Executes random operations, and writes a scenario for each difference. Returns the number of differences.
///
/// # Errors
/// [`FuzzError`] if a process of this system cannot execute a step, or if a scenario or `out` cannot be written.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<u64, FuzzError> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let (mut table, began) = (Table::default(), Instant::now());
    let (mut done, mut found) = (0, 0_u64);
    let mut number = 0_u64;
    while done < options.operations && found < options.differences {
        // each sequence has a seed of its own, so that it can be repeated
        let own_seed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        number += 1;
        let (steps, seen) = sequence(Generator::new(fastrand::Rng::with_seed(own_seed)), &mut table)?;
        done += steps.len() as u64;
        if matches!(seen, Seen::Different) {
            found += 1;
            report(options, &steps, own_seed, out)?;
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
    Ok(found)
}

/// Shortens the sequence, and writes it as a scenario.
fn report(options: &Options, steps: &[Step], seed: u64, out: &mut dyn Write) -> Result<(), FuzzError> {
    let Some(records) = shrink::shortest(steps)? else {
        writeln!(out, "the sequence of seed {seed} differed once, and did not differ when it was repeated")?;
        return Ok(());
    };
    std::fs::create_dir_all(&options.out)?;
    let path: PathBuf = options.out.join(format!("kernel-diff-{seed:016x}.vmaple"));
    let mut writer = Writer::create(&path, Ending::Open)?;
    writer.record(None, &Record::Case(format!("the library differs from the kernel in the last record (seed {seed})")))?;
    for record in scene().map(Record::Set).iter().chain(&records) {
        writer.record(None, record)?;
    }
    writer.finish()?;
    writeln!(out, "differs: {}", path.display())?;
    let mut report = Report::new(out, path.display().to_string());
    runner::run::<Both>(Reader::open(&path)?, &mut report)?;
    Ok(())
}
