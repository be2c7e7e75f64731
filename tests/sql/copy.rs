//! COPY: what it says beside its counts, and what it says when it fails.

use crate::support::TestDatabase;
use trodden_query::ErrorKind;

#[test]
fn what_a_copy_chose_and_refused_is_told() {
    let test = TestDatabase::in_memory();
    let csv = "customer,at,price\nann,2026-03-02,1.5\nbob,soon,2\n";
    std::fs::write(test.directory.path().join("shop.csv"), csv).expect("a file");
    test.run("CREATE TABLE events ()").expect("a table");
    let copy = "COPY events FROM '/data/shop.csv' (USER 'customer', TIME 'at', EVENT_VALUE 'visit', MAX_REJECTS 1)";
    let answer = test.run(copy).expect("an import");
    let said: Vec<String> = answer.warnings.iter().map(ToString::to_string).collect();
    let said = said.join("\n");
    for word in ["user = 'customer' (told)", "times are", "price DOUBLE (", "rejected: ", "shop.csv, line 3: 'soon'"] {
        assert!(said.contains(word), "'{word}' is missing in\n{said}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_with_the_way_out() {
    let test = TestDatabase::in_memory();
    test.run("CREATE TABLE events ()").expect("a table");
    // Not even the owner of the machine may write there.
    if std::path::Path::new("/sys/kernel").is_dir() {
        let error = test.error("COPY events TO '/sys/kernel/trodden.csv' (FORMAT csv)");
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("permissions")), "{error}");
    }
}
