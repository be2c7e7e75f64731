//! `trodden keys`: of a database that is closed, or of a server.

use super::print_bytes;
use crate::access::{Access, Role};
use crate::backend::failed;
use crate::cli::{KeysCommand, PlaceArgs};
use crate::failure::{Failure, Outcome};
use crate::grpc::key_to_wire;
use crate::serve::Clock;
use chrono::{DateTime, SecondsFormat};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use trodden_client::{blocking, wire};
use trodden_query::{Database, Options};

/// Makes, lists or revokes keys.
///
/// # Errors
/// What the database or the server says.
pub(super) fn keys(command: &KeysCommand) -> Outcome {
    let text = match command {
        KeysCommand::Create { place, role, table, name } => {
            let token = Keys::open(place)?.create(*role, table.as_deref(), name)?;
            // Alone on standard output, so that a script can take it.
            eprintln!("This is the key. It is not kept, and cannot be shown again.");
            format!("{token}\n")
        }
        KeysCommand::List { place } => listed(&Keys::open(place)?.list()?),
        KeysCommand::Revoke { place, id } => {
            Keys::open(place)?.revoke(id)?;
            format!("key {id} lets nobody in any more\n")
        }
    };
    print_bytes(text.as_bytes())
}

/// Where keys are.
enum Keys {
    Local(Access),
    Remote(blocking::Client),
}

impl Keys {
    fn open(place: &PlaceArgs) -> Outcome<Self> {
        match (&place.url, &place.db) {
            (Some(url), _) => {
                let client = blocking::Client::connect(url, place.connect_options()?);
                Ok(Self::Remote(client.map_err(|error| failed(&error))?))
            }
            (None, Some(db)) => {
                let mut options = Options::default();
                // A key may be made before anything else is.
                options.engine.create_if_missing = true;
                let database = Database::open_with(db, options).map_err(|error| failed(&error))?;
                Ok(Self::Local(Access::open(database, true).map_err(|error| failed(&error))?))
            }
            (None, None) => Err(Failure::usage("there is no database", "give --db DIR or --url URL")),
        }
    }

    /// The token of a new key.
    fn create(&self, role: Role, table: Option<&str>, name: &str) -> Outcome<String> {
        match self {
            Self::Local(access) => {
                let made = access.create(role, table.map(str::to_owned), name, Clock.now_us());
                Ok(made.map_err(|error| failed(&error))?.1.text().to_owned())
            }
            Self::Remote(client) => {
                Ok(client.create_key(role.name(), table, name).map_err(|error| failed(&error))?.token)
            }
        }
    }

    fn list(&self) -> Outcome<Vec<wire::Key>> {
        match self {
            Self::Local(access) => Ok(access.list().into_iter().map(key_to_wire).collect()),
            Self::Remote(client) => client.keys().map_err(|error| failed(&error)),
        }
    }

    fn revoke(&self, id: &str) -> Outcome {
        match self {
            Self::Local(access) => access.revoke(id, Clock.now_us()).map(drop).map_err(|error| failed(&error)),
            Self::Remote(client) => client.revoke_key(id).map(drop).map_err(|error| failed(&error)),
        }
    }
}

fn listed(keys: &[wire::Key]) -> String {
    if keys.is_empty() {
        return "there is no key yet: trodden keys create --role write\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["id", "role", "table", "name", "made", "revoked"]);
    for key in keys {
        let table_name = if key.table.is_empty() { "any" } else { &key.table };
        let made = time(key.created_us);
        let revoked = key.revoked_us.map(time).unwrap_or_default();
        table.add_row([&key.id, &key.role, table_name, &key.name, &made, &revoked]);
    }
    format!("{table}\n")
}

/// A time for people, to the second.
fn time(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}
