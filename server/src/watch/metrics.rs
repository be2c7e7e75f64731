//! Metrics, in the text format of Prometheus. All names are here, with what they mean; units are the base units that its
//! checker asks for.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Instant;
use trodden_query::engine::table::Appended;
use trodden_query::{Database, ErrorKind};

/// Events that a door stored. Labels: `door`, `table`.
pub const INGEST_EVENTS: &str = "trodden_ingest_events_total";
/// Events left out because they were there. Labels: `door`, `table`.
pub const INGEST_DUPLICATES: &str = "trodden_ingest_duplicates_total";
/// Events that were refused. Labels: `door`, `reason`.
pub const INGEST_REJECTED: &str = "trodden_ingest_rejected_total";
/// Time from a batch to its acknowledgement. Labels: `door`.
pub const INGEST_SECONDS: &str = "trodden_ingest_seconds";
/// Requests told to wait. Labels: `door`.
pub const INGEST_THROTTLED: &str = "trodden_ingest_throttled_total";
/// Statements that ended. Labels: `door`, `outcome`.
pub const QUERIES: &str = "trodden_queries_total";
/// Time from start to end of a statement. Labels: `door`.
pub const QUERY_SECONDS: &str = "trodden_query_seconds";
/// Statements that run now. Labels: `door`.
pub const QUERIES_RUNNING: &str = "trodden_queries_running";
/// Connections that are open. Labels: `port`.
pub const CONNECTIONS: &str = "trodden_connections";
/// Clients that were not let in. Labels: `door`, `reason`.
pub const DENIED: &str = "trodden_access_denied_total";
/// What rules did to events. Labels: `table`, `rule`, `action`.
pub const RULES: &str = "trodden_rule_events_total";
/// Backups that clients asked for. Labels: `outcome`.
pub const BACKUPS: &str = "trodden_backups_total";
/// Events of a table. Labels: `table`.
const TABLE_EVENTS: &str = "trodden_table_events";
/// Bytes of a table on disk. Labels: `table`.
const TABLE_BYTES: &str = "trodden_table_size_bytes";
/// The version that runs. Labels: `version`.
const BUILD: &str = "trodden_build_info";
/// When the process started.
const STARTED: &str = "process_start_time_seconds";
/// Memory of the process.
const RESIDENT: &str = "process_resident_memory_bytes";

/// Bounds of the buckets of times, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The recorder of this process. Installed once: a second server in the process, as in tests, shares it.
fn handle() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
        let handle = builder.ok()?.install_recorder().ok()?;
        describe();
        Some(handle)
    };
    HANDLE.get_or_init(install).as_ref()
}

/// Starts counting. `now_us`: the time of day.
pub fn install(now_us: i64) {
    if handle().is_some() {
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!(STARTED).set(now_us as f64 / 1e6);
    }
}

fn describe() {
    describe_counter!(INGEST_EVENTS, "Events that were stored.");
    describe_counter!(INGEST_DUPLICATES, "Events left out because they were stored before.");
    describe_counter!(INGEST_REJECTED, "Events that were refused.");
    describe_histogram!(INGEST_SECONDS, Unit::Seconds, "Time from a batch of events to its acknowledgement.");
    describe_counter!(INGEST_THROTTLED, "Requests that were told to come back later.");
    describe_counter!(QUERIES, "Statements that ended, by outcome.");
    describe_histogram!(QUERY_SECONDS, Unit::Seconds, "Time from the start to the end of a statement.");
    describe_gauge!(QUERIES_RUNNING, "Statements that run now.");
    describe_gauge!(CONNECTIONS, "Connections that are open.");
    describe_counter!(DENIED, "Clients that were not let in.");
    describe_counter!(RULES, "Events that rules changed or dropped.");
    describe_counter!(BACKUPS, "Backups that ended, by outcome.");
    describe_gauge!(TABLE_EVENTS, "Events of a table.");
    describe_gauge!(TABLE_BYTES, Unit::Bytes, "Size of a table on disk.");
    describe_gauge!(BUILD, "The version that runs.");
    describe_gauge!(STARTED, Unit::Seconds, "When the process started, in seconds since 1970.");
    describe_gauge!(RESIDENT, Unit::Bytes, "Memory of the process.");
}

/// All metrics as text. What is not counted as it happens is looked up now.
pub fn render(database: &Database) -> String {
    for name in database.tables() {
        let Ok(table) = database.engine().table(&name) else { continue };
        gauge!(TABLE_EVENTS, "table" => name.clone()).set(table.snapshot().rows() as f64);
        if let Ok(bytes) = table.size_on_disk() {
            gauge!(TABLE_BYTES, "table" => name).set(bytes as f64);
        }
    }
    if let Some(bytes) = resident_bytes() {
        gauge!(RESIDENT).set(bytes as f64);
    }
    handle().map(PrometheusHandle::render).unwrap_or_default()
}

/// Memory of this process, in bytes. `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Counts what became of a batch of events.
pub fn ingested(door: &'static str, table: &str, appended: Appended, began: Instant) {
    counter!(INGEST_EVENTS, "door" => door, "table" => table.to_owned()).increment(appended.accepted);
    if appended.duplicates > 0 {
        counter!(INGEST_DUPLICATES, "door" => door, "table" => table.to_owned()).increment(appended.duplicates);
    }
    histogram!(INGEST_SECONDS, "door" => door).record(began.elapsed().as_secs_f64());
}

/// Counts a statement while it runs.
pub struct QueryWatch {
    door: &'static str,
    began: Instant,
}

impl QueryWatch {
    /// A statement began at `began`.
    pub fn begin(door: &'static str, began: Instant) -> Self {
        gauge!(QUERIES_RUNNING, "door" => door).increment(1.0);
        Self { door, began }
    }

    /// It ended, with an error of a kind or well.
    pub fn end(self, error: Option<ErrorKind>) {
        let outcome = match error {
            None => "ok",
            Some(ErrorKind::Cancelled) => "cancelled",
            Some(ErrorKind::ResourceLimit) => "resource_limit",
            Some(ErrorKind::Internal | ErrorKind::Io | ErrorKind::Corrupt) => "failed",
            Some(_) => "refused",
        };
        counter!(QUERIES, "door" => self.door, "outcome" => outcome).increment(1);
        histogram!(QUERY_SECONDS, "door" => self.door).record(self.began.elapsed().as_secs_f64());
    }
}

impl Drop for QueryWatch {
    fn drop(&mut self) {
        gauge!(QUERIES_RUNNING, "door" => self.door).decrement(1.0);
    }
}
