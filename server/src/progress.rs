//! A bar with rate and time left while a file is read: on a terminal only.

use crate::printable;
use crate::terminal::Terminal;
use crate::words::thousands;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use trodden_query::CancelToken;
use trodden_query::import::Progress;

/// How often the bar moves when nothing happens.
const TICK: Duration = Duration::from_millis(200);

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
            let characters = if unicode { "█▉▊▋▌▍▎▏ " } else { "#> " };
            self.bar.set_style(style.progress_chars(characters).with_key("rows", count));
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
