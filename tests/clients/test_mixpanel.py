"""Mixpanel's SDKs for Python and Node, as people use them."""
import json
import time

import mixpanel
import pytest
from segment_like import check_counted
from sent import PROPERTIES, check_properties

COUNT = 40
TIME_S = 1772359200


def client(url, buffered=False):
    urls = {f"{kind}_url": f"{url}/{path}" for kind, path in [("events", "track"), ("people", "engage"), ("import", "import")]}
    consumer = (mixpanel.BufferedConsumer if buffered else mixpanel.Consumer)(**urls)
    return mixpanel.Mixpanel("token", consumer=consumer), consumer


def check_messages(server, alias=()):
    check_properties(server, "event = 'sent'")
    sent = server.sql("SELECT ts, user_id, event_id, mp_lib FROM events WHERE event = 'sent'")[0]
    assert sent["ts"].startswith("2026-03-01T10:00:00") and (sent["user_id"], sent["event_id"]) == ("ada", "one")
    assert sent["mp_lib"]
    counts = server.sql("SELECT event, count(*) AS n FROM events WHERE user_id = 'ada' GROUP BY event")
    want = {name: 1 for name in ["before", "sent", "batched", "imported", *alias]}
    assert {row["event"]: row["n"] for row in counts} == want
    assert [(row["alias"], row["person"]) for row in server.sql("SHOW ALIASES ON events")] == [("anon", "ada")]


def check_people(server):
    rows = server.sql("SELECT user_id, plan, age, first, gone FROM events_users ORDER BY user_id")
    ada = {"user_id": "ada", "plan": "pro", "age": 36, "first": "a", "gone": None}
    bob = {"user_id": "bob", "plan": None, "age": None, "first": None, "gone": None}
    assert rows == [ada, bob]


def test_python_sends_what_a_query_gives_back(server):
    sender, _ = client(server.url)
    sender.track("anon", "before", {"time": TIME_S})
    sender.track("ada", "sent", PROPERTIES | {"time": TIME_S, "$insert_id": "one"})
    # alias() of this SDK goes to Mixpanel's own servers, whatever the consumer; merge() does not.
    sender.merge("api-key", "ada", "anon", api_secret="secret")
    buffered, consumer = client(server.url, buffered=True)
    buffered.track("ada", "batched", {"time": TIME_S})
    consumer.flush()
    sender.import_data("api-key", "ada", "imported", TIME_S, api_secret="secret")
    check_messages(server)


def test_python_updates_people(server):
    sender, _ = client(server.url)
    sender.people_set("ada", {"plan": "pro", "age": 36, "gone": "x"}, {"$time": TIME_S})
    sender.people_set_once("ada", {"plan": "free", "first": "a"}, {"$time": TIME_S + 1})
    sender.people_unset("ada", ["gone"], {"$time": TIME_S + 2})
    with pytest.raises(mixpanel.MixpanelException, match=r"\$add.*builds on the value before"):
        sender.people_increment("ada", {"visits": 1})
    sender.people_set("bob", {"plan": "free"}, {"$time": TIME_S})
    sender.people_delete("bob", {"$time": TIME_S + 1})
    check_people(server)


def test_node_sends_what_a_query_gives_back(server, node, monkeypatch):
    monkeypatch.setenv("PROPERTIES", json.dumps(PROPERTIES))
    assert node("mixpanel.cjs", server.url, "events")["errors"] == []
    check_messages(server, ["$create_alias"])


def test_node_updates_people(server, node):
    errors = node("mixpanel.cjs", server.url, "people")["errors"]
    assert errors == ["Mixpanel Server Error: 0"], "the increment alone is refused"
    check_people(server)


def test_python_sends_again_what_was_stored_and_not_answered(server, lossy):
    proxy = lossy(server, "/track")
    sender, consumer = client(proxy.url, buffered=True)
    for n in range(COUNT):
        sender.track(f"u{n % 3}", "counted", {"n": n})
    # Over plain HTTP this SDK has no retries of its own: the buffer keeps what was not answered for the next flush.
    with pytest.raises(mixpanel.MixpanelException):
        consumer.flush()
    consumer.flush()
    assert b"200 OK" in proxy.lost
    check_counted(server, COUNT)


def test_node_sends_again_what_was_stored_and_not_answered(server, lossy, node):
    proxy = lossy(server, "/import")
    assert node("mixpanel.cjs", proxy.url, "count", COUNT)["errors"] == []
    assert b"200 OK" in proxy.lost
    check_counted(server, COUNT)


def test_a_sender_that_is_too_fast_is_told(serve):
    server = serve(**{"limits.events_per_second": 20})
    sender, consumer = client(server.url, buffered=True)
    for n in range(COUNT):
        sender.track("u", "counted", {"n": n})
    consumer.flush()
    sender.track("u", "counted", {"n": COUNT})
    with pytest.raises(mixpanel.MixpanelException, match="events_per_second"):
        consumer.flush()
    time.sleep(2.5)
    consumer.flush()
    check_counted(server, COUNT + 1)


def test_answers_of_an_import_without_a_wish(server):
    good = {"event": "a", "properties": {"distinct_id": "u", "time": TIME_S, "$insert_id": "1"}}
    status, _, body = server.post("/import?strict=1", [good, {"event": "b"}])
    answer = json.loads(body)
    assert (status, answer["num_records_imported"], answer["failed_records"][0]["index"]) == (400, 1, 1)
    status, _, body = server.post("/import?strict=1", [good])
    assert (status, json.loads(body)["status"]) == (200, "OK")
    assert len(server.sql("SELECT * FROM events")) == 1
