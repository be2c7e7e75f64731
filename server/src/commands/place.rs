//! From the flags that say where a database is to the database.

use crate::backend::{Backend, BackendOptions};
use crate::cli::PlaceArgs;
use crate::failure::{Failure, Outcome};
use trodden_client::ConnectOptions;

/// The environment variable with the key for a server.
const KEY: &str = "TRODDEN_KEY";

impl PlaceArgs {
    /// The database, opened here or at a server. `options` are of one that is opened here.
    ///
    /// # Errors
    /// It cannot be opened or reached.
    pub(super) fn backend(&self, options: &BackendOptions) -> Outcome<Backend> {
        match (&self.url, &self.db) {
            (Some(url), _) => Backend::connect(url, self.connect_options()?),
            (None, Some(db)) => Backend::open(db, options),
            (None, None) => Err(Failure::usage("there is no database", "give --db DIR or --url URL")),
        }
    }

    /// How to connect to the server.
    ///
    /// # Errors
    /// A certificate that cannot be read.
    pub(super) fn connect_options(&self) -> Outcome<ConnectOptions> {
        let token = self.key.clone().or_else(|| std::env::var(KEY).ok()).filter(|key| !key.is_empty());
        let read = |path: &std::path::PathBuf| std::fs::read(path).map_err(|error| Failure::io(path.display(), &error));
        let authority_pem = self.authority.as_ref().map(read).transpose()?;
        Ok(ConnectOptions { token, authority_pem, ..ConnectOptions::default() })
    }
}
