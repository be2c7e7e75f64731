//! The manifest: which segments of a table are live. It is replaced as a whole, and every invariant is checked first.
//!
//! `<table>/manifest-<number>` is JSON, then a line `crc32c <8 hex digits>` over all bytes before that line. The file
//! with the highest number is live.

mod invariants;

pub(crate) use invariants::check;

use crate::aliases::{Alias, Aliases};
use crate::error::{Error, ErrorKind, Result};
use crate::producers::Producers;
use crate::segment::SegmentMeta;
use crate::storage::Store;
use crate::types::{Schema, TableOptions};
use serde::{Deserialize, Serialize};

/// Version of the manifest that this program writes.
pub(crate) const MANIFEST_VERSION: u32 = 3;
/// Version of a manifest without producers.
const ALIASES_VERSION: u32 = 2;
/// Version of a manifest without aliases and producers, which any program can read.
const PLAIN_VERSION: u32 = 1;
/// Oldest version that it reads.
pub(crate) const OLDEST_MANIFEST_VERSION: u32 = 1;

/// A segment that is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    /// Number of the file, `<table>/segment-<number>`.
    pub(crate) file: u64,
    /// What the segment's footer says.
    pub(crate) meta: SegmentMeta,
}

/// A shard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShardManifest {
    /// Its segments in order of arrival.
    pub(crate) segments: Vec<SegmentEntry>,
    /// The next arrival number.
    pub(crate) next_seq: u64,
    /// The next ordinal.
    pub(crate) next_ordinal: u32,
}

/// A deleted user of whom something is still on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    /// The user's shard.
    pub(crate) shard: u16,
    /// The user's ordinal.
    pub(crate) ordinal: u32,
    /// Arrival number of the shard at the deletion.
    pub(crate) seq: u64,
}

