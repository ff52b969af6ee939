//! What people do on the pages, from the first look to the last.

use serde_json::{Value, json};
use shiftkeeper::sim::SimState;

use super::browser::{Browser, axe};
use super::pages::{PAGES, violations};
use super::{row_selector, sign_in_browser, team_setup};
use crate::harness::ledger::state_posts;
use crate::harness::{Setup, WAIT_TIMEOUT, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn the_live_page_follows_the_floor_and_keeps_its_filter_in_the_address() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(40), "supervisor").await else { return };
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    assert_eq!(browser.count("#rows tr").await, 40);
    scenario.set_agent_state("u_0007", SimState::Available);
    browser.wait_for_text(&format!("{} [data-f=state]", row_selector("u_0007")), |text| text == "Ready").await;
    // By chip, by search and by hand in the address.
    browser.click("#chips a[data-value=Ready]").await;
    browser.wait_for_text("#matching", |text| text == "1").await;
    assert!(browser.url().await.contains("state=Ready"), "{}", browser.url().await);
    browser.reload().await;
    browser.wait_for_text("#matching", |text| text == "1").await;
    assert_eq!(browser.count("#rows tr").await, 1);
    browser.click("#clear").await;
    browser.wait_for_text("#matching", |text| text == "40").await;
    browser.write("#q", "u_0012").await;
    browser.wait_for_text("#matching", |text| text == "1").await;
    browser.end().await;
}

/// The counts of chips that are not zero, and how many agents the table has.
async fn page_counts(browser: &Browser) -> Value {
    let script = "const number = (css) => document.querySelector(css).textContent;
        const chips = [...document.querySelectorAll('#chips .count-chip')];
        const counts = chips.map((chip) => [chip.dataset.value, chip.querySelector('.count').textContent]);
        return [number('h1'), document.title.split(' · ')[0], Object.fromEntries(counts.filter(([, count]) => count !== '0')), number('#matching')]";
    browser.run(script, &[]).await
}

