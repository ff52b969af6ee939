//! Rules: looked at with what each did and would have done, written with their check, switched.

pub(in crate::http) mod approvals;
pub(in crate::http) mod rule_findings;
pub(super) mod rule_shapes;
pub(in crate::http) mod rule_trials;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use self::rule_shapes::{CheckedView, Counts, RuleVersionView, RuleView, counts_by_rule};
use crate::domain::ids::{RuleId, TenantId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::shelf::Listed;
use crate::domain::time::UtcMicros;
use crate::engine::rules::{EditRefused, RuleChange, RuleEdit};
use crate::http::ApiState;
use crate::http::auth::{Caller, Right};
use crate::http::etag::{IfMatch, Version};
use crate::http::extract::{Json as Body, Path, Query};
use crate::http::problem::{Code, Problem};
use crate::http::request_key::{KeyHeader, RequestKey, answer, once_versioned};
use crate::store::PAGE_LIMIT;

/// What a list counts where nobody says.
const USUAL_SPAN: Duration = Duration::from_hours(24);
/// The longest span that is counted.
const LONGEST_SPAN: Duration = Duration::from_hours(31 * 24);
/// The longest reason, in characters.
const LONGEST_WHY: usize = 500;

/// Which tenant, and which span is counted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RulesQuery {
    /// Whose rules.
    tenant: TenantId,
    /// What they did is counted from here; 24 hours before `to` without it.
    from: Option<UtcMicros>,
    /// To here; now without it.
    to: Option<UtcMicros>,
}

/// Which tenant is meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    /// Whose.
    tenant: TenantId,
}

/// The rules of a tenant.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RulesView {
    /// Whose.
    tenant: TenantId,
    /// What they did is counted from here.
    from: UtcMicros,
    /// To here.
    to: UtcMicros,
    /// In the order in which they are tried; those out of force at the end.
    rules: Vec<RuleView>,
}

/// A span of at most a month.
fn span(state: &ApiState, from: Option<UtcMicros>, to: Option<UtcMicros>) -> Result<(UtcMicros, UtcMicros), Problem> {
    let to = to.unwrap_or_else(|| state.readiness.now());
    let from = from.unwrap_or(to - USUAL_SPAN);
    if from >= to || to.since(from) > LONGEST_SPAN {
        return Err(Problem::bad_request("from and to: a span of at most 31 days, `from` before `to`"));
    }
    Ok((from, to))
}

/// Every rule, with what it did and would have done
#[utoipa::path(
    get,
    path = "/api/v1/rules",
    tag = "rules",
    operation_id = "list_rules",
    params(RulesQuery),
    responses((status = 200, description = "the rules", body = RulesView))
)]
pub(in crate::http) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<RulesQuery>,
) -> Result<Json<RulesView>, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let (from, to) = span(&state, query.from, query.to)?;
    let listed = state.door.rules(&query.tenant).await?;
    let mut counts = counted(&state, &query.tenant, (from, to)).await?;
    let rules = listed.iter().map(|rule| RuleView::of(rule, counts.remove(&rule.id).unwrap_or_default())).collect();
    Ok(Json(RulesView { tenant: query.tenant, from, to, rules }))
}

async fn counted(
    state: &ApiState,
    tenant: &TenantId,
    span: (UtcMicros, UtcMicros),
) -> Result<BTreeMap<RuleId, Counts>, Problem> {
    let asked = state.reader.asked_by_rules(tenant, span).await?;
    let found = state.reader.rule_finding_counts(tenant, span).await?;
    Ok(counts_by_rule(asked, found))
}

