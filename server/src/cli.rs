//! The command line.

use crate::output::Format;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// A database for what people did: events of users in time; funnels, paths, retention and recommendations over them.
#[derive(Debug, Parser)]
#[command(name = "trodden", version, propagate_version = true, arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 after Ctrl-C.

Examples:
  trodden import --db shop --table events events.parquet
  trodden sql --db shop
  trodden sql --db shop -c \"SELECT * FROM FUNNEL(events, steps => ['product_view', 'purchase'])\"
  trodden sql --db shop -c \"RETENTION signup -> purchase WEEKLY FOR 8 WEEKS FROM events\"")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load files of events into a table
    Import(Box<ImportArgs>),
    /// Ask questions: a shell, or statements given on the command line, in a file, or on standard input
    Sql(SqlArgs),
    /// Serve a database: gRPC, Arrow Flight SQL, and events over HTTP
    Serve(Box<ServeArgs>),
    /// Check or print the configuration of `serve`
    Config {
        /// What to do
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make, list and revoke the keys that clients of `serve` show
    Keys {
        /// What to do
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Show what the rules of a table would do to files of events
    Rules {
        /// What to do
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Verify every checksum and invariant of a database
    Check(CheckArgs),
    /// Print a file of a database in words: a segment, log, manifest, definitions or FORMAT
    Inspect(InspectArgs),
    /// Merge small segments and remove deleted events for good
    Compact(CompactArgs),
    /// Copy a database as of one moment, also while a server has it open
    Backup(BackupArgs),
    /// Make up a shop's clickstream, the same for the same seed
    Generate(GenerateArgs),
    /// Show questions and answers over the example data sets
    Demo(DemoArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  trodden completions bash > ~/.local/share/bash-completion/completions/trodden")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Where the database is.
#[derive(Debug, Args)]
pub struct DbArgs {
    /// Directory of the database
    #[arg(long, value_name = "DIR")]
    pub db: PathBuf,
}

/// `trodden import`.
#[derive(Debug, Args)]
#[command(
    after_help = "Either all of the files is stored, or nothing. A file that was imported before adds nothing twice.

Examples:
  trodden import --db shop --table events 'events-*.parquet'
  trodden import --db shop --table orders orders.csv.gz --user customer --time ordered_at --event-value order
  trodden import --db shop --table events log.jsonl.zst --time-format ms --rejects bad.jsonl --max-rejects 100
  trodden import --db shop --table events events.csv --dry-run
  trodden import --url https://db.example:7701 --table events 'events-*.parquet'"
)]
pub struct ImportArgs {
    /// The database, or its server.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Table to import into; created when it is absent
    #[arg(long, value_name = "NAME")]
    pub table: String,
    /// How the files are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// File to write rejected rows to, with line number and reason
    #[arg(long, value_name = "FILE", help_heading = "Rejected rows")]
    pub rejects: Option<PathBuf>,
    /// Number of shards of a new table, for ever [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "New table")]
    pub shards: Option<u16>,
    /// Time zone of a new table's calendar days [default: UTC]
    #[arg(long, value_name = "ZONE", help_heading = "New table")]
    pub table_time_zone: Option<String>,
    /// How long the id of an event is remembered, such as '7 days' [default: 7 days]
    #[arg(long, value_name = "TIME", help_heading = "New table")]
    pub dedup_window: Option<String>,
    /// Drop events older than this, such as '365 days' [default: never]
    #[arg(long, value_name = "TIME", help_heading = "New table")]
    pub retention: Option<String>,
    /// The table has the columns and types of this first import for ever, and later ones are held to them
    #[arg(long, help_heading = "New table")]
    pub strict: bool,
    /// Threads that read and, with --db, store [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Read and check everything, write nothing; tell what an import would do
    #[arg(long)]
    pub dry_run: bool,
}

/// Which files are read, and how: of all commands that read events from files.
#[derive(Debug, Args)]
pub struct ReadingArgs {
    /// Files, globs or directories: Parquet, CSV, TSV, JSON lines, each plain, gzip or zstd; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Column with the user [default: user_id or a well-known name]
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    pub user: Option<String>,
    /// Column with the time [default: ts or a well-known name]
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    pub time: Option<String>,
    /// Column with the name of the event [default: event or a well-known name]
    #[arg(long, value_name = "COLUMN", help_heading = "Columns", conflicts_with = "event_value")]
    pub event: Option<String>,
    /// Column with the id of the event, by which duplicates are known [default: event_id, if there is one]
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    pub id: Option<String>,
    /// Name of all events, for files without an event column
    #[arg(long, value_name = "NAME", help_heading = "Columns")]
    pub event_value: Option<String>,
    /// Import only these columns as properties; a name may end in `*`
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', help_heading = "Columns")]
    pub columns: Vec<String>,
    /// Leave these columns out; a name may end in `*`
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', help_heading = "Columns")]
    pub exclude: Vec<String>,
    /// Give a column another name in the table
    #[arg(long, value_name = "COLUMN=NAME", value_parser = pair, help_heading = "Columns")]
    pub rename: Vec<(String, String)>,
    /// Type of a column, instead of finding it out: BOOLEAN, BIGINT, DOUBLE, TEXT or TIMESTAMP
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = pair, help_heading = "Columns")]
    pub types: Vec<(String, String)>,
    /// How times are written: auto, rfc3339, s, ms, us, ns, or a pattern such as '%d/%m/%Y %H:%M'
    #[arg(long, value_name = "FORMAT", default_value = "auto", help_heading = "Times")]
    pub time_format: String,
    /// Time zone of times without an offset
    #[arg(long, value_name = "ZONE", default_value = "UTC", help_heading = "Times")]
    pub time_zone: String,
    /// Format of the files: parquet, csv, tsv or jsonl [default: by name and content]
    #[arg(long, value_name = "FORMAT", help_heading = "Files")]
    pub format: Option<String>,
    /// Compression of the files: none, gzip or zstd [default: by name and content]
    #[arg(long, value_name = "KIND", help_heading = "Files")]
    pub compression: Option<String>,
    /// Character between the fields of CSV [default: found out]
    #[arg(long, value_name = "CHARACTER", help_heading = "Files")]
    pub delimiter: Option<char>,
    /// The first line of CSV is data; columns are called column_1, column_2, …
    #[arg(long, help_heading = "Files")]
    pub no_header: bool,
    /// Text that means NULL in CSV, beside the empty one
    #[arg(long = "null", value_name = "TEXT", help_heading = "Files")]
    pub null_values: Vec<String>,
    /// More rejected rows than this end the command, with nothing stored
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Rejected rows")]
    pub max_rejects: u64,
}

