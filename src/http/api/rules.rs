//! Rules: read with what each did and would have done, edit with a check, enable and disable.

pub(in crate::http) mod approvals;
pub(in crate::http) mod backtests;
pub(in crate::http) mod rule_findings;
pub(super) mod rule_responses;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use self::rule_responses::{RuleCheckResponse, RuleCounts, RuleResponse, RuleVersionResponse, counts_by_rule};
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::catalog::CatalogEntry;
use crate::domain::time::UtcMicros;
use crate::engine::changes::request::IdempotencyKey;
use crate::engine::rules::{RuleChange, RuleEdit, RuleEditError};
use crate::http::auth::{Caller, Right};
use crate::http::problem::{Code, Problem};
use crate::http::request::authorized_request::{AuthorizedRequest, has_tenant};
use crate::http::request::etag::{IfMatch, Version};
use crate::http::request::extract::{Json as Body, Path, Query};
use crate::http::request::idempotency::{IdempotencyKeyHeader, RequestKey, json_answer, run_once_versioned};
use crate::http::request::query::TenantQuery;
use crate::http::request::text::check_length;
use crate::http::state::ApiState;
use crate::store::PAGE_LIMIT;

/// The time over which a list counts by default.
const DEFAULT_SPAN: Duration = Duration::from_hours(24);
/// The longest time over which a list counts.
const MAX_SPAN: Duration = Duration::from_hours(31 * 24);
/// The longest reason, in characters.
const MAX_REASON_CHARS: usize = 500;

/// The tenant, and the time range over which the rules' actions are counted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RulesQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The start of the time range of the counts (inclusive); by default 24 hours before `to`.
    from: Option<UtcMicros>,
    /// The end of the time range of the counts (exclusive); now by default.
    to: Option<UtcMicros>,
}

/// The rules of a tenant.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RulesResponse {
    /// The id of the tenant.
    tenant: TenantId,
    /// The start of the time range of the counts (inclusive).
    from: UtcMicros,
    /// The end of the time range of the counts (exclusive).
    to: UtcMicros,
    /// The rules in the order in which they are evaluated. Rules that are not in force come last.
    rules: Vec<RuleResponse>,
}

/// Returns the span to count over, at most a month.
fn counted_span(
    state: &ApiState,
    from: Option<UtcMicros>,
    to: Option<UtcMicros>,
) -> Result<(UtcMicros, UtcMicros), Problem> {
    let to = to.unwrap_or_else(|| state.readiness.now());
    let from = from.unwrap_or(to - DEFAULT_SPAN);
    if from >= to || to.since(from) > MAX_SPAN {
        return Err(Problem::bad_request("from and to: expects at most 31 days, with `from` before `to`"));
    }
    Ok((from, to))
}

/// List rules
///
/// Returns every rule with the number of changes that it made or would have made.
#[utoipa::path(
    get,
    path = "/api/v1/rules",
    tag = "rules",
    operation_id = "list_rules",
    params(RulesQuery),
    responses((status = 200, description = "The rules.", body = RulesResponse))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<RulesQuery>,
) -> Result<Json<RulesResponse>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let (from, to) = counted_span(&state, query.from, query.to)?;
    let listed = state.keepers.rules(&query.tenant).await?;
    let mut counts = load_counts(&state, &query.tenant, (from, to)).await?;
    let rules = listed
        .iter()
        .map(|rule| RuleResponse::from_listed(rule, counts.remove(&rule.id).unwrap_or_default()))
        .collect();
    Ok(Json(RulesResponse { tenant: query.tenant, from, to, rules }))
}

async fn load_counts(
    state: &ApiState,
    tenant: &TenantId,
    span: (UtcMicros, UtcMicros),
) -> Result<BTreeMap<RuleId, RuleCounts>, Problem> {
    let requested = state.reader.transition_counts_by_rule(tenant, span).await?;
    let findings = state.reader.rule_finding_counts(tenant, span).await?;
    Ok(counts_by_rule(requested, findings))
}

