"""LIFECYCLE, STICKINESS and RFM written from their definitions, as SQL for DuckDB: a row for every user and active period, and
joins of them with each other; window functions over all customers."""
import dataclasses

from retention import OFFSETS

# The number of a period, of a local time. Weeks are from Monday.
NUMBER = {
    "day": "(CAST({0} AS DATE) - DATE '1970-01-01')",
    "week": "((CAST(date_trunc('week', {0}) AS DATE) - DATE '1970-01-05') // 7)",
    "month": "CAST(date_part('year', {0}) * 12 + date_part('month', {0}) - 1 AS BIGINT)",
}
# The first local day of a period.
START = {
    "day": "(DATE '1970-01-01' + CAST({0} AS INTEGER))",
    "week": "(DATE '1970-01-05' + CAST({0} * 7 AS INTEGER))",
    "month": "make_date(CAST({0} // 12 AS BIGINT), CAST({0} % 12 + 1 AS BIGINT), 1)",
}


@dataclasses.dataclass(frozen=True)
class Question:
    """One call. Conditions are SQL that both systems read the same way."""
    on: str = "true"
    period: str = "day"
    by: str = None
    where: str = "true"
    zone: str = "UTC"

    def trodden(self, operator, table, emit, period="period"):
        source = table if self.where == "true" else f"(SELECT * FROM {table} WHERE {self.where})"
        parts = [source, f"on => {self.on}", f"emit => '{emit}'"]
        if period:
            parts.append(f"{period} => INTERVAL '1' {self.period}")
        if self.zone != "UTC":
            parts.append(f"time_zone => '{self.zone}'")
        if self.by:
            parts.append(f"by => {self.by}")
        return f"SELECT * FROM {operator}({', '.join(parts)})"

    def active(self):
        """CTEs: `counting` events, `newest` of the table as a local time, `active` user, group, period and day."""
        local = f"(ts + INTERVAL '{OFFSETS[self.zone]}')"
        part = f"first_value({self.by}) OVER (PARTITION BY user_id ORDER BY ts, r)" if self.by else "NULL"
        return f"""
          counting AS (SELECT user_id, {part} AS part, {NUMBER[self.period].format(local)} AS p,
                         {NUMBER["day"].format(local)} AS d FROM ev WHERE ({self.where}) AND ({self.on})),
          newest AS (SELECT max({local}) AS latest, {NUMBER[self.period].format(f"(max({local}) - INTERVAL '1 microsecond')")} AS p,
                       {NUMBER["day"].format(f"(max({local}) - INTERVAL '1 microsecond')")} AS d FROM ev),
          active AS (SELECT DISTINCT user_id, part, p FROM counting),
          days AS (SELECT DISTINCT user_id, part, p, d FROM counting)"""

    def start(self, number="p"):
        return START[self.period].format(number)

    def is_complete(self, number="p"):
        return f"(SELECT latest FROM newest) >= {self.start(f'({number} + 1)')}"


def lifecycle_users(q):
    """User, group, period and status."""
    return f"""WITH {q.active()},
      firsts AS (SELECT user_id, min(p) AS first FROM active GROUP BY 1),
      statuses AS (
        SELECT a.user_id, a.part, a.p, CASE WHEN a.p = f.first THEN 'new' WHEN b.p IS NOT NULL THEN 'returning'
          ELSE 'resurrected' END AS status
        FROM active a JOIN firsts f USING (user_id) LEFT JOIN active b ON b.user_id = a.user_id AND b.p = a.p - 1
        UNION ALL
        SELECT a.user_id, a.part, a.p + 1, 'dormant' FROM active a
        WHERE NOT EXISTS (FROM active b WHERE b.user_id = a.user_id AND b.p = a.p + 1))
      SELECT user_id, part, {q.start()} AS start, status FROM statuses
      WHERE p <= (SELECT greatest(max(a.p), max(n.p)) FROM active a, newest n)"""


def lifecycle_periods(q):
    """Group, period, status, users, complete: with zeros."""
    return f"""WITH found AS ({lifecycle_users(q)}), {q.active()},
      grid AS (SELECT part, unnest(range(first, last + 1)) AS p FROM (SELECT part, min(p) AS first FROM active GROUP BY 1),
               (SELECT greatest(max(a.p), max(n.p)) AS last FROM active a, newest n)),
      cells AS (SELECT part, p, unnest(['new', 'returning', 'resurrected', 'dormant']) AS status FROM grid)
      SELECT r.part, {q.start("r.p")}, r.status, count(f.user_id), {q.is_complete("r.p")} FROM cells r
      LEFT JOIN found f ON f.part IS NOT DISTINCT FROM r.part AND f.start = {q.start("r.p")} AND f.status = r.status GROUP BY ALL"""


