//! The base of searches for room is recorded for every kind of program and layout: the library then chooses every place as the kernel did.

use std::path::Path;
use std::process::Command;

use super::record;

#[test]
fn every_place_is_chosen_as_the_kernel_did() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let source = built.path().join("places.c");
    let text = "#include <stdlib.h>\n#include <sys/mman.h>\nint main(void) {\n  for (long pages = 1; pages < 9; pages++)\n    \
                if (mmap(0, pages << 12, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) abort();\n}\n";
    std::fs::write(&source, text).expect("a file");
    for kind in ["-pie", "-static", "-static-pie"] {
        let path = built.path().join(kind);
        let status = Command::new("cc").args(["-o".as_ref(), path.as_path(), kind.as_ref(), &source]).status();
        assert!(status.expect("a C compiler").success(), "{kind}");
        for before in [&[][..], &["setarch", "-L"], &["setarch", "-R"], &["prlimit", "--stack=unlimited"]] {
            let command: Vec<&Path> = before.iter().map(Path::new).chain([path.as_path()]).collect();
            let recording = record(&["--snapshots", "1"], &command);
            assert_eq!(recording.code, Some(0), "{kind} {before:?}: {}", recording.printed);
            let [trace] = &recording.paths(kind)[..] else { panic!("{kind} {before:?}: one trace") };
            let output =
                Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("replay").arg(trace).args(["--seconds", "0", "--json", "-"]).output();
            let report: serde_json::Value = serde_json::from_slice(&output.expect("the program runs").stdout).expect("JSON");
            let exact = &report["exact"];
            assert!(exact["placements"].as_u64() >= Some(8), "{kind} {before:?}: {exact}");
            assert_eq!(exact["placements"], exact["placed_alike"], "{kind} {before:?}: {exact}");
        }
    }
}
