//! The audit page: the audit log page by page, with filters by actor, action, agent and time, and its verification.

pub(super) mod facts;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use self::facts::Facts;
use super::shared::page_error::PageError;
use super::shared::page_request::PageRequest;
use super::shared::shell::{ConsolePage, Shell, render_page};
use super::shared::wording::{capitalized, state_label};
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::http::api::audit;
use crate::http::auth::Right;
use crate::http::state::ApiState;

/// The number of entries per page.
const PAGE_SIZE: usize = 50;

/// The kinds of actions in the filter: the prefix of the action, and its label.
const ACTION_KINDS: [(&str, &str); 17] = [
    ("transition.", "State changes"),
    ("change_set.", "Bulk changes"),
    ("rule.", "Rules"),
    ("automation.", "Automation stopped or resumed"),
    ("exception.", "Exceptions"),
    ("schedule.", "Schedules"),
    ("agent.", "Agents: skills, rosters, erasure"),
    ("skill.", "Skills and staffing floors"),
    ("report.", "Reports"),
    ("analytics.", "Analytics"),
    ("webhook.", "Webhooks"),
    ("account.", "Accounts and sign-ins"),
    ("token.", "Tokens"),
    ("configuration.", "Configuration"),
    ("tenant.", "Centres added or removed"),
    ("audit.", "Audit chain"),
    ("store.", "Database"),
];

/// An entry, as the API returns it.
#[derive(Deserialize)]
struct Entry {
    seq: u64,
    at: UtcMicros,
    actor: Option<String>,
    action: String,
    subject: Option<String>,
    agent: Option<String>,
    agent_name: Option<String>,
    transition: Option<String>,
    before: Option<String>,
    after: Option<String>,
    outcome: Option<String>,
    why: serde_json::Value,
    note: Option<String>,
    hash: String,
}

impl Entry {
    fn label(&self) -> &str {
        self.agent_name.as_deref().or(self.agent.as_deref()).unwrap_or_default()
    }

    /// Returns the old and the new value of a change.
    fn change(&self) -> String {
        // Label states as everywhere in the console.
        let state_name =
            |text: &String| AgentState::from_name(text).map_or_else(|| text.clone(), |state| state_label(&state));
        match (self.before.as_ref().map(state_name), self.after.as_ref().map(state_name)) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (None, Some(after)) => format!("→ {after}"),
            (Some(before), None) => before,
            (None, None) => String::new(),
        }
    }

    fn action_text(&self) -> String {
        action_text(&self.action)
    }

    /// Returns the facts as they are stored.
    fn raw(&self) -> String {
        serde_json::to_string_pretty(&self.why).unwrap_or_default()
    }
}

/// Returns what an action did, in words: `Schedule imported` for `schedule.imported`.
fn action_text(action: &str) -> String {
    let text = match action {
        "transition.read_back" => "State read back from the platform",
        "rule.told" => "People notified by a rule",
        "rule.would_have" => "Rule would have changed the state",
        "rule.in_force" => "Rule became active",
        "exception.made" => "Exception approved",
        "account.link_made" => "Sign-in link created",
        "agent.reversed_change" => "Change reverted by the agent",
        "agent.erasure_asked" => "Erasure of the agent requested",
        "webhook.test" => "Test event sent to the webhook",
        "webhook.retried" => "Webhook deliveries resent",
        "audit.head" => "Audit chain signed",
        other => &other.replace('_', " "),
    };
    let text = match text.split_once('.') {
        Some(("transition", done)) => format!("State change {done}"),
        Some(("change set", done)) => format!("Bulk change {done}"),
        Some((subject, done)) => format!("{subject} {done}"),
        None => text.to_owned(),
    };
    capitalized(&text)
}

#[derive(Deserialize)]
struct ChainEnd {
    seq: u64,
    hash: String,
}

#[derive(Deserialize)]
struct MatchedAgent {
    agent: String,
    name: Option<String>,
}

impl MatchedAgent {
    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.agent)
    }
}

#[derive(Deserialize)]
struct AuditResponse {
    entries: Vec<Entry>,
    next: Option<u64>,
    about: Vec<MatchedAgent>,
    last: ChainEnd,
}

/// The filter, as the address contains it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct AuditFilter {
    actor: String,
    action: String,
    agent: String,
    /// Instants; empty for no limit.
    from: String,
    to: String,
}

impl AuditFilter {
    /// Reads the filter from the query, and returns it with an error message if a value is invalid.
    ///
    /// Times without a time zone are in the zone that the address names, or else in the viewer's. The form names it, so
    /// that an address means the same span for everybody.
    fn from_request(request: &PageRequest) -> (Self, Option<String>) {
        let value = |key: &str| request.value(key).unwrap_or_default().trim().to_owned();
        let mut error = None;
        let mut instant = |key: &str| match request.times.parse_instant(&value(key), request.value("zone")) {
            Ok(at) => at.map_or_else(String::new, |at| at.to_string()),
            Err(text) => {
                error = Some(format!("{key}: {text}"));
                String::new()
            }
        };
        let (from, to) = (instant("from"), instant("to"));
        let filter = Self { actor: value("actor"), action: value("action"), agent: value("agent"), from, to };
        (filter, error)
    }

