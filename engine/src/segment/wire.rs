//! Reading and writing the plain parts of the format: little-endian numbers, short texts, compressed sections.

use crate::error::{Error, Result};

/// Sections below this many bytes are stored as they are: a zstd frame would save next to nothing.
const COMPRESS_FROM_BYTES: usize = 512;
/// Fast, and within a few percent of the default level on ids and short texts.
const ZSTD_LEVEL: i32 = 1;
const STORED_RAW: u8 = 0;
const STORED_ZSTD: u8 = 1;
/// No section decompresses to more than this many bytes.
const SECTION_MAX_BYTES: usize = 1 << 31;

/// A bounds-checked reader: past the end it gives an error, never a panic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, tail) = self
            .bytes
            .split_at_checked(count)
            .ok_or_else(|| Error::corrupt(format!("{count} bytes wanted where {} are left", self.bytes.len())))?;
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A length or an offset that must fit the memory of this machine.
    pub(crate) fn length(&mut self) -> Result<usize> {
        usize::try_from(self.u64()?).map_err(|_| Error::corrupt("a length beyond the address space"))
    }

    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::corrupt("a variable-length number without an end"))
    }

    pub(crate) fn text(&mut self, count: usize) -> Result<&'a str> {
        std::str::from_utf8(self.bytes(count)?).map_err(|_| Error::corrupt("text that is not UTF-8"))
    }

    pub(crate) fn end(&self) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(Error::corrupt(format!("{left} bytes too many"))),
        }
    }
}

/// The `u32` at byte `at`; the caller has checked the bounds.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut array = [0; 4];
    array.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(array)
}

/// The `i64` at byte `at`; the caller has checked the bounds.
pub(crate) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(array)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Append `bytes` as a section: how it is stored, its length, and the bytes, compressed where that pays.
pub(crate) fn put_section(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if bytes.len() > SECTION_MAX_BYTES {
        return Err(Error::new(
            crate::error::ErrorKind::ResourceLimit,
            format!("{} bytes of text in one place of a segment; the limit is {SECTION_MAX_BYTES}", bytes.len()),
        ));
    }
    let compressed = match bytes.len() {
        0..COMPRESS_FROM_BYTES => None,
        _ => Some(zstd::bulk::compress(bytes, ZSTD_LEVEL).map_err(|error| Error::io("compressing", error))?),
    };
    let (stored, body) = match &compressed {
        Some(compressed) if compressed.len() < bytes.len() => (STORED_ZSTD, compressed.as_slice()),
        _ => (STORED_RAW, bytes),
    };
    out.push(stored);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// The bytes of a section that [`put_section`] wrote and that fills `bytes`.
pub(crate) fn section(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(bytes);
    let stored = reader.u8()?;
    let length = reader.u32()? as usize;
    let body = reader.rest();
    let plain = match stored {
        STORED_RAW => body.to_vec(),
        STORED_ZSTD if length <= SECTION_MAX_BYTES => zstd::bulk::decompress(body, length)
            .map_err(|error| Error::corrupt(format!("compressed bytes: {error}")))?,
        _ => return Err(Error::corrupt(format!("a section stored in the unknown way {stored}"))),
    };
    if plain.len() != length {
        return Err(Error::corrupt(format!("{} bytes in a section that says {length}", plain.len())));
    }
    Ok(plain)
}

/// How a section is stored, for people. It is read as a whole, so that damage shows.
pub(crate) fn section_form(bytes: &[u8]) -> Result<String> {
    let length = section(bytes)?.len();
    let stored = if bytes[0] == STORED_RAW { "as it is" } else { "zstd" };
    Ok(format!("{stored}, plain length {length}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_their_borders() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint().unwrap(), value);
            reader.end().unwrap();
        }
        assert!(Reader::new(&[0x80; 20]).varint().is_err());
        assert!(Reader::new(&[0x80]).varint().is_err());
    }

    #[test]
    fn sections_round_trip_and_compress() {
        for bytes in [vec![], b"short".to_vec(), vec![7; 100_000]] {
            let mut out = Vec::new();
            put_section(&mut out, &bytes).unwrap();
            assert!(out.len() < 1000);
            assert_eq!(section(&out).unwrap(), bytes);
            for end in 0..out.len() {
                assert!(section(&out[..end]).is_err(), "cut at {end}");
            }
        }
    }
}
