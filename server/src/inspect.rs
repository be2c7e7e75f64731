//! The files of a database in words: segments, logs, manifests, definitions, tags, derived files, and the file `FORMAT`.

use crate::failure::{Failure, Outcome};
use crate::report::Report;
use std::fs;
use std::path::Path;
use trodden_query::engine::error::Error;
use trodden_query::engine::log::describe_log;
use trodden_query::engine::segment::{Description, describe_segment};
use trodden_query::engine::storage::Blob;
use trodden_query::engine::table::check_derived;
use trodden_query::engine::tags::describe_tag;

/// What is in a file.
#[derive(Debug)]
pub struct Inspection {
    /// What could be read, a line for each thing.
    pub text: String,
    /// What is wrong with the rest.
    pub damage: Option<Report>,
}

/// What is in the file at `path`.
///
/// # Errors
/// The file cannot be read, is none of a database, or so damaged that nothing of it can be told.
pub fn inspect(path: &Path) -> Outcome<Inspection> {
    let whole = |text| Inspection { text, damage: None };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name == "FORMAT" || ["manifest-", "definitions-", "tags-"].iter().any(|kind| name.starts_with(kind)) {
        return checked_json(path).map(whole);
    }
    let told = |error: Error| Failure::Failed(engine_report(&error));
    let blob = Blob::map(path).map_err(told)?;
    if name.starts_with("log-") {
        return describe_log(&path.display().to_string(), blob.as_slice()).map(whole).map_err(told);
    }
    if name.starts_with("tag-") {
        return describe_tag(&path.display().to_string(), blob.as_slice()).map(whole).map_err(told);
    }
    if name.starts_with("derived-") {
        let told_bytes =
            |bytes| format!("derived: {bytes} bytes, with the right checksum; made again when it is not there\n");
        return check_derived(blob.as_slice())
            .map(told_bytes)
            .map(whole)
            .map_err(|error| told(error.at(path.display())));
    }
    let Description { text, damage } = describe_segment(blob);
    let count = damage.len();
    let report = damage.into_iter().next().map(|first| match count {
        1 => engine_report(&first.at(path.display())),
        _ => engine_report(&first.at(format!("{}: {count} places are damaged, the first", path.display()))),
    });
    match report {
        Some(report) if text.is_empty() => Err(Failure::Failed(report)),
        damage => Ok(Inspection { text, damage }),
    }
}

/// A manifest or its like: JSON, then a line with the checksum of all bytes before it.
fn checked_json(path: &Path) -> Outcome<String> {
    let bytes = fs::read(path).map_err(|error| Failure::io(path.display(), &error))?;
    let damaged = |what: &str| {
        let report = Report::error(format!("{}: {what}", path.display()));
        Failure::Failed(report.with_hint("trodden check tells what else is broken"))
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("the file is no text"))?;
    let Some((json, written)) = text.trim_end().rsplit_once('\n') else {
        return Err(damaged("there is no line with a checksum"));
    };
    let expected = format!("crc32c {:08x}", crc32c::crc32c(&bytes[..=json.len()]));
    if written != expected {
        return Err(damaged(&format!("the checksum of the content is '{expected}', the file says '{written}'")));
    }
    let value: serde_json::Value = serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
    let pretty = serde_json::to_string_pretty(&value).map_err(|error| damaged(&error.to_string()))?;
    Ok(format!("{pretty}\n{written}\n"))
}

fn engine_report(error: &Error) -> Report {
    let report = Report::error(error.message());
    error.hint().into_iter().fold(report, |report, hint| report.with_hint(hint))
}
