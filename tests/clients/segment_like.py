"""What the SDKs of Segment and of RudderStack send in the tests, and what must be in the database then."""
import datetime

from sent import PROPERTIES, check_properties

TS = datetime.datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=datetime.timezone.utc)


def send_messages(sender):
    """One message of each kind; the SDKs for Python of both have the same calls."""
    sender.track(anonymous_id="anon", event="before")
    sender.track("ada", "sent", PROPERTIES, timestamp=TS, context={"ip": "1.2.3.4"}, anonymous_id="anon")
    sender.page("ada", "shop", "Home", {"url": "/x"})
    sender.screen("ada", None, "Start")
    sender.identify("ada", {"plan": "pro", "age": 36, "address": {"city": "London"}}, anonymous_id="anon")
    sender.group("ada", "acme", {"name": "Acme", "seats": 5})
    sender.alias("old", "ada")


def finish(sender, failed):
    """Sends what waits; nothing may have failed."""
    sender.flush()
    sender.join()
    assert not failed, failed


def check_messages(server, name_of_page="name"):
    """The messages of `send_messages` and of the Node programs."""
    check_properties(server, "event = 'sent'")
    sent = server.sql("SELECT ts, user_id, event_id, anonymous_id, \"context.ip\", \"context.library.name\" FROM events "
                      "WHERE event = 'sent'")[0]
    assert sent["ts"] == "2026-03-01T10:00:00.250Z" or sent["ts"].startswith("2026-03-01T10:00:00.25")
    assert (sent["user_id"], sent["anonymous_id"], sent["context.ip"]) == ("ada", "anon", "1.2.3.4")
    assert sent["event_id"] and sent["context.library.name"]
    rows = server.sql("SELECT event, user_id, name, category, url FROM events WHERE event IN ('page', 'screen') ORDER BY event")
    assert [row["event"] for row in rows] == ["page", "screen"]
    assert (rows[0]["name"], rows[0]["category"], rows[0]["url"]) == ("Home", "shop", "/x")
    assert rows[1]["name"] == "Start"
    # The history of the anonymous id is that of the person by now.
    counts = server.sql("SELECT event, count(*) AS n FROM events WHERE user_id = 'ada' GROUP BY event ORDER BY event")
    assert {row["event"]: row["n"] for row in counts} == {"before": 1, "identify": 1, "page": 1, "screen": 1, "sent": 1}
    aliases = server.sql("SHOW ALIASES ON events")
    assert {(row["alias"], row["person"]) for row in aliases} == {("anon", "ada"), ("old", "ada")}
    profile = server.sql("SELECT * FROM events_users")
    assert len(profile) == 1
    want = {"user_id": "ada", "plan": "pro", "age": 36, "address.city": "London", "group_id": "acme", "group.name": "Acme",
            "group.seats": 5}
    assert {name: profile[0][name] for name in want} == want


def check_counted(server, total):
    """Each event of a count once, whatever was sent how often."""
    rows = server.sql("SELECT n FROM events WHERE event = 'counted' ORDER BY n")
    assert [row["n"] for row in rows] == list(range(total))


def check_throttled(server, door, batches):
    """Some requests were told to wait, and few: who waits as long as the answer says is not told often."""
    line = f'trodden_ingest_throttled_total{{door="{door}"}} '
    metrics = server.post("/metrics", None, method="GET")[2].splitlines()
    count = next((int(text.removeprefix(line)) for text in metrics if text.startswith(line)), 0)
    assert 1 <= count <= 4 * batches, f"{count} requests were told to wait"
