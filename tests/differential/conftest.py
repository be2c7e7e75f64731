"""Data sets and engines that several tests share."""
import os
import pathlib
import sys

import duckdb
import pyarrow as pa
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import events  # noqa: E402
import trodden  # noqa: E402
from clickhouse import ClickHouse  # noqa: E402

IN_CI = bool(os.environ.get("CI"))
# Real data that a developer's machine may have beside the checkout.
SHARED = pathlib.Path(os.environ.get("TRODDEN_SHARED", trodden.ROOT.parent / "shared"))
FETCHED = trodden.ROOT / ".cache" / "data"


def pytest_configure():
    if not trodden.BINARY.exists():
        pytest.exit(f"{trodden.BINARY} is not built; run make build", returncode=1)


def skip(what):
    """Leave a test out; scripts/test lists what was left out."""
    if listed := os.environ.get("TRODDEN_SKIPPED"):
        with open(listed, "a", encoding="utf-8") as out:
            out.write(f"comparison: {what}\n")
    pytest.skip(what)


def fetched(name):
    """A data set that scripts/fetch-data brings. In CI it must be there."""
    path = FETCHED / name
    if not path.exists():
        (pytest.fail if IN_CI else skip)(f"{path} is not there; scripts/fetch-data fetches it")
    return path


def shared(name):
    """A data set beside the checkout. Without the folder there is nothing to compare; in CI, a folder that is there but
    lacks the data set is a mistake, not a machine without it."""
    path = SHARED / name
    if not path.exists():
        missing = pytest.fail if IN_CI and SHARED.exists() else skip
        missing(f"{path} is not on this machine")
    return path


class Case:
    """One random event set in three engines. ClickHouse reads the file itself."""

    def __init__(self, folder, clickhouse, name, ties):
        table = events.make(seed=int(os.environ.get("SEED", 1)), ties=ties)
        self.ties = ties
        self.window = 300 if ties else 800_000
        self.path = folder / f"{name}.parquet"
        events.write_parquet(table, self.path)
        self.duck = duckdb.connect()
        self.duck.register("source", table.append_column("r", pa.array(range(len(table)), pa.int64())))
        self.duck.execute("CREATE TABLE ev AS SELECT * FROM source")
        self.clickhouse = clickhouse
        self.trodden = trodden.Database(folder / f"{name}.db")
        if ties:
            self.trodden.load("ev", self.path)
        else:
            events.write_csv(table, folder / f"{name}.csv")
            self.trodden.load("ev", folder / f"{name}.csv", time_format="us")


@pytest.fixture(scope="session")
def clickhouse():
    return ClickHouse()


@pytest.fixture(scope="session", params=["ties", "spread"])
def case(request, clickhouse, tmp_path_factory):
    return Case(tmp_path_factory.mktemp("random"), clickhouse, request.param, request.param == "ties")
