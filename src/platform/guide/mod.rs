//! The adapter of the guide dialect, which implements the endpoints of the vendor's guides.
//!
//! Each method sends one request and repeats nothing. Every URL is built on the base that came with the token.

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
use crate::domain::ids::{AgentId, PlatformQueryId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::domain::time::UtcMicros;

use super::client::{ApiReply, ClientError, ClientSettings, HttpCaller, Transport};
use super::error::{CallError, CallSite, Failure, excerpt};
use super::status::CallCounts;
use super::token::{Token, TokenSettings, TokenSource};
use super::url_path::join_path;
use super::{
    Answer, Call, CallKind, Capabilities, Detail, Feed, FiguresRead, ListedQueue, PageRequest, Platform,
    PlatformHealth, QueryState, ShareUnit, SnapshotBody, SnapshotReader, Subscription, SubscriptionRequest,
};

pub use super::token::TokenStyle;
pub use reader::GuideReader;

/// The shortest interval that the platform accepts (source: guide 004).
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// The longest interval that is accepted from an answer.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// How long a subscription lives (source: guide 004).
const SUBSCRIPTION_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The maximum size of an answer other than a snapshot, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The maximum size of a page of a query's result, in bytes. A thousand rows with all metrics and dimensions take half
/// of it.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The settings of this dialect for one tenant.
#[derive(Clone, Debug)]
pub struct GuideSettings {
    /// The tenant's base URL. The token answer may replace it for everything but token requests.
    pub base_url: Url,
    /// How the credentials are sent.
    pub token_style: TokenStyle,
    /// The path for token requests below `base_url`; the style's usual one if `None`.
    pub token_path: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// The requested scopes, separated by spaces.
    pub scope: String,
    /// The platform's own id of the tenant, if it needs one.
    pub tenant_id: Option<String>,
    /// The API's path below the base, including the version.
    pub api_path: String,
    /// The live feed's base URL, if it differs from that of the other calls.
    pub feed_base_url: Option<Url>,
    /// The live feed's path below the base, including the version.
    pub feed_path: String,
    /// The mapping between the platform's state names and the daemon's.
    pub state_names: StateNames,
    /// The HTTP client's settings.
    pub client: ClientSettings,
    /// The maximum size of a decompressed snapshot, in bytes.
    pub snapshot_limit: usize,
    /// The path of skill figures below the base, including the version.
    pub skill_figures_path: String,
    /// The unit of the queues' service level.
    pub queue_service_level: ShareUnit,
}

impl GuideSettings {
    /// Returns settings with the guides' defaults.
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

/// The scopes of the adapter's ordinary calls (source: guides 003 and 004).
pub const DEFAULT_SCOPE: &str = "users:state:view users:state:write schedules:view breaks:view users:read \
                                 analytics:realtime:read analytics:realtime:subscription:write";

/// The additional scope for queue figures (source: guide 001).
pub const REPORTING_SCOPE: &str = "reporting:queue:view";

/// The scope for submitting an aggregation query (source: guide 002).
const QUERY_SCOPE: &str = "analytics:query";

/// The scope for reading the result of an aggregation query (source: guide 002).
const RESULT_SCOPE: &str = "analytics:view";

/// The additional scopes for aggregation queries.
pub const ANALYTICS_SCOPES: &str = "analytics:query analytics:view";

/// The path of skill figures (source: guide 000).
pub const SKILL_FIGURES_PATH: &str = "/InContactAPI/services/v18.0/real-time-data/skill-data";

/// The platform adapter of the guide dialect for one tenant.
#[derive(Debug)]
pub struct GuidePlatform {
    caller: HttpCaller,
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

/// A request that is about to be sent.
struct ApiRequest<'a> {
    kind: CallKind,
    purpose: &'static str,
    method: Method,
    /// A path that replaces the API's path.
    path: Option<&'a str>,
    /// Path segments below it, including ids.
    segments: &'a [&'a str],
    /// The query string as it is written in the URL.
    query: Option<String>,
    scope: Option<&'static str>,
    body: Option<Vec<u8>>,
    /// The value of the `Range` header.
    range: Option<String>,
    limit: usize,
}

impl<'a> ApiRequest<'a> {
    fn get(kind: CallKind, purpose: &'static str, segments: &'a [&'a str], scope: &'static str) -> Self {
        let scope = Some(scope);
        let (path, query, body, range) = (None, None, None, None);
        Self { kind, purpose, method: Method::GET, path, segments, query, scope, body, range, limit: MAX_ANSWER_BYTES }
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

impl GuidePlatform {
    /// Creates an adapter that uses sockets. Sends nothing yet.
    pub fn new(settings: GuideSettings, clock: SharedClock) -> Result<Self, ClientError> {
        Self::with_transport(None, settings, clock)
    }

    /// As [`GuidePlatform::new`], but over `transport` if it is `Some`.
    pub fn with_transport(
        transport: Option<Arc<dyn Transport>>,
        settings: GuideSettings,
        clock: SharedClock,
    ) -> Result<Self, ClientError> {
        let request_timeout = settings.client.request_timeout;
        let caller = HttpCaller::new(settings.client, transport)?;
        let path = settings.token_path.unwrap_or_else(|| settings.token_style.default_path().to_owned());
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

    /// Sends a request once, and converts a success with `read`.
    async fn send<T>(
        &self,
        request: ApiRequest<'_>,
        read: impl FnOnce(&mut ApiReply, &[&str]) -> Result<T, Failure>,
    ) -> Result<Answer<T>, CallError> {
        let site = CallSite {
            purpose: request.purpose,
            method: if request.method == Method::GET { "GET" } else { "POST" },
            path: site_path(request.path.unwrap_or(&self.api_path), request.segments),
        };
        let (mut asked_at, kind, watch) = (None, request.kind, Stopwatch::start());
        let answer = self.try_send(request, read, &mut asked_at).await;
        let result = answer.map_err(|failure| CallError { site, failure, sent_at: asked_at });
        self.calls.record(kind, &result, watch.elapsed());
        result
    }

    async fn try_send<T>(
        &self,
        api_request: ApiRequest<'_>,
        read: impl FnOnce(&mut ApiReply, &[&str]) -> Result<T, Failure>,
        asked_at: &mut Option<UtcMicros>,
    ) -> Result<Answer<T>, Failure> {
        let token = self.tokens.current().await?;
        let mut url = join_path(token.base(), api_request.path.unwrap_or(&self.api_path), api_request.segments)?;
        url.set_query(api_request.query.as_deref());
        let mut request = self.caller.request(api_request.method, url);
        request = request.header(reqwest::header::AUTHORIZATION, token.header());
        if let Some(body) = api_request.body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(range) = api_request.range {
            request = request.header(reqwest::header::RANGE, range);
        }
        *asked_at = Some(self.clock.now());
        let mut reply = self.caller.exchange(request, &self.clock, api_request.limit).await?;
        let secrets = [token.text().expose(), self.tokens.client_secret().expose()];
        self.classify(&reply, &token, api_request.scope, &secrets)?;
        let value = read(&mut reply, &secrets)?;
        Ok(answer(value, &reply))
    }

    /// Maps the status to a failure. Status 304, used for snapshots, counts as a success.
    fn classify(
        &self,
        reply: &ApiReply,
        token: &Token,
        scope: Option<&'static str>,
        secrets: &[&str],
    ) -> Result<(), Failure> {
        if reply.status == StatusCode::UNAUTHORIZED {
            self.tokens.report_refused(token);
            return Err(Failure::Unauthorized);
        }
        if reply.status.is_success() || reply.status.is_client_error() {
            self.tokens.report_accepted(token);
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
            _ => reply.malformed("a success or an error", secrets),
        })
    }

    async fn send_state(
        &self,
        agent: &AgentId,
        state: &AgentState,
        reason: &ReasonCode,
    ) -> Result<Answer<()>, CallError> {
        let segments = ["users", agent.as_str(), "state"];
        let mut question = ApiRequest::post(CallKind::State, "set the state", &segments, "users:state:write", None);
        let Some(name) = self.state_names.platform_name(state) else {
            return Err(CallError::without_request(question.purpose, Failure::cannot_set(state)));
        };
        question.body = Some(wire::state_body(name, reason));
        self.send(question, wire::parse_acceptance).await
    }

    async fn send_subscription(&self, request: SubscriptionRequest<'_>) -> Result<Answer<Subscription>, CallError> {
        let segments = ["analytics", "realtime", "subscription"];
        let scope = "analytics:realtime:subscription:write";
        let mut question = ApiRequest::post(CallKind::Subscribe, "make a subscription", &segments, scope, None);
        if request.agents.is_empty() {
            let what = "subscribe to no agents: without a filter it would send all of them".to_owned();
            return Err(CallError::without_request(question.purpose, Failure::Unsupported { what }));
        }
        let interval = request.interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        let needed_only = match request.detail {
            Detail::Full => false,
            Detail::Needed => true,
        };
        question.body = Some(wire::subscription_body(request.name, interval, request.agents, needed_only));
        self.send(question, |reply, secrets| {
            let (id, answered) = wire::parse_subscription(reply, secrets)?;
            // The platform may raise the interval silently. Polling less often than requested is always allowed.
            let interval = answered.unwrap_or(interval).clamp(interval, MAX_INTERVAL);
            Ok(Subscription { id, interval })
        })
        .await
    }
}

/// Returns what a reply says, with its times.
fn answer<T>(value: T, reply: &ApiReply) -> Answer<T> {
    Answer {
        value,
        latency: reply.latency,
        sent_at: reply.sent_at,
        received_at: reply.received_at,
        platform_now: reply.date(),
    }
}

/// Returns a path as errors show it.
fn site_path(path: &str, segments: &[&str]) -> String {
    std::iter::once(path.trim_end_matches('/')).chain(segments.iter().copied()).collect::<Vec<_>>().join("/")
}

impl Platform for GuidePlatform {
    fn capabilities(&self) -> Capabilities {
        let settable = AgentState::KNOWN.into_iter().filter(|state| self.state_names.platform_name(state).is_some());
        let settable: Vec<AgentState> = settable.collect();
        Capabilities {
            can_log_out: settable.contains(&AgentState::LoggedOut),
            settable,
            reports_schedule: true,
            reports_breaks: true,
            has_feed: true,
            min_interval: MIN_INTERVAL,
            subscription_lifetime: SUBSCRIPTION_LIFETIME,
        }
    }

    fn status(&self) -> PlatformHealth {
        PlatformHealth { calls: self.calls.clone(), token: self.tokens.status() }
    }

    fn set_state<'a>(&'a self, agent: &'a AgentId, state: &'a AgentState, reason: &'a ReasonCode) -> Call<'a, ()> {
        Box::pin(self.send_state(agent, state, reason))
    }

    fn is_scheduled<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        Box::pin(async move {
            let segments = ["schedules", "users", agent.as_str()];
            let question = ApiRequest::get(CallKind::Schedule, "read the schedule", &segments, "schedules:view");
            self.send(question, wire::parse_schedule).await
        })
    }

    fn break_required<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        Box::pin(async move {
            let segments = ["breaks", "users", agent.as_str(), "status"];
            let question = ApiRequest::get(CallKind::Break, "read the break status", &segments, "breaks:view");
            self.send(question, wire::parse_break_required).await
        })
    }

    fn subscribe<'a>(&'a self, request: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        Box::pin(self.send_subscription(request))
    }

    fn snapshot<'a>(&'a self, subscription: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        Box::pin(async move {
            let segments = ["analytics", "realtime", "subscription", subscription.as_str()];
            let question = ApiRequest::get(CallKind::Snapshot, "read a snapshot", &segments, "analytics:realtime:read");
            let question = ApiRequest { limit: self.snapshot_limit, ..question };
            self.send(question, wire::parse_snapshot).await
        })
    }

    fn skill_figures<'a>(&'a self, skills: &'a [SkillId]) -> Call<'a, FiguresRead<SkillFigures>> {
        Box::pin(async move {
            // The guide names rights for this call, and no scope.
            let question = ApiRequest {
                path: Some(&self.skill_figures_path),
                query: Some(wire::skills_query(skills)),
                scope: None,
                ..ApiRequest::get(CallKind::SkillFigures, "read skill figures", &[], "")
            };
            self.send(question, |reply, secrets| figures::parse_skill_figures(reply, skills, secrets)).await
        })
    }

    fn queues(&self) -> Call<'_, Vec<ListedQueue>> {
        Box::pin(async move {
            let question = ApiRequest::get(CallKind::Queues, "list the queues", &["queues"], REPORTING_SCOPE);
            let question = ApiRequest { limit: self.snapshot_limit, ..question };
            self.send(question, |reply, secrets| figures::parse_queue_list(reply, secrets)).await
        })
    }

    fn queue_figures<'a>(&'a self, queues: &'a [QueueId]) -> Call<'a, FiguresRead<QueueFigures>> {
        Box::pin(async move {
            let (segments, body) = (["reporting", "queues", "realtime"], wire::queues_body(queues));
            let question =
                ApiRequest::post(CallKind::QueueFigures, "read queue figures", &segments, REPORTING_SCOPE, Some(body));
            let share = self.queue_service_level;
            self.send(question, |reply, secrets| figures::parse_queue_figures(reply, queues, share, secrets)).await
        })
    }

    fn submit_query<'a>(
        &'a self,
        query: &'a AggregationQuery,
        part: QuerySpan,
        page_rows: u32,
    ) -> Call<'a, PlatformQueryId> {
        Box::pin(async move {
            let (segments, body) = (["analytics", "query"], analytics::query_body(query, part, page_rows));
            let kind = CallKind::AnalyticsSubmit;
            let question = ApiRequest::post(kind, "submit a query", &segments, QUERY_SCOPE, Some(body));
            self.send(question, |reply, secrets| analytics::parse_submitted(reply, query, secrets)).await
        })
    }

    fn query_page<'a>(&'a self, request: PageRequest<'a>) -> Call<'a, QueryState> {
        Box::pin(async move {
            let segments = ["analytics", "query", request.id.as_str()];
            let question = ApiRequest {
                query: Some(analytics::page_query_string(&request)),
                range: Some(analytics::range_header(&request)),
                limit: MAX_PAGE_BYTES,
                ..ApiRequest::get(CallKind::AnalyticsPage, "read a query's result", &segments, RESULT_SCOPE)
            };
            self.send(question, |reply, secrets| analytics::parse_query_state(reply, &request, secrets)).await
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
