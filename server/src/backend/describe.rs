//! Tables in words, for `.schema`.

use super::place::failed;
use crate::failure::Outcome;
use std::fmt::Write;
use trodden_client::wire;
use trodden_query::engine::types::FIXED_COLUMNS;
use trodden_query::{Database, Error, ErrorKind};

/// A table of this process's database, or all.
pub(super) fn local(database: &Database, name: Option<&str>) -> Outcome<String> {
    let names = name.map_or_else(|| database.tables(), |name| vec![name.to_owned()]);
    let mut text = String::new();
    for name in names {
        let found = database.find_table(&name).map_err(|error| failed(&error))?;
        let table = found.ok_or_else(|| failed(&database.no_such_table(&name)))?;
        let (schema, options) = (table.schema(), table.options());
        let fixed = FIXED_COLUMNS.iter().map(|&name| (name, if name == "ts" { "TIMESTAMP" } else { "TEXT" }));
        let own = schema.columns.iter().map(|column| (column.name.as_str(), column.column_type.sql_name()));
        describe(&mut text, &name, (options.shards.into(), &options.time_zone), fixed.chain(own).collect());
    }
    Ok(text.trim_end().to_owned())
}

/// A table of a server, or all.
pub(super) fn remote(tables: Vec<wire::Table>, name: Option<&str>) -> Outcome<String> {
    let mut text = String::new();
    let wanted = |table: &&wire::Table| name.is_none_or(|name| table.name.eq_ignore_ascii_case(name));
    for table in tables.iter().filter(wanted) {
        let columns = table.columns.iter().map(|column| (column.name.as_str(), column.r#type.as_str()));
        describe(&mut text, &table.name, (table.shards, &table.time_zone), columns.collect());
    }
    match name {
        Some(name) if text.is_empty() => {
            let error = Error::new(ErrorKind::NotFound, format!("there is no table '{name}'"));
            Err(failed(&error.with_hint("SHOW TABLES lists them")))
        }
        _ => Ok(text.trim_end().to_owned()),
    }
}

fn describe(text: &mut String, name: &str, (shards, time_zone): (u32, &str), columns: Vec<(&str, &str)>) {
    let width = columns.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name} ({shards} shards, time zone {time_zone})");
    for (column, column_type) in columns {
        let _ = writeln!(text, "  {column:width$}  {column_type}");
    }
}
