//! Tests of the whole format: what is written is read back, and what is invalid is refused with its line.

mod arbitrary;
mod refused;

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use quickcheck::{QuickCheck, TestResult};

use super::{
    Access, Context, Ending, Errno, Extent, Found, HEADER, Line, Name, Object, Offset, Operation, Outcome, Prot, Reader, Record, Stamp,
    TraceError, TraceFault, Writer,
};

/// The output of a writer, which the test reads afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no writer panicked").clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read(body: &str) -> Result<Vec<Line>, TraceError> {
    Reader::new("t", Cursor::new(format!("{HEADER}\n{body}"))).collect()
}

fn one(line: &str) -> Record {
    let mut lines = read(&format!("{line}\n")).expect("a good line");
    assert_eq!(lines.len(), 1, "{line}");
    lines.remove(0).record
}

fn refusal(bytes: &[u8]) -> TraceError {
    Reader::new("t", Cursor::new(bytes.to_vec())).find_map(Result::err).expect("a trace that is refused")
}

#[test]
fn what_is_written_is_read_back() {
    #[allow(clippy::needless_pass_by_value, reason = "what quickcheck calls")]
    fn holds(lines: arbitrary::Lines) -> TestResult {
        let output = Shared::default();
        let mut writer = Writer::new(output.clone()).expect("memory can be written");
        for (stamp, record) in &lines.0 {
            writer.record(*stamp, record).expect("memory can be written");
        }
        writer.finish().expect("memory can be written");
        let text = String::from_utf8(output.bytes()).expect("a trace is UTF-8");
        let read: Result<Vec<_>, _> = Reader::new("t", Cursor::new(text.clone())).collect();
        let read: Vec<_> = match read {
            Ok(lines) => lines.into_iter().map(|line| (line.stamp, line.record)).collect(),
            Err(error) => return TestResult::error(format!("{error}\n{text}")),
        };
        if read == lines.0 { TestResult::passed() } else { TestResult::error(format!("{read:?}\n{text}")) }
    }
    QuickCheck::new().tests(2_000).quickcheck(holds as fn(arbitrary::Lines) -> TestResult);
}

#[test]
fn arbitrary_bytes_give_records_or_one_error() {
    fn holds(body: Vec<u8>) -> bool {
        let mut bytes = format!("{HEADER}\n").into_bytes();
        bytes.extend(body);
        let mut reader = Reader::new("t", Cursor::new(bytes));
        let errors = reader.by_ref().filter(Result::is_err).count();
        errors <= 1 && reader.next().is_none()
    }
    QuickCheck::new().tests(2_000).quickcheck(holds as fn(Vec<u8>) -> bool);
}

#[test]
fn every_form_of_line_is_read() {
    let object = Object::File(Name::new(b"/usr/lib/a b%c").expect("a name"));
    let lines = read(
        "# a comment\n\n  set page 4096 # another\n@17 250 mmap 0 8192 rw,growsdown private,fixed \
         file:/usr/lib/a%20b%25c - = 0x7ffff7ff0000\nbrk 0 = -ENOMEM\nfault 0x10 w\nfault 16 x kernel = none\n\
         find 0 = 00010000-00012000\nmaps\n 00010000-00012000 rw-p - anon 0\n 00012000-00013000\nend\n",
    )
    .expect("a good trace");
    let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(lines[1].stamp, Some(Stamp { tid: 17, time_ns: 250 }));
    let Record::Operation(Operation::Mmap { prot, object: read, offset, len, .. }, outcome) = &lines[1].record else {
        panic!("not an mmap: {:?}", lines[1]);
    };
    assert_eq!((*prot, *len), (Prot::READ.union(Prot::WRITE).union(Prot::GROWSDOWN), 8192));
    assert_eq!((read, *offset, *outcome), (&object, Offset::Default, Outcome::Value(0x7fff_f7ff_0000)));
    let enomem = Errno::from_name("ENOMEM").expect("an error");
    assert_eq!(lines[2].record, Record::Operation(Operation::Brk { addr: 0 }, Outcome::Failed(enomem)));
    let fault = Record::Fault { addr: 16, access: Access::Exec, context: Context::Kernel, found: Found::None };
    assert_eq!(lines[4].record, fault);
    let extent = Extent::new(0x10000, 0x12000).expect("a range");
    assert_eq!(lines[5].record, Record::Find { addr: 0, found: Found::Area(extent) });
    let Record::Expected(first) = &lines[7].record else { panic!("not in the block: {:?}", lines[7]) };
    assert_eq!((first.extent, first.object.clone()), (extent, Some(Object::Anon)));
    let Record::Expected(second) = &lines[8].record else { panic!("not in the block: {:?}", lines[8]) };
    assert_eq!((second.perm, second.flags), (None, None));
}

