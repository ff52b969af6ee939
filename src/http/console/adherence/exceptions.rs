//! The exceptions pages: who is excused, for how long and why, and the form for a new exception.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::domain::time::UtcMicros;
use crate::http::api::adherence::exceptions;
use crate::http::auth::Right;
use crate::http::console::changes;
use crate::http::console::live::live_view::LiveView;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::state::ApiState;

#[derive(Deserialize)]
struct ExceptionAgent {
    agent: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Exception {
    id: String,
    scope: String,
    agents: Vec<ExceptionAgent>,
    team: Option<String>,
    from: UtcMicros,
    to: UtcMicros,
    reason: String,
    standing: String,
    made_by: String,
    made_at: UtcMicros,
    ended_by: Option<String>,
    ended_why: Option<String>,
}

/// The maximum number of names that are written out; the rest are counted.
const MAX_NAMES: usize = 5;

impl Exception {
    /// Returns who is excused, for people.
    fn who(&self) -> String {
        match self.scope.as_str() {
            "everyone" => "Everyone".to_owned(),
            "team" => format!("All of {}", self.team.as_deref().unwrap_or_default()),
            _ => {
                let label = |who: &ExceptionAgent| who.name.clone().unwrap_or_else(|| who.agent.clone());
                let names: Vec<_> = self.agents.iter().take(MAX_NAMES).map(label).collect();
                let more = self.agents.len().saturating_sub(MAX_NAMES);
                let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{}{rest}", names.join(", "))
            }
        }
    }

    fn standing(&self) -> (&'static str, &'static str) {
        match self.standing.as_str() {
            _ if self.is_empty() => ("outcome-no", "revoked"),
            "to_come" => ("outcome-wait", "upcoming"),
            "running" => ("outcome-good", "active"),
            _ => ("outcome-no", "ended"),
        }
    }

    /// Whether the exception is in effect now. It can then be ended, and the time excused so far stays neutral.
    fn is_running(&self) -> bool {
        self.standing == "running"
    }

    fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

#[derive(Deserialize)]
struct ExceptionList {
    exceptions: Vec<Exception>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "adherence/exceptions.html")]
struct ExceptionsPage {
    shell: Shell,
    exceptions: Vec<Exception>,
    older: Option<String>,
    may: bool,
}

/// `GET /exceptions`.
pub(in crate::http) async fn list(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let query = [("limit", "50"), ("cursor", request.value("cursor").unwrap_or_default())];
    let ExceptionList { exceptions, next } =
        request.api("/api/v1/exceptions").query(&query).call(&state, exceptions::list).await?;
    let shell = request.shell(ConsolePage::Exceptions, "Exceptions");
    let older = next.map(|next| {
        let cursor: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        format!("{}&cursor={cursor}", shell.to("/exceptions"))
    });
    let may = request.has_right(Right::Excuse);
    Ok(render_page(&ExceptionsPage { shell, exceptions, older, may }))
}

#[derive(Template)]
#[template(path = "adherence/exception_new.html")]
struct NewExceptionPage {
    shell: Shell,
    agents: Vec<String>,
    /// All agents whom the caller can access: the id and the name.
    roster: Vec<(String, String)>,
    /// The teams with their numbers of agents.
    teams: BTreeMap<String, usize>,
    everyone: bool,
}

/// `GET /exceptions/new`.
pub(in crate::http) async fn new(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Excuse)?;
    let live_view = LiveView::load(&state, &request).await;
    let mut agents: Vec<String> =
        request.query.iter().filter(|(key, _)| key == "agent").map(|(_, agent)| agent.clone()).collect();
    if let Some(set) = request.value("set") {
        agents.extend(changes::agents_out_of_plan(&state, &request, set).await?);
    }
    let mut teams = BTreeMap::new();
    let mut roster = Vec::new();
    for card in live_view.iter().flat_map(LiveView::agents) {
        roster.push((card.id.to_string(), card.name.as_deref().unwrap_or_default().to_owned()));
        if let Some(team) = &card.team {
            *teams.entry(team.to_string()).or_default() += 1;
        }
    }
    Ok(render_page(&NewExceptionPage {
        shell: request.shell(ConsolePage::Exceptions, "Approve an exception"),
        agents,
        roster,
        teams,
        // A caller restricted to teams cannot excuse everyone.
        everyone: request.has_all_teams(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        let who = |number: usize| ExceptionAgent {
            agent: format!("u_{number}"),
            name: (number > 0).then(|| format!("Agent {number}")),
        };
        let at = UtcMicros::EPOCH;
        let exception = |agents| Exception {
            id: String::new(),
            scope: "agents".to_owned(),
            agents,
            team: None,
            from: at,
            to: at,
            reason: String::new(),
            standing: "over".to_owned(),
            made_by: String::new(),
            made_at: at,
            ended_by: None,
            ended_why: None,
        };
        assert_eq!(exception((0..2).map(who).collect()).who(), "u_0, Agent 1");
        assert!(exception((0..9).map(who).collect()).who().ends_with("Agent 4 and 4 more"));
    }
}
