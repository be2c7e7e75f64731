//! Everything that a database shows, to compare it with a copy.

use crate::Engine;
use crate::table::{Snapshot, Table};
use crate::types::{Schema, TableOptions, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The rows of each user in total order.
type Rows = BTreeMap<String, Vec<(i64, String, Option<String>, Vec<(String, String)>)>>;

/// A database.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    tables: BTreeMap<String, SeenTable>,
    profiles: BTreeMap<String, SeenTable>,
    definitions: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq)]
struct SeenTable {
    schema: Schema,
    options: TableOptions,
    rows: Rows,
    tags: BTreeMap<String, BTreeSet<String>>,
    aliases: Vec<(String, String)>,
    imported: Vec<String>,
}

pub(super) fn see(engine: &Engine) -> Seen {
    let mut seen = Seen { definitions: engine.definitions(), settings: engine.settings(), ..Seen::default() };
    for name in engine.tables() {
        let table = engine.table(&name).unwrap();
        if let Some(profiles) = table.profiles() {
            seen.profiles.insert(name.clone(), see_table(&profiles.table));
        }
        seen.tables.insert(name, see_table(&table));
    }
    seen
}

fn see_table(table: &Table) -> SeenTable {
    let snapshot = table.snapshot();
    let aliases = snapshot.aliases.iter().map(|alias| (alias.source.id.clone(), alias.target.id.clone()));
    SeenTable {
        schema: snapshot.schema.clone(),
        options: snapshot.options.clone(),
        rows: rows(&snapshot),
        tags: tags(&snapshot),
        aliases: aliases.collect(),
        imported: table.outline().imported,
    }
}

fn tags(snapshot: &Snapshot) -> BTreeMap<String, BTreeSet<String>> {
    let ids = |members: crate::members::Members| {
        let of_shard = |(number, shard): (usize, &crate::table::ShardSnapshot)| {
            let ordinals = members.of_shard(number);
            ordinals.iter().map(|ordinal| shard.user_id(ordinal).unwrap().unwrap()).collect::<Vec<_>>()
        };
        snapshot.shards.iter().enumerate().flat_map(of_shard).collect()
    };
    let tags = snapshot.tags();
    tags.iter().map(|tag| (tag.info().name.clone(), ids(tag.users(None).unwrap()))).collect()
}

pub(super) fn rows(snapshot: &Snapshot) -> Rows {
    let mut rows = Rows::new();
    for shard in &snapshot.shards {
        for live in &shard.segments {
            for number in 0..live.segment.blocks().len() {
                let block = live.segment.block(number);
                let read = block.read(0..block.rows()).unwrap();
                for row in (0..read.len()).filter(|&row| !live.hidden.contains(read.ordinals[row])) {
                    let id = shard.user_id(read.ordinals[row]).unwrap().unwrap();
                    let present = read.properties.iter().map(|(name, column)| (name.clone(), column.get(row)));
                    let properties = present.filter(|(_, value)| *value != Value::Null);
                    rows.entry(id).or_default().push((
                        read.ts[row],
                        read.event.get(row).unwrap().to_string(),
                        read.event_id.get(row).map(String::from),
                        properties.map(|(name, value)| (name, format!("{value:?}"))).collect(),
                    ));
                }
            }
        }
    }
    // Stable: events of one time keep their order of arrival.
    rows.values_mut().for_each(|rows| rows.sort_by_key(|row| row.0));
    rows
}
