//! The service over a connection, called by the client of arrow-flight. The packages that people use are in
//! `tests/clients/test_flight.py`.

use super::*;
use crate::access::{Access, Role};
use crate::serve::{Clock, Queries};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandStatementIngest, CommandStatementQuery, ProstMessageExt, TableDefinitionOptions};
use arrow_flight::{CancelFlightInfoRequest, FlightInfo};
use futures::TryStreamExt;
use prost::Message;
use std::collections::HashMap;
use std::sync::OnceLock;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status};
use trodden_query::{Database, Options};

type Client = FlightSqlServiceClient<Channel>;

/// Never dropped, since that may not be done in async code.
fn computing() -> &'static Runtime {
    static COMPUTING: OnceLock<Runtime> = OnceLock::new();
    COMPUTING.get_or_init(|| Runtime::new().unwrap())
}

fn app(keys: bool) -> Arc<App> {
    let database = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
    let script = "CREATE TABLE events (n BIGINT, price DOUBLE) WITH (shards = 2);
                  INSERT INTO events (user_id, ts, event, n) VALUES ('a', TIMESTAMP '2026-01-01', 'view', 1),
                    ('b', TIMESTAMP '2026-01-02', 'buy', NULL)";
    // On a thread that is none of the test's runtime.
    let filled = database.clone();
    std::thread::spawn(move || filled.query_blocking(script).map(drop)).join().unwrap().unwrap();
    let access = Access::open(database.clone(), keys).unwrap();
    let config = crate::config::load(None, HashMap::new(), &Vec::new()).unwrap();
    Arc::new(App::new(database, access, Queries::new(computing(), 8), Arc::new(config), Clock))
}

