"""RETENTION written from its definition, as SQL for DuckDB: every start event meets every return event of its user."""
import dataclasses

DAY_US = 86_400_000_000
# Zones without summer time in 2026, as what is added to UTC.
OFFSETS = {"UTC": "0 hours", "Asia/Kolkata": "330 minutes", "America/Bogota": "-5 hours"}


@dataclasses.dataclass(frozen=True)
class Retention:
    start: str = "true"
    returns: str = "true"
    period: str = "day"  # day, week, month, or a number of days
    periods: int = 8
    brackets: tuple = ()
    mode: str = "on"
    cohort: str = "first"
    windows: str = "calendar"
    min_count: int = 1
    by: str = None
    where: str = "true"
    zone: str = "UTC"

    def trodden(self, table, emit="matrix"):
        source = table if self.where == "true" else f"(SELECT * FROM {table} WHERE {self.where})"
        period = {"day": "INTERVAL '1' DAY", "week": "INTERVAL '1' WEEK", "month": "INTERVAL '1' MONTH"}.get(
            self.period, f"INTERVAL '{self.period}' DAY")
        parts = [source, f"start => {self.start}", f"return => {self.returns}", f"period => {period}",
                 f"mode => '{self.mode}'", f"cohort => '{self.cohort}'", f"windows => '{self.windows}'",
                 f"min_count => {self.min_count}", f"emit => '{emit}'"]
        parts.append(f"brackets => {list(self.brackets)}" if self.brackets else f"periods => {self.periods}")
        if self.zone != "UTC":
            parts.append(f"time_zone => '{self.zone}'")
        if self.by:
            parts.append(f"by => {self.by}")
        return f"SELECT * FROM RETENTION({', '.join(parts)})"

    def ends(self):
        """The last period of each row after that of period 0."""
        return list(self.brackets) or list(range(1, self.periods + 1))


def definition(question):
    """Users of each cohort with the rows in which they count: user, cohort day, by, rows."""
    offset = f"INTERVAL '{OFFSETS[question.zone]}'"
    unit = question.period if question.period in ("week", "month") else "day"
    days = question.period if question.period.isdigit() else "1"
    number = {
        "day": "(CAST({0} AS DATE) - DATE '1970-01-01')",
        "week": "((CAST(date_trunc('week', {0}) AS DATE) - DATE '1970-01-05') // 7)",
        "month": "(date_part('year', {0}) * 12 + date_part('month', {0}))",
    }[unit].format(f"(ts + {offset})")
    if question.windows == "rolling":
        length = {"week": 7}.get(unit, int(days)) * DAY_US
        period, inside = f"((epoch_us(r.ts) - epoch_us(s.ts)) // {length})", "r.ts >= s.ts"
    else:
        period, inside = f"CAST((r.unit - s.unit) // {days} AS BIGINT)", "r.unit >= s.unit"
    rank = "PARTITION BY user_id" + (", unit" if question.cohort == "every" else "")
    ends = question.ends()
    row = "CASE WHEN p = 0 THEN 0 " + " ".join(f"WHEN p <= {end} THEN {i + 1}" for i, end in enumerate(ends))
    row += f" ELSE {len(ends)} + p - {ends[-1]} END" if ends else " ELSE p END"
    counted = {
        "on": "row = n",
        "on_or_after": "row >= n",
        "on_or_before": "row <= n",
    }
    rows = f"range({len(ends) + 1})"
    if question.mode == "streak":
        hits = f"""list_filter({rows}, lambda n: CASE WHEN n = 0 THEN list_contains(hit, 0)
            ELSE len(list_filter(range(1, n + 1), lambda k: NOT list_contains(hit, k))) = 0 END)"""
    else:
        hits = f"list_filter({rows}, lambda n: len(list_filter(hit, lambda row: {counted[question.mode]})) > 0)"
    by = question.by or "NULL"
    return f"""
      WITH all_events AS (SELECT *, {number} AS unit, {by} AS part FROM ev WHERE {question.where}),
      starts AS (SELECT * FROM all_events WHERE {question.start}
                 QUALIFY row_number() OVER ({rank} ORDER BY ts, r) = 1),
      returns AS (SELECT * FROM all_events WHERE {question.returns}),
      pairs AS (SELECT s.user_id, s.r AS s_r, {period} AS p FROM starts s JOIN returns r
                ON r.user_id = s.user_id AND r.r <> s.r AND {inside}),
      counted AS (SELECT user_id, s_r, {row} AS row, count(*) AS n FROM pairs GROUP BY ALL),
      hits AS (SELECT user_id, s_r, list(row) AS hit FROM counted WHERE n >= {question.min_count} GROUP BY ALL)
      SELECT s.user_id, CAST(date_trunc('{unit}', s.ts + {offset}) AS DATE) AS cohort, s.part, epoch_us(s.ts) AS started_at,
        CASE WHEN hit IS NULL THEN CAST([] AS BIGINT[]) ELSE {hits} END AS rows
      FROM starts s LEFT JOIN hits h ON h.user_id = s.user_id AND h.s_r = s.r"""
