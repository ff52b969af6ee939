//! The records of a run: its audit entries and its event.
//!
//! The audit chain names no agent and cannot be erased. It therefore contains the names of metrics and dimensions, and
//! never a filter's value, a row or a text of the platform.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::analytics::analytics_run::AnalyticsRun;
use crate::domain::analytics::completeness_ppm;
use crate::domain::audit::AuditDraft;
use crate::domain::ids::EventId;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AnalyticsCompleted, Event};
use crate::engine::platform::calls::real_millis;

/// Returns the audit entry for a requested run.
pub(super) fn request_entry(run: &AnalyticsRun) -> AuditDraft {
    let request = &run.request;
    let mut why = common_details(run);
    why["metrics"] = json!(request.metrics);
    why["dimensions"] = json!(request.dimensions);
    why["filtered_by"] = json!(request.filter.as_ref().map(|filter| &filter.field));
    why["bucket"] = json!(request.bucket);
    why["zone"] = json!(request.zone);
    AuditDraft::new(run.tenant.clone(), run.requested_at, &*run.requested_by, "analytics.run.asked", why)
}

/// Returns the audit entry for a run that has ended.
pub(super) fn end_entry(run: &AnalyticsRun, now: UtcMicros, actor: &str) -> AuditDraft {
    let mut why = common_details(run);
    why["platform_ids"] = json!(run.parts.iter().map(|part| &part.query_id).collect::<Vec<_>>());
    why["submissions"] = json!(run.parts.iter().map(|part| part.submissions).sum::<u32>());
    why["latency_ms"] = json!(run.duration().map(real_millis));
    if let Some(result) = &run.result {
        why["received"] = json!(result.received);
        why["promised"] = json!(result.promised);
        why["sha256"] = json!(result.sha256);
    }
    if let Some(failure) = &run.failure {
        why["failure"] = json!(failure.class);
    }
    let draft = AuditDraft::new(run.tenant.clone(), now, actor, "analytics.run.completed", why);
    AuditDraft { outcome: Some(run.status.name().to_owned()), ..draft }
}

fn common_details(run: &AnalyticsRun) -> Value {
    json!({
        "run": run.id,
        "query": run.query,
        "from": run.request.from,
        "to": run.request.to,
        "parts": run.parts.len(),
    })
}

/// Returns the event for a run that has ended.
pub(super) fn end_event(run: &AnalyticsRun, now: UtcMicros, id: Uuid) -> Event {
    let (result, failure) = (run.result.as_ref(), run.failure.as_ref());
    let promised = result.and_then(|result| result.promised);
    let data = AnalyticsCompleted {
        run_id: run.id,
        query_id: run.query.clone(),
        name: run.request.name.clone(),
        outcome: run.status.name().to_owned(),
        from: run.request.from,
        to: run.request.to,
        actor: run.requested_by.to_string(),
        job_id: run.job.clone(),
        parts: u64::try_from(run.parts.len()).unwrap_or(u64::MAX),
        rows: result.map(|result| result.received),
        promised_rows: promised,
        completeness_ppm: result.and_then(|result| completeness_ppm(result.received, promised)),
        latency_ms: run.duration().map(real_millis),
        sha256: result.map(|result| result.sha256.clone()),
        failure: failure.map(|failure| failure.class.clone()),
        error: failure.map(|failure| failure.text.clone()),
    };
    Event { id: EventId(id), tenant: run.tenant.clone(), at: now, data: data.into() }
}
