//! Profiles against a replay of their updates, in every layout, with what is kept in memory asked on the way.

use super::{ProfileBatch, ProfileColumn, ProfileScan};
use crate::predicate::{ColumnRef, CompareOp, Predicate};
use crate::storage::FaultStore;
use crate::table::{ProfilesSnapshot, Snapshot, Table};
use crate::types::{ColumnType, Schema, TableOptions, Value};
use crate::{Engine, EngineOptions, EventBatch};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const USERS: [&str; 6] = ["ann", "bob", "cid", "dan", "eve", "fay"];
const COLUMNS: [&str; 3] = ["plan", "age", "vip"];

/// What an update says about a column.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Nothing,
    Unset,
    Value(u8),
}

#[derive(Debug, Clone)]
struct Update {
    user: usize,
    ts: i64,
    said: [Said; 3],
}

/// In what type the ages of a batch come.
#[derive(Debug, Clone, Copy)]
enum Ages {
    Int,
    Double,
    Text,
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<Update>, Ages),
    Event(usize),
    Delete(usize),
    Flush,
    Compact(bool),
    Reopen,
    Ask(Condition),
}

#[derive(Debug, Clone)]
enum Condition {
    Is(usize, u8, u8),
    OneOf(usize, [u8; 2]),
    IsNull(usize),
    UpdatedFrom(i64),
    User(usize),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

/// A profile by replay: when each column was said, and what, and the last update.
#[derive(Debug, Clone, Default)]
struct Profile {
    updated_at: i64,
    values: BTreeMap<usize, Value>,
}

/// All updates of users who were not deleted since, in order of arrival.
#[derive(Debug, Clone, Default)]
struct Model {
    updates: Vec<(usize, i64, BTreeMap<usize, Value>)>,
}

impl Model {
    fn profiles(&self, until: i64) -> BTreeMap<usize, Profile> {
        let mut found: BTreeMap<usize, Profile> = BTreeMap::new();
        // A stable sort: what came later wins among equal times.
        let mut updates: Vec<_> = self.updates.iter().filter(|(_, ts, _)| *ts <= until).collect();
        updates.sort_by_key(|(_, ts, _)| *ts);
        for (user, ts, said) in updates {
            let profile = found.entry(*user).or_default();
            profile.updated_at = *ts;
            for (&column, value) in said {
                match value {
                    Value::Null => profile.values.remove(&column),
                    value => profile.values.insert(column, value.clone()),
                };
            }
        }
        found
    }
}

fn value(column: usize, number: u8, ages: Ages) -> Value {
    match (column, ages) {
        (0, _) => Value::Text(["free", "pro", "team"][usize::from(number % 3)].into()),
        (1, Ages::Int) => Value::BigInt(i64::from(number)),
        (1, Ages::Double) => Value::Double(f64::from(number) / 2.0),
        (1, Ages::Text) => Value::Text(format!("{number}")),
        _ => Value::Boolean(number % 2 == 1),
    }
}

/// The value in the type that the column has by now.
fn widened(value: &Value, to: ColumnType) -> Value {
    match (value, to) {
        (Value::BigInt(value), ColumnType::Double) => Value::Double(*value as f64),
        (Value::BigInt(value), ColumnType::Text) => Value::Text(value.to_string()),
        (Value::Double(value), ColumnType::Text) => Value::Text(value.to_string()),
        (value, _) => value.clone(),
    }
}

fn array(values: &[Option<Value>], ages: Ages, column: usize) -> ArrayRef {
    let values = values.iter();
    match value(column, 0, ages) {
        Value::BigInt(_) => Arc::new(
            values
                .map(|v| match v {
                    Some(Value::BigInt(v)) => Some(*v),
                    _ => None,
                })
                .collect::<Int64Array>(),
        ),
        Value::Double(_) => Arc::new(
            values
                .map(|v| match v {
                    Some(Value::Double(v)) => Some(*v),
                    _ => None,
                })
                .collect::<Float64Array>(),
        ),
        Value::Boolean(_) => Arc::new(
            values
                .map(|v| match v {
                    Some(Value::Boolean(v)) => Some(*v),
                    _ => None,
                })
                .collect::<BooleanArray>(),
        ),
        _ => Arc::new(
            values
                .map(|v| match v {
                    Some(Value::Text(v)) => Some(v.as_str()),
                    _ => None,
                })
                .collect::<StringArray>(),
        ),
    }
}

fn batch(updates: &[Update], ages: Ages) -> ProfileBatch {
    let column = |at: usize| {
        let said = || updates.iter().map(|update| &update.said[at]);
        let values: Vec<Option<Value>> = said()
            .map(|said| match said {
                Said::Value(number) => Some(value(at, *number, ages)),
                _ => None,
            })
            .collect();
        let sets = said()
            .any(|said| *said == Said::Nothing)
            .then(|| said().map(|said| Some(*said != Said::Nothing)).collect());
        ProfileColumn { name: COLUMNS[at].into(), values: array(&values, ages, at), sets }
    };
    ProfileBatch {
        user_id: updates.iter().map(|update| Some(USERS[update.user])).collect(),
        ts: updates.iter().map(|update| update.ts).collect::<Vec<_>>().into(),
        event_id: None,
        columns: (0..COLUMNS.len()).map(column).collect(),
    }
}

fn event(user: usize) -> EventBatch {
    EventBatch {
        user_id: StringArray::from(vec![USERS[user]]),
        ts: Int64Array::from(vec![1]),
        event: StringArray::from(vec!["e"]),
        event_id: None,
        properties: Vec::new(),
    }
}

fn cell(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        arrow_schema::DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        arrow_schema::DataType::Int64 => Value::BigInt(array.as_primitive::<Int64Type>().value(row)),
        arrow_schema::DataType::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        arrow_schema::DataType::Utf8View => Value::Text(array.as_string_view().value(row).into()),
        _ => Value::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)),
    }
}

