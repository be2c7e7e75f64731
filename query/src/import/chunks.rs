//! Cuts the text of a file into chunks of whole rows, so that several threads can parse one file.

use super::error::{ImportError, Result};
use memchr::{memchr, memchr_iter, memrchr};
use std::io::Read;

/// Size of a chunk in bytes, about.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// Longest row. Beyond it a quote was surely never closed.
const ROW_BYTES_MAX: usize = 64 << 20;

/// Whole rows of a text file.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Line of the file at which the chunk begins, from 1.
    pub(super) first_line: u64,
    /// Line ends in it.
    pub(super) lines: u64,
    pub(super) bytes: Vec<u8>,
}

/// How rows end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// At every line end.
    Lines,
    /// At a line end outside of quotes; a quote opens at the beginning of a field only, after `delimiter`.
    Quoted { delimiter: u8 },
}

/// The chunks of one file in order.
pub(super) struct Chunks<'a> {
    path: &'a str,
    reader: Box<dyn Read + Send + 'a>,
    rows: Rows,
    /// Bytes after the last whole row.
    rest: Vec<u8>,
    next_line: u64,
    first: bool,
    chunk_bytes: usize,
    /// The last byte that was given out.
    last: Option<u8>,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(path: &'a str, reader: Box<dyn Read + Send + 'a>, rows: Rows) -> Self {
        let chunk_bytes = CHUNK_BYTES;
        Self { path, reader, rows, rest: Vec::new(), next_line: 1, first: true, chunk_bytes, last: None }
    }

    /// The same in chunks of another size.
    pub(super) fn with_chunk_bytes(self, chunk_bytes: usize) -> Self {
        Self { chunk_bytes, ..self }
    }

    /// Whether the last line that was given out has no line end.
    pub(super) fn ends_open(&self) -> bool {
        self.last.is_some_and(|last| !matches!(last, b'\n' | b'\r'))
    }

    /// The next chunk, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>> {
        let mut bytes = std::mem::take(&mut self.rest);
        let mut scan = Scan::default();
        let mut want = self.chunk_bytes;
        loop {
            let at_end = self.fill(&mut bytes, want)?;
            if self.first {
                self.first = false;
                if bytes.starts_with(b"\xef\xbb\xbf") {
                    bytes.drain(..3);
                }
            }
            scan.advance(&bytes, self.rows, at_end);
            let cut = if at_end { bytes.len() } else { scan.boundary };
            if at_end && scan.quoted {
                return Err(self.endless(&bytes, &scan, "a quote that opens in this row is never closed"));
            }
            if cut > 0 {
                self.rest = bytes.split_off(cut);
                self.last = bytes.last().copied();
                let (first_line, lines) = (self.next_line, memchr_iter(b'\n', &bytes).count() as u64);
                self.next_line += lines;
                return Ok(Some(Chunk { first_line, lines, bytes }));
            }
            if at_end {
                return Ok(None);
            }
            if bytes.len() > ROW_BYTES_MAX {
                let cause = format!("the row is longer than {} MiB", ROW_BYTES_MAX >> 20);
                return Err(self.endless(&bytes, &scan, &cause));
            }
            want = bytes.len() * 2;
        }
    }

    /// Read until there are `want` bytes; true at the end of the file.
    fn fill(&mut self, bytes: &mut Vec<u8>, want: usize) -> Result<bool> {
        bytes.reserve(want.saturating_sub(bytes.len()));
        while bytes.len() < want {
            let missing = (want - bytes.len()) as u64;
            let read = self.reader.by_ref().take(missing).read_to_end(bytes);
            match read.map_err(|source| ImportError::reading(self.path, source))? {
                0 => return Ok(true),
                _ => continue,
            }
        }
        Ok(false)
    }

    fn endless(&self, bytes: &[u8], scan: &Scan, cause: &str) -> ImportError {
        let line = self.next_line + memchr_iter(b'\n', &bytes[..scan.boundary]).count() as u64;
        ImportError::EndlessRow { file: self.path.into(), line, cause: cause.into() }
    }
}

/// How far the search for row ends has come.
#[derive(Default)]
struct Scan {
    position: usize,
    /// Inside a quoted field at `position`.
    quoted: bool,
    /// End of the last whole row.
    boundary: usize,
}

