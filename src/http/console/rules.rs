//! The rules pages: what each rule did and would have done, and its text with a check and backtests.

pub(super) mod approvals;

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::changes::agent_changes::{AgentChange, AgentChangeList};
use super::live::live_view::LiveView;
use super::shared::page_error::PageError;
use super::shared::page_request::PageRequest;
use super::shared::shell::{ConsolePage, Shell, render_page};
use crate::domain::time::UtcMicros;
use crate::http::api::rules;
use crate::http::api::rules::rule_findings;
use crate::http::auth::Right;
use crate::http::request::extract::Path;
use crate::http::state::ApiState;

/// How far back the activity of rules is counted and listed.
const COUNT_PERIOD: Duration = Duration::from_hours(24);

/// A rule, as the API returns it.
#[derive(Deserialize)]
struct Rule {
    id: String,
    origin: String,
    version: u64,
    text: String,
    mode: String,
    enabled: bool,
    class: String,
    wants: String,
    in_force: bool,
    why_not: Option<String>,
    changed_at: Option<UtcMicros>,
    changed_by: Option<String>,
    why: Option<String>,
    counts: RuleCounts,
}

#[derive(Deserialize)]
struct RuleCounts {
    would: u64,
    would_agents: u64,
    told: u64,
    reversed: u64,
    held: Vec<GuardCount>,
    transitions: TransitionCounts,
}

impl RuleCounts {
    fn held_total(&self) -> u64 {
        self.held.iter().map(|held| held.times).sum()
    }
}

#[derive(Deserialize)]
struct GuardCount {
    guard: String,
    times: u64,
}

#[derive(Deserialize)]
struct TransitionCounts {
    total: u64,
    open: u64,
    by_status: Vec<StatusCount>,
}

#[derive(Deserialize)]
struct StatusCount {
    status: String,
    count: u64,
}

#[derive(Deserialize)]
struct RuleList {
    from: UtcMicros,
    rules: Vec<Rule>,
}

/// Returns the text of a rule's mode.
fn mode(name: &str) -> &str {
    match name {
        "enforce" => "enforcing",
        "approve" => "requires approval",
        "watch" => "monitoring",
        other => other,
    }
}

/// Returns the text of a rule's class.
fn class(name: &str) -> &str {
    match name {
        "mandatory_break" => "mandatory breaks: evaluated before all other rules, and sent ahead of people's changes",
        "schedule" => "schedule: evaluated after mandatory breaks, and sent behind people's changes",
        "housekeeping" => "housekeeping: evaluated after all other rules, and sent behind their changes",
        other => other,
    }
}

/// Returns the text of a rule's origin.
fn origin(name: &str) -> &str {
    match name {
        "configuration" => "from the configuration",
        "store" => "created here",
        "replaced" => "edited here, replacing the configuration's",
        other => other,
    }
}

#[derive(Template)]
#[template(path = "rules/rules.html")]
struct RulesPage {
    shell: Shell,
    from: UtcMicros,
    rules: Vec<Rule>,
    may: bool,
}

/// `GET /rules`.
pub(in crate::http) async fn list(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let RuleList { from, rules } = request.api("/api/v1/rules").call(&state, rules::list).await?;
    let (shell, may) = (request.shell(ConsolePage::Rules, "Rules"), request.has_right(Right::EditRules));
    Ok(render_page(&RulesPage { shell, from, rules, may }))
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the API calls it so")]
struct Version {
    version: u64,
    text: String,
    mode: String,
    enabled: bool,
    removed: bool,
    at: UtcMicros,
    by: String,
    why: Option<String>,
}

#[derive(Deserialize)]
struct VersionList {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Finding {
    at: UtcMicros,
    kind: String,
    agent: String,
    name: Option<String>,
    team: Option<String>,
    wants: String,
    because: String,
    guard: Option<String>,
}

impl Finding {
    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.agent)
    }

    fn what(&self) -> &str {
        match self.kind.as_str() {
            "would" => "would have changed",
            "told" => "notified",
            "held" => "held",
            "reversed" => "reverted by the agent",
            other => other,
        }
    }
}

