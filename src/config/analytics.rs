//! `[[tenants.analytics]]`: aggregation queries of the platform (guide 002), held to its limits before they leave.

pub(super) mod series;

use std::fmt::Display;
use std::str::FromStr;

use jiff::tz::TimeZone;

use super::jobs::cron;
use super::shared::complaint::Fault;
use super::shared::kind::{self, Kind};
use super::shared::reader::{Section, reloads};
use crate::domain::analytics::analytics_run::{
    LONGEST_DEADLINE, MOST_BUCKETS, MOST_QUERIES, Over, SHORTEST_DEADLINE, StandingQuery, USUAL_BUCKETS, USUAL_DEADLINE,
};
use crate::domain::analytics::{AggregationQuery, Bucket, EqualsFilter, MOST_PAGE_ROWS, MetricAsk, PAGE_ROWS};
use crate::domain::ids::AnalyticsQueryId;
use crate::domain::jobs::cron::Calendar;
use crate::domain::time::UtcMicros;

/// 2026-01-01T00:00:00Z: spans that go with the clock are tried here, since all of a length are alike.
const TRIED_AT: UtcMicros = UtcMicros::from_micros(1_767_225_600_000_000);

/// One query, and when it is asked by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnalyticsQuery {
    /// What is asked.
    pub standing: StandingQuery,
    /// When, by the calendar; only when somebody asks without one.
    pub calendar: Option<Calendar>,
}

/// All of a tenant's.
pub(super) fn read(section: &mut Section<'_, '_>) -> Vec<AnalyticsQuery> {
    let queries = section.tables("analytics", read_one);
    if queries.len() > MOST_QUERIES {
        let fault = Fault::new(format!("has {} queries, and a tenant may have {MOST_QUERIES}", queries.len()));
        section.complain("analytics", fault.advise("ask for several metrics in one query"));
    }
    queries
}

fn read_one(section: &mut Section<'_, '_>) -> Option<AnalyticsQuery> {
    let id: Option<AnalyticsQueryId> =
        section.required(reloads("id", "Names the query; results are kept and series read by it."), &kind::id());
    let metrics = section.required(
        reloads(
            "metrics",
            "What is asked for, at most ten, each with how its values are put together (sum, avg, pct, min or max), as in \
             [\"avg duration\", \"sum count\"].",
        ),
        &kind::list(written::<MetricAsk>(
            "an aggregation and a metric",
            "as in \"avg duration\": sum, avg, pct, min or max, then the platform's name",
        )),
    );
    let dimensions = section.value(
        reloads(
            "dimensions",
            "By what values are told apart, at most five of the platform's names, as in [\"channel\"].",
        ),
        &kind::list(kind::text()),
        Vec::new(),
    );
    let filter = section.optional(
        reloads("filter", "What alone is looked at: FIELD=VALUE, as in \"group.id=grp_001\"; everything without it."),
        &written::<EqualsFilter>("FIELD=VALUE", "as in \"group.id=grp_001\""),
    );
    let bucket = section.value(
        reloads("bucket", "How long the span of each value is: HOUR, DAY, WEEK (from Monday) or MONTH of the zone."),
        &written("HOUR, DAY, WEEK or MONTH", "as in \"DAY\""),
        Bucket::Day,
    );
    let zone = section.value(
        reloads("zone", "The IANA time zone whose hours and days count, and that cron is in."),
        &kind::zone(),
        "UTC".to_owned(),
    );
    let over = read_span(section);
    let calendar = section.optional(
        reloads(
            "cron",
            "When it is asked, by the zone's clock, as the cron of [[jobs]]; only when somebody asks without it.",
        ),
        &cron(),
    );
    let deadline = section.value(
        reloads(
            "deadline",
            "A run that takes longer, from its beginning, has failed. Ten pages a minute are read by default.",
        ),
        &kind::duration(SHORTEST_DEADLINE..=LONGEST_DEADLINE),
        USUAL_DEADLINE,
    );
    let page_rows =
        section.value(reloads("page_rows", "Rows of a page."), &kind::integer(1..=MOST_PAGE_ROWS), PAGE_ROWS);
    let (id, metrics, zone) = (id?, metrics?, TimeZone::get(&zone).ok()?);
    let calendar = calendar.map(|pattern| Calendar::new(pattern, zone.clone()));
    let query = AggregationQuery { name: id.as_str().into(), metrics, dimensions, filter, bucket, zone };
    let standing = StandingQuery { id, query, over: over?, deadline, page_rows };
    check(section, &standing).then_some(AnalyticsQuery { standing, calendar })
}

fn read_span(section: &mut Section<'_, '_>) -> Option<Over> {
    let last = section.optional(
        reloads("last", "Of when: so many whole buckets, the last that have ended; 30 without it and without from."),
        &kind::integer(1..=MOST_BUCKETS),
    );
    let from =
        section.optional(reloads("from", "Instead of last: from the bucket of this instant on."), &kind::instant());
    let to = section.optional(
        reloads(
            "to",
            "With from: to the end of the bucket before this instant; up to the last that has ended without it.",
        ),
        &kind::instant(),
    );
    match (last, from, to) {
        (Some(_), Some(_), _) => {
            section.complain("last", Fault::new("excludes from").advise("remove one of them"));
            None
        }
        (_, None, Some(_)) => {
            section.complain("to", Fault::new("goes with from").advise("set from, or remove it"));
            None
        }
        (last, None, None) => Some(Over::Last(last.unwrap_or(USUAL_BUCKETS))),
        (None, Some(from), to) => Some(Over::Since { from, to }),
    }
}

/// The limits of the platform, by the same law that every run goes by.
fn check(section: &mut Section<'_, '_>, standing: &StandingQuery) -> bool {
    // One without an end may begin in the future: then its runs say so.
    let request = match standing.over {
        Over::Last(_) | Over::Since { to: Some(_), .. } => standing.request(TRIED_AT),
        Over::Since { from, to: None } => standing.request(from.max(TRIED_AT) + LONGEST_DEADLINE * 32),
    };
    let Err(faults) = request.parts() else { return true };
    for fault in faults {
        let key = match fault.field.split(['.', '[']).next().unwrap_or_default() {
            "name" => "id",
            "span" if matches!(standing.over, Over::Last(_)) => "last",
            "span" | "from" => "from",
            "to" => "to",
            "dimensions" => "dimensions",
            "filter" => "filter",
            "zone" => "zone",
            _ => "metrics",
        };
        section.complain(key, Fault::new(format!("{} {}", fault.field, fault.what)).advise(fault.hint));
    }
    false
}

/// What is written as one text. What the text's own error says holds the text, which a complaint never does.
fn written<T: FromStr<Err = String> + Display + 'static>(name: &'static str, advice: &'static str) -> Kind<T> {
    let convert =
        move |text: &str| text.parse().map_err(|_: String| Fault::new(format!("must be {name}")).advise(advice));
    Kind::from_text(name, convert, |value: &T| toml::Value::String(value.to_string()).to_string())
}