/// Waits until the page counts so; with what the server draws of the same address.
async fn wait_for_counts(browser: &Browser, wanted: &Value) {
    let look = || async { Ok::<_, String>(page_counts(browser).await) };
    let same = |found: Value| if found == *wanted { Ok(()) } else { Err(found.to_string()) };
    wait_until("the page counts whom the filter leaves", WAIT_TIMEOUT, || async { look().await.and_then(same) }).await;
    browser.scripts(false).await;
    // What the server draws is a second old at most.
    wait_until("the server counts the same", WAIT_TIMEOUT, || async {
        browser.reload().await;
        look().await.and_then(same)
    })
    .await;
    browser.scripts(true).await;
    browser.reload().await;
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    assert_eq!(page_counts(browser).await, *wanted, "the stream changes the counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_count_is_of_the_filtered_agents_and_the_heading_names_the_filter() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(40), "supervisor").await else { return };
    // Every fourth of them is in team 3.
    for agent in ["u_0001", "u_0004", "u_0011"] {
        scenario.set_agent_state(agent, SimState::Available);
        browser.wait_for_text(&format!("{} [data-f=state]", row_selector(agent)), |text| text == "Ready").await;
    }
    let all = json!({"NotReady": "37", "Ready": "3", "in": "3", "out": "37"});
    wait_for_counts(&browser, &json!(["Live", "Live", all, "40"])).await;
    browser.choose("#team", "Team 3").await;
    let team = json!({"NotReady": "9", "Ready": "1", "in": "1", "out": "9"});
    wait_for_counts(&browser, &json!(["Live: Team 3", "Live: Team 3", team, "10"])).await;
    // A chip's number is what one gets by it.
    browser.click("#chips a[data-value=Ready]").await;
    let ready = json!({"NotReady": "9", "Ready": "1", "in": "1"});
    let said = "Live: Team 3, Ready";
    wait_for_counts(&browser, &json!([said, said, ready, "1"])).await;
    browser.run("document.querySelector('#chips a[data-value=Ready]').click()", &[]).await;
    browser.run("document.querySelector('#chips a[data-value=NotReady]').click()", &[]).await;
    browser.wait_for_text("#matching", |text| text == "9").await;
    // And it is still while the floor changes.
    scenario.set_agent_state("u_0008", SimState::Available);
    let said = "Live: Team 3, Not ready";
    let fewer = json!({"NotReady": "8", "Ready": "2", "out": "8"});
    wait_for_counts(&browser, &json!([said, said, fewer, "8"])).await;
    browser.click("#clear").await;
    browser.wait_for_text("h1", |text| text == "Live").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_agents_are_in_sight_on_a_small_screen_of_a_desk() {
    let Some((_scenario, browser)) = sign_in_browser(team_setup(30), "supervisor").await else { return };
    browser.resize(1280, 800).await;
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    let script = "return [...document.querySelectorAll('#rows tr')].filter((row) => row.getBoundingClientRect().bottom <= innerHeight).length";
    let visible = browser.run(script, &[]).await.as_u64().expect("a count");
    assert!(visible >= 15, "{visible} agents");
    let cut = "return [...document.querySelectorAll('#rows td')].slice(0, 40).filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.className)";
    assert_eq!(browser.run(cut, &[]).await, json!([]), "no cell is cut off");
    super::save_screenshot(&browser, "live-1280x800").await;
    browser.end().await;
}

/// What cannot be seen of the first agent on the first screen, in pixels.
async fn pixels_below_screen(browser: &Browser) -> i64 {
    let script = "return Math.round(document.querySelector('#rows tr').getBoundingClientRect().bottom - innerHeight)";
    browser.run(script, &[]).await.as_i64().expect("pixels")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_the_first_agent_is_visible_and_open_sections_are_in_the_address() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(40), "admin").await else { return };
    browser.resize(390, 844).await;
    for scripts in [true, false] {
        browser.scripts(scripts).await;
        browser.go(&scenario.page_url("/?team=Team+3")).await;
        assert!(pixels_below_screen(&browser).await <= 0, "scripts: {scripts}");
        assert!(browser.run("return document.querySelector('#q').checkVisibility()", &[]).await == json!(false));
    }
    // Without scripts a fold opens too; with them it is open in the address.
    browser.click("details[data-fold=filter] summary").await;
    assert!(browser.run("return document.querySelector('#q').checkVisibility()", &[]).await == json!(true));
    browser.scripts(true).await;
    browser.reload().await;
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.press("/").await;
    browser.wait_for_url(|url| url.contains("open=filter")).await;
    assert_eq!(browser.run("return document.activeElement.id", &[]).await, json!("q"));
    browser.reload().await;
    assert!(browser.run("return document.querySelector('#q').checkVisibility()", &[]).await == json!(true));
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.click("#clear").await;
    browser.wait_for_text("#matching", |text| text == "40").await;
    assert!(browser.url().await.ends_with("&open=filter"), "{}", browser.url().await);
    // Where there is room, all lies open.
    browser.resize(1280, 900).await;
    browser.go(&scenario.page_url("/")).await;
    for place in ["#cards", "#q", "#chips a", ".top nav a[href^='/system']"] {
        let seen = browser.run("return document.querySelector(arguments[0]).checkVisibility()", &[json!(place)]).await;
        assert_eq!(seen, json!(true), "{place}");
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_an_agents_day_opens_at_the_current_time() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(5), "viewer").await else { return };
    browser.resize(390, 844).await;
    browser.go(&scenario.page_url("/agents/u_0002")).await;
    let place = "const [day] = document.querySelectorAll('.timeline');
        const [own, now] = [day, day.querySelector('line.now')].map((one) => one.getBoundingClientRect());
        return [day.scrollWidth > day.clientWidth, own.left <= now.left && now.right <= own.right]";
    wait_until("now is in sight", WAIT_TIMEOUT, || async {
        let found = browser.run(place, &[]).await;
        if found == json!([true, true]) { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_every_page_is_reached_from_the_menu_by_hand_and_by_keys() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(4), "admin").await else { return };
    browser.resize(390, 844).await;
    browser.go(&scenario.page_url("/")).await;
    assert_eq!(browser.text(".pages-menu summary").await, "Menu: Live");
    browser.click(".pages-menu summary").await;
    assert_eq!(browser.count(".top nav a").await, 13);
    if let Some(axe) = axe() {
        assert_eq!(violations(&browser, &axe).await, Vec::<String>::new());
    }
    super::save_screenshot(&browser, "live-menu-390").await;
    // The last one.
    browser.click(".top nav a[href^='/system']").await;
    browser.wait_for_text("h1", |text| text == "System").await;
    browser.run("document.querySelector('.pages-menu summary').focus()", &[]).await;
    browser.press("\u{e007}").await;
    browser.find(".pages-menu[open]").await;
    browser.press("\u{e00c}").await;
    browser.find(".pages-menu:not([open])").await;
    browser.press("\u{e007}").await;
    browser.find(".pages-menu[open]").await;
    browser.press("\u{e004}\u{e004}\u{e007}").await;
    browser.wait_for_url(|url| url.contains("/schedule")).await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_has_the_focus_keeps_it_while_the_floor_changes() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(20), "viewer").await else { return };
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    let link = format!("{} a", row_selector("u_0005"));
    browser.run("document.querySelector(arguments[0]).focus()", &[json!(link)]).await;
    for agent in ["u_0001", "u_0005", "u_0019"] {
        scenario.set_agent_state(agent, SimState::Available);
        browser.wait_for_text(&format!("{} [data-f=state]", row_selector(agent)), |text| text == "Ready").await;
    }
    let focused = browser.run("return document.activeElement.closest('tr')?.dataset.id", &[]).await;
    assert_eq!(focused, json!("u_0005"));
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_loudly_that_it_no_longer_follows_and_comes_back_by_itself() {
    let Some((mut scenario, browser)) = sign_in_browser(team_setup(10), "supervisor").await else { return };
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.run("[...document.querySelectorAll('#rows input')].slice(0, 2).forEach((box) => box.click())", &[]).await;
    let port = scenario.address().port();
    scenario.stop_daemon().await;
    browser.wait_for_text("#stale:not([hidden]) strong", |text| text.contains("have stopped")).await;
    // What was selected is not lost to the browser's own page of errors.
    browser.click("#selection button.primary").await;
    browser.wait_for_text("#said", |text| text.contains("cannot be reached")).await;
    browser.wait_for_text("#selected", |text| text == "2").await;
    scenario.setup.listen_port = Some(port);
    scenario.start_daemon().await;
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    scenario.set_agent_state("u_0003", SimState::Available);
    browser.wait_for_text(&format!("{} [data-f=state]", row_selector("u_0003")), |text| text == "Ready").await;
    browser.click("#selection button.primary").await;
    browser.wait_for_text("#selection-count", |text| text == "2").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_every_page_can_be_read() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(5), "admin").await else { return };
    browser.scripts(false).await;
    for (_, path) in PAGES {
        browser.go("about:blank").await;
        browser.go(&scenario.page_url(path)).await;
        browser.wait_for_source(|source| source.contains("<h1>")).await;
    }
    for (path, wanted) in [
        ("/?team=Team+3", "u_0004"),
        ("/agents/u_0002", "Previous six days"),
        ("/system", "All is well"),
        ("/webhooks", "No webhooks are configured"),
        ("/audit", "Audit chain of"),
    ] {
        browser.go(&scenario.page_url(path)).await;
        browser.wait_for_source(|source| source.contains(wanted)).await;
    }
    browser.go(&scenario.page_url("/?team=Team+3")).await;
    let narrowed = |source: &str| source.contains("data-id=\"u_0004\"") && !source.contains("data-id=\"u_0001\"");
    browser.wait_for_source(narrowed).await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_and_the_pages_are_worked_by_keys_alone() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(8), "supervisor").await else { return };
    browser.go(&scenario.page_url("/?sort=name")).await;
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    // Down to the first and select it, two further and select all between.
    browser.press("jxjjX").await;
    browser.wait_for_text("#selected", |text| text == "3").await;
    let focused = browser.run("return document.activeElement.closest('tr')?.dataset.id", &[]).await;
    assert_eq!(focused, json!("u_0003"));
    browser.press("kx").await;
    browser.wait_for_text("#selected", |text| text == "2").await;
    browser.press("?").await;
    browser.wait_for_text("dialog[open] h2", |text| text == "Keys").await;
    browser.press("\u{e00c}").await;
    browser.wait_for_text("dialog[open] h2", str::is_empty).await;
    browser.press("/").await;
    assert_eq!(browser.run("return document.activeElement.id", &[]).await, json!("q"));
    // Letters are letters where somebody types.
    browser.press("gx").await;
    browser.wait_for_text("#matching", |text| text == "0").await;
    browser.run("document.activeElement.blur()", &[]).await;
    // Users are not sent to pages that they may not see.
    browser.press("?").await;
    let keys = browser.wait_for_text("dialog[open] dl", |text| text.contains("Changes")).await;
    assert!(!keys.contains("Audit"), "{keys}");
    browser.press("\u{e00c}").await;
    browser.press("ga").await;
    browser.press("gc").await;
    browser.wait_for_text("h1", |text| text == "Changes").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_in_the_viewers_zone_or_in_the_agents_by_choice() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(4), "viewer").await else { return };
    browser.zone("Asia/Tokyo").await;
    browser.go(&scenario.page_url("/")).await;
    // The page tells the zone, and the next one is drawn in it.
    browser.reload().await;
    let until = format!("{} [data-f=until]", row_selector("u_0002"));
    // The shift ends at 23:30 UTC, which is where the agents are.
    browser.wait_for_text(&until, |text| text == "until 08:30").await;
    browser.click("details.menu summary").await;
    browser.click("details.menu a[href*=\"zone=agent\"]").await;
    browser.wait_for_text(&until, |text| text == "until 23:30").await;
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.reload().await;
    browser.wait_for_text(&until, |text| text == "until 23:30").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_agents_are_selected_previewed_changed_followed_and_undone() {
    // A preview can be started for ten minutes: of these, one of the browser's is left at this speed.
    let Some((scenario, browser)) = sign_in_browser(Setup { speed: 10, ..team_setup(60) }, "supervisor").await else {
        return;
    };
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.run("[...document.querySelectorAll('#rows input')].slice(0, 50).forEach((box) => box.click())", &[]).await;
    browser.wait_for_text("#selected", |text| text == "50").await;
    browser.click("#selection button.primary").await;
    browser.wait_for_url(|url| url.contains("/changes/new")).await;
    browser.wait_for_text("#selection-count", |text| text == "50").await;
    browser.choose("#to", "Ready").await;
    browser.write("#note", "all hands").await;
    browser.click("#preview").await;
    browser.wait_for_url(|url| url.contains("/changes/") && !url.contains("/new")).await;
    browser.wait_for_text("h1", |text| text == "50 agents to Ready").await;
    assert_eq!(browser.count("#members tr").await, 50);
    let first = browser.run("return document.querySelector('#members tr').dataset.key", &[]).await;
    let first = first.as_str().expect("an agent").to_owned();
    assert_eq!(scenario.state_of(&first), SimState::Unavailable, "a preview changes nobody");
    super::save_screenshot(&browser, "journey-preview").await;
    // A preview looks again in ten seconds, and what runs in two: without the former the latter has to come.
    browser.run("for (let id = setTimeout(() => {}); id > 0; id -= 1) clearTimeout(id)", &[]).await;
    browser.click("#start").await;
    browser.wait_for_text("#standing", |text| text == "done").await;
    super::save_screenshot(&browser, "journey-done").await;
    assert_eq!(scenario.state_of(&first), SimState::Available);
    browser.click("#undo").await;
    browser.wait_for_text("h1", |text| text.contains("back to their previous states")).await;
    // They are planned to work: being not ready counts against them unless somebody excuses it.
    browser.wait_for_text("#against-plan", |text| text.contains("50 out of adherence afterwards")).await;
    browser.wait_for_text("#members td[data-label=Planned]", |text| text == "Work until 23:30").await;
    super::save_screenshot(&browser, "journey-undo").await;
    browser.click("#against-plan a").await;
    browser.wait_for_text("#agents-count", |text| text == "50").await;
    browser.write("#exception-reason", "a false alarm").await;
    browser.click("#excuse-save").await;
    browser.wait_for_text("h1", |text| text.contains("back to their previous states")).await;
    browser.wait_for_text("#against-plan", str::is_empty).await;
    browser.click("#start").await;
    browser.wait_for_text("#standing", |text| text == "done").await;
    assert_eq!(scenario.state_of(&first), SimState::Unavailable);
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_is_too_old_is_made_again_with_one_button() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(5), "supervisor").await else { return };
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.run("[...document.querySelectorAll('#rows input')].slice(0, 3).forEach((box) => box.click())", &[]).await;
    browser.wait_for_text("#selected", |text| text == "3").await;
    browser.click("#selection button.primary").await;
    browser.wait_for_url(|url| url.contains("/changes/new")).await;
    browser.choose("#to", "Ready").await;
    browser.write("#note", "all hands").await;
    browser.click("#preview").await;
    browser.wait_for_text("h1", |text| text == "3 agents to Ready").await;
    let first = browser.url().await;
    // The page says by itself that the ten minutes are over.
    browser.click("#again").await;
    browser.wait_for_url(|url| url.contains("/changes/") && url != first).await;
    browser.wait_for_text("h1", |text| text == "3 agents to Ready").await;
    assert_eq!(browser.count("#members tr").await, 3);
    let said = browser.run("return document.querySelector('dl.pairs').innerText", &[]).await;
    assert!(said.as_str().is_some_and(|text| text.contains("all hands")), "{said}");
    assert_eq!(state_posts(&scenario.log()).count(), 0, "nothing was changed");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_already_in_the_state_get_the_reason_by_a_button_that_names_the_cost() {
    let Some((scenario, browser)) = sign_in_browser(Setup { speed: 10, ..team_setup(5) }, "supervisor").await else {
        return;
    };
    scenario.set_agent_state("u_0005", SimState::Available);
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.wait_for_text(&row_selector("u_0005"), |text| text.contains("Ready") && !text.contains("Not ready")).await;
    browser.go(&scenario.page_url("/changes/new")).await;
    browser.choose("#to", "Ready").await;
    browser.click("#even_if_in_state").await;
    browser.click("#preview").await;
    browser.wait_for_text("#problem", |text| text.contains("Name the reason")).await;
    browser.click("#even_if_in_state").await;
    browser.write("#reason", "WORKING").await;
    browser.click("#preview").await;
    browser
        .wait_for_text("#other-reason", |text| text.contains("1 already in this state") && text.contains("1 call more"))
        .await;
    browser.wait_for_text("#start", |text| text == "Start: change 4").await;
    browser.click("#reasons").await;
    browser.wait_for_text("#summary", |text| text.contains("For 1 of them only the reason changes")).await;
    browser.wait_for_text("#start", |text| text == "Start: change 5").await;
    browser.run("for (let id = setTimeout(() => {}); id > 0; id -= 1) clearTimeout(id)", &[]).await;
    browser.click("#start").await;
    browser.wait_for_text("#standing", |text| text == "done").await;
    assert_eq!((state_posts(&scenario.log()).count(), scenario.posts_for("u_0005").len()), (5, 1));
    browser.end().await;
}
