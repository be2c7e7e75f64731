//! `trodden serve` and `trodden config`.

use super::print_bytes;
use crate::cli::{ConfigCommand, ServeArgs};
use crate::config::{Config, DEFAULT, Overrides, load};
use crate::failure::Outcome;
use crate::serve;
use crate::terminal::Terminal;

/// Serves until a signal says stop.
///
/// # Errors
/// What keeps it from starting.
pub(super) fn serve(arguments: &ServeArgs, terminal: &Terminal) -> Outcome {
    serve::serve(configuration(arguments)?, terminal)
}

/// Checks or prints a configuration.
///
/// # Errors
/// What is wrong with it.
pub(super) fn config(command: &ConfigCommand) -> Outcome {
    let text = match command {
        ConfigCommand::Default => DEFAULT.to_owned(),
        ConfigCommand::Check(arguments) => {
            configuration(arguments)?.check()?;
            "the configuration is sound\n".to_owned()
        }
    };
    print_bytes(text.as_bytes())
}

fn configuration(arguments: &ServeArgs) -> Outcome<Config> {
    let db = arguments.db.as_ref().map(|path| path.display().to_string());
    let required = arguments.require_keys.then(|| "true".to_owned());
    let flags: [(&'static str, &Option<String>); 8] = [
        ("database.path", &db),
        ("grpc.listen", &arguments.grpc_listen),
        ("http.listen", &arguments.http_listen),
        ("tls.certificate", &arguments.tls_certificate),
        ("tls.key", &arguments.tls_key),
        ("access.required", &required),
        ("log.level", &arguments.log_level),
        ("log.format", &arguments.log_format),
    ];
    let given: Overrides = flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    load(arguments.config.as_deref(), std::env::vars().collect(), &given)
}
