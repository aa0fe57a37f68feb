//! Rules for the source: layers, imports, the place of `unsafe` and of the primitives, the length of files, no path out of the
//! repository, plain words.
//!
//! `rules` finds the faults of one file. Here every file is checked by every rule, and every rule is checked with files that break it.

mod circles;
mod rules;
mod source;

use source::{Fault, Source, repository};

type Rule = fn(&Source) -> Vec<Fault>;

fn obeyed(rule: Rule, applies: fn(&Source) -> bool) {
    let files: Vec<Source> = repository().into_iter().filter(applies).collect();
    assert!(!files.is_empty(), "no file was read");
    let faults: Vec<Fault> = files.iter().flat_map(rule).collect();
    let list: Vec<String> = faults.iter().map(|fault| format!("{}:{}: {}", fault.path, fault.line, fault.what)).collect();
    assert!(faults.is_empty(), "\n{}\n", list.join("\n"));
}

#[test]
fn every_file_names_its_own_layer_or_lower_ones() {
    obeyed(rules::layers, |file| file.path.starts_with("src/"));
}

#[test]
fn no_files_import_each_other() {
    let files: Vec<Source> = repository().into_iter().filter(Source::is_rust).collect();
    let crates = ["src/", "benches/src/", "cli/src/", "examples/pager/", "host/src/", "scenario/src/", "trace/src/"];
    let faults: Vec<Fault> = crates.iter().flat_map(|folder| circles::circles(&files, folder)).collect();
    let list: Vec<String> = faults.iter().map(|fault| format!("{}:{}: {}", fault.path, fault.line, fault.what)).collect();
    assert!(faults.is_empty(), "\n{}\n", list.join("\n"));
}

#[test]
fn the_crate_root_holds_no_logic() {
    obeyed(rules::crate_root, |file| file.path == "src/lib.rs");
}

#[test]
fn only_the_shim_names_primitives() {
    obeyed(rules::primitives, |file| file.path.starts_with("src/"));
}

#[test]
fn unsafe_keeps_to_its_modules_and_is_proved() {
    obeyed(rules::unsafety, Source::is_rust);
}

#[test]
fn files_are_short_and_finished() {
    obeyed(rules::files, Source::is_rust);
}

#[test]
fn nothing_refers_to_places_outside() {
    obeyed(rules::outside_paths, |_| true);
}

#[test]
fn prose_is_in_plain_words() {
    obeyed(rules::wording, |file| !file.path.starts_with("traces/"));
}

#[test]
fn names_say_what_they_stand_for() {
    obeyed(rules::names, Source::is_rust);
}

/// Checks that the rule finds `count` faults in a file with this path and text.
fn finds(rule: Rule, count: usize, path: &str, text: &str) {
    let faults = rule(&Source::new(path, text));
    assert_eq!(faults.len(), count, "{path}: {text}\n{faults:?}");
}

