//! Events over HTTP against the built server, asked for over gRPC while it runs.

mod common;

use common::{Place, wait_for};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use trodden_client::ConnectOptions;
use trodden_client::blocking::Client;

/// A server, killed at the end.
struct Server {
    process: Child,
    http: u16,
    grpc: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

impl Server {
    fn start(db: &Path) -> Self {
        let (http, grpc) = (free_port(), free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_trodden"))
            .args(["serve", "--db", db.to_str().expect("UTF-8")])
            .args(["--http-listen", &format!("127.0.0.1:{http}"), "--grpc-listen", &format!("127.0.0.1:{grpc}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let server = Self { process, http, grpc };
        wait_for(|| server.send("GET /ready HTTP/1.1", "").filter(|answer| answer.contains("200 OK")));
        server
    }

    /// The answer to a request, if there is a server.
    fn send(&self, head: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        let length = body.len();
        write!(stream, "{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

#[test]
fn an_acknowledged_event_is_in_the_next_query() {
    let place = Place::new();
    let server = Server::start(&place.path("db"));
    let client =
        Client::connect(&format!("http://127.0.0.1:{}", server.grpc), ConnectOptions::default()).expect("a client");
    for n in 1..=50 {
        let message = format!(
            r#"{{"type":"track","userId":"u{}","event":"fresh","messageId":"{n}","properties":{{"n":{n}}}}}"#,
            n % 7
        );
        let answer = server.send("POST /v1/batch HTTP/1.1", &format!(r#"{{"batch":[{message}]}}"#)).expect("an answer");
        assert!(answer.contains("200 OK") && answer.contains(r#""accepted":1"#), "{answer}");
        let sql = format!("SELECT n FROM events WHERE event = 'fresh' AND n = {n}");
        let rows: usize = client.query(&sql).expect("a query").map(|batch| batch.expect("a batch").num_rows()).sum();
        assert_eq!(rows, 1, "event {n} was acknowledged, and the next query does not have it");
    }
}
