//! Effects that no argument of a call shows are recorded, too: replaying such a recording shows no difference.

use std::path::{Path, PathBuf};

use super::{holds, program, record};
use vmaple_host::{Host, Need};

/// The program's exit status where the system refuses what a case needs.
const LEFT_OUT: i32 = 77;

#[test]
fn what_no_argument_tells_is_recorded() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let path = program("unseen", &built);
    let cases = [
        ("driver", "with dontexpand"),
        ("events", "with dontcopy,dontexpand,"),
        ("secret", "with locked,dontdump"),
        ("offset", "anon 0x1 = -EINVAL"),
        ("memory", "with refused:overcommit"),
        ("guard", " guard_install = 0"),
        ("policy", " policy 2:1 = 0"),
        ("remap", " shared,fixed file:/memfd:x 0x4000 = "),
        ("credentials", "set capabilities -"),
        ("userfault", " userfault um:"),
        ("advice", " 0x1000 dontdump = 0"),
        ("heap", "set brk 0x"),
        ("ksm", "unrecorded prctl(PR_SET_MEMORY_MERGE)"),
        ("x, for what reading implies", " 0x8000 rwx private,anonymous anon"),
        ("times", "with open:4"),
        ("family", "r--p account,inherited anon"),
        ("bringing", "own 0x"),
        ("node", "unrecorded set_mempolicy_home_node"),
        ("yielding room", " maymove,fixed 0x"),
        ("query that is refused first", " file:/memfd:refused 0 = 0x"),
        ("laid over others", " rw shared,fixed,anonymous shm:"),
        ("identity", "set capabilities -"),
    ];
    for (case, line) in cases {
        let leave_out = |need: &str| vmaple_host::leave_out(&format!("what_no_argument_tells_is_recorded: {case}"), need);
        if case == "policy" && !Host::probe().has(Need::Mbind) {
            leave_out("mbind");
            continue;
        }
        let recording = record(&["--faults", "--snapshots", "1"], &[&path, Path::new(case)]);
        if recording.code == Some(LEFT_OUT) {
            leave_out("what the system refuses");
            continue;
        }
        if case == "memory" && recording.code == Some(1) {
            leave_out("vm.overcommit_memory other than 1");
            continue;
        }
        assert_eq!(recording.code, Some(0), "{case}: {}", recording.printed);
        assert!(!recording.printed.contains("not certain"), "{case}: nobody waits in vain: {}", recording.printed);
        let paths = recording.paths("unseen");
        let has_line = |path: &PathBuf| std::fs::read_to_string(path).expect("a trace").contains(line);
        assert!(paths.iter().any(has_line), "{case}: no `{line}`");
        for path in &paths {
            holds(path);
        }
    }
}

/// A lock on a file lasts as long as the file is open, so the recorder must not keep it open for longer than the program does.
#[test]
fn a_file_is_closed_with_its_last_mapping() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let recording = record(&[], &[&program("unseen", &built), Path::new("waiting")]);
    assert_eq!(recording.code, Some(0), "{}", recording.printed);
}
