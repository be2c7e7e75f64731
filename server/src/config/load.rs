//! The layers of the configuration, one over the other.

use super::{Config, DEFAULT};
use crate::failure::{Failure, Outcome};
use crate::report::Report;
use config::{ConfigError, Environment, File, FileFormat};
use std::collections::HashMap;
use std::path::Path;

/// Prefix of the environment variables.
const PREFIX: &str = "TRODDEN";
/// Between section and name in an environment variable, since names have single underscores.
const SEPARATOR: &str = "__";

/// What flags of the command line say: values by name, such as `http.listen`.
pub type Overrides = Vec<(&'static str, String)>;

/// The configuration of the file `path`, if there is one, under `environment` and `overrides`. Not checked yet.
///
/// # Errors
/// A file that cannot be read, a name that there is none of, and a value of a wrong type, with its place.
pub fn load(path: Option<&Path>, environment: HashMap<String, String>, overrides: &Overrides) -> Outcome<Config> {
    let mut builder = config::Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml));
    if let Some(path) = path {
        // Not as a source: that would tell less of a file that is not there.
        let text = std::fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))?;
        let file = config::Config::builder().add_source(File::from_str(&text, FileFormat::Toml)).build();
        let file = file.map_err(|error| wrong(&path.display().to_string(), &error))?;
        builder = builder.add_source(file);
    }
    let sections = environment.into_iter().filter(|(name, _)| name.contains(SEPARATOR));
    let variables = Environment::with_prefix(PREFIX)
        .prefix_separator("_")
        .separator(SEPARATOR)
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("http.cors_origins")
        .source(Some(sections.collect()));
    builder = builder.add_source(variables);
    for (name, value) in overrides {
        builder = builder.set_override(*name, value.as_str()).map_err(|error| wrong("flags", &error))?;
    }
    let all = builder.build().map_err(|error| wrong("configuration", &error))?;
    all.try_deserialize().map_err(|error| wrong("configuration", &error))
}

fn wrong(place: &str, error: &ConfigError) -> Failure {
    let report = Report::error(format!("{place}: {error}"));
    Failure::Usage(report.with_hint("trodden config default prints every name, with its default and what it means"))
}
