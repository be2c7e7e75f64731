//! What can be read by name: tables, views, and the profiles of the users of a table.

use crate::database::Database;
use crate::error::Result;
use crate::plan::catalog::LiveSchema;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::SchemaProvider;
use std::sync::Arc;

/// The catalog that every name belongs to.
pub const CATALOG: &str = crate::plan::catalog::CATALOG;
/// The schema that every name belongs to.
pub const SCHEMA: &str = crate::plan::catalog::SCHEMA;

/// Something that can be read by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// It is a view, not a table.
    pub is_view: bool,
}

impl Database {
    /// Tables, views, and profiles where there are any (`NAME_users`), sorted by name.
    pub fn relations(&self) -> Vec<Relation> {
        let catalog = &self.shared().catalog;
        let names = LiveSchema(Arc::clone(catalog)).table_names();
        let views = catalog.views.read();
        names.into_iter().map(|name| Relation { is_view: views.contains_key(&name), name }).collect()
    }

    /// The columns of a relation, as `SELECT *` gives them.
    ///
    /// # Errors
    /// `NotFound`; for a view what is wrong with its query by now.
    pub fn columns(&self, relation: &str) -> Result<SchemaRef> {
        let quoted = relation.replace('"', "\"\"");
        let statements = self.parse(&format!("SELECT * FROM \"{quoted}\""))?;
        let described = statements.iter().map(|statement| Ok(self.describe(statement, &[])?.schema)).next();
        described.unwrap_or_else(|| Err(self.no_such_table(relation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Options};

    #[test]
    fn tables_views_and_profiles_are_listed_with_their_columns() {
        let database = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
        let script = "CREATE TABLE \"My \"\"Shop\" (price DOUBLE); CREATE TABLE events ();
                      CREATE VIEW prices AS SELECT price FROM \"My \"\"Shop\";
                      UPSERT INTO events_users (user_id, plan) VALUES ('u', 'pro')";
        database.query_blocking(script).unwrap();
        let relations = database.relations();
        let names: Vec<(&str, bool)> = relations.iter().map(|found| (found.name.as_str(), found.is_view)).collect();
        assert_eq!(names, [("My \"Shop", false), ("events", false), ("events_users", false), ("prices", true)]);
        let columns = |name: &str| {
            let schema = database.columns(name).unwrap();
            schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(columns("My \"Shop"), "user_id ts event event_id price");
        assert_eq!(columns("prices"), "price");
        assert_eq!(columns("events_users"), "user_id plan updated_at");
        assert_eq!(database.columns("nothing").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
