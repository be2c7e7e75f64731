//! From the flags that say which files are read, and how, to the options of a reading.

use crate::cli::ReadingArgs;
use crate::failure::{Failure, Outcome};
use trodden_query::import::{ColumnOptions, ImportOptions, parse_column_type};

impl ReadingArgs {
    /// The flags as options.
    ///
    /// # Errors
    /// Wrong usage, with the flag.
    pub(super) fn options(&self) -> Outcome<ImportOptions> {
        let parsed = |flag: &'static str| move |error: String| usage(flag, &error);
        let zone = self.time_zone.parse().map_err(|_| {
            let message = format!("--time-zone: '{}' is no time zone", self.time_zone);
            Failure::usage(message, "use an IANA name such as 'Europe/Berlin' or 'UTC'")
        })?;
        let delimiter = self.delimiter.map(|letter| {
            u8::try_from(letter).ok().filter(u8::is_ascii).ok_or_else(|| {
                Failure::usage(format!("--delimiter: '{letter}' is no single byte"), "use one such as ';' or '|'")
            })
        });
        let types = self
            .types
            .iter()
            .map(|(name, text)| Ok((name.clone(), parse_column_type(text).map_err(parsed("--type"))?)));
        Ok(ImportOptions {
            files: self.files.clone(),
            format: self.format.as_deref().map(str::parse).transpose().map_err(parsed("--format"))?,
            compression: self.compression.as_deref().map(str::parse).transpose().map_err(parsed("--compression"))?,
            user: self.user.clone(),
            time: self.time.clone(),
            event: self.event.clone(),
            id: self.id.clone(),
            event_value: self.event_value.clone(),
            time_format: self.time_format.parse().map_err(parsed("--time-format"))?,
            time_zone: zone,
            columns: ColumnOptions {
                include: self.columns.clone(),
                exclude: self.exclude.clone(),
                rename: self.rename.clone(),
                types: types.collect::<Outcome<_>>()?,
            },
            delimiter: delimiter.transpose()?,
            header: !self.no_header,
            null_values: self.null_values.clone(),
            max_rejects: self.max_rejects,
            ..ImportOptions::default()
        })
    }
}

/// Wrong usage of `flag`; words after a semicolon are the way out.
pub(super) fn usage(flag: &str, error: &str) -> Failure {
    let (message, hint) = error.split_once("; ").unwrap_or((error, "--help shows examples"));
    Failure::usage(format!("{flag}: {message}"), hint)
}
