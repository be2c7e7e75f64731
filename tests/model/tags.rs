//! Tags through SQL against a model of plain sets: scripts of events, deletions, tags, refreshes, drops and openings.
//!
//! The model keeps events as a list, and for each tag the ids that its definition gave when it was made or refreshed last.

use crate::case::config;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tempfile::TempDir;
use trodden_query::arrow::array::AsArray;
use trodden_query::{Answer, Database, Options};

/// An event: user, name, number.
type Event = (u8, u8, Option<i8>);

/// What defines a tag.
#[derive(Debug, Clone, Copy)]
enum Definition {
    /// Users with an event of this name.
    Did(u8),
    /// Users with an event of this name and a number above.
    Above(u8, i8),
    /// Users with so many events.
    Often(usize),
    /// Users by the names of their events.
    ByName,
    /// Users who are in the first tag, if there is one, and did this.
    Both(u8),
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<Event>),
    Delete(u8),
    Create(u8, Definition),
    List(u8, Vec<u8>),
    Refresh(u8),
    RefreshAll,
    Drop(u8),
    Optimize,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let event = (0..6_u8, 0..3_u8, proptest::option::of(-2..3_i8));
    let definition = prop_oneof![
        2 => (0..3_u8).prop_map(Definition::Did),
        2 => (0..3_u8, -2..3_i8).prop_map(|(name, above)| Definition::Above(name, above)),
        1 => (1..4_usize).prop_map(Definition::Often),
        1 => Just(Definition::ByName),
        1 => (0..3_u8).prop_map(Definition::Both),
    ];
    prop_oneof![
        6 => vec(event, 1..8).prop_map(Step::Insert),
        1 => (0..6_u8).prop_map(Step::Delete),
        4 => (0..3_u8, definition).prop_map(|(tag, definition)| Step::Create(tag, definition)),
        1 => (0..3_u8, vec(0..9_u8, 1..5)).prop_map(|(tag, users)| Step::List(tag, users)),
        3 => (0..3_u8).prop_map(Step::Refresh),
        2 => Just(Step::RefreshAll),
        1 => (0..3_u8).prop_map(Step::Drop),
        1 => Just(Step::Optimize),
        1 => Just(Step::Reopen),
    ]
}

/// Users by value; of a tag without values under the empty text.
type Values = BTreeMap<String, BTreeSet<u8>>;

#[derive(Debug, Clone)]
struct Tag {
    /// Which of them it is, `None` for a list.
    definition: Option<Definition>,
    values: Values,
}

#[derive(Debug, Default)]
struct Model {
    events: Vec<Event>,
    /// In the order in which they were made.
    tags: Vec<(u8, Tag)>,
}

impl Model {
    fn tag(&self, number: u8) -> Option<&Tag> {
        self.tags.iter().find(|(other, _)| *other == number).map(|(_, tag)| tag)
    }

    fn set(&mut self, number: u8, tag: Tag) {
        match self.tags.iter_mut().find(|(other, _)| *other == number) {
            Some((_, there)) => *there = tag,
            None => self.tags.push((number, tag)),
        }
    }

    /// Who is in a tag of this definition now.
    fn values(&self, definition: Definition) -> Values {
        let users = |counts: &dyn Fn(&Event) -> bool| -> BTreeSet<u8> {
            self.events.iter().filter(|event| counts(event)).map(|event| event.0).collect()
        };
        let plain = match definition {
            Definition::Did(name) => users(&|event| event.1 == name),
            Definition::Above(name, above) => users(&|event| event.1 == name && event.2.is_some_and(|n| n > above)),
            Definition::Often(least) => {
                users(&|event| self.events.iter().filter(|other| other.0 == event.0).count() >= least)
            }
            Definition::Both(name) => {
                let first = self.tag(0).map(|tag| tag.values.values().flatten().copied().collect::<BTreeSet<u8>>());
                users(&|event| event.1 == name && first.as_ref().is_none_or(|first| first.contains(&event.0)))
            }
            Definition::ByName => {
                let of_name = |name: u8| (format!("e{name}"), users(&|event| event.1 == name));
                return (0..3).map(of_name).filter(|(_, users)| !users.is_empty()).collect();
            }
        };
        [(String::new(), plain)].into()
    }

    /// Refresh a tag; a list stays.
    fn refresh(&mut self, number: u8) {
        let Some(definition) = self.tag(number).and_then(|tag| tag.definition) else { return };
        let values = self.values(definition);
        self.set(number, Tag { definition: Some(definition), values });
    }
}

/// The text of a definition. Where there is no first tag, the last one asks for the name alone.
fn query(definition: Definition, model: &Model) -> String {
    match definition {
        Definition::Did(name) => format!("SELECT DISTINCT user_id FROM events WHERE event = 'e{name}'"),
        Definition::Above(name, above) => format!("SELECT user_id FROM events WHERE event = 'e{name}' AND n > {above}"),
        Definition::Often(least) => {
            format!("SELECT user_id FROM events GROUP BY user_id HAVING count(*) >= {least}")
        }
        Definition::ByName => "SELECT user_id, event AS value FROM events".into(),
        Definition::Both(name) => {
            let first = if model.tag(0).is_some() { " AND HAS_TAG(user_id, 'tag0')" } else { "" };
            format!("SELECT user_id FROM events WHERE event = 'e{name}'{first}")
        }
    }
}

struct Run {
    directory: TempDir,
    database: Option<Database>,
}

impl Run {
    fn open(&mut self) {
        self.database = None;
        let options = Options { threads: 2, ..Options::default() };
        self.database = Some(Database::open_with(self.directory.path().join("db"), options).expect("it opens"));
    }