/// One rule
///
/// Its `ETag` is the version that a change names as `If-Match`.
#[utoipa::path(
    get,
    path = "/api/v1/rules/{id}",
    tag = "rules",
    operation_id = "show_rule",
    params(("id" = RuleId, Path, description = "The rule."), RulesQuery),
    responses((status = 200, description = "the rule", body = RuleView, headers(("ETag" = String, description = "Its version."))))
)]
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    Query(query): Query<RulesQuery>,
) -> Result<Response, Problem> {
    caller.check(&state, Right::Read, &query.tenant)?;
    let span = span(&state, query.from, query.to)?;
    let listed = state.door.rules(&query.tenant).await?;
    let rule =
        listed.iter().find(|rule| rule.id == id).ok_or_else(|| Problem::from(EditRefused::NoRule(id.clone())))?;
    let counts = counted(&state, &query.tenant, span).await?.remove(&id).unwrap_or_default();
    let etag = Version::of(rule.version()).header();
    Ok(([etag], Json(RuleView::of(rule, counts))).into_response())
}

/// A rule as it is to be.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WrittenRule {
    /// Whose.
    tenant: TenantId,
    /// TOML of one `[[rules]]` table, with the id of the address.
    text: String,
    /// Why it is changed, for the record.
    #[serde(default)]
    reason: Option<String>,
    /// Below 0 it is tried before the configuration's, from 0 on behind them; null: in the place of the configuration's rule that it
    /// stands in for, or as 0.
    #[serde(default)]
    order: Option<i32>,
    /// Whether it is in force.
    #[serde(default = "yes")]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

/// Write a rule
///
/// It takes effect at once, where it passes the check. `If-Match` is the version that was read, `"0"` for a new rule or one of the
/// configuration, which it then stands in for.
#[utoipa::path(
    put,
    path = "/api/v1/rules/{id}",
    tag = "rules",
    operation_id = "write_rule",
    params(
        ("id" = RuleId, Path, description = "The rule."),
        ("If-Match" = String, Header, description = "The version that was read."),
        KeyHeader,
    ),
    request_body = WrittenRule,
    responses(
        (status = 200, description = "it is in force, or switched off as asked", body = RuleView),
        (status = 201, description = "the same of a rule that is new", body = RuleView),
    )
)]
pub(in crate::http) async fn write(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    if_match: IfMatch,
    key: RequestKey,
    Body(body): Body<WrittenRule>,
) -> Result<Response, Problem> {
    let key = key.with_json(&body)?;
    let WrittenRule { tenant, text, reason, order, enabled } = body;
    let change = RuleChange::Write { text, order, enabled };
    let wish = Wish { id, change, reason, if_match: Some(if_match) };
    edit(&state, &caller, tenant, key, wish).await
}

/// Another mode.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NewMode {
    /// Whose.
    tenant: TenantId,
    /// Which.
    mode: Mode,
    /// Why, for the record.
    #[serde(default)]
    reason: Option<String>,
}

/// Set a rule's mode
///
/// A rule of the configuration gets a copy in the store that stands in for it. `If-Match` is looked at where it is sent.
#[utoipa::path(
    post,
    path = "/api/v1/rules/{id}/mode",
    tag = "rules",
    operation_id = "set_rule_mode",
    params(
        ("id" = RuleId, Path, description = "The rule."),
        ("If-Match" = Option<String>, Header, description = "The version that was read; looked at where it is sent."),
        KeyHeader,
    ),
    request_body = NewMode,
    responses((status = 200, description = "the rule as it is now", body = RuleView))
)]
pub(in crate::http) async fn set_mode(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    MaybeIfMatch(if_match): MaybeIfMatch,
    key: RequestKey,
    Body(body): Body<NewMode>,
) -> Result<Response, Problem> {
    let key = key.with_json(&body)?;
    let wish = Wish { id, change: RuleChange::Mode(body.mode), reason: body.reason, if_match };
    edit(&state, &caller, body.tenant, key, wish).await
}

/// A switch.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Switch {
    /// Whose.
    tenant: TenantId,
    /// Why, for the record.
    #[serde(default)]
    reason: Option<String>,
}

