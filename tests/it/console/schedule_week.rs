//! The week on the schedule board: the same agents and choices, seven days across.

use std::fmt::Write as _;

use reqwest::StatusCode;
use serde_json::json;

use super::schedule::{assert_page_is_readable, board};
use super::{sign_in_browser, team_setup};
use crate::faults::print_progress;
use crate::harness::{Setup, agent_ids, full_size, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_week_shows_seven_days_and_leads_to_each_of_them() {
    let Some((scenario, browser)) = board("supervisor").await else { return };
    browser.go(&scenario.page_url("/schedule?tenant=acme&day=2026-10-28&sort=start&team=Team+0")).await;
    browser.click(".gantt-days a[href*='view=week']").await;
    browser.wait_for_text(".gantt-days strong", |text| text == "26 October to 1 November 2026").await;
    let days =
        browser.run("return [...document.querySelectorAll('.gantt-axis a')].map((one) => one.textContent)", &[]).await;
    let expected = ["Mon 26 Oct", "Tue 27 Oct", "Wed 28 Oct", "Thu 29 Oct", "Fri 30 Oct", "Sat 31 Oct", "Sun 1 Nov"];
    assert_eq!(days, json!(expected));
    let label = browser.run("return document.querySelector('.piece[data-planned]').ariaLabel", &[]).await;
    assert_eq!(label, "Agent 0, planned: Work, Mon 00:30 to Mon 16:00, 15 h 30 min");
    // Too narrow to be dragged; the menu does the same.
    assert_eq!(browser.count(".edge, .gantt-staffing").await, 0);
    browser.run("document.querySelector('.piece[data-planned]').focus()", &[]).await;
    browser.press("\u{e007}").await;
    browser.wait_for_text(".bar-menu h2", |text| text == "Agent 0, 26 Oct 00:30 to 26 Oct 16:00").await;
    browser.press("\u{e00c}").await;
    assert_page_is_readable(&browser, "schedule-week").await;

    browser.click(".gantt-days a[aria-label='Next week']").await;
    browser.wait_for_text(".gantt-days strong", |text| text == "2 to 8 November 2026").await;
    browser.click(".gantt-days a[aria-label='Previous week']").await;
    browser.wait_for_text(".gantt-days strong", |text| text == "26 October to 1 November 2026").await;
    browser
        .run(
            "document.querySelectorAll('.gantt-axis a')[1].dispatchEvent(new MouseEvent('click', { bubbles: true }))",
            &[],
        )
        .await;
    browser.wait_for_text(".gantt-days strong", |text| text == "Tuesday 27 October 2026").await;
    for kept in ["team=Team+0", "sort=start"] {
        browser.wait_for_url(|url| url.contains(kept) && !url.contains("view=week")).await;
    }
    for (days, status) in [(0, StatusCode::BAD_REQUEST), (7, StatusCode::OK), (8, StatusCode::BAD_REQUEST)] {
        let (found, body) = scenario.get(&format!("/api/v1/schedule-board?tenant=acme&days={days}")).await;
        assert_eq!(found, status, "{days}: {body}");
    }
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
}

/// A week of shifts with two breaks and lunch for each agent.
fn week(agents: usize) -> String {
    let mut lines = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n".to_owned();
    for (number, agent) in agent_ids(agents).into_iter().enumerate() {
        for day in ["10-26", "10-27", "10-28", "10-29", "10-30", "10-31", "11-01"] {
            for (activity, start, end) in [
                ("shift", "08:00", "16:30"),
                ("break", "10:00", "10:15"),
                ("lunch", "12:00", "12:30"),
                ("break", "14:30", "14:45"),
            ] {
                let times = format!("2026-{day}T{start},2026-{day}T{end},false");
                // Writing to a String cannot fail.
                let _ = writeln!(lines, "{agent},Agent {number},Team {},UTC,{activity},{times}", number % 4);
            }
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_five_hundred_agents_has_a_hundred_of_them_on_a_page() {
    let setup = Setup { request_timeout: std::time::Duration::from_secs(10), ..team_setup(500) };
    let Some((scenario, browser)) = sign_in_browser(setup, "supervisor").await else { return };
    scenario.import(&week(500)).await;
    let mut figures = Vec::new();
    for (what, query) in [("a day", "team="), ("a week", "team=&view=week")] {
        browser.go(&scenario.page_url(&format!("/schedule?tenant=acme&day=2026-10-26&{query}"))).await;
        browser.wait_for_text("h1", |text| text == "Schedule").await;
        let script = "const [page] = performance.getEntriesByType('navigation'); return [page.responseEnd - page.requestStart, page.loadEventEnd - page.responseEnd, page.decodedBodySize / 1024]";
        let took = browser.run(script, &[]).await;
        let figure = |index: usize| took[index].as_f64().unwrap_or_default();
        figures.push(format!(
            "{what}: answered in {:.0} ms, loaded in {:.0} ms, {:.0} KiB",
            figure(0),
            figure(1),
            figure(2)
        ));
    }
    assert_eq!(browser.count(".gantt-row.drawing").await, 100);
    let script = "return document.querySelector('#fresh').textContent";
    let text = browser.run(script, &[]).await;
    let text = text.as_str().expect("text");
    assert!(text.contains("400 more agents are not shown. A week has at most 100 agents. Choose a team."), "{text}");
    let request = scenario.request(reqwest::Method::GET, "/api/v1/schedule-board?tenant=acme&day=2026-10-26&days=7");
    let (_, answer) = send(request).await;
    assert_eq!((answer["agents"].as_array().map(Vec::len), &answer["total"]), (Some(100), &json!(500)));
    if full_size() {
        print_progress(figures.join("\n"));
    }
    browser.end().await;
}
