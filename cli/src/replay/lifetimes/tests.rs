//! The checker is checked: against every moment written out, and with answers that are wrong in each way there is.

use super::super::history::tests::history;
use super::super::packed::PackedAttrs;
use super::super::samples::Samples;
use super::*;
use quickcheck::{Arbitrary, Gen, quickcheck};

/// Mapped from the start, grown by the one operation, unmapped and mapped again.
const TEXT: &str = "area 0x10000-0x12000 rw-p - anon -\narea 0x20000-0x21000 r--p - anon -\n\
                    mmap 0 0x1000 rw private,anonymous anon 0 = 0x12000\nmunmap 0x10000 0x3000 = 0\n\
                    mmap 0 0x2000 rw private,anonymous anon 0 = 0x10000\nfault 0x10000 r\nfault 0x20000 r\nfault 0x30000 r\n";

fn area_at(model: &LayoutModel, address: u64) -> Option<Region> {
    model.lookup(address)
}

#[test]
fn an_answer_must_be_true_at_one_of_its_moments() {
    let history = history(TEXT).expect("a good trace");
    let samples = Samples::of(&history);
    let lifetimes = Lifetimes::of(&history, &samples);
    let attrs = history.spaces[0].start[0].attrs;
    let short = Region { start: 0x10000, last: 0x11fff, attrs };
    let long = Region { last: 0x12fff, ..short };
    let says = |answer, first, last| lifetimes.explain(0, 0, 0x10000, answer, Moments::Between(first, last));
    assert_eq!(says(Some(short), 0, 0), Ok(()));
    assert_eq!(says(Some(long), 0, 0), Err(Wrong::NeverThere));
    assert_eq!(says(Some(long), 0, 1), Ok(()));
    assert_eq!(says(Some(short), 1, 2), Err(Wrong::NeverThere));
    assert_eq!(says(Some(short), 1, 3), Ok(()));
    assert_eq!(says(None, 0, 1), Err(Wrong::Missed));
    assert_eq!(says(None, 1, 2), Ok(()));
    assert_eq!(says(None, 3, 3), Err(Wrong::Missed));
    // other permissions, and an area that is there but elsewhere
    assert_eq!(says(Some(Region { attrs: PackedAttrs(attrs.0 ^ 1), ..short }), 0, 3), Err(Wrong::NeverThere));
    assert_eq!(says(history.spaces[0].start.get(1).copied(), 0, 3), Err(Wrong::Elsewhere));
    assert_eq!([0, 1, 2].map(|sample| lifetimes.fate(sample)), [Fate::Sometimes, Fate::Always, Fate::Never]);
}

#[test]
fn moments_go_round() {
    let history = history(TEXT).expect("a good trace");
    let lifetimes = Lifetimes::of(&history, &Samples::of(&history));
    let length = history.steps.len() + lifetimes.restore.len();
    assert_eq!(lifetimes.moment(0), 0);
    assert_eq!(lifetimes.moment(length as u64) as usize, length);
    assert_eq!(lifetimes.moment(length as u64 + 1), 1);
    assert_eq!(lifetimes.moments(2, 3), Moments::Between(2, 3));
    assert_eq!(lifetimes.moments(length as u64, length as u64 + 1), Moments::Around(3, 1));
    assert_eq!(lifetimes.moments(1, 1 + length as u64), Moments::Any);
}

/// A few operations on sixteen pages.
#[derive(Clone, Debug)]
struct Text(String);

impl Arbitrary for Text {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut text = "area 0x4000-0x8000 rw-p - anon -\narea 0xa000-0xb000 r--p - anon -\n".to_owned();
        for _ in 0..u8::arbitrary(g) % 12 {
            let (page, pages) = (u64::arbitrary(g) % 16, 1 + u64::arbitrary(g) % 6);
            let (start, len) = (page << 12, pages << 12);
            let line = match u8::arbitrary(g) % 5 {
                0 => format!("munmap {start:#x} {len:#x} = 0\n"),
                1 => format!("mprotect {start:#x} {len:#x} r = 0\n"),
                2 => format!("mmap {start:#x} {len:#x} r private,fixed file:f {start:#x} = {start:#x}\n"),
                _ => format!("mmap {start:#x} {len:#x} rw private,anonymous,fixed anon 0 = {start:#x}\n"),
            };
            text.push_str(&line);
        }
        text.extend((0..24).map(|page| format!("fault {:#x} r\n", (page << 12) + 8)));
        Self(text)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let lines: Vec<String> = self.0.lines().map(|line| format!("{line}\n")).collect();
        let without = move |at: usize| lines.iter().enumerate().filter(|(line, _)| *line != at).map(|(_, line)| line.as_str()).collect();
        let operations = self.0.lines().filter(|line| !line.starts_with("fault")).count();
        Box::new((2..operations).map(move |at| Self(without(at))))
    }
}

quickcheck! {
    /// Every answer that some moment gives is explained by exactly the moments that give it.
    fn explanations_agree_with_every_moment_written_out(text: Text) -> bool {
        let history = history(&text.0).expect("a good trace");
        let samples = Samples::of(&history);
        let lifetimes = Lifetimes::of(&history, &samples);
        let mut model = LayoutModel::default();
        for area in &history.spaces[0].start {
            model.apply(&Edit::Insert(*area));
        }
        let mut moments = vec![model.clone()];
        for step in history.steps.iter().chain(&lifetimes.restore) {
            model.apply(&step.edit);
            moments.push(model.clone());
        }
        let back = model.areas().collect::<Vec<_>>() == history.spaces[0].start;
        let last = u32::try_from(moments.len() - 1).expect("few");
        back && samples.iter().enumerate().all(|(sample, (space, address))| {
            let answers: Vec<Option<Region>> = moments.iter().map(|moment| area_at(moment, address)).collect();
            let mut all = answers.clone();
            all.push(None);
            (0..=last).all(|from| (from..=last).all(|to| all.iter().all(|answer| {
                let true_once = answers[from as usize..=to as usize].contains(answer);
                lifetimes.explain(space, sample, address, *answer, Moments::Between(from, to)).is_ok() == true_once
            })))
        })
    }
}
