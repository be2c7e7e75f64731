//! Segments as a whole: what goes in comes out, indexes agree with a naive count, damage is found.

mod damage;
mod describe;
mod extremes;
mod index;
mod round_trip;

use super::{BlockLimits, Description, Segment, SegmentBuilder, SegmentMeta, SegmentSpec, describe_segment};
use crate::rows::{Column, Rows, TextColumn};
use crate::storage::Blob;
use crate::types::{ColumnDef, ColumnType, Schema};
use chrono_tz::Tz;

/// Blocks so small that a few rows make several.
const TINY: BlockLimits = BlockLimits { target_rows: 5, max_rows: 9, max_text_bytes: 200 };

/// A generator of numbers that needs no more than its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

fn schema(columns: &[(&str, ColumnType)]) -> Schema {
    let columns = columns
        .iter()
        .map(|(name, column_type)| ColumnDef { name: (*name).into(), column_type: *column_type })
        .collect();
    Schema { columns }
}

fn spec(schema: &Schema, introduced: std::ops::Range<u32>, tz: Tz) -> SegmentSpec {
    SegmentSpec { shard: 3, seq: 10..999, introduced, tz, schema: schema.clone() }
}

fn user_name(ordinal: u32) -> Option<String> {
    (ordinal % 11 != 7).then(|| format!("user-{ordinal:04}"))
}

/// Rows that are sorted already become a segment.
fn build(rows: &Rows, spec: SegmentSpec, limits: BlockLimits) -> (SegmentMeta, Vec<u8>) {
    let introduced = spec.introduced.clone();
    let mut builder = SegmentBuilder::with_limits(spec, Vec::new(), limits);
    let order: Vec<u32> = (0..rows.len() as u32).collect();
    // Several pushes, so that blocks and pushes do not coincide.
    for piece in order.chunks(7) {
        builder.push(rows, piece).unwrap();
    }
    builder.finish(&mut introduced.map(user_name)).unwrap()
}

fn open(bytes: Vec<u8>) -> Segment {
    Segment::open(Blob::from(bytes)).unwrap()
}

fn read_all(segment: &Segment) -> Vec<Rows> {
    (0..segment.blocks().len())
        .map(|block| {
            let block = segment.block(block);
            block.read(0..block.rows()).unwrap()
        })
        .collect()
}

/// Rows of a few users with every type of column, NULLs, ties in time, and values that repeat or do not.
fn random_rows(random: &mut Random, count: usize, start_us: i64) -> (Schema, Rows) {
    let types = [ColumnType::Boolean, ColumnType::BigInt, ColumnType::Double, ColumnType::Text, ColumnType::Timestamp];
    let mut schema = Schema::default();
    for number in 0..random.below(9) {
        let column_type = types[random.below(5) as usize];
        schema.columns.push(ColumnDef { name: format!("p{number}"), column_type });
    }
    let mut rows = Rows::new(&schema);
    let (mut ordinal, mut ts) = (random.below(3) as u32, start_us);
    let stay = 1 + random.below(12);
    for _ in 0..count {
        if random.one_in(stay) {
            ordinal += 1 + random.below(3) as u32;
            ts = start_us + random.below(1_000_000) as i64;
        }
        ts += match random.below(4) {
            0 => 0,
            1 => random.below(1000) as i64,
            2 => random.below(90_000_000_000) as i64,
            _ => random.below(60_000_000) as i64,
        };
        rows.ordinals.push(ordinal);
        rows.ts.push(ts);
        rows.event.push(Some(["view", "cart", "buy", "ünïcödé", ""][random.below(5) as usize]));
        let id = format!("id-{}", random.next());
        rows.event_id.push((!random.one_in(3)).then_some(&id));
    }
    let ordinals = rows.ordinals.clone();
    for (_, column) in &mut rows.properties {
        fill(random, column, &ordinals);
    }
    (schema, rows)
}

/// Values that are one of: all NULL, one per user, few distinct, any.
fn fill(random: &mut Random, column: &mut Column, ordinals: &[u32]) {
    let kind = random.below(5);
    let salt = random.next();
    let nulls = [1, 3, 1_000_000][random.below(3) as usize];
    for &ordinal in ordinals {
        let number = match kind {
            0 => salt,
            1 => Random(salt ^ u64::from(ordinal)).next(),
            2 => random.below(3),
            3 => random.below(100_000),
            _ => random.next(),
        };
        let is_null = match kind {
            1 => Random(u64::from(ordinal)).below(nulls) == 0 && nulls > 1,
            _ => random.one_in(nulls) || nulls == 1,
        };
        push_value(column, number, !is_null);
    }
}

fn push_value(column: &mut Column, number: u64, is_valid: bool) {
    match column {
        Column::Boolean { values, valid } => {
            values.push(is_valid && number % 2 == 1);
            valid.push(is_valid);
        }
        Column::BigInt { values, valid } => {
            values.push(if is_valid { number as i64 } else { 0 });
            valid.push(is_valid);
        }
        Column::Timestamp { values, valid } => {
            values.push(if is_valid { (number >> 14) as i64 } else { 0 });
            valid.push(is_valid);
        }
        Column::Double { values, valid } => {
            let odd = [-0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, f64::from_bits(number)];
            let value = if number < 1_000_000 { number as f64 / 100.0 } else { odd[number as usize % 5] };
            values.push(if is_valid { value } else { 0.0 });
            valid.push(is_valid);
        }
        Column::Text(text) => {
            let value = format!("text {number}");
            text.push(is_valid.then_some(value.as_str()));
        }
    }
}

/// A text column of `texts`.
fn text_column(texts: &[Option<&str>]) -> TextColumn {
    let mut column = TextColumn::default();
    texts.iter().for_each(|text| column.push(*text));
    column
}
