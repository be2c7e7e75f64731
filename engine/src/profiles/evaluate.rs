//! A condition over kept profiles, as algebra of bitmaps in SQL's three-valued logic.

use super::answer::Truths;
use super::arrays;
use super::kept::{KeptColumn, NOBODY, bitmap};
use super::kept_shard::KeptShard;
use crate::error::{Error, Result};
use crate::predicate::{ColumnRef, Predicate, RowPredicate};
use crate::scan::test::Test;
use crate::table::Snapshot;
use crate::types::Value;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_schema::{Field, Schema as ArrowSchema};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Rows that a condition of the layer above is evaluated on at once.
const ROWS: usize = 8192;

/// The users of one shard, with the snapshot that they are of.
pub(super) struct Evaluation<'a> {
    pub(super) kept: &'a KeptShard,
    pub(super) snapshot: &'a Snapshot,
    pub(super) shard: usize,
}

impl Evaluation<'_> {
    /// For whom a condition is true, and for whom false.
    ///
    /// # Errors
    /// `Corrupt`; what a custom condition raises.
    pub(super) fn truths(&self, predicate: &Predicate) -> Result<Truths> {
        let all = || self.kept.profiled().clone();
        Ok(match predicate {
            Predicate::True => Truths { yes: all(), ..Truths::default() },
            Predicate::False => Truths { no: all(), ..Truths::default() },
            Predicate::Unknown | Predicate::Compare { value: Value::Null, .. } => Truths::default(),
            Predicate::Not(inner) => self.truths(inner)?.not(),
            Predicate::And(parts) => {
                let mut sum = Truths { yes: all(), ..Truths::default() };
                for part in parts {
                    sum = sum.and(self.truths(part)?);
                }
                sum
            }
            Predicate::Or(parts) => {
                let mut sum = Truths { no: all(), ..Truths::default() };
                for part in parts {
                    sum = sum.or(self.truths(part)?);
                }
                sum
            }
            Predicate::Compare { column, op, value } => self.tested(column, &Test::Compare(*op, value.clone()))?,
            Predicate::In { column, values } => self.tested(column, &Test::In(values.clone()))?,
            Predicate::IsNull(column) => match self.column(column) {
                Some(kept) => Truths { yes: all() - &kept.present, no: kept.present.clone() },
                None => Truths { no: all(), ..Truths::default() },
            },
            Predicate::Members(members) => {
                let members = members.of_shard(self.shard);
                Truths { yes: all() & &*members, no: all() - &*members }
            }
            Predicate::Custom(custom) => self.custom(custom.as_ref())?,
        })
    }

    fn column(&self, column: &ColumnRef) -> Option<&KeptColumn> {
        self.kept.columns.iter().find(|kept| kept.latest.name == column.name())
    }

    fn tested(&self, column: &ColumnRef, test: &Test) -> Result<Truths> {
        if let Some(kept) = self.column(column) {
            let yes = kept.passing(test, &self.kept.events);
            return Ok(Truths { no: &kept.present - &yes, yes });
        }
        let yes = match column {
            ColumnRef::User => self.users(test)?,
            _ => self.select(|user| Ok(test.integer(self.kept.updated.0[user as usize])))?,
        };
        Ok(Truths { no: self.kept.profiled() - &yes, yes })
    }

    /// The users whose id passes.
    fn users(&self, test: &Test) -> Result<RoaringBitmap> {
        let shard = &self.snapshot.shards[self.shard];
        let Some(literals) = test.equals() else {
            return self.select(|user| Ok(shard.user_id(user)?.is_some_and(|id| test.text(&id))));
        };
        let mut found = RoaringBitmap::new();
        for literal in literals {
            if let Value::Text(user_id) = literal
                && usize::from(self.snapshot.shard_of(user_id)) == self.shard
                && let Some((_, user)) = self.snapshot.ordinal_of(user_id)?
            {
                let event = self.kept.events[user as usize];
                found.extend((event != NOBODY).then_some(event));
            }
        }
        Ok(found)
    }

    fn select(&self, passes: impl Fn(u32) -> Result<bool>) -> Result<RoaringBitmap> {
        let mut found = Vec::new();
        for (user, &event) in (0_u32..).zip(&self.kept.events) {
            if event != NOBODY && passes(user)? {
                found.push(event);
            }
        }
        Ok(bitmap(found))
    }

    /// A condition that the layer above evaluates, on rows with one user each.
    fn custom(&self, custom: &dyn RowPredicate) -> Result<Truths> {
        let users: Vec<u32> =
            (0_u32..).zip(&self.kept.events).filter(|(_, event)| **event != NOBODY).map(|(user, _)| user).collect();
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        for users in users.chunks(ROWS) {
            let truths = custom.evaluate(&self.batch(custom.columns(), users)?)?;
            for (row, &user) in users.iter().enumerate().filter(|(row, _)| truths.is_valid(*row)) {
                let side = if truths.value(row) { &mut yes } else { &mut no };
                side.push(self.kept.events[user as usize]);
            }
        }
        Ok(Truths { yes: bitmap(yes), no: bitmap(no) })
    }

    fn batch(&self, columns: &[ColumnRef], users: &[u32]) -> Result<RecordBatch> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for column in columns {
            arrays.push(match (self.column(column), column) {
                (Some(kept), _) => arrays::values(&kept.latest, users),
                (None, ColumnRef::User) => Arc::new(arrays::user_ids(&self.snapshot.shards[self.shard], users)?),
                (None, _) => arrays::updated_at(&self.kept.updated, users),
            });
        }
        batch_of(self.snapshot, columns, arrays)
    }
}

