"""What the README tells a newcomer to type works as it stands."""
import gzip
import re
import shlex
import subprocess

from trodden import BINARY, ROOT, Database

README = (ROOT / "README.md").read_text()
EVENTS = """customer_id,created_at,action,country,price
ada,2026-03-01T10:00:00Z,signup,DE,
ada,2026-03-01T11:00:00Z,invite,DE,
ada,2026-03-02T10:00:00Z,purchase,DE,20
bob,2026-03-01T10:00:00Z,signup,FR,
bob,2026-03-01T10:30:00Z,invite,FR,
bob,2026-03-30T10:30:00Z,purchase,FR,5
cyd,2026-03-01T10:00:00Z,purchase,FR,5
ada,2026-03-03T10:00:00Z,product_view,DE,
ada,2026-03-03T10:01:00Z,add_to_cart,DE,12.5
ada,2026-03-03T10:02:00Z,purchase,DE,12.5
bob,2026-03-03T10:00:00Z,product_view,FR,
bob,2026-03-03T10:01:00Z,add_to_cart,FR,5
"""


def block(language, holding):
    """The code block of the README that holds a text."""
    return next(text for kind, text in re.findall(r"```(\w*)\n(.*?)```", README, re.S) if kind == language and holding in text)


def test_first_funnel(tmp_path):
    with gzip.open(tmp_path / "events.csv.gz", "wt") as file:
        file.write(EVENTS)
    said = []
    for line in block("", "trodden import").splitlines():
        program, *arguments = shlex.split(line)
        if program == "trodden":
            done = subprocess.run([BINARY, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            said.append(done.stdout)
    assert re.search(r"signup.*2[^\n]*\n.*invite.*2[^\n]*\n.*purchase.*1", said[-1]), said[-1]

    rows = Database(tmp_path / "mydb").sql(block("sql", "FUNNEL(events"))
    bought = {row["country"]: (row["users"], row["median_seconds"]) for row in rows}
    assert bought == {"DE": (1, 60.0), "FR": (0, None)}
    assert [row["country"] for row in rows] == ["DE", "FR"]
