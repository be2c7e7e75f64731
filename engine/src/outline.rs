//! What a database has, read from its files without opening it: nothing is written, not even a lock.
//!
//! A trial of an import asks this. While another process writes, a file may be gone between two looks at it, which is an
//! error like any other.

use crate::definitions;
use crate::engine::{check_format, is_database, no_database, table_numbers};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{FileLog, Log, Record};
use crate::manifest::Manifest;
use crate::storage::{LocalStore, Store};
use crate::table::fingerprint_text;
use crate::types::{Schema, TableOptions};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What an import has to know of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableOutline {
    /// Its name.
    pub name: String,
    /// Its property columns.
    pub schema: Schema,
    /// Its options.
    pub options: TableOptions,
    /// Fingerprints of the files that were imported, as the manifest writes them.
    pub imported: Vec<String>,
    /// Nothing was ever added to it: no column and no event.
    pub is_untouched: bool,
}

impl TableOutline {
    /// Whether a file with this fingerprint was imported.
    pub fn is_imported(&self, fingerprint: u128) -> bool {
        self.imported.contains(&fingerprint_text(fingerprint))
    }
}

/// The tables of a database, and the names of what else it keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseOutline {
    /// Its tables.
    pub tables: Vec<TableOutline>,
    /// Names of its definitions.
    pub definitions: BTreeSet<String>,
}

impl DatabaseOutline {
    /// The outline of the database in the directory `path`.
    ///
    /// # Errors
    /// `NotFound` where there is none, `InvalidInput` where there is something else, `UnsupportedFormat`, `Corrupt`, and what
    /// the disk says.
    pub fn read(path: &Path) -> Result<Self> {
        let none = |error: Error| match error.kind() {
            ErrorKind::NotFound => no_database(&path.display().to_string()),
            _ => error,
        };
        let store = LocalStore::open(path).map_err(none)?;
        Self::of_store(Arc::new(store)).map_err(|error| error.at(path.display()))
    }

    /// The outline of the database in `store`.
    ///
    /// # Errors
    /// Those of [`DatabaseOutline::read`].
    pub fn of_store(store: Arc<dyn Store>) -> Result<Self> {
        if !is_database(store.as_ref())? {
            return Err(no_database("the directory"));
        }
        check_format(store.as_ref())?;
        let mut tables = Vec::new();
        for number in table_numbers(store.as_ref())? {
            if let Some(manifest) = Manifest::load(store.as_ref(), number)?.filter(is_event_table) {
                tables.push(outline(&store, manifest)?);
            }
        }
        let definitions = definitions::load(store.as_ref())?.texts.into_keys().collect();
        Ok(Self { tables, definitions })
    }
}

/// Whether it describes a table that has a name of its own in the database.
fn is_event_table(manifest: &Manifest) -> bool {
    !manifest.dropped && manifest.profiles_of.is_none()
}

/// The table of `manifest`, with the columns that its log adds.
fn outline(store: &Arc<dyn Store>, manifest: Manifest) -> Result<TableOutline> {
    let (mut schema, mut position) = (manifest.schema, manifest.log_position);
    let log = FileLog::new(Arc::clone(store), Manifest::directory(manifest.table), position + 1);
    log.replay(position, &mut |at, bytes| {
        if let Record::Batch(batch) = Record::decode(bytes)?
            && let Some(after) = batch.schema
        {
            schema = after;
        }
        position = at;
        Ok(())
    })?;
    let is_untouched = position == 0 && schema.columns.is_empty();
    Ok(TableOutline {
        name: manifest.name,
        schema,
        options: manifest.options,
        imported: manifest.imported,
        is_untouched,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FaultStore;
    use crate::types::{ColumnDef, ColumnType};
    use crate::{Engine, EngineOptions, EventBatch};
    use arrow_array::{ArrayRef, Int64Array, StringArray};

    fn one_event() -> EventBatch {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        EventBatch {
            user_id: StringArray::from(vec!["u"]),
            ts: Int64Array::from(vec![0]),
            event: StringArray::from(vec!["e"]),
            event_id: None,
            properties: vec![("n".into(), number)],
        }
    }

    #[test]
    fn the_outline_is_that_of_the_open_table_and_nothing_is_written() {
        let store = FaultStore::new();
        let engine = Engine::open_store(Arc::new(store.clone()), EngineOptions::default()).unwrap();
        let empty = engine.create_table("empty", Schema::default(), TableOptions::default()).unwrap();
        let full = engine.create_table("full", Schema::default(), TableOptions::default()).unwrap();
        engine.define("view", Some("text")).unwrap();
        let import = full.begin_import(&[3]).unwrap();
        import.push(0, one_event()).unwrap();
        import.commit().unwrap();
        full.add_column(&ColumnDef { name: "m".into(), column_type: ColumnType::Text }).unwrap();
        // In the log only.
        let late: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        full.append(EventBatch { properties: vec![("late".into(), late)], ..one_event() }).unwrap();
        let before = (store.writes(), store.written_image());
        let outline = DatabaseOutline::of_store(Arc::new(store.clone())).unwrap();
        assert_eq!((store.writes(), store.written_image()), before);
        assert_eq!(outline.tables, [empty.outline(), full.outline()]);
        assert!(outline.tables[0].is_untouched && !outline.tables[1].is_untouched);
        assert!(outline.tables[1].is_imported(3) && !outline.tables[1].is_imported(4));
        assert_eq!(outline.tables[1].schema.columns.len(), 3);
        assert!(outline.definitions.contains("view"));
    }

    #[test]
    fn an_empty_store_is_no_database() {
        let error = DatabaseOutline::of_store(Arc::new(FaultStore::new())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
