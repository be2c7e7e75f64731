//! A shop's clickstream out of nothing: the same events for the same seed, for demonstrations and measurements.
//!
//! Sessions walk over a small Markov chain, users are heavy-tailed, products follow Zipf's law, and all of it lies in
//! the 90 days from 2026-01-01 on.

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use std::borrow::Cow;
use std::sync::Arc;
use trodden_query::engine::EventBatch;

/// Rows of one batch, at most.
const BATCH_ROWS: usize = 65_536;
const DAY_US: i64 = 86_400_000_000;
/// 2026-01-01T00:00:00Z.
const FIRST_DAY_US: i64 = 1_767_225_600_000_000;
const DAYS: usize = 90;
/// Longest session, in events: a walk that goes in circles ends here.
const MAX_SESSION_EVENTS: usize = 500;
const EVENTS_PER_USER: u64 = 40;
const PRODUCTS: usize = 20_000;
const COUNTRIES: usize = 40;
const DEVICES: [(&str, f64); 4] = [("android", 0.45), ("ios", 0.3), ("web", 0.2), ("pos", 0.05)];
const CHANNELS: [&str; 8] = ["organic", "ads", "email", "push", "social", "affiliate", "direct", "store"];
const VARIANTS: [&str; 3] = ["control", "A", "B"];

/// Events by code, and whether they concern a product.
const EVENTS: [(&str, bool); 20] = [
    ("app_open", false),
    ("home", false),
    ("search", false),
    ("category", false),
    ("product_view", true),
    ("add_to_cart", true),
    ("remove_from_cart", true),
    ("cart_view", false),
    ("checkout", false),
    ("payment_info", false),
    ("purchase", true),
    ("login", false),
    ("signup", false),
    ("review", true),
    ("support", false),
    ("wishlist", true),
    ("coupon_view", false),
    ("coupon_apply", false),
    ("push_open", false),
    ("share", false),
];
/// Where sessions begin, with the shares.
const ENTRIES: [(&str, f64); 5] =
    [("app_open", 0.5), ("home", 0.25), ("push_open", 0.05), ("category", 0.1), ("product_view", 0.1)];
/// Likely moves with their weights. Every other move has a weight of 0.002, and leaving one of 0.12.
const MOVES: [(&str, &str, f64); 29] = [
    ("app_open", "home", 0.7),
    ("app_open", "login", 0.1),
    ("app_open", "signup", 0.03),
    ("home", "search", 0.25),
    ("home", "category", 0.3),
    ("home", "product_view", 0.15),
    ("search", "product_view", 0.5),
    ("search", "search", 0.2),
    ("category", "product_view", 0.5),
    ("category", "category", 0.15),
    ("product_view", "product_view", 0.3),
    ("product_view", "add_to_cart", 0.12),
    ("product_view", "wishlist", 0.04),
    ("product_view", "category", 0.15),
    ("add_to_cart", "cart_view", 0.4),
    ("add_to_cart", "product_view", 0.3),
    ("cart_view", "checkout", 0.35),
    ("cart_view", "remove_from_cart", 0.1),
    ("cart_view", "product_view", 0.2),
    ("remove_from_cart", "product_view", 0.3),
    ("checkout", "payment_info", 0.6),
    ("checkout", "coupon_apply", 0.1),
    ("coupon_apply", "payment_info", 0.6),
    ("payment_info", "purchase", 0.75),
    ("purchase", "home", 0.2),
    ("purchase", "review", 0.05),
    ("login", "home", 0.7),
    ("signup", "home", 0.8),
    ("push_open", "product_view", 0.5),
];
const OTHER_MOVE: f64 = 0.002;
const LEAVING: f64 = 0.12;

/// Deterministic events in order of time, delivered as batches.
pub struct Generator {
    seed: u64,
    chances: Chances,
    sessions: Vec<Session>,
    next_session: usize,
    day: usize,
    /// Events generated and not delivered yet, in order of time.
    ready: std::vec::IntoIter<Event>,
    /// Events of sessions that went on after midnight.
    carried: Vec<Event>,
}

/// A session: who, on which day, how many events. The rest follows from the seed and the number.
#[derive(Clone, Copy)]
struct Session {
    number: u32,
    user: u32,
    events: u16,
    day: u8,
}