/// The durable state of a table, without the records of the log after [`Manifest::log_position`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Format version.
    pub(crate) version: u32,
    /// Its number: one more than that of the manifest before.
    pub(crate) number: u64,
    /// Number of the table, which is never used again.
    pub(crate) table: u64,
    /// The table's name.
    pub(crate) name: String,
    /// Number of the event table of whose users this one has the profiles; an event table has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profiles_of: Option<u64>,
    /// The table was dropped; its files are being removed.
    pub(crate) dropped: bool,
    /// Property columns.
    pub(crate) schema: Schema,
    /// Options.
    pub(crate) options: TableOptions,
    /// Every record of the log up to here is in the segments.
    pub(crate) log_position: u64,
    /// Rows before this time are hidden and on their way out, in microseconds since 1970.
    pub(crate) hidden_before_us: i64,
    /// The shards.
    pub(crate) shards: Vec<ShardManifest>,
    /// Deleted users.
    pub(crate) tombstones: Vec<Tombstone>,
    /// Fingerprints of the files that were imported, as 32 hex digits.
    pub(crate) imported: Vec<String>,
    /// Which ids mean the same person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<Alias>,
    /// The last record that changed whose history an event is part of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) identity_at: u64,
    /// How far each producer of numbered batches has come.
    #[serde(default, skip_serializing_if = "Producers::is_empty")]
    pub(crate) producers: Producers,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Manifest {
    /// The first manifest of a table.
    pub(crate) fn first(table: u64, name: &str, schema: Schema, options: TableOptions) -> Self {
        Self {
            version: PLAIN_VERSION,
            number: 1,
            table,
            name: name.to_string(),
            profiles_of: None,
            dropped: false,
            schema,
            log_position: 0,
            hidden_before_us: i64::MIN,
            shards: vec![ShardManifest::default(); options.shards as usize],
            options,
            tombstones: Vec::new(),
            imported: Vec::new(),
            aliases: Vec::new(),
            identity_at: 0,
            producers: Producers::default(),
        }
    }

    /// Note the aliases. A program that knows none must not read the manifest, since it would show other histories.
    pub(crate) fn set_aliases(&mut self, aliases: &Aliases, identity_at: u64) {
        self.aliases = aliases.to_list();
        self.identity_at = identity_at;
        if !self.aliases.is_empty() {
            self.version = self.version.max(ALIASES_VERSION);
        }
    }

    /// Note how far producers have come. A program that knows none must not write the next manifest, since it would take
    /// a repeated batch for a new one.
    pub(crate) fn set_producers(&mut self, producers: &Producers) {
        self.producers = producers.clone();
        if !self.producers.is_empty() {
            self.version = MANIFEST_VERSION;
        }
    }

    /// Directory of the files of table `table`.
    pub(crate) fn directory(table: u64) -> String {
        format!("tables/{table}")
    }

    fn file(table: u64, number: u64) -> String {
        format!("{}/manifest-{number:020}", Self::directory(table))
    }

    /// Name of its file.
    pub(crate) fn own_file(&self) -> String {
        Self::file(self.table, self.number)
    }

    /// Name of segment file `file` of table `table`.
    pub(crate) fn segment_file(table: u64, file: u64) -> String {
        format!("{}/segment-{file:010}", Self::directory(table))
    }

    /// All segments.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &SegmentEntry> {
        self.shards.iter().flat_map(|shard| &shard.segments)
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode_checked(&serde_json::to_vec_pretty(self).expect("a manifest is plain data"))
    }

    /// The manifest of `bytes`.
    fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let json = decode_checked(name, bytes)?;
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let broken = |e: serde_json::Error| Error::corrupt(format!("{name}: {e}"));
        let Version { version } = serde_json::from_slice(json).map_err(broken)?;
        if !(OLDEST_MANIFEST_VERSION..=MANIFEST_VERSION).contains(&version) {
            return Err(unsupported(name, version, OLDEST_MANIFEST_VERSION, MANIFEST_VERSION));
        }
        serde_json::from_slice(json).map_err(broken)
    }

    /// The live manifest of table `table`, or `None` where there is no manifest.
    pub(crate) fn load(store: &dyn Store, table: u64) -> Result<Option<Self>> {
        let names = store.list(&format!("{}/manifest-", Self::directory(table)))?;
        names.last().map(|name| Self::read(store, table, name)).transpose()
    }

    /// The manifest in the file `name`.
    fn read(store: &dyn Store, table: u64, name: &str) -> Result<Self> {
        let manifest = Self::decode(name, store.get(name)?.as_slice())?;
        if name != Self::file(table, manifest.number) || manifest.table != table {
            return Err(Error::corrupt(format!(
                "{name}: says that it is manifest {} of table {}",
                manifest.number, manifest.table
            ))
            .with_hint("put the file back under its own name"));
        }
        check(&manifest).map_err(|e| e.at(name))?;
        Ok(manifest)
    }

    /// Make this the live manifest, and remove the one before. The caller has checked it: an error here means that which
    /// manifest is live is not known.
    pub(crate) fn publish(&self, store: &dyn Store) -> Result<()> {
        let name = Self::file(self.table, self.number);
        if !store.put_if_absent(&name, &self.encode())? {
            return Err(Error::new(ErrorKind::Locked, format!("{name} is there already"))
                .with_hint("another process writes to this database; stop it, then open the database again"));
        }
        // The one before is not read any more; if it stays, the next one removes it or the next opening does.
        if let Some(before) = self.number.checked_sub(1).filter(|&number| number > 0) {
            let _ = store.delete(&Self::file(self.table, before));
        }
        Ok(())
    }

    /// Remove the manifests before this one.
    pub(crate) fn remove_older(&self, store: &dyn Store) -> Result<()> {
        let live = Self::file(self.table, self.number);
        for name in store.list(&format!("{}/manifest-", Self::directory(self.table)))? {
            if name < live {
                store.delete(&name)?;
            }
        }
        Ok(())
    }

    /// Remove this manifest for good: the last file of a dropped table, or the first one of a table that could not be
    /// made. What was removed before it is gone for good then, too: without the manifest it could not be explained.
    pub(crate) fn remove(&self, store: &dyn Store) -> Result<()> {
        let directory = Self::directory(self.table);
        store.sync_directory(&directory)?;
        store.delete(&Self::file(self.table, self.number))?;
        store.sync_directory(&directory)
    }

    /// All manifests of table `table` that are there, oldest first, each with its name.
    pub(crate) fn all(store: &dyn Store, table: u64) -> Result<Vec<(String, Result<Self>)>> {
        let names = store.list(&format!("{}/manifest-", Self::directory(table)))?;
        let read = |name: &String| Self::read(store, table, name);
        Ok(names.iter().map(|name| (name.clone(), read(name))).collect())
    }
}

/// The error for a format that this program does not read.
pub(crate) fn unsupported(name: &str, version: u32, oldest: u32, newest: u32) -> Error {
    let hint = match version > newest {
        true => "open it with a newer trodden",
        false => "open it with the version of trodden that wrote it, export, and import again",
    };
    let message = format!("{name} has format version {version}; this trodden reads {oldest} to {newest}");
    Error::new(ErrorKind::UnsupportedFormat, message).with_hint(hint)
}

/// `json` with its checksum line.
pub(crate) fn encode_checked(json: &[u8]) -> Vec<u8> {
    let mut bytes = json.to_vec();
    bytes.push(b'\n');
    let line = format!("crc32c {:08x}\n", crc32c::crc32c(&bytes));
    bytes.extend_from_slice(line.as_bytes());
    bytes
}

/// The JSON of `bytes`, whose checksum line is right.
pub(crate) fn decode_checked<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    const LINE_BYTES: usize = "crc32c 00000000\n".len();
    let wrong = |what: &str| {
        Error::corrupt(format!("{name}: {what}"))
            .with_hint("restore the file from a backup; `trodden check` tells more")
    };
    let at = bytes.len().checked_sub(LINE_BYTES).ok_or_else(|| wrong("cut short"))?;
    let (json, line) = bytes.split_at(at);
    match line == format!("crc32c {:08x}\n", crc32c::crc32c(json)).as_bytes() {
        true => Ok(json),
        false => Err(wrong("the checksum does not fit the content")),
    }
}
