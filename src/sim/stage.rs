//! Everything the stand-in platform holds: tenants, tokens, faults, the account. One value under one lock; it is told the
//! instant and never waits. What it answers to a request stands in `rules`; how the answer travels, in `face`.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::agent::{Habits, Overrides};
use super::analytics::Analytics;
use super::contacts::{Move, Skill};
use super::dice::Dice;
use super::faults::{FaultError, FaultSpec, Faults, Kind};
use super::feed::{Books, FeedEnd, Feeds, Said};
use super::figures::Shown;
use super::journal::{Journal, LogPage};
use super::news::News;
use super::options::SimOptions;
use super::roster::{self, Casting};
use super::rules::Ticket;
use super::shifts::FileSchedule;
use super::state::SimState;
use super::subscriptions::Subscriptions;
use super::tokens::Tokens;
use super::window::SlidingWindow;
use super::world::{Happening, Order, Refusal, World};
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// The span of the request budget.
const BUDGET_SPAN: Duration = Duration::from_secs(60);

/// What the platform counted for one tenant since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Schedule, break and state calls that arrived, however they were answered.
    pub calls: u64,
    /// State changes that arrived.
    pub state_posts: u64,
    /// Changes of state that took effect because a request asked for them. Asking for the state that is already held is none.
    pub applied_changes: u64,
    /// Answers with status 429, of every kind of request.
    pub throttled: u64,
}

/// One agent, as the back door shows it.
#[derive(Clone, Debug, Serialize)]
pub struct AgentView {
    /// The agent.
    pub id: AgentId,
    /// What it is doing.
    pub state: SimState,
    /// Since when.
    pub since: UtcMicros,
    /// Whether the platform calls it scheduled now.
    pub scheduled: bool,
    /// Whether the platform forbids READY now.
    pub mandatory_break: bool,
    /// True when it does nothing of its own accord.
    pub held: bool,
    /// The state that was accepted and waits for the end of a contact.
    pub pending: Option<SimState>,
}

/// One tenant, as the back door shows it.
#[derive(Clone, Debug, Serialize)]
pub struct WorldView {
    /// The tenant.
    pub id: TenantId,
    /// The instant at which this was so.
    pub now: UtcMicros,
    /// What the platform counted.
    pub counts: Counts,
    /// Every agent.
    pub agents: Vec<AgentView>,
}

/// What a test or an operator wants of one agent; what is left out stays as it is.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentScript {
    /// The tenant; the first one by default.
    pub tenant: Option<TenantId>,
    /// The agent.
    pub agent: AgentId,
    /// The state to put it into.
    pub state: Option<SimState>,
    /// True: it does nothing of its own accord from now on. False: it lives again.
    pub hold: Option<bool>,
    /// Whether it is scheduled, over what the calendar says.
    pub scheduled: Option<bool>,
    /// Whether it is in a mandatory break, over what the calendar says.
    pub mandatory_break: Option<bool>,
}

/// Why a script is not followed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScriptError {
    /// Name one of the simulator's tenants.
    #[error("no tenant {0}")]
    UnknownTenant(TenantId),
    /// Name one of the tenant's agents.
    #[error("no agent {0}")]
    UnknownAgent(AgentId),
}

/// One tenant of the platform. It holds its secret, so it cannot be printed.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) break_user: Option<AgentId>,
    pub(super) off_user: Option<AgentId>,
    pub(super) world: World,
    pub(super) window: SlidingWindow,
    /// The budget of figures and aggregation queries.
    pub(super) reporting: SlidingWindow,
    pub(super) shown: Shown,
    pub(super) subscriptions: Subscriptions,
    pub(super) analytics: Analytics,
    pub(super) feeds: Feeds,
    pub(super) counts: Counts,
}

/// The whole platform.
pub(super) struct Stage {
    pub(super) tenants: Vec<Tenant>,
    pub(super) tokens: Tokens,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) token_lifetime: Duration,
    pub(super) least_interval: Duration,
    /// The skills, the same in every tenant.
    pub(super) skills: Arc<[Skill]>,
    /// Draws for answers that a fault garbles.
    pub(super) dice: Arc<Dice>,
}

