//! The reader of traces with arbitrary bytes: it never panics, and what it reads can be written and read back unchanged. The fuzzer's bytes
//! are the file, compressed if they begin as gzip does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fmt::Write;
use std::io::Cursor;
use vmaple_trace::{HEADER, Line, Reader, Record};

/// The most bytes that are read, of the input or of what it expands to.
const MAX_LINES: usize = 20_000;

/// Returns the lines before the first invalid one.
fn read(mut reader: Reader) -> (Vec<Line>, Option<String>) {
    let mut lines = Vec::new();
    for line in reader.by_ref().take(MAX_LINES) {
        match line {
            Ok(line) => lines.push(line),
            Err(error) => {
                assert!(reader.next().is_none(), "after an error it is at its end");
                return (lines, Some(error.to_string()));
            }
        }
    }
    (lines, None)
}

fuzz_target!(|bytes: &[u8]| {
    let input = Cursor::new(bytes.to_vec());
    let (lines, error) = read(if bytes.starts_with(&[0x1f, 0x8b]) { Reader::gzip("fuzz.gz", input) } else { Reader::new("fuzz", input) });
    if let Some(error) = error {
        assert!(error.starts_with("fuzz"), "an error names its file: {error}");
    }
    let mut text = format!("{HEADER}\n");
    for Line { stamp, record, .. } in &lines {
        if let Some(stamp) = stamp {
            write!(text, "{stamp} ").expect("a string takes all");
        }
        writeln!(text, "{record}").expect("a string takes all");
    }
    let (again, error) = read(Reader::new("again", Cursor::new(text.clone())));
    let open_block = lines.iter().rev().find_map(|line| match line.record {
        Record::End => Some(false),
        Record::Maps | Record::Cover => Some(true),
        _ => None,
    });
    if open_block != Some(true) {
        assert_eq!(error, None, "{text}");
    }
    assert_eq!(lines.len(), again.len(), "{text}");
    for (number, (line, again)) in (2..).zip(lines.iter().zip(&again)) {
        assert_eq!(again.number, number);
        assert_eq!((&line.stamp, &line.record), (&again.stamp, &again.record), "{text}");
    }
});
