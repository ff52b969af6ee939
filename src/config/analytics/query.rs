//! `[[tenants.analytics]]`: aggregation queries of the platform (guide 002), checked against its limits before they are
//! sent.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::config::shared::diagnostic::ValueFault;
use crate::config::shared::kind::{self, Kind};
use crate::config::shared::reader::{Section, reloadable};
use crate::domain::analytics::analytics_run::{
    ConfiguredQuery, DEFAULT_BUCKETS, DEFAULT_DEADLINE, MAX_BUCKETS, MAX_DEADLINE, MAX_QUERIES, MIN_DEADLINE,
    QueryRange,
};
use crate::domain::analytics::{
    AggregationQuery, DEFAULT_PAGE_ROWS, EqualsFilter, MAX_PAGE_ROWS, MetricRequest, QueryBucket,
};
use crate::domain::ids::AnalyticsQueryId;
use crate::domain::jobs::cron::Calendar;
use crate::domain::time::UtcMicros;

/// 2026-01-01T00:00:00Z. Spans relative to the clock are checked at this instant, since all of the same length are
/// equivalent.
const CHECKED_AT: UtcMicros = UtcMicros::from_micros(1_767_225_600_000_000);

/// One query and when it is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnalyticsQuery {
    /// The query.
    pub configured: ConfiguredQuery,
    /// When the query is run. `None` means only on request.
    pub calendar: Option<Calendar>,
}

/// Reads all queries of a tenant.
pub(in crate::config) fn read(section: &mut Section<'_, '_>) -> Vec<AnalyticsQuery> {
    let queries = section.tables("analytics", read_query);
    if queries.len() > MAX_QUERIES {
        let fault = ValueFault::new(format!("has {} queries, and a tenant may have {MAX_QUERIES}", queries.len()));
        section.add_diagnostic("analytics", fault.with_suggestion("ask for several metrics in one query"));
    }
    queries
}

fn read_deadline(section: &mut Section<'_, '_>) -> Duration {
    let key = reloadable(
        "deadline",
        "A run that takes longer in total has failed. By default, ten pages are read per minute.",
    );
    section.value(key, &kind::duration(MIN_DEADLINE..=MAX_DEADLINE), DEFAULT_DEADLINE)
}

fn read_query(section: &mut Section<'_, '_>) -> Option<AnalyticsQuery> {
    let id: Option<AnalyticsQueryId> =
        section.required(reloadable("id", "The name of the query, used for its results and series."), &kind::id());
    let metrics = section.required(
        reloadable(
            "metrics",
            "Up to ten metrics, each with its aggregation (sum, avg, pct, min or max), as in [\"avg duration\", \
             \"sum count\"].",
        ),
        &kind::list(parse_text::<MetricRequest>(
            "an aggregation and a metric",
            "as in \"avg duration\": sum, avg, pct, min or max, then the platform's name",
        )),
    );
    let dimensions = section.value(
        reloadable("dimensions", "Up to five dimensions to group by, with the platform's names, as in [\"channel\"]."),
        &kind::list(kind::text()),
        Vec::new(),
    );
    let filter = section.optional(
        reloadable("filter", "Limits the query to FIELD=VALUE, as in \"group.id=grp_001\". No filter by default."),
        &parse_text::<EqualsFilter>("FIELD=VALUE", "as in \"group.id=grp_001\""),
    );
    let bucket = section.value(
        reloadable("bucket", "The length of each interval: HOUR, DAY, WEEK (from Monday) or MONTH in the zone."),
        &parse_text("HOUR, DAY, WEEK or MONTH", "as in \"DAY\""),
        QueryBucket::Day,
    );
    let zone = section.value(
        reloadable("zone", "The IANA time zone of the intervals and of cron."),
        &kind::zone(),
        "UTC".to_owned(),
    );
    let over = read_span(section);
    let calendar = section.optional(
        reloadable(
            "cron",
            "When to run the query, in the zone, in the format of cron in [[jobs]]. Without it, the query runs only \
             on request.",
        ),
        &kind::cron(),
    );
    let deadline = read_deadline(section);
    let page_rows = section.value(
        reloadable("page_rows", "The number of rows per page."),
        &kind::integer(1..=MAX_PAGE_ROWS),
        DEFAULT_PAGE_ROWS,
    );
    let (id, metrics, zone) = (id?, metrics?, TimeZone::get(&zone).ok()?);
    let calendar = calendar.map(|pattern| Calendar::new(pattern, zone.clone()));
    let query = AggregationQuery { name: id.as_str().into(), metrics, dimensions, filter, bucket, zone };
    let standing = ConfiguredQuery { id, query, range: over?, deadline, page_rows };
    check(section, &standing).then_some(AnalyticsQuery { configured: standing, calendar })
}

fn read_span(section: &mut Section<'_, '_>) -> Option<QueryRange> {
    let last = section.optional(
        reloadable(
            "last",
            "The number of complete intervals to query, up to the latest. The default is 30, unless `from` is \
                 set.",
        ),
        &kind::integer(1..=MAX_BUCKETS),
    );
    let from = section.optional(
        reloadable("from", "Instead of `last`: the first interval is the one that contains this instant."),
        &kind::instant(),
    );
    let to = section.optional(
        reloadable(
            "to",
            "With `from`: the last interval is the one before the one that contains this instant. The default is the \
             latest complete interval.",
        ),
        &kind::instant(),
    );
    match (last, from, to) {
        (Some(_), Some(_), _) => {
            section.add_diagnostic("last", ValueFault::new("excludes from").with_suggestion("remove one of them"));
            None
        }
        (_, None, Some(_)) => {
            section.add_diagnostic("to", ValueFault::new("goes with from").with_suggestion("set from, or remove it"));
            None
        }
        (last, None, None) => Some(QueryRange::Last(last.unwrap_or(DEFAULT_BUCKETS))),
        (None, Some(from), to) => Some(QueryRange::Since { from, to }),
    }
}

/// Checks the platform's limits in the same way as every run does.
fn check(section: &mut Section<'_, '_>, standing: &ConfiguredQuery) -> bool {
    // A query without an end may start in the future, which its runs report then.
    let request = match standing.range {
        QueryRange::Last(_) | QueryRange::Since { to: Some(_), .. } => standing.request(CHECKED_AT),
        QueryRange::Since { from, to: None } => standing.request(from.max(CHECKED_AT) + MAX_DEADLINE * 32),
    };
    let Err(faults) = request.parts() else { return true };
    for fault in faults {
        let key = match fault.field.split(['.', '[']).next().unwrap_or_default() {
            "name" => "id",
            "span" if matches!(standing.range, QueryRange::Last(_)) => "last",
            "span" | "from" => "from",
            "to" => "to",
            "dimensions" => "dimensions",
            "filter" => "filter",
            "zone" => "zone",
            _ => "metrics",
        };
        section.add_diagnostic(
            key,
            ValueFault::new(format!("{} {}", fault.field, fault.problem)).with_suggestion(fault.hint),
        );
    }
    false
}

/// A value written as one text. The error of the text's parser is not shown, since it quotes the text, which
/// diagnostics must not do.
fn parse_text<T: FromStr<Err = String> + Display + 'static>(name: &'static str, advice: &'static str) -> Kind<T> {
    let convert = move |text: &str| {
        text.parse().map_err(|_: String| ValueFault::new(format!("must be {name}")).with_suggestion(advice))
    };
    Kind::from_text(name, convert, kind::quoted)
}
