//! The pages of analytics queries: one is run by hand, its run is followed without a reload, and drawn.

use std::time::Duration;

use shiftkeeper::sim::SimOptions;

use super::browser::axe;
use super::pages::page_problems;
use super::{sign_in_browser, team_setup};
use crate::harness::Setup;

const TABLES: &str = r#"
[tenants.figures]
requests_per_minute = 600
[tenants.automation]
stale_intervals = 30
[[tenants.analytics]]
id = "calls"
metrics = ["sum count", "avg duration"]
dimensions = ["channel"]
last = 60
cron = "15 3 * * *"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_run_by_hand_followed_and_drawn_readably_everywhere() {
    let usual = team_setup(4);
    let sim = SimOptions { analytics_duration: Duration::from_secs(2), reporting_per_minute: 600, ..usual.sim };
    let setup = Setup { sim, tenant_tables: TABLES, ..usual };
    let Some((scenario, browser)) = sign_in_browser(setup, "admin").await else { return };
    browser.go(&scenario.page_url("/analytics")).await;
    browser.click("button[data-ask=\"calls\"]").await;
    // The page updates by itself, and so does the list of queries.
    browser.wait_for_text("#fresh .card tbody td[data-label=\"Last run\"]", |text| text.contains("180 rows")).await;
    browser.wait_for_text("#fresh > .scroll tbody tr", |text| text.contains("180 rows")).await;
    browser.click("#fresh > .scroll tbody th a").await;
    browser.wait_for_url(|url| url.contains("/analytics/")).await;
    browser.find(".chart svg").await;
    assert_eq!(browser.count(".chart svg[role=img]").await, 2, "each metric of the first channel");
    let url = browser.url().await;
    let run = url.split("/analytics/").nth(1).and_then(|rest| rest.split('?').next()).expect("an id");
    let (axe, run) = (axe(), format!("/analytics/{run}"));
    let mut wrong = page_problems(&scenario, &browser, axe.as_deref(), ("analytics-queries", "/analytics")).await;
    wrong.extend(page_problems(&scenario, &browser, axe.as_deref(), ("analytics-run", &run)).await);
    browser.scripts(false).await;
    browser.go(&scenario.page_url("/analytics")).await;
    let listed = ["sum count, avg duration", "shiftkeeper analytics run QUERY"];
    browser.wait_for_source(|source| listed.iter().all(|text| source.contains(text))).await;
    browser.end().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
