//! The fields of one line, taken one after the other. Called by `line`, `huge` and `parse`; errors are [`TraceFault`]s.

use std::str::FromStr;

use super::{Errno, Extent, Found, Outcome, TraceFault};

/// The rest of a line: fields separated by blanks, up to a comment.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self(line)
    }

    /// Returns the next field without taking it. A field that begins with `#` begins a comment, which reaches to the end of the line.
    pub(super) fn peek(&self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches([' ', '\t']);
        let field = rest.split([' ', '\t']).next().filter(|field| !field.is_empty())?;
        (!field.starts_with('#')).then_some(field)
    }

    /// Takes the next field, if there is one.
    pub(super) fn optional(&mut self) -> Option<&'a str> {
        let field = self.peek()?;
        self.0 = self.0.trim_start_matches([' ', '\t']).get(field.len()..).unwrap_or("");
        Some(field)
    }

    /// Takes the next field; an error if there is none.
    pub(super) fn next(&mut self, expected: &'static str) -> Result<&'a str, TraceFault> {
        self.optional().ok_or_else(|| TraceFault::ends("line", expected))
    }

    /// Takes the next field and converts it by `make`; an error if that returns `None`.
    pub(super) fn make<T>(&mut self, expected: &'static str, make: impl FnOnce(&'a str) -> Option<T>) -> Result<T, TraceFault> {
        let field = self.next(expected)?;
        make(field).ok_or_else(|| TraceFault::unexpected(field, expected))
    }

    /// Takes the next field and parses it.
    pub(super) fn parse<T: FromStr>(&mut self, expected: &'static str) -> Result<T, TraceFault> {
        self.make(expected, |field| field.parse().ok())
    }

    pub(super) fn number(&mut self, expected: &'static str) -> Result<u64, TraceFault> {
        self.make(expected, number)
    }

    pub(super) fn extent(&mut self) -> Result<Extent, TraceFault> {
        self.make("a range START-END in hexadecimal, with START below END", extent)
    }

    /// Takes `= RESULT`; `None` if nothing is left.
    fn result(&mut self) -> Result<Option<&'a str>, TraceFault> {
        match self.optional() {
            None => Ok(None),
            Some("=") => self.next("a result after `=`").map(Some),
            Some(other) => Err(TraceFault::unexpected(other, "`=` and a result, or the end of the line")),
        }
    }

    /// Takes the `= RESULT` of an operation: an address, 0, a negative error, `?` or nothing.
    pub(super) fn outcome(&mut self) -> Result<Outcome, TraceFault> {
        let Some(text) = self.result()? else {
            return Ok(Outcome::Unchecked);
        };
        if text == "?" {
            return Ok(Outcome::Unchecked);
        }
        if let Some(errno) = failure(text) {
            return Ok(Outcome::Failed(errno));
        }
        number(text)
            .map(Outcome::Value)
            .ok_or_else(|| TraceFault::unexpected(text, "a result: an address, 0, a negative error like `-ENOMEM`, or `?`"))
    }

    /// Takes `= START-END`, `= none`, `= ?` or nothing.
    pub(super) fn found(&mut self) -> Result<Found, TraceFault> {
        match self.result()? {
            None | Some("?") => Ok(Found::Unchecked),
            Some("none") => Ok(Found::None),
            Some(text) => {
                extent(text).map(Found::Area).ok_or_else(|| TraceFault::unexpected(text, "a result: a range START-END, `none`, or `?`"))
            }
        }
    }

    /// Takes `= WORD`; `None` if nothing is left.
    pub(super) fn result_word(&mut self) -> Result<Option<&'a str>, TraceFault> {
        Ok(self.result()?.filter(|word| *word != "?"))
    }

    /// Takes everything up to the end of the line or a comment, without the blanks around it.
    pub(super) fn rest(&mut self) -> &'a str {
        let all = self.0.trim_start_matches([' ', '\t']);
        let mut ahead = self.clone();
        let mut end = 0;
        while let Some(field) = ahead.optional() {
            end = all.len() - ahead.0.len();
            debug_assert!(all.get(..end).is_some_and(|text| text.ends_with(field)), "the end of that field");
        }
        self.0 = ahead.0;
        all.get(..end).unwrap_or("")
    }

    /// Checks that nothing is left.
    pub(super) fn done(mut self) -> Result<(), TraceFault> {
        match self.optional() {
            None => Ok(()),
            Some(field) => Err(TraceFault::unexpected(field, "the end of the line")),
        }
    }
}

/// Reads a number: decimal, or hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => hexadecimal(digits),
        // `from_str` would accept a sign
        None => text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?,
    }
}

/// Reads a decimal number that may be negative.
pub(super) fn signed(text: &str) -> Option<i32> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let number = number(digits).and_then(|number| i64::try_from(number).ok())?;
    i32::try_from(sign * number).ok()
}

/// Reads a range START-END: hexadecimal with or without `0x`, as in /proc/PID/maps.
fn extent(text: &str) -> Option<Extent> {
    let (start, end) = text.split_once('-')?;
    let bound = |text: &str| hexadecimal(text.strip_prefix("0x").unwrap_or(text));
    Extent::new(bound(start)?, bound(end)?)
}

fn hexadecimal(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Reads a negative error like `-ENOMEM`.
pub(super) fn failure(text: &str) -> Option<Errno> {
    text.strip_prefix('-').and_then(Errno::from_text)
}
