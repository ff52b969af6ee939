//! Loads a keeper from the store, in the same way after a start of the daemon, a crash and a failed commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::agents::observed_span::OpenObservedSpan;
use super::agents::tracking::{AgentTracking, TimeZoneCache};
use super::changes::open_transitions::{OpenTransition, OpenTransitions};
use super::pass::Pass;
use super::published::PublishedView;
use super::rules::catalog::RuleCatalog;
use super::state::{AutomaticChange, Keeper, KeeperContext};
use crate::domain::agents::agent::{Agent, ObservationSource, ObservedState};
use crate::domain::agents::merge::SAME_CHANGE_WINDOW;
use crate::domain::agents::roster::{AgentIndex, AgentRecord, Roster};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{AgentId, SubjectId};
use crate::domain::time::UtcMicros;
use crate::engine::agents::stored_live_view::{apply_memory, observation_of, read_live_view, read_plans};
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::link::Link;
use crate::platform::breaker::Breaker;
use crate::platform::call_share::CallShare;
use crate::store::{AgentCounters, AgentWrite, Commit, HISTORY_PAGE_LIMIT, RuleVersion, StoredTransition};

/// The window over which shares of the budget are counted.
const SHARE_WINDOW: Duration = Duration::from_secs(60);

impl Keeper {
    /// Reads the tenant from the store, and marks transitions that were being sent as in doubt.
    pub(super) async fn load(context: &KeeperContext) -> anyhow::Result<Self> {
        let (link, configured) = (context.link.clone(), context.settings.borrow().clone());
        let now = link.clock.now();
        let (rule_catalog, settings) = RuleCatalog::read(&link, configured).await?;
        let mut keeper = Self {
            roster: Roster::new(link.tenant.clone()),
            agent_tracking: Vec::new(),
            open_transitions: OpenTransitions::default(),
            breaker: Breaker::default(),
            retry_share: retry_share(&settings),
            read_share: read_share(&settings),
            automatic_changes: HashMap::new(),
            finishing: HashSet::new(),
            pending_replies: Vec::new(),
            state_change_tasks: tokio::task::JoinSet::new(),
            plan_query_tasks: tokio::task::JoinSet::new(),
            roster_sender: context.roster.clone(),
            started_at: now,
            newest_observations: BTreeMap::new(),
            observed_span: None,
            held_feed: BTreeMap::new(),
            observing_since: now,
            reported_stale: BTreeSet::new(),
            plans_read_at: now,
            published: PublishedView::default(),
            next_slot: None,
            mean_response_time: None,
            ahead_of_steady_us: None,
            clock_unchanged_since_us: None,
            total_host_sleep: None,
            link,
            settings,
            rule_catalog,
            exceptions: Vec::new(),
        };
        keeper.read_store(now).await?;
        keeper.record_start(now).await?;
        let last_id = keeper.link.reader.last_history_id(&keeper.link.tenant).await?;
        keeper.link.live.attach_keeper(last_id, keeper.link.inbox.clone());
        Ok(keeper)
    }

    /// Reads the roster (imported and configured agents), the live view and the open transitions.
    async fn read_store(&mut self, now: UtcMicros) -> anyhow::Result<()> {
        self.add_configured_agents().await?;
        let stored_view = read_live_view(&self.link.reader, &self.link.tenant, now, &self.settings.agents).await?;
        (self.roster, self.finishing) = (stored_view.roster, stored_view.finishing);
        self.create_tracking(&stored_view.subjects)?;
        for counters in self.link.reader.counters(&self.link.tenant).await? {
            self.restore_counters(&counters);
        }
        for change in stored_view.automatic_changes {
            let (rule, set_at) = (change.rule, change.accepted_at);
            self.automatic_changes
                .insert(change.agent, AutomaticChange { transition: change.transition, rule, set_at });
        }
        self.observed_span =
            self.link.reader.last_observed_span(&self.link.tenant).await?.map(OpenObservedSpan::from_stored);
        self.reload_exceptions(now).await?;
        self.restore_estimates().await?;
        self.restore_open_transitions(stored_view.open, now).await?;
        // Sent even if it is unchanged, so that the worker reads the next snapshots whole: this keeper has no rows yet.
        self.roster_sender.send_replace(self.agents_to_observe());
        Ok(())
    }

