//! Rows of JSON lines: an object a line, nested objects flattened with dots, arrays kept as JSON text.

use super::batch::{BatchBuilder, Row, RowProblem};
use super::chunks::{Chunk, Chunks, Rows};
use super::error::{ImportError, Result};
use super::files::InputFile;
use super::infer::Cell;
use super::misfit::Misfit;
use super::options::{ColumnOptions, ImportOptions, matches_any};
use super::plan::FilePlan;
use super::rejects::{ChunkRejects, NOT_UTF8};
use super::survey::{MAX_COLUMNS, Survey};
use chrono_tz::Tz;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::HashMap;

/// Objects nested deeper than this stay JSON text.
const DEPTH_MAX: usize = 32;

/// A value of an object: its text, and whether it is text or a time rather than a number or a boolean.
type Value<'a> = (Cow<'a, str>, bool);

/// Give every value of the object in `line` that is not null to `visit`, with its path.
fn visit_object<'a>(line: &'a str, visit: &mut dyn FnMut(&str, Value<'a>)) -> std::result::Result<(), String> {
    if !line.starts_with('{') {
        return Err("not a JSON object".into());
    }
    // The check is serde_json's; the walk below may then trust the grammar.
    serde_json::from_str::<IgnoredAny>(line).map_err(|error| format!("bad JSON: {error}"))?;
    let mut walk = Walk { text: line, position: 0, path: String::new() };
    walk.object(0, visit)
}

/// A walk through JSON that is known to be valid.
struct Walk<'a> {
    text: &'a str,
    position: usize,
    path: String,
}

impl<'a> Walk<'a> {
    /// Skip white space and separators; the byte that comes then.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':') = bytes.get(self.position) {
            self.position += 1;
        }
        bytes.get(self.position).copied().unwrap_or(b'}')
    }

    fn object(&mut self, depth: usize, visit: &mut dyn FnMut(&str, Value<'a>)) -> std::result::Result<(), String> {
        self.position += 1;
        while self.peek() == b'"' {
            let key = self.string()?;
            let parent = self.path.len();
            if parent > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            match self.peek() {
                b'{' if depth < DEPTH_MAX => self.object(depth + 1, visit)?,
                b'"' => {
                    let text = self.string()?;
                    visit(&self.path, (text, true));
                }
                first => {
                    let start = self.position;
                    self.position = self.end_of_value();
                    if first != b'n' {
                        let is_json = matches!(first, b'{' | b'[');
                        visit(&self.path, (Cow::Borrowed(&self.text[start..self.position]), is_json));
                    }
                }
            }
            self.path.truncate(parent);
        }
        self.position += 1;
        Ok(())
    }

    /// The string that begins here, unescaped.
    fn string(&mut self) -> std::result::Result<Cow<'a, str>, String> {
        let start = self.position;
        self.position = end_of_string(self.text.as_bytes(), start);
        let quoted = &self.text[start..self.position];
        let inner = &quoted[1..quoted.len() - 1];
        if !inner.contains('\\') {
            return Ok(Cow::Borrowed(inner));
        }
        serde_json::from_str(quoted).map(Cow::Owned).map_err(|error| format!("bad JSON: {error}"))
    }

    /// The end of the value that begins here and is no string.
    fn end_of_value(&self) -> usize {
        let bytes = self.text.as_bytes();
        let (mut position, mut depth) = (self.position, 0);
        while position < bytes.len() {
            match bytes[position] {
                b'"' => {
                    position = end_of_string(bytes, position);
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return position,
                b'}' | b']' if depth == 1 => return position + 1,
                b'}' | b']' => depth -= 1,
                b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return position,
                _ => {}
            }
            position += 1;
        }
        position
    }
}

/// The place after the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(found) = bytes.get(position..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        position += found;
        if bytes[position] == b'"' {
            return position + 1;
        }
        position += 2;
    }
    bytes.len()
}

/// The lines of a chunk with their numbers, without blank ones.
fn lines(chunk: &Chunk) -> impl Iterator<Item = (u64, &[u8])> {
    let numbered = chunk.bytes.split(|&byte| byte == b'\n').zip(chunk.first_line..);
    numbered.map(|(line, number)| (number, line.trim_ascii())).filter(|(_, line)| !line.is_empty())
}

/// The columns and types of the first `limit` rows. `None`: the file has no row.
pub(super) fn sample(file: &InputFile, options: &ImportOptions, limit: u64) -> Result<Option<Survey>> {
    let mut chunks = Chunks::new(&file.path, file.reader(|_| {})?, Rows::Lines);
    let mut survey = Survey::default();
    let mut first = true;
    while survey.rows < limit
        && let Some(chunk) = chunks.next()?
    {
        if std::mem::take(&mut first) && chunk.bytes.trim_ascii_start().starts_with(b"[") {
            return Err(ImportError::WrongFormat {
                file: file.path.clone(),
                cause: "is one JSON array, not an object a line".into(),
                hint: "turn it into lines: jq -c '.[]'".into(),
            });
        }
        observe_chunk(&chunk, &options.columns, options.time_zone, limit, &mut survey);
        survey.check_width(&file.path)?;
    }
    Ok((survey.rows > 0).then_some(survey))
}

