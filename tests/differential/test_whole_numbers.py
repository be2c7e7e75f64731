"""Sums and arithmetic of whole numbers beside DuckDB, near the ends of BIGINT: the same number, or an error in both.

DuckDB adds BIGINT up to HUGEINT, of 128 bits: where its sum does not fit into BIGINT, trodden's is an error.
"""
import random

import duckdb
import pytest

from trodden import Database, Failed, run

LEAST, MOST = -(2**63), 2**63 - 1
NUMBERS = [LEAST, LEAST + 1, -(2**62), -3037000500, -7, -1, 0, 1, 2, 5, 3037000500, 2**62, MOST - 1, MOST]


@pytest.fixture(scope="module")
def duck():
    connection = duckdb.connect()
    # It would leave out what does not fit where another factor is 0.
    connection.execute("PRAGMA disable_optimizer")
    return connection


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "whole.db"
    run("sql", "--create", "--db", folder, "-c", "SELECT 1")
    return Database(folder)


def number(draw):
    return draw.choice(NUMBERS) if draw.random() < 0.8 else draw.randint(LEAST, MOST)


def bigint(value):
    # The least number has no literal: its sign is an operator.
    return "CAST(NULL AS BIGINT)" if value is None else f"CAST('{value}' AS BIGINT)"


def expression(draw, depth):
    if depth == 0 or draw.random() < 0.2:
        return draw.choice(["a", "b", "c", "n", str(draw.randint(0, 9))])
    if draw.random() < 0.15:
        return f"(-{expression(draw, depth - 1)})"
    left, right = expression(draw, depth - 1), expression(draw, depth - 1)
    chained = f"{left} {draw.choice('+-*')} {right}"
    return f"({chained})" if draw.random() < 0.6 else chained


def answer(database, sql):
    """The rows of trodden, or `None` where a number does not fit."""
    try:
        return [[None if value is None else int(value) for value in row.values()] for row in database.sql(sql)]
    except Failed as failed:
        said = str(failed)
        told = ["BIGINT overflow in", "is outside of the range of BIGINT"]
        assert any(text in said for text in told), said
        return None


@pytest.mark.parametrize("seed", range(120))
def test_arithmetic_is_right_or_an_error(database, duck, seed):
    draw = random.Random(seed)
    values = [bigint(number(draw)) for _ in "abc"] + [bigint(None)]
    # An expression with a NULL in it has no value in DuckDB, whatever the rest; only some are.
    wanted = expression(draw, 3)
    sql = f"SELECT {wanted} AS r FROM (VALUES ({', '.join(values)})) AS t(a, b, c, n)"
    try:
        expected = [list(row) for row in duck.execute(sql).fetchall()]
    except duckdb.OutOfRangeException:
        expected = None
    found = answer(database, sql)
    if "n" in wanted and found != expected:
        # One of the two may not have computed what NULL decides.
        assert found in (None, [[None]]) and expected in (None, [[None]]), sql
        return
    assert found == expected, sql


def fitting(rows):
    return rows if all(value is None or LEAST <= value <= MOST for row in rows for value in row) else None


@pytest.mark.parametrize("seed", range(80))
def test_sums_are_exact_or_an_error(database, duck, seed):
    draw = random.Random(1_000 + seed)
    rows = [(i, draw.randint(0, 2), draw.choice([None, number(draw), number(draw), number(draw)])) for i in range(draw.randint(1, 9))]
    values = ", ".join(f"({i}, {group}, {bigint(value)})" for i, group, value in rows)
    table = f"(VALUES {values}) AS t(i, g, x)"
    for sql in [
        f"SELECT sum(x) AS s, sum(DISTINCT x) AS d, count(x) AS c FROM {table}",
        f"SELECT g, sum(x) AS s FROM {table} GROUP BY g ORDER BY g",
        f"SELECT g, sum(x) AS s, count(DISTINCT i) AS n FROM {table} GROUP BY g ORDER BY g",
        f"SELECT sum(x) FILTER (WHERE g > 0) AS s FROM {table}",
        f"SELECT i, sum(x) OVER (ORDER BY i ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s FROM {table} ORDER BY i",
        f"SELECT i, sum(x) OVER (PARTITION BY g ORDER BY i) AS s FROM {table} ORDER BY i",
    ]:
        expected = fitting([list(row) for row in duck.execute(sql).fetchall()])
        assert answer(database, sql) == expected, sql
