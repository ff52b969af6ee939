//! Other views of the schedule board: the week, and the wall, by a link that needs no account.

use std::fmt::Write as _;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::Browser;
use super::large_roster::{MEASURE_SCRIPT, distribution_text, stream_changes};
use super::schedule::{assert_page_is_readable, board};
use super::{save_screenshot, sign_in_browser, team_setup};
use crate::faults::print_progress;
use crate::harness::{Scenario, Setup, agent_ids, full_size, send};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_the_board_of_its_teams_on_a_wall_until_it_is_revoked() {
    let Some((scenario, browser)) = board("admin").await else { return };
    browser.go(&scenario.page_url("/schedule?tenant=acme&team=Team+0")).await;
    browser.click(".gantt-days a[href*='/schedule/links']").await;
    browser.wait_for_text("h1", |text| text == "Links to the schedule board").await;
    browser.wait_for_source(|page| page.contains("There are no links.")).await;
    let name = browser.run("return document.querySelector('#name').value", &[]).await;
    assert_eq!(name, "wall-team-0", "a name is proposed");
    browser.click("#create").await;
    browser.wait_for_text("#fresh tbody tr", |text| text.contains("wall-team-0") && text.contains("Team 0")).await;
    let link = browser.run("return document.querySelector('#address').value", &[]).await;
    let link = link.as_str().expect("an address").to_owned();
    let token = link.rsplit_once("/wall/").expect("a link").1.to_owned();
    assert_page_is_readable(&browser, "schedule-links").await;

    // Nobody has signed in there.
    let wall = Browser::start().await.expect("a second browser");
    wall.go(&link).await;
    wall.wait_for_text("h1", |text| text.starts_with("Team 0")).await;
    assert_eq!(wall.count(".gantt-row[data-key='u_0001'], .gantt-row[data-key^='u_']").await, 2, "of eight agents");
    assert_eq!(wall.count("a, button, input").await, 0, "there is nothing to press");
    assert_page_is_readable(&wall, "wall").await;
    wall.resize(390, 900).await;
    let script = "return document.querySelector('.gantt-axis').clientWidth";
    let width = wall.run(script, &[]).await.as_f64().expect("pixels");
    assert!(width > 600.0, "a day can be read on a narrow screen: {width}");
    wall.resize(1920, 1080).await;
    wall.wait_for_source(|page| page.contains("zoom:")).await;
    save_screenshot(&wall, "wall-tv").await;
    assert_eq!(wall.console_errors().await, Vec::<String>::new());

    // The link opens the board and nothing else.
    for path in ["/api/v1/agents?tenant=acme", "/api/v1/schedule-board?tenant=acme", "/api/v1/accounts"] {
        let request = scenario.anonymous(Method::GET, path).bearer_auth(&token);
        assert_eq!(send(request).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    let other = scenario.anonymous(Method::GET, &format!("/wall/{token}?tenant=other")).send().await;
    assert_eq!(other.expect("answered").status(), StatusCode::NOT_FOUND, "another tenant");

    browser.click("button[data-revoke]").await;
    browser.click("#sure-yes").await;
    browser.wait_for_text("#fresh", |text| text == "There are no links.").await;
    wall.wait_for_text("h1", |text| text == "This link does not work").await;
    assert_page_is_readable(&wall, "wall-ended").await;
    wall.end().await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_give_access_creates_links_and_other_tokens_are_none() {
    let Some((scenario, browser)) = board("analyst").await else { return };
    assert_eq!(browser.count(".gantt-days a[href*='/schedule/links']").await, 0);
    browser.go(&scenario.page_url("/schedule/links?tenant=acme")).await;
    browser.wait_for_text("h1", |text| text == "You do not have access to this").await;
    browser.end().await;
    let body = json!({"id": "reader", "role": "viewer", "tenants": [{"id": "acme"}]});
    let (status, made) = send(scenario.request(Method::POST, "/api/v1/tokens").json(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    for token in [made["token"].as_str().expect("a token"), "skt_none"] {
        let page = scenario.anonymous(Method::GET, &format!("/wall/{token}")).send().await.expect("answered");
        assert_eq!(page.status(), StatusCode::NOT_FOUND);
        assert!(page.text().await.expect("a page").contains("This link does not work"));
    }
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

/// Scrolls the board up and down while fifty agents change at a time, over two refreshes.
async fn frames_while_scrolling(scenario: &Scenario, browser: &Browser) -> String {
    browser.run(MEASURE_SCRIPT, &[]).await;
    let script = "const board = document.querySelector('.gantt'); let step = 24;
        setInterval(() => {
          board.scrollTop += step;
          if (board.scrollTop <= 0 || board.scrollTop + board.clientHeight >= board.scrollHeight - 1) step = -step;
        }, 16);";
    browser.run(script, &[]).await;
    stream_changes(scenario, browser, 500, 1900).await;
    let frames = browser.run("return __gaps", &[]).await;
    let tasks = browser.run("return __tasks", &[]).await;
    format!("frames while it scrolls: {}; tasks over 50 ms: {}", distribution_text(&frames), distribution_text(&tasks))
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
        let script = "const [page] = performance.getEntriesByType('navigation'); const [paint] = performance.getEntriesByName('first-contentful-paint'); return [page.responseEnd - page.requestStart, paint ? paint.startTime : -1, page.loadEventEnd - page.responseEnd, page.decodedBodySize / 1024]";
        let took = browser.run(script, &[]).await;
        let figure = |index: usize| took[index].as_f64().unwrap_or_default();
        figures.push(format!(
            "{what}: answered in {:.0} ms, first paint after {:.0} ms, loaded in {:.0} ms, {:.0} KiB",
            figure(0),
            figure(1),
            figure(2),
            figure(3)
        ));
        if full_size() {
            figures.push(frames_while_scrolling(&scenario, &browser).await);
        }
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
