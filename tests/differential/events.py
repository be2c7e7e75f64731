"""Random small event sets that provoke what funnels get wrong: equal times, NULLs, steps that share events."""
import random

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

NAMES = ["a", "b", "c", "d", "other"]
START_US = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z
SECOND = 1_000_000


def make(seed, users=400, events=12, spread_s=2_000_000, ties=False):
    """An Arrow table of about users * events rows in random order of time; the row's position is its arrival."""
    rng = random.Random(seed)
    step = 60 if ties else 1
    span = 15 if ties else spread_s
    rows = []
    for user in range(users):
        home = rng.choice(["DE", "FR", "PL", None])
        for _ in range(rng.randint(1, 2 * events)):
            rows.append({
                "user_id": f"user-{user:04d}",
                "ts": START_US + rng.randrange(span) * step * SECOND + (0 if ties else rng.randrange(SECOND)),
                "event": rng.choice(NAMES),
                "country": home if rng.random() < .8 else rng.choice(["DE", "FR", "PL"]),
                "item": rng.choice(["p1", "p2", "p3", None]),
                "price": rng.choice([None, 1.5, 9.0, 12.25, 30.0]),
                "n": rng.choice([None, 1, 2, 3]),
            })
    rng.shuffle(rows)
    schema = pa.schema([("user_id", pa.string()), ("ts", pa.timestamp("us", "UTC")), ("event", pa.string()),
                        ("country", pa.string()), ("item", pa.string()), ("price", pa.float64()), ("n", pa.int64())])
    columns = {field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}
    return pa.table(columns, schema)


def write_parquet(table, path):
    # Many small row groups, so that an import that loses their order is found out.
    parquet.write_table(table, path, row_group_size=500)


def write_csv(table, path):
    index = table.schema.get_field_index("ts")
    epoch = table.column("ts").cast(pa.int64())
    csv.write_csv(table.set_column(index, "ts", epoch), path)
