//! What the platform answers to a request: who may ask, how often, and what for. Pure of HTTP: it is given a call that was
//! read, and gives a reply that is still to be written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use base64::Engine;
use serde_json::value::RawValue;

use super::analytics::{self, PageAsked};
use super::faults::{Ambience, Endpoint, FaultSpec, Kind, Met};
use super::figures::SkillFigures;
use super::journal::{Answered, RequestEntry};
use super::stage::{Stage, Tenant};
use super::subscriptions::{PollRefusal, Snapshot, View};
use super::tokens::{Base, Rejection, Scope, Tokens};
use super::wire::{self, Problem, TokenForm};
use super::world::Refusal;
use crate::domain::ids::{AgentId, QueryId, SubscriptionId, TenantId};
use crate::domain::time::UtcMicros;

/// A body that is longer is not kept in the account.
const LONGEST_KEPT_BODY: usize = 4096;

/// The three ways to ask for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenStyle {
    /// Credentials in the form (guides 001, 003).
    Body,
    /// Credentials in the header (guide 002).
    Basic,
    /// Credentials in the form, and an answer that names the base of every later call (guide 000).
    Legacy,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
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
}

impl Ask {
    fn endpoint(self) -> Endpoint {
        match self {
            Self::Token(_) => Endpoint::Token,
            Self::Shift => Endpoint::Schedule,
            Self::Break => Endpoint::Break,
            Self::SetState => Endpoint::State,
            Self::Subscribe => Endpoint::Subscribe,
            Self::Poll => Endpoint::Snapshot,
            Self::SkillData => Endpoint::SkillData,
            Self::Queues => Endpoint::Queues,
            Self::QueueFigures => Endpoint::QueueFigures,
            Self::SubmitQuery => Endpoint::AnalyticsQuery,
            Self::QueryResult => Endpoint::AnalyticsResult,
            Self::Feed => Endpoint::Feed,
        }
    }

    /// The scope that it needs; guide 000 names none for what it describes, and guide 001 none for the list.
    fn scope(self) -> Option<Scope> {
        match self {
            Self::Token(_) | Self::SkillData | Self::Queues | Self::Feed => None,
            Self::QueueFigures => Some(Scope::QueueView),
            Self::SubmitQuery => Some(Scope::AnalyticsQuery),
            Self::QueryResult => Some(Scope::AnalyticsView),
            Self::Shift => Some(Scope::SchedulesView),
            Self::Break => Some(Scope::BreaksView),
            Self::SetState => Some(Scope::StateWrite),
            Self::Subscribe => Some(Scope::SubscriptionWrite),
            Self::Poll => Some(Scope::RealtimeRead),
        }
    }

    /// Counted in [`super::Counts::calls`].
    fn is_call(self) -> bool {
        matches!(self, Self::Shift | Self::Break | Self::SetState)
    }

    /// Taken from the budget; tokens and snapshots are outside it.
    fn is_budgeted(self) -> bool {
        self.is_call() || self == Self::Subscribe
    }

    /// Taken from the budget of figures and aggregation queries.
    fn is_reporting(self) -> bool {
        matches!(self, Self::SkillData | Self::Queues | Self::QueueFigures | Self::SubmitQuery | Self::QueryResult)
    }

    /// The path names an agent.
    fn names_agent(self) -> bool {
        self.is_call()
    }

    fn method(self) -> &'static str {
        match self {
            Self::Token(_) | Self::SetState | Self::Subscribe | Self::QueueFigures | Self::SubmitQuery => "POST",
            Self::Shift
            | Self::Break
            | Self::Poll
            | Self::SkillData
            | Self::Queues
            | Self::QueryResult
            | Self::Feed => "GET",
        }
    }
}

/// A call, as the face read it. It holds secrets, so it cannot be printed.
#[derive(Default)]
pub(super) struct Call {
    pub(super) path: String,
    /// The business unit whose base the call came under.
    pub(super) unit: Option<String>,
    /// The agent, the subscription or the query that the path names.
    pub(super) subject: String,
    /// The text after `Bearer`; of a feed, the token in the query.
    pub(super) bearer: Option<String>,
    /// The text after `Basic`.
    pub(super) basic: Option<String>,
    /// The form of a token request.
    pub(super) form: Option<TokenForm>,
    pub(super) body: Bytes,
    /// What stands behind the `?`.
    pub(super) query: HashMap<String, String>,
    /// Whether it asks for a WebSocket.
    pub(super) upgrade: bool,
}

impl Call {
    /// The base that it came under.
    fn base(&self) -> Base {
        if self.unit.is_some() { Base::BusinessUnit } else { Base::Root }
    }
}

/// What a feed is opened with. It holds a token, so it cannot be printed.
pub(super) struct Ticket {
    pub(super) tenant: TenantId,
    pub(super) token: String,
    pub(super) base: Base,
}

