"""The plain form, keys, limits, and how soon an event can be asked for."""
import gzip
import json
import subprocess
import threading
import time
import urllib.error

from sent import PROPERTIES, check_properties
from server import BINARY, Server


def test_objects_arrays_and_lines(server):
    event = PROPERTIES | {"user_id": "ada", "event": "sent", "ts": "2026-03-01T10:00:00.250Z", "event_id": "1"}
    assert server.post("/v1/events", event)[0] == 200
    lines = "".join(json.dumps({"user_id": "u", "event": "line", "ts": 1772359200 + n}) + "\n" for n in range(3))
    status, _, body = server.post("/v1/events", gzip.compress(lines.encode()), {"Content-Encoding": "gzip"})
    assert (status, json.loads(body)["accepted"]) == (200, 3)
    status, _, body = server.post("/v1/events?table=other", [{"user_id": "u", "event": "there"}, {"event": "nobody"}])
    assert (status, json.loads(body)["accepted"], json.loads(body)["rejected"][0]["index"]) == (200, 1, 1)
    assert server.post("/v1/events", {"event": "nobody"})[0] == 400
    check_properties(server, "event = 'sent'")
    assert server.sql("SELECT count(*) AS n FROM events") == [{"n": 4}]
    assert server.sql("SELECT event FROM other") == [{"event": "there"}]


def test_keys_open_their_table_and_no_other(tmp_path):
    server = Server(tmp_path, **{"access.required": "true"})
    def key(*arguments):
        done = subprocess.run([BINARY, "keys", "create", "--db", server.db, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return next(word for word in done.stdout.split() if len(word) > 40)
    subprocess.run([BINARY, "sql", "--db", server.db, "--create", "-c", "SHOW TABLES"], check=True, capture_output=True)
    write, read = key("--role", "write", "--table", "shop"), key("--role", "read")
    server.start()
    try:
        event = {"user_id": "u", "event": "a"}
        assert server.post("/v1/events", event)[0] == 401
        assert server.post("/v1/events", event, {"Authorization": "Bearer guess"})[0] == 401
        assert server.post("/v1/events", event, {"Authorization": f"Bearer {read}"})[0] == 403
        assert server.post("/v1/events", event, {"Authorization": f"Bearer {write}"})[0] == 200
        assert server.post("/v1/events?table=other", event, {"Authorization": f"Bearer {write}"})[0] == 403
        # In the words of each protocol.
        assert json.loads(server.post("/v1/batch", {"batch": []})[2])["code"] == "key_missing"
        assert json.loads(server.post("/batch/", {"api_key": "x", "batch": []})[2])["code"] == "key_unknown"
        assert json.loads(server.post("/2/httpapi", {"api_key": "x", "events": []})[2])["error"].startswith("Invalid API key:")
        assert server.post("/track?data=e30=", None, method="GET")[2] == "0"
        message = {"type": "track", "userId": "u", "event": "b"}
        assert server.post("/v1/batch", {"batch": [message], "writeKey": write})[0] == 200
        assert server.post("/2/httpapi", {"api_key": write, "events": [{"user_id": "u", "event_type": "c"}]})[0] == 200
        assert [row["event"] for row in server.sql("SELECT event FROM shop ORDER BY event")] == ["a", "b", "c"]
    finally:
        server.kill()


def test_what_is_too_large_is_refused(serve):
    server = serve(**{"http.body_max": "100KiB", "http.event_max": "1KiB"})
    event = {"user_id": "u", "event": "a"}
    assert server.post("/v1/events", event | {"x": "y" * 200_000})[0] == 413
    assert server.post("/v1/events", gzip.compress(json.dumps(event | {"x": "y" * 200_000}).encode()))[0] == 413
    status, _, body = server.post("/v1/events", [event, event | {"x": "y" * 2000}])
    assert (status, json.loads(body)["accepted"]) == (200, 1)
    assert "http.event_max" in json.loads(body)["rejected"][0]["message"]


def test_too_many_bytes_under_way_are_told_to_wait(serve):
    server = serve(**{"limits.ingest_bytes": "1KiB"})
    status, headers, _ = server.post("/v1/events", {"user_id": "u", "event": "a", "x": "y" * 5000})
    assert (status, headers["retry-after"]) == (429, "1")
    assert server.post("/v1/events", {"user_id": "u", "event": "a"})[0] == 200


def test_acknowledged_events_survive_a_kill(server):
    acknowledged, stop = [], threading.Event()

    def send(worker):
        n = 0
        while not stop.is_set():
            event = {"user_id": f"w{worker}", "event": "counted", "n": n, "event_id": f"{worker}-{n}"}
            try:
                if server.post("/v1/events", event)[0] == 200:
                    acknowledged.append((worker, n))
            except (OSError, urllib.error.URLError):
                return
            n += 1

    workers = [threading.Thread(target=send, args=(worker,)) for worker in range(8)]
    for worker in workers:
        worker.start()
    time.sleep(1)
    server.kill()
    stop.set()
    for worker in workers:
        worker.join()
    server.start()
    found = {(row["user_id"], row["n"]) for row in server.sql("SELECT user_id, n FROM events")}
    assert acknowledged and all((f"w{worker}", n) in found for worker, n in acknowledged)
