//! Reads the history of states. A row that names no agent is left out; one that names no state or no instant is kept
//! without them, because what follows from its neighbours would be a guess.

use crate::domain::agents::past_states::PastState;
use crate::domain::ids::AgentId;
use crate::platform::client::ApiReply;
use crate::platform::directory::ListPage;
use crate::platform::error::Failure;
use crate::platform::text;

use super::known_directory::KnownDirectory;
use super::lists::{convert, parse};
use super::states::StateReading;
use super::wire::{HistoryRow, Page, parse_instant};

pub(super) fn read_history(
    reply: &ApiReply,
    states: &StateReading,
    directory: &KnownDirectory,
    secrets: &[&str],
) -> Result<ListPage<PastState>, Failure> {
    let mut repaired = String::new();
    let page: Page<'_, HistoryRow<'_>> = parse(reply, &mut repaired, "a history of states", secrets)?;
    Ok(convert(page, |row| {
        let agent = AgentId::new(row.agent_id.id().filter(|id| text::is_id(id))?);
        let (team, codes) = directory.team(row.team_id.id().as_deref(), &agent);
        let state = states.past_state_of(row, team.as_ref(), codes.as_deref());
        let shown = (&row.out_state_id, &row.out_state);
        let reason = state.as_ref().and_then(|state| states.reason_of(state, shown, team.as_ref()));
        let entered_at = row.start_date.text().and_then(parse_instant);
        let session = row.session.integer().unwrap_or_default();
        Some(PastState { agent, index: row.index.integer().map(|index| (session, index)), entered_at, state, reason })
    }))
}
