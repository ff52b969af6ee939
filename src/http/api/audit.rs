//! The audit log: read page by page, verify, and export as a whole.

mod query;

use std::collections::HashMap;
use std::fmt::Write as _;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::clock::Stopwatch;
use crate::domain::audit::{AuditBody, Hash, InvalidEntry};
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::Query;
use crate::http::request::query::page_size;
use crate::http::state::ApiState;
use crate::store::{BadHead, ChainTrust, PAGE_LIMIT, ReadError, Reader, StoredEntry, SubjectAgent};

pub(in crate::http) use query::{AuditQuery, MatchedAgent};

use query::ResolvedQuery;

/// The maximum number of subjects that are cached during an export.
const MAX_CACHED_SUBJECTS: usize = 20_000;

/// A page of the audit chain.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AuditEntriesResponse {
    /// The entries, newest first. One request reads at most 100,000 entries (of the named actor, if there is one), so a
    /// page may have few entries although `next` is set.
    entries: Vec<AuditEntryResponse>,
    /// The `cursor` of the next page; null once all entries have been read.
    next: Option<u64>,
    /// The agents that the query's `agent` matches; empty if it is not given or matches no agent.
    about: Vec<MatchedAgent>,
    /// The end of the chain.
    last: ChainEnd,
}

/// The end of an audit chain.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ChainEnd {
    /// The number of the last entry; 0 for an empty chain.
    seq: u64,
    /// The SHA-256 of the last entry, in hexadecimal.
    hash: String,
}

/// An audit entry as stored. Only a verification shows whether it is intact.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(in crate::http) struct AuditEntryResponse {
    /// The number of the entry in the chain.
    seq: u64,
    /// When it happened.
    at: UtcMicros,
    /// Who acted: `person:` or `rule:` followed by an id, or `daemon`.
    actor: Option<String>,
    /// The action, such as `transition.accepted`.
    action: String,
    /// The random id that stands for the agent in the chain; null if the entry is not about an agent.
    subject: Option<String>,
    /// The id of the agent; null if the agent was erased or the entry is not about an agent.
    agent: Option<AgentId>,
    /// The name of the agent; null if unknown.
    agent_name: Option<String>,
    /// The id of the transition; null if the entry is not about one.
    transition: Option<String>,
    /// The agent's state before the change; null if it does not apply.
    before: Option<String>,
    /// The agent's requested or new state; null if it does not apply.
    after: Option<String>,
    /// The result of the action; null if there is none yet.
    outcome: Option<String>,
    /// Further facts, which depend on the action.
    #[schema(value_type = Value)]
    why: Value,
    /// The note that a person wrote; null if there is none or it was erased.
    note: Option<String>,
    /// The SHA-256 of the entry, in hexadecimal.
    hash: String,
}