    /// Adds configured agents that the store does not have yet. An import may add the same agents at the same time, and
    /// its subject id may win, so subject ids are read from the store afterwards.
    async fn add_configured_agents(&mut self) -> anyhow::Result<()> {
        let stored = self.link.reader.agents(&self.link.tenant).await?;
        let known: HashSet<&AgentId> = stored.iter().map(|stored| &stored.agent.id).collect();
        let mut commit = Commit::default();
        for id in self.settings.agents.iter().filter(|id| !known.contains(id)) {
            commit.agents.push(AgentWrite {
                tenant: self.link.tenant.clone(),
                agent: Agent { id: id.clone(), name: None, team: None, zone: None },
                subject: SubjectId(self.link.random.random_id()),
            });
        }
        if !commit.is_empty() {
            self.link.writer.commit(commit).await?;
        }
        Ok(())
    }

    /// Creates the tracking of every agent.
    fn create_tracking(&mut self, subjects: &[Option<SubjectId>]) -> anyhow::Result<()> {
        let mut zones = TimeZoneCache::default();
        self.agent_tracking.clear();
        for (slot, subject) in self.roster.agents().iter().zip(subjects) {
            let agent = slot.agent();
            let subject = subject.with_context(|| format!("agent {} has no subject in the store", agent.id))?;
            self.agent_tracking.push(AgentTracking::new(subject, zones.get(agent.zone.as_ref())));
        }
        Ok(())
    }

    /// Reloads the roster after an import or a reload of the configuration. Known agents keep what is known of them,
    /// new ones get what the store has, and agents that neither a schedule nor the configuration names leave.
    async fn reload_roster(&mut self) -> anyhow::Result<()> {
        self.add_configured_agents().await?;
        let mut zones = TimeZoneCache::default();
        let configured_ids: HashSet<AgentId> = self.settings.agents.iter().cloned().collect();
        let (mut remaining, mut newcomers) = (configured_ids.clone(), HashSet::new());
        for stored in self.link.reader.agents(&self.link.tenant).await? {
            let id = stored.agent.id.clone();
            if !stored.is_on_roster() && !configured_ids.contains(&id) {
                continue;
            }
            if self.roster.find(id.as_str()).is_none() {
                newcomers.insert(id.clone());
            }
            remaining.insert(id);
            self.upsert_agent(&mut zones, stored.agent, stored.subject);
        }
        if !newcomers.is_empty() {
            self.restore_newcomers(&newcomers).await?;
        }
        self.reload_skills().await?;
        self.finishing =
            self.roster.agents().iter().map(AgentRecord::id).filter(|id| !remaining.contains(*id)).cloned().collect();
        let agents = self.agents_to_observe();
        let changed = self.roster_sender.send_if_modified(|known| {
            let changed = **known != *agents;
            *known = agents;
            changed
        });
        if changed {
            self.observing_since = self.link.clock.now();
        }
        self.apply_exceptions_to_roster();
        Ok(())
    }

    /// Restores the stored data of agents that enter the roster, perhaps not for the first time.
    async fn restore_newcomers(&mut self, newcomers: &HashSet<AgentId>) -> anyhow::Result<()> {
        let (reader, tenant, now) = (self.link.reader.clone(), self.link.tenant.clone(), self.link.clock.now());
        for stored in reader.latest_states(&tenant).await?.into_iter().filter(|row| newcomers.contains(&row.row.agent))
        {
            let entered_at = stored.row.entered_at;
            if let Some(index) = self.roster.find(stored.row.agent.as_str()) {
                self.roster.record_observation(index, observation_of(stored.row), entered_at.min(now));
            }
        }
        for row in reader.automation_memory(&tenant).await?.iter().filter(|row| newcomers.contains(&row.agent)) {
            apply_memory(&mut self.roster, row);
        }
        for counters in reader.counters(&tenant).await?.into_iter().filter(|row| newcomers.contains(&row.agent)) {
            self.restore_counters(&counters);
        }
        Ok(())
    }

