//! The check of a schedule as text.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::tz::TimeZone;

use crate::domain::ids::AgentId;
use crate::domain::rules::rule::Mode;
use crate::domain::schedules::comparison::ShiftChangeKind;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::http::{AgentChanges, RuleActionChange, ScheduleCheck, ShiftBody};

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
    rule_lines(check).into_iter().for_each(&mut line);
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
        let skill = one.skill.as_ref().map(|skill| format!("floor of skill {skill}: "));
        let team = skill.or_else(|| Some(format!("{}: ", one.team.as_ref()?))).unwrap_or_default();
        format!("  {at}: {team}{:.1} required, net {:.1} -> {:.1}", one.required, one.before, one.after)
    }));
    let more = all - (lines.len() - 1);
    if more > 0 {
        lines.push(format!("  {} not listed", count_with_noun(more, "more quarter hour")));
    }
    lines
}

/// Returns what the rules would do differently, in the zone of each agent.
fn rule_lines(check: &ScheduleCheck) -> Vec<String> {
    let Some(preview) = &check.rules else { return Vec::new() };
    let all = preview.changes.len() + preview.more_changes;
    let span = format!("from {:.0} to {:.0}", preview.from, preview.to);
    if all == 0 {
        return vec![format!("the rules would do the same {span}")];
    }
    let actions = count_with_noun(all, "action");
    let mut lines =
        vec![format!("the rules would act differently {span}, if agents change nothing themselves: {actions}")];
    let zones: HashMap<&AgentId, TimeZone> =
        check.changes.iter().map(|agent| (&agent.agent, zone_of(agent.zone.as_deref()))).collect();
    for change in preview.changes.iter().take(MAX_LINES) {
        let RuleActionChange { rule, mode, agent, name, action, before, after } = change;
        let zone = zones.get(agent).cloned().unwrap_or(TimeZone::UTC);
        let local = |at: &UtcMicros| at.timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
        let when = match (before, after) {
            (Some(before), Some(after)) => format!("{} -> {}", local(before), local(after)),
            (Some(before), None) => format!("{} -> no longer", local(before)),
            (None, Some(after)) => format!("new -> {}", local(after)),
            (None, None) => continue,
        };
        let name = name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        let mode = if *mode == Mode::Enforce { String::new() } else { format!(", {}", mode.name()) };
        lines.push(format!("  {agent}{name}: {action} by {rule}{mode}: {when}"));
    }
    let more = all.saturating_sub(MAX_LINES);
    if more > 0 {
        lines.push(format!("  {} not listed", count_with_noun(more, "more action")));
    }
    if preview.uses_figures {
        lines.push("  rules that need figures of skills or queues do nothing here".to_owned());
    }
    lines
}

fn zone_of(name: Option<&str>) -> TimeZone {
    name.and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC)
}

fn agent_lines(agent: &AgentChanges) -> Vec<String> {
    let zone = zone_of(agent.zone.as_deref());
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
    fn missing_agents_and_actions_of_rules_are_listed_in_the_zone_of_the_agents() {
        let shortfall = |minute: &str| {
            json!({"start": format!("2026-10-26T15:{minute}:00Z"), "end": "2026-10-26T16:00:00Z", "team": "Care",
                   "required": 2.5, "before": 0.5, "after": -0.5})
        };
        let action = |before: Option<&str>, after: Option<&str>, mode: &str| {
            let at = |minute: &str| format!("2026-10-26T15:{minute}:00Z");
            json!({"rule": "back", "mode": mode, "agent": "u_1", "name": "Ada", "action": "set Ready",
                   "before": before.map(at), "after": after.map(at)})
        };
        let actions = [
            action(Some("10"), Some("40"), "enforce"),
            action(Some("10"), None, "watch"),
            action(None, Some("40"), "enforce"),
        ];
        let rules = json!({"from": "2026-10-26T15:00:00Z", "to": "2026-10-26T20:00:00Z", "changes": actions,
                           "more_changes": 0, "uses_figures": false});
        let agent = json!({"agent": "u_1", "name": null, "team": "Care", "zone": "Europe/Berlin", "shifts": []});
        let check: ScheduleCheck = serde_json::from_value(json!({
            "tenant": "acme", "hash": "3f2a", "version": 1, "agents": 1, "added": 0, "changed": 1, "removed": 0,
            "unchanged": 0, "in_past": 0, "teams": [], "changes": [agent], "more_agents": 0, "left_out": [],
            "findings": [], "more_findings": 0, "warnings": [],
            "shortfalls": [shortfall("30"), shortfall("45")], "more_shortfalls": 40, "rules": rules,
        }))
        .expect("a check");
        let lines = [
            "fewer agents than required in 42 quarter hours (Europe/Berlin):",
            "  2026-10-26 16:30: Care: 2.5 required, net 0.5 -> -0.5",
            "  2026-10-26 16:45: Care: 2.5 required, net 0.5 -> -0.5",
            "  40 more quarter hours not listed",
        ];
        assert_eq!(shortfall_lines(&check), lines);
        let lines = [
            "the rules would act differently from 2026-10-26T15:00:00Z to 2026-10-26T20:00:00Z, if agents change nothing \
             themselves: 3 actions",
            "  u_1 (Ada): set Ready by back: 2026-10-26 16:10 -> 2026-10-26 16:40",
            "  u_1 (Ada): set Ready by back, watch: 2026-10-26 16:10 -> no longer",
            "  u_1 (Ada): set Ready by back: new -> 2026-10-26 16:40",
        ];
        assert_eq!(rule_lines(&check), lines);
    }
}
