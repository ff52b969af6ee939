//! Follows transitions until each has ended or the wait is over. In real time; it asks rarely and never for more than a few at
//! once.

use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinSet;

use super::{Row, Standing};
use crate::cli::shared::caller::Caller;
use crate::cli::shared::daemon::DaemonError;
use crate::clock::{RealTime, Stopwatch};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::TransitionId;

/// The pause between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(250);

/// Questions under way at once.
const AT_ONCE: usize = 8;

/// Asks about every open row until none is left or `wait` is over. A daemon that is away for a while (a restart) is waited
/// for; when it is still away at the end, that is the error. The rows are then as they were known last.
pub(super) async fn until_final(caller: &Caller, rows: &mut [Row], wait: Duration) -> Result<(), DaemonError> {
    let watch = Stopwatch::start();
    loop {
        let trouble = round(caller, rows).await?;
        if rows.iter().all(|row| row.standing != Standing::Open) {
            return Ok(());
        }
        let left = wait.saturating_sub(watch.elapsed());
        if left.is_zero() {
            return trouble.map_or(Ok(()), Err);
        }
        RealTime::sleep(PAUSE.min(left)).await;
    }
}

/// One question about each open row; gives the trouble that may pass, if there was some.
async fn round(caller: &Caller, rows: &mut [Row]) -> Result<Option<DaemonError>, DaemonError> {
    let mut open = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.standing == Standing::Open)
        .filter_map(|(place, row)| row.id.map(|id| (place, id)))
        .collect::<Vec<_>>()
        .into_iter();
    let mut asked = JoinSet::new();
    let mut trouble = None;
    loop {
        while asked.len() < AT_ONCE
            && let Some((place, id)) = open.next()
        {
            let caller = caller.clone();
            asked.spawn(async move { (place, look(&caller, id).await) });
        }
        match asked.join_next().await {
            None => return Ok(trouble),
            Some(Ok((place, Ok(row)))) => rows[place] = row,
            Some(Ok((_, Err(error)))) if error.may_pass() => trouble = Some(error),
            Some(Ok((_, Err(error)))) => return Err(error),
            // A question is not cancelled while its set lives, and does not panic; its row stays open for the next round.
            Some(Err(_)) => {}
        }
    }
}

async fn look(caller: &Caller, id: TransitionId) -> Result<Row, DaemonError> {
    Ok(row(&caller.get(&format!("/api/v1/transitions/{id}"), &[]).await?))
}

/// A transition as it is shown, as far as it is needed here.
#[derive(Deserialize)]
struct Shown {
    #[serde(flatten)]
    transition: Transition,
    #[serde(default)]
    attempt_log: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Attempt {
    error: Option<String>,
}

fn row(shown: &Shown) -> Row {
    let last_error = shown.attempt_log.last().and_then(|attempt| attempt.error.as_deref());
    Row::of_transition(&shown.transition).with_last_error(&shown.transition.status, last_error)
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
        let row = row(&serde_json::from_value(answer).expect("the API's own shape"));
        assert_eq!((row.status.as_str(), row.standing), ("waiting", Standing::Open));
        let words = "waits for the next try after a failed one (expires at 2026-10-26T13:30:00Z); the last try: it does not \
                     answer (503)";
        assert_eq!(row.error.as_deref(), Some(words));
    }
}
