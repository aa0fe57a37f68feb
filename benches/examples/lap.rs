//! One lap of one subject, for a profiler: `lap WORKLOAD SUBJECT REGIONS OPERATIONS`.
//!
//! Under callgrind the numbers of instructions are exact. The difference of two runs, with 20,000 and with 10,000 operations, does not include
//! the filling and the start.

use std::process::ExitCode;
use std::sync::Arc;
use vmaple_bench::regions::RegionSet;
use vmaple_bench::workload::Measure;
use vmaple_bench::workloads;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match lap(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("lap: {message}\nusage: lap WORKLOAD SUBJECT REGIONS OPERATIONS");
            ExitCode::FAILURE
        }
    }
}

fn lap(arguments: &[String]) -> Result<(), String> {
    let [row, subject, regions, operations] = arguments else { return Err(format!("{} arguments instead of 4", arguments.len())) };
    let workload = workloads::ALL.iter().find(|workload| workload.row == row).ok_or_else(|| format!("no workload is called {row}"))?;
    let Measure::Laps(candidates) = workload.measure else { return Err(format!("{row} is not run in laps")) };
    let subject = candidates()
        .into_iter()
        .find(|candidate| candidate.name == subject)
        .ok_or_else(|| format!("no subject of {row} is called {subject}"))?;
    let regions = regions.parse().map_err(|error| format!("{regions} regions: {error}"))?;
    let operations = operations.parse().map_err(|error| format!("{operations} operations: {error}"))?;
    let lap = (subject.make)(&Arc::new(RegionSet::of(regions))).lap(operations);
    println!("{row}, {}: {} operations, {:.1} ns each", subject.name, lap.pace.ops, lap.pace.ns_per_op());
    if let Some(writer) = lap.writer {
        println!("the writer beside it: {} operations, {:.1} ns each", writer.ops, writer.ns_per_op());
    }
    Ok(())
}
