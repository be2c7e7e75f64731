"""RECOMMEND written as SQL of DuckDB, from its definition: lists of what is popular, and of items with common users."""
import dataclasses


@dataclasses.dataclass
class Recommend:
    """The arguments of one call. `weights` is a dictionary; times are microseconds since 1970, spans microseconds."""
    item: str = "item"
    weights: dict | None = None
    half_life: int | None = None
    window: int | None = None
    as_of: int | None = None
    seen: object = "exclude"  # or "include", or a list of names
    exclude: tuple = ()
    candidates: str | None = None
    boost: str | None = None
    diversify: tuple | None = None  # category and max
    top: int = 10
    where: str | None = None

    def trodden(self, table, **more):
        """The call, with what is asked of it: using, similarity, emit, for_user."""
        source = f"(SELECT * FROM {table} WHERE {self.where})" if self.where else table
        arguments = [source, f"item => {self.item}", f"top => {self.top}"]
        if self.weights:
            arguments.append("weights => WEIGHTS(" + ", ".join(f"{name} => {weight}" for name, weight in self.weights.items()) + ")")
        for name in ("half_life", "window"):
            if us := getattr(self, name):
                arguments.append(f"{name} => INTERVAL '{us} microseconds'")
        if self.as_of is not None:
            arguments.append(f"as_of => to_timestamp_micros({self.as_of})")
        arguments.append(f"seen => {self.seen if isinstance(self.seen, list) else repr(self.seen)}")
        if self.exclude:
            arguments.append(f"exclude => {list(self.exclude)}")
        for name in ("candidates", "boost"):
            if value := getattr(self, name):
                arguments.append(f"{name} => {value}")
        if self.diversify:
            arguments.append("diversify => DIVERSIFY({}, max => {})".format(*self.diversify))
        arguments += [f"{name} => {value!r}" for name, value in more.items()]
        return f"SELECT * FROM RECOMMEND({', '.join(arguments)})"


def counted(call):
    """Tables `named` (events that the call names), `moment`, `counted` (events that count), `facts` (what the newest says)."""
    seen = call.seen if isinstance(call.seen, list) else []
    names = ", ".join(repr(name) for name in [*(call.weights or {}), *seen])
    weight = "1.0" if not call.weights else "CASE event " + " ".join(
        f"WHEN '{name}' THEN {float(weight)}" for name, weight in call.weights.items()) + " ELSE 0 END"
    until = "true" if call.as_of is None else f"epoch_us(ts) <= {call.as_of}"
    since = "true" if not call.window else f"epoch_us(ts) >= (SELECT us FROM moment) - {call.window}"
    age = "1.0" if not call.half_life else f"pow(0.5, ((SELECT us FROM moment) - epoch_us(ts)) / {float(call.half_life)})"
    category = f"min(CAST({call.diversify[0]} AS VARCHAR))" if call.diversify else "NULL"
    return f"""
      items AS (SELECT *, CAST({call.item} AS VARCHAR) AS it, {weight} AS w FROM ev
                WHERE ({call.item}) IS NOT NULL AND {until} AND ({call.where or 'true'})),
      named AS (SELECT * FROM items WHERE {f'event IN ({names})' if call.weights else 'true'}),
      moment AS (SELECT {'max(epoch_us(ts))' if call.as_of is None else f'max({call.as_of})'} AS us FROM named),
      counted AS (SELECT *, w * {age} AS worth FROM named WHERE w > 0 AND {since}),
      facts AS (SELECT it, bool_or(coalesce({call.candidates or 'true'}, false)) AS may,
                       max(coalesce(CAST({call.boost or '1'} AS DOUBLE), 1)) AS boost, {category} AS category
                FROM (SELECT *, max(ts) OVER (PARTITION BY it) AS last FROM items) WHERE ts = last GROUP BY it)"""


def popular(call):
    """Rows `user_id, rank, item, score`: a list for every user, before `diversify`, which takes a walk and no query."""
    barred = {"exclude": "w > 0", "include": "false"}.get(call.seen) if isinstance(call.seen, str) else (
        "event IN (" + ", ".join(map(repr, call.seen)) + ")")
    return f"""WITH {counted(call)},
      scores AS (SELECT it, sum(worth) AS score FROM counted GROUP BY it),
      seen AS (SELECT DISTINCT user_id, it FROM named WHERE {barred}),
      lists AS (SELECT u.user_id, s.it, s.score * f.boost AS score, f.category
                FROM (SELECT DISTINCT user_id FROM named) u CROSS JOIN scores s JOIN facts f USING (it)
                WHERE f.may AND s.score * f.boost > 0 {excluded(call, 's.it')}
                  AND NOT EXISTS (FROM seen WHERE seen.user_id = u.user_id AND seen.it = s.it))
      SELECT user_id, it, score, category FROM lists ORDER BY user_id, round(score, 7) DESC, it"""


def alike(call, similarity):
    """Rows `item, other, score, category`: the items that share users with each, the most alike first."""
    value = {"overlap": "c", "cosine": "c / sqrt(a.n * b.n)", "jaccard": "c / (a.n + b.n - c)"}[similarity]
    return f"""WITH {counted(call)},
      pairs AS (SELECT DISTINCT user_id, it FROM counted),
      users AS (SELECT it, CAST(count(*) AS DOUBLE) AS n FROM pairs GROUP BY it),
      shared AS (SELECT a.it, b.it AS other, CAST(count(*) AS DOUBLE) AS c FROM pairs a JOIN pairs b USING (user_id)
               WHERE a.it <> b.it GROUP BY ALL)
      SELECT it, other, {value} * f.boost AS score, f.category
      FROM shared JOIN users a USING (it) JOIN users b ON b.it = shared.other JOIN facts f ON f.it = shared.other
      WHERE f.may AND {value} * f.boost > 0 {excluded(call, 'other')}
      ORDER BY it, score DESC, other"""


def excluded(call, item):
    return f"AND {item} NOT IN ({', '.join(map(repr, call.exclude))})" if call.exclude else ""
