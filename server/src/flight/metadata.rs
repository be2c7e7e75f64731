//! What there is: catalogs, schemas, tables, and the keys that there are none of.

use super::status::fault;
use super::wire::wire_schema;
use arrow_array::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::GetCatalogsBuilder;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;
use tonic::Status;
use trodden_query::{CATALOG, Database, SCHEMA};

/// What the columns of a schema of tables are told to be in SQL.
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// The catalogs.
///
/// # Errors
/// None in practice, as everywhere in this file: those of putting a batch together.
pub(super) fn catalogs() -> Result<RecordBatch, Status> {
    let mut builder = GetCatalogsBuilder::new();
    builder.append(CATALOG);
    built(builder.build())
}

/// The schemas that a client asks for.
///
/// # Errors
/// Those of a pattern that cannot be read.
pub(super) fn schemas(query: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut builder = query.into_builder();
    builder.append(CATALOG, SCHEMA);
    built(builder.build())
}

/// The kinds of tables.
///
/// # Errors
/// None in practice.
pub(super) fn table_types() -> Result<RecordBatch, Status> {
    let mut builder = CommandGetTableTypes {}.into_builder();
    builder.append(TABLE);
    builder.append(VIEW);
    built(builder.build())
}

/// The tables that a client asks for, with their columns if he wants them.
///
/// # Errors
/// Those of a pattern that cannot be read.
pub(super) fn tables(database: &Database, query: CommandGetTables) -> Result<RecordBatch, Status> {
    let with_schema = query.include_schema;
    let mut builder = query.into_builder();
    for relation in database.relations() {
        let columns = if with_schema { columns(database, &relation.name) } else { Schema::empty() };
        let kind = if relation.is_view { VIEW } else { TABLE };
        built(builder.append(CATALOG, SCHEMA, &relation.name, kind, &columns))?;
    }
    built(builder.build())
}

/// The columns of a table, with the names of their types. None for a view whose query has become wrong: the list of all
/// tables must not fail for it.
fn columns(database: &Database, relation: &str) -> Schema {
    let schema = match database.columns(relation) {
        Ok(schema) => wire_schema(&schema),
        Err(error) => {
            tracing::warn!(relation, %error, "the columns cannot be told");
            return Schema::empty();
        }
    };
    let named = schema.fields().iter().map(|field| {
        let name = type_name(field.data_type());
        field.as_ref().clone().with_metadata([(TYPE_NAME.to_string(), name)].into())
    });
    Schema::new(named.collect::<Vec<_>>())
}

/// The name of a type in SQL.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => "INTEGER".into(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "BIGINT".into(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Null => "TEXT".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::List(item) | DataType::LargeList(item) => format!("{}[]", type_name(item.data_type())),
        other => other.to_string(),
    }
}

/// Primary keys: there are none.
pub(super) fn primary_keys() -> RecordBatch {
    none(&[
        ("catalog_name", DataType::Utf8, true),
        ("db_schema_name", DataType::Utf8, true),
        ("table_name", DataType::Utf8, false),
        ("column_name", DataType::Utf8, false),
        ("key_name", DataType::Utf8, true),
        ("key_sequence", DataType::Int32, false),
    ])
}

/// Keys that point from one table to another: there are none.
pub(super) fn foreign_keys() -> RecordBatch {
    none(&[
        ("pk_catalog_name", DataType::Utf8, true),
        ("pk_db_schema_name", DataType::Utf8, true),
        ("pk_table_name", DataType::Utf8, false),
        ("pk_column_name", DataType::Utf8, false),
        ("fk_catalog_name", DataType::Utf8, true),
        ("fk_db_schema_name", DataType::Utf8, true),
        ("fk_table_name", DataType::Utf8, false),
        ("fk_column_name", DataType::Utf8, false),
        ("key_sequence", DataType::Int32, false),
        ("fk_key_name", DataType::Utf8, true),
        ("pk_key_name", DataType::Utf8, true),
        ("update_rule", DataType::UInt8, false),
        ("delete_rule", DataType::UInt8, false),
    ])
}

