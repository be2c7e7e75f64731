"""FUNNEL by its definition, as SQL for DuckDB: every chain is enumerated by self-joins, then the best one is chosen.

Slow, but nothing in it is greedy, so it is right wherever the definition is clear. For up to four steps.
"""
from dataclasses import dataclass, field, replace
from itertools import permutations


@dataclass(frozen=True)
class Funnel:
    """One call of FUNNEL. Conditions are SQL that both systems read the same way; times are in seconds."""
    steps: tuple
    within: int | None = None
    step_within: tuple = ()      # one number, or one per gap
    order: str = "ordered"
    ties: str = "any"
    hold: tuple = ()
    exclude: tuple = ()          # (condition, after, before), neighbours only
    where: str | None = None
    by: str | None = None
    attribution: object = "first"
    count: str = "users"
    names: tuple = field(default=("s1", "s2", "s3", "s4"))

    def trodden(self, table, emit):
        """The call as trodden reads it."""
        def interval(seconds):
            return f"INTERVAL '{seconds}' SECOND"
        source = f"(SELECT * FROM {table} WHERE {self.where})" if self.where else table
        parts = [source, "STEPS(" + ", ".join(f"{n} => {c}" for n, c in zip(self.names, self.steps)) + ")"]
        if self.within is not None:
            parts.append(f"within => {interval(self.within)}")
        if len(self.step_within) == 1:
            parts.append(f"step_within => {interval(self.step_within[0])}")
        elif self.step_within:
            parts.append("step_within => [" + ", ".join(map(interval, self.step_within)) + "]")
        if self.order != "ordered":
            parts.append(f"order => '{self.order}'")
        if self.ties != "any":
            parts.append(f"ties => '{self.ties}'")
        if self.hold:
            parts.append("hold => " + (self.hold[0] if len(self.hold) == 1 else f"({', '.join(self.hold)})"))
        if self.exclude:
            excludes = [f"EXCLUDE({cond}, after => {i}, before => {j})" for cond, i, j in self.exclude]
            parts.append("exclude => [" + ", ".join(excludes) + "]")
        if self.by:
            parts.append(f"by => {self.by}")
        if self.attribution != "first":
            value = self.attribution if isinstance(self.attribution, int) else f"'{self.attribution}'"
            parts.append(f"attribution => {value}")
        if self.count != "users":
            parts.append(f"count => '{self.count}'")
        parts.append(f"emit => '{emit}'")
        return f"SELECT * FROM FUNNEL({', '.join(parts)})"


def users_sql(funnel, table="ev"):
    """Per user: level, the times of the chosen chain, the value of `by`. `table` has a column `r`, the arrival."""
    where = f"WHERE {funnel.where}" if funnel.where else ""
    ctes = [f"input AS (SELECT *, epoch_us(ts) AS t FROM {table} {where})"]
    for k in range(1, len(funnel.steps) + 1):
        ctes.append(f"k{k} AS (SELECT e1.user_id, {k} AS level, {columns(funnel, k)} FROM {joins(funnel, k)})")
    union = " UNION ALL ".join(f"SELECT * FROM k{k}" for k in range(1, len(funnel.steps) + 1))
    width = len(funnel.steps)
    best = ", ".join(f"t{i} NULLS FIRST, r{i} NULLS FIRST" for i in range(1, width + 1))
    times = "[" + ", ".join(f"t{i}" for i in range(1, width + 1)) + "]"
    return (f"WITH {', '.join(ctes)}, ranked AS (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY level DESC, {best}) "
            f"AS place FROM ({union})) SELECT user_id, level, list_slice({times}, 1, level) AS times, part FROM ranked "
            "WHERE place = 1 ORDER BY user_id")


def columns(funnel, k):
    """Times and arrivals of a chain of k events, padded with NULL, and the value of `by`."""
    parts = []
    for i in range(1, len(funnel.steps) + 1):
        parts.append(f"e{i}.t AS t{i}, e{i}.r AS r{i}" if i <= k else f"NULL::BIGINT AS t{i}, NULL::BIGINT AS r{i}")
    at = {"first": 1, "last": k}.get(funnel.attribution, funnel.attribution)
    value = f"e{at}.{funnel.by}" if funnel.by and at <= k else "NULL"
    return ", ".join(parts) + f", {value} AS part"