/// What to answer. It may hold a token, so it cannot be printed.
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
        asked: Vec<u32>,
        figures: Arc<[SkillFigures]>,
        idle_too: bool,
    },
    Queues,
    QueueFigures {
        asked: Vec<String>,
        figures: Arc<[SkillFigures]>,
    },
    /// A query was taken.
    Submitted(QueryId),
    /// How a query stands, whole.
    QueryResult(serde_json::Value),
    /// The connection becomes a feed of this tenant.
    Feed(Ticket),
    Problem(Problem),
    Page,
}

impl Reply {
    /// The status that goes with it.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Problem(problem) => problem.status,
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

/// What came of a call.
pub(super) struct Served {
    /// None where the fault forbids an answer.
    pub(super) reply: Option<Reply>,
    pub(super) fault: Option<FaultSpec>,
    pub(super) ambience: Ambience,
}

impl Stage {
    /// Takes a call that arrived at `now`: notes it, decides, applies, and notes what came of it.
    pub(super) fn serve(&mut self, ask: Ask, call: &Call, now: UtcMicros) -> Served {
        self.advance(now);
        let tenant = self.whose(ask, call);
        let tenant_id = tenant.and_then(|at| self.tenants.get(at)).map(|tenant| tenant.id.clone());
        let seq = self.journal.request(entry(ask, call, tenant_id.clone(), now));
        if let Some(tenant) = tenant.and_then(|at| self.tenants.get_mut(at)) {
            tenant.counts.calls += u64::from(ask.is_call());
            tenant.counts.state_posts += u64::from(ask == Ask::SetState);
        }
        let agent = ask.names_agent().then_some(call.subject.as_str());
        let met = Met { endpoint: ask.endpoint(), tenant: tenant_id.as_ref(), agent };
        let ambience = self.faults.ambience(&met);
        let (reply, fault) = if let Err(problem) = self.admit(ask, call, tenant, now) {
            (Some(Reply::Problem(problem)), None)
        } else {
            let fault = self.faults.strike(&met);
            (self.answer(ask, call, tenant, fault.as_ref(), seq, now), fault)
        };
        let status = reply.as_ref().map(Reply::status);
        let (subscription, generated) = match &reply {
            Some(Reply::Subscribed { id, .. }) => (Some(id.clone()), None),
            Some(Reply::Snapshot(snapshot)) => (Some(snapshot.id.clone()), Some(snapshot.generated)),
            Some(_) | None => (None, None),
        };
        let kind = fault.as_ref().map(|fault| fault.kind);
        self.journal.answered(seq, Answered { status, fault: kind, subscription, generated });
        if let Some(tenant) = tenant.and_then(|at| self.tenants.get_mut(at)) {
            tenant.counts.throttled += u64::from(status == Some(429));
            tenant.account(&mut self.journal, &mut self.faults);
        }
        Served { reply, fault, ambience }
    }

    /// The tenant that a call belongs to by its own word, whether that is good or not.
    fn whose(&self, ask: Ask, call: &Call) -> Option<usize> {
        match ask {
            Ask::Token(style) => {
                let (client_id, _, _) = credentials(style, call)?;
                self.tenants.iter().position(|tenant| tenant.client_id == client_id)
            }
            Ask::Shift
            | Ask::Break
            | Ask::SetState
            | Ask::Subscribe
            | Ask::Poll
            | Ask::SkillData
            | Ask::Queues
            | Ask::QueueFigures
            | Ask::SubmitQuery
            | Ask::QueryResult
            | Ask::Feed => {
                let claimed = Tokens::claimed_tenant(call.bearer.as_deref()?);
                self.tenants.iter().position(|tenant| tenant.id.as_str() == claimed)
            }
        }
    }

