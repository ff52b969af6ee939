//! Aggregation queries, as a client meets them.

use std::collections::BTreeMap;

use super::*;

const QUERY: &str = "/api/v2/analytics/query";

fn large_budget_options() -> SimOptions {
    SimOptions { reporting_per_minute: 10_000, ..quiet_options() }
}

/// A month of days, by channel.
fn month_query() -> Value {
    json!({
        "metrics": [{ "name": "count", "aggregation": "sum" }, { "name": "duration", "aggregation": "avg" }],
        "dimensions": [{ "name": "channel" }],
        "timeSeries": { "bucketSize": "DAY", "start": "2026-09-01T00:00:00Z", "end": "2026-09-30T23:59:59.999Z" },
        "limit": 20, "offset": 0,
    })
}

fn query_with(path: &str, value: Value) -> Value {
    let mut body = month_query();
    *body.pointer_mut(path).expect("a field") = value;
    body
}

impl Bench {
    async fn submit(&self, token: &str, body: &Value) -> String {
        let (status, body) = send(self.post(QUERY, token, body)).await;
        assert_eq!((status, &body["status"]), (StatusCode::ACCEPTED, &json!("PENDING")), "{body}");
        body["id"].as_str().expect("an id").to_owned()
    }

    async fn page(&self, token: &str, id: &str, offset: usize) -> (StatusCode, Value) {
        send(self.get(&format!("{QUERY}/{id}?limit=20&offset={offset}"), token)).await
    }

    /// Every row of a query, as it ends.
    async fn rows(&self, token: &str, body: &Value) -> Vec<Value> {
        let id = self.submit(token, body).await;
        self.clock.advance(Duration::from_secs(4));
        let mut rows = Vec::new();
        loop {
            let (status, page) = self.page(token, &id, rows.len()).await;
            assert_eq!((status, &page["status"]), (StatusCode::OK, &json!("COMPLETED")), "{page}");
            let results = page["results"].as_array().expect("rows").clone();
            if results.is_empty() {
                assert_eq!(page["total"], json!(rows.len()));
                return rows;
            }
            rows.extend(results);
        }
    }
}

#[tokio::test]
async fn a_query_is_pending_then_runs_then_has_every_row_once_whatever_the_pages() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "").await;
    let id = bench.submit(&token, &month_query()).await;
    assert_eq!(bench.page(&token, &id, 0).await.1["status"], "PENDING");
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.page(&token, &id, 0).await.1["status"], "RUNNING");
    let rows = bench.rows(&token, &month_query()).await;
    let mut days: BTreeMap<String, usize> = BTreeMap::new();
    for row in &rows {
        *days.entry(row["timeSeries"].as_str().expect("an instant").to_owned()).or_default() += 1;
        assert_eq!(row["metrics"][0]["name"], "count");
    }
    assert_eq!((rows.len(), days.len()), (90, 30));
    assert!(days.values().all(|channels| *channels == 3), "{days:?}");
    assert!(!rows.is_sorted_by_key(|row| row["timeSeries"].as_str()), "rows are in no order");
    assert_eq!(bench.rows(&token, &month_query()).await, rows, "and are the same each time");
    let (status, _) = bench.page(&token, "qry_none", 0).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn values_have_a_weekly_course_and_the_known_oddities() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "").await;
    let mut body = month_query();
    body["dimensions"] = json!([]);
    let names = ["count", "duration", "first_contact_resolved", "abandoned"];
    body["metrics"] = names.map(|name| json!({ "name": name, "aggregation": "sum" })).to_vec().into();
    let rows = bench.rows(&token, &body).await;
    let value = |day: u32, metric: usize| {
        let row = rows.iter().find(|row| row["timeSeries"] == format!("2026-09-{day:02}T00:00:00Z")).expect("a day");
        row["metrics"][metric]["value"].as_f64().expect("a number")
    };
    // Each oddity beside the same weekday a week before or after.
    for (metric, day, usual, factor) in
        [(0, 13, 6, 3.0), (0, 21, 14, 0.2), (1, 7, 14, 2.5), (2, 25, 18, 0.4), (3, 13, 20, 8.0)]
    {
        let ratio = value(day, metric) / value(usual, metric);
        assert!((ratio / factor - 1.0).abs() < 0.12, "{} of the {day}th: {ratio}", names[metric]);
    }
    let (tuesday, sunday) = (value(8, 0), value(6, 0));
    assert!((sunday / tuesday / 0.35 - 1.0).abs() < 0.12, "{sunday} {tuesday}");
    assert!((value(8, 1) / 240.0 - 1.0).abs() < 0.05);
}

