//! What an import says of files that are right and still doubtful.

use super::*;

/// The notes of an import of a file.
fn notes(path: &str) -> Vec<String> {
    import_file(path).unwrap_or_else(|error| panic!("{path}: {error}")).0.notes
}

#[test]
fn a_file_whose_last_line_has_no_end_is_noted() {
    let files = Files::new();
    let jsonl = "{\"user_id\":\"u\",\"ts\":\"2024-05-01\",\"event\":\"e\"}";
    for (name, content) in [
        ("e.csv", "user_id,ts,event\nu,2024-05-01,e"),
        ("e.csv.gz", "user_id,ts,event\nu,2024-05-01,e"),
        ("e.tsv", "user_id\tts\tevent\nu\t2024-05-01\te"),
        ("e.jsonl", jsonl),
    ] {
        let said = notes(&files.write(name, content));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(name) && said[0].contains("the last line has no line end"), "{said:?}");
        for end in ["\n", "\r\n"] {
            let said = notes(&files.write(name, format!("{content}{end}")));
            assert!(said.is_empty(), "{name}: {said:?}");
        }
    }
}

#[test]
fn equal_names_in_a_header_are_numbered_and_told() {
    let files = Files::new();
    let path = files.write("e.csv", "user_id,ts,event,n,n,n_2,n\nu,2024-05-01,e,1,2,3,4\n");
    let (summary, rows) = import_file(&path).unwrap();
    assert_eq!(rows, ["u @1714521600.000000 e n=1 n_3=2 n_2=3 n_4=4"]);
    assert_eq!(summary.notes.len(), 2);
    assert!(summary.notes[0].contains("another column 'n' became 'n_3'"), "{:?}", summary.notes);
    // The new name can be used in the options.
    let columns = ColumnOptions {
        exclude: vec!["n_3".into(), "n_4".into()],
        rename: vec![("n_2".into(), "m".into())],
        ..Default::default()
    };
    let options = ImportOptions { columns, ..ImportOptions::file(&path) };
    assert_eq!(import(&options).unwrap().1, ["u @1714521600.000000 e n=1 m=3"]);
    // A part is played by the first of its name.
    let path = files.write("parts.csv", "user_id,ts,event,user_id\nu,2024-05-01,e,v\n");
    assert_eq!(import_file(&path).unwrap().1, ["u @1714521600.000000 e user_id_2=v"]);
}

#[test]
fn blanks_around_users_and_events_are_kept_and_noted() {
    let files = Files::new();
    let path =
        files.write("e.csv", "user_id,ts,event,note\nu1,2024-05-01,e, x\n u2 ,2024-05-01,e,y\nu3 ,2024-05-01,go ,\n");
    let (summary, rows) = import_file(&path).unwrap();
    assert_eq!(rows[1], " u2  @1714521600.000000 e note=y");
    assert_eq!(summary.notes.len(), 2, "{:?}", summary.notes);
    let user = "in 2 rows the user begins or ends with a blank, which is kept: ' u2 ' and 'u2' are two users";
    let event = "in 1 row the event begins or ends with a blank, which is kept: 'go ' and 'go' are two events";
    assert_eq!(summary.notes, [user, event]);
    // Nobody is told of a name that was given with the options.
    let options = ImportOptions { event_value: Some("seen ".into()), ..ImportOptions::file(&path) };
    assert_eq!(import(&options).unwrap().0.notes.iter().filter(|note| note.contains("event")).count(), 1);
    assert!(import(&options).unwrap().0.notes.iter().any(|note| note.contains("'file_event'")));
    let path = files.write("clean.csv", "user_id,ts,event,note\nu1,2024-05-01,e, x \n");
    assert!(notes(&path).is_empty());
}

#[test]
fn the_time_before_the_first_row_is_shown_as_bytes_that_are_read() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<(&'static str, u64)>>);
    impl Progress for Heard {
        fn preparing(&self, bytes_total: u64) {
            self.0.lock().push(("preparing", bytes_total));
        }
        fn begin(&self, bytes_total: u64) {
            self.0.lock().push(("begin", bytes_total));
        }
        fn advance(&self, bytes: u64, rows: u64) {
            assert!(rows == 0 || self.0.lock().iter().any(|(what, _)| *what == "begin"));
            self.0.lock().push(("advance", bytes));
        }
        fn note(&self, _message: &str) {}
    }
    let files = Files::new();
    let mut text = String::from("user_id,ts,event\n");
    (0..200_000).for_each(|row| text += &format!("user{row},2024-05-01,e{row}\n"));
    let path = files.write("e.csv", &text);
    let heard = Heard::default();
    run(&Memory::default(), &ImportOptions::file(&path), &heard, AHEAD_BYTES).unwrap();
    let heard = heard.0.into_inner();
    assert_eq!(heard[0], ("preparing", text.len() as u64));
    let begin = heard.iter().position(|(what, _)| *what == "begin").unwrap();
    let sum = |part: &[(&str, u64)]| part.iter().filter(|(what, _)| *what == "advance").map(|(_, n)| n).sum::<u64>();
    assert_eq!(sum(&heard[..begin]), text.len() as u64);
    assert!(begin > 3, "the bar moves only {begin} times");
    assert_eq!(sum(&heard[begin..]), text.len() as u64);
}

#[test]
fn a_bar_that_knows_no_preparation_shows_it_as_a_pass() {
    struct Plain(Mutex<Vec<u64>>);
    impl Progress for Plain {
        fn begin(&self, bytes_total: u64) {
            self.0.lock().push(bytes_total);
        }
        fn advance(&self, _bytes: u64, _rows: u64) {}
        fn note(&self, _message: &str) {}
    }
    let files = Files::new();
    let text = "user_id,ts,event\nu,2024-05-01,e\n";
    let plain = Plain(Mutex::default());
    run(&Memory::default(), &ImportOptions::file(files.write("e.csv", text)), &plain, AHEAD_BYTES).unwrap();
    assert_eq!(plain.0.into_inner(), [text.len() as u64; 2]);
}

/// A pipe with a name, into which `content` is written once.
#[cfg(unix)]
fn pipe(files: &Files, name: &str, content: Vec<u8>) -> (String, std::thread::JoinHandle<()>) {
    let path = files.path(name);
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all(&content).unwrap();
        })
    };
    (path.display().to_string(), writer)
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_like_standard_input() {
    let files = Files::new();
    let mut text = String::from("user_id,ts,event,v\n");
    for row in 0..30_000 {
        // A late value for which the rows have to be read again.
        text += &format!("u{row},2024-05-01,e,{}\n", if row == 29_999 { "x" } else { "1" });
    }
    for (name, content) in [("plain", text.clone().into_bytes()), ("packed.csv.gz", compress("x.gz", text.as_bytes()))]
    {
        let (path, writer) = pipe(&files, name, content);
        let options = ImportOptions { sample_rows: 1, ..ImportOptions::file(&path) };
        let (summary, rows) = import(&options).unwrap_or_else(|error| panic!("{name}: {error}"));
        writer.join().unwrap();
        assert_eq!((rows.len(), summary.restarts), (30_000, 1));
        assert_eq!(rows[29_999], "u29999 @1714521600.000000 e v=x");
        assert_eq!(summary.files[0].path, path);
    }
    let (path, writer) = pipe(&files, "empty.csv", Vec::new());
    assert!(matches!(import_file(&path).unwrap_err(), ImportError::Empty { .. }));
    writer.join().unwrap();
}
