//! What only the published services know of a tenant: codes, the numbers of users, who is hidden, and the history of
//! states.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::sim::agent::{Agent, StateLabels};
use crate::sim::random::RandomStream;
use crate::sim::state::SimState;
use crate::sim::world::World;

use super::codes::{Codes, ShownCode, team_number};
use super::trap::{Trap, Traps};

/// The most rows of history that are kept for a tenant.
const MAX_HISTORY_ROWS: usize = 200_000;

/// The start of a state in an agent's history.
#[derive(Debug)]
pub(super) struct HistoryRow {
    /// The position of the agent in the roster.
    pub(super) agent: usize,
    /// The number of the row in the agent's history, from 0.
    pub(super) index: u64,
    /// The number of the agent's session, from 1.
    pub(super) session: u32,
    pub(super) start: UtcMicros,
    /// The end; `None` while the state lasts.
    pub(super) end: Option<UtcMicros>,
    pub(super) state: SimState,
    pub(super) labels: StateLabels,
    pub(super) code: Option<ShownCode>,
}

/// What the account of the access key may know of an agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct RosterEntry {
    pub(super) is_active: bool,
    /// Whether the account has no view on the agent.
    pub(super) is_hidden: bool,
    pub(super) updated_at: UtcMicros,
}

/// The newest row of an agent's history.
#[derive(Clone, Copy, Debug, Default)]
struct LastRow {
    /// The number of the row among all that there were.
    number: u64,
    index: u64,
    session: u32,
}

/// The facts of one tenant.
#[derive(Debug)]
pub(in crate::sim) struct PublishedFacts {
    pub(in crate::sim) codes: Codes,
    pub(super) traps: Traps,
    /// The number of the tenant at the published services.
    pub(super) business_unit: u32,
    /// The UUID of each agent, in the order of the roster.
    pub(super) user_ids: Vec<Arc<str>>,
    by_user_id: HashMap<Arc<str>, usize>,
    pub(super) roster: Vec<RosterEntry>,
    pub(super) history: VecDeque<HistoryRow>,
    dropped_rows: u64,
    last_rows: Vec<LastRow>,
    /// The reads of first pages so far.
    pub(super) reads: u64,
    /// The instant at which `lastPollTime` stands still.
    pub(super) frozen_at: Option<UtcMicros>,
}

impl PublishedFacts {
    /// Creates the facts of a tenant whose agents are as they are at the start.
    pub(in crate::sim) fn new(world: &World, tenant: &TenantId, seed: u64, traps: Traps) -> Self {
        let user_id = |agent: &Agent| -> Arc<str> {
            RandomStream::for_path(seed, &["user", tenant.as_str(), agent.profile.id.as_str()]).uuid().into()
        };
        let user_ids: Vec<Arc<str>> = world.agents().iter().map(user_id).collect();
        let now = world.current_time();
        let entry = RosterEntry { is_active: true, is_hidden: false, updated_at: now };
        let mut facts = Self {
            codes: Codes::new(traps.has(Trap::TeamCodes)),
            traps,
            business_unit: tenant.as_str().bytes().fold(4, |sum, byte| (sum * 31 + u32::from(byte)) % 1_000_000)
                + 4_000_000,
            by_user_id: user_ids.iter().cloned().zip(0..).collect(),
            roster: vec![entry; user_ids.len()],
            last_rows: vec![LastRow::default(); user_ids.len()],
            user_ids,
            history: VecDeque::new(),
            dropped_rows: 0,
            reads: 0,
            frozen_at: None,
        };
        for (place, agent) in world.agents().iter().enumerate() {
            facts.record_state(place, &agent.profile.team, agent.since, agent.state, agent.labels);
        }
        facts
    }

    /// Switches traps on and the others off.
    pub(in crate::sim) fn set_traps(&mut self, traps: &Traps) {
        self.codes.set_teams_differ(traps.has(Trap::TeamCodes));
        self.frozen_at = None;
        self.traps = traps.clone();
    }

    /// Returns the position of the agent with this UUID.
    pub(super) fn place_of_user(&self, user_id: &str) -> Option<usize> {
        self.by_user_id.get(user_id.to_ascii_lowercase().as_str()).copied()
    }

    /// Records what the account may know of an agent; `None` stays as it is.
    pub(in crate::sim) fn set_roster_entry(
        &mut self,
        place: usize,
        (active, hidden): (Option<bool>, Option<bool>),
        now: UtcMicros,
    ) {
        if let Some(entry) = self.roster.get_mut(place).filter(|_| active.is_some() || hidden.is_some()) {
            entry.is_active = active.unwrap_or(entry.is_active);
            entry.is_hidden = hidden.unwrap_or(entry.is_hidden);
            entry.updated_at = now;
        }
    }

    /// Returns whether the account has no view on the agent at a position.
    pub(super) fn is_hidden(&self, place: usize) -> bool {
        self.roster.get(place).is_some_and(|entry| entry.is_hidden)
    }

    /// Records that an agent entered a state.
    pub(in crate::sim) fn record_state(
        &mut self,
        agent: usize,
        team: &str,
        start: UtcMicros,
        state: SimState,
        labels: StateLabels,
    ) {
        let number = self.dropped_rows + u64::try_from(self.history.len()).unwrap_or(u64::MAX);
        let Some(last) = self.last_rows.get_mut(agent) else { return };
        let before = last.number.checked_sub(self.dropped_rows).and_then(|at| usize::try_from(at).ok());
        let before = before.and_then(|at| self.history.get_mut(at)).filter(|row| row.agent == agent);
        let is_new_session = before.as_ref().is_none_or(|row| row.state == SimState::LoggedOut);
        if let Some(row) = before {
            row.end = Some(start);
            last.index += 1;
        }
        last.session += u32::from(is_new_session);
        last.number = number;
        let (index, session) = (last.index, last.session);
        let code = self.codes.shown(team_number(team), state, labels.code);
        self.history.push_back(HistoryRow { agent, index, session, start, end: None, state, labels, code });
        if self.history.len() > MAX_HISTORY_ROWS {
            self.history.pop_front();
            self.dropped_rows += 1;
        }
    }

    /// Returns whether the timeout of an agent's code is over.
    pub(in crate::sim) fn is_timed_out(&self, agent: &Agent, now: UtcMicros) -> bool {
        let is_unavailable = matches!(agent.state, SimState::Unavailable | SimState::Paused | SimState::Idle);
        let code = || self.codes.code(team_number(&agent.profile.team), agent.state, agent.labels.code);
        self.traps.has(Trap::CodeTimeouts)
            && is_unavailable
            && code()
                .is_some_and(|code| now.since(agent.since) >= Duration::from_secs(u64::from(code.timeout_minutes) * 60))
    }
}