/// All profiles as the table tells them: updated at, and a value a column.
fn told(profiles: &ProfilesSnapshot, scan: &ProfileScan) -> BTreeMap<String, (i64, Vec<Value>)> {
    let mut found = BTreeMap::new();
    for shard in 0..profiles.shards() {
        let mut each = |batch: RecordBatch| {
            for row in 0..batch.num_rows() {
                let mut cells: Vec<Value> = batch.columns().iter().map(|array| cell(array, row)).collect();
                let (Value::Text(user), Value::Timestamp(at)) = (cells.remove(0), cells.remove(0)) else {
                    panic!("{cells:?}")
                };
                assert!(found.insert(user, (at, cells)).is_none());
            }
            Ok(true)
        };
        profiles.read(shard, scan, &mut each).unwrap();
    }
    found
}

fn scan(schema: &Schema) -> ProfileScan {
    let own = schema.columns.iter().map(|column| column.name.clone());
    ProfileScan {
        columns: ["user_id".into(), "updated_at".into()].into_iter().chain(own).collect(),
        ..ProfileScan::default()
    }
}

fn expected(profiles: &BTreeMap<usize, Profile>, schema: &Schema) -> BTreeMap<String, (i64, Vec<Value>)> {
    let row = |profile: &Profile| {
        let cell = |column: &crate::types::ColumnDef| {
            let at = COLUMNS.iter().position(|name| *name == column.name).unwrap();
            profile.values.get(&at).map_or(Value::Null, |value| widened(value, column.column_type))
        };
        (profile.updated_at, schema.columns.iter().map(cell).collect())
    };
    profiles.iter().map(|(user, profile)| (USERS[*user].to_string(), row(profile))).collect()
}

/// The literal of a condition in the type of its column; `None` where the table does not have the column yet.
fn literal(schema: &Schema, column: usize, number: u8) -> Option<Value> {
    let column_type = schema.column(COLUMNS[column])?.column_type;
    let plain = match column_type {
        ColumnType::Double => value(column, number, Ages::Double),
        ColumnType::BigInt => value(column, number, Ages::Int),
        _ => value(column, number, Ages::Text),
    };
    Some(plain)
}

const OPS: [CompareOp; 6] =
    [CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq];

fn predicate(condition: &Condition, schema: &Schema) -> Option<Predicate> {
    let property = |column: usize| ColumnRef::Property(COLUMNS[column].into());
    let both = |a: &Condition, b: &Condition| Some(vec![predicate(a, schema)?, predicate(b, schema)?]);
    Some(match condition {
        Condition::Is(column, op, number) => Predicate::Compare {
            column: property(*column),
            op: OPS[usize::from(*op)],
            value: literal(schema, *column, *number)?,
        },
        Condition::OneOf(column, numbers) => Predicate::In {
            column: property(*column),
            values: numbers.iter().map(|number| literal(schema, *column, *number)).collect::<Option<_>>()?,
        },
        Condition::IsNull(column) => {
            schema.column(COLUMNS[*column])?;
            Predicate::IsNull(property(*column))
        }
        Condition::UpdatedFrom(ts) => Predicate::Compare {
            column: ColumnRef::Property("updated_at".into()),
            op: CompareOp::GtEq,
            value: Value::Timestamp(*ts),
        },
        Condition::User(user) => {
            Predicate::Compare { column: ColumnRef::User, op: CompareOp::Eq, value: Value::Text(USERS[*user].into()) }
        }
        Condition::Not(inner) => Predicate::Not(Box::new(predicate(inner, schema)?)),
        Condition::And(a, b) => Predicate::And(both(a, b)?),
        Condition::Or(a, b) => Predicate::Or(both(a, b)?),
    })
}

