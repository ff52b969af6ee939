//! A tenant's skills and queues: whether the platform knows them and gives their figures.
//!
//! A running daemon reads them anyway, so its status and stored data are enough. Otherwise each question is asked
//! once, if the call log in the store leaves room for it.

use std::time::Duration;

use super::context::{CheckContext, RunningDaemon, parts_of};
use super::platform::free_slots;
use crate::app::{clock_for, platform_for};
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::config::Tenant;
use crate::domain::ids::{QueueId, SkillId};
use crate::domain::wording::count_with_noun;
use crate::engine::platform::link::BudgetKind;
use crate::platform::{CallError, MAX_PER_READ, Platform};
use crate::store::Reader;

/// The most calls made from here.
const MAX_CALLS: usize = 3;
/// The most ids named in one line.
const MAX_NAMED_IDS: usize = 10;
/// How far back the store is searched for names.
const LOOKBACK: Duration = Duration::from_secs(24 * 3600);

const QUEUES_ADVICE: &str = "take it out of the tenant's `queues`, or give the client the right to see it";
const SKILLS_ADVICE: &str = "an idle skill may be missing; if it is not idle, correct the tenant's `skills`";

/// Checks one tenant's skills and queues. Returns no findings if it has none.
pub(super) async fn check(context: &CheckContext, tenant: &Tenant) -> Vec<Finding> {
    let mut group = FindingGroup::new(format!("figures {}", tenant.id));
    if tenant.skills.is_empty() && tenant.queues.is_empty() {
        return group.into_findings();
    }
    if context.offline {
        group.skipped("questions", "not asked: --offline");
        return group.into_findings();
    }
    match &context.daemon {
        Some(running) => check_through_daemon(tenant, running, context.reader.as_ref(), &mut group).await,
        None => check_directly(context, tenant, &mut group).await,
    }
    group.into_findings()
}

async fn check_through_daemon(
    tenant: &Tenant,
    running: &RunningDaemon,
    reader: Option<&Reader>,
    group: &mut FindingGroup,
) {
    let name = format!("tenant {}: figures", tenant.id);
    match parts_of(&running.readiness).iter().find(|part| part["name"] == name.as_str()) {
        None => group.skipped("reads", "the daemon has read none yet"),
        Some(part) if part["ready"] == true => {
            let (skills, queues) =
                (count_with_noun(tenant.skills.len(), "skill"), count_with_noun(tenant.queues.len(), "queue"));
            group.ok("reads", format!("the daemon reads those of {skills} and {queues}"));
        }
        Some(part) => {
            let detail = part["detail"].as_str().unwrap_or_default();
            group.wrong("reads", detail, "read the platform's message; the daemon keeps trying");
        }
    }
    let Some(reader) = reader else { return };
    let Ok(stored) = reader.latest_figures(&tenant.id, LOOKBACK).await else { return };
    let named = |id: &SkillId| stored.skill(id.as_str()).is_some_and(|taken| taken.figures.name.is_some());
    report_unnamed_skills(group, tenant.skills.iter().filter(|id| !named(id)));
}

/// Reports skills for which the platform has given no name.
fn report_unnamed_skills<'a>(group: &mut FindingGroup, skills: impl Iterator<Item = &'a SkillId>) {
    let skills: Vec<&str> = skills.map(SkillId::as_str).collect();
    if let Some(names) = ids_text(&skills) {
        group.warning("skills", format!("the platform has not shown {names}"), SKILLS_ADVICE);
    }
}

/// Lists the first of some ids, and the number of the others.
fn ids_text(ids: &[&str]) -> Option<String> {
    let named = ids.iter().take(MAX_NAMED_IDS).copied().collect::<Vec<_>>().join(", ");
    match ids.len() {
        0 => None,
        all if all > MAX_NAMED_IDS => Some(format!("{named} and {} more", all - MAX_NAMED_IDS)),
        _ => Some(named),
    }
}

async fn check_directly(context: &CheckContext, tenant: &Tenant, group: &mut FindingGroup) {
    if !context.has_secrets {
        return group.skipped("questions", "not asked: no daemon runs, and the secrets are not available here");
    }
    let clock = clock_for(&context.config).await;
    if free_slots(tenant, context.reader.as_ref(), &clock, BudgetKind::Reporting).await < MAX_CALLS {
        return group.skipped("questions", "not asked: their budget of this minute is used up; try again in a minute");
    }
    // The platform's own check reports if it cannot be used.
    let Ok(platform) = platform_for(tenant, clock) else { return };
    if !tenant.skills.is_empty() {
        check_skills(&*platform, &tenant.skills, group).await;
    }
    if !tenant.queues.is_empty() {
        check_queues(&*platform, &tenant.queues, group).await;
    }
}

async fn check_skills(platform: &dyn Platform, skills: &[SkillId], group: &mut FindingGroup) {
    let requested = &skills[..skills.len().min(MAX_PER_READ)];
    match platform.skill_figures(requested).await {
        Ok(answer) => {
            group.ok("skill_figures", format!("answered within {} ms", answer.latency.as_millis()));
            let unnamed = answer.value.figures.iter().filter(|figures| figures.name.is_none());
            report_unnamed_skills(group, unnamed.map(|figures| &figures.id));
        }
        Err(error) => report_failure(group, "skill_figures", &error),
    }
}

async fn check_queues(platform: &dyn Platform, queues: &[QueueId], group: &mut FindingGroup) {
    let listed = match platform.queues().await {
        Ok(answer) => answer.value,
        Err(error) => return report_failure(group, "queues", &error),
    };
    let (known, unknown): (Vec<_>, Vec<_>) =
        queues.iter().cloned().partition(|id| listed.iter().any(|queue| queue.id == *id));
    let unknown: Vec<&str> = unknown.iter().map(QueueId::as_str).collect();
    match ids_text(&unknown) {
        Some(names) => group.wrong("queues", format!("the platform knows no queue {names}"), QUEUES_ADVICE),
        None => group.ok("queues", format!("the platform knows {}", count_with_noun(queues.len(), "queue"))),
    }
    let requested = &known[..known.len().min(MAX_PER_READ)];
    if requested.is_empty() {
        return;
    }
    match platform.queue_figures(requested).await {
        Ok(answer) => {
            group.ok("queue_figures", format!("answered within {} ms", answer.latency.as_millis()));
            check_service_levels(group, answer.value.figures.iter().filter_map(|figures| figures.service_level_ppm));
        }
        Err(error) => report_failure(group, "queue_figures", &error),
    }
}

/// Checks the unit of service levels, which a number alone does not show: levels of one per cent and less are more
/// likely shares of 1.
fn check_service_levels(group: &mut FindingGroup, levels: impl Iterator<Item = u64>) {
    let levels: Vec<u64> = levels.filter(|level| *level > 0).collect();
    if !levels.is_empty() && levels.iter().all(|level| *level <= 10_000) {
        let detail = "no queue answers more than one call in a hundred in time";
        group.warning(
            "service level",
            detail,
            "if it is a fraction from 0 to 1, set figures.queue_service_level = \"share\"",
        );
    }
}

fn report_failure(group: &mut FindingGroup, id: &str, error: &CallError) {
    group.wrong(id, error.to_string(), "see what the platform says");
}
