//! The adapter of the guide dialect: the endpoints of the guides that the product was asked for in.
//!
//! One method, one request; nothing is repeated here. Every URL is built on the base that came with the token.

mod analytics;
mod feed;
mod figures;
mod instant;
mod reader;
mod rows;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};

use crate::clock::{SharedClock, Stopwatch};
use crate::domain::access::secret::Secret;
use crate::domain::agents::state::{AgentState, StateNames};
use crate::domain::analytics::{AggregationQuery, QuerySpan};
use crate::domain::ids::{AgentId, QueryId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::domain::time::UtcMicros;

use super::address::below;
use super::client::{Caller, ClientError, ClientSettings, Reply, Transport};
use super::error::{CallError, CallSite, Failure, excerpt};
use super::token::{Token, TokenSettings, TokenSource};
use super::vitals::CallCounts;
use super::{
    Answer, Call, CallKind, Capabilities, Detail, Feed, FiguresRead, ListedQueue, PageAsk, Platform, QueryState,
    ShareUnit, SnapshotBody, SnapshotReader, Subscription, SubscriptionRequest, Vitals,
};

pub use super::token::TokenStyle;
pub use reader::GuideReader;

/// The shortest interval that the platform takes (source: guide 004).
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);

/// The longest interval that we believe from an answer.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// How long a subscription lives (source: guide 004).
const SUBSCRIPTION_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The most of an answer other than a snapshot, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// The most of a page of a query's result, in bytes: a thousand rows with all metrics and dimensions are half of it.
const PAGE_LIMIT: usize = 4 * 1024 * 1024;

/// One tenant's settings of this dialect.
#[derive(Clone, Debug)]
pub struct GuideSettings {
    /// The tenant's base URL; the token answer may replace it for everything but the token.
    pub base_url: Url,
    /// How the credentials are sent.
    pub token_style: TokenStyle,
    /// The token's path below `base_url`; the style's usual one when absent.
    pub token_path: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// The scopes to ask for, parted by spaces.
    pub scope: String,
    /// The platform's own id of the tenant, where it wants one.
    pub tenant_id: Option<String>,
    /// The API's path below the base, with its version.
    pub api_path: String,
    /// Where the live feed is, where it is not at the base of the other calls.
    pub feed_base_url: Option<Url>,
    /// The live feed's path below the base, with its version.
    pub feed_path: String,
    /// The two-way table of state names.
    pub state_names: StateNames,
    /// Time limits and proxy.
    pub client: ClientSettings,
    /// The most that a snapshot may hold, unpacked, in bytes.
    pub snapshot_limit: usize,
    /// The path of skill figures below the base, with its version.
    pub skill_figures_path: String,
    /// What the service level of queues is counted in.
    pub queue_service_level: ShareUnit,
}

impl GuideSettings {
    /// The guides' values around a tenant's own.
    pub fn new(base_url: Url, token_style: TokenStyle, client_id: &str, client_secret: Secret) -> Self {
        Self {
            base_url,
            token_style,
            token_path: None,
            client_id: client_id.to_owned(),
            client_secret,
            scope: DEFAULT_SCOPE.to_owned(),
            tenant_id: None,
            api_path: "/api/v2".to_owned(),
            feed_base_url: None,
            feed_path: "/InContactAPI/services/v18.0/interactions/subscribe".to_owned(),
            state_names: StateNames::default(),
            client: ClientSettings::default(),
            snapshot_limit: 16 * 1024 * 1024,
            skill_figures_path: SKILL_FIGURES_PATH.to_owned(),
            queue_service_level: ShareUnit::Percent,
        }
    }
}

/// The scopes of the calls made here (source: guides 003 and 004).
pub const DEFAULT_SCOPE: &str = "users:state:view users:state:write schedules:view breaks:view users:read \
                                 analytics:realtime:read analytics:realtime:subscription:write";

/// The scope of queue figures, beside those (source: guide 001).
pub const REPORTING_SCOPE: &str = "reporting:queue:view";

/// The scope of submitting an aggregation query (source: guide 002).
const QUERY_SCOPE: &str = "analytics:query";

/// The scope of reading its result (source: guide 002).
const RESULT_SCOPE: &str = "analytics:view";

/// The scopes of aggregation queries, beside those.
pub const ANALYTICS_SCOPES: &str = "analytics:query analytics:view";

/// Where skill figures are read (source: guide 000).
pub const SKILL_FIGURES_PATH: &str = "/InContactAPI/services/v18.0/real-time-data/skill-data";