#[derive(Clone, Copy)]
struct Event {
    ts: i64,
    session: u32,
    user: u32,
    position: u16,
    code: u8,
}

impl Generator {
    /// A generator of exactly `events` events. The same numbers give the same events.
    pub fn new(events: u64, seed: u64) -> Self {
        let users = (events / EVENTS_PER_USER).clamp(10, u64::from(u32::MAX)) as usize;
        let chances = Chances::new(users, seed);
        let mut sessions = Vec::with_capacity((events / 5) as usize + 1);
        let (mut wanted, mut number) = (events, 0);
        while wanted > 0 {
            let session = chances.session(seed, number, wanted);
            wanted -= u64::from(session.events);
            sessions.push(session);
            number += 1;
        }
        sessions.sort_by_key(|session| (session.day, session.number));
        Self { seed, chances, sessions, next_session: 0, day: 0, ready: Vec::new().into_iter(), carried: Vec::new() }
    }

    /// The columns, as every batch has them.
    pub fn schema() -> SchemaRef {
        let text = |name| Field::new(name, DataType::Utf8, false);
        let number = |name, nullable| Field::new(name, DataType::Int64, nullable);
        Arc::new(Schema::new(vec![
            text("user_id"),
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            text("event"),
            text("country"),
            text("device"),
            text("channel"),
            text("variant"),
            number("session_id", false),
            number("product_id", true),
            number("category", true),
            Field::new("price", DataType::Float64, true),
        ]))
    }

    /// The next batch; `None` after the last one.
    ///
    /// # Errors
    /// None is known; Arrow checks the columns against the schema.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        while self.ready.len() == 0 {
            if !self.next_day() {
                return Ok(None);
            }
        }
        let events: Vec<Event> = self.ready.by_ref().take(BATCH_ROWS).collect();
        self.batch(&events).map(Some)
    }

    /// Generates the sessions of the next day; false when there is nothing more.
    fn next_day(&mut self) -> bool {
        if self.next_session == self.sessions.len() && self.carried.is_empty() {
            return false;
        }
        let mut events = std::mem::take(&mut self.carried);
        while let Some(session) = self.sessions.get(self.next_session).filter(|next| usize::from(next.day) <= self.day)
        {
            self.chances.walk(self.seed, *session, &mut events);
            self.next_session += 1;
        }
        self.day += 1;
        if self.next_session < self.sessions.len() {
            let midnight = FIRST_DAY_US + self.day as i64 * DAY_US;
            self.carried = events.extract_if(.., |event| event.ts >= midnight).collect();
        }
        events.sort_unstable_by_key(|event| (event.ts, event.session, event.position));
        self.ready = events.into_iter();
        true
    }

    fn batch(&self, events: &[Event]) -> Result<RecordBatch, ArrowError> {
        let texts = |word: &dyn Fn(&Event) -> Cow<'_, str>| -> ArrayRef {
            let mut column = StringBuilder::with_capacity(events.len(), events.len() * 16);
            events.iter().for_each(|event| column.append_value(word(event)));
            Arc::new(column.finish())
        };
        let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.ts));
        let mut sessions = Int64Builder::with_capacity(events.len());
        let mut products = Int64Builder::with_capacity(events.len());
        let mut categories = Int64Builder::with_capacity(events.len());
        let mut prices = Float64Builder::with_capacity(events.len());
        for event in events {
            sessions.append_value(i64::from(event.session));
            let bought = self.chances.product(self.seed, event);
            products.append_option(bought.map(|(product, _, _)| product));
            categories.append_option(bought.map(|(_, category, _)| category));
            prices.append_option(bought.map(|(_, _, price)| price));
        }
        let traits = |event: &Event| self.chances.traits[event.user as usize].map(usize::from);
        let columns: Vec<ArrayRef> = vec![
            texts(&|event| user_id(event.user).into()),
            Arc::new(times.with_timezone("UTC")),
            texts(&|event| EVENTS[usize::from(event.code)].0.into()),
            texts(&|event| format!("C{:02}", traits(event)[0]).into()),
            texts(&|event| DEVICES[traits(event)[1]].0.into()),
            texts(&|event| CHANNELS[traits(event)[2]].into()),
            texts(&|event| VARIANTS[traits(event)[3]].into()),
            Arc::new(sessions.finish()),
            Arc::new(products.finish()),
            Arc::new(categories.finish()),
            Arc::new(prices.finish()),
        ];
        RecordBatch::try_new(Self::schema(), columns)
    }
}

