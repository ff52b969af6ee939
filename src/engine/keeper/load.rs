//! Rebuilds a keeper from the store: at the daemon's start, after a crash, after a failed commit. The path is always the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::agents::files::{File, Zones};
use super::agents::in_sight::InSight;
use super::changes::book::{Book, Open};
use super::record::Pass;
use super::rules::RuleShelf;
use super::show::Shown;
use super::{AutomaticChange, Keeper, KeeperParts};
use crate::domain::agents::agent::{Agent, Observed, Source};
use crate::domain::agents::merge::SAME_CHANGE;
use crate::domain::agents::roster::{AgentIndex, AgentSlot, Roster};
use crate::domain::changes::transition::{Status, Step, Transition};
use crate::domain::ids::{AgentId, SubjectId};
use crate::domain::time::UtcMicros;
use crate::engine::agents::picture::{observed, read_picture, read_plans, remember};
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::link::Link;
use crate::platform::breaker::Breaker;
use crate::platform::share::Share;
use crate::store::{AgentCounters, AgentWrite, Commit, HISTORY_PAGE_LIMIT, RuleVersion, StoredTransition};

/// The window that shares of the budget are counted over.
const SHARE_WINDOW: Duration = Duration::from_secs(60);

impl Keeper {
    /// Reads everything, and puts what was under way when the process ended in doubt.
    pub(super) async fn load(parts: &KeeperParts) -> anyhow::Result<Self> {
        let (link, configured) = (parts.link.clone(), parts.settings.borrow().clone());
        let now = link.clock.now();
        let (shelf, settings) = RuleShelf::read(&link, configured).await?;
        let mut keeper = Self {
            roster: Roster::new(link.tenant.clone()),
            files: Vec::new(),
            book: Book::default(),
            breaker: Breaker::default(),
            retries: Share::of_calls(SHARE_WINDOW, settings.retry.share_percent, settings.retry.at_least_per_minute),
            reads: reads(&settings),
            automatic: HashMap::new(),
            leaving: HashSet::new(),
            answers: Vec::new(),
            sends: tokio::task::JoinSet::new(),
            questions: tokio::task::JoinSet::new(),
            roster_told: parts.roster.clone(),
            started_at: now,
            newest_sights: BTreeMap::new(),
            in_sight: None,
            held_fed: BTreeMap::new(),
            looking_since: now,
            told_stale: BTreeSet::new(),
            plans_read: now,
            shown: Shown::default(),
            next_slot: None,
            answer_in: None,
            ahead_of_steady_us: None,
            stands_since_us: None,
            slept: None,
            link,
            settings,
            shelf,
            exceptions: Vec::new(),
        };
        keeper.read_store(now).await?;
        keeper.record_start(now).await?;
        let last_id = keeper.link.reader.last_history_id(&keeper.link.tenant).await?;
        keeper.link.live.begin(last_id, keeper.link.inbox.clone());
        Ok(keeper)
    }

    /// The roster (the imported agents and the tenant's own list), the picture, the open transitions.
    async fn read_store(&mut self, now: UtcMicros) -> anyhow::Result<()> {
        self.enlist().await?;
        let picture = read_picture(&self.link.reader, &self.link.tenant, now, &self.settings.agents).await?;
        (self.roster, self.leaving) = (picture.roster, picture.leaving);
        self.open_files(&picture.subjects)?;
        for counters in self.link.reader.counters(&self.link.tenant).await? {
            self.take_counters(&counters);
        }
        for change in picture.automatic {
            let (rule, set_at) = (change.rule, change.accepted_at);
            self.automatic.insert(change.agent, AutomaticChange { transition: change.transition, rule, set_at });
        }
        self.in_sight = self.link.reader.last_sight(&self.link.tenant).await?.map(InSight::stored);
        self.read_exceptions(now).await?;
        self.restore_estimates().await?;
        self.take_open(picture.open, now).await?;
        // Also when it is the same: the worker then reads its next snapshots whole, as a keeper that knows no rows needs.
        self.roster_told.send_replace(self.agents());
        Ok(())
    }

    /// Gives agents of the configuration whom the store does not know yet a subject. An import may bring the same agents at the same time,
    /// and its subject may have come first: whoever needs one reads the store afterwards.
    async fn enlist(&mut self) -> anyhow::Result<()> {
        let stored = self.link.reader.agents(&self.link.tenant).await?;
        let known: HashSet<&AgentId> = stored.iter().map(|stored| &stored.agent.id).collect();
        let mut commit = Commit::default();
        for id in self.settings.agents.iter().filter(|id| !known.contains(id)) {
            commit.agents.push(AgentWrite {
                tenant: self.link.tenant.clone(),
                agent: Agent { id: id.clone(), name: None, team: None, zone: None },
                subject: SubjectId(self.link.random.opaque_id()),
            });
        }
        if !commit.is_empty() {
            self.link.writer.commit(commit).await?;
        }
        Ok(())
    }

