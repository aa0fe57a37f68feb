//! The embedder's side: a payload whose hooks note their arguments, and page tables that only these hooks change.

use super::page::{Model, PAGES};
use std::cell::RefCell;
use vmaple::mm::Payload;
use vmaple::{PAGE_SIZE, Span, VmaFlags};

thread_local! {
    static CALLS: RefCell<Vec<Hook>> = const { RefCell::new(Vec::new()) };
}

/// A call of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Unmapped(Span),
    Protected(Span, VmaFlags),
    Moved(Span, Span),
}

/// Returns the calls of the hooks since the last time.
pub(crate) fn calls() -> Vec<Hook> {
    CALLS.take()
}

fn note(hook: Hook) {
    CALLS.with_borrow_mut(|calls| calls.push(hook));
}

/// A payload. VMAs with different payloads do not merge; `WHOLE` is not split, `LASTING` does not vanish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marked(pub(crate) u8);

impl Marked {
    pub(crate) const WHOLE: Self = Self(2);
    pub(crate) const LASTING: Self = Self(3);
}

impl Payload for Marked {
    fn merges_with(&self, next: &Self) -> bool {
        self == next
    }

    fn part(&self, whole: Span, part: Span) -> Self {
        assert!(whole.intersection(part) == Some(part), "{part} is no part of {whole}");
        *self
    }

    fn may_split(&self, whole: Span, at: u64) -> bool {
        assert!(whole.start() < at && at <= whole.last(), "{at:#x} splits nothing of {whole}");
        *self != Self::WHOLE
    }

    fn may_vanish(&self) -> bool {
        *self != Self::LASTING
    }

    fn unmapped(&self, pages: Span) {
        note(Hook::Unmapped(pages));
    }

    fn protected(&self, pages: Span, flags: VmaFlags) {
        note(Hook::Protected(pages, flags));
    }

    fn pages_moved(&self, from: Span, to: Span) {
        note(Hook::Moved(from, to));
    }
}

fn pages_of(span: Span) -> std::ops::Range<usize> {
    Model::pages_of(span.start(), span.last() - span.start() + 1)
}

/// The flags that page tables have: the permissions and the protection key.
const IN_TABLES: VmaFlags = VmaFlags::ACCESS.union(VmaFlags::PKEY_MASK);

/// The embedder's page tables: the page at each address, and its permissions. Only the hooks change an entry.
#[derive(Clone, Debug)]
pub(crate) struct Tables([Option<(u32, VmaFlags)>; PAGES]);

impl Default for Tables {
    fn default() -> Self {
        Self([None; PAGES])
    }
}

impl Tables {
    fn apply(&mut self, hook: Hook) {
        match hook {
            Hook::Unmapped(pages) => self.0[pages_of(pages)].fill(None),
            Hook::Protected(pages, flags) => {
                self.0[pages_of(pages)].iter_mut().flatten().for_each(|entry| entry.1 = flags & IN_TABLES);
            }
            Hook::Moved(from, to) => {
                assert!(from.start() % PAGE_SIZE == 0 && to.start() % PAGE_SIZE == 0, "whole pages are moved");
                for (from, to) in pages_of(from).zip(pages_of(to)) {
                    assert_eq!(self.0[to], None, "pages were moved to where others are");
                    self.0[to] = self.0[from].take();
                }
            }
        }
    }

    /// After an operation: no entry is of a page that is gone or elsewhere, or allows what the page does not; and none was lost of a page
    /// that stayed or was moved. Then all pages are touched.
    pub(crate) fn follow(&mut self, hooks: &[Hook], before: &Model, after: &Model) {
        for hook in hooks {
            self.apply(*hook);
        }
        let was_there = |token: u32| before.pages.iter().flatten().any(|page| page.token == token);
        for (i, (entry, page)) in self.0.iter_mut().zip(&after.pages).enumerate() {
            let is_to_be = page.as_ref().filter(|page| was_there(page.token)).map(|page| (page.token, page.flags & IN_TABLES));
            assert!(
                *entry == is_to_be || after.unknown.contains(&i),
                "the page tables at page {i}: {entry:?}, and not {is_to_be:?}; the hooks were called with {hooks:?}"
            );
            *entry = page.as_ref().map(|page| (page.token, page.flags & IN_TABLES));
        }
    }
}
