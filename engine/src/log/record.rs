//! Records: what one call of `append` or `delete_user` did, complete enough to do it again without asking anything.

use crate::aliases::Member;
use crate::error::{Error, Result};
use crate::rows::{Column, NULL_CODE, Rows, TextColumn};
use crate::types::{ColumnType, Schema};

const BATCH: u8 = 1;
const DELETE: u8 = 2;
const MARKED_BATCH: u8 = 3;
const ALIAS: u8 = 16;
const UNALIAS: u8 = 17;
const DELETE_PERSON: u8 = 18;

/// The events that one shard got from a batch, duplicates left out.
#[derive(Debug, Clone)]
pub(crate) struct ShardBatch {
    /// The shard.
    pub(crate) shard: u16,
    /// Arrival number of the first row.
    pub(crate) seq_start: u64,
    /// Ordinal of the first new user.
    pub(crate) first_ordinal: u32,
    /// Ids of the new users, in order of ordinal.
    pub(crate) new_users: Vec<String>,
    /// The events in order of arrival.
    pub(crate) rows: Rows,
}

/// A batch of events.
#[derive(Debug, Clone)]
pub(crate) struct BatchRecord {
    /// Whose batch it is and its number, where it has one.
    pub(crate) mark: Option<(String, u64)>,
    /// The table's schema after the batch, if the batch changed it.
    pub(crate) schema: Option<Schema>,
    /// The events.
    pub(crate) shards: Vec<ShardBatch>,
}

/// The deletion of a user.
#[derive(Debug, Clone)]
pub(crate) struct DeleteRecord {
    /// The user's shard.
    pub(crate) shard: u16,
    /// The user's ordinal, which no later event has.
    pub(crate) ordinal: u32,
    /// The arrival number of the shard at the deletion.
    pub(crate) seq: u64,
    /// The user's id.
    pub(crate) user_id: String,
}

/// An id became another name for a person.
#[derive(Debug, Clone)]
pub(crate) struct AliasRecord {
    /// The id.
    pub(crate) source: Member,
    /// What it is an alias of.
    pub(crate) target: Member,
    /// Those of both that had no ordinal: parts of shards without rows.
    pub(crate) introduced: Vec<ShardBatch>,
}

/// What a record says.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    /// Events arrived.
    Batch(BatchRecord),
    /// A user was deleted.
    Delete(DeleteRecord),
    /// An id became an alias.
    Alias(AliasRecord),
    /// The alias of this id was taken back.
    Unalias(Member),
    /// A person was deleted, with all ids: first the one at the end of their chains.
    DeletePerson(Vec<DeleteRecord>),
}