    fn restore_counters(&mut self, counters: &AgentCounters) {
        let Some(index) = self.roster.find(counters.agent.as_str()) else { return };
        let tracking = &mut self.agent_tracking[index.position()];
        tracking.sequence = counters.sequence;
        tracking.day = counters.local_day.parse().ok();
        tracking.violations = counters.violations;
        tracking.not_ready = Duration::from_micros(counters.not_ready_us);
    }

    fn upsert_agent(&mut self, zones: &mut TimeZoneCache, agent: Agent, subject: SubjectId) {
        let zone = zones.get(agent.zone.as_ref());
        let index = self.roster.upsert(agent);
        match self.agent_tracking.get_mut(index.position()) {
            Some(tracking) => tracking.zone = zone,
            None => self.agent_tracking.push(AgentTracking::new(subject, zone)),
        }
    }

    /// Returns the agents to observe, which are those that are not leaving.
    fn agents_to_observe(&self) -> Arc<[AgentId]> {
        let ids = self.roster.agents().iter().map(AgentRecord::id);
        ids.filter(|id| !self.finishing.contains(*id)).cloned().collect()
    }

    /// Reads the plans of the days around `now`.
    pub(super) async fn read_plans(&mut self, now: UtcMicros) -> anyhow::Result<()> {
        read_plans(&self.link.reader, &mut self.roster, now).await?;
        self.plans_read_at = now;
        self.remove_past_exceptions(now);
        Ok(())
    }

    /// Restores the state before each estimate that no snapshot has settled yet. If the state is the same and only the
    /// reason changed, the interval continues from its original start.
    async fn restore_estimates(&mut self) -> anyhow::Result<()> {
        let mut continued = Vec::new();
        for ((index, slot), tracking) in self.roster.iter().zip(&mut self.agent_tracking) {
            let Some(estimate) = slot.observed().filter(|observed| observed.is_estimate()) else { continue };
            let mut row = row_before(&self.link, slot.id(), estimate.history_at).await?;
            tracking.before_estimate.clone_from(&row);
            let mut since = None;
            while let Some(interval_row) =
                row.filter(|row| row.state == estimate.state && estimate.source == ObservationSource::Post)
            {
                since = Some(interval_row.entered_at);
                let is_continued = interval_row.source == ObservationSource::Post;
                row =
                    if is_continued { row_before(&self.link, slot.id(), interval_row.history_at).await? } else { None };
            }
            if let Some(entered_at) = since {
                continued.push((index, ObservedState { entered_at, ..estimate.clone() }, slot.last_observed_at()));
            }
        }
        for (index, interval, observed_at) in continued {
            self.roster.record_observation(index, interval, observed_at.unwrap_or(UtcMicros::EPOCH));
        }
        Ok(())
    }

    /// Restores an open transition. The history tells the agent's state at the time of the last attempt, and whether a
    /// row shows the change.
    async fn restore_open_transition(&self, transition: Transition) -> anyhow::Result<OpenTransition> {
        let Some(sent_at) = transition.status.sent_at() else {
            return Ok(OpenTransition::restored(transition, None, false));
        };
        let (tenant, agent, id) = (&self.link.tenant, &transition.agent, transition.id);
        let since = (sent_at - SAME_CHANGE_WINDOW, UtcMicros::MAX);
        let stored = self.link.reader.agent_history(tenant, agent, since, None, HISTORY_PAGE_LIMIT).await?;
        let (own_rows, others): (Vec<_>, Vec<_>) =
            stored.into_iter().map(|stored| stored.row).partition(|row| row.transition == Some(id));
        let baseline = others.into_iter().rfind(|row| row.entered_at <= sent_at).map(observation_of);
        Ok(OpenTransition::restored(transition, baseline, !own_rows.is_empty()))
    }

