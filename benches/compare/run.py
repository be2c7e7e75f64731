#!/usr/bin/env python3
"""Times of trodden beside ClickHouse (chdb) and DuckDB: the same files, the same questions, one run, medians.

usage: run.py [--events 1e6 | --data DIR] [--work DIR] [--runs 5] [--only trodden,clickhouse,duckdb] [--json FILE]

Without --data, events come from `trodden generate`. Each engine has its best layout: sorted by (user_id, ts), texts of
few values dictionary-encoded. Every engine is asked in a process of its own, one after the other; before the timed runs
each question is asked once. Answers are compared, and a difference is an error. What is loaded is kept in --work.
"""
import argparse
import glob
import json
import multiprocessing
import os
import pathlib
import pty
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from questions import QUESTIONS, plain  # noqa: E402

TRODDEN = os.environ.get("TRODDEN", str(ROOT / "target/release/trodden"))
def folder_bytes(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())


def spend(arguments):
    """Run a program to its end: (seconds, highest resident memory in bytes)."""
    began = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{said}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def idle_bytes(folder):
    """Resident memory of the shell with the database open and nothing asked: (all, without mapped files)."""
    terminal, child = pty.openpty()
    process = subprocess.Popen([TRODDEN, "sql", "--db", folder], stdin=child, stdout=child, stderr=child, close_fds=True)
    os.close(child)
    time.sleep(3)
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    process.kill()
    process.wait()
    os.close(terminal)
    return tuple(int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024 for name in ("VmRSS", "RssAnon"))


def measure_trodden(data, work, runs):
    folder, loaded = f"{work}/trodden", f"{work}/trodden.loaded.json"
    files = sorted(glob.glob(f"{data}/*.parquet"))
    if not os.path.exists(loaded):
        shutil.rmtree(folder, ignore_errors=True)
        seconds, peak = spend([TRODDEN, "import", "--db", folder, "--table", "ev", *files])
        pathlib.Path(loaded).write_text(json.dumps({"import_s": seconds, "import_peak_bytes": peak}))
    figures = json.loads(pathlib.Path(loaded).read_text())
    figures["disk_bytes"] = folder_bytes(folder)
    opening = [spend([TRODDEN, "sql", "--db", folder, "-c", "SELECT 1"]) for _ in range(5)]
    figures["open_s"], opened_bytes = (statistics.median(of) for of in zip(*opening))
    figures["idle_bytes"], figures["idle_anonymous_bytes"] = idle_bytes(folder)
    figures["questions"] = {}
    for name, question in QUESTIONS.items():
        done = subprocess.run([TRODDEN, "sql", "--db", folder, "--format", "jsonl", "--repeat", str(runs + 1), "--timing",
                               "-c", question.trodden], check=True, capture_output=True, text=True)
        answer = plain(list(json.loads(line).values()) for line in done.stdout.splitlines() if line)
        times = [float(value) for value in re.findall(r"time_ms=([\d.]+)", done.stderr)]
        # In a process that asks nothing else. Pages of the files that are mapped count, too.
        _, peak = spend([TRODDEN, "sql", "--db", folder, "--format", "jsonl", "-c", question.trodden])
        figures["questions"][name] = {"ms": times[1:], "answer": answer, "peak_bytes": peak - opened_bytes}
    return figures


def columns_of(data):
    import duckdb
    return [(name, kind) for name, kind, *_ in duckdb.sql(f"DESCRIBE SELECT * FROM '{data}/*.parquet'").fetchall()]


def measure_duckdb(data, work, runs):
    import duckdb
    path, loaded = f"{work}/duck.db", f"{work}/duckdb.loaded.json"
    if not os.path.exists(loaded):
        pathlib.Path(path).unlink(missing_ok=True)
        began = time.perf_counter()
        with duckdb.connect(path) as connection:
            connection.execute(f"CREATE TABLE ev AS SELECT * FROM '{data}/*.parquet' ORDER BY user_id, ts")
        pathlib.Path(loaded).write_text(json.dumps({"import_s": time.perf_counter() - began}))
    figures = json.loads(pathlib.Path(loaded).read_text())
    figures["disk_bytes"] = os.path.getsize(path)
    connection = duckdb.connect(path)
    return ask(figures, runs, "duckdb", lambda sql: connection.execute(sql).fetchall(), duckdb.__version__)


def measure_clickhouse(data, work, runs):
    from chdb.session import Session
    folder, loaded = f"{work}/clickhouse", f"{work}/clickhouse.loaded.json"
    kinds = {"VARCHAR": "LowCardinality(Nullable(String))", "BIGINT": "Nullable(Int64)", "INTEGER": "Nullable(Int32)",
             "SMALLINT": "Nullable(Int16)", "DOUBLE": "Nullable(Float64)", "BOOLEAN": "Nullable(Bool)"}
    fixed = {"user_id": "String", "ts": "DateTime64(6,'UTC')", "event": "LowCardinality(String)"}
    if not os.path.exists(loaded):
        shutil.rmtree(folder, ignore_errors=True)
        session = Session(folder)
        columns = ",".join(f"{name} {fixed.get(name) or kinds[kind]}" for name, kind in columns_of(data))
        began = time.perf_counter()
        session.query("CREATE DATABASE b ENGINE=Atomic")
        session.query(f"CREATE TABLE b.ev({columns}) ENGINE=MergeTree ORDER BY (user_id,ts)")
        session.query(f"INSERT INTO b.ev SELECT * FROM file('{data}/*.parquet',Parquet)")
        inserted = time.perf_counter() - began
        session.query("OPTIMIZE TABLE b.ev FINAL")
        pathlib.Path(loaded).write_text(json.dumps({"import_s": inserted, "merged_s": time.perf_counter() - began}))
    else:
        session = Session(folder)
    session.query("USE b")

    def rows(sql):
        return [json.loads(line) for line in str(session.query(sql, "JSONCompactEachRow")).splitlines() if line]

    figures = json.loads(pathlib.Path(loaded).read_text())
    figures["disk_bytes"] = int(rows("SELECT sum(bytes_on_disk) FROM system.parts WHERE database='b' AND active")[0][0])
    return ask(figures, runs, "clickhouse", rows, rows("SELECT version()")[0][0])


