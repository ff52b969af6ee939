//! What people do on the pages, from the first look to the last.

use serde_json::json;
use shiftkeeper::sim::SimState;

use super::pages::PAGES;
use super::{floor, row, signed_in};

#[tokio::test(flavor = "multi_thread")]
async fn the_live_page_follows_the_floor_and_keeps_its_filter_in_the_address() {
    let Some((scenario, browser)) = signed_in(floor(40), "supervisor").await else { return };
    browser.until_text("#line-word", |text| text == "Following live").await;
    assert_eq!(browser.count("#rows tr").await, 40);
    scenario.put("u_0007", SimState::Available);
    browser.until_text(&format!("{} [data-f=state]", row("u_0007")), |text| text == "Ready").await;
    // By chip, by search and by hand in the address.
    browser.click("#chips a[data-value=Ready]").await;
    browser.until_text("#matching", |text| text == "1").await;
    assert!(browser.url().await.contains("state=Ready"), "{}", browser.url().await);
    browser.reload().await;
    browser.until_text("#matching", |text| text == "1").await;
    assert_eq!(browser.count("#rows tr").await, 1);
    browser.click("#clear").await;
    browser.until_text("#matching", |text| text == "40").await;
    browser.write("#q", "u_0012").await;
    browser.until_text("#matching", |text| text == "1").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_has_the_focus_keeps_it_while_the_floor_changes() {
    let Some((scenario, browser)) = signed_in(floor(20), "viewer").await else { return };
    browser.until_text("#line-word", |text| text == "Following live").await;
    let link = format!("{} a", row("u_0005"));
    browser.run("document.querySelector(arguments[0]).focus()", &[json!(link)]).await;
    for agent in ["u_0001", "u_0005", "u_0019"] {
        scenario.put(agent, SimState::Available);
        browser.until_text(&format!("{} [data-f=state]", row(agent)), |text| text == "Ready").await;
    }
    let focused = browser.run("return document.activeElement.closest('tr')?.dataset.id", &[]).await;
    assert_eq!(focused, json!("u_0005"));
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_loudly_that_it_no_longer_follows_and_comes_back_by_itself() {
    let Some((mut scenario, browser)) = signed_in(floor(10), "viewer").await else { return };
    browser.until_text("#line-word", |text| text == "Following live").await;
    let port = scenario.address().port();
    scenario.stop_daemon().await;
    browser.until_text("#stale:not([hidden]) strong", |text| text.contains("stopped following")).await;
    scenario.setup.listen_port = Some(port);
    scenario.start_daemon().await;
    browser.until_text("#line-word", |text| text == "Following live").await;
    scenario.put("u_0003", SimState::Available);
    browser.until_text(&format!("{} [data-f=state]", row("u_0003")), |text| text == "Ready").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_every_page_can_be_read() {
    let Some((scenario, browser)) = signed_in(floor(5), "admin").await else { return };
    browser.scripts(false).await;
    for (name, path) in PAGES {
        browser.go(&scenario.page(path)).await;
        let source = browser.source().await;
        assert!(source.contains("<h1>"), "{name}");
    }
    for (path, wanted) in [
        ("/?team=Team+3", "u_0004"),
        ("/agents/u_0002", "The six days before"),
        ("/system", "All is well"),
        ("/webhooks", "Nobody is told"),
        ("/audit", "The chain of"),
    ] {
        browser.go(&scenario.page(path)).await;
        let source = browser.source().await;
        assert!(source.contains(wanted), "{path}");
    }
    browser.go(&scenario.page("/?team=Team+3")).await;
    assert!(!browser.source().await.contains("data-id=\"u_0001\""), "the server narrows");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_and_the_pages_are_worked_by_keys_alone() {
    let Some((scenario, browser)) = signed_in(floor(8), "supervisor").await else { return };
    browser.go(&scenario.page("/?sort=name")).await;
    browser.until_text("#line-word", |text| text == "Following live").await;
    // Down to the first and select it, two further and select all between.
    browser.press("jxjjX").await;
    browser.until_text("#selected", |text| text == "3").await;
    let focused = browser.run("return document.activeElement.closest('tr')?.dataset.id", &[]).await;
    assert_eq!(focused, json!("u_0003"));
    browser.press("kx").await;
    browser.until_text("#selected", |text| text == "2").await;
    browser.press("?").await;
    browser.until_text("dialog[open] h2", |text| text == "Keys").await;
    browser.press("\u{e00c}").await;
    browser.until_text("dialog[open] h2", str::is_empty).await;
    browser.press("/").await;
    assert_eq!(browser.run("return document.activeElement.id", &[]).await, json!("q"));
    // Letters are letters where somebody types.
    browser.press("gx").await;
    browser.until_text("#matching", |text| text == "0").await;
    browser.run("document.activeElement.blur()", &[]).await;
    browser.press("gc").await;
    browser.until_text("h1", |text| text == "Changes").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_in_the_viewers_zone_or_in_the_agents_by_choice() {
    let Some((scenario, browser)) = signed_in(floor(4), "viewer").await else { return };
    browser.zone("Asia/Tokyo").await;
    browser.go(&scenario.page("/")).await;
    // The page tells the zone, and the next one is drawn in it.
    browser.reload().await;
    let until = format!("{} [data-f=until]", row("u_0002"));
    // The shift ends at 23:30 UTC, which is where the agents are.
    browser.until_text(&until, |text| text == "until 08:30").await;
    browser.click("details.menu summary").await;
    browser.click("details.menu a[href*=\"zone=agent\"]").await;
    browser.until_text(&until, |text| text == "until 23:30").await;
    browser.until_text("#line-word", |text| text == "Following live").await;
    browser.reload().await;
    browser.until_text(&until, |text| text == "until 23:30").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_are_selected_previewed_changed_followed_and_taken_back() {
    let Some((scenario, browser)) = signed_in(floor(60), "supervisor").await else { return };
    browser.until_text("#line-word", |text| text == "Following live").await;
    browser.run("[...document.querySelectorAll('#rows input')].slice(0, 50).forEach((box) => box.click())", &[]).await;
    browser.until_text("#selected", |text| text == "50").await;
    browser.click("#selection button.primary").await;
    browser.until_url(|url| url.contains("/changes/new")).await;
    browser.until_text("#selection-count", |text| text == "50").await;
    browser.choose("#to", "Ready").await;
    browser.write("#note", "all hands").await;
    browser.click("#preview").await;
    browser.until_url(|url| url.contains("/changes/") && !url.contains("/new")).await;
    browser.until_text("h1", |text| text == "50 agents to Ready").await;
    assert_eq!(browser.count("#members tr").await, 50);
    let first = browser.run("return document.querySelector('#members tr').dataset.key", &[]).await;
    let first = first.as_str().expect("an agent").to_owned();
    assert_eq!(scenario.state_of(&first), SimState::Unavailable, "a preview changes nobody");
    super::picture(&browser, "journey-preview").await;
    browser.click("#start").await;
    browser.until_text("#standing", |text| text == "done").await;
    super::picture(&browser, "journey-done").await;
    assert_eq!(scenario.state_of(&first), SimState::Available);
    browser.click("#undo").await;
    browser.until_text("h1", |text| text.contains("back to where they were")).await;
    browser.click("#start").await;
    browser.until_text("#standing", |text| text == "done").await;
    assert_eq!(scenario.state_of(&first), SimState::Unavailable);
    browser.end().await;
}
