//! Random traces that are well formed and make no sense: calls at the edges of the address space, lengths that wrap around, flags that
//! contradict each other. Reading such a trace ends with a history or with an error, and every history can be replayed and drawn.

use super::exact::Follower;
use super::history::tests::history;
use super::index::Indexes;
use super::lifetimes::Lifetimes;
use super::samples::Samples;
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::io::Cursor;
use vmaple_trace::Reader;

/// Lines of a trace.
#[derive(Clone, Debug)]
struct Lines(Vec<String>);

/// Returns a number at or near an edge.
fn number(g: &mut Gen) -> u64 {
    let edges = [0, 0x1000, 0x2000, 0x3000, 0x5000, 0x20_0000, 0x7fff_ffff_f000, u64::MAX - 0xfff, u64::MAX - 0x1fff, 1 << 63];
    let near = [0, 0, 0, 0, 1, 0x1000, u64::MAX];
    let edge = g.choose(&edges).copied().unwrap_or(0);
    edge.wrapping_add(g.choose(&near).copied().unwrap_or(0))
}

fn word(g: &mut Gen, words: &[&str]) -> String {
    g.choose(words).map_or_else(String::new, |word| (*word).to_owned())
}

fn line(g: &mut Gen) -> String {
    let [addr, len, other, to] = [(); 4].map(|()| number(g));
    let (low, high) = (addr.min(len) & !0xfff, (addr.max(len) & !0xfff).saturating_add(0x1000).min(!0xfff));
    let failed = word(g, &["0", "0", "0", "-ENOMEM", "-EPERM", "-EACCES", "?"]);
    let prot = word(g, &["r", "rw", "none", "rx", "rw,growsdown", "r,growsup"]);
    let perm = word(g, &["rw-p", "r--s", "---p", "r-xp"]);
    let object = word(g, &["anon", "file:a", "file:b", "shm:s", "special:vdso"]);
    let flags =
        word(g, &["private,anonymous", "shared", "private,fixed", "private,anonymous,growsdown,hugetlb", "private,locked,noreserve"]);
    let marks = word(g, &["-", "growsdown", "dontcopy,locked", "io", "sealed", "dontexpand"]);
    match u8::arbitrary(g) % 20 {
        0 | 1 if low < high => format!("area {low:#x}-{high:#x} {perm} {marks} {object} {other:#x}"),
        2 | 3 => format!("munmap {addr:#x} {len:#x} = {failed}"),
        4 | 5 => format!("mprotect {addr:#x} {len:#x} {prot} = {failed}"),
        6 => format!("mremap {addr:#x} {len:#x} {other:#x} maymove = {to:#x}"),
        7 => format!("mremap {addr:#x} {len:#x} {other:#x} maymove,fixed {to:#x} = {to:#x}"),
        8 => format!("mremap {addr:#x} {len:#x} {other:#x} maymove,dontunmap = {to:#x}"),
        9 => format!("brk {addr:#x} = {len:#x}"),
        10 => format!("madvise {addr:#x} {len:#x} {} = {failed}", word(g, &["dontfork", "hugepage", "sequential", "dontneed"])),
        11 => format!("{} {addr:#x} {len:#x} = {failed}", word(g, &["mlock", "munlock", "mseal"])),
        12 => word(g, &["mlockall current,future = 0", "munlockall = 0", "fork = x", "as x", "as main", "exit", "reset"]),
        13 if low < high => format!("grew {low:#x}-{high:#x}"),
        14 => format!("fault {addr:#x} w"),
        15 if low < high => format!("fault {addr:#x} w = {low:#x}-{high:#x}"),
        16 if low < high => format!("find {addr:#x} = {low:#x}-{high:#x}"),
        17 if low < high => format!("window {low:#x}-{high:#x}\ncover\n {low:x}-{high:x} rw-p\nend"),
        18 => format!("gap {} {addr:#x} {len:#x} {other:#x} {to:#x} = {addr:#x}", word(g, &["lowest", "highest"])),
        _ => format!("mmap {addr:#x} {len:#x} {prot} {flags} {object} {other:#x} = {addr:#x}"),
    }
}

impl Arbitrary for Lines {
    fn arbitrary(g: &mut Gen) -> Self {
        let count = u8::arbitrary(g) % 24;
        Self((0..count).map(|_| line(g)).collect())
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let lines = self.0.clone();
        let without =
            move |at: usize| Self(lines.iter().enumerate().filter(|(line, _)| *line != at).map(|(_, line)| line.clone()).collect());
        Box::new((0..self.0.len()).map(without))
    }
}

/// Leaves out the records that the reader refuses, and returns the history of the rest.
fn readable(lines: &[String]) -> super::history::History {
    let mut text = String::new();
    for line in lines {
        let longer = format!("{text}{line}\n");
        if history(&longer).is_ok() {
            text = longer;
        }
    }
    history(&text).expect("it was read just now")
}

quickcheck! {
    fn nonsense_is_refused_or_replayed(lines: Lines) -> bool {
        let history = readable(&lines.0);
        let samples = Samples::of(&history);
        let lifetimes = Lifetimes::of(&history, &samples);
        let indexes = Indexes::of(&history).expect("areas do not overlap");
        let there = |at: u32| indexes.pin(at).areas().collect::<Vec<_>>();
        let taken = history.steps.iter().all(|step| indexes.apply(step) == Ok(()));
        let finished = (0..).zip(&history.spaces).all(|(at, space)| there(at) == space.finish);
        let back = lifetimes.restore.iter().all(|step| indexes.apply(step) == Ok(()));
        let started = (0..).zip(&history.spaces).all(|(at, space)| there(at) == space.start);
        let drawn = super::page::draw(&history, &lifetimes).is_ok();
        taken && finished && back && started && drawn
    }

    /// The exact check follows each trace or refuses it; the invariants hold.
    fn nonsense_is_followed_or_refused(lines: Lines) -> bool {
        let (mut text, maps) = ("vmaple-trace 1\n".to_owned(), "maps\n 1000-3000 rw-p faulted anon -\n 3000-5000 r--p - file:a 0\nend\n");
        for line in &lines.0 {
            text.push_str(line);
            text.push('\n');
        }
        let mut follower = Follower::new();
        for line in Reader::new("test", Cursor::new(format!("{text}{maps}{}{maps}", &text[15..]))).map_while(Result::ok) {
            follower.line(&line);
        }
        let exact = follower.finish();
        !exact.unexplained_examples.iter().any(|finding| finding.text.contains("invariants"))
    }
}
