"""Properties that every SDK sends, and what a query must give back."""
import json
import math

# Each with a value of every kind that JSON has.
PROPERTIES = {
    "whole": 42,
    "negative": -7,
    "price": 19.5,
    "tiny": 1e-7,
    "large": 9007199254740991,
    "text": "Ünï ☃ \"quoted\" \\ \n 'x'",
    "empty": "",
    "digits": "007",
    "iso": "2026-03-01T10:00:00.000Z",
    "yes": True,
    "no": False,
    "list": [1, "a", {"b": None}],
    "nested": {"deep": {"er": "x", "n": 1}, "list": []},
    "with space": "s",
}

# Column, value.
COLUMNS = {
    "whole": 42,
    "negative": -7,
    "price": 19.5,
    "tiny": 1e-7,
    "large": 9007199254740991,
    "text": PROPERTIES["text"],
    "empty": "",
    "digits": "007",
    "iso": "2026-03-01T10:00:00.000Z",
    "yes": True,
    "no": False,
    "nested.deep.er": "x",
    "nested.deep.n": 1,
    "with space": "s",
}
# Arrays are JSON text.
ARRAYS = {"list": [1, "a", {"b": None}], "nested.list": []}

TYPES = {
    "whole": "BIGINT", "negative": "BIGINT", "price": "DOUBLE", "tiny": "DOUBLE", "large": "BIGINT", "text": "TEXT",
    "empty": "TEXT", "digits": "TEXT", "iso": "TEXT", "yes": "BOOLEAN", "no": "BOOLEAN", "list": "TEXT",
    "nested.deep.er": "TEXT", "nested.deep.n": "BIGINT", "nested.list": "TEXT", "with space": "TEXT",
}


def quoted(names):
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def check_properties(server, where, but=(), table="events"):
    """Every property of the only event of `where` is there, with its value and its type."""
    names = [name for name in [*COLUMNS, *ARRAYS] if name not in but]
    rows = server.sql(f"SELECT {quoted(names)} FROM {table} WHERE {where}")
    assert len(rows) == 1, rows
    for name in names:
        value = rows[0][name]
        if name in ARRAYS:
            assert json.loads(value) == ARRAYS[name], (name, value)
            continue
        want = COLUMNS[name]
        assert type(value) is type(want), (name, value, want)
        assert math.isclose(value, want, rel_tol=1e-15) if isinstance(want, float) else value == want, (name, value)
    types = {row["column_name"]: row["data_type"] for row in server.sql(f"DESCRIBE {table}")}
    for name in names:
        assert types[name] == TYPES[name], (name, types[name])
