//! The adapter of the REST services that the vendor publishes for its contact centres, the dialect `incontact`.
//!
//! It has no subscriptions: one poll shows all agents, mostly only those who changed. The facts it rests on, with what is
//! not proven yet, are in `docs/platforms.md`.

mod poll;
mod reader;
mod states;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use reqwest::Method;

use crate::clock::SharedClock;
use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::CodeMap;
use crate::domain::ids::{AgentId, ReasonCode, SubscriptionId};

use super::api_client::{ApiClient, ApiRequest};
use super::client::{ApiReply, ClientError, ClientSettings, HttpCaller, Transport};
use super::error::{CallError, Failure, excerpt};
use super::token::TokenSource;
use super::{Answer, Call, CallKind, Capabilities, Platform, PlatformHealth, SnapshotBody, SnapshotReader};

use poll::{PageOf, Polls};
use reader::{StatesReader, Teams};
use tokens::AccessKeyTokens;

pub use states::StateReading;
pub use tokens::{TokenKind, TokenSettings};

/// The shortest time between two polls (source: the vendor's desktop polls every 5 s).
const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// The settings of this dialect for one tenant.
#[derive(Clone, Debug)]
pub struct IncontactSettings {
    /// How tokens are requested.
    pub token: TokenSettings,
    /// The version in the paths, such as `33.0`.
    pub version: String,
    /// The codes that stand for states.
    pub codes: CodeMap,
    /// The state of an agent in a dialer campaign.
    pub dialer: AgentState,
    /// How much earlier than the last poll's instant the next one begins.
    pub overlap: Duration,
    /// The time between two reads of all agents.
    pub full_read_every: Duration,
    /// The largest page that is asked for, in rows.
    pub page_rows: usize,
    /// The maximum size of a decompressed page, in bytes.
    pub page_limit: usize,
    /// The HTTP client's settings.
    pub client: ClientSettings,
}

/// The platform adapter of the incontact dialect for one tenant.
#[derive(Debug)]
pub struct IncontactPlatform {
    api: ApiClient,
    states: Arc<StateReading>,
    polls: Arc<Polls>,
    teams: Arc<Teams>,
    overlap: Duration,
    full_read_every: Duration,
    page_rows: usize,
    page_limit: usize,
}

impl IncontactPlatform {
    /// Creates an adapter, over `transport` instead of sockets if it is `Some`. Sends nothing yet.
    pub fn new(
        transport: Option<Arc<dyn Transport>>,
        settings: IncontactSettings,
        clock: SharedClock,
    ) -> Result<Self, ClientError> {
        let caller = HttpCaller::new(settings.client, transport)?;
        let tokens = AccessKeyTokens::new(caller.clone(), Arc::clone(&clock), settings.token);
        let states = StateReading { dialer: settings.dialer, codes: settings.codes };
        Ok(Self {
            api: ApiClient {
                tokens: TokenSource::new(tokens, Arc::clone(&clock)),
                caller,
                clock,
                api_path: format!("/incontactapi/services/v{}", settings.version),
                // No break policy stands behind a conflict here, and waiting does not help.
                read_conflict: |reply, secrets| Failure::Rejected { status: 409, excerpt: error_text(reply, secrets) },
                calls: Arc::default(),
            },
            states: Arc::new(states),
            polls: Arc::default(),
            teams: Arc::default(),
            overlap: settings.overlap,
            full_read_every: settings.full_read_every,
            page_rows: settings.page_rows,
            page_limit: settings.page_limit,
        })
    }

    /// Returns the query of a state request.
    fn state_query(&self, agent: &AgentId, state: &AgentState, reason: &ReasonCode) -> Result<String, Failure> {
        if *state == AgentState::Ready {
            return Ok("state=Available".to_owned());
        }
        let team = self.teams.lock().unwrap_or_else(PoisonError::into_inner).get(agent).cloned();
        let code = self.states.codes.code(team.as_ref(), state, reason).ok_or_else(|| Failure::Unsupported {
            what: match &team {
                Some(team) => format!("set the state {state}: the tenant's codes have none for it and the team {team}"),
                None => format!("set the state {state}: the tenant's codes have none for it"),
            },
        })?;
        Ok(format!("state=Unavailable&outStateId={code}"))
    }