fn batch_of(snapshot: &Snapshot, columns: &[ColumnRef], arrays: Vec<ArrayRef>) -> Result<RecordBatch> {
    let rows = arrays.first().map_or(1, |array| array.len());
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(schema_of(snapshot, columns)?), arrays, &options)
        .map_err(|error| Error::corrupt(format!("profiles do not fit their schema: {error}")))
}

/// The fields that a condition reads, any of which may be NULL: there are users without a profile.
fn schema_of(snapshot: &Snapshot, columns: &[ColumnRef]) -> Result<ArrowSchema> {
    let shown = snapshot.schema.of_profiles();
    let field = |column: &ColumnRef| -> Result<Field> {
        let missing = || Error::invalid(format!("profiles have no column '{}'", column.name()));
        Ok(arrays::field(&shown, column.name()).ok_or_else(missing)?.with_nullable(true))
    };
    Ok(ArrowSchema::new(columns.iter().map(field).collect::<Result<Vec<_>>>()?))
}

/// What a condition is for a user without a profile, where all columns of the profile are NULL; `None` for NULL, and where
/// it depends on who the user is.
///
/// # Errors
/// What a custom condition raises.
pub(super) fn without_profile(predicate: &Predicate, snapshot: &Snapshot) -> Result<Option<bool>> {
    let all = |parts: &[Predicate], absorbing: bool| -> Result<Option<bool>> {
        let truths = parts.iter().map(|part| without_profile(part, snapshot)).collect::<Result<Vec<_>>>()?;
        Ok(match truths.contains(&Some(absorbing)) {
            true => Some(absorbing),
            false => (!truths.contains(&None)).then_some(!absorbing),
        })
    };
    match predicate {
        Predicate::True => Ok(Some(true)),
        Predicate::False => Ok(Some(false)),
        Predicate::Unknown | Predicate::Compare { .. } | Predicate::In { .. } | Predicate::Members(_) => Ok(None),
        Predicate::Not(inner) => Ok(without_profile(inner, snapshot)?.map(|truth| !truth)),
        Predicate::And(parts) => all(parts, false),
        Predicate::Or(parts) => all(parts, true),
        Predicate::IsNull(column) => Ok(Some(*column != ColumnRef::User)),
        Predicate::Custom(custom) if custom.columns().contains(&ColumnRef::User) => Ok(None),
        Predicate::Custom(custom) => {
            let schema = schema_of(snapshot, custom.columns())?;
            let nulls = schema.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
            let truths: BooleanArray = custom.evaluate(&batch_of(snapshot, custom.columns(), nulls)?)?;
            Ok(truths.is_valid(0).then(|| truths.value(0)))
        }
    }
}