/// Retrieve a rule
///
/// The `ETag` is the version of the rule. Send it as `If-Match` to change the rule.
#[utoipa::path(
    get,
    path = "/api/v1/rules/{id}",
    tag = "rules",
    operation_id = "show_rule",
    params(("id" = RuleId, Path, description = "The id of the rule."), RulesQuery),
    responses((status = 200, description = "The rule.", body = RuleResponse, headers(("ETag" = String, description = "The version of the rule."))))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    Query(query): Query<RulesQuery>,
) -> Result<Response, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let span = counted_span(&state, query.from, query.to)?;
    let listed = state.keepers.rules(&query.tenant).await?;
    let rule =
        listed.iter().find(|rule| rule.id == id).ok_or_else(|| Problem::from(RuleEditError::NoRule(id.clone())))?;
    let counts = load_counts(&state, &query.tenant, span).await?.remove(&id).unwrap_or_default();
    let etag = Version::new(rule.version()).header();
    Ok(([etag], Json(RuleResponse::from_listed(rule, counts))).into_response())
}

/// The new version of a rule.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RuleBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The TOML of one `[[rules]]` table. Its id must be that of the path.
    text: String,
    /// The reason for the change, recorded with the version.
    #[serde(default)]
    reason: Option<String>,
    /// The position of the rule. A rule with a negative number is evaluated before the rules of the configuration, any
    /// other after them. Null means the position of the configuration's rule that it replaces, or 0 if it replaces
    /// none.
    #[serde(default)]
    order: Option<i32>,
    /// Whether the rule is enabled.
    #[serde(default = "yes")]
    enabled: bool,
}

has_tenant!(RuleBody, RuleModeBody, RuleSwitchBody);

const fn yes() -> bool {
    true
}

/// Create or update a rule
///
/// The rule is checked and takes effect at once. Send the version that you read as `If-Match`, or `"0"` for a new rule
/// or for a rule of the configuration, which the new version then replaces.
#[utoipa::path(
    put,
    path = "/api/v1/rules/{id}",
    tag = "rules",
    operation_id = "write_rule",
    params(
        ("id" = RuleId, Path, description = "The id of the rule."),
        ("If-Match" = String, Header, description = "The version that you read, or `\"0\"` for a new rule."),
        IdempotencyKeyHeader,
    ),
    request_body = RuleBody,
    responses(
        (status = 200, description = "The updated rule.", body = RuleResponse),
        (status = 201, description = "The new rule.", body = RuleResponse),
    )
)]
pub(in crate::http) async fn write(
    State(state): State<ApiState>,
    Path(id): Path<RuleId>,
    if_match: IfMatch,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<RuleBody>,
) -> Result<Response, Problem> {
    let change = RuleChange::Write { text: body.text, order: body.order, enabled: body.enabled };
    let request = RuleEditRequest { id, change, reason: body.reason, if_match: Some(if_match) };
    edit_rule(&state, &caller, tenant, key, request).await
}

/// The new mode of a rule.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RuleModeBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The mode.
    mode: Mode,
    /// The reason for the change, recorded with the version.
    #[serde(default)]
    reason: Option<String>,
}

/// Set a rule's mode
///
/// Changing a rule of the configuration creates a copy in the store, which replaces it. `If-Match` is optional and is
/// checked if it is sent.
#[utoipa::path(
    post,
    path = "/api/v1/rules/{id}/mode",
    tag = "rules",
    operation_id = "set_rule_mode",
    params(
        ("id" = RuleId, Path, description = "The id of the rule."),
        ("If-Match" = Option<String>, Header, description = "The version that you read. It is checked if it is sent."),
        IdempotencyKeyHeader,
    ),
    request_body = RuleModeBody,
    responses((status = 200, description = "The updated rule.", body = RuleResponse))
)]
pub(in crate::http) async fn set_mode(
    State(state): State<ApiState>,
    Path(id): Path<RuleId>,
    if_match: Option<IfMatch>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<RuleModeBody>,
) -> Result<Response, Problem> {
    let request = RuleEditRequest { id, change: RuleChange::Mode(body.mode), reason: body.reason, if_match };
    edit_rule(&state, &caller, tenant, key, request).await
}

