//! A tenant's platform: token, scopes, one read of each kind, the budget and the clock.
//!
//! A running daemon makes the calls itself, so that its budget counts them. Otherwise they are made from here, if the
//! call log in the store leaves room. Nothing is written, so a daemon that starts within a minute does not know of
//! them.

use std::time::Duration;

use reqwest::Method;

use super::context::{CheckContext, RunningDaemon, parts_of};
use crate::app::{clock_for, platform_for};
use crate::cli::shared::daemon::DaemonRequest;
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::clock::{ClockReading, SharedClock};
use crate::config::{Right, Tenant};
use crate::domain::ids::AgentId;
use crate::domain::wording::count_with_noun;
use crate::engine::platform::link::BudgetKind;
use crate::engine::platform::probe::{ProbeReport, ProbeResult, Question, offset_millis};
use crate::platform::{ClockOffset, Detail, Platform, SubscriptionRequest};
use crate::store::{CallWrite, Reader};

/// The window of the budget.
const BUDGET_WINDOW: Duration = Duration::from_secs(60);
/// The most calls made from here.
const MAX_CALLS: usize = 3;
/// The clock difference that gets a warning, in milliseconds. The daemon converts instants anyway, but one of the
/// clocks is not synchronized.
const CLOCK_WARNING_MS: u64 = 5_000;
/// The clock difference beyond which certificates and tokens fail, in milliseconds.
const CLOCK_ERROR_MS: u64 = 300_000;

/// Checks one tenant's platform.
pub(super) async fn check(context: &CheckContext, tenant: &Tenant) -> Vec<Finding> {
    let mut group = FindingGroup::new(format!("platform {}", tenant.id));
    if context.offline {
        group.skipped("questions", "not asked: --offline");
        return group.into_findings();
    }
    let Some(agent) = probe_agent(tenant, context.reader.as_ref()).await else {
        group.skipped("questions", "there is no agent to ask about: name one in `agents`, or import shifts");
        return group.into_findings();
    };
    let report = match &context.daemon {
        Some(running) => {
            check_subscriptions(&mut group, tenant, running);
            probe_through_daemon(context, tenant, running, &agent, &mut group).await
        }
        None => probe_directly(context, tenant, &agent, &mut group).await,
    };
    if let Some(report) = report {
        report_probe(&mut group, tenant, &agent, &report, context.daemon.is_some());
    }
    group.into_findings()
}

async fn probe_agent(tenant: &Tenant, reader: Option<&Reader>) -> Option<AgentId> {
    if let Some(first) = tenant.agents.first() {
        return Some(first.clone());
    }
    let stored = reader?.agents(&tenant.id).await.ok()?;
    stored.into_iter().find(|stored| stored.imported).map(|stored| stored.agent.id)
}

/// Checks that snapshots can be read by the daemon's own, which show it better than one more subscription.
pub(super) fn check_subscriptions(group: &mut FindingGroup, tenant: &Tenant, running: &RunningDaemon) {
    let begins = format!("tenant {}: subscription ", tenant.id);
    let ours = parts_of(&running.readiness)
        .iter()
        .filter(|part| part["name"].as_str().is_some_and(|name| name.starts_with(&begins)));
    let (good, bad): (Vec<_>, Vec<_>) = ours.partition(|part| part["ready"] == true);
    match bad.first() {
        Some(part) => {
            let detail = part["detail"].as_str().unwrap_or_default();
            group.wrong("subscription", detail, "read the platform's message; the daemon keeps trying");
        }
        None if good.is_empty() => group.skipped("subscription", "the daemon has read no snapshot yet"),
        None => {
            group.ok(
                "subscription",
                format!("the daemon reads the snapshots of {}", count_with_noun(good.len(), "subscription")),
            );
        }
    }
}