    /// Checks the token, its scope and the budget.
    fn admit(&mut self, ask: Ask, call: &Call, tenant: Option<usize>, now: UtcMicros) -> Result<(), Problem> {
        if matches!(ask, Ask::Token(_)) {
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
        match self.tokens.check(call.bearer.as_deref().unwrap_or_default(), ask.scope(), base, now) {
            Ok(_) => {}
            Err(Rejection::Invalid) => return Err(invalid()),
            Err(Rejection::Scope(scope)) => {
                return Err(Problem::new(403, "FORBIDDEN", format!("the token lacks the scope {}", scope.name())));
            }
        }
        if ask.is_budgeted()
            && let Err(wait) = tenant.window.admit(now)
        {
            return Err(Problem::too_many(wait, "the request budget of the tenant is used up"));
        }
        if ask.is_reporting()
            && let Err(wait) = tenant.reporting.admit(now)
        {
            return Err(Problem::too_many(wait, "the reporting budget of the tenant is used up"));
        }
        Ok(())
    }

    /// Processes an admitted call as far as the fault lets it. `None` where there is to be no answer.
    fn answer(
        &mut self,
        ask: Ask,
        call: &Call,
        tenant: Option<usize>,
        fault: Option<&FaultSpec>,
        seq: u64,
        now: UtcMicros,
    ) -> Option<Reply> {
        let mut late = Duration::ZERO;
        if let Some(fault) = fault {
            match fault.kind {
                Kind::ResetBefore | Kind::StopAnswering => return None,
                Kind::Html => return Some(Reply::Page),
                Kind::Status if !fault.applied => return Some(Reply::Problem(status_of(fault))),
                Kind::Late => late = fault.span().unwrap_or_default(),
                Kind::Status
                | Kind::Delay
                | Kind::ResetMid
                | Kind::LostAnswer
                | Kind::Truncated
                | Kind::WrongTypes
                | Kind::Nonsense
                | Kind::RevokeTokens
                | Kind::ExpireSubscriptions
                | Kind::ClockSkew
                | Kind::TimestampJitter
                | Kind::Silent
                | Kind::Repeat
                | Kind::MissingRows
                | Kind::OldTimes
                | Kind::OtherZones
                | Kind::Bulky
                | Kind::OddTexts
                | Kind::SkipRows
                | Kind::StopShort
                | Kind::NeverFinish
                | Kind::FailQuery
                | Kind::ForgetQueries
                | Kind::DropFeeds
                | Kind::CloseFeeds => {}
            }
        }
        let done = match ask {
            Ask::Token(style) => self.token(style, call, now),
            Ask::SkillData | Ask::Queues | Ask::QueueFigures => {
                let idle_too = self.dice.chance(0.5);
                match tenant.and_then(|at| self.tenants.get_mut(at)) {
                    None => Err(Problem::new(401, "UNAUTHORIZED", "no such tenant")),
                    Some(tenant) => tenant.report(ask, call, idle_too),
                }
            }
            Ask::SubmitQuery | Ask::QueryResult => match tenant.and_then(|at| self.tenants.get_mut(at)) {
                None => Err(Problem::new(401, "UNAUTHORIZED", "no such tenant")),
                Some(tenant) => tenant.analyse(ask, call, fault.map(|fault| fault.kind), late),
            },
            Ask::Shift | Ask::Break | Ask::SetState | Ask::Subscribe | Ask::Poll | Ask::Feed => {
                let least_interval = self.least_interval;
                match tenant.and_then(|at| self.tenants.get_mut(at)) {
                    None => Err(Problem::new(401, "UNAUTHORIZED", "no such tenant")),
                    Some(tenant) => tenant.process(ask, call, seq, late, least_interval),
                }
            }
        };
        match fault {
            Some(fault) if fault.kind == Kind::Status => Some(Reply::Problem(status_of(fault))),
            Some(_) | None => Some(done.unwrap_or_else(Reply::Problem)),
        }
    }

    fn token(&mut self, style: TokenStyle, call: &Call, now: UtcMicros) -> Result<Reply, Problem> {
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
            TokenStyle::Body | TokenStyle::Basic => Base::Root,
            TokenStyle::Legacy => Base::BusinessUnit,
        };
        let tenant = tenant.id.clone();
        let token = self.tokens.issue(&tenant, scopes.clone(), base, now, self.token_lifetime);
        Ok(Reply::Token { token, expires_in: self.token_lifetime.as_secs(), scopes, style, tenant })
    }
}

impl Tenant {
    fn process(
        &mut self,
        ask: Ask,
        call: &Call,
        seq: u64,
        late: Duration,
        least_interval: Duration,
    ) -> Result<Reply, Problem> {
        let unknown = || Problem::new(404, "NOT_FOUND", "no such user");
        let now = self.world.reached();
        match ask {
            // Tokens are the platform's and not a tenant's, figures are `report`'s and queries `analyse`'s; the caller has dealt
            // with them.
            Ask::Token(_) | Ask::SkillData | Ask::Queues | Ask::QueueFigures | Ask::SubmitQuery | Ask::QueryResult => {
                Err(Problem::new(404, "NOT_FOUND", "no such thing"))
            }
            Ask::Shift => {
                let agent = self.world.agent(&call.subject).ok_or_else(unknown)?;
                Ok(Reply::Shift { active: agent.scheduled(now) })
            }
            Ask::Break => {
                let agent = self.world.agent(&call.subject).ok_or_else(unknown)?;
                Ok(Reply::Break { required: agent.mandatory_break(now) })
            }
            Ask::SetState => {
                self.world.agent(&call.subject).ok_or_else(unknown)?;
                let change = wire::state_change(&call.body)?;
                self.world.request(&call.subject, change.state, seq, late).map_err(refusal)?;
                Ok(Reply::Accepted { state: change.name, reason: change.reason, at: now })
            }
            Ask::Subscribe => {
                let asked = wire::subscription(&call.body, least_interval)?;
                let positions = match &asked.users {
                    Some(users) => self.world.positions(users.iter().map(String::as_str)),
                    None => (0..self.world.roster().len()).collect(),
                };
                let view = View { interval: asked.interval, positions, metrics: asked.metrics };
                let full = || Problem::new(400, "TOO_MANY_SUBSCRIPTIONS", "the tenant has too many subscriptions");
                let id = self.subscriptions.create(view, &self.world).ok_or_else(full)?;
                Ok(Reply::Subscribed { id, interval: asked.interval })
            }
            Ask::Poll => match self.subscriptions.poll(&call.subject, now) {
                Ok(snapshot) => Ok(Reply::Snapshot(snapshot)),
                Err(PollRefusal::Unknown) => Err(Problem::new(404, "NOT_FOUND", "no such subscription")),
                Err(PollRefusal::TooFast(wait)) => Err(Problem::too_many(wait, "polled faster than the interval")),
            },
            Ask::Feed if !call.upgrade => Err(Problem::new(426, "UPGRADE_REQUIRED", "this is a WebSocket")),
            Ask::Feed if !self.feeds.has_room() => {
                Err(Problem::new(503, "TOO_MANY_FEEDS", "the tenant has too many feeds"))
            }
            Ask::Feed => Ok(Reply::Feed(Ticket {
                tenant: self.id.clone(),
                token: call.bearer.clone().unwrap_or_default(),
                base: call.base(),
            })),
        }
    }
}

impl Tenant {
    /// Answers about skills and queues. Idle skills are left out, unless `idle_too`.
    fn report(&mut self, ask: Ask, call: &Call, idle_too: bool) -> Result<Reply, Problem> {
        let now = self.world.reached();
        if ask == Ask::Queues {
            return Ok(Reply::Queues);
        }
        if ask == Ask::SkillData {
            let asked = wire::skill_ids(call.query.get("skillId").map_or("", String::as_str))?;
            return Ok(Reply::SkillData { asked, figures: self.shown.at(now, &self.world), idle_too });
        }
        let asked = wire::queue_ids(&call.body)?;
        if let [only] = asked.as_slice()
            && !self.world.skills().iter().any(|skill| skill.queue == *only)
        {
            return Err(Problem::new(404, "NOT_FOUND", "no such queue"));
        }
        Ok(Reply::QueueFigures { asked, figures: self.shown.at(now, &self.world) })
    }
}

impl Tenant {
    /// Takes an aggregation query, or answers about one. `late` is how much longer one takes than usual.
    fn analyse(&mut self, ask: Ask, call: &Call, fault: Option<Kind>, late: Duration) -> Result<Reply, Problem> {
        let now = self.world.reached();
        if ask == Ask::SubmitQuery {
            let asked = analytics::ask::read(&call.body, self.world.skills())?;
            return self.analytics.submit(asked, fault, late, now).map(Reply::Submitted);
        }
        let of_query = |name: &str| call.query.get(name).map(String::as_str);
        let page = PageAsked::read(of_query("limit"), of_query("offset"))?;
        let look = self.analytics.look(&self.id, &call.subject, page, fault, now);
        look.map(Reply::QueryResult).ok_or_else(|| Problem::new(404, "NOT_FOUND", "no such query"))
    }
}

fn refusal(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::UnknownAgent => Problem::new(404, "NOT_FOUND", "no such user"),
        Refusal::NotScheduled => Problem::new(409, "AGENT_NOT_SCHEDULED", "the agent has no shift now"),
        Refusal::MandatoryBreak => Problem::new(409, "MANDATORY_BREAK_VIOLATION", "the agent is in a mandatory break"),
        Refusal::LoggedOut => Problem::new(409, "AGENT_LOGGED_OUT", "the agent is not logged in"),
    }
}

fn status_of(fault: &FaultSpec) -> Problem {
    let problem = Problem::new(fault.code.unwrap_or(503), "SERVICE_FAULT", "a fault that was asked for");
    Problem { retry_after: fault.retry_after.map(u64::from), ..problem }
}

/// The client's id and secret, wherever the style has them, and the form.
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

fn entry(ask: Ask, call: &Call, tenant: Option<TenantId>, at: UtcMicros) -> RequestEntry {
    let body = (matches!(ask, Ask::SetState | Ask::Subscribe) && call.body.len() <= LONGEST_KEPT_BODY)
        .then(|| serde_json::from_slice::<Box<RawValue>>(&call.body).ok())
        .flatten();
    RequestEntry {
        seq: 0,
        at,
        tenant,
        method: ask.method(),
        path: call.path.clone(),
        agent: ask.names_agent().then(|| AgentId::new(&call.subject)),
        status: None,
        fault: None,
        body,
        subscription: None,
        generated: None,
    }
}
