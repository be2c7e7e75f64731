//! Names of tables and views: of the database, and as one statement sees them.

use crate::error::{Error, ErrorKind, Result, closest, listed};
use crate::profiles::relation::ProfileTable;
use crate::sql::script;
use crate::sql::statement::{self, Command};
use crate::table::provider::EventTable;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::TableType;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Spanned};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trodden_engine::engine::profiles_name;
use trodden_engine::types::{Schema, TableOptions};
use trodden_engine::{Engine, Table};

/// The catalog that every name belongs to.
pub(crate) const CATALOG: &str = "trodden";
/// The schema that every name belongs to.
pub(crate) const SCHEMA: &str = "public";

/// A view: a query with a name.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Names of its columns, where they are given.
    pub(crate) columns: Vec<Ident>,
    pub(crate) query: Box<Query>,
}

impl View {
    /// The view that a `CREATE VIEW` statement makes.
    fn read(text: &str) -> Result<Self> {
        let mut statements = script::split(text)?;
        match statements.pop().filter(|_| statements.is_empty()) {
            Some(mut raw) => match statement::parse(&mut raw)? {
                Command::CreateView { columns, query, .. } => Ok(Self { columns, query }),
                _ => Err(Error::invalid("this is no CREATE VIEW statement")),
            },
            None => Err(Error::invalid("this is not one statement")),
        }
    }
}

/// Tables and views of a database.
pub(crate) struct Catalog {
    pub(crate) engine: Arc<Engine>,
    pub(crate) views: RwLock<BTreeMap<String, View>>,
    /// How often views were defined or dropped.
    views_version: AtomicU64,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalog")
    }
}

/// The part of a name that counts, as SQL normalises it.
///
/// # Errors
/// `NotFound` for a schema that there is none of.
pub(crate) fn plain_name(name: &ObjectName) -> Result<String> {
    let mut parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    let Some(last) = parts.pop() else {
        return Err(Error::invalid(format!("'{name}' is no name")).at(name.span()));
    };
    let known = [SCHEMA, CATALOG];
    for (part, known) in parts.into_iter().rev().zip(known) {
        if !part.value.eq_ignore_ascii_case(known) {
            return Err(Error::new(ErrorKind::NotFound, format!("no schema is called '{}'", part.value))
                .with_hint("tables have no schema: leave it away")
                .at(part.span));
        }
    }
    Ok(normalised(last))
}

/// The name that an identifier stands for: in lower case unless quoted.
pub(crate) fn normalised(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

impl Catalog {
    /// The catalog of `engine`, with the views that it keeps.
    pub(crate) fn open(engine: Engine) -> Self {
        let mut views = BTreeMap::new();
        for (name, text) in engine.definitions() {
            match View::read(&text) {
                Ok(view) => drop(views.insert(name, view)),
                // It stays where it is kept: another version may read it.
                Err(error) => tracing::warn!(view = %name, %error, "a view cannot be read, and is left out"),
            }
        }
        Self { engine: Arc::new(engine), views: RwLock::new(views), views_version: AtomicU64::new(0) }
    }

    /// Keep a view, or forget one. Durable on return.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn define_view(&self, name: &str, view: Option<(View, &str)>) -> Result<()> {
        let mut views = self.views.write();
        // Asked under the lock under which tables are made, so that no table takes the name meanwhile.
        if view.is_some()
            && let Some(table) = alike(name, self.engine.tables())
        {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a table '{table}' already")));
        }
        if view.is_some() && !views.contains_key(name) {
            self.refuse_profiles(name)?;
        }
        self.engine.define(name, view.as_ref().map(|(_, text)| *text))?;
        match view {
            Some((view, _)) => drop(views.insert(name.to_string(), view)),
            None => drop(views.remove(name)),
        }
        self.views_version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Another number after every change of a view.
    pub(crate) fn views_version(&self) -> u64 {
        self.views_version.load(Ordering::Acquire)
    }

    /// Make a table, unless a view has its name.
    ///
    /// # Errors
    /// `AlreadyExists`, also for a name that differs only by case; `InvalidInput`; what the disk says.
    pub(crate) fn create_table(&self, name: &str, schema: Schema, options: TableOptions) -> Result<Arc<Table>> {
        let views = self.views.read();
        if let Some(view) = alike(name, views.keys().cloned()) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a view '{view}' already"))
                .with_hint("give another name, or DROP VIEW first"));
        }
        if alike(name, self.engine.tables()).is_none() {
            self.refuse_profiles(name)?;
        }
        Ok(self.engine.create_table(name, schema, options)?)
    }

    /// The name among tables and views that `name` means: itself, or the only one that differs in case.
    pub(crate) fn resolve(&self, name: &str) -> Option<String> {
        resolve(name, self.names())
    }

    /// The event table of whose users `name` means the profiles; `None` where it means something else, or nothing. A table
    /// or a view of the name comes first.
    pub(crate) fn profiles_of(&self, name: &str) -> Option<String> {
        let found = profiled_by(name, self.engine.tables())?;
        self.resolve(name).is_none().then_some(found)
    }

    /// Whether a name means profiles.
    ///
    /// # Errors
    /// `NotFound` for a schema that there is none of.
    pub(crate) fn is_profiles(&self, name: &ObjectName) -> Result<bool> {
        Ok(self.profiles_of(&plain_name(name)?).is_some())
    }

    /// The event table of whose users a statement names the profiles.
    ///
    /// # Errors
    /// `InvalidInput` for what has no profiles, with its place.
    pub(crate) fn profiled(&self, name: &ObjectName) -> Result<Arc<Table>> {
        let plain = plain_name(name)?;
        if let Some(table) = self.profiles_of(&plain) {
            return Ok(self.engine.table(&table)?);
        }
        let message = format!("'{plain}' are no profiles");
        let hint = match resolve(&plain, self.engine.tables()) {
            Some(table) => format!("the profiles of the users of '{table}' are called '{}'", profiles_name(&table)),
            None => "the profiles of the users of a table are called by its name and '_users'".into(),
        };
        Err(Error::invalid(message).with_hint(hint).at(name.span()))
    }

    /// Refuse a new name that means profiles. The caller has locked the views, and looked for the name among them.
    fn refuse_profiles(&self, name: &str) -> Result<()> {
        match profiled_by(name, self.engine.tables()) {
            None => Ok(()),
            Some(table) => {
                let message = format!("'{name}' are the profiles of the users of table '{table}'");
                Err(Error::new(ErrorKind::AlreadyExists, message).with_hint("give another name"))
            }
        }
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.engine.tables();
        names.extend(self.views.read().keys().cloned());
        names.sort_unstable();
        names
    }

    /// The error for a name that is neither a table nor a view.
    pub(crate) fn no_such_table(&self, name: &str) -> Error {
        let names = self.names();
        let known = names.iter().map(String::as_str);
        let hint = match closest(name, known.clone()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if names.is_empty() => "there is none yet: CREATE TABLE makes one, or an import".to_string(),
            None => format!("there are {}", listed(known)),
        };
        Error::new(ErrorKind::NotFound, format!("no table is called '{name}'")).with_hint(hint)
    }

    /// The table that a statement names.
    ///
    /// # Errors
    /// `NotFound` with its place.
    pub(crate) fn table(&self, name: &ObjectName) -> Result<Arc<Table>> {
        let plain = plain_name(name)?;
        let found = self.resolve(&plain).filter(|found| !self.views.read().contains_key(found));
        match found {
            Some(found) => Ok(self.engine.table(&found)?),
            None if self.resolve(&plain).is_some() => {
                Err(Error::invalid(format!("'{plain}' is a view, not a table")).at(name.span()))
            }
            None => match self.profiles_of(&plain) {
                Some(table) => Err(Error::invalid(format!(
                    "'{plain}' are the profiles of the users of '{table}', not an event table"
                ))
                .with_hint("they are written by UPSERT INTO, and deleted with the user from the event table")
                .at(name.span())),
                None => Err(self.no_such_table(&plain).at(name.span())),
            },
        }
    }
}