/// The guide dialect for one tenant.
#[derive(Debug)]
pub struct Guide {
    caller: Caller,
    clock: SharedClock,
    tokens: TokenSource,
    api_path: String,
    feed_base_url: Option<Url>,
    feed_path: String,
    state_names: Arc<StateNames>,
    request_timeout: Duration,
    snapshot_limit: usize,
    skill_figures_path: String,
    queue_service_level: ShareUnit,
    calls: Arc<CallCounts>,
}

/// What is about to be asked.
struct Question<'a> {
    kind: CallKind,
    purpose: &'static str,
    method: Method,
    /// Instead of the API's path.
    path: Option<&'a str>,
    /// Below it; ids among them.
    segments: &'a [&'a str],
    /// As it is written in the URL.
    query: Option<String>,
    scope: Option<&'static str>,
    body: Option<Vec<u8>>,
    /// The `Range` header.
    range: Option<String>,
    limit: usize,
}

impl<'a> Question<'a> {
    fn get(kind: CallKind, purpose: &'static str, segments: &'a [&'a str], scope: &'static str) -> Self {
        let scope = Some(scope);
        let (path, query, body, range) = (None, None, None, None);
        Self { kind, purpose, method: Method::GET, path, segments, query, scope, body, range, limit: ANSWER_LIMIT }
    }

    fn post(
        kind: CallKind,
        purpose: &'static str,
        segments: &'a [&'a str],
        scope: &'static str,
        body: Option<Vec<u8>>,
    ) -> Self {
        Self { method: Method::POST, body, ..Self::get(kind, purpose, segments, scope) }
    }
}

impl Guide {
    /// Over sockets. Sends nothing yet.
    pub fn new(settings: GuideSettings, clock: SharedClock) -> Result<Self, ClientError> {
        Self::over(None, settings, clock)
    }

    /// The same over `transport`, where there is one.
    pub fn over(
        transport: Option<Arc<dyn Transport>>,
        settings: GuideSettings,
        clock: SharedClock,
    ) -> Result<Self, ClientError> {
        let request_timeout = settings.client.request_timeout;
        let caller = Caller::new(settings.client, transport)?;
        let path = settings.token_path.unwrap_or_else(|| settings.token_style.usual_path().to_owned());
        let tokens = TokenSettings {
            style: settings.token_style,
            base_url: settings.base_url,
            path,
            client_id: settings.client_id,
            client_secret: settings.client_secret,
            scope: settings.scope,
            tenant_id: settings.tenant_id,
        };
        Ok(Self {
            tokens: TokenSource::new(caller.clone(), Arc::clone(&clock), tokens),
            caller,
            clock,
            api_path: settings.api_path,
            feed_base_url: settings.feed_base_url,
            feed_path: settings.feed_path,
            request_timeout,
            state_names: Arc::new(settings.state_names),
            snapshot_limit: settings.snapshot_limit,
            skill_figures_path: settings.skill_figures_path,
            queue_service_level: settings.queue_service_level,
            calls: Arc::default(),
        })
    }

    /// Asks once, and reads a success with `read`.
    async fn ask<T>(
        &self,
        question: Question<'_>,
        read: impl FnOnce(&mut Reply, &[&str]) -> Result<T, Failure>,
    ) -> Result<Answer<T>, CallError> {
        let site = CallSite {
            purpose: question.purpose,
            method: if question.method == Method::GET { "GET" } else { "POST" },
            path: site_path(question.path.unwrap_or(&self.api_path), question.segments),
        };
        let (mut asked_at, kind, watch) = (None, question.kind, Stopwatch::start());
        let answer = self.try_ask(question, read, &mut asked_at).await;
        let result = answer.map_err(|failure| CallError { site, failure, asked_at });
        self.calls.note(kind, &result, watch.elapsed());
        result
    }

