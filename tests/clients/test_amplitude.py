"""Amplitude's SDKs for Python and Node, as people use them."""
import json
import time

from amplitude import Amplitude, BaseEvent, Config, EventOptions, Identify
from segment_like import check_counted, check_throttled
from sent import PROPERTIES, check_properties

TIME_MS = 1772359200250
COUNT = 40


def client(url, **options):
    answers = []
    config = Config(server_url=f"{url}/2/httpapi", flush_interval_millis=100, flush_max_retries=20,
                    callback=lambda event, code, message: answers.append((event.event_type, code)), **options)
    return Amplitude("key", config), answers


def wait(answers, total):
    deadline = time.monotonic() + 100
    while len(answers) < total and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(answers) == total, answers


def finish(sender, answers, total):
    sender.flush()
    wait(answers, total)
    sender.shutdown()


def check_messages(server):
    check_properties(server, "event = 'sent'")
    sent = server.sql("SELECT ts, user_id, event_id, device_id FROM events WHERE event = 'sent'")[0]
    assert sent["ts"].startswith("2026-03-01T10:00:00.25") and sent["event_id"]
    assert (sent["user_id"], sent["device_id"]) == ("ada", "phone")
    counts = server.sql("SELECT event, count(*) AS n FROM events WHERE user_id = 'ada' GROUP BY event")
    assert {row["event"]: row["n"] for row in counts} == {"before": 1, "sent": 1, "$identify": 2}
    assert [(row["alias"], row["person"]) for row in server.sql("SHOW ALIASES ON events")] == [("phone", "ada")]
    profile = server.sql("SELECT plan, age, first, gone FROM events_users WHERE user_id = 'ada'")
    assert profile == [{"plan": "pro", "age": 36, "first": "a", "gone": None}]


def test_python_sends_what_a_query_gives_back(server):
    sender, answers = client(server.url)
    sender.track(BaseEvent("before", device_id="phone"))
    sender.track(BaseEvent("sent", user_id="ada", device_id="phone", time=TIME_MS, event_properties=PROPERTIES))
    who = EventOptions(user_id="ada", device_id="phone")
    first = Identify()
    first.set("plan", "pro").set("age", 36).set("gone", "x").set_once("first", "a")
    sender.identify(first, who)
    sender.flush()
    # Batches are sent at the same time, in any order.
    wait(answers, 3)
    second = Identify()
    second.unset("gone").set_once("first", "b").add("visits", 1)
    sender.identify(second, EventOptions(user_id="ada", device_id="phone"))
    finish(sender, answers, 4)
    assert {code for _, code in answers} == {200}
    check_messages(server)


def test_node_sends_what_a_query_gives_back(server, node, monkeypatch):
    monkeypatch.setenv("PROPERTIES", json.dumps(PROPERTIES))
    assert node("amplitude.cjs", server.url, "events")["codes"] == [200] * 4
    check_messages(server)


def test_python_sends_again_what_was_stored_and_not_answered(server, lossy):
    # This SDK sends again after a timeout of 10 s. A connection that is closed without an answer ends its worker with an
    # exception, and the events are lost to it; here they were stored.
    proxy = lossy(server, "/2/httpapi", how="silent")
    sender, answers = client(proxy.url, flush_queue_size=10)
    for n in range(COUNT):
        sender.track(BaseEvent("counted", user_id=f"u{n % 3}", event_properties={"n": n}))
    finish(sender, answers, COUNT)
    assert {code for _, code in answers} == {200} and b"200 OK" in proxy.lost
    check_counted(server, COUNT)


def test_node_sends_again_what_was_stored_and_not_answered(server, lossy, node):
    # This SDK gives up on events whose connection is closed before the answer begins, and sends those again of which the answer
    # broke off.
    proxy = lossy(server, "/2/httpapi", how="cut")
    assert node("amplitude.cjs", proxy.url, "count", COUNT)["codes"] == [200] * COUNT
    assert b"200 OK" in proxy.lost
    check_counted(server, COUNT)


def test_node_leaves_a_bad_event_out_and_sends_the_others_again(server, node):
    answers = node("amplitude.cjs", server.url, "bad")
    assert answers["codes"] == [200, 400, 200], answers
    assert [row["n"] for row in server.sql("SELECT n FROM events ORDER BY n")] == [1, 3]


def test_python_leaves_a_bad_event_out_and_sends_the_others_again(server):
    sender, answers = client(server.url)
    for n in range(3):
        # A time before the year 1 passes the checks of the SDK, and no table can hold it.
        time_ms = -10**17 if n == 1 else TIME_MS
        sender.track(BaseEvent("counted", user_id="u", time=time_ms, event_properties={"n": n}))
    finish(sender, answers, 3)
    assert sorted(code for _, code in answers) == [200, 200, 400]
    assert [row["n"] for row in server.sql("SELECT n FROM events ORDER BY n")] == [0, 2]


def test_a_sender_that_is_too_fast_waits(serve):
    # This SDK does not look at Retry-After: it waits half a minute with events that the answer lists as throttled.
    server = serve(**{"limits.events_per_second": 20})
    sender, answers = client(server.url, flush_queue_size=10)
    for n in range(40):
        sender.track(BaseEvent("counted", user_id="u", event_properties={"n": n}))
    began = time.monotonic()
    finish(sender, answers, 40)
    assert {code for _, code in answers} == {200} and time.monotonic() - began > 25
    check_throttled(server, "amplitude", 4)
    check_counted(server, 40)


def test_batch_is_told_from_that_of_posthog(server):
    event = {"user_id": "u", "event_type": "a", "insert_id": "1"}
    status, _, body = server.post("/batch", {"api_key": "k", "events": [event]})
    assert (status, json.loads(body)["code"], json.loads(body)["events_ingested"]) == (200, 200, 1)
    status, _, body = server.post("/batch", {"api_key": "k", "batch": [{"event": "b", "distinct_id": "u"}]})
    assert (status, json.loads(body)["status"]) == (200, 1)
    assert [row["event"] for row in server.sql("SELECT event FROM events ORDER BY event")] == ["a", "b"]
