//! Invalid traces are refused with a message that says where, what was read, and what was expected.

use std::io::{Cursor, Read};

use super::refusal;
use crate::{HEADER, MAX_LINE_BYTES, Reader, TraceFault};

/// An invalid line, what the message says was read, and a part of what it says was expected.
const REFUSED: &[(&str, &str, &str)] = &[
    ("munmapp 0 1", "`munmapp`", "a keyword"),
    ("@x 1 exit", "`@x`", "a thread"),
    ("@4294967296 1 exit", "`@4294967296`", "a thread"),
    ("@1 y exit", "`y`", "a time"),
    ("@1 1", "the end of the line", "a keyword"),
    ("munmap 0x 1", "`0x`", "an address"),
    ("munmap 0xfg 1", "`0xfg`", "an address"),
    ("munmap +1 1", "`+1`", "an address"),
    ("munmap -1 1", "`-1`", "an address"),
    ("munmap 18446744073709551616 1", "`18446744073709551616`", "an address"),
    ("munmap 0x1000", "the end of the line", "a length"),
    ("munmap 0x1000 1 2", "`2`", "`=` and a result"),
    ("munmap 0x1000 1 =", "the end of the line", "a result"),
    ("munmap 0x1000 1 = -EWHAT", "`-EWHAT`", "a result"),
    ("munmap 0x1000 1 = -12", "`-12`", "a result"),
    ("munmap 0x1000 1 = 0 0", "`0`", "the end of the line"),
    ("mprotect 0 1 wv", "`wv`", "`none`, or letters"),
    ("mprotect 0 1 rr", "`rr`", "`none`, or letters"),
    ("mprotect 0 1 ,sem", "`,sem`", "`none`, or letters"),
    ("mmap 0 1 r private,shared anon -", "`private,shared`", "flags of mmap"),
    ("mmap 0 1 r huge_2mb,huge_1gb anon -", "`huge_2mb,huge_1gb`", "flags of mmap"),
    ("mmap 0 1 r PRIVATE anon -", "`PRIVATE`", "flags of mmap"),
    ("mmap 0 1 r private file: -", "`file:`", "`anon`"),
    ("mmap 0 1 r private file:a%2 -", "`file:a%2`", "`anon`"),
    ("mmap 0 1 r private heap:a -", "`heap:a`", "`anon`"),
    ("mmap 0 1 r private anon x", "`x`", "an offset"),
    ("mremap 0 1 2 maymove,maymove", "`maymove,maymove`", "flags of mremap"),
    ("mremap 0 1 2 - here", "`here`", "the new address"),
    ("madvise 0 1 99", "`99`", "an advice"),
    ("mlockall all", "`all`", "flags of mlockall"),
    ("set pages 1", "`pages`", "the name of a setting"),
    ("set page 4095", "`4095`", "a power of two"),
    ("set pkeys 17", "`17`", "at most 16"),
    ("set pkeys.allocated 0x10000", "`0x10000`", "a bit for each"),
    ("set pkeys.execute_only 16", "`16`", "below 16"),
    ("pkey_free", "the end of the line", "a protection key"),
    ("pkey_free --1", "`--1`", "a protection key"),
    ("pkey_mprotect 0 1 r 2147483648", "`2147483648`", "a protection key"),
    ("set privileged 2", "`2`", "0 or 1"),
    ("set capabilities root", "`root`", "capabilities like `ipc_lock,sys_rawio`"),
    ("set capabilities ipc_lock,ipc_lock", "`ipc_lock,ipc_lock`", "capabilities like `ipc_lock,sys_rawio`"),
    ("set limit.stack -1", "`-1`", "`unlimited`"),
    ("area 2000-1000 rw-p - anon -", "`2000-1000`", "START below END"),
    ("area 2000-2000 rw-p - anon -", "`2000-2000`", "START below END"),
    ("area 1000-2000 rwp - anon -", "`rwp`", "permissions"),
    ("area 1000-2000 rw-p big anon -", "`big`", "flags of an area"),
    ("area 1000-2000 rw-p - anon", "the end of the line", "an offset"),
    ("area 1000-2000 rw-p pkey:0 anon -", "`pkey:0`", "flags of an area"),
    ("area 1000-2000 rw-p pkey:16 anon -", "`pkey:16`", "flags of an area"),
    ("area 1000-2000 rw-p pkey:1,pkey:2 anon -", "`pkey:1,pkey:2`", "flags of an area"),
    ("grew 1000", "`1000`", "a range"),
    ("fault 0 rw", "`rw`", "an access"),
    ("fault 0 r root", "`root`", "a context"),
    ("lookup 0 = some", "`some`", "`none`"),
    ("gap middle 0 1 1 1", "`middle`", "`lowest`"),
    ("fork = -EWHAT", "`-EWHAT`", "a name for the child"),
    ("as", "the end of the line", "the name of an address space"),
    ("exit = 0", "`=`", "the end of the line"),
    ("end", "`end`", "a keyword"),
    ("count many", "`many`", "a number of areas"),
    ("vm", "the end of the line", "total="),
    ("vm total=1 total=1", "`total=1`", "at most once"),
    ("vm pages=1", "`pages=1`", "total="),
    ("seq 1", "`1`", "`+1`"),
    ("case # nothing", "the end of the line", "the name of a case"),
    ("window 5-5", "`5-5`", "a range"),
    ("set overcommit 3", "`3`", "0, 1 or 2"),
    ("set huge_page 3", "`3`", "a power of two"),
    ("set huge_page.shared sometimes", "`sometimes`", "within_size"),
    ("set hugetlb 0", "`0`", "a power of two"),
    ("set huge 1", "`huge`", "hugetlb.sizes"),
    ("needs", "the end of the line", "what a case needs"),
    ("needs keys %4", "`%4`", "as a word like `keys`"),
    ("maps\nmunmap 0 1", "`munmap`", "or `end`"),
    ("maps\n1000-2000 rw-p - anon 0 0", "`0`", "the end of the line"),
    ("maps\n1000-3000\n2000-4000", "`0x2000-0x4000`", "at or above 0x3000"),
    ("cover\n1000-2000 rw-p -", "`-`", "the end of the line"),
    ("cover\n1000-2000 rw-p", "the end of the file", "`end` of the block"),
    ("\u{1b}[2J", "`\\u{1b}[2J`", "a keyword"),
];

