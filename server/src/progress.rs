//! A bar with rate and time left while files are read or copied: on a terminal only.

use crate::printable;
use crate::terminal::Terminal;
use crate::words::{bytes, thousands};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use trodden_query::CancelToken;
use trodden_query::import::Progress;

/// How often the bar moves when nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// The characters of a bar.
fn characters(unicode: bool) -> &'static str {
    if unicode { "█▉▊▋▌▍▎▏ " } else { "#> " }
}

/// The bar of an import. Off a terminal it shows nothing, and notes are lines on standard error.
pub struct ImportBar {
    bar: ProgressBar,
    rows: Arc<AtomicU64>,
    terminal: bool,
    cancel: CancelToken,
}

impl ImportBar {
    /// A bar for `terminal`; nothing is shown before the import begins. `cancel` ends the import.
    pub fn new(terminal: &Terminal, cancel: CancelToken) -> Self {
        let rows = Arc::new(AtomicU64::new(0));
        Self { bar: ProgressBar::hidden(), rows, terminal: terminal.stderr, cancel }.styled(terminal.unicode)
    }

    fn styled(self, unicode: bool) -> Self {
        let rows = self.rows.clone();
        let count = move |state: &ProgressState, out: &mut dyn Write| {
            let rows = rows.load(Ordering::Relaxed);
            let rate = rows as f64 / state.elapsed().as_secs_f64().max(1e-3);
            // A bar that cannot be drawn is no reason to fail.
            let _ = write!(out, "{} rows, {} rows/s", thousands(rows), thousands(rate as u64));
        };
        let template = "  [{bar:30}] {percent:>3} %  {rows}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars(characters(unicode)).with_key("rows", count));
        }
        self
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for ImportBar {
    fn begin(&self, bytes_total: u64) {
        self.rows.store(0, Ordering::Relaxed);
        self.bar.reset();
        self.bar.set_length(bytes_total);
        if self.terminal {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(TICK);
        }
    }

    fn advance(&self, bytes: u64, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    fn note(&self, message: &str) {
        let message = printable::lines(message);
        if self.terminal {
            self.bar.suspend(|| eprintln!("note: {message}"));
        } else {
            eprintln!("note: {message}");
        }
    }

    fn committing(&self) {
        if let Ok(style) = ProgressStyle::with_template("  {spinner} sorting and writing …") {
            self.bar.set_style(style);
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// The bar of a copy. Off a terminal it shows nothing.
pub struct CopyBar {
    bar: ProgressBar,
    terminal: bool,
}

impl CopyBar {
    /// A bar for `terminal`; nothing is shown before the copying begins.
    pub fn new(terminal: &Terminal) -> Self {
        let bar = ProgressBar::hidden();
        let size = |state: &ProgressState, out: &mut dyn Write| {
            let (copied, total) = (state.pos(), state.len().unwrap_or_default());
            let rate = copied as f64 / state.elapsed().as_secs_f64().max(1e-3);
            // A bar that cannot be drawn is no reason to fail.
            let _ = write!(out, "{} of {}, {}/s", bytes(copied), bytes(total), bytes(rate as u64));
        };
        if let Ok(style) = ProgressStyle::with_template("  [{bar:30}] {percent:>3} %  {size}, {eta} left") {
            bar.set_style(style.progress_chars(characters(terminal.unicode)).with_key("size", size));
        }
        Self { bar, terminal: terminal.stderr }
    }

    /// So much is copied, in bytes.
    pub fn at(&self, copied: u64, total: u64) {
        if self.terminal && self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(TICK);
            self.bar.reset();
        }
        self.bar.set_length(total);
        self.bar.set_position(copied);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
