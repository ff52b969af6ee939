//! Texts that would run something if a page took them for markup, as what a platform may have in its results: names of queries, metrics and
//! dimensions, values of groups and filters, and so in the names of series.

use std::sync::Arc;

use serde_json::json;
use shiftkeeper::domain::analytics::analytics_run::{AnalyticsRun, RunRequest, RunResult};
use shiftkeeper::domain::analytics::anomaly::AnomalyRecord;
use shiftkeeper::domain::analytics::series::aggregated::{AggregatedMetric, ResultSource};
use shiftkeeper::domain::analytics::trend::{AnomalyKind, Baseline};
use shiftkeeper::domain::analytics::{Aggregation, EqualsFilter, MetricRequest, QueryBucket, ResultRow};
use shiftkeeper::domain::ids::{AnalyticsRunId, AnomalyId};
use shiftkeeper::domain::reports::report_run::RunStatus;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::store::{AnalyticsRows, Commit, ProcessIdentity, ProcessRole, Store};
use uuid::Uuid;

use super::browser::Browser;
use super::hostile::{as_displayed, assert_nothing_ran, hostile_texts};
use super::{make_account, sign_in, team_setup};
use crate::harness::{Scenario, Setup, start};

const DAYS: u32 = 5;
const DAY: std::time::Duration = std::time::Duration::from_hours(24);

fn run_id(number: u32) -> AnalyticsRunId {
    AnalyticsRunId(Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000 + u128::from(number)))
}

fn run(scenario: &Scenario, number: u32, query: Option<&str>, request: RunRequest, rows: usize) -> AnalyticsRun {
    let received = u64::try_from(rows).expect("few");
    AnalyticsRun {
        id: run_id(number),
        tenant: scenario.tenant.clone(),
        query: query.map(Into::into),
        requested_by: "person:ann".into(),
        requested_at: start(),
        job: None,
        request,
        status: RunStatus::Done,
        parts: Vec::new(),
        started_at: Some(start()),
        ended_at: Some(start()),
        result: Some(RunResult { has_rows: true, received, promised: Some(received), sha256: "ab".repeat(32) }),
        failure: None,
    }
}

fn request(name: &str, metrics: &[(&str, Aggregation)], dimension: &str) -> RunRequest {
    let metric = |(name, aggregation): &(&str, Aggregation)| MetricRequest {
        name: (*name).to_owned(),
        aggregation: *aggregation,
    };
    RunRequest {
        name: name.to_owned(),
        metrics: metrics.iter().map(metric).collect(),
        dimensions: vec![dimension.to_owned()],
        filter: None,
        bucket: QueryBucket::Day,
        zone: "UTC".to_owned(),
        from: midnight(DAYS),
        to: midnight(0),
        page_rows: 500,
        deadline_s: 60,
    }
}

/// The midnight so many days before the one before the start.
fn midnight(days: u32) -> UtcMicros {
    let at = start() - DAY * days;
    UtcMicros::from_micros(at.as_micros() - at.as_micros().rem_euclid(86_400_000_000))
}

fn rows(groups: &[String], metrics: usize) -> Vec<String> {
    let row = |day: u32, group: &String| ResultRow {
        at: midnight(DAYS - day),
        dimensions: vec![Some(Arc::from(group.as_str()))],
        metrics: vec![Some(f64::from(day * day)); metrics],
    };
    let mut all: Vec<ResultRow> = (0..DAYS).flat_map(|day| groups.iter().map(move |group| row(day, group))).collect();
    all.sort_by(ResultRow::compare);
    all.iter().map(ResultRow::to_canonical).collect()
}

