"""Funnels over real data sets, against DuckDB."""
import math

import duckdb
import pyarrow.parquet as parquet
import pytest

from asof import levels_sql, trodden_call
from conftest import fetched, shared
from exact import Funnel, users_sql
from trodden import Database, micros

HOUR, DAY = 3600, 86_400


def level_counts(database, call):
    """Users that got to exactly each level, from the rows per user and from the rows per step: they must agree."""
    users = {row["level"]: row["n"] for row in database.sql(
        f"SELECT level, count(*) AS n FROM ({call('users')}) GROUP BY level")}
    reached = [row["users"] for row in sorted(database.sql(call("steps")), key=lambda row: row["step"])] + [0]
    steps = {level: reached[level - 1] - reached[level] for level in range(1, len(reached))}
    assert users == {level: n for level, n in steps.items() if n}
    return users


@pytest.fixture(scope="module")
def ecom(tmp_path_factory):
    path = fetched("ecom.csv.gz")
    duck = duckdb.connect()
    duck.execute(f"CREATE TABLE ev AS SELECT *, timestamp AS ts, row_number() OVER () AS r FROM read_csv('{path}')")
    database = Database(tmp_path_factory.mktemp("ecom") / "db")
    database.load("ecom", path, user="user_id", time="timestamp")
    assert database.sql("SELECT count(*) AS n FROM ecom") == [{"n": 31_106}]
    return duck, database


SHOP = tuple(f"event = '{name}'" for name in ("product_view", "add_to_cart", "purchase"))
SHOP_CALLS = {
    "no window": dict(steps=SHOP),
    "an hour": dict(steps=SHOP, within=HOUR),
    "one session": dict(steps=SHOP, hold=("session_id",)),
    "by platform": dict(steps=SHOP, within=DAY, by="platform"),
    "strict": dict(steps=SHOP, order="strict"),
    "mobile only": dict(steps=SHOP, within=7 * DAY, where="platform = 'mobile'"),
}


@pytest.mark.parametrize("name", SHOP_CALLS)
def test_ecom(ecom, name):
    duck, database = ecom
    funnel = Funnel(**SHOP_CALLS[name])
    expected = {user: (level, times, part) for user, level, times, part in duck.sql(users_sql(funnel)).fetchall()}
    answer = {row["user_id"]: (row["level"], [micros(at) for at in row["step_times"]][:row["level"]],
                               row[funnel.by] if funnel.by else None)
              for row in database.sql(funnel.trodden("ecom", "users"))}
    assert answer == expected
    assert {level for level, _, _ in expected.values()} == {1, 2, 3}, "the data must reach every level"


@pytest.fixture(scope="module")
def baskets(tmp_path_factory):
    """1.47 million lines of grocery baskets. All lines of a basket have the same time."""
    folder = tmp_path_factory.mktemp("baskets")
    duck = duckdb.connect()
    duck.execute(f"""CREATE TABLE ev AS SELECT household_id::VARCHAR AS user_id, transaction_timestamp AS ts, department AS event,
        basket_id, sales_value, coupon_disc, row_number() OVER () AS r FROM '{fetched("baskets.parquet")}' JOIN '{fetched("products.parquet")}'
        USING (product_id)""")
    path = folder / "lines.parquet"
    parquet.write_table(duck.sql("SELECT * EXCLUDE r FROM ev").to_arrow_table(), path)
    database = Database(folder / "db")
    database.load("lines", path)
    return duck, database


@pytest.mark.parametrize("days", [1, 7, 30])
@pytest.mark.parametrize("steps", [("MEAT", "DELI", "SEAFOOD-PCKGD"), ("FUEL", "PASTRY", "SALAD BAR", "MEAT-PCKGD"),
                                   ("NUTRITION", "COSMETICS", "PRODUCE")], ids=lambda steps: steps[0])
def test_baskets(baskets, steps, days):
    duck, database = baskets
    conditions = [f"event = '{step}'" for step in steps]
    expected = dict(duck.sql(levels_sql(conditions, days)).fetchall())
    assert len(expected) == len(steps), "the data must reach every level"
    assert level_counts(database, lambda emit: trodden_call("lines", conditions, days, emit)) == expected


