//! Aggregation queries as they are submitted and read.

use jiff::tz::TimeZone;

use super::*;
use crate::domain::analytics::{
    Aggregation, AggregationQuery, EqualsFilter, MetricRequest, QueryBucket, QuerySpan, ResultPage, ResultRow,
};
use crate::domain::ids::PlatformQueryId;
use crate::platform::analytics::{PageRequest, QueryState, RetryDecision, after_page, after_submit};

fn query() -> AggregationQuery {
    let metric = |name: &str, aggregation| MetricRequest { name: name.to_owned(), aggregation };
    AggregationQuery {
        name: "daily".into(),
        metrics: vec![metric("duration", Aggregation::Avg), metric("count", Aggregation::Sum)],
        dimensions: vec!["group.id".to_owned()],
        filter: Some(EqualsFilter { field: "group.id".to_owned(), value: "grp_001".to_owned() }),
        bucket: QueryBucket::Day,
        zone: TimeZone::UTC,
    }
}

fn january() -> QuerySpan {
    let at = |text: &str| text.parse().expect("valid");
    QuerySpan { from: at("2024-01-01T00:00:00Z"), to: at("2024-02-01T00:00:00Z") }
}

async fn read_page(response: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Result<QueryState, Failure> {
    let server = start_server(move |_| response()).await;
    let (query, id) = (query(), PlatformQueryId::new("qry_1"));
    let ask = PageRequest { query: &query, id: &id, offset: 500, limit: 500 };
    let answer = platform(&server.url).query_page(ask).await;
    answer.map(|answer| answer.value).map_err(|error| error.failure)
}

async fn read_body(body: Value) -> Result<QueryState, Failure> {
    read_page(move || test_servers::json(200, &body)).await
}

/// As guide 002 reads it.
fn row() -> Value {
    json!({
        "timeSeries": "2024-01-02T00:00:00Z",
        "dimensions": [{ "name": "group.id", "value": "grp_001" }],
        "metrics": [{ "name": "duration", "aggregation": "avg", "value": 12.5 }, { "name": "count", "value": 7 }],
    })
}

fn read_row() -> ResultRow {
    ResultRow {
        at: "2024-01-02T00:00:00Z".parse().expect("valid"),
        dimensions: vec![Some("grp_001".into())],
        metrics: vec![Some(12.5), Some(7.0)],
    }
}

#[tokio::test]
async fn a_query_is_submitted_as_the_guide_says_and_its_span_ends_before_the_next_bucket() {
    let server = start_server(|_| test_servers::json(202, &json!({ "id": "qry_8f7d", "status": "PENDING" }))).await;
    let platform = platform(&server.url);
    let answer = platform.submit_query(&query(), january(), 500).await.expect("taken");
    assert_eq!(answer.value, PlatformQueryId::new("qry_8f7d"));
    let seen = server.received_requests().pop().expect("a request");
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v2/analytics/query"));
    assert_eq!(seen.header("authorization"), format!("Bearer {TOKEN}"));
    let body: Value = serde_json::from_str(&seen.body).expect("json");
    let expected = json!({
        "metrics": [{ "name": "duration", "aggregation": "avg" }, { "name": "count", "aggregation": "sum" }],
        "dimensions": [{ "name": "group.id" }],
        "filter": { "type": "equals", "field": "group.id", "value": "grp_001" },
        "timeSeries": { "bucketSize": "DAY", "start": "2024-01-01T00:00:00Z", "end": "2024-01-31T23:59:59.999Z" },
        "limit": 500,
        "offset": 0,
    });
    assert_eq!(body, expected);

    let berlin = AggregationQuery { zone: TimeZone::get("Europe/Berlin").expect("a zone"), filter: None, ..query() };
    platform.submit_query(&berlin, january(), 500).await.expect("taken");
    let body: Value = serde_json::from_str(&server.received_requests().pop().expect("a request").body).expect("json");
    assert_eq!((&body["timeSeries"]["timeZone"], body.get("filter")), (&json!("Europe/Berlin"), None));
}

#[tokio::test]
async fn a_dry_run_asks_queries_since_they_change_nothing() {
    let server = start_server(|_| test_servers::json(202, &json!({ "id": 42 }))).await;
    let dry = DryRun::new(Arc::new(platform(&server.url)), clock());
    let answer = dry.submit_query(&query(), january(), 500).await.expect("taken");
    assert_eq!(answer.value, PlatformQueryId::new("42"));
    let ask = PageRequest { query: &query(), id: &answer.value, offset: 0, limit: 1 };
    assert!(dry.query_page(ask).await.is_err(), "the answer has no results");
    assert_eq!(server.paths(), ["/oauth2/token", "/api/v2/analytics/query", "/api/v2/analytics/query/42"]);
}

#[tokio::test]
async fn an_answer_without_a_usable_id_names_the_query_and_the_field() {
    for id in [json!(null), json!(""), json!({}), json!("x".repeat(201)), json!("a\nb")] {
        let body = json!({ "id": id, "status": "PENDING" });
        let server = start_server(move |_| test_servers::json(202, &body)).await;
        let error = platform(&server.url).submit_query(&query(), january(), 500).await.expect_err("nonsense");
        let text = error.to_string();
        assert!(text.contains("the answer to the query \"daily\": id "), "{text}");
    }
}

#[tokio::test]
async fn a_page_is_asked_for_by_parameters_and_by_range() {
    let server = start_server(|_| test_servers::json(200, &json!({ "status": "COMPLETED", "results": [row()] }))).await;
    let id = PlatformQueryId::new("qry/1");
    let ask = PageRequest { query: &query(), id: &id, offset: 500, limit: 500 };
    let answer = platform(&server.url).query_page(ask).await.expect("read");
    let seen = server.received_requests().pop().expect("a request");
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/api/v2/analytics/query/qry%2F1"));
    assert_eq!((seen.query.as_str(), seen.header("range")), ("limit=500&offset=500", "items=500-999"));
    let page = ResultPage { offset: 500, promised: None, rows: vec![read_row()] };
    assert_eq!(answer.value, QueryState::Page(page));
}

#[tokio::test]
async fn every_way_in_which_a_query_can_stand_is_told_apart() {
    let read = |status: &str| read_body(json!({ "id": "qry_1", "status": status, "error": "out of memory" }));
    assert_eq!(read("PENDING").await, Ok(QueryState::Pending));
    assert_eq!(read("running").await, Ok(QueryState::Running));
    assert_eq!(read("FAILED").await, Ok(QueryState::Failed { reason: "out of memory".to_owned() }));
    let silent = read_body(json!({ "status": "FAILED" })).await;
    assert_eq!(silent, Ok(QueryState::Failed { reason: "the platform gave no reason".to_owned() }));
    let object = read_body(json!({ "status": "FAILED", "error": { "code": "E1", "message": format!("no {SECRET}") } }));
    assert_eq!(object.await, Ok(QueryState::Failed { reason: "no ***".to_owned() }));
    assert_eq!(read_page(|| plain(404, &[], "")).await, Err(Failure::NotFound), "the id is not known");
    let forbidden = Failure::Forbidden { scope: Some("analytics:view") };
    assert_eq!(read_page(|| plain(403, &[], "")).await, Err(forbidden));
}

#[tokio::test]
async fn what_a_page_promises_is_read_from_body_and_header() {
    let read = |header: Option<&'static str>, body: Value| {
        read_page(move || {
            let mut response = test_servers::json(206, &body);
            if let Some(header) = header {
                response.headers_mut().insert("content-range", header.parse().expect("a value"));
            }
            response
        })
    };
    let told = |state| match state {
        Ok(QueryState::Page(page)) => (page.offset, page.promised, page.rows.len()),
        other => panic!("{other:?}"),
    };
    let body = |extra: Value| {
        let mut body = json!({ "results": [row()] });
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        body
    };
    assert_eq!(told(read(None, body(json!({ "total": 501 }))).await), (500, Some(501), 1));
    assert_eq!(told(read(None, body(json!({ "offset": 400 }))).await), (400, None, 1));
    assert_eq!(told(read(Some("items 500-500/501"), body(json!({}))).await), (500, Some(501), 1));
    assert_eq!(told(read(Some("items 0-0/*"), body(json!({}))).await), (0, None, 1));
    for (header, extra, field) in [
        (Some("items 500-500/501"), json!({ "total": 502 }), "total"),
        (Some("items 500-501/502"), json!({}), "header Content-Range"),
        (Some("bytes 500-500/501"), json!({}), "header Content-Range"),
        (None, json!({ "total": -1 }), "total"),
        (None, json!({ "total": "many" }), "total"),
        (None, json!({ "offset": 1.5 }), "offset"),
    ] {
        let failure = read(header, body(extra)).await.expect_err("a contradiction");
        let Failure::Malformed { excerpt, .. } = failure else { panic!("{failure:?}") };
        assert!(excerpt.starts_with(&format!("the answer to the query \"daily\": {field} ")), "{excerpt}");
    }
}

