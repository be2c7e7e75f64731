"""What flightsql-dbapi 0.2 and its dialect of SQLAlchemy do, in an environment of their own: they need SQLAlchemy 1.4.
Prints `ok`."""

import sys

import flightsql.sqlalchemy  # noqa: F401, registers the dialect
import sqlalchemy
from flightsql import FlightSQLClient, connect

port = int(sys.argv[1])
client = FlightSQLClient(host="127.0.0.1", port=port, insecure=True)
connection = connect(client)

cursor = connection.cursor()
cursor.execute("SELECT user_id, event, n, ok FROM events ORDER BY ts")
found = cursor.fetchall()
assert [row[0] for row in found] == ["ada", "ada", "bob", "cy"], found
assert [column[0] for column in cursor.description] == ["user_id", "event", "n", "ok"]
cursor.execute("SELECT event FROM events WHERE user_id = ?", ["bob"])
assert [tuple(row) for row in cursor.fetchall()] == [("view",)]

assert client.execute_update("CREATE TABLE older (n BIGINT)") == 0
insert = "INSERT INTO older (user_id, ts, event) VALUES ('a', now(), 'x'), ('b', now(), 'y')"
assert client.execute_update(insert) == 2
cursor.execute("SELECT count(*) FROM older")
assert cursor.fetchone()[0] == 2
assert client.execute_update("DROP TABLE older") == 0

info = connection.flightsql_get_sql_info([0, 3, 504])
assert info == {0: "trodden", 3: False, 504: '"'}, info
assert "events" in connection.flightsql_get_table_names("public")
assert connection.flightsql_get_schema_names() == ["public"]
columns = connection.flightsql_get_columns("events", "public")
assert [column["name"] for column in columns][:3] == ["user_id", "ts", "event"], columns
assert connection.flightsql_get_primary_keys("events") == []

# Without this option the dialect writes NULL in place of the parameters of a text.
prepared = "feature-sqlalchemy-prepared-statements=on"
engine = sqlalchemy.create_engine(f"datafusion+flightsql://127.0.0.1:{port}?insecure=true&{prepared}")
inspector = sqlalchemy.inspect(engine)
assert "events" in inspector.get_table_names(schema="public")
assert [column["name"] for column in inspector.get_columns("events", schema="public")][0] == "user_id"
with engine.connect() as session:
    statement = sqlalchemy.text("SELECT event, count(*) AS c FROM events WHERE user_id <> :user GROUP BY event ORDER BY event")
    assert session.execute(statement, {"user": "nobody"}).fetchall() == [("buy", 1), ("view", 3)]
print("ok")
