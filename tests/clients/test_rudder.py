"""RudderStack's SDKs for Python and Node, which speak Segment's protocol."""
import json
import time

from rudderstack.analytics.client import Client
from segment_like import check_counted, check_messages, check_throttled, finish, send_messages
from sent import PROPERTIES

COUNT = 40


def client(url, **options):
    failed = []
    made = Client("wk", host=url, on_error=lambda error, items: failed.append(error), upload_interval=0.1, **options)
    return made, failed


def test_python_sends_what_a_query_gives_back(server):
    sender, failed = client(server.url)
    send_messages(sender)
    finish(sender, failed)
    check_messages(server)


def test_node_sends_what_a_query_gives_back(server, node, monkeypatch):
    monkeypatch.setenv("PROPERTIES", json.dumps(PROPERTIES))
    assert node("rudder.cjs", server.url, "events")["failed"] == []
    check_messages(server)


def test_python_sends_again_what_was_stored_and_not_answered(server, lossy):
    proxy = lossy(server, "/v1/batch")
    sender, failed = client(proxy.url, upload_size=10)
    for n in range(COUNT):
        sender.track(f"u{n % 3}", "counted", {"n": n})
    finish(sender, failed)
    assert b"200 OK" in proxy.lost
    check_counted(server, COUNT)


def test_node_sends_again_what_was_stored_and_not_answered(server, lossy, node, monkeypatch):
    monkeypatch.setenv("LINGER_MS", "8000")
    proxy = lossy(server, "/v1/batch")
    assert node("rudder.cjs", proxy.url, "count", COUNT)["failed"] == []
    assert b"200 OK" in proxy.lost
    check_counted(server, COUNT)


def test_a_sender_that_is_too_fast_waits(serve):
    server = serve(**{"limits.events_per_second": 20})
    sender, failed = client(server.url, upload_size=10)
    began = time.monotonic()
    for n in range(60):
        sender.track("u", "counted", {"n": n})
    finish(sender, failed)
    assert time.monotonic() - began > 1
    check_throttled(server, "segment", 6)
    check_counted(server, 60)
