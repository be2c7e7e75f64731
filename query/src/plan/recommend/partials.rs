//! Answers do not depend on how the users were divided among workers, on the order in which what these found is put
//! together, or on the codes that each of them used.
//!
//! One worker with all users is the measure; what that answers is compared with a model elsewhere, through SQL.

use super::item_facts::FactExprs;
use super::{Arguments, Ask, Evaluate, Recommend, SeenWords, Using};
use crate::behavior::recommend::{
    Algorithm, AlsOptions, EaseOptions, ItemKnnOptions, Protocol, RecommendSpec, Seen, SequenceOptions,
    SessionKnnOptions, Similarity, TrendingOptions, Weights,
};
use crate::error::Result;
use crate::plan::operator::{Answer, Decoder, Operator, UserRows, Wanted, Worker};
use crate::warnings::StatementState;
use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use datafusion::scalar::ScalarValue;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;
use trodden_engine::scan::{KeyCodes, Keys, Times};

const ITEMS: u32 = 7;
const USERS: u32 = 7;
/// Values of `boost` and of the category; the first of each is NULL.
const FACTORS: [Option<f64>; 4] = [None, Some(0.5), Some(3.0), Some(-1.0)];
const CATEGORIES: [Option<&str>; 3] = [None, Some("a"), Some("b")];

/// An event: what the conditions say of it (two kinds, and behind them that of candidates), and places among the values of
/// each column, 0 being NULL.
#[derive(Debug, Clone, Copy)]
struct Event {
    ts_us: i64,
    mask: u64,
    item: u32,
    factor: u32,
    category: u32,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..30_i64, 0..8_u64, 0..=ITEMS, 0..4_u32, 0..3_u32)
        .prop_map(|(ts_us, mask, item, factor, category)| Event { ts_us, mask, item, factor, category });
    vec(event, 0..9).prop_map(|mut events| {
        events.sort_by_key(|event| event.ts_us);
        events
    })
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    let similar = [
        Similarity::Llr,
        Similarity::Cosine,
        Similarity::Jaccard,
        Similarity::Overlap,
        Similarity::Bm25 { k1: 1.2, b: 0.75 },
        Similarity::Rp3Beta { alpha: 1.0, beta: 0.6 },
    ];
    let knn = prop::sample::select(similar.to_vec()).prop_map(|one| Algorithm::ItemKnn(ItemKnnOptions::of(one)));
    let als = AlsOptions { factors: 4, iterations: 2, ..AlsOptions::default() };
    prop_oneof![
        3 => knn,
        1 => Just(Algorithm::Popular),
        1 => Just(Algorithm::Trending(TrendingOptions { short_half_life_us: 5, long_half_life_us: 20 })),
        1 => Just(Algorithm::Sequence(SequenceOptions::default())),
        1 => Just(Algorithm::SessionKnn(SessionKnnOptions { gap_us: 4, ..SessionKnnOptions::default() })),
        1 => Just(Algorithm::Ease(EaseOptions { lambda: 2.0, ..EaseOptions::default() })),
        1 => Just(Algorithm::Repurchase),
        1 => Just(Algorithm::Als(als)),
        1 => Just(super::purpose::blend(Algorithm::item_knn())),
    ]
}

/// A question, or an evaluation.
#[derive(Debug, Clone)]
struct Question {
    ask: Ask,
    evaluates: bool,
    using: Using,
    algorithms: Vec<Algorithm>,
    /// Places of a user or of items.
    targets: Vec<u32>,
    seen: SeenWords,
    candidates: bool,
    facts: Option<(bool, bool)>,
    moment_us: Option<i64>,
    window_us: Option<i64>,
    half_life_us: Option<i64>,
    weights: Vec<f64>,
    protocol: Protocol,
    top: usize,
}

