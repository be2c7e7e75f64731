//! Cuts a text into statements and the commands of the shell, and knows when a person is not done with typing one.
//!
//! Statements are cut by the parser of the database, so that the shell cannot see another end of a text in quotes than the
//! database does. Only the commands that begin with a dot are cut here.

use trodden_query::cut_script;

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
    cut(text).0
}

/// Whether a person who typed `text` is done: it ends with `;`, or it is a command of the shell, or nothing at all.
pub fn is_complete(text: &str) -> bool {
    !cut(text).1
}

/// The pieces of `text`, and whether more has to follow.
fn cut(text: &str) -> (Vec<Piece<'_>>, bool) {
    let (mut pieces, mut at) = (Vec::new(), 0);
    loop {
        let rest = &text[at..];
        let found = cut_script(rest);
        let command = found.statements.iter().position(|range| rest[range.start..].starts_with('.'));
        let before = &found.statements[..command.unwrap_or(found.statements.len())];
        pieces.extend(before.iter().map(|range| Piece::Sql(&rest[range.clone()])));
        let Some(command) = command else { return (pieces, found.open) };
        // The line of a command is no SQL: what follows is cut anew.
        let start = found.statements[command].start;
        let length = rest[start..].find('\n').unwrap_or(rest.len() - start);
        pieces.push(Piece::Command(rest[start..start + length].trim_end()));
        at += start + length;
    }
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
        assert_eq!(statements[0], Sql("SELECT ';', \"a;b\", `c;d` -- one; two\nFROM t"));
        assert_eq!(statements[1], Sql("SELECT $x$;$x$, $1"));
    }

    #[test]
    fn a_text_ends_where_the_parser_ends_it() {
        let text = r"SELECT E'it\'s; fine'; SELECT 'a\'; SELECT 2";
        assert_eq!(split(text), [Sql(r"SELECT E'it\'s; fine'"), Sql(r"SELECT 'a\'"), Sql("SELECT 2")]);
    }

    #[test]
    fn a_command_is_no_sql() {
        assert_eq!(split(".mode don't\nSELECT 1"), [Command(".mode don't"), Sql("SELECT 1")]);
        assert_eq!(split("SELECT 1; .help 'x\n"), [Sql("SELECT 1"), Command(".help 'x")]);
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
