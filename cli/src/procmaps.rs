//! A strict reader of `/proc/PID/maps`, which names the line that it cannot read. Called by `maps` with the text of a running process or a
//! saved one.

use std::fmt;
use std::io::{BufRead, Read as _};
use thiserror::Error;

/// The longest line that is read; the kernel's own are at most a path (4 KiB) and a few words.
const LINE_LIMIT: usize = 64 << 10;

/// The most areas that are read, so that a file without end cannot fill the memory.
const AREA_LIMIT: usize = 16 << 20;

/// One line: one area of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapLine {
    /// The first byte.
    pub start: u64,
    /// The first byte after the area.
    pub end: u64,
    /// The four letters: `r`, `w`, `x` or `-`, and `p` or `s`.
    pub perm: [u8; 4],
    /// Where the area begins in its file, in bytes.
    pub offset: u64,
    /// The device, major and minor.
    pub device: (u32, u32),
    /// The inode; 0 where there is no file.
    pub inode: u64,
    /// The path, a name in brackets, or nothing.
    pub name: String,
}

impl MapLine {
    /// How many bytes the area has.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.end - self.start
    }

    /// The last byte, as the library takes it.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.end - 1
    }

    /// The four letters as text.
    #[must_use]
    pub fn perm_text(&self) -> &str {
        // the parser let only ASCII letters in
        std::str::from_utf8(&self.perm).unwrap_or("????")
    }
}

impl fmt::Display for MapLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:08x}-{:08x} {} {:08x} {:02x}:{:02x} {}",
            self.start,
            self.end,
            self.perm_text(),
            self.offset,
            self.device.0,
            self.device.1,
            self.inode
        )?;
        if !self.name.is_empty() {
            f.write_str(" ")?;
        }
        // a saved text may hold anything, and a terminal would obey it
        self.name.chars().try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
    }
}

