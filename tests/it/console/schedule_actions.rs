//! What a supervisor does on the schedule board by dragging, and from the menu of a bar: early leave, an exception, a meeting.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::{Browser, axe};
use super::pages::violations;
use super::save_screenshot;
use super::schedule::{assert_page_is_readable, board};
use crate::harness::send;

const ROW: &str = ".gantt-row[data-key='u_0001']";
const ENTER: &str = "\u{e007}";

/// The width of an hour of the board, in pixels.
async fn hour(browser: &Browser) -> f64 {
    let script = "return document.querySelector('.gantt-row.drawing svg').clientWidth / 24";
    browser.run(script, &[]).await.as_f64().expect("pixels")
}

#[expect(clippy::cast_possible_truncation, reason = "the width of a window")]
fn whole(pixels: f64) -> i64 {
    pixels.round() as i64
}

async fn value(browser: &Browser, css: &str) -> Value {
    browser.run("return document.querySelector(arguments[0]).value", &[json!(css)]).await
}

/// Keeps what the line below the board says, since the board is left when the drag ends.
async fn keep_details(browser: &Browser) {
    let script = "sessionStorage.setItem('details', '');
        new MutationObserver(() => sessionStorage.setItem('details', `${sessionStorage.getItem('details')}|${document.querySelector('.gantt-detail').textContent}`))
            .observe(document.querySelector('.gantt-detail'), { childList: true, characterData: true, subtree: true })";
    browser.run(script, &[]).await;
}

