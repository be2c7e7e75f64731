//! Which files an import reads, and what they are: globs, format, compression, fingerprint.

use super::error::{ImportError, Result};
use super::options::{Compression, FileFormat, ImportOptions};
use super::summary::Progress;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// Bytes at the beginning of a file from which its kind is told.
const HEAD_BYTES: usize = 4096;
/// Bytes read at a time for the fingerprint.
const HASH_BYTES: usize = 1 << 20;
/// Bytes read at a time of what is copied.
const SPOOL_BYTES: usize = 1 << 18;
/// How long to wait for a pipe before asking whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(100);

/// A file to import.
#[derive(Debug)]
pub(super) struct InputFile {
    /// As the user knows it.
    pub(super) path: String,
    pub(super) format: FileFormat,
    pub(super) compression: Compression,
    pub(super) bytes: u64,
    modified: Option<SystemTime>,
    /// Standard input or a pipe, spooled: a file may have to be read more than once.
    spooled: Option<tempfile::NamedTempFile>,
}

/// All files that the options name, in order, each once.
pub(super) fn find_files(options: &ImportOptions, progress: &dyn Progress) -> Result<Vec<InputFile>> {
    if options.files.is_empty() {
        return Err(ImportError::Option { cause: "no file was named".into(), hint: "name a file, a glob or -".into() });
    }
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for pattern in &options.files {
        if pattern == "-" {
            files.push(spool("standard input", || Ok(io::stdin()), options, progress)?);
            continue;
        }
        for path in expand(pattern)? {
            if seen.insert(fs::canonicalize(&path).unwrap_or_else(|_| path.clone().into())) {
                files.push(open(path, options, progress)?);
            }
        }
    }
    Ok(files)
}

fn expand(pattern: &str) -> Result<Vec<String>> {
    let path = Path::new(pattern);
    if path.is_dir() {
        let mut paths = Vec::new();
        list_directory(path, &mut paths)?;
        paths.sort();
        return if paths.is_empty() { Err(ImportError::NoFile { pattern: pattern.into() }) } else { Ok(paths) };
    }
    if path.exists() {
        return Ok(vec![pattern.into()]);
    }
    let bad = |cause: String| ImportError::BadGlob { pattern: pattern.into(), cause };
    let mut paths = Vec::new();
    for path in glob::glob(pattern).map_err(|error| bad(error.to_string()))? {
        let path =
            path.map_err(|error| ImportError::Read { file: error.path().display().to_string(), source: error.into() })?;
        if path.is_file() {
            paths.push(path.display().to_string());
        }
    }
    paths.sort();
    if paths.is_empty() { Err(ImportError::NoFile { pattern: pattern.into() }) } else { Ok(paths) }
}

