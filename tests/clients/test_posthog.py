"""PostHog's SDKs for Python and Node, as people use them."""
import datetime
import json
import time
import zlib

import pytest
from posthog import Posthog
from segment_like import check_counted, check_throttled
from sent import PROPERTIES, check_properties

TS = datetime.datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=datetime.timezone.utc)
COUNT = 40


def client(url, **options):
    failed = []
    made = Posthog("phc_key", host=url, on_error=lambda error, items: failed.append(error), flush_interval=0.1, **options)
    return made, failed


def finish(sender, failed):
    sender.shutdown()
    assert not failed, failed


def check_messages(server):
    check_properties(server, "event = 'sent'")
    sent = server.sql("SELECT ts, user_id, event_id, \"$lib\" FROM events WHERE event = 'sent'")[0]
    assert sent["user_id"] == "ada" and sent["ts"].startswith("2026-03-01T10:00:00.25") and sent["event_id"] and sent["$lib"]
    counts = server.sql("SELECT event, count(*) AS n FROM events WHERE user_id = 'ada' GROUP BY event")
    counts = {row["event"]: row["n"] for row in counts}
    assert (counts["before"], counts["sent"], counts["with"], counts["$create_alias"]) == (1, 1, 1, 1)
    assert [(row["alias"], row["person"]) for row in server.sql("SHOW ALIASES ON events")] == [("anon", "ada")]
    profile = server.sql("SELECT plan, age, first, \"address.city\" FROM events_users WHERE user_id = 'ada'")
    assert profile == [{"plan": "pro", "age": 36, "first": "a", "address.city": "London"}]


@pytest.mark.parametrize("gzip", [False, True])
def test_python_sends_what_a_query_gives_back(server, gzip):
    sender, failed = client(server.url, gzip=gzip)
    sender.capture("before", distinct_id="anon")
    sender.capture("sent", distinct_id="ada", properties=PROPERTIES, timestamp=TS)
    sender.capture("with", distinct_id="ada", properties={"$set": {"plan": "free"}, "$set_once": {"first": "a"}})
    sender.set(distinct_id="ada", properties={"plan": "pro", "age": 36, "address": {"city": "London"}})
    sender.set_once(distinct_id="ada", properties={"first": "b", "plan": "none"})
    # What comes second is another name of what comes first.
    sender.alias(previous_id="ada", distinct_id="anon")
    finish(sender, failed)
    check_messages(server)


def test_node_sends_what_a_query_gives_back(server, node, monkeypatch):
    monkeypatch.setenv("PROPERTIES", json.dumps(PROPERTIES))
    assert node("posthog.cjs", server.url, "events")["failed"] == []
    check_messages(server)


def test_python_sends_again_what_was_stored_and_not_answered(server, lossy):
    proxy = lossy(server, "/batch/")
    sender, failed = client(proxy.url, flush_at=10)
    for n in range(COUNT):
        sender.capture("counted", distinct_id=f"u{n % 3}", properties={"n": n})
    finish(sender, failed)
    assert b"200 OK" in proxy.lost
    check_counted(server, COUNT)


def test_node_sends_again_what_was_stored_and_not_answered(server, lossy, node):
    proxy = lossy(server, "/batch/")
    assert node("posthog.cjs", proxy.url, "count", COUNT)["failed"] == []
    assert b"200 OK" in proxy.lost
    check_counted(server, COUNT)


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_sender_that_is_too_fast_waits(serve, node, language):
    server = serve(**{"limits.events_per_second": 20})
    began = time.monotonic()
    if language == "python":
        sender, failed = client(server.url, flush_at=10)
        for n in range(60):
            sender.capture("counted", distinct_id="u", properties={"n": n})
        finish(sender, failed)
    else:
        assert node("posthog.cjs", server.url, "count", 60)["failed"] == []
    assert time.monotonic() - began > 1
    check_throttled(server, "posthog", 6)
    check_counted(server, 60)


def test_the_forms_of_browsers(server):
    event = {"event": "$pageview", "properties": {"token": "k", "distinct_id": "b", "$current_url": "/"}, "timestamp": TS.isoformat()}
    packed = zlib.compressobj(wbits=31)
    body = packed.compress(json.dumps(event | {"uuid": "1"}).encode()) + packed.flush()
    assert server.post("/e/?compression=gzip-js", body, {"Content-Type": "text/plain"})[0] == 200
    assert server.post("/i/v0/e/", [event | {"uuid": "2"}])[0] == 200
    form = b"data=" + json.dumps(event | {"uuid": "3"}).encode().replace(b"/", b"%2F").replace(b"+", b"%2B")
    assert server.post("/capture/", form, {"Content-Type": "application/x-www-form-urlencoded"})[0] == 200
    assert json.loads(server.post("/flags/?v=2", {"token": "k"})[2])["featureFlags"] == {}
    rows = server.sql("SELECT event_id, \"$current_url\" AS url FROM events WHERE event = '$pageview' ORDER BY event_id")
    assert rows == [{"event_id": id, "url": "/"} for id in ("1", "2", "3")]