/// Put a rule in force
#[utoipa::path(
    post,
    path = "/api/v1/rules/{id}/enable",
    tag = "rules",
    operation_id = "enable_rule",
    params(
        ("id" = RuleId, Path, description = "The rule."),
        ("If-Match" = Option<String>, Header, description = "The version that was read; looked at where it is sent."),
        KeyHeader,
    ),
    request_body = Switch,
    responses((status = 200, description = "the rule as it is now", body = RuleView))
)]
pub(in crate::http) async fn enable(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    MaybeIfMatch(if_match): MaybeIfMatch,
    key: RequestKey,
    Body(body): Body<Switch>,
) -> Result<Response, Problem> {
    switch(&state, &caller, key, (id, true, if_match), body).await
}

/// Take a rule out of force
///
/// It stays in the store, and can be put in force again.
#[utoipa::path(
    post,
    path = "/api/v1/rules/{id}/disable",
    tag = "rules",
    operation_id = "disable_rule",
    params(
        ("id" = RuleId, Path, description = "The rule."),
        ("If-Match" = Option<String>, Header, description = "The version that was read; looked at where it is sent."),
        KeyHeader,
    ),
    request_body = Switch,
    responses((status = 200, description = "the rule as it is now", body = RuleView))
)]
pub(in crate::http) async fn disable(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    MaybeIfMatch(if_match): MaybeIfMatch,
    key: RequestKey,
    Body(body): Body<Switch>,
) -> Result<Response, Problem> {
    switch(&state, &caller, key, (id, false, if_match), body).await
}

async fn switch(
    state: &ApiState,
    caller: &Caller,
    key: RequestKey,
    (id, on, if_match): (RuleId, bool, Option<IfMatch>),
    body: Switch,
) -> Result<Response, Problem> {
    let key = key.with_json(&body)?;
    let wish = Wish { id, change: RuleChange::Enable(on), reason: body.reason, if_match };
    edit(state, caller, body.tenant, key, wish).await
}

/// Which tenant's rule goes, and why.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Removal {
    /// Whose.
    tenant: TenantId,
    /// Why, for the record.
    reason: Option<String>,
}

/// A rule that was taken out of the store.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Removed {
    /// Whose.
    tenant: TenantId,
    /// Which.
    id: RuleId,
    /// `configuration` where the configuration's rule of that id is back.
    back_to: Option<&'static str>,
}

/// Take a rule out of the store
///
/// The configuration's rule of its id, where there is one, is in force again. Its versions stay to be read.
#[utoipa::path(
    delete,
    path = "/api/v1/rules/{id}",
    tag = "rules",
    operation_id = "remove_rule",
    params(
        ("id" = RuleId, Path, description = "The rule."),
        Removal,
        ("If-Match" = String, Header, description = "The version that was read."),
        KeyHeader,
    ),
    responses((status = 200, description = "it is out of the store", body = Removed))
)]
pub(in crate::http) async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    Query(query): Query<Removal>,
    if_match: IfMatch,
    key: RequestKey,
) -> Result<Response, Problem> {
    let key = key.with(&[]);
    let wish = Wish { id, change: RuleChange::Remove, reason: query.reason, if_match: Some(if_match) };
    edit(&state, &caller, query.tenant, key, wish).await
}

/// A change of one rule on its way to the keeper.
struct Wish {
    id: RuleId,
    change: RuleChange,
    reason: Option<String>,
    if_match: Option<IfMatch>,
}