impl Stage {
    /// The platform as it is at `start`. `tolerance` is how much too early a poll may come.
    pub(super) fn new(
        options: &SimOptions,
        schedule: Option<&FileSchedule>,
        tolerance: Duration,
        start: UtcMicros,
    ) -> Result<Self, FaultError> {
        let casting = Casting {
            agents: options.agents,
            schedule,
            skills: options.skills,
            lively: options.lively,
            special_users: options.special_users,
            break_lasts: options.break_lasts,
            seed: options.seed,
            start,
        };
        let skills = roster::skills(options.skills, &options.skill_names);
        let tenants = roster::tenant_ids(options.tenants)
            .map(|id| Tenant::new(id, options, &casting, skills.clone(), tolerance))
            .collect();
        let mut stage = Self {
            tenants,
            tokens: Tokens::default(),
            faults: Faults::new(options.seed),
            journal: Journal::default(),
            token_lifetime: options.token_lifetime,
            least_interval: options.min_interval,
            skills,
            dice: Arc::new(Dice::of(options.seed, &["garble"])),
        };
        for fault in &options.faults {
            stage.add_fault(fault.clone())?;
        }
        Ok(stage)
    }

    /// Lets time pass up to `now`, in every tenant.
    pub(super) fn advance(&mut self, now: UtcMicros) {
        for tenant in &mut self.tenants {
            tenant.subscriptions.advance(&mut tenant.world, now);
            tenant.account(&mut self.journal, &mut self.faults);
            let Tenant { id, feeds, .. } = tenant;
            let mut books = Books { tenant: id, journal: &mut self.journal, faults: &mut self.faults, now };
            feeds.beat(|token, base| self.tokens.check(token, None, base, now).is_ok(), &mut books);
        }
    }

    /// Whether anybody listens to a feed.
    pub(super) fn has_feeds(&self) -> bool {
        self.tenants.iter().any(|tenant| tenant.feeds.any())
    }

    /// Opens the feed that a ticket is for, on a connection that `cut` ends; none where the tenant is no more.
    pub(super) fn open_feed(
        &mut self,
        ticket: Ticket,
        cut: CancellationToken,
        now: UtcMicros,
    ) -> Option<(u64, mpsc::Receiver<Said>)> {
        self.advance(now);
        let (feeds, mut books) = self.feeds_of(&ticket.tenant, now)?;
        Some(feeds.open((ticket.token, ticket.base), cut, &mut books))
    }

    /// The client of a feed said something.
    pub(super) fn hear(&mut self, tenant: &TenantId, feed: u64, text: &str, now: UtcMicros) {
        self.advance(now);
        if let Some((feeds, mut books)) = self.feeds_of(tenant, now) {
            feeds.hear(feed, text, &mut books);
        }
    }

    /// The connection of a feed is gone.
    pub(super) fn feed_gone(&mut self, tenant: &TenantId, feed: u64, why: FeedEnd, now: UtcMicros) {
        if let Some((feeds, mut books)) = self.feeds_of(tenant, now) {
            feeds.gone(feed, why, &mut books);
        }
    }

    fn feeds_of(&mut self, id: &TenantId, now: UtcMicros) -> Option<(&mut Feeds, Books<'_>)> {
        let Tenant { id, feeds, .. } = self.tenants.iter_mut().find(|tenant| tenant.id == *id)?;
        Some((feeds, Books { tenant: id, journal: &mut self.journal, faults: &mut self.faults, now }))
    }

    /// Forgets tokens, subscriptions and queries, as a restart of the service does. Agents are where they were.
    pub(super) fn forget_sessions(&mut self) {
        self.tokens.revoke(None);
        for tenant in &mut self.tenants {
            tenant.subscriptions.expire_all();
            tenant.analytics.forget_all();
        }
    }

    /// Adds a fault, or does it at once where it is of a kind that happens once.
    pub(super) fn add_fault(&mut self, spec: FaultSpec) -> Result<(), FaultError> {
        if !spec.kind.is_one_shot() {
            return self.faults.add(spec);
        }
        spec.check()?;
        if spec.kind == Kind::RevokeTokens {
            self.tokens.revoke(spec.tenant.as_ref());
            return Ok(());
        }
        for tenant in &mut self.tenants {
            if spec.tenant.as_ref().is_some_and(|only| *only != tenant.id) {
                continue;
            }
            let Tenant { id, feeds, subscriptions, analytics, world, .. } = tenant;
            let now = world.reached();
            let mut books = Books { tenant: id, journal: &mut self.journal, faults: &mut self.faults, now };
            if spec.kind == Kind::DropFeeds {
                feeds.reset_all(&mut books);
            } else if spec.kind == Kind::CloseFeeds {
                feeds.close_all(&mut books);
            } else if spec.kind == Kind::ForgetQueries {
                analytics.forget_all();
            } else {
                subscriptions.expire_all();
            }
        }
        Ok(())
    }

