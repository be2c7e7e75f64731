//! Random mutations of what SDKs send, through decoders and door: an answer or a refusal, never a panic, and a database that can be
//! asked afterwards. Deterministic: `FUZZ_SEED` chooses the run, `FUZZ_CASES` its length, `FUZZ_S` its
//! seconds.

#[path = "../../tests/fuzz/mutate.rs"]
#[allow(dead_code, reason = "other fuzzers use the rest")]
mod mutate;

use mutate::{Random, cases, mutate_bytes, mutate_words, rounds};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use trodden_query::{Database, Options};
use trodden_server::access::{Access, Principal, Role};
use trodden_server::config::load;
use trodden_server::door::Door;
use trodden_server::http::payload::{Payload, Request};
use trodden_server::http::protocol::Path;
use trodden_server::serve::{App, Clock, Queries};

const SAMPLES: [(Path, &str); 9] = [
    (
        Path::SegmentBatch,
        r#"{"batch":[{"type":"track","userId":"u","anonymousId":"a","event":"x","messageId":"1","timestamp":"2026-03-01T10:00:00Z","properties":{"n":1,"m":{"b":[1]}},"context":{"library":{"name":"l"}}},{"type":"identify","userId":"u","traits":{"plan":"pro","age":null}},{"type":"alias","userId":"u","previousId":"o"},{"type":"group","userId":"u","groupId":"g","traits":{"a":1}}],"context":{"ip":"1"},"writeKey":"k"}"#,
    ),
    (
        Path::Segment("page"),
        r#"{"anonymousId":"a","name":"Home","properties":{"name":"Home","x":1.5},"timestamp":1772359200}"#,
    ),
    (
        Path::PostHog,
        r#"{"api_key":"k","batch":[{"event":"e","distinct_id":"u","uuid":"1","timestamp":"2026-03-01T10:00:00Z","properties":{"$set":{"a":1},"$set_once":{"b":"x"},"$unset":["c"],"p":{"q":true}}},{"event":"$create_alias","distinct_id":"u","properties":{"alias":"v"}},{"event":"$identify","distinct_id":"u","properties":{"$anon_distinct_id":"w"},"offset":5}]}"#,
    ),
    (Path::Batch, r#"{"api_key":"k","events":[{"event_type":"e","user_id":"u"}]}"#),
    (
        Path::Amplitude,
        r#"{"api_key":"k","events":[{"event_type":"e","user_id":"u","device_id":"d","insert_id":"1","time":1772359200250,"event_properties":{"p":9.5},"user_properties":{"$set":{"a":1},"$setOnce":{"b":2},"$unset":{"c":"-"},"$add":{"n":1}}},{"event_type":"$identify","user_id":"u","device_id":"d","user_properties":{"a":1}}]}"#,
    ),
    (
        Path::Track,
        r#"[{"event":"e","properties":{"token":"t","distinct_id":"u","time":1772359200,"$insert_id":"1","p":1e3}},{"event":"$merge","properties":{"$distinct_ids":["u","v"]}}]"#,
    ),
    (
        Path::MixpanelImport,
        "{\"event\":\"e\",\"properties\":{\"distinct_id\":\"u\"}}\n{\"event\":\"f\",\"properties\":{\"distinct_id\":\"u\"}}\n",
    ),
    (
        Path::Engage,
        r#"[{"$token":"t","$distinct_id":"u","$time":1772359200,"$set":{"a":{"b":"x"}},"$set_once":{"c":1}},{"$distinct_id":"u","$unset":["a"]},{"$distinct_id":"u","$delete":""}]"#,
    ),
    (
        Path::Plain,
        "{\"user_id\":\"u\",\"event\":\"e\",\"ts\":\"2026-03-01T10:00:00Z\",\"event_id\":\"1\",\"p\":-0.5,\"q\":{\"r\":\"\\u00e9\\ud83d\"}}\n{\"user_id\":7,\"event\":\"e\",\"p\":NaN}\n",
    ),
];

const WORDS: [&str; 24] = [
    "null",
    "true",
    "-0",
    "1e999",
    "NaN",
    "9223372036854775808",
    "\"\"",
    "\"ts\"",
    "\"user_id\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "{}",
    "[]",
    "[[[",
    "{\"\":1}",
    "{\"a\":{\"a\":1},\"a.a\":2}",
    "\"0001-01-01\"",
    "\"9999-12-31T23:59:59.9999999Z\"",
    "-1e300",
    ",",
    ":",
    "}",
    "\"$set\"",
    "\"batch\"",
];

fn door(database: &Database) -> (Door, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let config = load(None, HashMap::new(), &Vec::new()).expect("the defaults");
    let access = Access::open(database.clone(), false).expect("keys");
    let queries = Queries::new(&runtime, 1);
    let app = App::new(database.clone(), access, queries, Arc::new(config), Clock);
    (Door::new(Arc::new(app)), runtime)
}

/// Whether anything of the body was taken.
fn send(door: &Door, path: Path, body: &[u8], random: &mut Random) -> bool {
    let encoding = *random.pick(&[None, None, Some("gzip"), Some("deflate"), Some("zstd")]);
    let query = *random.pick(&["", "verbose=1", "table=t", "data=e30"]);
    let Ok(payload) = Payload::of(&Request { query, encoding, body }, 1 << 20) else { return false };
    // Every decoder sees every body: whoever sends to the wrong path is told so.
    let others = [
        Path::SegmentBatch,
        Path::Segment("track"),
        Path::PostHog,
        Path::Amplitude,
        Path::Track,
        Path::Engage,
        Path::Plain,
    ];
    for path in others {
        if let Ok(delivery) = path.decode(path.protocol(), &payload, 0) {
            assert!(
                delivery
                    .rejected
                    .iter()
                    .all(|rejection| rejection.index < delivery.messages && !rejection.reason.is_empty())
            );
            assert!(delivery.events.iter().all(|event| event.index < delivery.messages && !event.user_id.is_empty()));
        }
    }
    let Ok(delivery) = path.decode(path.protocol_of(&payload), &payload, 0) else { return false };
    let anybody = Principal { key: None, role: Role::Admin, table: None };
    let receipt = door.store(&anybody, None, delivery, 1_000_000).expect("a database in memory has room");
    receipt.accepted + receipt.profiles + receipt.aliases > 0
}

#[test]
fn mutated_requests() {
    let mut random = Random::from_environment(7);
    let database = Database::in_memory(Options::default()).expect("a database");
    let (door, _runtime) = door(&database);
    let (mut taken, mut refused) = (0, 0);
    for case in rounds(3000) {
        let (path, sample) = *random.pick(&SAMPLES);
        let text = match random.below(3) {
            0 => String::from_utf8_lossy(&mutate_bytes(sample.as_bytes(), &mut random)).into_owned(),
            1 => mutate_words(sample, &WORDS, &mut random),
            _ => replaced(sample, &mut random),
        };
        let body = match random.below(8) {
            0 => gzip(text.as_bytes()),
            1 => mutate_bytes(&gzip(text.as_bytes()), &mut random),
            2 => format!("data={text}").into_bytes(),
            _ => text.clone().into_bytes(),
        };
        let sent = std::panic::AssertUnwindSafe(|| send(&door, path, &body, &mut random));
        match std::panic::catch_unwind(sent) {
            Ok(true) => taken += 1,
            Ok(false) => refused += 1,
            Err(_) => panic!("case {case}: {path:?} panicked on {text:?} ({body:?})"),
        }
    }
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
    let rows =
        database.query_blocking("SELECT count(*) FROM events; SELECT count(*) FROM events_users").expect("an answer");
    assert_eq!(rows.rows(), 1);
}

/// The text with one of its values replaced by another one: still JSON, most of the time.
fn replaced(text: &str, random: &mut Random) -> String {
    let colons: Vec<usize> = text.match_indices(':').map(|(at, _)| at + 1).collect();
    let start = *random.pick(&colons);
    let end = text[start..].find([',', '}', ']']).map_or(text.len(), |length| start + length);
    format!("{}{}{}", &text[..start], random.pick(&WORDS), &text[end..])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn random_bytes() {
    let mut random = Random::from_environment(8);
    let database = Database::in_memory(Options::default()).expect("a database");
    let (door, _runtime) = door(&database);
    for _ in 0..cases(3000) {
        let length = random.below(200);
        let alphabets: [&[u8]; 2] =
            [b"{}[]\":,\\u01ae-.tfn \n$", &[0, 0x1f, 0x8b, 0x28, 0xb5, 0xff, b'{', b'"', b'd', b'=']];
        let alphabet = *random.pick(&alphabets);
        let body: Vec<u8> = (0..length).map(|_| *random.pick(alphabet)).collect();
        let (path, _) = *random.pick(&SAMPLES);
        send(&door, path, &body, &mut random);
    }
}