    /// Restores the open transitions; those that were being sent are now in doubt.
    async fn restore_open_transitions(&mut self, stored: Vec<StoredTransition>, now: UtcMicros) -> anyhow::Result<()> {
        for stored in stored {
            let agent = stored.transition.agent.clone();
            let open = self.restore_open_transition(stored.transition).await?;
            self.open_transitions.insert(open);
            self.update_blocking_transition(&agent);
        }
        let mut pass = Pass::new(now);
        self.check_clock_since_attempts(&mut pass).await?;
        self.doubt_unanswered(&mut pass);
        self.commit(&mut pass).await
    }

    /// Records the versions of the rules in force, and ends a halt of automation left by the previous process.
    async fn record_start(&mut self, now: UtcMicros) -> anyhow::Result<()> {
        let mut pass = Pass::new(now);
        self.record_rule_versions(&mut pass).await?;
        // A failed keeper may have left these problems reported; this one starts without them.
        for part in ["automation", "picture"] {
            self.link.readiness.restored(&self.link.part(part));
        }
        if self.link.reader.tenant_status(&self.link.tenant).await?.halted_since.is_some() {
            self.audit_tenant(&mut pass, "automation.resumed", json!({"because": "the daemon was started again"}));
            self.record_halted(&mut pass, None);
        }
        self.commit(&mut pass).await
    }

    /// Stores and audits rule versions that have not been in force before.
    pub(super) async fn record_rule_versions(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
        let known = self.link.reader.rule_versions(&self.link.tenant).await?;
        for text in self.settings.rule_texts.clone() {
            if known.iter().any(|row| row.rule == text.id && row.version == text.version) {
                continue;
            }
            self.audit_tenant(pass, "rule.in_force", json!({"rule": text.id, "version": text.version}));
            pass.commit.rules.push(RuleVersion {
                tenant: self.link.tenant.clone(),
                rule: text.id,
                version: text.version,
                body: text.body,
                first_in_force_at: pass.now,
            });
        }
        Ok(())
    }

    /// Applies a reloaded configuration.
    pub(super) async fn apply_settings(&mut self, settings: Arc<TenantSettings>) -> anyhow::Result<()> {
        self.read_share = read_share(&settings);
        self.retry_share = retry_share(&settings);
        self.settings = self.rule_catalog.apply_configuration(&self.link, settings);
        self.roster.clear_held();
        self.reload_roster().await?;
        let mut pass = Pass::new(self.link.clock.now());
        self.audit_tenant(&mut pass, "configuration.reloaded", serde_json::Value::Null);
        self.record_rule_versions(&mut pass).await?;
        self.commit(&mut pass).await
    }

    /// Applies an import: new agents and new plans.
    pub(super) async fn reload_schedule(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
        self.reload_roster().await?;
        // Exceptions no longer name erased agents.
        self.reload_exceptions(pass.now).await?;
        self.read_plans(pass.now).await?;
        let indices: Vec<AgentIndex> = self.roster.iter().map(|(index, _)| index).collect();
        for index in indices {
            // The platform's plan was valid only until the next edge of the old plan.
            self.roster.set_platform_plan(index, None);
        }
        Ok(())
    }
}

/// Returns the row of an agent's history that ended at `at`; `None` if there is none.
async fn row_before(link: &Link, agent: &AgentId, at: UtcMicros) -> anyhow::Result<Option<ObservedState>> {
    let just_before = (at.offset(-1), at);
    let rows = link.reader.agent_history(&link.tenant, agent, just_before, None, 1).await?;
    Ok(rows.into_iter().next().map(|stored| observation_of(stored.row)))
}

/// Returns the share of the budget for repeated state changes.
fn retry_share(settings: &TenantSettings) -> CallShare {
    CallShare::of_calls(SHARE_WINDOW, settings.retry.share_percent, settings.retry.min_per_minute)
}

/// Returns the share of the budget for queries about schedules and breaks.
fn read_share(settings: &TenantSettings) -> CallShare {
    let max_calls = settings.budget.requests_per_minute * settings.budget.read_share_percent / 100;
    CallShare::of_calls(SHARE_WINDOW, 0, max_calls.max(1))
}