    /// Follows a script at an instant that was already advanced to.
    pub(super) fn script(&mut self, script: &AgentScript) -> Result<(), ScriptError> {
        let tenant = match &script.tenant {
            Some(id) => self.tenants.iter_mut().find(|tenant| tenant.id == *id),
            None => self.tenants.first_mut(),
        };
        let unknown_tenant = || ScriptError::UnknownTenant(script.tenant.clone().unwrap_or_else(|| "".into()));
        let tenant = tenant.ok_or_else(unknown_tenant)?;
        let overrides = Overrides { scheduled: script.scheduled, mandatory_break: script.mandatory_break };
        let order = Order { state: script.state, hold: script.hold, overrides };
        match tenant.world.order(script.agent.as_str(), order) {
            Ok(()) => {
                tenant.account(&mut self.journal, &mut self.faults);
                Ok(())
            }
            Err(Refusal::UnknownAgent | Refusal::NotScheduled | Refusal::MandatoryBreak | Refusal::LoggedOut) => {
                Err(ScriptError::UnknownAgent(script.agent.clone()))
            }
        }
    }

    /// What was counted for a tenant; nothing for an unknown one.
    pub(super) fn counts(&self, id: &TenantId) -> Counts {
        self.tenants.iter().find(|tenant| tenant.id == *id).map(|tenant| tenant.counts).unwrap_or_default()
    }

    /// A part of the account.
    pub(super) fn log(&self, after: u64, limit: usize) -> LogPage {
        self.journal.page(after, limit)
    }

    /// Every tenant, or the one of this id.
    pub(super) fn view(&self, only: Option<&TenantId>) -> Vec<WorldView> {
        self.tenants.iter().filter(|tenant| only.is_none_or(|id| *id == tenant.id)).map(Tenant::view).collect()
    }
}

impl Tenant {
    fn new(
        id: TenantId,
        options: &SimOptions,
        casting: &Casting<'_>,
        skills: Arc<[Skill]>,
        tolerance: Duration,
    ) -> Self {
        let cast = roster::cast(&id, casting);
        let habits = Habits { reversal: options.reversal };
        Self {
            client_id: format!("sim-{id}"),
            client_secret: Dice::of(options.seed, &["secret", id.as_str()]).hex(),
            break_user: cast.break_user,
            off_user: cast.off_user,
            world: World::new(cast.people, skills, &id, options.seed, habits, casting.start),
            window: SlidingWindow::new(options.requests_per_minute, BUDGET_SPAN),
            reporting: SlidingWindow::new(options.reporting_per_minute, BUDGET_SPAN),
            shown: Shown::default(),
            subscriptions: Subscriptions::new(options.subscription_lifetime, tolerance),
            analytics: Analytics::new(options.seed, options.analytics_takes),
            feeds: Feeds::new(tolerance),
            counts: Counts::default(),
            id,
        }
    }

    /// Moves the world's changes into the account, and tells the feeds of them.
    pub(super) fn account(&mut self, journal: &mut Journal, faults: &mut Faults) {
        let now = self.world.reached();
        let mut books = Books { tenant: &self.id, journal, faults, now };
        for happening in self.world.take_happenings() {
            let news = match happening {
                Happening::Change(change) => {
                    if change.step.cause == super::agent::Cause::Api {
                        self.counts.applied_changes += 1;
                    }
                    books.journal.change(&self.id, &change);
                    let (state, entered) = (change.step.to, change.step.at);
                    News::AgentStateChange { agent: change.agent, state, entered }
                }
                Happening::Move(Move { skill, arrived, .. }) => {
                    let Some(Skill { id: skill, .. }) = self.world.skills().get(usize::from(skill)) else { continue };
                    if arrived {
                        News::ContactQueued { skill: *skill }
                    } else {
                        News::ContactDequeued { skill: *skill }
                    }
                }
            };
            self.feeds.tell(&news, &mut books);
        }
    }

    fn view(&self) -> WorldView {
        let now = self.world.reached();
        let view = |agent: &super::agent::Agent| AgentView {
            id: agent.person.id.clone(),
            state: agent.state,
            since: agent.since,
            scheduled: agent.scheduled(now),
            mandatory_break: agent.mandatory_break(now),
            held: !agent.person.lives,
            pending: agent.pending.map(|pending| pending.state),
        };
        WorldView {
            id: self.id.clone(),
            now,
            counts: self.counts,
            agents: self.world.agents().iter().map(view).collect(),
        }
    }
}