def histogram(q):
    """Group, period, days, users, share, complete: where there are users."""
    return f"""WITH {q.active()},
      counts AS (SELECT user_id, part, p, count(*) AS days FROM days GROUP BY ALL),
      cells AS (SELECT part, p, days, count(*) AS users FROM counts GROUP BY ALL)
      SELECT part, {q.start()}, days, users, users / sum(users) OVER (PARTITION BY part, p), {q.is_complete()} FROM cells"""


def histogram_users(q):
    """User, group, period, and the active days."""
    return f"""WITH {q.active()} SELECT user_id, part, {q.start()}, list({START["day"].format("d")} ORDER BY d) FROM days
      GROUP BY user_id, part, p"""


def active_users(q):
    """Group, day, users of the day, of 7 and of 30."""
    windows = ", ".join(f"""(SELECT count(DISTINCT user_id) FROM days
        WHERE days.part IS NOT DISTINCT FROM grid.part AND days.d BETWEEN grid.d - {length - 1} AND grid.d)""" for length in (1, 7, 30))
    return f"""WITH {q.active()},
      grid AS (SELECT part, unnest(range(first, last + 1)) AS d FROM (SELECT part, min(d) AS first FROM days GROUP BY 1),
               (SELECT greatest(max(a.d), max(n.d)) AS last FROM days a, newest n))
      SELECT part, {START["day"].format("d")}, {windows} FROM grid"""


MEASURES = ("recency", "frequency", "monetary")
# Segments by scores of recency, from 1, and frequency.
SEGMENTS = [
    ["lost", "hibernating", "at_risk", "at_risk", "cannot_lose"],
    ["hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"],
    ["about_to_sleep", "about_to_sleep", "needs_attention", "loyal", "loyal"],
    ["promising", "potential_loyalist", "potential_loyalist", "loyal", "loyal"],
    ["new", "potential_loyalist", "potential_loyalist", "champions", "champions"],
]


@dataclasses.dataclass(frozen=True)
class Rfm:
    """One call of RFM. `bounds` are three tuples, empty where quantiles decide."""
    value: str
    on: str = "true"
    as_of: str = None
    scores: int = 5
    bounds: tuple = ((), (), ())
    by: str = None
    where: str = "true"
    zone: str = "UTC"

    def trodden(self, table, emit):
        source = table if self.where == "true" else f"(SELECT * FROM {table} WHERE {self.where})"
        parts = [source, f"value => {self.value}", f"on => {self.on}", f"scores => {self.scores}", f"emit => '{emit}'"]
        given = [f"{name} => {list(bounds)}" for name, bounds in zip(MEASURES, self.bounds) if bounds]
        if given:
            parts.append(f"bounds => BOUNDS({', '.join(given)})")
        if self.as_of:
            parts.append(f"as_of => TIMESTAMP '{self.as_of}'")
        if self.zone != "UTC":
            parts.append(f"time_zone => '{self.zone}'")
        if self.by:
            parts.append(f"by => {self.by}")
        return f"SELECT * FROM RFM({', '.join(parts)})"

    def segment(self, recency, frequency):
        def place(score):
            return int(4 * (score - 1) / (self.scores - 1) + 0.5)
        return SEGMENTS[place(recency)][place(frequency)]


def customers(q):
    """User, group, microseconds of the last event, days, frequency, sum, scores."""
    offset = f"INTERVAL '{OFFSETS[q.zone]}'"
    until = f"ts <= TIMESTAMP '{q.as_of}'" if q.as_of else "true"
    as_of = f"TIMESTAMP '{q.as_of}'" if q.as_of else "(SELECT max(ts) FROM ev)"
    # The value of the first event, NULL or not.
    first = f"list({q.by} ORDER BY ts, r)[1]" if q.by else "NULL"
    measures = {"recency": "days DESC", "frequency": "frequency", "monetary": "monetary"}
    scores = []
    for name, bounds in zip(MEASURES, q.bounds):
        if bounds:
            reached = "days <=" if name == "recency" else f"{name} >="
            scores.append("1 + " + " + ".join(f"CAST({reached} {bound} AS INTEGER)" for bound in bounds))
        else:
            scores.append(f"1 + {q.scores} * (rank() OVER (ORDER BY {measures[name]}) - 1) // count(*) OVER ()")
    return f"""
      WITH all_customers AS (
        SELECT user_id, {first} AS part, epoch_us(max(ts)) AS last,
          CAST({as_of} + {offset} AS DATE) - CAST(max(ts) + {offset} AS DATE) AS days,
          count(*) AS frequency, CAST(sum(coalesce({q.value}, 0)) AS DOUBLE) AS monetary
        FROM ev WHERE ({q.where}) AND ({q.on}) AND {until} GROUP BY user_id)
      SELECT user_id, part, last, days, frequency, monetary, {", ".join(scores)} FROM all_customers"""