/// `trodden sql`.
#[derive(Debug, Args)]
#[command(after_help = "Without -c and -f: a shell on a terminal, else the statements on standard input.

Examples:
  trodden sql --db shop
  trodden sql --db new --create -c \"CREATE TABLE events (price DOUBLE) WITH (shards = 4)\"
  trodden sql --db shop -c \"SELECT event, count(*) FROM events GROUP BY event\" --format csv
  trodden sql --db shop -f report.sql --format parquet --output report.parquet
  trodden sql --db shop -c \"FUNNEL product_view -> purchase WITHIN 7 DAYS FROM events\"
  trodden sql --url http://127.0.0.1:7701")]
pub struct SqlArgs {
    /// Where the database is.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Make an empty database where there is none
    #[arg(long, conflicts_with = "url")]
    pub create: bool,
    /// Statement to run; may be given several times, and hold several statements
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub commands: Vec<String>,
    /// File of statements to run, after those of -c; `-` for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How answers are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// File to write answers to, replaced when all is written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Run each statement this many times; its answer is written once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Print `time_ms=…` for each run to standard error; opening the database is not counted
    #[arg(long)]
    pub timing: bool,
    /// Threads of a query [default: all cores]
    #[arg(long, visible_alias = "read-threads", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Memory that a query may use, such as 512MB or 2GiB [default: 80 % of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = crate::words::parse_bytes)]
    pub memory_limit: Option<u64>,
    /// Memory for what RECOMMEND keeps between statements; 0 keeps nothing [default: 2GiB]
    #[arg(long, value_name = "SIZE", value_parser = crate::words::parse_bytes_or_none)]
    pub recommend_memory: Option<u64>,
}

/// `trodden serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Flags go before environment variables (http.listen is TRODDEN_HTTP__LISTEN), those before the file.
Other machines can reach it only with TLS and keys. SIGTERM and Ctrl-C stop it in order.

Examples:
  trodden serve --db shop
  trodden serve --config /etc/trodden.toml
  trodden config default > trodden.toml
  curl http://127.0.0.1:7700/v1/events -d '{\"user_id\": \"ada\", \"event\": \"hello\"}'
  trodden sql --url http://127.0.0.1:7701 -c \"SELECT * FROM events\""
)]
pub struct ServeArgs {
    /// Directory of the database; made when it is absent
    #[arg(long, value_name = "DIR")]
    pub db: Option<PathBuf>,
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of gRPC and Flight SQL [default: 127.0.0.1:7701]
    #[arg(long, value_name = "ADDRESS")]
    pub grpc_listen: Option<String>,
    /// Address of events over HTTP, health and metrics [default: 127.0.0.1:7700]
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<String>,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<String>,
    /// Private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<String>,
    /// Let nobody in without a key
    #[arg(long)]
    pub require_keys: bool,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// `trodden config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every value with its default and what it means
    Default,
    /// Say whether `serve` would start with this configuration
    Check(Box<ServeArgs>),
}

