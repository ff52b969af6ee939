//! The platform's answers to requests: who may ask for what, and how often. Independent of HTTP: it is given a parsed
//! call and returns a reply that is still to be written.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use serde_json::value::RawValue;

use super::analytics::{self, PageRequest};
use super::call::Call;
use super::faults::{ClockError, Endpoint, FaultContext, FaultKind, FaultSpec};
use super::feed::FeedCredentials;
use super::figures::SkillFigures;
use super::incontact::CallSettings;
use super::incontact::operations::{PublishedCall, PublishedReply};
use super::journal::{RequestEntry, RequestOutcome};
use super::platform_state::{PlatformState, Tenant};
use super::subscriptions::{PollError, Snapshot, SubscriptionView};
use super::tokens::{Rejection, Scope, TokenBase, Tokens};
use super::wire::{self, Problem, TokenForm};
use super::world::Refusal;
use crate::domain::ids::{AgentId, PlatformQueryId, SubscriptionId, TenantId};
use crate::domain::time::UtcMicros;

/// The longest body that the journal keeps, in bytes.
const MAX_LOGGED_BODY_BYTES: usize = 4096;

/// The three ways to request a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenStyle {
    /// Credentials in the form (guides 001, 003).
    Body,
    /// Credentials in the header (guide 002).
    Basic,
    /// Credentials in the form, and an answer that names the base of every later call (guide 000).
    Legacy,
}

/// The operation that a call requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Token(TokenStyle),
    Shift,
    Break,
    SetState,
    Subscribe,
    Poll,
    SkillData,
    Queues,
    QueueFigures,
    SubmitQuery,
    QueryResult,
    Feed,
    Published(PublishedCall),
}

impl Operation {
    /// Returns the operation's endpoint, its method, and the scope that it needs. Guide 000 names no scope for its
    /// operations, and guide 001 none for the list.
    fn definition(self) -> (Endpoint, &'static str, Option<Scope>) {
        match self {
            Self::Token(_) => (Endpoint::Token, "POST", None),
            Self::Shift => (Endpoint::Schedule, "GET", Some(Scope::SchedulesView)),
            Self::Break => (Endpoint::Break, "GET", Some(Scope::BreaksView)),
            Self::SetState => (Endpoint::State, "POST", Some(Scope::StateWrite)),
            Self::Subscribe => (Endpoint::Subscribe, "POST", Some(Scope::SubscriptionWrite)),
            Self::Poll => (Endpoint::Snapshot, "GET", Some(Scope::RealtimeRead)),
            Self::SkillData => (Endpoint::SkillData, "GET", None),
            Self::Queues => (Endpoint::Queues, "GET", None),
            Self::QueueFigures => (Endpoint::QueueFigures, "POST", Some(Scope::QueueView)),
            Self::SubmitQuery => (Endpoint::AnalyticsQuery, "POST", Some(Scope::AnalyticsQuery)),
            Self::QueryResult => (Endpoint::AnalyticsResult, "GET", Some(Scope::AnalyticsView)),
            Self::Feed => (Endpoint::Feed, "GET", None),
            Self::Published(call) => {
                let (endpoint, method) = call.definition();
                (endpoint, method, None)
            }
        }
    }

    /// Returns whether the operation counts in `TenantCounts::calls`. Its path names an agent.
    fn is_call(self) -> bool {
        matches!(self, Self::Shift | Self::Break) || self.sets_state()
    }

    /// Returns whether the operation uses the request budget; tokens and snapshots of the guides do not.
    fn is_budgeted(self) -> bool {
        match self {
            Self::Published(call) => call.needs_token(),
            _ => self.is_call() || self == Self::Subscribe,
        }
    }

    /// Returns whether the operation needs a token.
    fn needs_token(self) -> bool {
        match self {
            Self::Token(_) => false,
            Self::Published(call) => call.needs_token(),
            _ => true,
        }
    }

    /// Returns whether the operation requests a state.
    fn sets_state(self) -> bool {
        match self {
            Self::SetState => true,
            Self::Published(call) => call.sets_state(),
            _ => false,
        }
    }

    /// Returns whether the operation reads figures of skills and queues.
    fn is_figures(self) -> bool {
        matches!(self, Self::SkillData | Self::Queues | Self::QueueFigures)
    }

    /// Returns whether the operation uses the budget of figures and aggregation queries.
    fn is_reporting(self) -> bool {
        self.is_figures() || matches!(self, Self::SubmitQuery | Self::QueryResult)
    }
}

