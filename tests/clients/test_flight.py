"""Arrow Flight SQL, asked by the packages that people use. Values are compared with what `trodden sql` says of the same
statements on the same data."""

import datetime
import os
import pathlib
import subprocess
import threading
import time
import warnings

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import adbc_driver_manager.dbapi as dbapi
import pandas
import polars
import pyarrow
import pyarrow.flight as flight
import pytest
import sqlalchemy
from flight_server import ROOT, Server, key, plain, run, shell

# The server commits every statement, which drivers warn of that would rather not.
pytestmark = pytest.mark.filterwarnings("ignore:Cannot disable autocommit")

BIG = 1_000_000
UTC = datetime.timezone.utc

SETUP = """
CREATE TABLE events (price DOUBLE, n BIGINT, ok BOOLEAN, seen TIMESTAMP, "Name" TEXT) WITH (shards = 2);
INSERT INTO events (user_id, ts, event, event_id, price, n, ok, seen, "Name") VALUES
  ('ada', TIMESTAMP '2026-01-01 00:00:00', 'view', 'e1', 1.5, 9007199254740993, true, TIMESTAMP '1969-12-31 23:59:59.999999', 'Ädä ☕ 日本'),
  ('ada', TIMESTAMP '2026-01-02 03:04:05.678901', 'buy', 'e2', NULL, -1, false, NULL, ''),
  ('bob', TIMESTAMP '2026-01-03', 'view', NULL, -0.0, NULL, NULL, TIMESTAMP '2026-02-03 04:05:06', 'quote '' and "'),
  ('cy', TIMESTAMP '2026-01-04', 'view', 'e4', 1e300, 0, true, NULL, NULL);
CREATE VIEW buys AS SELECT user_id, ts, price FROM events WHERE event = 'buy';
UPSERT INTO events_users (user_id, plan) VALUES ('ada', 'pro');
CREATE TAG viewers ON events AS SELECT DISTINCT user_id FROM events WHERE event = 'view';
"""

