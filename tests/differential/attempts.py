"""count => 'attempts' as SQL for DuckDB: what each step-1 event would begin, then the attempts that follow each other.

For order => 'ordered' with ties by arrival or by increasing time, where no two attempts want the same event.
"""
from exact import satisfied


def attempts_sql(funnel, table="ev"):
    """Per attempt: the user, its level, the times of its events."""
    assert funnel.ties in ("arrival", "increase") and funnel.order == "ordered"
    assert not (funnel.hold or funnel.exclude or funnel.step_within)
    steps = len(funnel.steps)
    where = f"WHERE {funnel.where}" if funnel.where else ""
    ctes = [f"input AS (SELECT user_id, {{'t': epoch_us(ts), 'r': r}} AS p, {satisfied(funnel)} FROM {table} {where})",
            "a1 AS (SELECT user_id, p AS p1 FROM input WHERE is1)"]
    for step in range(2, steps + 1):
        limit = f"AND x.p.t - a.p1.t <= {funnel.within * 1_000_000}" if funnel.within is not None else ""
        ctes.append(f"a{step} AS (SELECT a.*, (SELECT min(x.p) FROM input x WHERE x.user_id = a.user_id AND x.is{step} "
                    f"AND {follows(funnel, f'a.p{step - 1}')} {limit}) AS p{step} FROM a{step - 1} a)")
    # A completed attempt ends with its last event; another when its time has run out, or never.
    over = f"x.p.t > a.p1.t + {funnel.within * 1_000_000}" if funnel.within is not None else "false"
    after = f"CASE WHEN a.p{steps} IS NOT NULL THEN {follows(funnel, f'a.p{steps}')} ELSE {over} END"
    ctes.append(f"attempt AS (SELECT a.*, (SELECT min(x.p) FROM input x WHERE x.user_id = a.user_id AND x.is1 AND {after}) "
                f"AS next FROM a{steps} a)")
    ctes.append("chosen AS (SELECT user_id, min(p1) AS p1 FROM a1 GROUP BY user_id UNION ALL SELECT a.user_id, a.next "
                "FROM chosen c JOIN attempt a ON a.user_id = c.user_id AND a.p1 = c.p1 WHERE a.next IS NOT NULL)")
    times = "list_filter([" + ", ".join(f"p{step}.t" for step in range(1, steps + 1)) + "], lambda us: us IS NOT NULL)"
    return (f"WITH RECURSIVE {', '.join(ctes)} SELECT user_id, len({times}), {times} "
            "FROM chosen JOIN attempt USING (user_id, p1) ORDER BY user_id, p1")


def follows(funnel, before):
    return f"x.p > {before}" if funnel.ties == "arrival" else f"x.p.t > {before}.t"