#[derive(Deserialize)]
struct FindingList {
    findings: Vec<Finding>,
}

#[derive(Template)]
#[template(path = "rules/rule.html")]
struct RulePage {
    shell: Shell,
    rule: Rule,
    versions: Vec<Version>,
    findings: Vec<Finding>,
    did: RuleActivity,
    may: bool,
    new: bool,
}

/// A page of a rule's activity in the counted time.
#[derive(Default)]
struct RuleActivity {
    changes: Vec<AgentChange>,
    /// The cursor of the next page.
    older: Option<String>,
    /// Whether this is not the first page.
    later: bool,
    /// The known names of agents by id.
    names: HashMap<String, String>,
}

impl RuleActivity {
    async fn read(
        state: &ApiState,
        request: &PageRequest,
        id: &str,
        (from, to): (&str, &str),
    ) -> Result<Self, PageError> {
        let cursor = request.value("did").unwrap_or_default();
        let query = [("rule", id), ("from", from), ("to", to), ("cursor", cursor)];
        let AgentChangeList { changes, next: older } = AgentChangeList::read(state, request, &query).await?;
        let live_view = LiveView::load(state, request).await;
        let agents = live_view.iter().flat_map(LiveView::agents);
        let names =
            agents.filter_map(|agent| Some((agent.id.to_string(), agent.name.as_deref()?.to_owned()))).collect();
        Ok(Self { changes, older, later: !cursor.is_empty(), names })
    }

    fn name<'a>(&'a self, change: &'a AgentChange) -> &'a str {
        let id = change.0.agent.as_str();
        self.names.get(id).map_or(id, String::as_str)
    }
}

/// The text that a new rule starts with: complete, and in the mode for monitoring.
const NEW_RULE: &str = "[[rules]]\nid       = \"my-rule\"\nwhen     = { planned = \"work\", state = [\"Paused\", \"NotReady\"], for = \"5m\" }\n\
                        unless   = { on_contact = true }\nthen     = { set_state = \"Ready\", reason = \"WORKING\" }\nmode     = \"watch\"\n\
                        cooldown = \"5m\"\n";

fn empty_rule() -> Rule {
    Rule {
        id: String::new(),
        origin: String::new(),
        version: 0,
        text: NEW_RULE.to_owned(),
        mode: "watch".to_owned(),
        enabled: true,
        class: String::new(),
        wants: String::new(),
        in_force: false,
        why_not: None,
        changed_at: None,
        changed_by: None,
        why: None,
        counts: RuleCounts {
            would: 0,
            would_agents: 0,
            told: 0,
            reversed: 0,
            held: Vec::new(),
            transitions: TransitionCounts { total: 0, open: 0, by_status: Vec::new() },
        },
    }
}

/// `GET /rules/new`.
pub(in crate::http) async fn new(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::EditRules)?;
    let shell = request.shell(ConsolePage::Rules, "New rule");
    let (rule, versions, findings, did) = (empty_rule(), Vec::new(), Vec::new(), RuleActivity::default());
    Ok(render_page(&RulePage { shell, rule, versions, findings, did, may: true, new: true }))
}

/// `GET /rules/{id}`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    // Counts and lists cover the same time.
    let (from, to) = ((request.now - COUNT_PERIOD).to_string(), request.now.to_string());
    let rule: Rule = request
        .api("/api/v1/rules/{id}")
        .id(&id)
        .query(&[("from", &from), ("to", &to)])
        .call(&state, rules::show)
        .await?;
    let VersionList { versions } =
        request.api("/api/v1/rules/{id}/versions").id(&id).call(&state, rules::versions).await?;
    let query = [("rule", id.as_str()), ("limit", "50")];
    let FindingList { findings } =
        request.api("/api/v1/rule-findings").query(&query).call(&state, rule_findings::list).await?;
    let did = RuleActivity::read(&state, &request, &id, (&from, &to)).await?;
    let (shell, may) = (request.shell(ConsolePage::Rules, format!("Rule {id}")), request.has_right(Right::EditRules));
    Ok(render_page(&RulePage { shell, rule, versions, findings, did, may, new: false }))
}
