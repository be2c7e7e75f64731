//! Errors and warnings for people: the place with a caret, the cause, the way out.

use crate::printable;
use crate::terminal::Terminal;
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, Severity, ThemeCharacters, ThemeStyles,
};
use std::ops::Range;

/// Narrowest and widest text of a report, in columns: wider lines are hard to read, narrower ones are torn apart.
const WIDTHS: (usize, usize) = (60, 140);

/// An error or a warning, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    message: String,
    warning: bool,
    cause: Option<String>,
    hint: Option<String>,
    place: Option<Place>,
}

/// A place in a text, with the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    text: String,
    span: Range<usize>,
    label: Option<String>,
}

impl Report {
    /// An error that says `message`.
    pub fn error(message: impl Into<String>) -> Self {
        Self { message: message.into(), warning: false, cause: None, hint: None, place: None }
    }

    /// A warning that says `message`.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(message) }
    }

    /// The same report with the way out.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same report with what is behind the message.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same report with the place: `span` is a range of bytes of `text`. A span outside `text` is cut to it; an
    /// empty one marks one character.
    #[must_use]
    pub fn with_place(mut self, text: &str, span: Range<usize>, label: Option<String>) -> Self {
        let text: String = text.chars().flat_map(harmless).collect();
        self.place = Some(Place { span: visible_span(&text, span), text, label });
        self
    }

    /// What the report says.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The report as text for `terminal`, with a line break at the end.
    pub fn render(&self, terminal: &Terminal) -> String {
        let mut diagnostic = MietteDiagnostic::new(self.headline());
        diagnostic = diagnostic.with_severity(if self.warning { Severity::Warning } else { Severity::Error });
        if let Some(hint) = &self.hint {
            diagnostic = diagnostic.with_help(printable::lines(hint));
        }
        let width = terminal.width.clamp(WIDTHS.0, WIDTHS.1);
        let handler =
            GraphicalReportHandler::new_themed(theme(terminal)).with_width(width).with_wrap_lines(terminal.stderr);
        let mut out = String::new();
        let rendered = match &self.place {
            None => handler.render_report(&mut out, &diagnostic),
            Some(place) => {
                let label = LabeledSpan::new(place.label.clone(), place.span.start, place.span.len());
                let report = miette::Report::new(diagnostic.with_label(label)).with_source_code(place.text.clone());
                handler.render_report(&mut out, report.as_ref())
            }
        };
        if rendered.is_err() {
            return self.plain();
        }
        if self.place.is_some() { out } else { tidy(&out) }
    }

    fn headline(&self) -> String {
        let word = if self.warning { "warning" } else { "error" };
        match &self.cause {
            Some(cause) => printable::lines(&format!("{word}: {}\n{cause}", self.message)),
            None => printable::lines(&format!("{word}: {}", self.message)),
        }
    }

    /// The report without any drawing: what is left should the drawing fail.
    fn plain(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}\n  hint: {}\n", self.headline(), printable::lines(hint)),
            None => format!("{}\n", self.headline()),
        }
    }
}

/// `letter`, or as many question marks as a control character has bytes: places are counted in bytes.
fn harmless(letter: char) -> impl Iterator<Item = char> {
    let steers = letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
    let (letter, count) = if steers { ('?', letter.len_utf8()) } else { (letter, 1) };
    std::iter::repeat_n(letter, count)
}

fn tidy(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

/// `span` cut to `text`, on character boundaries, and never empty unless the text is.
fn visible_span(text: &str, span: Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    if start == end {
        match text[start..].chars().next() {
            Some(next) => end += next.len_utf8(),
            // Behind the last character ("the statement ends here"): mark the last visible one.
            None => {
                let trimmed = text.trim_end();
                end = trimmed.len();
                start = trimmed.char_indices().next_back().map_or(0, |(at, _)| at);
            }
        }
    }
    start..end
}

/// Lines in the reader's character set, and carets under the place whatever that is.
fn theme(terminal: &Terminal) -> GraphicalTheme {
    let base = if terminal.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
    let characters = ThemeCharacters {
        underline: '^',
        underbar: '^',
        error: if terminal.unicode { "×" } else { "x" }.into(),
        warning: if terminal.unicode { "⚠" } else { "!" }.into(),
        ..base
    };
    GraphicalTheme { characters, styles: if terminal.color { ThemeStyles::ansi() } else { ThemeStyles::none() } }
}
