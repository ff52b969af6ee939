//! A tenant's platform: token, scopes, one read of each question, the budget, the clock.
//!
//! A running daemon asks itself, so that its budget counts the calls. Without one they are made from here, when the store's log of
//! calls leaves room for them; nothing is written, so a daemon that starts within a minute does not know of them.

use std::time::Duration;

use reqwest::Method;

use super::Desk;
use super::daemon::Running;
use crate::app::{clock_of, platform_of};
use crate::cli::shared::daemon::Ask;
use crate::cli::shared::finding::{Finding, Group};
use crate::clock::{Moment, SharedClock};
use crate::config::{Right, Tenant};
use crate::domain::ids::AgentId;
use crate::domain::words::count;
use crate::engine::platform::calls::Purse;
use crate::engine::platform::probe::{ProbeReport, Probed, Question, offset_millis};
use crate::platform::{ClockOffset, Detail, Platform, SubscriptionRequest};
use crate::store::{CallWrite, Reader};

/// The window of the budget.
const WINDOW: Duration = Duration::from_secs(60);
/// Calls that are made from here at most.
const CALLS: usize = 3;
/// The daemon converts instants whatever the clocks say; beyond this one of them is not kept in time.
const CLOCK_OFF_MS: u64 = 5_000;
/// Beyond this certificates and tokens fail.
const CLOCK_FAR_OFF_MS: u64 = 300_000;

/// How the platform can be asked.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) daemon: Option<&'a Running>,
    pub(super) reader: Option<&'a Reader>,
}

/// Asks one tenant's platform.
pub(super) async fn look(desk: &Desk, tenant: &Tenant, way: Way<'_>) -> Vec<Finding> {
    let mut group = Group::new(format!("platform {}", tenant.id));
    if desk.offline {
        group.skipped("questions", "not asked: --offline");
        return group.done();
    }
    let Some(agent) = agent_of(tenant, way.reader).await else {
        group.skipped("questions", "there is no agent to ask about: name one in `agents`, or import shifts");
        return group.done();
    };
    let report = match way.daemon {
        Some(running) => {
            sight(&mut group, tenant, running);
            through(desk, tenant, running, &agent, &mut group).await
        }
        None => directly(desk, tenant, way.reader, &agent, &mut group).await,
    };
    if let Some(report) = report {
        tell(&mut group, tenant, &agent, &report, way.daemon.is_some());
    }
    group.done()
}

async fn agent_of(tenant: &Tenant, reader: Option<&Reader>) -> Option<AgentId> {
    if let Some(first) = tenant.agents.first() {
        return Some(first.clone());
    }
    let stored = reader?.agents(&tenant.id).await.ok()?;
    stored.into_iter().find(|stored| stored.imported).map(|stored| stored.agent.id)
}

/// The daemon's own snapshots show better than one more subscription whether they can be read.
fn sight(group: &mut Group, tenant: &Tenant, running: &Running) {
    let begins = format!("tenant {}: subscription ", tenant.id);
    let parts = running.readiness["parts"].as_array().map_or(&[][..], Vec::as_slice);
    let ours = parts.iter().filter(|part| part["name"].as_str().is_some_and(|name| name.starts_with(&begins)));
    let (good, bad): (Vec<_>, Vec<_>) = ours.partition(|part| part["ready"] == true);
    match bad.first() {
        Some(part) => {
            let detail = part["detail"].as_str().unwrap_or_default();
            group.wrong("subscription", detail, "see what the platform says; the daemon goes on trying");
        }
        None if good.is_empty() => group.skipped("subscription", "the daemon has read no snapshot yet"),
        None => {
            group
                .ok("subscription", format!("the daemon reads the snapshots of {}", count(good.len(), "subscription")));
        }
    }
}

async fn through(
    desk: &Desk,
    tenant: &Tenant,
    running: &Running,
    agent: &AgentId,
    group: &mut Group,
) -> Option<ProbeReport> {
    let query = [("tenant", tenant.id.as_str()), ("agent", agent.as_str())];
    let ask = Ask {
        method: Method::POST,
        path: "/api/v1/platform-checks",
        right: Right::Change,
        tenant: Some(&tenant.id),
        query: &query,
    };
    let answer = running.daemon.ask(&desk.config, ask, |request| request).await;
    match answer.map(serde_json::from_value) {
        Ok(Ok(report)) => Some(report),
        Ok(Err(error)) => {
            group.wrong(
                "questions",
                format!("the daemon's answer makes no sense: {error}"),
                "use one version for both",
            );
            None
        }
        Err(error) => {
            group.skipped("questions", format!("not asked: {error}"));
            None
        }
    }
}

