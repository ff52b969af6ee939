//! Time zones: whether the rules of every zone in use are available.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::context::CheckContext;
use crate::cli::shared::finding::{Finding, FindingGroup};
use crate::config::Config;
use crate::domain::wording::count_with_noun;
use crate::store::Reader;

/// A zone and its offsets in seconds at two instants, which any sound set of rules gives, also for future years.
const KNOWN_ZONE: (&str, [(i64, i32); 2]) = ("Europe/Berlin", [(1_768_478_400, 3_600), (2_131_963_200, 7_200)]);

/// Checks that the rules are available and correct for one known zone, and available for every zone in use.
pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let mut group = FindingGroup::new("time zones");
    let (zone, instants) = KNOWN_ZONE;
    let right = TimeZone::get(zone).is_ok_and(|zone| {
        instants.iter().all(|(second, offset)| {
            Timestamp::from_second(*second).is_ok_and(|instant| zone.to_offset(instant).seconds() == *offset)
        })
    });
    if right {
        group.ok("rules", format!("{zone} has summer time in 2037 and none in January 2026"));
    } else {
        let advice = "the system's zone data are damaged or without the years to come: mend the package tzdata, or remove it, \
                      and the built-in data count";
        group.wrong("rules", format!("{zone} is not as it should be"), advice);
    }
    let zones = used_zones(&context.config, context.reader.as_ref()).await;
    let unknown: Vec<&str> = zones.iter().map(String::as_str).filter(|zone| TimeZone::get(zone).is_err()).collect();
    if unknown.is_empty() {
        group.ok("in use", format!("{} known", count_with_noun(zones.len(), "zone")));
    } else {
        let advice =
            "import the agents again with names as the IANA database has them, or bring the package tzdata up to date";
        group.wrong("in use", format!("not known: {}", unknown.join(", ")), advice);
    }
    group.into_findings()
}

/// Returns the zones of the configuration and of imported agents.
async fn used_zones(config: &Config, reader: Option<&Reader>) -> BTreeSet<String> {
    let mut zones: BTreeSet<String> = config.import.default_zone.iter().cloned().collect();
    zones.extend(config.jobs.iter().map(|job| job.calendar.zone_name().to_owned()));
    let Some(reader) = reader else { return zones };
    for tenant in &config.tenants {
        let agents = reader.agents(&tenant.id).await.unwrap_or_default();
        zones.extend(agents.into_iter().filter_map(|stored| stored.agent.zone).map(|zone| zone.to_string()));
    }
    zones
}
