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

use reqwest::Url;

use crate::clock::SharedClock;
use crate::domain::access::secret::Secret;
use crate::domain::agents::state::{AgentState, StateNames};
use crate::domain::analytics::{AggregationQuery, QuerySpan};
use crate::domain::ids::{AgentId, PlatformQueryId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};

use super::api_client::{ApiClient, ApiRequest, check_acceptance};
use super::client::{ClientError, ClientSettings, HttpCaller, Transport};
use super::error::{CallError, Failure, excerpt};
use super::token::{ClientCredentials, TokenSettings, TokenSource};
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
    api: ApiClient,
    feed_base_url: Option<Url>,
    feed_path: String,
    state_names: Arc<StateNames>,
    request_timeout: Duration,
    snapshot_limit: usize,
    skill_figures_path: String,
    queue_service_level: ShareUnit,
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
            api: ApiClient {
                tokens: TokenSource::new(
                    ClientCredentials { caller: caller.clone(), clock: Arc::clone(&clock), settings: tokens },
                    Arc::clone(&clock),
                ),
                caller,
                clock,
                api_path: settings.api_path,
                refusal_text: |reply, secrets| excerpt(&reply.body, secrets),
                read_conflict: |reply, secrets| Failure::Conflict { code: wire::conflict_code(&reply.body, secrets) },
                calls: Arc::default(),
            },
            feed_base_url: settings.feed_base_url,
            feed_path: settings.feed_path,
            request_timeout,
            state_names: Arc::new(settings.state_names),
            snapshot_limit: settings.snapshot_limit,
            skill_figures_path: settings.skill_figures_path,
            queue_service_level: settings.queue_service_level,
        })
    }

    /// Requests a token, unless there is a valid one, to check the credentials.
    pub async fn check_token(&self) -> Result<(), Failure> {
        self.api.tokens.current().await.map(drop)
    }

    async fn send_state(
        &self,
        agent: &AgentId,
        state: &AgentState,
        reason: &ReasonCode,
    ) -> Result<Answer<()>, CallError> {
        let segments = ["users", agent.as_str(), "state"];
        let mut question =
            ApiRequest::post(CallKind::State, "set the state", &segments, None).with_scope("users:state:write");
        let Some(name) = self.state_names.platform_name(state) else {
            return Err(CallError::without_request(question.purpose, Failure::cannot_set(state)));
        };
        question.body = Some(wire::state_body(name, reason));
        self.api.send(question, check_acceptance).await
    }

    async fn send_subscription(&self, request: SubscriptionRequest<'_>) -> Result<Answer<Subscription>, CallError> {
        let segments = ["analytics", "realtime", "subscription"];
        let scope = "analytics:realtime:subscription:write";
        let mut question =
            ApiRequest::post(CallKind::Subscribe, "make a subscription", &segments, None).with_scope(scope);
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
        self.api
            .send(question, |reply, secrets| {
                let (id, answered) = wire::parse_subscription(reply, secrets)?;
                // The platform may raise the interval silently. Polling less often than requested is always allowed.
                let interval = answered.unwrap_or(interval).clamp(interval, MAX_INTERVAL);
                Ok(Subscription { id, interval })
            })
            .await
    }
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
            has_directory: false,
            exports_schedules: false,
            has_state_history: false,
            has_feed: true,
            min_interval: MIN_INTERVAL,
            subscription_lifetime: Some(SUBSCRIPTION_LIFETIME),
            polls_count: false,
        }
    }

    fn status(&self) -> PlatformHealth {
        PlatformHealth { calls: self.api.calls.clone(), token: self.api.tokens.status() }
    }

    fn set_state<'a>(&'a self, agent: &'a AgentId, state: &'a AgentState, reason: &'a ReasonCode) -> Call<'a, ()> {
        Box::pin(self.send_state(agent, state, reason))
    }

    fn is_scheduled<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        Box::pin(async move {
            let segments = ["schedules", "users", agent.as_str()];
            let question =
                ApiRequest::get(CallKind::Schedule, "read the schedule", &segments).with_scope("schedules:view");
            self.api.send(question, wire::parse_schedule).await
        })
    }

    fn break_required<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        Box::pin(async move {
            let segments = ["breaks", "users", agent.as_str(), "status"];
            let question =
                ApiRequest::get(CallKind::Break, "read the break status", &segments).with_scope("breaks:view");
            self.api.send(question, wire::parse_break_required).await
        })
    }

    fn subscribe<'a>(&'a self, request: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        Box::pin(self.send_subscription(request))
    }

    fn snapshot<'a>(&'a self, subscription: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        Box::pin(async move {
            let segments = ["analytics", "realtime", "subscription", subscription.as_str()];
            let question =
                ApiRequest::get(CallKind::Snapshot, "read a snapshot", &segments).with_scope("analytics:realtime:read");
            let question = ApiRequest { limit: self.snapshot_limit, ..question };
            self.api.send(question, wire::parse_snapshot).await
        })
    }

    fn skill_figures<'a>(&'a self, skills: &'a [SkillId]) -> Call<'a, FiguresRead<SkillFigures>> {
        Box::pin(async move {
            // The guide names rights for this call, and no scope.
            let question = ApiRequest {
                path: Some(&self.skill_figures_path),
                query: Some(wire::skills_query(skills)),
                ..ApiRequest::get(CallKind::SkillFigures, "read skill figures", &[])
            };
            self.api.send(question, |reply, secrets| figures::parse_skill_figures(reply, skills, secrets)).await
        })
    }

    fn queues(&self) -> Call<'_, Vec<ListedQueue>> {
        Box::pin(async move {
            let question =
                ApiRequest::get(CallKind::Queues, "list the queues", &["queues"]).with_scope(REPORTING_SCOPE);
            let question = ApiRequest { limit: self.snapshot_limit, ..question };
            self.api.send(question, |reply, secrets| figures::parse_queue_list(reply, secrets)).await
        })
    }

    fn queue_figures<'a>(&'a self, queues: &'a [QueueId]) -> Call<'a, FiguresRead<QueueFigures>> {
        Box::pin(async move {
            let (segments, body) = (["reporting", "queues", "realtime"], wire::queues_body(queues));
            let question = ApiRequest::post(CallKind::QueueFigures, "read queue figures", &segments, Some(body))
                .with_scope(REPORTING_SCOPE);
            let share = self.queue_service_level;
            self.api.send(question, |reply, secrets| figures::parse_queue_figures(reply, queues, share, secrets)).await
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
            let question = ApiRequest::post(kind, "submit a query", &segments, Some(body)).with_scope(QUERY_SCOPE);
            self.api.send(question, |reply, secrets| analytics::parse_submitted(reply, query, secrets)).await
        })
    }

    fn query_page<'a>(&'a self, request: PageRequest<'a>) -> Call<'a, QueryState> {
        Box::pin(async move {
            let segments = ["analytics", "query", request.id.as_str()];
            let question = ApiRequest {
                query: Some(analytics::page_query_string(&request)),
                range: Some(analytics::range_header(&request)),
                limit: MAX_PAGE_BYTES,
                ..ApiRequest::get(CallKind::AnalyticsPage, "read a query's result", &segments).with_scope(RESULT_SCOPE)
            };
            self.api.send(question, |reply, secrets| analytics::parse_query_state(reply, &request, secrets)).await
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
