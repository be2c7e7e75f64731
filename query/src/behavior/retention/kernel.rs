//! One user's events in, the cohorts of the user out.

use super::spec::{Cohorts, Mode, RetentionSpec, Windows};
use crate::behavior::calendar::Span;
use trodden_engine::error::Result;

/// Bit of a mask: the event satisfies `start`.
pub const START: u64 = 1;
/// Bit of a mask: the event satisfies `return`.
pub const RETURN: u64 = 2;

/// One user in one cohort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserCohort<'a> {
    /// Start of the cohort: of the calendar day, week or month of the start event.
    pub cohort_us: i64,
    /// Time of the start event; the start of the cohort where only days are known.
    pub start_ts: i64,
    /// Index of the start event, whose values are those of `by`.
    pub start_event: usize,
    /// Rows in which the user counts, ascending; see [`super::Periods::period`].
    pub rows: &'a [u32],
}

/// Finds the cohorts of users, one user after the other. Its buffers are kept from user to user.
#[derive(Debug)]
pub struct RetentionKernel {
    spec: RetentionSpec,
    /// Times of return events, from the first unit with a start event on. For rolling periods only.
    returns: Vec<i64>,
    /// Calendar units with a return or start event, ascending.
    cells: Vec<Cell>,
    rows: Vec<u32>,
}

/// A calendar unit of a user.
#[derive(Debug, Clone, Copy)]
struct Cell {
    span: Span,
    /// Return events in this unit.
    returns: usize,
    start: Option<Start>,
}

/// The event that puts the user into a cohort.
#[derive(Debug, Clone, Copy)]
struct Start {
    ts: i64,
    event: usize,
    /// Whether it satisfies `return`, too. It is no return all the same.
    is_return: bool,
}

impl RetentionKernel {
    /// A kernel for these arguments.
    ///
    /// # Errors
    /// As [`RetentionSpec::validate`].
    pub fn new(spec: RetentionSpec) -> Result<Self> {
        spec.validate()?;
        Ok(Self { spec, returns: Vec::new(), cells: Vec::new(), rows: Vec::new() })
    }

    /// The arguments.
    pub fn spec(&self) -> &RetentionSpec {
        &self.spec
    }