/// `trodden keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key, and print it: it cannot be shown again
    Create {
        /// Where the keys are.
        #[command(flatten)]
        place: PlaceArgs,
        /// write (sends events), read (asks) or admin (may all)
        #[arg(long, value_name = "ROLE")]
        role: crate::access::Role,
        /// Of a write key: the only table that its events go to
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
        /// What you call it, such as the source that sends with it
        #[arg(long, value_name = "TEXT", default_value = "")]
        name: String,
    },
    /// Show all keys, without their secrets
    List {
        /// Where the keys are.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Take a key back: it lets nobody in from then on
    Revoke {
        /// Where the keys are.
        #[command(flatten)]
        place: PlaceArgs,
        /// Id of the key
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// A database: its directory, or the server that has it.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Directory of the database, while no server has it open
    #[arg(long, value_name = "DIR", required_unless_present = "url", conflicts_with = "url")]
    pub db: Option<PathBuf>,
    /// Server, such as http://127.0.0.1:7701
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Key for the server [default: the environment variable TRODDEN_KEY]
    #[arg(long, value_name = "KEY", requires = "url")]
    pub key: Option<String>,
    /// Certificate of the authority that signed the server's, PEM [default: those that the system trusts]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub authority: Option<PathBuf>,
}

/// `trodden rules`.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Read files as an import would, apply the rules of a table, and tell what they do; nothing is changed
    Test(Box<RulesTestArgs>),
}

/// `trodden rules test`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trodden rules test --db shop --table events log.jsonl
  trodden rules test --db shop --table events --rule \"CREATE RULE no_phone ON events AS MASK phone\" log.jsonl
  trodden rules test --db shop --table orders orders.csv --user customer --time ordered_at --event-value order")]
pub struct RulesTestArgs {
    /// Where the database is.
    #[command(flatten)]
    pub db: DbArgs,
    /// Table whose rules are applied
    #[arg(long, value_name = "NAME")]
    pub table: String,
    /// A rule to try after those of the table, or in place of one with OR REPLACE; may be given several times
    #[arg(long = "rule", value_name = "CREATE RULE …")]
    pub rules: Vec<String>,
    /// User agent of the request, for DROP BOTS where events have none of their own
    #[arg(long, value_name = "TEXT")]
    pub user_agent: Option<String>,
    /// How the files are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// `trodden check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 1 when anything is broken; what is broken is named, also where the database cannot be opened.

Example:
  trodden check --db shop"
)]
pub struct CheckArgs {
    /// Where the database is.
    #[command(flatten)]
    pub db: DbArgs,
}

/// `trodden inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trodden inspect shop/tables/1/segment-0000000001
  trodden inspect shop/tables/1/log-00000000000000000001")]
pub struct InspectArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `trodden compact`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trodden compact --db shop --table events")]
pub struct CompactArgs {
    /// Where the database is.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The table [default: every table]
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
}

/// `trodden backup`.
#[derive(Debug, Args)]
#[command(
    after_help = "All tables are copied as of one moment. A server goes on taking events and answering meanwhile.
The copy is a database: check it, ask it, serve it. It needs an admin key where the server asks for keys.

Examples:
  trodden backup /backups/monday --db shop
  trodden backup /backups/monday --url https://db.example:7701
  trodden check --db /backups/monday
  trodden serve --db /backups/monday"
)]
pub struct BackupArgs {
    /// Directory to copy to: empty, or not there yet
    #[arg(value_name = "TARGET")]
    pub target: PathBuf,
    /// Where the database is.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `trodden generate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trodden generate --db shop --table events --events 1000000
  trodden generate --output events.parquet --events 10000000 --seed 3")]
pub struct GenerateArgs {
    /// Directory of the database to load the events into
    #[arg(long, value_name = "DIR", requires = "table", conflicts_with = "output", required_unless_present = "output")]
    pub db: Option<PathBuf>,
    /// Table to load them into; created when it is absent
    #[arg(long, value_name = "NAME", requires = "db")]
    pub table: Option<String>,
    /// File to write them to instead: .parquet, .csv or .jsonl
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub events: u64,
    /// Where chance begins: the same number gives the same events
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
}

/// `trodden demo`.
#[derive(Debug, Args)]
#[command(after_help = "`make demo` loads the example data first.

Example:
  trodden demo --db demo")]
pub struct DemoArgs {
    /// Where the database is.
    #[command(flatten)]
    pub db: DbArgs,
}

/// `name=value`, as --rename and --type take it.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}
