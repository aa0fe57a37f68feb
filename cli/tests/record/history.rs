//! An independent model of a trace: a table of pages that each record changes.
//!
//! It shares the reader of the format with the program, and no code that follows a process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vmaple_trace::{Area, Context, Extent, MapFlags, Operation, Outcome, Perm, Prot, Reader, Record, RemapFlags, Setting};

const PAGE: u64 = 4096;

/// What a trace contains, if its layouts are those that its records lead to.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Each operation and its outcome, as in the trace.
    pub(crate) operations: Vec<String>,
    pub(crate) threads: BTreeSet<u32>,
    pub(crate) faults: usize,
    /// The addresses of faults on pages that were not mapped, and that growth did not map.
    pub(crate) stray_faults: Vec<u64>,
    pub(crate) growths: usize,
    pub(crate) forks: usize,
    /// The number of blocks.
    pub(crate) blocks: usize,
    /// The objects of the first layout.
    pub(crate) first_objects: BTreeSet<String>,
    /// The objects of the last layout.
    pub(crate) last_objects: BTreeSet<String>,
    task_size: u64,
    pages: BTreeMap<u64, Perm>,
    brk: Option<u64>,
    block: Option<Vec<(Extent, Perm)>>,
    /// The last block, if it was not compared.
    uncompared: Option<Vec<(Extent, Perm)>>,
    touched: Option<u64>,
    pub(crate) ends_with_maps: bool,
}

/// Follows a trace to its end, which must be a layout.
pub(crate) fn follow(path: &Path) -> History {
    let history = follow_killed(path);
    assert!(history.ends_with_maps, "{}: the trace must end with the last layout", path.display());
    history
}

/// Follows a trace to its end. The layout in each block that is compared must be the one that the records lead to. If the process was
/// killed, the last layout may be missing.
pub(crate) fn follow_killed(path: &Path) -> History {
    let mut history = History::default();
    for line in Reader::open(path).expect("a trace") {
        let line = line.expect("a good line");
        let place = format!("{}:{}", path.display(), line.number);
        if let Some(stamp) = line.stamp {
            history.threads.insert(stamp.tid);
        }
        history.record(line.record, &place);
    }
    history.settle_touch();
    if let Some(last) = history.uncompared.take() {
        history.compare(&last, &format!("{}, the last layout", path.display()));
    }
    assert_eq!(history.block, None, "{}: the last block has an end", path.display());
    history
}

fn range(extent: Extent) -> impl Iterator<Item = u64> {
    (extent.start / PAGE)..(extent.end / PAGE)
}

fn pages(start: u64, len: u64) -> impl Iterator<Item = u64> {
    (start / PAGE)..((start + len).div_ceil(PAGE))
}

fn access(prot: Prot) -> Perm {
    let letter = |asked, given| {
        if prot.contains(asked) { given } else { Perm::NONE }
    };
    letter(Prot::READ, Perm::READ).union(letter(Prot::WRITE, Perm::WRITE)).union(letter(Prot::EXEC, Perm::EXEC))
}

impl History {
    fn record(&mut self, record: Record, place: &str) {
        if !matches!(record, Record::Grew(_)) {
            self.settle_touch();
        }
        self.ends_with_maps &= matches!(record, Record::End | Record::Vm(_));
        match record {
            Record::Area(Area { extent, perm, object, .. }) => {
                self.first_objects.insert(object.to_string());
                for page in range(extent) {
                    assert_eq!(self.pages.insert(page, perm), None, "{place}: areas overlap");
                }
            }
            Record::Operation(operation, outcome) => {
                self.operations.push(format!("{operation} = {outcome}"));
                if let Outcome::Value(result) = outcome {
                    self.apply(&operation, result);
                }
            }
            Record::Fault { addr, context, .. } => {
                self.faults += 1;
                // a program may make the kernel read where nothing is mapped, which is an error and not a fault in an area
                if context == Context::User && !self.pages.contains_key(&(addr / PAGE)) {
                    self.touched = Some(addr);
                }
            }
            Record::Grew(extent) => {
                self.growths += 1;
                let last = extent.end / PAGE - 1;
                let perm = *self.pages.get(&last).unwrap_or_else(|| panic!("{place}: nothing that could grow"));
                for page in range(extent) {
                    self.pages.insert(page, perm);
                }
                self.settle_touch();
            }
            Record::Fork(_) => self.forks += 1,
            Record::Maps => {
                self.last_objects.clear();
                self.ends_with_maps = true;
                self.block = Some(Vec::new());
            }
            Record::Cover => self.block = Some(Vec::new()),
            Record::Expected(line) => {
                self.ends_with_maps = true;
                self.last_objects.extend(line.object.map(|object| object.to_string()));
                let block = self.block.as_mut().expect("a block");
                let perm = line.perm.expect("recordings tell permissions");
                block.push((line.extent, perm));
            }
            Record::End => {
                let block = self.block.take().expect("a block");
                // Comparing page by page is slow, so after the first 20 blocks only every hundredth is compared, and the last.
                if self.blocks < 20 || self.blocks.is_multiple_of(100) {
                    self.compare(&block, place);
                    self.uncompared = None;
                } else {
                    self.uncompared = Some(block);
                }
                self.blocks += 1;
                self.ends_with_maps = true;
            }
            // the kernel does not count what it put beyond the program's addresses
            Record::Vm(counts) => {
                let beyond = self.pages.range(self.task_size / PAGE..).count() as u64;
                let pages = self.pages.len() as u64 - beyond;
                assert_eq!(counts.total, Some(pages), "{place}: pages by the calls and by the counter");
            }
            Record::Set(Setting::TaskSize(bytes)) => self.task_size = bytes,
            Record::Set(_) | Record::With(_) | Record::Own(_) | Record::Unrecorded(_) => {}
            other => panic!("{place}: recordings have no {other}"),
        }
    }

