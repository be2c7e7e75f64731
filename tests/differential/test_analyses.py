"""LIFECYCLE and STICKINESS against their definitions in DuckDB, on random events and on real data: member by member, and cell
by cell."""
import math
import os
import random

import pytest

import analyses
from analyses import Question
from retention import OFFSETS
from test_real_data import baskets, ecom  # noqa: F401  (fixtures)
from test_retention import cohort_day

A, B = ("event = 'a'", "event = 'b'")
CALLS = {
    "any event, days": Question(),
    "any event, weeks": Question(period="week"),
    "months": Question(on=A, period="month"),
    "one event": Question(on=A, period="week"),
    "several events, by a text": Question(on=f"{A} OR {B}", by="country"),
    "a property decides": Question(on=f"{A} AND price > 5", period="week", by="item"),
    "NULL is false": Question(on=f"{B} AND NOT (price > 5)"),
    "by a number": Question(on=A, period="week", by="n"),
    "filter": Question(on=B, period="week", where="country = 'DE' AND item IS NOT NULL"),
    "half an hour off": Question(on=A, zone="Asia/Kolkata", period="week"),
    "months west of Greenwich": Question(period="month", zone="America/Bogota", by="country"),
}


def drawn(rng):
    """A question of random arguments."""
    return Question(
        on=rng.choice(["true", A, f"{A} OR {B}", "price > 5", "n IS NOT NULL AND item <> 'p1'"]),
        period=rng.choice(["day", "week", "month"]),
        by=rng.choice([None, "country", "item", "n", "price"]),
        where=rng.choice(["true", "true", "country = 'DE'", "ts >= '2026-03-04 07:00:00'", "n > 1 OR item IS NULL"]),
        zone=rng.choice(list(OFFSETS)),
    )


RNG = random.Random(int(os.environ.get("SEED", 1)))
CALLS |= {f"drawn {number}": drawn(RNG) for number in range(20)}


def day(text, question):
    return cohort_day(text, question.zone)


def part(row, question):
    return row[question.by] if question.by else None


def compare_lifecycle(duck, database, table, q):
    rows = database.sql(q.trodden("LIFECYCLE", table, "users"))
    found = sorted(((r["user_id"], part(r, q), day(r["period"], q), r["status"]) for r in rows), key=str)
    expected = sorted(duck.sql(analyses.lifecycle_users(q)).fetchall(), key=str)
    assert found == expected
    rows = database.sql(q.trodden("LIFECYCLE", table, "periods"))
    cells = sorted(((part(r, q), day(r["period"], q), r["status"], r["users"], r["complete"]) for r in rows), key=str)
    assert cells == sorted(duck.sql(analyses.lifecycle_periods(q)).fetchall(), key=str)
    return len(found)


def compare_stickiness(duck, database, table, q):
    if q.period != "day":
        rows = database.sql(q.trodden("STICKINESS", table, "users", "within"))
        found = sorted(((r["user_id"], part(r, q), day(r["period"], q), [day(at, q) for at in r["active_days"]])
                        for r in rows), key=str)
        assert all(len(r["active_days"]) == r["days"] for r in rows)
        assert found == sorted(duck.sql(analyses.histogram_users(q)).fetchall(), key=str)
        rows = database.sql(q.trodden("STICKINESS", table, "histogram", "within"))
        cells = {(part(r, q), day(r["period"], q), r["days"]): (r["users"], r["share"], r["complete"]) for r in rows}
        expected = {row[:3]: row[3:] for row in duck.sql(analyses.histogram(q)).fetchall()}
        assert {cell for cell, (users, *_) in cells.items() if users} == set(expected)
        for cell, (users, share, complete) in expected.items():
            assert cells[cell][0] == users and cells[cell][2] == complete and math.isclose(cells[cell][1], share)
    rows = database.sql(q.trodden("STICKINESS", table, "active", None))
    found = sorted(((part(r, q), day(r["day"], q), r["dau"], r["wau"], r["mau"]) for r in rows), key=str)
    assert found == sorted(duck.sql(analyses.active_users(q)).fetchall(), key=str)
    for r in rows:
        for ratio, (of, whole) in {"dau_wau": ("dau", "wau"), "dau_mau": ("dau", "mau"), "wau_mau": ("wau", "mau")}.items():
            assert r[ratio] == (r[of] / r[whole] if r[whole] else None)
    return len(found)


@pytest.mark.parametrize("name", CALLS)
def test_lifecycle(case, name):
    compare_lifecycle(case.duck, case.trodden, "ev", CALLS[name])


@pytest.mark.parametrize("name", CALLS)
def test_stickiness(case, name):
    compare_stickiness(case.duck, case.trodden, "ev", CALLS[name])


SHOP = {
    "days": Question(on="event = 'purchase'"),
    "weeks, by platform": Question(period="week", by="platform"),
}


@pytest.mark.parametrize("name", SHOP)
def test_shop(ecom, name):  # noqa: F811
    assert compare_lifecycle(*ecom, "ecom", SHOP[name]) > 100
    assert compare_stickiness(*ecom, "ecom", SHOP[name]) > 20


@pytest.mark.parametrize("period", ["week", "month"])
def test_baskets(baskets, period):  # noqa: F811
    question = Question(on="event = 'PASTRY'", period=period)
    assert compare_lifecycle(*baskets, "lines", question) > 1000
    assert compare_stickiness(*baskets, "lines", question) > 300
