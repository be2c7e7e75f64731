"""Tags against `user_id IN (SELECT …)` of DuckDB, on random events: whoever is in a tag, and what a question says of them."""
import duckdb
import pytest

from trodden import Database

A, B = "event = 'a'", "event = 'b'"
# Tags whose definition both systems read the same way.
TAGS = {
    "did_a": f"SELECT DISTINCT user_id FROM ev WHERE {A}",
    "dear": f"SELECT user_id FROM ev WHERE {A} AND price > 5",
    "not_german": "SELECT user_id FROM ev WHERE NOT (country = 'DE')",
    "late": "SELECT DISTINCT user_id FROM ev WHERE ts >= TIMESTAMP '2026-03-04 07:00:00'",
    "often": "SELECT user_id FROM ev GROUP BY user_id HAVING count(*) > 4",
    "nobody": "SELECT user_id FROM ev WHERE event = 'never'",
    "both": f"SELECT user_id FROM ev WHERE {A} INTERSECT SELECT user_id FROM ev WHERE {B}",
}
QUESTIONS = [
    "SELECT count(*) AS n, count(DISTINCT user_id) AS u FROM ev WHERE {did_a}",
    "SELECT count(*) AS n, count(DISTINCT user_id) AS u FROM ev WHERE NOT {did_a} AND event = 'b'",
    "SELECT count(*) AS n, count(DISTINCT user_id) AS u FROM ev WHERE ({dear} OR {late}) AND NOT {not_german}",
    "SELECT count(*) AS n, count(DISTINCT user_id) AS u FROM ev WHERE {often} AND {both} AND price > 3",
    "SELECT count(*) AS n, count(DISTINCT user_id) AS u FROM ev WHERE {nobody} OR price IS NULL",
    "SELECT event, count(*) AS n FROM ev WHERE {often} AND NOT {late} GROUP BY event ORDER BY event",
    "SELECT {dear} AS dear, {both} AS b, count(*) AS n FROM ev GROUP BY 1, 2 ORDER BY 1, 2",
]


class Tagged:
    """The events of a case in databases of their own, since they get more; and the tags."""

    def __init__(self, case, folder):
        self.trodden = Database(folder / "tags.db")
        self.trodden.load("ev", case.path)
        self.duck = duckdb.connect()
        self.duck.execute("SET TimeZone = 'UTC'")
        self.duck.execute(f"CREATE TABLE ev AS SELECT * FROM '{case.path}'")
        for name, query in TAGS.items():
            self.trodden.sql(f"CREATE TAG {name} ON ev AS ({query})")


@pytest.fixture(scope="module")
def tagged(case, tmp_path_factory):
    return Tagged(case, tmp_path_factory.mktemp("tags"))


def duck(case, text):
    return case.duck.sql(text.format(**{name: f"(user_id IN ({query}))" for name, query in TAGS.items()})).fetchall()


def trodden(case, text):
    rows = case.trodden.sql(text.format(**{name: f"HAS_TAG(user_id, '{name}')" for name in TAGS}))
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("question", range(len(QUESTIONS)))
def test_questions_of_tags(tagged, question):
    assert trodden(tagged, QUESTIONS[question]) == duck(tagged, QUESTIONS[question])


def test_members_and_values(tagged):
    for name in TAGS:
        found = trodden(tagged, f"SELECT DISTINCT user_id FROM ev WHERE {{{name}}} ORDER BY user_id")
        assert found == duck(tagged, f"SELECT DISTINCT user_id FROM ev WHERE {{{name}}} ORDER BY user_id"), name
    tagged.trodden.sql("CREATE OR REPLACE TAG land ON ev AS (SELECT user_id, min(country) AS value FROM ev GROUP BY user_id)")
    found = tagged.trodden.sql("SELECT TAG_VALUE(user_id, 'land') AS land, count(*) AS n FROM ev GROUP BY 1 ORDER BY 1 NULLS LAST")
    expected = tagged.duck.sql(
        "SELECT land, count(*) FROM ev JOIN (SELECT user_id, min(country) AS land FROM ev GROUP BY 1) USING (user_id) "
        "GROUP BY 1 ORDER BY 1 NULLS LAST").fetchall()
    assert [tuple(row.values()) for row in found] == expected


def test_refreshes_follow_the_events(tagged):
    before = tagged.trodden.sql("REFRESH TAGS ON ev")
    assert {row["tag"] for row in before} == set(TAGS) | {"land"} and not any(row["error"] for row in before)
    more = "('new', TIMESTAMP '2026-03-09 10:00:00', 'a', 9.0), ('new', TIMESTAMP '2026-03-09 11:00:00', 'b', 1.0)"
    tagged.trodden.sql(f"INSERT INTO ev (user_id, ts, event, price) VALUES {more}")
    tagged.duck.execute(f"INSERT INTO ev (user_id, ts, event, price) VALUES {more}")
    rows = {row["tag"]: row for row in tagged.trodden.sql("REFRESH TAGS ON ev")}
    assert {name for name, row in rows.items() if row["incremental"]} == {"did_a", "dear", "not_german", "late", "nobody"}
    for name, query in TAGS.items():
        assert [(rows[name]["users"],)] == tagged.duck.sql(f"SELECT count(DISTINCT user_id) FROM ({query})").fetchall(), name