/// The reply to a call. It does not implement `Debug`, since it may hold a token.
pub(super) enum Reply {
    Token {
        token: String,
        expires_in: u64,
        scopes: Vec<Scope>,
        style: TokenStyle,
        tenant: TenantId,
    },
    Shift {
        active: bool,
    },
    Break {
        required: bool,
    },
    Accepted {
        state: String,
        reason: String,
        at: UtcMicros,
    },
    Subscribed {
        id: SubscriptionId,
        interval: Duration,
    },
    Snapshot(Arc<Snapshot>),
    SkillData {
        requested: Vec<u32>,
        figures: Arc<[SkillFigures]>,
        with_idle: bool,
    },
    Queues,
    QueueFigures {
        requested: Vec<String>,
        figures: Arc<[SkillFigures]>,
    },
    /// A query was accepted.
    Submitted(PlatformQueryId),
    /// The status of a query, as the complete body.
    QueryResult(serde_json::Value),
    /// The connection becomes a feed of this tenant.
    Feed(FeedCredentials),
    /// The answer of a published service.
    Published(PublishedReply),
    Problem(Problem),
    Page,
}

impl Reply {
    /// Returns the HTTP status of the reply.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Problem(problem) => problem.status,
            Self::Published(reply) => reply.status,
            Self::Subscribed { .. } => 201,
            Self::Submitted(_) => 202,
            Self::Feed(_) => 101,
            Self::Token { .. }
            | Self::Shift { .. }
            | Self::Break { .. }
            | Self::Accepted { .. }
            | Self::Snapshot(_)
            | Self::SkillData { .. }
            | Self::Queues
            | Self::QueueFigures { .. }
            | Self::QueryResult(_)
            | Self::Page => 200,
        }
    }
}

/// The result of a call.
pub(super) struct CallResult {
    /// The reply; `None` if the fault prevents an answer.
    pub(super) reply: Option<Reply>,
    pub(super) fault: Option<FaultSpec>,
    pub(super) clock_error: ClockError,
}

impl PlatformState {
    /// Serves a call that arrived at `now`: records it, decides, applies the change and records the result.
    pub(super) fn serve(&mut self, operation: Operation, call: &Call, now: UtcMicros) -> CallResult {
        self.advance(now);
        let tenant = self.calling_tenant(operation, call);
        let tenant_id = tenant.and_then(|at| self.tenants.get(at)).map(|tenant| tenant.id.clone());
        let seq = self.journal.record_request(request_entry(operation, call, tenant_id.clone(), now));
        if let Some(tenant) = tenant.and_then(|at| self.tenants.get_mut(at)) {
            tenant.counts.calls += u64::from(operation.is_call());
            tenant.counts.state_posts += u64::from(operation.sets_state());
        }
        let agent = operation.is_call().then_some(call.subject.as_str());
        let (endpoint, _, _) = operation.definition();
        let fault_context = FaultContext { endpoint, tenant: tenant_id.as_ref(), agent };
        let clock_error = self.faults.clock_error(&fault_context);
        let (reply, fault) = if let Err(problem) = self.authorize(operation, call, tenant, now) {
            (Some(Reply::Problem(problem)), None)
        } else {
            let fault = self.faults.take_matching(&fault_context);
            (self.process_call(operation, call, tenant, (fault.as_ref(), clock_error), seq, now), fault)
        };
        let status = reply.as_ref().map(Reply::status);
        let (subscription, generated) = match &reply {
            Some(Reply::Subscribed { id, .. }) => (Some(id.clone()), None),
            Some(Reply::Snapshot(snapshot)) => (Some(snapshot.id.clone()), Some(snapshot.generated)),
            Some(_) | None => (None, None),
        };
        let acceptance = match &reply {
            Some(Reply::Published(reply)) => reply.acceptance,
            Some(_) | None => None,
        };
        let kind = fault.as_ref().map(|fault| fault.kind);
        self.journal.record_outcome(seq, RequestOutcome { status, fault: kind, subscription, generated, acceptance });
        if let Some(tenant) = tenant.and_then(|at| self.tenants.get_mut(at)) {
            tenant.counts.throttled += u64::from(status == Some(429));
            tenant.record_world_events(&mut self.journal, &mut self.faults);
        }
        CallResult { reply, fault, clock_error }
    }

