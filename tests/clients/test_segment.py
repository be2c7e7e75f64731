"""Segment's SDKs for Python and Node, as people use them."""
import json
import time

import pytest
from segment.analytics.client import Client
from segment_like import check_counted, check_messages, check_throttled, finish, send_messages
from sent import PROPERTIES

COUNT = 40


def client(url, **options):
    failed = []
    made = Client("wk", host=url, on_error=lambda error, items: failed.append(error), upload_interval=0.1, **options)
    return made, failed


@pytest.mark.parametrize("gzip", [False, True])
def test_python_sends_what_a_query_gives_back(server, gzip):
    sender, failed = client(server.url, gzip=gzip)
    send_messages(sender)
    finish(sender, failed)
    check_messages(server)


def test_node_sends_what_a_query_gives_back(server, node, monkeypatch):
    monkeypatch.setenv("PROPERTIES", json.dumps(PROPERTIES))
    assert node("segment.cjs", server.url, "events")["failed"] == []
    check_messages(server)


def test_python_sends_again_what_was_stored_and_not_answered(server, lossy):
    proxy = lossy(server, "/v1/batch")
    sender, failed = client(proxy.url, upload_size=10)
    for n in range(COUNT):
        sender.track(f"u{n % 3}", "counted", {"n": n})
    finish(sender, failed)
    assert b"200 OK" in proxy.lost and proxy.forwarded == COUNT / 10
    check_counted(server, COUNT)


def test_node_sends_again_what_was_stored_and_not_answered(server, lossy, node):
    proxy = lossy(server, "/v1/batch")
    assert node("segment.cjs", proxy.url, "count", COUNT)["failed"] == []
    assert b"200 OK" in proxy.lost
    check_counted(server, COUNT)


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_sender_that_is_too_fast_waits(serve, node, language):
    server = serve(**{"limits.events_per_second": 20})
    began = time.monotonic()
    if language == "python":
        sender, failed = client(server.url, upload_size=10)
        for n in range(60):
            sender.track("u", "counted", {"n": n})
        finish(sender, failed)
    else:
        assert node("segment.cjs", server.url, "count", 60)["failed"] == []
    assert time.monotonic() - began > 1
    check_throttled(server, "segment", 12 if language == "node" else 6)
    check_counted(server, 60)


def test_good_messages_of_a_bad_batch_are_stored_and_the_bad_ones_told(server):
    batch = [{"type": "track", "userId": "u", "event": "a"}, {"type": "track", "event": "a"},
             {"type": "track", "userId": "u", "event": "b", "timestamp": "yesterday"}]
    status, _, body = server.post("/v1/batch", {"batch": batch})
    answer = json.loads(body)
    assert (status, answer["accepted"], answer["rejected_count"]) == (200, 1, 2)
    assert [(one["index"], one["field"]) for one in answer["rejected"]] == [(1, "userId"), (2, "timestamp")]
    assert server.post("/v1/batch", b"{")[0] == 400
    assert len(server.sql("SELECT * FROM events")) == 1


def test_pages_of_browsers_may_send(server):
    message = {"event": "seen", "anonymousId": "b", "properties": {"a": 1}, "writeKey": "wk"}
    status, headers, _ = server.post("/v1/t", message, {"Content-Type": "text/plain", "Origin": "https://shop.example"})
    assert (status, headers["access-control-allow-origin"]) == (200, "*")
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "content-type"}
    status, headers, _ = server.post("/v1/t", None, preflight, method="OPTIONS")
    assert status == 200 and "POST" in headers["access-control-allow-methods"]
    status, _, body = server.post("/v1/projects/wk/settings", None, method="GET")
    assert json.loads(body)["integrations"]["Segment.io"]["apiHost"] == f"127.0.0.1:{server.http}/v1"
    assert server.sql("SELECT event FROM events") == [{"event": "seen"}]
