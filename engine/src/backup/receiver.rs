//! Writing a copy: files in pieces, from a [`Backup`](super::Backup) or over a wire from somebody who may lie.

use crate::engine::{FORMAT_FILE, check_format_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{BlobWriter, Store, StoreLock};
use std::collections::HashSet;
use std::io::Write;

/// Most bytes of a file `FORMAT`, which is kept in memory until all others are written.
const FORMAT_BYTES_MAX: u64 = 4096;
/// Most digits of the number of a file.
const DIGITS_MAX: usize = 20;
const EMPTY_HINT: &str = "give a directory that is empty, or that is not there yet";

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Writes the files of a copy to a store, which is locked meanwhile. The store becomes a database with
/// [`Receiver::finish`], and not before: the file that makes it one is written last, whenever it comes.
pub struct Receiver<'a> {
    target: &'a dyn Store,
    current: Option<Incoming>,
    format: Option<Vec<u8>>,
    names: HashSet<String>,
    copied: Copied,
    _lock: Box<dyn StoreLock>,
}

struct Incoming {
    name: String,
    size: u64,
    arrived: u64,
    sink: Sink,
}

enum Sink {
    File(Box<dyn BlobWriter>),
    Format(Vec<u8>),
}

impl std::fmt::Debug for Receiver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receiver({} files, {} bytes)", self.copied.files, self.copied.bytes)
    }
}

impl<'a> Receiver<'a> {
    /// Begin a copy in `target`.
    ///
    /// # Errors
    /// `AlreadyExists` where there is anything in it; `Locked` while somebody has it; what the disk says.
    pub fn begin(target: &'a dyn Store) -> Result<Self> {
        // Before the lock, which leaves a file.
        check_empty(target)?;
        let lock = target.lock()?;
        check_empty(target)?;
        let copied = Copied { files: 0, bytes: 0 };
        Ok(Self { target, current: None, format: None, names: HashSet::new(), copied, _lock: lock })
    }

    /// Begin the file `name` of `size` bytes. The one before is complete then, and durable.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no file of a database has, or that came before, and where bytes of the file before are
    /// missing; what the disk says.
    pub fn begin_file(&mut self, name: &str, size: u64) -> Result<()> {
        self.end_file()?;
        if !is_of_a_copy(name) {
            return Err(
                Error::invalid(format!("'{name}' is no file of a backup")).with_hint("nothing was written to it")
            );
        }
        if !self.names.insert(name.to_string()) {
            return Err(Error::invalid(format!("the file {name} of the backup came twice")));
        }
        let sink = match name {
            FORMAT_FILE if size > FORMAT_BYTES_MAX => {
                return Err(Error::invalid(format!("{size} bytes are too many for the file {name} of a backup")));
            }
            FORMAT_FILE => Sink::Format(Vec::new()),
            _ => Sink::File(self.target.create(name).map_err(of_the_copy)?),
        };
        self.current = Some(Incoming { name: name.to_string(), size, arrived: 0, sink });
        Ok(())
    }