    /// Returns the tenant that a call claims, whether or not its credentials are valid.
    fn calling_tenant(&self, operation: Operation, call: &Call) -> Option<usize> {
        let of_client = |id: &str| self.tenants.iter().position(|tenant| tenant.client_id == id);
        match operation {
            Operation::Token(style) => return of_client(&credentials(style, call)?.0),
            Operation::Published(published) if !published.needs_token() => {
                return self.published_tenant(published, call);
            }
            _ => {}
        }
        let claimed = Tokens::claimed_tenant(call.bearer.as_deref()?);
        self.tenants.iter().position(|tenant| tenant.id.as_str() == claimed)
    }

    /// Checks the token, its scope and the budget.
    fn authorize(
        &mut self,
        operation: Operation,
        call: &Call,
        tenant: Option<usize>,
        now: UtcMicros,
    ) -> Result<(), Problem> {
        if !operation.needs_token() {
            return Ok(());
        }
        let invalid = || {
            Problem::new(
                401,
                "UNAUTHORIZED",
                "the access token is missing, expired, revoked or used under a wrong base",
            )
        };
        let tenant = tenant.and_then(|at| self.tenants.get_mut(at)).ok_or_else(invalid)?;
        let base = call.base();
        if call.unit.as_ref().is_some_and(|unit| unit != tenant.id.as_str()) {
            return Err(invalid());
        }
        let (_, _, scope) = operation.definition();
        match self.tokens.check(call.bearer.as_deref().unwrap_or_default(), scope, base, now) {
            Ok(_) => {}
            Err(Rejection::Invalid) => return Err(invalid()),
            Err(Rejection::Scope(scope)) => {
                return Err(Problem::new(403, "FORBIDDEN", format!("the token lacks the scope {}", scope.name())));
            }
        }
        if operation.is_budgeted()
            && let Err(wait) = tenant.request_budget.admit(now)
        {
            return Err(Problem::too_many(wait, "the request budget of the tenant is used up"));
        }
        if operation.is_reporting()
            && let Err(wait) = tenant.reporting_budget.admit(now)
        {
            return Err(Problem::too_many(wait, "the reporting budget of the tenant is used up"));
        }
        Ok(())
    }

    /// Processes an admitted call as far as the fault lets it. Returns `None` if there is no answer.
    fn process_call(
        &mut self,
        operation: Operation,
        call: &Call,
        tenant: Option<usize>,
        (fault, clock_error): (Option<&FaultSpec>, ClockError),
        seq: u64,
        now: UtcMicros,
    ) -> Option<Reply> {
        let delay = match fault.map(answer_instead) {
            Some(ControlFlow::Break(answer)) => return answer,
            Some(ControlFlow::Continue(delay)) => delay,
            None => Duration::ZERO,
        };
        let done = if let Operation::Token(style) = operation {
            self.issue_token(style, call, now)
        } else if let Operation::Published(published) = operation {
            let settings =
                CallSettings { seq, delay, skew_ms: clock_error.skew_ms, fault: fault.map(|fault| fault.kind) };
            self.answer_published(published, call, tenant, settings, now).map(Reply::Published)
        } else {
            let with_idle = operation.is_figures() && self.random.chance(0.5);
            let min_interval = self.min_interval;
            match tenant.and_then(|at| self.tenants.get_mut(at)) {
                None => Err(Problem::new(401, "UNAUTHORIZED", "no such tenant")),
                Some(tenant) if operation.is_figures() => tenant.report_figures(operation, call, with_idle),
                Some(tenant) if operation.is_reporting() => {
                    tenant.handle_query(operation, call, fault.map(|fault| fault.kind), delay)
                }
                Some(tenant) => tenant.process_tenant_call(operation, call, seq, delay, min_interval),
            }
        };
        match fault {
            Some(fault) if fault.kind == FaultKind::Status => Some(Reply::Problem(fault_problem(fault))),
            Some(_) | None => Some(done.unwrap_or_else(Reply::Problem)),
        }
    }

