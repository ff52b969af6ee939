//! The list of agents' states: its version, its shape, its pages, what it shows of changes and of logged-out agents.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lists::Roster;
use super::session::{ListCheck, Session};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::AgentId;
use crate::domain::wording::count_with_noun;
use crate::platform::incontact::{PollTimePlace, ProbedAgent, PublishedList, StatesPage};

/// The check of the list of states.
const CHECK: ListCheck<'static> = ListCheck {
    id: "states",
    list: PublishedList::States,
    without: "agents are not observed, so nothing works",
    is_needed: true,
};

/// The states of all agents.
pub(super) struct AllStates {
    pub(super) first_page: StatesPage,
    pub(super) agents: Vec<ProbedAgent>,
    rows: usize,
    is_complete: bool,
}

/// Checks the list.
pub(super) async fn check(session: &mut Session<'_>, roster: Option<&Roster>) {
    let Some(all) = read_all(session).await else { return };
    report_shape(session, &all.first_page);
    report_pages(session, &all);
    check_changes(session, &all).await;
    report_logged_out(session, &all, roster);
}

/// Reads all pages of states. Reports if that is not possible.
pub(super) async fn read_all(session: &mut Session<'_>) -> Option<AllStates> {
    let platform = Arc::clone(&session.platform);
    let first_page = match session.call(platform.probe().states_page(None, 0)).await {
        Some(Ok(answer)) => answer.value,
        unread => {
            session.report_unread(CHECK, unread.and_then(Result::err)).await;
            return None;
        }
    };
    let mut all = AllStates { agents: first_page.agents.clone(), rows: first_page.rows, is_complete: true, first_page };
    while all.rows < all.first_page.total.unwrap_or(0) {
        match session.call(platform.probe().states_page(None, all.rows)).await {
            Some(Ok(answer)) if answer.value.rows > 0 => {
                all.rows += answer.value.rows;
                all.agents.extend(answer.value.agents);
            }
            Some(Ok(_) | Err(_)) | None => {
                all.is_complete = false;
                break;
            }
        }
    }
    Some(all)
}

fn report_shape(session: &mut Session<'_>, page: &StatesPage) {
    let version = session.version(PublishedList::States).to_owned();
    let wrapped = if page.is_wrapped { "in resultSet" } else { "not wrapped" };
    let shape = |time: &str| format!("v{version} answers; rows {wrapped}; lastPollTime {time}");
    match page.poll_time {
        PollTimePlace::Top => session.group.ok("states", shape("beside the rows")),
        PollTimePlace::Rows => session.group.ok("states", shape("in each row")),
        PollTimePlace::Missing => session.group.warning(
            "states",
            shape("missing"),
            "a later version may have it: try incontact.version; otherwise changes are asked for by the latest instant in the rows",
        ),
    }
}

fn report_pages(session: &mut Session<'_>, all: &AllStates) {
    let (asked, first) = (session.tenant.incontact.page_rows, all.first_page.rows);
    let Some(total) = all.first_page.total else {
        let detail = format!("{} received; the answer has no totalRecords", count_with_noun(first, "row"));
        return session.group.ok("pages", detail);
    };
    let detail = format!("{} of {total} received for a page of {asked}", count_with_noun(first, "row"));
    if !all.is_complete {
        let advice = "the list ended early, or the budget did: run this again in a minute";
        session.group.warning("pages", format!("{detail}; {} in all", all.rows), advice);
    } else if first < total.min(asked) {
        session.group.ok("pages", format!("{detail}: the platform's pages are smaller, and the next one follows on"));
    } else {
        session.group.ok("pages", detail);
    }
}

/// Reads the changes since the full read, which should be few.
async fn check_changes(session: &mut Session<'_>, all: &AllStates) {
    let Some(since) = all.first_page.polled_at.as_deref() else {
        return session.group.skipped("changes", "not read: the full read has no lastPollTime");
    };
    let platform = Arc::clone(&session.platform);
    match session.call(platform.probe().states_page(Some(since), 0)).await {
        Some(Ok(answer)) => {
            let changed = answer.value.total.unwrap_or(answer.value.rows);
            let detail = format!("{} of {} right after the full read", count_with_noun(changed, "row"), all.rows);
            // A small centre may be busy.
            if changed > 10 && changed * 2 > all.rows {
                let advice = "the platform seems to ignore updatedSince: try another incontact.version, or set incontact.full_read_every to subscription.interval";
                session.group.warning("changes", detail, advice);
            } else {
                session.group.ok("changes", detail);
            }
        }
        Some(Err(error)) => {
            let advice = "each poll then reads all agents: set incontact.full_read_every to subscription.interval";
            session.group.wrong("changes", error.to_string(), advice);
        }
        None => session.group.skipped("changes", "not read: the budget of this minute is used up"),
    }
}

fn report_logged_out(session: &mut Session<'_>, all: &AllStates, roster: Option<&Roster>) {
    let logged_out = all.agents.iter().filter(|agent| agent.state == Some(AgentState::LoggedOut)).count();
    if logged_out > 0 {
        let detail =
            format!("listed: {} of {} in the list of states", logged_out, count_with_noun(all.agents.len(), "agent"));
        return session.group.ok("logged out", detail);
    }
    let Some(roster) = roster.filter(|roster| roster.is_complete && all.is_complete) else {
        return session
            .group
            .skipped("logged out", "nobody in the list is logged out, and the list of agents is not complete");
    };
    let listed: BTreeSet<&AgentId> = all.agents.iter().map(|agent| &agent.id).collect();
    let absent = roster.agents.iter().filter(|agent| !listed.contains(agent)).count();
    if absent == 0 {
        session.group.skipped("logged out", "nobody is logged out now: run this again when somebody is");
    } else {
        let detail =
            format!("{} of {} not in the list of states", absent, count_with_noun(roster.agents.len(), "active agent"));
        let advice = "logged-out agents seem to be left out: their state becomes unknown instead of LoggedOut";
        session.group.warning("logged out", detail, advice);
    }
}
