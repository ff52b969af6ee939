//! The page of trends: what is drawn, read and chosen, with and without scripts.

use shiftkeeper::domain::time::UtcMicros;

use super::browser::{Browser, axe};
use super::pages::{horizontal_overflow, violations};
use super::{make_account, save_screenshot, sign_in, team_setup};
use crate::harness::{Scenario, Setup, agent_ids, start};
use crate::scenarios::anomalies::{QUARTER, put_reads};

/// A week of quarters with a gap of some hours, a spike and a drop.
fn week_of_reads() -> Vec<(UtcMicros, u64)> {
    let quarter = |place: u32| {
        let by_day = [4, 3, 3, 5, 12, 31, 42, 44, 38, 36, 24, 9][(place as usize % 96) / 8];
        let wave = u64::from(place * 7919 % 5);
        match place {
            60 => 120,
            520 => 0,
            _ => by_day + wave,
        }
    };
    let all = (0..672).filter(|place| !(300..320).contains(place));
    all.map(|place| (start() - QUARTER * (672 - place), quarter(place))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_drawn_with_its_band_and_marks_and_is_a_table_as_well() {
    let Some(browser) = Browser::start().await else { return };
    let setup = Setup {
        tenant_tables: "[[tenants.series]]\nid = \"staff\"\nof = \"skill:1001:agents_staffed\"\nseasonal = false\n",
        ..team_setup(6)
    };
    let mut scenario = Scenario::without_daemon(setup).await;
    put_reads(&scenario, &week_of_reads()).await;
    for agent in agent_ids(6) {
        scenario.set_agent_state(&agent, shiftkeeper::sim::SimState::Unavailable);
    }
    scenario.start_daemon().await;
    scenario.import(&scenario.setup.schedule.clone().expect("a schedule")).await;
    scenario.wait_until_observed().await;
    make_account(&scenario, "supervisor", "admin").await;
    sign_in(&scenario, &browser, "supervisor").await;
    let axe = axe();
    let mut wrong = Vec::new();
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        for (width, height) in [(1280, 900), (390, 844)] {
            browser.resize(width, height).await;
            browser.go(&scenario.page_url("/trends?series=skill:1001:agents_staffed&days=7")).await;
            browser.find(".chart svg").await;
            let shown = format!("trends-drawn-{scheme}-{width}");
            save_screenshot(&browser, &shown).await;
            if let Some(axe) = &axe {
                wrong.extend(violations(&browser, axe).await.into_iter().map(|one| format!("{shown}: {one}")));
            }
            let over = horizontal_overflow(&browser).await;
            if over > 0 {
                wrong.push(format!("{shown}: {over} pixels wider than the window"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(browser.count(".chart .mark.spike").await > 0 && browser.count(".chart .mark.drop").await > 0);
    assert!(browser.count(".chart .mark").await < 26, "marks do not hide the line");
    assert!(browser.count(".chart polyline.value").await >= 2, "the gap breaks the line");
    assert!(browser.count(".chart polygon.usual").await > 0);
    let rows = browser.count("#course ~ details tbody tr").await;
    assert!(rows > 600, "{rows} rows");

    browser
        .run("document.querySelector('#days').value = '1'; document.querySelector('form.fields').submit()", &[])
        .await;
    browser.wait_for_url(|url| url.contains("days=1")).await;
    browser.go(&scenario.page_url("/trends?series=adherence:team:Team+1")).await;
    browser.wait_for_text("#course", |text| text.contains("Adherence of team Team 1")).await;
    browser.scripts(false).await;
    browser.go(&scenario.page_url("/trends?series=skill:1001:agents_staffed")).await;
    browser
        .wait_for_source(|source| source.contains("<polyline class=\"value\"") && source.contains("As a table"))
        .await;
    let complaints = browser.console_errors().await;
    assert!(complaints.is_empty(), "{complaints:?}");
    browser.end().await;
}
