//! Configuration of the server: from a file, then the environment, then flags.

mod load;
mod size;

pub use load::{Overrides, load};
pub use size::Size;

use crate::failure::{Failure, Outcome};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The defaults, with a comment for each value.
pub const DEFAULT: &str = include_str!("default.toml");

/// All of the configuration. The comments of [`DEFAULT`] say what each value means.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct Config {
    pub database: DatabaseConfig,
    pub grpc: GrpcConfig,
    pub http: HttpConfig,
    pub tls: TlsConfig,
    pub access: AccessConfig,
    pub limits: Limits,
    pub log: LogConfig,
    pub trace: TraceConfig,
}

/// `[database]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct DatabaseConfig {
    pub path: PathBuf,
    pub threads: u32,
    pub memory_limit: String,
    pub recommend_memory: String,
}

/// `[grpc]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct GrpcConfig {
    pub listen: SocketAddr,
    pub message_max: Size,
    pub streams_max: u32,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct HttpConfig {
    pub listen: SocketAddr,
    pub table: String,
    pub body_max: Size,
    pub event_max: Size,
    pub cors_origins: Vec<String>,
}

/// `[tls]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct TlsConfig {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsConfig {
    /// Whether connections are encrypted.
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }
}

/// `[access]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct AccessConfig {
    pub required: bool,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct Limits {
    pub connections_max: u32,
    pub ingest_bytes: Size,
    pub events_per_second: u32,
    pub queries_max: u32,
    pub client_timeout_s: u32,
    pub stop_timeout_s: u32,
}

impl Limits {
    /// Time in which a client has to go on.
    pub fn client_timeout(&self) -> Duration {
        Duration::from_secs(self.client_timeout_s.into())
    }

    /// Time that requests under way have to end when the server stops.
    pub fn stop_timeout(&self) -> Duration {
        Duration::from_secs(self.stop_timeout_s.into())
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct LogConfig {
    pub level: String,
    pub format: LogFormat,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// `[trace]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of the file, which explains them")]
pub struct TraceConfig {
    pub otlp_endpoint: String,
}

impl Config {
    /// Check what one value alone does not show.
    ///
    /// # Errors
    /// What is wrong, and the way out.
    pub fn check(&self) -> Outcome {
        if self.database.path.as_os_str().is_empty() {
            return Err(Failure::usage("database.path is empty", "say where the database is: --db DIR"));
        }
        for (name, text) in
            [("memory_limit", &self.database.memory_limit), ("recommend_memory", &self.database.recommend_memory)]
        {
            if let Err(why) = size::parse_optional(text) {
                return Err(Failure::usage(format!("database.{name}: {why}"), "write it like 512MB or 2GiB"));
            }
        }
        let (certificate, key) = (&self.tls.certificate, &self.tls.key);
        if certificate.as_os_str().is_empty() != key.as_os_str().is_empty() {
            return Err(Failure::usage("TLS needs both tls.certificate and tls.key", "give both, or neither"));
        }
        for (name, address) in [("grpc.listen", self.grpc.listen), ("http.listen", self.http.listen)] {
            let is_guarded = self.tls.is_on() && self.access.required;
            if !address.ip().is_loopback() && !is_guarded {
                return Err(Failure::usage(
                    format!("{name} is {address}, which other machines can reach, without TLS and keys"),
                    "give tls.certificate, tls.key and access.required = true, or listen on 127.0.0.1",
                ));
            }
        }
        let positive = [
            ("limits.connections_max", self.limits.connections_max),
            ("limits.queries_max", self.limits.queries_max),
            ("limits.client_timeout_s", self.limits.client_timeout_s),
            ("grpc.streams_max", self.grpc.streams_max),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(Failure::usage(format!("{name} is 0"), "give a number above 0")),
            None => Ok(()),
        }
    }

    /// Memory that a query may use, in bytes. `None`: 80 % of the machine's.
    pub fn memory_limit_bytes(&self) -> Option<u64> {
        size::parse_optional(&self.database.memory_limit).ok().flatten()
    }

    /// Memory for what RECOMMEND keeps, in bytes. `None`: the default of the database.
    pub fn recommend_memory_bytes(&self) -> Option<u64> {
        size::parse_optional(&self.database.recommend_memory).ok().flatten()
    }
}

#[cfg(test)]
mod tests;