    fn issue_token(&mut self, style: TokenStyle, call: &Call, now: UtcMicros) -> Result<Reply, Problem> {
        let refused = || Problem::new(401, "invalid_client", "unknown client or wrong secret");
        let (client_id, client_secret, form) = credentials(style, call)
            .ok_or_else(|| Problem::new(400, "invalid_request", "the credentials are missing"))?;
        if form.grant_type != "client_credentials" {
            return Err(Problem::new(400, "unsupported_grant_type", "only client_credentials"));
        }
        let tenant = self
            .tenants
            .iter()
            .find(|tenant| tenant.client_id == client_id && tenant.client_secret == client_secret)
            .filter(|tenant| form.tenant_id.as_ref().is_none_or(|id| id == tenant.id.as_str()))
            .ok_or_else(refused)?;
        let scopes = Scope::parse(&form.scope)
            .map_err(|name| Problem::new(400, "invalid_scope", format!("unknown scope {name:?}")))?;
        let base = match style {
            TokenStyle::Body | TokenStyle::Basic => TokenBase::Root,
            TokenStyle::Legacy => TokenBase::BusinessUnit,
        };
        let tenant = tenant.id.clone();
        let token = self.tokens.issue(&tenant, scopes.clone(), base, now, self.token_lifetime);
        Ok(Reply::Token { token, expires_in: self.token_lifetime.as_secs(), scopes, style, tenant })
    }
}

impl Tenant {
    fn process_tenant_call(
        &mut self,
        operation: Operation,
        call: &Call,
        seq: u64,
        delay: Duration,
        min_interval: Duration,
    ) -> Result<Reply, Problem> {
        let unknown = || Problem::new(404, "NOT_FOUND", "no such user");
        let now = self.world.current_time();
        match operation {
            // The caller has handled these: tokens belong to the platform rather than a tenant, figures to
            // `report_figures`, and queries to `handle_query`.
            Operation::Token(_)
            | Operation::Published(_)
            | Operation::SkillData
            | Operation::Queues
            | Operation::QueueFigures
            | Operation::SubmitQuery
            | Operation::QueryResult => Err(Problem::new(404, "NOT_FOUND", "no such thing")),
            Operation::Shift => {
                let agent = self.world.agent(&call.subject).ok_or_else(unknown)?;
                Ok(Reply::Shift { active: agent.is_scheduled(now) })
            }
            Operation::Break => {
                let agent = self.world.agent(&call.subject).ok_or_else(unknown)?;
                Ok(Reply::Break { required: agent.is_in_mandatory_break(now) })
            }
            Operation::SetState => {
                self.world.agent(&call.subject).ok_or_else(unknown)?;
                let change = wire::parse_state_change(&call.body)?;
                self.world.request(&call.subject, change.state, seq, delay).map_err(refusal_problem)?;
                Ok(Reply::Accepted { state: change.name, reason: change.reason, at: now })
            }
            Operation::Subscribe => {
                let requested = wire::parse_subscription(&call.body, min_interval)?;
                let positions = match &requested.users {
                    Some(users) => self.world.positions(users.iter().map(String::as_str)),
                    None => (0..self.world.roster().len()).collect(),
                };
                let view = SubscriptionView { interval: requested.interval, positions, metrics: requested.metrics };
                let full = || Problem::new(400, "TOO_MANY_SUBSCRIPTIONS", "the tenant has too many subscriptions");
                let id = self.subscriptions.create(view, &self.world).ok_or_else(full)?;
                Ok(Reply::Subscribed { id, interval: requested.interval })
            }
            Operation::Poll => match self.subscriptions.poll(&call.subject, now) {
                Ok(snapshot) => Ok(Reply::Snapshot(snapshot)),
                Err(PollError::Unknown) => Err(Problem::new(404, "NOT_FOUND", "no such subscription")),
                Err(PollError::TooFast(wait)) => Err(Problem::too_many(wait, "polled faster than the interval")),
            },
            Operation::Feed if !call.upgrade => Err(Problem::new(426, "UPGRADE_REQUIRED", "this is a WebSocket")),
            Operation::Feed if !self.feeds.has_room() => {
                Err(Problem::new(503, "TOO_MANY_FEEDS", "the tenant has too many feeds"))
            }
            Operation::Feed => Ok(Reply::Feed(FeedCredentials {
                tenant: self.id.clone(),
                token: call.bearer.clone().unwrap_or_default(),
                base: call.base(),
            })),
        }
    }