    /// A file for every agent.
    fn open_files(&mut self, subjects: &[Option<SubjectId>]) -> anyhow::Result<()> {
        let mut zones = Zones::default();
        self.files.clear();
        for (slot, subject) in self.roster.slots().iter().zip(subjects) {
            let agent = slot.agent();
            let subject = subject.with_context(|| format!("agent {} has no subject in the store", agent.id))?;
            self.files.push(File::new(subject, zones.get(agent.zone.as_ref())));
        }
        Ok(())
    }

    /// The roster anew, after an import or a reload: those that are known keep what is known of them, those that come get what
    /// the store remembers of them, those whom neither a schedule nor the list names leave.
    async fn read_agents(&mut self) -> anyhow::Result<()> {
        self.enlist().await?;
        let mut zones = Zones::default();
        let listed: HashSet<AgentId> = self.settings.agents.iter().cloned().collect();
        let (mut named, mut newcomers) = (listed.clone(), HashSet::new());
        for stored in self.link.reader.agents(&self.link.tenant).await? {
            let id = stored.agent.id.clone();
            if !stored.imported && !listed.contains(&id) {
                continue;
            }
            if self.roster.find(id.as_str()).is_none() {
                newcomers.insert(id.clone());
            }
            named.insert(id);
            self.add(&mut zones, stored.agent, stored.subject);
        }
        if !newcomers.is_empty() {
            self.recall(&newcomers).await?;
        }
        self.read_skills().await?;
        self.leaving =
            self.roster.slots().iter().map(AgentSlot::id).filter(|id| !named.contains(*id)).cloned().collect();
        let agents = self.agents();
        let changed = self.roster_told.send_if_modified(|known| {
            let changed = **known != *agents;
            *known = agents;
            changed
        });
        if changed {
            self.looking_since = self.link.clock.now();
        }
        self.mark_excused();
        Ok(())
    }

    /// What the store remembers of agents who come into the roster, perhaps not for the first time.
    async fn recall(&mut self, newcomers: &HashSet<AgentId>) -> anyhow::Result<()> {
        let (reader, tenant, now) = (self.link.reader.clone(), self.link.tenant.clone(), self.link.clock.now());
        for stored in reader.latest_states(&tenant).await?.into_iter().filter(|row| newcomers.contains(&row.row.agent))
        {
            let entered_at = stored.row.entered_at;
            if let Some(index) = self.roster.find(stored.row.agent.as_str()) {
                self.roster.observe(index, observed(stored.row), entered_at.min(now));
            }
        }
        for row in reader.automation_memory(&tenant).await?.iter().filter(|row| newcomers.contains(&row.agent)) {
            remember(&mut self.roster, row);
        }
        for counters in reader.counters(&tenant).await?.into_iter().filter(|row| newcomers.contains(&row.agent)) {
            self.take_counters(&counters);
        }
        Ok(())
    }

    fn take_counters(&mut self, counters: &AgentCounters) {
        let Some(index) = self.roster.find(counters.agent.as_str()) else { return };
        let file = &mut self.files[index.position()];
        file.sequence = counters.sequence;
        file.day = counters.local_day.parse().ok();
        file.violations = counters.violations;
        file.not_ready = Duration::from_micros(counters.not_ready_us);
    }

    fn add(&mut self, zones: &mut Zones, agent: Agent, subject: SubjectId) {
        let zone = zones.get(agent.zone.as_ref());
        let index = self.roster.upsert(agent);
        match self.files.get_mut(index.position()) {
            Some(file) => file.zone = zone,
            None => self.files.push(File::new(subject, zone)),
        }
    }

    /// Whom to look at.
    fn agents(&self) -> Arc<[AgentId]> {
        let ids = self.roster.slots().iter().map(AgentSlot::id);
        ids.filter(|id| !self.leaving.contains(*id)).cloned().collect()
    }

    /// The plans of the days around now.
    pub(super) async fn read_plans(&mut self, now: UtcMicros) -> anyhow::Result<()> {
        read_plans(&self.link.reader, &mut self.roster, now).await?;
        self.plans_read = now;
        self.forget_past_exceptions(now);
        Ok(())
    }

    /// What stood before an estimate that no snapshot has settled yet. One of the same state gave the stay another reason: the stay goes
    /// on since when it began.
    async fn restore_estimates(&mut self) -> anyhow::Result<()> {
        let mut go_on = Vec::new();
        for ((index, slot), file) in self.roster.iter().zip(&mut self.files) {
            let Some(estimate) = slot.observed().filter(|observed| observed.is_estimate()) else { continue };
            let mut row = row_before(&self.link, slot.id(), estimate.row_at).await?;
            file.before_estimate.clone_from(&row);
            let mut since = None;
            while let Some(of_stay) = row.filter(|row| row.state == estimate.state && estimate.source == Source::Post) {
                since = Some(of_stay.entered_at);
                let goes_on = of_stay.source == Source::Post;
                row = if goes_on { row_before(&self.link, slot.id(), of_stay.row_at).await? } else { None };
            }
            if let Some(entered_at) = since {
                go_on.push((index, Observed { entered_at, ..estimate.clone() }, slot.seen_at()));
            }
        }
        for (index, stay, seen_at) in go_on {
            self.roster.observe(index, stay, seen_at.unwrap_or(UtcMicros::EPOCH));
        }
        Ok(())
    }