fn none(columns: &[(&str, DataType, bool)]) -> RecordBatch {
    let fields = columns.iter().map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable));
    RecordBatch::new_empty(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// What a builder made.
pub(super) fn built<T>(made: Result<T, FlightError>) -> Result<T, Status> {
    made.map_err(|error| match error {
        FlightError::Arrow(error) => Status::invalid_argument(format!("the pattern cannot be read: {error}")),
        other => fault("telling about tables", other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use trodden_query::Options;
    use trodden_query::arrow::array::AsArray;

    fn database() -> Database {
        let database = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
        let script = "CREATE TABLE events (price DOUBLE, \"Name\" TEXT); CREATE TABLE e_x ();
                      CREATE VIEW buys AS SELECT price FROM events;
                      UPSERT INTO events_users (user_id, plan) VALUES ('u', 'pro')";
        database.query_blocking(script).unwrap();
        database
    }

    fn names(query: CommandGetTables) -> Vec<String> {
        let batch = tables(&database(), query).unwrap();
        batch.column(2).as_string::<i32>().iter().map(|name| name.unwrap().to_string()).collect()
    }

    #[test]
    fn tables_are_found_by_patterns() {
        let query =
            |pattern: &str| CommandGetTables { table_name_filter_pattern: Some(pattern.into()), ..Default::default() };
        assert_eq!(names(CommandGetTables::default()), ["buys", "e_x", "events", "events_users"]);
        assert_eq!(names(query("e%")), ["e_x", "events", "events_users"]);
        assert_eq!(names(query("e_x")), ["e_x"]);
        assert_eq!(names(query("event_")), ["events"]);
        assert_eq!(names(query("EVENTS")), Vec::<String>::new());
        let of_kind = |kind: &str| CommandGetTables { table_types: vec![kind.into()], ..Default::default() };
        assert_eq!(names(of_kind("VIEW")), ["buys"]);
        assert_eq!(
            names(CommandGetTables { catalog: Some("other".into()), ..Default::default() }),
            Vec::<String>::new()
        );
        let schema =
            |pattern: &str| CommandGetTables { db_schema_filter_pattern: Some(pattern.into()), ..Default::default() };
        assert_eq!(names(schema("pub%")).len(), 4);
        assert_eq!(names(schema("")).len(), 0);
    }

    #[test]
    fn columns_are_told_with_the_names_of_their_types() {
        let query = CommandGetTables {
            include_schema: true,
            table_name_filter_pattern: Some("events".into()),
            ..Default::default()
        };
        let batch = tables(&database(), query).unwrap();
        let bytes = batch.column(4).as_binary::<i32>().value(0).to_vec();
        let schema = super::super::wire::schema_of_bytes(bytes.into()).unwrap();
        let types: Vec<(&str, &str)> =
            schema.fields().iter().map(|field| (field.name().as_str(), field.metadata()[TYPE_NAME].as_str())).collect();
        assert_eq!(
            types,
            [
                ("user_id", "TEXT"),
                ("ts", "TIMESTAMP"),
                ("event", "TEXT"),
                ("event_id", "TEXT"),
                ("price", "DOUBLE"),
                ("Name", "TEXT")
            ]
        );
    }

    #[test]
    fn a_view_that_became_wrong_is_listed() {
        let database = database();
        database.query_blocking("DROP TABLE events").unwrap();
        let batch = tables(&database, CommandGetTables { include_schema: true, ..Default::default() }).unwrap();
        assert_eq!(batch.column(2).as_string::<i32>().value(0), "buys");
        assert_eq!(batch.column(4).len(), 2);
    }

    #[test]
    fn there_is_one_catalog_with_one_schema_and_no_keys() {
        assert_eq!(catalogs().unwrap().column(0).as_string::<i32>().value(0), "trodden");
        let found = schemas(CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: Some("%".into()) }).unwrap();
        assert_eq!(found.column(1).as_string::<i32>().value(0), "public");
        assert_eq!(table_types().unwrap().num_rows(), 2);
        assert_eq!((primary_keys().num_rows(), foreign_keys().num_columns()), (0, 13));
    }
}
