"""Aliases against a table of ids and persons in DuckDB, joined with the events: users, days, and funnels chain by chain. Persons
have up to three ids, in chains and side by side; half of the events and half of the aliases come first."""
import random

import duckdb
import pyarrow as pa
import pytest

import events
from exact import Funnel, steps_sql, users_sql
from trodden import Database, micros

WINDOW = 300_000


def links_of(ids, rng):
    """Pairs of a source and a target: most ids are no source."""
    rest = list(ids)
    rng.shuffle(rest)
    links = []
    while len(rest) > 60:
        group = [rest.pop() for _ in range(rng.choice([1, 2, 2, 3]))]
        links += [(source, rng.choice(group[:at])) for at, source in enumerate(group) if at > 0]
    rng.shuffle(links)
    return links


def person_of(links, user):
    targets = dict(links)
    while user in targets:
        user = targets[user]
    return user


@pytest.fixture(scope="module", params=["pending", "joined at the end", "joined between"])
def case(request, tmp_path_factory):
    rng = random.Random(17)
    table = events.make(seed=29, users=300, events=10, spread_s=900_000)
    ids = sorted(set(table.column("user_id").to_pylist()))
    links = links_of(ids, rng)
    folder = tmp_path_factory.mktemp("identity")
    database = Database(folder / "db")
    half = table.num_rows // 2
    for place, rows in enumerate([table.slice(0, half), table.slice(half)]):
        events.write_parquet(rows, folder / f"{place}.parquet")
        database.load("ev", folder / f"{place}.parquet")
        some = links[place::2]
        database.sql("; ".join(f"ALIAS '{source}' TO '{target}' ON ev" for source, target in some))
        if request.param == ("joined between" if place == 0 else "joined at the end"):
            database.sql("OPTIMIZE TABLE ev")
    duck = duckdb.connect()
    duck.register("source", table.append_column("r", pa.array(range(len(table)), pa.int64())))
    persons = [person_of(links, user) for user in ids]
    duck.register("persons", pa.table({"id": ids, "person": persons}))
    duck.execute("CREATE TABLE ev AS SELECT s.* REPLACE (p.person AS user_id) FROM source s JOIN persons p ON p.id = s.user_id")
    assert len(set(persons)) < len(ids) - 80, "many ids must be aliases"
    return database, duck


def test_who_did_how_much(case):
    database, duck = case
    text = "SELECT user_id, count(*) AS n, count(DISTINCT event) AS kinds, sum(n) AS total FROM ev GROUP BY user_id ORDER BY user_id"
    assert [tuple(row.values()) for row in database.sql(text)] == duck.sql(text).fetchall()


def test_active_days(case):
    """First and number of active days: what retention is made of."""
    database, duck = case
    text = "SELECT user_id, min(date_trunc('day', ts)) AS first, count(DISTINCT date_trunc('day', ts)) AS days FROM ev GROUP BY user_id ORDER BY 1"
    duck.execute("SET TimeZone = 'UTC'")
    expected = duck.sql(f"SELECT user_id, epoch_us(first), days FROM ({text}) ORDER BY 1").fetchall()
    assert [(row["user_id"], micros(row["first"]), row["days"]) for row in database.sql(text)] == expected


A, B, C = (f"event = '{name}'" for name in "abc")
CALLS = {
    "plain": dict(steps=(A, B, C)),
    "window": dict(steps=(A, B, C), within=WINDOW),
    "strict": dict(steps=(A, B), within=WINDOW, order="strict"),
    "any order": dict(steps=(A, B, C), within=WINDOW, order="any"),
    "hold": dict(steps=(A, B), within=WINDOW, hold=("item",)),
    "exclude": dict(steps=(A, C), within=WINDOW, exclude=((B, 1, 2),)),
    "filter, by the last event": dict(steps=(A, B), where="n IS NOT NULL", by="country", attribution="last"),
}


@pytest.mark.parametrize("name", CALLS)
def test_funnels(case, name):
    database, duck = case
    funnel = Funnel(**CALLS[name])
    expected = {user: (level, times, part) for user, level, times, part in duck.sql(users_sql(funnel)).fetchall()}
    answer = {}
    for row in database.sql(funnel.trodden("ev", "users")):
        times = [micros(at) for at in row["step_times"]][: row["level"]]
        assert row["user_id"] not in answer, "a person has one row"
        answer[row["user_id"]] = (row["level"], times, row[funnel.by] if funnel.by else None)
    assert answer == expected
    counts = {}
    for row in duck.sql(steps_sql(funnel)).fetchall():
        part, row = (row[0], row[1:]) if funnel.by else (None, row)
        counts[part, row[0]] = row[1]
    found = database.sql(funnel.trodden("ev", "steps"))
    assert {(row[funnel.by] if funnel.by else None, row["step"]): row["users"] for row in found} == counts
