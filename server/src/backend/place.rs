//! Where an error is in the script that the user wrote.

use crate::failure::Failure;
use crate::report::Report;
use crate::text_place::byte_at;
use std::ops::Range;
use trodden_client::{CallError, CallErrorKind};
use trodden_query::{Error, ErrorKind, Span};

/// What went wrong with a statement, here or at a server.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// Somebody wished it to end.
    pub(super) is_cancelled: bool,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) span: Option<Span>,
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        Self {
            is_cancelled: error.kind() == ErrorKind::Cancelled,
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
            span: error.span(),
        }
    }
}

impl From<&CallError> for Trouble {
    fn from(error: &CallError) -> Self {
        Self {
            is_cancelled: error.kind() == CallErrorKind::Cancelled,
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
            span: error.span().map(|span| Span {
                line: span.line.into(),
                column: span.column.into(),
                end_line: span.end_line.into(),
                end_column: span.end_column.into(),
            }),
        }
    }
}

/// A statement in its script.
pub(super) struct Place {
    script: Box<str>,
    start: usize,
    length: usize,
}

impl Place {
    /// The place of `statement`, a part of `script`.
    pub(super) fn of(script: &str, statement: &str) -> Self {
        Self { script: script.into(), start: offset_in(script, statement), length: statement.len() }
    }

    /// The failure that `error` means, shown at its place.
    pub(super) fn failure(&self, trouble: &Trouble) -> Failure {
        let report = report(trouble);
        let Some(span) = trouble.span else { return failure(trouble, report) };
        let statement = &self.script[self.start..self.start + self.length];
        let start = byte_at(statement, span.line, span.column);
        let end = byte_at(statement, span.end_line, span.end_column);
        let range = self.start + start..self.start + end;
        failure(trouble, report.with_place(&self.script, single_line(&self.script, range), None))
    }
}

/// The failure that an error without a statement means.
pub(crate) fn failed<'a, E>(error: &'a E) -> Failure
where
    Trouble: From<&'a E>,
{
    let trouble = Trouble::from(error);
    failure(&trouble, report(&trouble))
}

fn failure(trouble: &Trouble, report: Report) -> Failure {
    match trouble.is_cancelled {
        true => Failure::Interrupted(report),
        false => Failure::Failed(report),
    }
}

/// An error as people read it.
pub(super) fn told(error: &Error) -> Report {
    report(&error.into())
}

fn report(trouble: &Trouble) -> Report {
    let report = Report::error(&trouble.message);
    trouble.hint.iter().fold(report, |report, hint| report.with_hint(hint))
}

/// A place that spans lines is marked up to the end of its first one: a caret says where to look, not how far.
fn single_line(script: &str, range: Range<usize>) -> Range<usize> {
    let end = script.get(range.clone()).and_then(|text| text.find('\n')).map_or(range.end, |at| range.start + at);
    range.start..end
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset_in(whole: &str, part: &str) -> usize {
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if whole.get(offset..).is_some_and(|rest| rest.starts_with(part)) { offset } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bytes_of_the_script() {
        let script = "SELECT 1;\nSELECT ä,\n  prise FROM t";
        let statement = &script[10..];
        assert_eq!(offset_in(script, statement), 10);
    }
}
