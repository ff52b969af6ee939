//! Exceptions: who is excused, for how long and why; and excusing somebody.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::domain::time::UtcMicros;
use crate::http::ApiState;
use crate::http::api::adherence::exceptions;
use crate::http::auth::Right;
use crate::http::console::changes;
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::read::{Want, read};
use crate::http::console::shared::shell::{Place, Shell, page};
use crate::http::console::shared::times::{Stamp, Times};

#[derive(Deserialize)]
struct Who {
    agent: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Exception {
    id: String,
    scope: String,
    agents: Vec<Who>,
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

/// Names that are written out; the rest are counted.
const MOST_NAMES: usize = 5;

impl Exception {
    /// Who is excused, in words.
    fn who(&self) -> String {
        match self.scope.as_str() {
            "everyone" => "Everyone".to_owned(),
            "team" => format!("All of {}", self.team.as_deref().unwrap_or_default()),
            _ => {
                let label = |who: &Who| who.name.clone().unwrap_or_else(|| who.agent.clone());
                let names: Vec<_> = self.agents.iter().take(MOST_NAMES).map(label).collect();
                let more = self.agents.len().saturating_sub(MOST_NAMES);
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

    /// It excuses now, so that it can be ended and what was excused so far stays so.
    fn goes_on(&self) -> bool {
        self.standing == "running"
    }

    fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

#[derive(Deserialize)]
struct Exceptions {
    exceptions: Vec<Exception>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "adherence/exceptions.html")]
struct ExceptionsPage {
    shell: Shell,
    times: Times,
    exceptions: Vec<Exception>,
    older: Option<String>,
    may: bool,
}

impl ExceptionsPage {
    fn at(&self, at: &UtcMicros) -> Stamp {
        self.times.second(*at)
    }
}

/// `GET /exceptions`.
pub(in crate::http) async fn list(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let query = [("limit", "50"), ("cursor", ask.value("cursor").unwrap_or_default())];
    let want = Want { route: "/api/v1/exceptions", id: None, query: &query };
    let Exceptions { exceptions, next } = read(&state, &ask, want, exceptions::list).await?;
    let shell = ask.shell(Place::Exceptions, "Exceptions");
    let older = next.map(|next| {
        let cursor: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        format!("{}&cursor={cursor}", shell.to("/exceptions"))
    });
    let may = ask.has(Right::Excuse);
    Ok(page(&ExceptionsPage { shell, times: ask.times, exceptions, older, may }))
}

#[derive(Template)]
#[template(path = "adherence/exception_new.html")]
struct NewExceptionPage {
    shell: Shell,
    agents: Vec<String>,
    teams: Vec<String>,
    everyone: bool,
}

/// `GET /exceptions/new`.
pub(in crate::http) async fn new(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Excuse)?;
    let picture = ask.picture(&state).await;
    let mut agents: Vec<String> =
        ask.query.iter().filter(|(key, _)| key == "agent").map(|(_, agent)| agent.clone()).collect();
    if let Some(set) = ask.value("set") {
        agents.extend(changes::out_of_plan(&state, &ask, set).await?);
    }
    Ok(page(&NewExceptionPage {
        shell: ask.shell(Place::Exceptions, "Approve an exception"),
        agents,
        teams: picture.map(|picture| picture.teams()).unwrap_or_default(),
        // Who is bound to teams cannot excuse everyone.
        everyone: ask.sees_all_teams(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        let who =
            |number: usize| Who { agent: format!("u_{number}"), name: (number > 0).then(|| format!("Agent {number}")) };
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