async fn edit(
    state: &ApiState,
    caller: &Caller,
    tenant: TenantId,
    key: Option<crate::engine::changes::door::IdempotencyKey>,
    wish: Wish,
) -> Result<Response, Problem> {
    caller.check_whole(state, Right::EditRules, &tenant)?;
    let Wish { id, change, reason, if_match } = wish;
    check_words(reason.as_deref())?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let (door, of, asker) = (state.door.clone(), tenant.clone(), caller.asker());
    let work = async move {
        let version = match if_match {
            None => None,
            Some(if_match) => {
                let known = door.rules(&of).await?;
                let version = known.iter().find(|rule| rule.id == id).map_or(0, Listed::version);
                if_match.check(&Version::of(version)).map_err(|problem| problem.with("version", json!(version)))?;
                Some(version)
            }
        };
        let edit = RuleEdit { rule: id.clone(), change, version, why: reason, asker };
        let edited = door.edit_rule(&of, edit.clone()).await??;
        if edit.change == RuleChange::Remove {
            let back_to = edited.rule.map(|_| "configuration");
            return Ok(answer(StatusCode::OK, &Removed { tenant: of, id, back_to }));
        }
        let rule = edited.rule.ok_or_else(|| Problem::from(EditRefused::NoRule(id)))?;
        let status = if edited.is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(answer(status, &RuleView::of(&rule, Counts::default())))
    };
    once_versioned(state, caller, Some(&tenant), key, work).await
}

/// Typed words have a limit.
pub(super) fn check_words(words: Option<&str>) -> Result<(), Problem> {
    if words.is_some_and(|words| words.chars().count() > LONGEST_WHY) {
        return Err(Problem::bad_request(format!("reason: at most {LONGEST_WHY} characters")));
    }
    Ok(())
}

/// `If-Match` where it is sent.
pub(in crate::http) struct MaybeIfMatch(Option<IfMatch>);

impl<S: Sync> FromRequestParts<S> for MaybeIfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if !parts.headers.contains_key(IF_MATCH) {
            return Ok(Self(None));
        }
        IfMatch::from_request_parts(parts, state).await.map(|if_match| Self(Some(if_match)))
    }
}

impl From<EditRefused> for Problem {
    fn from(refused: EditRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            EditRefused::NoRule(_) => Self::of(Code::NoSuchRule, detail),
            EditRefused::NotInStore(_) => Self::of(Code::RuleNotStored, detail),
            EditRefused::Changed { version, .. } => {
                Self::of(Code::ChangedMeanwhile, detail).with("version", json!(version))
            }
            EditRefused::Wrong(complaints) => Self::of(Code::RuleRefused, detail).with("complaints", json!(complaints)),
            EditRefused::TooMany => Self::of(Code::TooManyRules, detail),
        }
    }
}

/// A text to be checked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RuleText {
    /// Beside whose rules.
    tenant: TenantId,
    /// TOML of one `[[rules]]` table.
    text: String,
}

/// Check a rule
///
/// Nothing is changed; it takes the right to look, and no key.
#[utoipa::path(
    post,
    path = "/api/v1/rules/check",
    tag = "rules",
    operation_id = "check_rule",
    request_body = RuleText,
    responses((status = 200, description = "what is wrong with it, by line", body = CheckedView))
)]
pub(in crate::http) async fn check(
    State(state): State<ApiState>,
    caller: Caller,
    Body(body): Body<RuleText>,
) -> Result<Json<CheckedView>, Problem> {
    caller.check(&state, Right::Read, &body.tenant)?;
    let checked = state.door.check_rule(&body.tenant, body.text).await?;
    Ok(Json(CheckedView::of(checked)))
}

/// The versions of a rule.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct VersionsView {
    /// Newest first, at most 500.
    versions: Vec<RuleVersionView>,
}

/// Every version of a rule that the store has
#[utoipa::path(
    get,
    path = "/api/v1/rules/{id}/versions",
    tag = "rules",
    operation_id = "rule_versions",
    params(("id" = RuleId, Path, description = "The rule."), OfTenant),
    responses((status = 200, description = "none of a rule that is the configuration's alone", body = VersionsView))
)]
pub(in crate::http) async fn versions(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<RuleId>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<VersionsView>, Problem> {
    caller.check(&state, Right::Read, &tenant)?;
    let editions = state.reader.rule_editions_of(&tenant, &id, PAGE_LIMIT).await?;
    Ok(Json(VersionsView { versions: editions.iter().map(RuleVersionView::of).collect() }))
}
