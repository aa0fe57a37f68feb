//! The rules, each a function from one file to what is wrong with it.
//!
//! Called by `layering`, with the repository's files and with files that break the rules. Calls `source` for tokens and paths.

use super::source::{Fault, Source, each_token, inside, is_punct, is_word};
use proc_macro2::{Delimiter, TokenTree};

/// The top modules of the library and their layers, lowest first.
const LAYERS: [(&str, u8); 15] = [
    ("sync", 0),
    ("addr", 0),
    ("docs", 0),
    ("key", 0),
    ("error", 0),
    ("fallible", 0),
    ("unwind", 0),
    ("value", 0),
    ("tree", 1),
    ("lock", 1),
    ("map", 2),
    ("vma", 2),
    ("mm", 3),
    ("fault", 4),
    ("tests", 4),
];

/// Modules that must not name other modules, though their layers would allow it.
const STRANGERS: [(&str, &str); 5] = [("tree", "lock"), ("lock", "tree"), ("vma", "tree"), ("vma", "map"), ("map", "vma")];

/// Modules where the library may be unsafe.
const UNSAFE_MODULES: [&str; 5] = ["tree", "lock", "map", "sync", "value"];

/// Files of other modules where the library may be unsafe: guards that keep a record by their lock, not by a count, and the
/// view, a transparent wrapper.
const UNSAFE_FILES: [&str; 4] = ["src/mm/guard.rs", "src/mm/pinned_record.rs", "src/mm/lock_vma.rs", "src/mm/view.rs"];

/// Crates with the machine's primitives, or with models of them.
const PRIMITIVES: [&str; 5] = ["crossbeam_epoch", "loom", "parking_lot", "parking_lot_core", "shuttle"];

const MAX_LINES: usize = 500;

/// Phrases that prose avoids, each with what to write in its place.
const WORDING: [(&str, &str); 39] = [
    ("all told", "in total"),
    ("anew", "again"),
    ("are told", "are reported, or the receiver gets them"),
    ("as a rule", "usually"),
    ("be told", "be reported"),
    ("been told", "been reported"),
    ("but for", "except"),
    ("come round", "wrap around"),
    ("comes in", "is called by, enters"),
    ("comes round", "wraps around"),
    ("flat out", "without a pause"),
    ("for ever", "forever"),
    ("he", "it, or the thread, the caller, the holder"),
    ("him", "it, or the thread, the caller, the holder"),
    ("himself", "itself"),
    ("his", "its"),
    ("in one go", "at once"),
    ("in vain", "without success"),
    ("inside of", "inside"),
    ("is through", "has finished"),
    ("is told", "is reported, or the receiver gets it"),
    ("let go", "released, detached, resumed"),
    ("lets go", "releases, detaches, resumes"),
    ("none if", "`None` if"),
    ("none where", "`None` where"),
    ("on its way out", "at its last stop, ending"),
    ("otherwise than", "unlike"),
    ("outside of", "outside"),
    ("so many", "this many, or the parameter's name"),
    ("so much", "this much, or the parameter's name"),
    ("somebody", "a thread, a caller, a reader"),
    ("tells", "returns, shows, reports"),
    ("the same but", "like `x`, except that"),
    ("to and fro", "back and forth"),
    ("told apart", "distinguished"),
    ("told from", "distinguished from"),
    ("was told", "was reported, or the receiver got it"),
    ("were told", "were reported, or the receiver got them"),
    ("whoever", "the caller, a thread that"),
];

/// Names that do not say what they stand for, each with what to write in its place.
const NAMES: [(&str, &str); 1] = [("told", "`result`, `answer`, `found`: what was returned")];

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// Returns the top module of a module of the library: the first part of its path, except that `mm::fault` counts as one, above `mm`.
fn top_module_of(module: &[String]) -> Option<&str> {
    match module {
        [mm, fault, ..] if mm == "mm" && fault == "fault" => Some(fault),
        _ => module.first().map(String::as_str),
    }
}

/// Returns the top module of a file of the library; `lib` is the crate root.
fn top_module(file: &Source) -> Option<String> {
    Some(top_module_of(&file.module()?).unwrap_or("lib").to_owned())
}