/// A batch of the generator as a table takes it.
pub fn event_batch(batch: &RecordBatch) -> EventBatch {
    let properties = batch.schema_ref().fields().iter().zip(batch.columns()).skip(3);
    EventBatch {
        user_id: batch.column(0).as_string::<i32>().clone(),
        ts: batch.column(1).as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>(),
        event: batch.column(2).as_string::<i32>().clone(),
        event_id: None,
        properties: properties.map(|(field, column)| (field.name().clone(), column.clone())).collect(),
    }
}

/// The id of a user: spread over all hexadecimal numbers, so that neither order nor prefix tells anything.
fn user_id(user: u32) -> String {
    format!("{:016x}", u64::from(user).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x0123_4567))
}

/// What is drawn from: cumulative chances, prepared once.
struct Chances {
    users: Vec<f64>,
    joined: Vec<u8>,
    entries: Vec<f64>,
    moves: Vec<Vec<f64>>,
    products: Vec<f64>,
    /// Country, device, channel and variant of each user, as numbers.
    traits: Vec<[u8; 4]>,
}

/// Streams of random numbers that must not depend on each other.
#[derive(Clone, Copy)]
enum Stream {
    Users = 1,
    Session = 2,
    Walk = 3,
    Product = 4,
    Traits = 5,
}

impl Chances {
    fn new(users: usize, seed: u64) -> Self {
        let mut random = Random::new(seed, Stream::Users, 0);
        // Pareto with exponent 1.3: few people do most of what is done.
        let weights: Vec<f64> = (0..users).map(|_| (1.0 - random.unit()).powf(-1.0 / 1.3) - 1.0 + 0.15).collect();
        let joined = (0..users).map(|_| random.below(80) as u8).collect();
        let code = |name: &str| EVENTS.iter().position(|(event, _)| *event == name).unwrap_or(0);
        let mut moves = vec![vec![OTHER_MOVE; EVENTS.len() + 1]; EVENTS.len()];
        for row in &mut moves {
            row[EVENTS.len()] = LEAVING;
        }
        for (from, to, weight) in MOVES {
            moves[code(from)][code(to)] = weight;
        }
        let mut entries = vec![0.0; EVENTS.len()];
        for (name, share) in ENTRIES {
            entries[code(name)] = share;
        }
        Self {
            users: cumulative(&weights),
            joined,
            entries: cumulative(&entries),
            moves: moves.iter().map(|row| cumulative(row)).collect(),
            products: cumulative(&zipf(PRODUCTS, 0.9)),
            traits: traits(users, seed),
        }
    }

    /// Session `number`, of at most `wanted` events.
    fn session(&self, seed: u64, number: u32, wanted: u64) -> Session {
        let mut random = Random::new(seed, Stream::Session, u64::from(number));
        let user = pick(&self.users, random.unit());
        let joined = usize::from(self.joined[user]);
        let after = (-(1.0 - random.unit()).ln() * 12.0).min((DAYS - 1 - joined) as f64);
        let longest = wanted.min(MAX_SESSION_EVENTS as u64) as usize;
        let events = self.codes(seed, number).take(longest).count();
        Session { number, user: user as u32, events: events as u16, day: (joined + after as usize) as u8 }
    }

