//! `[[tenants.series]]`: the series that the daemon watches for anomalies.

use super::AnalyticsQuery;
use crate::config::shared::complaint::Fault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloads};
use crate::domain::analytics::anomaly::Watched;
use crate::domain::analytics::series::aggregated::{Aggregated, Results};
use crate::domain::analytics::series::{Bucket, Source, Whom};
use crate::domain::analytics::trend::{THRESHOLD, WINDOW};
use crate::domain::ids::{QueueId, SeriesId, SkillId};

/// Series of one tenant: each is read whole at the end of each of its quarters or days.
const MOST: usize = 20;

/// What the tenant reads figures of, and asks for.
pub(in crate::config) struct Known<'a> {
    pub(in crate::config) skills: &'a [SkillId],
    pub(in crate::config) queues: &'a [QueueId],
    pub(in crate::config) queries: &'a [AnalyticsQuery],
}

impl Known<'_> {
    /// The query of the configuration that a series is of.
    fn query(&self, of: &Source) -> Option<&AnalyticsQuery> {
        match &of.aggregated()?.of {
            Results::Query(id) => self.queries.iter().find(|query| query.standing.id == *id),
            Results::Run(_) => None,
        }
    }
}

pub(in crate::config) fn read(section: &mut Section<'_, '_>, known: &Known<'_>) -> Vec<Watched> {
    let watched = section.tables("series", |section| read_one(section, known));
    if watched.len() > MOST {
        section.complain("series", Fault::new(format!("names more than {MOST} series")).advise("leave some out"));
    }
    watched
}

fn read_one(section: &mut Section<'_, '_>, known: &Known<'_>) -> Option<Watched> {
    let id = section.required(
        reloads("id", "Names the series in rules (`anomaly`), in events and in the API; unique within the tenant."),
        &kind::id::<SeriesId>(),
    );
    let of = section.required(
        reloads(
            "of",
            "What is watched: skill:ID:FIGURE or queue:ID:FIGURE, by the quarter of an hour; adherence or not-ready, by the day, or with \
             -15m behind it by the quarter of an hour; of everyone, or with :team:NAME behind that; analytics:QUERY:METRIC, by the \
             buckets of one of the tenant's [[tenants.analytics]], with :DIMENSION=VALUE behind that for one group.",
        ),
        &source(),
    );
    let window = section.value(
        reloads("window", "Values that the moving average and the z-score look at."),
        &kind::integer(2..=1000_u16),
        u16::try_from(WINDOW).unwrap_or(u16::MAX),
    );
    let threshold = section.value(
        reloads("threshold", "A z-score beyond this is an anomaly, where the season does not decide."),
        &kind::hundredths(50..=10_000),
        usual_threshold(),
    );
    let seasonal = section.value(
        reloads(
            "seasonal",
            "Whether what earlier weeks brought in that quarter hour of that weekday decides, once four of them are known.",
        ),
        &kind::boolean(),
        true,
    );
    let zone = section.optional(
        reloads(
            "zone",
            "The zone of its days, weekdays and hours; UTC without it, and of an analytics query the query's.",
        ),
        &kind::zone(),
    );
    let of = of?;
    check(section, &of, known);
    let zone = match (of.aggregated(), zone) {
        (None, zone) => zone.unwrap_or_else(|| "UTC".to_owned()),
        (Some(aggregated), zone) => zone_of_query(section, aggregated, known.query(&of), zone),
    };
    Some(Watched { id: id?, of, window, threshold_hundredths: threshold, seasonal, zone })
}

fn check(section: &mut Section<'_, '_>, of: &Source, known: &Known<'_>) {
    let unread = match of {
        Source::Skill(id, _) if !known.skills.contains(id) => Some(("skills", id.to_string())),
        Source::Queue(id, _) if !known.queues.contains(id) => Some(("queues", id.to_string())),
        Source::Skill(..) | Source::Queue(..) | Source::Adherence(..) | Source::NotReady(..) | Source::Analytics(_) => {
            None
        }
    };
    if let Some((list, id)) = unread {
        section.warn("of", &format!("the tenant's `{list}` do not list {id}, so nothing is known of its figures"));
    }
    if let Some(Whom::Agent(_)) = of.whom() {
        let fault = Fault::new("watches one agent")
            .advise("watch a team; `report trend` looks at an agent's time when it is asked to");
        section.complain("of", fault);
    }
    if of.bucket() == Some(Bucket::Quarter) && of.whom() == Some(&Whom::Everyone) {
        let fault =
            Fault::new("watches quarters of an hour of everyone").advise("name a team, or watch days (without -15m)");
        section.complain("of", fault);
    }
}

/// Holds a series of analytics to the query that it is of; gives the zone that it goes by.
fn zone_of_query(
    section: &mut Section<'_, '_>,
    of: &Aggregated,
    query: Option<&AnalyticsQuery>,
    named: Option<String>,
) -> String {
    let Some(query) = query.map(|query| &query.standing.query) else {
        let fault = Fault::new("is of no query of this tenant's [[tenants.analytics]]");
        section.complain("of", fault.advise("name one of them, as in analytics:QUERY:METRIC"));
        return named.unwrap_or_else(|| "UTC".to_owned());
    };
    if let Err(why) = of.pick(&query.metrics, &query.dimensions) {
        section.complain("of", Fault::new(format!("does not fit its query: {why}")));
    }
    // Whoever is erased must not live on as the name of a series.
    let of_agents =
        of.group.iter().find(|(name, _)| ["agent", "user"].iter().any(|word| name.to_lowercase().contains(word)));
    if let Some((name, _)) = of_agents {
        let fault = Fault::new(format!("watches one {name}"))
            .advise("watch a group; `report trend` looks at one when it is asked to");
        section.complain("of", fault);
    }
    if named.is_some_and(|named| named != query.zone_name()) {
        let fault = Fault::new(format!("is not {}, the zone of its query", query.zone_name()));
        section.complain("zone", fault.advise("leave it out"));
    }
    query.zone_name().to_owned()
}

fn source() -> Kind<Source> {
    let convert = |text: &str| text.parse().map_err(Fault::new);
    Kind::from_text("series", convert, |source: &Source| format!("{:?}", source.to_string()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small constant above zero")]
const fn usual_threshold() -> u32 {
    (THRESHOLD * 100.0) as u32
}
