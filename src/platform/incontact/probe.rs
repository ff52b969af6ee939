//! Reads for people who set up a tenant: what the token says, which version answers, and the shape of the list of
//! states. They change nothing.

use std::time::Duration;

use reqwest::Url;

use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, TeamName};
use crate::domain::time::UtcMicros;
use crate::platform::Answer;
use crate::platform::api_client::{ApiClient, ApiRequest};
use crate::platform::client::ApiReply;
use crate::platform::error::{CallError, Failure};
use crate::platform::status::CallKind;
use crate::platform::text;

use super::endpoint::{PublishedList, Versions, api_path, page_query};
use super::known_directory::KnownDirectory;
use super::lists::parse;
use super::states::StateReading;
use super::tokens::AccessKeyTokens;
use super::wire::{Page, Scalar, StateRow, parse_instant};

/// The versions that clients in use name, the latest first.
const VERSIONS: [&str; 7] = ["34.0", "33.0", "31.0", "30.0", "28.0", "23.0", "21.0"];

/// What a token request told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenFacts {
    /// How long the token is valid from the request on.
    pub lifetime: Duration,
    /// The tenant that the id token names; `None` without an id token.
    pub tenant: Option<String>,
    /// Whether a refresh token came with it.
    pub has_refresh_token: bool,
    /// The origin of the API: the configured one, or the one that discovery names.
    pub api_url: Url,
}

/// Where an answer has the instant from which the next poll asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PollTimePlace {
    /// Once, beside the rows.
    Top,
    /// In each row.
    Rows,
    /// Nowhere.
    Missing,
}

/// A page of the agents' states, with its shape.
#[derive(Clone, PartialEq, Debug)]
pub struct StatesPage {
    /// The agents of the rows that could be read.
    pub agents: Vec<ProbedAgent>,
    /// The number of rows that were received.
    pub rows: usize,
    /// The number of rows on all pages, if the answer says so.
    pub total: Option<usize>,
    /// The instant from which the next poll asks, in the platform's own words.
    pub polled_at: Option<String>,
    /// Where that instant is.
    pub poll_time: PollTimePlace,
    /// Whether the answer is wrapped in `resultSet`.
    pub is_wrapped: bool,
}

/// An agent's row in the list of states.
#[derive(Clone, PartialEq, Debug)]
pub struct ProbedAgent {
    /// The agent.
    pub id: AgentId,
    /// The team.
    pub team: Option<TeamName>,
    /// The state that the row stands for, if it names one.
    pub state: Option<AgentState>,
    /// The unavailable code, if the row has one.
    pub code: Option<i64>,
    /// The name of the unavailable code.
    pub code_name: Option<String>,
    /// The platform's instant at which the state began.
    pub since: Option<UtcMicros>,
}

/// Reads from one tenant's platform.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'p> {
    pub(super) api: &'p ApiClient,
    pub(super) tokens: &'p AccessKeyTokens,
    pub(super) states: &'p StateReading,
    pub(super) directory: &'p KnownDirectory,
    pub(super) versions: &'p Versions,
    pub(super) page_rows: usize,
    pub(super) page_limit: usize,
}

impl<'p> Probe<'p> {
    /// Requests a token, unless there is a valid one, and returns what is known of it. Outside the request budget.
    pub async fn token_facts(self) -> Result<TokenFacts, Failure> {
        let token = self.api.tokens.current().await?;
        let health = self.api.tokens.status();
        let (tenant, has_refresh_token) = self.tokens.known();
        Ok(TokenFacts {
            lifetime: health.age.unwrap_or_default() + health.expires_in.unwrap_or_default(),
            tenant,
            has_refresh_token,
            api_url: token.base().clone(),
        })
    }

    /// Tries the refresh token once, and returns the lifetime of the token that it gave. Returns `None` if there is no
    /// refresh token. The platform may end the present token with it, so this is the last thing to do.
    pub async fn try_refresh(self) -> Option<Result<Duration, Failure>> {
        self.tokens.try_refresh().await
    }

