"""FUNNEL against its definition written as self-joins in DuckDB, on random events, user by user and step by step."""
import math

import pytest

from attempts import attempts_sql
from exact import Funnel, relaxations, steps_sql, users_sql
from trodden import micros

A, B, C, D = (f"event = '{name}'" for name in "abcd")
PLAIN = (A, B, C)
SHARING = ("event IN ('a', 'b')", "event IN ('b', 'c')", "event IN ('a', 'c')")
# Each entry is what a call adds to a window; `W` stands for the window of the data set.
CALLS = {
    "one step": dict(steps=(A,)),
    "plain": dict(steps=PLAIN),
    "window": dict(steps=PLAIN, within="W"),
    "four steps": dict(steps=(A, B, C, D), within="W"),
    "narrow window": dict(steps=PLAIN, within="W/10"),
    "steps that share events": dict(steps=SHARING, within="W"),
    "the same step three times": dict(steps=(A, A, A), within="W"),
    "property in a step": dict(steps=(A, f"{B} AND price > 5", f"{C} AND n = 2"), within="W"),
    "NULL is false": dict(steps=(A, f"{B} AND NOT (price > 5)", C), within="W"),
    "a step nobody reaches": dict(steps=(A, "event = 'nothing'", C), within="W"),
    "step window": dict(steps=PLAIN, step_within=("W/4",)),
    "window per gap": dict(steps=PLAIN, within="W", step_within=("W/2", "W/4")),
    "strict": dict(steps=PLAIN, within="W", order="strict"),
    "strict without window": dict(steps=(A, B), order="strict"),
    "ties by arrival": dict(steps=PLAIN, within="W", ties="arrival"),
    "ties increase": dict(steps=PLAIN, within="W", ties="increase"),
    "ties increase, shared": dict(steps=SHARING, within="W", ties="increase"),
    "ties by arrival, shared": dict(steps=SHARING, within="W", ties="arrival"),
    "strict by arrival": dict(steps=PLAIN, within="W", order="strict", ties="arrival"),
    "strict increase": dict(steps=PLAIN, within="W", order="strict", ties="increase"),
    "hold": dict(steps=PLAIN, within="W", hold=("item",)),
    "hold two columns": dict(steps=(A, B), hold=("item", "n")),
    "hold, shared": dict(steps=SHARING, within="W", hold=("country",)),
    "exclude": dict(steps=PLAIN, within="W", exclude=((D, 1, 2),)),
    "exclude twice": dict(steps=PLAIN, within="W", exclude=((D, 1, 2), ("price > 10", 2, 3))),
    "exclude by arrival": dict(steps=PLAIN, within="W", ties="arrival", exclude=((D, 2, 3),)),
    "filter": dict(steps=PLAIN, within="W", where="country = 'DE'"),
    "filter on NULL": dict(steps=PLAIN, within="W", where="item IS NOT NULL AND n <> 2"),
    "by the first event": dict(steps=PLAIN, within="W", by="country"),
    "by the last event": dict(steps=PLAIN, within="W", by="country", attribution="last"),
    "by the second event": dict(steps=PLAIN, within="W", by="item", attribution=2),
    "by a number": dict(steps=PLAIN, within="W", by="n"),
    "any order": dict(steps=PLAIN, within="W", order="any"),
    "any order, no window": dict(steps=(A, B), order="any"),
    "any order, shared": dict(steps=SHARING, within="W", order="any"),
    "any order, increase, shared": dict(steps=SHARING, within="W", order="any", ties="increase"),
    "any order, step window": dict(steps=PLAIN, within="W", order="any", step_within=("W/4",)),
    "any order, hold": dict(steps=SHARING, within="W", order="any", hold=("item",)),
    "any order, by the last event": dict(steps=PLAIN, within="W/2", order="any", by="item", attribution="last"),
    "strict, exclude": dict(steps=PLAIN, within="W", order="strict", exclude=(("price > 10", 1, 2),)),
    "everything": dict(steps=SHARING, within="W", step_within=("W/2",), ties="arrival", hold=("country",),
                       exclude=((D, 1, 2),), where="n IS NOT NULL", by="item", attribution="last"),
}


