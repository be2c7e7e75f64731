//! A directory of this machine.

#![expect(clippy::disallowed_methods, reason = "this is the seam to the files of this machine")]

use super::scratch::ScratchFile;
use super::{AppendFile, Blob, BlobWriter, Scratch, Store, StoreLock, check_name};
use crate::error::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Names of files that are being written end in this. They are removed when the store is locked by its next owner.
const UNFINISHED: &str = ".unfinished";
/// Buffer of a [`BlobWriter`] in bytes.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// A directory of this machine. Every object is a file; a file is synced before it gets its name, and its directory
/// after that.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    unfinished: AtomicU64,
    /// Directories below the root of which this handle knows that their names are durable. One that can be seen may have
    /// been made by a process that ended, or by a call that failed, before its name was synced.
    durable: Mutex<HashSet<PathBuf>>,
}

impl LocalStore {
    /// The store in the directory `root`, which must exist.
    ///
    /// # Errors
    /// `NotFound` if it does not exist, `InvalidInput` if it is no directory.
    pub fn open(root: &Path) -> Result<Self> {
        let meta = fs::metadata(root).map_err(|e| Error::io(root.display(), e))?;
        if !meta.is_dir() {
            return Err(Error::invalid(format!("{} is a file, not a directory", root.display()))
                .with_hint("give the directory of a database"));
        }
        Ok(Self { root: root.to_path_buf(), unfinished: AtomicU64::new(0), durable: Mutex::default() })
    }

    /// The store in the directory `root`, which is made if it is missing.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn create(root: &Path) -> Result<Self> {
        let mut missing = Vec::new();
        let mut dir = root;
        while !dir.exists() {
            missing.push(dir);
            dir = parent_of(dir);
        }
        if missing.is_empty() {
            // Who made it may have ended before its name was durable. Where the parent cannot be read, it was not us.
            match sync_dir(parent_of(root)) {
                Err(error) if error.kind() != ErrorKind::ReadOnly => return Err(error),
                _ => {}
            }
        }
        for dir in missing.into_iter().rev() {
            create_dir(dir)?;
            sync_dir(parent_of(dir))?;
        }
        Self::open(root)
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    /// The path of `name`, with its directory made durable.
    fn path_for_writing(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name)?;
        // Held to the end, so that no other thread relies on a directory whose name is not durable yet.
        let mut durable = self.durable.lock();
        let mut unknown = Vec::new();
        let mut dir = path.parent().expect("a name is below the root");
        while dir != self.root && !durable.contains(dir) {
            unknown.push(dir);
            dir = dir.parent().expect("below the root");
        }
        for dir in unknown.into_iter().rev() {
            create_dir(dir)?;
            sync_parent(dir)?;
            durable.insert(dir.to_path_buf());
        }
        drop(durable);
        Ok(path)
    }

    fn unfinished_path(&self, path: &Path) -> PathBuf {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let mut name = path.file_name().expect("a name has a last part").to_os_string();
        name.push(format!(".{number}{UNFINISHED}"));
        path.with_file_name(name)
    }

    fn walk(&self, dir: &Path, found: &mut dyn FnMut(&Path, String)) -> Result<()> {
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|e| Error::io(dir.display(), e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io(dir.display(), e))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(|e| Error::io(dir.display(), e))?);
            let name = path.strip_prefix(&self.root).expect("below the root").to_string_lossy().into_owned();
            match kind.is_dir() {
                true => self.walk(&path, found)?,
                false => found(&path, name),
            }
        }
        Ok(())
    }
}

/// The directory that holds `path`: for a plain name that is where the process is.
fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Make a directory; that it is there already is no error.
fn create_dir(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io(format!("cannot create {}", dir.display()), e))
        }
        _ => Ok(()),
    }
}

/// Remove `dir` and the directories in it, as far as there is no file in them.
fn remove_empty(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| Error::io(dir.display(), e))? {
        let path = entry.map_err(|e| Error::io(dir.display(), e))?.path();
        if path.is_dir() {
            remove_empty(&path)?;
        }
    }
    match fs::remove_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => {
            Err(Error::io(format!("cannot remove {}", dir.display()), e))
        }
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<()> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|e| Error::io(format!("cannot sync {}", dir.display()), e))
}