/// A result with a group of each text, a run with each text wherever one may stand, and an anomaly of each group.
async fn store_results(scenario: &Scenario, texts: &[String]) {
    let identity = ProcessIdentity { host: "before".to_owned(), pid: 1, version: "0".to_owned() };
    let store = Store::open(&scenario.store_url(), ProcessRole::Daemon, Arc::clone(&scenario.clock), &identity).await;
    let store = store.expect("opens");
    let mut commit = Commit::default();
    let mut add = |run: AnalyticsRun, rows: Vec<String>| {
        commit.analytics_rows.push(AnalyticsRows { tenant: run.tenant.clone(), run: run.id, first_index: 0, rows });
        commit.analytics_runs.push(run);
    };
    for (number, text) in (1..).zip(texts) {
        let own = rows(std::slice::from_ref(text), 1);
        let filter = Some(EqualsFilter { field: text.clone(), value: text.clone() });
        let asked = RunRequest { filter, ..request(text, &[(text, Aggregation::Avg)], text) };
        add(run(scenario, number, None, asked, own.len()), own);
    }
    let both = [("count", Aggregation::Sum), ("duration", Aggregation::Avg)];
    let all = rows(texts, both.len());
    add(run(scenario, 1_000, Some("calls"), request("calls", &both, "channel"), all.len()), all);
    for (number, text) in (1_u128..).zip(texts) {
        commit.anomalies.push(AnomalyRecord {
            tenant: scenario.tenant.clone(),
            id: AnomalyId(Uuid::from_u128((0x019a_u128 << 112) + number)),
            series: format!("s-{number}").as_str().into(),
            source: group_series(text).into(),
            kind: AnomalyKind::Spike,
            baseline: Baseline::Window,
            first_bucket_at: start() - DAY,
            last_bucket_at: start() - DAY,
            value: 9.0,
            expected: 1.0,
            score: 5.0,
            detected_at: start(),
            last_observed_at: start(),
            ended_at: Some(start()),
        });
    }
    store.writer().commit(commit).await.expect("commits");
    store.close().await;
}

/// The series of a group of the query.
fn group_series(text: &str) -> String {
    let group = vec![("channel".to_owned(), Some(text.to_owned()))];
    AggregatedMetric { source: ResultSource::Query("calls".into()), metric: "count".to_owned(), group }.to_string()
}

async fn go(browser: &Browser, scenario: &Scenario, path: &str) {
    browser.go(&scenario.page_url(path)).await;
    browser.find("h1").await;
    assert_nothing_ran(browser, path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_names_in_results_of_analytics_run_nothing() {
    let Some(browser) = Browser::start().await else { return };
    let texts = hostile_texts();
    let of = group_series(&texts[0]);
    let tables = format!(
        "[[tenants.analytics]]\nid = \"calls\"\nmetrics = [\"sum count\", \"avg duration\"]\ndimensions = [\"channel\"]\n\
         [[tenants.series]]\nid = \"watched\"\nof = {}\n",
        json!(of)
    );
    let mut scenario = Scenario::without_daemon(Setup { tenant_tables: tables.leak(), ..team_setup(4) }).await;
    store_results(&scenario, &texts).await;
    scenario.start_daemon().await;
    make_account(&scenario, "ann", "admin").await;
    sign_in(&scenario, &browser, "ann").await;

    // Every group is offered on both pages, as it is written.
    let options = |select: &str| {
        format!("return [...document.querySelectorAll('{select} option')].map((one) => one.textContent)")
    };
    for (path, select) in [
        ("/trends?series=analytics:calls:count".to_owned(), "#series"),
        (format!("/analytics/{}", run_id(1_000)), "#group"),
    ] {
        go(&browser, &scenario, &path).await;
        let offered = browser.run(&options(select), &[]).await;
        let offered: Vec<String> =
            offered.as_array().into_iter().flatten().map(|one| as_displayed(one.as_str().expect("text"))).collect();
        for text in &texts {
            let text = as_displayed(text);
            assert!(offered.iter().any(|one| one.ends_with(&text)), "{path}: {text} of {offered:?}");
        }
        assert!(browser.count(".chart svg polyline.value").await > 0, "{path}");
    }
    // Each of them as what is drawn, and as everything that a run has names for.
    for (number, text) in (1..).zip(&texts) {
        let part: String = url::form_urlencoded::byte_serialize(group_series(text).as_bytes()).collect();
        go(&browser, &scenario, &format!("/trends?series={part}")).await;
        let wanted = as_displayed(text);
        browser.wait_for_text("#course", |heading| as_displayed(heading).contains(&wanted)).await;
        go(&browser, &scenario, &format!("/analytics/{}", run_id(number))).await;
        browser.wait_for_text("h1", |heading| as_displayed(heading) == wanted).await;
    }
    // The lists, page by page.
    for path in ["/analytics", "/trends"] {
        go(&browser, &scenario, path).await;
        while browser.count("main p > a.button[href*=cursor]").await > 0 {
            browser.click("main p > a.button[href*=cursor]").await;
            browser.find("h1").await;
            assert_nothing_ran(&browser, path).await;
        }
    }
    browser.end().await;
}