    /// Answers with figures of skills and queues. Idle skills are left out, unless `with_idle`.
    fn report_figures(&mut self, operation: Operation, call: &Call, with_idle: bool) -> Result<Reply, Problem> {
        let now = self.world.current_time();
        if operation == Operation::Queues {
            return Ok(Reply::Queues);
        }
        if operation == Operation::SkillData {
            let requested = wire::parse_skill_ids(call.query.get("skillId").map_or("", String::as_str))?;
            return Ok(Reply::SkillData {
                requested,
                figures: self.cached_figures.figures_at(now, || self.world.figures()),
                with_idle,
            });
        }
        let requested = wire::parse_queue_ids(&call.body)?;
        if let [only] = requested.as_slice()
            && !self.world.skills().iter().any(|skill| skill.queue == *only)
        {
            return Err(Problem::new(404, "NOT_FOUND", "no such queue"));
        }
        Ok(Reply::QueueFigures { requested, figures: self.cached_figures.figures_at(now, || self.world.figures()) })
    }

    /// Accepts an aggregation query, or answers about one. `delay` is how much longer it takes than usual.
    fn handle_query(
        &mut self,
        operation: Operation,
        call: &Call,
        fault: Option<FaultKind>,
        delay: Duration,
    ) -> Result<Reply, Problem> {
        let now = self.world.current_time();
        if operation == Operation::SubmitQuery {
            let query_request = analytics::query_request::parse(&call.body, self.world.skills())?;
            return self.analytics.submit(query_request, fault, delay, now).map(Reply::Submitted);
        }
        let of_query = |name: &str| call.query.get(name).map(String::as_str);
        let page = PageRequest::parse(of_query("limit"), of_query("offset"))?;
        let response = self.analytics.query_response(&self.id, &call.subject, page, fault, now);
        response.map(Reply::QueryResult).ok_or_else(|| Problem::new(404, "NOT_FOUND", "no such query"))
    }
}

fn refusal_problem(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::UnknownAgent => Problem::new(404, "NOT_FOUND", "no such user"),
        Refusal::NotScheduled => Problem::new(409, "AGENT_NOT_SCHEDULED", "the agent has no shift now"),
        Refusal::MandatoryBreak => Problem::new(409, "MANDATORY_BREAK_VIOLATION", "the agent is in a mandatory break"),
        Refusal::LoggedOut => Problem::new(409, "AGENT_LOGGED_OUT", "the agent is not logged in"),
    }
}

/// Breaks with what a fault answers instead of the call, `None` for no answer; continues with the delay of the call.
fn answer_instead(fault: &FaultSpec) -> ControlFlow<Option<Reply>, Duration> {
    match fault.kind {
        FaultKind::ResetBefore | FaultKind::StopAnswering => ControlFlow::Break(None),
        FaultKind::Html => ControlFlow::Break(Some(Reply::Page)),
        FaultKind::Status if !fault.applied => ControlFlow::Break(Some(Reply::Problem(fault_problem(fault)))),
        FaultKind::Late => ControlFlow::Continue(fault.duration().unwrap_or_default()),
        _ => ControlFlow::Continue(Duration::ZERO),
    }
}

fn fault_problem(fault: &FaultSpec) -> Problem {
    let problem = Problem::new(fault.code.unwrap_or(503), "SERVICE_FAULT", "a fault that was asked for");
    Problem { retry_after: fault.retry_after.map(u64::from), ..problem }
}

/// Returns the client's id and secret in the given style, and the form.
fn credentials(style: TokenStyle, call: &Call) -> Option<(String, String, &TokenForm)> {
    let form = call.form.as_ref()?;
    match style {
        TokenStyle::Body | TokenStyle::Legacy => Some((form.client_id.clone(), form.client_secret.clone(), form)),
        TokenStyle::Basic => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(call.basic.as_deref()?).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (id, secret) = text.split_once(':')?;
            Some((id.to_owned(), secret.to_owned(), form))
        }
    }
}

fn request_entry(operation: Operation, call: &Call, tenant: Option<TenantId>, at: UtcMicros) -> RequestEntry {
    let body = ((operation.sets_state() || operation == Operation::Subscribe)
        && call.body.len() <= MAX_LOGGED_BODY_BYTES)
        .then(|| serde_json::from_slice::<Box<RawValue>>(&call.body).ok())
        .flatten();
    let (_, method, _) = operation.definition();
    RequestEntry {
        seq: 0,
        at,
        tenant,
        method,
        path: call.path.clone(),
        query: call.raw_query.clone().filter(|_| matches!(operation, Operation::Published(_))),
        agent: operation.is_call().then(|| AgentId::new(&call.subject)),
        status: None,
        fault: None,
        body,
        subscription: None,
        generated: None,
        acceptance: None,
    }
}
