//! Random mutations of what clients send over gRPC, through the reading of a message to the table: stored or refused with a reason, never
//! a panic, and a database that can be asked afterwards. Deterministic: `FUZZ_SEED` chooses the run, `FUZZ_CASES` its length,
//! `FUZZ_S` its seconds.

#[path = "../../tests/fuzz/mutate.rs"]
#[allow(dead_code, reason = "other fuzzers use the rest")]
mod mutate;

use mutate::{Random, mutate_bytes, rounds};
use prost::Message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use trodden_client::{Event, Value};
use trodden_proto::v1::{EventBatch, IngestRequest};
use trodden_query::engine::producers::Mark;
use trodden_query::engine::table::Produced;
use trodden_query::engine::types::{Schema, TableOptions};
use trodden_query::{Database, Options};
use trodden_server::grpc::event_columns;

/// 2026-01-01T12:00:00Z, in microseconds since 1970.
const NOON: i64 = 1_767_268_800_000_000;

/// A request as a client sends it; the kinds of values differ from one to the next.
fn request(random: &mut Random) -> IngestRequest {
    let value = |random: &mut Random| match random.below(7) {
        0 => Value::Null,
        1 => Value::Boolean(random.below(2) == 0),
        2 => Value::BigInt(random.next().cast_signed()),
        3 => Value::Double(f64::from_bits(random.next())),
        4 => Value::Text("ä".repeat(random.below(4))),
        5 => Value::Timestamp(random.next().cast_signed()),
        _ => Value::BigInt(random.below(10) as i64),
    };
    let events = (0..random.below(6)).map(|_| {
        let ts = if random.below(9) == 0 { random.next().cast_signed() } else { NOON };
        let mut event = Event::new(["u", "v", ""][random.below(3)], ts, ["e", "f"][random.below(2)]);
        if random.below(2) == 0 {
            event = event.id(format!("{}", random.below(4)));
        }
        for _ in 0..random.below(4) {
            event = event.property(["a", "b", "A", "ts", "c\0"][random.below(5)], value(random));
        }
        event.into()
    });
    let batch = EventBatch { table: "events".into(), events: events.collect() };
    let (sequence, previous) = (random.below(20) as u64, random.below(20) as u64);
    IngestRequest {
        producer: ["", "p", "q"][random.below(3)].into(),
        sequence,
        previous,
        batch: batch.encode_to_vec().into(),
    }
}

#[test]
fn mutated_requests() {
    let mut random = Random::from_environment(9);
    let database = Database::in_memory(Options::default()).expect("a database");
    let table = database.create_table("events", Schema::default(), TableOptions::default()).expect("a table");
    let (mut stored, mut refused, mut unreadable, mut expected) = (0, 0, 0, 0);
    for case in rounds(5000) {
        let whole = request(&mut random).encode_to_vec();
        let bytes = if random.below(3) == 0 { mutate_bytes(&whole, &mut random) } else { whole };
        let send = || {
            let Ok(request) = IngestRequest::decode(bytes.as_slice()) else { return None };
            let Ok(batch) = event_columns(&request.batch) else { return None };
            let IngestRequest { producer, sequence, previous, .. } = request;
            Some(match producer.is_empty() {
                true => table.append(batch).map(Produced::Stored),
                false => table.append_from(&batch, &Mark { producer, sequence, previous }),
            })
        };
        match catch_unwind(AssertUnwindSafe(send)) {
            Ok(None) => unreadable += 1,
            Ok(Some(Ok(Produced::Stored(appended)))) => {
                stored += 1;
                expected += appended.accepted;
            }
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => {
                assert!(!error.message().is_empty());
                refused += 1;
            }
            Err(_) => panic!("case {case} panicked on {bytes:?}"),
        }
    }
    assert!(stored > 0 && refused > 0 && unreadable > 0, "{stored} stored, {refused} refused, {unreadable} unreadable");
    assert_eq!(table.snapshot().rows(), expected);
    assert_eq!(database.engine().check(), []);
}
