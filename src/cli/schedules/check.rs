//! The check of a schedule as text.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use crate::domain::schedules::comparison::ShiftChangeKind;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::http::{AgentChanges, ScheduleCheck, ShiftBody};

/// The number of agents and of findings that are printed.
const MAX_LINES: usize = 20;

/// Returns what a check shows; `apply` is the command that applies it, without the hash.
pub(super) fn check_text(check: &ScheduleCheck, apply: &str) -> String {
    let mut text = String::new();
    let mut line = |content: String| {
        let _ = writeln!(text, "{content}");
    };
    line(format!(
        "{} of {}: {} new, {} changed, {} removed, {} unchanged",
        count_with_noun(check.agents, "agent"),
        check.tenant,
        count_with_noun(check.added, "shift"),
        check.changed,
        check.removed,
        check.unchanged
    ));
    if check.in_past > 0 {
        line(format!(
            "{} began in the past: adherence and reports of these days are computed again",
            count_with_noun(check.in_past, "changed shift")
        ));
    }
    for team in &check.teams {
        let name = team.team.as_ref().map_or("no team", |team| team.as_str());
        let agents = count_with_noun(team.agents, "agent");
        line(format!("  {name}: {agents}; {} new, {} changed, {} removed", team.added, team.changed, team.removed));
    }
    for agent in check.changes.iter().take(MAX_LINES) {
        agent_lines(agent).into_iter().for_each(&mut line);
    }
    let more = check.changes.len().saturating_sub(MAX_LINES) + check.more_agents;
    if more > 0 {
        line(format!("{} not listed; --output json lists up to 1,000", count_with_noun(more, "more agent")));
    }
    for left_out in &check.left_out {
        line(format!("left out: {}: {}", left_out.agent, left_out.why));
    }
    for finding in check.findings.iter().take(MAX_LINES) {
        let who = finding.agent.as_ref().map(|agent| format!("{agent}: ")).unwrap_or_default();
        line(format!("look at: {who}{}", finding.message));
    }
    let more = check.findings.len().saturating_sub(MAX_LINES) + check.more_findings;
    if more > 0 {
        line(format!("{} not listed", count_with_noun(more, "more finding")));
    }
    shortfall_lines(check).into_iter().for_each(&mut line);
    if check.agents == 0 {
        line("nothing would change".to_owned());
    } else {
        line(format!("nothing is changed yet; apply exactly this with\n  {apply} --apply {}", check.hash));
    }
    text.trim_end().to_owned()
}

/// Returns the quarter hours that the change leaves short of the required staff, in the zone of the first agent.
fn shortfall_lines(check: &ScheduleCheck) -> Vec<String> {
    let all = check.shortfalls.len() + check.more_shortfalls;
    if all == 0 {
        return Vec::new();
    }
    let zone = check.changes.iter().find_map(|agent| agent.zone.as_deref()).unwrap_or("UTC");
    let tz = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let mut lines = vec![format!("fewer agents than required in {} ({zone}):", count_with_noun(all, "quarter hour"))];
    lines.extend(check.shortfalls.iter().take(MAX_LINES).map(|one| {
        let at = one.start.timestamp().to_zoned(tz.clone()).strftime("%Y-%m-%d %H:%M");
        let team = one.team.as_ref().map(|team| format!("{team}: ")).unwrap_or_default();
        format!("  {at}: {team}{:.1} required, net {:.1} -> {:.1}", one.required, one.before, one.after)
    }));
    let more = all - (lines.len() - 1);
    if more > 0 {
        lines.push(format!("  {} not listed", count_with_noun(more, "more quarter hour")));
    }
    lines
}

fn agent_lines(agent: &AgentChanges) -> Vec<String> {
    let zone = agent.zone.as_deref().and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC);
    let name = agent.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let shift = |shift: &Option<ShiftBody>| shift.as_ref().map(|shift| shift_text(shift, &zone)).unwrap_or_default();
    let lines = agent.shifts.iter().map(|change| {
        let what = match change.kind {
            ShiftChangeKind::Added => format!("new: {}", shift(&change.after)),
            ShiftChangeKind::Removed => format!("removed: {}", shift(&change.before)),
            ShiftChangeKind::Changed => format!("{} -> {}", shift(&change.before), shift(&change.after)),
        };
        format!("  {}{name}: {what}", agent.agent)
    });
    lines.collect()
}

/// Returns a shift in local time, such as `2026-10-26 09:00-17:30 (lunch 13:00-13:30)`.
fn shift_text(shift: &ShiftBody, zone: &TimeZone) -> String {
    let local = |at: UtcMicros, format: &str| at.timestamp().to_zoned(zone.clone()).strftime(format).to_string();
    let span = |start, end| format!("{}-{}", local(start, "%H:%M"), local(end, "%H:%M"));
    let activities: Vec<String> =
        shift.activities.iter().map(|one| format!("{} {}", one.activity, span(one.start, one.end))).collect();
    let activities = if activities.is_empty() { String::new() } else { format!(" ({})", activities.join(", ")) };
    format!("{} {}{activities}", local(shift.start, "%Y-%m-%d"), span(shift.start, shift.end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quarter_hours_with_too_few_agents_are_listed_in_the_zone_of_the_agents() {
        let shortfall = |minute: &str| {
            json!({"start": format!("2026-10-26T15:{minute}:00Z"), "end": "2026-10-26T16:00:00Z", "team": "Care",
                   "required": 2.5, "before": 0.5, "after": -0.5})
        };
        let agent = json!({"agent": "u_1", "name": null, "team": "Care", "zone": "Europe/Berlin", "shifts": []});
        let check: ScheduleCheck = serde_json::from_value(json!({
            "tenant": "acme", "hash": "3f2a", "version": 1, "agents": 1, "added": 0, "changed": 1, "removed": 0,
            "unchanged": 0, "in_past": 0, "teams": [], "changes": [agent], "more_agents": 0, "left_out": [],
            "findings": [], "more_findings": 0, "warnings": [],
            "shortfalls": [shortfall("30"), shortfall("45")], "more_shortfalls": 40,
        }))
        .expect("a check");
        let lines = [
            "fewer agents than required in 42 quarter hours (Europe/Berlin):",
            "  2026-10-26 16:30: Care: 2.5 required, net 0.5 -> -0.5",
            "  2026-10-26 16:45: Care: 2.5 required, net 0.5 -> -0.5",
            "  40 more quarter hours not listed",
        ];
        assert_eq!(shortfall_lines(&check), lines);
    }
}
