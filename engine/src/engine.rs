//! A database: a directory with tables.

use crate::definitions::Definitions;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{MAX_COLUMNS, check_new_column};
use crate::log::{FileLogs, Logs};
use crate::manifest::{Manifest, decode_checked, encode_checked, unsupported};
use crate::profiles::UNSET_COLUMN;
use crate::storage::{LocalStore, Scratch, Store, StoreLock};
use crate::table::{Limits, MAX_RECORD_BYTES, Profiles, Seams, Table};
use crate::types::{ColumnDef, ColumnType, Schema, TableOptions};
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Version of the format that this program writes.
pub const FORMAT_VERSION: u32 = 1;
/// Oldest version of the format that it reads.
pub const OLDEST_FORMAT_VERSION: u32 = 1;
/// The file that makes a directory a database.
pub(crate) const FORMAT_FILE: &str = "FORMAT";

/// How a database is opened.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Make the directory and an empty database if there is none.
    pub create_if_missing: bool,
    /// Rows of a table in memory that make the next append write them to segments.
    pub memtable_rows: u64,
    /// Bytes of a table in memory that make the next append write them to segments.
    pub memtable_bytes: u64,
    /// Bytes that an import gathers before it writes a run of segments.
    pub import_memory_bytes: usize,
    /// Threads for flush, compaction and import.
    pub threads: usize,
    /// Where the logs of the tables are. A database is opened with the same ones every time: what was acknowledged and is
    /// in no segment yet is only there.
    pub logs: Arc<dyn Logs>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            create_if_missing: true,
            memtable_rows: 256 << 10,
            memtable_bytes: 64 << 20,
            import_memory_bytes: 800 << 20,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            logs: Arc::new(FileLogs),
        }
    }
}

/// The file `FORMAT`.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    format: String,
    version: u32,
    oldest_reader: u32,
}

/// A database that this process has for itself.
#[derive(Debug)]
pub struct Engine {
    seams: Seams,
    limits: Limits,
    tables: RwLock<BTreeMap<String, Arc<Table>>>,
    definitions: Definitions,
    creation: Mutex<Creation>,
}

/// What the making of tables needs to know.
#[derive(Debug)]
pub(crate) struct Creation {
    /// Number of the next table. A number is not used again while a file of its table is left.
    next_table: u64,
    /// Names of tables that could not be made, and of which the manifest may have stayed. A second table of such a name
    /// could leave two after a power cut.
    uncertain: BTreeSet<String>,
}