impl Record {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Batch(batch) => {
                match &batch.mark {
                    None => out.0.push(BATCH),
                    Some((producer, sequence)) => {
                        out.0.push(MARKED_BATCH);
                        out.bytes(producer.as_bytes());
                        out.u64(*sequence);
                    }
                }
                let schema = batch.schema.as_ref().map(|s| serde_json::to_vec(s).expect("a schema is plain data"));
                out.bytes(schema.as_deref().unwrap_or_default());
                out.u32(batch.shards.len());
                batch.shards.iter().for_each(|shard| out.shard(shard));
            }
            Self::Delete(delete) => {
                out.0.push(DELETE);
                out.deletion(delete);
            }
            Self::Alias(AliasRecord { source, target, introduced }) => {
                out.0.push(ALIAS);
                out.member(source);
                out.member(target);
                out.u32(introduced.len());
                introduced.iter().for_each(|part| out.shard(part));
            }
            Self::Unalias(source) => {
                out.0.push(UNALIAS);
                out.member(source);
            }
            Self::DeletePerson(members) => {
                out.0.push(DELETE_PERSON);
                out.u32(members.len());
                members.iter().for_each(|delete| out.deletion(delete));
            }
        }
        out.0
    }

    /// The record of `bytes`.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are no record.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut input = Reader { rest: bytes };
        let record = match input.take(1)?[0] {
            BATCH => Self::Batch(input.batch(None)?),
            MARKED_BATCH => {
                let mark = (input.text()?, input.u64()?);
                Self::Batch(input.batch(Some(mark))?)
            }
            DELETE => Self::Delete(input.deletion()?),
            ALIAS => {
                let (source, target) = (input.member()?, input.member()?);
                let count = input.count(1)?;
                let introduced = (0..count).map(|_| input.shard()).collect::<Result<_>>()?;
                Self::Alias(AliasRecord { source, target, introduced })
            }
            UNALIAS => Self::Unalias(input.member()?),
            DELETE_PERSON => {
                let count = input.count(20)?;
                Self::DeletePerson((0..count).map(|_| input.deletion()).collect::<Result<_>>()?)
            }
            kind => return Err(Error::corrupt(format!("a record of unknown type {kind}"))),
        };
        if !input.rest.is_empty() {
            return Err(damaged("end"));
        }
        Ok(record)
    }
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("a record whose {what} cannot be read"))
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, value: usize) {
        let value = u32::try_from(value).expect("a batch has fewer than 2^32 of anything");
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn deletion(&mut self, delete: &DeleteRecord) {
        self.u32(delete.shard as usize);
        self.u32(delete.ordinal as usize);
        self.u64(delete.seq);
        self.bytes(delete.user_id.as_bytes());
    }

    fn member(&mut self, member: &Member) {
        self.u32(member.shard as usize);
        self.u32(member.ordinal as usize);
        self.bytes(member.id.as_bytes());
    }

    fn shard(&mut self, batch: &ShardBatch) {
        self.u32(batch.shard as usize);
        self.u64(batch.seq_start);
        self.u32(batch.first_ordinal as usize);
        self.u32(batch.new_users.len());
        batch.new_users.iter().for_each(|id| self.bytes(id.as_bytes()));
        let rows = &batch.rows;
        self.u32(rows.len());
        rows.ordinals.iter().for_each(|&ordinal| self.u32(ordinal as usize));
        self.integers(&rows.ts);
        self.text(&rows.event);
        self.text(&rows.event_id);
        self.u32(rows.properties.len());
        for (name, column) in &rows.properties {
            self.bytes(name.as_bytes());
            self.column(column);
        }
    }

    fn integers(&mut self, values: &[i64]) {
        values.iter().for_each(|value| self.0.extend_from_slice(&value.to_le_bytes()));
    }

    fn text(&mut self, text: &TextColumn) {
        self.u32(text.dictionary.len());
        text.dictionary.values().iter().for_each(|value| self.bytes(value.as_bytes()));
        text.codes.iter().for_each(|&code| self.u32(code as usize));
    }

    fn flags(&mut self, flags: &[bool]) {
        self.0.extend(flags.iter().map(|&flag| u8::from(flag)));
    }

    fn column(&mut self, column: &Column) {
        self.0.push(type_code(column.column_type()));
        match column {
            Column::Boolean { values, valid } => {
                self.flags(valid);
                self.flags(values);
            }
            Column::BigInt { values, valid } | Column::Timestamp { values, valid } => {
                self.flags(valid);
                self.integers(values);
            }
            Column::Double { values, valid } => {
                self.flags(valid);
                values.iter().for_each(|value| self.u64(value.to_bits()));
            }
            Column::Text(text) => self.text(text),
        }
    }
}