    async fn send_state(
        &self,
        agent: &AgentId,
        state: &AgentState,
        reason: &ReasonCode,
    ) -> Result<Answer<()>, CallError> {
        let (segments, purpose) = (["agents", agent.as_str(), "state"], "set the state");
        let query =
            self.state_query(agent, state, reason).map_err(|failure| CallError::without_request(purpose, failure))?;
        let request = ApiRequest {
            query: Some(query),
            scope: None,
            ..ApiRequest::post(CallKind::State, purpose, &segments, "", None)
        };
        self.api.send(request, |_, _| Ok(())).await
    }

    fn states_query(&self, page: &PageOf) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(since) = &page.since {
            query.append_pair("updatedSince", since);
        }
        query.append_pair("top", &self.page_rows.to_string()).append_pair("skip", &page.skip.to_string());
        query.finish()
    }

    async fn read_states(&self) -> Result<Answer<SnapshotBody>, CallError> {
        let page = self.polls.next_page(self.api.clock.monotonic(), self.full_read_every);
        let query = self.states_query(&page);
        let segments = ["agents", "states"];
        let request = ApiRequest {
            query: Some(query),
            scope: None,
            method: Method::GET,
            limit: self.page_limit,
            ..ApiRequest::get(CallKind::Snapshot, "read the agents' states", &segments, "")
        };
        let answer =
            self.api.send(request, |reply, _| Ok(SnapshotBody { bytes: std::mem::take(&mut reply.body) })).await;
        match answer {
            // The answer to an instant that the platform does not take, or to a wrong version. Neither is a
            // subscription that has expired, which is what "not found" would mean.
            Err(error) if matches!(error.failure, Failure::Rejected { .. } | Failure::NotFound) => {
                self.polls.restart();
                let failure = match error.failure {
                    Failure::NotFound => Failure::Rejected {
                        status: 404,
                        excerpt: "nothing is served there: is the version right?".to_owned(),
                    },
                    other => other,
                };
                Err(CallError { failure, ..error })
            }
            answer => answer,
        }
    }
}

/// Returns the text of an error: of the header that older services use, or the start of the body.
fn error_text(reply: &ApiReply, secrets: &[&str]) -> String {
    let header = reply.header(&reqwest::header::HeaderName::from_static("icstatusdescription"));
    header.map_or_else(|| excerpt(&reply.body, secrets), |text| excerpt(text.as_bytes(), secrets))
}

impl Platform for IncontactPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settable: std::iter::once(AgentState::Ready).chain(self.states.codes.states()).collect(),
            can_log_out: false,
            reports_schedule: false,
            reports_breaks: false,
            has_feed: false,
            min_interval: MIN_INTERVAL,
            subscription_lifetime: None,
            polls_count: true,
        }
    }

    fn set_state<'a>(&'a self, agent: &'a AgentId, state: &'a AgentState, reason: &'a ReasonCode) -> Call<'a, ()> {
        Box::pin(self.send_state(agent, state, reason))
    }

    fn snapshot<'a>(&'a self, _: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        Box::pin(self.read_states())
    }

    fn status(&self) -> PlatformHealth {
        PlatformHealth { calls: self.api.calls.clone(), token: self.api.tokens.status() }
    }

    fn reader(&self, agents: &[AgentId]) -> Box<dyn SnapshotReader> {
        self.polls.restart();
        Box::new(StatesReader::new(
            agents,
            Arc::clone(&self.states),
            Arc::clone(&self.polls),
            Arc::clone(&self.teams),
            self.overlap,
        ))
    }
}
