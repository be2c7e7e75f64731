//! Looking after a server.

use crate::call_error::CallError;
use crate::connect::Client;
use trodden_proto::v1 as wire;

impl Client {
    /// The tables, by name.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn tables(&self) -> Result<Vec<wire::Table>, CallError> {
        Ok(self.admin().list_tables(wire::ListTablesRequest {}).await?.into_inner().tables)
    }

    /// The tags of a table, or of all.
    ///
    /// # Errors
    /// `NotFound`, and those of any call.
    pub async fn tags(&self, table: Option<&str>) -> Result<Vec<wire::Tag>, CallError> {
        let request = wire::ListTagsRequest { table: table.unwrap_or_default().to_owned() };
        Ok(self.admin().list_tags(request).await?.into_inner().tags)
    }

    /// Merges the segments of a table, or of all, and removes for good what is deleted or too old.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, and those of any call.
    pub async fn compact(&self, table: Option<&str>) -> Result<wire::CompactResponse, CallError> {
        let request = wire::CompactRequest { table: table.unwrap_or_default().to_owned() };
        Ok(self.admin().compact(request).await?.into_inner())
    }

    /// Makes a key. `role`: `write`, `read` or `admin`; `table`: the only one that a write key sends to.
    ///
    /// # Errors
    /// `Invalid`, `Denied`, and those of any call.
    pub async fn create_key(
        &self,
        role: &str,
        table: Option<&str>,
        name: &str,
    ) -> Result<wire::CreateKeyResponse, CallError> {
        let table = table.unwrap_or_default().to_owned();
        let request = wire::CreateKeyRequest { role: role.to_owned(), table, name: name.to_owned() };
        Ok(self.admin().create_key(request).await?.into_inner())
    }

    /// All keys, without their secrets.
    ///
    /// # Errors
    /// `Denied`, and those of any call.
    pub async fn keys(&self) -> Result<Vec<wire::Key>, CallError> {
        Ok(self.admin().list_keys(wire::ListKeysRequest {}).await?.into_inner().keys)
    }

    /// Takes a key back.
    ///
    /// # Errors
    /// `NotFound`, `Denied`, and those of any call.
    pub async fn revoke_key(&self, id: &str) -> Result<Option<wire::Key>, CallError> {
        Ok(self.admin().revoke_key(wire::RevokeKeyRequest { id: id.to_owned() }).await?.into_inner().key)
    }
}
