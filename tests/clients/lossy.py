"""A proxy between SDK and server that loses an answer: the server has committed, and dies before the sender hears of it."""
import socket
import threading


class LossyProxy:
    """Forwards connections to a server. Of the first request whose path begins with one of `paths`, the answer is awaited and
    not passed on: the server is killed and started again. How the sender finds out: its connection is `closed`, it is `cut` off in
    the middle of the answer, or it stays `silent`, as when the machine has no power any more."""

    def __init__(self, server, paths, how="closed"):
        self.server, self.paths, self.how = server, tuple(path.encode() for path in paths), how
        self.losing = threading.Lock()
        self.lost = None
        self.forwarded = 0
        self.problem = None
        self.silent = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        self.listener.close()
        for connection in self.silent:
            connection.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        """One request after the other, each on a connection of its own to the server."""
        try:
            with client, client.makefile("rb") as reader:
                while request := read_message(reader):
                    if not self.forward(client, request):
                        return
        except OSError as error:
            self.problem = error

    def forward(self, client, request):
        with self.losing:
            with socket.create_connection(("127.0.0.1", self.server.http), timeout=30) as upstream:
                upstream.sendall(request)
                with upstream.makefile("rb") as reader:
                    answer = read_message(reader)
            path = request.split(b" ", 2)[1]
            if self.lost is None and path.startswith(self.paths):
                self.lost = answer
                self.server.kill()
                self.server.start()
                if self.how == "cut":
                    client.sendall(answer[:-5])
                if self.how == "silent":
                    self.silent.append(client.dup())
                return False
            self.forwarded += path.startswith(self.paths)
        client.sendall(answer)
        return True


def read_message(reader):
    """The bytes of a request or an answer of HTTP/1.1: head, and as much body as the head says."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            return b""
        head += line
    headers = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        return head + read_chunks(reader)
    return head + reader.read(int(headers.get(b"content-length", 0)))


def read_chunks(reader):
    body = b""
    while True:
        size = reader.readline()
        chunk = reader.read(int(size.split(b";")[0], 16) + 2)
        body += size + chunk
        if int(size.split(b";")[0], 16) == 0:
            return body
