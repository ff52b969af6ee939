//! The state of the simulated platform: tenants, tokens, faults and the journal, as one value under one lock. It is
//! given the instant and never waits. `rules` decides the answer to a request, and `server` sends it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::agent::{BehaviourSettings, Overrides};
use super::analytics::Analytics;
use super::contacts::{QueueMove, Skill};
use super::faults::{FaultError, FaultKind, FaultSpec, Faults};
use super::feed::{ConnectionCommand, FeedContext, FeedCredentials, Feeds};
use super::feed_message::{FeedEndReason, FeedMessage};
use super::figures::CachedFigures;
use super::incontact::codes::{CodeScript, team_number};
use super::incontact::facts::PublishedFacts;
use super::incontact::trap::{Trap, Traps};
use super::journal::Journal;
use super::options::SimOptions;
use super::random::RandomStream;
use super::roster::{self, PopulationOptions};
use super::shifts::FileSchedule;
use super::state::SimState;
use super::subscriptions::Subscriptions;
use super::tokens::Tokens;
use super::window::SlidingWindow;
use super::world::{Refusal, ScriptedChange, World, WorldEvent};
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// The span of the request budget.
const BUDGET_SPAN: Duration = Duration::from_secs(60);

/// The platform's counts for one tenant since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantCounts {
    /// Schedule, break and state calls received, however they were answered.
    pub calls: u64,
    /// State changes received.
    pub state_posts: u64,
    /// Changes of state that took effect by request. A request for the current state does not count.
    pub applied_changes: u64,
    /// Answers with status 429, for every kind of request.
    pub throttled: u64,
}

/// One agent, as the control API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct AgentView {
    /// The agent's id.
    pub id: AgentId,
    /// The current state.
    pub state: SimState,
    /// The instant at which it entered the state.
    pub since: UtcMicros,
    /// Whether the platform regards it as scheduled now.
    pub scheduled: bool,
    /// Whether the platform forbids READY now.
    pub mandatory_break: bool,
    /// Whether it is kept from acting of its own accord.
    pub held: bool,
    /// The accepted state that waits for the end of a contact.
    pub pending: Option<SimState>,
}

/// One tenant, as the control API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct WorldView {
    /// The tenant's id.
    pub id: TenantId,
    /// The instant of this view.
    pub now: UtcMicros,
    /// The platform's counts.
    pub counts: TenantCounts,
    /// All agents.
    pub agents: Vec<AgentView>,
}

/// A script for one agent; what is left out stays as it is.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentScript {
    /// The tenant; the first one by default.
    pub tenant: Option<TenantId>,
    /// The agent.
    pub agent: AgentId,
    /// The state to put the agent into.
    pub state: Option<SimState>,
    /// Whether to keep the agent from acting of its own accord.
    pub hold: Option<bool>,
    /// Whether the agent is scheduled, overriding the calendar.
    pub scheduled: Option<bool>,
    /// Whether the agent is in a mandatory break, overriding the calendar.
    pub mandatory_break: Option<bool>,
    /// Whether the agent is active in the published services' list of agents.
    #[serde(default)]
    pub active: Option<bool>,
    /// Whether the published services hide the agent from the account.
    #[serde(default)]
    pub hidden: Option<bool>,
}

/// The reason why a script is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScriptError {
    /// The simulator has no such tenant.
    #[error("no tenant {0}")]
    UnknownTenant(TenantId),
    /// The tenant has no such agent.
    #[error("no agent {0}")]
    UnknownAgent(AgentId),
    /// The tenant has no such team.
    #[error("no team {0}")]
    UnknownTeam(String),
}

/// One tenant of the platform. It does not implement `Debug`, since it holds its secret.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    /// The registered application of the published services.
    pub(super) app_id: String,
    pub(super) app_secret: String,
    pub(super) break_user: Option<AgentId>,
    pub(super) off_user: Option<AgentId>,
    pub(super) world: World,
    pub(super) started_at: UtcMicros,
    /// What only the published services know.
    pub(super) published: PublishedFacts,
    pub(super) request_budget: SlidingWindow,
    /// The budget of figures and aggregation queries.
    pub(super) reporting_budget: SlidingWindow,
    pub(super) cached_figures: CachedFigures,
    pub(super) subscriptions: Subscriptions,
    pub(super) analytics: Analytics,
    pub(super) feeds: Feeds,
    pub(super) counts: TenantCounts,
    reversal_share: f64,
}

