//! The running daemon: is there one, does it answer, what does it say of itself.

use serde_json::Value;

use super::Desk;
use crate::cli::daemon::{Daemon, DaemonError};
use crate::cli::exit::Exit;
use crate::cli::finding::{Finding, Group};
use crate::cli::talk::exit_of;
use crate::store::{DaemonRow, Reader, Role};

/// A daemon that answers.
pub(super) struct Running {
    pub(super) daemon: Daemon,
    /// Its `/readyz`.
    pub(super) readiness: Value,
}

/// Looks for it. Its own address is asked also with `--offline`: that is this host as a rule.
pub(super) async fn look(desk: &Desk, reader: Option<&Reader>) -> (Option<Running>, Vec<Finding>) {
    let mut group = Group::new("daemon");
    let row = match reader {
        Some(reader) => reader.daemon().await.ok().flatten(),
        None => None,
    };
    let holder = row.filter(|row| row.role == Role::Daemon && row.stopped_at.is_none());
    let daemon = match Daemon::find(&desk.config).await {
        Ok(daemon) => daemon,
        Err(error) => {
            match (exit_of(&error), &holder) {
                (Exit::Unreachable, Some(holder)) => crashed(&mut group, holder),
                (Exit::Unreachable, None) => group.skipped("running", "no daemon runs on this store"),
                _ => group.wrong("running", format!("{error:#}"), "see the store above"),
            }
            return (None, group.done());
        }
    };
    let readiness = match daemon.readiness().await {
        Ok(readiness) => readiness,
        Err(error) => {
            match (&error, &holder) {
                (DaemonError::NotReachable { .. }, None) => {
                    group.skipped("running", format!("none answers at {}, and none has the store", daemon.url()));
                }
                (DaemonError::NotReachable { .. }, Some(holder)) => crashed(&mut group, holder),
                (
                    DaemonError::NoAnswer { .. }
                    | DaemonError::NoToken { .. }
                    | DaemonError::TokenElsewhere { .. }
                    | DaemonError::Refused { .. }
                    | DaemonError::NotShiftkeeper { .. },
                    _,
                ) => {
                    group.wrong(
                        "running",
                        error.to_string(),
                        "look at its log; check [client] url and [server] listen",
                    );
                }
            }
            return (None, group.done());
        }
    };
    group.ok("running", format!("answers at {}", daemon.url()));
    version(&mut group, holder.as_ref());
    parts(&mut group, &readiness);
    (Some(Running { daemon, readiness }), group.done())
}

fn crashed(group: &mut Group, holder: &DaemonRow) {
    let detail = format!(
        "no answer, though process {} of host '{}' took the store at {} and did not let go of it in order",
        holder.pid, holder.host, holder.started_at
    );
    group.warning("running", detail, "if that process is gone, start the daemon: it goes on where it was cut off");
}

fn version(group: &mut Group, holder: Option<&DaemonRow>) {
    let ours = env!("CARGO_PKG_VERSION");
    match holder {
        Some(holder) if holder.version != ours => {
            let detail = format!("the daemon is {}, this command is {ours}", holder.version);
            group.warning("version", detail, "use one version for both");
        }
        Some(_) => group.ok("version", ours),
        None => {}
    }
}

/// What it says of itself, part by part.
fn parts(group: &mut Group, readiness: &Value) {
    let text = |part: &Value, key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let parts = readiness["parts"].as_array().map_or(&[][..], Vec::as_slice);
    let bad: Vec<&Value> = parts.iter().filter(|part| part["ready"] != true).collect();
    if bad.is_empty() {
        group.ok("readyz", text(readiness, "status"));
    }
    for part in bad {
        let detail = format!("{}, since {}", text(part, "detail"), text(part, "since"));
        if part["own"] == true {
            group.wrong(text(part, "name"), detail, "see the daemon's log");
        } else {
            group.warning(text(part, "name"), detail, "the daemon goes on and heals by itself once that is mended");
        }
    }
}
