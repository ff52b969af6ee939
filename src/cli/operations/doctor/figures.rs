//! A tenant's skills and queues: whether the platform knows them and tells their figures.
//!
//! A running daemon reads them anyway: what it says of itself and what it stored tell enough. Without one each question is asked
//! once, when the store's log of calls leaves room for it.

use std::time::Duration;

use super::Desk;
use super::daemon::Running;
use super::platform::{Way, free_slots};
use crate::app::{clock_of, platform_of};
use crate::cli::shared::finding::{Finding, Group};
use crate::config::Tenant;
use crate::domain::ids::{QueueId, SkillId};
use crate::domain::words::count;
use crate::engine::platform::calls::Purse;
use crate::platform::{CallError, MOST_IN_ONE_READ, Platform};
use crate::store::Reader;

/// Calls that are made from here at most.
const CALLS: usize = 3;
/// Ids that are named in one line.
const MOST_NAMED: usize = 10;
/// How far back the store is looked at for names.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

const MEND_QUEUES: &str = "take it out of the tenant's `queues`, or give the client the right to see it";
const MEND_SKILLS: &str = "an idle skill may be left out; where it is busy, correct the tenant's `skills`";

/// Looks at one tenant's; nothing is found where it has none.
pub(super) async fn look(desk: &Desk, tenant: &Tenant, way: Way<'_>) -> Vec<Finding> {
    let mut group = Group::new(format!("figures {}", tenant.id));
    if tenant.skills.is_empty() && tenant.queues.is_empty() {
        return group.done();
    }
    if desk.offline {
        group.skipped("questions", "not asked: --offline");
        return group.done();
    }
    match way.daemon {
        Some(running) => through(tenant, running, way.reader, &mut group).await,
        None => directly(desk, tenant, way.reader, &mut group).await,
    }
    group.done()
}

async fn through(tenant: &Tenant, running: &Running, reader: Option<&Reader>, group: &mut Group) {
    let name = format!("tenant {}: figures", tenant.id);
    let parts = running.readiness["parts"].as_array().map_or(&[][..], Vec::as_slice);
    match parts.iter().find(|part| part["name"] == name.as_str()) {
        None => group.skipped("reads", "the daemon has read none yet"),
        Some(part) if part["ready"] == true => {
            let (skills, queues) = (count(tenant.skills.len(), "skill"), count(tenant.queues.len(), "queue"));
            group.ok("reads", format!("the daemon reads those of {skills} and {queues}"));
        }
        Some(part) => {
            let detail = part["detail"].as_str().unwrap_or_default();
            group.wrong("reads", detail, "see what the platform says; the daemon goes on trying");
        }
    }
    let Some(reader) = reader else { return };
    let Ok(stored) = reader.latest_figures(&tenant.id, A_DAY).await else { return };
    let named = |id: &SkillId| stored.skill(id.as_str()).is_some_and(|taken| taken.figures.name.is_some());
    left_out(group, tenant.skills.iter().filter(|id| !named(id)));
}

/// Skills that the platform has not told a name of.
fn left_out<'a>(group: &mut Group, skills: impl Iterator<Item = &'a SkillId>) {
    let skills: Vec<&str> = skills.map(SkillId::as_str).collect();
    if let Some(names) = some(&skills) {
        group.warning("skills", format!("the platform has not shown {names}"), MEND_SKILLS);
    }
}

/// The first of some ids, and how many more there are.
fn some(ids: &[&str]) -> Option<String> {
    let named = ids.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    match ids.len() {
        0 => None,
        all if all > MOST_NAMED => Some(format!("{named} and {} more", all - MOST_NAMED)),
        _ => Some(named),
    }
}

async fn directly(desk: &Desk, tenant: &Tenant, reader: Option<&Reader>, group: &mut Group) {
    if !desk.secrets {
        return group.skipped("questions", "not asked: no daemon runs, and the secrets are not at hand here");
    }
    let clock = clock_of(&desk.config).await;
    if free_slots(tenant, reader, &clock, Purse::Reporting).await < CALLS {
        return group.skipped("questions", "not asked: their budget of this minute is used up; try again in a minute");
    }
    // Whether there can be one is told by the platform's own check.
    let Ok(platform) = platform_of(tenant, clock) else { return };
    if !tenant.skills.is_empty() {
        skills(&*platform, &tenant.skills, group).await;
    }
    if !tenant.queues.is_empty() {
        queues(&*platform, &tenant.queues, group).await;
    }
}

async fn skills(platform: &dyn Platform, skills: &[SkillId], group: &mut Group) {
    let asked = &skills[..skills.len().min(MOST_IN_ONE_READ)];
    match platform.skill_figures(asked).await {
        Ok(answer) => {
            group.ok("skill_figures", format!("answered within {} ms", answer.latency.as_millis()));
            let unnamed = answer.value.figures.iter().filter(|figures| figures.name.is_none());
            left_out(group, unnamed.map(|figures| &figures.id));
        }
        Err(error) => failed(group, "skill_figures", &error),
    }
}

async fn queues(platform: &dyn Platform, queues: &[QueueId], group: &mut Group) {
    let listed = match platform.queues().await {
        Ok(answer) => answer.value,
        Err(error) => return failed(group, "queues", &error),
    };
    let (known, unknown): (Vec<_>, Vec<_>) =
        queues.iter().cloned().partition(|id| listed.iter().any(|queue| queue.id == *id));
    let unknown: Vec<&str> = unknown.iter().map(QueueId::as_str).collect();
    match some(&unknown) {
        Some(names) => group.wrong("queues", format!("the platform knows no queue {names}"), MEND_QUEUES),
        None => group.ok("queues", format!("the platform knows {}", count(queues.len(), "queue"))),
    }
    let asked = &known[..known.len().min(MOST_IN_ONE_READ)];
    if asked.is_empty() {
        return;
    }
    match platform.queue_figures(asked).await {
        Ok(answer) => {
            group.ok("queue_figures", format!("answered within {} ms", answer.latency.as_millis()));
            service_levels(group, answer.value.figures.iter().filter_map(|figures| figures.service_level_ppm));
        }
        Err(error) => failed(group, "queue_figures", &error),
    }
}

/// The platform's unit cannot be seen in a number; levels of one in a hundred and less are rather shares of 1.
fn service_levels(group: &mut Group, levels: impl Iterator<Item = u64>) {
    let levels: Vec<u64> = levels.filter(|level| *level > 0).collect();
    if !levels.is_empty() && levels.iter().all(|level| *level <= 10_000) {
        let detail = "no queue answers more than one call in a hundred in time";
        group.warning(
            "service level",
            detail,
            "is it told as a share of 1? Then set figures.queue_service_level = \"share\"",
        );
    }
}

fn failed(group: &mut Group, id: &str, error: &CallError) {
    group.wrong(id, error.to_string(), "see what the platform says");
}
