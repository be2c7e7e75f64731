//! What is known of users beside their events, for the model of SEGMENT: tags, and profiles of which each column has its last
//! value by time. Conditions on profiles are true, false or neither, as in SQL.

use proptest::collection::vec;
use proptest::prelude::*;
use trodden_query::Database;

/// So many users have facts; not all of them have events.
const USERS: usize = 8;

/// One update of a profile.
#[derive(Debug, Clone)]
struct Update {
    ts: i64,
    plan: Option<u8>,
    level: Option<i64>,
}

/// One user.
#[derive(Debug, Clone)]
struct Fact {
    tags: [bool; 2],
    tier: Option<bool>,
    updates: Vec<Update>,
}

/// All users.
#[derive(Debug, Clone)]
pub(crate) struct Facts(Vec<Fact>);

/// What a segment may say of users.
pub(crate) type Means = fn(&Known) -> Option<bool>;

/// What is known of one user at a time.
pub(crate) struct Known<'a> {
    fact: &'a Fact,
    plan: Option<u8>,
    level: Option<i64>,
    updated_at: Option<i64>,
}

fn not(truth: Option<bool>) -> Option<bool> {
    truth.map(|truth| !truth)
}

/// Conditions on users: which are on profiles, and what they mean.
pub(crate) const CONDITIONS: [(&str, bool, Means); 13] = [
    ("TAG('t0')", false, |of| Some(of.fact.tags[0])),
    ("tag('t1')", false, |of| Some(of.fact.tags[1])),
    ("TAG('tier')", false, |of| Some(of.fact.tier.is_some())),
    ("TAG('tier', 'gold')", false, |of| Some(of.fact.tier == Some(true))),
    ("TAG('events.tier', 'tin')", false, |of| Some(of.fact.tier == Some(false))),
    ("TAG('tier', 'lead')", false, |_| Some(false)),
    ("plan = 'p1'", true, |of| of.plan.map(|plan| plan == 1)),
    ("plan IN ('p0', 'p2')", true, |of| of.plan.map(|plan| plan != 1)),
    ("plan IS NULL", true, |of| Some(of.plan.is_none())),
    ("level >= 2.5", true, |of| of.level.map(|level| level > 2)),
    ("(plan <> 'p1' OR level = 1)", true, |of| {
        match (not(of.plan.map(|plan| plan == 1)), of.level.map(|level| level == 1)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }
    }),
    ("level + 1 > length(plan)", true, |of| of.level.zip(of.plan).map(|(level, _)| level + 1 > 2)),
    ("updated_at > to_timestamp_micros(1772000000000000)", true, |of| {
        of.updated_at.map(|ts| ts > 1_772_000_000_000_000)
    }),
];

fn fact((start, step): (i64, i64)) -> impl Strategy<Value = Fact> {
    let update = (-1..14_i64, prop::option::of(0..3_u8), prop::option::of(0..5_i64));
    let update = update.prop_map(move |(at, plan, level)| Update { ts: start + at * step, plan, level });
    (any::<[bool; 2]>(), any::<Option<bool>>(), vec(update, 0..3)).prop_map(|(tags, tier, mut updates)| {
        updates.sort_by_key(|update| update.ts);
        // Of updates of one time any may be the last.
        updates.dedup_by_key(|update| update.ts);
        Fact { tags, tier, updates }
    })
}

pub(crate) fn facts(grid: (i64, i64)) -> impl Strategy<Value = Facts> {
    vec(fact(grid), USERS).prop_map(Facts)
}

impl Facts {
    /// Whether the condition of this number is true for a user, as of a time.
    pub(crate) fn truth(&self, condition: usize, user: &str, as_of: Option<i64>) -> Option<bool> {
        let number: usize = user[1..].parse().unwrap();
        let fact = &self.0[number];
        let updates: Vec<&Update> =
            fact.updates.iter().filter(|update| as_of.is_none_or(|as_of| update.ts <= as_of)).collect();
        CONDITIONS[condition].2(&Known {
            fact,
            plan: updates.iter().rev().find_map(|update| update.plan),
            level: updates.iter().rev().find_map(|update| update.level),
            updated_at: updates.last().map(|update| update.ts),
        })
    }

    /// Puts them into the database.
    pub(crate) fn store(&self, database: &Database) {
        let run = |sql: &str| drop(database.query_blocking(sql).unwrap_or_else(|error| panic!("{sql}\n{error}")));
        run("ALTER TABLE events SET (profile_history = true)");
        // Somebody has all, so that no list is empty and every column is there.
        let names = |chosen: &dyn Fn(&Fact) -> bool| {
            let users =
                (0..).zip(&self.0).filter(|(_, fact)| chosen(fact)).map(|(user, _): (usize, _)| format!("'u{user}'"));
            users.chain(["'somebody'".to_string()]).collect::<Vec<_>>()
        };
        run(&format!("CREATE TAG t0 ON events FROM ({})", names(&|fact| fact.tags[0]).join(", ")));
        run(&format!("CREATE TAG t1 ON events FROM ({})", names(&|fact| fact.tags[1]).join(", ")));
        let rows = |gold: bool| {
            let users = names(&move |fact: &Fact| fact.tier == Some(gold)).into_iter();
            users.map(move |user| format!("({user}, '{}')", if gold { "gold" } else { "tin" }))
        };
        let rows: Vec<String> = rows(true).chain(rows(false)).collect();
        let tier = rows.join(", ");
        run(&format!(
            "CREATE TAG tier ON events AS (SELECT user_id, value FROM (VALUES {tier}) AS t (user_id, value))"
        ));
        run("UPSERT INTO events_users (user_id, ts, plan, level) VALUES ('somebody', '2026-01-01', 'p1', 1)");
        for (user, fact) in self.0.iter().enumerate() {
            for Update { ts, plan, level } in &fact.updates {
                let plan = plan.map(|plan| ("plan", format!("'p{plan}'")));
                let level = level.map(|level| ("level", level.to_string()));
                let (columns, values): (Vec<_>, Vec<_>) = plan.into_iter().chain(level).unzip();
                let columns: String = columns.iter().map(|column| format!(", {column}")).collect();
                let values: String = values.iter().map(|value| format!(", {value}")).collect();
                run(&format!(
                    "UPSERT INTO events_users (user_id, ts{columns}) VALUES ('u{user}', to_timestamp_micros({ts}){values})"
                ));
            }
        }
    }
}
