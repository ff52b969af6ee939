//! The running daemon: whether there is one, whether it answers, and what it reports.

use serde_json::Value;

use super::context::{CheckContext, RunningDaemon, parts_of};
use super::store::OTHER_STORE;
use crate::app::identity;
use crate::cli::shared::daemon::{DaemonClient, DaemonError};
use crate::cli::shared::exit::Exit;
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::cli::shared::messages::exit_for_error;
use crate::store::{DaemonRow, ProcessRole, is_locked};

/// Looks for the daemon. Its address is asked also with `--offline`, since it is usually this host.
pub(super) async fn check(context: &CheckContext) -> (Option<RunningDaemon>, Vec<Finding>) {
    let mut group = FindingGroup::new("daemon");
    let row = match &context.reader {
        Some(reader) => reader.daemon().await.ok().flatten(),
        None => None,
    };
    let holder = row.filter(|row| row.role == ProcessRole::Daemon && row.stopped_at.is_none());
    let client = match DaemonClient::find(&context.config).await {
        Ok(client) => client,
        Err(error) => {
            match (exit_for_error(&error), &holder) {
                (Exit::Unreachable, Some(holder)) => report_no_answer(&mut group, context, holder),
                (Exit::Unreachable, None) => group.skipped("running", "no daemon runs on this store"),
                _ => group.wrong("running", format!("{error:#}"), "see the store above"),
            }
            return (None, group.into_findings());
        }
    };
    let readiness = match client.readiness().await {
        Ok(readiness) => readiness,
        Err(error) => {
            match (&error, &holder) {
                (DaemonError::NotReachable { .. }, None) => {
                    group.skipped("running", format!("none answers at {}, and none has the store", client.url()));
                }
                (DaemonError::NotReachable { .. }, Some(holder)) => report_no_answer(&mut group, context, holder),
                (
                    DaemonError::NoAnswer { .. }
                    | DaemonError::NoToken { .. }
                    | DaemonError::TokenUnreadable { .. }
                    | DaemonError::Refused { .. }
                    | DaemonError::NotShiftkeeper { .. },
                    _,
                ) => {
                    group.wrong("running", error.to_string(), "read its log; check [client] url and [server] listen");
                }
            }
            return (None, group.into_findings());
        }
    };
    group.ok("running", format!("answers at {}", client.url()));
    match &holder {
        Some(holder) => check_version(&mut group, holder),
        // The store's own check reports that it is missing.
        None if context.reader.is_some() => {
            group.warning(
                "store",
                "no daemon has the store that is configured here: the one that answers has another",
                OTHER_STORE,
            );
        }
        None => {}
    }
    check_parts(&mut group, &readiness);
    (Some(RunningDaemon { client, readiness }), group.into_findings())
}

/// Reports that the store names a running daemon and nobody answers. A process that has the store holds its lock,
/// which ends with the process.
fn report_no_answer(group: &mut FindingGroup, context: &CheckContext, holder: &DaemonRow) {
    let process = format!("process {} of host '{}' took the store at {}", holder.pid, holder.host, holder.started_at);
    let is_held = is_locked(context.config.store.connection_url().expose()).filter(|_| holder.host == identity().host);
    match is_held {
        Some(false) => {
            let detail = format!("none: {process} and is gone without letting go of it: it was killed, or crashed");
            let advice =
                "start the daemon: it continues where it stopped; its log, or the system's, may say why it ended";
            group.wrong("running", detail, advice);
        }
        Some(true) => {
            let detail = format!("no answer, although {process} and has it");
            group.warning("running", detail, "read its log: it may be just starting or stopping");
        }
        None => {
            let detail = format!("no answer, although {process} and did not release it in order");
            let advice = "if that process has ended, start the daemon: it continues where it stopped";
            group.warning("running", detail, advice);
        }
    }
}

