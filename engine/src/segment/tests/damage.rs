//! Damage gives a typed error or the right answer, never a panic or a wrong one.

use super::*;
use crate::error::{Error, ErrorKind};

pub(super) fn small_segment() -> (Rows, Vec<u8>) {
    let mut random = Random(5);
    let (schema, rows) = loop {
        let (schema, rows) = random_rows(&mut random, 60, 1_700_000_000_000_000);
        if schema.columns.len() >= 6 {
            break (schema, rows);
        }
    };
    let (_, bytes) = build(&rows, spec(&schema, 0..20, Tz::UTC), TINY);
    (rows, bytes)
}

/// Read everything that a segment can give.
fn read_everything(bytes: Vec<u8>) -> Result<String, Error> {
    let segment = Segment::open(Blob::from(bytes))?;
    let mut seen = format!("{:?} {:?} {:?}", segment.meta(), segment.schema(), segment.event_names());
    for block in 0..segment.blocks().len() {
        let block = segment.block(block);
        let rows = block.read(0..block.rows())?;
        seen += &format!("{:?}{:?}{:?}", rows.ordinals, rows.ts, rows.properties.len());
        for row in 0..rows.len() {
            seen += &format!("{:?}{:?}", rows.event.get(row), rows.event_id.get(row));
            for (_, column) in &rows.properties {
                seen += &format!("{:?}", column.get(row));
            }
        }
    }
    seen += &format!("{:?}{:?}", segment.users()?, segment.user_ids()?);
    for code in 0..segment.event_names().len() as u32 {
        seen += &format!("{:?}", segment.event_users(code)?);
        for day in segment.event_days(code)? {
            seen += &format!("{day}{:?}", segment.event_day_users(code, day)?);
        }
    }
    for column in segment.schema().columns.clone() {
        seen += &format!("{:?}{:?}", segment.null_users(&column.name)?, segment.column_stats(&column.name));
        for code in 0..3 {
            seen += &format!("{:?}", segment.value_users(&column.name, code)?);
        }
        seen += &format!("{:?}", segment.block_column_range(0, &column.name));
    }
    Ok(seen)
}

#[test]
fn every_flipped_bit_is_found() {
    let (_, bytes) = small_segment();
    let whole = read_everything(bytes.clone()).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        match read_everything(damaged.clone()) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}"),
            Ok(seen) => assert_eq!(seen, whole, "byte {at}"),
        }
        match Segment::open(Blob::from(damaged)) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}"),
            Ok(segment) => assert!(!segment.verify().is_empty(), "verify overlooks byte {at}"),
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let (_, bytes) = small_segment();
    for end in 0..bytes.len() {
        let error = Segment::open(Blob::from(bytes[..end].to_vec())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "cut at {end}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(Segment::open(Blob::from(longer)).is_err());
}

/// Put the right checksum under a footer that says wrong things, as a faulty writer would.
pub(super) fn with_footer(bytes: &[u8], change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let tail = bytes.len() - 24;
    let length = u64::from_le_bytes(bytes[tail..tail + 8].try_into().unwrap()) as usize;
    let mut footer = bytes[tail - length..tail].to_vec();
    change(&mut footer);
    let mut changed = bytes[..tail - length].to_vec();
    changed.extend_from_slice(&footer);
    changed.extend_from_slice(&(footer.len() as u64).to_le_bytes());
    changed.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
    changed.extend_from_slice(&bytes[tail + 12..]);
    changed
}

#[test]
fn a_footer_that_lies_under_a_right_checksum_is_no_panic() {
    let (_, bytes) = small_segment();
    let tail = bytes.len() - 24;
    let length = u64::from_le_bytes(bytes[tail..tail + 8].try_into().unwrap()) as usize;
    let mut random = Random(1);
    for at in 0..length {
        for wrong in [0, 0xff, random.next() as u8] {
            // Whatever comes of it, it must come back.
            let _ = read_everything(with_footer(&bytes, |footer| footer[at] = wrong));
        }
    }
    for end in 0..length {
        assert!(read_everything(with_footer(&bytes, |footer| footer.truncate(end))).is_err());
    }
}

#[test]
fn another_format_version_is_named() {
    let (_, bytes) = small_segment();
    let set_versions = |version: u16, oldest: u16| {
        let mut changed = bytes.clone();
        for at in [8, bytes.len() - 12] {
            changed[at..at + 2].copy_from_slice(&version.to_le_bytes());
            changed[at + 2..at + 4].copy_from_slice(&oldest.to_le_bytes());
        }
        Segment::open(Blob::from(changed))
    };
    let error = set_versions(7, 6).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
    assert!(error.message().contains("format 7") && error.hint().is_some());
    assert_eq!(set_versions(0, 0).unwrap_err().kind(), ErrorKind::UnsupportedFormat);
    assert!(set_versions(7, 1).is_ok(), "a newer format that old readers read");
}

#[test]
fn other_files_are_no_segment() {
    for bytes in [vec![], vec![0; 1000], b"PAR1 and so on, long enough to hold a header and a tail".to_vec()] {
        assert_eq!(Segment::open(Blob::from(bytes)).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// What `verify` says of a segment of three rows, of which the footer was changed under a right checksum.
fn verified(change: impl Fn(&mut Vec<u8>)) -> Vec<String> {
    let schema = schema(&[("amount", ColumnType::BigInt)]);
    let mut rows = Rows { ordinals: vec![0, 0, 1], ts: vec![5, 6, 7], ..Rows::new(&schema) };
    (0..3).for_each(|_| rows.event.push(Some("x")));
    (0..3).for_each(|_| rows.event_id.push(None));
    rows.properties[0].1 = Column::BigInt { values: vec![3, 4, 0], valid: vec![true, true, false] };
    let (_, bytes) = build(&rows, spec(&schema, 0..2, Tz::UTC), TINY);
    let findings = open(with_footer(&bytes, change)).verify();
    findings.iter().map(|error| error.message().to_string()).collect()
}

#[test]
fn a_footer_whose_sums_are_not_those_of_the_blocks_is_found() {
    assert!(verified(|_| ()).is_empty());
    // Shard, length and name of the time zone, arrivals, ordinals, rows, users; then the times.
    let ts_min = 2 + 1 + 3 + 16 + 8 + 8 + 4;
    for (at, what) in [(ts_min, "range of time"), (ts_min + 8, "range of time")] {
        let findings = verified(|footer| footer[at] ^= 1);
        assert!(findings.iter().any(|finding| finding.contains(what)), "byte {at}: {findings:?}");
    }
    // Behind the name of the column: type, flags, NULLs, smallest and largest key.
    let name = b"amount";
    let place = |footer: &[u8]| footer.windows(name.len()).position(|found| found == name).unwrap() + name.len();
    let wrong = [(1, 2, "several"), (2, 1, "NULLs"), (10, 1, "range"), (18, 1, "range")];
    for (at, bits, what) in wrong {
        let findings = verified(|footer| {
            let at = place(footer) + at;
            footer[at] ^= bits;
        });
        assert!(findings.iter().any(|finding| finding.contains(what)), "byte {at}: {findings:?}");
    }
}
