"""A server of the built binary for the tests of Flight SQL, and what `trodden sql` answers on the same data."""

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

import pyarrow.parquet as parquet

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary():
    """The binary under test."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return os.environ.get("TRODDEN", str(target / "release" / "trodden"))


def run(*arguments):
    """Run a command of the binary; what it prints."""
    done = subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(db, sql, directory):
    """What `trodden sql` answers, as a table of Arrow. Only while no server has the database open."""
    answer = directory / "answer.parquet"
    run("sql", "--db", db, "-c", sql, "--format", "parquet", "--output", answer)
    return parquet.read_table(answer)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`trodden serve` on free ports, from `with` to its end."""

    def __init__(self, db, *arguments, log=None):
        self.db, self.arguments, self.log = db, arguments, log
        self.grpc, self.http = free_port(), free_port()
        self.uri = f"grpc://127.0.0.1:{self.grpc}"

    def __enter__(self):
        listen = [f"--grpc-listen=127.0.0.1:{self.grpc}", f"--http-listen=127.0.0.1:{self.http}"]
        output = open(self.log, "w") if self.log else subprocess.DEVNULL
        command = [binary(), "serve", "--db", str(self.db), *listen, *self.arguments]
        self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while not self.is_ready():
            assert self.process.poll() is None, "the server ended at once"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.05)
        return self

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def metric(self, name):
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + " ", name + "{")))

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()


def key(db, role, *arguments):
    """A new key for a role."""
    text = run("keys", "create", "--db", db, "--role", role, *arguments)
    return next(word for word in text.split() if len(word) > 40)


def plain(table):
    """The rows of a table of Arrow as Python has them: NaN as a text, so that it equals itself."""
    rows = table.to_pylist()
    return json.loads(json.dumps(rows, default=str)), table.column_names