QUERIES = [
    "SELECT * FROM events ORDER BY user_id, ts",
    "SELECT * FROM events WHERE false",
    'SELECT "Name", n, price, ok, seen FROM events ORDER BY ts',
    "SELECT count(*), sum(price), avg(n), min(ts), max(seen) FROM events",
    "SELECT event, count(*) AS c FROM events GROUP BY event ORDER BY event",
    "SELECT 1 AS a UNION ALL SELECT 2.5 ORDER BY a",
    "SELECT NULL AS nothing, 'x' AS text, true AS yes, CAST(1 AS SMALLINT) AS small, DATE '2026-01-02' AS day",
    "SELECT CAST(12.34 AS DECIMAL(10, 2)) AS amount, [1, 2, NULL] AS list",
    "SELECT * FROM buys",
    "SELECT * FROM events_users",
    "FUNNEL view -> buy WITHIN 7 DAYS FROM events",
    "SELECT * FROM RETENTION(events, start => event = 'view', return => event = 'buy')",
    "SHOW TABLES",
    "DESCRIBE events",
    "EXPLAIN SELECT user_id FROM events",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("flight")


@pytest.fixture(scope="module")
def expected(place):
    """What the shell says, before the server has the database."""
    db = place / "db"
    run("sql", "--db", db, "--create", "-c", SETUP)
    run("generate", "--db", db, "--table", "big", "--events", BIG)
    answers = {sql: shell(db, sql, place) for sql in QUERIES}
    answers["big"] = shell(db, "SELECT * FROM big", place)
    return answers


@pytest.fixture(scope="module")
def server(place, expected):
    with Server(place / "db", log=place / "server.log") as server:
        yield server


@pytest.fixture
def connection(server):
    with flightsql.connect(server.uri, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cursor(connection):
    with connection.cursor() as cursor:
        yield cursor


def rows(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchall()


# ADBC


@pytest.mark.parametrize("sql", QUERIES)
def test_adbc_values_are_those_of_the_shell(cursor, expected, sql):
    cursor.execute(sql)
    found = cursor.fetch_arrow_table()
    assert plain(found) == plain(expected[sql])
    views = [field for field in found.schema if str(field.type).endswith("_view")]
    assert not views and all(field.nullable for field in found.schema)


def sorted_rows(table):
    table = table.select(sorted(table.column_names))
    columns = [column.cast(pyarrow.string()) if "string" in str(column.type) else column for column in table.columns]
    table = pyarrow.table(columns, names=table.column_names)
    return table.sort_by([(name, "ascending") for name in table.column_names]).combine_chunks()


def test_adbc_one_million_rows(cursor, expected):
    cursor.execute("SELECT * FROM big")
    found = cursor.fetch_arrow_table()
    assert found.num_rows == BIG
    assert sorted_rows(found).equals(sorted_rows(expected["big"]))


@pytest.mark.parametrize(
    "value",
    ["text", "", "ünïcödé", 7, -(2**63), 2.5, True, None, datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)],
)
@pytest.mark.parametrize("mark", ["?", "$1"])
def test_adbc_parameters_come_back(cursor, mark, value):
    assert rows(cursor, f"SELECT {mark} AS value", (value,)) == [(value,)]


def test_adbc_parameters_in_conditions(cursor):
    sql = "SELECT event_id FROM events WHERE user_id = ? AND ts > ? AND n < ? ORDER BY ts"
    since = datetime.datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert rows(cursor, sql, ("ada", since, 5)) == [("e2",)]
    # A time without a zone is one of UTC, as everywhere.
    assert rows(cursor, sql, ("ada", since.replace(tzinfo=None), 5)) == [("e2",)]
    assert rows(cursor, "SELECT count(*) FROM events WHERE price > $1 OR event = $2", (1, "buy")) == [(3,)]


def test_adbc_a_query_is_run_for_each_row_of_parameters(cursor):
    batch = pyarrow.record_batch({"user": ["ada", "bob", "nobody"]})
    cursor.adbc_statement.set_sql_query("SELECT user_id, event FROM events WHERE user_id = ? ORDER BY ts")
    cursor.adbc_statement.prepare()
    cursor.adbc_statement.bind(batch)
    stream, _ = cursor.adbc_statement.execute_query()
    found = pyarrow.RecordBatchReader.from_stream(stream).read_all()
    assert found.to_pylist() == [
        {"user_id": "ada", "event": "view"},
        {"user_id": "ada", "event": "buy"},
        {"user_id": "bob", "event": "view"},
    ]


def test_adbc_the_wrong_number_of_parameters_is_refused(cursor):
    with pytest.raises(dbapi.Error, match="1 parameters, and 2 values"):
        cursor.execute("SELECT ?", (1, 2))
    with pytest.raises(dbapi.Error, match=r"parameter \$1 has no value"):
        cursor.execute("SELECT * FROM events WHERE n = $1")


def test_adbc_statements_that_change_something(cursor):
    cursor.execute("CREATE TABLE changed (n BIGINT)")
    assert rows(cursor, "INSERT INTO changed (user_id, ts, event, n) VALUES ('a', now(), 'x', 1)") == [(1,)]
    cursor.executemany(
        "INSERT INTO changed (user_id, ts, event, n) VALUES (?, ?, ?, ?)",
        [("b", datetime.datetime(2026, 1, 1, tzinfo=UTC), "x", 2), ("c", datetime.datetime(2026, 1, 2), "y", None)],
    )
    assert cursor.rowcount == 2
    assert rows(cursor, "SELECT user_id, event, n FROM changed ORDER BY user_id") == [
        ("a", "x", 1),
        ("b", "x", 2),
        ("c", "y", None),
    ]
    assert rows(cursor, "SELECT ts FROM changed WHERE user_id = 'c'") == [(datetime.datetime(2026, 1, 2, tzinfo=UTC),)]
    cursor.adbc_statement.set_sql_query("DELETE FROM changed WHERE user_id = 'a'")
    assert cursor.adbc_statement.execute_update() == 1
    cursor.execute("DROP TABLE changed")
    with pytest.raises(dbapi.Error, match="no table is called 'changed'"):
        cursor.execute("SELECT * FROM changed")


@pytest.mark.parametrize(
    "sql, kind, text",
    [
        ("SELECT nothing FROM events", "NOT_FOUND", r"no column is called 'nothing' at line 1, column 8 \(hint: the col"),
        ("SELECT *\n  FROM evants", "NOT_FOUND", r"no table is called 'evants' at line 2, column 8 \(hint: did you mean 'ev"),
        ("SELEC 1", "INVALID_ARGUMENT", "line 1, column 1"),
        ("SELECT 1; SELECT 2", "INVALID_ARGUMENT", "one statement can be sent at a time"),
        ("-- nothing", "INVALID_ARGUMENT", "there is no statement"),
        ("CREATE TABLE events (n BIGINT)", "ALREADY_EXISTS", "there is a table 'events' already"),
        ("UPDATE events SET n = 1", "NOT_IMPLEMENTED", "UPDATE not supported"),
        ("SELECT 1 / 0", "INVALID_ARGUMENT", "(?i)divide by zero"),
        ("SELECT CAST(\"Name\" AS BIGINT) FROM events", "INVALID_ARGUMENT", "Ädä"),
    ],
)
def test_adbc_errors_say_what_where_and_the_way_out(cursor, sql, kind, text):
    with pytest.raises(dbapi.Error, match=text) as raised:
        cursor.execute(sql)
        cursor.fetchall()
    assert raised.value.status_code == getattr(adbc_driver_manager.AdbcStatusCode, kind)


def test_adbc_transactions_are_refused(server):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with flightsql.connect(server.uri) as connection:
            with connection.cursor() as cursor:
                assert rows(cursor, "SELECT 1") == [(1,)]
    assert any("autocommit" in str(warning.message) for warning in caught)


def test_adbc_cancel(server):
    slow = "SELECT count(*) FROM big a JOIN big b ON a.event = b.event WHERE a.user_id < b.user_id"
    with flightsql.connect(server.uri, autocommit=True) as connection, connection.cursor() as cursor:
        timer = threading.Timer(1, cursor.adbc_cancel)
        timer.start()
        began = time.monotonic()
        with pytest.raises(dbapi.Error) as raised:
            cursor.execute(slow)
            cursor.fetchall()
        timer.join()
        assert raised.value.status_code == adbc_driver_manager.AdbcStatusCode.CANCELLED
        assert time.monotonic() - began < 10
    end = time.monotonic() + 20
    while server.metric("trodden_queries_running") > 0:
        assert time.monotonic() < end, "the statement still runs"
        time.sleep(0.1)


# ADBC: metadata


def test_adbc_metadata(connection):
    assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "trodden" and info["vendor_version"]
    schema = connection.adbc_get_table_schema("events")
    assert [(field.name, str(field.type)) for field in schema] == [
        ("user_id", "string"),
        ("ts", "timestamp[us, tz=UTC]"),
        ("event", "string"),
        ("event_id", "string"),
        ("price", "double"),
        ("n", "int64"),
        ("ok", "bool"),
        ("seen", "timestamp[us, tz=UTC]"),
        ("Name", "string"),
    ]
    with pytest.raises(dbapi.Error):
        connection.adbc_get_table_schema("nothing")


def objects(connection, **filters):
    catalogs = connection.adbc_get_objects(**filters).read_all().to_pylist()
    return {
        (catalog["catalog_name"], schema["db_schema_name"], table["table_name"], table["table_type"]): [
            column["column_name"] for column in table["table_columns"] or []
        ]
        for catalog in catalogs
        for schema in catalog["catalog_db_schemas"] or []
        for table in schema["db_schema_tables"] or []
    }


def test_adbc_objects(connection):
    found = objects(connection)
    assert found["trodden", "public", "buys", "VIEW"] == ["user_id", "ts", "price"]
    assert found["trodden", "public", "events_users", "TABLE"] == ["user_id", "plan", "updated_at"]
    assert len(found["trodden", "public", "events", "TABLE"]) == 9
    assert set(objects(connection, table_name_filter="event_")) == {("trodden", "public", "events", "TABLE")}
    assert set(objects(connection, table_types_filter=["VIEW"])) == {("trodden", "public", "buys", "VIEW")}
    assert objects(connection, catalog_filter="other") == {}
    assert objects(connection, db_schema_filter="pub%") == found
    names = objects(connection, column_name_filter="Na%", table_name_filter="events")
    assert names["trodden", "public", "events", "TABLE"] == ["Name"]


def test_adbc_session_options(connection):
    assert connection.adbc_current_catalog == "trodden"
    assert connection.adbc_current_db_schema == "public"
    connection.adbc_current_catalog = "trodden"
    with pytest.raises(dbapi.Error):
        connection.adbc_current_db_schema = "other"


# ADBC: ingestion


def some(users, **columns):
    stamps = [datetime.datetime(2026, 3, 1, tzinfo=UTC)] * len(users)
    fixed = {"user_id": users, "ts": pyarrow.array(stamps, pyarrow.timestamp("us", "UTC")), "event": ["x"] * len(users)}
    return pyarrow.table({**fixed, **columns})


def test_adbc_ingest(connection, cursor):
    batch = some(["a", "b"], price=[1.5, None], kind=pyarrow.array(["k", None]).dictionary_encode(), n=[1, 2])
    with pytest.raises(dbapi.Error, match="no table is called 'taken'"):
        cursor.adbc_ingest("taken", batch, mode="append")
    assert cursor.adbc_ingest("taken", batch, mode="create") == 2
    with pytest.raises(dbapi.Error, match="there is a table 'taken' already"):
        cursor.adbc_ingest("taken", batch, mode="create")
    assert cursor.adbc_ingest("taken", some(["c"], price=[2]), mode="append") == 1
    assert cursor.adbc_ingest("taken", some(["d"], more=["new"]), mode="create_append") == 1
    assert rows(cursor, "SELECT user_id, price, kind, n, more FROM taken ORDER BY user_id") == [
        ("a", 1.5, "k", 1, None),
        ("b", None, None, 2, None),
        ("c", 2.0, None, None, None),
        ("d", None, None, None, "new"),
    ]
    assert cursor.adbc_ingest("taken", some(["z"]), mode="replace") == 1
    assert rows(cursor, "SELECT user_id FROM taken") == [("z",)]
    cursor.execute("DROP TABLE taken")


def test_adbc_ingest_again_adds_nothing_twice(cursor):
    batch = some(["a", "b"], event_id=["1", "2"])
    assert cursor.adbc_ingest("once", batch, mode="create") == 2
    assert cursor.adbc_ingest("once", batch, mode="append") == 0
    assert rows(cursor, "SELECT count(*) FROM once") == [(2,)]
    cursor.execute("DROP TABLE once")


def test_adbc_ingest_refuses_what_are_no_events(cursor):
    for table in [pyarrow.table({"user": ["a"]}), some(["a"]).drop_columns(["ts"])]:
        with pytest.raises(dbapi.Error, match="have no column '(user_id|ts)'.*hint") as raised:
            cursor.adbc_ingest("refused", table, mode="create")
        assert raised.value.status_code == adbc_driver_manager.AdbcStatusCode.INVALID_ARGUMENT
    with pytest.raises(dbapi.Error, match="an event has no user_id"):
        cursor.adbc_ingest("events", some([None]), mode="append")
    with pytest.raises(dbapi.Error, match="temporary"):
        cursor.adbc_ingest("refused", some(["a"]), mode="create", temporary=True)
    with pytest.raises(dbapi.Error, match="no schema is called 'other'"):
        cursor.adbc_ingest("refused", some(["a"]), mode="create", db_schema_name="other")


def test_adbc_ingest_of_many_batches(cursor):
    table = some([f"u{number % 997}" for number in range(200_000)], n=list(range(200_000)))
    reader = table.to_reader(max_chunksize=10_000)
    assert cursor.adbc_ingest("many", reader, mode="create") == 200_000
    assert rows(cursor, "SELECT count(*), sum(n), count(DISTINCT user_id) FROM many") == [(200_000, 19999900000, 997)]
    cursor.execute("DROP TABLE many")


# polars and pandas


def test_polars_reads_and_writes(server, connection, expected):
    sql = QUERIES[0]
    wanted = polars.from_arrow(expected[sql])
    assert polars.read_database(sql, connection).equals(wanted)
    by_value = polars.read_database("SELECT * FROM events WHERE user_id = ?", connection, execute_options={"parameters": ["bob"]})
    assert by_value["event"].to_list() == ["view"]
    assert polars.read_database("SELECT * FROM big", connection).height == BIG
    frame = polars.from_arrow(some(["p", "q"], price=[0.5, None]))
    assert frame.write_database("frames", connection, if_table_exists="replace") == 2
    assert frame.write_database("frames", connection, if_table_exists="append") == 2
    assert polars.read_database("SELECT count(*) AS n FROM frames", connection)["n"].to_list() == [4]
    connection.cursor().execute("DROP TABLE frames")


def test_pandas_reads_and_writes(connection, expected):
    sql = QUERIES[0]
    frame = pandas.read_sql(sql, connection, dtype_backend="pyarrow")
    assert plain(pyarrow.Table.from_pandas(frame, preserve_index=False)) == plain(expected[sql])
    frame = some(["p", "q"], price=[0.5, None]).to_pandas()
    assert frame.to_sql("panda", connection, index=False, if_exists="replace") == 2
    assert frame.to_sql("panda", connection, index=False, if_exists="append") == 2
    with pytest.raises(ValueError, match="already exists"):
        frame.to_sql("panda", connection, index=False)
    assert pandas.read_sql("SELECT count(*) AS n FROM panda", connection)["n"].tolist() == [4]
    assert pandas.read_sql_table("panda", connection).shape[0] == 4
    connection.cursor().execute("DROP TABLE panda")


# SQLAlchemy


def test_sqlalchemy_adbc(server, expected):
    engine = sqlalchemy.create_engine(f"adbc+flightsql://127.0.0.1:{server.grpc}?tls=false")
    with engine.connect() as connection:
        sql = QUERIES[0]
        found = connection.execute(sqlalchemy.text(sql))
        assert [dict(row) for row in found.mappings()] == expected[sql].to_pylist()
        by_value = connection.execute(sqlalchemy.text("SELECT event FROM events WHERE user_id = :user"), {"user": "bob"})
        assert by_value.scalar_one() == "view"
    inspector = sqlalchemy.inspect(engine)
    assert "public" in inspector.get_schema_names()
    # Its lists of names stay empty: it looks for kinds of tables in small letters.
    assert inspector.has_table("events", schema="public") and not inspector.has_table("nothing", schema="public")
    columns = inspector.get_columns("events", schema="public")
    assert [column["name"] for column in columns][:3] == ["user_id", "ts", "event"]
    assert inspector.get_pk_constraint("events", schema="public")["constrained_columns"] == []
    table = sqlalchemy.Table("events", sqlalchemy.MetaData(), autoload_with=engine, schema="public")
    with engine.connect() as connection:
        chosen = sqlalchemy.select(table.c.event, sqlalchemy.func.count()).group_by(table.c.event).order_by(table.c.event)
        assert connection.execute(chosen).fetchall() == [("buy", 1), ("view", 3)]


# pyarrow


def varint(number):
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def command(name, content=b""):
    """A command of Flight SQL, by hand: pyarrow has no client for it."""
    url = f"type.googleapis.com/arrow.flight.protocol.sql.{name}".encode()
    return field(1, url) + (field(2, content) if content else b"")


def test_pyarrow_flight(server, expected):
    sql = QUERIES[0]
    with flight.connect(server.uri) as client:
        descriptor = flight.FlightDescriptor.for_command(command("CommandStatementQuery", field(1, sql.encode())))
        info = client.get_flight_info(descriptor)
        # The ticket is a command in an Any, which DBeaver reads.
        assert b"TicketStatementQuery" in info.endpoints[0].ticket.ticket
        reader = client.do_get(info.endpoints[0].ticket)
        assert reader.schema.equals(info.schema, check_metadata=True)
        assert plain(reader.read_all()) == plain(expected[sql])
        assert client.get_schema(descriptor).schema.equals(info.schema)
        actions = {action.type for action in client.list_actions()}
        assert {"CreatePreparedStatement", "CancelFlightInfo", "CloseSession"} <= actions
        assert list(client.list_flights()) == []


def test_pyarrow_cancels(server):
    slow = b"SELECT count(*) FROM big a JOIN big b ON a.event = b.event WHERE a.user_id < b.user_id"
    with flight.connect(server.uri) as client:
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command("CommandStatementQuery", field(1, slow))))
        cancel = flight.Action("CancelFlightInfo", field(1, info.serialize()))
        timer = threading.Timer(1, lambda: list(flight.connect(server.uri).do_action(cancel)))
        timer.start()
        began = time.monotonic()
        # pyarrow makes the KeyboardInterrupt of a person out of a stream that was cancelled.
        with pytest.raises((flight.FlightCancelledError, pyarrow.ArrowCancelled, KeyboardInterrupt)):
            client.do_get(info.endpoints[0].ticket).read_all()
        timer.join()
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("name, columns", [
    ("CommandGetPrimaryKeys", 6),
    ("CommandGetExportedKeys", 13),
    ("CommandGetImportedKeys", 13),
    ("CommandGetCrossReference", 13),
    ("CommandGetXdbcTypeInfo", 19),
    ("CommandGetSqlInfo", 2),
])
def test_pyarrow_metadata(server, name, columns):
    content = {"CommandGetCrossReference": field(3, b"events") + field(6, b"events")}
    keys = field(3, b"events") if "Keys" in name else b""
    with flight.connect(server.uri) as client:
        wanted = command(name, content.get(name, keys))
        info = client.get_flight_info(flight.FlightDescriptor.for_command(wanted))
        found = client.do_get(info.endpoints[0].ticket).read_all()
    assert found.schema.equals(info.schema) and found.num_columns == columns
    assert (found.num_rows == 0) == ("Key" in name or "Cross" in name)


