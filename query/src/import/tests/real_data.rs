//! Real data sets, where they lie beside the workspace. The counts are those of their publishers.

use super::*;

/// A file below `../shared/data`, or `None` and a word that it is not there.
fn data(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if path.is_file() {
        return Some(path.display().to_string());
    }
    println!("skipped: {} is not there", path.display());
    if let Some(list) = std::env::var_os("TRODDEN_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(list);
        let noted = file.and_then(|mut file| writeln!(file, "import of real data: {} is not there", path.display()));
        noted.expect("the list of skipped tests");
    }
    None
}

fn users(rows: &[String]) -> usize {
    rows.iter().map(|row| row.split(" @").next().unwrap_or("")).collect::<HashSet<_>>().len()
}

#[test]
fn approvals_of_a_university() {
    let Some(path) = data("bpi2020/events.csv.gz") else { return };
    let options = ImportOptions { user: Some("case".into()), ..ImportOptions::file(path) };
    let (summary, rows) = import(&options).unwrap();
    assert_eq!((summary.accepted, summary.rejected, users(&rows)), (261_026, 0, 31_873));
    let first = "declaration86791 @1483951790.000000 Declaration SUBMITTED by EMPLOYEE \
        log=DomesticDeclarations role=EMPLOYEE";
    assert_eq!(rows[0], first);
}

#[test]
fn purchases_with_one_event_name_and_dates_without_dashes() {
    let Some(path) = data("cdnow/transactions.csv.gz") else { return };
    let options = ImportOptions { event_value: Some("purchase".into()), ..ImportOptions::file(path) };
    let (summary, rows) = import(&options).unwrap();
    assert_eq!((summary.accepted, users(&rows)), (69_659, 23_570));
    assert_eq!(rows[0], "00001 @852076800.000000 purchase n=1 value=11.77");
    assert_eq!(type_of(&summary, "n"), Some(ColumnType::BigInt));
    assert_eq!(type_of(&summary, "value"), Some(ColumnType::Double));
}

#[test]
fn a_shop_with_lines_without_customer() {
    let Some(path) = data("online_retail/online_retail_II.parquet") else { return };
    let mut options = ImportOptions {
        user: Some("CustomerID".into()),
        time: Some("InvoiceDate".into()),
        event_value: Some("line".into()),
        ..ImportOptions::file(path)
    };
    let error = import(&options).unwrap_err();
    assert!(matches!(error, ImportError::TooManyRejects { .. }), "{error:?}");
    options.max_rejects = 300_000;
    let (summary, rows) = import(&options).unwrap();
    assert_eq!(summary.rows, 1_034_220);
    assert_eq!(summary.accepted + summary.rejected, summary.rows);
    // DuckDB counts as many lines without a CustomerID.
    assert_eq!(summary.rejected, 100_207);
    assert!(summary.first_rejects.iter().all(|reject| reject.reason == "the user is missing"));
    assert_eq!(users(&rows), 5_942);
    let line = "13085 @1259653500.000000 line InvoiceNo=489434 StockCode=85048 \
        Description=15CM CHRISTMAS GLASS BALL 20 LIGHTS Quantity=12 UnitPrice=6.95 Country=United Kingdom \
        file_ts=1259653500";
    assert_eq!(rows[0], line);
}

#[test]
fn clicks_in_seconds_with_a_decimal_point() {
    let Some(path) = data("serenade/train.csv.gz") else { return };
    let options =
        ImportOptions { user: Some("session".into()), event_value: Some("click".into()), ..ImportOptions::file(path) };
    let (summary, rows) = import(&options).unwrap();
    assert_eq!((summary.accepted, users(&rows)), (113_601, 23_753));
    assert_eq!(rows[0], "10036 @1592337718.000000 click item=14957");
}
