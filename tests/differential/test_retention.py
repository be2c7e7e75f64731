"""RETENTION against its definition in DuckDB, on random events and on real data: member by member, and cell by cell."""
import collections
import datetime

import pytest

from retention import OFFSETS, Retention, definition
from test_real_data import baskets, ecom  # noqa: F401  (fixtures)
from trodden import micros

A, B, C, D = (f"event = '{name}'" for name in "abcd")
CALLS = {
    "any to any": Retention(),
    "first of one event": Retention(start=A),
    "one event to another": Retention(start=A, returns=B),
    "the same event": Retention(start=A, returns=A),
    "several events": Retention(start=f"{A} OR {B}", returns=f"{B} OR {C} OR {A}"),
    "some starts are returns": Retention(start=f"{A} OR {B}", returns=f"{B} OR {C}"),
    "a property decides": Retention(start=f"{A} AND price > 5", returns=f"{C} AND n = 2"),
    "NULL is false": Retention(start=A, returns=f"{B} AND NOT (price > 5)"),
    "weeks": Retention(start=A, returns=B, period="week", periods=4),
    "months": Retention(start=A, period="month", periods=2),
    "blocks of days": Retention(start=A, returns=C, period="3", periods=6),
    "brackets": Retention(start=A, returns=B, brackets=(1, 3, 7)),
    "on or after": Retention(start=A, returns=B, mode="on_or_after"),
    "on or before": Retention(start=A, returns=B, mode="on_or_before"),
    "streak": Retention(start=A, mode="streak"),
    "streak of brackets": Retention(start=A, mode="streak", brackets=(2, 5, 9)),
    "every": Retention(start=A, returns=B, cohort="every"),
    "every, any event": Retention(cohort="every", mode="on_or_after", periods=5),
    "every, weeks": Retention(start=B, cohort="every", period="week", periods=3),
    "every, blocks": Retention(start=A, returns=A, cohort="every", period="2", periods=4),
    "rolling": Retention(start=A, returns=B, windows="rolling"),
    "rolling weeks": Retention(start=A, windows="rolling", period="week", periods=3),
    "rolling blocks, on or after": Retention(start=A, returns=C, windows="rolling", period="2", mode="on_or_after"),
    "two returns": Retention(start=A, min_count=2),
    "three returns, rolling": Retention(start=A, min_count=3, windows="rolling", period="5"),
    "filter": Retention(start=A, returns=B, where="country = 'DE' AND item IS NOT NULL"),
    "filter by whole days": Retention(start=A, where="ts >= '2026-03-04' AND ts < '2026-03-20'"),
    "filter within a day": Retention(start=A, where="ts >= '2026-03-04 07:00:00'"),
    "by a text": Retention(start=A, returns=B, by="country"),
    "by a number": Retention(start=A, returns=B, by="n"),
    "by, every": Retention(start=A, by="item", cohort="every", periods=3),
    "half an hour off": Retention(start=A, returns=B, zone="Asia/Kolkata"),
    "weeks west of Greenwich": Retention(start=A, period="week", periods=3, zone="America/Bogota"),
    "everything": Retention(start=f"{A} OR {B}", returns=f"{B} OR price > 10", period="2", brackets=(1, 4), mode="on_or_after",
                            cohort="every", min_count=2, by="country", where="n IS NOT NULL", zone="Asia/Kolkata"),
}


def cohort_day(text, zone):
    """The local date at which a cohort begins."""
    offset = datetime.timedelta(**{unit: int(number) for number, unit in [OFFSETS[zone].split()]})
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros(text)) + offset
    assert (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0)
    return at.date()


def compare(duck, database, table, question):
    ends = [0, *question.ends()]
    expected, cells, sizes = {}, collections.Counter(), collections.Counter()
    for user, cohort, part, started_at, rows in duck.sql(definition(question)).fetchall():
        expected[(user, cohort)] = (part if question.by else None, started_at, [ends[row] for row in rows])
        group = (cohort, part if question.by else None)
        sizes[group] += 1
        cells.update((*group, ends[row]) for row in rows)
    answer = {}
    for row in database.sql(question.trodden(table, "users")):
        key = (row["user_id"], cohort_day(row["cohort"], question.zone))
        assert key not in answer, "a user is in a cohort once"
        answer[key] = (row[question.by] if question.by else None, micros(row["started_at"]), row["periods"])
    assert answer == expected

    seen = collections.Counter()
    for row in database.sql(question.trodden(table)):
        group = (cohort_day(row["cohort"], question.zone), row[question.by] if question.by else None)
        assert row["cohort_users"] == sizes[group]
        assert abs(row["rate"] - row["users"] / row["cohort_users"]) < 1e-12
        seen[(*group, row["period"])] += row["users"]
    assert {key: users for key, users in seen.items() if users} == dict(cells)
    assert {key[:-1] for key in seen} == set(sizes), "every cohort has rows"
    return len(cells)


@pytest.mark.parametrize("name", CALLS)
def test_definition(case, name):
    compare(case.duck, case.trodden, "ev", CALLS[name])


SHOP = {
    "days": Retention(start="event = 'product_view'", returns="event = 'purchase'", periods=14),
    "weeks, by platform": Retention(returns="event = 'product_view'", period="week", by="platform"),
    "on or after": Retention(start="event = 'add_to_cart'", period="7", mode="on_or_after", periods=4),
}


@pytest.mark.parametrize("name", SHOP)
def test_shop(ecom, name):  # noqa: F811
    assert compare(*ecom, "ecom", SHOP[name]) > 20, "somebody must come back"


GROCERY = {
    "weeks": Retention(start="event = 'PASTRY'", returns="event = 'PASTRY'", period="week", periods=20),
    "months": Retention(period="month", periods=11, mode="streak"),
    "four visits a month": Retention(start="event = 'FUEL'", period="month", periods=6, min_count=4),
}


@pytest.mark.parametrize("name", GROCERY)
def test_baskets(baskets, name):  # noqa: F811
    assert compare(*baskets, "lines", GROCERY[name]) > 20, "somebody must come back"