    /// Calls `found` for each cohort of a user, from early to late. A user without a start event has none.
    ///
    /// `times` are ascending, in total order; `masks` holds [`START`] and [`RETURN`] for each of them. Events with
    /// neither may be left out.
    pub fn run(&mut self, times: &[i64], masks: &[u64], found: impl FnMut(UserCohort<'_>)) {
        self.read(times, masks);
        self.find(found);
    }

    /// The rows in which a user counts for the cohort of a calendar unit, where only the days of returns are known and
    /// periods are calendar units. `returns` has the unit of each day with a return event, ascending, from that of the
    /// cohort on. With `itself` the first of them is that of the start event, which is the only return event of its day.
    pub fn rows_of_units(&mut self, unit: i64, returns: impl Iterator<Item = i64>, itself: bool) -> &[u32] {
        self.rows.clear();
        let mut tally = Tally::new(&self.spec, &mut self.rows);
        let units = self.spec.period.units();
        let mut itself = usize::from(itself);
        for of_return in returns {
            if !tally.add((of_return - unit) / units, 1 - std::mem::take(&mut itself)) {
                break;
            }
        }
        tally.finish();
        &self.rows
    }

    fn find(&mut self, mut found: impl FnMut(UserCohort<'_>)) {
        for index in 0..self.cells.len() {
            let Cell { span, start, .. } = self.cells[index];
            if let Some(start) = start {
                self.rows.clear();
                self.find_rows(index, start);
                let (start_ts, start_event) = (start.ts, start.event);
                found(UserCohort { cohort_us: span.start_us, start_ts, start_event, rows: &self.rows });
            }
        }
    }

    /// Divides the events into cells, from that of the first start event on.
    fn read(&mut self, times: &[i64], masks: &[u64]) {
        self.returns.clear();
        self.cells.clear();
        let unit = self.spec.period.unit();
        let keeps_times = self.spec.windows == Windows::Rolling;
        let mut started = false;
        for (event, (&ts, &mask)) in times.iter().zip(masks).enumerate() {
            if mask & (START | RETURN) == 0 {
                continue;
            }
            let is_start = mask & START != 0 && (self.spec.cohort == Cohorts::Every || !started);
            // Most events share the unit of the one before, whose end is known.
            if self.cells.last().is_none_or(|cell| ts >= cell.span.end_us) {
                if !started {
                    self.cells.clear();
                    self.returns.clear();
                }
                self.cells.push(Cell { span: unit.span(ts, self.spec.time_zone), returns: 0, start: None });
            }
            let Some(cell) = self.cells.last_mut() else { continue };
            let is_return = mask & RETURN != 0;
            cell.returns += usize::from(is_return);
            if is_return && keeps_times {
                self.returns.push(ts);
            }
            if is_start && cell.start.is_none() {
                started = true;
                cell.start = Some(Start { ts, event, is_return });
            }
        }
        if !started {
            self.cells.clear();
        }
    }

    /// Fills `rows` for the cohort of `start`, which is in cell `index`.
    fn find_rows(&mut self, index: usize, start: Start) {
        let mut tally = Tally::new(&self.spec, &mut self.rows);
        let mut itself = usize::from(start.is_return);
        match self.spec.windows {
            Windows::Calendar => {
                let first = self.cells[index].span.number;
                let units = self.spec.period.units();
                for cell in &self.cells[index..] {
                    let count = cell.returns.saturating_sub(std::mem::take(&mut itself));
                    if !tally.add((cell.span.number - first) / units, count) {
                        break;
                    }
                }
            }
            Windows::Rolling => {
                let from = self.returns.partition_point(|&ts| ts < start.ts);
                let mut rest = &self.returns[from..];
                while let Some(&ts) = rest.first() {
                    let period = self.spec.rolling_period(start.ts, ts);
                    let end = self.spec.rolling_start_us(start.ts, period + 1);
                    // At the end of time the end does not lie after the instant.
                    let count = rest.partition_point(|&ts| ts < end).max(1);
                    if !tally.add(period, count - std::mem::take(&mut itself).min(count)) {
                        break;
                    }
                    rest = &rest[count..];
                }
            }
        }
        tally.finish();
    }
}

/// Return events of a cohort, added up by row, and the rows in which the user counts for it.
struct Tally<'a> {
    spec: &'a RetentionSpec,
    rows: &'a mut Vec<u32>,
    /// The last row that is reported.
    last: i64,
    /// The row that is being counted, and its return events so far.
    row: i64,
    count: usize,
}

impl<'a> Tally<'a> {
    fn new(spec: &'a RetentionSpec, rows: &'a mut Vec<u32>) -> Self {
        Self { spec, rows, last: spec.periods.rows() as i64 - 1, row: 0, count: 0 }
    }

    /// Adds return events of a period, which is not before the last one that was added. Says whether later periods
    /// still matter.
    fn add(&mut self, period: i64, count: usize) -> bool {
        let row = self.spec.periods.row(period);
        if row != self.row {
            let decided = self.close();
            (self.row, self.count) = (row, 0);
            if decided || (row > self.last && self.spec.mode != Mode::OnOrAfter) {
                return false;
            }
        }
        self.count += count;
        true
    }

    /// Ends the row that was being counted. Says whether later ones no longer matter.
    fn close(&mut self) -> bool {
        if self.count < self.spec.min_count as usize {
            return false;
        }
        match self.spec.mode {
            Mode::On => self.rows.push(self.row as u32),
            // Rows are filled up to this one, so each is written once.
            Mode::OnOrAfter => self.fill(self.row.min(self.last)),
            Mode::OnOrBefore => {
                self.rows.extend(self.row as u32..=self.last as u32);
                return true;
            }
            Mode::Streak => {
                let next = self.rows.last().map_or(1, |&row| i64::from(row) + 1);
                if self.row != 0 && self.row != next {
                    return true;
                }
                self.rows.push(self.row as u32);
            }
        }
        self.row >= self.last
    }

    fn fill(&mut self, to: i64) {
        self.rows.extend(self.rows.len() as u32..=to as u32);
    }

    fn finish(mut self) {
        if self.row <= self.last || self.spec.mode == Mode::OnOrAfter {
            self.close();
        }
    }
}
