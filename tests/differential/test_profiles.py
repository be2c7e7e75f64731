"""Profiles against their definition in DuckDB: for each column the last update that says something about it, by time, then by
arrival; now, as of times, and after deletions and compaction."""
import os
import random

import duckdb
import pytest

from trodden import Database, micros, run

COLUMNS = {"plan": ["'free'", "'pro'", "'team'"], "age": ["18", "31", "44", "70"], "score": ["0.5", "1.25", "-3.0"],
           "vip": ["true", "false"]}
TYPES = {"plan": "TEXT", "age": "BIGINT", "score": "DOUBLE", "vip": "BOOLEAN"}
USERS = [f"u{number}" for number in range(60)]
STATEMENTS, ROWS = 40, 40
CONDITIONS = [
    "plan = 'pro'", "plan <> 'pro'", "NOT (plan = 'pro' AND age > 20)", "age BETWEEN 20 AND 50 OR vip", "vip IS NULL",
    "plan IN ('free', 'team') AND score >= 0.5", "NOT vip", "coalesce(plan, 'none') = 'none'", "user_id = 'u7'",
    "user_id IN ('u1', 'u2', 'nobody') AND plan IS NOT NULL",
]


def at(second):
    return f"2026-01-01 00:{second // 60:02}:{second % 60:02}"


def statements(rng, table):
    """Each statement as SQL, and as the updates that it means: user, second, and what is said of which column."""
    for _ in range(STATEMENTS):
        names = rng.sample(list(COLUMNS), rng.randint(0, len(COLUMNS)))
        rows = [(rng.choice(USERS), rng.randint(0, 90), {name: rng.choice([*COLUMNS[name], "NULL"]) for name in names})
                for _ in range(rng.randint(1, ROWS))]
        values = ", ".join(f"({', '.join([repr(user), repr(at(second)), *said.values()])})" for user, second, said in rows)
        yield f"UPSERT INTO {table}_users ({', '.join(['user_id', 'ts', *names])}) VALUES {values};", rows


class Replay:
    """All updates in DuckDB, one row for each column that an update says something about."""

    def __init__(self):
        self.duck = duckdb.connect()
        self.duck.execute("CREATE TABLE updates (arrival BIGINT, user_id TEXT, ts TIMESTAMP)")
        for name, data_type in TYPES.items():
            self.duck.execute(f"CREATE TABLE said_{name} (arrival BIGINT, user_id TEXT, ts TIMESTAMP, value {data_type})")
        self.arrival = 0

    def add(self, rows):
        for user, second, said in rows:
            self.arrival += 1
            key = f"{self.arrival}, '{user}', TIMESTAMP '{at(second)}'"
            self.duck.execute(f"INSERT INTO updates VALUES ({key})")
            for name, value in said.items():
                self.duck.execute(f"INSERT INTO said_{name} VALUES ({key}, {value})")

    def delete(self, user):
        for table in ["updates", *(f"said_{name}" for name in TYPES)]:
            self.duck.execute(f"DELETE FROM {table} WHERE user_id = '{user}'")

    def profiles(self, condition="true", until=None):
        until = f"ts <= TIMESTAMP '{until}'" if until else "true"
        columns = ", ".join(f"{name}.value AS {name}" for name in TYPES)
        joins = " ".join(
            f"LEFT JOIN (SELECT user_id, value FROM said_{name} WHERE {until} QUALIFY row_number() OVER "
            f"(PARTITION BY user_id ORDER BY ts DESC, arrival DESC) = 1) {name} USING (user_id)" for name in TYPES)
        return self.duck.sql(f"""
            SELECT user_id, {', '.join(TYPES)}, epoch_us(updated_at) FROM (
                SELECT user_id, {columns}, updated_at
                FROM (SELECT user_id, max(ts) AS updated_at FROM updates WHERE {until} GROUP BY user_id) u {joins})
            WHERE {condition} ORDER BY user_id""").fetchall()


@pytest.mark.parametrize("history", [False, True])
def test_profiles(tmp_path, history):
    rng = random.Random(int(os.environ.get("SEED", 1)))
    database, replay = Database(tmp_path / "profiles.db"), Replay()
    # Columns first, so that their types do not depend on which values come first.
    script = [f"CREATE TABLE ev WITH (shards = 3, profile_history = {str(history).lower()});"]
    script += [f"ALTER TABLE ev_users ADD COLUMN {name} {data_type};" for name, data_type in TYPES.items()]

    def flush():
        path = tmp_path / "script.sql"
        path.write_text("\n".join(script), encoding="utf-8")
        script.clear()
        run("sql", "--create", "--db", database.folder, "-f", path)

    def found(source, condition="true"):
        rows = database.sql(f"SELECT * FROM {source} WHERE {condition} ORDER BY user_id")
        return [(row["user_id"], *(row[name] for name in TYPES), micros(row["updated_at"])) for row in rows]

    for number, (sql, rows) in enumerate(statements(rng, "ev")):
        script.append(sql)
        replay.add(rows)
        if rng.random() < .3:
            user = rng.choice(USERS)
            script.append(f"DELETE FROM ev WHERE user_id = '{user}';")
            replay.delete(user)
        if rng.random() < .2:
            script.append(rng.choice(["FLUSH ev;", "OPTIMIZE TABLE ev;"]))
        if number % 10 == 9:
            flush()
            assert found("ev_users") == replay.profiles()
    for condition in CONDITIONS:
        assert found("ev_users", condition) == replay.profiles(condition), condition
    if history:
        for second in range(0, 91, 9):
            as_of = f"PROFILES(ev, as_of => TIMESTAMP '{at(second)}')"
            assert found(as_of) == replay.profiles(until=at(second)), second
            assert found(as_of, CONDITIONS[2]) == replay.profiles(CONDITIONS[2], at(second)), second