/// The name among `names` that `name` means: itself, or the only one that differs in case.
pub(crate) fn resolve(name: &str, names: Vec<String>) -> Option<String> {
    if names.iter().any(|known| known == name) {
        return Some(name.to_string());
    }
    let lower = name.to_lowercase();
    let mut alike = names.into_iter().filter(|known| known.to_lowercase() == lower);
    let found = alike.next()?;
    alike.next().is_none().then_some(found)
}

/// The one of `tables` of whose users `name` would be the profiles.
fn profiled_by(name: &str, tables: Vec<String>) -> Option<String> {
    let at = name.len().checked_sub(profiles_name("").len())?;
    let is_suffix = name.is_char_boundary(at) && name[at..].eq_ignore_ascii_case(&profiles_name(""));
    if is_suffix { resolve(&name[..at], tables) } else { None }
}

/// The first of `names` that is `name` or differs from it only by case.
fn alike(name: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let lower = name.to_lowercase();
    names.into_iter().find(|known| known.to_lowercase() == lower)
}

/// Names as one statement sees them: every table is pinned at one snapshot, however often it is named.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) catalog: Arc<Catalog>,
    pinned: Mutex<HashMap<String, Arc<EventTable>>>,
}

impl Names {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, pinned: Mutex::default() }
    }

    /// The table called exactly `name`, as this statement sees it.
    pub(crate) fn pinned(&self, name: &str) -> Result<Arc<EventTable>> {
        if let Some(table) = self.pinned.lock().get(name) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(EventTable::pin(self.catalog.engine.table(name)?));
        Ok(Arc::clone(self.pinned.lock().entry(name.to_string()).or_insert(table)))
    }
}

/// The tables for `information_schema`.
#[derive(Debug)]
pub(crate) struct LiveSchema(pub(crate) Arc<Catalog>);

#[async_trait]
impl SchemaProvider for LiveSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.0.names();
        let profiled = self.0.engine.tables().into_iter().filter(|name| {
            let has_profiles = self.0.engine.table(name).is_ok_and(|table| table.profiles().is_some());
            has_profiles && self.0.profiles_of(&profiles_name(name)).as_ref() == Some(name)
        });
        names.extend(profiled.map(|name| profiles_name(&name)));
        names.sort_unstable();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let pinned = |name: &str| self.0.engine.table(name).ok().map(EventTable::pin);
        if let Some(table) = pinned(name) {
            return Ok(Some(Arc::new(table)));
        }
        let profiles = self.0.profiles_of(name).and_then(|table| pinned(&table));
        let profiles = profiles.map(|table| ProfileTable::of(&table)).transpose()?;
        Ok(profiles.map(|profiles| Arc::new(profiles) as Arc<dyn TableProvider>))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        let view = self.0.views.read().contains_key(name);
        Ok(Some(if view { TableType::View } else { TableType::Base }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