async fn directly(
    desk: &Desk,
    tenant: &Tenant,
    reader: Option<&Reader>,
    agent: &AgentId,
    group: &mut Group,
) -> Option<ProbeReport> {
    if !desk.secrets {
        group.skipped("questions", "not asked: no daemon runs, and the secrets are not at hand here");
        return None;
    }
    let clock = clock_of(&desk.config).await;
    let free = free_slots(tenant, reader, &clock, Purse::Ordinary).await;
    if free < CALLS {
        group.skipped("questions", "not asked: the budget of this minute is used up; try again in a minute");
        return None;
    }
    let platform = match platform_of(tenant, clock.clone()) {
        Ok(platform) => platform,
        Err(error) => {
            group.wrong("questions", format!("{:#}", anyhow::Error::from(error)), "mend it");
            return None;
        }
    };
    let (mut questions, mut offset) = (Vec::new(), ClockOffset::default());
    for question in Question::ALL {
        let result = question.ask(&*platform, agent).await;
        if let Ok(answer) = &result {
            offset.observe(answer);
        }
        questions.push(Probed::of(question.name(), &result));
        // The others would only be refused the same token.
        if has_no_token(questions.last().map_or("", |probed| &probed.outcome)) {
            break;
        }
    }
    if questions.len() == Question::ALL.len() {
        questions.push(subscription(&*platform, tenant, reader, agent, &clock).await);
    }
    // A clock of the store's own time has nothing to do with the platform's.
    let known = if desk.config.clock.is_simulated() { ClockOffset::default() } else { offset };
    let (clock_offset_ms, clock_uncertainty_ms) = offset_millis(&known);
    let spent = questions.len();
    Some(ProbeReport { questions, budget_free: free.saturating_sub(spent), clock_offset_ms, clock_uncertainty_ms })
}

/// By the store's log of calls, as a daemon that starts now would count them.
pub(super) async fn free_slots(tenant: &Tenant, reader: Option<&Reader>, clock: &SharedClock, purse: Purse) -> usize {
    let limit = match purse {
        Purse::Ordinary => tenant.requests_per_minute as usize,
        Purse::Reporting => tenant.figures.requests_per_minute as usize,
    };
    let Some(reader) = reader else { return limit };
    let (now, longest) = (clock.now(), clock.span_of_real(tenant.request_timeout));
    let Ok(calls) = reader.recent_calls(&tenant.id, now - (WINDOW + longest)).await else { return 0 };
    let counts = |call: &&CallWrite| {
        Purse::of(&call.kind) == purse && call.answered_at.is_none_or(|answered_at| now.since(answered_at) < WINDOW)
    };
    limit.saturating_sub(calls.iter().filter(counts).count())
}

