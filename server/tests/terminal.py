"""A person at a terminal: `terminal.py SCENE BINARY` types at a pseudo-terminal and looks at what is shown."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

PATIENCE_S = 60
ENDLESS = "SELECT count(*) FROM generate_series(1, 10000000) AS a(x), generate_series(1, 10000000) AS b(y);"


class Terminal:
    """A program on a terminal of 100 columns."""

    def __init__(self, *arguments):
        self.shown = ""
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.environ.update(TERM="xterm", LC_ALL="C.UTF-8")
            size = struct.pack("HHHH", 40, 100, 0, 0)
            fcntl.ioctl(0, termios.TIOCSWINSZ, size)
            os.execv(arguments[0], arguments)

    def read(self, seconds):
        """What is shown within some time, without the sequences that steer a terminal. False at the end."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", piece.decode(errors="replace"))
        return bool(piece)

    def type(self, text):
        self.shown = ""
        os.write(self.terminal, text.encode())

    def sees(self, *words):
        end = time.monotonic() + PATIENCE_S
        while not all(word in self.shown for word in words):
            if not self.read(0.2) or time.monotonic() > end:
                missing = [word for word in words if word not in self.shown]
                sys.exit(f"{missing} did not appear in:\n{self.shown}")

    def ask(self, text, *words):
        """Type a line and wait for what it shows and the next prompt."""
        self.type(text + "\r")
        self.sees(*words)
        while not self.shown.rstrip().endswith("trodden>"):
            if not self.read(PATIENCE_S):
                sys.exit(f"the shell is gone:\n{self.shown}")
        return self.shown

    def leaves(self, code=0):
        end = time.monotonic() + PATIENCE_S
        while self.read(0.2) and time.monotonic() < end:
            pass
        ended = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        if ended != code:
            sys.exit(f"exit code {ended}, not {code}:\n{self.shown}")


def shell(binary):
    terminal = Terminal(binary, "sql", "--db", "db")
    terminal.sees("trodden>", ".help tells more")
    return terminal


def statements(binary):
    terminal = shell(binary)
    terminal.ask("SELECT count(*) AS n FROM events;", "7", "1 row in ")
    terminal.type("SELECT 40 + 2\r")
    terminal.read(0.5)
    assert "42" not in terminal.shown, terminal.shown
    terminal.ask("AS answer;", "answer", "42", "1 row")
    terminal.ask("SELECT prise FROM events;", "prise", "did you mean 'price'?")
    terminal.ask(".tables", "events")
    # The arrow up twice: behind the command stands the statement that failed.
    terminal.ask("\x1b[A\x1b[A", "did you mean 'price'?")
    terminal.type("\x04")
    terminal.leaves()
    again = shell(binary)
    # The history is there in the next shell: a statement of several lines is one entry.
    again.ask("\x1b[A" * 4, "42", "1 row")
    again.type("\x04")
    again.leaves()


def settings(binary):
    terminal = shell(binary)
    assert " in " in terminal.ask("SELECT 1 AS one;", "1 row in ")
    terminal.ask(".timer off", "trodden>")
    assert "1 row in" not in terminal.ask("SELECT 1 AS one;", "1 row")
    terminal.ask(".timer on", "trodden>")
    terminal.ask(".mode csv", "trodden>")
    terminal.ask("SELECT user_id, price FROM events WHERE price > 9 ORDER BY price LIMIT 1;", "user_id,price", "a,9.5")
    terminal.ask(".mode", "csv")
    terminal.ask(".mode table", "trodden>")
    terminal.ask(".rows 3", "trodden>")
    terminal.ask("SELECT * FROM generate_series(1, 500) AS a(x);", "500 rows", "the first 3 are shown")
    # Tab offers names: what they have in common is typed to its end.
    terminal.ask("SELECT count(*) AS n FROM events WHERE countr\t = 'DE';", "country", "5")
    terminal.type(".quit\r")
    terminal.leaves()


def interrupt(binary):
    terminal = shell(binary)
    for statement in [
        ENDLESS,
        "EXPLAIN ANALYZE " + ENDLESS,
        "COPY (SELECT x FROM generate_series(1, 9000000000000) AS a(x)) TO 'out.csv';",
    ]:
        terminal.type(statement + "\r")
        terminal.read(1)
        time.sleep(0.5)
        began = time.monotonic()
        terminal.type("\x03")
        terminal.sees("cancelled", "trodden>")
        assert time.monotonic() - began < 20, "it took too long"
        terminal.ask("SELECT count(*) AS n FROM events;", "7", "1 row")
    # Ctrl-C at the prompt leaves the line, not the shell.
    terminal.type("SELECT 1\x03")
    terminal.sees("trodden>")
    terminal.ask("SELECT 2 AS two;", "1 row")
    terminal.type("\x04")
    terminal.leaves()
    assert not [name for name in os.listdir(".") if name.startswith("out.csv")], os.listdir(".")


def progress(binary):
    subprocess.run([binary, "generate", "--events", "300000", "--output", "large.csv"], check=True)
    terminal = Terminal(binary, "import", "--db", "db", "--table", "large", "large.csv")
    terminal.sees("rows/s", " left", "%")
    terminal.sees("imported 300,000 events", "on disk")
    terminal.leaves()


if __name__ == "__main__":
    globals()[sys.argv[1]](os.path.abspath(sys.argv[2]))
