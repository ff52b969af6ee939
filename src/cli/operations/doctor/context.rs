//! What the checks look at: the configuration, the store and the running daemon.

use serde_json::Value;

use crate::cli::shared::daemon::DaemonClient;
use crate::config::Config;
use crate::store::Reader;

/// The context of the checks.
pub(super) struct CheckContext {
    pub(super) config: Config,
    /// Whether the secrets that only the daemon uses can be read.
    pub(super) has_secrets: bool,
    pub(super) offline: bool,
    /// The store, if it can be read.
    pub(super) reader: Option<Reader>,
    /// The daemon, if one answers.
    pub(super) daemon: Option<RunningDaemon>,
}

/// A daemon that answers.
pub(super) struct RunningDaemon {
    pub(super) client: DaemonClient,
    /// The answer of `/readyz`.
    pub(super) readiness: Value,
}

/// Returns the parts of the daemon in an answer of `/readyz`.
pub(super) fn parts_of(readiness: &Value) -> &[Value] {
    readiness["parts"].as_array().map_or(&[], Vec::as_slice)
}
