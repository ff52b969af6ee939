//! The schedule board: a break is moved by hand, which changes what is planned, and is undone; the staffing below it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::{Browser, axe};
use super::pages::{horizontal_overflow, violations};
use super::{save_screenshot, sign_in_browser, team_setup};
use crate::harness::{Scenario, Setup, agent_ids, schedule, send};

/// A browser at the board of a team of eight with lunch at 16:00.
pub(super) async fn board(role: &str) -> Option<(Scenario, Browser)> {
    let (scenario, browser) = sign_in_browser(team_setup(8), role).await?;
    scenario.import(&schedule(agent_ids(8), &[("lunch", "16:00", "16:30", true)])).await;
    browser.go(&scenario.page_url("/schedule?tenant=acme&day=2026-10-26")).await;
    browser.wait_for_text("h1", |text| text == "Schedule").await;
    Some((scenario, browser))
}

/// When lunch of an agent starts by the plan that rules go by.
async fn lunch_starts(scenario: &Scenario, agent: &str) -> Value {
    let (_, day) = scenario.get(&format!("/api/v1/agents/{agent}/timeline?tenant=acme&day=2026-10-26")).await;
    let planned = day["planned"].as_array().cloned().unwrap_or_default();
    planned.iter().find(|span| span["activity"] == "lunch").map_or(Value::Null, |span| span["start"].clone())
}

async fn wait_for_lunch(scenario: &Scenario, agent: &str, start: &str) {
    scenario
        .wait_until("lunch is planned then", || async {
            let starts = lunch_starts(scenario, agent).await;
            if starts == start { Ok(()) } else { Err(starts.to_string()) }
        })
        .await;
}

const LUNCH: &str = ".gantt-row[data-key='u_0001'] .piece[data-activity='lunch']";

#[tokio::test(flavor = "multi_thread")]
async fn a_break_that_is_dragged_is_checked_applied_and_undone() {
    let Some((scenario, browser)) = board("admin").await else { return };
    let label = browser.run("return document.querySelector(arguments[0])?.ariaLabel", &[json!(LUNCH)]).await;
    assert!(label.as_str().is_some_and(|label| label.contains("16:00 to 16:30")), "{label}");
    // An hour to the right.
    let script = "return document.querySelector(arguments[0]).ownerSVGElement.clientWidth";
    let width = browser.run(script, &[json!(LUNCH)]).await.as_f64().expect("pixels");
    #[expect(clippy::cast_possible_truncation, reason = "the width of a window")]
    browser.drag(LUNCH, (width / 24.0).round() as i64).await;
    browser.wait_for_url(|url| url.contains("/schedule/change") && url.contains("minutes=60")).await;
    assert_eq!(lunch_starts(&scenario, "u_0001").await, "2026-10-26T16:00:00Z", "nothing has changed yet");
    browser.click("#check").await;
    browser.wait_for_text("#summary", |text| text == "1 agent: 1 shift changed.").await;
    let row = browser.text("#result tbody tr").await;
    assert!(row.contains("lunch 16:00–16:30") && row.contains("lunch 17:00–17:30"), "{row}");
    assert_page_is_readable(&browser, "schedule-checked").await;
    browser.click("#apply").await;
    browser.wait_for_text("#said", |text| text.contains("is in force: 1 agent changed")).await;
    wait_for_lunch(&scenario, "u_0001", "2026-10-26T17:00:00Z").await;
    assert_eq!(lunch_starts(&scenario, "u_0002").await, "2026-10-26T16:00:00Z");
    browser.wait_for_text("main > .scroll tbody tr", |text| text.contains("lunch moved by 60 min on 2026-10-26")).await;

    browser.click("button[data-undo]").await;
    browser.wait_for_text("#summary", |text| text == "1 agent: 1 shift changed.").await;
    browser.click("#apply").await;
    browser.wait_for_text("main > .scroll tbody tr", |text| text.contains("undo of version")).await;
    wait_for_lunch(&scenario, "u_0001", "2026-10-26T16:00:00Z").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
    scenario.assert_nothing_left_over().await;
}

