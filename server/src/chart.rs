//! Bars in the terminal: what a funnel looks like at one glance.

use crate::terminal::Terminal;
use std::fmt::Write;

/// Widest bar, in columns: longer ones are no easier to compare.
const MAX_BAR_COLUMNS: usize = 60;
/// Narrowest bar that still shows a difference, in columns.
const MIN_BAR_COLUMNS: usize = 10;
/// Eighths of a full block, from one to seven.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// One bar: what it stands for, how long it is against the others, and the words behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What the bar stands for.
    pub label: String,
    /// Its length against the longest one; below zero and not-a-number count as zero.
    pub value: f64,
    /// What is written behind it.
    pub note: String,
}

/// The bars below each other, as wide as `terminal` allows, a line each.
pub fn bars(bars: &[Bar], terminal: &Terminal) -> String {
    let label_columns = bars.iter().map(|bar| columns(&bar.label)).max().unwrap_or(0).min(terminal.width / 3);
    let note_columns = bars.iter().map(|bar| columns(&bar.note)).max().unwrap_or(0);
    let room = terminal.width.saturating_sub(label_columns + note_columns + 4);
    let width = room.clamp(MIN_BAR_COLUMNS, MAX_BAR_COLUMNS);
    let longest = bars.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let mut out = String::new();
    for bar in bars {
        let label = fitted(&bar.label, label_columns, terminal.unicode);
        let share = if longest > 0.0 && bar.value > 0.0 { bar.value / longest } else { 0.0 };
        let drawn = draw(share, width, terminal.unicode);
        let line = format!(" {label} {}{} {}", drawn, " ".repeat(width - columns(&drawn)), bar.note);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// A bar of `share` of `width`. What is more than nothing is never drawn as nothing.
fn draw(share: f64, width: usize, unicode: bool) -> String {
    let cells = share.clamp(0.0, 1.0) * width as f64;
    if !unicode {
        let full = cells.round() as usize;
        return "#".repeat(if share > 0.0 { full.max(1) } else { 0 });
    }
    let eighths = (cells * 8.0).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    let mut bar = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar
}

/// `label` in exactly `width` columns.
fn fitted(label: &str, width: usize, unicode: bool) -> String {
    if columns(label) <= width {
        return format!("{label}{}", " ".repeat(width - columns(label)));
    }
    let mark = if unicode { "…" } else { "~" };
    let mut out = String::new();
    for letter in label.chars() {
        if columns(&out) + columns(letter.encode_utf8(&mut [0; 4])) + 1 > width {
            break;
        }
        out.push(letter);
    }
    out.push_str(mark);
    let missing = width.saturating_sub(columns(&out));
    out + &" ".repeat(missing)
}

/// Columns that `text` takes on a terminal.
fn columns(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(unicode: bool, width: usize) -> Terminal {
        Terminal { stdout: true, stderr: true, unicode, color: false, width }
    }

    fn funnel() -> Vec<Bar> {
        let bar = |label: &str, value: f64| Bar { label: label.into(), value, note: format!("{value}") };
        vec![bar("viewed", 1000.0), bar("bought", 250.0), bar("returned", 0.0), bar("once", 0.001)]
    }

    #[test]
    fn lengths_follow_the_values() {
        let text = bars(&funnel(), &terminal(false, 37));
        let hashes: Vec<usize> = text.lines().map(|line| line.matches('#').count()).collect();
        assert_eq!(hashes, [20, 5, 0, 1], "{text}");
        assert!(text.is_ascii());
    }

    #[test]
    fn unicode_shows_eighths_and_lines_fit() {
        let text = bars(&funnel(), &terminal(true, 50));
        assert!(text.lines().all(|line| columns(line) <= 50), "{text}");
        assert!(text.contains('▏') && text.contains('█'), "{text}");
    }

    #[test]
    fn long_labels_are_cut_and_wide_letters_counted() {
        let long = Bar { label: "日本語のとても長い名前".into(), value: 1.0, note: "1".into() };
        let text = bars(&[long], &terminal(true, 30));
        assert!(text.contains('…'), "{text}");
        assert!(text.lines().all(|line| columns(line) <= 30), "{text}");
        assert_eq!(bars(&[], &terminal(true, 30)), "");
        let odd = Bar { label: "x".into(), value: f64::NAN, note: String::new() };
        assert_eq!(bars(&[odd], &terminal(true, 30)).trim(), "x");
    }
}
