"""RFM against its definition in DuckDB, on random events and on real purchases: customer by customer, and cell by cell."""
import collections
import math
import os
import random

import duckdb
import pyarrow.csv as csv
import pytest

import analyses
from analyses import Rfm
from conftest import shared
from retention import OFFSETS
from trodden import Database, micros

A = "event = 'a'"
CALLS = {
    "all events": Rfm("price"),
    "one event": Rfm("price", on=A),
    "a whole number": Rfm("n", on=f"{A} OR event = 'b'"),
    "computed": Rfm("price * n", on="price > 5"),
    "as of": Rfm("price", on=A, as_of="2026-03-08 12:00:00", scores=4),
    "ten scores": Rfm("price", scores=10),
    "by a text": Rfm("price", on=A, by="country"),
    "bounds": Rfm("price", scores=3, bounds=((2, 9), (), (20, 60))),
    "all bounds": Rfm("price", scores=4, bounds=((2, 9, 14), (2, 4, 9), (20, 60, 80)), by="item", zone="Asia/Kolkata"),
    "filter": Rfm("price", where="country = 'DE'", by="n", zone="America/Bogota"),
}


def drawn(rng):
    """A question of random arguments."""
    scores = rng.randint(2, 10)
    bounds = [tuple(sorted(rng.sample(range(1, 40), scores - 1))) if rng.random() < .3 else () for _ in range(3)]
    return Rfm(
        value=rng.choice(["price", "n", "price + n"]),
        on=rng.choice(["true", A, "price > 5", "item IS NOT NULL"]),
        as_of=rng.choice([None, None, "2026-03-05 07:00:00", "2026-04-01 00:00:00"]),
        scores=scores,
        bounds=tuple(bounds),
        by=rng.choice([None, "country", "n"]),
        where=rng.choice(["true", "true", "n > 1"]),
        zone=rng.choice(list(OFFSETS)),
    )


RNG = random.Random(int(os.environ.get("SEED", 1)))
CALLS |= {f"drawn {number}": drawn(RNG) for number in range(20)}


def compare(duck, database, table, q):
    known = {}
    for user, part, last, days, frequency, monetary, *scores in duck.sql(analyses.customers(q)).fetchall():
        known[user] = (part, last, days, frequency, monetary, tuple(scores), q.segment(*scores[:2]))
    found = {}
    for row in database.sql(q.trodden(table, "users")):
        scores = tuple(row[f"{name}_score"] for name in analyses.MEASURES)
        part = row[q.by] if q.by else None
        found[row["user_id"]] = (part, micros(row["last_at"]), row["recency_days"], row["frequency"], row["monetary"], scores,
                                 row["segment"])
    assert found == known

    segments, cells, groups = (collections.defaultdict(list), collections.defaultdict(list), collections.Counter())
    for one in known.values():
        segments[one[0], one[6]].append(one)
        cells[(one[0], *one[5][:2])].append(one)
        groups[one[0]] += 1

    def check(rows, members, key):
        assert sum(row["users"] for row in rows) == len(known)
        for row in rows:
            part = row[q.by] if q.by else None
            own = members.get((part, *(row[name] for name in key)), [])
            assert row["users"] == len(own)
            assert math.isclose(row["share"], len(own) / groups[part])
            assert math.isclose(row["monetary"], math.fsum(one[4] for one in own), abs_tol=1e-9)
            if "mean_frequency" in row and own:
                assert math.isclose(row["mean_recency_days"], sum(one[2] for one in own) / len(own))
                assert math.isclose(row["mean_frequency"], sum(one[3] for one in own) / len(own))

    check(database.sql(q.trodden(table, "segments")), segments, ["segment"])
    check(database.sql(q.trodden(table, "cells")), cells, ["recency_score", "frequency_score"])
    return len(known)


@pytest.mark.parametrize("name", CALLS)
def test_definition(case, name):
    compare(case.duck, case.trodden, "ev", CALLS[name])


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory):
    """69,659 purchases of 23,570 customers, in whole cents: sums of dollars are not the same in every order."""
    folder = tmp_path_factory.mktemp("cdnow")
    duck = duckdb.connect()
    duck.execute(f"""CREATE TABLE ev AS SELECT "user" AS user_id, strptime("date", '%Y%m%d') AS ts, 'purchase' AS event,
        CAST(n AS BIGINT) AS n, CAST(round(CAST("value" AS DOUBLE) * 100) AS BIGINT) AS cents, row_number() OVER () AS r
        FROM read_csv('{shared("data/cdnow/transactions.csv.gz")}', all_varchar = true)""")
    path = folder / "cdnow.csv"
    csv.write_csv(duck.sql("SELECT * EXCLUDE r FROM ev").to_arrow_table(), path)
    database = Database(folder / "db")
    database.load("cdnow", path)
    assert database.sql("SELECT count(*) AS n FROM cdnow") == [{"n": 69_659}]
    return duck, database


PURCHASES = {
    "cents": Rfm("cents"),
    "after half a year": Rfm("cents", as_of="1997-06-30 00:00:00"),
    "three scores": Rfm("n", scores=3),
    "bounds": Rfm("cents", bounds=((30, 90, 180, 365), (2, 3, 5, 10), (2000, 5000, 10000, 50000))),
}


@pytest.mark.parametrize("name", PURCHASES)
def test_cdnow(cdnow, name):
    assert compare(*cdnow, "cdnow", PURCHASES[name]) == 23_570
