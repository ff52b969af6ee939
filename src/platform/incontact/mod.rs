//! The adapter of the REST services that the vendor publishes for its contact centres, the dialect `incontact`.
//!
//! It has no subscriptions: one poll shows all agents, mostly only those who changed. The facts it rests on, with what is
//! not proven yet, are in `docs/platforms.md`.

mod endpoint;
mod history;
mod known_directory;
mod lists;
mod poll;
mod probe;
mod reader;
mod schedules;
mod skills;
mod states;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use reqwest::Url;

use crate::clock::SharedClock;
use crate::domain::agents::past_states::PastState;
use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::{CodeMap, UnavailableCode};
use crate::domain::ids::{AgentId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::domain::schedules::platform_schedule::PlatformShift;
use crate::domain::time::UtcMicros;

use super::api_client::{ApiClient, ApiRequest, check_acceptance};
use super::client::{ApiReply, ClientError, ClientSettings, HttpCaller, Transport};
use super::error::{CallError, Failure, excerpt};
use super::token::TokenSource;
use super::{
    Answer, Call, CallKind, Capabilities, FiguresRead, ListPage, ListedAgent, ListedQueue, ListedTeam, Platform,
    PlatformHealth, SnapshotBody, SnapshotReader,
};

use known_directory::KnownDirectory;
use poll::Polls;
use reader::StatesReader;
use tokens::AccessKeyTokens;

pub use endpoint::{Endpoint, PublishedList, Versions};
use endpoint::{history_query, page_query};
pub use probe::{PollTimePlace, Probe, ProbedAgent, StatesPage, TokenFacts};
pub use states::StateReading;
pub use tokens::{TokenKind, TokenSettings};

/// The shortest time between two polls (source: the vendor's desktop polls every 5 s).
const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// The settings of this dialect for one tenant.
#[derive(Clone, Debug)]
pub struct IncontactSettings {
    /// How tokens are requested.
    pub token: TokenSettings,
    /// The versions in the paths.
    pub versions: Versions,
    /// The codes that stand for states.
    pub codes: CodeMap,
    /// The state of an agent in a dialer campaign.
    pub dialer: AgentState,
    /// Whether the arguments of a state request are in a JSON body instead of the query.
    pub state_in_body: bool,
    /// Whether agents may be logged out.
    pub can_log_out: bool,
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
    tokens: AccessKeyTokens,
    states: Arc<StateReading>,
    polls: Arc<Polls>,
    directory: Arc<KnownDirectory>,
    versions: Versions,
    can_log_out: bool,
    state_in_body: bool,
    user_hub_url: Url,
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
        let user_hub_url = settings.token.user_hub_url.clone();
        let tokens = AccessKeyTokens::new(caller.clone(), Arc::clone(&clock), settings.token);
        let states = StateReading { dialer: settings.dialer, codes: settings.codes };
        Ok(Self {
            api: ApiClient {
                tokens: TokenSource::new(tokens.clone(), Arc::clone(&clock)),
                caller,
                clock,
                api_path: settings.versions.default_path(),
                refusal_text: error_text,
                // No break policy stands behind a conflict here, and waiting does not help.
                read_conflict: |reply, secrets| Failure::Rejected { status: 409, excerpt: error_text(reply, secrets) },
                calls: Arc::default(),
            },
            tokens,
            states: Arc::new(states),
            polls: Arc::default(),
            directory: Arc::default(),
            versions: settings.versions,
            can_log_out: settings.can_log_out,
            state_in_body: settings.state_in_body,
            user_hub_url,
            overlap: settings.overlap,
            full_read_every: settings.full_read_every,
            page_rows: settings.page_rows,
            page_limit: settings.page_limit,
        })
    }

    /// Returns the reads for people who set up a tenant.
    pub fn probe(&self) -> Probe<'_> {
        Probe {
            api: &self.api,
            tokens: &self.tokens,
            states: &self.states,
            directory: &self.directory,
            versions: &self.versions,
            page_rows: self.page_rows,
            page_limit: self.page_limit,
        }
    }

    async fn send_state(
        &self,
        agent: &AgentId,
        state: &AgentState,
        reason: &ReasonCode,
    ) -> Result<Answer<()>, CallError> {
        if *state == AgentState::LoggedOut {
            return self.send_logout(agent).await;
        }
        let (segments, purpose) = (["agents", agent.as_str(), "state"], "set the state");
        let refused = |failure| CallError::without_request(purpose, failure);
        let code = match state {
            AgentState::Ready => None,
            _ => Some(self.directory.code_for(&self.states.codes, agent, state, reason).map_err(refused)?),
        };
        let (query, body) = match (self.state_in_body, code) {
            (false, None) => (Some("state=Available".to_owned()), None),
            (false, Some(code)) => (Some(format!("state=Unavailable&outStateId={code}")), None),
            (true, None) => (None, Some(r#"{"state":"Available"}"#.to_owned())),
            (true, Some(code)) => (None, Some(format!(r#"{{"state":"Unavailable","outStateId":{code}}}"#))),
        };
        let body = body.map(String::into_bytes);
        let answer = self.send_change(purpose, &segments, query, body).await;
        if matches!(&answer, Err(CallError { failure: Failure::Rejected { status: 400 | 409, .. }, .. })) {
            self.directory.mark_outdated();
        }
        answer
    }

    async fn send_logout(&self, agent: &AgentId) -> Result<Answer<()>, CallError> {
        let (segments, purpose) = (["agents", agent.as_str(), "logout"], "log out");
        if !self.can_log_out {
            let failure = Failure::cannot_set(&AgentState::LoggedOut);
            return Err(CallError::without_request(purpose, failure));
        }
        self.send_change(purpose, &segments, None, None).await
    }

    async fn send_change(
        &self,
        purpose: &'static str,
        segments: &[&str],
        query: Option<String>,
        body: Option<Vec<u8>>,
    ) -> Result<Answer<()>, CallError> {
        let path = self.versions.path(Endpoint::Changes);
        let request = ApiRequest { path, query, ..ApiRequest::post(CallKind::State, purpose, segments, body) };
        self.api.send(request, check_acceptance).await
    }

    /// Reads a list once.
    async fn read_list<T>(
        &self,
        (kind, purpose): (CallKind, &'static str),
        list: PublishedList<'_>,
        query: String,
        read: impl FnOnce(&mut ApiReply, &[&str]) -> Result<T, Failure>,
    ) -> Result<Answer<T>, CallError> {
        let segments = list.segments();
        let request = ApiRequest {
            path: self.versions.path(list.endpoint()),
            query: Some(query).filter(|query| !query.is_empty()),
            limit: self.page_limit,
            ..ApiRequest::get(kind, purpose, &segments)
        };
        self.api.send(request, read).await
    }

    /// Reads a page of the directory.
    async fn read_directory<T>(
        &self,
        purpose: &'static str,
        list: PublishedList<'_>,
        since: Option<&str>,
        skip: usize,
        read: impl FnOnce(&ApiReply, &[&str]) -> Result<T, Failure>,
    ) -> Result<Answer<T>, CallError> {
        // Spelled otherwise than for states.
        let query = page_query(since.map(|since| ("updateSince", since)), self.page_rows, skip);
        self.read_list((CallKind::Directory, purpose), list, query, |reply, secrets| read(reply, secrets)).await
    }

    async fn read_skills<T>(
        &self,
        kind: CallKind,
        purpose: &'static str,
        read: impl FnOnce(&ApiReply, &[&str]) -> Result<T, Failure>,
    ) -> Result<Answer<T>, CallError> {
        let query = page_query(None, self.page_rows, 0);
        self.read_list((kind, purpose), PublishedList::Skills, query, |reply, secrets| read(reply, secrets)).await
    }

    async fn read_states(&self) -> Result<Answer<SnapshotBody>, CallError> {
        let page = self.polls.next_page(self.api.clock.monotonic(), self.full_read_every);
        let query = page_query(page.since.as_deref().map(|since| ("updatedSince", since)), self.page_rows, page.skip);
        let call = (CallKind::Snapshot, "read the agents' states");
        let answer = self
            .read_list(call, PublishedList::States, query, |reply, _| {
                Ok(SnapshotBody { answered_at: reply.date(), bytes: std::mem::take(&mut reply.body) })
            })
            .await;
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
            settable: std::iter::once(AgentState::Ready)
                .chain(self.states.codes.states())
                .chain(self.can_log_out.then_some(AgentState::LoggedOut))
                .collect(),
            can_log_out: self.can_log_out,
            reports_schedule: false,
            reports_breaks: false,
            has_directory: true,
            exports_schedules: true,
            has_state_history: true,
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

    fn skill_figures<'a>(&'a self, skills: &'a [SkillId]) -> Call<'a, FiguresRead<SkillFigures>> {
        Box::pin(self.read_skills(CallKind::SkillFigures, "read skill figures", |reply, secrets| {
            skills::read_skills(reply, skills, secrets)
        }))
    }

    fn queues(&self) -> Call<'_, Vec<ListedQueue>> {
        Box::pin(self.read_skills(CallKind::Queues, "list the queues", skills::read_queue_list))
    }

    fn queue_figures<'a>(&'a self, queues: &'a [QueueId]) -> Call<'a, FiguresRead<QueueFigures>> {
        Box::pin(self.read_skills(CallKind::QueueFigures, "read queue figures", |reply, secrets| {
            skills::read_queues(reply, queues, secrets)
        }))
    }

    fn teams(&self, skip: usize) -> Call<'_, ListPage<ListedTeam>> {
        Box::pin(self.read_directory("list the teams", PublishedList::Teams, None, skip, lists::read_teams))
    }

    fn unavailable_codes<'a>(&'a self, team: &'a ListedTeam) -> Call<'a, Vec<UnavailableCode>> {
        let read = async move {
            let call = (CallKind::Directory, "list a team's unavailable codes");
            let list = PublishedList::Codes(&team.id);
            let codes =
                self.read_list(call, list, String::new(), |reply, secrets| lists::read_codes(reply, secrets)).await?;
            self.directory.record_codes(team, &codes.value);
            Ok(codes)
        };
        Box::pin(read)
    }

    fn listed_agents<'a>(&'a self, since: Option<&'a str>, skip: usize) -> Call<'a, ListPage<ListedAgent>> {
        Box::pin(self.read_directory("list the agents", PublishedList::Agents, since, skip, lists::read_agents))
    }

    fn exported_schedule<'a>(&'a self, user_id: &'a str, days: (Date, Date)) -> Call<'a, Vec<PlatformShift>> {
        Box::pin(async move {
            let body = serde_json::json!({
                "startDate": days.0.to_string(), "endDate": days.1.to_string(), "userID": user_id,
            });
            let (segments, purpose) = (["schedules", "export"], "export a schedule");
            let body = Some(body.to_string().into_bytes());
            let request = ApiRequest {
                origin: Some(&self.user_hub_url),
                path: Some(""),
                ..ApiRequest::post(CallKind::ScheduleExport, purpose, &segments, body)
            };
            self.api.send(request, |reply, secrets| schedules::read_schedule(reply, secrets)).await
        })
    }

    fn past_states(&self, span: (UtcMicros, UtcMicros), skip: usize) -> Call<'_, ListPage<PastState>> {
        let call = (CallKind::StateHistory, "read the state history");
        let query = history_query(span, self.page_rows, skip);
        Box::pin(self.read_list(call, PublishedList::StateHistory, query, |reply, secrets| {
            history::read_history(reply, &self.states, &self.directory, secrets)
        }))
    }

    fn check_settable(&self, agent: &AgentId, state: &AgentState, reason: &ReasonCode) -> Result<(), Failure> {
        match state {
            AgentState::Ready => Ok(()),
            AgentState::LoggedOut if self.can_log_out => Ok(()),
            AgentState::LoggedOut => Err(Failure::cannot_set(state)),
            _ => self.directory.code_for(&self.states.codes, agent, state, reason).map(drop),
        }
    }

    fn code_faults(&self) -> Vec<String> {
        self.directory.code_faults(&self.states.codes)
    }

    fn is_directory_outdated(&self) -> bool {
        self.directory.is_outdated()
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
            Arc::clone(&self.directory),
            self.overlap,
        ))
    }
}