fn question() -> impl Strategy<Value = Question> {
    let ask =
        prop_oneof![Just(Ask::EveryUser), Just(Ask::User), Just(Ask::Item), Just(Ask::Items), Just(Ask::EveryItem)];
    let using = (0..4_usize, vec(algorithm(), 2));
    let seen = prop_oneof![
        Just(SeenWords::Default),
        Just(SeenWords::Exclude),
        Just(SeenWords::Include),
        Just(SeenWords::Kinds(vec![1]))
    ];
    let more = (any::<bool>(), option::of((any::<bool>(), any::<bool>())), option::of(0..30_i64), 1..5_usize);
    let protocol = prop_oneof![Just(Protocol::Time), Just(Protocol::NextBasket), Just(Protocol::Basket)];
    let weights = prop_oneof![Just([1.0, 1.0]), Just([2.5, 0.0])];
    let spans = (option::of(1..20_i64), option::of(1..20_i64), weights, protocol);
    (ask, any::<bool>(), using, vec(1..=ITEMS, 1..4), seen, more, spans).prop_map(
        |(ask, evaluates, (using, algorithms), targets, seen, (candidates, facts, moment_us, top), spans)| {
            let using = match using {
                1 => Using::Fallback(2),
                2 if evaluates || matches!(ask, Ask::User | Ask::EveryUser) => Using::Variants(2),
                3 if evaluates => Using::Each(2),
                3 => Using::Purpose,
                _ => Using::Each(1),
            };
            let count = if matches!(using, Using::Each(1) | Using::Purpose) { 1 } else { 2 };
            Question {
                ask,
                evaluates,
                using,
                algorithms: algorithms[..count].to_vec(),
                targets,
                seen,
                candidates,
                facts: facts.filter(|facts| facts.0 || facts.1),
                moment_us,
                window_us: spans.0,
                half_life_us: spans.1,
                weights: spans.2.to_vec(),
                protocol: spans.3,
                top,
            }
        },
    )
}

impl Question {
    fn operator(&self) -> Recommend {
        Recommend {
            ask: if self.evaluates { Ask::EveryUser } else { self.ask },
            kinds: 2,
            weighed: 2,
            seen: self.seen.clone(),
            candidates: self.candidates,
            facts: self.facts.is_some(),
            using: self.using,
            exclude: 0,
        }
    }

    fn arguments(&self) -> Arguments {
        let seen = |plain: Seen| match &self.seen {
            SeenWords::Default => plain,
            SeenWords::Exclude => Seen::Exclude,
            SeenWords::Include => Seen::Include,
            SeenWords::Kinds(kinds) => Seen::ExcludeKinds(kinds.clone()),
        };
        let spec = |using: &Algorithm| {
            let plain = RecommendSpec::new(using.clone(), Weights::new(self.weights.clone()));
            RecommendSpec {
                half_life_us: self.half_life_us,
                window_us: self.window_us,
                as_of_us: self.moment_us.filter(|_| !self.evaluates),
                top: self.top,
                seen: seen(plain.seen.clone()),
                ..plain
            }
        };
        let named = |place: &u32| ScalarValue::Utf8(item(*place));
        let targets = match self.ask {
            Ask::User => vec![ScalarValue::Utf8(Some(user_id(self.targets[0] - 1)))],
            Ask::Item => vec![named(&self.targets[0])],
            Ask::Items => self.targets.iter().map(named).collect(),
            Ask::EveryUser | Ask::EveryItem => Vec::new(),
        };
        let columns = [("factor", DataType::Float64), ("category", DataType::Utf8)];
        let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
        Arguments {
            specs: self.algorithms.iter().map(spec).collect(),
            using: self.using,
            experiment: "exp".into(),
            targets,
            exclude: Vec::new(),
            facts: self.facts.map(|(boost, category)| FactExprs::of_columns(fields.to_vec(), boost, category)),
            split_us: self.moment_us.unwrap_or(15),
            k: self.top,
            protocol: self.protocol,
        }
    }
}

/// Values are in another order than places.
fn item(place: u32) -> Option<String> {
    (place > 0).then(|| format!("i{}", place * 3 % 8))
}

fn user_id(user: u32) -> String {
    format!("u{}", user * 5 % 7)
}

/// How users are divided, and what differs between one division and another.
#[derive(Debug, Clone)]
struct Division {
    /// By user, a number that says the worker, and who of several goes first.
    users: Vec<usize>,
    /// By worker, what its codes begin with.
    shifts: Vec<u32>,
    /// By worker, its place.
    order: Vec<usize>,
}

fn division() -> impl Strategy<Value = Division> {
    let order = Just((0..4_usize).collect::<Vec<_>>()).prop_shuffle();
    (vec(0..1_000_usize, USERS as usize), vec(0..4_u32, 4), order).prop_map(|(users, shifts, order)| Division {
        users,
        shifts,
        order,
    })
}

/// What the codes of a worker mean, by column. A code stands for a place that is `shift` smaller, going round.
struct Codes {
    shift: u32,
    columns: [ArrayRef; 3],
}

impl Codes {
    fn new(shift: u32) -> Self {
        let items: StringArray = (0..=ITEMS).map(|code| item(place_of(code, shift, ITEMS))).collect();
        let factors: Float64Array = (0..4).map(|code| FACTORS[place_of(code, shift, 3) as usize]).collect();
        let categories: StringArray = (0..3).map(|code| CATEGORIES[place_of(code, shift, 2) as usize]).collect();
        Self { shift, columns: [Arc::new(items), Arc::new(factors), Arc::new(categories)] }
    }