    async fn try_ask<T>(
        &self,
        question: Question<'_>,
        read: impl FnOnce(&mut Reply, &[&str]) -> Result<T, Failure>,
        asked_at: &mut Option<UtcMicros>,
    ) -> Result<Answer<T>, Failure> {
        let token = self.tokens.current().await?;
        let mut url = below(token.base(), question.path.unwrap_or(&self.api_path), question.segments)?;
        url.set_query(question.query.as_deref());
        let mut request = self.caller.request(question.method, url);
        request = request.header(reqwest::header::AUTHORIZATION, token.header());
        if let Some(body) = question.body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(range) = question.range {
            request = request.header(reqwest::header::RANGE, range);
        }
        *asked_at = Some(self.clock.now());
        let mut reply = self.caller.exchange(request, &self.clock, question.limit).await?;
        let secrets = [token.text().expose(), self.tokens.client_secret().expose()];
        self.judge(&reply, &token, question.scope, &secrets)?;
        let value = read(&mut reply, &secrets)?;
        Ok(Answer {
            value,
            latency: reply.latency,
            asked_at: reply.asked_at,
            answered_at: reply.answered_at,
            platform_now: reply.date(),
        })
    }

    /// What the status alone says. 304 is for snapshots, and passes as a success.
    fn judge(
        &self,
        reply: &Reply,
        token: &Token,
        scope: Option<&'static str>,
        secrets: &[&str],
    ) -> Result<(), Failure> {
        if reply.status == StatusCode::UNAUTHORIZED {
            self.tokens.refused(token);
            return Err(Failure::Unauthorized);
        }
        if reply.status.is_success() || reply.status.is_client_error() {
            self.tokens.accepted(token);
        }
        let status = reply.status.as_u16();
        Err(match reply.status {
            status if status.is_success() || status == StatusCode::NOT_MODIFIED => return Ok(()),
            StatusCode::FORBIDDEN => Failure::Forbidden { scope },
            StatusCode::NOT_FOUND => Failure::NotFound,
            StatusCode::REQUEST_TIMEOUT => Failure::Timeout,
            StatusCode::CONFLICT => Failure::Conflict { code: wire::conflict_code(&reply.body, secrets) },
            StatusCode::TOO_MANY_REQUESTS => Failure::Throttled { retry_after: reply.retry_after() },
            other if other.is_client_error() => Failure::Rejected { status, excerpt: excerpt(&reply.body, secrets) },
            other if other.is_server_error() => Failure::Server { status, retry_after: reply.retry_after() },
            _ => reply.nonsense("a success or an error", secrets),
        })
    }

    async fn ask_state(
        &self,
        agent: &AgentId,
        state: &AgentState,
        reason: &ReasonCode,
    ) -> Result<Answer<()>, CallError> {
        let segments = ["users", agent.as_str(), "state"];
        let mut question = Question::post(CallKind::State, "set the state", &segments, "users:state:write", None);
        let Some(name) = self.state_names.platform_name(state) else {
            let site = CallSite { purpose: question.purpose, method: "", path: String::new() };
            return Err(CallError { site, failure: Failure::cannot_set(state), asked_at: None });
        };
        question.body = Some(wire::state_body(name, reason));
        self.ask(question, wire::accepted).await
    }

    async fn ask_subscription(&self, wanted: SubscriptionRequest<'_>) -> Result<Answer<Subscription>, CallError> {
        let segments = ["analytics", "realtime", "subscription"];
        let scope = "analytics:realtime:subscription:write";
        let mut question = Question::post(CallKind::Subscribe, "make a subscription", &segments, scope, None);
        if wanted.agents.is_empty() {
            let site = CallSite { purpose: question.purpose, method: "", path: String::new() };
            let what = "subscribe to no agents: without a filter it would send all of them".to_owned();
            return Err(CallError { site, failure: Failure::Unsupported { what }, asked_at: None });
        }
        let interval = wanted.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        let lean = match wanted.detail {
            Detail::Full => false,
            Detail::Needed => true,
        };
        question.body = Some(wire::subscription_body(wanted.name, interval, wanted.agents, lean));
        self.ask(question, |reply, secrets| {
            let (id, answered) = wire::subscription(reply, secrets)?;
            // The platform may raise the interval silently; polling less often than asked is always allowed.
            let interval = answered.unwrap_or(interval).clamp(interval, LONGEST_INTERVAL);
            Ok(Subscription { id, interval })
        })
        .await
    }
}

/// A path as errors name it.
fn site_path(path: &str, segments: &[&str]) -> String {
    std::iter::once(path.trim_end_matches('/')).chain(segments.iter().copied()).collect::<Vec<_>>().join("/")
}

impl Platform for Guide {
    fn capabilities(&self) -> Capabilities {
        let settable = AgentState::KNOWN.into_iter().filter(|state| self.state_names.platform_name(state).is_some());
        let settable: Vec<AgentState> = settable.collect();
        Capabilities {
            can_log_out: settable.contains(&AgentState::LoggedOut),
            settable,
            tells_schedule: true,
            tells_breaks: true,
            has_feed: true,
            shortest_interval: SHORTEST_INTERVAL,
            subscription_life: SUBSCRIPTION_LIFE,
        }
    }