fn check_version(group: &mut FindingGroup, holder: &DaemonRow) {
    let ours = env!("CARGO_PKG_VERSION");
    if holder.version == ours {
        group.ok("version", ours);
    } else {
        let detail = format!("the daemon is {}, this command is {ours}", holder.version);
        group.warning("version", detail, "use one version for both");
    }
}

/// Checks each part that the daemon reports.
fn check_parts(group: &mut FindingGroup, readiness: &Value) {
    let text = |part: &Value, key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let bad: Vec<&Value> = parts_of(readiness).iter().filter(|part| part["ready"] != true).collect();
    if bad.is_empty() {
        group.ok("readyz", text(readiness, "status"));
    }
    for part in bad {
        let (name, mut detail) = (text(part, "name"), text(part, "detail"));
        if !detail.contains(" since ") {
            detail = format!("{detail}, since {}", text(part, "since"));
        }
        if part["own"] == true {
            group.wrong(name, detail, "see the daemon's log");
        } else if part["needs_person"] == true {
            group.wrong(name, detail, "this does not recover by itself: correct the fault, then run that command");
        } else {
            let advice = advice_for_part(&name);
            group.warning(name, detail, advice);
        }
    }
}

/// Says what happens once a part outside the daemon works again.
fn advice_for_part(part: &str) -> String {
    match part.split_once(' ') {
        Some(("webhook", _)) => "mend the receiver or the way to it: what waits is sent at its next try".to_owned(),
        Some(("job", key)) => {
            let run = match key.split_once(" of ") {
                Some((id, tenant)) => format!("{id} --tenant {tenant}"),
                None => key.to_owned(),
            };
            format!("mend what it says: it is done again when it is next due, or now with `shiftkeeper jobs run {run}`")
        }
        Some(("schedule", _)) => {
            "`shiftkeeper schedules sources` shows the last error; the source recovers with its next good version"
                .to_owned()
        }
        Some(_) | None => "the daemon keeps running and recovers by itself once that is corrected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::shared::finding::Status::{Warning, Wrong};

    #[test]
    fn each_part_that_is_not_ready_is_reported_with_its_consequence() {
        let part = |name: &str, needs_person: bool, detail: &str| {
            json!({"name": name, "ready": false, "own": name == "store", "needs_person": needs_person,
                   "since": "2026-11-22T10:00:00Z", "detail": detail})
        };
        let readiness = json!({"parts": [
            part("store", false, "no space is left"),
            part("webhook wfm of acme", true, "disabled since 2026-11-22T09:00:00Z: shiftkeeper webhooks recover wfm"),
            part("webhook bi of acme", false, "fails since 2026-11-22T09:00:00Z: no answer"),
            part("job schedule-folder of acme", false, "failed: 1 of 1 schedule file(s) refused"),
            part("job backup", false, "failed: no space"),
            part("tenant acme: subscription 0", false, "no snapshot: HTTP 503"),
        ]});
        let mut group = FindingGroup::new("daemon");
        check_parts(&mut group, &readiness);
        let findings: Vec<_> =
            group.into_findings().into_iter().map(|finding| (finding.status, finding.detail, finding.advice)).collect();
        let statuses: Vec<_> = findings.iter().map(|(status, ..)| *status).collect();
        assert_eq!(statuses, [Wrong, Wrong, Warning, Warning, Warning, Warning]);
        assert_eq!(findings[0].1, "no space is left, since 2026-11-22T10:00:00Z");
        assert!(findings[1].1.ends_with("webhooks recover wfm"), "one `since` is enough: {findings:?}");
        let advice = |index: usize| findings[index].2.as_deref().unwrap_or_default();
        assert!(advice(3).contains("jobs run schedule-folder --tenant acme`"), "{findings:?}");
        assert!(advice(4).contains("jobs run backup`"), "{findings:?}");
        let heal = "recovers by itself";
        assert_eq!([1, 2, 3, 4, 5].map(|index| advice(index).contains(heal)), [false, false, false, false, true]);
    }
}