async fn probe_through_daemon(
    context: &CheckContext,
    tenant: &Tenant,
    running: &RunningDaemon,
    agent: &AgentId,
    group: &mut FindingGroup,
) -> Option<ProbeReport> {
    let query = [("tenant", tenant.id.as_str()), ("agent", agent.as_str())];
    let request = DaemonRequest {
        method: Method::POST,
        path: "/api/v1/platform-checks",
        right: Right::Change,
        tenant: Some(&tenant.id),
        query: &query,
    };
    let answer = running.client.call(&context.config, request, |request| request).await;
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

async fn probe_directly(
    context: &CheckContext,
    tenant: &Tenant,
    agent: &AgentId,
    group: &mut FindingGroup,
) -> Option<ProbeReport> {
    if !context.has_secrets {
        group.skipped("questions", "not asked: no daemon runs, and the secrets are not available here");
        return None;
    }
    let (reader, clock) = (context.reader.as_ref(), clock_for(&context.config).await);
    let free = free_slots(tenant, reader, &clock, BudgetKind::Ordinary).await;
    if free < MAX_CALLS {
        group.skipped("questions", "not asked: the budget of this minute is used up; try again in a minute");
        return None;
    }
    let platform = match platform_for(tenant, clock.clone()) {
        Ok(platform) => platform,
        Err(error) => {
            group.wrong("questions", format!("{:#}", anyhow::Error::from(error)), "mend it");
            return None;
        }
    };
    let (mut questions, mut offset) = (Vec::new(), ClockOffset::default());
    for question in Question::ALL {
        let result = question.send(&*platform, agent).await;
        if let Ok(answer) = &result {
            offset.observe(answer);
        }
        questions.push(ProbeResult::of(question.name(), &result));
        // The other calls would be refused for the same token.
        if has_no_token(questions.last().map_or("", |probed| &probed.outcome)) {
            break;
        }
    }
    if questions.len() == Question::ALL.len() {
        questions.push(probe_subscription(&*platform, tenant, reader, agent, &clock).await);
    }
    // A clock of simulated time has no relation to the platform's.
    let known = if context.config.clock.is_simulated() { ClockOffset::default() } else { offset };
    let (clock_offset_ms, clock_uncertainty_ms) = offset_millis(&known);
    let spent = questions.len();
    Some(ProbeReport { questions, budget_free: free.saturating_sub(spent), clock_offset_ms, clock_uncertainty_ms })
}

/// Returns the free calls of the budget by the call log in the store, as a daemon that starts now would count them.
pub(super) async fn free_slots(
    tenant: &Tenant,
    reader: Option<&Reader>,
    clock: &SharedClock,
    budget_kind: BudgetKind,
) -> usize {
    let limit = match budget_kind {
        BudgetKind::Ordinary => tenant.requests_per_minute as usize,
        BudgetKind::Reporting => tenant.figures.requests_per_minute as usize,
    };
    let Some(reader) = reader else { return limit };
    let (now, longest) = (clock.now(), clock.scale_real(tenant.request_timeout));
    let Ok(calls) = reader.recent_calls(&tenant.id, now - (BUDGET_WINDOW + longest)).await else { return 0 };
    let counts = |call: &&CallWrite| {
        BudgetKind::of(&call.kind) == budget_kind
            && call.answered_at.is_none_or(|answered_at| now.since(answered_at) < BUDGET_WINDOW)
    };
    limit.saturating_sub(calls.iter().filter(counts).count())
}

/// Polls the daemon's own subscription if it is still valid, which needs no new one; or else creates one for one
/// agent, which expires by itself.
async fn probe_subscription(
    platform: &dyn Platform,
    tenant: &Tenant,
    reader: Option<&Reader>,
    agent: &AgentId,
    clock: &SharedClock,
) -> ProbeResult {
    let life = platform.capabilities().subscription_lifetime;
    let stored = match reader {
        Some(reader) => reader.subscriptions(&tenant.id).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let now = ClockReading::now(&**clock);
    if let Some(row) =
        stored.iter().find(|row| row.created.age_at(now).is_some_and(|age| life.is_some_and(|life| age < life)))
    {
        let result = platform.snapshot(&row.id).await;
        // The subscription may have ended early; the daemon makes a new one.
        if result.as_ref().err().is_none_or(|error| error.failure.class() != "not_found") {
            return ProbeResult::of("subscription", &result);
        }
    }
    let agents = [agent.clone()];
    let request = SubscriptionRequest {
        name: "shiftkeeper doctor",
        interval: tenant.subscription.interval,
        agents: &agents,
        detail: Detail::Needed,
    };
    let result = platform.subscribe(request).await;
    let mut probed = ProbeResult::of("subscription", &result);
    if result.is_ok() {
        probed.detail.push_str("; it was made for this and ends by itself within a day");
    }
    probed
}

fn has_no_token(outcome: &str) -> bool {
    matches!(outcome, "token_refused" | "token_unavailable" | "circuit_open" | "unauthorized")
}

fn report_probe(group: &mut FindingGroup, tenant: &Tenant, agent: &AgentId, report: &ProbeReport, of_daemon: bool) {
    report_token(group, &report.questions, of_daemon);
    for probed in report.questions.iter().filter(|probed| !has_no_token(&probed.outcome)) {
        report_question(group, agent, probed);
    }
    group.skipped("scope users:state:write", "not tried: it would change an agent's state");
    let limit = tenant.requests_per_minute;
    let free = format!("{} of {limit} free in this minute", count_with_noun(report.budget_free, "slot"));
    if report.budget_free == 0 {
        group.warning(
            "budget",
            free,
            "automation waits for slots; `shiftkeeper report compliance` shows what spends them",
        );
    } else {
        group.ok("budget", free);
    }
    report_clock_offset(group, report.clock_offset_ms, report.clock_uncertainty_ms);
}

/// Reports on the token. A daemon uses its own credentials, which says nothing about those of this command.
fn report_token(group: &mut FindingGroup, questions: &[ProbeResult], of_daemon: bool) {
    let refused = questions.iter().find(|probed| has_no_token(&probed.outcome));
    let tried = questions.iter().any(|probed| !matches!(&*probed.outcome, "no_slot" | "not_sent" | "unsupported"));
    match refused {
        Some(refused) => group.wrong(
            "token",
            &refused.detail,
            "check base_url, token, client_id and client_secret of the tenant with the platform's administrator",
        ),
        None if tried && of_daemon => {
            group.ok("token", "the platform accepts the running daemon's secret; a secret available here is not tried");
        }
        None if tried => group.ok("token", "the platform takes it"),
        None => group.skipped("token", "not tried: nothing was asked, or nothing answers"),
    }
}

fn report_question(group: &mut FindingGroup, agent: &AgentId, probed: &ProbeResult) {
    let (id, detail) = (probed.question.as_str(), probed.detail.as_str());
    match &*probed.outcome {
        "ok" => group.ok(id, detail),
        // A dialect without the call needs nothing to be mended.
        "no_slot" | "unsupported" => group.skipped(id, detail),
        "not_found" => {
            let advice =
                format!("is {agent} an agent of this tenant? Take it out of `agents` or of the schedule if not");
            group.warning(id, detail, advice);
        }
        "throttled" => group.warning(id, detail, "lower requests_per_minute if another client shares the tenant"),
        "forbidden" => {
            group.wrong(id, detail, "give the client that scope, and ask for it in token.scope if it is set");
        }
        _ => group.wrong(id, detail, "check the network between this host and base_url; the platform may be down"),
    }
}

/// Reports the platform's clock − ours, in milliseconds, `None` if unknown, and its uncertainty in milliseconds.
pub(super) fn report_clock_offset(group: &mut FindingGroup, offset_ms: Option<i64>, uncertainty_ms: u64) {
    let Some(offset) = offset_ms else {
        group.skipped("clock", "the platform told no time that could be compared");
        return;
    };
    let way = if offset < 0 { "behind" } else { "ahead of" };
    let apart = offset.unsigned_abs();
    let detail = format!("the platform's is {apart} ms {way} ours, give or take {uncertainty_ms} ms");
    let least = offset.unsigned_abs().saturating_sub(uncertainty_ms);
    let advice = "keep this host's clock in time (NTP)";
    if least > CLOCK_ERROR_MS {
        group.wrong("clock", detail, advice);
    } else if least > CLOCK_WARNING_MS {
        group.warning("clock", detail, advice);
    } else {
        group.ok("clock", detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::shared::finding::Status;

    fn findings_for(outcomes: &[&str], offset: Option<i64>) -> Vec<(String, Status)> {
        let mut group = FindingGroup::new("platform");
        let probed = |outcome: &&str| ProbeResult {
            question: "break".into(),
            outcome: (*outcome).into(),
            detail: "said".into(),
        };
        let questions: Vec<_> = outcomes.iter().map(probed).collect();
        let report = ProbeReport { questions, budget_free: 1, clock_offset_ms: offset, clock_uncertainty_ms: 500 };
        report_token(&mut group, &report.questions, false);
        for probed in report.questions.iter().filter(|probed| !has_no_token(&probed.outcome)) {
            report_question(&mut group, &"u_1".into(), probed);
        }
        report_clock_offset(&mut group, report.clock_offset_ms, report.clock_uncertainty_ms);
        group.into_findings().into_iter().map(|finding| (finding.id, finding.status)).collect()
    }

    #[test]
    fn each_outcome_is_reported_with_its_meaning() {
        for (outcome, token, question) in [
            ("ok", Status::Ok, Some(Status::Ok)),
            ("forbidden", Status::Ok, Some(Status::Wrong)),
            ("not_found", Status::Ok, Some(Status::Warning)),
            ("throttled", Status::Ok, Some(Status::Warning)),
            ("server", Status::Ok, Some(Status::Wrong)),
            ("no_slot", Status::Skipped, Some(Status::Skipped)),
            ("unsupported", Status::Skipped, Some(Status::Skipped)),
            ("not_sent", Status::Skipped, Some(Status::Wrong)),
            ("token_refused", Status::Wrong, None),
            ("unauthorized", Status::Wrong, None),
        ] {
            let findings = findings_for(&[outcome], None);
            assert_eq!(findings[0], ("token".to_owned(), token), "{outcome}");
            let question_status = findings.iter().find(|(id, _)| id == "break").map(|(_, status)| *status);
            assert_eq!(question_status, question, "{outcome}");
        }
    }

    #[test]
    fn a_token_of_the_daemon_is_not_said_to_be_the_one_that_is_at_hand_here() {
        let probed = [ProbeResult { question: "break".into(), outcome: "ok".into(), detail: "said".into() }];
        let token_detail = |of_daemon| {
            let mut group = FindingGroup::new("platform");
            report_token(&mut group, &probed, of_daemon);
            group.into_findings().remove(0).detail
        };
        assert_eq!(token_detail(false), "the platform takes it");
        assert!(
            token_detail(true).contains("the running daemon's") && token_detail(true).contains("not tried"),
            "{}",
            token_detail(true)
        );
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
            assert_eq!(findings_for(&["ok"], offset).pop(), Some(("clock".to_owned(), status)), "{offset:?}");
        }
    }
}
