//! `trodden demo`: questions, their SQL, and their answers over the example data sets.

use super::{print_bytes, print_line};
use crate::backend::{Backend, BackendOptions};
use crate::chart::{Bar, bars};
use crate::cli::DemoArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{Format, writer};
use crate::printable;
use crate::report::Report;
use crate::terminal::Terminal;
use crate::triangle::{Cohort, triangle};
use crate::words::elapsed;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use datafusion::arrow::compute::{cast, concat_batches};
use std::time::Instant;

/// A question that somebody who runs the shop would ask.
struct Question {
    ask: &'static str,
    sql: &'static str,
    chart: Chart,
}

/// What an answer looks like at one glance.
#[derive(Clone, Copy)]
enum Chart {
    /// The table, and a bar for each row: the columns that name it and give its length.
    Bars(&'static str, &'static str),
    /// The matrix of a retention, in place of its table.
    Triangle,
    /// The table alone.
    None,
}

/// A data set and what is asked of it.
struct DataSet {
    table: &'static str,
    about: &'static str,
    questions: &'static [Question],
}

const DATA_SETS: [DataSet; 3] = [
    DataSet {
        table: "shop",
        about: "a web shop: 31,106 events of 600 visitors in half a year (retentioneering, Apache-2.0)",
        questions: &SHOP,
    },
    DataSet {
        table: "baskets",
        about: "a grocery: 1.47 million lines on the receipts of 2,469 households in 2017 (completejourney)",
        questions: &GROCERY,
    },
    DataSet { table: "clickstream", about: "a made-up shop from the built-in generator", questions: &MADE_UP },
];

const SHOP: [Question; 7] = [
    Question {
        ask: "How many visitors who look at a product buy within a week, and where do the others stop?",
        sql: "FUNNEL product_view AS viewed -> add_to_cart AS carted -> cart -> shipping_details AS shipping
       -> payment_details AS payment -> purchase AS bought
  WITHIN 7 DAYS FROM shop",
        chart: Chart::Bars("step_name", "users"),
    },
    Question {
        ask: "Which device is best at turning a cart into a purchase on the same day?",
        sql: "SELECT platform, users, round(100 * conversion, 1) AS percent, median_seconds_total
FROM FUNNEL(shop,
  STEPS(carted => 'add_to_cart', bought => 'purchase'),
  within => INTERVAL '1' DAY,
  by => platform)
WHERE step_name = 'bought' ORDER BY percent DESC",
        chart: Chart::Bars("platform", "percent"),
    },
    Question {
        ask: "Inside one session: how many attempts to buy survive without an error page or a failed payment?",
        sql: "SELECT step_name, attempts, round(100 * conversion, 1) AS percent
FROM FUNNEL(shop,
  STEPS(carted => 'add_to_cart', shipping => 'shipping_details', payment => 'payment_details', bought => 'purchase'),
  EXCLUDE(event IN ('error_page', 'payment_error', 'checkout_bug'), after => 1, before => 4),
  hold => session_id,
  count => 'attempts')
ORDER BY step",
        chart: Chart::Bars("step_name", "attempts"),
    },
    Question {
        ask: "Why do those who reach the payment not buy?",
        sql: "SELECT coalesce(drop_reason, 'bought') AS outcome, count(*) AS users
FROM FUNNEL(shop,
  STEPS(payment => 'payment_details', bought => 'purchase'),
  EXCLUDE('payment_error', after => 1, before => 2),
  within => INTERVAL '1' HOUR,
  emit => 'users')
GROUP BY outcome ORDER BY users DESC",
        chart: Chart::Bars("outcome", "users"),
    },
    Question {
        ask: "Does it get better over the months?",
        sql: "SELECT date_trunc('month', bucket) AS month, users, round(100 * conversion, 1) AS percent
FROM FUNNEL(shop,
  STEPS(viewed => 'product_view', bought => 'purchase'),
  within => INTERVAL '7' DAY,
  bucket => 'month')
WHERE step_name = 'bought' ORDER BY month",
        chart: Chart::Bars("month", "percent"),
    },
    Question {
        ask: "Of those who see a product for the first time: how many come back in the months after?",
        sql: "RETENTION product_view -> ANY MONTHLY FOR 5 MONTHS FROM shop",
        chart: Chart::Triangle,
    },
    Question {
        ask: "Which ways lead to a purchase?",
        sql: "SELECT array_to_string(path, ' > ') AS way, sessions, users, round(100 * share, 1) AS percent, median_seconds
FROM PATH(shop, end => 'purchase', steps => 5, top => 8)
WHERE path IS NOT NULL ORDER BY sessions DESC",
        chart: Chart::Bars("way", "sessions"),
    },
];

