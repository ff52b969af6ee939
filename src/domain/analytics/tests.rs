//! Spans in parts and buckets over clock changes, pages that do not hold together, and a hash that does not depend on paging.

use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::time::UtcMicros;

/// Clock changes of an hour and of half an hour, at midnight, around Ramadan, a day that was skipped, and none.
const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "America/Havana",
];

fn at(text: &str) -> UtcMicros {
    text.parse().expect("an instant")
}

fn span(from: &str, to: &str) -> QuerySpan {
    QuerySpan { from: at(from), to: at(to) }
}

fn query(bucket: QueryBucket, zone: &str) -> AggregationQuery {
    let metric = |name: &str, aggregation| MetricRequest { name: name.to_owned(), aggregation };
    AggregationQuery {
        name: "daily".into(),
        metrics: vec![metric("count", Aggregation::Sum), metric("duration", Aggregation::Avg)],
        dimensions: vec!["group.id".to_owned(), "channel".to_owned()],
        filter: None,
        bucket,
        zone: TimeZone::get(zone).expect("a zone"),
    }
}

fn january() -> QuerySpan {
    span("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z")
}

/// Rows of January, each of another day or channel.
fn rows(count: usize) -> Vec<ResultRow> {
    let row = |number: usize| ResultRow {
        at: january().from + Duration::from_secs(86_400) * u32::try_from(number % 31).expect("small"),
        dimensions: vec![Some("grp_1".into()), (number >= 31).then(|| format!("ch{}", number / 31).into())],
        metrics: vec![Some(f64::from(u32::try_from(number).expect("small")) / 7.0), None],
    };
    (0..count).map(row).collect()
}

/// Reads rows in pages, as a platform would send them.
fn read(rows: &[ResultRow], page_rows: u32, promised: Option<u64>) -> Result<PartResult, ResultError> {
    let mut reader = PartReader::new(&query(QueryBucket::Day, "UTC"), january(), page_rows);
    loop {
        let offset = reader.next_offset();
        let begin = rows.len().min(usize::try_from(offset).expect("small"));
        let end = rows.len().min(begin + usize::try_from(page_rows).expect("small"));
        match reader.add_page(ResultPage { offset, promised, rows: rows[begin..end].to_vec() })? {
            ReadProgress::NextPage { .. } => {}
            ReadProgress::Complete => return reader.finish(),
        }
    }
}

fn digest(part: PartResult) -> crate::domain::audit::Hash {
    let query = query(QueryBucket::Day, "UTC");
    join_parts(&query, january(), vec![part]).expect("one part tiles").digest(&query)
}

fn error_kind(result: Result<PartResult, ResultError>) -> ResultErrorKind {
    result.expect_err("a fault").kind
}

#[test]
fn a_good_query_has_no_fault_and_a_bad_one_has_all_of_them() {
    assert_eq!(query(QueryBucket::Day, "UTC").validation_errors(), []);
    let mut invalid = query(QueryBucket::Day, "UTC");
    invalid.name = " ".into();
    invalid.metrics =
        (0..11).map(|n| MetricRequest { name: format!("m{}", n % 10), aggregation: Aggregation::Sum }).collect();
    invalid.dimensions = ["a", "", "a", "b\u{7}", "c", "d"].map(str::to_owned).to_vec();
    invalid.filter = Some(EqualsFilter { field: "f".repeat(101), value: String::new() });
    invalid.zone = TimeZone::fixed(jiff::tz::offset(2));
    let fields: Vec<String> = invalid.validation_errors().into_iter().map(|error| error.field).collect();
    let expected = [
        "name",
        "metrics",
        "dimensions",
        "metrics[10].name",
        "dimensions[1]",
        "dimensions[2]",
        "dimensions[3]",
        "filter.field",
        "filter.value",
        "zone",
    ];
    assert_eq!(fields, expected);
    invalid.metrics.clear();
    let text: Vec<String> = invalid.validation_errors().iter().map(ToString::to_string).collect();
    assert!(text.contains(&"metrics is empty; name at least one metric".to_owned()), "{text:?}");
    assert!(
        text.contains(&"dimensions has 6 entries; the platform takes 5: make two queries of it".to_owned()),
        "{text:?}"
    );
}