    /// The codes of the events of a session, up to the leaving.
    fn codes(&self, seed: u64, number: u32) -> impl Iterator<Item = usize> + '_ {
        let mut random = Random::new(seed, Stream::Walk, u64::from(number));
        let first = pick(&self.entries, random.unit());
        std::iter::successors(Some(first), move |now| {
            Some(pick(&self.moves[*now], random.unit())).filter(|next| *next < EVENTS.len())
        })
    }

    /// Appends the events of `session`.
    fn walk(&self, seed: u64, session: Session, events: &mut Vec<Event>) {
        // Another number of the stream of the session: its first two draws are used by `session`.
        let mut random = Random::new(seed, Stream::Session, u64::from(session.number) | 1 << 40);
        let hour = (15.0 + 4.5 * random.normal()).rem_euclid(24.0);
        let mut ts = FIRST_DAY_US + i64::from(session.day) * DAY_US + (hour / 24.0 * DAY_US as f64) as i64;
        for (position, code) in self.codes(seed, session.number).take(usize::from(session.events)).enumerate() {
            let (code, position) = (code as u8, position as u16);
            events.push(Event { ts, session: session.number, user: session.user, position, code });
            ts += ((2.8 + 1.1 * random.normal()).exp() * 1e6) as i64 + 1;
        }
    }

    /// Product, category and price of an event that concerns a product.
    fn product(&self, seed: u64, event: &Event) -> Option<(i64, i64, f64)> {
        EVENTS[usize::from(event.code)].1.then(|| {
            let number = u64::from(event.session) << 16 | u64::from(event.position);
            let mut random = Random::new(seed, Stream::Product, number);
            let product = pick(&self.products, random.unit()) as i64;
            // People have favourite categories; the rest is the product's own.
            let category = if random.unit() < 0.4 { i64::from(event.user) * 7919 % 50 } else { product % 50 };
            let price = ((3.0 + random.normal()).exp() * 100.0).round() / 100.0;
            (product, category, price)
        })
    }
}

/// Country, device, channel and variant of each user, as numbers.
fn traits(users: usize, seed: u64) -> Vec<[u8; 4]> {
    let countries = cumulative(&zipf(COUNTRIES, 1.1));
    let devices = cumulative(&DEVICES.map(|(_, share)| share));
    let mut random = Random::new(seed, Stream::Traits, 0);
    let user = |_| {
        let country = pick(&countries, random.unit()) as u8;
        let device = pick(&devices, random.unit()) as u8;
        [country, device, random.below(CHANNELS.len() as u64) as u8, random.below(VARIANTS.len() as u64) as u8]
    };
    (0..users).map(user).collect()
}

fn zipf(size: usize, exponent: f64) -> Vec<f64> {
    (1..=size).map(|rank| (rank as f64).powf(-exponent)).collect()
}

fn cumulative(weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let running = weights.iter().scan(0.0, |sum, weight| {
        *sum += weight / total;
        Some(*sum)
    });
    running.collect()
}

/// The place of `at`, a number from 0 to 1, among cumulative chances.
fn pick(chances: &[f64], at: f64) -> usize {
    chances.partition_point(|chance| *chance <= at).min(chances.len() - 1)
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: Stream, number: u64) -> Self {
        let mut random = Self(seed ^ (stream as u64).wrapping_mul(0xD605_BBB5_8C8A_BC03));
        random.0 = random.next() ^ number.wrapping_mul(0x2545_F491_4F6C_DD1D);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.unit() * bound as f64) as u64
    }

    /// A standard normal number (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use std::collections::HashSet;

    fn all(events: u64, seed: u64) -> Vec<RecordBatch> {
        let mut generator = Generator::new(events, seed);
        std::iter::from_fn(|| generator.next_batch().expect("a batch")).collect()
    }

    #[test]
    fn gives_exactly_the_number_in_order_of_time() {
        for wanted in [0, 1, 7, 100_000] {
            let batches = all(wanted, 1);
            assert_eq!(batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>(), wanted);
            let times: Vec<i64> = batches
                .iter()
                .flat_map(|batch| batch.column(1).as_primitive::<TimestampMicrosecondType>().values().to_vec())
                .collect();
            assert!(times.is_sorted());
            assert!(times.iter().all(|ts| (FIRST_DAY_US..FIRST_DAY_US + 100 * DAY_US).contains(ts)));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_events_and_another_one_others() {
        assert_eq!(all(10_000, 7), all(10_000, 7));
        assert_ne!(all(10_000, 7), all(10_000, 8));
    }

    #[test]
    fn looks_like_a_shop() {
        let batches = all(200_000, 3);
        let (mut users, mut events) = (HashSet::new(), HashSet::new());
        let mut products = 0;
        for batch in &batches {
            users.extend(batch.column(0).as_string::<i32>().iter().flatten().map(String::from));
            events.extend(batch.column(2).as_string::<i32>().iter().flatten().map(String::from));
            products += batch.num_rows() - batch.column(8).null_count();
        }
        assert_eq!(events.len(), EVENTS.len());
        assert!((3_000..=5_000).contains(&users.len()), "{} users", users.len());
        assert!((40_000..160_000).contains(&products), "{products} events with a product");
    }
}