    fn pairs(&self) -> [(&'static str, &str); 5] {
        [
            ("actor", &self.actor),
            ("action", &self.action),
            ("agent", &self.agent),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn is_empty(&self) -> bool {
        self.pairs().iter().all(|(_, value)| value.is_empty())
    }

    /// Returns the address of the page with this filter, from an entry on.
    fn address(&self, tenant: &str, cursor: Option<u64>) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("tenant", tenant);
        query.extend_pairs(self.pairs().iter().filter(|(_, value)| !value.is_empty()));
        if let Some(cursor) = cursor {
            query.append_pair("cursor", &cursor.to_string());
        }
        format!("/audit?{}", query.finish())
    }
}

#[derive(Template)]
#[template(path = "audit/audit.html")]
struct AuditPage {
    shell: Shell,
    filter: AuditFilter,
    /// Why the filter is invalid.
    wrong: Option<String>,
    entries: Vec<Entry>,
    about: Vec<MatchedAgent>,
    last: ChainEnd,
    next: Option<u64>,
    /// Whether this is not the page with the newest entries.
    is_further: bool,
    export: String,
}

impl AuditPage {
    fn facts(&self, entry: &Entry) -> Facts {
        Facts::from_value(&entry.why, &self.shell.times)
    }

    /// Formats an instant of the filter for an input field of local time.
    fn local(&self, instant: &str) -> String {
        instant.parse().map(|at| self.shell.times.field(at)).unwrap_or_default()
    }

    fn with_actor(&self, actor: &str) -> String {
        AuditFilter { actor: actor.to_owned(), ..self.filter.clone() }.address(&self.shell.tenant, None)
    }

    fn with_action(&self, action: &str) -> String {
        AuditFilter { action: action.to_owned(), ..self.filter.clone() }.address(&self.shell.tenant, None)
    }

    fn older(&self) -> Option<String> {
        self.next.map(|next| self.filter.address(&self.shell.tenant, Some(next)))
    }

    /// Returns the last entry that was searched, if the page is not full and older entries remain.
    fn searched_down_to(&self) -> Option<u64> {
        self.next.filter(|_| self.entries.len() < PAGE_SIZE)
    }

    /// Whether the filter has an action that the list of kinds lacks.
    fn has_unlisted_action(&self) -> bool {
        !self.filter.action.is_empty() && ACTION_KINDS.iter().all(|(kind, _)| *kind != self.filter.action)
    }

    /// Returns the actors on this page, as suggestions for the input field.
    fn actors(&self) -> std::collections::BTreeSet<&str> {
        self.entries.iter().filter_map(|entry| entry.actor.as_deref()).chain(["daemon"]).collect()
    }

    /// Returns the address that exports this entry alone, as it was hashed.
    fn alone(&self, seq: &u64) -> String {
        format!("{}&from={seq}&to={seq}", self.export)
    }
}

/// `GET /audit?actor=&action=&agent=&from=&to=&zone=&cursor=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Audit)?;
    let (filter, mut error) = AuditFilter::from_request(&request);
    let cursor = request.value("cursor").unwrap_or_default().to_owned();
    let limit = PAGE_SIZE.to_string();
    let mut query = filter.pairs().to_vec();
    query.extend([("cursor", cursor.as_str()), ("limit", &limit)]);
    let entries = async |query: &[(&str, &str)]| {
        request.api("/api/v1/audit").query(query).call::<AuditResponse, _, _>(&state, audit::list).await
    };
    let response = match &error {
        Some(_) => None,
        // Show an invalid filter above the form, which keeps everything that was typed.
        None => entries(&query).await.map(Some).or_else(|failure| {
            error = Some(failure.into_input_error()?);
            Ok::<_, PageError>(None)
        })?,
    };
    let AuditResponse { entries, next, about, last } = match response {
        Some(found) => found,
        None => {
            AuditResponse { entries: Vec::new(), next: None, about: Vec::new(), ..entries(&[("limit", "1")]).await? }
        }
    };
    let shell = request.shell(ConsolePage::Audit, "Audit");
    let export = shell.to("/api/v1/audit/export");
    let is_further = !cursor.is_empty();
    Ok(render_page(&AuditPage { shell, filter, wrong: error, entries, about, last, next, is_further, export }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_named_in_words() {
        for (action, text) in [
            ("schedule.imported", "Schedule imported"),
            ("transition.in_doubt", "State change in doubt"),
            ("change_set.started", "Bulk change started"),
            ("rule.told", "People notified by a rule"),
            ("", ""),
        ] {
            assert_eq!(action_text(action), text);
        }
    }

    #[test]
    fn a_filter_stands_in_the_address_and_a_page_goes_on_with_it() {
        let filter = AuditFilter {
            actor: "person:ann".into(),
            action: "transition.".into(),
            from: "2026-10-26T13:30:00Z".into(),
            ..AuditFilter::default()
        };
        let address = "/audit?tenant=a+b&actor=person%3Aann&action=transition.&from=2026-10-26T13%3A30%3A00Z";
        assert_eq!(filter.address("a b", None), address);
        assert_eq!(filter.address("a b", Some(7)), format!("{address}&cursor=7"));
        assert!(!filter.is_empty() && AuditFilter::default().is_empty());
    }
}