async fn connect(app: &Arc<App>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(service(Arc::clone(app)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    FlightSqlServiceClient::new(channel)
}

async fn client() -> Client {
    connect(&app(false)).await
}

async fn rows(client: &mut Client, info: FlightInfo) -> Result<Vec<RecordBatch>, Status> {
    let announced = info.clone().try_decode_schema().unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let stream = client.do_get(ticket).await.map_err(status)?;
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(status)?;
    for batch in &batches {
        assert_eq!(batch.schema().as_ref(), &announced);
    }
    Ok(batches)
}

async fn ask(client: &mut Client, sql: &str) -> Result<Vec<RecordBatch>, Status> {
    let info = client.execute(sql.into(), None).await.map_err(status)?;
    rows(client, info).await
}

/// The status inside of what the client says.
fn status(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::unknown(other.to_string()),
    }
}

fn is(status: &Status, code: Code, words: &str) -> bool {
    status.code() == code && status.message().contains(words)
}

fn counts(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[tokio::test]
async fn rows_come_in_the_schema_that_was_announced() {
    let mut client = client().await;
    for sql in
        ["SELECT * FROM events", "SELECT * FROM events WHERE false", "SELECT 1 UNION ALL SELECT 2.5", "SHOW TABLES"]
    {
        ask(&mut client, sql).await.unwrap();
    }
    let found = ask(&mut client, "SELECT count(*) FROM events;").await.unwrap();
    assert_eq!(counts(&found), [2]);
}

#[tokio::test]
async fn errors_have_their_kind_their_place_and_the_way_out() {
    let mut client = client().await;
    for (sql, code, words) in [
        ("SELECT nothing FROM events", Code::NotFound, "at line 1, column 8 (hint: "),
        ("SELEC", Code::InvalidArgument, "line 1, column 1"),
        ("", Code::InvalidArgument, "there is no statement"),
        ("SELECT 1; SELECT 2", Code::InvalidArgument, "one statement"),
        ("SET x = 1", Code::Unimplemented, "not offered"),
        ("SELECT * FROM events WHERE n = $1", Code::InvalidArgument, "parameter $1 has no value"),
        ("SELECT CAST(event AS BIGINT) FROM events", Code::InvalidArgument, "view"),
    ] {
        let refused = ask(&mut client, sql).await.unwrap_err();
        assert!(is(&refused, code, words), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn a_prepared_statement_takes_values_and_ends() {
    let mut client = client().await;
    let mut prepared = client.prepare("SELECT n FROM events WHERE user_id = ?".into(), None).await.unwrap();
    assert_eq!(prepared.parameter_schema().unwrap().fields().len(), 1);
    assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 1);
    let values = RecordBatch::try_from_iter(vec![("u", Arc::new(StringArray::from(vec!["a", "x"])) as ArrayRef)]);
    prepared.set_parameters(values.unwrap()).unwrap();
    let info = prepared.execute().await.unwrap();
    assert_eq!(counts(&rows(&mut client, info).await.unwrap()), [1]);
    let info = prepared.execute().await.unwrap();
    prepared.close().await.unwrap();
    assert_eq!(rows(&mut client, info).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_changes_something_is_counted() {
    let mut client = client().await;
    let insert = "INSERT INTO events (user_id, ts, event, n) VALUES ('c', now(), 'x', 3), ('d', now(), 'x', 4)";
    assert_eq!(client.execute_update(insert.into(), None).await.unwrap(), 2);
    assert_eq!(client.execute_update("CREATE TABLE t ()".into(), None).await.unwrap(), 0);
    assert_eq!(client.execute_update("DELETE FROM events WHERE user_id = 'd'".into(), None).await.unwrap(), 1);
    let refused = client.execute_update("SELECT 1".into(), None).await.unwrap_err();
    assert!(is(&status(refused), Code::InvalidArgument, "changes nothing"));
    let prepared = client.prepare("INSERT INTO events (user_id, ts, event, n) VALUES (?, now(), 'y', ?)".into(), None);
    let mut prepared = prepared.await.unwrap();
    assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 0);
    let values = RecordBatch::try_from_iter(vec![
        ("u", Arc::new(StringArray::from(vec!["e", "f"])) as ArrayRef),
        ("n", Arc::new(Int64Array::from(vec![Some(5), None]))),
    ]);
    prepared.set_parameters(values.unwrap()).unwrap();
    assert_eq!(prepared.execute_update().await.unwrap(), 2);
    let found = ask(&mut client, "SELECT n FROM events WHERE event = 'y' AND n IS NOT NULL").await.unwrap();
    assert_eq!(counts(&found), [5]);
}

/// Drivers go on once they know where the rows are, whether they ask for them or not.
#[tokio::test]
async fn what_changes_something_is_run_once_when_it_is_asked_for() {
    let mut client = client().await;
    let insert = "INSERT INTO events (user_id, ts, event) VALUES ('z', now(), 'once')";
    let asked = arrow_flight::FlightDescriptor::new_cmd(
        CommandStatementQuery { query: insert.into(), transaction_id: None }.as_any().encode_to_vec(),
    );
    client.inner_mut().get_schema(asked).await.unwrap();
    let once = "SELECT count(*) FROM events WHERE event = 'once'";
    assert_eq!(counts(&ask(&mut client, once).await.unwrap()), [0]);
    let info = client.execute(insert.into(), None).await.unwrap();
    assert_eq!(counts(&ask(&mut client, once).await.unwrap()), [1]);
    for _ in 0..2 {
        assert_eq!(counts(&rows(&mut client, info.clone()).await.unwrap()), [1]);
    }
    assert_eq!(counts(&ask(&mut client, once).await.unwrap()), [1]);
    ask(&mut client, "CREATE TABLE made (n BIGINT)").await.unwrap();
    ask(&mut client, "SELECT n FROM made").await.unwrap();
}

#[tokio::test]
async fn a_statement_that_was_cancelled_gives_no_rows() {
    let mut client = client().await;
    let info = client.execute("SELECT * FROM events".into(), None).await.unwrap();
    let mut flight = arrow_flight::FlightClient::new_from_inner(client.inner().clone());
    let answer = flight.cancel_flight_info(CancelFlightInfoRequest { info: Some(info.clone()) }).await.unwrap();
    assert_eq!(answer.status(), arrow_flight::CancelStatus::Cancelled);
    assert_eq!(rows(&mut client, info).await.unwrap_err().code(), Code::Cancelled);
}

#[tokio::test]
async fn there_are_no_transactions() {
    let mut client = client().await;
    let refused = status(client.begin_transaction().await.unwrap_err());
    assert!(is(&refused, Code::Unimplemented, "autocommit"), "{refused}");
}

fn events(users: Vec<Option<&str>>) -> RecordBatch {
    let count = users.len();
    RecordBatch::try_from_iter_with_nullable(vec![
        ("user_id", Arc::new(StringArray::from(users)) as ArrayRef, true),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![0; count])), true),
        ("event", Arc::new(StringArray::from(vec!["x"; count])), true),
    ])
    .unwrap()
}

async fn ingest(client: &mut Client, table: &str, options: [i32; 2], batches: Vec<RecordBatch>) -> Result<i64, Status> {
    let [if_not_exist, if_exists] = options;
    let command = CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions { if_not_exist, if_exists }),
        table: table.into(),
        ..CommandStatementIngest::default()
    };
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    client.execute_ingest(command, stream).await.map_err(status)
}