pub(super) async fn assert_page_is_readable(browser: &Browser, name: &str) {
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        for width in [1280, 390] {
            browser.resize(width, 900).await;
            save_screenshot(browser, &format!("{name}-{scheme}-{width}")).await;
            assert_eq!(horizontal_overflow(browser).await, 0, "{name}-{scheme}-{width}");
            if let Some(axe) = axe() {
                assert_eq!(violations(browser, &axe).await, Vec::<String>::new(), "{name}-{scheme}-{width}");
            }
        }
    }
    browser.resize(1280, 900).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_changed_by_keys_and_who_is_left_out_is_named() {
    let Some((scenario, browser)) = board("admin").await else { return };
    browser.run("document.querySelector(arguments[0]).focus()", &[json!(LUNCH)]).await;
    browser.press("\u{e007}").await;
    browser.wait_for_text(".bar-menu li", |text| text == "Move the lunch…").await;
    browser.press("\u{e007}").await;
    browser.wait_for_url(|url| url.contains("/schedule/change") && url.contains("activity=lunch")).await;
    browser.click("#by-team").await;
    browser.choose("#team", "Team 0").await;
    browser.choose("#kind", "set_shift").await;
    browser.run("document.querySelector('#end').value = '2026-10-26T15:00'", &[]).await;
    browser.click("#check").await;
    browser.wait_for_text("#summary", |text| text == "2 agents: 2 shifts changed.").await;
    assert!(browser.text("#result").await.contains("no break between"), "{}", browser.text("#result").await);

    browser.choose("#kind", "add").await;
    browser.run("document.querySelector('#start').value = '2026-10-26T16:15'", &[]).await;
    browser.run("document.querySelector('#end').value = '2026-10-26T17:00'", &[]).await;
    browser.run("document.querySelector('#activity').value = 'meeting'", &[]).await;
    browser.click("#check").await;
    browser.wait_for_text("#summary", |text| text == "Nothing would change.").await;
    let left_out = browser.text("#result").await;
    assert!(left_out.contains("Left out: 2 agents") && left_out.contains("would overlap the lunch"), "{left_out}");
    assert_eq!(browser.count("#apply").await, 0);
    assert_eq!(lunch_starts(&scenario, "u_0001").await, "2026-10-26T16:00:00Z");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_looks_at_the_board_and_cannot_change_it() {
    let Some((_scenario, browser)) = board("viewer").await else { return };
    assert_eq!(browser.count(".piece[data-activity]").await, 0);
    assert_eq!(browser.count(".gantt a[href*='/schedule/change'], .gantt-days a[href*='/schedule/change']").await, 0);
    browser.run("document.querySelector('.gantt-row .piece').focus()", &[]).await;
    browser.press("\u{e007}").await;
    assert_eq!(browser.count(".edge, .bar-menu").await, 0);
    for (button, zoom) in [("1", "1.5"), ("0", "1")] {
        browser.click(&format!("button[data-zoom='{button}']")).await;
        let script = "return document.querySelector('.gantt-inner').style.getPropertyValue('--zoom')";
        assert_eq!(browser.run(script, &[]).await, json!(zoom));
    }
    browser.end().await;
}

const PROFILE: &str = "[import.profiles.wfm]\nlayout = \"days\"\ndelimiter = \",\"\nagent_key = \"id\"\ndate_format = \"DD/MM/YYYY\"\n\
    time_format = \"HH:mm\"\nmidnight = \"next_day\"\ntime_zone = \"UTC\"\n\
    columns = { agent = \"Agent\", date = \"Date\", shift_start = \"From\", shift_end = \"To\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_checked_and_imported_by_its_profile_and_a_faulty_one_is_explained() {
    let setup = Setup { tenant_tables: PROFILE, ..team_setup(8) };
    let Some((scenario, browser)) = sign_in_browser(setup, "admin").await else { return };
    scenario.import(&schedule(agent_ids(8), &[("lunch", "16:00", "16:30", true)])).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.display().to_string()
    };
    let faulty =
        file("faulty.csv", "Agent,Date,From,To\nu_0001,26/10/2026,08:00,16:30\nu_0002,2026-10-26,08:00,16:30\n");
    let sound = file("sound.csv", "Agent,Date,From,To\nu_0001,26/10/2026,08:00,16:30\nu_0002,26/10/2026,22:00,06:00\n");

    browser.go(&scenario.page_url("/schedule?tenant=acme&day=2026-10-26")).await;
    browser.click(".gantt-days a[href*='/schedule/import']").await;
    browser.wait_for_text("h1", |text| text == "Import a schedule").await;
    assert_page_is_readable(&browser, "schedule-import").await;
    browser.write("#file", &faulty).await;
    browser.choose("#profile", "wfm").await;
    browser.click("#check").await;
    browser.wait_for_text("#result h2", |text| text == "The file was refused").await;
    let fault = browser.text("#result tbody tr").await;
    assert!(fault.contains("line 3") && fault.contains("Date") && fault.contains("2026-10-26"), "{fault}");
    assert_page_is_readable(&browser, "schedule-import-refused").await;
    assert_eq!(browser.count("#apply").await, 0);

    browser.write("#file", &sound).await;
    browser.click("#check").await;
    browser.wait_for_text("#summary", |text| text == "2 agents: 2 shifts changed.").await;
    let night = browser.text("#result").await;
    assert!(night.contains("22:00–06:00") && night.contains("Agent 1"), "{night}");
    assert_page_is_readable(&browser, "schedule-import-checked").await;
    assert_eq!(lunch_starts(&scenario, "u_0001").await, "2026-10-26T16:00:00Z", "nothing has changed yet");
    browser.click("#apply").await;
    browser.wait_for_text("#said", |text| text.contains("is in force: 2 agents changed")).await;
    browser.wait_for_text("main > .scroll tbody tr", |text| text.contains("sound.csv")).await;
    assert_eq!(lunch_starts(&scenario, "u_0001").await, Value::Null);
    assert_eq!(lunch_starts(&scenario, "u_0003").await, "2026-10-26T16:00:00Z");
    // The refused check is an answer of the server, which the browser reports.
    let errors = browser.console_errors().await;
    assert!(errors.iter().all(|error| error.contains("422")), "{errors:?}");
    browser.end().await;
}

