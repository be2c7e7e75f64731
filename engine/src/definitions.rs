//! Named texts that the layers above keep in the database: definitions, such as views, and settings, such as access keys. The
//! engine does not read them.
//!
//! `definitions-<number>` holds all of them as JSON with a checksum line, like a manifest: the highest number is live, a
//! change writes the next one, and the one before goes then.

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{decode_checked, encode_checked, unsupported};
use crate::storage::Store;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const PREFIX: &str = "definitions-";
/// Version with settings.
const VERSION: u32 = 2;
/// Version without settings, which any program can read.
const PLAIN_VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    version: u32,
    number: u64,
    pub(crate) texts: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
}

impl Content {
    /// The content, with the number and the version that it needs.
    fn succeeded_by(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = Self { number: self.number + 1, ..self.clone() };
        change(&mut next);
        // A program that knows no settings would lose them with its next change.
        next.version = if next.settings.is_empty() { PLAIN_VERSION } else { VERSION };
        next
    }
}

/// The definitions of a database.
#[derive(Debug)]
pub(crate) struct Definitions {
    store: Arc<dyn Store>,
    live: Mutex<Live>,
}

#[derive(Debug)]
struct Live {
    content: Content,
    /// Why it is not known any more whether the content is what is on disk: the message of the write that failed.
    failed: Option<String>,
}

fn file(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

/// The live definitions of `store`; number 0 where there never was one.
pub(crate) fn load(store: &dyn Store) -> Result<Content> {
    let names = store.list(PREFIX)?;
    let Some(name) = names.last() else {
        let version = PLAIN_VERSION;
        return Ok(Content { version, number: 0, texts: BTreeMap::new(), settings: BTreeMap::new() });
    };
    let blob = store.get(name)?;
    let json = decode_checked(name, blob.as_slice())?;
    let content: Content = serde_json::from_slice(json).map_err(|e| Error::corrupt(format!("{name}: {e}")))?;
    if !(PLAIN_VERSION..=VERSION).contains(&content.version) {
        return Err(unsupported(name, content.version, PLAIN_VERSION, VERSION));
    }
    if *name != file(content.number) {
        return Err(Error::corrupt(format!("{name}: says that it is number {}", content.number))
            .with_hint("put the file back under its own name"));
    }
    Ok(content)
}

impl Definitions {
    /// Read them, and remove what a crash left of older ones.
    pub(crate) fn open(store: Arc<dyn Store>) -> Result<Self> {
        let live = load(store.as_ref())?;
        for name in store.list(PREFIX)? {
            if name < file(live.number) {
                store.delete(&name)?;
            }
        }
        Ok(Self { store, live: Mutex::new(Live { content: live, failed: None }) })
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        self.live.lock().content.texts.clone()
    }

    /// All settings.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        self.live.lock().content.settings.clone()
    }

    /// The file of them, name and bytes; `None` where there never was one.
    pub(crate) fn stored(&self) -> Option<(String, Vec<u8>)> {
        let live = self.live.lock();
        let json = || serde_json::to_vec(&live.content).expect("plain data");
        (live.content.number > 0).then(|| (file(live.content.number), encode_checked(&json())))
    }

    /// Set the definition `name` to `text`, or remove it; durable on return.
    pub(crate) fn set(&self, name: &str, text: Option<&str>) -> Result<()> {
        self.change(|content| put(&mut content.texts, name, text))
    }

    /// Set the setting `name` to `text`, or remove it; durable on return.
    pub(crate) fn set_setting(&self, name: &str, text: Option<&str>) -> Result<()> {
        self.change(|content| put(&mut content.settings, name, text))
    }

    fn change(&self, change: impl FnOnce(&mut Content)) -> Result<()> {
        let mut live = self.live.lock();
        if let Some(failure) = &live.failed {
            return Err(Error::new(
                ErrorKind::Poisoned,
                format!("an earlier change of a view or a setting failed: {failure}"),
            )
            .with_hint("open the database again"));
        }
        let next = live.content.succeeded_by(change);
        let bytes = encode_checked(&serde_json::to_vec(&next).expect("plain data"));
        let taken = || {
            Error::new(ErrorKind::Locked, format!("{} is there already", file(next.number)))
                .with_hint("another process writes to this database; stop it, then open the database again")
        };
        let written = self.store.put_if_absent(&file(next.number), &bytes);
        if let Err(error) = written.and_then(|written| if written { Ok(()) } else { Err(taken()) }) {
            // Whether the file is there is not known now, so nothing more is written.
            live.failed = Some(error.message().to_string());
            return Err(error);
        }
        if next.number > 1 {
            // If it stays, the next opening removes it.
            let _ = self.store.delete(&file(next.number - 1));
        }
        live.content = next;
        Ok(())
    }

    /// Whether what is on disk is what is in use.
    pub(crate) fn check(&self) -> Result<()> {
        let stored = load(self.store.as_ref())?;
        match self.all() == stored.texts && self.settings() == stored.settings {
            true => Ok(()),
            false => Err(Error::corrupt(format!("{} is not what is in use", file(stored.number)))),
        }
    }
}

fn put(texts: &mut BTreeMap<String, String>, name: &str, text: Option<&str>) {
    match text {
        Some(text) => drop(texts.insert(name.to_string(), text.to_string())),
        None => drop(texts.remove(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStore;

    fn version(store: &dyn Store) -> u32 {
        load(store).unwrap().version
    }

    #[test]
    fn settings_are_kept_beside_definitions_and_only_they_need_the_newer_version() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let definitions = Definitions::open(Arc::clone(&store)).unwrap();
        definitions.set("a", Some("view")).unwrap();
        assert_eq!(version(store.as_ref()), 1);
        definitions.set_setting("a", Some("setting")).unwrap();
        assert_eq!(version(store.as_ref()), 2);
        drop(definitions);

        let definitions = Definitions::open(Arc::clone(&store)).unwrap();
        assert_eq!(definitions.all()["a"], "view");
        assert_eq!(definitions.settings()["a"], "setting");
        definitions.check().unwrap();
        definitions.set("a", None).unwrap();
        assert_eq!(definitions.settings()["a"], "setting");
        definitions.set_setting("a", None).unwrap();
        assert_eq!((version(store.as_ref()), definitions.all().len(), definitions.settings().len()), (1, 0, 0));
    }
}
