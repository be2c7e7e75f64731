"""PATH written as SQL of DuckDB, from its definition: every way is a range of a session, every stop a row."""
import dataclasses

FOREVER = "INTERVAL '1000' YEAR"


@dataclasses.dataclass
class Path:
    """The arguments of one path. `session` is a number of seconds, the name of a column, or None."""
    node: str = "event"
    session: object = 1800
    start: str | None = None
    end: str | None = None
    anchor: str = "first"
    steps: int = 5
    collapse: bool = True
    exclude: str | None = None
    by: str | None = None
    where: str | None = None

    def trodden(self, table, emit, top=50):
        source = f"(SELECT * FROM {table} WHERE {self.where})" if self.where else table
        session = {int: lambda s: f"INTERVAL '{s}' SECOND", str: str, type(None): lambda _: "NULL"}[type(self.session)](self.session)
        arguments = [source, f"node => {self.node}", f"session => {session}", f"steps => {self.steps}",
                     f"collapse => {str(self.collapse).lower()}", f"top => {top}", f"emit => '{emit}'"]
        for name in ("start", "end", "exclude", "by"):
            if value := getattr(self, name):
                arguments.append(f"{name} => {value}")
        if self.start or self.end:
            arguments.append(f"anchor => '{self.anchor}'")
        return f"SELECT * FROM PATH({', '.join(arguments)})"


def sessions(path):
    """Rows `user_id, i, ts, node, sid, is_start, is_end, grp`: the events that are left, with the session of each."""
    named = isinstance(path.session, str)
    left = [f"({path.node}) IS NOT NULL", f"coalesce(NOT ({path.exclude}), true)" if path.exclude else "true",
            f"{path.session} IS NOT NULL" if named else "true", path.where or "true"]
    gap = f"INTERVAL '{path.session}' SECOND" if isinstance(path.session, int) else FOREVER
    sid = f"CAST({path.session} AS VARCHAR)" if named else "sum(is_new) OVER (PARTITION BY user_id ORDER BY ts, r)"
    truth = lambda condition: f"coalesce({condition}, false)" if condition else "false"  # noqa: E731
    return f"""
      left_over AS (SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY user_id ORDER BY ts, r) > {gap} THEN 1 ELSE 0 END AS is_new
                    FROM ev WHERE {' AND '.join(left)}),
      events AS (SELECT user_id, ts, r, CAST(({path.node}) AS VARCHAR) AS node, {sid} AS sid, {truth(path.start)} AS is_start,
                        {truth(path.end)} AS is_end, {path.by or "''"} AS grp FROM left_over),
      numbered AS (SELECT *, row_number() OVER (PARTITION BY user_id, sid ORDER BY ts, r) AS i FROM events)"""


def ways(path):
    """Rows `user_id, sid, lo, hi, anchor`: where each way lies in its session."""
    all_ways = {
        (False, False): "SELECT user_id, sid, min(i) AS lo, max(i) AS hi, min(i) AS anchor FROM numbered GROUP BY ALL",
        (True, False): """SELECT s.user_id, s.sid, s.i AS lo, max(e.i) AS hi, s.i AS anchor FROM numbered s JOIN numbered e
                          USING (user_id, sid) WHERE s.is_start GROUP BY ALL""",
        (False, True): "SELECT user_id, sid, 1 AS lo, i AS hi, i AS anchor FROM numbered WHERE is_end",
        (True, True): """SELECT s.user_id, s.sid, s.i AS lo, min(e.i) AS hi, s.i AS anchor FROM numbered s JOIN numbered e
                         ON e.user_id = s.user_id AND e.sid = s.sid AND e.i > s.i AND e.is_end WHERE s.is_start GROUP BY ALL""",
    }[bool(path.start), bool(path.end)]
    one = "" if path.anchor == "each" else "QUALIFY row_number() OVER (PARTITION BY user_id, sid ORDER BY anchor) = 1"
    return f"ways AS (SELECT * FROM ({all_ways}) {one})"


def stops(path):
    """A row a way: `user_id, grp, p, t`, uncut."""
    is_stop = "lag(n.node) OVER way IS DISTINCT FROM n.node" if path.collapse else "true"
    return f"""WITH {sessions(path)}, {ways(path)},
      stops AS (SELECT w.user_id, w.sid, w.anchor, n.i, n.node, epoch_us(n.ts) AS us, {is_stop} AS is_stop
                FROM ways w JOIN numbered n ON n.user_id = w.user_id AND n.sid = w.sid AND n.i BETWEEN w.lo AND w.hi
                WINDOW way AS (PARTITION BY w.user_id, w.sid, w.anchor ORDER BY n.i)),
      listed AS (SELECT user_id, sid, anchor, list(node ORDER BY i) AS p, list(us ORDER BY i) AS t FROM stops WHERE is_stop GROUP BY ALL),
      whole AS (SELECT l.user_id, a.grp, l.p, l.t, l.sid, l.anchor FROM listed l JOIN numbered a
                ON a.user_id = l.user_id AND a.sid = l.sid AND a.i = l.anchor)"""


def shown(path):
    """A row a way: `user_id, grp, p, t, exited`, cut."""
    n, head, tail = path.steps, (path.steps + 1) // 2, path.steps // 2
    if path.start and path.end:
        cut = lambda x, dots: f"CASE WHEN len(p) > {n} THEN {x}[:{head}] || [{dots}] || {x}[-{tail}:] ELSE {x} END"  # noqa: E731
        p, t = cut("p", "'…'"), cut("t", f"t[{head + 1}]")
    else:
        part = f"-{n}:" if path.end else f":{n}"
        p, t = f"p[{part}]", f"t[{part}]"
    exited = "false" if path.end else f"len(p) <= {n}"
    return f"{stops(path)}, shown AS (SELECT user_id, grp, {p} AS p, {t} AS t, {exited} AS exited FROM whole)"


def counted_paths(path):
    """Rows `user_id, grp, key, us`."""
    return f"{shown(path)} SELECT user_id, grp, p AS key, t[len(t)] - t[1] AS us FROM shown"


def counted_edges(path):
    first = "i - len(p)" if path.end and not path.start else "i"
    return f"""{shown(path)}, places AS (SELECT *, unnest(range(1, len(p) + 1)) AS i FROM shown)
      SELECT user_id, grp, [CAST({first} AS VARCHAR), p[i], p[i + 1]] AS key, t[i + 1] - t[i] AS us FROM places WHERE i < len(p)
      UNION ALL SELECT user_id, grp, [CAST(len(p) AS VARCHAR), p[len(p)], NULL], NULL FROM shown WHERE exited"""


def counted_transitions(path):
    """Only for ways that share no event."""
    return f"""{stops(path)}, places AS (SELECT *, unnest(range(1, len(p))) AS i FROM whole)
      SELECT user_id, grp, [p[i], p[i + 1]] AS key, t[i + 1] - t[i] AS us FROM places"""