def test_baskets_as_they_come(tmp_path):
    """The file of the package itself: no event column, INT96 times, the user a number."""
    path = fetched("baskets.parquet")
    database = Database(tmp_path / "db")
    database.load("baskets", path, user="household_id", time="transaction_timestamp", event_value="bought")
    duck = duckdb.connect()
    (expected,) = duck.sql(f"""SELECT count(*), count(DISTINCT household_id), epoch_us(min(transaction_timestamp)),
        epoch_us(max(transaction_timestamp)), round(sum(sales_value), 2) FROM '{path}'""").fetchall()
    row = database.sql("""SELECT count(*) AS n, count(DISTINCT user_id) AS users, min(ts) AS first, max(ts) AS last,
        round(sum(sales_value), 2) AS value FROM baskets""")[0]
    assert (row["n"], row["users"], micros(row["first"]), micros(row["last"])) == expected[:4]
    assert math.isclose(row["value"], expected[4], rel_tol=1e-9)
    database.load("baskets", path, user="household_id", time="transaction_timestamp", event_value="bought")
    assert database.sql("SELECT count(*) AS n FROM baskets") == [{"n": expected[0]}], "a second import adds nothing"


@pytest.fixture(scope="module")
def bpi2020(tmp_path_factory):
    path = shared("data/bpi2020/events.csv.gz")
    duck = duckdb.connect()
    duck.execute(f"""CREATE TABLE ev AS SELECT "case" AS user_id, activity AS event, role, log, row_number() OVER () AS r,
        make_timestamp(epoch_us(timestamp::TIMESTAMPTZ)) AS ts FROM read_csv('{path}', all_varchar = true)""")
    database = Database(tmp_path_factory.mktemp("bpi2020") / "db")
    database.load("bpi2020", path, user="case", time="timestamp", event="activity")
    assert database.sql("SELECT count(*) AS n FROM bpi2020") == [{"n": 261_026}]
    return duck, database


PAYMENT = tuple(f"event = '{name}'" for name in (
    "Declaration SUBMITTED by EMPLOYEE", "Declaration FINAL_APPROVED by SUPERVISOR", "Payment Handled"))
REWORK = tuple(f"event = '{name}'" for name in (
    "Declaration SUBMITTED by EMPLOYEE", "Declaration REJECTED by EMPLOYEE", "Declaration SUBMITTED by EMPLOYEE"))
PERMIT = ("event LIKE 'Permit SUBMITTED%'", "event LIKE 'Permit%APPROVED%'", "event = 'Start trip'", "event = 'End trip'")
BPI_CALLS = {
    "payment": dict(steps=PAYMENT),
    "payment in two weeks": dict(steps=PAYMENT, within=14 * DAY),
    "payment by log": dict(steps=PAYMENT, within=30 * DAY, by="log"),
    "payment, strict": dict(steps=PAYMENT, order="strict"),
    "payment without rejection": dict(steps=PAYMENT, exclude=(("event LIKE '%REJECTED%'", 1, 2),)),
    "rework": dict(steps=REWORK),
    "rework, time increases": dict(steps=REWORK, ties="increase"),
    "trip": dict(steps=PERMIT, within=90 * DAY),
    "trip, gaps": dict(steps=PERMIT, step_within=(10 * DAY, 30 * DAY, 5 * DAY)),
    "ties by arrival": dict(steps=PERMIT, ties="arrival"),
}


@pytest.mark.parametrize("name", BPI_CALLS)
def test_bpi2020(bpi2020, name):
    duck, database = bpi2020
    funnel = Funnel(**BPI_CALLS[name])
    expected = {user: (level, times, part) for user, level, times, part in duck.sql(users_sql(funnel)).fetchall()}
    answer = {row["user_id"]: (row["level"], [micros(at) for at in row["step_times"]][:row["level"]],
                               row[funnel.by] if funnel.by else None)
              for row in database.sql(funnel.trodden("bpi2020", "users"))}
    assert answer == expected