/// The daemon's own one, which costs no slot, where it still lives; else a new one of one agent, which ends by itself.
async fn subscription(
    platform: &dyn Platform,
    tenant: &Tenant,
    reader: Option<&Reader>,
    agent: &AgentId,
    clock: &SharedClock,
) -> Probed {
    let life = platform.capabilities().subscription_life;
    let stored = match reader {
        Some(reader) => reader.subscriptions(&tenant.id).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let now = Moment::now(&**clock);
    if let Some(row) = stored.iter().find(|row| row.created.age_at(now).is_some_and(|age| age < life)) {
        let result = platform.snapshot(&row.id).await;
        // It may have ended before its time; the daemon makes a new one.
        if result.as_ref().err().is_none_or(|error| error.failure.class() != "not_found") {
            return Probed::of("subscription", &result);
        }
    }
    let agents = [agent.clone()];
    let wanted = SubscriptionRequest {
        name: "shiftkeeper doctor",
        interval: tenant.subscription.interval,
        agents: &agents,
        detail: Detail::Needed,
    };
    let made = platform.subscribe(wanted).await;
    let mut probed = Probed::of("subscription", &made);
    if made.is_ok() {
        probed.detail.push_str("; it was made for this and ends by itself within a day");
    }
    probed
}

fn has_no_token(outcome: &str) -> bool {
    matches!(outcome, "token_refused" | "token_unavailable" | "circuit_open" | "unauthorized")
}

fn tell(group: &mut Group, tenant: &Tenant, agent: &AgentId, report: &ProbeReport, of_daemon: bool) {
    token(group, &report.questions, of_daemon);
    for probed in report.questions.iter().filter(|probed| !has_no_token(&probed.outcome)) {
        question(group, agent, probed);
    }
    group.skipped("scope users:state:write", "not tried: it would change an agent's state");
    let limit = tenant.requests_per_minute;
    let free = format!("{} of {limit} free in this minute", count(report.budget_free, "slot"));
    if report.budget_free == 0 {
        group.warning(
            "budget",
            free,
            "automation waits for slots; `shiftkeeper report compliance` shows what spends them",
        );
    } else {
        group.ok("budget", free);
    }
    clock_offset(group, report);
}

/// A daemon asks with its own credentials, which says nothing of those that are at hand here.
fn token(group: &mut Group, questions: &[Probed], of_daemon: bool) {
    let refused = questions.iter().find(|probed| has_no_token(&probed.outcome));
    let tried = questions.iter().any(|probed| !matches!(&*probed.outcome, "no_slot" | "not_sent"));
    match refused {
        Some(refused) => group.wrong(
            "token",
            &refused.detail,
            "check base_url, token, client_id and client_secret of the tenant with the platform's administrator",
        ),
        None if tried && of_daemon => {
            group.ok("token", "the platform takes the running daemon's; a secret that is at hand here is not tried");
        }
        None if tried => group.ok("token", "the platform takes it"),
        None => group.skipped("token", "not tried: nothing was asked, or nothing answers"),
    }
}

fn question(group: &mut Group, agent: &AgentId, probed: &Probed) {
    let (id, detail) = (probed.question.as_str(), probed.detail.as_str());
    match &*probed.outcome {
        "ok" => group.ok(id, detail),
        "no_slot" => group.skipped(id, detail),
        "not_found" => {
            let advice =
                format!("is {agent} an agent of this tenant? Take it out of `agents` or of the schedule if not");
            group.warning(id, detail, advice);
        }
        "throttled" => group.warning(id, detail, "lower requests_per_minute if another client shares the tenant"),
        "forbidden" => {
            group.wrong(id, detail, "give the client that scope, and ask for it in token.scope if it is set");
        }
        _ => group.wrong(id, detail, "see what stands between this host and base_url; the platform may be down"),
    }
}

fn clock_offset(group: &mut Group, report: &ProbeReport) {
    let Some(offset) = report.clock_offset_ms else {
        group.skipped("clock", "the platform told no time that could be compared");
        return;
    };
    let way = if offset < 0 { "behind" } else { "ahead of" };
    let apart = offset.unsigned_abs();
    let detail = format!("the platform's is {apart} ms {way} ours, give or take {} ms", report.clock_uncertainty_ms);
    let least = offset.unsigned_abs().saturating_sub(report.clock_uncertainty_ms);
    let advice = "keep this host's clock in time (NTP)";
    if least > CLOCK_FAR_OFF_MS {
        group.wrong("clock", detail, advice);
    } else if least > CLOCK_OFF_MS {
        group.warning("clock", detail, advice);
    } else {
        group.ok("clock", detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shared::finding::Status;

    fn found(outcomes: &[&str], offset: Option<i64>) -> Vec<(String, Status)> {
        let mut group = Group::new("platform");
        let probed =
            |outcome: &&str| Probed { question: "break".into(), outcome: (*outcome).into(), detail: "said".into() };
        let questions: Vec<_> = outcomes.iter().map(probed).collect();
        let report = ProbeReport { questions, budget_free: 1, clock_offset_ms: offset, clock_uncertainty_ms: 500 };
        token(&mut group, &report.questions, false);
        for probed in report.questions.iter().filter(|probed| !has_no_token(&probed.outcome)) {
            question(&mut group, &"u_1".into(), probed);
        }
        clock_offset(&mut group, &report);
        group.done().into_iter().map(|finding| (finding.id, finding.status)).collect()
    }

    #[test]
    fn each_outcome_is_told_as_what_it_means() {
        for (outcome, token, question) in [
            ("ok", Status::Ok, Some(Status::Ok)),
            ("forbidden", Status::Ok, Some(Status::Wrong)),
            ("not_found", Status::Ok, Some(Status::Warning)),
            ("throttled", Status::Ok, Some(Status::Warning)),
            ("server", Status::Ok, Some(Status::Wrong)),
            ("no_slot", Status::Skipped, Some(Status::Skipped)),
            ("not_sent", Status::Skipped, Some(Status::Wrong)),
            ("token_refused", Status::Wrong, None),
            ("unauthorized", Status::Wrong, None),
        ] {
            let seen = found(&[outcome], None);
            assert_eq!(seen[0], ("token".to_owned(), token), "{outcome}");
            let asked = seen.iter().find(|(id, _)| id == "break").map(|(_, status)| *status);
            assert_eq!(asked, question, "{outcome}");
        }
    }

    #[test]
    fn a_token_of_the_daemon_is_not_said_to_be_the_one_that_is_at_hand_here() {
        let probed = [Probed { question: "break".into(), outcome: "ok".into(), detail: "said".into() }];
        let said = |of_daemon| {
            let mut group = Group::new("platform");
            token(&mut group, &probed, of_daemon);
            group.done().remove(0).detail
        };
        assert_eq!(said(false), "the platform takes it");
        assert!(said(true).contains("the running daemon's") && said(true).contains("not tried"), "{}", said(true));
    }

    #[test]
    fn a_clock_is_wrong_only_by_what_is_certain() {
        for (offset, status) in [
            (Some(0), Status::Ok),
            (Some(-5_400), Status::Ok),
            (Some(5_600), Status::Warning),
            (Some(-301_000), Status::Wrong),
            (None, Status::Skipped),
        ] {
            assert_eq!(found(&["ok"], offset).pop(), Some(("clock".to_owned(), status)), "{offset:?}");
        }
    }
}
