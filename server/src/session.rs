//! Runs statements and writes their answers: the same for the shell, for scripts and for single statements.

use crate::backend::{Answer, Backend};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{Format, OutputFile, Written, writer};
use crate::printable;
use crate::shell::statements::{Piece, split};
use crate::tell;
use crate::terminal::Terminal;
use crate::words::{counted, elapsed};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Rows that a table shows in the shell, unless `.rows` says otherwise.
const SHELL_ROWS: usize = 200;

/// How answers are asked for and shown.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How answers are written.
    pub format: Format,
    /// Each statement runs this often; its answer is written once.
    pub repeat: u32,
    /// `time_ms=…` for each run on standard error.
    pub timing: bool,
    /// A person reads along: rows and time below each answer, long tables cut, and Ctrl-C ends the statement only.
    pub interactive: bool,
    /// Rows that a table shows. `None`: all.
    pub max_rows: Option<usize>,
    /// Whether the time stands below each answer.
    pub timer: bool,
}

impl Settings {
    /// Settings of a shell.
    pub fn interactive(format: Format) -> Self {
        Self { format, repeat: 1, timing: false, interactive: true, max_rows: Some(SHELL_ROWS), timer: true }
    }

    /// Settings of a script.
    pub fn script(format: Format) -> Self {
        Self { interactive: false, max_rows: None, ..Self::interactive(format) }
    }
}

/// Where answers go.
enum Output {
    Stdout,
    File(OutputFile),
}

/// What follows after a piece of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next piece.
    Continue,
    /// Nothing: `.quit`.
    Quit,
}

/// A database with settings and an output.
pub struct Session {
    backend: Backend,
    interrupt: Interrupt,
    /// How answers are asked for and shown.
    pub settings: Settings,
    terminal: Terminal,
    output: Output,
    answers: u64,
}

impl Session {
    /// A session that writes to standard output, or to `output`.
    ///
    /// # Errors
    /// The output cannot be created.
    pub fn new(
        backend: Backend,
        interrupt: Interrupt,
        settings: Settings,
        terminal: Terminal,
        output: Option<&Path>,
    ) -> Outcome<Self> {
        let output = match output {
            None => Output::Stdout,
            Some(path) => Output::File(OutputFile::create(path)?),
        };
        Ok(Self { backend, interrupt, settings, terminal, output, answers: 0 })
    }

    /// The database.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Ctrl-C, as it is watched for.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// What the session may show.
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Runs all statements of `script` up to the first that fails.
    ///
    /// # Errors
    /// The failure of a statement or of the output.
    pub fn run_script(&mut self, script: &str) -> Outcome<Flow> {
        for piece in split(script) {
            if self.run_piece(script, piece)? == Flow::Quit {
                return Ok(Flow::Quit);
            }
        }
        Ok(Flow::Continue)
    }

    /// Runs one piece of `script`.
    ///
    /// # Errors
    /// The failure of the statement or of the output.
    pub fn run_piece(&mut self, script: &str, piece: Piece<'_>) -> Outcome<Flow> {
        match piece {
            Piece::Command(line) => crate::shell::command(self, line),
            Piece::Sql(statement) => self.run_statement(script, statement).map(|()| Flow::Continue),
        }
    }

    /// Ends the session: what was written is complete.
    ///
    /// # Errors
    /// The failure of the output.
    pub fn finish(self) -> Outcome {
        match self.output {
            Output::Stdout => Ok(()),
            Output::File(file) => file.finish(),
        }
    }

    /// Writes a line for the person at the shell.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn say(&self, text: &str) -> Outcome {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", printable::lines(text)).map_err(|error| Failure::io("standard output", &error))
    }

    fn run_statement(&mut self, script: &str, statement: &str) -> Outcome {
        for run in 1..=self.settings.repeat {
            let is_last = run == self.settings.repeat;
            let started = Instant::now();
            let mut answer = self.backend.run(script, statement, Some(&self.interrupt))?;
            if is_last {
                self.warn(&mut answer);
            }
            // What is measured ends with the last row; a large answer that is only written is never held as a whole.
            let time = if self.settings.timing || !is_last {
                answer.collect()?;
                Some(started.elapsed())
            } else {
                None
            };
            if let Some(time) = time.filter(|_| self.settings.timing) {
                eprint_time(time);
            }
            if is_last {
                self.write(answer, time, started)?;
            }
        }
        Ok(())
    }

    /// Tells the warnings that are new.
    fn warn(&self, answer: &mut Answer) {
        answer.warnings().iter().for_each(|warning| tell(warning, &self.terminal));
    }

    /// Writes an answer. `time` is how long it took, if that is known already.
    fn write(&mut self, mut answer: Answer, time: Option<Duration>, started: Instant) -> Outcome {
        let schema = answer.schema();
        if schema.fields().is_empty() {
            while answer.next()?.is_some() {}
            self.warn(&mut answer);
            return self.footer(None, time.unwrap_or_else(|| started.elapsed()));
        }
        self.answers += 1;
        if self.settings.format == Format::Parquet && self.answers > 1 {
            return Err(Failure::usage(
                "a Parquet file holds one answer, and this is the second",
                "give one statement, or another --format",
            ));
        }
        let mut stdout = BufWriter::new(io::stdout());
        let (name, out): (String, &mut (dyn Write + Send)) = match &mut self.output {
            Output::Stdout => ("standard output".into(), &mut stdout),
            Output::File(file) => (file.path().display().to_string(), file),
        };
        let failed = |error: io::Error| Failure::io(&name, &error);
        let max_rows = self.settings.max_rows.filter(|_| self.settings.interactive);
        let mut writer = writer(self.settings.format, &schema, out, &self.terminal, max_rows).map_err(failed)?;
        while let Some(batch) = answer.next()? {
            writer.write(&batch).map_err(failed)?;
        }
        let time = time.unwrap_or_else(|| started.elapsed());
        let written = writer.finish().map_err(failed)?;
        drop(stdout);
        self.warn(&mut answer);
        self.footer(Some(written), time)
    }

    /// Rows and time, below an answer in the shell.
    fn footer(&self, written: Option<Written>, time: Duration) -> Outcome {
        if !self.settings.interactive {
            return Ok(());
        }
        let rows = written.map_or_else(|| "done".to_owned(), |written| counted(written.rows, "row"));
        let time = if self.settings.timer { format!(" in {}", elapsed(time)) } else { String::new() };
        let cut = written.filter(|written| written.shown < written.rows);
        let cut = cut.map(|written| format!("; the first {} are shown, .rows changes that", written.shown));
        self.say(&format!("{rows}{time}{}\n", cut.unwrap_or_default()))
    }
}

/// The time of one run, as measuring scripts read it.
fn eprint_time(time: Duration) {
    // A standard error that is closed is no reason to fail.
    let _ = writeln!(io::stderr(), "time_ms={:.3}", time.as_secs_f64() * 1e3);
}
