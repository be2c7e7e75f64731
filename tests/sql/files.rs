//! Every `.slt` file under `files/`, on a database in a directory and on one in memory. `'/data/…'` in them means a file
//! in a directory of the run, where those of `data/` lie.

use crate::support::{TestDatabase, rows};
use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use std::path::{Path, PathBuf};
use trodden_query::arrow::datatypes::DataType;
use trodden_query::{Database, Error};

struct Connection {
    database: Database,
    /// What stands for `'/data/`.
    data: String,
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let result = self.database.sql(&sql.replace("'/data/", &self.data)).await?;
        let schema = result.schema();
        let batches = result.collect().await?;
        if schema.fields().is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = schema.fields().iter().map(|field| match field.data_type() {
            data_type if data_type.is_integer() => DefaultColumnType::Integer,
            data_type if data_type.is_floating() => DefaultColumnType::FloatingPoint,
            DataType::Utf8 | DataType::Utf8View => DefaultColumnType::Text,
            _ => DefaultColumnType::Any,
        });
        Ok(DBOutput::Rows { types: types.collect(), rows: rows(&batches) })
    }

    async fn shutdown(&mut self) {}
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/files");
    let listed = std::fs::read_dir(directory).expect("the directory of the files");
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    files
}

fn copy_data(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/data");
    for file in std::fs::read_dir(from).expect("the directory of the data") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

fn run_all(make: fn() -> TestDatabase) {
    let files = files();
    assert!(files.len() >= 5, "only {} files", files.len());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let mut failures = Vec::new();
    for file in files {
        let test = make();
        let database = test.database.clone();
        copy_data(test.directory.path());
        let data = format!("'{}/", test.directory.path().display());
        let mut runner = Runner::new(|| {
            let connection = Connection { database: database.clone(), data: data.clone() };
            async move { Ok(connection) }
        });
        if let Err(error) = runtime.block_on(runner.run_file_async(&file)) {
            failures.push(format!("{}: {error}", file.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn files_give_their_answers_in_memory() {
    run_all(TestDatabase::in_memory);
}

#[test]
fn files_give_their_answers_on_disk() {
    run_all(TestDatabase::local);
}