/// The data files below a directory: those whose name tells a format, without hidden ones and markers such as
/// `_SUCCESS`.
fn list_directory(directory: &Path, paths: &mut Vec<String>) -> Result<()> {
    let failed = |source| ImportError::Read { file: directory.display().to_string(), source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            list_directory(&path, paths)?;
        } else if format_of_name(&name).is_some() {
            paths.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Format and compression as the end of a name tells them.
fn format_of_name(name: &str) -> Option<FileFormat> {
    let (stem, _) = strip_compression(name);
    stem.rsplit_once('.').and_then(|(_, extension)| match extension.to_ascii_lowercase().as_str() {
        "json" => Some(FileFormat::JsonLines),
        "txt" => None,
        extension => extension.parse().ok(),
    })
}

fn strip_compression(name: &str) -> (&str, Option<Compression>) {
    match name.rsplit_once('.') {
        Some((stem, "gz" | "gzip")) => (stem, Some(Compression::Gzip)),
        Some((stem, "zst" | "zstd")) => (stem, Some(Compression::Zstd)),
        _ => (name, None),
    }
}

fn open(path: String, options: &ImportOptions, progress: &dyn Progress) -> Result<InputFile> {
    // A pipe or a device says nothing of its size, and what was read of it is gone.
    let is_read_once = fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
    match is_read_once {
        true => spool(
            &path,
            {
                let path = path.clone();
                move || File::open(path)
            },
            options,
            progress,
        ),
        false => InputFile::open(path, None, options),
    }
}

/// Copy what `open` opens to a temporary file. A failure is told of the side on which it happened.
fn spool<R: Read>(
    name: &str,
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<InputFile> {
    let directory = std::env::temp_dir();
    let failed = |source| ImportError::Spool { file: name.into(), directory: directory.display().to_string(), source };
    let mut spool = tempfile::NamedTempFile::new_in(&directory).map_err(failed)?;
    // A pipe cannot be told to give up, so it is waited for on a thread of its own, which is left to itself when nobody
    // wants the input any more.
    let (sender, pieces) = bounded(4);
    std::thread::spawn(move || read_pieces(open, &sender));
    loop {
        if progress.cancelled() {
            return Err(ImportError::Cancelled);
        }
        match pieces.recv_timeout(PATIENCE) {
            Ok(Ok(piece)) => spool.as_file_mut().write_all(&piece).map_err(failed)?,
            Ok(Err(source)) => return Err(ImportError::Read { file: name.into(), source }),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    InputFile::open(name.into(), Some(spool), options)
}

/// Give the pieces of what `open` opens to `pieces`, up to its end, a failure, or a receiver that left.
fn read_pieces<R: Read>(open: impl FnOnce() -> io::Result<R>, pieces: &Sender<io::Result<Vec<u8>>>) {
    let mut input = match open() {
        Ok(input) => input,
        Err(error) => return drop(pieces.send(Err(error))),
    };
    loop {
        let mut piece = vec![0; SPOOL_BYTES];
        let read = match input.read(&mut piece) {
            Ok(0) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let piece = read.map(|length| {
            piece.truncate(length);
            piece
        });
        let failed = piece.is_err();
        if pieces.send(piece).is_err() || failed {
            return;
        }
    }
}

impl InputFile {
    fn open(path: String, spooled: Option<tempfile::NamedTempFile>, options: &ImportOptions) -> Result<Self> {
        let mut file =
            Self { path, format: FileFormat::Csv, compression: Compression::Plain, bytes: 0, modified: None, spooled };
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            let cause = "is a directory".to_string();
            return Err(ImportError::WrongFormat { file: file.path, cause, hint: "name a file".into() });
        }
        (file.bytes, file.modified) = (metadata.len(), metadata.modified().ok());
        let head = file.head(|file| file.raw())?;
        file.compression = file.find_compression(&head, options)?;
        let head = match file.compression {
            Compression::Plain => head,
            _ => file.head(|file| file.reader(|_| {}))?,
        };
        file.format = file.find_format(&head, options)?;
        Ok(file)
    }

    fn metadata(&self) -> Result<fs::Metadata> {
        let failed = |source| ImportError::Read { file: self.path.clone(), source };
        match &self.spooled {
            Some(spool) => spool.as_file().metadata(),
            None => fs::metadata(&self.path),
        }
        .map_err(failed)
    }

    /// The file as it is on disk.
    pub(super) fn raw(&self) -> Result<File> {
        let opened = match &self.spooled {
            Some(spool) => spool.reopen(),
            None => File::open(&self.path),
        };
        opened.map_err(|source| ImportError::Read { file: self.path.clone(), source })
    }

    /// The content of a text file, decompressed. `on_read` is told the bytes taken from disk.
    pub(super) fn reader<'a>(&self, on_read: impl FnMut(u64) + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
        let raw = Counting { inner: self.raw()?, on_read };
        Ok(match self.compression {
            Compression::Plain => Box::new(raw),
            Compression::Gzip => {
                Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(1 << 17, raw)))
            }
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(raw);
                Box::new(decoder.map_err(|source| ImportError::reading(&self.path, source))?)
            }
        })
    }

    fn head<R: Read>(&self, open: impl FnOnce(&Self) -> Result<R>) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        let read = open(self)?.take(HEAD_BYTES as u64).read_to_end(&mut head);
        // A damaged end must not hide a head that tells what the file is; the reading itself reports it.
        match read {
            Err(source) if head.is_empty() => Err(ImportError::reading(&self.path, source)),
            _ => Ok(head),
        }
    }

    fn wrong(&self, cause: impl Into<String>, hint: &str) -> ImportError {
        ImportError::WrongFormat { file: self.path.clone(), cause: cause.into(), hint: hint.into() }
    }

    fn find_compression(&self, head: &[u8], options: &ImportOptions) -> Result<Compression> {
        let found = match head {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::Plain,
        };
        let wanted = options.compression.or_else(|| strip_compression(&self.path).1);
        match wanted {
            Some(wanted) if wanted != found && !head.is_empty() => Err(self.wrong(
                format!("was taken for {}, but its content is {}", wanted.name(), kind_of(head, found)),
                "correct the name of the file or the compression in the options",
            )),
            _ => Ok(found),
        }
    }

    fn find_format(&self, head: &[u8], options: &ImportOptions) -> Result<FileFormat> {
        let is_parquet = head.starts_with(b"PAR1");
        let named = format_of_name(&self.path);
        let wanted = options.format.or(named);
        if is_parquet && self.compression != Compression::Plain {
            let cause = format!("a Parquet file inside {}", self.compression.name());
            return Err(self.wrong(cause, "unpack it first: Parquet is compressed inside"));
        }
        match wanted {
            Some(FileFormat::Parquet) if is_parquet || head.is_empty() => return Ok(FileFormat::Parquet),
            Some(FileFormat::Parquet) => {
                let cause = format!("is not a Parquet file, but {}", kind_of(head, self.compression));
                return Err(self.wrong(cause, "name its format: csv, tsv or jsonl"));
            }
            Some(_) if is_parquet => {
                return Err(self.wrong("is a Parquet file", "name the format: parquet"));
            }
            None if is_parquet => return Ok(FileFormat::Parquet),
            _ => {}
        }
        self.refuse_binary(head)?;
        wanted.or_else(|| sniff(head)).ok_or_else(|| ImportError::UnknownFormat { file: self.path.clone() })
    }

    /// Files that people take for text tables and that are none.
    fn refuse_binary(&self, head: &[u8]) -> Result<()> {
        match head {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                Err(self.wrong("is UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"))
            }
            _ if head.contains(&0) || head.starts_with(b"PK\x03\x04") => {
                let cause = format!("is {}", kind_of(head, Compression::Plain));
                Err(self.wrong(cause, "import Parquet, CSV, TSV or JSON lines, plain, gzip or zstd"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the file has still the size and time that it had when it was opened.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let metadata = self.metadata()?;
        if metadata.len() == self.bytes && metadata.modified().ok() == self.modified {
            return Ok(());
        }
        Err(ImportError::Changed { file: self.path.clone() })
    }

    /// xxh3-128 of the bytes on disk. `on_read` is told of every piece, and may end it.
    pub(super) fn content_hash(&self, on_read: impl Fn(u64) -> Result<()>) -> Result<u128> {
        let failed = |source| ImportError::Read { file: self.path.clone(), source };
        let mut file = self.raw()?;
        let mut hasher = Xxh3Default::new();
        let mut buffer = vec![0; HASH_BYTES];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => return Ok(hasher.digest128()),
                count => {
                    hasher.update(&buffer[..count]);
                    on_read(count as u64)?;
                }
            }
        }
    }
}

/// The number by which a table remembers an imported file: its content and what decides which events it becomes.
pub(super) fn fingerprint(content_hash: u128, outcome_options: &str) -> u128 {
    let mut bytes = content_hash.to_le_bytes().to_vec();
    bytes.extend_from_slice(outcome_options.as_bytes());
    xxh3_128(&bytes)
}

fn kind_of(head: &[u8], compression: Compression) -> &'static str {
    match head {
        _ if compression == Compression::Gzip => "gzip",
        _ if compression == Compression::Zstd => "zstd",
        [b'P', b'A', b'R', b'1', ..] => "Parquet",
        [b'P', b'K', 3, 4, ..] => "a zip archive (or a spreadsheet)",
        [b'O', b'b', b'j', 1, ..] => "Avro",
        [b'O', b'R', b'C', ..] => "ORC",
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => "an Arrow file",
        [b'S', b'Q', b'L', b'i', b't', b'e', ..] => "an SQLite database",
        _ if head.contains(&0) => "binary data",
        _ => "text",
    }
}

/// The format of a text without a telling name.
fn sniff(head: &[u8]) -> Option<FileFormat> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let line = text.split(|&byte| byte == b'\n').next()?;
    match text.iter().find(|byte| !byte.is_ascii_whitespace())? {
        b'{' | b'[' => Some(FileFormat::JsonLines),
        _ if line.contains(&b'\t') => Some(FileFormat::Tsv),
        _ if line.iter().any(|byte| matches!(byte, b',' | b';' | b'|')) => Some(FileFormat::Csv),
        _ => None,
    }
}

/// Tells how much was read.
struct Counting<F> {
    inner: File,
    on_read: F,
}

impl<F: FnMut(u64)> Read for Counting<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.on_read)(count as u64);
        Ok(count)
    }
}
