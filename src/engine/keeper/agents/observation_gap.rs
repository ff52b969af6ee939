//! Fills gaps in observation with what the platform's state history says of them. Nothing here is news: there are no
//! events, and the live view stays as it is.

use serde_json::json;

use crate::domain::agents::agent::ObservedState;
use crate::domain::agents::past_states::{GapFill, ObservationGap, PastState, fill_gap};
use crate::domain::agents::roster::AgentIndex;
use crate::domain::ids::AgentId;
use crate::domain::schedules::rest::{MIN_REST, is_resting};
use crate::engine::agents::stored_live_view::observation_of;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;
use crate::engine::platform::observation_gap::{GapProgress, GapRequest};
use crate::store::{HISTORY_PAGE_LIMIT, HistoryWrite, ObservedSpanRow};

impl Keeper {
    pub(in crate::engine::keeper) async fn handle_gap_request(
        &mut self,
        pass: &mut Pass,
        request: GapRequest,
    ) -> anyhow::Result<()> {
        match request {
            GapRequest::Fill { gap, agents, is_last_attempt, reply } => {
                let mut progress = GapProgress::default();
                for (agent, read) in agents {
                    progress += self.fill_agent(pass, &agent, &read, (gap, is_last_attempt)).await?;
                }
                pass.reply_after_commit(reply, progress);
            }
            GapRequest::Close { span: (from, to), progress, reply } => {
                let filled = ObservedSpanRow { tenant: self.link.tenant.clone(), starts_at: from, ends_at: to };
                pass.commit.adherence.filled_gaps.push(filled);
                let GapProgress { rows, agents, incomplete_agents } = progress;
                let details = json!({"from": from, "to": to, "rows": rows, "agents": agents, "unknown_agents": incomplete_agents});
                self.audit_tenant(pass, "history.filled", details);
                pass.reply_after_commit(reply, ());
            }
        }
        Ok(())
    }

    /// Fills a gap in one agent's history. After the last attempt, what the platform does not say is unknown.
    async fn fill_agent(
        &mut self,
        pass: &mut Pass,
        agent: &AgentId,
        read: &[PastState],
        (gap, is_last_attempt): (ObservationGap, bool),
    ) -> anyhow::Result<GapProgress> {
        let Some(index) = self.roster.find(agent.as_str()).filter(|_| !self.finishing.contains(agent)) else {
            return Ok(GapProgress::default());
        };
        let (from, to) = gap.span;
        let around = (from, to.offset(1));
        let stored = self.link.reader.agent_history(&self.link.tenant, agent, around, None, HISTORY_PAGE_LIMIT).await?;
        let known: Vec<ObservedState> = stored.into_iter().map(|stored| observation_of(stored.row)).collect();
        let offset_us = self.link.offset().offset_micros();
        let GapFill { inserted, is_complete } = fill_gap(&known, read, gap, offset_us, is_last_attempt);
        let rows = inserted.iter().map(|row| HistoryWrite::Enter(self.history_row(agent, row)));
        pass.commit.history.extend(rows);
        self.correct_sums(pass, index, &known, &inserted);
        Ok(GapProgress {
            rows: inserted.len(),
            agents: usize::from(!inserted.is_empty()),
            incomplete_agents: usize::from(!is_complete),
        })
    }

    /// Corrects the not-ready time of the day, and takes in rests, after states were inserted between known ones.
    fn correct_sums(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        known: &[ObservedState],
        inserted: &[ObservedState],
    ) {
        for pair in known.windows(2) {
            let [before, after] = pair else { continue };
            let between = |row: &&ObservedState| (before.history_at..after.history_at).contains(&row.history_at);
            let between: Vec<&ObservedState> = inserted.iter().filter(between).collect();
            if between.is_empty() {
                continue;
            }
            let tracking = &mut self.agent_tracking[index.position()];
            if before.state.is_not_ready() {
                tracking.subtract_not_ready(before.entered_at, after.entered_at);
            }
            let states: Vec<&ObservedState> = std::iter::once(before).chain(between).chain([after]).collect();
            for states in states.windows(2) {
                let (began_at, ended_at) = (states[0].entered_at, states[1].entered_at);
                if states[0].state.is_not_ready() {
                    tracking.add_not_ready(began_at, ended_at);
                }
                if is_resting(&states[0].state) && ended_at.since(began_at) >= MIN_REST {
                    self.roster.record_past_rest(index, (began_at, ended_at));
                }
            }
            pass.mark_counters_changed(index);
        }
    }
}
