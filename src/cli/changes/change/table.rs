//! Tables of bulk changes for people.

use crate::cli::shared::output::table_with_header;
use crate::domain::adherence::Verdict;
use crate::domain::wording::count_with_noun;
use crate::engine::changes::change_sets::view::{ChangeSetAgentView, ChangeSetStatus, ChangeSetView};

/// Formats the agents of a set: the preview before its start, the status after it.
pub(super) fn agents_table(set: &ChangeSetView) -> String {
    let mut table = table_with_header(["AGENT", "TEAM", "STATE", "PLANNED", "TO", "RESULT", "STATUS", "WHY"]);
    for agent in &set.agents {
        table.add_row([
            agent.agent.to_string(),
            agent.team.as_ref().map_or("-".to_owned(), ToString::to_string),
            agent.state.as_ref().map_or("-".to_owned(), ToString::to_string),
            agent.planned.as_deref().unwrap_or("-").to_owned(),
            match &agent.reason {
                Some(reason) => format!("{} ({reason})", agent.to),
                None => agent.to.to_string(),
            },
            agent.outcome.name().replace('_', " "),
            agent.status.clone().unwrap_or_else(|| "-".to_owned()),
            agent_note(agent),
        ]);
    }
    table.trim_fmt()
}

fn agent_note(agent: &ChangeSetAgentView) -> String {
    let out = would_be_out(agent).then(|| "out of adherence afterwards".to_owned());
    let notes = agent.error.clone().or_else(|| agent.why.clone()).into_iter().chain(out);
    notes.collect::<Vec<_>>().join("; ")
}

/// Returns whether the change leaves the agent out of adherence.
fn would_be_out(agent: &ChangeSetAgentView) -> bool {
    agent.outcome.is_change() && agent.would_be == Some(Verdict::Out)
}

/// Summarizes a set.
pub(super) fn set_summary(set: &ChangeSetView) -> String {
    let mut lines = Vec::new();
    let counts = &set.counts;
    lines.push(format!(
        "{} of {} to be changed, {} left out; {}",
        counts.will_change,
        count_with_noun(counts.agents, "agent"),
        counts.left_out + counts.left_out_at_start,
        count_with_noun(set.calls as u64, "call"),
    ));
    if counts.reason_only > 0 {
        lines.push(format!(
            "{} already in this state: only the reason changes, for {}",
            count_with_noun(counts.reason_only, "agent"),
            count_with_noun(set.reason_calls as u64, "call"),
        ));
    }
    match (set.finish_at, set.halted) {
        (_, true) => lines.push("state changes are halted: no estimated completion".to_owned()),
        (Some(at), false) if set.status == ChangeSetStatus::Previewed => {
            let latest = set.finish_at_latest.filter(|latest| *latest > at);
            let latest = latest.map(|latest| format!(", with retries by {latest}")).unwrap_or_default();
            lines.push(format!(
                "estimated completion {at}{latest}, {} ahead",
                count_with_noun(set.ahead as u64, "call")
            ));
        }
        (Some(_) | None, false) => {}
    }
    let out = set.agents.iter().filter(|agent| would_be_out(agent)).count();
    if out > 0 {
        lines.push(format!(
            "{} out of adherence afterwards, which counts unless an exception is approved",
            count_with_noun(out, "agent")
        ));
    }
    for floor in &set.floors {
        let name = floor.name.as_deref().unwrap_or(floor.skill.as_str());
        lines
            .push(format!("skill {name}: {} available, {} after, floor {}", floor.available, floor.after, floor.floor));
    }
    if set.started_at.is_some() {
        lines.push(format!("{} confirmed, {} open, {} failed", counts.confirmed, counts.open, counts.failed));
    }
    lines.push(format!("set {} ({}), hash {}", set.id, status_text(set.status), set.hash));
    lines.join("\n")
}

/// Formats a table of sets, with a line each.
pub(super) fn sets_table(sets: &[ChangeSetView]) -> String {
    let mut table =
        table_with_header(["ID", "STATUS", "TO", "AGENTS", "CONFIRMED", "OPEN", "FAILED", "BY", "AT", "NOTE"]);
    for set in sets {
        let to = set.to.as_ref().map_or_else(|| "back".to_owned(), ToString::to_string);
        table.add_row([
            set.id.to_string(),
            status_text(set.status).to_owned(),
            to,
            set.counts.will_change.to_string(),
            set.counts.confirmed.to_string(),
            set.counts.open.to_string(),
            set.counts.failed.to_string(),
            set.started_by.as_deref().unwrap_or(&set.made_by).to_owned(),
            set.started_at.unwrap_or(set.made_at).to_string(),
            set.note.clone().unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

const fn status_text(status: ChangeSetStatus) -> &'static str {
    match status {
        ChangeSetStatus::Previewed => "previewed",
        ChangeSetStatus::Expired => "expired",
        ChangeSetStatus::Running => "running",
        ChangeSetStatus::Done => "done",
        ChangeSetStatus::Cancelled => "cancelled",
    }
}