impl Scan {
    fn advance(&mut self, bytes: &[u8], rows: Rows, at_end: bool) {
        let Rows::Quoted { delimiter } = rows else {
            if let Some(found) = memrchr(b'\n', &bytes[self.position..]) {
                self.boundary = self.position + found + 1;
            }
            self.position = bytes.len();
            return;
        };
        while self.position < bytes.len() {
            let found = memchr(b'"', &bytes[self.position..]).map(|found| self.position + found);
            if self.quoted {
                match found {
                    // Whether a quote at the end of what is read closes or is doubled, the next byte tells.
                    Some(quote) if quote + 1 == bytes.len() && !at_end => {
                        self.position = quote;
                        return;
                    }
                    Some(quote) if bytes.get(quote + 1) == Some(&b'"') => self.position = quote + 2,
                    Some(quote) => {
                        self.quoted = false;
                        self.position = quote + 1;
                    }
                    None => self.position = bytes.len(),
                }
                continue;
            }
            let end = found.unwrap_or(bytes.len());
            if let Some(newline) = memrchr(b'\n', &bytes[self.position..end]) {
                self.boundary = self.position + newline + 1;
            }
            if let Some(quote) = found {
                let before = quote.checked_sub(1).map(|index| bytes[index]);
                self.quoted = before.is_none_or(|byte| byte == delimiter || matches!(byte, b'\n' | b'\r'));
            }
            self.position = found.map_or(bytes.len(), |quote| quote + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: Rows = Rows::Quoted { delimiter: b',' };

    /// A reader that gives a few bytes at a time.
    struct Drip(Vec<u8>, usize);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    fn chunks(text: &[u8], rows: Rows) -> Result<Vec<Chunk>> {
        let mut chunks = Chunks::new("f", Box::new(Drip(text.to_vec(), 70_000)), rows);
        std::iter::from_fn(|| chunks.next().transpose()).collect()
    }

    #[test]
    fn chunks_end_at_row_ends_and_lose_nothing() {
        let mut text = Vec::new();
        let mut starts = std::collections::HashMap::new();
        let mut line = 1;
        for row in 0..60_000 {
            let filler = if row % 3 == 0 { "\"a\n\"\"b\"\",\n\"" } else { "5\" pipe" };
            let long = if row % 1_000 == 0 { "long\n".repeat(200) } else { String::new() };
            let record = format!("{row},{filler},\"\",\"{long}\"\r\n");
            starts.insert(text.len(), line);
            line += record.matches('\n').count() as u64;
            text.extend_from_slice(record.as_bytes());
        }
        let got = chunks(&text, CSV).unwrap();
        assert!(got.len() > 1);
        let mut position = 0;
        for chunk in &got {
            assert_eq!(starts.get(&position), Some(&chunk.first_line), "at {position}");
            assert!(text[position..].starts_with(&chunk.bytes));
            position += chunk.bytes.len();
        }
        assert_eq!(position, text.len());
    }

    #[test]
    fn a_row_may_be_longer_than_a_chunk() {
        let text = format!("a,\"{}\"\nb,c\n", "x\n".repeat(2 * CHUNK_BYTES));
        let got = chunks(text.as_bytes(), CSV).unwrap();
        assert_eq!(got.iter().map(|chunk| chunk.bytes.len()).sum::<usize>(), text.len());
        assert!(got[0].bytes.len() > 4 * CHUNK_BYTES);
    }

    #[test]
    fn a_quote_that_never_closes_is_named_with_its_line() {
        let error = chunks(b"a,b\n1,2\n3,\"x\n4,5\n", CSV).unwrap_err();
        assert!(matches!(error, ImportError::EndlessRow { line: 3, .. }), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_no_content() {
        let got = chunks(b"\xef\xbb\xbfa\nb", Rows::Lines).unwrap();
        assert_eq!(got[0].bytes, b"a\nb");
    }

    #[test]
    fn a_last_line_without_an_end_is_seen() {
        for (text, open) in [("", false), ("a\n", false), ("a\r\n", false), ("a\nb", true), ("a\n\"b\n\"", true)] {
            let mut chunks = Chunks::new("f", Box::new(Drip(text.into(), 3)), CSV).with_chunk_bytes(2);
            while chunks.next().unwrap().is_some() {}
            assert_eq!(chunks.ends_open(), open, "{text:?}");
        }
    }
}
