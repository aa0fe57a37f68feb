//! A user-space pager: real page faults of real memory, decided by an `Mm`.
//!
//! A region is registered with userfaultfd, so that the kernel reports each fault in it to this process. Pager threads serve them
//! (`serve.rs`, the part to copy): the address space finds the VMA, growing a stack if necessary, and the thread installs the page or refuses.
//! Four guests (`guest.rs`) run in that memory until their stacks are full. A writer maps and unmaps a window (`window.rs`) meanwhile,
//! and two threads read it. The exit status is 0 if every byte that was read was right, every access that had to be refused was refused,
//! and the counts agree, and otherwise 1.
//!
//! `cargo run --release -p vmaple-examples --bin pager`, on Linux 6.6 or later, as root or where userfaultfd is permitted. Otherwise it
//! prints what is missing, and the exit status is 2.

mod content;
mod guest;
mod layout;
mod memory;
mod report;
mod serve;
mod window;

use guest::Seen;
use memory::Memory;
use report::Report;
use serve::Served;
use std::io::pipe;
use std::process::ExitCode;
use std::thread;
use window::Window;

const PAGERS: usize = 4;
const WATCHERS: usize = 2;

/// Runs pagers, guests, the writer and its watchers.
fn run(memory: &Memory) -> Report {
    let mm = layout::address_space(memory.start()).expect("the layout maps nothing twice");
    let (stop, running) = pipe().expect("two descriptors are to be had");
    let window = Window::new();
    let (served, guests, watchers) = thread::scope(|threads| {
        let pagers: Vec<_> = (0..PAGERS).map(|_| threads.spawn(|| fatal("a pager", serve::serve(memory, &mm, &stop)))).collect();
        let writer = threads.spawn(|| fatal("the writer", window.remap(memory, &mm)));
        let watchers: Vec<_> = (0..WATCHERS).map(|_| threads.spawn(|| window.watch(memory))).collect();
        let guests: Vec<_> = (0..layout::GUESTS).map(|me| threads.spawn(move || guest::live(memory, me))).collect();

        let [guests, watchers] = [guests, watchers].map(|users| {
            let mut seen = Seen::default();
            for user in users {
                seen.add(user.join().expect("a user of the memory does not panic"));
            }
            seen
        });
        writer.join().expect("the writer does not panic");
        drop(running); // the pagers end when no thread is left that could fault
        let mut served = Served::default();
        for pager in pagers {
            served.add(&pager.join().expect("a pager does not panic"));
        }
        (served, guests, watchers)
    });
    let invariants = mm.write().validate();
    Report { served, guests, watchers, stats: mm.stats(), invariants }
}

/// Returns the value, or ends the process: a thread that waits for a page would otherwise wait forever.
fn fatal<T, E: std::fmt::Display>(who: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{who}: {error}");
        std::process::exit(1)
    })
}

fn main() -> ExitCode {
    let memory = match Memory::new(layout::REGION_PAGES) {
        Ok(memory) => memory,
        Err(missing) => {
            eprintln!("no pager without userfaultfd. {missing}");
            return ExitCode::from(2);
        }
    };
    let report = run(&memory);
    report.print();
    let wrong = report.wrong();
    wrong.iter().take(20).for_each(|what| eprintln!("wrong: {what}"));
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `None` if the system does not permit it, and prints that. (The CI runs the program itself, which then fails.)
    fn report(test: &str) -> Option<Report> {
        let memory = Memory::new(layout::REGION_PAGES).map_err(|missing| vmaple_host::leave_out(test, missing));
        memory.ok().map(|memory| run(&memory))
    }

    #[test]
    fn every_fault_is_served_or_refused_as_it_must_be() {
        let Some(report) = report("every_fault_is_served_or_refused_as_it_must_be") else { return };
        assert_eq!(report.wrong(), [""; 0]);
    }

    #[test]
    fn a_count_that_does_not_agree_is_noticed() {
        let Some(mut report) = report("a_count_that_does_not_agree_is_noticed") else { return };
        report.served.copied += 1;
        report.served.refused.clear();
        report.guests.verified_bytes -= 8;
        // the faults, the bytes, and four reasons for refusals
        assert_eq!(report.wrong().len(), 1 + 1 + 4, "{:?}", report.wrong());
    }
}
