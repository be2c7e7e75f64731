"""Levels of a funnel by ASOF joins in DuckDB: the latest start that can still lead to a step is carried along.

Exact when no event can fill two steps and equal times count in any order. Fast enough for millions of events.
"""


def levels_sql(steps, days, table="ev", by=None):
    keep = f", c.{by}" if by else ""
    group = f"{by}, " if by else ""
    parts = []
    for i, step in enumerate(steps):
        source = f"(SELECT user_id, ts {', ' + by if by else ''} FROM {table} WHERE {step})"
        if i == 0:
            parts.append(f"s0 AS (SELECT c.user_id, c.ts, c.ts AS start {keep} FROM {source} c)")
        else:
            parts.append(f"s{i} AS (SELECT c.user_id, c.ts, p.start {keep} FROM {source} c ASOF JOIN s{i - 1} p "
                         f"ON c.user_id = p.user_id AND c.ts >= p.ts WHERE c.ts - p.start <= INTERVAL {days} DAY)")
    union = " UNION ALL ".join(f"SELECT DISTINCT user_id, {group}{i + 1} AS level FROM s{i}" for i in range(len(steps)))
    return (f"WITH {', '.join(parts)} SELECT {group}level, count(*) FROM (SELECT user_id, {group}max(level) AS level "
            f"FROM ({union}) GROUP BY ALL) GROUP BY ALL ORDER BY ALL")


def trodden_call(table, steps, days, emit, by=None):
    """The same as FUNNEL."""
    named = ", ".join(f"s{i + 1} => {step}" for i, step in enumerate(steps))
    by = f", by => {by}" if by else ""
    return f"SELECT * FROM FUNNEL({table}, STEPS({named}), within => INTERVAL '{days}' DAY{by}, emit => '{emit}')"
