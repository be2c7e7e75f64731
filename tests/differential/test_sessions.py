"""SESSIONS against its definition in DuckDB, on random events and on real data: session by session, and cell by cell."""
import dataclasses
import math
import os
import random

import pytest

from retention import OFFSETS
from test_real_data import ecom  # noqa: F401  (a fixture)
from trodden import micros


@dataclasses.dataclass(frozen=True)
class Visits:
    """One call. `gap` is in seconds; `name` a column that names the session instead; without both a user has one session."""
    gap: int = None
    name: str = None
    node: str = "event"
    exclude: str = "false"
    by: str = None
    where: str = "true"
    collapse: bool = True
    bucket: str = None
    zone: str = "UTC"

    def trodden(self, table, emit):
        source = table if self.where == "true" else f"(SELECT * FROM {table} WHERE {self.where})"
        session = f"INTERVAL '{self.gap}' SECOND" if self.gap else self.name or "NULL"
        parts = [source, f"session => {session}", f"node => {self.node}", f"emit => '{emit}'"]
        if self.exclude != "false":
            parts.append(f"exclude => {self.exclude}")
        if emit == "stops" and not self.collapse:
            parts.append("collapse => false")
        if emit == "summary" and self.bucket:
            parts.append(f"bucket => '{self.bucket}'")
        if self.zone != "UTC":
            parts.append(f"time_zone => '{self.zone}'")
        if self.by:
            parts.append(f"by => {self.by}")
        return f"SELECT * FROM SESSIONS({', '.join(parts)})"

    def sql(self, answer):
        """`kept` events with the key of their session, `found` sessions, `stops`, and what `answer` selects from them."""
        named = f"AND {self.name} IS NOT NULL" if self.name else ""
        if self.gap:
            begins = f"t - lag(t) OVER (PARTITION BY user_id ORDER BY t, r) > {self.gap * 1_000_000}"
            key = f"(SELECT *, count(*) FILTER (begins) OVER (PARTITION BY user_id ORDER BY t, r) AS key FROM (SELECT *, {begins} AS begins FROM input))"
        else:
            key = f"(SELECT *, {self.name or '0'} AS key FROM input)"
        same = f"node = lag(node) OVER w" if self.collapse else "false"
        offset = f"INTERVAL '{OFFSETS[self.zone]}'"
        bucket = f"epoch_us(date_trunc('{self.bucket}', make_timestamp(started) + {offset}) - {offset})" if self.bucket else "NULL"
        return f"""
          WITH input AS (SELECT *, CAST({self.node} AS VARCHAR) AS node, {self.by or "NULL"} AS part, epoch_us(ts) AS t FROM ev
                         WHERE ({self.where}) AND ({self.exclude}) IS NOT TRUE AND {self.node} IS NOT NULL {named}),
          kept AS (SELECT * FROM {key}),
          found AS (SELECT user_id, key, min(t) AS started, max(t) AS ended, count(*) AS events, list(node ORDER BY t, r)[1] AS entry,
                      list(node ORDER BY t, r)[-1] AS exit, list(part ORDER BY t, r)[1] AS part, min((t, r)) AS first FROM kept GROUP BY ALL),
          numbered AS (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY first) AS number, {bucket} AS bucket FROM found),
          runs AS (SELECT * FROM (SELECT user_id, key, t, r, node, coalesce({same}, false) AS goes_on FROM kept
                     WINDOW w AS (PARTITION BY user_id, key ORDER BY t, r)) WHERE NOT goes_on),
          stops AS (SELECT r.*, n.part, n.number, lead(t) OVER w - t AS dwell, row_number() OVER w AS place
                    FROM runs r JOIN numbered n ON n.user_id = r.user_id AND n.key = r.key
                    WINDOW w AS (PARTITION BY r.user_id, r.key ORDER BY t, r.r))
          {answer}"""


SESSIONS = "SELECT user_id, part, number, started, ended, events, entry, exit FROM numbered"
USERS = """SELECT user_id, part, count(*), sum(ended - started) / 1e6, sum(events), count(*) FILTER (events = 1) FROM numbered
  GROUP BY ALL"""
SUMMARY = """SELECT part, bucket, count(*), count(DISTINCT user_id), avg(ended - started) / 1e6,
  quantile_cont((ended - started) / 1e6, 0.5), avg(events), quantile_cont(CAST(events AS DOUBLE), 0.5), count(*) FILTER (events = 1)
  FROM numbered GROUP BY ALL"""
