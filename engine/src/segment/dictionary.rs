//! Dictionaries as they are stored: lengths and bytes of texts in order of their codes.

use super::wire::{Reader, put_section, put_varint, section};
use crate::error::{Error, Result};

/// Append a dictionary.
pub(crate) fn write(texts: &[Box<str>], out: &mut Vec<u8>) -> Result<()> {
    let mut plain = Vec::new();
    for text in texts {
        put_varint(&mut plain, text.len() as u64);
        plain.extend_from_slice(text.as_bytes());
    }
    put_section(out, &plain)
}

/// Read a dictionary of `count` texts.
pub(crate) fn read(bytes: &[u8], count: u32) -> Result<Vec<Box<str>>> {
    let plain = section(bytes)?;
    let mut reader = Reader::new(&plain);
    // Each text takes at least the byte of its length.
    if count as usize > plain.len() {
        return Err(Error::corrupt(format!("a dictionary of {count} texts in {} bytes", plain.len())));
    }
    let mut texts = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let length =
            usize::try_from(reader.varint()?).map_err(|_| Error::corrupt("a text beyond the address space"))?;
        texts.push(reader.text(length)?.into());
    }
    reader.end()?;
    Ok(texts)
}