fn sync_parent(path: &Path) -> Result<()> {
    sync_dir(path.parent().expect("a name is below the root"))
}

/// The lock is held until this goes, or the process ends.
#[derive(Debug)]
struct DirectoryLock {
    file: File,
}

impl StoreLock for DirectoryLock {}

/// Closing the file would not do where another thread starts a process: until that runs its own program, it has a copy of
/// every open file, and with it the lock.
impl Drop for DirectoryLock {
    fn drop(&mut self) {
        if let Err(error) = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock) {
            tracing::warn!(%error, "unlocking a database");
        }
    }
}

impl LocalStore {
    fn lock_directory(&self) -> Result<DirectoryLock> {
        let path = self.root.join("LOCK");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| Error::io(format!("cannot open {}", path.display()), e))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|e| {
            let e = io::Error::from(e);
            match e.kind() {
                io::ErrorKind::WouldBlock => Error::new(
                    ErrorKind::Locked,
                    format!("{} is in use by another process or another handle", self.root.display()),
                )
                .with_hint("close the other one, or work through it"),
                _ => Error::io(format!("cannot lock {}", path.display()), e),
            }
        })?;
        Ok(DirectoryLock { file })
    }
}

impl Store for LocalStore {
    fn lock(&self) -> Result<Box<dyn StoreLock>> {
        Ok(Box::new(self.lock_directory()?))
    }

    fn remove_unfinished(&self) -> Result<()> {
        let mut leftovers = Vec::new();
        self.walk(&self.root, &mut |path, name| {
            if name.ends_with(UNFINISHED) {
                leftovers.push(path.to_path_buf());
            }
        })?;
        for path in leftovers {
            fs::remove_file(&path).map_err(|e| Error::io(format!("cannot remove {}", path.display()), e))?;
        }
        Ok(())
    }

    fn sync_directory(&self, directory: &str) -> Result<()> {
        let path = if directory.is_empty() { self.root.clone() } else { self.path(directory)? };
        match path.exists() {
            true => sync_dir(&path),
            false => Ok(()),
        }
    }

    fn remove_directory(&self, directory: &str) -> Result<()> {
        let path = self.path(directory)?;
        self.durable.lock().retain(|dir| !dir.starts_with(&path));
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }

    fn get(&self, name: &str) -> Result<Blob> {
        Blob::map(&self.path(name)?)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let dir = prefix.rfind('/').map_or("", |end| &prefix[..end]);
        let mut names = Vec::new();
        self.walk(&self.root.join(dir), &mut |_, name| {
            if name.starts_with(prefix) && !name.ends_with(UNFINISHED) {
                names.push(name);
            }
        })?;
        names.sort();
        Ok(names)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }

