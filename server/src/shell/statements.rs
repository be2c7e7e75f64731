//! Cuts a text into statements at `;`, and knows when a person is not done with typing one.

/// A piece of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A statement of SQL, without its `;`.
    Sql(&'a str),
    /// A command of the shell, such as `.tables`, without its line break.
    Command(&'a str),
}

/// The pieces of `text`, in order. Empty statements and comments between statements are left out.
pub fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some((piece, next, _)) = next_piece(text, at) {
        pieces.push(piece);
        at = next;
    }
    pieces
}

/// Whether a person who typed `text` is done: it ends with `;`, or it is a command of the shell, or nothing at all.
pub fn is_complete(text: &str) -> bool {
    let mut at = 0;
    let mut complete = true;
    while let Some((piece, next, terminated)) = next_piece(text, at) {
        complete = terminated || matches!(piece, Piece::Command(_));
        at = next;
    }
    complete && !in_comment(text, at)
}

/// The next piece from byte `at` on, where it ends, and whether a `;` ended it.
fn next_piece(text: &str, at: usize) -> Option<(Piece<'_>, usize, bool)> {
    let mut start = skip_blank(text, at);
    while text[start..].starts_with(';') {
        start = skip_blank(text, start + 1);
    }
    if start == text.len() {
        return None;
    }
    if text[start..].starts_with('.') {
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        return Some((Piece::Command(text[start..end].trim_end()), end, true));
    }
    let bytes = text.as_bytes();
    let mut end = start;
    while end < bytes.len() && bytes[end] != b';' {
        end = skip_token(text, end);
    }
    let terminated = end < bytes.len();
    Some((Piece::Sql(text[start..end].trim_end()), end + usize::from(terminated), terminated))
}

/// Behind the white space and the comments at `at`.
fn skip_blank(text: &str, mut at: usize) -> usize {
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let next = skip_comment(text, at);
        if next == at {
            return at;
        }
        at = next;
    }
}

/// Behind the comment at `at`, or `at` when there is none.
fn skip_comment(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    if rest.starts_with("--") {
        return rest.find('\n').map_or(text.len(), |length| at + length + 1);
    }
    if !rest.starts_with("/*") {
        return at;
    }
    let (bytes, mut depth, mut end) = (text.as_bytes(), 1, at + 2);
    while end < bytes.len() && depth > 0 {
        match (bytes[end], bytes.get(end + 1)) {
            (b'/', Some(b'*')) => (depth, end) = (depth + 1, end + 2),
            (b'*', Some(b'/')) => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
    }
    end
}

/// Whether the text ends inside a block comment that began at or after `at`.
fn in_comment(text: &str, at: usize) -> bool {
    let at = skip_blank(text, at);
    at == text.len()
        && text.rfind("/*").is_some_and(|open| skip_comment(text, open) == text.len() && !text.ends_with("*/"))
}

/// Behind the token at `at`: a quoted text, a comment, or one byte.
fn skip_token(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    match bytes[at] {
        quote @ (b'\'' | b'"' | b'`') => skip_quoted(bytes, at + 1, quote),
        b'-' | b'/' => skip_comment(text, at).max(at + 1),
        b'$' => skip_dollar_quoted(text, at),
        _ => at + 1,
    }
}

/// Behind the closing quote; a doubled quote stands for itself, and so simply opens the next text.
fn skip_quoted(bytes: &[u8], at: usize, quote: u8) -> usize {
    bytes[at..].iter().position(|byte| *byte == quote).map_or(bytes.len(), |length| at + length + 1)
}

/// Behind `$tag$ … $tag$`, or one byte when no such text begins here (`$1` is a parameter).
fn skip_dollar_quoted(text: &str, at: usize) -> usize {
    let tag_length = text[at + 1..].bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let tag_end = at + 1 + tag_length;
    let numbered = text.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
    if numbered || !text[tag_end..].starts_with('$') {
        return at + 1;
    }
    let tag = &text[at..=tag_end];
    text[tag_end + 1..].find(tag).map_or(text.len(), |length| tag_end + 1 + length + tag.len())
}

#[cfg(test)]
mod tests {
    use super::Piece::{Command, Sql};
    use super::*;

    #[test]
    fn cuts_at_semicolons_outside_of_texts_and_comments() {
        let text = "SELECT ';', \"a;b\", `c;d` -- one; two\nFROM t /* ; /* ; */ ; */;\n;; SELECT $x$;$x$, $1";
        let statements = split(text);
        assert_eq!(statements.len(), 2);
        assert_eq!(statements[0], Sql("SELECT ';', \"a;b\", `c;d` -- one; two\nFROM t /* ; /* ; */ ; */"));
        assert_eq!(statements[1], Sql("SELECT $x$;$x$, $1"));
    }

    #[test]
    fn comments_alone_are_no_statement() {
        assert_eq!(split("-- nothing\n /* at all */ ; "), []);
        assert_eq!(split("-- first\nSELECT 1;"), [Sql("SELECT 1")]);
    }

    #[test]
    fn commands_are_lines_of_their_own() {
        assert_eq!(
            split(".tables\nSELECT 1; .mode csv \n"),
            [Command(".tables"), Sql("SELECT 1"), Command(".mode csv")]
        );
        assert_eq!(split("SELECT 1\n.5;"), [Sql("SELECT 1\n.5")]);
    }

    #[test]
    fn knows_when_typing_is_done() {
        for done in ["", "  ", ";", "SELECT 1;", "SELECT 1; -- so", ".help", "SELECT ''';';", "-- only this"] {
            assert!(is_complete(done), "{done}");
        }
        for open in
            ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1; SELECT 2", "SELECT /* ; ", "SELECT '';'", "/* x"]
        {
            assert!(!is_complete(open), "{open}");
        }
    }

    #[test]
    fn text_of_any_alphabet_is_cut_on_character_boundaries() {
        assert_eq!(split("SELECT 'ä;ö'; SELECT '日本'"), [Sql("SELECT 'ä;ö'"), Sql("SELECT '日本'")]);
    }
}