const GROCERY: [Question; 5] = [
    Question {
        ask: "A household used a coupon. Does it come back within a week, and then again?",
        sql: "SELECT step_name, users, round(100 * conversion, 1) AS percent, median_seconds / 86400 AS median_days
FROM FUNNEL(baskets,
  STEPS(coupon => coupon_disc > 0, back => sales_value > 0, again => sales_value > 0),
  step_within => INTERVAL '7' DAY,
  ties => 'increase')
ORDER BY step",
        chart: Chart::Bars("step_name", "users"),
    },
    Question {
        ask: "Starting with a small purchase: who buys something of 20 dollars and then of 50 dollars within 30 days?",
        sql: "FUNNEL bought(sales_value < 5) AS small -> bought(sales_value >= 20) AS medium
       -> bought(sales_value >= 50) AS large
  WITHIN 30 DAYS FROM baskets",
        chart: Chart::Bars("step_name", "users"),
    },
    Question {
        ask: "Who stays loyal to one shop: two visits in the same store, at most three days apart?",
        sql: "SELECT step_name, users, round(100 * conversion, 1) AS percent
FROM FUNNEL(baskets,
  STEPS(visit => quantity > 0, return => quantity > 0),
  within => INTERVAL '3' DAY,
  hold => store_id,
  ties => 'increase')
ORDER BY step",
        chart: Chart::Bars("step_name", "users"),
    },
    Question {
        ask: "Does the first coupon make a household use coupons again?",
        sql: "RETENTION bought(coupon_disc > 0) -> bought(coupon_disc > 0) MONTHLY FOR 11 MONTHS FROM baskets",
        chart: Chart::Triangle,
    },
    Question {
        ask: "What to offer to household 1 of all that it never bought, and because of what?",
        sql: "SELECT rank, item AS product_id, score, because
FROM RECOMMEND(baskets, item => product_id, for_user => '1', window => INTERVAL '60' DAY)
ORDER BY rank",
        chart: Chart::None,
    },
];

const MADE_UP: [Question; 6] = [
    Question {
        ask: "How many users who look at a product buy within a week, and where do the others stop?",
        sql: "FUNNEL product_view AS viewed -> add_to_cart AS carted -> checkout -> payment_info AS payment
       -> purchase AS bought
  WITHIN 7 DAYS FROM clickstream",
        chart: Chart::Bars("step_name", "users"),
    },
    Question {
        ask: "Which channel brings buyers?",
        sql: "SELECT channel, users, round(100 * conversion, 2) AS percent
FROM FUNNEL(clickstream,
  STEPS(opened => 'app_open', bought => 'purchase'),
  within => INTERVAL '1' DAY,
  by => channel)
WHERE step_name = 'bought' ORDER BY percent DESC",
        chart: Chart::Bars("channel", "percent"),
    },
    Question {
        ask: "Do people buy the very product that they put into the cart?",
        sql: "SELECT step_name, users, round(100 * conversion, 2) AS percent
FROM FUNNEL(clickstream,
  STEPS(carted => 'add_to_cart', bought => 'purchase'),
  within => INTERVAL '7' DAY,
  hold => product_id)
ORDER BY step",
        chart: Chart::Bars("step_name", "users"),
    },
    Question {
        ask: "How many of the users of a week buy in that week, and in the weeks after?",
        sql: "RETENTION app_open -> purchase WEEKLY FOR 8 WEEKS FROM clickstream",
        chart: Chart::Triangle,
    },
    Question {
        ask: "What goes well with product 1?",
        sql: "RECOMMEND product_id FOR ITEM 1 USING item_knn FROM clickstream WHERE event = 'purchase'",
        chart: Chart::None,
    },
    Question {
        ask: "Which ways lead to a purchase?",
        sql: "SELECT array_to_string(path, ' > ') AS way, sessions, users, round(100 * share, 1) AS percent, median_seconds
FROM PATH(clickstream, end => 'purchase', steps => 5, top => 8)
WHERE path IS NOT NULL ORDER BY sessions DESC",
        chart: Chart::Bars("way", "sessions"),
    },
];

