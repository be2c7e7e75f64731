"""The questions of the comparison: what each engine is asked, and what its rows say."""
import dataclasses
import pathlib
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tests/differential"))
from asof import levels_sql  # noqa: E402

DAY_US = 86_400_000_000
GAP_US = 1_800_000_000


def reached(rows):
    """Users per (part, step) that got at least that far, from rows of (part…, exact level, users)."""
    counts = {}
    for *part, level, users in rows:
        for step in range(1, int(level) + 1):
            key = (*map(str, part), str(step))
            counts[key] = counts.get(key, 0) + int(users)
    return counts


def plain(rows):
    """Counts by all that stands before them."""
    return {(*map(text, key), ): int(count) for *key, count in rows if int(count)}


def listed(rows):
    """Counts by item, place and other item, from rows of (item, list of others, list of counts)."""
    return {(text(item), str(place), text(other)): int(count) for item, others, counts in rows
            for place, (other, count) in enumerate(zip(others, counts), 1)}


def text(value):
    return " > ".join(value) if isinstance(value, list) else str(value)[:10] if str(value)[4:5] == "-" else str(value)


@dataclasses.dataclass(frozen=True)
class Question:
    title: str
    trodden: str
    clickhouse: str
    duckdb: str
    # What the rows of the others say; those of trodden are counts by key.
    answer: Callable = plain


def funnel(title, steps, days, where=None, by=None):
    source = f"(SELECT * FROM ev WHERE {where})" if where else "ev"
    named = ", ".join(f"s{i} => {step}" for i, step in enumerate(steps, 1))
    by_argument, part = (f", by => {by}", f"{by}, ") if by else ("", "")
    call = f"FUNNEL({source}, STEPS({named}), within => INTERVAL '{days}' DAY{by_argument})"
    group, pick = (f"{by},", f"any({by}) {by},") if by else ("", "")
    filtered = [f"({where}) AND ({step})" for step in steps] if where else steps
    return Question(
        title,
        f"SELECT {part}step, users FROM {call} ORDER BY {part}step",
        f"SELECT {group}level,count() FROM (SELECT {pick}windowFunnel({days * DAY_US})(toUInt64(toUnixTimestamp64Micro(ts)),"
        f"{','.join(steps)}) level FROM ev WHERE ({where or 'true'}) AND ({' OR '.join(steps)}) GROUP BY user_id) "
        f"WHERE level>0 GROUP BY {group}level ORDER BY {group}level",
        levels_sql(filtered, days, by=by),
        reached,
    )