/// The whole platform.
pub(super) struct PlatformState {
    pub(super) tenants: Vec<Tenant>,
    pub(super) tokens: Tokens,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    /// What the published services do differently from their documents.
    pub(super) traps: Traps,
    pub(super) token_lifetime: Duration,
    pub(super) min_interval: Duration,
    /// The skills, the same in every tenant.
    pub(super) skills: Arc<[Skill]>,
    /// The random stream of answers that a fault garbles.
    pub(super) random: Arc<RandomStream>,
}

impl PlatformState {
    /// Creates the platform at `start`. `tolerance` is how much too early a poll may come.
    pub(super) fn new(
        options: &SimOptions,
        schedule: Option<&FileSchedule>,
        tolerance: Duration,
        start: UtcMicros,
    ) -> Result<Self, FaultError> {
        let population_options = PopulationOptions {
            agents: options.agents,
            schedule,
            agent_ids: options.agent_ids,
            skills: options.skills,
            autonomous_agents: options.autonomous_agents,
            special_users: options.special_users,
            break_duration: options.break_duration,
            seed: options.seed,
            start,
        };
        let skills = roster::build_skills(options.skills, &options.skill_names);
        let tenants = roster::tenant_ids(options.tenants)
            .map(|id| Tenant::new(id, options, &population_options, skills.clone(), tolerance))
            .collect();
        let mut state = Self {
            tenants,
            tokens: Tokens::default(),
            faults: Faults::new(options.seed),
            journal: Journal::default(),
            traps: options.traps.iter().copied().collect(),
            token_lifetime: options.token_lifetime,
            min_interval: options.min_interval,
            skills,
            random: Arc::new(RandomStream::for_path(options.seed, &["garble"])),
        };
        for fault in &options.faults {
            state.add_fault(fault.clone())?;
        }
        Ok(state)
    }

    /// Advances every tenant to `now`.
    pub(super) fn advance(&mut self, now: UtcMicros) {
        for tenant in &mut self.tenants {
            tenant.subscriptions.advance(&mut tenant.world, now);
            if self.traps.has(Trap::CodeTimeouts) {
                let Tenant { world, published, .. } = tenant;
                world.log_out_by_timeout(|agent, now| published.is_timed_out(agent, now));
            }
            tenant.record_world_events(&mut self.journal, &mut self.faults);
            let Tenant { id, feeds, .. } = tenant;
            let mut context = FeedContext { tenant: id, journal: &mut self.journal, faults: &mut self.faults, now };
            feeds.send_heartbeats(|token, base| self.tokens.check(token, None, base, now).is_ok(), &mut context);
        }
    }

    /// Returns whether any feed is open.
    pub(super) fn has_feeds(&self) -> bool {
        self.tenants.iter().any(|tenant| tenant.feeds.has_open())
    }

    /// Opens a feed on a connection that `disconnect` ends. Returns `None` if the tenant no longer
    /// exists.
    pub(super) fn open_feed(
        &mut self,
        credentials: FeedCredentials,
        disconnect: CancellationToken,
        now: UtcMicros,
    ) -> Option<(u64, mpsc::Receiver<ConnectionCommand>)> {
        self.advance(now);
        let (feeds, mut context) = self.feeds_of(&credentials.tenant, now)?;
        Some(feeds.open(credentials, disconnect, &mut context))
    }

    /// Handles a message from the client of a feed.
    pub(super) fn on_feed_message(&mut self, tenant: &TenantId, feed: u64, text: &str, now: UtcMicros) {
        self.advance(now);
        if let Some((feeds, mut context)) = self.feeds_of(tenant, now) {
            feeds.on_client_message(feed, text, &mut context);
        }
    }

    /// Handles the end of a feed's connection.
    pub(super) fn on_feed_closed(&mut self, tenant: &TenantId, feed: u64, reason: FeedEndReason, now: UtcMicros) {
        if let Some((feeds, mut context)) = self.feeds_of(tenant, now) {
            feeds.on_disconnected(feed, reason, &mut context);
        }
    }