    /// Reads a page of the agents' states, from the row after `skip` on; only those who changed since `since`, if it is
    /// a [`StatesPage::polled_at`].
    pub async fn states_page(self, since: Option<&str>, skip: usize) -> Result<Answer<StatesPage>, CallError> {
        let (list, purpose) = (PublishedList::States, "read the agents' states");
        let segments = list.segments();
        let request = ApiRequest {
            path: self.versions.path(list.endpoint()),
            query: Some(page_query(since.map(|since| ("updatedSince", since)), self.page_rows, skip)),
            limit: self.page_limit,
            ..ApiRequest::get(CallKind::Snapshot, purpose, &segments)
        };
        self.api.send(request, |reply, secrets| self.read_states_page(reply, secrets)).await
    }

    fn read_states_page(self, reply: &ApiReply, secrets: &[&str]) -> Result<StatesPage, Failure> {
        let mut repaired = String::new();
        let page: Page<'_, StateRow<'_>> = parse(reply, &mut repaired, "agents' states", secrets)?;
        let rows = page.rows.unwrap_or_default();
        let in_rows = rows.iter().filter_map(|row| row.0.as_ref()?.polled_at.text());
        // Instants in one format have the order of their texts.
        let latest = in_rows.max().map(str::to_owned);
        let (polled_at, poll_time) = match (page.last_poll_time.text(), latest) {
            (Some(top), _) => (Some(top.to_owned()), PollTimePlace::Top),
            (None, Some(latest)) => (Some(latest), PollTimePlace::Rows),
            (None, None) => (None, PollTimePlace::Missing),
        };
        Ok(StatesPage {
            agents: rows.iter().filter_map(|row| self.probed_agent(row.0.as_ref()?)).collect(),
            rows: rows.len(),
            total: page.total.integer().and_then(|total| usize::try_from(total).ok()),
            polled_at,
            poll_time,
            is_wrapped: page.is_wrapped,
        })
    }

    fn probed_agent(self, row: &StateRow<'_>) -> Option<ProbedAgent> {
        let id = AgentId::new(row.agent_id.id().filter(|id| text::is_id(id))?);
        let team = row.team_name.text().map(|name| TeamName::new(text::truncated(name)));
        if let Some(team) = &team {
            self.directory.record_team(&id, team);
        }
        let state = self.states.state_of(row, team.as_ref());
        let name = |value: &Scalar<'_>| value.text().map(|text| text::truncated(text).into_owned());
        Some(ProbedAgent {
            id,
            team,
            state,
            code: row.out_state_id.integer().filter(|code| *code != 0),
            code_name: name(&row.out_state),
            since: row.start_date.text().and_then(parse_instant),
        })
    }

    /// Returns the code that a change of an agent to a state sends, as far as the agent's team is known.
    pub fn code_for(self, agent: &AgentId, state: &AgentState) -> Option<i64> {
        self.directory.code_for(&self.states.codes, agent, state, &ReasonCode::new("")).ok()
    }

    /// Returns the version in which a list is read.
    pub fn version(self, list: PublishedList<'_>) -> &'p str {
        self.versions.of(list.endpoint())
    }

    /// Returns the latest other version that answers a list, and the number of calls that it took. Tries the versions
    /// that clients in use name, with one row each and at most `limit` calls. Any answer but "not found" counts.
    pub async fn find_version(self, list: PublishedList<'_>, limit: usize) -> (Option<&'static str>, usize) {
        let (mut calls, except) = (0, self.version(list));
        for version in VERSIONS.into_iter().filter(|version| *version != except).take(limit) {
            calls += 1;
            let (path, segments) = (api_path(version), list.segments());
            let request = ApiRequest {
                path: Some(&path),
                query: Some("top=1".to_owned()),
                limit: self.page_limit,
                ..ApiRequest::get(CallKind::Directory, "look for the version", &segments)
            };
            match self.api.send(request, |_, _| Ok(())).await {
                Err(CallError { failure: Failure::NotFound, .. }) => {}
                Ok(_) | Err(CallError { failure: Failure::Forbidden { .. }, .. }) => return (Some(version), calls),
                Err(_) => return (None, calls),
            }
        }
        (None, calls)
    }
}