async fn details(browser: &Browser) -> String {
    let kept = browser.run("return sessionStorage.getItem('details')", &[]).await;
    kept.as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_leaves_early_when_the_end_of_the_shift_is_dragged() {
    let Some((scenario, browser)) = board("supervisor").await else { return };
    keep_details(&browser).await;
    browser.drag(&format!("{ROW} .edge[data-edge='end']"), whole(hour(&browser).await * -3.0)).await;
    browser.wait_for_url(|url| url.contains("/schedule/change") && url.contains("kind=set_shift")).await;
    assert!(
        details(&browser).await.contains("Shift ends at 20:30: 180 minutes earlier"),
        "{}",
        details(&browser).await
    );
    browser.wait_for_text("h1", |text| text == "Change the schedule").await;
    assert_eq!(value(&browser, "#kind").await, "set_shift");
    assert_eq!([value(&browser, "#start").await, value(&browser, "#end").await], ["", "2026-10-26T20:30"]);
    browser.click("#check").await;
    browser.wait_for_text("#summary", |text| text == "1 agent: 1 shift changed.").await;
    browser.click("#apply").await;
    browser.wait_for_text("#said", |text| text.contains("is in force: 1 agent changed")).await;
    let span = "from=2026-10-26T00:00:00Z&to=2026-10-27T00:00:00Z";
    let (_, plan) = scenario.get(&format!("/api/v1/agents/u_0001/shifts?tenant=acme&{span}")).await;
    assert_eq!(plan["shifts"][0]["end"], "2026-10-26T20:30:00Z", "{plan}");
    // A supervisor edits, and does not undo versions, which may be about all teams.
    assert_eq!(browser.count("button[data-undo]").await, 0);

    browser.go(&scenario.page_url("/schedule?tenant=acme&day=2026-10-26")).await;
    browser.drag(&format!("{ROW} .edge[data-edge='start']"), whole(hour(&browser).await)).await;
    browser.wait_for_url(|url| url.contains("kind=set_shift") && url.contains("from=2026-10-26T01")).await;
    browser.wait_for_text("h1", |text| text == "Change the schedule").await;
    assert_eq!([value(&browser, "#start").await, value(&browser, "#end").await], ["2026-10-26T01:30", ""]);
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_is_dragged_below_the_plan_is_approved_as_an_exception() {
    let Some((scenario, browser)) = board("supervisor").await else { return };
    keep_details(&browser).await;
    // From noon, the centre of the row.
    browser.drag_below(&format!("{ROW} svg"), 8, whole(hour(&browser).await * 1.5)).await;
    browser.wait_for_url(|url| url.contains("/exceptions/new") && url.contains("agent=u_0001")).await;
    assert!(details(&browser).await.contains("Exception for Agent 0: 12:00 to 13:30"), "{}", details(&browser).await);
    browser.wait_for_text("#affected", |text| text.starts_with("This exception affects 1 agent")).await;
    assert_eq!(
        [value(&browser, "#from").await, value(&browser, "#to").await],
        ["2026-10-26T12:00", "2026-10-26T13:30"]
    );
    browser.write("#exception-reason", "A doctor's appointment").await;
    browser.click("#excuse-save").await;
    browser.wait_for_url(|url| url.contains("/exceptions?")).await;
    let (_, listed) = scenario.get("/api/v1/exceptions?tenant=acme").await;
    let one = &listed["exceptions"][0];
    assert_eq!(
        (&one["from"], &one["to"]),
        (&json!("2026-10-26T12:00:00Z"), &json!("2026-10-26T13:30:00Z")),
        "{listed}"
    );
    assert_eq!(one["agents"][0]["agent"], "u_0001");
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_menu_of_a_bar_and_the_heading_of_a_team_lead_to_pages_that_are_filled_in() {
    let Some((scenario, browser)) = board("supervisor").await else { return };
    let focus = format!("document.querySelector(\"{ROW} .piece[data-planned]\").focus()");
    browser.run(&focus, &[]).await;
    browser.press(ENTER).await;
    browser.wait_for_text(".bar-menu h2", |text| text == "Agent 0, 00:30 to 16:00").await;
    let items =
        browser.run("return [...document.querySelectorAll('.bar-menu li')].map((one) => one.textContent)", &[]).await;
    assert_eq!(items, json!(["Early leave…", "Late start…", "Add a meeting…", "Approve an exception…"]));
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        save_screenshot(&browser, &format!("schedule-menu-{scheme}")).await;
        if let Some(axe) = axe() {
            assert_eq!(violations(&browser, &axe).await, Vec::<String>::new());
        }
    }
    // Escape closes it, and the bar has the focus again.
    browser.press("\u{e00c}").await;
    let is_back = "return document.activeElement.matches('.piece') && !document.querySelector('.bar-menu')";
    assert_eq!(browser.run(is_back, &[]).await, json!(true));
    browser.press(ENTER).await;
    browser.click(".bar-menu li:first-child a").await;
    browser.wait_for_url(|url| url.contains("kind=set_shift") && url.contains("to=2026-10-26T")).await;

    browser.go(&scenario.page_url("/schedule?tenant=acme&day=2026-10-26")).await;
    browser.click("section[aria-label='Team 0'] .gantt-add").await;
    browser.wait_for_text("h1", |text| text == "Change the schedule").await;
    assert_eq!(value(&browser, "#kind").await, "add");
    assert_eq!([value(&browser, "#activity").await, value(&browser, "#team").await], ["meeting", "Team 0"]);
    assert!(value(&browser, "#start").await.as_str().is_some_and(|start| start.starts_with("2026-10-26T")));
    browser.click("#check").await;
    browser.wait_for_text("#summary", |text| text == "2 agents: 2 shifts changed.").await;
    assert_page_is_readable(&browser, "schedule-meeting").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_offered_to_a_team_and_an_agent_accepts_it_without_an_account() {
    let Some((scenario, browser)) = board("supervisor").await else { return };
    let query = "day=2026-10-26&kind=set_shift&to=2026-10-26T20:00:00Z&team=Team%200";
    browser.go(&scenario.page_url(&format!("/schedule/change?tenant=acme&{query}"))).await;
    browser.wait_for_text("h1", |text| text == "Change the schedule").await;
    browser.click("#check").await;
    browser.wait_for_text("#summary", |text| text == "2 agents: 2 shifts changed.").await;
    browser.click("#instead summary").await;
    browser.run("document.getElementById('places').value = '1'", &[]).await;
    assert_page_is_readable(&browser, "schedule-offer-form").await;
    browser.click("#offer").await;
    browser.wait_for_text("#result h2", |text| text == "Offered to 2 agents").await;
    assert_page_is_readable(&browser, "schedule-offer-links").await;
    let link = browser.text("#links tbody td").await;

    browser.go(&link).await;
    browser.wait_for_text("h1", |text| text == "An offer for Monday 26 October 2026").await;
    assert!(browser.text("ins").await.ends_with("20:00"), "{}", browser.text("main").await);
    assert_page_is_readable(&browser, "offer").await;
    browser.click("button[value=accept]").await;
    browser.wait_for_text(".banner.good", |text| text.starts_with("You accepted this offer at")).await;
    assert_page_is_readable(&browser, "offer-accepted").await;

    browser.go(&scenario.page_url("/schedule/offers?tenant=acme")).await;
    browser.wait_for_text("tbody .outcome", |text| text == "filled").await;
    assert!(browser.text("tbody").await.contains("1 of 1"), "{}", browser.text("tbody").await);
    assert_page_is_readable(&browser, "schedule-offers").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_a_rule_proposes_is_approved_on_the_page_of_offers() {
    let Some((scenario, browser)) = board("supervisor").await else { return };
    let text = "[[rules]]\nid = \"early-leave\"\nmode = \"approve\"\nwhen = { planned = \"work\", team = [\"Team 0\", \"Team 1\"] }\n\
                then = { offer = { move_end = { by_minutes = -60 } }, places = 2, open_for = \"8h\" }\n";
    let rule = json!({"tenant": "acme", "text": text});
    let request = scenario.request(Method::PUT, "/api/v1/rules/early-leave").header("If-Match", "\"0\"").json(&rule);
    let (status, made) = send(request).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");

    browser.go(&scenario.page_url("/approvals?tenant=acme")).await;
    browser.wait_for_text(".banner a", |text| text == "1 offer").await;
    assert_page_is_readable(&browser, "approvals-offers").await;
    browser.click(".banner a").await;
    browser.wait_for_text("tbody .outcome", |text| text == "waiting for approval").await;
    assert!(browser.text("tbody").await.contains("rule early-leave"), "{}", browser.text("tbody").await);
    assert_page_is_readable(&browser, "schedule-offer-proposed").await;
    browser.click("button[data-approve]").await;
    browser.wait_for_text("#result h2", |text| text == "Offered to 4 agents").await;
    browser.wait_for_text("tbody .outcome", |text| text == "open").await;
    assert_page_is_readable(&browser, "schedule-offer-approved").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
}
