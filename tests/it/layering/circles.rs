//! The rule against import cycles: no files import each other, directly or through others. Called by `layering`, with the files of each
//! crate and with seeded ones.
//!
//! An import is a path that begins with `crate`, `self` or `super`; it leads to the file that has the item, also if a `mod.rs` reexports
//! the item. A `mod.rs` names its own files by relative paths, which are no imports, and they may import what it defines. Unit tests may
//! import anything.

use super::source::{Fault, Named, Source};
use std::collections::{BTreeMap, BTreeSet};

/// The files by their modules, each with the paths in it.
type Modules<'f> = BTreeMap<Vec<String>, (&'f str, Vec<Named>)>;

/// Returns every import that is part of an import cycle, in the crate whose files are in `folder`.
pub(super) fn circles(files: &[Source], folder: &str) -> Vec<Fault> {
    let modules: Modules<'_> = files
        .iter()
        .filter_map(|file| {
            let module = file.module_in(folder)?;
            let imports = file.imports(&module);
            Some((module, (&*file.path, imports)))
        })
        .collect();
    let imports: BTreeMap<_, _> = modules.values().map(|(path, named)| (*path, imports(path, named, &modules))).collect();
    let mut faults = Vec::new();
    for file in files {
        for (&to, &line) in imports.get(&*file.path).into_iter().flatten() {
            if reaches(&imports, to, &file.path) {
                faults.push(file.fault(line, format!("imports `{to}`, which imports this file, or another that does")));
            }
        }
    }
    faults
}

/// Returns the files that a file imports, each with the line of an import.
fn imports<'f>(from: &str, named: &[Named], modules: &Modules<'f>) -> BTreeMap<&'f str, usize> {
    let mut found = BTreeMap::new();
    for Named { line, in_crate, .. } in named {
        let Some(to) = in_crate.as_ref().and_then(|path| defined_in(path, modules)) else { continue };
        if to != from {
            found.insert(to, *line);
        }
    }
    found
}

/// Returns the file that defines the item of a path.
fn defined_in<'f>(path: &[String], modules: &Modules<'f>) -> Option<&'f str> {
    let len = (0..=path.len()).rev().find(|&len| modules.contains_key(&path[..len]))?;
    let (module, rest) = path.split_at(len);
    let (file, named) = &modules[module];
    // A reexport: `pub use child::Item;`.
    let handed_on = named.iter().find_map(|Named { spelled, .. }| {
        let (item, child) = spelled.split_last()?;
        let child = [module, child].concat();
        (child.len() > len && Some(item) == rest.first() && modules.contains_key(&child)).then(|| [&child[..], rest].concat())
    });
    handed_on.map_or(Some(file), |path| defined_in(&path, modules))
}

fn reaches(imports: &BTreeMap<&str, BTreeMap<&str, usize>>, from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at.to_owned()) {
            next.extend(imports.get(at).into_iter().flat_map(|imports| imports.keys()));
        }
    }
    false
}
