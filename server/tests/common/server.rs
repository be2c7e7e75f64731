//! A server of this build, as its own process.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use trodden_client::{Client, ConnectOptions};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Address of gRPC.
    pub(crate) grpc: String,
    /// Address of HTTP.
    pub(crate) http: String,
}

impl Server {
    /// Starts a server on free ports.
    pub(crate) fn start(db: &Path, arguments: &[&str]) -> Self {
        Self::start_at(db, "127.0.0.1:0", arguments)
    }

    /// Starts a server whose gRPC is at `grpc`.
    pub(crate) fn start_at(db: &Path, grpc: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trodden"));
        command.args(["serve", "--grpc-listen", grpc, "--http-listen", "127.0.0.1:0", "--log-format", "json", "--db"]);
        let mut child = command.arg(db).args(arguments).stderr(Stdio::piped()).spawn().expect("the binary is built");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut seen = String::new();
        let ready = lines.by_ref().map_while(Result::ok).find_map(|line| {
            seen.push_str(&line);
            seen.push('\n');
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            (line["message"] == "ready").then_some(line)
        });
        let ready = ready.unwrap_or_else(|| panic!("the server did not start:\n{seen}"));
        let address = |name: &str| ready[name].as_str().expect("it tells its addresses").to_owned();
        let (grpc, http) = (address("grpc"), address("http"));
        // Nobody reads its log, and it must not wait for that.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, grpc, http }
    }

    /// A client without a key.
    pub(crate) async fn client(&self) -> Client {
        self.client_with(None).await.expect("the server lets everybody in")
    }

    /// A client with a key.
    pub(crate) async fn client_with(&self, token: Option<&str>) -> Result<Client, trodden_client::CallError> {
        let options = ConnectOptions { token: token.map(str::to_owned), ..ConnectOptions::default() };
        Client::connect(&format!("http://{}", self.grpc), options).await
    }

    /// Ends it as a machine that fails would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, and waits until it has. Returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let terminated = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill is there");
        assert!(terminated.success());
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                return status.code();
            }
            std::sync::mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(10)).ok();
        }
        panic!("the server did not stop");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
