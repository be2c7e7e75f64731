//! From a delivery to the database: table, events, profiles, aliases; answered when all of it is durable.

mod budget;
mod columns;
mod batch;
mod profiles;
mod split;
mod refusal;

pub use budget::{Budget, Held, Rates};
pub use refusal::Refusal;

use crate::access::Principal;
use crate::http::delivery::{Delivery, Part, ProfileUpdate, Rejection, SentAlias, SentEvent};
use crate::rules::count;
use crate::serve::App;
use parking_lot::{Mutex, RwLock};
use split::split;
use std::collections::HashMap;
use std::sync::Arc;
use trodden_query::engine::Table;
use trodden_query::engine::table::Appended;
use trodden_query::rules::{Cleaned, CleanedProfiles, RuleSet};
use trodden_query::{Error, ErrorKind};

/// Where a delivery goes, and what is done to it before.
struct Sent<'a> {
    table: Arc<Table>,
    rules: Arc<RuleSet>,
    agent: Option<&'a str>,
    now_us: i64,
}

/// What became of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The table.
    pub table: String,
    /// Events that are in the table, those that were there before included.
    pub accepted: u64,
    /// Of these, events that were there before.
    pub duplicates: u64,
    /// Events that rules of the table dropped.
    pub dropped: u64,
    /// Updates of profiles.
    pub profiles: u64,
    /// Aliases that hold.
    pub aliases: u64,
    /// What was not taken, in the order of the messages.
    pub rejected: Vec<Rejection>,
    /// Number of messages, good and bad.
    pub messages: usize,
}

/// The door of events.
#[derive(Debug)]
pub struct Door {
    app: Arc<App>,
    /// Of each table: held for reading by updates of profiles, for writing by those that depend on what profiles hold.
    profile_locks: Mutex<HashMap<String, Arc<RwLock<()>>>>,
}

impl Door {
    /// The door of a server.
    pub fn new(app: Arc<App>) -> Self {
        Self { app, profile_locks: Mutex::default() }
    }

    /// Store a delivery. On return all that is not rejected is durable. Waits for the disk: in async code call it from a thread
    /// that may block.
    ///
    /// # Errors
    /// Why nothing, or not all of it, could be stored: the sender keeps what it has, and sends it again.
    pub fn store(
        &self,
        principal: &Principal,
        table: Option<&str>,
        delivery: Delivery<'_>,
        now_us: i64,
    ) -> Result<Receipt, Refusal> {
        let name = self.table_name(principal, table)?;
        let key = principal.key.as_deref().unwrap_or("");
        self.app.rates.charge(key, delivery.messages, now_us).map_err(Refusal::too_fast)?;
        let Delivery { events, profiles, aliases, rejected, messages, agent, .. } = delivery;
        let mut receipt = Receipt { rejected, messages, ..Receipt::default() };
        if !(events.is_empty() && profiles.is_empty() && aliases.is_empty()) {
            let table = self.table(&name)?;
            receipt.table = table.name().to_string();
            let rules = self.app.database.rules(table.name()).map_err(|error| Refusal::of_table(&error))?;
            let sent = Sent { table, rules, agent: agent.as_deref(), now_us };
            self.events(&sent, &events, &mut receipt)?;
            self.profiles(&sent, profiles, &mut receipt)?;
            make_aliases(&sent, &aliases, &mut receipt)?;
        }
        receipt.rejected.sort_by_key(|rejection| rejection.index);
        Ok(receipt)
    }

    /// The table that a request means: that of its key, of its address, or of the configuration.
    fn table_name(&self, principal: &Principal, asked: Option<&str>) -> Result<String, Refusal> {
        match (principal.table.as_deref(), asked) {
            (Some(own), Some(asked)) if own != asked => {
                Err(Refusal::not_allowed(format!("this key sends events to table '{own}', not to '{asked}'")))
            }
            (Some(name), _) | (None, Some(name)) => Ok(name.to_string()),
            (None, None) => Ok(self.app.config.http.table.clone()),
        }
    }

    /// The table of a name, made if it is absent.
    fn table(&self, name: &str) -> Result<Arc<Table>, Refusal> {
        self.app.event_table(name).map_err(|error| Refusal::of_table(&error))
    }

