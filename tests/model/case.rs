//! A user and a funnel, drawn so that ties, overlapping conditions and tight limits are frequent.

use proptest::collection::vec;
use proptest::prelude::*;
use trodden_engine::scan::Times;
use trodden_query::behavior::funnel::{Count, Exclude, FunnelSpec, Order, Ties, UserInput};

/// One event: its time and what it satisfies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) ts: i64,
    pub(crate) steps: u64,
    pub(crate) excludes: u64,
    pub(crate) hold: u32,
}

/// The columns that the kernel reads.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    ts: Vec<i64>,
    steps: Vec<u64>,
    excludes: Vec<u64>,
    hold: Vec<u32>,
}

impl Columns {
    pub(crate) fn of(events: &[Event]) -> Self {
        Self {
            ts: events.iter().map(|e| e.ts).collect(),
            steps: events.iter().map(|e| e.steps).collect(),
            excludes: events.iter().map(|e| e.excludes).collect(),
            hold: events.iter().map(|e| e.hold).collect(),
        }
    }

    pub(crate) fn input(&self, spec: &FunnelSpec) -> UserInput<'_> {
        UserInput {
            times: Times::Decoded(&self.ts),
            steps: &self.steps,
            excludes: if spec.excludes.is_empty() { &[] } else { &self.excludes },
            hold: if spec.hold { &self.hold } else { &[] },
        }
    }
}

pub(crate) fn steps(count: usize) -> FunnelSpec {
    FunnelSpec::new((0..count).map(|step| format!("step {step}")))
}

fn limit() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![2 => Just(None), 3 => (1..8_i64).prop_map(Some)]
}

fn step_within(steps: usize) -> impl Strategy<Value = Vec<Option<i64>>> {
    let gaps = steps - 1;
    prop_oneof![
        2 => Just(Vec::new()),
        1 => (1..6_i64).prop_map(move |limit| vec![Some(limit); gaps]),
        1 => vec(limit(), gaps),
    ]
}

fn excludes(steps: usize, order: Order) -> BoxedStrategy<Vec<Exclude>> {
    if steps < 2 || order == Order::Any {
        return Just(Vec::new()).boxed();
    }
    let one = (1..steps, 0..steps)
        .prop_map(move |(after, more)| Exclude { after, before: (after + 1 + more % (steps - after)).min(steps) });
    prop_oneof![1 => Just(Vec::new()), 1 => vec(one, 1..=2)].boxed()
}

pub(crate) fn spec(steps_max: usize) -> impl Strategy<Value = FunnelSpec> {
    let order = prop_oneof![3 => Just(Order::Ordered), 2 => Just(Order::Strict), 2 => Just(Order::Any)];
    (1..=steps_max, order).prop_flat_map(|(count, order)| {
        let ties = prop_oneof![2 => Just(Ties::Any), 1 => Just(Ties::Arrival), 1 => Just(Ties::Increase)];
        let counted = prop_oneof![2 => Just(Count::Users), 1 => Just(Count::Attempts)];
        (limit(), step_within(count), excludes(count, order), ties, any::<bool>(), counted).prop_map(
            move |(within_us, step_within_us, excludes, ties, hold, counted)| FunnelSpec {
                within_us,
                step_within_us,
                order,
                ties,
                excludes,
                hold,
                count: counted,
                ..steps(count)
            },
        )
    })
}

/// Step masks: mostly one step, often several, sometimes none.
fn mask(steps: usize) -> impl Strategy<Value = u64> {
    let all = (1_u64 << steps) - 1;
    prop_oneof![
        4 => (0..steps).prop_map(|step| 1 << step),
        3 => 0..=all,
        1 => Just(0),
    ]
}

pub(crate) fn events(steps: usize, count_max: usize) -> impl Strategy<Value = Vec<Event>> {
    let span = prop_oneof![Just(1_i64), Just(2), Just(3), Just(5), Just(9), Just(20)];
    span.prop_flat_map(move |span| {
        let excludes = prop_oneof![3 => Just(0_u64), 1 => 1..4_u64];
        let hold = prop_oneof![1 => Just(0_u32), 4 => Just(1), 3 => Just(2)];
        let event = (0..span, mask(steps), excludes, hold).prop_map(|(ts, steps, excludes, hold)| Event {
            ts,
            steps,
            excludes,
            hold,
        });
        vec(event, 0..=count_max).prop_map(|mut events| {
            events.sort_by_key(|event| event.ts);
            events
        })
    })
}

pub(crate) fn spec_and_events(steps_max: usize, count_max: usize) -> impl Strategy<Value = (FunnelSpec, Vec<Event>)> {
    spec(steps_max).prop_flat_map(move |spec| {
        let steps = spec.steps.len();
        (Just(spec), events(steps, count_max))
    })
}

/// Order and `within`, and nothing else.
pub(crate) fn plain_spec(count: usize) -> impl Strategy<Value = FunnelSpec> {
    let ties = prop_oneof![3 => Just(Ties::Any), 1 => Just(Ties::Arrival), 1 => Just(Ties::Increase)];
    (prop_oneof![1 => Just(None), 4 => (1..20_i64).prop_map(Some)], ties)
        .prop_map(move |(within_us, ties)| FunnelSpec { within_us, ties, ..steps(count) })
}

/// Events that satisfy one step each or several, with few of the same time.
pub(crate) fn sparse_events(steps: usize, count_max: usize) -> impl Strategy<Value = Vec<Event>> {
    let single = (0..steps).prop_map(|step| 1_u64 << step).boxed();
    let several = mask(steps).boxed();
    any::<bool>().prop_flat_map(move |is_single| {
        let steps = if is_single { single.clone() } else { several.clone() };
        vec((prop_oneof![1 => Just(0_i64), 6 => 1..5_i64], steps), 0..=count_max).prop_map(|drawn| {
            let mut ts = 0;
            let event = |(gap, steps)| {
                ts += gap;
                Event { ts, steps, excludes: 0, hold: 1 }
            };
            drawn.into_iter().map(event).collect()
        })
    })
}

/// Number of cases: at least 20,000, more when `PROPTEST_CASES` asks for it.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|value| value.parse().ok()).unwrap_or(0);
    ProptestConfig { cases: cases.max(wanted), failure_persistence: None, ..ProptestConfig::default() }
}