#[tokio::test]
async fn rows_are_read_in_the_forms_that_platforms_have() {
    let variant = |change: fn(&mut Value)| {
        let mut row = row();
        change(&mut row);
        read_body(json!({ "results": [row] }))
    };
    let one = |state| match state {
        Ok(QueryState::Page(mut page)) => page.rows.remove(0),
        other => panic!("{other:?}"),
    };
    assert_eq!(one(variant(|row| row["dimensions"] = json!({ "group.id": "grp_001" })).await), read_row());
    assert_eq!(one(variant(|row| row["metrics"].as_array_mut().expect("a list").reverse()).await), read_row());
    let nameless = one(variant(|row| row["metrics"] = json!([{ "value": 12.5 }, { "value": 7 }])).await);
    assert_eq!(nameless, read_row(), "by their places, as the guide reads them");
    let empty = one(variant(|row| row["metrics"][0]["value"] = Value::Null).await);
    assert_eq!(empty.metrics, [None, Some(7.0)]);
    let number = one(variant(|row| row["dimensions"][0]["value"] = json!(17)).await);
    assert_eq!(number.dimensions, [Some("17".into())]);
    let nobody = one(variant(|row| row["dimensions"][0]["value"] = Value::Null).await);
    assert_eq!(nobody.dimensions, [None]);
    let zoned = one(variant(|row| row["timeSeries"] = json!("2024-01-02T01:00:00+01:00")).await);
    assert_eq!(zoned, read_row());
}

