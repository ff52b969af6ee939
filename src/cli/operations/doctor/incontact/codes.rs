//! The teams, and whether each team has the unavailable codes of the map.

use std::sync::Arc;

use super::session::{ListCheck, Session};
use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::{CodeMap, UnavailableCode};
use crate::domain::ids::{ReasonCode, TeamName};
use crate::domain::time::duration_text;
use crate::domain::wording::count_with_noun;
use crate::platform::incontact::PublishedList;
use crate::platform::{ListedTeam, Platform as _};

/// The most teams with a line of their own.
const MAX_TEAMS: usize = 20;

/// Reads the teams and the codes of each.
pub(super) async fn check(session: &mut Session<'_>) {
    let Some(teams) = read_teams(session).await else { return };
    let map = &session.tenant.incontact.codes;
    if map.0.is_empty() {
        let advice = "set incontact.codes, or have `shiftkeeper init` propose them";
        session.group.warning("codes", "no state has an unavailable code, so only Ready can be set", advice);
        return;
    }
    let platform = Arc::clone(&session.platform);
    let (mut sound, mut named, mut timeout) = (0, 0, None);
    for (read, team) in teams.iter().enumerate() {
        let codes = match session.call(platform.unavailable_codes(team)).await {
            Some(Ok(answer)) => answer.value,
            Some(Err(error)) => {
                let check = ListCheck {
                    id: "codes",
                    list: PublishedList::Codes(&team.id),
                    without: "codes are not checked before they are sent",
                    is_needed: false,
                };
                return session.report_unread(check, Some(error)).await;
            }
            None => {
                let left = count_with_noun(teams.len() - read, "team");
                session.group.skipped("codes", format!("{left} not read: the budget of this minute is used up"));
                break;
            }
        };
        timeout = [timeout, shortest_timeout(map, team, &codes)].into_iter().flatten().min();
        let (faults, missing) = (faults_text(map, &team.name, &codes), missing_text(map, &team.name));
        if faults.is_none() && missing.is_none() {
            sound += 1;
        } else if named < MAX_TEAMS {
            named += 1;
            let id = format!("codes {}", team.name);
            let advice = format!("set incontact.team_codes for the team \"{}\"", team.name);
            match (faults, missing) {
                (Some(text), _) => session.group.wrong(id, format!("{text}; such changes are refused"), advice),
                (None, Some(text)) => session.group.warning(id, text, advice),
                (None, None) => {}
            }
        }
    }
    report_sound(session, sound, timeout);
}

async fn read_teams(session: &mut Session<'_>) -> Option<Vec<ListedTeam>> {
    let check = ListCheck {
        id: "teams",
        list: PublishedList::Teams,
        without: "codes are not checked before they are sent",
        is_needed: false,
    };
    let platform = Arc::clone(&session.platform);
    let (mut skip, mut teams) = (Some(0), Vec::new());
    while let Some(skipped) = skip {
        match session.call(platform.teams(skipped)).await {
            Some(Ok(answer)) => {
                skip = answer.value.next(skipped);
                teams.extend(answer.value.rows.into_iter().filter(|team| team.is_active));
            }
            unread => {
                session.report_unread(check, unread.and_then(Result::err)).await;
                return None;
            }
        }
    }
    let active = count_with_noun(teams.len(), "active team");
    session.group.ok("teams", format!("v{} answers: {active}", session.version(PublishedList::Teams)));
    Some(teams)
}

/// Returns the lines of the map with a code that cannot be set in a team.
fn faults_text(map: &CodeMap, team: &TeamName, codes: &[UnavailableCode]) -> Option<String> {
    let faults = map.faults(team, codes).into_iter().map(|(line, fault)| format!("{line}: {fault}"));
    Some(faults.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
}

/// Returns the states of the map that have a code for other teams only.
fn missing_text(map: &CodeMap, team: &TeamName) -> Option<String> {
    let has_code = |state: &AgentState| map.code(Some(team), state, &ReasonCode::new("")).is_some();
    let missing: Vec<String> = map.states().filter(|state| !has_code(state)).map(|state| state.to_string()).collect();
    (!missing.is_empty()).then(|| format!("{} cannot be set: no code for this team", missing.join(", ")))
}

/// Returns the shortest time after which the platform logs out an agent in a state of the map.
fn shortest_timeout(map: &CodeMap, team: &ListedTeam, codes: &[UnavailableCode]) -> Option<std::time::Duration> {
    let is_used = |code: &&UnavailableCode| map.state(Some(&team.name), code.code).is_some();
    codes.iter().filter(is_used).filter_map(|code| code.timeout).min()
}

fn report_sound(session: &mut Session<'_>, sound: usize, timeout: Option<std::time::Duration>) {
    let states: Vec<String> = session.tenant.incontact.codes.states().map(|state| state.to_string()).collect();
    let timeout = timeout.map(|timeout| {
        format!("; the platform logs out agents who stay in one for {} or longer", duration_text(timeout))
    });
    let detail = format!(
        "{} can be set in {}{}",
        states.join(", "),
        count_with_noun(sound, "team"),
        timeout.unwrap_or_default()
    );
    if sound > 0 {
        session.group.ok("codes", detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::unavailable_codes::CodeRule;

    #[test]
    fn a_team_without_a_code_of_the_map_is_named_with_each_fault() {
        let rule =
            |team: Option<&str>, state, code| CodeRule { state, team: team.map(TeamName::new), reason: None, code };
        let map = CodeMap(vec![rule(None, AgentState::Paused, 12), rule(Some("Care"), AgentState::Idle, 13)]);
        let code = |code: i64| UnavailableCode {
            code,
            name: "Break".into(),
            is_active: true,
            is_after_contact_work: false,
            timeout: None,
        };
        let text = |team: &str, codes: &[UnavailableCode]| faults_text(&map, &TeamName::new(team), codes);
        assert_eq!(text("Care", &[code(12), code(13)]), None);
        assert_eq!(text("Care", &[code(12)]).as_deref(), Some("Idle = 13: the team does not have it"));
        assert_eq!(text("Sales", &[code(13)]).as_deref(), Some("Paused = 12: the team does not have it"));
        assert_eq!(missing_text(&map, &TeamName::new("Care")), None);
        let missing = missing_text(&map, &TeamName::new("Sales"));
        assert_eq!(missing.as_deref(), Some("Idle cannot be set: no code for this team"));
    }
}
