//! Rules: what each did and would have done, its text with a check and trials on history.

pub(super) mod approvals;

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::changes::done::{Change, Changes};
use super::live::picture::Picture;
use super::shared::ask::Ask;
use super::shared::failure::Failure;
use super::shared::read::{Want, read};
use super::shared::shell::{Place, Shell, page};
use super::shared::times::{Stamp, Times};
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::rules;
use crate::http::api::rules::rule_findings;
use crate::http::auth::Right;
use crate::http::extract::Path;

/// What a rule did is counted and listed so far back.
const COUNTED: Duration = Duration::from_hours(24);

/// A rule as the API shows it.
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
    counts: Counts,
}

#[derive(Deserialize)]
struct Counts {
    would: u64,
    would_agents: u64,
    told: u64,
    reversed: u64,
    held: Vec<Held>,
    transitions: Done,
}

impl Counts {
    fn held_total(&self) -> u64 {
        self.held.iter().map(|held| held.times).sum()
    }
}

#[derive(Deserialize)]
struct Held {
    guard: String,
    times: u64,
}

#[derive(Deserialize)]
struct Done {
    total: u64,
    open: u64,
    by_status: Vec<ByStatus>,
}

#[derive(Deserialize)]
struct ByStatus {
    status: String,
    count: u64,
}

#[derive(Deserialize)]
struct Rules {
    from: UtcMicros,
    rules: Vec<Rule>,
}

/// A rule's mode, in words.
fn mode(name: &str) -> (&'static str, &str) {
    match name {
        "enforce" => ("outcome-good", "enforcing"),
        "approve" => ("outcome-wait", "requires approval"),
        "watch" => ("outcome-no", "monitoring"),
        other => ("outcome-no", other),
    }
}

/// What a class is, in words.
fn class(name: &str) -> &str {
    match name {
        "mandatory_break" => "mandatory breaks: evaluated before all other rules, and sent ahead of people's changes",
        "schedule" => "schedule: evaluated after mandatory breaks, and sent behind people's changes",
        "housekeeping" => "housekeeping: evaluated after all other rules, and sent behind their changes",
        other => other,
    }
}

/// Where a rule comes from, in words.
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
    times: Times,
    from: UtcMicros,
    rules: Vec<Rule>,
    may: bool,
}

impl RulesPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }
}

/// `GET /rules`.
pub(in crate::http) async fn list(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let want = Want { route: "/api/v1/rules", id: None, query: &[] };
    let Rules { from, rules } = read(&state, &ask, want, rules::list).await?;
    let (shell, may) = (ask.shell(Place::Rules, "Rules"), ask.has(Right::EditRules));
    Ok(page(&RulesPage { shell, times: ask.times, from, rules, may }))
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
struct Versions {
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
struct Findings {
    findings: Vec<Finding>,
}

#[derive(Template)]
#[template(path = "rules/rule.html")]
struct RulePage {
    shell: Shell,
    times: Times,
    rule: Rule,
    versions: Vec<Version>,
    findings: Vec<Finding>,
    did: Did,
    may: bool,
    new: bool,
}

/// What a rule did in the time that is counted: a page of it.
#[derive(Default)]
struct Did {
    changes: Vec<Change>,
    /// The cursor of the next page.
    older: Option<String>,
    /// It is not the first page.
    later: bool,
    /// Names of agents, where they are known.
    names: HashMap<String, String>,
}

impl Did {
    async fn read(state: &ApiState, ask: &Ask, id: &str, (from, to): (&str, &str)) -> Result<Self, Failure> {
        let cursor = ask.value("did").unwrap_or_default();
        let query = [("rule", id), ("from", from), ("to", to), ("cursor", cursor)];
        let Changes { changes, next: older } = Changes::read(state, ask, &query).await?;
        let picture = ask.picture(state).await;
        let named = picture.iter().flat_map(Picture::agents);
        let names = named.filter_map(|agent| Some((agent.id.to_string(), agent.name.as_deref()?.to_owned()))).collect();
        Ok(Self { changes, older, later: !cursor.is_empty(), names })
    }

    fn name<'a>(&'a self, change: &'a Change) -> &'a str {
        let id = change.0.agent.as_str();
        self.names.get(id).map_or(id, String::as_str)
    }
}

impl RulePage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }
}

/// What a new rule begins as: complete, and only watching.
const NEW_RULE: &str = "[[rules]]\nid       = \"my-rule\"\nwhen     = { planned = \"work\", state = [\"Paused\", \"NotReady\"], for = \"5m\" }\n\
                        unless   = { on_contact = true }\nthen     = { set_state = \"Ready\", reason = \"WORKING\" }\nmode     = \"watch\"\n\
                        cooldown = \"5m\"\n";

fn blank() -> Rule {
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
        counts: Counts {
            would: 0,
            would_agents: 0,
            told: 0,
            reversed: 0,
            held: Vec::new(),
            transitions: Done { total: 0, open: 0, by_status: Vec::new() },
        },
    }
}

/// `GET /rules/new`.
pub(in crate::http) async fn new(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::EditRules)?;
    let shell = ask.shell(Place::Rules, "New rule");
    let (rule, versions, findings, did) = (blank(), Vec::new(), Vec::new(), Did::default());
    Ok(page(&RulePage { shell, times: ask.times, rule, versions, findings, did, may: true, new: true }))
}

/// `GET /rules/{id}`.
pub(in crate::http) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    // Counted and listed over the same time.
    let (from, to) = ((ask.now - COUNTED).to_string(), ask.now.to_string());
    let want = Want { route: "/api/v1/rules/{id}", id: Some(&id), query: &[("from", &from), ("to", &to)] };
    let rule: Rule = read(&state, &ask, want, rules::show).await?;
    let want = Want { route: "/api/v1/rules/{id}/versions", id: Some(&id), query: &[] };
    let Versions { versions } = read(&state, &ask, want, rules::versions).await?;
    let query = [("rule", id.as_str()), ("limit", "50")];
    let want = Want { route: "/api/v1/rule-findings", id: None, query: &query };
    let Findings { findings } = read(&state, &ask, want, rule_findings::list).await?;
    let did = Did::read(&state, &ask, &id, (&from, &to)).await?;
    let (shell, may) = (ask.shell(Place::Rules, format!("Rule {id}")), ask.has(Right::EditRules));
    Ok(page(&RulePage { shell, times: ask.times, rule, versions, findings, did, may, new: false }))
}
