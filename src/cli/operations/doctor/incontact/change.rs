//! Proves a state change with one test agent: sets a mapped state, waits until the platform shows it, and puts the agent
//! back. This is the only check that changes anything, and it is made only on request.

use std::sync::Arc;
use std::time::Duration;

use super::session::Session;
use super::states::read_all;
use crate::cli::shared::confirmation::require_typed;
use crate::config::Mode;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode};
use crate::domain::time::rough_duration_text;
use crate::platform::incontact::ProbedAgent;
use crate::platform::{Effect, Failure, Platform as _};

/// The time between two reads of the state.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How long a state is waited for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Asks for the consent of the person at the terminal.
pub(in crate::cli::operations::doctor) fn confirm(agent: &AgentId, is_agreed: bool) -> anyhow::Result<()> {
    if is_agreed {
        return Ok(());
    }
    let announcement = format!(
        "This sets the state of agent {agent} on the platform, waits up to a minute until it shows, and sets the former state \
         again. Type yes to continue:"
    );
    require_typed(announcement, "yes", "nothing was changed")
}

/// What a state is set to.
struct Target {
    state: AgentState,
    /// The unavailable code; `None` for Ready.
    code: Option<i64>,
}

/// Sets a state of the agent and then the former one.
pub(super) async fn prove(session: &mut Session<'_>, agent: &AgentId) {
    if session.tenant.mode == Mode::DryRun {
        let advice = format!("add --set tenants.{}.mode=live to send these two changes only", session.tenant.id);
        return session.group.wrong("set state", "not sent: the tenant's mode is dry_run", advice);
    }
    let Some(all) = read_all(session).await else { return };
    let Some(mut row) = all.agents.into_iter().find(|row| row.id == *agent) else {
        let detail = format!("not sent: agent {agent} is not in the list of states");
        return session.group.wrong("set state", detail, "name an agent whom the key's owner may see");
    };
    let (former, target) = match targets(session, &row) {
        Ok(targets) => targets,
        Err(why) => {
            return session.group.wrong(
                "set state",
                format!("not sent: {why}"),
                "log the test agent in and set it to Available",
            );
        }
    };
    let since = all.first_page.polled_at;
    let since = since.as_deref();
    if set(session, "set state", &target, &mut row, since).await {
        set(session, "set back", &former, &mut row, since).await;
    }
}

/// Returns the present state, to which the agent can be put back, and another one that can be set.
fn targets(session: &Session<'_>, row: &ProbedAgent) -> Result<(Target, Target), String> {
    let agent = &row.id;
    let state = row.state.clone().ok_or("the agent's state cannot be read")?;
    let describe = || format!("agent {agent} is {state}");
    let code_of = |state: &AgentState| session.platform.probe().code_for(agent, state);
    let former = match &state {
        AgentState::Ready => Target { state: AgentState::Ready, code: None },
        AgentState::NotReady | AgentState::Paused | AgentState::Idle => {
            if row.code.is_none() || code_of(&state) != row.code {
                return Err(format!("{} with a code that is not in the map, so it could not be set again", describe()));
            }
            Target { state: state.clone(), code: row.code }
        }
        _ => return Err(describe()),
    };
    let candidates = [AgentState::Paused, AgentState::NotReady, AgentState::Idle, AgentState::Ready];
    let is_settable = |state: &AgentState| session.platform.check_settable(agent, state, &ReasonCode::new("")).is_ok();
    let other = candidates.into_iter().find(|candidate| *candidate != state && is_settable(candidate));
    let other =
        other.ok_or_else(|| format!("no state can be set for the team of agent {agent}: set incontact.codes"))?;
    let code = code_of(&other).filter(|_| other != AgentState::Ready);
    Ok((former, Target { state: other, code }))
}

/// Requests a state and waits until the platform shows it. `row` is the agent as last shown, and `since` is the instant of
/// an earlier read. Returns whether the request may have had an effect.
async fn set(session: &mut Session<'_>, id: &str, target: &Target, row: &mut ProbedAgent, since: Option<&str>) -> bool {
    let agent = row.id.clone();
    let platform = Arc::clone(&session.platform);
    let code = target.code.map(|code| format!(" (code {code})")).unwrap_or_default();
    let wanted = format!("{}{code}", target.state);
    let reason = ReasonCode::new("");
    let begun = session.clock.monotonic();
    let accepted = match session.call(platform.set_state(&agent, &target.state, &reason)).await {
        Some(Ok(answer)) => format!("accepted within {} ms", answer.latency.as_millis()),
        Some(Err(error)) => {
            let advice = refusal_advice(&error.failure);
            session.group.wrong(id, format!("{wanted}: {error}"), advice);
            return error.failure.effect() == Effect::Unknown;
        }
        None => {
            let advice = if id == "set back" { "set the agent back in CXone" } else { "run this again in a minute" };
            session.group.wrong(id, format!("{wanted}: not sent: the budget of this minute is used up"), advice);
            return false;
        }
    };
    loop {
        let page = session.call(platform.probe().states_page(since, 0)).await;
        let elapsed = session.clock.monotonic().saturating_sub(begun);
        // An agent who is not in the answer has not changed.
        let changed = page.as_ref().and_then(|page| page.as_ref().ok());
        if let Some(shown) = changed.and_then(|answer| answer.value.agents.iter().find(|shown| shown.id == agent)) {
            *row = shown.clone();
        }
        let took = rough_duration_text(elapsed);
        if row.state.as_ref() == Some(&target.state) && (target.code.is_none() || row.code == target.code) {
            session.group.ok(id, format!("{accepted}; the platform shows {} after {took}", describe(row)));
            return true;
        }
        if elapsed >= MAX_WAIT || page.is_none() {
            let detail = format!("{wanted}: {accepted}, but after {took} the platform shows {}", describe(row));
            let advice = "during a contact, the platform sets the state after it; otherwise compare with CXone, and set the agent back there if needed";
            session.group.wrong(id, detail, advice);
            return true;
        }
        session.clock.sleep(POLL_INTERVAL).await;
    }
}

fn describe(row: &ProbedAgent) -> String {
    let state = row.state.as_ref().map_or_else(|| "a state without a name".to_owned(), ToString::to_string);
    let name = row.code_name.as_deref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let code = row.code.map(|code| format!(" with code {code}{name}")).unwrap_or_default();
    let since = row.since.map(|since| format!(" since {since}")).unwrap_or_default();
    format!("{state}{code}{since}")
}

fn refusal_advice(failure: &Failure) -> &'static str {
    match failure {
        Failure::NotFound => "the agent is not logged in, or there is no such agent",
        Failure::Forbidden { .. } => "give the role of the key's owner the right to change agents' states",
        Failure::Rejected { status: 409, .. } => {
            "the code is for after-contact work: choose another one in incontact.codes"
        }
        Failure::Rejected { .. } => "the platform does not take the code or the request: check incontact.codes",
        Failure::Unsupported { .. } => "set incontact.codes for the agent's team",
        _ => "see what the platform says, and look at the agent's state in CXone",
    }
}
