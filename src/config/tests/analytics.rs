//! Analytics queries: what a table says, and what is refused before it could leave.

use super::{load, with_tenant};
use crate::domain::analytics::analytics_run::{DEFAULT_DEADLINE, QueryRange};
use crate::domain::analytics::{Aggregation, QueryBucket};

#[test]
fn a_query_is_read_with_its_span_and_its_calendar() {
    let config = load(&with_tenant(
        r#"
[[tenants.analytics]]
id = "calls"
metrics = ["sum count", "AVG duration"]
dimensions = ["channel"]
filter = "group.id=grp=1"
bucket = "hour"
zone = "Europe/Berlin"
last = 48
cron = "5 * * * *"
[[tenants.analytics]]
id = "year"
metrics = ["max wait"]
from = "2025-01-01T00:00:00Z"
"#,
    ))
    .expect("sound")
    .config;
    let [calls, year] = config.tenants[0].analytics.as_slice() else { panic!("two queries") };
    let query = &calls.configured.query;
    let metrics: Vec<_> = query.metrics.iter().map(|metric| (metric.aggregation, metric.name.as_str())).collect();
    assert_eq!(metrics, [(Aggregation::Sum, "count"), (Aggregation::Avg, "duration")]);
    assert_eq!(query.filter.as_ref().map(ToString::to_string).as_deref(), Some("group.id=grp=1"));
    assert_eq!(
        (query.bucket, query.zone_name(), calls.configured.range),
        (QueryBucket::Hour, "Europe/Berlin", QueryRange::Last(48))
    );
    let calendar = calls.calendar.as_ref().map(crate::domain::jobs::cron::Calendar::text);
    assert_eq!(calendar.as_deref(), Some("5 * * * * Europe/Berlin"));
    let from = "2025-01-01T00:00:00Z".parse().expect("an instant");
    assert_eq!((year.configured.range, year.calendar.is_none()), (QueryRange::Since { from, to: None }, true));
    assert_eq!((year.configured.query.bucket, year.configured.deadline), (QueryBucket::Day, DEFAULT_DEADLINE));
}

#[test]
fn what_the_platform_would_refuse_is_refused_at_its_place() {
    let eleven: Vec<String> = (0..11).map(|n| format!("\"sum m{n}\"")).collect();
    let table = |keys: &str| format!("[[tenants.analytics]]\nid = \"calls\"\n{keys}\n");
    for (keys, place, words) in [
        (
            format!("metrics = [{}]", eleven.join(", ")),
            "tenants[acme].analytics[calls].metrics",
            "the platform takes 10",
        ),
        ("metrics = []".to_owned(), "tenants[acme].analytics[calls].metrics", "is empty"),
        ("metrics = [\"duration\"]".to_owned(), "tenants[acme].analytics[calls].metrics", "avg duration"),
        ("metrics = [\"median duration\"]".to_owned(), "tenants[acme].analytics[calls].metrics", "sum, avg, pct"),
        (
            "metrics = [\"sum a\"]\ndimensions = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]".to_owned(),
            "tenants[acme].analytics[calls].dimensions",
            "the platform takes 5",
        ),
        (
            "metrics = [\"sum a\"]\nfilter = \"channel\"".to_owned(),
            "tenants[acme].analytics[calls].filter",
            "FIELD=VALUE",
        ),
        ("metrics = [\"sum a\"]\nlast = 9000".to_owned(), "tenants[acme].analytics[calls].last", "365 days"),
        (
            "metrics = [\"sum a\"]\nlast = 3\nfrom = \"2025-01-01T00:00:00Z\"".to_owned(),
            "tenants[acme].analytics[calls].last",
            "excludes from",
        ),
        (
            "metrics = [\"sum a\"]\nto = \"2025-01-01T00:00:00Z\"".to_owned(),
            "tenants[acme].analytics[calls].to",
            "goes with from",
        ),
        (
            "metrics = [\"sum a\"]\nfrom = \"2025-01-02T00:00:00Z\"\nto = \"2025-01-01T00:00:00Z\"".to_owned(),
            "tenants[acme].analytics[calls].from",
            "span",
        ),
        ("metrics = [\"sum a\"]\ncron = \"daily\"".to_owned(), "tenants[acme].analytics[calls].cron", ""),
        ("metrics = [\"sum a\"]\nbucket = \"YEAR\"".to_owned(), "tenants[acme].analytics[calls].bucket", "HOUR"),
    ] {
        let refused = load(&with_tenant(&table(&keys))).expect_err(&keys).to_string();
        assert!(refused.contains(place) && refused.contains(words), "{keys}: {refused}");
    }
}

#[test]
fn the_first_query_takes_new_workers_and_more_of_them_do_not() {
    let tenant = |keys: &str| load(&with_tenant(keys)).expect("sound").config.tenants.remove(0);
    let none = tenant("");
    let one = tenant("[[tenants.analytics]]\nid = \"a\"\nmetrics = [\"sum a\"]\n");
    let other = tenant("[[tenants.analytics]]\nid = \"b\"\nmetrics = [\"sum b\"]\n");
    assert!(!none.is_same_tenant(&one), "the token is asked for with other scopes");
    assert!(one.is_same_tenant(&other) && one.is_same_tenant(&none) && none.is_same_tenant(&none));
}

#[test]
fn a_series_of_a_query_is_held_to_what_that_asks_for() {
    let query = "[[tenants.analytics]]\nid = \"calls\"\nmetrics = [\"sum count\", \"avg duration\"]\ndimensions = [\"channel\", \"agent.id\"]\n\
                 zone = \"Europe/Berlin\"\n";
    let with = |keys: &str| with_tenant(&format!("{query}[[tenants.series]]\nid = \"odd\"\n{keys}\n"));
    let config = load(&with("of = \"analytics:calls:count:channel=voice\"")).expect("sound").config;
    let watched = &config.tenants[0].series[0];
    assert_eq!(
        (watched.source.to_string().as_str(), &*watched.zone),
        ("analytics:calls:count:channel=voice", "Europe/Berlin")
    );
    for (keys, key, part) in [
        ("of = \"analytics:cals:count\"", "of", "is of no query"),
        ("of = \"analytics-run:019a20b8-9d40-7000-8000-000000000003:count\"", "of", "is of no query"),
        ("of = \"analytics:calls:sum\"", "of", "there are count, duration"),
        ("of = \"analytics:calls:duration:channel=voice\"", "of", "over all values of agent.id"),
        ("of = \"analytics:calls:count:agent.id=u_0001\"", "of", "watches one agent.id"),
        ("of = \"analytics:calls:count\"\nzone = \"UTC\"", "zone", "is not Europe/Berlin"),
    ] {
        let refused = load(&with(keys)).expect_err(keys).to_string();
        let place = format!("tenants[acme].series[odd].{key}");
        assert!(refused.contains(&place) && refused.contains(part), "{keys}: {refused}");
    }
}
