//! The client and the engine agree on what can be stored, although neither knows the other.

use trodden_client::{Error, Event, EventBatchBuilder};
use trodden_engine::types::{FIXED_COLUMNS, TS_MAX_US, TS_MIN_US};

#[test]
fn range_of_time() {
    assert_eq!((trodden_client::TS_MIN_US, trodden_client::TS_MAX_US), (TS_MIN_US, TS_MAX_US));
}

#[test]
fn names_of_fixed_columns() {
    let mut batch = EventBatchBuilder::new("events").expect("a good name");
    for name in FIXED_COLUMNS {
        let refused = batch.push(Event::new("ada", 0, "visit").property(name, 1));
        assert_eq!(refused, Err(Error::ReservedName { name: name.into() }));
    }
    batch.push(Event::new("ada", 0, "visit").property("price", 1)).expect("any other name is free");
}
