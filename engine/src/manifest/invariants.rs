//! What every manifest keeps. Each invariant is a function of its own, checked before every swap and at every opening.

use super::{Manifest, ShardManifest};
use crate::aliases::Member;
use crate::error::{Error, Result};
use crate::ingest::shard_of;
use crate::types::{FIXED_COLUMNS, TS_MAX_US, TS_MIN_US};
use std::collections::{HashMap, HashSet};

type Check<T> = (&'static str, fn(&T) -> std::result::Result<(), String>);

const OF_TABLE: [Check<Manifest>; 7] = [
    ("the number of shards never changes", shards_match_options),
    ("column names are unique", column_names_are_unique),
    ("options are valid", options_are_valid),
    ("a file is used once", files_are_used_once),
    ("tombstones name users that exist", tombstones_name_users),
    ("fingerprints are unique", fingerprints_are_unique),
    ("aliases name users that exist, and make no circles", aliases_are_sound),
];

const OF_SHARD: [Check<ShardManifest>; 3] = [
    ("segments cover disjoint, ordered arrival numbers", arrivals_are_ordered),
    ("introduced ordinals are contiguous from 0", introduced_is_contiguous),
    ("segment summaries are possible", summaries_are_possible),
];

/// Check every invariant.
///
/// # Errors
/// `Corrupt`, naming the invariant that does not hold.
pub(crate) fn check(manifest: &Manifest) -> Result<()> {
    for (invariant, holds) in OF_TABLE {
        holds(manifest).map_err(|why| broken(manifest, None, invariant, &why))?;
    }
    for (number, shard) in manifest.shards.iter().enumerate() {
        for (invariant, holds) in OF_SHARD {
            holds(shard).map_err(|why| broken(manifest, Some(number), invariant, &why))?;
        }
        let foreign = shard.segments.iter().find(|segment| segment.meta.shard as usize != number);
        if let Some(segment) = foreign {
            let why = format!("segment {} is of shard {}", segment.file, segment.meta.shard);
            return Err(broken(manifest, Some(number), "a segment is in its own shard", &why));
        }
    }
    Ok(())
}

fn broken(manifest: &Manifest, shard: Option<usize>, invariant: &str, why: &str) -> Error {
    let place = shard.map_or(String::new(), |shard| format!(", shard {shard}"));
    Error::corrupt(format!(
        "table '{}'{place}: manifest {} breaks the invariant '{invariant}': {why}",
        manifest.name, manifest.number
    ))
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> std::result::Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

fn shards_match_options(manifest: &Manifest) -> std::result::Result<(), String> {
    let (are, should) = (manifest.shards.len(), manifest.options.shards as usize);
    ensure(are == should && should > 0, || format!("{are} shards instead of {should}"))
}

fn column_names_are_unique(manifest: &Manifest) -> std::result::Result<(), String> {
    let mut seen: HashSet<&str> = FIXED_COLUMNS.into();
    let twice = manifest.schema.columns.iter().find(|column| !seen.insert(&column.name));
    ensure(twice.is_none(), || format!("'{}' is there twice", twice.map_or("", |column| &column.name)))
}

fn options_are_valid(manifest: &Manifest) -> std::result::Result<(), String> {
    let options = &manifest.options;
    ensure((1..=1024).contains(&options.shards), || format!("{} shards", options.shards))?;
    ensure(options.tz().is_ok(), || format!("time zone '{}'", options.time_zone))?;
    ensure(options.dedup_window_us >= 0, || format!("a dedup window of {} µs", options.dedup_window_us))
}

fn files_are_used_once(manifest: &Manifest) -> std::result::Result<(), String> {
    let mut seen = HashSet::new();
    let twice = manifest.segments().find(|segment| !seen.insert(segment.file));
    ensure(twice.is_none(), || format!("file {}", twice.map_or(0, |segment| segment.file)))
}

fn tombstones_name_users(manifest: &Manifest) -> std::result::Result<(), String> {
    let strange = manifest.tombstones.iter().find(|tombstone| {
        let shard = manifest.shards.get(tombstone.shard as usize);
        !shard.is_some_and(|shard| tombstone.ordinal < shard.next_ordinal && tombstone.seq <= shard.next_seq)
    });
    ensure(strange.is_none(), || format!("{strange:?}"))
}

fn fingerprints_are_unique(manifest: &Manifest) -> std::result::Result<(), String> {
    let mut seen = HashSet::new();
    let twice = manifest.imported.iter().find(|fingerprint| !seen.insert(fingerprint.as_str()));
    ensure(twice.is_none(), || format!("{} is there twice", twice.map_or("", |fingerprint| fingerprint)))
}

fn aliases_are_sound(manifest: &Manifest) -> std::result::Result<(), String> {
    let exists = |member: &Member| {
        let shard = manifest.shards.get(member.shard as usize);
        shard.is_some_and(|shard| member.ordinal < shard.next_ordinal)
            && shard_of(&member.id, manifest.options.shards) == member.shard
    };
    let strange = manifest.aliases.iter().find(|alias| !exists(&alias.source) || !exists(&alias.target));
    ensure(strange.is_none(), || format!("{strange:?}"))?;
    let targets: HashMap<&str, &str> =
        manifest.aliases.iter().map(|alias| (alias.source.id.as_str(), alias.target.id.as_str())).collect();
    ensure(targets.len() == manifest.aliases.len(), || "an id is the alias of two".into())?;
    let mut ends: HashSet<&str> = HashSet::new();
    for alias in &manifest.aliases {
        let (mut id, mut way) = (alias.source.id.as_str(), HashSet::new());
        while let Some(next) = targets.get(id).filter(|_| !ends.contains(id)) {
            ensure(way.insert(id), || format!("'{id}' is an alias of itself"))?;
            id = next;
        }
        // Whoever comes here later gets to an end, too.
        ends.extend(way);
    }
    Ok(())
}

fn arrivals_are_ordered(shard: &ShardManifest) -> std::result::Result<(), String> {
    let mut end = 0;
    for segment in &shard.segments {
        let meta = &segment.meta;
        ensure(end <= meta.seq_start && meta.seq_start <= meta.seq_end, || {
            format!("segment {} covers {}..{} after {end}", segment.file, meta.seq_start, meta.seq_end)
        })?;
        end = meta.seq_end;
    }
    ensure(end <= shard.next_seq, || format!("the next arrival number is {}, after {end}", shard.next_seq))
}

fn introduced_is_contiguous(shard: &ShardManifest) -> std::result::Result<(), String> {
    let mut end = 0;
    for segment in &shard.segments {
        let meta = &segment.meta;
        ensure(meta.introduced_start == end && meta.introduced_end >= end, || {
            format!(
                "segment {} introduces {}..{}, not {end}..",
                segment.file, meta.introduced_start, meta.introduced_end
            )
        })?;
        end = meta.introduced_end;
    }
    ensure(end == shard.next_ordinal, || format!("the next ordinal is {}, after {end}", shard.next_ordinal))
}

fn summaries_are_possible(shard: &ShardManifest) -> std::result::Result<(), String> {
    for segment in &shard.segments {
        let meta = &segment.meta;
        let times = match meta.rows {
            0 => meta.ts_min > meta.ts_max,
            _ => TS_MIN_US <= meta.ts_min && meta.ts_min <= meta.ts_max && meta.ts_max <= TS_MAX_US,
        };
        let users = u64::from(meta.users) <= meta.rows && (meta.users == 0) == (meta.rows == 0);
        ensure(times && users && meta.introduced_end <= shard.next_ordinal, || format!("segment {}", segment.file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::SegmentEntry;
    use super::*;
    use crate::aliases::Alias;
    use crate::segment::SegmentMeta;
    use crate::types::{Schema, TableOptions};

    fn entry(file: u64, seq: (u64, u64), introduced: (u32, u32)) -> SegmentEntry {
        let meta = SegmentMeta {
            shard: 0,
            seq_start: seq.0,
            seq_end: seq.1,
            introduced_start: introduced.0,
            introduced_end: introduced.1,
            rows: 1,
            users: 1,
            ts_min: 5,
            ts_max: 5,
            bytes: 1,
            footer_crc: 0,
        };
        SegmentEntry { file, meta }
    }

    fn manifest() -> Manifest {
        let options = TableOptions { shards: 1, ..TableOptions::default() };
        let mut manifest = Manifest::first(1, "t", Schema::default(), options);
        manifest.shards[0] = ShardManifest {
            segments: vec![entry(1, (0, 4), (0, 2)), entry(2, (4, 9), (2, 3))],
            next_seq: 9,
            next_ordinal: 3,
        };
        manifest
    }

    fn alias(source: (&str, u32), target: (&str, u32)) -> Alias {
        let member = |(id, ordinal): (&str, u32)| Member { shard: 0, ordinal, id: id.into() };
        Alias { source: member(source), target: member(target), joined: false }
    }

    #[test]
    fn a_sound_manifest_passes() {
        check(&manifest()).unwrap();
        let mut manifest = manifest();
        manifest.aliases = vec![alias(("a", 0), ("b", 1)), alias(("b", 1), ("c", 2))];
        check(&manifest).unwrap();
    }

    #[test]
    fn every_broken_invariant_is_named() {
        type Breaker = (fn(&mut Manifest), &'static str);
        let breakers: [Breaker; 10] = [
            (|m| m.shards.clear(), "number of shards"),
            (|m| m.options.time_zone = "Mars".into(), "options are valid"),
            (|m| m.shards[0].segments[1].file = 1, "a file is used once"),
            (|m| m.tombstones.push(super::super::Tombstone { shard: 0, ordinal: 3, seq: 1 }), "tombstones"),
            (|m| m.imported = vec!["a".into(), "a".into()], "fingerprints"),
            (|m| m.aliases.push(alias(("a", 0), ("b", 3))), "aliases"),
            (|m| m.aliases = vec![alias(("a", 0), ("b", 1)), alias(("b", 1), ("a", 0))], "aliases"),
            (|m| m.shards[0].segments[1].meta.seq_start = 3, "arrival numbers"),
            (|m| m.shards[0].segments[1].meta.introduced_start = 1, "contiguous"),
            (|m| m.shards[0].segments[0].meta.ts_min = i64::MIN, "summaries"),
        ];
        for (breaker, name) in breakers {
            let mut manifest = manifest();
            breaker(&mut manifest);
            let error = check(&manifest).unwrap_err();
            assert!(error.message().contains(name), "{name}: {error}");
        }
    }
}
