//! A kept state as bytes, so that an opening need not read all events again.
//!
//! ```text
//! version | key of the source | moment | items as an Arrow stream | users: code, events: time, item, kind
//! ```
//!
//! Numbers are LEB128; those that grow are differences, zigzag where they may fall. The bytes are checked as a whole where
//! they are stored, so what does not fit is another version.

use super::kept::Moment;
use super::source::Source;
use crate::behavior::recommend::{Interaction, Interactions};
use crate::error::Result;
use crate::plan::recommend::state::State;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::DataFusionError;
use std::sync::Arc;

const VERSION: u64 = 1;

/// The name under which the state of a source is kept.
pub(super) fn name(source: &Source) -> String {
    // FNV-1a: the whole key is in the file, so that two with one name are told apart.
    let hash = source
        .key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("recommend-{hash:016x}")
}

/// The bytes of a state at its moment.
///
/// # Errors
/// Where items cannot be written.
pub(super) fn encode(source: &Source, state: &State, moment: &Moment) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 * state.interactions.len() + 1024);
    put(&mut bytes, VERSION);
    put_bytes(&mut bytes, source.key.as_bytes());
    put(&mut bytes, moment.position);
    put_signed(&mut bytes, moment.hidden_before_us);
    put(&mut bytes, moment.next_seq.len() as u64);
    moment.next_seq.iter().for_each(|&seq| put(&mut bytes, seq));
    put_bytes(&mut bytes, &items(state)?);
    let users: Vec<u32> = state.active_users().collect();
    put(&mut bytes, users.len() as u64);
    let mut before = 0;
    for user in users {
        put(&mut bytes, u64::from(user - before));
        before = user;
        let events = state.interactions.of_user(user);
        put(&mut bytes, events.len() as u64);
        let mut ts_us = 0_i64;
        for event in events {
            put_signed(&mut bytes, event.ts_us.wrapping_sub(ts_us));
            ts_us = event.ts_us;
            put(&mut bytes, u64::from(event.item));
            bytes.push(event.kind);
        }
    }
    Ok(bytes)
}

/// The state that [`encode`] wrote, and its moment; `None` where the bytes are about something else.
///
/// # Errors
/// Where items cannot be read.
pub(super) fn decode(source: &Source, bytes: &[u8]) -> Result<Option<(State, Moment)>> {
    let mut reader = Reader(bytes);
    if reader.number() != Some(VERSION) || reader.bytes() != Some(source.key.as_bytes()) {
        return Ok(None);
    }
    let Some(moment) = reader.moment() else { return Ok(None) };
    let mut state = State::of_table(&source.item_type, source.shards, source.candidates)?;
    let Some(items) = reader.bytes() else { return Ok(None) };
    let stream = StreamReader::try_new(items, None).map_err(DataFusionError::from)?;
    for batch in stream {
        state.items.add(Arc::clone(batch.map_err(DataFusionError::from)?.column(0)))?;
    }
    state.items.put_in_order();
    let Some(events) = reader.events(state.items.ranks().len()) else { return Ok(None) };
    state.interactions = Interactions::from_events(events);
    Ok(Some((state, moment)))
}

/// The values of all items but NULL, in the order of their codes.
fn items(state: &State) -> Result<Vec<u8>> {
    let codes: Vec<u32> = (1..state.items.ranks().len() as u32).collect();
    let values = state.items.values(&codes)?;
    let schema = Arc::new(Schema::new(vec![Field::new("item", values.data_type().clone(), true)]));
    let mut bytes = Vec::new();
    let written = RecordBatch::try_new(Arc::clone(&schema), vec![values]).and_then(|batch| {
        let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
        writer.write(&batch)?;
        writer.finish()
    });
    written.map_err(DataFusionError::from)?;
    Ok(bytes)
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

fn put_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    put(bytes, part.len() as u64);
    bytes.extend_from_slice(part);
}

/// Reads what was put; `None` at the end or where it makes no sense.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        self.number().map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    fn moment(&mut self) -> Option<Moment> {
        let (position, hidden_before_us, shards) = (self.number()?, self.signed()?, self.number()?);
        let next_seq = (0..shards).map(|_| self.number()).collect::<Option<Vec<u64>>>()?;
        Some(Moment { position, hidden_before_us, next_seq })
    }

    fn events(&mut self, items: usize) -> Option<Vec<(u32, Interaction)>> {
        let users = self.number()?;
        let mut events = Vec::with_capacity(self.0.len() / 5);
        let mut user = 0_u32;
        for _ in 0..users {
            user = user.checked_add(u32::try_from(self.number()?).ok()?)?;
            let mut ts_us = 0_i64;
            for _ in 0..self.number()? {
                ts_us = ts_us.wrapping_add(self.signed()?);
                let item = u32::try_from(self.number()?).ok().filter(|&item| (item as usize) < items)?;
                events.push((user, Interaction { ts_us, item, kind: self.byte()? }));
            }
        }
        self.0.is_empty().then_some(events)
    }
}
