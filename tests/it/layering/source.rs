//! What the rules read: a file of the repository, its tokens, and the paths in it. Called by `rules` and `layering`.
//!
//! The lexer of `proc-macro2` separates code from comments and strings.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::fs;
use std::path::Path;

/// The folders that hold the project's text. `.` is the files of the root folder.
const FOLDERS: [&str; 14] =
    [".", ".ci", ".config", "benches", "cli", "docs", "examples", "fuzz", "host", "scenario", "src", "tests", "trace", "traces"];

/// Names of files and folders that tools write there. They are not read.
const LITTER: [&str; 5] = [".git", "target", "corpus", "artifacts", "coverage"];

/// A text file of the repository.
#[derive(Debug)]
pub(super) struct Source {
    /// The path from the repository's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// Something that a rule does not allow.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) what: String,
}

/// A path in the code. A `use` of a group is one path for each item.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) line: usize,
    /// As it was written.
    pub(super) spelled: Vec<String>,
    /// The path from the crate's root, if it begins with `crate`, `self` or `super`.
    pub(super) in_crate: Option<Vec<String>>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(super) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    pub(super) fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault { path: self.path.clone(), line, what: what.into() }
    }

    /// Returns the tokens of the code, without comments.
    pub(super) fn tokens(&self) -> Vec<TokenTree> {
        let stream: TokenStream = self.text.parse().unwrap_or_else(|error| panic!("{}: not Rust: {error}", self.path));
        stream.into_iter().collect()
    }

    /// Returns the file's module, from the library's root; `None` outside `src`.
    pub(super) fn module(&self) -> Option<Vec<String>> {
        self.module_in("src/")
    }

    /// Returns the file's module, from the root of the crate whose files are in `folder`; `None` if the file is elsewhere.
    pub(super) fn module_in(&self, folder: &str) -> Option<Vec<String>> {
        let inside = self.path.strip_prefix(folder)?.strip_suffix(".rs")?;
        Some(inside.split('/').filter(|part| !matches!(*part, "mod" | "lib")).map(str::to_owned).collect())
    }

    /// Returns every path in the code, except in its unit tests, if the file is this module.
    pub(super) fn imports(&self, module: &[String]) -> Vec<Named> {
        let mut tokens = self.tokens();
        let tests = |three: &[TokenTree]| matches!(three, [keyword, name, TokenTree::Group(_)] if is_word(Some(keyword), "mod") && is_word(Some(name), "tests"));
        while let Some(at) = tokens.windows(3).position(tests) {
            tokens.drain(at..at + 3);
        }
        let mut all = Vec::new();
        spell(&tokens, module, &mut all);
        all
    }

    /// Returns every path in the code.
    pub(super) fn paths(&self) -> Vec<Named> {
        let mut all = Vec::new();
        spell(&self.tokens(), &self.module().unwrap_or_default(), &mut all);
        all
    }
}

/// Reads every text file of the repository.
pub(super) fn repository() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in FOLDERS {
        enter(root, &root.join(folder), folder == ".", &mut all);
    }
    all
}

fn enter(root: &Path, folder: &Path, only_files: bool, all: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable directory").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if LITTER.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            if !only_files {
                enter(root, &path, only_files, all);
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            // A file that is not UTF-8 is a compressed trace or a seed of a fuzz target.
            let path = path.strip_prefix(root).expect("below the root").to_string_lossy().replace("./", "");
            all.push(Source { path, text });
        }
    }
}

/// Calls `see` for each token, also for those in groups, with the tokens that follow it in its group.
pub(super) fn each_token(tokens: &[TokenTree], see: &mut dyn FnMut(&TokenTree, &[TokenTree])) {
    for (i, token) in tokens.iter().enumerate() {
        see(token, &tokens[i + 1..]);
        if let TokenTree::Group(group) = token {
            each_token(&inside(group), see);
        }
    }
}

pub(super) fn inside(group: &proc_macro2::Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

pub(super) fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

pub(super) fn is_punct(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == punct)
}

fn spell(tokens: &[TokenTree], module: &[String], all: &mut Vec<Named>) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at..] {
            [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Group(body), ..] if keyword == "mod" => {
                let module: Vec<_> = module.iter().cloned().chain([name.to_string()]).collect();
                spell(&inside(body), &module, all);
                at += 3;
            }
            [TokenTree::Ident(_), ..] => at = spell_path(tokens, at, &[], module, all),
            [TokenTree::Group(group), ..] => {
                spell(&inside(group), module, all);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// Adds the path that begins with a word at `at`, and returns where it ends.
fn spell_path(tokens: &[TokenTree], mut at: usize, prefix: &[String], module: &[String], all: &mut Vec<Named>) -> usize {
    let mut spelled = prefix.to_vec();
    let line = tokens[at].span().start().line;
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(word)) => spelled.push(word.to_string()),
            Some(TokenTree::Punct(p)) if p.as_char() == '*' => spelled.push("*".to_owned()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let tokens = inside(group);
                let mut inner = 0;
                while inner < tokens.len() {
                    inner = spell_path(&tokens, inner, &spelled, module, all);
                    while inner < tokens.len() && !is_punct(tokens.get(inner), ',') {
                        inner += 1; // `as NAME`
                    }
                    inner += 1;
                }
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
            break;
        }
        at += 2;
    }
    let in_crate = resolve(&spelled, module);
    all.push(Named { line, spelled, in_crate });
    // A path that ends where no word is (`Vec::<T>`) has moved on by the colons at least.
    at
}

fn resolve(spelled: &[String], module: &[String]) -> Option<Vec<String>> {
    let (head, rest) = spelled.split_first()?;
    let (mut base, mut rest) = match head.as_str() {
        "crate" => (&[][..], rest),
        "self" | "super" if !rest.is_empty() => (module, if head == "self" { rest } else { spelled }),
        _ => return None,
    };
    while rest.first().is_some_and(|word| word == "super") {
        base = &base[..base.len().saturating_sub(1)];
        rest = &rest[1..];
    }
    (!rest.is_empty()).then(|| [base, rest].concat())
}