#[test]
fn words_have_the_numbers_of_linux() {
    for (line, bits) in [
        ("mmap 0 1 none private,anonymous anon - = 0", libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
        ("mmap 0 1 none shared_validate,sync anon -", libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC),
        ("mmap 0 1 none hugetlb,huge_1gb,shared anon -", libc::MAP_SHARED | libc::MAP_HUGETLB | libc::MAP_HUGE_1GB),
        ("mmap 0 1 none fixed_noreplace,private,growsdown,locked,noreserve,populate,nonblock,stack anon -", {
            let first = libc::MAP_FIXED_NOREPLACE | libc::MAP_PRIVATE | libc::MAP_GROWSDOWN | libc::MAP_LOCKED;
            first | libc::MAP_NORESERVE | libc::MAP_POPULATE | libc::MAP_NONBLOCK | libc::MAP_STACK
        }),
    ] {
        let Record::Operation(Operation::Mmap { flags, .. }, _) = one(line) else { panic!("{line}") };
        assert_eq!(i64::from(flags.bits()), i64::from(bits), "{line}");
    }
    for (word, number) in [
        ("sequential", libc::MADV_SEQUENTIAL),
        ("dontfork", libc::MADV_DONTFORK),
        ("mergeable", libc::MADV_MERGEABLE),
        ("nohugepage", libc::MADV_NOHUGEPAGE),
        ("wipeonfork", libc::MADV_WIPEONFORK),
        ("collapse", libc::MADV_COLLAPSE),
    ] {
        let line = format!("madvise 0 0 {word} = 0");
        let Record::Operation(Operation::Madvise { advice, .. }, _) = one(&line) else { panic!("{line}") };
        assert_eq!(i32::from(advice.number()), number, "{word}");
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

#[test]
fn damaged_and_truncated_gzip_is_refused() {
    let text: Vec<u8> = format!("{HEADER}\n{}", "munmap 0x1000 0x1000 = 0\n".repeat(500)).into_bytes();
    let whole = packed(&text);
    let count = |bytes: &[u8]| {
        let reader = Reader::gzip("t.gz", Cursor::new(bytes.to_vec()));
        reader.collect::<Result<Vec<_>, _>>().map(|lines| lines.len())
    };
    assert_eq!(count(&whole).expect("a good trace"), 500);
    for length in 0..whole.len() {
        assert!(count(&whole[..length]).is_err(), "cut after {length} bytes of {}", whole.len());
    }
    let mut damaged = whole.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    assert!(count(&damaged).is_err(), "the checksum does not match");
    // 64 MiB on one line, from a few KiB
    let mut bomb = format!("{HEADER}\n").into_bytes();
    bomb.resize(64 << 20, b'1');
    let error = Reader::gzip("t.gz", Cursor::new(packed(&bomb))).find_map(Result::err).expect("a refusal");
    assert!(matches!(error.fault, TraceFault::LineTooLong), "{error}");
}

// A trace that is cut short anywhere, even between two lines or two blocks, is refused.
#[test]
fn a_truncated_trace_that_announces_its_end_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["a.trace", "a.trace.gz"] {
        let path = directory.path().join(name);
        let mut writer = Writer::create(&path, Ending::Promised).expect("a new file");
        let text =
            format!("{HEADER}\nmunmap 0x1000 0x1000 = 0\nmaps\n1000-2000 rw-p - anon\n2000-3000\nend\ncover\n1000-3000 rw-p\nend\nexit\n");
        for line in Reader::new("t", Cursor::new(text)) {
            writer.comment("said").expect("a line");
            writer.record(None, &line.expect("a good line").record).expect("a line");
        }
        writer.finish().expect("the end");
        let whole = std::fs::read(&path).expect("the file");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("a file of our own");
            Reader::open(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| error.to_string())
        };
        assert_eq!(read(&whole).expect("a good trace").len(), 9, "{name}");
        for length in 0..whole.len() {
            let error = read(&whole[..length]).expect_err("cut short");
            let says_so = error.contains("cut short") || error.contains("the file is empty");
            assert!(says_so, "{name}, cut after {length} bytes of {}: {error}", whole.len());
        }
    }
}

#[test]
fn complete_is_the_last_line() {
    let read = |text: &str| {
        let reader = Reader::new("t", Cursor::new(text.to_owned()));
        reader.collect::<Result<Vec<_>, _>>().map(|lines| lines.len()).map_err(|error| error.to_string())
    };
    let promised = format!("{HEADER} until complete");
    assert_eq!(read(&format!("{promised} \n# a\nexit\nreset\n complete # b\n# c\n\n")), Ok(2));
    for (text, place, expected) in [
        (format!("{HEADER}\nexit\ncomplete\n"), "t:3", "a keyword"),
        (format!("{HEADER} until\nexit\n"), "t:1", "`vmaple-trace 1`"),
        (format!("{promised}\ncomplete\ncomplete\n"), "t:3", "nothing after `complete`"),
        (format!("{promised}\ncomplete\nexit\n"), "t:3", "nothing after `complete`"),
        (format!("{promised}\ncomplete 1\n"), "t:2", "the end of the line"),
        (format!("{promised}\nmaps\ncomplete\n"), "t:3", "an area"),
        (format!("{promised}\nmaps\nend\n"), "t:3", "cut short"),
        (format!("{promised}\n"), "t:1", "cut short"),
    ] {
        let error = read(&text).expect_err(&text);
        assert!(error.starts_with(place) && error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn files_are_created_and_opened_by_their_names() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["a.trace", "a.trace.gz"] {
        let path = directory.path().join(name);
        let mut writer = Writer::create(&path, Ending::Open).expect("a new file");
        writer.comment("one\ntwo").expect("a line");
        writer.record(None, &Record::Exit).expect("a line");
        writer.finish().expect("the end");
        let lines: Result<Vec<_>, _> = Reader::open(&path).expect("the file").collect();
        assert_eq!(lines.expect("a good trace"), [Line { number: 4, stamp: None, record: Record::Exit }]);
        let magic = std::fs::read(&path).expect("the file").starts_with(&[0x1f, 0x8b]);
        assert_eq!(magic, path.extension().is_some_and(|extension| extension == "gz"), "{name}");
    }
    let missing = Reader::open(&directory.path().join("none")).expect_err("no such file");
    assert_eq!(missing.line, 0);
    Reader::open(directory.path()).expect_err("a directory is no trace");
}
