//! A segment in words: every part that `docs/FORMAT.md` has, and what can be told of a damaged one.

use super::damage::{small_segment, with_footer};
use super::*;

const FORMAT: &str = include_str!("../../../../docs/FORMAT.md");

/// Three users, two blocks, and each way of storing NULLs that a few rows bring about.
fn segment() -> Vec<u8> {
    let schema = schema(&[
        ("paid", ColumnType::Boolean),
        ("plan", ColumnType::Text),
        ("price", ColumnType::Double),
        ("size", ColumnType::BigInt),
    ]);
    let mut rows = Rows { ordinals: vec![0, 0, 0, 1, 1, 4, 4, 4], ..Rows::new(&schema) };
    rows.ts = (0..8).map(|row| 1_700_000_000_000_000 + row * 3_600_000_000 * 11).collect();
    for event in ["view", "view", "buy", "view", "a\nb", "view", "view", "buy"] {
        rows.event.push(Some(event));
        rows.event_id.push((event == "buy").then_some("id-1"));
    }
    let valid = vec![true, false, true, true, false, true, true, true];
    let mut plan = TextColumn::default();
    for text in [Some("free"), Some("free"), Some("free"), Some("pro"), Some("pro"), None, None, None] {
        plan.push(text);
    }
    rows.properties[0].1 =
        Column::Boolean { values: vec![true, false, false, true, false, true, true, true], valid: valid.clone() };
    rows.properties[1].1 = Column::Text(plan);
    rows.properties[2].1 = Column::Double { values: vec![1.5, 0.0, 2.25, 3.0, 0.0, 0.5, 7.0, 8.0], valid };
    rows.properties[3].1 = Column::BigInt { values: (0..8).map(|row| row * row).collect(), valid: vec![true; 8] };
    build(&rows, spec(&schema, 0..9, Tz::Europe__Berlin), TINY).1
}

fn described(bytes: &[u8]) -> Description {
    describe_segment(Blob::from(bytes.to_vec()))
}

#[test]
fn a_small_segment_is_told_line_by_line() {
    let Description { text, damage } = described(&segment());
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(text, include_str!("described.txt"));
}

/// The first words of the lines, by their depth.
fn names(text: &str, depth: usize) -> Vec<&str> {
    let is_at = |line: &&str| line.len() - line.trim_start().len() == 2 * depth && !line.trim().is_empty();
    text.lines().skip(2).filter(is_at).map(|line| line.trim_start().split("  ").next().unwrap()).collect()
}

#[test]
fn every_part_that_the_format_has_is_told_in_its_order() {
    let parts = FORMAT.lines().find(|line| line.starts_with("header | ")).expect("the parts of a segment");
    let (_, bytes) = small_segment();
    let text = described(&bytes).text;
    assert_eq!(names(&text, 0), parts.split(" | ").collect::<Vec<_>>(), "{text}");
    let footer = &text[text.find("\nfooter").unwrap()..];
    for field in [
        "shard",
        "time zone",
        "arrival numbers",
        "introduced ordinals",
        "rows",
        "users with rows",
        "ts",
        "pages of user ids",
        "directory of pages",
        "bitmaps",
        "directory of bitmaps",
        "columns",
        "entries of blocks",
        "entries of chunks",
        "ranges",
    ] {
        assert!(names(footer, 1).contains(&field), "'{field}' is missing in:\n{footer}");
    }
}

/// Where each part lies: offsets and lengths of the lines of the top, which fill the file.
#[test]
fn the_parts_fill_the_file() {
    for bytes in [segment(), small_segment().1] {
        let text = described(&bytes).text;
        let mut end = 0;
        for line in text.lines().skip(2).filter(|line| !line.starts_with(' ')) {
            let numbers: Vec<usize> = line[24..].split_whitespace().take(2).map(|word| word.parse().unwrap()).collect();
            assert_eq!(numbers[0], end, "{line}\n{text}");
            end += numbers[1];
        }
        assert_eq!(end, bytes.len(), "{text}");
    }
}

#[test]
fn every_flipped_bit_is_named_and_the_rest_is_told() {
    let bytes = segment();
    let whole = described(&bytes).text.lines().count();
    let footer_start =
        bytes.len() - 24 - u64::from_le_bytes(bytes[bytes.len() - 24..][..8].try_into().unwrap()) as usize;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let Description { text, damage } = described(&damaged);
        assert!(!damage.is_empty(), "byte {at} is overlooked");
        // Directories have a line for each of their entries.
        let is_inside = (16..footer_start).contains(&at) && !damage[0].message().contains("directory");
        assert!(!is_inside || text.lines().count() == whole, "byte {at}: {text}");
        // Bytes that are no segment's at all have nothing to tell.
        assert!(text.contains("DAMAGED: ") || at < 8, "byte {at}: {text}");
    }
}

#[test]
fn names_of_events_that_are_damaged_hide_nothing_else() {
    let mut bytes = segment();
    let at = bytes.windows(4).position(|window| window == b"view").expect("a dictionary");
    bytes[at] ^= 1;
    assert!(Segment::open(Blob::from(bytes.clone())).is_err());
    let Description { text, damage } = described(&bytes);
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(damage[0].message().starts_with("dictionary of column 'event'"), "{damage:?}");
    let bitmaps = &text[text.find("\nbitmaps").unwrap()..];
    assert!(bitmaps.contains("event '?'") && bitmaps.contains("plan = 'free'"), "{text}");
}

#[test]
fn a_segment_that_was_cut_off_is_told_as_far_as_it_goes() {
    let bytes = segment();
    for end in 0..bytes.len() {
        let Description { text, damage } = described(&bytes[..end]);
        assert!(!damage.is_empty(), "cut at {end}");
        assert_eq!(text.contains("TRODSEG, version 2, oldest reader 2"), end >= 16, "cut at {end}: {text}");
    }
    assert!(described(b"no segment, but long enough to be one").text.is_empty());
}

#[test]
fn a_footer_that_lies_under_a_right_checksum_is_told_without_a_panic() {
    let bytes = segment();
    let length = u64::from_le_bytes(bytes[bytes.len() - 24..][..8].try_into().unwrap()) as usize;
    for at in 0..length {
        for wrong in [0, 1, 0x7f, 0xff] {
            let text = described(&with_footer(&bytes, |footer| footer[at] = wrong)).text;
            assert!(text.lines().count() < 1000, "byte {at}: {} lines", text.lines().count());
        }
    }
}
