//! Random scenarios: any record, any numbers, in any order. Each ends with answers or with a refusal, never with a panic, and leaves an
//! address space whose invariants hold.

use crate::mm_space::MmSpace;
use crate::report::Report;
use crate::runner::{self, RunError};
use vmaple_trace::Reader;

const NUMBERS: [u64; 14] = [
    0,
    1,
    0xfff,
    0x1000,
    0x1_0000,
    0x10_0000,
    0x10_1001,
    0x10_4000,
    0x7fff_ffff_f000,
    0xffff_ffff_ff60_0000,
    0xffff_ffff_ffff_e000,
    0xffff_ffff_ffff_f000,
    u64::MAX - 1,
    u64::MAX,
];

fn number(rng: &mut fastrand::Rng) -> u64 {
    let near = rng.u64(0..8) * 0x1000;
    match rng.u8(0..3) {
        0 => NUMBERS[rng.usize(..NUMBERS.len())],
        1 => NUMBERS[rng.usize(..NUMBERS.len())].wrapping_sub(near),
        _ => 0x10_0000 + near,
    }
}

fn pick<'a>(rng: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

fn line(rng: &mut fastrand::Rng) -> String {
    let (a, b, c, d) = (number(rng), number(rng), number(rng), number(rng));
    let start = a.min(b).min(u64::MAX - 1);
    let end = a.max(b).max(start + 1);
    match rng.u8(0..18) {
        0 => format!("set {} {a}", pick(rng, &["task_size", "mmap_min_addr", "guard_gap", "max_map_count", "brk_start"])),
        1 => format!("set {} {a}", pick(rng, &["limit.stack", "limit.as", "limit.data", "limit.memlock"])),
        2..=5 => {
            let perm = pick(rng, &["rw-p", "---p", "r-xs"]);
            let flags = pick(rng, &["-", "growsdown", "growsup", "growsdown,locked", "growsup,growsdown", "sealed,faulted,hook"]);
            let object = pick(rng, &["anon", "anon", "anon", "shm:a", "file:a", "special:a"]);
            // mostly whole pages, because other areas are refused
            let whole = if rng.u8(0..8) == 0 { 0 } else { 0xfff };
            let (start, end) = (start & !whole, (end & !whole).max((start & !whole).saturating_add(1 + whole)));
            let offset = if rng.u8(0..4) > 0 { "-".to_owned() } else { (c & !whole).to_string() };
            format!("area {start:x}-{end:x} {perm} {flags} {object} {offset}")
        }
        6..=8 => format!("fault {a} {} {} = ?", pick(rng, &["r", "w", "x"]), pick(rng, &["user", "kernel", "kernel-nofixup"])),
        9 => format!("lookup {a}"),
        10 => format!("find {a}"),
        11 => format!("gap {} {a} {b} {c} {d}", pick(rng, &["lowest", "highest"])),
        12..=13 => format!("munmap {a} {b}"),
        14 => format!("window {start:x}-{end:x}"),
        15 => "reset".to_owned(),
        16 => pick(rng, &["as main", "exit", "as nobody", "fork = child", "set privileged 1"]).to_owned(),
        _ => "case any words".to_owned(),
    }
}

#[test]
fn any_scenario_ends_in_answers_or_in_a_refusal() {
    let mut rng = fastrand::Rng::with_seed(4);
    let (mut executed, mut refused) = (0, 0);
    for _ in 0..4000 {
        let lines: String = (0..rng.u8(1..20)).map(|_| line(&mut rng) + "\n").collect();
        let text = format!("vmaple-trace 1\n{lines}");
        let mut out = Vec::new();
        let mut report = Report::new(&mut out, "adversarial".to_owned());
        match runner::run::<MmSpace>(Reader::new("adversarial", std::io::Cursor::new(text.clone())), &mut report) {
            Ok(()) => executed += 1,
            Err(RunError::Refused { .. }) => refused += 1,
            Err(error) => panic!("{error}\n{text}"),
        }
        let differing = report.tally().differing;
        assert_eq!(differing, 0, "{}\n{text}", String::from_utf8_lossy(&out));
    }
    assert!(executed > 200 && refused > 200, "{executed} executed, {refused} refused");
}
