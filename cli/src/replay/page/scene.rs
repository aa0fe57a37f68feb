//! What the picture of the map shows: a rectangle for each area and the operations that it existed for, and a dot for each fault. Called by
//! `page`. `axis` gives the positions.
//!
//! A picture is about a thousand points wide. Rectangles that would fall inside one column are left out, and so are some of very many
//! faults, so that the page of a long history stays small.

use super::super::figures::float_len;
use super::super::history::{Fault, History};
use super::super::layout_model::{Bounds, Region};
use super::super::lifetimes::{Lifetime, Lifetimes};
use super::super::query::range;
use super::axis::{Axis, Band};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use vmaple_trace::{Access, AreaFlags, Object, Perm};

/// The most rectangles and dots.
const AREAS: usize = 40_000;
const DOTS: usize = 12_000;
/// How many columns the picture distinguishes when there are too many areas to draw each.
const COLUMNS: u32 = 2_000;
/// Above this the kernel's own pages begin, which no picture needs.
const USER_END: u64 = 1 << 63;

/// The picture of one address space.
#[derive(Debug, Serialize)]
pub(super) struct Scene {
    /// The length of the horizontal axis.
    operations: u32,
    areas: Vec<Drawn>,
    /// Areas that are not drawn because they come and go within a column.
    left_out: usize,
    dots: Vec<(f64, f64, u8)>,
    bands: Vec<Labelled>,
    objects: Vec<String>,
    /// Address spaces that are not drawn.
    other_spaces: usize,
}

/// One area, from the operation that made it to the one that ended it.
#[derive(Debug, Serialize)]
struct Drawn {
    /// Operations.
    x: (u32, u32),
    /// Places on the axis.
    y: (f64, f64),
    /// Which of the page's colours it has.
    kind: u8,
    /// Which of the objects it maps.
    object: usize,
    /// For the tooltip.
    extent: String,
    perm: String,
}

#[derive(Debug, Serialize)]
struct Labelled {
    from: f64,
    to: f64,
    name: String,
    start: String,
    end: String,
}

impl Scene {
    /// Draws the address space in which most happened.
    pub(super) fn of(history: &History, lifetimes: &Lifetimes) -> Self {
        let space = busiest(history);
        let moments = u32::try_from(history.steps.len()).unwrap_or(u32::MAX);
        let operations = u32::try_from(history.operation_lines.len()).unwrap_or(u32::MAX).max(1);
        let shown: Vec<&Lifetime> = lifetimes
            .iter()
            .filter(|lifetime| lifetime.space == space && lifetime.from <= moments && lifetime.area.last < USER_END)
            .collect();
        let axis = Axis::of(shown.iter().copied());
        // the picture counts operations; an area that edit `moment` made begins with the operation of that edit
        let operation = |moment: u32| match moment.checked_sub(1) {
            Some(edit) => history.steps.get(edit as usize).map_or(operations, |step| step.operation),
            None => 0,
        };
        let extent =
            |lifetime: &Lifetime| (operation(lifetime.from), if lifetime.to >= moments { operations } else { operation(lifetime.to + 1) });
        let column = if shown.len() > AREAS { operations.div_ceil(COLUMNS) } else { 1 };
        let wide: Vec<(&Lifetime, (u32, u32))> = shown
            .iter()
            .map(|lifetime| (*lifetime, extent(lifetime)))
            .filter(|(_, (from, to))| from / column < to / column)
            .take(AREAS)
            .collect();
        let mut objects = Names::default();
        let areas = wide.iter().map(|(lifetime, x)| draw(history, &axis, lifetime, *x, &mut objects)).collect();
        Self {
            operations,
            left_out: shown
                .iter()
                .filter(|lifetime| {
                    let (from, to) = extent(lifetime);
                    from < to
                })
                .count()
                - wide.len(),
            areas,
            dots: dots(&history.faults, space, &axis),
            bands: axis.bands.iter().map(|band| label(history, band, &shown)).collect(),
            objects: objects.names,
            other_spaces: history.spaces.len() - 1,
        }
    }
}

/// The address space with the most edits; the first one, if there is none.
fn busiest(history: &History) -> u32 {
    let mut edits = vec![0usize; history.spaces.len()];
    for step in &history.steps {
        edits[step.space as usize] += 1;
    }
    let most = edits.iter().copied().max().unwrap_or(0);
    let at = edits.iter().position(|count| *count == most).unwrap_or(0);
    u32::try_from(at).unwrap_or(0)
}

