//! The lists of agents and skills, and the export of schedules: whether they may be read, in which version.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::session::{ListCheck, Session};
use crate::domain::ids::AgentId;
use crate::domain::wording::count_with_noun;
use crate::platform::incontact::PublishedList;
use crate::platform::{Failure, Platform as _};

/// The active agents whom the platform lists.
pub(super) struct Roster {
    pub(super) agents: BTreeSet<AgentId>,
    /// The user account of one of them.
    pub(super) user_id: Option<Arc<str>>,
    /// Whether all pages were read.
    pub(super) is_complete: bool,
}

/// Reads the list of agents.
pub(super) async fn check_agents(session: &mut Session<'_>) -> Option<Roster> {
    let check = ListCheck {
        id: "agents",
        list: PublishedList::Agents,
        without: "no agent joins the roster by itself; list them in `agents`, or import a schedule",
        is_needed: false,
    };
    let platform = Arc::clone(&session.platform);
    let (mut skip, mut received, mut hidden) = (Some(0), 0, 0);
    let mut roster = Roster { agents: BTreeSet::new(), user_id: None, is_complete: true };
    while let Some(skipped) = skip {
        match session.call(platform.listed_agents(None, skipped)).await {
            Some(Ok(answer)) => {
                let page = answer.value;
                (received, hidden, skip) = (received + page.received, page.hidden, page.next(skipped));
                for agent in page.rows.into_iter().filter(|agent| agent.is_active) {
                    roster.user_id = roster.user_id.take().or(agent.user_id);
                    roster.agents.insert(agent.id);
                }
            }
            None if skipped > 0 => {
                roster.is_complete = false;
                break;
            }
            unread => {
                session.report_unread(check, unread.and_then(Result::err)).await;
                return None;
            }
        }
    }
    let active = count_with_noun(roster.agents.len(), "active agent");
    session
        .group
        .ok("agents", format!("v{} answers: {active} of {received} listed", session.version(PublishedList::Agents)));
    if hidden > 0 {
        let detail = format!("the platform hides {} from the key's owner", count_with_noun(hidden, "agent"));
        session.group.warning("hidden agents", detail, "widen the view of the key's owner in CXone if they are needed");
    } else {
        session.group.ok("hidden agents", "none");
    }
    Some(roster)
}

/// Reads the activity of skills.
pub(super) async fn check_skills(session: &mut Session<'_>) {
    let check = ListCheck {
        id: "skills",
        list: PublishedList::Skills,
        without: "there are no figures of skills and queues",
        is_needed: false,
    };
    let platform = Arc::clone(&session.platform);
    match session.call(platform.queues()).await {
        Some(Ok(answer)) => {
            let skills = count_with_noun(answer.value.len(), "active skill");
            session.group.ok("skills", format!("v{} answers: {skills}", session.version(PublishedList::Skills)));
        }
        unread => session.report_unread(check, unread.and_then(Result::err)).await,
    }
}

/// Exports today's schedule of one agent.
pub(super) async fn check_schedules(session: &mut Session<'_>, roster: Option<&Roster>) {
    let Some(user_id) = roster.and_then(|roster| roster.user_id.clone()) else {
        return session.group.skipped("schedules", "not tried: no listed agent has a user id");
    };
    let now = Timestamp::from_microsecond(session.clock.now().as_micros()).unwrap_or(Timestamp::UNIX_EPOCH);
    let today = now.to_zoned(TimeZone::UTC).date();
    let platform = Arc::clone(&session.platform);
    match session.call(platform.exported_schedule(&user_id, (today, today.saturating_add(1.day())))).await {
        Some(Ok(answer)) => {
            let shifts = count_with_noun(answer.value.len(), "shift");
            session
                .group
                .ok("schedules", format!("the user hub exports them: {shifts} of one agent today and tomorrow"));
        }
        Some(Err(error)) => {
            let advice = match error.failure {
                Failure::Forbidden { .. } => {
                    "give the key's owner the right WFM > Scheduling > Schedule Manager > View"
                }
                Failure::NotFound => "check incontact.user_hub_url: some tenants export schedules at the API's origin",
                _ => "see what the platform says",
            };
            let detail = format!("{error}; without it: schedules are only imported from files");
            session.group.warning("schedules", detail, advice);
        }
        None => session.group.skipped("schedules", "not tried: the budget of this minute is used up"),
    }
}
