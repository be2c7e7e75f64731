//! Types: chosen from the sample, widened without loss when a later row contradicts it.

use super::*;
use trodden_engine::types::ColumnDef;

fn csv(rows: impl Iterator<Item = String>) -> String {
    let mut text = String::from("user_id,ts,event,v\n");
    rows.for_each(|value| text += &format!("u,2024-05-01,e,{value}\n"));
    text
}

/// Rows of which only the first thousand are in the sample.
fn sampled(path: String) -> ImportOptions {
    ImportOptions { sample_rows: 1, ..ImportOptions::file(path) }
}

#[test]
fn a_late_row_widens_its_column_and_no_value_is_lost() {
    use ColumnType as T;
    let files = Files::new();
    for (early, late, wide, first) in [
        ("7", "0.5", T::Double, "v=7.0"),
        ("7", "007", T::Text, "v=7"),
        ("7", "99999999999999999999", T::Text, "v=7"),
        ("9007199254740993", "0.5", T::Text, "v=9007199254740993"),
        ("1.50", "x", T::Text, "v=1.50"),
        ("true", "2", T::Text, "v=true"),
        ("2024-05-01T10:00:00+02:00", "soon", T::Text, "v=2024-05-01T10:00:00+02:00"),
        ("", "5", T::BigInt, ""),
    ] {
        let values = (0..30_000).map(|row| if row == 29_000 { late.into() } else { early.to_string() });
        let path = files.write("late.csv", csv(values));
        let (summary, rows) = import(&sampled(path)).unwrap();
        assert_eq!(type_of(&summary, "v"), Some(wide), "{early} then {late}");
        assert_eq!((rows.len(), summary.restarts), (30_000, 1));
        assert!(rows[0].ends_with(first) && rows[29_999].ends_with(first), "{}", rows[0]);
        let shown = if wide == T::Double { "0.5" } else { late };
        assert_eq!(rows[29_000], format!("u @1714521600.000000 e v={shown}"));
        assert!(summary.notes[0].contains("'v'"), "{:?}", summary.notes);
    }
}

#[test]
fn a_late_key_of_json_adds_its_column() {
    let files = Files::new();
    let mut text = String::new();
    for row in 0..5_000 {
        text += r#"{"user_id":"u","ts":"2024-05-01","event":"e""#;
        text += if row == 4_000 { ",\"late\":{\"x\":1.5},\"event_id\":\"i\"}\n" } else { "}\n" };
    }
    let memory = Memory::default();
    let options = sampled(files.write("late.jsonl", text));
    let summary = import_into(&memory, &options).unwrap();
    assert_eq!(type_of(&summary, "late.x"), Some(ColumnType::Double));
    assert_eq!(memory.rows.lock()[4_000], "u @1714521600.000000 e #i late.x=1.5");
    // The second time the sample shows no event id either, and the file is still known.
    assert_eq!(import_into(&memory, &options).unwrap().skipped(), 1);
}

#[test]
fn columns_of_all_types() {
    let files = Files::new();
    let text = "user_id,ts,event,b,i,d,t,s,zip,none\n\
        007,1714521600,e,true,-5,1e3,2024-05-01,x,01234,\n\
        8,1714521600.5,e,FALSE,,2.25,2024-05-01T12:00:00.123456789+02:00, y ,90210,\n";
    let (summary, rows) = import_file(&files.write("e.csv", text)).unwrap();
    assert_eq!(
        rows,
        [
            "007 @1714521600.000000 e b=true i=-5 d=1000.0 t=2024-05-01T00:00:00 s=x zip=01234",
            "8 @1714521600.500000 e b=false d=2.25 t=2024-05-01T10:00:00.123456 s= y  zip=90210",
        ]
    );
    assert_eq!(type_of(&summary, "none"), None);
    assert_eq!(type_of(&summary, "zip"), Some(ColumnType::Text));
    let i = summary.columns.iter().find(|column| column.name == "i").unwrap();
    assert_eq!(i.chosen_from, "1 BIGINT, 1 empty");
}