pub(super) fn run(arguments: &DemoArgs, terminal: &Terminal) -> Outcome {
    let backend = Backend::open(&arguments.db.db, &BackendOptions::default())?;
    let tables = backend.table_names()?;
    let present: Vec<&DataSet> = DATA_SETS.iter().filter(|set| tables.iter().any(|name| name == set.table)).collect();
    if present.is_empty() {
        let names: Vec<&str> = DATA_SETS.iter().map(|set| set.table).collect();
        let report = Report::error(format!("none of the tables {} is in this database", names.join(", ")));
        let hint = "run `make demo`, or `trodden generate --db DIR --table clickstream` and then the demo";
        return Err(Failure::Failed(report.with_hint(hint)));
    }
    for set in present {
        let rule = if terminal.unicode { "━" } else { "=" };
        print_line(format!("{} {}: {}\n", rule.repeat(3), set.table, set.about))?;
        for question in set.questions {
            show(&backend, question, terminal)?;
        }
    }
    print_line(format!("Your turn: trodden sql --db {}", arguments.db.db.display()))
}

fn show(backend: &Backend, question: &Question, terminal: &Terminal) -> Outcome {
    print_line(format!("{}\n\n{};\n", question.ask, indented(question.sql)))?;
    let started = Instant::now();
    let mut answer = backend.run(question.sql, question.sql, None)?;
    let schema = answer.schema();
    let mut batches = Vec::new();
    while let Some(batch) = answer.next()? {
        batches.push(batch);
    }
    let time = started.elapsed();
    let whole = concat_batches(&schema, &batches).ok();
    match question.chart {
        Chart::Bars(label, value) => {
            print_table(&schema, &batches, terminal)?;
            if let Some(drawn) = whole.and_then(|batch| chart(&batch, label, value)) {
                print_line(format!("\n{}", bars(&drawn, terminal).trim_end_matches('\n')))?;
            }
        }
        Chart::None => print_table(&schema, &batches, terminal)?,
        Chart::Triangle => {
            let cohorts = whole.and_then(|batch| cohorts(&batch)).unwrap_or_default();
            print_line(triangle(&cohorts, terminal).trim_end_matches('\n'))?;
        }
    }
    print_line(format!("\n({})\n", elapsed(time)))
}

fn print_table(schema: &SchemaRef, batches: &[RecordBatch], terminal: &Terminal) -> Outcome {
    let mut text = Vec::new();
    let io = |error: std::io::Error| Failure::io("the answer", &error);
    let mut table = writer(Format::Table, schema, &mut text, terminal, None).map_err(io)?;
    for batch in batches {
        table.write(batch).map_err(io)?;
    }
    table.finish().map_err(io)?;
    print_bytes(&text)
}

/// The cohorts of a matrix, which come one after the other, each with its periods.
fn cohorts(batch: &RecordBatch) -> Option<Vec<Cohort>> {
    let labels = cast(batch.column_by_name("cohort")?, &DataType::Utf8).ok()?;
    let users = batch.column_by_name("cohort_users")?.as_primitive_opt::<Int64Type>()?;
    let rates = batch.column_by_name("rate")?.as_primitive_opt::<Float64Type>()?;
    let complete = batch.column_by_name("complete")?.as_boolean_opt()?;
    let mut cohorts: Vec<Cohort> = Vec::new();
    for row in 0..batch.num_rows() {
        let label = labels.as_string::<i32>().value(row);
        let label = label.get(..10).unwrap_or(label);
        if cohorts.last().is_none_or(|cohort| cohort.label != label) {
            cohorts.push(Cohort { label: label.into(), users: users.value(row), rates: Vec::new() });
        }
        let rate = complete.value(row).then(|| rates.value(row));
        cohorts.last_mut()?.rates.push(rate);
    }
    Some(cohorts)
}

fn indented(sql: &str) -> String {
    sql.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// A bar per row, its share of the first one behind it when the bars are steps of a funnel.
fn chart(batch: &RecordBatch, label: &str, value: &str) -> Option<Vec<Bar>> {
    let labels = cast(batch.column_by_name(label)?, &DataType::Utf8).ok()?;
    let values = cast(batch.column_by_name(value)?, &DataType::Float64).ok()?;
    let (labels, values) = (labels.as_string::<i32>(), values.as_primitive::<Float64Type>());
    let is_step = label == "step_name";
    let first = values.iter().flatten().next().unwrap_or(0.0);
    let bar = |row: usize| {
        let length = if values.is_null(row) { 0.0 } else { values.value(row) };
        let share = if first > 0.0 { 100.0 * length / first } else { 0.0 };
        let percent = if value == "percent" { " %" } else { "" };
        let note = if is_step { format!("{length}  {share:.1} %") } else { format!("{length}{percent}") };
        let name = if labels.is_null(row) { "NULL" } else { labels.value(row) };
        // A bucket is a timestamp; its day says all.
        let name = if label == "month" { name.get(..10).unwrap_or(name) } else { name };
        Bar { label: printable::one_line(name), value: length, note }
    };
    Some((0..batch.num_rows()).map(bar).collect())
}
