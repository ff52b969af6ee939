//! Parts that all commands share: options, the client of the daemon, output and exit codes.

pub mod config_args;
pub mod confirmation;
pub mod daemon;
pub mod exit;
pub mod finding;
pub mod messages;
pub mod output;
pub mod scope;
pub(super) mod tenant_client;