/// Why a text is not that of a `/proc/PID/maps`.
#[derive(Debug, Error)]
pub enum MapsError {
    /// A line is not as the kernel writes it.
    #[error("{file}:{line}: expected {expected}, read {read:?}")]
    Line {
        /// The file, as the user named it.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What should have stood there.
        expected: &'static str,
        /// What stood there.
        read: String,
    },
    /// The areas are not in ascending order, or lie over one another.
    #[error("{file}:{line}: expected an area that starts at {previous_end:#x} or above, read {read:?}")]
    Order {
        /// The file, as the user named it.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// Where the area before it ends.
        previous_end: u64,
        /// What stood there.
        read: String,
    },
    /// The system could not read the file.
    #[error("{file}: {source}")]
    Read {
        /// The file, as the user named it.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Reads a whole text, in the order in which it stands. Lines may end with a carriage return before the line feed, and the text may end
/// with blank lines: editors and terminals leave both behind.
///
/// # Errors
/// At the first line that is not as the kernel writes it, that is too long, or that lies over the one before it.
pub fn read(mut input: impl BufRead, file: &str) -> Result<Vec<MapLine>, MapsError> {
    let mut areas: Vec<MapLine> = Vec::new();
    let mut bytes = Vec::new();
    let mut number = 0;
    // The first of the blank lines that were just read: only the end may follow them.
    let mut blank = None;
    loop {
        bytes.clear();
        let taken = input
            .by_ref()
            .take(LINE_LIMIT as u64 + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(|source| MapsError::Read { file: file.to_owned(), source })?;
        if taken == 0 {
            return Ok(areas);
        }
        number += 1;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.trim_start_matches([' ', '\t']).is_empty() {
            blank.get_or_insert(number);
            continue;
        }
        let (number, text) = blank.map_or((number, text), |blank| (blank, ""));
        let refuse = |expected| MapsError::Line { file: file.to_owned(), line: number, expected, read: shortened(text) };
        if bytes.len() > LINE_LIMIT {
            return Err(refuse("a line of at most 64 KiB"));
        }
        if areas.len() == AREA_LIMIT {
            return Err(refuse("at most 16777216 areas"));
        }
        let area = line(text).map_err(refuse)?;
        if let Some(before) = areas.last()
            && area.start < before.end
        {
            return Err(MapsError::Order { file: file.to_owned(), line: number, previous_end: before.end, read: shortened(text) });
        }
        areas.push(area);
    }
}

/// The head of a line, for a message.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// One line, or what was expected where it cannot be read.
fn line(text: &str) -> Result<MapLine, &'static str> {
    let mut rest = text;
    let mut field = || {
        let (head, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail;
        head
    };
    let (range, perm, offset, device, inode) = (field(), field(), field(), field(), field());
    let (start, end) = range
        .split_once('-')
        .and_then(|(start, end)| Some((hexadecimal(start)?, hexadecimal(end)?)))
        .ok_or("an area as START-END in hexadecimal")?;
    if start >= end {
        return Err("an area whose end is above its start");
    }
    let perm: [u8; 4] = perm.as_bytes().try_into().map_err(|_| PERM)?;
    if !perm.iter().zip([b"r-", b"w-", b"x-", b"ps"]).all(|(letter, allowed)| allowed.contains(letter)) {
        return Err(PERM);
    }
    let offset = hexadecimal(offset).ok_or("an offset in hexadecimal after the permissions")?;
    let device = device
        .split_once(':')
        .and_then(|(major, minor)| Some((u32::try_from(hexadecimal(major)?).ok()?, u32::try_from(hexadecimal(minor)?).ok()?)))
        .ok_or("a device as MAJOR:MINOR in hexadecimal after the offset")?;
    if inode.is_empty() || !inode.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("an inode in decimal after the device");
    }
    let inode = inode.parse().map_err(|_| "an inode of at most 64 bits after the device")?;
    Ok(MapLine { start, end, perm, offset, device, inode, name: rest.trim_start_matches(' ').to_owned() })
}

const PERM: &str = "permissions of four letters like r-xp or rw-s";

/// A number as the kernel writes it: bare digits. `from_str_radix` alone would let a sign in.
pub(crate) fn hexadecimal(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
563d9b70f000-563d9b711000 r--p 00000000 fe:00 247030                     /usr/bin/my cat (deleted)
7ffe3c9d6000-7ffe3c9f7000 rw-p 00000000 00:00 0                          [stack]
7ffe3c9f7000-7ffe3c9f8000 ---s 00000000 00:00 0
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    #[test]
    fn the_kernels_own_lines_are_read() {
        let areas = read(GOOD.as_bytes(), "saved").expect("these lines are good");
        assert_eq!(areas.len(), 4);
        assert_eq!(areas[0].name, "/usr/bin/my cat (deleted)");
        assert_eq!((areas[0].start, areas[0].end, areas[0].inode), (0x563d_9b70_f000, 0x563d_9b71_1000, 247_030));
        assert_eq!(areas[0].device, (0xfe, 0));
        assert_eq!(areas[2].name, "");
        assert_eq!(areas[3].perm_text(), "--xp");
        assert_eq!(areas[1].to_string(), "7ffe3c9d6000-7ffe3c9f7000 rw-p 00000000 00:00 0 [stack]");
    }

    #[test]
    fn the_process_that_runs_this_can_be_read() {
        let text = std::fs::read("/proc/self/maps").expect("a process may read its own map");
        let areas = read(text.as_slice(), "/proc/self/maps").expect("the kernel writes it so");
        let here = GOOD.as_ptr() as u64;
        assert!(areas.iter().any(|area| area.start <= here && here < area.end));
    }

    #[test]
    fn a_bad_line_is_named_with_what_was_expected() {
        let bad = [
            ("1000 r--p 0 0:0 0", "START-END"),
            ("2000-1000 r--p 0 0:0 0", "end is above"),
            ("1000-1000 r--p 0 0:0 0", "end is above"),
            ("+1000-2000 r--p 0 0:0 0", "START-END"),
            ("10000000000000000-2 r--p 0 0:0 0", "START-END"),
            ("1000-2000 rw- 0 0:0 0", "four letters"),
            ("1000-2000 rwxq 0 0:0 0", "four letters"),
            ("1000-2000 wr-p 0 0:0 0", "four letters"),
            ("1000-2000 rw-p zz 0:0 0", "offset"),
            ("1000-2000 rw-p 0 00 0", "device"),
            ("1000-2000 rw-p 0 100000000:0 0", "device"),
            ("1000-2000 rw-p 0 0:0 -1", "inode"),
            ("1000-2000 rw-p 0 0:0", "inode"),
            ("", "START-END"),
            ("   ", "START-END"),
        ];
        for (text, expected) in bad {
            let whole = format!("0-1000 r--p 0 0:0 0\n{text}\n2000-3000 r--p 0 0:0 0\n");
            let error = read(whole.as_bytes(), "saved").expect_err(text).to_string();
            assert!(error.starts_with("saved:2: expected "), "{error}");
            assert!(error.contains(expected), "{error}");
            assert!(error.contains(&format!("read {:?}", text.trim())), "{error}");
        }
    }

    #[test]
    fn carriage_returns_and_blank_lines_at_the_end_mean_nothing() {
        let plain = read(GOOD.as_bytes(), "saved").expect("these lines are good");
        for text in [GOOD.replace('\n', "\r\n"), format!("{GOOD}\n"), format!("{GOOD}\r\n  \n\n"), GOOD.trim_end().to_owned()] {
            assert_eq!(read(text.as_bytes(), "saved").expect("the same lines"), plain, "{text:?}");
        }
    }

    #[test]
    fn areas_over_one_another_are_refused() {
        let text = "1000-3000 r--p 0 0:0 0\n2000-4000 r--p 0 0:0 0\n";
        let error = read(text.as_bytes(), "saved").expect_err("they overlap").to_string();
        assert!(error.starts_with("saved:2: expected an area that starts at 0x3000"), "{error}");
    }

    #[test]
    fn a_line_without_end_is_refused_without_being_held() {
        let endless = std::io::BufReader::new(std::io::repeat(b'1'));
        let error = read(endless, "saved").expect_err("it never ends").to_string();
        assert!(error.starts_with("saved:1: expected a line of at most 64 KiB"), "{error}");
        assert!(error.len() < 300, "{error}");
    }
}