    /// An open transition with what the process before remembered of it, as history tells it: what the agent was in when the
    /// last attempt left, and whether a row shows the change.
    async fn restored(&self, transition: Transition) -> anyhow::Result<Open> {
        let left_at = match transition.status {
            Status::Sending { since } => since,
            Status::InDoubt { sent_at, .. } => sent_at,
            Status::Accepted { at } => at,
            Status::Requested
            | Status::Waiting { .. }
            | Status::Confirmed { .. }
            | Status::Unconfirmed { .. }
            | Status::Refused { .. }
            | Status::Failed { .. }
            | Status::Cancelled { .. }
            | Status::Superseded { .. }
            | Status::Expired { .. } => return Ok(Open::restored(transition, None, false)),
        };
        let (tenant, agent, id) = (&self.link.tenant, &transition.agent, transition.id);
        let since = (left_at - SAME_CHANGE, UtcMicros::MAX);
        let stored = self.link.reader.agent_history(tenant, agent, since, None, HISTORY_PAGE_LIMIT).await?;
        let (ours, others): (Vec<_>, Vec<_>) =
            stored.into_iter().map(|stored| stored.row).partition(|row| row.transition == Some(id));
        let baseline = others.into_iter().rfind(|row| row.entered_at <= left_at).map(observed);
        Ok(Open::restored(transition, baseline, !ours.is_empty()))
    }

    /// What was under way when the process ended is in doubt.
    async fn take_open(&mut self, stored: Vec<StoredTransition>, now: UtcMicros) -> anyhow::Result<()> {
        for stored in stored {
            let agent = stored.transition.agent.clone();
            let open = self.restored(stored.transition).await?;
            self.book.insert(open);
            self.mark_busy(&agent);
        }
        let mut pass = Pass::new(now);
        self.look_back(&mut pass).await?;
        let unanswered: Vec<_> = self
            .book
            .iter()
            .filter(|open| matches!(open.transition.status, Status::Sending { .. }))
            .map(|open| open.transition.id)
            .collect();
        for id in unanswered {
            let readable_after = self.readable_after(now);
            self.step(&mut pass, id, Step::Doubt { readable_after });
        }
        self.commit(&mut pass).await
    }

    /// The versions of the rules in force, and the end of a halt that the last process left behind.
    async fn record_start(&mut self, now: UtcMicros) -> anyhow::Result<()> {
        let mut pass = Pass::new(now);
        self.record_rules(&mut pass).await?;
        // A keeper that failed may have left these complaints behind; this one starts without them.
        for part in ["automation", "picture"] {
            self.link.readiness.restored(&self.link.part(part));
        }
        if self.link.reader.tenant_status(&self.link.tenant).await?.halted_since.is_some() {
            self.audit_tenant(&mut pass, "automation.resumed", json!({"because": "the daemon was started again"}));
            self.set_halted(&mut pass, None);
        }
        self.commit(&mut pass).await
    }

    /// Versions of rules that were not in force before are stored and audited.
    pub(super) async fn record_rules(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
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
                first_seen_at: pass.now,
            });
        }
        Ok(())
    }

    /// A reloaded configuration takes effect.
    pub(super) async fn take_settings(&mut self, settings: Arc<TenantSettings>) -> anyhow::Result<()> {
        self.reads = reads(&settings);
        self.retries = Share::of_calls(SHARE_WINDOW, settings.retry.share_percent, settings.retry.at_least_per_minute);
        self.settings = self.shelf.under(&self.link, settings);
        self.roster.forget_held();
        self.read_agents().await?;
        let mut pass = Pass::new(self.link.clock.now());
        self.audit_tenant(&mut pass, "configuration.reloaded", serde_json::Value::Null);
        self.record_rules(&mut pass).await?;
        self.commit(&mut pass).await
    }

    /// An import took effect: new agents, new plans.
    pub(super) async fn take_schedule(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
        self.read_agents().await?;
        // Who is erased is named by none of them any more.
        self.read_exceptions(pass.now).await?;
        self.read_plans(pass.now).await?;
        let indices: Vec<AgentIndex> = self.roster.iter().map(|(index, _)| index).collect();
        for index in indices {
            // What the platform said was kept until the next edge of the plan that was.
            self.roster.set_platform(index, None);
        }
        Ok(())
    }
}

/// The row of an agent's history that ended at `at`.
async fn row_before(link: &Link, agent: &AgentId, at: UtcMicros) -> anyhow::Result<Option<Observed>> {
    let just_before = (at.offset(-1), at);
    let rows = link.reader.agent_history(&link.tenant, agent, just_before, None, 1).await?;
    Ok(rows.into_iter().next().map(|stored| observed(stored.row)))
}

/// Questions about schedules and breaks stay within their share of the budget.
fn reads(settings: &TenantSettings) -> Share {
    let most = settings.budget.requests_per_minute * settings.budget.read_share_percent / 100;
    Share::of_calls(SHARE_WINDOW, 0, most.max(1))
}
