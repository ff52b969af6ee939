//! The history of states, which says nothing of wrap-up but its code.

use serde_json::{Value, json};

use crate::domain::time::UtcMicros;
use crate::sim::call::Call;
use crate::sim::platform_state::Tenant;
use crate::sim::wire::{self, Problem};

use super::agents::agent_number;
use super::codes::team_number;
use super::facts::HistoryRow;
use super::operations::PublishedReply;
use super::page::instant_in_query;
use super::states::{contact_id, state_on_wire};

impl Tenant {
    /// Answers `GET /agents/state-history`.
    pub(super) fn state_history(&mut self, call: &Call, skew_ms: i64) -> Result<PublishedReply, Problem> {
        self.history_page(call, None, skew_ms)
    }

    /// Answers `GET /agents/{id}/state-history`.
    pub(super) fn agent_state_history(&mut self, call: &Call, skew_ms: i64) -> Result<PublishedReply, Problem> {
        let place = self.seen_agent(&call.subject)?;
        self.history_page(call, Some(place), skew_ms)
    }

    /// Returns the states that began in the span asked for, in that order. With `updatedSince`, only those that began
    /// or ended since then.
    fn history_page(&mut self, call: &Call, only: Option<usize>, skew_ms: i64) -> Result<PublishedReply, Problem> {
        let instant =
            |name: &str| instant_in_query(call, name)?.ok_or_else(|| Problem::bad(format!("{name} is missing")));
        let (start, end) = (instant("startDate")?, instant("endDate")?);
        if end < start {
            return Err(Problem::bad("endDate is before startDate"));
        }
        let since = instant_in_query(call, "updatedSince")?;
        let shown = |at: UtcMicros| at.offset(skew_ms * 1000);
        let listed = self.published.history.iter().filter(|row| {
            only.is_none_or(|place| row.agent == place)
                && !self.published.is_hidden(row.agent)
                && (start..end).contains(&shown(row.start))
                && since.is_none_or(|since| shown(row.end.unwrap_or(row.start)) >= since)
        });
        let rows = listed.filter_map(|row| self.history_row(row, skew_ms)).collect();
        let poll_time = self.poll_time(skew_ms);
        self.page(call, "agentStateHistory", rows, poll_time)
    }

    fn history_row(&self, row: &HistoryRow, skew_ms: i64) -> Option<Value> {
        let agent = self.world.agents().get(row.agent)?;
        let (id, state) = state_on_wire(row.state);
        let skill = row.labels.queue.and_then(|skill| self.world.skills().get(usize::from(skill)));
        let lasted = row.end.unwrap_or_else(|| self.world.current_time()).since(row.start);
        Some(json!({
            "stateIndex": row.index,
            "startDate": wire::instant_text(row.start, skew_ms),
            "agentId": agent_number(agent),
            "agentStateId": id,
            "agentStateName": state,
            "agentSessionId": row.session,
            "contactId": contact_id(row.agent, row.labels.contact),
            "skillId": skill.map(|skill| skill.id),
            "outStateId": row.code.as_ref().map_or(0, |code| code.id),
            "outStateDescription": row.code.as_ref().and_then(|code| code.name.as_deref()),
            "duration": lasted.as_secs(),
            "teamId": team_number(&agent.profile.team),
        }))
    }
}