const REQUIRED: &str = "date,interval,queue,required\n\
    2026-10-26,13:00-14:00,Support,9\n\
    2026-10-26,16:30-17:30,Support,7.5\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_staffing_is_below_the_board_and_a_change_that_leaves_too_few_agents_says_so() {
    let Some((scenario, browser)) = board("admin").await else { return };
    let path = "/api/v1/staffing-imports?tenant=acme&name=required.csv&zone=UTC";
    let (status, imported) = send(scenario.request(Method::POST, path).body(REQUIRED)).await;
    assert_eq!(status, StatusCode::OK, "{imported}");
    browser.go(&scenario.page_url("/schedule?tenant=acme&day=2026-10-26")).await;
    browser.wait_for_text(".gantt-staffing .gantt-name", |text| text.contains("Staffing")).await;
    let labels = browser
        .run("return [...document.querySelectorAll('.gantt-staffing .piece')].map((bar) => bar.ariaLabel)", &[])
        .await;
    let of = |time: &str| {
        let labels = labels.as_array().expect("labels").iter().filter_map(Value::as_str);
        labels.into_iter().find(|label| label.contains(time)).map(str::to_owned).expect("the quarter hour")
    };
    let planned = "Staffing, 16:30 to 16:45: planned 8.0, required 7.5, net +0.5";
    assert_eq!(of("16:30 to 16:45"), planned);
    assert!(of("13:30 to 13:45").ends_with(", fewer than required"), "{}", of("13:30 to 13:45"));
    assert!(browser.count(".gantt-staffing rect[fill='url(#hatch)']").await > 0);
    browser.click(".gantt-table summary").await;
    browser.wait_for_text(".gantt-table tbody", |text| text.contains("16:30 to 16:45")).await;
    assert_page_is_readable(&browser, "schedule-staffing").await;

    let query = "tenant=acme&agent=u_0001&day=2026-10-26&activity=lunch&minutes=30";
    browser.go(&scenario.page_url(&format!("/schedule/change?{query}"))).await;
    browser.click("#check").await;
    browser.wait_for_text("#shortfalls tbody", |text| text.contains("16:45–17:00")).await;
    let row = browser.text("#shortfalls tbody tr").await;
    assert!(["16:30–16:45", "All agents", "7.5", "0.5", "−0.5"].iter().all(|word| row.contains(word)), "{row}");
    assert_page_is_readable(&browser, "schedule-shortfalls").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
}
