//! A log file in words, for people who look into a database.

use super::frame::{decode, find_frame, is_lost_mark};
use super::record::{AliasRecord, BatchRecord, DeleteRecord, Record};
use crate::aliases::Member;
use crate::error::{Error, Result};
use std::fmt::Write;

/// Each frame and each record of the log file `name`, a line each. Nothing of the events is shown but their number.
///
/// # Errors
/// `Corrupt` for damage that a power cut does not explain, and for bytes that are no log at all.
pub fn describe_log(name: &str, bytes: &[u8]) -> Result<String> {
    let mut text = String::new();
    let mut offset = 0;
    let mut expected = None;
    // Writing into a string cannot fail.
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let Some((frame, length)) = decode(rest) else {
            if let Some((end, found)) = find_frame(bytes, offset) {
                if expected.is_some_and(|expected| is_lost_mark(end - offset, &found, expected)) {
                    let _ = writeln!(text, "byte {offset}: a mark that a power cut took");
                    offset = end;
                    continue;
                }
                return Err(Error::corrupt(format!("{name}: damaged between byte {offset} and byte {end}"))
                    .with_hint("restore the file from a backup"));
            }
            if offset == 0 {
                return Err(Error::corrupt(format!("{name}: no frame of a log begins it")));
            }
            let _ = writeln!(text, "byte {offset}: {} bytes that a write left which did not end", rest.len());
            break;
        };
        expected = Some(frame.first + u64::from(frame.count));
        let records: Vec<&[u8]> = frame.records().collect::<Result<_>>().map_err(|error| error.at(name))?;
        if records.is_empty() {
            let _ = writeln!(text, "byte {offset}: mark, all before record {} was durable", frame.first);
        } else {
            let _ =
                writeln!(text, "byte {offset}: frame of {length} bytes, checksums right, {} records", records.len());
        }
        for (position, record) in (frame.first..).zip(records) {
            let read = Record::decode(record).map_err(|error| error.at(format!("{name}: record {position}")))?;
            let _ = writeln!(text, "  record {position}: {} bytes, {}", record.len(), describe(&read));
        }
        offset += length;
    }
    Ok(text)
}

fn describe(record: &Record) -> String {
    match record {
        Record::Batch(batch) => describe_batch(batch),
        Record::Delete(delete) => format!("deletion of {}", describe_deleted(delete)),
        Record::Alias(AliasRecord { source, target, .. }) => {
            format!("alias of {} to {}", describe_member(source), describe_member(target))
        }
        Record::Unalias(source) => format!("no alias any more: {}", describe_member(source)),
        Record::DeletePerson(members) => {
            let members: Vec<String> = members.iter().map(describe_deleted).collect();
            format!("deletion of a person, {}", members.join(", "))
        }
    }
}

fn describe_deleted(delete: &DeleteRecord) -> String {
    format!("user '{}' (shard {}, ordinal {})", delete.user_id, delete.shard, delete.ordinal)
}

fn describe_member(member: &Member) -> String {
    format!("user '{}' (shard {}, ordinal {})", member.id, member.shard, member.ordinal)
}

fn describe_batch(batch: &BatchRecord) -> String {
    let events: usize = batch.shards.iter().map(|shard| shard.rows.len()).sum();
    let users: usize = batch.shards.iter().map(|shard| shard.new_users.len()).sum();
    let shards: Vec<String> = batch.shards.iter().map(|shard| shard.shard.to_string()).collect();
    let mut text = format!("{events} events of shards {}, {users} new users", shards.join(", "));
    if let Some((producer, sequence)) = &batch.mark {
        let _ = write!(text, "; batch {sequence} of producer '{producer}'");
    }
    if let Some(schema) = &batch.schema {
        let columns = schema.columns.iter().map(|column| format!("{} {}", column.name, column.column_type.sql_name()));
        let _ = write!(text, "; columns after it: {}", columns.collect::<Vec<_>>().join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::frame::{encode_frame, encode_mark};
    use super::*;
    use crate::error::ErrorKind;

    fn file() -> Vec<u8> {
        let record = Record::Delete(DeleteRecord { shard: 2, ordinal: 5, seq: 9, user_id: "ann".into() }).encode();
        let mut bytes = encode_frame(7, &[record.clone(), record]).unwrap();
        bytes.extend(encode_mark(8));
        bytes
    }

    #[test]
    fn frames_records_and_marks_are_told() {
        let text = describe_log("log-7", &file()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].contains("2 records"), "{text}");
        assert!(lines[1].contains("record 7") && lines[1].contains("'ann' (shard 2, ordinal 5)"), "{text}");
        assert!(lines[2].contains("record 8"), "{text}");
        assert!(lines[3].contains("all before record 9"), "{text}");
    }

    #[test]
    fn a_torn_end_is_told_and_damage_is_an_error() {
        let whole = file();
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..20]);
        assert!(describe_log("log-7", &torn).unwrap().contains("20 bytes that a write left"));
        let mut damaged = whole.clone();
        damaged[40] ^= 1;
        assert_eq!(describe_log("log-7", &damaged).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(describe_log("log-7", b"plain text").unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