    fn vitals(&self) -> Vitals {
        Vitals { calls: self.calls.clone(), token: self.tokens.vitals() }
    }

    fn set_state<'a>(&'a self, agent: &'a AgentId, state: &'a AgentState, reason: &'a ReasonCode) -> Call<'a, ()> {
        Box::pin(self.ask_state(agent, state, reason))
    }

    fn is_scheduled<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        Box::pin(async move {
            let segments = ["schedules", "users", agent.as_str()];
            let question = Question::get(CallKind::Schedule, "read the schedule", &segments, "schedules:view");
            self.ask(question, wire::scheduled).await
        })
    }

    fn break_required<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        Box::pin(async move {
            let segments = ["breaks", "users", agent.as_str(), "status"];
            let question = Question::get(CallKind::Break, "read the break status", &segments, "breaks:view");
            self.ask(question, wire::break_required).await
        })
    }

    fn subscribe<'a>(&'a self, wanted: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        Box::pin(self.ask_subscription(wanted))
    }

    fn snapshot<'a>(&'a self, subscription: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        Box::pin(async move {
            let segments = ["analytics", "realtime", "subscription", subscription.as_str()];
            let question = Question::get(CallKind::Snapshot, "read a snapshot", &segments, "analytics:realtime:read");
            let question = Question { limit: self.snapshot_limit, ..question };
            self.ask(question, wire::snapshot).await
        })
    }

    fn skill_figures<'a>(&'a self, skills: &'a [SkillId]) -> Call<'a, FiguresRead<SkillFigures>> {
        Box::pin(async move {
            // The guide names rights for it and no scope.
            let question = Question {
                path: Some(&self.skill_figures_path),
                query: Some(wire::skills_query(skills)),
                scope: None,
                ..Question::get(CallKind::SkillFigures, "read skill figures", &[], "")
            };
            self.ask(question, |reply, secrets| figures::skills(reply, skills, secrets)).await
        })
    }

    fn queues(&self) -> Call<'_, Vec<ListedQueue>> {
        Box::pin(async move {
            let question = Question::get(CallKind::Queues, "list the queues", &["queues"], REPORTING_SCOPE);
            let question = Question { limit: self.snapshot_limit, ..question };
            self.ask(question, |reply, secrets| figures::listed(reply, secrets)).await
        })
    }

    fn queue_figures<'a>(&'a self, queues: &'a [QueueId]) -> Call<'a, FiguresRead<QueueFigures>> {
        Box::pin(async move {
            let (segments, body) = (["reporting", "queues", "realtime"], wire::queues_body(queues));
            let question =
                Question::post(CallKind::QueueFigures, "read queue figures", &segments, REPORTING_SCOPE, Some(body));
            let share = self.queue_service_level;
            self.ask(question, |reply, secrets| figures::queues(reply, queues, share, secrets)).await
        })
    }

    fn submit_query<'a>(&'a self, query: &'a AggregationQuery, part: QuerySpan, page_rows: u32) -> Call<'a, QueryId> {
        Box::pin(async move {
            let (segments, body) = (["analytics", "query"], analytics::body(query, part, page_rows));
            let kind = CallKind::AnalyticsSubmit;
            let question = Question::post(kind, "submit a query", &segments, QUERY_SCOPE, Some(body));
            self.ask(question, |reply, secrets| analytics::submitted(reply, query, secrets)).await
        })
    }

    fn query_page<'a>(&'a self, ask: PageAsk<'a>) -> Call<'a, QueryState> {
        Box::pin(async move {
            let segments = ["analytics", "query", ask.id.as_str()];
            let question = Question {
                query: Some(analytics::page_query(&ask)),
                range: Some(analytics::range(&ask)),
                limit: PAGE_LIMIT,
                ..Question::get(CallKind::AnalyticsPage, "read a query's result", &segments, RESULT_SCOPE)
            };
            self.ask(question, |reply, secrets| analytics::state(reply, &ask, secrets)).await
        })
    }

    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        Box::pin(self.open_feed())
    }

    fn reader(&self, agents: &[AgentId]) -> Box<dyn SnapshotReader> {
        Box::new(GuideReader::new(agents, Arc::clone(&self.state_names)))
    }
}

#[cfg(test)]
mod tests;