    fn feeds_of(&mut self, id: &TenantId, now: UtcMicros) -> Option<(&mut Feeds, FeedContext<'_>)> {
        let Tenant { id, feeds, .. } = self.tenants.iter_mut().find(|tenant| tenant.id == *id)?;
        Some((feeds, FeedContext { tenant: id, journal: &mut self.journal, faults: &mut self.faults, now }))
    }

    /// Forgets tokens, subscriptions and queries, as a restart of the service does. Agents stay as they are.
    pub(super) fn clear_sessions(&mut self) {
        self.tokens.clear();
        for tenant in &mut self.tenants {
            tenant.subscriptions.expire_all();
            tenant.analytics.clear();
        }
    }

    /// Adds a fault, or carries it out at once if its kind happens only once.
    pub(super) fn add_fault(&mut self, spec: FaultSpec) -> Result<(), FaultError> {
        if !spec.kind.is_one_shot() {
            return self.faults.add(spec);
        }
        spec.validate()?;
        if spec.kind == FaultKind::RevokeTokens {
            self.tokens.revoke(spec.tenant.as_ref());
            return Ok(());
        }
        for tenant in &mut self.tenants {
            if spec.tenant.as_ref().is_some_and(|only| *only != tenant.id) {
                continue;
            }
            let Tenant { id, feeds, subscriptions, analytics, world, .. } = tenant;
            let now = world.current_time();
            let mut context = FeedContext { tenant: id, journal: &mut self.journal, faults: &mut self.faults, now };
            if spec.kind == FaultKind::DropFeeds {
                feeds.reset_all(&mut context);
            } else if spec.kind == FaultKind::CloseFeeds {
                feeds.close_all(&mut context);
            } else if spec.kind == FaultKind::ForgetQueries {
                analytics.clear();
            } else {
                subscriptions.expire_all();
            }
        }
        Ok(())
    }

    /// Applies a script at an instant already reached.
    pub(super) fn apply_script(&mut self, script: &AgentScript) -> Result<(), ScriptError> {
        let tenant = scripted_tenant(&mut self.tenants, script.tenant.as_ref())?;
        let overrides = Overrides { scheduled: script.scheduled, mandatory_break: script.mandatory_break };
        let scripted_change = ScriptedChange { state: script.state, hold: script.hold, overrides };
        match tenant.world.apply_script(script.agent.as_str(), scripted_change) {
            Ok(()) => {
                let now = tenant.world.current_time();
                if let Some(place) = tenant.world.position(script.agent.as_str()) {
                    tenant.published.set_roster_entry(place, (script.active, script.hidden), now);
                }
                tenant.record_world_events(&mut self.journal, &mut self.faults);
                Ok(())
            }
            Err(Refusal::UnknownAgent | Refusal::NotScheduled | Refusal::MandatoryBreak | Refusal::LoggedOut) => {
                Err(ScriptError::UnknownAgent(script.agent.clone()))
            }
        }
    }

    /// Changes an unavailable code of the published services.
    pub(super) fn apply_code_script(&mut self, script: &CodeScript) -> Result<(), ScriptError> {
        let tenant = scripted_tenant(&mut self.tenants, script.tenant.as_ref())?;
        let teams: Vec<u32> = tenant.teams().into_keys().collect();
        let only = script.team.as_deref().map(team_number);
        if let Some(name) = script.team.as_ref().filter(|_| only.is_some_and(|team| !teams.contains(&team))) {
            return Err(ScriptError::UnknownTeam(name.clone()));
        }
        tenant.published.codes.apply(script, only, &teams);
        Ok(())
    }

    /// Switches these traps on, and all others off.
    pub(super) fn set_traps(&mut self, traps: Traps) {
        for tenant in &mut self.tenants {
            tenant.published.set_traps(&traps);
            tenant.world.set_behaviour(behaviour(tenant.reversal_share, &traps));
        }
        self.traps = traps;
    }

    /// Returns the counts of a tenant; zeros if it is unknown.
    pub(super) fn counts(&self, id: &TenantId) -> TenantCounts {
        self.tenants.iter().find(|tenant| tenant.id == *id).map(|tenant| tenant.counts).unwrap_or_default()
    }