# flightsql-dbapi, which needs an older SQLAlchemy and so an environment of its own


def test_flightsql_dbapi(server):
    python = os.environ.get("FLIGHTSQL_DBAPI_PYTHON", str(ROOT / ".cache/clients-flightsql-dbapi/bin/python"))
    script = pathlib.Path(__file__).with_name("flightsql_dbapi_client.py")
    done = subprocess.run([python, script, str(server.grpc)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "ok"


# Keys


@pytest.fixture(scope="module")
def guarded(place):
    db = place / "guarded"
    run("sql", "--db", db, "--create", "-c", "CREATE TABLE events (n BIGINT); CREATE TABLE others (n BIGINT)")
    keys = {role: key(db, role) for role in ["read", "admin"]}
    keys["write"] = key(db, "write", "--table", "events")
    with Server(db, "--require-keys", log=place / "guarded.log") as server:
        server.keys = keys
        yield server


def login(server, **options):
    return flightsql.connect(server.uri, db_kwargs=options, autocommit=True)


def bearer(secret):
    return {adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {secret}"}


def attempt(server, options, act):
    with login(server, **options) as connection, connection.cursor() as cursor:
        return act(cursor)


def test_nobody_comes_in_without_a_key(guarded):
    for options in [{}, bearer("nonsense"), {"username": "me", "password": "nonsense"}]:
        with pytest.raises(dbapi.Error) as raised:
            attempt(guarded, options, lambda cursor: rows(cursor, "SELECT 1"))
        assert raised.value.status_code == adbc_driver_manager.AdbcStatusCode.UNAUTHENTICATED


def test_a_key_is_a_token_a_password_or_a_user_name(guarded):
    secret = guarded.keys["read"]
    for options in [bearer(secret), {"username": "me", "password": secret}, {"username": secret, "password": ""}]:
        assert attempt(guarded, options, lambda cursor: rows(cursor, "SELECT count(*) FROM events")) == [(0,)]


def test_pyarrow_logs_in(guarded):
    with flight.connect(guarded.uri) as client:
        header, value = client.authenticate_basic_token("me", guarded.keys["read"])
        assert value.startswith(b"Bearer trodden-login-")
        options = flight.FlightCallOptions(headers=[(header, value)])
        assert client.do_action(flight.Action("GetSessionOptions", b""), options)
        with pytest.raises(flight.FlightUnauthenticatedError):
            list(client.do_action(flight.Action("GetSessionOptions", b"")))
        list(client.do_action(flight.Action("CloseSession", b""), options))
        with pytest.raises(flight.FlightUnauthenticatedError, match="log in again"):
            list(client.do_action(flight.Action("GetSessionOptions", b""), options))


def test_a_read_key_changes_nothing(guarded):
    options = bearer(guarded.keys["read"])
    for sql in [
        "INSERT INTO events (user_id, ts, event) VALUES ('a', now(), 'x')",
        "DROP TABLE events",
        "PREPARE p AS SELECT 1",
        "COPY events TO '/tmp/never.parquet'",
    ]:
        with pytest.raises(dbapi.Error, match="change nothing") as raised:
            attempt(guarded, options, lambda cursor, sql=sql: cursor.execute(sql))
        assert raised.value.status_code == adbc_driver_manager.AdbcStatusCode.UNAUTHORIZED
    with pytest.raises(dbapi.Error, match="may not send events"):
        attempt(guarded, options, lambda cursor: cursor.adbc_ingest("events", some(["a"]), mode="append"))


def test_a_write_key_sends_events_to_its_table_and_asks_nothing(guarded):
    options = bearer(guarded.keys["write"])
    ingest = lambda table, mode: attempt(guarded, options, lambda cursor: cursor.adbc_ingest(table, some(["a"]), mode=mode))
    assert ingest("events", "append") == 1
    for table, mode in [("others", "append"), ("new", "create"), ("events", "replace")]:
        with pytest.raises(dbapi.Error) as raised:
            ingest(table, mode)
        assert raised.value.status_code == adbc_driver_manager.AdbcStatusCode.UNAUTHORIZED
    with pytest.raises(dbapi.Error, match="may not ask"):
        attempt(guarded, options, lambda cursor: cursor.execute("SELECT * FROM events"))


def test_an_admin_key_may_all(guarded):
    act = lambda cursor: (cursor.execute("CREATE TABLE made (n BIGINT)"), rows(cursor, "SELECT * FROM made"))[1]
    assert attempt(guarded, bearer(guarded.keys["admin"]), act) == []