def joins(funnel, k):
    """All chains of k events: k copies of the input, joined under every rule."""
    fits = funnel.steps
    if funnel.order == "any":
        fits = [" OR ".join(f"({step})" for step in funnel.steps)] * k
    text = f"(SELECT *, {satisfied(funnel)} FROM input WHERE {fits[0]}) e1"
    for i in range(2, k + 1):
        text += f" JOIN (SELECT *, {satisfied(funnel)} FROM input WHERE {fits[i - 1]}) e{i} ON e{i}.user_id = e1.user_id"
        text += "".join(f" AND {rule}" for rule in gap_rules(funnel, i))
        if funnel.within is not None:
            text += f" AND e{i}.t - e1.t <= {funnel.within * 1_000_000}"
    rules = [f"e1.{column} IS NOT NULL" for column in funnel.hold]
    if funnel.order == "any":
        ways = permutations(range(1, len(funnel.steps) + 1), k)
        way = " OR ".join(" AND ".join(f"e{i}.is{step}" for i, step in enumerate(steps, 1)) for steps in ways)
        rules.append(f"({way})")
    return text + (" WHERE " + " AND ".join(rules) if rules else "")


def satisfied(funnel):
    """Which steps an event satisfies, a column each."""
    return ", ".join(f"({step}) IS TRUE AS is{i}" for i, step in enumerate(funnel.steps, 1))


def gap_rules(funnel, i):
    """What must hold between event i-1 and event i of a chain, and that event i is none of those before."""
    left, right = f"e{i - 1}", f"e{i}"
    by_arrival = f"({left}.t, {left}.r) < ({right}.t, {right}.r)"
    # In any order, a chain is listed in total order.
    yield {"any": by_arrival if funnel.order == "any" else f"{left}.t <= {right}.t",
           "arrival": by_arrival,
           "increase": f"{left}.t < {right}.t"}[funnel.ties]
    yield from (f"{right}.r <> e{j}.r" for j in range(1, i))
    if funnel.step_within:
        limit = funnel.step_within[0] if len(funnel.step_within) == 1 else funnel.step_within[i - 2]
        yield f"{right}.t - {left}.t <= {limit * 1_000_000}"
    yield from (f"{right}.{column} = e1.{column}" for column in funnel.hold)
    if funnel.order == "strict":
        yield f"NOT EXISTS (FROM input x WHERE x.user_id = e1.user_id AND {between(funnel, left, right)})"
    for condition, after, before in funnel.exclude:
        assert before == after + 1, "only neighbours are clear for chains that end in between"
        if before == i:
            yield (f"NOT EXISTS (FROM (FROM input WHERE {condition}) x WHERE x.user_id = e1.user_id "
                   f"AND {between(funnel, left, right)})")


def between(funnel, left, right):
    if funnel.ties == "arrival":
        return f"(x.t, x.r) > ({left}.t, {left}.r) AND (x.t, x.r) < ({right}.t, {right}.r)"
    return f"x.t > {left}.t AND x.t < {right}.t"


def steps_sql(funnel, table="ev"):
    """Per step (and value of `by`): users, medians and 90th percentiles in seconds, as emit => 'steps' gives them."""
    group = "part, " if funnel.by else ""
    rows = " UNION ALL ".join(
        f"SELECT {group}{k} AS step, count(*) FILTER (level >= {k}) AS users, "
        + (f"quantile_cont((times[{k}] - times[{k - 1}]) / 1e6, 0.5) FILTER (level >= {k}) AS median, "
           f"quantile_cont((times[{k}] - times[{k - 1}]) / 1e6, 0.9) FILTER (level >= {k}) AS p90, "
           f"quantile_cont((times[{k}] - times[1]) / 1e6, 0.5) FILTER (level >= {k}) AS total "
           if k > 1 else "NULL AS median, NULL AS p90, NULL AS total ")
        + f"FROM users {'GROUP BY part' if funnel.by else ''}" for k in range(1, len(funnel.steps) + 1))
    return f"WITH users AS MATERIALIZED ({users_sql(funnel, table)}) SELECT * FROM ({rows}) ORDER BY ALL"


def relaxations(funnel):
    """Why somebody got no further: the first of these funnels in which the level is higher gives the reason."""
    without_limits = replace(funnel, within=None, step_within=())
    without_excludes = replace(without_limits, exclude=())
    reasons = [("timeout", without_limits), ("excluded", without_excludes)]
    if funnel.order == "strict":
        reasons.append(("broken", replace(without_excludes, order="ordered")))
    return reasons