/// A file names its own layer or lower ones; the crate root is exempt, and no file names it.
pub(super) fn layers(file: &Source) -> Vec<Fault> {
    let Some(from) = top_module(file).filter(|module| module != "lib") else { return Vec::new() };
    let Some(own) = layer(&from) else { return vec![file.fault(1, format!("`{from}` has no layer"))] };
    let mut faults = Vec::new();
    for named in file.paths() {
        let spelled = named.spelled.join("::");
        if named.spelled.len() > 1 && named.spelled[0] == "vmaple" {
            faults.push(file.fault(named.line, format!("`{spelled}` names the crate root from inside")));
        }
        let Some(to) = named.in_crate.and_then(|path| top_module_of(&path).map(str::to_owned)).filter(|to| *to != from) else { continue };
        match layer(&to) {
            None => faults.push(file.fault(named.line, format!("`{spelled}` names `{to}`, which has no layer"))),
            Some(other) if other > own => {
                faults.push(file.fault(named.line, format!("`{spelled}` goes up, from `{from}` (L{own}) to `{to}` (L{other})")));
            }
            Some(_) if STRANGERS.contains(&(from.as_str(), to.as_str())) => {
                faults.push(file.fault(named.line, format!("`{spelled}`: `{from}` and `{to}` do not know each other")));
            }
            Some(_) => {}
        }
    }
    faults
}

/// The crate root holds `mod x;`, `use` and documentation, no logic.
pub(super) fn crate_root(file: &Source) -> Vec<Fault> {
    if file.path != "src/lib.rs" {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for item in file.tokens().split(|token| is_punct(Some(token), ';')) {
        let mut item = item;
        // Attributes, inner and outer, documentation among them, and the visibility.
        loop {
            item = match item {
                [TokenTree::Punct(hash), TokenTree::Group(attribute), rest @ ..] if hash.as_char() == '#' => {
                    if is_word(attribute.stream().into_iter().next().as_ref(), "path") {
                        faults.push(file.fault(hash.span().start().line, "a module from another place"));
                    }
                    rest
                }
                [TokenTree::Punct(hash), TokenTree::Punct(bang), TokenTree::Group(_), rest @ ..]
                    if hash.as_char() == '#' && bang.as_char() == '!' =>
                {
                    rest
                }
                [TokenTree::Ident(word), TokenTree::Group(to), rest @ ..] if word == "pub" && to.delimiter() == Delimiter::Parenthesis => {
                    rest
                }
                [TokenTree::Ident(word), rest @ ..] if word == "pub" => rest,
                _ => break,
            };
        }
        let plain = match item {
            [] => true,
            [first, ..] if is_word(Some(first), "use") => true,
            [first, TokenTree::Ident(_)] => is_word(Some(first), "mod"),
            [first, second, TokenTree::Ident(_)] => is_word(Some(first), "extern") && is_word(Some(second), "crate"),
            _ => false,
        };
        if !plain {
            faults.push(file.fault(item[0].span().start().line, "logic in the crate root"));
        }
    }
    faults
}

/// Only the shim names atomics, epochs, model checkers and the scheduler.
pub(super) fn primitives(file: &Source) -> Vec<Fault> {
    if top_module(file).is_none_or(|module| module == "sync") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for named in file.paths() {
        let path: Vec<&str> = named.spelled.iter().map(String::as_str).collect();
        let atomics = path.windows(2).any(|pair| pair == ["sync", "atomic"]);
        let stand_in = PRIMITIVES.contains(&path[0]);
        let scheduler = path.windows(2).any(|pair| matches!(pair, ["thread", "yield_now" | "sleep" | "park"] | ["hint", "spin_loop"]));
        if atomics || stand_in || scheduler {
            faults.push(file.fault(named.line, format!("`{}` belongs into `sync`", path.join("::"))));
        }
    }
    faults
}

/// `unsafe` is only in its modules, each file that has it says why it is allowed there, and each block and implementation has a proof.
pub(super) fn unsafety(file: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut opened = false;
    let tokens = file.tokens();
    each_token(&tokens, &mut |token, after| match (token, after) {
        (TokenTree::Ident(word), [TokenTree::Group(lints), ..]) if word == "allow" || word == "expect" => {
            let lints = inside(lints);
            opened |= is_word(lints.first(), "unsafe_code") && lints.iter().any(|token| is_word(Some(token), "reason"));
        }
        _ => {}
    });
    let outside =
        top_module(file).is_some_and(|module| !UNSAFE_MODULES.contains(&module.as_str())) && !UNSAFE_FILES.contains(&file.path.as_str());
    let lines: Vec<&str> = file.text.lines().collect();
    each_token(&tokens, &mut |token, after| {
        if !is_word(Some(token), "unsafe") {
            return;
        }
        let line = token.span().start().line;
        if outside {
            faults.push(file.fault(line, "`unsafe` outside its modules"));
        } else if !opened {
            faults.push(file.fault(line, "`unsafe` without `allow(unsafe_code, reason = ...)` in this file"));
        }
        let needs_proof = matches!(after.first(), Some(TokenTree::Group(_))) || is_word(after.first(), "impl");
        if needs_proof && !proved(&lines[..line]) {
            faults.push(file.fault(line, "`unsafe` without `// SAFETY:`"));
        }
    });
    faults
}

/// Returns whether a `SAFETY` comment is on the last of these lines, or above the statement that it belongs to.
fn proved(lines: &[&str]) -> bool {
    for (up, line) in lines.iter().rev().enumerate() {
        let line = line.trim();
        if line.contains("// SAFETY:") {
            return true;
        }
        let comment_or_attribute = line.starts_with("//") || line.starts_with("#[");
        if up > 0 && !comment_or_attribute && (line.is_empty() || line.ends_with([';', '{', '}'])) {
            return false;
        }
    }
    false
}

/// No file has more than `MAX_LINES` lines, and none is unfinished.
pub(super) fn files(file: &Source) -> Vec<Fault> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let count = file.text.lines().count();
    if count > MAX_LINES {
        faults.push(file.fault(count, format!("{count} lines; at most {MAX_LINES}")));
    }
    each_token(&file.tokens(), &mut |token, after| {
        if let TokenTree::Ident(word) = token
            && ["todo", "unimplemented", "dbg"].iter().any(|unfinished| word == unfinished)
            && is_punct(after.first(), '!')
            && matches!(after.get(1), Some(TokenTree::Group(_)))
        {
            faults.push(file.fault(word.span().start().line, format!("`{word}!`")));
        }
    });
    faults
}

