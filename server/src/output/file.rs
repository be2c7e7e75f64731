//! A file of answers that is there as a whole or not at all.

use crate::failure::{Failure, Outcome};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes beside the file, and takes its name at the end: until then what was there stays, and so it does after a failure.
/// What is no plain file (a device, a pipe) is written at once.
pub struct OutputFile {
    path: PathBuf,
    /// The file that takes the name at the end, and the name.
    unfinished: Option<(PathBuf, PathBuf)>,
    out: BufWriter<File>,
}

impl OutputFile {
    /// A file that will be at `path`.
    ///
    /// # Errors
    /// It cannot be written there.
    pub fn create(path: &Path) -> Outcome<Self> {
        Self::open(path).map_err(|error| Failure::io(path.display(), &error))
    }

    fn open(path: &Path) -> io::Result<Self> {
        let before = fs::metadata(path).ok();
        if before.as_ref().is_some_and(|before| !before.is_file()) {
            let out = BufWriter::new(OpenOptions::new().write(true).open(path)?);
            return Ok(Self { path: path.into(), unfinished: None, out });
        }
        // A link keeps leading where it leads.
        let target = if before.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
        let name =
            target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no name of a file"))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.unfinished", std::process::id()));
        let unfinished = target.with_file_name(hidden);
        let file = File::create(&unfinished)?;
        let output = Self { path: path.into(), unfinished: Some((unfinished, target)), out: BufWriter::new(file) };
        if let Some(before) = before {
            output.out.get_ref().set_permissions(before.permissions())?;
        }
        Ok(output)
    }

    /// Where the file will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything is written: the file takes its name.
    ///
    /// # Errors
    /// The failure of the file. What was there before stays.
    pub fn finish(mut self) -> Outcome {
        let done = self.out.flush().and_then(|()| match &self.unfinished {
            Some((unfinished, target)) => fs::rename(unfinished, target),
            None => Ok(()),
        });
        done.map_err(|error| Failure::io(self.path.display(), &error))?;
        self.unfinished = None;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some((unfinished, _)) = &self.unfinished {
            // The failure is told; that the rest could not be removed as well would only hide it.
            let _ = fs::remove_file(unfinished);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_was_there_stays_until_the_new_file_is_whole() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("answer.csv");
        fs::write(&path, "before").expect("written");
        let mut output = OutputFile::create(&path).expect("an output");
        output.write_all(b"half").expect("written");
        output.flush().expect("written");
        assert_eq!(fs::read_to_string(&path).expect("the file"), "before");
        drop(output);
        assert_eq!(fs::read_to_string(&path).expect("the file"), "before");
        assert_eq!(names(place.path()), ["answer.csv"]);
        let mut output = OutputFile::create(&path).expect("an output");
        output.write_all(b"whole").expect("written");
        output.finish().expect("an end");
        assert_eq!(fs::read_to_string(&path).expect("the file"), "whole");
        assert_eq!(names(place.path()), ["answer.csv"]);
    }
}
