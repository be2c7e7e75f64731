"""PATH against its definition in SQL of DuckDB, on random events: every count, share, probability and median."""
import collections
import statistics

import pytest

from paths import Path, counted_edges, counted_paths, counted_transitions, shown
from trodden import micros

A, B, C, D = (f"event = '{name}'" for name in "abcd")
CALLS = {
    "sessions": Path(session=60),
    "sessions, no collapse": Path(session=120, collapse=False, steps=3),
    "one session": Path(session=None, steps=4),
    "named": Path(session="item", steps=6),
    "start": Path(session=300, start=A, steps=4),
    "each start": Path(session=300, start=A, anchor="each", collapse=False),
    "end": Path(session=300, end=D),
    "each end": Path(session=300, end=D, anchor="each", steps=3),
    "both": Path(session=None, start=A, end=D, steps=4),
    "both, each": Path(session=None, start=A, end=f"{D} AND price > 5", anchor="each", steps=3, collapse=False),
    "one condition for both": Path(session=None, start=A, end=A, anchor="each"),
    "exclude": Path(session=60, exclude="event IN ('b', 'other')"),
    "node": Path(session=None, node="item", end=D),
    "number as node": Path(session=None, node="n", start="n = 1"),
    "node of several columns": Path(session=None, node="coalesce(item, event)"),
    "by": Path(session=120, by="country"),
    "by at the end": Path(session=None, end=C, by="country", anchor="each"),
    "filter": Path(session=60, where="country = 'DE'"),
    "filter by price": Path(session=60, where="price > 5", by="n"),
}


def rows_of(counted, top):
    """Rows of each group by count, and one for the rest: group, key, count, users, median, count of the group."""
    groups = collections.defaultdict(lambda: collections.defaultdict(list))
    for user, group, key, us in counted:
        groups[group][tuple(key)].append((user, us))
    found = set()
    for group, keys in groups.items():
        whole = sum(map(len, keys.values()))
        ranked = sorted(keys.items(), key=lambda item: (-len(item[1]), [sort_key(part) for part in item[0]]))
        rest = [one for _, ones in ranked[top:] for one in ones]
        for key, ones in ranked[:top] + ([(None, rest)] if rest else []):
            times = [us for _, us in ones if us is not None]
            median = round(statistics.median(times) / 1e6, 6) if times else None
            found.add((group or None, key, len(ones), len({user for user, _ in ones}), median, whole))
    return found


def sort_key(part):
    """NULL first, `…` last; numbers of steps as numbers."""
    if part is None or part == "…":
        return (0 if part is None else 2, 0, "")
    return (1, int(part), "") if part.lstrip("-").isdigit() else (1, 0, part)


def ours(rows, path, key, count, whole):
    median = lambda row: None if row["median_seconds"] is None else round(row["median_seconds"], 6)  # noqa: E731
    group = lambda row: row[path.by] if path.by else None  # noqa: E731
    return {(group(row), key(row), row[count], row["users"], median(row), whole(row)) for row in rows}


@pytest.mark.parametrize("top", [3, 100_000])
@pytest.mark.parametrize("name", CALLS)
def test_paths(case, name, top):
    path = CALLS[name]
    rows = case.trodden.sql(path.trodden("ev", "paths", top))
    key = lambda row: None if row["path"] is None else tuple(row["path"])  # noqa: E731
    whole = lambda row: round(row["sessions"] / row["share"])  # noqa: E731
    expected = rows_of(case.duck.sql(counted_paths(path)).fetchall(), top)
    assert ours(rows, path, key, "sessions", whole) == expected
    shares = collections.Counter()
    for row in rows:
        shares[row.get(path.by)] += row["share"]
    assert all(abs(share - 1) < 1e-9 for share in shares.values())


@pytest.mark.parametrize("top", [3, 100_000])
@pytest.mark.parametrize("name", CALLS)
def test_edges(case, name, top):
    path = CALLS[name]
    rows = case.trodden.sql(path.trodden("ev", "edges", top))
    key = lambda row: None if row["step"] is None else (str(row["step"]), row["source"], row["target"])  # noqa: E731
    expected = rows_of(case.duck.sql(counted_edges(path)).fetchall(), top)
    found = ours(rows, path, key, "sessions", lambda _: None)
    assert found == {(*row[:5], None) for row in expected}


@pytest.mark.parametrize("top", [3, 100_000])
@pytest.mark.parametrize("name", [name for name, path in CALLS.items() if path.anchor == "first"])
def test_transitions(case, name, top):
    path = CALLS[name]
    rows = case.trodden.sql(path.trodden("ev", "transitions", top))
    key = lambda row: None if row["source"] is None else (row["source"], row["target"])  # noqa: E731
    counted = case.duck.sql(counted_transitions(path)).fetchall()
    found = ours(rows, path, key, "count", lambda _: None)
    assert found == {(*row[:5], None) for row in rows_of(counted, top)}
    left = collections.Counter((group or None, key[0]) for _, group, key, _ in counted)
    for row in rows:
        if row["source"] is not None:
            group = row[path.by] if path.by else None
            assert row["probability"] == pytest.approx(row["count"] / left[group, row["source"]])


@pytest.mark.parametrize("name", CALLS)
def test_users(case, name):
    path = CALLS[name]
    rows = case.trodden.sql(path.trodden("ev", "users"))
    found = collections.Counter(
        (row["user_id"], row[path.by] if path.by else None, tuple(row["path"]), tuple(map(micros, row["step_times"])), row["exited"])
        for row in rows)
    expected = collections.Counter(
        (user, group or None, tuple(p), tuple(t), exited)
        for user, group, p, t, exited in case.duck.sql(f"{shown(path)} SELECT user_id, grp, p, t, exited FROM shown").fetchall())
    assert found == expected