#[test]
fn invalid_lines_are_refused_with_line_and_expectation() {
    for &(line, read, expected) in REFUSED {
        let error = refusal(format!("{HEADER}\n{line}\n").as_bytes());
        // the last line is the invalid one, and the header is above it
        let place = 1 + u64::try_from(line.lines().count()).expect("a short text");
        assert_eq!((error.file.as_str(), error.line), ("t", place), "{line}: {error}");
        let message = error.to_string();
        let (_, detail) = message.split_once(": read ").expect("what was read");
        let (found, wanted) = detail.split_once(", expected ").expect("what was expected");
        assert_eq!(found, read, "{line}: {message}");
        assert!(wanted.contains(expected), "{line}: {message}");
    }
}

#[test]
fn a_file_that_is_not_a_trace_is_refused() {
    for (bytes, line) in [
        (&b""[..], 1),
        (b"\n", 1),
        (b"vmaple-trace 2\n", 1),
        (b"vmaple-trace 1", 1),
        (b" vmaple-trace 1\n", 1),
        (b"vmaple-trace 1\r\n", 1),
        (b"\xff\xfe\n", 1),
        (b"vmaple-trace 1\nexit\nmunmap 0x1000 0x10", 3),
        (b"vmaple-trace 1\ncase \xff\n", 2),
        (b"vmaple-trace 1\nmaps\n1000-2000\n", 3),
    ] {
        assert_eq!(refusal(bytes).line, line, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn lines_beyond_the_longest_are_refused() {
    let line = |length: usize| format!("{HEADER}\n#{}\n", "x".repeat(length - 1));
    assert!(Reader::new("t", Cursor::new(line(MAX_LINE_BYTES))).all(|line| line.is_ok()));
    let error = refusal(line(MAX_LINE_BYTES + 1).as_bytes());
    assert!(matches!(error.fault, TraceFault::LineTooLong), "{error}");
    assert_eq!(error.line, 2);
}

#[test]
fn an_endless_line_is_refused_early() {
    let endless = std::io::BufReader::new(Cursor::new(format!("{HEADER}\n")).chain(std::io::repeat(b'7')));
    let error = Reader::new("t", endless).find_map(Result::err).expect("a trace that is refused");
    assert!(matches!(error.fault, TraceFault::LineTooLong), "{error}");
}
