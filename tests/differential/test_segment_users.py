"""Segments of tags and profiles, and every operator among the users of one, against DuckDB: the segment as a HAVING over events
joined with tables of tags and profiles, the operator over events of `user_id IN (…)`."""
import os
import random

import duckdb
import pytest

from trodden import Database

PLANS, AGES = ["free", "pro", "team", None], [18, 31, 44, None]
# Parts of a segment: for trodden, and as a condition on one group of DuckDB's join, whose profile has NULL where there is none.
PARTS = [
    ("TAG('dear')", "bool_or(t.dear IS NOT NULL)"), ("TAG('often')", "bool_or(t.often IS NOT NULL)"),
    ("TAG('land', 'DE')", "coalesce(bool_or(t.land = 'DE'), false)"), ("TAG('land')", "bool_or(t.land IS NOT NULL)"),
    *((text, f"any_value(({text}))") for text in ["plan = 'pro'", "plan IN ('free', 'team')", "age >= 31", "plan IS NULL",
                                                  "(age + 1 < 40 OR plan = 'team')", "plan LIKE '%e%'", "plan IS DISTINCT FROM 'pro'"]),
    ("DID('a', at_least => 2)", "count(*) FILTER (WHERE event = 'a') >= 2"), ("DID(price > 9)", "coalesce(bool_or(price > 9), false)"),
    ("DID_NOT('c')", "NOT bool_or(event = 'c')"),
]


class Shop:
    """The events of a case in a database of its own, with tags and profiles."""

    def __init__(self, case, folder):
        rng = random.Random(int(os.environ.get("SEED", 1)))
        self.trodden, self.duck = Database(folder / "users.db"), duckdb.connect()
        self.trodden.load("ev", case.path)
        self.duck.execute("SET TimeZone = 'UTC'")
        self.duck.execute(f"CREATE TABLE ev AS SELECT *, row_number() OVER () AS r FROM '{case.path}'")
        tags = {"dear": "SELECT DISTINCT user_id FROM ev WHERE event = 'a' AND price > 9",
                "often": "SELECT user_id FROM ev GROUP BY user_id HAVING count(*) > 12",
                "land": "SELECT user_id, min(country) AS value FROM ev WHERE country IS NOT NULL GROUP BY user_id"}
        for name, query in tags.items():
            self.trodden.sql(f"CREATE TAG {name} ON ev AS ({query})")
        self.duck.execute(f"""CREATE TABLE t AS SELECT user_id, dear, often, land FROM (SELECT DISTINCT user_id FROM ev)
            LEFT JOIN (SELECT user_id, true AS dear FROM ({tags['dear']})) USING (user_id)
            LEFT JOIN (SELECT user_id, true AS often FROM ({tags['often']})) USING (user_id)
            LEFT JOIN (SELECT user_id, value AS land FROM ({tags['land']})) USING (user_id)""")
        users = [user for user, in self.duck.sql("SELECT DISTINCT user_id FROM ev ORDER BY 1").fetchall()] + ["stranger"]
        rows = [(user, rng.choice(PLANS), rng.choice(AGES)) for user in users if rng.random() < .8]
        self.duck.execute("CREATE TABLE p (user_id TEXT, plan TEXT, age BIGINT)")
        self.duck.executemany("INSERT INTO p VALUES (?, ?, ?)", rows)
        shown = ", ".join(f"('{user}', {repr(plan) if plan else 'NULL'}, {age or 'NULL'})" for user, plan, age in rows)
        self.trodden.sql(f"UPSERT INTO ev_users (user_id, plan, age) VALUES {shown}")

    def members(self, condition):
        query = f"FROM ev LEFT JOIN t USING (user_id) LEFT JOIN p USING (user_id) GROUP BY user_id HAVING {condition}"
        return [user for user, in self.duck.sql(f"SELECT user_id {query} ORDER BY user_id").fetchall()]


@pytest.fixture(scope="module")
def shop(case, tmp_path_factory):
    return Shop(case, tmp_path_factory.mktemp("segment_users"))


def drawn(rng, depth=2):
    """An expression, as text for both."""
    if depth == 0 or rng.random() < .25:
        return rng.choice(PARTS)
    word = rng.choice(["AND", "OR", "NOT"])
    parts = [drawn(rng, depth - 1) for _ in range(1 if word == "NOT" else rng.randint(2, 3))]
    if word == "NOT":
        return tuple(f"NOT ({text})" for text in parts[0])
    return tuple(f"({f' {word} '.join(texts)})" for texts in zip(*parts))


@pytest.mark.parametrize("number", range(25))
def test_segments_of_tags_and_profiles(shop, number):
    rng = random.Random(int(os.environ.get("SEED", 1)) * 1000 + number)
    trodden, duck = drawn(rng)
    for source in ["ev", "(SELECT * FROM ev ORDER BY ts)"]:
        rows = shop.trodden.sql(f"SELECT * FROM SEGMENT({source}, where => {trodden}, emit => 'users')")
        assert [row["user_id"] for row in rows] == shop.members(duck), trodden


def test_tags_beside_each_other(shop):
    sets = {name: set(shop.members(f"bool_or(t.{name} IS NOT NULL)")) for name in ["dear", "land", "often"]}
    rows = shop.trodden.sql("SELECT * FROM SEGMENT(ev, tags => '*', emit => 'overlap')")
    found = [(row["segment_a"], row["segment_b"], row["users"]) for row in rows]
    assert found == [(a, b, len(sets[a] & sets[b])) for a in sets for b in sets]


CALLS = [
    "FUNNEL({}, steps => ['a', 'b', 'c'], by => country)", "RETENTION({}, start => 'a', periods => 5)",
    "PATH({}, top => 50, session => NULL)", "LIFECYCLE({}, period => 'week')", "STICKINESS({}, within => 'week')",
    "RFM({}, value => price, on => 'a')", "SESSIONS({})", "RECOMMEND({}, item => item, using => 'popular', seen => 'include')",
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_operators_among_a_segment(shop, number):
    rng = random.Random(int(os.environ.get("SEED", 1)) * 77 + number)
    name, rest = CALLS[number].split("{}")
    for _ in range(3):
        trodden, duck = drawn(rng)
        users = ", ".join(f"'{user}'" for user in shop.members(duck) + ["nobody"])
        expected = shop.trodden.sql(f"SELECT * FROM {name}(SELECT * FROM ev WHERE user_id IN ({users})){rest}")
        assert shop.trodden.sql(f"SELECT * FROM {name}ev{rest[:-1]}, among => {trodden})") == expected, trodden
