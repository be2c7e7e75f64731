#!/usr/bin/env python3
"""Times of a large answer into polars: trodden over Arrow Flight SQL, beside DuckDB and ClickHouse (chdb) over their own
clients. The same rows, one engine after the other, medians.

usage: flight.py [--rows 1e6] [--runs 7] [--work DIR]

DuckDB and chdb run in this process, so nothing goes through a socket there; trodden is a server of its own, which the bytes
come from over loopback. What each gives is compared, and a difference is an error.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import adbc_driver_flightsql.dbapi as flightsql
import chdb.session
import duckdb
import polars
import pyarrow
import pyarrow.parquet as parquet

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/clients"))
from flight_server import Server, run  # noqa: E402

SQL = "SELECT * FROM ev"


def timed(runs, ask):
    """Median seconds of `ask` after one run that does not count, and what it gave."""
    frame, times = ask(), []
    for _ in range(runs):
        began = time.perf_counter()
        frame = ask()
        times.append(time.perf_counter() - began)
    return statistics.median(times), min(times), frame


def checked(frame):
    """What has to be the same in all engines."""
    users = frame["user_id"].cast(polars.String)
    return frame.height, users.n_unique(), int(users.str.len_bytes().sum()), frame["ts"].cast(polars.Int64).sum()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rows", type=float, default=1e6)
    arguments.add_argument("--runs", type=int, default=7)
    arguments.add_argument("--work")
    given = arguments.parse_args()
    work = pathlib.Path(given.work or tempfile.mkdtemp())
    events = work / "events.parquet"
    if not events.exists():
        run("generate", "--output", events, "--events", int(given.rows))
    if not (work / "db").exists():
        run("import", "--db", work / "db", "--table", "ev", events)
    # The same rows and types for all: what trodden keeps of them.
    rows = work / "rows.parquet"
    run("sql", "--db", work / "db", "-c", SQL, "--format", "parquet", "--output", rows)
    results = {}

    with Server(work / "db") as server, flightsql.connect(server.uri, autocommit=True) as connection:
        results["trodden, Flight SQL"] = timed(given.runs, lambda: polars.read_database(SQL, connection))

    duck = duckdb.connect(str(work / "duck.db"))
    duck.execute(f"CREATE OR REPLACE TABLE ev AS SELECT * FROM '{rows}'")
    results["DuckDB, in process"] = timed(given.runs, lambda: duck.sql(SQL).pl())

    click = chdb.session.Session(str(work / "click"))
    click.query("CREATE DATABASE IF NOT EXISTS d")
    click.query("DROP TABLE IF EXISTS d.ev")
    click.query(f"CREATE TABLE d.ev ENGINE = MergeTree ORDER BY (user_id, ts) AS SELECT * FROM file('{rows}', Parquet) "
                "SETTINGS schema_inference_make_columns_nullable = 'auto'")

    def from_clickhouse():
        answer = click.query("SELECT * FROM d.ev SETTINGS output_format_arrow_string_as_string = 1", "ArrowStream")
        return polars.from_arrow(pyarrow.ipc.open_stream(pyarrow.py_buffer(answer.bytes())).read_all())

    results["ClickHouse (chdb), in process"] = timed(given.runs, from_clickhouse)

    found = {name: checked(frame) for name, (_, _, frame) in results.items()}
    if len(set(found.values())) > 1:
        sys.exit(f"the answers differ: {found}")
    columns = len(parquet.read_schema(rows).names)
    print(f"{int(given.rows)} rows of {columns} columns into polars, median (best) of {given.runs} runs")
    for name, (median, best, _) in results.items():
        print(f"  {name:30} {median * 1000:8.0f} ms ({best * 1000:.0f})")


if __name__ == "__main__":
    main()