#[tokio::test]
async fn buckets_go_by_the_zone_and_hours_of_the_night_have_no_mean() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "").await;
    // The clocks go back on the 25th.
    let days = json!({ "bucketSize": "DAY", "timeZone": "Europe/Berlin", "start": "2026-10-23T22:00:00Z", "end": "2026-10-26T22:59:59.999Z" });
    let rows = bench.rows(&token, &query_with("/timeSeries", days)).await;
    let mut starts: Vec<_> = rows.iter().map(|row| row["timeSeries"].as_str().expect("an instant")).collect();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(starts, ["2026-10-23T22:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"]);
    let hours = json!({ "bucketSize": "HOUR", "start": "2026-10-23T00:00:00Z", "end": "2026-10-23T23:59:59.999Z" });
    let rows = bench.rows(&token, &query_with("/timeSeries", hours)).await;
    assert_eq!(rows.len(), 72);
    let night = rows.iter().find(|row| row["timeSeries"] == "2026-10-23T03:00:00Z").expect("an hour");
    assert_eq!((&night["metrics"][0]["value"], &night["metrics"][1]["value"]), (&json!(0.0), &Value::Null));
}

#[tokio::test]
async fn a_filter_leaves_its_value_and_what_is_wrong_is_refused() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "").await;
    let mut filtered = month_query();
    filtered["filter"] = json!({ "type": "equals", "field": "channel", "value": "chat" });
    let rows = bench.rows(&token, &filtered).await;
    assert!(rows.len() == 30 && rows.iter().all(|row| row["dimensions"][0]["value"] == "chat"));
    filtered["filter"]["value"] = json!("smoke");
    assert_eq!(bench.rows(&token, &filtered).await.len(), 0);
    let metric = json!({ "name": "count", "aggregation": "sum" });
    for (path, value) in [
        ("/metrics", json!([])),
        ("/metrics", json!(vec![metric; 11])),
        ("/metrics/0/name", json!("moon")),
        ("/metrics/0/aggregation", json!("median")),
        ("/dimensions", json!(vec![json!({ "name": "channel" }); 6])),
        ("/dimensions/0/name", json!("moon")),
        ("/timeSeries/bucketSize", json!("FORTNIGHT")),
        ("/timeSeries/start", json!("2025-09-01T00:00:00Z")),
        ("/timeSeries/start", json!("2026-10-01T00:00:00Z")),
        ("/timeSeries/end", json!("soon")),
    ] {
        let (status, body) = send(bench.post(QUERY, &token, &query_with(path, value.clone()))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {value}: {body}");
    }
    let id = bench.submit(&token, &month_query()).await;
    for query in ["limit=0", "limit=1001", "offset=-1", "limit=x"] {
        let (status, _) = send(bench.get(&format!("{QUERY}/{id}?{query}"), &token)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn five_run_at_once_and_each_call_needs_its_scope_and_a_place_in_the_budget() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "analytics:query").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(bench.submit(&token, &month_query()).await);
    }
    let sixth = bench.post(QUERY, &token, &month_query()).send().await.expect("answered");
    assert_eq!((sixth.status().as_u16(), &sixth.headers()["retry-after"]), (429, &"4".parse().expect("a value")));
    assert_eq!(bench.page(&token, &ids[0], 0).await.0, StatusCode::FORBIDDEN);
    let viewer = bench.token(0, "analytics:view").await;
    assert_eq!(bench.page(&viewer, &ids[0], 0).await.0, StatusCode::OK);
    assert_eq!(send(bench.post(QUERY, &viewer, &month_query())).await.0, StatusCode::FORBIDDEN);
    bench.clock.advance(Duration::from_secs(4));
    bench.submit(&token, &month_query()).await;

    let poor = Bench::new(SimOptions { reporting_per_minute: 2, ..quiet_options() }).await;
    let token = poor.token(0, "").await;
    let id = poor.submit(&token, &month_query()).await;
    assert_eq!(poor.page(&token, &id, 0).await.0, StatusCode::OK);
    assert_eq!(poor.page(&token, &id, 0).await.0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn queries_of_another_tenant_are_not_known() {
    let bench = Bench::new(SimOptions { tenants: 2, ..large_budget_options() }).await;
    let (acme, bravo) = (bench.token(0, "").await, bench.token(1, "").await);
    let id = bench.submit(&acme, &month_query()).await;
    assert_eq!(bench.page(&bravo, &id, 0).await.0, StatusCode::NOT_FOUND);
    assert_ne!(bench.rows(&acme, &month_query()).await, bench.rows(&bravo, &month_query()).await);
}