impl Engine {
    /// Open the database in the directory `path`.
    ///
    /// # Errors
    /// `Locked` while another process or handle has it, `NotFound` if there is none and `create_if_missing` is false,
    /// `UnsupportedFormat` for one of another format version, `ReadOnly`, `StorageFull`, `Corrupt`.
    pub fn open(path: &Path, options: EngineOptions) -> Result<Self> {
        let store = match options.create_if_missing {
            true => LocalStore::create(path)?,
            false => LocalStore::open(path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => no_database(&path.display().to_string()),
                _ => error,
            })?,
        };
        Self::open_store(Arc::new(store), options).map_err(|error| match error.kind() {
            ErrorKind::Locked => error,
            _ => error.at(path.display()),
        })
    }

    /// Open the database in `store`.
    ///
    /// # Errors
    /// Those of [`Engine::open`].
    pub fn open_store(store: Arc<dyn Store>, options: EngineOptions) -> Result<Self> {
        let is_database = is_database(store.as_ref())?;
        if !is_database && !options.create_if_missing {
            return Err(no_database("the directory"));
        }
        let lock: Arc<dyn StoreLock> = Arc::from(store.lock()?);
        let numbers = table_numbers(store.as_ref())?;
        make_names_durable(store.as_ref(), &numbers)?;
        store.remove_unfinished()?;
        if is_database {
            check_format(store.as_ref())?;
        } else {
            write_format(store.as_ref())?;
        }
        let limits = Limits {
            memtable_rows: options.memtable_rows.max(1),
            memtable_bytes: options.memtable_bytes.max(1),
            import_memory_bytes: options.import_memory_bytes.max(1 << 10),
            record_bytes: MAX_RECORD_BYTES,
            threads: options.threads.max(1),
        };
        let seams = Seams { store: store.clone(), lock, logs: options.logs };
        let (mut tables, mut profiles) = (BTreeMap::new(), Vec::new());
        for &number in &numbers {
            let Some(table) = Table::open(seams.clone(), number, limits.clone())? else { continue };
            if let Some(of) = table.profiles_of() {
                profiles.push((of, table));
                continue;
            }
            let name = table.name().to_string();
            if tables.insert(name.clone(), Arc::new(table)).is_some() {
                return Err(Error::corrupt(format!("two tables are called '{name}'")));
            }
        }
        link_profiles(&tables, profiles)?;
        let next_table = numbers.last().map_or(1, |last| last + 1);
        let creation = Mutex::new(Creation { next_table, uncertain: BTreeSet::new() });
        let definitions = Definitions::open(store)?;
        Ok(Self { seams, limits, tables: RwLock::new(tables), definitions, creation })
    }

    /// Make a table.
    ///
    /// # Errors
    /// `AlreadyExists`, also for a name that differs only by case; `InvalidInput` for a name, a column or an option that
    /// cannot be; what the disk says; `Poisoned` where an earlier attempt failed so that whether its table is there is not
    /// known.
    pub fn create_table(&self, name: &str, schema: Schema, options: TableOptions) -> Result<Arc<Table>> {
        check_table(name, &schema, &options)?;
        // Held until the table is there, so that two threads cannot make it twice.
        let mut creation = self.creation.lock();
        self.check_free(name, &creation)?;
        let manifest = Manifest::first(creation.next_table, name, schema, options);
        let table = Arc::new(self.make(&mut creation, &manifest)?);
        self.tables.write().insert(name.to_string(), table.clone());
        Ok(table)
    }

    /// Make the table of `manifest`, which is the next one.
    fn make(&self, creation: &mut Creation, manifest: &Manifest) -> Result<Table> {
        creation.next_table += 1;
        Table::create(self.seams.clone(), manifest, self.limits.clone()).inspect_err(|error| {
            if self.undo_creation(manifest, error).is_err() {
                creation.uncertain.insert(manifest.name.clone());
            }
        })
    }

    /// The profiles of the users of `table`, with a place to keep them made now where there is none yet.
    ///
    /// # Errors
    /// `NotFound` for a table that was dropped; those of [`Engine::create_table`].
    pub fn profiles(&self, table: &Table) -> Result<Arc<Profiles>> {
        if let Some(profiles) = table.profiles() {
            return Ok(profiles);
        }
        let mut creation = self.creation.lock();
        // Again, now that nobody else makes it, and nobody drops the table.
        if let Some(profiles) = table.profiles() {
            return Ok(profiles);
        }
        let _changes = table.lock_profiles();
        table.shared.check_present()?;
        let name = profiles_name(table.name());
        if creation.uncertain.contains(&name) {
            let message = format!("an earlier attempt to make '{name}' failed, and may have made it");
            return Err(Error::new(ErrorKind::Poisoned, message).with_hint("open the database again, and look"));
        }
        let unset = ColumnDef { name: UNSET_COLUMN.into(), column_type: ColumnType::Text };
        let options = TableOptions { retention_us: None, ..table.options() };
        let mut manifest = Manifest::first(creation.next_table, &name, Schema { columns: vec![unset] }, options);
        manifest.profiles_of = Some(table.shared.id);
        Ok(table.set_profiles(self.make(&mut creation, &manifest)?))
    }

    /// Whether a table may be made under this name.
    fn check_free(&self, name: &str, creation: &Creation) -> Result<()> {
        let lower = name.to_lowercase();
        let is_same = |there: &&String| there.to_lowercase() == lower;
        match self.tables.read().keys().find(is_same) {
            Some(there) if there == name => {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a table '{name}' already")));
            }
            Some(there) => {
                let message = format!("there is a table '{there}' already, from which '{name}' differs only by case");
                return Err(Error::new(ErrorKind::AlreadyExists, message).with_hint("give it another name"));
            }
            None => {}
        }
        if creation.uncertain.iter().any(|uncertain| is_same(&uncertain)) {
            let message = format!("an earlier attempt to make table '{name}' failed, and may have made it");
            return Err(Error::new(ErrorKind::Poisoned, message).with_hint("open the database again, and look"));
        }
        Ok(())
    }

    /// Remove what an attempt to make a table left.
    fn undo_creation(&self, manifest: &Manifest, error: &Error) -> Result<()> {
        if error.kind() == ErrorKind::Locked {
            // The manifest that was in the way is not ours.
            return Err(Error::new(ErrorKind::Locked, "another process writes to this database"));
        }
        manifest.remove(self.store().as_ref())?;
        // Nothing refers to what is left, so that it may stay.
        let _ = self.store().remove_directory(&Manifest::directory(manifest.table));
        Ok(())
    }

    /// Drop a table. Snapshots of it stay readable until they go; its directory goes with the last of them.
    ///
    /// # Errors
    /// `NotFound`, `Locked` during an import, what the disk says.
    pub fn drop_table(&self, name: &str) -> Result<()> {
        // Held, so that no profiles are made meanwhile.
        let _creation = self.creation.lock();
        let table = self.table(name)?;
        table.drop_files()?;
        self.tables.write().remove(name);
        // What stays is dropped by the next opening: it is of no table.
        match table.profiles() {
            Some(profiles) => profiles.table.drop_files(),
            None => Ok(()),
        }
    }

    /// Remove the database, if it has nothing: for a caller that made it just now, and whose first work failed. Nothing can
    /// be done with it after that.
    ///
    /// # Errors
    /// `InvalidInput` where there is a table or a definition, and what the disk says.
    pub fn discard(&self) -> Result<()> {
        // Held, so that no table is made meanwhile.
        let _creation = self.creation.lock();
        if !self.tables.read().is_empty() || !self.definitions().is_empty() {
            return Err(Error::invalid("the database is not empty").with_hint("drop its tables and views first"));
        }
        for name in self.store().list("")?.iter().filter(|name| *name != "LOCK") {
            self.store().delete(name)?;
        }
        self.store().discard()
    }

    /// The table called `name`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn table(&self, name: &str) -> Result<Arc<Table>> {
        self.tables.read().get(name).cloned().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no table '{name}'"))
                .with_hint("make it with CREATE TABLE, or import into it")
        })
    }

    /// Named texts that the layer above keeps here, such as its views.
    pub fn definitions(&self) -> BTreeMap<String, String> {
        self.definitions.all()
    }

    /// Keep `text` under `name`, or with `None` forget what is kept there. Durable on return.
    ///
    /// # Errors
    /// What the disk says; `Poisoned` after that, until the database is opened again.
    pub fn define(&self, name: &str, text: Option<&str>) -> Result<()> {
        self.definitions.set(name, text)
    }

    /// Named texts that the layers above keep beside the definitions, such as access keys.
    pub fn settings(&self) -> BTreeMap<String, String> {
        self.definitions.settings()
    }

    /// Set the setting `name` to `text`, or remove it. Durable on return.
    ///
    /// # Errors
    /// What the disk says, and `Poisoned` after that.
    pub fn set_setting(&self, name: &str, text: Option<&str>) -> Result<()> {
        self.definitions.set_setting(name, text)
    }

    /// The file of definitions and settings, name and bytes; `None` where there never was one.
    pub(crate) fn stored_definitions(&self) -> Option<(String, Vec<u8>)> {
        self.definitions.stored()
    }

    /// While this is held no table is made or dropped.
    pub(crate) fn hold_creation(&self) -> MutexGuard<'_, Creation> {
        self.creation.lock()
    }

    /// All tables: those of events, by name, each with that of its profiles behind it.
    pub(crate) fn all_tables(&self) -> Vec<Arc<Table>> {
        let tables = self.tables.read();
        let both = |table: &Arc<Table>| [Some(Arc::clone(table)), table.profiles().map(|made| Arc::clone(&made.table))];
        tables.values().flat_map(both).flatten().collect()
    }

    pub(crate) fn check_definitions(&self) -> Result<()> {
        self.definitions.check()
    }

    /// Where the database is kept.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.seams.store
    }

    /// A file without a name where the database is kept, for bytes that are needed for a while.
    ///
    /// # Errors
    /// What the disk says.
    pub fn scratch(&self) -> Result<Box<dyn Scratch>> {
        self.store().scratch()
    }

    /// Names of the tables, sorted.
    pub fn tables(&self) -> Vec<String> {
        self.tables.read().keys().cloned().collect()
    }

    /// Write everything that is in memory to segments, so that the next opening has no log to replay.
    ///
    /// # Errors
    /// What the disk says. Nothing is lost then.
    pub fn flush(&self) -> Result<()> {
        let tables: Vec<_> = self.tables.read().values().cloned().collect();
        tables.iter().try_for_each(|table| table.flush())
    }
}

