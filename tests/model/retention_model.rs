//! RETENTION by brute force: every row of every cohort looks at every event.
//!
//! Written from the reference ("Words used below", "RETENTION") and what the arguments say of themselves; shares nothing
//! with the kernel but their types. Days, weeks and months come from a calendar of its own.

use crate::calendar::{DAY_US, Zone, month, month_days};
use crate::retention_case::{Case, Event};
use trodden_query::behavior::retention::{Cohorts, Mode, Period, Periods, RetentionRow, Windows};

/// More periods than any drawn user's events reach.
const PERIODS: i64 = 110;

/// One user in one cohort: its start, time and index of the start event, rows in which the user counts.
pub(crate) type Found = (i64, i64, usize, Vec<u32>);

/// What the definitions say about one user.
pub(crate) fn retention(case: &Case, events: &[Event]) -> Vec<Found> {
    let starts = (0..events.len()).filter(|&event| {
        let earlier = |other: &usize| events[*other].1 & 1 != 0 && shares_cohort(case, events, *other, event);
        events[event].1 & 1 != 0 && !(0..event).any(|other| earlier(&other))
    });
    let found = starts.map(|start| {
        let ts = events[start].0;
        let unit = unit_of(case, ts);
        (unit_start(case, unit), ts, start, rows(case, events, start))
    });
    found.collect()
}

/// Whether two start events belong to one cohort of the user, which is that of the first of them.
fn shares_cohort(case: &Case, events: &[Event], a: usize, b: usize) -> bool {
    match case.spec.cohort {
        Cohorts::First => true,
        Cohorts::Every => unit_of(case, events[a].0) == unit_of(case, events[b].0),
    }
}

fn rows(case: &Case, events: &[Event], start: usize) -> Vec<u32> {
    let bounds = Bounds::new(case, events[start].0);
    let returns = |periods: &[i64]| {
        let others = events.iter().enumerate().filter(|(event, (_, mask))| *event != start && mask & 2 != 0);
        others.filter(|(_, (ts, _))| periods.iter().any(|&period| bounds.holds(case, period, *ts))).count()
    };
    let counted: Vec<bool> =
        all_rows(&case.spec.periods).iter().map(|row| returns(row) >= case.spec.min_count as usize).collect();
    let counts = |row: &usize| match case.spec.mode {
        Mode::On => counted[*row],
        Mode::OnOrAfter => counted[*row..].contains(&true),
        Mode::OnOrBefore => counted[..=*row].contains(&true),
        Mode::Streak if *row == 0 => counted[0],
        Mode::Streak => !counted[1..=*row].contains(&false),
    };
    (0..reported(&case.spec.periods).len()).filter(counts).map(|row| row as u32).collect()
}

/// The last period of each row.
fn reported(periods: &Periods) -> Vec<i64> {
    match periods {
        Periods::Count(last) => (0..=i64::from(*last)).collect(),
        Periods::Brackets(ends) => [0].into_iter().chain(ends.iter().map(|&end| i64::from(end))).collect(),
    }
}

/// The periods of each row, and every later period as a row of its own.
fn all_rows(periods: &Periods) -> Vec<Vec<i64>> {
    let ends = reported(periods);
    let mut rows: Vec<Vec<i64>> = vec![vec![0]];
    rows.extend(ends.windows(2).map(|pair| (pair[0] + 1..=pair[1]).collect()));
    rows.extend((ends[ends.len() - 1] + 1..PERIODS).map(|period| vec![period]));
    rows
}

/// Where the periods after one start event begin.
struct Bounds {
    unit: i64,
    rolling: Vec<i64>,
}

impl Bounds {
    fn new(case: &Case, start_ts: i64) -> Self {
        let rolling = match case.spec.windows {
            Windows::Calendar => Vec::new(),
            Windows::Rolling => (0..=PERIODS).map(|period| rolling_start(case, start_ts, period)).collect(),
        };
        Self { unit: unit_of(case, start_ts), rolling }
    }

