"""FUNNEL against ClickHouse's windowFunnel on random events, with every known difference and its direction.

docs/DIFFERENCES.md gives the reasons. Where the two differ, the definition (exact.py) must side with trodden.
"""
import pytest

from exact import Funnel, users_sql
from test_definition import PLAIN, SHARING, A, B, C, D

SAME, LOSES, GAINS = "same", "ClickHouse finds less", "ClickHouse finds more"

# (call, modes of windowFunnel, what may differ)
CALLS = {
    "plain": (dict(steps=PLAIN), (), {SAME}),
    "window": (dict(steps=PLAIN, within="W"), (), {SAME}),
    "four steps": (dict(steps=(A, B, C, D), within="W"), (), {SAME}),
    "property in a step": (dict(steps=(A, f"{B} AND price > 5", C), within="W"), (), {SAME}),
    "filter": (dict(steps=PLAIN, within="W", where="country = 'DE' AND item IS NOT NULL"), (), {SAME}),
    "shared events, each once": (dict(steps=SHARING, within="W"), ("strict_once",), {SAME, LOSES}),
    "same step three times, each once": (dict(steps=(A, A, A), within="W"), ("strict_once",), {SAME}),
    "shared events": (dict(steps=SHARING, within="W"), (), {SAME, GAINS}),
    "increase": (dict(steps=PLAIN, within="W", ties="increase"), ("strict_increase",), {SAME, LOSES}),
    "strict": (dict(steps=PLAIN, within="W", order="strict"), ("strict_order",), {SAME, LOSES, GAINS}),
    "strict increase": (dict(steps=PLAIN, within="W", order="strict", ties="increase"),
                        ("strict_order", "strict_increase"), {SAME, LOSES, GAINS}),
}
# Differences that must show up on tie-heavy data: were they gone, the list above would be out of date.
MUST_DIFFER = {"shared events", "increase", "strict", "strict increase"}


@pytest.mark.parametrize("name", CALLS)
def test_levels(case, name):
    call, modes, allowed = CALLS[name]
    call = {key: case.window if value == "W" else value for key, value in call.items()}
    funnel = Funnel(**call)
    theirs = case.clickhouse.levels(case.path, funnel, modes)
    definition = {user: level for user, level, _, _ in case.duck.sql(users_sql(funnel)).fetchall()}
    ours = {row["user_id"]: row["level"] for row in case.trodden.sql(funnel.trodden("ev", "users"))}

    differences = {}
    for user in theirs.keys() | ours.keys():
        us, them = ours.get(user, 0), theirs.get(user, 0)
        if us != them:
            assert us == definition.get(user, 0), f"{user}: trodden {us}, ClickHouse {them}, definition {definition.get(user, 0)}"
            differences.setdefault(LOSES if them < us else GAINS, []).append(user)
    assert differences.keys() <= allowed, differences
    if case.ties and name in MUST_DIFFER:
        assert differences
