//! Audit: the chain page by page, narrowed by who, what, whom and when, and a check of it.

pub(super) mod facts;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use self::facts::Facts;
use super::shared::ask::Ask;
use super::shared::failure::Failure;
use super::shared::read::{Want, read};
use super::shared::shell::{Place, Shell, page};
use super::shared::times::{Stamp, Times};
use super::shared::words::state_label;
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::audit;
use crate::http::auth::Right;

/// Entries of one page.
const PAGE: usize = 50;

/// What the list of kinds offers: what actions begin with, and in words.
const KINDS: [(&str, &str); 17] = [
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

/// An entry as the API shows it.
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

    /// What became what.
    fn change(&self) -> String {
        // States are called as everywhere in the console.
        let called =
            |text: &String| AgentState::from_name(text).map_or_else(|| text.clone(), |state| state_label(&state));
        match (self.before.as_ref().map(called), self.after.as_ref().map(called)) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (None, Some(after)) => format!("→ {after}"),
            (Some(before), None) => before,
            (None, None) => String::new(),
        }
    }

    /// The facts as they are stored.
    fn raw(&self) -> String {
        serde_json::to_string_pretty(&self.why).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct End {
    seq: u64,
    hash: String,
}

#[derive(Deserialize)]
struct About {
    agent: String,
    name: Option<String>,
}

impl About {
    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.agent)
    }
}

#[derive(Deserialize)]
struct Answer {
    entries: Vec<Entry>,
    next: Option<u64>,
    about: Vec<About>,
    last: End,
}

/// What entries are wanted, as it stands in the address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Filter {
    actor: String,
    action: String,
    agent: String,
    /// Instants; empty for none.
    from: String,
    to: String,
}

impl Filter {
    /// Out of a query, and what is wrong with it. Times without a zone are those of the zone that the address names, or of the viewer's:
    /// the form names it, so that an address means the same span to everybody.
    fn of(ask: &Ask) -> (Self, Option<String>) {
        let value = |key: &str| ask.value(key).unwrap_or_default().trim().to_owned();
        let mut wrong = None;
        let mut instant = |key: &str| match ask.times.instant(&value(key), ask.value("zone")) {
            Ok(at) => at.map_or_else(String::new, |at| at.to_string()),
            Err(text) => {
                wrong = Some(format!("{key}: {text}"));
                String::new()
            }
        };
        let (from, to) = (instant("from"), instant("to"));
        let filter = Self { actor: value("actor"), action: value("action"), agent: value("agent"), from, to };
        (filter, wrong)
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

    /// The address of the page with this filter, and from this entry on.
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
    times: Times,
    filter: Filter,
    /// What is wrong with what was asked for.
    wrong: Option<String>,
    entries: Vec<Entry>,
    about: Vec<About>,
    last: End,
    next: Option<u64>,
    /// Not the newest.
    is_further: bool,
    export: String,
}

impl AuditPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }

    fn facts(&self, entry: &Entry) -> Facts {
        Facts::of(&entry.why, &self.times)
    }

    /// An instant of the filter as a field of local time has it.
    fn local(&self, instant: &str) -> String {
        instant.parse().map(|at| self.times.field(at)).unwrap_or_default()
    }

    fn with_actor(&self, actor: &str) -> String {
        Filter { actor: actor.to_owned(), ..self.filter.clone() }.address(&self.shell.tenant, None)
    }

    fn with_action(&self, action: &str) -> String {
        Filter { action: action.to_owned(), ..self.filter.clone() }.address(&self.shell.tenant, None)
    }

    fn older(&self) -> Option<String> {
        self.next.map(|next| self.filter.address(&self.shell.tenant, Some(next)))
    }

    /// The last entry that was looked at, where fewer fit than a page holds and there are more to look at.
    fn looked_down_to(&self) -> Option<u64> {
        self.next.filter(|_| self.entries.len() < PAGE)
    }

    /// An action that the list of kinds does not have.
    fn other_kind(&self) -> bool {
        !self.filter.action.is_empty() && KINDS.iter().all(|(kind, _)| *kind != self.filter.action)
    }

    /// The actors of this page, for the field to offer.
    fn actors(&self) -> std::collections::BTreeSet<&str> {
        self.entries.iter().filter_map(|entry| entry.actor.as_deref()).chain(["daemon"]).collect()
    }

    /// The entry alone, as it was hashed.
    fn alone(&self, seq: &u64) -> String {
        format!("{}&from={seq}&to={seq}", self.export)
    }
}

/// `GET /audit?actor=&action=&agent=&from=&to=&zone=&cursor=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Audit)?;
    let (filter, mut wrong) = Filter::of(&ask);
    let cursor = ask.value("cursor").unwrap_or_default().to_owned();
    let limit = PAGE.to_string();
    let mut query = filter.pairs().to_vec();
    query.extend([("cursor", cursor.as_str()), ("limit", &limit)]);
    let entries = async |query: &[(&str, &str)]| {
        let want = Want { route: "/api/v1/audit", id: None, query };
        read::<Answer, _, _>(&state, &ask, want, audit::list).await
    };
    let found = match &wrong {
        Some(_) => None,
        // What was typed wrongly is said above the form, with all that was typed still in it.
        None => entries(&query).await.map(Some).or_else(|failure| {
            wrong = Some(failure.of_what_was_asked()?);
            Ok::<_, Failure>(None)
        })?,
    };
    let Answer { entries, next, about, last } = match found {
        Some(found) => found,
        None => Answer { entries: Vec::new(), next: None, about: Vec::new(), ..entries(&[("limit", "1")]).await? },
    };
    let shell = ask.shell(Place::Audit, "Audit");
    let export = shell.to("/api/v1/audit/export");
    let is_further = !cursor.is_empty();
    Ok(page(&AuditPage { shell, times: ask.times, filter, wrong, entries, about, last, next, is_further, export }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_stands_in_the_address_and_a_page_goes_on_with_it() {
        let filter = Filter {
            actor: "person:ann".into(),
            action: "transition.".into(),
            from: "2026-10-26T13:30:00Z".into(),
            ..Filter::default()
        };
        let address = "/audit?tenant=a+b&actor=person%3Aann&action=transition.&from=2026-10-26T13%3A30%3A00Z";
        assert_eq!(filter.address("a b", None), address);
        assert_eq!(filter.address("a b", Some(7)), format!("{address}&cursor=7"));
        assert!(!filter.is_empty() && Filter::default().is_empty());
    }
}
