//! What standard output and standard error are connected to, and what can be shown there.

use std::env;
use std::io::{self, IsTerminal};

/// Width that is assumed where no terminal tells one, in columns.
const DEFAULT_WIDTH: usize = 100;

/// What can be shown to the reader of this process's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Standard output is a terminal.
    pub stdout: bool,
    /// Standard error is a terminal.
    pub stderr: bool,
    /// The locale is UTF-8, so lines and blocks may be drawn with Unicode.
    pub unicode: bool,
    /// Colours are wanted on standard error.
    pub color: bool,
    /// Columns of the terminal, or 100 where there is none.
    pub width: usize,
}

impl Terminal {
    /// Looks at the environment of this process.
    pub fn detect() -> Self {
        let stdout = io::stdout().is_terminal();
        let stderr = io::stderr().is_terminal();
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var("TERM").is_ok_and(|term| term == "dumb");
        let width = comfy_table::Table::new().width().map_or(DEFAULT_WIDTH, usize::from);
        Self { stdout, stderr, unicode: locale_is_utf8(|name| env::var(name).ok()), color: stderr && !plain, width }
    }
}

/// Whether the locale that `get` tells is UTF-8: the first of LC_ALL, LC_CTYPE and LANG that is set decides.
fn locale_is_utf8(get: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| get(name)).find(|value| !value.is_empty());
    locale.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.ends_with("utf-8") || value.ends_with("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_set_variable_decides() {
        let locale = |pairs: &'static [(&str, &str)]| {
            locale_is_utf8(move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(locale(&[("LANG", "en_GB.UTF-8")]));
        assert!(locale(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!locale(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
        assert!(!locale(&[]));
    }
}