#[tokio::test]
async fn a_hostile_row_is_refused_and_its_field_is_named() {
    let cases: [(&str, Value, &str); 17] = [
        ("", json!(7), "results[1] is a number"),
        ("/timeSeries", json!("2026-02-30T25:61:00Z"), "results[1].timeSeries"),
        ("/timeSeries", json!(1_790_000_000), "results[1].timeSeries"),
        ("/metrics", json!({ "count": 7 }), "results[1].metrics is an object"),
        ("/metrics", json!([]), "results[1].metrics has 0 entries, where 2"),
        ("/metrics/0", Value::Null, "results[1].metrics[0].name"),
        ("/metrics/0/name", json!("moon"), "results[1].metrics[0].name is \"moon\", which was not asked for"),
        ("/metrics/0", json!({ "name": "count", "value": 1 }), "results[1].metrics[1] is \"count\" again"),
        ("/metrics/0/aggregation", json!("sum"), "results[1].metrics[0].aggregation is not avg"),
        ("/metrics/0/value", json!("several"), "results[1].metrics[0].value is a text"),
        ("/metrics/0/value", json!(true), "results[1].metrics[0].value is true or false"),
        ("/metrics/0", json!({ "name": "duration" }), "results[1].metrics[0].value is missing"),
        ("/dimensions", json!(7), "results[1].dimensions is a number"),
        ("/dimensions", json!([]), "results[1].dimensions has no \"group.id\""),
        ("/dimensions", json!([{ "value": 1 }]), "results[1].dimensions[0].name is no text"),
        ("/dimensions/0/name", json!(TOKEN), "results[1].dimensions has \"***\", which was not asked for"),
        ("/dimensions/0/value", json!("x".repeat(257)), "of more than 256 characters"),
    ];
    for (path, value, expected) in cases {
        let mut bad = row();
        *bad.pointer_mut(path).expect("a field") = value;
        let failure = read_body(json!({ "results": [row(), bad] })).await.expect_err("refused");
        let Failure::Malformed { excerpt, .. } = failure else { panic!("{failure:?}") };
        assert!(excerpt.contains("the query \"daily\"") && excerpt.contains(expected), "{excerpt}");
    }
    for body in
        [json!({}), json!({ "status": "COMPLETED" }), json!({ "status": 7, "results": [] }), json!({ "results": {} })]
    {
        let failure = read_body(body.clone()).await.expect_err("refused");
        assert!(matches!(failure, Failure::Malformed { .. }), "{body}: {failure:?}");
    }
    // Beyond what a number can be, JSON itself cannot be read.
    let beyond = r#"{"results":[{"timeSeries":"2024-01-02T00:00:00Z","metrics":[{"value":1e999},{"value":1}]}]}"#;
    assert!(matches!(read_page(move || plain(200, &[], beyond)).await, Err(Failure::Malformed { .. })));
}

#[tokio::test]
async fn a_page_without_end_is_not_read_to_its_end() {
    let long = "x".repeat(MAX_PAGE_BYTES);
    let failure = read_page(move || plain(200, &[], &format!("{{\"results\":[],\"note\":\"{long}\"}}"))).await;
    assert_eq!(failure, Err(Failure::TooLarge { limit: MAX_PAGE_BYTES }));
}

#[test]
fn what_may_be_done_again_goes_by_the_class_of_the_failure() {
    let again = [
        (Failure::Throttled { retry_after: None }, RetryDecision::Retry, RetryDecision::Retry),
        (Failure::Timeout, RetryDecision::RetryUnanswered, RetryDecision::Retry),
        (Failure::ConnectionBroken { reason: String::new() }, RetryDecision::RetryUnanswered, RetryDecision::Retry),
        (Failure::NotSent { reason: String::new() }, RetryDecision::Retry, RetryDecision::Retry),
        (Failure::Server { status: 502, retry_after: None }, RetryDecision::RetryUnanswered, RetryDecision::Retry),
        (Failure::Server { status: 504, retry_after: None }, RetryDecision::RetryUnanswered, RetryDecision::Retry),
        (Failure::Server { status: 503, retry_after: None }, RetryDecision::Retry, RetryDecision::Retry),
        (Failure::Unauthorized, RetryDecision::Retry, RetryDecision::Retry),
        (Failure::NotFound, RetryDecision::Never, RetryDecision::Restart),
        (Failure::Forbidden { scope: None }, RetryDecision::Never, RetryDecision::Never),
        (Failure::Rejected { status: 400, excerpt: String::new() }, RetryDecision::Never, RetryDecision::Never),
        (Failure::TooLarge { limit: 1 }, RetryDecision::RetryUnanswered, RetryDecision::Never),
    ];
    for (failure, submit, page) in again {
        assert_eq!((after_submit(&failure), after_page(&failure)), (submit, page), "{failure:?}");
    }
}