    /// Returns the view of every tenant, or of the one with this id.
    pub(super) fn world_views(&self, only: Option<&TenantId>) -> Vec<WorldView> {
        self.tenants.iter().filter(|tenant| only.is_none_or(|id| *id == tenant.id)).map(Tenant::world_view).collect()
    }
}

/// Returns the tenant that a script names: the first one by default.
fn scripted_tenant<'a>(tenants: &'a mut [Tenant], id: Option<&TenantId>) -> Result<&'a mut Tenant, ScriptError> {
    let tenant = match id {
        Some(id) => tenants.iter_mut().find(|tenant| tenant.id == *id),
        None => tenants.first_mut(),
    };
    tenant.ok_or_else(|| ScriptError::UnknownTenant(id.cloned().unwrap_or_else(|| "".into())))
}

/// Returns how agents behave under these traps.
fn behaviour(reversal_share: f64, traps: &Traps) -> BehaviourSettings {
    BehaviourSettings { reversal_share, own_choice_wins: traps.has(Trap::AgentChooses) }
}

impl Tenant {
    fn new(
        id: TenantId,
        options: &SimOptions,
        population_options: &PopulationOptions<'_>,
        skills: Arc<[Skill]>,
        tolerance: Duration,
    ) -> Self {
        let population = roster::build_population(&id, population_options);
        let traps: Traps = options.traps.iter().copied().collect();
        let behaviour = behaviour(options.reversal_share, &traps);
        let world = World::new(population.profiles, skills, &id, options.seed, behaviour, population_options.start);
        let secret = |kind: &str| RandomStream::for_path(options.seed, &[kind, id.as_str()]).hex_id();
        Self {
            client_id: format!("sim-{id}"),
            client_secret: secret("secret"),
            app_id: format!("app-{id}"),
            app_secret: secret("app"),
            break_user: population.break_user,
            off_user: population.off_user,
            published: PublishedFacts::new(&world, &id, options.seed, traps),
            world,
            started_at: population_options.start,
            request_budget: SlidingWindow::new(options.requests_per_minute, BUDGET_SPAN),
            reporting_budget: SlidingWindow::new(options.reporting_per_minute, BUDGET_SPAN),
            cached_figures: CachedFigures::default(),
            subscriptions: Subscriptions::new(options.subscription_lifetime, tolerance),
            analytics: Analytics::new(options.seed, options.analytics_duration),
            feeds: Feeds::new(tolerance),
            counts: TenantCounts::default(),
            reversal_share: options.reversal_share,
            id,
        }
    }

    /// Moves the world's events into the journal and sends them to the feeds.
    pub(super) fn record_world_events(&mut self, journal: &mut Journal, faults: &mut Faults) {
        let now = self.world.current_time();
        let mut context = FeedContext { tenant: &self.id, journal, faults, now };
        for event in self.world.take_events() {
            let message = match event {
                WorldEvent::Change(change) => {
                    if change.state_change.cause == super::agent::ChangeCause::Api {
                        self.counts.applied_changes += 1;
                    }
                    context.journal.record_change(&self.id, &change);
                    if let Some(place) = self.world.position(change.agent.as_str()) {
                        let team = self.world.roster().get(place).map_or("", |who| &*who.team);
                        let step = &change.state_change;
                        self.published.record_state(place, team, step.at, step.to, step.labels);
                    }
                    let (state, entered) = (change.state_change.to, change.state_change.at);
                    FeedMessage::AgentStateChange { agent: change.agent, state, entered }
                }
                WorldEvent::Move(QueueMove { skill, arrived, .. }) => {
                    let Some(Skill { id: skill, .. }) = self.world.skills().get(usize::from(skill)) else { continue };
                    if arrived {
                        FeedMessage::ContactQueued { skill: *skill }
                    } else {
                        FeedMessage::ContactDequeued { skill: *skill }
                    }
                }
            };
            self.feeds.broadcast(&message, &mut context);
        }
    }

    fn world_view(&self) -> WorldView {
        let now = self.world.current_time();
        let view = |agent: &super::agent::Agent| AgentView {
            id: agent.profile.id.clone(),
            state: agent.state,
            since: agent.since,
            scheduled: agent.is_scheduled(now),
            mandatory_break: agent.is_in_mandatory_break(now),
            held: !agent.profile.acts,
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