    fn of(&self, events: &[Event]) -> [KeyCodes; 3] {
        let codes = |place: fn(&Event) -> u32, count: u32| {
            KeyCodes::PerEvent(events.iter().map(|event| code_of(place(event), self.shift, count)).collect())
        };
        [codes(|e| e.item, ITEMS), codes(|e| e.factor, 3), codes(|e| e.category, 2)]
    }
}

fn code_of(place: u32, shift: u32, count: u32) -> u32 {
    if place == 0 { 0 } else { (place - 1 + shift) % count + 1 }
}

fn place_of(code: u32, shift: u32, count: u32) -> u32 {
    if code == 0 { 0 } else { (code - 1 + (count - shift % count)) % count + 1 }
}

impl Decoder for Codes {
    fn by_values(&self, _keys: &[&[u32]]) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn column_values(&self, column: usize, codes: &[u32]) -> Result<ArrayRef> {
        let values = take(&self.columns[column], &UInt32Array::from(codes.to_vec()), None);
        Ok(values.map_err(DataFusionError::from)?)
    }
}

/// The answer where each of `division` found its part of the users.
fn answered<O: Operator<Spec = Arguments>>(
    operator: &O,
    spec: &Arguments,
    users: &[Vec<Event>],
    (division, numbers_in_order): (&Division, bool),
) -> Result<RecordBatch> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema = Arc::new(Schema::new(operator.fields(text("user_id"), Vec::new(), vec![text("item")])));
    // Without an order of their own, the numbers of users are what the source made of them.
    let turn = if numbers_in_order { 0 } else { division.shifts[0] };
    let number = |user: u32| {
        let turned = (user + turn) % USERS;
        u64::from(turned % 2) << 32 | u64::from(turned / 2)
    };
    let user_of = |number: u64| (number as u32 * 2 + (number >> 32) as u32 + USERS - turn) % USERS;
    let codes: Vec<Codes> = division.shifts.iter().map(|&shift| Codes::new(shift)).collect();
    let worker = || operator.worker(spec, 0, &Wanted { schema: &schema, columns: None });
    let mut workers = codes.iter().map(|_| worker()).collect::<Result<Vec<_>>>()?;
    let mut in_turn: Vec<usize> = (0..users.len()).collect();
    in_turn.sort_by_key(|&user| division.users[user]);
    for user in in_turn {
        let (at, events) = (division.users[user] % codes.len(), &users[user]);
        let times: Vec<i64> = events.iter().map(|event| event.ts_us).collect();
        let masks: Vec<u64> = events.iter().map(|event| event.mask).collect();
        workers[at].user(&UserRows {
            user: number(user as u32),
            times: Times::Decoded(&times),
            masks: &masks,
            high_masks: &[],
            by: Keys::none(),
            columns: Keys::new(&codes[at].of(events), 0, 0),
        });
    }
    let mut found: Vec<(usize, _)> =
        workers.into_iter().zip(&codes).map(|(worker, codes)| (worker, codes as &dyn Decoder)).enumerate().collect();
    found.sort_by_key(|(at, _)| division.order[*at]);
    let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    let answer = Answer {
        schema: Arc::clone(&schema),
        by: 0,
        threads: 2,
        statement: &StatementState::default(),
        reservation: &MemoryConsumer::new("partials").register(&pool),
        user_ids: &|numbers| Ok(Arc::new(StringArray::from_iter_values(numbers.iter().map(|&n| user_id(user_of(n)))))),
        user_number: &|id| Ok((0..USERS).find(|&user| ScalarValue::from(user_id(user)) == *id).map(number)),
        numbers_in_order,
        newest_ts: &|| Ok(i64::MIN),
    };
    operator.finish(spec, &answer, found.into_iter().map(|(_, found)| found).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_division_gives_the_same_rows(
        users in vec(events(), USERS as usize),
        question in question(),
        division in division(),
        numbers_in_order in any::<bool>(),
    ) {
        let (operator, spec) = (question.operator(), question.arguments());
        let one = Division { users: vec![0; USERS as usize], shifts: vec![0], order: vec![0] };
        let ask = |division: &Division| {
            let how = (division, numbers_in_order);
            if question.evaluates {
                answered(&Evaluate(operator.clone()), &spec, &users, how)
            } else {
                answered(&operator, &spec, &users, how)
            }
        };
        let (whole, divided) = (ask(&one), ask(&division));
        let told = |answer: &Result<RecordBatch>| answer.as_ref().map_err(ToString::to_string).cloned();
        prop_assert_eq!(told(&divided), told(&whole));
        prop_assert!(whole.is_ok(), "{:?}", whole);
    }
}
