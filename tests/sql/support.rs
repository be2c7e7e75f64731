//! Databases for tests, and answers as text.

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use tempfile::TempDir;
use trodden_query::arrow::array::RecordBatch;
use trodden_query::{Answer, Database, Error, Options};

/// A database that nobody else sees: in memory, or in a directory that goes with it.
pub(crate) struct TestDatabase {
    pub(crate) database: Database,
    pub(crate) directory: TempDir,
}

impl TestDatabase {
    pub(crate) fn in_memory() -> Self {
        Self::in_memory_with(Options { threads: 2, ..Options::default() })
    }

    pub(crate) fn in_memory_with(options: Options) -> Self {
        let database = Database::in_memory(options).expect("memory is there");
        Self { database, directory: tempfile::tempdir().expect("a directory for files") }
    }

    pub(crate) fn local() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the database");
        let options = Options { threads: 2, ..Options::default() };
        let database = Database::open_with(directory.path().join("db"), options).expect("it opens");
        Self { database, directory }
    }

    /// Run a script; `'/data/…'` in it means a file in the directory of this test.
    pub(crate) fn run(&self, script: &str) -> Result<Answer, Error> {
        let data = format!("'{}/", self.directory.path().display());
        self.database.query_blocking(&script.replace("'/data/", &data))
    }

    pub(crate) fn rows(&self, script: &str) -> Vec<Vec<String>> {
        let answer = self.run(script).unwrap_or_else(|error| panic!("{script}\n{error}"));
        rows(&answer.batches)
    }

    pub(crate) fn error(&self, script: &str) -> Error {
        match self.run(script) {
            Err(error) => error,
            Ok(answer) => panic!("{script}\nshould fail, but says\n{answer}"),
        }
    }
}

/// Cells as text; NULL is `NULL`, an empty text `(empty)`.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL").with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("a type to show"))
            .collect();
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayFormatter<'_>| match column.value(row).to_string() {
                text if text.is_empty() => "(empty)".to_string(),
                text => text,
            };
            rows.push(columns.iter().map(cell).collect());
        }
    }
    rows
}
