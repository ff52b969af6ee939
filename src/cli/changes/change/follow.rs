//! Follows transitions until each has ended or the wait is over. It works in real time, and asks rarely and about a
//! few at a time.

use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinSet;

use super::row::{Row, RowOutcome};
use crate::cli::shared::daemon::DaemonError;
use crate::cli::shared::tenant_client::TenantClient;
use crate::clock::{RealTime, Stopwatch};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::TransitionId;

/// The pause between two rounds of requests.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The most requests under way at once.
const MAX_CONCURRENT_REQUESTS: usize = 8;

/// Polls every open row until none is left or `wait` is over. A daemon that is away for a while (a restart) is waited
/// for; if it is still away at the end, the rows keep their last known state and the error is returned.
pub(super) async fn wait_until_final(
    client: &TenantClient,
    rows: &mut [Row],
    wait: Duration,
) -> Result<(), DaemonError> {
    let watch = Stopwatch::start();
    loop {
        let transient_error = poll_open_rows(client, rows).await?;
        if rows.iter().all(|row| row.outcome != RowOutcome::Open) {
            return Ok(());
        }
        let left = wait.saturating_sub(watch.elapsed());
        if left.is_zero() {
            return transient_error.map_or(Ok(()), Err);
        }
        RealTime::sleep(POLL_INTERVAL.min(left)).await;
    }
}

/// Polls each open row once. Returns a transient error, if there was one.
async fn poll_open_rows(client: &TenantClient, rows: &mut [Row]) -> Result<Option<DaemonError>, DaemonError> {
    let mut open = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.outcome == RowOutcome::Open)
        .filter_map(|(place, row)| row.id.map(|id| (place, id)))
        .collect::<Vec<_>>()
        .into_iter();
    let mut requests = JoinSet::new();
    let mut transient_error = None;
    loop {
        while requests.len() < MAX_CONCURRENT_REQUESTS
            && let Some((index, id)) = open.next()
        {
            let client = client.clone();
            requests.spawn(async move { (index, fetch_row(&client, id).await) });
        }
        match requests.join_next().await {
            None => return Ok(transient_error),
            Some(Ok((place, Ok(row)))) => rows[place] = row,
            Some(Ok((_, Err(error)))) if error.is_transient() => transient_error = Some(error),
            Some(Ok((_, Err(error)))) => return Err(error),
            // A request is not cancelled while its set lives, and does not panic; the row stays open for the next
            // round.
            Some(Err(_)) => {}
        }
    }
}

async fn fetch_row(client: &TenantClient, id: TransitionId) -> Result<Row, DaemonError> {
    Ok(to_row(&client.get(&format!("/api/v1/transitions/{id}"), &[]).await?))
}

/// The relevant part of a transition.
#[derive(Deserialize)]
struct TransitionView {
    #[serde(flatten)]
    transition: Transition,
    #[serde(default)]
    attempt_log: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Attempt {
    error: Option<String>,
}

fn to_row(shown: &TransitionView) -> Row {
    let last_error = shown.attempt_log.last().and_then(|attempt| attempt.error.as_deref());
    Row::from_transition(&shown.transition).with_last_error(&shown.transition.status, last_error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_of_the_daemon_becomes_a_row_that_says_how_the_last_try_failed() {
        let answer = json!({
            "id": uuid::Uuid::nil(), "tenant": "acme", "agent": "u_1", "target": "Ready", "reason": "WORKING",
            "priority": "person", "actor": {"kind": "person", "id": "ops"}, "note": null, "on_contact": "after",
            "requested_at": "2026-10-26T13:00:00Z", "deadline": "2026-10-26T13:30:00Z", "before": "Paused",
            "explanation": {"asked_by": "ops"}, "attempts": 2, "violation": null, "latency_ms": null,
            "status": "waiting", "why": "retry", "until": null, "accepted_at": null, "finished_at": null,
            "attempt_log": [{"attempt": 1, "error": "first"}, {"attempt": 2, "error": "it does not answer (503)"}],
        });
        let row = to_row(&serde_json::from_value(answer).expect("the API's own shape"));
        assert_eq!((row.status.as_str(), row.outcome), ("waiting", RowOutcome::Open));
        let words = "waits for the next try after a failed one (expires at 2026-10-26T13:30:00Z); the last try: it does not \
                     answer (503)";
        assert_eq!(row.error.as_deref(), Some(words));
    }
}