#[tokio::test]
async fn rows_become_events() {
    let mut client = client().await;
    let (create_or_fail, append, replace) = ([1, 1], [2, 2], [2, 3]);
    let two = || events(vec![Some("a"), Some("b")]);
    let refused = ingest(&mut client, "fresh", append, vec![two()]).await.unwrap_err();
    assert!(is(&refused, Code::NotFound, "no table is called 'fresh'"), "{refused}");
    assert_eq!(ingest(&mut client, "fresh", create_or_fail, vec![two(), two()]).await.unwrap(), 4);
    let refused = ingest(&mut client, "fresh", create_or_fail, vec![two()]).await.unwrap_err();
    assert!(is(&refused, Code::AlreadyExists, "'fresh'"), "{refused}");
    assert_eq!(ingest(&mut client, "fresh", append, vec![two()]).await.unwrap(), 2);
    assert_eq!(ingest(&mut client, "fresh", replace, vec![two()]).await.unwrap(), 2);
    assert_eq!(counts(&ask(&mut client, "SELECT count(*) FROM fresh").await.unwrap()), [2]);
}

#[tokio::test]
async fn a_batch_that_fails_leaves_those_before_it() {
    let mut client = client().await;
    let batches = vec![events(vec![Some("p"), Some("q")]), events(vec![Some("r"), None])];
    let refused = ingest(&mut client, "events", [2, 2], batches).await.unwrap_err();
    assert!(is(&refused, Code::InvalidArgument, "the 2 rows of the batches before it are stored"), "{refused}");
    assert_eq!(counts(&ask(&mut client, "SELECT count(*) FROM events").await.unwrap()), [4]);
}

#[tokio::test]
async fn nobody_comes_in_without_a_key_and_a_login_ends_with_its_key() {
    let app = app(true);
    let (key, token) = app.access.create(Role::Read, None, "", 0).unwrap();
    let mut client = connect(&app).await;
    let refused = ask(&mut client, "SELECT 1").await.unwrap_err();
    assert!(is(&refused, Code::Unauthenticated, ""), "{refused}");
    let given = client.handshake("me", token.text()).await.unwrap();
    assert!(given.starts_with(b"trodden-login-"));
    assert_eq!(counts(&ask(&mut client, "SELECT count(*) FROM events").await.unwrap()), [2]);
    let refused = ask(&mut client, "DROP TABLE events").await.unwrap_err();
    assert!(is(&refused, Code::PermissionDenied, "change nothing"), "{refused}");
    app.access.revoke(&key.id, 1).unwrap();
    let refused = ask(&mut client, "SELECT 1").await.unwrap_err();
    assert!(is(&refused, Code::Unauthenticated, "revoked"), "{refused}");
}

#[tokio::test]
async fn a_prepared_statement_is_of_the_key_that_made_it() {
    let app = app(true);
    let [mut first, mut second] = [connect(&app).await, connect(&app).await];
    for client in [&mut first, &mut second] {
        let (_, token) = app.access.create(Role::Read, None, "", 0).unwrap();
        client.set_token(token.text().into());
    }
    let mut prepared = first.prepare("SELECT count(*) FROM events".into(), None).await.unwrap();
    let info = prepared.execute().await.unwrap();
    assert_eq!(rows(&mut second, info.clone()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(counts(&rows(&mut first, info).await.unwrap()), [2]);
}
