//! Looking after a server: what is there, compaction, backups, keys.

use super::backup;
use super::caller::caller;
use super::status::to_status;
use crate::access::{Key, Role};
use crate::serve::App;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use trodden_proto::v1 as wire;
use trodden_proto::v1::admin_service_server::AdminService;
use trodden_query::engine::Table;
use trodden_query::engine::types::FIXED_COLUMNS;
use trodden_query::{Database, Error, Result};

/// The service.
pub(super) struct Admin {
    app: Arc<App>,
}

impl Admin {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// Do what may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&App) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Status> {
        let app = Arc::clone(&self.app);
        let done = tokio::task::spawn_blocking(move || work(&app)).await;
        done.map_err(|_| Status::internal("the work broke off"))?.map_err(|error| to_status(&error, ""))
    }
}

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl AdminService for Admin {
    type BackupStream = backup::Pieces;

    async fn status(&self, request: Request<wire::StatusRequest>) -> Answer<wire::StatusResponse> {
        caller(&self.app, request.metadata(), Role::Read)?;
        let status = self.blocking(|app| {
            let tables = tables(&app.database)?;
            Ok(wire::StatusResponse {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started_us: app.started_us,
                keys_required: app.access.is_required(),
                tables: tables.len() as u64,
                events: tables.iter().map(|table| table.snapshot().rows()).sum(),
                disk_bytes: disk_bytes(&tables)?,
            })
        });
        Ok(Response::new(status.await?))
    }

    async fn list_tables(&self, request: Request<wire::ListTablesRequest>) -> Answer<wire::ListTablesResponse> {
        caller(&self.app, request.metadata(), Role::Read)?;
        let listed = self.blocking(|app| tables(&app.database)?.iter().map(|table| describe(table)).collect());
        Ok(Response::new(wire::ListTablesResponse { tables: listed.await? }))
    }

    async fn list_tags(&self, request: Request<wire::ListTagsRequest>) -> Answer<wire::ListTagsResponse> {
        caller(&self.app, request.metadata(), Role::Read)?;
        let name = request.into_inner().table;
        let listed = self.blocking(move |app| {
            let tables = chosen(&app.database, &name)?;
            tables.iter().try_fold(Vec::new(), |mut all, table| {
                all.extend(tags(table)?);
                Ok(all)
            })
        });
        Ok(Response::new(wire::ListTagsResponse { tags: listed.await? }))
    }

    async fn compact(&self, request: Request<wire::CompactRequest>) -> Answer<wire::CompactResponse> {
        caller(&self.app, request.metadata(), Role::Admin)?;
        let name = request.into_inner().table;
        let compacted = self.blocking(move |app| {
            let tables = chosen(&app.database, &name)?;
            let before = disk_bytes(&tables)?;
            for table in &tables {
                table.enforce_retention(app.clock.now_us())?;
                table.compact(true)?;
            }
            Ok(wire::CompactResponse { disk_bytes_before: before, disk_bytes_after: disk_bytes(&tables)? })
        });
        Ok(Response::new(compacted.await?))
    }

    async fn backup(&self, request: Request<wire::BackupRequest>) -> Answer<backup::Pieces> {
        caller(&self.app, request.metadata(), Role::Admin)?;
        Ok(Response::new(backup::start(&self.app)))
    }

    async fn create_key(&self, request: Request<wire::CreateKeyRequest>) -> Answer<wire::CreateKeyResponse> {
        caller(&self.app, request.metadata(), Role::Admin)?;
        let wire::CreateKeyRequest { role, table, name } = request.into_inner();
        let role: Role = role.parse().map_err(Status::invalid_argument)?;
        let table = (!table.is_empty()).then_some(table);
        let made = self.blocking(move |app| app.access.create(role, table, &name, app.clock.now_us()));
        let (key, token) = made.await?;
        tracing::info!(key = %key.id, role = %key.role, "a key was made");
        Ok(Response::new(wire::CreateKeyResponse { key: Some(to_wire(key)), token: token.text().to_owned() }))
    }

    async fn list_keys(&self, request: Request<wire::ListKeysRequest>) -> Answer<wire::ListKeysResponse> {
        caller(&self.app, request.metadata(), Role::Admin)?;
        let keys = self.app.access.list().into_iter().map(to_wire).collect();
        Ok(Response::new(wire::ListKeysResponse { keys }))
    }

    async fn revoke_key(&self, request: Request<wire::RevokeKeyRequest>) -> Answer<wire::RevokeKeyResponse> {
        caller(&self.app, request.metadata(), Role::Admin)?;
        let id = request.into_inner().id;
        let key = self.blocking(move |app| app.access.revoke(&id, app.clock.now_us())).await?;
        tracing::info!(key = %key.id, "a key was revoked");
        Ok(Response::new(wire::RevokeKeyResponse { key: Some(to_wire(key)) }))
    }
}

/// A key as clients see it.
pub(crate) fn to_wire(key: Key) -> wire::Key {
    wire::Key {
        id: key.id,
        role: key.role.to_string(),
        table: key.table.unwrap_or_default(),
        name: key.name,
        created_us: key.created_us,
        revoked_us: key.revoked_us,
    }
}

fn tables(database: &Database) -> Result<Vec<Arc<Table>>> {
    database.tables().iter().map(|name| Ok(database.engine().table(name)?)).collect()
}

/// The table called `name`, or all where that is empty.
fn chosen(database: &Database, name: &str) -> Result<Vec<Arc<Table>>> {
    match name {
        "" => tables(database),
        name => Ok(vec![database.find_table(name)?.ok_or_else(|| database.no_such_table(name))?]),
    }
}

fn disk_bytes(tables: &[Arc<Table>]) -> Result<u64> {
    tables.iter().map(|table| table.size_on_disk().map_err(Error::from)).sum()
}

fn describe(table: &Table) -> Result<wire::Table> {
    let (snapshot, options) = (table.snapshot(), table.options());
    let column =
        |name: &str, sql_type: &str| wire::table::Column { name: name.to_owned(), r#type: sql_type.to_owned() };
    let fixed = FIXED_COLUMNS.iter().map(|name| column(name, if *name == "ts" { "TIMESTAMP" } else { "TEXT" }));
    let own = snapshot.schema.columns.iter().map(|one| column(&one.name, one.column_type.sql_name()));
    Ok(wire::Table {
        name: table.name().to_owned(),
        shards: options.shards.into(),
        time_zone: options.time_zone,
        events: snapshot.rows(),
        segments: snapshot.shards.iter().map(|shard| shard.segments.len() as u64).sum(),
        disk_bytes: table.size_on_disk()?,
        columns: fixed.chain(own).collect(),
    })
}

fn tags(table: &Table) -> Result<Vec<wire::Tag>> {
    let of_tag = |tag: trodden_query::engine::tags::Tag| {
        let info = tag.info();
        Ok(wire::Tag {
            table: table.name().to_owned(),
            name: info.name.clone(),
            users: tag.len()?,
            refreshed_us: info.refreshed_at_us,
            cost_ms: info.cost_ms,
        })
    };
    table.snapshot().tags().iter().map(of_tag).collect()
}
