"""SEGMENT against its definition in DuckDB: members of random expressions, their overlaps, and lifts with the p-values of
Python's own error function."""
import itertools
import math
import os
import random

import pytest

from retention import OFFSETS
from trodden import micros

CONDITIONS = ["event = 'a'", "event = 'b'", "event IN ('c', 'd')", "country = 'DE'", "event = 'a' AND country = 'FR'", "price > 5",
              "item IS NULL", "n = 2 AND event <> 'other'", "true"]
# 2026-03-01, and instants inside and at the ends of days.
INSTANTS = [f"2026-03-{day:02d} {time}" for day in (1, 2, 5, 9, 14, 20, 24) for time in ("00:00:00", "00:04:00", "13:37:11.25")]


MINUTES = {zone: int(offset.split()[0]) * {"hours": 60, "minutes": 1}[offset.split()[1]] for zone, offset in OFFSETS.items()}


def at(instant):
    return micros(instant + "Z")


class Did:
    def __init__(self, rng, zone):
        def maybe(values, chance=.25):
            return rng.choice(values) if rng.random() < chance else None

        self.zone, self.condition = zone, rng.choice(CONDITIONS)
        self.least, self.most = maybe([0, 1, 2, 3]), maybe([2, 3, 4, 6])
        self.most = self.most and max(self.most, self.least or 1)
        self.days = maybe([1, 2, 3])
        self.since, self.until = (value if rng.random() < .3 else None for value in sorted(rng.sample(INSTANTS, 2)))
        self.hours = maybe([1, 24, 5 * 24, 400])

    def trodden(self):
        given = {"at_least": self.least, "at_most": self.most, "days_at_least": self.days}
        given |= {"since": self.since and f"TIMESTAMP '{self.since}'", "until": self.until and f"TIMESTAMP '{self.until}'"}
        given |= {"within": self.hours and f"INTERVAL '{self.hours}' HOUR"}
        return f"DID({', '.join([self.condition] + [f'{name} => {value}' for name, value in given.items() if value is not None])})"

    def duck(self, as_of):
        seen = [f"({self.condition})"]
        seen += [f"epoch_us(ts) >= {at(self.since)}"] if self.since else []
        seen += [f"epoch_us(ts) < {at(self.until)}"] if self.until else []
        first = at(as_of) - (self.hours or 0) * 3_600_000_000
        seen += [f"epoch_us(ts) BETWEEN {first} AND {at(as_of)}"] if self.hours else []
        seen = f"FILTER (WHERE {' AND '.join(seen)})"
        least = 1 if self.least is None else self.least
        parts = [f"count(*) {seen} >= {least}"]
        parts += [f"count(*) {seen} <= {self.most}"] if self.most is not None else []
        day = f"(epoch_us(ts) // 60000000 + {MINUTES[self.zone]}) // 1440"
        parts += [f"count(DISTINCT {day}) {seen} >= {self.days}"] if self.days is not None else []
        return f"({' AND '.join(parts)})"


def drawn(rng, zone, depth=2):
    """An expression, as text for both engines."""
    if depth == 0 or rng.random() < .3:
        return Did(rng, zone)
    return rng.choice(["AND", "AND", "OR", "NOT"]), [drawn(rng, zone, depth - 1) for _ in range(rng.randint(2, 3))]


def text(of, each):
    if isinstance(of, Did):
        return each(of)
    word, parts = of
    if word == "NOT":
        return f"NOT {text(parts[0], each)}"
    return f"({f' {word} '.join(text(part, each) for part in parts)})"


def p_value(a, n, b, m):
    """Of the two-proportion z-test, and z."""
    q = (a + b) / (n + m) if n and m else 0
    if not 0 < q < 1:
        return None, None
    z = (a / n - b / m) / math.sqrt(q * (1 - q) * (1 / n + 1 / m))
    return z, math.erfc(abs(z) / math.sqrt(2))


def close(found, expected):
    return found is expected is None or math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("number", range(25))
def test_definition(case, number):
    rng = random.Random(int(os.environ.get("SEED", 1)) * 1000 + number)
    zone, as_of = rng.choice(list(OFFSETS)), rng.choice(INSTANTS)
    where = rng.choice(["true", "true", "country = 'DE'", "ts >= '2026-03-04 07:00:00'"])
    source = "ev" if where == "true" else f"(SELECT * FROM ev WHERE {where})"
    expressions = [drawn(rng, zone) for _ in range(4)]
    shown = [text(one, Did.trodden) for one in expressions]

    def members(condition):
        query = f"SELECT user_id FROM ev WHERE epoch_us(ts) <= {at(as_of)} AND ({where}) GROUP BY user_id HAVING {condition}"
        return {user for user, in case.duck.sql(query).fetchall()}

    sets = [members(text(one, lambda did: did.duck(as_of))) for one in expressions]
    known = members("true")
    rest = f"as_of => TIMESTAMP '{as_of}', time_zone => '{zone}'"

    def ask(arguments):
        return case.trodden.sql(f"SELECT * FROM SEGMENT({source}, {arguments}, {rest})")

    assert {row["user_id"] for row in ask(f"where => {shown[0]}, emit => 'users'")} == sets[0]
    row, = ask(f"where => {shown[0]}")
    assert (row["users"], row["of_users"]) == (len(sets[0]), len(known))
    segments = ", ".join(f"s{i} => {one}" for i, one in enumerate(shown))
    rows = ask(f"segments => SEGMENTS({segments}), emit => 'overlap'")
    for row, ((i, a), (j, b)) in zip(rows, itertools.product(enumerate(sets), repeat=2), strict=True):
        assert (row["segment_a"], row["segment_b"], row["users_a"], row["users_b"]) == (f"s{i}", f"s{j}", len(a), len(b))
        assert row["users"] == len(a & b)
        assert close(row["jaccard"], len(a & b) / len(a | b) if a | b else None)
    rows = ask(f"where => {shown[0]}, segments => SEGMENTS({segments}), emit => 'lift'")
    inside, outside = sets[0], known - sets[0]
    for row, members in zip(rows, sets, strict=True):
        a, b = len(members & inside), len(members & outside)
        assert (row["users_inside"], row["users_outside"]) == (a, b)
        z, p = p_value(a, len(inside), b, len(outside))
        assert close(row["z"], z) and close(row["p_value"], p)