fn ordering(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::BigInt(a), Value::BigInt(b)) => a.cmp(b),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b).unwrap(),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => panic!("{a:?} and {b:?}"),
    }
}

/// The truth of a condition for one user, as SQL has it. `None`: NULL.
fn truth(condition: &Condition, user: usize, profile: &Profile, schema: &Schema) -> Option<bool> {
    let value = |column: usize| {
        let column_type = schema.column(COLUMNS[column]).unwrap().column_type;
        profile.values.get(&column).map(|value| widened(value, column_type))
    };
    match condition {
        Condition::Is(column, op, number) => {
            let order = ordering(&value(*column)?, &literal(schema, *column, *number).unwrap());
            Some(match OPS[usize::from(*op)] {
                CompareOp::Eq => order.is_eq(),
                CompareOp::NotEq => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::LtEq => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::GtEq => order.is_ge(),
            })
        }
        Condition::OneOf(column, numbers) => {
            let value = value(*column)?;
            Some(numbers.iter().any(|number| ordering(&value, &literal(schema, *column, *number).unwrap()).is_eq()))
        }
        Condition::IsNull(column) => Some(value(*column).is_none()),
        Condition::UpdatedFrom(ts) => Some(profile.updated_at >= *ts),
        Condition::User(of) => Some(*of == user),
        Condition::Not(inner) => truth(inner, user, profile, schema).map(|truth| !truth),
        Condition::And(a, b) => match (truth(a, user, profile, schema), truth(b, user, profile, schema)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Condition::Or(a, b) => match (truth(a, user, profile, schema), truth(b, user, profile, schema)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
    }
}

fn ids(events: &Snapshot, members: &crate::members::Members) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (shard, users) in members.shards.iter().enumerate() {
        for ordinal in users.iter() {
            let id = events.shards[shard].user_id(ordinal).unwrap();
            assert!(found.insert(id.expect("a user of the event table")));
        }
    }
    found
}

/// A moment: snapshots of both tables, and what the model had then.
struct Moment {
    events: Snapshot,
    profiles: ProfilesSnapshot,
    model: Model,
}

impl Moment {
    fn check(&self, condition: &Condition) {
        let schema = self.profiles.snapshot.schema.of_profiles();
        let Some(asked) = predicate(condition, &schema) else { return };
        let profiles = self.model.profiles(i64::MAX);
        let answer = self.profiles.answer(&self.events, &asked).unwrap();
        let of = |wanted: Option<bool>| -> BTreeSet<String> {
            let is = |(user, profile): &(&usize, &Profile)| truth(condition, **user, profile, &schema) == wanted;
            profiles.iter().filter(is).map(|(user, _)| USERS[*user].to_string()).collect()
        };
        assert_eq!(ids(&self.events, &answer.yes), of(Some(true)), "{asked:?}");
        assert_eq!(ids(&self.events, &answer.no), of(Some(false)), "{asked:?}");
        assert_eq!(answer.profiled.len(), profiles.len() as u64);
        let users = profiles.keys().map(|user| USERS[*user].to_string());
        assert_eq!(ids(&self.events, &answer.profiled), users.collect());
        let candidates = self.profiles.candidates(&self.events, &asked).unwrap();
        let read = ProfileScan { candidates: Some(Arc::new(candidates)), ..scan(&schema) };
        let rows: BTreeSet<String> = told(&self.profiles, &read).into_keys().collect();
        assert_eq!(rows, of(Some(true)), "{asked:?}");
    }
}

struct Run {
    store: FaultStore,
    engine: Option<(Engine, Arc<Table>)>,
    model: Model,
    history: bool,
    past: Option<Moment>,
}

impl Run {
    fn new(history: bool) -> Self {
        let mut run = Self { store: FaultStore::new(), engine: None, model: Model::default(), history, past: None };
        let engine = run.open();
        let options = TableOptions { shards: 2, profile_history: history, ..TableOptions::default() };
        let table = engine.create_table("t", Schema::default(), options).unwrap();
        engine.profiles(&table).unwrap();
        run.engine = Some((engine, table));
        run
    }

    fn open(&self) -> Engine {
        let options = EngineOptions { threads: 1, memtable_rows: 12, ..EngineOptions::default() };
        Engine::open_store(Arc::new(self.store.clone()), options).unwrap()
    }

    fn table(&self) -> &Arc<Table> {
        &self.engine.as_ref().unwrap().1
    }

    fn moment(&self) -> Moment {
        let events = self.table().snapshot();
        Moment { events, profiles: self.table().profiles().unwrap().snapshot(), model: self.model.clone() }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Upsert(updates, ages) => {
                self.table().upsert(batch(updates, *ages)).unwrap();
                for update in updates {
                    let said = update.said.iter().enumerate().filter_map(|(column, said)| match said {
                        Said::Nothing => None,
                        Said::Unset => Some((column, Value::Null)),
                        Said::Value(number) => Some((column, value(column, *number, *ages))),
                    });
                    self.model.updates.push((update.user, update.ts, said.collect()));
                }
            }
            Step::Event(user) => drop(self.table().append(event(*user)).unwrap()),
            Step::Delete(user) => {
                self.table().delete_user(USERS[*user]).unwrap();
                self.model.updates.retain(|(of, ..)| of != user);
            }
            Step::Flush => self.table().flush().unwrap(),
            Step::Compact(full) => self.table().compact(*full).unwrap(),
            Step::Reopen => {
                (self.past, self.engine) = (None, None);
                let engine = self.open();
                let table = engine.table("t").unwrap();
                self.engine = Some((engine, table));
            }
            Step::Ask(condition) => {
                let now = self.moment();
                now.check(condition);
                if let Some(past) = self.past.replace(now) {
                    past.check(condition);
                }
            }
        }
        self.check_rows();
    }

    fn check_rows(&self) {
        let Moment { profiles, .. } = self.moment();
        let schema = profiles.snapshot.schema.of_profiles();
        let all = expected(&self.model.profiles(i64::MAX), &schema);
        assert_eq!(told(&profiles, &scan(&schema)), all);
        let few = ProfileScan { users: Some(vec!["ann".into(), "eve".into(), "zoe".into()]), ..scan(&schema) };
        let some = all.into_iter().filter(|(user, _)| user == "ann" || user == "eve");
        assert_eq!(told(&profiles, &few), some.collect());
        for until in 0..4 {
            let past = ProfileScan { as_of_us: Some(until), ..scan(&schema) };
            match self.history {
                true => assert_eq!(told(&profiles, &past), expected(&self.model.profiles(until), &schema)),
                false => assert!(profiles.read(0, &past, &mut |_| Ok(true)).is_err()),
            }
        }
    }
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![2 => Just(Said::Nothing), 1 => Just(Said::Unset), 4 => (0..5_u8).prop_map(Said::Value)]
}

