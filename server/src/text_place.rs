//! From a place that people read, a line and a column, to the byte of the text.

/// The byte of a line and a column, both from 1, columns counted in characters.
pub(crate) fn byte_at(text: &str, line: u64, column: u64) -> usize {
    let to_index = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut start = 0;
    for _ in 0..to_index(line) {
        match text[start..].find('\n') {
            Some(length) => start += length + 1,
            None => return text.len(),
        }
    }
    text[start..].char_indices().nth(to_index(column)).map_or(text.len(), |(at, _)| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_what_is_beyond_is_the_end() {
        let statement = "SELECT ä,\n  prise FROM t";
        let at = byte_at(statement, 2, 3);
        assert_eq!(&statement[at..at + 5], "prise");
        assert_eq!(&statement[byte_at(statement, 1, 8)..][.."ä".len()], "ä");
        assert_eq!(byte_at(statement, 9, 1), statement.len());
        assert_eq!(byte_at(statement, 2, 99), statement.len());
    }
}
