//! Key codes (`by`, `hold`) of selected rows of a block.

use super::column::{Fetched, Texts, type_of};
use super::evaluate::BlockContext;
use super::keys::{KEY_NULL, KeyCodes, KeySpace};
use crate::error::Result;
use crate::predicate::ColumnRef;
use crate::rows::NULL_CODE;
use crate::segment::{Segment, TextBlock};
use crate::table::Snapshot;
use crate::types::{ColumnType, Value};

/// Reads one key column of one segment.
pub(crate) struct KeyReader {
    column: ColumnRef,
    /// Place of the column among the keys of the scan.
    place: usize,
    /// Key codes of the segment's dictionary codes, as far as they were met.
    known: Vec<u32>,
}

/// A dictionary code that was not met yet.
const UNMET: u32 = u32::MAX;

/// Rows of a block whose keys are wanted.
pub(crate) struct KeyRows<'a> {
    /// Rows, ascending.
    pub(crate) rows: &'a [u32],
    /// Codes of their event names.
    pub(crate) codes: &'a [u32],
    /// Their users, as positions among the users of the block.
    pub(crate) users: &'a [u32],
}

impl KeyReader {
    pub(crate) fn new(column: &ColumnRef, place: usize) -> Self {
        Self { column: column.clone(), place, known: Vec::new() }
    }

    /// Whether the key is the name of an event.
    pub(crate) fn is_of_names(&self) -> bool {
        self.column == ColumnRef::Event
    }

    /// The key code of each code of an event's name.
    pub(crate) fn codes_of_names(&mut self, segment: &Segment, keys: &mut KeySpace) -> &[u32] {
        let names = segment.event_names();
        for code in 0..names.len() as u32 {
            self.by_code(names, code, keys);
        }
        &self.known
    }

    /// Replace `out` by the codes of `wanted`: one a user where the encoding shows that a user has but one.
    pub(crate) fn read(
        &mut self,
        context: &BlockContext<'_>,
        wanted: &KeyRows<'_>,
        keys: &mut KeySpace,
        out: &mut KeyCodes,
    ) -> Result<()> {
        if self.read_per_user(context, wanted.users, keys, out)? {
            return Ok(());
        }
        let column = self.column.clone();
        match &column {
            ColumnRef::Event => {
                let names = context.segment.event_names();
                let code_of = |code: &u32| self.by_code(names, *code, keys);
                out.per_event().extend(wanted.codes.iter().map(code_of));
            }
            ColumnRef::Time => {
                let times = context.block.times()?;
                let column = &mut keys.columns[self.place];
                let code_of = |&row: &u32| column.code(Value::Timestamp(times.get(row as usize)));
                out.per_event().extend(wanted.rows.iter().map(code_of));
            }
            ColumnRef::User => {}
            ColumnRef::EventId => self.by_text("event_id", context, wanted, keys, out)?,
            ColumnRef::Property(name) => self.by_property(name, context, wanted, keys, out)?,
        }
        Ok(())
    }

    /// Replace `out` by a code for each of `users` (positions among the users of the block), where the encoding shows that
    /// a user has but one. False where it does not.
    pub(crate) fn read_per_user(
        &mut self,
        context: &BlockContext<'_>,
        users: &[u32],
        keys: &mut KeySpace,
        out: &mut KeyCodes,
    ) -> Result<bool> {
        let column = self.column.clone();
        let name = match &column {
            ColumnRef::User => {
                let shard = &context.snapshot.shards[context.shard];
                let out = out.per_user();
                for &user in users {
                    let user_id = shard.user_id(context.users.ordinals[user as usize])?;
                    out.push(keys.columns[self.place].code(user_id.map_or(Value::Null, Value::Text)));
                }
                return Ok(true);
            }
            ColumnRef::Property(name) => name,
            ColumnRef::EventId => "event_id",
            ColumnRef::Event | ColumnRef::Time => return Ok(false),
        };
        let Some(stored) = context.segment.column_type(name) else {
            out.per_user().resize(users.len(), KEY_NULL);
            return Ok(true);
        };
        if stored == ColumnType::Text
            && let TextBlock::Dict(texts) = context.block.text(name)?
            && texts.is_per_user()
        {
            let starts = &context.users.starts;
            let of_user = |&user: &u32| texts.code_of_user(user as usize, starts[user as usize] as usize);
            let codes = users.iter().map(of_user);
            out.per_user().extend(codes.map(|code| self.by_code(texts.dictionary(), code, keys)));
            return Ok(true);
        }
        Ok(false)
    }

    fn by_property(
        &mut self,
        name: &str,
        context: &BlockContext<'_>,
        wanted: &KeyRows<'_>,
        keys: &mut KeySpace,
        out: &mut KeyCodes,
    ) -> Result<()> {
        let Some(stored) = context.segment.column_type(name).filter(|stored| *stored != ColumnType::Text) else {
            return self.by_text(name, context, wanted, keys, out);
        };
        let wanted_type = table_type(context.snapshot, name).unwrap_or(stored);
        let fetched = Fetched::new(&context.block, name, wanted_type, wanted.rows)?;
        let out = out.per_event();
        let mut last = (Value::Null, KEY_NULL);
        for &row in wanted.rows {
            let value = fetched.column.get(fetched.index(row));
            if value != last.0 || type_of(&value) == Some(ColumnType::Double) {
                last = (value.clone(), keys.columns[self.place].code(value));
            }
            out.push(last.1);
        }
        Ok(())
    }

    fn by_text(
        &mut self,
        name: &str,
        context: &BlockContext<'_>,
        wanted: &KeyRows<'_>,
        keys: &mut KeySpace,
        out: &mut KeyCodes,
    ) -> Result<()> {
        let out = out.per_event();
        match Texts::new(&context.block, name, wanted.rows)? {
            Texts::Codes(codes) => match context.segment.dictionary(name)? {
                Some(dictionary) => out.extend(codes.iter().map(|&code| self.by_code(&dictionary, code, keys))),
                None => out.resize(wanted.rows.len(), KEY_NULL),
            },
            Texts::Plain(texts) => {
                let column = &mut keys.columns[self.place];
                out.extend(texts.into_iter().map(|text| column.code(text.map_or(Value::Null, Value::Text))));
            }
        }
        Ok(())
    }

    /// The key code of the text with `code` in `dictionary`, which is the same at every call.
    fn by_code(&mut self, dictionary: &[Box<str>], code: u32, keys: &mut KeySpace) -> u32 {
        if code == NULL_CODE {
            return KEY_NULL;
        }
        if self.known.len() < dictionary.len() {
            self.known.resize(dictionary.len(), UNMET);
        }
        let known = &mut self.known[code as usize];
        if *known == UNMET {
            *known = keys.columns[self.place].code(Value::Text(dictionary[code as usize].to_string()));
        }
        *known
    }
}

fn table_type(snapshot: &Snapshot, name: &str) -> Option<ColumnType> {
    snapshot.schema.column(name).map(|column| column.column_type)
}