/// The names of objects, each once.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Names {
    fn number(&mut self, name: String) -> usize {
        let names = &mut self.names;
        *self.numbers.entry(name).or_insert_with_key(|name| {
            names.push(name.clone());
            names.len() - 1
        })
    }
}

fn draw(history: &History, axis: &Axis, lifetime: &Lifetime, x: (u32, u32), objects: &mut Names) -> Drawn {
    let area = lifetime.area;
    let perm = area.attrs.perm();
    let extent = Bounds { start: area.start, last: area.last };
    Drawn {
        x,
        y: (rounded(axis.place(area.start)), rounded(axis.place(area.last.saturating_add(1)))),
        kind: kind(perm),
        object: objects.number(name(history, lifetime.space, &area)),
        extent: range(extent),
        perm: perm.to_string(),
    }
}

/// The colours of the page: nothing, read, execute, write, write and execute, shared.
fn kind(perm: Perm) -> u8 {
    let has = |bit| perm.contains(bit);
    match () {
        () if has(Perm::SHARED) => 5,
        () if has(Perm::WRITE) && has(Perm::EXEC) => 4,
        () if has(Perm::WRITE) => 3,
        () if has(Perm::EXEC) => 2,
        () if has(Perm::READ) => 1,
        () => 0,
    }
}

fn name(history: &History, space: u32, area: &Region) -> String {
    let attrs = area.attrs;
    if history.spaces[space as usize].heap.is_some_and(|heap| (area.start..=area.last).contains(&heap)) {
        return "heap".to_owned();
    }
    if attrs.has(AreaFlags::GROWSDOWN) {
        return "stack".to_owned();
    }
    match history.backings.object(attrs.backing()) {
        Object::Anon => "anonymous".to_owned(),
        Object::Shm(name) => format!("shared memory {name}"),
        Object::File(name) => name.to_string(),
        Object::Special(name) => format!("[{name}]"),
    }
}

/// Faults lie between the operation before them and the next; those of one such stretch are spread over it in order.
fn dots(faults: &[Fault], space: u32, axis: &Axis) -> Vec<(f64, f64, u8)> {
    let here: Vec<&Fault> = faults.iter().filter(|fault| fault.space == space && fault.mapped).collect();
    let stride = here.len().div_ceil(DOTS).max(1);
    let stretches = here.chunk_by(|one, other| one.operation == other.operation);
    let placed = stretches.flat_map(|stretch| {
        let before = f64::from(stretch[0].operation) - 1.0;
        let step = 1.0 / float_len(stretch.len());
        (0u32..).zip(stretch).map(move |(number, fault)| (before + (f64::from(number) + 0.5) * step, *fault))
    });
    let dot = |(x, fault): (f64, &Fault)| {
        let access = match fault.access {
            Access::Read => 0,
            Access::Write => 1,
            Access::Exec => 2,
        };
        ((x.max(0.0) * 100.0).round() / 100.0, rounded(axis.place(fault.address)), access)
    };
    placed.step_by(stride).map(dot).collect()
}

/// Names a band by what is in it.
fn label(history: &History, band: &Band, lifetimes: &[&Lifetime]) -> Labelled {
    let inside = || lifetimes.iter().filter(|lifetime| (band.start..=band.last).contains(&lifetime.area.start));
    let object = |lifetime: &Lifetime| history.backings.object(lifetime.area.attrs.backing());
    let paths: BTreeSet<String> = inside()
        .filter_map(|lifetime| match object(lifetime) {
            Object::File(path) => Some(path.to_string()),
            _ => None,
        })
        .collect();
    // a program begins with its file, whatever of its memory comes after
    let begins_with_file =
        matches!(inside().min_by_key(|lifetime| lifetime.area.start).map(|lifetime| object(lifetime)), Some(Object::File(_)));
    let name = match paths.first() {
        Some(path) if paths.len() == 1 && begins_with_file => path.rsplit('/').next().unwrap_or(path),
        Some(_) if paths.len() > 1 => "libraries and mappings",
        Some(_) => "mappings",
        None if inside().any(|lifetime| lifetime.area.attrs.has(AreaFlags::GROWSDOWN)) => "stack",
        None if inside().any(|lifetime| name(history, lifetime.space, &lifetime.area) == "heap") => "heap",
        None => "anonymous",
    };
    let hexadecimal = |address: u64| format!("{address:x}");
    Labelled {
        from: rounded(band.from),
        to: rounded(band.to),
        name: name.to_owned(),
        start: hexadecimal(band.start),
        end: hexadecimal(band.last.saturating_add(1)),
    }
}

/// Four digits and a half are more than a picture shows.
fn rounded(place: f64) -> f64 {
    (place * 50_000.0).round() / 50_000.0
}
