//! `[[tenants.series]]`: the series that the daemon monitors for anomalies.

use super::query::AnalyticsQuery;
use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::analytics::anomaly::MonitoredSeries;
use crate::domain::analytics::series::aggregated::{AggregatedMetric, ResultSource};
use crate::domain::analytics::series::{AgentFilter, SeriesBucket, SeriesSource};
use crate::domain::analytics::trend::{THRESHOLD, WINDOW};
use crate::domain::ids::{QueueId, SeriesId, SkillId};

/// The maximum number of series per tenant. Each is read as a whole at the end of each of its quarter-hours or days.
const MAX_SERIES: usize = 20;

/// The tenant's sources of figures and queries.
pub(in crate::config) struct ConfiguredSources<'a> {
    pub(in crate::config) skills: &'a [SkillId],
    pub(in crate::config) queues: &'a [QueueId],
    pub(in crate::config) queries: &'a [AnalyticsQuery],
}

impl ConfiguredSources<'_> {
    /// Returns the configured query that a series belongs to.
    fn query(&self, source: &SeriesSource) -> Option<&AnalyticsQuery> {
        match &source.aggregated_metric()?.source {
            ResultSource::Query(id) => self.queries.iter().find(|query| query.configured.id == *id),
            ResultSource::Run(_) => None,
        }
    }
}

pub(in crate::config) fn read(
    section: &mut Section<'_, '_>,
    configured: &ConfiguredSources<'_>,
) -> Vec<MonitoredSeries> {
    let watched = section.tables("series", |section| read_series(section, configured));
    if watched.len() > MAX_SERIES {
        section.add_diagnostic(
            "series",
            ValueFault::new(format!("names more than {MAX_SERIES} series")).with_suggestion("leave some out"),
        );
    }
    watched
}

fn read_series(section: &mut Section<'_, '_>, configured: &ConfiguredSources<'_>) -> Option<MonitoredSeries> {
    let id = section.required(
        reloadable(
            "id",
            "The name of the series in rules (`anomaly`), in events and in the API; unique within the tenant.",
        ),
        &kind::id::<SeriesId>(),
    );
    let source = section.required(
        reloadable(
            "of",
            "The values to monitor. skill:ID:FIGURE or queue:ID:FIGURE, per quarter hour. adherence or not-ready, \
             per day, or per quarter hour with the suffix -15m; for everyone, or for a team with the suffix \
             :team:NAME. analytics:QUERY:METRIC, per interval of one of the tenant's [[tenants.analytics]]; for one \
             group with the suffix :DIMENSION=VALUE.",
        ),
        &source(),
    );
    let window = section.value(
        reloadable("window", "The number of values in the moving average and the z-score."),
        &kind::integer(2..=1000_u16),
        u16::try_from(WINDOW).unwrap_or(u16::MAX),
    );
    let threshold = section.value(
        reloadable("threshold", "A z-score above this is an anomaly, unless the seasonal comparison decides."),
        &kind::hundredths(50..=10_000),
        default_threshold(),
    );
    let seasonal = section.value(
        reloadable(
            "seasonal",
            "Whether to compare with the same quarter hour of the same weekday in earlier weeks, once four of them \
             are known.",
        ),
        &kind::boolean(),
        true,
    );
    let zone = section.optional(
        reloadable(
            "zone",
            "The time zone of days, weekdays and hours. The default is UTC, or the query's zone for an analytics \
             query.",
        ),
        &kind::zone(),
    );
    let of = source?;
    check(section, &of, configured);
    let zone = match (of.aggregated_metric(), zone) {
        (None, zone) => zone.unwrap_or_else(|| "UTC".to_owned()),
        (Some(aggregated), zone) => zone_of_query(section, aggregated, configured.query(&of), zone),
    };
    Some(MonitoredSeries { id: id?, source: of, window, threshold_hundredths: threshold, seasonal, zone })
}

fn check(section: &mut Section<'_, '_>, source: &SeriesSource, configured: &ConfiguredSources<'_>) {
    let unlisted = match source {
        SeriesSource::Skill(id, _) if !configured.skills.contains(id) => Some(("skills", id.to_string())),
        SeriesSource::Queue(id, _) if !configured.queues.contains(id) => Some(("queues", id.to_string())),
        SeriesSource::Skill(..)
        | SeriesSource::Queue(..)
        | SeriesSource::Adherence(..)
        | SeriesSource::NotReady(..)
        | SeriesSource::Analytics(_) => None,
    };
    if let Some((list, id)) = unlisted {
        section.warn("of", &format!("the tenant's `{list}` do not list {id}, so nothing is known of its figures"));
    }
    if let Some(AgentFilter::Agent(_)) = source.agent_filter() {
        let fault =
            ValueFault::new("watches one agent").with_suggestion("monitor a team; for one agent, use `report trend`");
        section.add_diagnostic("of", fault);
    }
    if source.bucket() == Some(SeriesBucket::Quarter) && source.agent_filter() == Some(&AgentFilter::Everyone) {
        let fault = ValueFault::new("watches quarters of an hour of everyone")
            .with_suggestion("name a team, or watch days (without -15m)");
        section.add_diagnostic("of", fault);
    }
}

/// Checks a series of analytics against its query, and returns its time zone.
fn zone_of_query(
    section: &mut Section<'_, '_>,
    aggregated: &AggregatedMetric,
    query: Option<&AnalyticsQuery>,
    named: Option<String>,
) -> String {
    let Some(query) = query.map(|query| &query.configured.query) else {
        let fault = ValueFault::new("is of no query of this tenant's [[tenants.analytics]]");
        section.add_diagnostic("of", fault.with_suggestion("name one of them, as in analytics:QUERY:METRIC"));
        return named.unwrap_or_else(|| "UTC".to_owned());
    };
    if let Err(why) = aggregated.row_selector(&query.metrics, &query.dimensions) {
        section.add_diagnostic("of", ValueFault::new(format!("does not fit its query: {why}")));
    }
    // An erased agent must not remain as the name of a series.
    let of_agents = aggregated
        .group
        .iter()
        .find(|(name, _)| ["agent", "user"].iter().any(|word| name.to_lowercase().contains(word)));
    if let Some((name, _)) = of_agents {
        let fault = ValueFault::new(format!("watches one {name}"))
            .with_suggestion("monitor a group; for a single result, use `report trend`");
        section.add_diagnostic("of", fault);
    }
    if named.is_some_and(|named| named != query.zone_name()) {
        let fault = ValueFault::new(format!("is not {}, the zone of its query", query.zone_name()));
        section.add_diagnostic("zone", fault.with_suggestion("leave it out"));
    }
    query.zone_name().to_owned()
}

fn source() -> Kind<SeriesSource> {
    let convert = |text: &str| text.parse().map_err(ValueFault::new);
    Kind::from_text("series", convert, |source: &SeriesSource| format!("{:?}", source.to_string()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small constant above zero")]
const fn default_threshold() -> u32 {
    (THRESHOLD * 100.0) as u32
}
