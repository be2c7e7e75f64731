//! A directory of this machine.

use super::{AppendFile, Blob, BlobWriter, Store, StoreLock, check_name};
use crate::error::{Error, ErrorKind, Result};
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
        Ok(Self { root: root.to_path_buf(), unfinished: AtomicU64::new(0) })
    }

    /// The store in the directory `root`, which is made if it is missing.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn create(root: &Path) -> Result<Self> {
        if !root.exists() {
            fs::create_dir_all(root).map_err(|e| Error::io(format!("cannot create {}", root.display()), e))?;
            if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_dir(parent)?;
            }
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
        let mut missing = Vec::new();
        let mut dir = path.parent().expect("a name is below the root");
        while !dir.exists() {
            missing.push(dir);
            dir = dir.parent().expect("the root exists");
        }
        for dir in missing.into_iter().rev() {
            match fs::create_dir(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io(format!("cannot create {}", dir.display()), e));
                }
                _ => sync_dir(dir.parent().expect("below the root"))?,
            }
        }
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

#[derive(Debug)]
struct DirectoryLock {
    /// The lock is held while the file is open.
    _file: File,
}

impl StoreLock for DirectoryLock {}

impl Store for LocalStore {
    fn lock(&self) -> Result<Box<dyn StoreLock>> {
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
        let mut leftovers = Vec::new();
        self.walk(&self.root, &mut |path, name| {
            if name.ends_with(UNFINISHED) {
                leftovers.push(path.to_path_buf());
            }
        })?;
        for path in leftovers {
            fs::remove_file(&path).map_err(|e| Error::io(format!("cannot remove {}", path.display()), e))?;
        }
        Ok(Box::new(DirectoryLock { _file: file }))
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
