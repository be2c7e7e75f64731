//! `among` against the definition: every operator gives what it gives over the events of the users whom the model of SEGMENT
//! finds, named one by one; over the table, where their bitmaps choose them, and over rows.

use crate::analysis_case::{Shape, answer, events, filled, shape};
use crate::case::config;
use crate::retention_case::grid;
use crate::segment::{Case, case};
use proptest::collection::vec;
use proptest::prelude::*;

/// What is asked of each input.
const CALLS: [&str; 18] = [
    "FUNNEL({}, steps => ['yes', 'no'], by => colour, within => '10 days')",
    "FUNNEL({}, steps => ['yes', 'no'], emit => 'users')",
    "RETENTION({}, start => 'yes', periods => 4)",
    "RETENTION({}, start => 'yes', return => price > 1, periods => 4, by => page)",
    "PATH({}, top => 100, session => NULL)",
    "PATH({}, end => 'no', emit => 'edges', by => colour)",
    "LIFECYCLE({}, on => 'yes', period => 'week')",
    "LIFECYCLE({}, emit => 'users')",
    "STICKINESS({}, within => INTERVAL '1' WEEK, by => colour)",
    "STICKINESS({}, on => counts, emit => 'active')",
    "RFM({}, value => price, scores => 2, emit => 'users')",
    "RFM({}, value => price, scores => 3, on => 'yes')",
    "SESSIONS({}, session => INTERVAL '1' DAY)",
    "SESSIONS({}, emit => 'stops', node => page)",
    "RECOMMEND({}, item => page, using => 'popular', seen => 'include')",
    "RECOMMEND({}, item => page, for_item => 'p1', using => 'item_knn', similarity => 'overlap')",
    "RECOMMEND_EVAL({}, item => page, using => 'popular', split => TIMESTAMP '2026-04-01')",
    "SEGMENT({}, where => DID('yes') AND NOT DID(price > 1), emit => 'users')",
];

/// The call over an input, with another argument or without.
pub(crate) fn call(call: &str, input: &str, more: &str) -> String {
    let (name, rest) = call.split_once("{}").unwrap();
    let rest = rest.strip_suffix(')').unwrap();
    format!("SELECT * FROM {name}{input}{rest}{more})")
}

/// The input itself, and the input with these users alone.
pub(crate) fn inputs(case: &Case, users: &[String], order: &str) -> (String, String) {
    let from = case.input_from.map_or("true".to_string(), |us| format!("ts >= to_timestamp_micros({us})"));
    let plain = match (case.input_from, order) {
        (None, "") => "events".to_string(),
        _ => format!("(SELECT * FROM events WHERE {from}{order})"),
    };
    let users: Vec<String> = users.iter().map(|user| format!("'{user}'")).chain(["'nobody'".into()]).collect();
    (plain, format!("(SELECT * FROM events WHERE {from} AND user_id IN ({}){order})", users.join(", ")))
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn every_operator_reads_the_users_of_the_segment(
        shape in shape(),
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec(events(grid, 7), 0..6))),
    ) {
        let shape = Shape { on: 0, by: 0, ..shape };
        let stored = shape.stored(users);
        let database = filled(&stored, &shape, case.cal.zone.name);
        case.facts.store(&database);
        let members: Vec<String> = case.users(&case.known(&stored))[0].iter().cloned().collect();
        let (text, arguments) = (case.expressions[0].text(), case.arguments(&shape));
        for order in ["", " ORDER BY seq"] {
            let (input, restricted) = inputs(&case, &members, order);
            let segment = format!("where => {text}{arguments}");
            let selected = format!(
                "(SELECT * FROM {input} AS i WHERE user_id IN (SELECT user_id FROM SEGMENT({input}, {segment}, emit => 'users')){order})"
            );
            for of in CALLS {
                let expected = answer(&database, &call(of, &restricted, ""))?;
                let sql = call(of, &selected, "");
                prop_assert_eq!(&answer(&database, &sql)?, &expected, "{}", sql);
                if of.starts_with("SEGMENT") {
                    continue;
                }
                let sql = call(of, &input, &format!(", among => SEGMENT({segment})"));
                prop_assert_eq!(&answer(&database, &sql)?, &expected, "{}", sql);
                let sql = call(of, &input, &format!(", among => SEGMENT({input}, {segment})"));
                prop_assert_eq!(&answer(&database, &sql)?, &expected, "{}", sql);
                if arguments.is_empty() {
                    let sql = call(of, &input, &format!(", among => {text}"));
                    prop_assert_eq!(&answer(&database, &sql)?, &expected, "{}", sql);
                }
            }
        }
    }
}