#[test]
fn the_rule_of_layers_can_fail() {
    let rule = rules::layers;
    finds(rule, 0, "src/map/mod.rs", "use crate::{tree::Tree, lock::MmLock, sync::Collector}; mod pin; use pin::Pin;");
    finds(rule, 1, "src/tree/walk.rs", "use crate::map::RangeMap;");
    finds(rule, 1, "src/tree/walk.rs", "use crate::{addr::Span, lock::{MmLock as L}};");
    finds(rule, 1, "src/lock/mod.rs", "fn f() { crate::tree::Tree::new() }");
    finds(rule, 1, "src/tree/walk.rs", "use super::super::map::RangeMap;");
    finds(rule, 0, "src/tree/walk.rs", "use super::node::Node; mod tests { use super::super::node::Node; use super::*; }");
    finds(rule, 0, "src/mm/mod.rs", "use crate::{map::RangeMap, tree::View, vma::VmaRecord, lock::Interrupt};");
    finds(rule, 1, "src/mm/mod.rs", "use crate::mm::fault::FaultContext;");
    finds(rule, 1, "src/vma/lock.rs", "use crate::mm::Mm;");
    finds(rule, 1, "src/vma/record.rs", "use crate::map::RangeMap;");
    finds(rule, 1, "src/map/mod.rs", "use crate::vma::VmaRecord;");
    finds(rule, 0, "src/mm/fault/find.rs", "use crate::mm::Mm;");
    finds(rule, 1, "src/addr.rs", "use super::tree::Tree;");
    finds(rule, 0, "src/addr.rs", "mod tests { use super::tree::Tree; }");
    finds(rule, 1, "src/addr.rs", "use super::*;");
    finds(rule, 1, "src/addr.rs", "use crate::RangeMap;");
    finds(rule, 1, "src/addr.rs", "use vmaple::RangeMap;");
    finds(rule, 1, "src/attic.rs", "");
    finds(rule, 1, "src/sync/epoch.rs", "use std::sync::Arc; use crate::value::Value; use crate::mm;");
    finds(rule, 0, "src/tree/walk.rs", "//! [`crate::map`]");
    finds(rule, 0, "src/tree/walk.rs", r#"const S: &str = "crate::map"; pub(crate) struct A; // crate::map"#);
}

#[test]
fn the_rule_of_circles_can_fail() {
    let faults = |files: &[(&str, &str)]| {
        let files: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        circles::circles(&files, "src/").len()
    };
    let two = |a, b| faults(&[("src/tree/mod.rs", "mod a; mod b;"), ("src/tree/a.rs", a), ("src/tree/b.rs", b)]);
    assert_eq!(two("use super::b::B;", "pub(super) struct B;"), 0);
    assert_eq!(two("use super::b::B;", "use super::a::A;"), 2, "each other");
    assert_eq!(two("use super::b::{C, D as B};", "fn f() { crate::tree::a::f() }"), 2, "in other words");
    assert_eq!(two("use super::b::B;", "mod tests { use super::super::a::A; }"), 0, "a unit test");
    let three = |c| faults(&[("src/a.rs", "use crate::b::B;"), ("src/b.rs", "use crate::c::C;"), ("src/c.rs", c)]);
    assert_eq!(three("use crate::d::D;"), 0);
    assert_eq!(three("use crate::a::A;"), 3, "round by way of a third");
    let elsewhere = [("src/a.rs", "use crate::b::B;"), ("src/b.rs", ""), ("cli/src/b.rs", "use crate::a::A;"), ("cli/src/a.rs", "")];
    assert_eq!(faults(&elsewhere), 0, "another crate");
    let member = [Source::new("cli/src/a.rs", "use super::b::B;"), Source::new("cli/src/b.rs", "use crate::a::A;")];
    assert_eq!(circles::circles(&member, "cli/src/").len(), 2, "in a member");
    let wing = ("src/w/mod.rs", "mod x; pub(super) use x::{X, Y}; use x::f;");
    assert_eq!(faults(&[wing, ("src/w/x.rs", "use crate::a::A; use super::W;"), ("src/a.rs", "")]), 0, "a roof");
    assert_eq!(faults(&[wing, ("src/w/x.rs", "use crate::a::A;"), ("src/a.rs", "use crate::w::Y;")]), 2, "handed on by a `mod.rs`");
}

#[test]
fn the_rule_of_the_crate_root_can_fail() {
    let rule = rules::crate_root;
    finds(rule, 0, "src/lib.rs", "//! Docs.\n#![deny(x)] #[cfg(test)] mod a; pub mod b; pub use b::{C, D};");
    finds(rule, 1, "src/lib.rs", "#[cfg(test)] #[path = \"a\"] mod a; pub mod b;");
    finds(rule, 1, "src/lib.rs", "mod a; fn f() {} ");
    finds(rule, 1, "src/lib.rs", "mod a { } use b::C;");
    finds(rule, 1, "src/lib.rs", "pub const A: u8 = 1;");
}

#[test]
fn the_rule_of_primitives_can_fail() {
    let rule = rules::primitives;
    finds(rule, 0, "src/sync/epoch.rs", "use crossbeam_epoch as cb; use std::sync::atomic::AtomicU64;");
    finds(rule, 0, "src/sync.rs", "use loom::sync::atomic::AtomicU64;");
    finds(rule, 1, "src/tree/node.rs", "use core::sync::atomic::AtomicU64;");
    finds(rule, 2, "src/tree/node.rs", "use std::{sync::{Arc, atomic::{AtomicU64, Ordering}}};");
    finds(rule, 1, "src/map/mod.rs", "fn f() { std::thread::yield_now() }");
    finds(rule, 1, "src/map/mod.rs", "#[cfg(vmaple_loom)] use loom as l;");
    finds(rule, 2, "src/lock/mod.rs", "use loom::sync as raw; use parking_lot_core as raw;");
    finds(rule, 0, "src/sync/park.rs", "use loom::{lazy_static, sync as raw}; use std::sync::atomic::AtomicU64;");
    finds(rule, 1, "src/map/mod.rs", "use parking_lot::RwLock;");
    finds(rule, 0, "tests/it/main.rs", "use std::sync::atomic::AtomicU64;");
}

#[test]
fn the_rule_of_unsafe_can_fail() {
    let rule = rules::unsafety;
    let opening = "#![allow(unsafe_code, reason = \"a\")]\n";
    let proved = "fn f() {\n    // SAFETY: fine.\n    unsafe { g() }\n}\n";
    finds(rule, 0, "src/tree/node.rs", &format!("{opening}{proved}"));
    finds(rule, 1, "src/tree/node.rs", proved);
    finds(rule, 1, "src/tree/node.rs", &format!("#![allow(unsafe_code)]\n{proved}"));
    finds(rule, 1, "src/addr.rs", &format!("{opening}{proved}"));
    finds(rule, 1, "src/vma/lock.rs", &format!("{opening}{proved}"));
    finds(rule, 1, "src/mm/mod.rs", &format!("{opening}{proved}"));
    finds(rule, 1, "src/mm/fault/find.rs", &format!("{opening}{proved}"));
    finds(rule, 0, "cli/src/sys.rs", &format!("{opening}{proved}"));
    finds(rule, 1, "cli/src/sys.rs", proved);
    finds(rule, 1, "src/map/pin.rs", &format!("{opening}fn f() {{\n    unsafe {{ g() }}\n}}\n"));
    finds(rule, 1, "src/map/pin.rs", &format!("{opening}{proved}\nunsafe impl Send for A {{}}\n"));
    finds(rule, 0, "src/map/pin.rs", &format!("{opening}// SAFETY: fine.\n#[cfg(x)]\nunsafe impl Send for A {{}}\n"));
    finds(rule, 0, "src/addr.rs", "//! unsafe\n// unsafe { }\nconst A: &str = \"unsafe {\"; const B: &str = r#\"\"unsafe\"#;");
}

#[test]
fn the_rule_of_files_can_fail() {
    let rule = rules::files;
    finds(rule, 0, "benches/a.rs", &"\n".repeat(500));
    finds(rule, 1, "benches/a.rs", &"\n".repeat(501));
    finds(rule, 0, "docs/a.md", &"\n".repeat(501));
    finds(rule, 3, "cli/src/a.rs", "fn f() { todo!(); unimplemented!(\"a\"); dbg!(1); } // todo!()");
}

#[test]
fn the_rule_of_places_can_fail() {
    let rule = rules::outside_paths;
    finds(rule, 1, "README.md", concat!("see ../", "shared/A.md"));
    finds(rule, 2, "cli/src/a.rs", concat!("// /tm", "p/x\n// /wo", "rk/main"));
    finds(rule, 0, "README.md", "see ../benches and work/ and tmp");
}

#[test]
fn the_rule_of_wording_can_fail() {
    let rule = rules::wording;
    finds(rule, 0, "src/a.rs", "/// Returns the entry, or `None` if there is none.\nfn f() -> &'static str { \"he is told\" }");
    finds(rule, 1, "src/a.rs", "/// The entry; none if nothing is mapped.");
    finds(rule, 2, "src/a.rs", "let a = 1; // Whoever waits (he) is next.");
    finds(rule, 1, "src/a.rs", "    /// All of it, but\n    /// for its bounds.");
    finds(rule, 0, "src/a.rs", "// not this, but\nfor x in y {}\n// the others");
    finds(rule, 1, "docs/a.md", "The writer is\ntold.");
    finds(rule, 1, "src/error/a.rs", "says(\"so many bytes\")");
    finds(rule, 1, ".ci/a.sh", "# in vain\necho in vain");
}

#[test]
fn the_rule_of_names_can_fail() {
    finds(rules::names, 2, "src/a.rs", "fn f() { let told = g(); told }");
    finds(rules::names, 0, "src/a.rs", "// told\nconst A: &str = \"told\"; fn retold() {}");
}
