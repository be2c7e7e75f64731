//! `trodden keys`.

use super::print_bytes;
use crate::access::{Access, Key};
use crate::cli::{KeysCommand, PlaceArgs};
use crate::failure::{Failure, Outcome};
use crate::report::Report;
use crate::serve::Clock;
use chrono::{DateTime, SecondsFormat};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use trodden_query::{Database, Error, Options};

/// Makes, lists or revokes keys.
///
/// # Errors
/// What the database says.
pub(super) fn keys(command: &KeysCommand) -> Outcome {
    let text = match command {
        KeysCommand::Create { place, role, table, name } => {
            let made = access(place)?.create(*role, table.clone(), name, Clock.now_us());
            let (_, token) = made.map_err(|error| told(&error))?;
            // Alone on standard output, so that a script can take it.
            eprintln!("This is the key. It is not kept, and cannot be shown again.");
            format!("{}\n", token.text())
        }
        KeysCommand::List { place } => listed(&access(place)?.list()),
        KeysCommand::Revoke { place, id } => {
            let key = access(place)?.revoke(id, Clock.now_us()).map_err(|error| told(&error))?;
            format!("key {} ({}) lets nobody in any more\n", key.id, key.role)
        }
    };
    print_bytes(text.as_bytes())
}

fn access(place: &PlaceArgs) -> Outcome<Access> {
    let mut options = Options::default();
    // A key may be made before anything else is.
    options.engine.create_if_missing = true;
    let database = Database::open_with(&place.db, options).map_err(|error| told(&error))?;
    Access::open(database, true).map_err(|error| told(&error))
}

fn told(error: &Error) -> Failure {
    let report = Report::error(error.message());
    Failure::Failed(error.hint().into_iter().fold(report, |report, hint| report.with_hint(hint)))
}

fn listed(keys: &[Key]) -> String {
    if keys.is_empty() {
        return "there is no key yet: trodden keys create --role write\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["id", "role", "table", "name", "made", "revoked"]);
    for key in keys {
        let table_name = key.table.as_deref().unwrap_or("any");
        let made = time(key.created_us);
        let revoked = key.revoked_us.map(time).unwrap_or_default();
        table.add_row([&key.id, key.role.name(), table_name, &key.name, &made, &revoked]);
    }
    format!("{table}\n")
}

/// A time for people, to the second.
fn time(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}
