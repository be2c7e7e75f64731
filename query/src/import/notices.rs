//! What is noticed while rows are read, changes nothing, and is told in the summary.

use super::batch::shorten;
use arrow_array::StringArray;
use std::collections::BTreeSet;
use trodden_engine::ingest::EventBatch;

/// What was noticed in a pass over the files.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Text files whose last line has no line end.
    open_ends: BTreeSet<String>,
    users: Blanks,
    events: Blanks,
}

/// Values that begin or end with a blank.
#[derive(Debug, Default)]
struct Blanks {
    rows: u64,
    /// The first of them, by the number of its batch.
    example: Option<(u64, String)>,
}

impl Notices {
    pub(super) fn open_end(&mut self, file: &str) {
        self.open_ends.insert(file.into());
    }

    /// Look at the events of a batch. `has_events`: their names are from the file.
    pub(super) fn of_batch(sequence: u64, batch: &EventBatch, has_events: bool) -> Self {
        let events = if has_events { Blanks::of(sequence, &batch.event) } else { Blanks::default() };
        Self { users: Blanks::of(sequence, &batch.user_id), events, ..Self::default() }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.open_ends.extend(other.open_ends);
        self.users.merge(other.users);
        self.events.merge(other.events);
    }

    /// As sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        let blanks = [self.users.note("user", "users"), self.events.note("event", "events")];
        let cut = |file| {
            format!("{file}: the last line has no line end; if the file was cut off, the last value is incomplete")
        };
        self.open_ends.iter().map(cut).chain(blanks.into_iter().flatten()).collect()
    }
}

impl Blanks {
    fn of(sequence: u64, values: &StringArray) -> Self {
        let has_blank = |text: &&str| text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
        let mut found = values.iter().flatten().filter(has_blank);
        match found.next() {
            Some(first) => Self { rows: 1 + found.count() as u64, example: Some((sequence, shorten(first))) },
            None => Self::default(),
        }
    }

    fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.example = match (self.example.take(), other.example) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        };
    }

    fn note(&self, part: &str, parts: &str) -> Option<String> {
        let (_, example) = self.example.as_ref()?;
        let rows = if self.rows == 1 { "1 row".into() } else { format!("{} rows", self.rows) };
        let trimmed = example.trim();
        Some(format!(
            "in {rows} the {part} begins or ends with a blank, which is kept: '{example}' and '{trimmed}' are two {parts}"
        ))
    }
}
