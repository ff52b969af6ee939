//! The console in a real browser: pages in both themes and two widths, what they show live, and the journeys of supervisors.

mod account;
mod analytics;
mod browser;
mod decisions;
mod hostile;
mod hostile_results;
mod journeys;
mod large_roster;
mod pages;
mod rules;
mod schedule;
mod schedule_actions;
mod schedule_views;
mod trends;

use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use serde_json::json;
use shiftkeeper::sim::SimOptions;

use self::browser::Browser;
use crate::harness::{Scenario, Setup, send};

/// Who signs in.
const NAME: &str = "supervisor";
const PASSWORD: &str = "a long enough password";

/// A world with a browser that has signed in; `None` where there is no browser.
async fn sign_in_browser(setup: Setup, role: &str) -> Option<(Scenario, Browser)> {
    let browser = Browser::start().await?;
    let scenario = Scenario::start_team(setup).await;
    make_account(&scenario, NAME, role).await;
    sign_in(&scenario, &browser, NAME).await;
    Some((scenario, browser))
}

async fn make_account(scenario: &Scenario, id: &str, role: &str) {
    let mut body = json!({"id": id, "name": "Sam Floor", "role": role, "password": PASSWORD});
    match role {
        // A supervisor is restricted to teams.
        "supervisor" => body["tenants"] = json!([{"id": scenario.tenant, "teams": ["*"]}]),
        _ => body["everywhere"] = json!(true),
    }
    let (status, made) = send(scenario.request(Method::POST, "/api/v1/accounts").json(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
}

async fn sign_in(scenario: &Scenario, browser: &Browser, id: &str) {
    browser.go(&scenario.page_url("/")).await;
    browser.wait_for_url(|url| url.contains("/sign-in?next=")).await;
    browser.write("#name", id).await;
    browser.write("#password", PASSWORD).await;
    browser.click("main button").await;
    browser.wait_for_url(|url| !url.contains("/sign-in")).await;
    browser.wait_for_text("h1", |text| text == "Live").await;
}

/// A team with figures and reasons to look.
fn team_setup(count: usize) -> Setup {
    let team = Setup::team(count);
    Setup {
        tenant_keys: "skills = [\"1001\", \"1002\"]\nqueues = [\"q_1001\"]\n",
        sim: SimOptions { ..team.sim },
        ..team
    }
}

/// Where pictures are put for people to look at; none unless asked for (`SHIFTKEEPER_TEST_PICTURES`).
#[expect(clippy::disallowed_methods, reason = "a test's own switch, which the product must not know")]
fn pictures() -> Option<PathBuf> {
    std::env::var_os("SHIFTKEEPER_TEST_PICTURES").map(PathBuf::from)
}

/// Saves a screenshot of the page.
async fn save_screenshot(browser: &Browser, name: &str) {
    if let Some(folder) = pictures() {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), browser.screenshot().await).expect("written");
    }
}

/// The address of an agent's row on the Live page.
fn row_selector(agent: &str) -> String {
    format!("#rows tr[data-id=\"{agent}\"]")
}
