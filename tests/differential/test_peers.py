"""The benchmark's own questions: every answer of its funnels, retentions, paths and items must be ours as well, on generated events.

1 million events; EVENTS=1e7 asks for ten. Only where the benchmark stands beside the checkout.
"""
import collections
import json
import os
import subprocess
import sys

import pytest

from conftest import shared
from trodden import Database

EVENTS = os.environ.get("EVENTS", "1e6")
VIEW, CART, BUY = (f"event = '{name}'" for name in ("product_view", "add_to_cart", "purchase"))
QUERIES = {
    "F1": f"FUNNEL(ev, STEPS(a => {VIEW}, b => {CART}, c => {BUY}), within => INTERVAL '1' DAY",
    "F2": f"FUNNEL(ev, STEPS(a => 'app_open', b => {VIEW} AND price > 10, c => {CART}, d => 'checkout', e => {BUY}), "
          "within => INTERVAL '7' DAY, by => country",
    "F3": "FUNNEL((SELECT * FROM ev WHERE country = 'C20'), STEPS(a => 'signup', b => 'coupon_apply', c => 'purchase'), "
          "within => INTERVAL '30' DAY",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What ClickHouse and DuckDB say. A process of its own: ClickHouse allows one session a process."""
    generate, peers = shared("bench/generate.py"), shared("bench/peers.py")
    folder = tmp_path_factory.mktemp("peers")
    subprocess.run([sys.executable, generate, EVENTS, folder / "data"], check=True)
    done = subprocess.run([sys.executable, peers, folder / "data", folder / "db", "--runs", "1", "--queries", "F1,F2,F3,R1,R2,P1,P2,I1",
                           "--answers", folder / "answers.json"], check=True, capture_output=True, text=True)
    assert "DIFFERENT" not in done.stdout, done.stdout
    database = Database(folder / "trodden")
    database.load("ev", *sorted((folder / "data").glob("*.parquet")))
    return json.loads((folder / "answers.json").read_text()), database


@pytest.mark.parametrize("name", QUERIES)
def test_answers(answers, name):
    expected, database = answers
    expected = {tuple(row[:-1]): row[-1] for row in expected[name]}
    part = ["country"] if name == "F2" else []
    columns = ", ".join([*part, "level"])
    users = database.sql(f"SELECT {columns}, count(*) AS n FROM {QUERIES[name]}, emit => 'users') GROUP BY {columns}")
    assert {tuple(row[key] for key in [*part, "level"]): row["n"] for row in users} == expected

    reached = collections.Counter()
    for key, count in expected.items():
        for step in range(1, key[-1] + 1):
            reached[(*key[:-1], step)] += count
    steps = {tuple(row[key] for key in [*part, "step"]): row["users"] for row in database.sql(f"SELECT * FROM {QUERIES[name]})")}
    assert {key: count for key, count in steps.items() if count} == dict(reached)


def test_days_after_signup(answers):
    """R1. The benchmark counts whoever did anything on day 0, which is everybody, since the signup is something."""
    expected, database = answers
    rows = database.sql("SELECT CAST(cohort AS DATE) AS day, cohort_users, period, users "
                        "FROM RETENTION(ev, start => 'signup', periods => 30)")
    ours = {}
    for row in rows:
        users = row["cohort_users"] if row["period"] == 0 else row["users"]
        if users:
            ours[row["day"], row["period"]] = users
    assert ours == {(day, period): users for day, period, users in expected["R1"]}


def test_weeks_after_opening(answers):
    """R2, summed over the cohorts."""
    expected, database = answers
    rows = database.sql("SELECT channel, period, sum(users) AS users FROM RETENTION(ev, start => 'app_open', "
                        "return => 'purchase', period => INTERVAL '7' DAY, periods => 8, by => channel) "
                        "GROUP BY channel, period")
    ours = {(row["channel"], row["period"]): row["users"] for row in rows if row["users"]}
    assert ours == {(channel, period): users for channel, period, users in expected["R2"]}


def test_ways_to_a_purchase(answers):
    expected, database = answers
    rows = database.sql("SELECT path, sessions FROM PATH(ev, end => 'purchase', anchor => 'each', collapse => false, top => 20)")
    assert [[row["path"], row["sessions"]] for row in rows if row["path"]] == expected["P1"]
    assert len(rows) == 21


def test_transitions(answers):
    expected, database = answers
    rows = database.sql("SELECT source, target, count FROM PATH(ev, emit => 'transitions', collapse => false)")
    assert [[row["source"], row["target"], row["count"]] for row in rows if row["source"]] == expected["P2"]
    assert len(rows) == 51


def test_items_bought_together(answers):
    """I1: the items that most buyers of each item also bought; what only fills a list has no reason."""
    expected, database = answers
    rows = database.sql("SELECT for_item, rank, item FROM RECOMMEND(ev, item => product_id, similarity => 'overlap', "
                        "weights => WEIGHTS(purchase => 1), emit => 'items') WHERE because IS NOT NULL ORDER BY for_item, rank")
    ours = collections.defaultdict(list)
    for row in rows:
        ours[row["for_item"]].append(row["item"])
    assert [[item, others] for item, others in ours.items()] == expected["I1"]
