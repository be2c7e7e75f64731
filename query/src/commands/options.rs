//! Options of tables: `WITH (shards = 8, …)` and `SET (retention = …)`.

use crate::error::{Error, Result};
use crate::sql::duration::parse_us;
use crate::sql::statement::{NamedOption, option_text, unknown_option};
use trodden_engine::types::TableOptions;

const OPTIONS: [&str; 6] = ["shards", "time_zone", "dedup_window", "retention", "strict", "profile_history"];

/// The options of `CREATE TABLE`.
///
/// # Errors
/// `InvalidInput` at the option that is unknown or cannot have its value.
pub(crate) fn table_options(given: &[NamedOption]) -> Result<TableOptions> {
    let mut options = TableOptions::default();
    for option in given {
        let text = option_text(option)?;
        let span = option.span;
        match option.name.as_str() {
            "shards" => {
                options.shards = text.parse().ok().filter(|shards| (1..=1024).contains(shards)).ok_or_else(|| {
                    Error::invalid(format!("a table cannot have {text} shards"))
                        .with_hint("shards is a number from 1 to 1024")
                        .at(span)
                })?;
            }
            "time_zone" => {
                options.time_zone = text;
                options.tz().map_err(|error| Error::from(error).at(span))?;
            }
            "dedup_window" => options.dedup_window_us = span_us(option, &text, 0)?,
            "retention" => options.retention_us = retention(option, &text)?,
            "strict" => options.strict = truth(option, &text)?,
            "profile_history" => options.profile_history = truth(option, &text)?,
            other => return Err(unknown_option(other, &OPTIONS, span)),
        }
    }
    Ok(options)
}

/// What `ALTER TABLE … SET` changes.
#[derive(Debug, Default)]
pub(crate) struct Alteration {
    pub(crate) retention_us: Option<Option<i64>>,
    pub(crate) profile_history: Option<bool>,
}

/// The options of `ALTER TABLE … SET`: those that can change.
///
/// # Errors
/// `InvalidInput` at any other option.
pub(crate) fn alterable(given: &[NamedOption]) -> Result<Alteration> {
    let mut found = Alteration::default();
    for option in given {
        match option.name.as_str() {
            "retention" => found.retention_us = Some(retention(option, &option_text(option)?)?),
            "profile_history" => found.profile_history = Some(truth(option, &option_text(option)?)?),
            name if OPTIONS.contains(&name) => {
                return Err(Error::unsupported(format!("'{name}' of a table is for ever"))
                    .with_hint("make another table and INSERT INTO it; only retention and profile_history can change")
                    .at(option.span));
            }
            name => return Err(unknown_option(name, &["retention", "profile_history"], option.span)),
        }
    }
    match given.is_empty() {
        true => Err(Error::invalid("SET () sets nothing").with_hint("SET (retention = '90 days')")),
        false => Ok(found),
    }
}

fn retention(option: &NamedOption, text: &str) -> Result<Option<i64>> {
    let none = ["none", "null", "forever"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if none { Ok(None) } else { span_us(option, text, 1).map(Some) }
}

fn span_us(option: &NamedOption, text: &str, least: i64) -> Result<i64> {
    let us = parse_us(text).map_err(|error| error.at(option.span))?;
    if us < least {
        return Err(Error::invalid(format!("{} cannot be '{text}'", option.name))
            .with_hint("give a span of time such as '90 days'")
            .at(option.span));
    }
    Ok(us)
}

fn truth(option: &NamedOption, text: &str) -> Result<bool> {
    match text.to_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(Error::invalid(format!("{} is true or false, not '{text}'", option.name)).at(option.span)),
    }
}
