//! The files of a database in words: segments, logs, manifests, definitions, and the file `FORMAT`.

use crate::failure::{Failure, Outcome};
use crate::report::Report;
use std::fs;
use std::path::Path;
use trodden_query::engine::error::Error;
use trodden_query::engine::log::describe_log;
use trodden_query::engine::segment::Segment;
use trodden_query::engine::storage::Blob;

/// What is in the file at `path`.
///
/// # Errors
/// The file cannot be read, is damaged, or is none of a database.
pub fn inspect(path: &Path) -> Outcome<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name == "FORMAT" || name.starts_with("manifest-") || name.starts_with("definitions-") {
        return checked_json(path);
    }
    let told = |error: Error| Failure::Failed(engine_report(&error));
    let blob = Blob::map(path).map_err(told)?;
    if name.starts_with("log-") {
        return describe_log(&path.display().to_string(), blob.as_slice()).map_err(told);
    }
    match Segment::open(blob) {
        Ok(segment) => Ok(segment.describe()),
        Err(error) => Err(told(error.at(path.display()))),
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