/// A request to enable or disable a rule.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RuleSwitchBody {
    /// The id of the tenant.
    tenant: TenantId,
    /// The reason for the change, recorded with the version.
    #[serde(default)]
    reason: Option<String>,
}

/// Enable a rule
#[utoipa::path(
    post,
    path = "/api/v1/rules/{id}/enable",
    tag = "rules",
    operation_id = "enable_rule",
    params(
        ("id" = RuleId, Path, description = "The id of the rule."),
        ("If-Match" = Option<String>, Header, description = "The version that you read. It is checked if it is sent."),
        IdempotencyKeyHeader,
    ),
    request_body = RuleSwitchBody,
    responses((status = 200, description = "The updated rule.", body = RuleResponse))
)]
pub(in crate::http) async fn enable(
    State(state): State<ApiState>,
    Path(id): Path<RuleId>,
    if_match: Option<IfMatch>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<RuleSwitchBody>,
) -> Result<Response, Problem> {
    let request = RuleEditRequest { id, change: RuleChange::Enable(true), reason: body.reason, if_match };
    edit_rule(&state, &caller, tenant, key, request).await
}

/// Disable a rule
///
/// The rule stays in the store and can be enabled again.
#[utoipa::path(
    post,
    path = "/api/v1/rules/{id}/disable",
    tag = "rules",
    operation_id = "disable_rule",
    params(
        ("id" = RuleId, Path, description = "The id of the rule."),
        ("If-Match" = Option<String>, Header, description = "The version that you read. It is checked if it is sent."),
        IdempotencyKeyHeader,
    ),
    request_body = RuleSwitchBody,
    responses((status = 200, description = "The updated rule.", body = RuleResponse))
)]
pub(in crate::http) async fn disable(
    State(state): State<ApiState>,
    Path(id): Path<RuleId>,
    if_match: Option<IfMatch>,
    AuthorizedRequest { caller, tenant, body, key }: AuthorizedRequest<RuleSwitchBody>,
) -> Result<Response, Problem> {
    let request = RuleEditRequest { id, change: RuleChange::Enable(false), reason: body.reason, if_match };
    edit_rule(&state, &caller, tenant, key, request).await
}

/// The tenant of the rule to remove, and the reason.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RemoveRuleQuery {
    /// The id of the tenant.
    tenant: TenantId,
    /// The reason for the change, recorded with the version.
    reason: Option<String>,
}

/// A rule that was removed from the store.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RemovedRuleResponse {
    /// The id of the tenant.
    tenant: TenantId,
    /// The id of the rule.
    id: RuleId,
    /// `configuration` if the configuration has a rule with this id, which is in force again; null otherwise.
    back_to: Option<&'static str>,
}

/// Remove a rule from the store
///
/// If the configuration has a rule with the same id, it is in force again. The versions of the removed rule can still
/// be read.
#[utoipa::path(
    delete,
    path = "/api/v1/rules/{id}",
    tag = "rules",
    operation_id = "remove_rule",
    params(
        ("id" = RuleId, Path, description = "The id of the rule."),
        RemoveRuleQuery,
        ("If-Match" = String, Header, description = "The version that you read."),
        IdempotencyKeyHeader,
    ),
    responses((status = 200, description = "The rule was removed.", body = RemovedRuleResponse))
)]
pub(in crate::http) async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    Query(query): Query<RemoveRuleQuery>,
    if_match: IfMatch,
    key: RequestKey,
) -> Result<Response, Problem> {
    let key = key.into_key(&[]);
    let request = RuleEditRequest { id, change: RuleChange::Remove, reason: query.reason, if_match: Some(if_match) };
    edit_rule(&state, &caller, query.tenant, key, request).await
}

/// A change of one rule, for the keeper.
struct RuleEditRequest {
    id: RuleId,
    change: RuleChange,
    reason: Option<String>,
    if_match: Option<IfMatch>,
}

