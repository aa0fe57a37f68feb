//! Tests that all address spaces, the kernel's included, have the same layout after the same calls, VMA by VMA, so that each does the same work.

use super::kernel::{Kernel, in_child, wait_for};
use super::locked_space::LockedSpace;
use super::vmaple_space::VmapleSpace;
use crate::calls::{Call, Flags, HEAP, Place, Setup, WINDOW, What, layout, lengths, pairs_in_holes, splits_and_merges, steps_of_the_break};
use crate::histories::histories;
use crate::regions::RegionSet;
use crate::subject::{Resolves, Space};
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::net::UnixStream;

type Vmas = Vec<(u64, u64, u8)>;

/// The folder of the histories.
const HISTORIES: Range<u64> = WINDOW..WINDOW + (1 << 40);

/// Returns the kernel's layouts while `run` makes calls in a child process.
fn in_the_kernel(setup: &Setup, work: impl FnOnce(&Kernel) -> Vmas) -> Vmas {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let child = in_child(|| {
        let lines: Vec<String> = work(&Kernel::new(setup)).iter().map(|(start, end, access)| format!("{start} {end} {access}\n")).collect();
        std::io::Write::write_all(&mut &theirs, lines.concat().as_bytes()).expect("the test listens");
    });
    drop(theirs);
    let mut answers = String::new();
    ours.read_to_string(&mut answers).expect("the child answers");
    wait_for(child);
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let line = |line: &str| {
        let mut words = line.split(' ');
        (number(words.next()), number(words.next()), u8::try_from(number(words.next())).expect("three bits"))
    };
    answers.lines().map(line).collect()
}

/// Merges neighbours with equal access.
fn joined(vmas: &[(u64, u64, u8)]) -> Vmas {
    vmas.chunk_by(|one, next| one.1 == next.0 && one.2 == next.2).map(|run| (run[0].0, run[run.len() - 1].1, run[0].2)).collect()
}

fn make(space: &impl Space, calls: &[Call]) {
    for call in calls {
        space.call(call);
    }
}

#[test]
fn histories_come_to_the_same_in_all() {
    // a recorded Java reserves more memory than there is
    vmaple_host::test_needs!("set_mm", "overcommit");
    let histories = histories();
    let (ours, model) = (VmapleSpace::new(&histories.setup), LockedSpace::new(&histories.setup));
    for history in &histories.all {
        for calls in [&history.begin, &history.calls] {
            make(&ours, calls);
            make(&model, calls);
        }
        let kernel = in_the_kernel(&histories.setup, |kernel| {
            make(kernel, &history.begin);
            make(kernel, &history.calls);
            kernel.layout(HISTORIES)
        });
        assert!(kernel.len() > 50, "{}: {kernel:x?}", history.name);
        assert_eq!(ours.layout(), kernel, "{}", history.name);
        // The plain model keeps no accounts, so VMAs that differ only in these merge there.
        assert_eq!(joined(&model.layout()), joined(&kernel), "{}", history.name);
        for &address in &history.faults {
            assert_eq!(ours.is_mapped(address), model.is_mapped(address), "{}: {address:#x}", history.name);
        }
        make(&ours, &history.end);
        make(&model, &history.end);
        assert_eq!((ours.layout(), model.layout()), (Vec::new(), Vec::new()), "{}", history.name);
    }
}

/// Returns the layouts after each step of each workload.
fn steps<S: Space>(space: &S, set: &RegionSet, layout_of: impl Fn(&S) -> Vmas) -> Vmas {
    let mut all = Vec::new();
    let lists = [layout(set).collect(), pairs_in_holes(set), splits_and_merges(set), steps_of_the_break()];
    for call in lists.iter().flatten() {
        space.call(call);
        all.extend(layout_of(space));
    }
    for &len in lengths().iter().take(set.count()) {
        let at = space.call(&Call::Map(Place::Anywhere, len, What::anonymous(Flags::CODE)));
        all.extend(layout_of(space));
        space.call(&Call::Unmap(at, len));
    }
    all
}

#[test]
fn workloads_come_to_the_same_in_all() {
    vmaple_host::test_needs!("set_mm");
    let set = RegionSet::of(40);
    let setup = Setup::of(&set);
    let kernel = in_the_kernel(&setup, |kernel| steps(kernel, &set, |kernel| kernel.layout(HEAP..setup.top)));
    assert!(kernel.len() > 40 * 40, "{}", kernel.len());
    assert_eq!(steps(&VmapleSpace::new(&setup), &set, VmapleSpace::layout), kernel);
    assert_eq!(steps(&LockedSpace::new(&setup), &set, LockedSpace::layout), kernel);
}