STOPS = """SELECT part, node, count(*), count(DISTINCT (user_id, number)), count(DISTINCT user_id), quantile_cont(dwell / 1e6, 0.5),
  count(*) FILTER (place = 1), count(*) FILTER (dwell IS NULL) FROM stops GROUP BY ALL"""

CALLS = {
    "a gap": Visits(gap=3600),
    "a gap of a minute, ties": Visits(gap=60, node="item", by="country"),
    "whole": Visits(node="country", by="n", collapse=False),
    "named": Visits(name="item", by="country", bucket="day"),
    "excluded": Visits(gap=86_400, exclude="event = 'a' OR price > 10", bucket="week", zone="Asia/Kolkata"),
    "filter": Visits(gap=86_400, where="country = 'DE'", by="event", node="n", bucket="month", zone="America/Bogota"),
}


def drawn(rng):
    """A question of random arguments."""
    gap, name = rng.choice([(60, None), (3600, None), (90_000, None), (None, "item"), (None, "n"), (None, None)])
    return Visits(
        gap=gap,
        name=name,
        node=rng.choice(["event", "item", "n", "country"]),
        exclude=rng.choice(["false", "event = 'a'", "price > 5", "n IS NULL"]),
        by=rng.choice([None, None, "country", "price"]),
        where=rng.choice(["true", "true", "n > 1 OR item IS NULL", "ts >= '2026-03-04 07:00:00'"]),
        collapse=rng.random() < .5,
        bucket=rng.choice([None, "day", "week", "month"]),
        zone=rng.choice(list(OFFSETS)),
    )


RNG = random.Random(int(os.environ.get("SEED", 1)))
CALLS |= {f"drawn {number}": drawn(RNG) for number in range(20)}


def assert_same(found, expected):
    """The same rows in any order. Halves of microseconds are rounded in either way on the way here."""
    found, expected = (sorted(rows, key=lambda row: [str(cell) for cell in row]) for rows in (list(found), list(expected)))
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected):
        for a, b in zip(mine, theirs, strict=True):
            assert a == b or isinstance(a, float) and math.isclose(a, b, rel_tol=1e-12, abs_tol=2e-6), (mine, theirs)


def compare(duck, database, table, q):
    def part(row):
        return row[q.by] if q.by else None

    def ask(emit):
        return database.sql(q.trodden(table, emit))

    def expected(answer):
        return duck.sql(q.sql(answer)).fetchall()

    found = ask("sessions")
    assert_same([(r["user_id"], part(r), r["session"], micros(r["started_at"]), micros(r["ended_at"]), r["events"], r["entry"], r["exit"])
                 for r in found], expected(SESSIONS))
    for r in found:
        assert r["bounce"] == (r["events"] == 1)
        assert abs(r["seconds"] - (micros(r["ended_at"]) - micros(r["started_at"])) / 1e6) < 1e-6
    assert_same([(r["user_id"], part(r), r["sessions"], r["seconds"], r["events"], r["bounces"]) for r in ask("users")], expected(USERS))
    # Without groups there is a row even where there is no session.
    summary = [r for r in ask("summary") if r["sessions"]]
    assert_same([(part(r), micros(r["bucket"]) if q.bucket else None, r["sessions"], r["users"], r["mean_seconds"], r["median_seconds"],
                  r["mean_events"], r["median_events"], r["bounces"]) for r in summary], expected(SUMMARY))
    assert all(abs(r["bounce_rate"] - r["bounces"] / r["sessions"]) < 1e-9 for r in summary)
    assert_same([(part(r), r["node"], r["stops"], r["sessions"], r["users"], r["median_dwell_seconds"], r["entries"], r["exits"])
                 for r in ask("stops")], expected(STOPS))
    return len(found)


@pytest.mark.parametrize("name", CALLS)
def test_definition(case, name):
    compare(case.duck, case.trodden, "ev", CALLS[name])


SHOP = {
    "half an hour": Visits(gap=1800, by="platform", bucket="day"),
    "sessions of the shop": Visits(name="session_id", bucket="week"),
}


@pytest.mark.parametrize("name", SHOP)
def test_shop(ecom, name):  # noqa: F811
    assert compare(*ecom, "ecom", SHOP[name]) > 3_000
