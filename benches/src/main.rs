//! The comparing program: measures what the command line selects, prints the table, and writes the JSON list and the page. The library of this
//! package does the measuring.

use clap::Parser;
use clap::builder::PossibleValuesParser;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use vmaple_bench::regions::RegionSet;
use vmaple_bench::results::Findings;
use vmaple_bench::rounds::{self, Effort};
use vmaple_bench::subjects::{BASES, NAMES};
use vmaple_bench::workload::Workload;
use vmaple_bench::{cores, goals, growth, page, table, workloads};

/// Compares vmaple with other structures that could be used instead, and with lower bounds.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Fewer and shorter laps: under a minute for one workload at two sizes.
    #[arg(long)]
    quick: bool,
    /// Compares nothing, but measures how each operation of an address space grows with the number of its VMAs: 1,000, 8,000, 65,000 and,
    /// without --quick, 1,000,000. The exit status is 1 if one grows faster than n log n in what it touches.
    #[arg(long, conflicts_with_all = ["only", "peers", "json", "html"])]
    growth: bool,
    /// Writes the figures to FILE, a JSON list of objects.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a page with the curves to FILE.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Numbers of regions, or of VMAs [default: 20,200,1000,10000,100000,1000000; with --quick 1000,100000]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    regions: Vec<u32>,
    /// Only these workloads.
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',', value_parser = PossibleValuesParser::new(workload_names()))]
    only: Vec<String>,
    /// Only these peers. vmaple, the base of the ratios, the kernel and the floors are measured, too; if some of these are named, only the named.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = PossibleValuesParser::new(NAMES))]
    peers: Vec<String>,
}

fn workload_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = workloads::ALL.iter().map(|workload| workload.name).collect();
    names.dedup();
    names
}

/// Groups of subjects. `--peers` chooses within a group if it names one of it.
fn group(subject: &str) -> &str {
    match subject.split_once('-') {
        Some((first @ ("vmaple" | "floor" | "kernel"), _)) => first,
        _ => "peer",
    }
}

impl Options {
    fn sizes(&self) -> Vec<usize> {
        let default: &[u32] = if self.quick { &[1_000, 100_000] } else { &[20, 200, 1_000, 10_000, 100_000, 1_000_000] };
        let chosen = if self.regions.is_empty() { default } else { &self.regions };
        chosen.iter().map(|&regions| regions as usize).collect()
    }

    fn workloads(&self) -> Vec<&'static Workload> {
        workloads::ALL.iter().filter(|workload| self.only.is_empty() || self.only.iter().any(|name| name == workload.name)).collect()
    }

    fn wants(&self, subject: &str) -> bool {
        let named = |name: &String| name == subject;
        let group_named = self.peers.iter().any(|name| group(name) == group(subject));
        BASES.contains(&subject) || self.peers.iter().any(named) || !group_named && (group(subject) != "peer" || self.peers.is_empty())
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if cfg!(debug_assertions) {
        eprintln!("vmaple-bench: built without optimization, the figures say nothing (use --release)");
    }
    if options.growth {
        return draw_growth(&options);
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("vmaple-bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn draw_growth(options: &Options) -> ExitCode {
    let default: &[usize] = if options.quick { &growth::QUICK_SIZES } else { &growth::SIZES };
    let sizes: Vec<usize> = if options.regions.is_empty() { default.to_vec() } else { options.sizes() };
    // A curve needs several sizes.
    if sizes.len() < 2 || sizes.iter().any(|&size| size < 100) {
        eprintln!("vmaple-bench: --growth wants at least two sizes of 100 VMAs or more, not {sizes:?}");
        return ExitCode::FAILURE;
    }
    let (table, failed) = growth::table(&sizes, &growth::measure(&sizes));
    print!("{table}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(options: &Options) -> Result<(), String> {
    if !cores::are_two() {
        eprintln!("vmaple-bench: there is one core only, so the workloads of two threads say nothing");
    }
    let effort = if options.quick { Effort::QUICK } else { Effort::FULL };
    let chosen = options.workloads();
    let mut findings = Findings::default();
    let sets: Vec<Arc<RegionSet>> = options.sizes().into_iter().map(|size| Arc::new(RegionSet::of(size))).collect();
    for workload in &chosen {
        for set in &sets {
            eprintln!("{} at {} regions", workload.row, table::grouped(set.count()));
            findings.rows.extend(rounds::measure(workload, set, effort, |subject| options.wants(subject)));
        }
    }
    let verdicts = goals::judge(&findings);
    println!("{}\n{}\n{}", table::ratios(&findings), table::goals(&verdicts), table::left_out(&chosen));
    for line in table::entries(&findings) {
        println!("{line}");
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&findings).map_err(|error| format!("the figures do not go into JSON: {error}"))?;
        write(path, &json)?;
    }
    if let Some(path) = &options.html {
        write(path, &page::render(&findings, &verdicts, &chosen))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmaple_bench::subjects::{BASE, LOCK_BASE};

    fn wanted(peers: &[&str]) -> Vec<&'static str> {
        let arguments = ["vmaple-bench".to_owned(), "--peers".to_owned(), peers.join(",")];
        let options = Options::parse_from(arguments);
        NAMES.into_iter().filter(|name| options.wants(name)).collect()
    }

    #[test]
    fn peers_narrow_their_own_group() {
        let ours: Vec<&str> = NAMES.into_iter().filter(|name| name.starts_with("vmaple-")).collect();
        let others = ["kernel-calls", "kernel-entry", "floor-stree", "floor-flat", "floor-pin"];
        assert_eq!(wanted(&["skipmap"]), [&ours[..], &[BASE, LOCK_BASE, "skipmap"], &others].concat());
        assert_eq!(wanted(&["vmaple-pin", "floor-flat"]).first(), Some(&"vmaple-pin"));
        assert_eq!(
            wanted(&["vmaple-pin", "skipmap", "floor-flat"]),
            ["vmaple-pin", BASE, LOCK_BASE, "skipmap", "kernel-calls", "kernel-entry", "floor-flat"]
        );
    }

    #[test]
    fn a_wrong_name_is_refused_with_the_right_ones() {
        let error = Options::try_parse_from(["vmaple-bench", "--only", "lokup"]).unwrap_err().to_string();
        assert!(error.contains("lookup-chain"), "{error}");
    }
}