def scaled(call, window):
    def scale(value):
        if isinstance(value, tuple):
            return tuple(scale(part) for part in value)
        if isinstance(value, str) and (value == "W" or value.startswith("W/")):
            return window // int(value[2:] or 1)
        return value
    return Funnel(**{key: scale(value) for key, value in call.items()})


@pytest.mark.parametrize("name", CALLS)
def test_users(case, name):
    """Who got how far, when, and with which value: the very chain, not only the count."""
    funnel = scaled(CALLS[name], case.window)
    expected = {user: (level, times, part) for user, level, times, part in case.duck.sql(users_sql(funnel)).fetchall()}
    answer = {}
    for row in case.trodden.sql(funnel.trodden("ev", "users")):
        times = [micros(at) for at in row["step_times"]]
        part = row[funnel.by] if funnel.by else None
        assert micros(row["entered_at"]) == times[0]
        assert row["user_id"] not in answer, "a user has one row"
        answer[row["user_id"]] = (row["level"], times[:row["level"]], part)
        finished = row["level"] == len(funnel.steps)
        assert (row["drop_reason"] is None) == finished
    assert answer == expected
    assert expected, "the data set must give this call something to find"


ATTEMPTS = {
    "by arrival": dict(steps=PLAIN, within="W", ties="arrival"),
    "by arrival, narrow": dict(steps=(A, B), within="W/10", ties="arrival"),
    "by arrival, no window": dict(steps=PLAIN, ties="arrival"),
    "by arrival, shared": dict(steps=SHARING, within="W/2", ties="arrival"),
    "increase": dict(steps=PLAIN, within="W/2", ties="increase"),
    "increase, shared": dict(steps=SHARING, within="W", ties="increase", where="n IS NOT NULL"),
    "the same step twice": dict(steps=(A, A), within="W/4", ties="arrival"),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_attempts(case, name):
    """Every attempt of every user, with its times."""
    funnel = scaled(dict(ATTEMPTS[name], count="attempts"), case.window)
    expected = case.duck.sql(attempts_sql(funnel)).fetchall()
    answer = [(row["user_id"], row["level"], [micros(at) for at in row["step_times"]])
              for row in case.trodden.sql(funnel.trodden("ev", "users"))]
    assert answer == expected
    assert len(expected) > len({user for user, *_ in expected}), "somebody must try more than once"


@pytest.mark.parametrize("name", CALLS)
def test_reasons(case, name):
    """Why each user got no further: the level without one rule after the other tells."""
    funnel = scaled(CALLS[name], case.window)
    levels = [(reason, {user: level for user, level, *_ in case.duck.sql(users_sql(relaxed)).fetchall()})
              for reason, relaxed in relaxations(funnel)]
    for row in case.trodden.sql(funnel.trodden("ev", "users")):
        expected = None
        if row["level"] < len(funnel.steps):
            higher = (reason for reason, of in levels if of[row["user_id"]] > row["level"])
            expected = next(higher, "never")
        assert row["drop_reason"] == expected, row


@pytest.mark.parametrize("name", CALLS)
def test_steps(case, name):
    """Counts, conversions, and exact medians and 90th percentiles."""
    funnel = scaled(CALLS[name], case.window)
    parts = {}
    for row in case.duck.sql(steps_sql(funnel)).fetchall():
        part, row = (row[0], row[1:]) if funnel.by else (None, row)
        parts.setdefault(part, {})[row[0]] = row[1:]
    answer = case.trodden.sql(funnel.trodden("ev", "steps"))
    assert len(answer) == len(parts) * len(funnel.steps)
    for row in answer:
        steps = parts[row[funnel.by] if funnel.by else None]
        step = row["step"]
        users, median, p90, total = steps[step]
        # Nothing lies before the first step, so it has no conversion from there.
        before = steps[step - 1][0] if step > 1 else None
        assert (row["step_name"], row["users"]) == (funnel.names[step - 1], users)
        close(row["conversion"], users / steps[1][0])
        close(row["step_conversion"], users / before if before else None)
        close(row["median_seconds"], median)
        close(row["p90_seconds"], p90)
        close(row["median_seconds_total"], total)


def close(answer, expected):
    if expected is None or answer is None:
        assert answer == expected
    else:
        assert math.isclose(answer, expected, rel_tol=1e-9, abs_tol=1e-9)