BOUGHT = "SELECT DISTINCT user_id, product_id FROM ev WHERE event = 'purchase' AND product_id IS NOT NULL"
VIEW, CART, BUY = (f"event = '{name}'" for name in ("product_view", "add_to_cart", "purchase"))
QUESTIONS = {
    "F1": funnel("3 frequent steps, 1 day", [VIEW, CART, BUY], 1),
    "F2": funnel("5 steps, 7 days, a price filter, by country",
                 ["event = 'app_open'", f"{VIEW} AND price > 10", CART, "event = 'checkout'", BUY], 7, by="country"),
    "F3": funnel("rare steps, one country, 30 days", ["event = 'signup'", "event = 'coupon_apply'", BUY], 30, "country = 'C20'"),
    # The others count whoever did anything on day 0, which is every user of the cohort.
    "R1": Question(
        "first signup to any event, days 0 to 30",
        "SELECT CAST(cohort AS DATE) AS day, period, CASE WHEN period = 0 THEN cohort_users ELSE users END AS users "
        "FROM RETENTION(ev, start => 'signup', periods => 30)",
        """SELECT d0, dateDiff('day', d0, d) n, count() FROM
           (SELECT user_id, min(toDate(ts)) d0 FROM ev WHERE event = 'signup' GROUP BY user_id) a
           JOIN (SELECT DISTINCT user_id, toDate(ts) d FROM ev) b USING user_id WHERE n BETWEEN 0 AND 30 GROUP BY d0, n""",
        """SELECT d0, d - d0 n, count(*) FROM (SELECT user_id, min(ts::DATE) d0 FROM ev WHERE event = 'signup' GROUP BY user_id) a
           JOIN (SELECT DISTINCT user_id, ts::DATE d FROM ev) b USING (user_id) WHERE d - d0 BETWEEN 0 AND 30 GROUP BY 1, 2""",
    ),
    "R2": Question(
        "first app_open to purchase, blocks of 7 days, by channel",
        "SELECT channel, period, sum(users) AS users FROM RETENTION(ev, start => 'app_open', return => 'purchase', "
        "period => INTERVAL '7' DAY, periods => 8, by => channel) GROUP BY channel, period",
        """SELECT channel, intDiv(dateDiff('day', d0, d), 7) n, uniqExact(user_id) FROM
           (SELECT user_id, any(channel) channel, min(toDate(ts)) d0 FROM ev WHERE event = 'app_open' GROUP BY user_id) a
           JOIN (SELECT DISTINCT user_id, toDate(ts) d FROM ev WHERE event = 'purchase') b USING user_id
           WHERE d >= d0 AND n <= 8 GROUP BY channel, n""",
        """SELECT channel, (d - d0) // 7 n, count(DISTINCT user_id) FROM
           (SELECT user_id, any_value(channel) channel, min(ts::DATE) d0 FROM ev WHERE event = 'app_open' GROUP BY user_id) a
           JOIN (SELECT DISTINCT user_id, ts::DATE d FROM ev WHERE event = 'purchase') b USING (user_id)
           WHERE d >= d0 AND (d - d0) // 7 <= 8 GROUP BY 1, 2""",
    ),
    "P1": Question(
        "20 most frequent ways of 5 events to a purchase",
        "SELECT path, sessions FROM PATH(ev, end => 'purchase', anchor => 'each', steps => 5, collapse => false, top => 20) "
        "WHERE path IS NOT NULL",
        f"""SELECT p, count() c FROM (SELECT user_id, arraySplit((x, y) -> y > {GAP_US}, evs, arrayDifference(tss)) ss, arrayJoin(ss) s,
            arrayJoin(arrayFilter((i, e) -> e = 'purchase', arrayEnumerate(s), s)) k, arraySlice(s, greatest(1, k - 4), least(k, 5)) p
            FROM (SELECT user_id, groupArray(event) evs, groupArray(toUnixTimestamp64Micro(ts)) tss
                  FROM (SELECT user_id, event, ts FROM ev ORDER BY user_id, ts) GROUP BY user_id))
            GROUP BY p ORDER BY c DESC, p LIMIT 20""",
        """WITH a AS (SELECT user_id, ts, event, CASE WHEN ts - lag(ts) OVER w > INTERVAL 30 MINUTE THEN 1 ELSE 0 END b
                      FROM ev WINDOW w AS (PARTITION BY user_id ORDER BY ts)),
           s AS (SELECT *, sum(b) OVER (PARTITION BY user_id ORDER BY ts ROWS UNBOUNDED PRECEDING) sid FROM a),
           p AS (SELECT event, list(event) OVER (PARTITION BY user_id, sid ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) p FROM s)
           SELECT p, count(*) c FROM p WHERE event = 'purchase' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20""",
    ),
    "P2": Question(
        "50 most frequent transitions within a session",
        "SELECT source, target, count FROM PATH(ev, emit => 'transitions', collapse => false, top => 50) WHERE source IS NOT NULL",
        f"""SELECT e, n, count() c FROM (SELECT event e, leadInFrame(event) OVER w n, leadInFrame(toUnixTimestamp64Micro(ts)) OVER w t2,
            toUnixTimestamp64Micro(ts) t1, leadInFrame(1) OVER w ok FROM ev
            WINDOW w AS (PARTITION BY user_id ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
            WHERE ok = 1 AND t2 - t1 <= {GAP_US} GROUP BY e, n ORDER BY c DESC, e, n LIMIT 50""",
        """SELECT e, n, count(*) c FROM (SELECT event e, ts, lead(event) OVER w n, lead(ts) OVER w t2
           FROM ev WINDOW w AS (PARTITION BY user_id ORDER BY ts))
           WHERE n IS NOT NULL AND t2 - ts <= INTERVAL 30 MINUTE GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 50""",
    ),
    "I1": Question(
        "the 10 items that most buyers of each item also bought",
        "SELECT for_item, rank, item, score FROM RECOMMEND(ev, item => product_id, similarity => 'overlap', "
        "weights => WEIGHTS(purchase => 1), emit => 'items') WHERE because IS NOT NULL",
        f"""SELECT a, groupArray(10)(b), groupArray(10)(c) FROM (
            SELECT a.product_id a, b.product_id b, count() c FROM ({BOUGHT}) a JOIN ({BOUGHT}) b USING user_id
            WHERE a.product_id <> b.product_id GROUP BY a, b ORDER BY a, c DESC, b) GROUP BY a""",
        f"""SELECT a, list(b ORDER BY c DESC, b)[:10], list(c ORDER BY c DESC, b)[:10] FROM (
            SELECT a.product_id a, b.product_id b, count(*) c FROM ({BOUGHT}) a JOIN ({BOUGHT}) b USING (user_id)
            WHERE a.product_id <> b.product_id GROUP BY 1, 2) GROUP BY 1""",
        listed,
    ),
    "S1": Question(
        "users of one country and device who bought since March and never asked support",
        "SELECT users FROM SEGMENT(ev, where => DID(country = 'C00') AND DID(device = 'ios') "
        "AND DID('purchase', since => TIMESTAMP '2026-03-01 00:00:00') AND DID_NOT('support'))",
        """SELECT count() FROM (SELECT user_id FROM ev GROUP BY user_id HAVING any(country)='C00' AND any(device)='ios'
           AND countIf(event='purchase' AND ts>='2026-03-01 00:00:00')>0 AND countIf(event='support')=0)""",
        """SELECT count(*) FROM (SELECT user_id FROM ev GROUP BY user_id HAVING any_value(country)='C00'
           AND any_value(device)='ios' AND count(*) FILTER (event='purchase' AND ts>='2026-03-01')>0
           AND count(*) FILTER (event='support')=0)""",
    ),
    "D1": Question(
        "users and events of each name on each day",
        "SELECT ts::DATE AS d, event, count(DISTINCT user_id) AS u, count(*) AS c FROM ev GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT toDate(ts) d, event, uniqExact(user_id) u, count() c FROM ev GROUP BY d, event ORDER BY d, event",
        "SELECT ts::DATE d, event, count(DISTINCT user_id) u, count(*) c FROM ev GROUP BY 1, 2 ORDER BY 1, 2",
    ),
}