/// List audit entries
///
/// Returns entries as stored, newest first, with the agents' ids and names where they are still known.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    operation_id = "list_audit",
    params(AuditQuery),
    responses((status = 200, description = "A page of entries.", body = AuditEntriesResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditEntriesResponse>, Problem> {
    let tenant = &query.tenant.clone();
    caller.check_all_teams(&state, Right::Audit, tenant)?;
    let reader = &state.reader;
    let last = reader.chain_head(tenant).await?;
    let last = ChainEnd { seq: last.seq, hash: last.hash.to_string() };
    let limit = page_size(query.limit);
    let ResolvedQuery { filter, matched_agents: about } = query.resolve(reader).await?;
    let Some(filter) = filter else {
        return Ok(Json(AuditEntriesResponse { entries: Vec::new(), next: None, about, last }));
    };
    let page = reader.audit_page(tenant, &filter, limit).await?;
    let mut subjects = SubjectCache::default();
    let mut entries = Vec::with_capacity(page.entries.len());
    for stored in page.entries {
        entries.push(AuditEntryResponse::from_stored(reader, tenant, stored, &mut subjects).await?);
    }
    Ok(Json(AuditEntriesResponse { entries, next: page.next, about, last }))
}

/// The agents that subjects stand for, as far as they have been looked up.
type SubjectCache = HashMap<String, Option<SubjectAgent>>;

impl AuditEntryResponse {
    async fn from_stored(
        reader: &Reader,
        tenant: &TenantId,
        stored: StoredEntry,
        subjects: &mut SubjectCache,
    ) -> Result<Self, ReadError> {
        let hash = hex(&stored.hash);
        // A forged entry may have an invalid body.
        let body: Option<AuditBody> = serde_json::from_str(&stored.body).ok();
        let known = resolve_subject(reader, tenant, &stored, subjects).await?;
        let note = match body.as_ref().and_then(|body| Hash::from_hex(body.note.as_deref()?)) {
            None => None,
            Some(hash) => reader.note(tenant, hash).await?,
        };
        let (agent, agent_name) = known.map_or((None, None), |known| (Some(known.agent), known.name));
        let columns = stored.columns;
        Ok(Self {
            seq: stored.seq,
            at: columns.at,
            actor: body.as_ref().map(|body| body.actor.clone()),
            action: columns.action,
            subject: columns.subject,
            agent,
            agent_name,
            transition: columns.transition,
            before: body.as_ref().and_then(|body| body.before.clone()),
            after: body.as_ref().and_then(|body| body.after.clone()),
            outcome: body.as_ref().and_then(|body| body.outcome.clone()),
            why: body.map_or(Value::Null, |body| body.why),
            note,
            hash,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Which audit chain to verify.
#[derive(Deserialize, ToSchema)]
#[schema(as = AuditVerify)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct VerifyBody {
    /// The id of the tenant.
    tenant: TenantId,
}

/// The result of a verification.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditVerified)]
pub(in crate::http) struct VerificationResponse {
    /// The id of the tenant.
    id: TenantId,
    /// The number of entries checked, including the invalid one.
    entries: u64,
    /// Whether all entries and all signed heads are valid.
    verified: bool,
    /// The first invalid entry; null if there is none. Later entries are not checked.
    first_bad: Option<InvalidEntry>,
    /// The number of the first entry that is kept: 1, or a later one if retention has deleted older entries.
    from: u64,
    /// The number of signed heads that the entries were compared with.
    heads: u64,
    /// The invalid heads.
    bad_heads: Vec<BadHead>,
    /// The public keys with which heads must be signed, in base64.
    keys: Vec<String>,
    /// How long the verification took, in milliseconds of real time.
    took_ms: u64,
}

/// Verify an audit chain
///
/// Checks each entry's number, link, hash and stored columns, and compares the chain with its signed heads, like
/// `shiftkeeper audit verify` on the daemon's host. Only one verification runs at a time. It changes nothing and needs
/// no idempotency key.
#[utoipa::path(
    post,
    path = "/api/v1/audit/verify",
    tag = "audit",
    operation_id = "verify_audit",
    request_body = VerifyBody,
    responses((status = 200, description = "The result of the verification.", body = VerificationResponse))
)]
pub(in crate::http) async fn verify(
    State(state): State<ApiState>,
    caller: Caller,
    crate::http::request::extract::Json(VerifyBody { tenant }): crate::http::request::extract::Json<VerifyBody>,
) -> Result<Json<VerificationResponse>, Problem> {
    caller.check_all_teams(&state, Right::Audit, &tenant)?;
    let detail = "a check is running; ask again when it has ended";
    let _slot =
        state.verification_slot.try_acquire().map_err(|_| Problem::from_code(Code::VerificationRunning, detail))?;
    let watch = Stopwatch::start();
    let trust = ChainTrust { keys: &state.audit_keys, heads: &[] };
    let verdict = state.reader.verify_chain(&tenant, trust).await?;
    Ok(Json(VerificationResponse {
        id: tenant,
        entries: verdict.entries,
        verified: verdict.is_valid(),
        first_bad: verdict.first_bad,
        from: verdict.from,
        heads: verdict.heads,
        bad_heads: verdict.bad_heads,
        keys: state.audit_keys.iter().map(ToString::to_string).collect(),
        took_ms: u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ExportQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The number of the first entry; 1 by default.
    from: Option<u64>,
    /// The number of the last entry; by default the last of the chain.
    to: Option<u64>,
    /// Whether to add the agent's id to each line whose agent is still known.
    #[serde(default)]
    #[param(required = false)]
    agents: bool,
}

/// Export an audit chain
///
/// Each line is `{"seq": …, "hash": …, "body": …}`, as `shiftkeeper audit export` writes it. The hash is the SHA-256 of
/// the body, and the body's `prev` is the hash of the previous entry, so anyone can verify the export. The response is
/// streamed, whatever its length.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    tag = "audit",
    operation_id = "export_audit",
    params(ExportQuery),
    responses((status = 200, description = "One JSON object per line.", body = String, content_type = "application/x-ndjson"))
)]
pub(in crate::http) async fn export(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::Audit, &query.tenant)?;
    let (first, last) = (query.from.unwrap_or(1).max(1), query.to.unwrap_or(u64::MAX));
    if last < first {
        return Err(Problem::bad_request("to: must not be before from"));
    }
    let name = format!("attachment; filename=\"audit-{}.jsonl\"", file_name_part(query.tenant.as_str()));
    let mut export = AuditExport {
        reader: state.reader.clone(),
        tenant: query.tenant,
        after: first - 1,
        last,
        subjects: query.agents.then(SubjectCache::default),
        is_finished: false,
    };
    // Report an unreadable log before sending the first line.
    let first_chunk = export.next_chunk().await?;
    let lines = stream::once(std::future::ready(Ok(first_chunk))).chain(remaining_chunks(export));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("attachment"))),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// Returns a tenant's id as part of a file name.
fn file_name_part(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// An export of an audit log in progress.
struct AuditExport {
    reader: Reader,
    tenant: TenantId,
    after: u64,
    last: u64,
    /// The cached subjects, if agents are to be named.
    subjects: Option<SubjectCache>,
    is_finished: bool,
}

impl AuditExport {
    /// Returns the next lines; empty at the end.
    async fn next_chunk(&mut self) -> Result<Bytes, ReadError> {
        let page = self.reader.audit_entries(&self.tenant, self.after, PAGE_LIMIT).await?;
        let Some(newest) = page.last().map(|entry| entry.seq) else {
            self.is_finished = true;
            return Ok(Bytes::new());
        };
        let mut text = String::new();
        for entry in page.iter().filter(|entry| entry.seq <= self.last) {
            let mut line = json!({ "seq": entry.seq, "hash": hex(&entry.hash), "body": entry.body });
            if let Some(names) = &mut self.subjects {
                let known = resolve_subject(&self.reader, &self.tenant, entry, names).await?;
                line["agent"] = json!(known.map(|known| known.agent));
            }
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
        self.after = newest;
        self.is_finished = newest >= self.last;
        Ok(Bytes::from(text))
    }
}

/// Returns the agent that an entry is about.
async fn resolve_subject(
    reader: &Reader,
    tenant: &TenantId,
    entry: &StoredEntry,
    subjects: &mut SubjectCache,
) -> Result<Option<SubjectAgent>, ReadError> {
    let Some(subject) = &entry.columns.subject else { return Ok(None) };
    if let Some(known) = subjects.get(subject) {
        return Ok(known.clone());
    }
    if subjects.len() >= MAX_CACHED_SUBJECTS {
        subjects.clear();
    }
    let known = reader.agent_of_subject(tenant, subject).await?;
    subjects.insert(subject.clone(), known.clone());
    Ok(known)
}

/// Returns the remaining pages, read one at a time.
fn remaining_chunks(export: AuditExport) -> impl stream::Stream<Item = Result<Bytes, ReadError>> + Send {
    stream::try_unfold(export, |mut out| async {
        if out.is_finished {
            return Ok(None);
        }
        let page = out.next_chunk().await?;
        Ok(Some((page, out)))
    })
}
