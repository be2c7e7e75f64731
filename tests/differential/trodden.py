"""Drives the trodden binary and reads its answers."""
import datetime
import json
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = pathlib.Path(os.environ.get("TRODDEN", ROOT / "target/release/trodden"))
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Failed(Exception):
    """A run of the binary that did not end well; carries what it said."""


def run(*arguments, timeout=600):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, arguments))}\nexit code {done.returncode}\n{done.stderr}")
    return done


class Database:
    """A database directory, used through the command line as a person would."""

    def __init__(self, folder):
        self.folder = folder

    def load(self, table, *files, user="user_id", time="ts", event="event", **more):
        """Import files. `event_value='visit'` stands for `--event-value visit`."""
        flags = ["--user", user, "--time", time]
        if "event_value" not in more:
            flags += ["--event", event]
        for name, value in more.items():
            flags += [f"--{name.replace('_', '-')}", value]
        return run("import", "--db", self.folder, "--table", table, *flags, *files)

    def sql(self, text):
        """The rows of one statement, as dictionaries."""
        done = run("sql", "--db", self.folder, "--format", "jsonl", "-c", text)
        return [json.loads(line) for line in done.stdout.splitlines() if line]

    def times_ms(self, text, repeat):
        """How long each of `repeat` runs took, without opening the database."""
        done = run("sql", "--db", self.folder, "--format", "jsonl", "--repeat", repeat, "--timing", "-c", text, timeout=3600)
        return [float(value) for value in re.findall(r"time_ms=([\d.]+)", done.stderr)]


def micros(text):
    """Microseconds since 1970 of an RFC 3339 timestamp, exactly."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00:00)?", text)
    assert match, f"not an RFC 3339 timestamp in UTC: {text}"
    whole = datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00") - EPOCH
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + int((match[3] or "").ljust(6, "0"))