async fn edit_rule(
    state: &ApiState,
    caller: &Caller,
    tenant: TenantId,
    key: Option<IdempotencyKey>,
    request: RuleEditRequest,
) -> Result<Response, Problem> {
    caller.check_all_teams(state, Right::EditRules, &tenant)?;
    let RuleEditRequest { id, change, reason, if_match } = request;
    check_length("reason", reason.as_deref(), MAX_REASON_CHARS)?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let (keepers, owner, requester) = (state.keepers.clone(), tenant.clone(), caller.requester());
    let work = async move {
        let version = match if_match {
            None => None,
            Some(if_match) => {
                let known = keepers.rules(&owner).await?;
                let version = known.iter().find(|rule| rule.id == id).map_or(0, CatalogEntry::version);
                if_match
                    .check(&Version::new(version))
                    .map_err(|problem| problem.with_member("version", json!(version)))?;
                Some(version)
            }
        };
        let edit = RuleEdit { rule: id.clone(), change, version, reason, requester };
        let edited = keepers.edit_rule(&owner, edit.clone()).await??;
        if edit.change == RuleChange::Remove {
            let back_to = edited.rule.map(|_| "configuration");
            return Ok(json_answer(StatusCode::OK, &RemovedRuleResponse { tenant: owner, id, back_to }));
        }
        let rule = edited.rule.ok_or_else(|| Problem::from(RuleEditError::NoRule(id)))?;
        let status = if edited.is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(json_answer(status, &RuleResponse::from_listed(&rule, RuleCounts::default())))
    };
    run_once_versioned(state, caller, Some(&tenant), key, work).await
}

impl From<RuleEditError> for Problem {
    fn from(refused: RuleEditError) -> Self {
        let detail = refused.to_string();
        match refused {
            RuleEditError::NoRule(_) => Self::from_code(Code::NoSuchRule, detail),
            RuleEditError::NotStored(_) => Self::from_code(Code::RuleNotStored, detail),
            RuleEditError::Changed { version, .. } => {
                Self::from_code(Code::ChangedMeanwhile, detail).with_member("version", json!(version))
            }
            RuleEditError::Invalid(complaints) => {
                Self::from_code(Code::RuleRefused, detail).with_member("complaints", json!(complaints))
            }
            RuleEditError::TooMany => Self::from_code(Code::TooManyRules, detail),
        }
    }
}

/// The text of a rule to check.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CheckRuleBody {
    /// The id of the tenant, with whose other rules the text is checked.
    tenant: TenantId,
    /// The TOML of one `[[rules]]` table.
    text: String,
}

/// Check a rule
///
/// Changes nothing, and needs neither an idempotency key nor the right to edit rules.
#[utoipa::path(
    post,
    path = "/api/v1/rules/check",
    tag = "rules",
    operation_id = "check_rule",
    request_body = CheckRuleBody,
    responses((status = 200, description = "The errors and warnings, by line.", body = RuleCheckResponse))
)]
pub(in crate::http) async fn check(
    State(state): State<ApiState>,
    caller: Caller,
    Body(body): Body<CheckRuleBody>,
) -> Result<Json<RuleCheckResponse>, Problem> {
    caller.check(&state, Right::Read, &body.tenant)?;
    let checked = state.keepers.check_rule(&body.tenant, body.text).await?;
    Ok(Json(RuleCheckResponse::from_check(checked)))
}

/// The versions of a rule.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RuleVersionsResponse {
    /// The versions, newest first, at most 500.
    versions: Vec<RuleVersionResponse>,
}

/// List the versions of a rule
///
/// Returns the versions in the store.
#[utoipa::path(
    get,
    path = "/api/v1/rules/{id}/versions",
    tag = "rules",
    operation_id = "rule_versions",
    params(("id" = RuleId, Path, description = "The id of the rule."), TenantQuery),
    responses((status = 200, description = "The versions; empty for a rule that exists only in the configuration.", body = RuleVersionsResponse))
)]
pub(in crate::http) async fn versions(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    Query(TenantQuery { tenant }): Query<TenantQuery>,
) -> Result<Json<RuleVersionsResponse>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let versions = state.reader.rule_editions_of(&tenant, &id, PAGE_LIMIT).await?;
    Ok(Json(RuleVersionsResponse { versions: versions.iter().map(RuleVersionResponse::from_edition).collect() }))
}