/// Take the columns and types of a chunk in.
pub(super) fn observe_chunk(chunk: &Chunk, columns: &ColumnOptions, zone: Tz, limit: u64, survey: &mut Survey) {
    for (number, line) in lines(chunk) {
        if survey.rows >= limit {
            return;
        }
        survey.rows += 1;
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut values: Vec<(usize, Value<'_>)> = Vec::new();
        let walked = visit_object(line, &mut |path, value| {
            // An excluded column may still play a part, so it is remembered while there is room.
            let room = if matches_any(&columns.exclude, path) { MAX_COLUMNS / 2 } else { MAX_COLUMNS + 1 };
            if survey.position(path).is_some() || survey.names.len() < room {
                values.push((survey.column(path, (number, values.len())), value));
            }
        });
        if walked.is_ok() {
            for (column, (text, quoted)) in values {
                survey.guesses[column].observe(Some(Cell { text: &text, quoted }), zone);
            }
        }
    }
}

/// The columns of a file by their path.
pub(super) struct Slots<'a> {
    by_path: HashMap<&'a str, usize, std::hash::BuildHasherDefault<xxhash_rust::xxh3::Xxh3Default>>,
    names: &'a [String],
    columns: &'a ColumnOptions,
}

impl<'a> Slots<'a> {
    pub(super) fn new(file: &'a FilePlan, columns: &'a ColumnOptions) -> Self {
        let by_path = file.names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        Self { by_path, names: &file.names, columns }
    }

    /// The column of `path`, which most often is the one after the column before.
    fn find(&self, path: &str, expected: usize) -> Option<usize> {
        match self.names.get(expected) {
            Some(name) if name == path => Some(expected),
            _ => self.by_path.get(path).copied(),
        }
    }

    fn is_wanted(&self, path: &str) -> bool {
        let included = self.columns.include.is_empty() || matches_any(&self.columns.include, path);
        included && !matches_any(&self.columns.exclude, path)
    }
}

struct Cells<'a>(Vec<Option<Value<'a>>>);

impl Row for Cells<'_> {
    fn cell(&self, column: usize) -> Option<Cell<'_>> {
        let (text, quoted) = self.0.get(column)?.as_ref()?;
        Some(Cell { text, quoted: *quoted })
    }
}

/// Parse the rows of a chunk. Returns the number of rows, or the value for which a column must be added or widened.
pub(super) fn load_chunk(
    chunk: &Chunk,
    slots: &Slots<'_>,
    builder: &mut BatchBuilder<'_>,
    rejects: &mut ChunkRejects<'_>,
) -> std::result::Result<u64, Misfit> {
    let mut rows = 0;
    let mut cells = Cells(vec![None; slots.names.len()]);
    for (number, line) in lines(chunk) {
        rows += 1;
        match load_line(line, slots, builder, &mut cells) {
            Ok(()) => {}
            Err(RowProblem::Widen(misfit)) => return Err(misfit),
            Err(RowProblem::Reject(reason)) => {
                rejects.add(number, reason, || String::from_utf8_lossy(line).into_owned());
            }
        }
    }
    Ok(rows)
}

fn load_line<'a>(
    line: &'a [u8],
    slots: &Slots<'_>,
    builder: &mut BatchBuilder<'_>,
    cells: &mut Cells<'a>,
) -> std::result::Result<(), RowProblem> {
    cells.0.fill(None);
    let line = std::str::from_utf8(line).map_err(|_| RowProblem::Reject(NOT_UTF8.into()))?;
    let (mut expected, mut unknown) = (0, None);
    visit_object(line, &mut |path, value| match slots.find(path, expected) {
        Some(column) => {
            cells.0[column] = Some(value);
            expected = column + 1;
        }
        None if slots.is_wanted(path) => unknown = unknown.take().or_else(|| Some(path.to_string())),
        None => {}
    })
    .map_err(RowProblem::Reject)?;
    match unknown {
        Some(column) => {
            let reason = format!("column '{column}' is new");
            Err(RowProblem::Widen(Misfit { column, reason }))
        }
        None => builder.push(cells),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(line: &str) -> std::result::Result<Vec<(String, String, bool)>, String> {
        let mut values = Vec::new();
        visit_object(line, &mut |path, (text, quoted)| values.push((path.into(), text.into_owned(), quoted)))?;
        Ok(values)
    }

    #[test]
    fn values_come_with_their_paths_and_their_own_text() {
        let line = r#" {"a":1.50,"b":{"c":"x\n\u00e9","d":null,"e":{}} , "f" : [1, {"g":"]}"}],"h":true,"":-0}"#.trim();
        let want = [
            ("a", "1.50", false),
            ("b.c", "x\né", true),
            ("f", r#"[1, {"g":"]}"}]"#, true),
            ("h", "true", false),
            ("", "-0", false),
        ];
        let want: Vec<_> = want.iter().map(|&(path, text, quoted)| (path.into(), text.into(), quoted)).collect();
        assert_eq!(visit(line).unwrap(), want);
    }

    #[test]
    fn deep_objects_stay_text_and_do_not_exhaust_the_stack() {
        let line = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
        let values = visit(&line).unwrap();
        assert_eq!(values.len(), 1);
        assert!(values[0].1.starts_with(r#"{"a":{"a":"#));
        let endless = r#"{"a":"#.repeat(200_000);
        assert!(visit(&endless).is_err());
    }

    #[test]
    fn what_is_no_object_is_said() {
        assert_eq!(visit("[1]").unwrap_err(), "not a JSON object");
        for line in [r#"{"a":1"#, r#"{"a":tru}"#, r#"{"a":1}x"#, r#"{"a":"\ud800"}"#, r#"{"a" 1}"#, "{'a':1}"] {
            assert!(visit(line).unwrap_err().starts_with("bad JSON"), "{line}");
        }
    }
}
