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

/// A page of the chain.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AuditEntriesResponse {
    /// The newest first. One request looks through 100,000 entries at most, of all or of the person who is named: there may be few
    /// here and more behind `next`.
    entries: Vec<AuditEntryResponse>,
    /// The `cursor` of the next page, down to which all was looked through; null when all was looked through.
    next: Option<u64>,
    /// The agents that `agent` stands for; empty where it is not given, and where nobody is called so.
    about: Vec<MatchedAgent>,
    /// The end of the chain.
    last: ChainEnd,
}

/// The end of a chain.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ChainEnd {
    /// The number of the last entry; 0 for an empty chain.
    seq: u64,
    /// Its hash, in hexadecimal.
    hash: String,
}

/// An entry, as it is stored; whether it holds is for a check to say.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(in crate::http) struct AuditEntryResponse {
    /// The number in the chain.
    seq: u64,
    /// When it happened.
    at: UtcMicros,
    /// Who or what: `person:` and an id, `rule:` and an id, or `daemon`.
    actor: Option<String>,
    /// What was done.
    action: String,
    /// The random name of the agent concerned.
    subject: Option<String>,
    /// The agent; null where it was erased or the entry is about none.
    agent: Option<AgentId>,
    /// The agent's name.
    agent_name: Option<String>,
    /// The transition concerned.
    transition: Option<String>,
    /// The state before.
    before: Option<String>,
    /// The state wanted or reached.
    after: Option<String>,
    /// How it ended, where it ended.
    outcome: Option<String>,
    /// The facts.
    #[schema(value_type = Value)]
    why: Value,
    /// What a person typed; null where nothing was, or where it was erased.
    note: Option<String>,
    /// The entry's hash, in hexadecimal.
    hash: String,
}

/// Audit entries, newest first
///
/// As they are stored, with agents' names where the subject is still known.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    operation_id = "list_audit",
    params(AuditQuery),
    responses((status = 200, description = "a page", body = AuditEntriesResponse))
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

/// The body of a check.
#[derive(Deserialize, ToSchema)]
#[schema(as = AuditVerify)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct VerifyBody {
    /// Whose chain.
    tenant: TenantId,
}

/// How a chain holds.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditVerified)]
pub(in crate::http) struct VerificationResponse {
    /// The tenant.
    id: TenantId,
    /// Entries looked at, the bad one included.
    entries: u64,
    /// All of them hold, and so do the heads.
    verified: bool,
    /// The first that does not; what comes after it was not looked at.
    first_bad: Option<InvalidEntry>,
    /// The first entry there is: 1, or what retention has left.
    from: u64,
    /// Signed heads that the entries were held against.
    heads: u64,
    /// Heads that do not hold.
    bad_heads: Vec<BadHead>,
    /// The public keys that heads must be signed with.
    keys: Vec<String>,
    /// How long it took, in real milliseconds.
    took_ms: u64,
}

/// Check a chain
///
/// Every entry: number, link, hash, the columns beside it, and what signed heads say of it, as `shiftkeeper audit verify` does on this
/// host. One check goes at a time. It changes nothing, so it takes no key.
#[utoipa::path(
    post,
    path = "/api/v1/audit/verify",
    tag = "audit",
    operation_id = "verify_audit",
    request_body = VerifyBody,
    responses((status = 200, description = "how it holds", body = VerificationResponse))
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
    /// Whose chain.
    tenant: TenantId,
    /// The first entry, by its number; 1 without it.
    from: Option<u64>,
    /// The last entry, by its number; the last there is without it.
    to: Option<u64>,
    /// Add the agent's id to each line whose subject is still known.
    #[serde(default)]
    #[param(required = false)]
    agents: bool,
}

/// Write a chain out
///
/// A line is `{"seq": …, "hash": …, "body": …}`, as `shiftkeeper audit export` writes it: SHA-256 of the body is the hash, and the `prev`
/// in it is the hash of the entry before, so that anyone can check it. It comes as it is read, however long it is.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    tag = "audit",
    operation_id = "export_audit",
    params(ExportQuery),
    responses((status = 200, description = "a JSON object a line", body = String, content_type = "application/x-ndjson"))
)]
pub(in crate::http) async fn export(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    caller.check_all_teams(&state, Right::Audit, &query.tenant)?;
    let (first, last) = (query.from.unwrap_or(1).max(1), query.to.unwrap_or(u64::MAX));
    if last < first {
        return Err(Problem::bad_request("to: not before from"));
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
