"""What an operator meets: metrics, the service manager, traces, and the programs that come with the client."""
import os
import pathlib
import signal
import socket
import subprocess
import threading
import urllib.request

import pytest
from server import BINARY, PATIENCE_S, ROOT, Server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def promtool():
    found = subprocess.run([ROOT / "scripts/promtool"], capture_output=True, text=True)
    if found.returncode:
        if listed := os.environ.get("TRODDEN_SKIPPED"):
            with open(listed, "a", encoding="utf-8") as out:
                out.write("promtool: neither installed nor in Debian's archive\n")
        pytest.skip("there is no promtool")
    return found.stdout.strip()


def track(server, count=1):
    body = {"batch": [{"type": "track", "userId": "u", "event": "e", "messageId": str(at)} for at in range(count)]}
    assert server.post("/v1/batch", body, {"Authorization": "Basic a2V5Og=="})[0] == 200


def test_metrics_are_as_prometheus_wants_them(server):
    track(server, 3)
    subprocess.run([BINARY, "sql", "--url", f"http://127.0.0.1:{server.grpc}", "-c", "SELECT count(*) FROM events"], check=True)
    server.post("/v1/batch", b"no JSON")
    text = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
    for line in ['trodden_table_events{table="events"} 3', 'trodden_queries_total{door="grpc",outcome="ok"} 1']:
        assert line in text, text
    checked = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True)
    assert checked.returncode == 0 and not checked.stderr, checked.stderr + text


def test_the_service_manager_is_told(tmp_path, monkeypatch):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(PATIENCE_S)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    server = Server(tmp_path).start()
    assert notify.recv(1000).decode().strip() == "READY=1"
    server.stop()
    assert notify.recv(1000).decode().strip() == "STOPPING=1"


def test_traces_go_to_a_collector(serve):
    collector = socket.create_server(("127.0.0.1", 0))
    collector.settimeout(PATIENCE_S)
    seen = []

    def accept():
        connection = collector.accept()[0]
        connection.settimeout(PATIENCE_S)
        seen.append(connection.recv(len(PREFACE)))

    thread = threading.Thread(target=accept)
    thread.start()
    server = serve(**{"trace.otlp_endpoint": f"http://127.0.0.1:{collector.getsockname()[1]}"})
    track(server)
    subprocess.run([BINARY, "sql", "--url", f"http://127.0.0.1:{server.grpc}", "-c", "SHOW TABLES"], check=True)
    thread.join(PATIENCE_S)
    # A collector that speaks gRPC is spoken to as one; that this one does not answer must not keep the server from stopping.
    assert seen == [PREFACE]
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == 0
    server.process = None


def test_the_log_is_an_object_a_line_where_asked(serve):
    import json

    server = serve(**{"log.format": "json"})
    server.stop()
    messages = [json.loads(line)["message"] for line in server.log.read_text().splitlines()]
    assert "ready" in messages and messages[-1] == "stopped"


@pytest.mark.parametrize("name, lines", [
    ("write", ["stored 1250 events, 0 were there already", "      view  1000 users", "  purchase  250 users"]),
    ("blocking", ["3 visits after the fourth day"]),
])
def test_the_programs_of_the_client_do_what_they_say(server, name, lines):
    program = pathlib.Path(BINARY).parent / "examples" / name
    if not program.exists():
        pytest.fail(f"{program} is not built; run make build")
    done = subprocess.run([program, f"http://127.0.0.1:{server.grpc}"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    for line in lines:
        assert line in done.stdout, done.stdout


def test_the_shell_over_the_network_is_the_same(server):
    track(server, 2)
    url = f"http://127.0.0.1:{server.grpc}"

    def sql(*arguments):
        return subprocess.run([BINARY, "sql", *arguments, "--format", "csv"], capture_output=True, text=True)

    statement = "SELECT user_id, event, event_id FROM events ORDER BY event_id"
    remote = sql("--url", url, "-c", statement)
    wrong = sql("--url", url, "-c", "SELECT prise FROM events")
    server.stop()
    local = sql("--db", server.db, "-c", statement)
    assert remote.returncode == 0 and remote.stdout == local.stdout and "u,e,1" in local.stdout
    # The same place, cause and way out, but for the caret's width nothing that tells where it was run.
    assert wrong.returncode == 1 and wrong.stderr == sql("--db", server.db, "-c", "SELECT prise FROM events").stderr