    fn holds(&self, case: &Case, period: i64, ts: i64) -> bool {
        match (case.spec.windows, case.spec.period) {
            (Windows::Rolling, _) => (self.rolling[period as usize]..self.rolling[period as usize + 1]).contains(&ts),
            (Windows::Calendar, Period::Days(days)) => {
                let first = self.unit + period * i64::from(days);
                (first..first + i64::from(days)).contains(&unit_of(case, ts))
            }
            (Windows::Calendar, _) => unit_of(case, ts) == self.unit + period,
        }
    }
}

/// Day, week or month of an instant, as a number.
fn unit_of(case: &Case, ts: i64) -> i64 {
    let day = case.zone.day(ts);
    match case.spec.period {
        Period::Day | Period::Days(_) => day,
        // 1970-01-01 was a Thursday.
        Period::Week { starts_on } => (day + 3 - i64::from(starts_on.num_days_from_monday())).div_euclid(7),
        Period::Month => month_number(day),
    }
}

fn month_number(day: i64) -> i64 {
    let (year, place) = month(day);
    year * 12 + place - 1
}

/// The first instant of a day, week or month.
fn unit_start(case: &Case, unit: i64) -> i64 {
    let day = match case.spec.period {
        Period::Day | Period::Days(_) => unit,
        Period::Week { starts_on } => unit * 7 - 3 + i64::from(starts_on.num_days_from_monday()),
        Period::Month => month_days(unit).0,
    };
    case.zone.utc_us(day * DAY_US)
}

fn rolling_start(case: &Case, start_ts: i64, period: i64) -> i64 {
    match case.spec.period {
        Period::Day => start_ts + period * DAY_US,
        Period::Week { .. } => start_ts + period * 7 * DAY_US,
        Period::Days(days) => start_ts + period * i64::from(days) * DAY_US,
        Period::Month if period == 0 => start_ts,
        // Drawn events reach a few months; later ones only have to lie after them.
        Period::Month if period > 12 => start_ts + period * 28 * DAY_US,
        Period::Month => months_later(case.zone, start_ts, period),
    }
}

fn months_later(zone: &Zone, start_ts: i64, months: i64) -> i64 {
    let local = zone.local_us(start_ts);
    let (day, time) = (local.div_euclid(DAY_US), local.rem_euclid(DAY_US));
    let number = month_number(day);
    let in_month = day - month_days(number).0;
    let (first, days) = month_days(number + months);
    zone.utc_us((first + in_month.min(days - 1)) * DAY_US + time)
}

/// The rows that the definitions give for one group: that of the cohorts whose user and start event `in_group` takes.
pub(crate) fn matrix(
    case: &Case,
    users: &[Vec<Event>],
    newest_ts: i64,
    in_group: impl Fn(usize, usize) -> bool,
) -> Vec<RetentionRow<()>> {
    let of_user = |(user, events): (usize, &Vec<Event>)| {
        let found = retention(case, events).into_iter();
        found.filter(|found| in_group(user, found.2)).collect::<Vec<Found>>()
    };
    let all: Vec<Found> = users.iter().enumerate().flat_map(of_user).collect();
    let mut cohorts: Vec<i64> = all.iter().map(|found| found.0).collect();
    cohorts.sort_unstable();
    cohorts.dedup();
    let mut rows = Vec::new();
    for cohort_us in cohorts {
        let members: Vec<&Found> = all.iter().filter(|found| found.0 == cohort_us).collect();
        for (row, &period) in reported(&case.spec.periods).iter().enumerate() {
            let users = members.iter().filter(|found| found.3.contains(&(row as u32))).count();
            rows.push(RetentionRow {
                cohort_us,
                key: (),
                cohort_users: members.len() as u64,
                period: period as u32,
                users: users as u64,
                rate: users as f64 / members.len() as f64,
                complete: members.iter().all(|found| newest_ts >= end(case, found.1, period)),
            });
        }
    }
    rows
}

/// The first instant after a period.
fn end(case: &Case, start_ts: i64, period: i64) -> i64 {
    let unit = unit_of(case, start_ts);
    match (case.spec.windows, case.spec.period) {
        (Windows::Rolling, _) => rolling_start(case, start_ts, period + 1),
        (Windows::Calendar, Period::Days(days)) => unit_start(case, unit + (period + 1) * i64::from(days)),
        (Windows::Calendar, _) => unit_start(case, unit + period + 1),
    }
}
