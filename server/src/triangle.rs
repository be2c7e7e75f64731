//! A retention in the terminal: a row a cohort, a shaded cell a period.

use crate::terminal::Terminal;
use std::fmt::Write;

/// From none to all.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

/// The users of a cohort, and what became of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    /// When they started.
    pub label: String,
    /// How many they are.
    pub users: i64,
    /// For each period the part of them that came back, from 0 to 1; `None` while the period is not over.
    pub rates: Vec<Option<f64>>,
}

/// The cohorts below each other, a line each, with the periods as columns. What the terminal has no room for on the right
/// is left away. A period that is not over is a dot.
pub fn triangle(cohorts: &[Cohort], terminal: &Terminal) -> String {
    let label = cohorts.iter().map(|cohort| cohort.label.len()).max().unwrap_or(0);
    let users = cohorts.iter().map(|cohort| cohort.users.to_string().len()).max().unwrap_or(0).max("users".len());
    let cell = if terminal.unicode { 7 } else { 5 };
    let room = terminal.width.saturating_sub(label + users + 3) / cell;
    let periods = cohorts.iter().map(|cohort| cohort.rates.len()).max().unwrap_or(0).min(room);
    let mut out = String::new();
    let heads: String = (0..periods).map(|period| format!("{period:>cell$}")).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(out, " {:label$} {:>users$}{heads}", "", "users");
    for cohort in cohorts {
        let cells = cohort.rates.iter().take(periods).map(|rate| drawn(*rate, terminal.unicode));
        let line = format!(" {:label$} {:>users$}{}", cohort.label, cohort.users, cells.collect::<String>());
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn drawn(rate: Option<f64>, unicode: bool) -> String {
    match rate {
        None if unicode => "      ·".into(),
        None => "    .".into(),
        Some(rate) => {
            let percent = (100.0 * rate.clamp(0.0, 1.0)).round() as usize;
            // More than nothing is never drawn as nothing.
            let shade = if percent == 0 { 0 } else { (percent * SHADES.len() / 101).clamp(1, SHADES.len() - 1) };
            let shade = SHADES[shade];
            if unicode { format!(" {shade}{shade}{percent:>3}%") } else { format!(" {percent:>3}%") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohorts() -> Vec<Cohort> {
        let row =
            |label: &str, users, rates: &[Option<f64>]| Cohort { label: label.into(), users, rates: rates.to_vec() };
        vec![
            row("2026-01", 1200, &[Some(1.0), Some(0.5), Some(0.001)]),
            row("2026-02", 7, &[Some(0.25), Some(0.0), None]),
        ]
    }

    fn terminal(unicode: bool, width: usize) -> Terminal {
        Terminal { stdout: true, stderr: true, unicode, color: false, width }
    }

    #[test]
    fn shades_follow_the_rates() {
        let text = triangle(&cohorts(), &terminal(true, 80));
        let expected = "         users      0      1      2\n \
                        2026-01  1200 ██100% ▒▒ 50%     0%\n \
                        2026-02     7 ░░ 25%     0%      ·\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn plain_terminals_get_numbers_and_narrow_ones_fewer_periods() {
        let text = triangle(&cohorts(), &terminal(false, 26));
        assert!(text.is_ascii(), "{text}");
        assert!(text.lines().all(|line| line.len() <= 26), "{text}");
        assert!(text.contains("50%") && !text.contains('2'.to_string().repeat(2).as_str()), "{text}");
        assert_eq!(triangle(&[], &terminal(true, 80)).lines().count(), 1);
    }
}
