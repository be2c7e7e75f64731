//! Batches keep what was pushed, refuse what a table cannot store, and survive any bytes.

use trodden_client::{Error, Event, EventBatchBuilder, Field, Limits, TS_MAX_US, TS_MIN_US, Value, decode};

const NOON: i64 = 1_767_268_800_000_000;

fn builder() -> EventBatchBuilder {
    EventBatchBuilder::new("events").expect("the name is good")
}

#[test]
fn every_kind_of_value_survives_the_wire() {
    let values = [
        ("none", Value::Null),
        ("flag", true.into()),
        ("least", i64::MIN.into()),
        ("most", i64::MAX.into()),
        ("price", 9.5.into()),
        ("negative_zero", (-0.0).into()),
        ("text", "Ångström \0 😀".into()),
        ("empty", "".into()),
        ("at", Value::Timestamp(TS_MIN_US)),
    ];
    let mut event = Event::new("ada", NOON, "purchase").id("order-1");
    for (name, value) in &values {
        event = event.property(*name, value.clone());
    }
    let mut batch = builder();
    batch.push(event.clone()).unwrap();
    batch.push(Event::new("bob", TS_MAX_US, "visit")).unwrap();
    let bytes = batch.encode();
    assert_eq!(bytes.len(), batch.encoded_len());

    let decoded = decode(&bytes).unwrap();
    assert_eq!(decoded.table, "events");
    assert_eq!(Event::from(decoded.events[0].clone()), event);
    assert_eq!(decoded.events[1].event_id, None, "an absent id stays absent, not empty");
    assert_eq!(decoded, batch.build());
}

#[test]
fn same_events_give_the_same_bytes_in_any_order_of_properties() {
    let encode = |names: [&str; 3]| {
        let event = names.iter().fold(Event::new("ada", NOON, "visit"), |event, name| event.property(*name, 1));
        let mut batch = builder();
        batch.push(event).unwrap();
        batch.encode()
    };
    assert_eq!(encode(["a", "b", "c"]), encode(["c", "a", "b"]));
}

#[test]
fn what_a_table_cannot_store_is_refused_and_leaves_the_batch_as_it_was() {
    let long = "x".repeat(5000);
    let cases = [
        (Event::new("", NOON, "visit"), Error::Empty { field: Field::UserId }),
        (Event::new("ada", NOON, ""), Error::Empty { field: Field::EventName }),
        (Event::new("ada", NOON, "visit").id(""), Error::Empty { field: Field::EventId }),
        (Event::new("ada", NOON, "visit").property("", 1), Error::Empty { field: Field::PropertyName }),
        (Event::new(&long, NOON, "visit"), Error::TooLong { field: Field::UserId, bytes: 5000, bytes_max: 4096 }),
        (Event::new("ada", TS_MAX_US + 1, "visit"), Error::TimeOutOfRange { field: Field::Time, ts_us: TS_MAX_US + 1 }),
        (
            Event::new("ada", NOON, "visit").property("seen", Value::Timestamp(TS_MIN_US - 1)),
            Error::TimeOutOfRange { field: Field::Property("seen".into()), ts_us: TS_MIN_US - 1 },
        ),
        (Event::new("ada", NOON, "visit").property("ts", 1), Error::ReservedName { name: "ts".into() }),
        (
            Event::new("ada", NOON, "visit").property("note", "x".repeat((1 << 20) + 1)),
            Error::TooLong { field: Field::Property("note".into()), bytes: (1 << 20) + 1, bytes_max: 1 << 20 },
        ),
    ];
    let mut batch = builder();
    batch.push(Event::new("ada", NOON, "visit")).unwrap();
    let before = batch.encode();
    for (event, expected) in cases {
        assert_eq!(batch.push(event), Err(expected));
        assert_eq!(batch.encode(), before);
    }
    assert_eq!(EventBatchBuilder::new("").unwrap_err(), Error::Empty { field: Field::Table });
}

#[test]
fn a_full_batch_says_so_and_takes_the_event_after_it_was_sent() {
    let limits = Limits { events_max: 2, ..Limits::default() };
    let mut batch = EventBatchBuilder::with_limits("events", limits).unwrap();
    let event = || Event::new("ada", NOON, "visit");
    batch.push(event()).unwrap();
    batch.push(event()).unwrap();
    assert!(matches!(batch.push(event()), Err(Error::Full { events: 2, .. })));

    let limits = Limits { batch_bytes_max: 100, ..Limits::default() };
    let mut small = EventBatchBuilder::with_limits("events", limits).unwrap();
    while small.push(event()).is_ok() {}
    assert!(small.encode().len() <= 100 && small.len() > 1);
    let large = event().property("note", "x".repeat(200));
    assert!(matches!(small.push(large), Err(Error::EventTooLarge { bytes_max: 100, .. })));
}

#[test]
fn decoding_never_panics_and_names_the_event_that_is_wrong() {
    let mut batch = builder();
    for user in ["ada", "bob", "cyd"] {
        batch.push(Event::new(user, NOON, "visit").id("1").property("price", 2.5).property("who", "me")).unwrap();
    }
    let bytes = batch.encode();
    for length in 0..bytes.len() {
        let _ = decode(&bytes[..length]);
    }
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut broken = bytes.clone();
            broken[position] ^= 1 << bit;
            let _ = decode(&broken);
        }
    }
    assert!(matches!(decode(&[0xff; 16]), Err(Error::Malformed(_))));

    let mut wire = batch.build();
    wire.events[1].user_id.clear();
    let error = decode(&prost::Message::encode_to_vec(&wire)).unwrap_err();
    assert_eq!(error.to_string(), "event 1: user_id is empty");
}