/// The name of the profiles of the table `name`.
pub fn profiles_name(name: &str) -> String {
    format!("{name}_users")
}

/// Give each event table its profiles. Those of a table that is gone are dropped: a crash came between the two.
fn link_profiles(tables: &BTreeMap<String, Arc<Table>>, profiles: Vec<(u64, Table)>) -> Result<()> {
    for (of, profiles) in profiles {
        match tables.values().find(|table| table.shared.id == of) {
            None => profiles.drop_files()?,
            Some(table) if table.profiles().is_some() => {
                return Err(Error::corrupt(format!("table '{}' has profiles twice", table.name())));
            }
            Some(table) => drop(table.set_profiles(profiles)),
        }
    }
    Ok(())
}

/// Whether there is a database; false where there is nothing at all.
///
/// # Errors
/// `InvalidInput` where there is something else; what the disk says.
pub(crate) fn is_database(store: &dyn Store) -> Result<bool> {
    let names = store.list("")?;
    if names.iter().any(|name| name == FORMAT_FILE) {
        return Ok(true);
    }
    match names.iter().find(|name| *name != "LOCK") {
        Some(name) => {
            Err(Error::invalid(format!("there is no file {FORMAT_FILE}, but there is {name}: no database of trodden"))
                .with_hint("give an empty directory, or the directory of a database"))
        }
        None => Ok(false),
    }
}

