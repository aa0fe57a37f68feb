//! `--watch`: loads the map repeatedly, prints which areas appeared, vanished and changed, and applies these changes to the index. Called
//! by `maps::run`.
//!
//! A reader of the index never misses an address that stayed mapped, because new areas are inserted before the rest of the old ones is
//! removed.

use super::index::Index;
use super::resolve::{self, Answer};
use super::source::Source;
use crate::procmaps::MapLine;
use anyhow::{Result, bail};
use std::cmp::Ordering;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Lines = Vec<Arc<MapLine>>;

/// One difference between two loads.
#[derive(Debug, PartialEq, Eq)]
enum Change<'l> {
    Appeared(&'l Arc<MapLine>),
    Vanished(&'l Arc<MapLine>),
    Changed { from: &'l Arc<MapLine>, to: &'l Arc<MapLine> },
}

/// Goes on until the process ends, or until the program is interrupted.
pub(super) fn run(
    out: &mut impl Write,
    source: &Source,
    mut lines: Lines,
    index: &Index,
    answers: &mut [Answer],
    seconds: f64,
) -> Result<()> {
    let interval = Duration::from_secs_f64(seconds);
    let began = Instant::now();
    loop {
        std::thread::sleep(interval);
        let Some(now) = source.load_again()? else {
            writeln!(out, "{source} is there no more")?;
            return Ok(());
        };
        let changes = compare(&lines, &now);
        if !changes.is_empty() {
            writeln!(out, "after {:.1} s, {} areas:", began.elapsed().as_secs_f64(), now.len())?;
            print(out, &changes)?;
        }
        apply(index, &changes, &now)?;
        for answer in answers.iter_mut() {
            let again = resolve::one(index, answer.address);
            if again != *answer {
                writeln!(out, "  {again}")?;
                *answer = again;
            }
        }
        out.flush()?;
        lines = now;
    }
}

fn print(out: &mut impl Write, changes: &[Change<'_>]) -> Result<()> {
    for change in changes {
        match change {
            Change::Appeared(line) => writeln!(out, "  + {line}")?,
            Change::Vanished(line) => writeln!(out, "  - {line}")?,
            Change::Changed { from, to } => writeln!(out, "  < {from}\n  > {to}")?,
        }
    }
    Ok(())
}

/// Walks both lists by start: an area that begins where one began before is that one, changed.
fn compare<'l>(before: &'l [Arc<MapLine>], now: &'l [Arc<MapLine>]) -> Vec<Change<'l>> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(from), Some(to)) => from.start.cmp(&to.start),
        };
        match order {
            Ordering::Less => changes.extend(old.next().map(Change::Vanished)),
            Ordering::Greater => changes.extend(new.next().map(Change::Appeared)),
            Ordering::Equal => {
                let pair = old.next().zip(new.next()).filter(|(from, to)| from != to);
                changes.extend(pair.map(|(from, to)| Change::Changed { from, to }));
            }
        }
    }
}

/// Applies the changes to the index, without a moment in which an address that stays mapped is not there.
fn apply(index: &Index, changes: &[Change<'_>], now: &[Arc<MapLine>]) -> Result<()> {
    let mut writer = index.write();
    let refused = "the index refused a change";
    for change in changes {
        if let Change::Appeared(line) | Change::Changed { to: line, .. } = change
            && let Err(error) = writer.replace(line.start..=line.last(), Arc::clone(line))
        {
            bail!("{refused}: {error}");
        }
    }
    for change in changes {
        if let Change::Vanished(line) | Change::Changed { from: line, .. } = change {
            for (start, last) in left_over(line, now) {
                if let Err(error) = writer.remove(start..=last) {
                    bail!("{refused}: {error}");
                }
            }
        }
    }
    Ok(())
}

/// The parts of an old area that no area covers now.
fn left_over(old: &MapLine, now: &[Arc<MapLine>]) -> Vec<(u64, u64)> {
    let mut parts = Vec::new();
    let mut from = old.start;
    let first = now.partition_point(|line| line.end <= old.start);
    for line in now[first..].iter().take_while(|line| line.start < old.end) {
        if from < line.start {
            parts.push((from, line.start - 1));
        }
        from = line.end;
    }
    if from < old.end {
        parts.push((from, old.last()));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        let text = text.split(';').fold(String::new(), |all, line| all + line.trim() + " 0 0:0 0\n");
        crate::procmaps::read(text.as_bytes(), "test").expect("well formed").into_iter().map(Arc::new).collect()
    }

    // before  AAAA..BB..CC
    // after   AABB.....DCC.EE
    #[test]
    fn changes_are_reported_and_applied() {
        let before = lines("1000-5000 r--p; 7000-9000 rw-p; b000-d000 r-xp");
        let now = lines("1000-3000 r--p; 3000-5000 rw-p; a000-b000 r--p; b000-d000 r-xp; e000-10000 rw-p");
        let changes = compare(&before, &now);
        let reported: Vec<String> = changes
            .iter()
            .map(|change| match change {
                Change::Appeared(line) => format!("+{:x}", line.start),
                Change::Vanished(line) => format!("-{:x}", line.start),
                Change::Changed { from, to } => format!("{:x}>{:x}", from.end, to.end),
            })
            .collect();
        assert_eq!(reported, ["5000>3000", "+3000", "-7000", "+a000", "+e000"]);
        let index = super::super::index::build(&before).expect("sorted");
        apply(&index, &changes, &now).expect("the index takes it");
        let pin = index.pin();
        let there: Vec<Arc<MapLine>> = pin.iter().map(|entry| Arc::clone(entry.value())).collect();
        assert_eq!(there, now);
        assert!(pin.iter().zip(&now).all(|(entry, line)| (entry.start(), entry.last()) == (line.start, line.last())));
    }

    #[test]
    fn an_unchanged_map_has_no_changes() {
        let before = lines("1000-5000 r--p; 7000-9000 rw-p");
        assert_eq!(compare(&before, &before.clone()), []);
    }
}
