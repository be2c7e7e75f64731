//! The file of a tag in words.

use super::file::Directory;
use crate::error::Result;
use std::fmt::Write;

/// What is in the file of a tag, called `name`: a line for each value and shard.
///
/// # Errors
/// `Corrupt`, `UnsupportedFormat`.
pub fn describe_tag(name: &str, bytes: &[u8]) -> Result<String> {
    let directory = Directory::read(name, bytes)?;
    let form = if directory.by_value { "by value" } else { "plain" };
    let mut text = format!("tag: {} bytes, {form}, {} shards\n", bytes.len(), directory.shards);
    for (at, value) in directory.values.iter().enumerate() {
        if directory.by_value {
            text.push_str(&format!("value {:?}\n", value.text));
        }
        for (shard, (place, crc)) in value.shards.iter().enumerate() {
            let users = directory.bitmap(name, bytes, at, shard)?.len();
            let length = place.len();
            // Writing to a text does not fail.
            let _ = writeln!(
                text,
                "  shard {shard}: offset {}, {length} bytes, crc32c {crc:08x}, {users} users",
                place.start
            );
        }
    }
    Ok(text)
}