    /// The next bytes of the file that was begun last.
    ///
    /// # Errors
    /// `InvalidInput` for more bytes than the file has; what the disk says.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let no_file = || Error::invalid("bytes of a backup came before the name of their file");
        let incoming = self.current.as_mut().ok_or_else(no_file)?;
        let arrived = incoming.arrived.saturating_add(bytes.len() as u64);
        if arrived > incoming.size {
            let Incoming { name, size, .. } = incoming;
            return Err(Error::invalid(format!("the file {name} of the backup has more than its {size} bytes")));
        }
        incoming.arrived = arrived;
        match &mut incoming.sink {
            Sink::Format(held) => held.extend_from_slice(bytes),
            Sink::File(file) => {
                file.write_all(bytes).map_err(|error| of_the_copy(Error::io(&incoming.name, error)))?;
            }
        }
        Ok(())
    }

    /// Make the file that was begun last durable.
    fn end_file(&mut self) -> Result<()> {
        let Some(Incoming { name, size, arrived, sink }) = self.current.take() else { return Ok(()) };
        if arrived < size {
            return Err(Error::invalid(format!("the file {name} of the backup ends after {arrived} of {size} bytes"))
                .with_hint("copy again"));
        }
        match sink {
            Sink::Format(bytes) => {
                check_format_bytes(&bytes)?;
                self.format = Some(bytes);
            }
            Sink::File(file) => {
                file.finish().map_err(of_the_copy)?;
                self.check_size(&name, size)?;
            }
        }
        self.copied = Copied { files: self.copied.files + 1, bytes: self.copied.bytes + size };
        Ok(())
    }

    fn check_size(&self, name: &str, size: u64) -> Result<()> {
        match self.target.size(name)? {
            there if there == size => Ok(()),
            there => Err(Error::corrupt(format!("{name} has {there} bytes after {size} were written"))
                .with_hint("look for the cause at the disk, and copy again")),
        }
    }

    /// End the copy: the store is a database on return.
    ///
    /// # Errors
    /// `InvalidInput` where something is missing; what the disk says.
    pub fn finish(mut self) -> Result<Copied> {
        self.end_file()?;
        let missing = || Error::invalid(format!("the backup ended without its file {FORMAT_FILE}"));
        let bytes = self.format.take().ok_or_else(missing)?;
        let mut file = self.target.create(FORMAT_FILE).map_err(of_the_copy)?;
        file.write_all(&bytes).map_err(|error| of_the_copy(Error::io(FORMAT_FILE, error)))?;
        file.finish().map_err(of_the_copy)?;
        self.check_size(FORMAT_FILE, bytes.len() as u64)?;
        Ok(self.copied)
    }
}

fn check_empty(target: &dyn Store) -> Result<()> {
    match target.list("")?.iter().find(|name| *name != "LOCK") {
        None => Ok(()),
        Some(name) => {
            let message = format!("the target of the backup is not empty: there is {name}");
            Err(Error::new(ErrorKind::AlreadyExists, message).with_hint(EMPTY_HINT))
        }
    }
}

/// An error of writing, with the way out that fits a copy.
fn of_the_copy(error: Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull => {
            error.with_hint("free space for the copy, remove what there is of it, and copy again")
        }
        _ => error,
    }
}

/// Whether a copy has files of this name. No name of them leads out of the store.
fn is_of_a_copy(name: &str) -> bool {
    let is_number = |text: &str| (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let is_numbered =
        |file: &str, kinds: &[&str]| kinds.iter().any(|kind| file.strip_prefix(kind).is_some_and(is_number));
    match name.split('/').collect::<Vec<_>>()[..] {
        [file] => file == FORMAT_FILE || is_numbered(file, &["definitions-"]),
        ["tables", table, file] => is_number(table) && is_numbered(file, &["manifest-", "segment-", "tag-", "tags-"]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_copy_have_a_name() {
        let own = ["FORMAT", "definitions-00000000000000000001", "tables/1/manifest-00000000000000000001"];
        let more = ["tables/12/segment-0000000001", "tables/3/tag-0000000009", "tables/3/tags-00000000000000000002"];
        assert!(own.iter().chain(&more).all(|name| is_of_a_copy(name)));
        let hostile = [
            "",
            "/",
            "LOCK",
            "..",
            "../FORMAT",
            "/FORMAT",
            "FORMAT/",
            "./FORMAT",
            "tables/../FORMAT",
            "tables/1/../../x",
            "tables/1/segment-1/../../../../x",
            "tables/1/segment-",
            "tables/1/segment-1.unfinished",
            "tables//segment-1",
            "tables/1/catalog/CURRENT",
            "tables/1/log-00000000000000000001",
            "tables/1/segment-1\0",
            "tables\\1\\segment-1",
            "tables/1/segment-٣",
            "tables/1/segment--1",
            "tables/1/segment-000000000000000000001",
            "definitions-1 ",
            "tables/+1/segment-1",
            "C:/FORMAT",
            "FORMAT\0",
        ];
        assert_eq!(hostile.iter().find(|name| is_of_a_copy(name)), None);
    }
}