    fn sql(&self, sql: &str) -> Answer {
        let database = self.database.as_ref().expect("it is open");
        database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// The users of a query.
    fn users(&self, sql: &str) -> BTreeSet<u8> {
        let mut users = BTreeSet::new();
        for batch in self.sql(sql).batches {
            let ids = batch.column(0).as_string_view();
            users.extend(ids.iter().flatten().map(|id| id[1..].parse::<u8>().expect("a number")));
        }
        users
    }
}

/// Play a step on both. Steps that would be errors are left out.
fn play(run: &mut Run, model: &mut Model, step: &Step) {
    let listed = |users: &[u8]| users.iter().map(|user| format!("'u{user}'")).collect::<Vec<_>>().join(", ");
    match step {
        Step::Insert(events) => {
            let number = |n: &Option<i8>| n.map_or("NULL".into(), |n| n.to_string());
            let row = |(user, name, n): &Event| format!("('u{user}', '2026-01-01', 'e{name}', {})", number(n));
            let rows = events.iter().map(row).collect::<Vec<_>>().join(", ");
            run.sql(&format!("INSERT INTO events (user_id, ts, event, n) VALUES {rows}"));
            model.events.extend(events);
        }
        Step::Delete(user) => {
            run.sql(&format!("DELETE FROM events WHERE user_id = 'u{user}'"));
            model.events.retain(|event| event.0 != *user);
            let sets = model.tags.iter_mut().flat_map(|(_, tag)| tag.values.values_mut());
            sets.for_each(|users| users.retain(|other| other != user));
        }
        Step::Create(tag, definition) => {
            // A tag that asks for itself would find itself as it was.
            if matches!(definition, Definition::Both(_)) && *tag == 0 {
                return;
            }
            let values = model.values(*definition);
            let query = query(*definition, model);
            run.sql(&format!("CREATE OR REPLACE TAG tag{tag} ON events AS ({query})"));
            // Without a first tag the text does not ask for it, and does not later either.
            let stays = match definition {
                Definition::Both(name) if model.tag(0).is_none() => Definition::Did(*name),
                other => *other,
            };
            model.set(*tag, Tag { definition: Some(stays), values });
        }
        Step::List(tag, users) => {
            run.sql(&format!("CREATE OR REPLACE TAG tag{tag} ON events FROM ({})", listed(users)));
            let values = [(String::new(), users.iter().copied().collect())].into();
            model.set(*tag, Tag { definition: None, values });
        }
        Step::Refresh(tag) => {
            if model.tag(*tag).is_some_and(|tag| tag.definition.is_some()) {
                run.sql(&format!("REFRESH TAG tag{tag} ON events"));
                model.refresh(*tag);
            }
        }
        Step::RefreshAll => {
            run.sql("REFRESH TAGS ON events");
            let numbers: Vec<u8> = model.tags.iter().map(|(number, _)| *number).collect();
            numbers.into_iter().for_each(|number| model.refresh(number));
        }
        Step::Drop(tag) => {
            // Others may ask for the first one.
            if *tag != 0 {
                run.sql(&format!("DROP TAG IF EXISTS tag{tag} ON events"));
                model.tags.retain(|(number, _)| number != tag);
            }
        }
        Step::Optimize => drop(run.sql("OPTIMIZE TABLE events")),
        Step::Reopen => run.open(),
    }
}

fn check(run: &Run, model: &Model) {
    let present: BTreeSet<u8> = model.events.iter().map(|event| event.0).collect();
    let everybody = "(VALUES ('u0'), ('u1'), ('u2'), ('u3'), ('u4'), ('u5'), ('u6'), ('u7'), ('u8')) AS t(u)";
    for (number, tag) in &model.tags {
        let all: BTreeSet<u8> = tag.values.values().flatten().copied().collect();
        let seen: BTreeSet<u8> = all.intersection(&present).copied().collect();
        let rows = format!("SELECT DISTINCT user_id FROM events WHERE HAS_TAG(user_id, 'tag{number}')");
        assert_eq!(run.users(&rows), seen, "tag{number}");
        let others =
            format!("SELECT DISTINCT user_id FROM events WHERE NOT HAS_TAG(user_id, 'tag{number}') AND n IS NULL");
        let lacking = model.events.iter().filter(|event| event.2.is_none() && !all.contains(&event.0));
        assert_eq!(run.users(&others), lacking.map(|event| event.0).collect(), "not tag{number}");
        // As a value, also of users without events.
        assert_eq!(
            run.users(&format!(
                "SELECT arrow_cast(u, 'Utf8View') FROM {everybody} WHERE HAS_TAG(u, 'events.tag{number}')"
            )),
            all
        );
        let by_value = !tag.values.contains_key("") && tag.definition.is_some();
        for (value, users) in tag.values.iter().filter(|_| by_value) {
            let of_value = format!(
                "SELECT arrow_cast(u, 'Utf8View') FROM {everybody} WHERE HAS_TAG(u, 'events.tag{number}', '{value}')"
            );
            assert_eq!(run.users(&of_value), *users, "tag{number} {value}");
        }
    }
    let database = run.database.as_ref().expect("it is open");
    assert_eq!(database.engine().check(), []);
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn tags_are_what_their_definitions_gave(steps in vec(step(), 1..25)) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut run = Run { directory, database: None };
        run.open();
        run.sql("CREATE TABLE events (n BIGINT) WITH (shards = 2)");
        let mut model = Model::default();
        for step in &steps {
            play(&mut run, &mut model, step);
            check(&run, &model);
        }
    }
}
