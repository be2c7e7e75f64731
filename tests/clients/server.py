"""Runs `trodden serve`, and asks the database when the server has stopped."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = pathlib.Path(os.environ.get("TRODDEN", ROOT / "target/release/trodden"))
# Starting on a slow machine that is busy with other tests.
PATIENCE_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server on ports of its own. Settings are names of the configuration, such as http.table."""

    def __init__(self, folder, **settings):
        self.db = pathlib.Path(folder) / "db"
        self.log = pathlib.Path(folder) / "serve.log"
        self.http, self.grpc = free_port(), free_port()
        self.settings = settings
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http}"

    def start(self):
        environment = dict(os.environ)
        for name, value in self.settings.items():
            environment["TRODDEN_" + name.replace(".", "__").upper()] = str(value)
        command = [BINARY, "serve", "--db", self.db, "--http-listen", f"127.0.0.1:{self.http}",
                   "--grpc-listen", f"127.0.0.1:{self.grpc}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.wait_until_ready()
        return self

    def wait_until_ready(self):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with code {self.process.returncode}:\n{self.log.read_text()}")
            try:
                with urllib.request.urlopen(f"{self.url}/ready", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the server was not ready in {PATIENCE_S} s:\n{self.log.read_text()}")

    def kill(self):
        """As a power cut would end it."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(PATIENCE_S)
            self.process = None

    def stop(self):
        """As an operator would end it."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(PATIENCE_S)
            self.process = None
            assert code == 0, f"the server ended with code {code}:\n{self.log.read_text()}"

    def post(self, path, body, headers=None, method="POST"):
        """Status, headers and body of an answer to a plain request."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, dict(answer.headers), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read().decode()

    def sql(self, text):
        """The rows of a statement, as dictionaries. Only one process can have the database, so the server has to stop."""
        self.stop()
        done = subprocess.run([BINARY, "sql", "--db", self.db, "--format", "jsonl", "-c", text], capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines() if line]
