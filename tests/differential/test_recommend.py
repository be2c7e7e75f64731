"""RECOMMEND against its definition in SQL of DuckDB, on random events with random arguments; variants against ClickHouse."""
import collections
import os
import random

import pytest

from events import NAMES, SECOND, START_US
from recommend import Recommend, alike, popular

# Of each kind, on each of the two sets of events: about a minute in all.
CALLS = 24


def drawn(case, number):
    """A call; the same for the same SEED and number."""
    rng = random.Random(f"{os.environ.get('SEED', 1)} {case.ties} {number}")
    maybe = lambda value, share=.4: value if rng.random() < share else None  # noqa: E731
    span = 900 * SECOND if case.ties else 2_000_000 * SECOND
    names = rng.sample(NAMES, rng.randint(1, 4))
    weights = maybe({name: rng.choice([0, 1, 2.5, 10]) for name in names}, .7)
    if weights and not any(weights.values()):
        weights[names[0]] = 3
    return Recommend(
        # A column of the table, and an expression, which is computed row by row.
        item=rng.choice(["item", "country || '-' || event", "event"]),
        weights=weights,
        half_life=maybe(rng.choice([span // 3, span])),
        window=maybe(rng.choice([span // 4, span // 2])),
        as_of=maybe(START_US + rng.randrange(span // 4, span)),
        seen=rng.choice(["exclude", "include", rng.sample(NAMES, 2)] if weights else ["exclude", "include"]),
        exclude=tuple(rng.sample(["p1", "a", "DE-a", "FR-b"], rng.randint(0, 2))),
        candidates=maybe(rng.choice(["price > 5", "country = 'DE' OR n = 2"])),
        boost=maybe(rng.choice(["price", "n - 1", "CASE WHEN country = 'FR' THEN 3 END"])),
        diversify=maybe((rng.choice(["country", "event", "n"]), rng.randint(1, 3))),
        top=rng.choice([1, 3, 10]),
        where=maybe("price IS NULL OR price < 20", .2),
    )


def cut(call, rows):
    """Lists by what stands in front: the first `top` rows, of a category no more than allowed."""
    lists, of_category = collections.defaultdict(list), collections.Counter()
    for first, item, score, category in rows:
        if len(lists[first]) == call.top:
            continue
        if call.diversify and category is not None:
            if of_category[first, category] == call.diversify[1]:
                continue
            of_category[first, category] += 1
        lists[first].append((item, score))
    return {first: list_ for first, list_ in lists.items() if list_}


def ours(rows, first):
    lists = collections.defaultdict(list)
    for row in rows:
        assert row["rank"] == len(lists[row[first]]) + 1
        lists[row[first]].append((row["item"], row["score"]))
    return lists


def same(found, expected):
    assert found.keys() == expected.keys()
    for first, list_ in expected.items():
        assert [item for item, _ in found[first]] == [item for item, _ in list_], first
        assert [score for _, score in found[first]] == pytest.approx([score for _, score in list_], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("number", range(CALLS))
def test_popular(case, number):
    call = drawn(case, number)
    rows = case.trodden.sql(call.trodden("ev", using="popular"))
    assert all(row["because"] is None for row in rows)
    same(ours(rows, "user_id"), cut(call, case.duck.sql(popular(call)).fetchall()))


@pytest.mark.parametrize("number", range(CALLS))
@pytest.mark.parametrize("similarity", ["overlap", "cosine", "jaccard"])
def test_items_with_common_users(case, similarity, number):
    call = drawn(case, CALLS + number)
    rows = case.trodden.sql(call.trodden("ev", similarity=similarity, emit="items") + " WHERE because IS NOT NULL")
    assert all(row["because"] == [row["for_item"]] for row in rows)
    same(ours(rows, "for_item"), cut(call, case.duck.sql(alike(call, similarity)).fetchall()))


def test_a_user_keeps_the_variant(case):
    """The variant is a hash that anybody can compute."""
    rows = case.trodden.sql("SELECT DISTINCT user_id, variant FROM RECOMMEND(ev, item => item, top => 1, seen => 'include', "
                            "variant => AB('exp1', 'popular', 'item_knn', 'sequence'))")
    variants = ["popular", "item_knn", "sequence"]
    users = ",".join(f"'{row['user_id']}'" for row in rows)
    hashed = case.clickhouse.rows(f"SELECT user, xxh3(concat('exp1:', user)) % 3 FROM (SELECT arrayJoin([{users}]) AS user)")
    assert {row["user_id"]: row["variant"] for row in rows} == {user: variants[int(at)] for user, at in hashed}
