//! Lines of a description: an item each, with its place, its length and its checksum in columns of their own.

use crate::error::{Error, Result};
use crate::segment::footer::Extent;
use std::fmt::Write;

/// Names that are longer move only their own line.
const NAME_WIDTH_MAX: usize = 40;
/// Texts of the user are cut behind so many characters.
const TEXT_CHARS_MAX: usize = 80;

/// Where an item lies in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    offset: usize,
    length: usize,
    crc: Option<u32>,
}

impl Place {
    /// Bytes with a checksum of their own.
    pub(super) fn checked(extent: &Extent) -> Self {
        Self { offset: extent.offset, length: extent.length, crc: Some(extent.crc) }
    }

    /// Bytes that are checked as parts of something else, or part by part.
    pub(super) fn unchecked(offset: usize, length: usize) -> Self {
        Self { offset, length, crc: None }
    }
}

/// The description so far, and the damage that was met.
pub(super) struct Lines {
    pub(super) text: String,
    pub(super) damage: Vec<Error>,
    name_width: usize,
    number_width: usize,
}

impl Lines {
    /// Lines for a file of `bytes` bytes, where `names` stand at the depth of the columns of a block.
    pub(super) fn new<'a>(bytes: usize, names: impl Iterator<Item = &'a str>) -> Self {
        let longest = names.map(|name| 4 + escaped(name).chars().count()).max().unwrap_or(0);
        let name_width = longest.clamp("directory of user ids  ".len(), NAME_WIDTH_MAX);
        let number_width = bytes.to_string().len().max("length".len());
        Self { text: String::new(), damage: Vec::new(), name_width, number_width }
    }

    /// A line for people, without a place.
    pub(super) fn plain(&mut self, words: &str) {
        self.text.push_str(words);
        self.text.push('\n');
    }

    /// The names of the columns of what follows.
    pub(super) fn head(&mut self) {
        self.line("", ["offset".into(), "length".into(), "crc".into()], "");
    }

    /// A part of the file, and what it is; or what is wrong with it, with the name of the place.
    pub(super) fn item(&mut self, depth: usize, name: &str, place: Place, words: Result<String>) {
        let crc = place.crc.map_or_else(String::new, |crc| format!("{crc:08x}"));
        let name = format!("{:1$}{name}", "", 2 * depth);
        let words = self.words(words);
        self.line(&name, [place.offset.to_string(), place.length.to_string(), crc], &words);
    }

    /// A field of a part.
    pub(super) fn field(&mut self, name: &str, words: &str) {
        self.line(&format!("  {name}"), Default::default(), words);
    }

    fn words(&mut self, words: Result<String>) -> String {
        words.unwrap_or_else(|error| {
            let words = format!("DAMAGED: {}", error.message());
            self.damage.push(error);
            words
        })
    }

    fn line(&mut self, name: &str, [offset, length, crc]: [String; 3], words: &str) {
        let (names, numbers) = (self.name_width, self.number_width);
        let line = format!("{name:names$}  {offset:>numbers$}  {length:>numbers$}  {crc:8}  {words}");
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "{}", line.trim_end());
    }
}

/// A text of the user so that it stays in its line.
pub(super) fn escaped(text: &str) -> String {
    let mut letters = text.chars();
    let mut out: String = letters.by_ref().take(TEXT_CHARS_MAX).flat_map(char::escape_debug).collect();
    if letters.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_user_stays_in_its_line_and_is_cut() {
        assert_eq!(escaped("a\nb\u{1b}ü"), "a\\nb\\u{1b}ü");
        assert_eq!(escaped(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(escaped(&"é".repeat(81)), "é".repeat(80) + "…");
    }

    #[test]
    fn damage_stands_in_its_line_and_is_kept() {
        let mut lines = Lines::new(10, [].into_iter());
        lines.item(2, "ts", Place::unchecked(3, 4), Err(Error::corrupt("no such form")));
        assert!(lines.text.ends_with("DAMAGED: no such form\n"), "{}", lines.text);
        assert_eq!(lines.damage[0].message(), "no such form");
    }
}