    fn events(&self, sent: &Sent<'_>, events: &[SentEvent<'_>], receipt: &mut Receipt) -> Result<(), Refusal> {
        let Sent { table, rules, agent, now_us } = sent;
        let limit = self.app.config.http.event_max.bytes();
        let mut small = Vec::with_capacity(events.len());
        for event in events {
            let bytes = batch::size(event);
            if bytes <= limit {
                small.push(event);
                continue;
            }
            let reason = format!("the event has {bytes} bytes; {limit} are the most (http.event_max)");
            receipt.rejected.push(Rejection::invalid(event.index, "properties", reason));
        }
        let mut full = Vec::new();
        let store = |rows: &[&SentEvent<'_>]| -> Result<Appended, Error> {
            // What an earlier, larger try said of rows is said again.
            full.clear();
            let batch = batch::batch(rows, &table.schema(), *now_us, &mut full);
            let Cleaned { batch, outcome } = rules.apply(batch, *agent)?;
            let appended = if batch.is_empty() { Appended::default() } else { table.append(batch)? };
            receipt.dropped += outcome.dropped;
            outcome.taken.keep();
            count(table.name(), outcome.counts);
            let taken: Vec<&&SentEvent<'_>> =
                rows.iter().filter(|event| full.iter().all(|full| full.index != event.index)).collect();
            receipt.rejected.append(&mut full);
            for rejected in outcome.rejected {
                let index = taken.get(rejected.row).map_or(0, |event| event.index);
                receipt.rejected.push(Rejection::invalid(index, "event", rejected.reason));
            }
            Ok(appended)
        };
        let mut refused = Vec::new();
        let appended = split(&small, store, |event, error| {
            refused.push(Rejection::invalid(event.index, "properties", told(error)));
        });
        receipt.rejected.append(&mut refused);
        let appended = appended.map_err(|error| Refusal::of_storage(&error))?;
        receipt.accepted = appended.accepted + appended.duplicates;
        receipt.duplicates = appended.duplicates;
        Ok(())
    }

    fn profiles(&self, sent: &Sent<'_>, updates: Vec<ProfileUpdate<'_>>, receipt: &mut Receipt) -> Result<(), Refusal> {
        let Sent { table, rules, now_us, .. } = sent;
        if updates.is_empty() {
            return Ok(());
        }
        let lock = Arc::clone(self.profile_locks.lock().entry(table.name().to_string()).or_default());
        let (_alone, _shared);
        match profiles::depend_on_values(&updates) {
            true => _alone = lock.write(),
            false => _shared = lock.read(),
        }
        let stored = |error: Error| Refusal::of_storage(&error);
        let updates = profiles::renamed(updates, rules).map_err(stored)?;
        let decided = profiles::decided(updates, table, table.profiles().as_ref()).map_err(stored)?;
        let rows: Vec<_> = decided.iter().collect();
        let mut full = Vec::new();
        let store = |rows: &[&profiles::Decided<'_>]| -> Result<Appended, Error> {
            full.clear();
            let schema = table.profiles().map(|profiles| profiles.schema()).unwrap_or_default();
            let batch = profiles::batch(rows, &schema, *now_us, &mut full);
            let taken = !batch.ts.values().is_empty();
            let CleanedProfiles { batch, counts } = rules.apply_profile_columns(batch)?;
            let appended = if taken { self.app.database.upsert(table.name(), batch)? } else { Appended::default() };
            count(table.name(), counts);
            receipt.rejected.append(&mut full);
            Ok(appended)
        };
        let mut refused = Vec::new();
        let appended = split(&rows, store, |decided, error| {
            refused.push(Rejection::invalid(decided.update.index, "traits", told(error)).of(Part::Profile));
        });
        receipt.rejected.append(&mut refused);
        let appended = appended.map_err(stored)?;
        receipt.profiles = appended.accepted + appended.duplicates;
        Ok(())
    }
}

fn make_aliases(sent: &Sent<'_>, aliases: &[SentAlias<'_>], receipt: &mut Receipt) -> Result<(), Refusal> {
    let Sent { table, rules, .. } = sent;
    for SentAlias { index, source, target } in aliases {
        let user = |id: &str| rules.user(id).map_err(|error| Refusal::of_storage(&error));
        let (source, target) = (user(source)?, user(target)?);
        // Those that are durable already, as most are in a stream of identify calls, wait for nothing.
        let known = table.aliases();
        if known.get(&source).is_some_and(|alias| alias.target.id == target) {
            receipt.aliases += 1;
            continue;
        }
        match table.alias(&source, &target).map_err(Error::from) {
            Ok(_) => receipt.aliases += 1,
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::AlreadyExists) => {
                receipt.rejected.push(Rejection::invalid(*index, "alias", told(&error)).of(Part::Alias));
            }
            Err(error) => return Err(Refusal::of_storage(&error)),
        }
    }
    Ok(())
}

/// An error with its way out.
fn told(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}: {hint}", error.message()),
        None => error.message().to_string(),
    }
}

#[cfg(test)]
mod tests;