#[test]
fn ten_metrics_five_dimensions_and_365_days_are_within_the_limits() {
    let mut largest = query(QueryBucket::Day, "UTC");
    largest.metrics = (0..10).map(|n| MetricRequest { name: format!("m{n}"), aggregation: Aggregation::Sum }).collect();
    largest.dimensions = (0..5).map(|n| format!("d{n}")).collect();
    assert_eq!(largest.validation_errors(), []);
    let year = span("2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z");
    assert_eq!(largest.parts(year), Ok(vec![year]));
    let leap = span("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
    let bucket_start = at("2024-12-31T00:00:00Z");
    assert_eq!(
        largest.parts(leap),
        Ok(vec![QuerySpan { to: bucket_start, ..leap }, QuerySpan { from: bucket_start, ..leap }])
    );
}

#[test]
fn a_span_that_cannot_be_asked_says_why_and_what_to_take() {
    let berlin = query(QueryBucket::Day, "Europe/Berlin");
    let error_text = |span| berlin.parts(span).expect_err("refused").to_string();
    let utc_days = error_text(january());
    assert_eq!(
        utc_days,
        "from is 2024-01-01T00:00:00Z, in the middle of a bucket of one DAY in Europe/Berlin; \
         take 2023-12-31T23:00:00Z or 2024-01-01T23:00:00Z"
    );
    assert!(error_text(span("2024-01-01T23:00:00Z", "2024-01-01T23:00:00Z")).contains("has no length"));
    assert!(error_text(span("1999-01-01T23:00:00Z", "2024-01-01T23:00:00Z")).contains("2000 to 2199"));
    assert!(error_text(span("2000-01-01T23:00:00Z", "2022-01-01T23:00:00Z")).contains("longer than 20"));
    let whole = berlin.whole_buckets(january());
    assert_eq!(whole, span("2023-12-31T23:00:00Z", "2024-02-01T23:00:00Z"));
    assert!(berlin.parts(whole).is_ok());
}

#[test]
fn the_last_buckets_are_those_that_have_ended() {
    let berlin = query(QueryBucket::Day, "Europe/Berlin");
    // The day of the clock change has 23 hours.
    let last = berlin.last_buckets(2, at("2026-03-30T10:00:00Z"));
    assert_eq!(last, span("2026-03-27T23:00:00Z", "2026-03-29T22:00:00Z"));
    assert_eq!(
        berlin.last_buckets(1, at("2026-03-29T22:00:00Z")),
        span("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
    );
    let hours = query(QueryBucket::Hour, "UTC");
    assert_eq!(hours.last_buckets(3, at("2026-03-30T10:59:59Z")), span("2026-03-30T07:00:00Z", "2026-03-30T10:00:00Z"));
    assert_eq!(hours.last_buckets(u32::MAX, at("2000-01-01T05:30:00Z")).from, at("2000-01-01T00:00:00Z"));
}

#[test]
fn words_are_read_in_any_case_and_others_are_refused_with_those_that_there_are() {
    assert_eq!("day".parse(), Ok(QueryBucket::Day));
    assert_eq!("PCT".parse(), Ok(Aggregation::Pct));
    assert!("QUARTER".parse::<QueryBucket>().expect_err("unknown").contains("HOUR, DAY, WEEK or MONTH"));
    assert!("median".parse::<Aggregation>().expect_err("unknown").contains("sum, avg, pct"));
}

#[test]
fn inconsistent_pages_are_distinguished() {
    let all = rows(40);
    assert!(read(&all, 10, Some(40)).is_ok());
    assert!(read(&all, 10, None).is_ok());
    assert!(read(&[], 10, Some(0)).is_ok());
    assert_eq!(error_kind(read(&all[..39], 10, Some(40))), ResultErrorKind::CountMismatch, "stopped short");
    assert_eq!(error_kind(read(&all, 10, Some(39))), ResultErrorKind::CountMismatch, "more than promised");
    assert_eq!(error_kind(read(&all, 10, Some(1_000_000))), ResultErrorKind::TooMany);
    let mut twice = all.clone();
    twice[25] = all[3].clone();
    assert_eq!(error_kind(read(&twice, 10, Some(40))), ResultErrorKind::Duplicate);

    let query = query(QueryBucket::Day, "UTC");
    let page = |offset, promised, rows: &[ResultRow]| ResultPage { offset, promised, rows: rows.to_vec() };
    let second_page = |page| {
        let mut reader = PartReader::new(&query, january(), 10);
        let first = reader.add_page(ResultPage { offset: 0, promised: Some(40), rows: all[..10].to_vec() });
        assert_eq!(first, Ok(ReadProgress::NextPage { offset: 10 }));
        reader.add_page(page).map_err(|error| error.kind)
    };
    assert_eq!(second_page(page(11, Some(40), &all[11..20])), Err(ResultErrorKind::Gap));
    assert_eq!(second_page(page(0, Some(40), &all[..10])), Err(ResultErrorKind::Duplicate));
    assert_eq!(second_page(page(10, Some(41), &all[10..20])), Err(ResultErrorKind::CountMismatch));
    assert_eq!(second_page(page(10, None, &all[10..20])), Err(ResultErrorKind::CountMismatch));
    assert_eq!(second_page(page(10, Some(40), &all[10..21])), Err(ResultErrorKind::TooMany));
    // Fewer than were asked for is no fault while the promise is kept in the end.
    assert_eq!(second_page(page(10, Some(40), &all[10..15])), Ok(ReadProgress::NextPage { offset: 15 }));
    let reader = PartReader::new(&query, january(), 10);
    assert_eq!(error_kind(reader.finish()), ResultErrorKind::Gap, "nothing was read");
}

#[test]
fn rows_of_something_else_are_found_and_the_field_is_named() {
    let mut filtered = query(QueryBucket::Day, "UTC");
    filtered.filter = Some(EqualsFilter { field: "group.id".to_owned(), value: "grp_1".to_owned() });
    let good = rows(1).remove(0);
    let error_of = |row: ResultRow| {
        let mut reader = PartReader::new(&filtered, january(), 10);
        let page = ResultPage { offset: 0, promised: None, rows: vec![good.clone(), row] };
        let error = reader.add_page(page).expect_err("a fault");
        (error.kind, error.location.rsplit(", ").next().expect("a place").to_owned())
    };
    let foreign = |field: &str| (ResultErrorKind::ForeignRow, format!("results[1].{field}"));
    assert_eq!(error_of(ResultRow { at: january().to, ..good.clone() }), foreign("timeSeries"));
    assert_eq!(error_of(ResultRow { at: january().from.offset(1), ..good.clone() }), foreign("timeSeries"));
    assert_eq!(error_of(ResultRow { metrics: vec![Some(1.0)], ..good.clone() }), foreign("metrics"));
    assert_eq!(error_of(ResultRow { dimensions: vec![None], ..good.clone() }), foreign("dimensions"));
    let other_group = ResultRow { dimensions: vec![Some("grp_2".into()), None], ..good.clone() };
    assert_eq!(error_of(other_group), foreign("dimensions[0]"));
}

#[test]
fn a_fault_names_the_query_the_place_what_is_wrong_and_a_way_out() {
    let text = read(&rows(39), 10, Some(40)).expect_err("short").to_string();
    assert!(
        text.starts_with(
            "the answer to the query \"daily\", 2024-01-01T00:00:00Z to 2024-02-01T00:00:00Z, page at 39: "
        ),
        "{text}"
    );
    assert!(
        text.contains("39 rows of 40 announced rows arrived; nothing of it is kept; run the query again"),
        "{text}"
    );
}

#[test]
fn parts_that_do_not_tile_the_span_are_not_joined() {
    let query = query(QueryBucket::Day, "UTC");
    let part = |from: &str, to: &str| PartResult { span: span(from, to), rows: Vec::new(), promised: Some(0) };
    let (first, second) =
        (part("2024-01-01T00:00:00Z", "2024-01-10T00:00:00Z"), part("2024-01-10T00:00:00Z", "2024-02-01T00:00:00Z"));
    let try_join = |parts: Vec<PartResult>| join_parts(&query, january(), parts).map_err(|error| error.kind);
    assert!(try_join(vec![second.clone(), first.clone()]).is_ok());
    assert_eq!(try_join(vec![first.clone()]), Err(ResultErrorKind::NotContiguous));
    assert_eq!(try_join(vec![second.clone()]), Err(ResultErrorKind::NotContiguous));
    assert_eq!(try_join(vec![first.clone(), second.clone(), second.clone()]), Err(ResultErrorKind::NotContiguous));
    let misplaced = PartResult { rows: rows(20), ..first };
    assert_eq!(try_join(vec![misplaced, second]), Err(ResultErrorKind::ForeignRow));
}

#[test]
fn the_canonical_form_is_the_whole_document_in_jcs() {
    let query = query(QueryBucket::Day, "UTC");
    let part = PartResult { span: january(), rows: rows(3), promised: Some(3) };
    let result = join_parts(&query, january(), vec![part]).expect("it tiles");
    let question: serde_json::Value = serde_json::from_str(&query.canonical_request(january())).expect("JSON");
    assert_eq!(
        question["metrics"],
        json!([{ "aggregation": "sum", "name": "count" }, { "aggregation": "avg", "name": "duration" }])
    );
    let rows: Vec<_> = result
        .rows
        .iter()
        .map(|row| json!({ "at": row.at, "dimensions": ["grp_1", null], "metrics": row.metrics }))
        .collect();
    let whole = serde_jcs::to_vec(&json!({ "query": question, "rows": rows })).expect("canonical");
    assert_eq!(result.digest(&query), crate::domain::audit::Hash::of(&whole));
    assert_eq!(
        result.rows[1].to_canonical(),
        r#"{"at":"2024-01-02T00:00:00Z","dimensions":["grp_1",null],"metrics":[0.14285714285714285,null]}"#
    );
    let renamed = AggregationQuery { name: "other".into(), ..query.clone() };
    assert_eq!(
        renamed.canonical_request(january()),
        query.canonical_request(january()),
        "a name changes nothing of what is asked"
    );
}

#[test]
fn received_over_promised_is_none_without_a_promise_and_all_of_nothing_is_all() {
    assert_eq!(completeness_ppm(39, Some(40)), Some(975_000));
    assert_eq!(completeness_ppm(0, Some(0)), Some(1_000_000));
    assert_eq!(completeness_ppm(7, None), None);
    let query = query(QueryBucket::Day, "UTC");
    let result = join_parts(&query, january(), vec![read(&rows(40), 7, Some(40)).expect("whole")]).expect("it tiles");
    assert_eq!((result.received(), result.completeness_ppm()), (40, Some(1_000_000)));
}

fn some_instant() -> impl Strategy<Value = UtcMicros> {
    // 2001 to 2037, and as often the hours around the clock changes of Europe.
    let any = (978_307_200_i64..2_145_916_800).prop_map(|seconds| UtcMicros::from_micros(seconds * 1_000_000 + 7));
    let changes = prop::sample::select(vec!["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2011-12-30T10:00:00Z"]);
    let near_change = (changes, -7_200_i64..7_200).prop_map(|(change, off)| at(change).offset(off * 1_000_000));
    prop_oneof![any, near_change]
}

proptest! {
    #[test]
    fn buckets_tile_time(
        instant in some_instant(),
        bucket in prop::sample::select(QueryBucket::ALL.to_vec()),
        zone in prop::sample::select(ZONES.to_vec()),
    ) {
        let zone = TimeZone::get(zone).expect("a zone");
        let start = bucket.floor(instant, &zone);
        let next = bucket.next_start(start, &zone);
        prop_assert!(start <= instant && instant < next, "{start} {instant} {next}");
        prop_assert!(bucket.floor(start, &zone) == start && bucket.floor(next, &zone) == next);
        prop_assert_eq!(bucket.floor(next.offset(-1), &zone), start);
    }

    #[test]
    fn parts_tile_the_span_at_borders_and_none_is_too_long(
        from in some_instant(),
        days in 0_u64..6_000,
        bucket in prop::sample::select(QueryBucket::ALL.to_vec()),
        zone in prop::sample::select(ZONES.to_vec()),
    ) {
        let query = query(bucket, zone);
        let span = query.whole_buckets(QuerySpan { from, to: from + Duration::from_secs(days * 86_400 + 1) });
        let parts = query.parts(span).expect("less than twenty years");
        prop_assert_eq!(parts.first().map(|part| part.from), Some(span.from));
        prop_assert_eq!(parts.last().map(|part| part.to), Some(span.to));
        prop_assert!(parts.windows(2).all(|pair| pair[0].to == pair[1].from));
        for part in &parts {
            prop_assert!(part.from < part.to && part.to.since(part.from) <= MAX_PART_DURATION);
            prop_assert!(bucket.floor(part.from, &query.zone) == part.from && bucket.floor(part.to, &query.zone) == part.to);
        }
        // No part could take in another bucket.
        for part in parts.iter().rev().skip(1) {
            prop_assert!(bucket.next_start(part.to, &query.zone).since(part.from) > MAX_PART_DURATION);
        }
        let empty = parts.iter().map(|span| PartResult { span: *span, rows: Vec::new(), promised: None }).collect();
        prop_assert!(join_parts(&query, span, empty).is_ok());
    }

    #[test]
    fn the_hash_is_the_same_for_every_paging_and_order(
        order in Just((0..80_usize).collect::<Vec<_>>()).prop_shuffle(),
        page_rows in 1_u32..100,
        promised in any::<bool>(),
    ) {
        let all = rows(80);
        let expected_digest = digest(read(&all, 500, Some(80)).expect("whole"));
        let shuffled: Vec<_> = order.into_iter().map(|place| all[place].clone()).collect();
        prop_assert_eq!(digest(read(&shuffled, page_rows, promised.then_some(80)).expect("whole")), expected_digest);
    }

    #[test]
    fn a_row_that_is_dropped_repeated_or_changed_is_found(
        page_rows in 1_u32..100,
        victim in 0_usize..80,
        place in 0_usize..80,
        change in 0_usize..3,
        by in prop::sample::select(vec![1.0_f64, -1.0, 1e-9]),
    ) {
        let all = rows(80);
        let expected_digest = digest(read(&all, 500, Some(80)).expect("whole"));

        let mut dropped = all.clone();
        dropped.remove(victim);
        prop_assert_eq!(error_kind(read(&dropped, page_rows, Some(80))), ResultErrorKind::CountMismatch);

        let mut repeated = all.clone();
        repeated.insert(place, all[victim].clone());
        // Where it comes after all that was promised it is never asked for, and what was read is whole.
        if let Ok(part) = read(&repeated, page_rows, Some(80)) {
            prop_assert_eq!(digest(part), expected_digest);
        }
        prop_assert!(read(&repeated, page_rows, None).is_err());
        repeated.remove(if place <= victim { victim + 1 } else { victim });
        repeated[place.min(79)] = repeated[(place.min(79) + 1) % 80].clone();
        prop_assert_eq!(error_kind(read(&repeated, page_rows, Some(80))), ResultErrorKind::Duplicate);

        let mut changed = all;
        match change {
            0 => changed[victim].metrics[0] = changed[victim].metrics[0].map(|value| value + by),
            1 => changed[victim].metrics[1] = Some(0.0),
            _ => changed[victim].dimensions[0] = None,
        }
        prop_assert_ne!(digest(read(&changed, page_rows, Some(80)).expect("whole")), expected_digest);
    }

    #[test]
    fn a_row_is_read_back_from_its_canonical_text_to_the_last_digit(
        micros in 0_i64..4_000_000_000_000_000,
        dimensions in prop::collection::vec(prop::option::of(".{0,20}"), 0..5),
        metrics in prop::collection::vec(prop::option::of(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO), 1..10),
    ) {
        let dimensions = dimensions.into_iter().map(|text| text.map(Into::into)).collect();
        let row = ResultRow { at: UtcMicros::from_micros(micros), dimensions, metrics };
        let back = ResultRow::from_canonical(&row.to_canonical()).expect("readable");
        prop_assert_eq!(back.to_canonical(), row.to_canonical());
        prop_assert_eq!(back, row);
    }
}