fn update() -> impl Strategy<Value = Update> {
    (0..USERS.len(), 0..5_i64, [said(), said(), said()]).prop_map(|(user, ts, said)| Update { user, ts, said })
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        4 => (0..3_usize, 0..6_u8, 0..5_u8).prop_map(|(column, op, number)| Condition::Is(column, op, number)),
        2 => (0..3_usize, [0..5_u8, 0..5_u8]).prop_map(|(column, numbers)| Condition::OneOf(column, numbers)),
        1 => (0..3_usize).prop_map(Condition::IsNull),
        1 => (0..5_i64).prop_map(Condition::UpdatedFrom),
        1 => (0..USERS.len()).prop_map(Condition::User),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| Condition::Not(Box::new(a))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Condition::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn step() -> impl Strategy<Value = Step> {
    let ages = prop_oneof![6 => Just(Ages::Int), 1 => Just(Ages::Double), 1 => Just(Ages::Text)];
    prop_oneof![
        8 => (proptest::collection::vec(update(), 1..5), ages).prop_map(|(updates, ages)| Step::Upsert(updates, ages)),
        2 => (0..USERS.len()).prop_map(Step::Event),
        2 => (0..USERS.len()).prop_map(Step::Delete),
        1 => Just(Step::Flush),
        1 => any::<bool>().prop_map(Step::Compact),
        1 => Just(Step::Reopen),
        6 => condition().prop_map(Step::Ask),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn profiles_are_what_a_replay_of_their_updates_gives(
        history in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..25),
    ) {
        let mut run = Run::new(history);
        for step in &steps {
            run.step(step);
        }
        let (engine, _) = run.engine.as_ref().unwrap();
        prop_assert_eq!(engine.check(), []);
    }
}