    fn create(&self, name: &str) -> Result<Box<dyn BlobWriter>> {
        let path = self.path_for_writing(name)?;
        let unfinished = self.unfinished_path(&path);
        let file = File::create(&unfinished).map_err(|e| Error::io(format!("cannot write {}", path.display()), e))?;
        Ok(Box::new(LocalWriter { file: Some(BufWriter::with_capacity(WRITE_BUFFER_BYTES, file)), unfinished, path }))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let path = self.path_for_writing(name)?;
        let unfinished = self.unfinished_path(&path);
        let put = || -> io::Result<bool> {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            // A hard link, because a rename would replace what is there.
            match fs::hard_link(&unfinished, &path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                done => done.map(|()| true),
            }
        };
        let done = put().map_err(|e| Error::io(format!("cannot write {}", path.display()), e));
        // A leftover is removed by the next owner, so a failure here does no harm.
        let _ = fs::remove_file(&unfinished);
        if done? {
            sync_parent(&path)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn create_append(&self, name: &str) -> Result<Box<dyn AppendFile>> {
        let path = self.path_for_writing(name)?;
        let file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::new(ErrorKind::AlreadyExists, format!("{} is there already", path.display()))
            }
            _ => Error::io(format!("cannot create {}", path.display()), e),
        })?;
        sync_parent(&path)?;
        Ok(Box::new(LocalAppend { file, path }))
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>> {
        let path = self.unfinished_path(&self.root.join("scratch"));
        let create = || -> io::Result<File> {
            let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        let file = create().map_err(|e| Error::io(format!("cannot create {}", path.display()), e))?;
        Ok(Box::new(ScratchFile::new(file)))
    }

    fn size(&self, name: &str) -> Result<u64> {
        let path = self.path(name)?;
        Ok(fs::metadata(&path).map_err(|e| Error::io(path.display(), e))?.len())
    }

    fn discard(&self) -> Result<()> {
        let lock = self.root.join("LOCK");
        fs::remove_file(&lock).map_err(|e| Error::io(format!("cannot remove {}", lock.display()), e))?;
        remove_empty(&self.root)
    }

    fn local_path(&self, name: &str) -> Option<PathBuf> {
        self.path(name).ok()
    }
}

struct LocalWriter {
    /// `None` once finished.
    file: Option<BufWriter<File>>,
    unfinished: PathBuf,
    path: PathBuf,
}

impl Write for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().expect("not finished").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().expect("not finished").flush()
    }
}

impl BlobWriter for LocalWriter {
    fn finish(mut self: Box<Self>) -> Result<()> {
        let written = (|| {
            let file = self.file.as_mut().expect("not finished");
            file.flush()?;
            file.get_ref().sync_all()?;
            fs::rename(&self.unfinished, &self.path)
        })();
        written.map_err(|e| Error::io(format!("cannot write {}", self.path.display()), e))?;
        self.file = None;
        sync_parent(&self.path)
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Nothing of the buffer is wanted any more.
            let _ = file.into_parts();
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

struct LocalAppend {
    file: File,
    path: PathBuf,
}

impl AppendFile for LocalAppend {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io(format!("cannot write {}", self.path.display()), e))
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io(format!("cannot sync {}", self.path.display()), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_directory_that_can_be_synced() {
        let parents = [("db", "."), ("a/db", "a"), ("./db", "."), ("/db", "/"), ("a/", ".")];
        for (path, parent) in parents {
            assert_eq!(parent_of(Path::new(path)), Path::new(parent), "{path}");
        }
    }

    #[test]
    fn missing_directories_are_made_and_known_ones_are_made_again_when_they_were_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::create(&dir.path().join("a/b/c")).unwrap();
        assert!(store.put_if_absent("tables/1/x", b"1").unwrap());
        assert!(!store.put_if_absent("tables/1/x", b"2").unwrap());
        store.remove_directory("tables/1").unwrap();
        store.remove_directory("tables/1").unwrap();
        store.sync_directory("tables").unwrap();
        store.sync_directory("tables/1").unwrap();
        assert!(store.list("").unwrap().is_empty());
        assert!(store.put_if_absent("tables/1/x", b"2").unwrap());
        assert_eq!(store.list("").unwrap(), ["tables/1/x"]);
    }

    /// As a process has it that another thread is just starting.
    #[test]
    fn a_copy_of_its_file_does_not_hold_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::create(dir.path()).unwrap();
        let lock = store.lock_directory().unwrap();
        let _copy = lock.file.try_clone().unwrap();
        assert_eq!(store.lock().unwrap_err().kind(), ErrorKind::Locked);
        drop(lock);
        drop(store.lock().unwrap());
    }

    #[test]
    fn the_lock_removes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::create(dir.path()).unwrap();
        let leftover = dir.path().join("x.0.unfinished");
        fs::write(&leftover, b"half").unwrap();
        let _lock = store.lock().unwrap();
        assert!(leftover.exists(), "whoever only looks changes nothing");
        store.remove_unfinished().unwrap();
        assert!(!leftover.exists());
    }
}
