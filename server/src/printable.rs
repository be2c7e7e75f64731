//! Text from files and tables as a terminal may see it: what is stored must not steer the terminal.

/// `text` with every control character as a visible escape.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|letter| push(letter, &mut out));
    out
}

/// As [`one_line`], with its line breaks left as they are.
pub fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '\n' {
            out.push('\n');
        } else {
            push(letter, &mut out);
        }
    }
    out
}

/// Appends `letter`, escaped if it is a control character.
pub(crate) fn push(letter: char, out: &mut String) {
    match letter {
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        control if control.is_control() => out.extend(control.escape_default()),
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(one_line("a\u{1b}[2J\n\u{9b}ä"), "a\\u{1b}[2J\\n\\u{9b}ä");
        assert_eq!(lines("a\r\nb\u{7}"), "a\\r\nb\\u{7}");
    }
}