fn type_code(column_type: ColumnType) -> u8 {
    match column_type {
        ColumnType::Boolean => 1,
        ColumnType::BigInt => 2,
        ColumnType::Double => 3,
        ColumnType::Text => 4,
        ColumnType::Timestamp => 5,
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(|| damaged("length"))?;
        self.rest = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("4 bytes")))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("8 bytes")))
    }

    /// A number of things that take at least `least_bytes` each, so that a wrong number cannot ask for much memory.
    fn count(&mut self, least_bytes: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count.saturating_mul(least_bytes) > self.rest.len() { Err(damaged("count")) } else { Ok(count) }
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| damaged("text"))
    }

    fn batch(&mut self, mark: Option<(String, u64)>) -> Result<BatchRecord> {
        let schema = match self.bytes()? {
            [] => None,
            json => Some(serde_json::from_slice(json).map_err(|_| damaged("schema"))?),
        };
        let count = self.count(1)?;
        let shards = (0..count).map(|_| self.shard()).collect::<Result<_>>()?;
        Ok(BatchRecord { mark, schema, shards })
    }

    fn shard_number(&mut self) -> Result<u16> {
        u16::try_from(self.u32()?).map_err(|_| damaged("shard"))
    }

    fn deletion(&mut self) -> Result<DeleteRecord> {
        let (shard, ordinal) = (self.shard_number()?, self.u32()?);
        Ok(DeleteRecord { shard, ordinal, seq: self.u64()?, user_id: self.text()? })
    }

    fn member(&mut self) -> Result<Member> {
        Ok(Member { shard: self.shard_number()?, ordinal: self.u32()?, id: self.text()? })
    }

    fn shard(&mut self) -> Result<ShardBatch> {
        let shard = self.shard_number()?;
        let (seq_start, first_ordinal) = (self.u64()?, self.u32()?);
        let users = self.count(4)?;
        let new_users = (0..users).map(|_| self.text()).collect::<Result<_>>()?;
        let count = self.count(12)?;
        let ordinals = (0..count).map(|_| self.u32()).collect::<Result<_>>()?;
        let ts = self.integers(count)?;
        let (event, event_id) = (self.text_column(count)?, self.text_column(count)?);
        let columns = self.count(5)?;
        let properties = (0..columns).map(|_| Ok((self.text()?, self.column(count)?))).collect::<Result<_>>()?;
        let rows = Rows { ordinals, ts, event, event_id, properties };
        Ok(ShardBatch { shard, seq_start, first_ordinal, new_users, rows })
    }

    fn integers(&mut self, count: usize) -> Result<Vec<i64>> {
        let bytes = self.take(count * 8)?;
        Ok(bytes.chunks_exact(8).map(|chunk| i64::from_le_bytes(chunk.try_into().expect("8 bytes"))).collect())
    }

    fn flags(&mut self, count: usize) -> Result<Vec<bool>> {
        Ok(self.take(count)?.iter().map(|&byte| byte != 0).collect())
    }

    fn text_column(&mut self, count: usize) -> Result<TextColumn> {
        let mut text = TextColumn::default();
        for _ in 0..self.count(4)? {
            let value = std::str::from_utf8(self.bytes()?).map_err(|_| damaged("text"))?;
            text.dictionary.intern(value);
        }
        let codes = self.take(count * 4)?.chunks_exact(4);
        text.codes = codes.map(|chunk| u32::from_le_bytes(chunk.try_into().expect("4 bytes"))).collect();
        let known = |&code: &u32| code == NULL_CODE || (code as usize) < text.dictionary.len();
        if text.codes.iter().all(known) { Ok(text) } else { Err(damaged("text code")) }
    }

    fn column(&mut self, count: usize) -> Result<Column> {
        Ok(match self.take(1)?[0] {
            1 => {
                let valid = self.flags(count)?;
                Column::Boolean { values: self.flags(count)?, valid }
            }
            2 => {
                let valid = self.flags(count)?;
                Column::BigInt { values: self.integers(count)?, valid }
            }
            3 => {
                let valid = self.flags(count)?;
                let bits = self.integers(count)?;
                Column::Double { values: bits.into_iter().map(|v| f64::from_bits(v.cast_unsigned())).collect(), valid }
            }
            4 => Column::Text(self.text_column(count)?),
            5 => {
                let valid = self.flags(count)?;
                Column::Timestamp { values: self.integers(count)?, valid }
            }
            _ => return Err(damaged("column type")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ColumnDef;

    fn sample() -> Record {
        let mut rows = Rows { ordinals: vec![4, 5], ts: vec![i64::MIN, 7], ..Rows::default() };
        for (event, id) in [("a", None), ("b", Some("x"))] {
            rows.event.push(Some(event));
            rows.event_id.push(id);
        }
        let mut text = TextColumn::default();
        text.push(Some("ü"));
        text.push(None);
        let valid = vec![true, false];
        rows.properties = vec![
            ("b".into(), Column::Boolean { values: vec![true, false], valid: valid.clone() }),
            ("i".into(), Column::BigInt { values: vec![-1, 0], valid: valid.clone() }),
            ("d".into(), Column::Double { values: vec![f64::NAN, 0.0], valid: valid.clone() }),
            ("t".into(), Column::Text(text)),
            ("z".into(), Column::Timestamp { values: vec![9, 0], valid }),
        ];
        let column = ColumnDef { name: "t".into(), column_type: ColumnType::Text };
        let shard = ShardBatch { shard: 3, seq_start: 9, first_ordinal: 4, new_users: vec!["u".into()], rows };
        Record::Batch(BatchRecord { mark: None, schema: Some(Schema { columns: vec![column] }), shards: vec![shard] })
    }

    fn member(id: &str) -> Member {
        Member { shard: 5, ordinal: 77, id: id.into() }
    }

    /// A record of each type.
    fn samples() -> Vec<Record> {
        let Record::Batch(batch) = sample() else { unreachable!("a batch") };
        let delete = |id: &str| DeleteRecord { shard: 1, ordinal: 2, seq: 3, user_id: id.into() };
        let introduced = ShardBatch { rows: Rows::default(), ..batch.shards[0].clone() };
        let alias = AliasRecord { source: member("a"), target: member("ü"), introduced: vec![introduced] };
        let marked = BatchRecord { mark: Some(("p".into(), 9)), ..batch.clone() };
        vec![
            sample(),
            Record::Batch(marked),
            Record::Delete(delete("x")),
            Record::Alias(alias),
            Record::Unalias(member("a")),
            Record::DeletePerson(vec![delete("x"), delete("yy")]),
        ]
    }

    #[test]
    fn a_record_survives_the_way_through_bytes() {
        for record in samples() {
            let bytes = record.encode();
            let back = Record::decode(&bytes).unwrap();
            assert_eq!(format!("{back:?}"), format!("{record:?}"));
            assert_eq!(back.encode(), bytes);
        }
    }

    #[test]
    fn cut_or_changed_bytes_never_panic() {
        samples().iter().for_each(|record| is_robust(&record.encode()));
    }

    fn is_robust(bytes: &[u8]) {
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        for byte in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[byte] ^= 1 << bit;
                let _ = Record::decode(&changed);
            }
        }
    }
}