    /// Compares the pages with those of a block.
    fn compare(&self, block: &[(Extent, Perm)], place: &str) {
        let expected = self.pages.iter().map(|(page, perm)| (*page, *perm));
        let found = block.iter().flat_map(|(extent, perm)| range(*extent).map(move |page| (page, *perm)));
        if let Some((expected, found)) = expected.zip(found).find(|(one, other)| one != other) {
            panic!("{place}: by the calls {expected:x?}, in the layout {found:x?}");
        }
        let pages: u64 = block.iter().map(|(extent, _)| extent.len_bytes() / PAGE).sum();
        assert_eq!(self.pages.len() as u64, pages, "{place}: pages by the calls and in the layout");
    }

    /// Notes the last fault as stray if its page was not mapped, and no growth has mapped it.
    fn settle_touch(&mut self) {
        if let Some(addr) = self.touched.take()
            && !self.pages.contains_key(&(addr / PAGE))
        {
            self.stray_faults.push(addr);
        }
    }

    fn apply(&mut self, operation: &Operation, result: u64) {
        match *operation {
            Operation::Mmap { len, prot, flags, .. } => {
                let shared = flags.contains(MapFlags::SHARED);
                let perm = access(prot).union(if shared { Perm::SHARED } else { Perm::NONE });
                self.pages.extend(pages(result, len).map(|page| (page, perm)));
            }
            Operation::Munmap { addr, len } => {
                for page in pages(addr, len) {
                    self.pages.remove(&page);
                }
            }
            Operation::Mprotect { addr, len, prot } => {
                for page in pages(addr, len) {
                    if let Some(perm) = self.pages.get_mut(&page) {
                        let shared = perm.contains(Perm::SHARED);
                        *perm = access(prot).union(if shared { Perm::SHARED } else { Perm::NONE });
                    }
                }
            }
            Operation::Mremap { addr, old_len, new_len, flags, .. } => {
                let first = self.pages[&(addr / PAGE)];
                let stays = flags.contains(RemapFlags::DONTUNMAP);
                let old: Vec<u64> = pages(addr, old_len).filter(|_| !stays).collect();
                for page in old {
                    self.pages.remove(&page);
                }
                self.pages.extend(pages(result, new_len).map(|page| (page, first)));
            }
            Operation::Brk { .. } => {
                let before = self.brk.replace(result).unwrap_or(result).div_ceil(PAGE);
                let after = result.div_ceil(PAGE);
                for page in after..before {
                    self.pages.remove(&page);
                }
                let perm = Perm::READ.union(Perm::WRITE);
                self.pages.extend((before..after).map(|page| (page, perm)));
            }
            _ => {}
        }
    }

    /// Returns how many operations begin with these words.
    pub(crate) fn count(&self, words: &str) -> usize {
        self.operations.iter().filter(|operation| operation.starts_with(words)).count()
    }

    /// Returns whether one operation contains all of these parts.
    pub(crate) fn has(&self, parts: &[&str]) -> bool {
        self.operations.iter().any(|operation| parts.iter().all(|part| operation.contains(part)))
    }
}