def ask(figures, runs, engine, rows, version):
    figures["version"], figures["questions"] = version, {}
    for name, question in QUESTIONS.items():
        sql = getattr(question, engine)
        answer, times = question.answer(rows(sql)), []
        for _ in range(runs):
            began = time.perf_counter()
            rows(sql)
            times.append((time.perf_counter() - began) * 1000)
        figures["questions"][name] = {"ms": times, "answer": answer}
    return figures


ENGINES = {"trodden": measure_trodden, "clickhouse": measure_clickhouse, "duckdb": measure_duckdb}


def keep_only(names):
    """Ask only these questions, in this process."""
    unknown = set(names) - set(QUESTIONS)
    if unknown:
        sys.exit(f"no question is called {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}")
    for name in set(QUESTIONS) - set(names):
        del QUESTIONS[name]


def prepare(options):
    """The folder with the events, and how many they are."""
    import pyarrow.parquet as parquet
    data = options.data
    if data is None:
        data = f"{options.work}/events"
        if not glob.glob(f"{data}/*.parquet"):
            os.makedirs(data, exist_ok=True)
            spend([TRODDEN, "generate", "--events", str(int(float(options.events))), "--output", f"{data}/events.parquet"])
    files = glob.glob(f"{data}/*.parquet")
    if not files:
        sys.exit(f"no Parquet files in {data}")
    return data, sum(parquet.ParquetFile(file).metadata.num_rows for file in files)


def megabytes(size):
    return None if size is None else f"{size / 1e6:,.0f}"


def print_table(figures, events):
    names = list(figures)
    print(f"\n{events:,} events, {os.cpu_count()} cores, medians\n")
    print("| | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))

    def row(title, value):
        print(f"| {title} | " + " | ".join(value(figures[name]) or "" for name in names) + " |")

    for name, question in QUESTIONS.items():
        row(f"{name}: {question.title}, ms", lambda f: f"{statistics.median(f['questions'][name]['ms']):,.1f}")
    for name in QUESTIONS:
        row(f"{name}: memory above that of an open database, MB", lambda f: megabytes(f["questions"][name].get("peak_bytes")))
    row("import, s", lambda f: f"{f['import_s']:.1f}")
    row("import, million events/s", lambda f: f"{events / f['import_s'] / 1e6:.2f}")
    row("on disk, bytes/event", lambda f: f"{f['disk_bytes'] / events:.1f}")
    row("import, highest memory, MB", lambda f: f"{f['import_peak_bytes'] / 1e6:,.0f}" if "import_peak_bytes" in f else None)
    row("open and answer SELECT 1, ms", lambda f: f"{f['open_s'] * 1000:,.0f}" if "open_s" in f else None)
    row("memory while idle, MB", lambda f: f"{f['idle_bytes'] / 1e6:,.0f}" if "idle_bytes" in f else None)
    if "trodden" in figures and len(figures) > 1:
        for name in QUESTIONS:
            median = {engine: statistics.median(f["questions"][name]["ms"]) for engine, f in figures.items()}
            ours = median.pop("trodden")
            print(f"\n{name}: {min(median.values()) / ours:.1f} times as fast as the faster of the others", end="")
        print()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--events", default="1e6")
    arguments.add_argument("--data")
    arguments.add_argument("--work")
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--only", default=",".join(ENGINES))
    arguments.add_argument("--questions", default=",".join(QUESTIONS), help="which, by name, with commas")
    arguments.add_argument("--json")
    options = arguments.parse_args()
    options.work = options.work or str(ROOT / f".cache/bench-{int(float(options.events))}")
    os.makedirs(options.work, exist_ok=True)
    names = options.questions.split(",")
    keep_only(names)
    data, events = prepare(options)

    figures = {}
    for name in options.only.split(","):
        # A process of its own, so that one engine's memory and threads do not disturb the next.
        with multiprocessing.get_context("spawn").Pool(1, keep_only, (names,)) as pool:
            figures[name] = pool.apply(ENGINES[name], (data, options.work, options.runs))
    print_table(figures, events)

    wrong = [f"{name}: {engine} and {first} give different answers" for first in list(figures)[:1] for engine in figures
             for name in QUESTIONS if figures[engine]["questions"][name]["answer"] != figures[first]["questions"][name]["answer"]]
    if options.json:
        for engine in figures.values():
            for question in engine["questions"].values():
                question["answer"] = [[*key, users] for key, users in sorted(question["answer"].items(), key=str)]
        pathlib.Path(options.json).write_text(json.dumps({"events": events, "cores": os.cpu_count(), "engines": figures}, indent=1))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