#[test]
fn a_json_string_is_text_even_if_it_looks_like_a_number() {
    let files = Files::new();
    let text = r#"{"user_id":17,"ts":"1714521600","event":"e","s":"5","n":5,"big":123456789012345678901234567890}"#;
    let (summary, rows) = import_file(&files.write("e.jsonl", text)).unwrap();
    assert_eq!(rows, ["17 @1714521600.000000 e s=5 n=5 big=123456789012345678901234567890"]);
    assert_eq!(type_of(&summary, "s"), Some(ColumnType::Text));
    assert_eq!(type_of(&summary, "n"), Some(ColumnType::BigInt));
    assert_eq!(type_of(&summary, "big"), Some(ColumnType::Text));
}

#[test]
fn a_told_type_rejects_what_does_not_fit() {
    let files = Files::new();
    let path = files.write("e.csv", csv(["5", "x", "6.0"].map(String::from).into_iter()));
    let columns = ColumnOptions { types: vec![("v".into(), ColumnType::BigInt)], ..Default::default() };
    let options = ImportOptions { columns, max_rejects: 1, ..ImportOptions::file(path) };
    let (summary, rows) = import(&options).unwrap();
    assert_eq!(rows, ["u @1714521600.000000 e v=5", "u @1714521600.000000 e v=6"]);
    assert_eq!(summary.first_rejects[0].reason, "'x' in column 'v' is no BIGINT");
    assert_eq!(summary.first_rejects[0].line, 3);
}

fn table(strict: bool, column_type: ColumnType) -> Memory {
    let schema = Schema { columns: vec![ColumnDef { name: "v".into(), column_type }] };
    Memory { shape: TableShape { schema, strict }, ..Default::default() }
}

#[test]
fn the_type_in_the_table_counts() {
    let files = Files::new();
    let path = files.write("e.csv", csv(["7"].map(String::from).into_iter()));
    for (in_table, want) in [
        (ColumnType::Text, ColumnType::Text),
        (ColumnType::Double, ColumnType::Double),
        (ColumnType::Boolean, ColumnType::Text),
    ] {
        let summary = import_into(&table(false, in_table), &ImportOptions::file(&path)).unwrap();
        assert_eq!(type_of(&summary, "v"), Some(want));
    }
    // A column of a strict table keeps its type, and what does not fit is rejected.
    let strict = table(true, ColumnType::Boolean);
    let error =
        import_into(&strict, &ImportOptions::file(files.write("x.csv", csv(["no"].map(String::from).into_iter()))));
    assert!(error.unwrap_err().to_string().contains("'no' in column 'v' is no BOOLEAN"));
    let path = files.write("more.csv", "user_id,ts,event,V,w\nu,2024-05-01,e,true,1\n");
    let error = import_into(&strict, &ImportOptions::file(&path)).unwrap_err();
    assert!(matches!(&error, ImportError::StrictTable { columns } if columns == &["w"]), "{error}");
    let summary = import_into(&table(false, ColumnType::Boolean), &ImportOptions::file(&path)).unwrap();
    assert_eq!(type_of(&summary, "v"), Some(ColumnType::Boolean));
}

#[test]
fn stamps_without_offset_are_taken_in_the_zone_that_is_told() {
    let files = Files::new();
    let path = files.write("e.csv", "user_id,ts,event\nu,2024-05-01 02:00,e\nu,2024-05-01T00:00:00Z,e\n");
    let options = ImportOptions { time_zone: chrono_tz::Tz::Europe__Berlin, ..ImportOptions::file(path) };
    assert_eq!(import(&options).unwrap().1, ["u @1714521600.000000 e"; 2]);
}

#[test]
fn time_formats_are_obeyed() {
    let files = Files::new();
    for (format, value) in
        [("%d/%m/%Y", "01/05/2024"), ("ms", "1714521600000"), ("ns", "1714521600000000999"), ("s", "1714521600")]
    {
        let path = files.write("e.csv", format!("user_id,ts,event\nu,{value},e\n"));
        let options = ImportOptions { time_format: format.parse().unwrap(), ..ImportOptions::file(path) };
        assert_eq!(import(&options).unwrap().1, ["u @1714521600.000000 e"], "{format}");
    }
}