pub(crate) fn no_database(place: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{place}: there is no database"))
        .with_hint("check the path, or open it with leave to make a database (create_if_missing)")
}

fn write_format(store: &dyn Store) -> Result<()> {
    let format = Format { format: "trodden".into(), version: FORMAT_VERSION, oldest_reader: OLDEST_FORMAT_VERSION };
    let bytes = encode_checked(&serde_json::to_vec(&format).expect("plain data"));
    store.put_if_absent(FORMAT_FILE, &bytes).map(|_| ())
}

pub(crate) fn check_format(store: &dyn Store) -> Result<()> {
    check_format_bytes(store.get(FORMAT_FILE)?.as_slice())
}

/// Whether these are the bytes of a `FORMAT` that this program reads.
pub(crate) fn check_format_bytes(bytes: &[u8]) -> Result<()> {
    let json = decode_checked(FORMAT_FILE, bytes)?;
    let format: Format = serde_json::from_slice(json).map_err(|e| Error::corrupt(format!("{FORMAT_FILE}: {e}")))?;
    if format.format != "trodden" {
        return Err(Error::invalid(format!("{FORMAT_FILE} says '{}': no database of trodden", format.format)));
    }
    // A newer program may have written what this one can read all the same, and then says so.
    if format.version < OLDEST_FORMAT_VERSION
        || format.version > FORMAT_VERSION && format.oldest_reader > FORMAT_VERSION
    {
        return Err(unsupported("the database", format.version, OLDEST_FORMAT_VERSION, FORMAT_VERSION));
    }
    Ok(())
}

pub(crate) fn table_numbers(store: &dyn Store) -> Result<BTreeSet<u64>> {
    let names = store.list("tables/")?;
    let number = |name: &String| name.split('/').nth(1)?.parse().ok();
    Ok(names.iter().filter_map(number).collect())
}

/// What can be seen may be what a killed process left, which a power cut may still take back. It must not be relied on,
/// and nothing that it replaced be removed, before its name is durable.
fn make_names_durable(store: &dyn Store, tables: &BTreeSet<u64>) -> Result<()> {
    tables.iter().try_for_each(|&table| store.sync_directory(&Manifest::directory(table)))?;
    store.sync_directory("tables")?;
    store.sync_directory("")
}

/// Whether a table of this name, with these columns and options, can be made.
///
/// # Errors
/// `InvalidInput` for what cannot be, `ResourceLimit` for more columns than a table has.
pub fn check_table(name: &str, schema: &Schema, options: &TableOptions) -> Result<()> {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(Error::invalid("the name of a table has 1 to 255 bytes and no control characters"));
    }
    if !(1..=1024).contains(&options.shards) {
        return Err(Error::invalid(format!("{} shards; a table has 1 to 1,024", options.shards)));
    }
    options.tz()?;
    if options.dedup_window_us < 0 || options.retention_us.is_some_and(|retention| retention <= 0) {
        return Err(Error::invalid("the dedup window cannot be negative, and retention must be longer than 0"));
    }
    if schema.columns.len() > MAX_COLUMNS {
        return Err(Error::new(
            ErrorKind::ResourceLimit,
            format!("a table has at most {MAX_COLUMNS} property columns"),
        ));
    }
    let mut checked = Schema::default();
    for column in &schema.columns {
        check_new_column(&checked, &column.name)?;
        checked.columns.push(column.clone());
    }
    Ok(())
}
