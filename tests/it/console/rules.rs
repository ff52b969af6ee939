//! Rules in the browser: written, checked, tried on history, saved; and two people who edit the same one.

use serde_json::{Value, json};

use super::browser::{Browser, axe};
use super::pages::violations;
use super::{NAME, sign_in, sign_in_browser, team_setup};
use crate::harness::{Scenario, Setup};

/// A rule of the configuration that watches.
const MONITORING_RULE: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = ["NotReady", "Paused"], for = "1m" }
then = { set_state = "Ready", reason = "WORKING" }
mode = "watch"
cooldown = "5m"
"#;

/// What is written beside the drawing of a trial.
const AXES_SCRIPT: &str =
    "return [...document.querySelectorAll('#trial-result .chart text')].map((text) => text.textContent)";

async fn rule_text(browser: &Browser) -> String {
    let text = browser.run("return document.querySelector('#text').value", &[]).await;
    text.as_str().expect("the rule's text").to_owned()
}

/// Puts a text into the editor with one word in place of another.
async fn rewrite(browser: &Browser, from: &str, to: &str) -> String {
    let text = rule_text(browser).await;
    assert!(text.contains(from), "{text}");
    let newer = text.replace(from, to);
    browser.choose("#text", &newer).await;
    newer
}

async fn wait_for_version(browser: &Browser, number: u64) {
    let wanted = format!("version {number},");
    browser.wait_for_text("h1 + p", |text| text.contains(&wanted)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_edited_checked_tried_on_the_last_days_compared_and_saved() {
    let setup = Setup { rules: MONITORING_RULE, ..team_setup(8) };
    let Some((scenario, browser)) = sign_in_browser(setup, "admin").await else { return };
    // It has watched long enough to have found everyone.
    scenario
        .wait_until("the rule finds everyone", || async {
            let (_, rule) = scenario.get(&format!("/api/v1/rules/back?tenant={}", scenario.tenant)).await;
            if rule["counts"]["would_agents"] == 8 { Ok(()) } else { Err(rule["counts"].to_string()) }
        })
        .await;
    browser.go(&scenario.page_url("/rules")).await;
    browser.click("#fresh tbody a").await;
    browser.wait_for_text("h1", |text| text == "Rule back").await;
    let sound = rule_text(&browser).await;
    rewrite(&browser, "1m", "1 fortnight").await;
    browser.click("#check").await;
    browser.wait_for_text("#checked", |text| text.starts_with("Line ") && text.contains("when.for")).await;
    let chosen = browser.run("return getSelection().toString() || document.querySelector('#text').value.slice(document.querySelector('#text').selectionStart, document.querySelector('#text').selectionEnd)", &[]).await;
    assert!(chosen.as_str().is_some_and(|line| line.contains("fortnight")), "the line is shown: {chosen}");
    browser.click("#save").await;
    browser.wait_for_text("#checked", |text| text.starts_with("Line ")).await;
    assert!(browser.url().await.contains("/rules/back"), "a mistake is not saved");

    browser.choose("#text", &sound).await;
    rewrite(&browser, "\"1m\"", "\"2m\"").await;
    browser.click("#check").await;
    browser.wait_for_text("#checked", |text| text.contains("passes the check")).await;
    browser.click("#try").await;
    browser.wait_for_text("#trial-standing", |text| text == "Done.").await;
    let compared = browser.wait_for_text("#trial-result .figures-table", |text| text.contains("This definition")).await;
    for figure in ["The active rule would have acted", "The rule acted", "Only this definition"] {
        assert!(compared.contains(figure), "{compared}");
    }
    let acts = browser.text("#trial-result .figures-table td").await;
    assert!(acts.parse::<u64>().is_ok_and(|acts| acts >= 8), "everyone was not ready while work was planned: {acts}");
    assert!(browser.count("#trial-result table.list tbody tr").await >= 8);
    // The drawing has words on its axes, and the same is a table; who would be acted on is one click away.
    let axes = browser.run(AXES_SCRIPT, &[]).await;
    assert_eq!((&axes[0], &axes[1]), (&axes[4], &axes[5]), "as far up as down: {axes}");
    assert!(axes[2] == json!("0") && axes[0].as_str().is_some_and(|most| most.parse::<u64>().is_ok()), "{axes}");
    let days = axes.as_array().into_iter().flatten().skip(6).filter_map(Value::as_str);
    assert!(days.clone().count() >= 7 && days.clone().all(|day| day.split(' ').count() == 2), "{axes}");
    assert!(browser.count("#trial-result details table tbody tr").await >= 1);
    let legend = browser.text("#trial-result .chart-legend").await;
    assert!(legend.contains("Up: this definition") && legend.contains("Down: the rule as it was then"), "{legend}");
    let agent =
        browser.run("return document.querySelector('#trial-result table.list a').getAttribute('href')", &[]).await;
    assert!(agent.as_str().is_some_and(|to| to.starts_with("/agents/u_")), "{agent}");
    let told = browser.text("[aria-labelledby=now]").await;
    assert!(told.contains("messages sent to people") && told.contains("Class schedule: evaluated after"), "{told}");
    if let Some(axe) = axe() {
        assert_eq!(violations(&browser, &axe).await, Vec::<String>::new());
    }
    super::save_screenshot(&browser, "journey-trial").await;

    browser.write("#why", "two minutes are enough").await;
    browser.click("#save").await;
    wait_for_version(&browser, 1).await;
    browser.wait_for_text("[aria-labelledby=now]", |text| text.contains("two minutes are enough")).await;
    assert!(rule_text(&browser).await.contains("\"2m\""));
    browser.end().await;
}

/// A rule `my-rule`, made in the browser.
async fn write_rule(scenario: &Scenario, browser: &Browser) {
    browser.go(&scenario.page_url("/rules/new")).await;
    let fits = "const id = document.querySelector('#id'), was = id.value; \
                return ['two words', 'a/b', 'a-b_c.9', was].map((text) => { id.value = text; return id.checkValidity() })";
    assert_eq!(browser.run(fits, &[]).await, json!([false, false, true, true]));
    browser.click("#save").await;
    browser.wait_for_url(|url| url.contains("/rules/my-rule")).await;
    wait_for_version(browser, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_people_who_edit_a_rule_the_second_is_warned_and_loses_nothing() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(8), "admin").await else { return };
    write_rule(&scenario, &browser).await;
    let Some(other) = Browser::start().await else { return };
    sign_in(&scenario, &other, NAME).await;
    other.go(&scenario.page_url("/rules/my-rule")).await;
    rewrite(&browser, "5m", "6m").await;
    browser.write("#why", "slower").await;
    browser.click("#save").await;
    wait_for_version(&browser, 2).await;

    let mine = rewrite(&other, "5m", "7m").await;
    other.write("#why", "slower still").await;
    other.click("#save").await;
    let told = other.wait_for_text("#lost:not([hidden])", |text| text.contains("Somebody changed this rule")).await;
    assert!(told.contains("supervisor") && told.contains("version 2") && told.contains("slower"), "{told}");
    let differs =
        json!([["◀ only yours", "7m"], ["▶ only theirs", "6m"], ["◀ only yours", "7m"], ["▶ only theirs", "6m"]]);
    let shown = "return [...document.querySelectorAll('#lost .diff tbody tr:not(.both)')].map((row) =>
        [row.cells[0].textContent, row.cells[1].textContent.match(/[0-9]m/)[0]])";
    assert_eq!(other.run(shown, &[]).await, differs, "it is marked where both are apart");
    assert!(other.count("#lost .diff tr.both").await >= 5, "and what both have is there too");
    if let Some(axe) = axe() {
        assert_eq!(violations(&other, &axe).await, Vec::<String>::new());
    }
    let kept =
        other.run("return [document.querySelector('#text').value, document.querySelector('#why').value]", &[]).await;
    assert_eq!(kept, json!([mine, "slower still"]), "nothing that was typed is lost");
    super::save_screenshot(&other, "journey-lost-race").await;
    // Saved again without a decision, it is refused again: the older version is still the one that was read.
    other.run("document.querySelector('#lost .diff').id = 'read'", &[]).await;
    other.click("#save").await;
    other.wait_for_text("#lost:not([hidden]) .diff:not(#read)", |text| text.contains("6m")).await;
    assert_eq!(rule_text(&other).await, mine);
    other.click("#keep-mine").await;
    wait_for_version(&other, 2).await;
    other.click("#save").await;
    wait_for_version(&other, 3).await;
    assert!(rule_text(&other).await.contains("7m"));

    // The other way round: who takes theirs has theirs.
    rewrite(&browser, "6m", "8m").await;
    browser.click("#save").await;
    browser.click("#take-theirs").await;
    wait_for_version(&browser, 3).await;
    assert!(rule_text(&browser).await.contains("7m"));
    assert!(browser.text("[aria-labelledby=now]").await.contains("slower still"), "all of the page is theirs");
    browser.end().await;
    other.end().await;
}

/// A rule of the configuration that acts.
const ENFORCING_RULE: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = ["NotReady", "Paused"], for = "1m" }
then = { set_state = "Ready", reason = "WORKING" }
mode = "enforce"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_did_is_listed_page_by_page_with_its_agents() {
    let Some((scenario, browser)) = sign_in_browser(Setup { rules: ENFORCING_RULE, ..team_setup(60) }, "viewer").await
    else {
        return;
    };
    scenario
        .wait_until("the rule acts on everyone", || async {
            let (_, rule) = scenario.get(&format!("/api/v1/rules/back?tenant={}", scenario.tenant)).await;
            if rule["counts"]["transitions"]["total"] == 60 { Ok(()) } else { Err(rule["counts"].to_string()) }
        })
        .await;
    browser.go(&scenario.page_url("/rules/back")).await;
    browser.wait_for_text("[aria-labelledby=now] a[href='#did']", |text| text == "60").await;
    assert_eq!(browser.count("#did tbody tr").await, 50);
    let because = browser.text("#did td[data-label=Cause]").await;
    assert!(
        because.starts_with("planned work since ") && because.contains(" UTC"),
        "its time says its zone: {because}"
    );
    browser.click("#did a[href*='did=']").await;
    browser.wait_for_url(|url| url.contains("did=")).await;
    assert_eq!(browser.count("#did tbody tr").await, 10);
    super::save_screenshot(&browser, "rule-did").await;
    browser.click("#did tbody a").await;
    browser.wait_for_url(|url| url.contains("/agents/u_")).await;
    browser.wait_for_text("[aria-labelledby=changes-heading]", |text| text.contains("rule:back")).await;
    browser.end().await;
}
