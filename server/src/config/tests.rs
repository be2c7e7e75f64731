//! Layers, misspellings, and what is refused.

use super::*;
use std::collections::HashMap;
use std::fs;

fn loaded(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Outcome<Config> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trodden.toml");
    fs::write(&path, file).unwrap();
    let environment: HashMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let flags = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    load(Some(&path), environment, &flags)
}

fn told(outcome: Outcome<impl std::fmt::Debug>) -> String {
    match outcome.unwrap_err() {
        Failure::Usage(report) | Failure::Failed(report) => format!("{report:?}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let file = "[http]\ntable = 'a'\nbody_max = '1MiB'\nevent_max = '2KiB'\n[limits]\nqueries_max = 3\n";
    let environment = [
        ("TRODDEN_HTTP__BODY_MAX", "2MiB"),
        ("TRODDEN_HTTP__EVENT_MAX", "3KiB"),
        ("TRODDEN_LIMITS__CONNECTIONS_MAX", "7"),
        ("TRODDEN_ACCESS__REQUIRED", "true"),
        ("TRODDEN_HTTP__CORS_ORIGINS", "https://a.example,https://b.example"),
        ("TRODDEN", "is no section"),
        ("TRODDEN_BENCH", "is no section"),
    ];
    let config = loaded(file, &environment, &[("http.event_max", "4KiB")]).unwrap();
    assert_eq!(config.http.table, "a");
    assert_eq!(config.http.body_max, Size(2 << 20));
    assert_eq!(config.http.event_max, Size(4 << 10));
    assert_eq!((config.limits.queries_max, config.limits.connections_max), (3, 7));
    assert!(config.access.required);
    assert_eq!(config.http.cors_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.grpc.message_max, Size(64 << 20));
}

#[test]
fn what_is_misspelt_is_named() {
    assert!(told(loaded("[http]\nlisten_on = 'x'\n", &[], &[])).contains("listen_on"));
    assert!(told(loaded("[http]\nbody_max = 'much'\n", &[], &[])).contains("body_max"));
    assert!(told(loaded("[http]\nlisten = 'here'\n", &[], &[])).contains("listen"));
    assert!(told(loaded("[log]\nformat = 'xml'\n", &[], &[])).contains("xml"));
    assert!(told(loaded("[http\n", &[], &[])).contains("trodden.toml"));
    assert!(told(loaded("", &[("TRODDEN_HTTP__TABEL", "x")], &[])).contains("tabel"));
    let absent = std::path::Path::new("/there/is/no/such/file.toml");
    assert!(told(load(Some(absent), HashMap::new(), &Vec::new())).contains("file.toml"));
}

#[test]
fn other_machines_are_let_near_with_tls_and_keys_alone() {
    let check = |file: &str| loaded(file, &[], &[("database.path", "db")]).unwrap().check();
    check("").unwrap();
    check("[http]\nlisten = '[::1]:80'\n").unwrap();
    let open = "[http]\nlisten = '0.0.0.0:80'\n";
    assert!(told(check(open)).contains("http.listen"));
    assert!(told(check(&format!("{open}[access]\nrequired = true\n"))).contains("http.listen"));
    let tls = "[tls]\ncertificate = 'c'\nkey = 'k'\n";
    assert!(told(check(&format!("{open}{tls}"))).contains("http.listen"));
    check(&format!("{open}{tls}[access]\nrequired = true\n")).unwrap();
    assert!(told(check("[tls]\ncertificate = 'c'\n")).contains("tls.key"));
    assert!(told(check("[limits]\nqueries_max = 0\n")).contains("queries_max"));
    assert!(told(check("[database]\nmemory_limit = 'x'\n")).contains("memory_limit"));
    assert!(told(loaded("", &[], &[]).unwrap().check()).contains("database.path"));
}