/// Nothing refers to places outside the project: a clone has no such files.
pub(super) fn outside_paths(file: &Source) -> Vec<Fault> {
    // Spelled in two parts, so that this file passes.
    const PLACES: [&str; 5] =
        [concat!("../", "shared"), concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/"), concat!("/ho", "me/")];
    if file.path.starts_with("traces/") {
        return Vec::new(); // names in a recording are what the recorded program opened
    }
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for place in PLACES {
            if line.contains(place) {
                faults.push(file.fault(number, format!("refers to `{place}`")));
            }
        }
    }
    faults
}

/// Prose says in plain words what is meant. Documents are prose, and so are comments and, in `src/error`, messages.
pub(super) fn wording(file: &Source) -> Vec<Fault> {
    let is_prose =
        std::path::Path::new(&file.path).extension().is_some_and(|extension| extension == "md") || file.path.starts_with("src/error/");
    let mut words: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let prose = if is_prose { line } else { comment(file, line) };
        let trimmed = prose
            .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"'))
            .map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '`'));
        let of_line = trimmed.filter(|word| !word.is_empty()).map(|word| (number, word.to_lowercase()));
        words.extend(of_line);
        if prose.is_empty() {
            words.push((number, String::new())); // no phrase goes on behind code
        }
    }
    let mut faults = Vec::new();
    for (phrase, better) in WORDING {
        let phrase_words: Vec<&str> = phrase.split(' ').collect();
        let found = words.windows(phrase_words.len()).filter(|words| words.iter().map(|(_, word)| word).eq(&phrase_words));
        faults.extend(found.map(|words| file.fault(words[0].0, format!("\"{phrase}\": write {better}"))));
    }
    faults
}

/// A local name says what it stands for.
pub(super) fn names(file: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    each_token(&file.tokens(), &mut |token, _| {
        if let Some((name, better)) = NAMES.into_iter().find(|(name, _)| is_word(Some(token), name)) {
            faults.push(file.fault(token.span().start().line, format!("the name `{name}`: write {better}")));
        }
    });
    faults
}

/// Returns the comment in a line: after `//` in Rust, if no string is open there, and elsewhere in a line that starts with `#`.
fn comment<'l>(file: &Source, line: &'l str) -> &'l str {
    let line = line.trim();
    if !file.is_rust() {
        return if line.starts_with('#') { line } else { "" };
    }
    let mut starts = line.match_indices("//").map(|(at, _)| at);
    starts.find(|&at| line[..at].matches('"').count().is_multiple_of(2)).map_or("", |at| &line[at..])
}
