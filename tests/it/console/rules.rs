//! Rules in the browser: written, checked, tried on history, saved; and two people who edit the same one.

use serde_json::json;

use super::browser::Browser;
use super::{NAME, floor, sign_in, signed_in};
use crate::harness::{Scenario, Setup};

/// A rule of the configuration that watches.
const WATCHES: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = ["NotReady", "Paused"], for = "1m" }
then = { set_state = "Ready", reason = "WORKING" }
mode = "watch"
cooldown = "5m"
"#;

async fn text_of(browser: &Browser) -> String {
    let text = browser.run("return document.querySelector('#text').value", &[]).await;
    text.as_str().expect("the rule's text").to_owned()
}

/// Puts a text into the editor with one word in place of another.
async fn rewrite(browser: &Browser, from: &str, to: &str) -> String {
    let text = text_of(browser).await;
    assert!(text.contains(from), "{text}");
    let newer = text.replace(from, to);
    browser.choose("#text", &newer).await;
    newer
}

async fn version(browser: &Browser, number: u64) {
    let wanted = format!("version {number},");
    browser.until_text("h1 + p", |text| text.contains(&wanted)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_edited_checked_tried_on_the_last_days_compared_and_saved() {
    let setup = Setup { rules: WATCHES, ..floor(8) };
    let Some((scenario, browser)) = signed_in(setup, "admin").await else { return };
    // It has watched long enough to have found everyone.
    scenario
        .until("the rule finds everyone", || async {
            let (_, rule) = scenario.get(&format!("/api/v1/rules/back?tenant={}", scenario.tenant)).await;
            if rule["counts"]["would_agents"] == 8 { Ok(()) } else { Err(rule["counts"].to_string()) }
        })
        .await;
    browser.go(&scenario.page("/rules")).await;
    browser.click("#fresh tbody a").await;
    browser.until_text("h1", |text| text == "Rule back").await;
    let sound = text_of(&browser).await;
    rewrite(&browser, "1m", "1 fortnight").await;
    browser.click("#check").await;
    browser.until_text("#checked", |text| text.starts_with("Line ") && text.contains("when.for")).await;
    let chosen = browser.run("return getSelection().toString() || document.querySelector('#text').value.slice(document.querySelector('#text').selectionStart, document.querySelector('#text').selectionEnd)", &[]).await;
    assert!(chosen.as_str().is_some_and(|line| line.contains("fortnight")), "the line is shown: {chosen}");
    browser.click("#save").await;
    browser.until_text("#checked", |text| text.starts_with("Line ")).await;
    assert!(browser.url().await.contains("/rules/back"), "a mistake is not saved");

    browser.choose("#text", &sound).await;
    rewrite(&browser, "\"1m\"", "\"2m\"").await;
    browser.click("#check").await;
    browser.until_text("#checked", |text| text.contains("passes the check")).await;
    browser.click("#try").await;
    browser.until_text("#trial-standing", |text| text == "Done.").await;
    let compared = browser.until_text("#trial-result dl", |text| text.contains("This text would act")).await;
    for figure in ["The rule in force would", "It really acted", "Only this text"] {
        assert!(compared.contains(figure), "{compared}");
    }
    let acts = browser.text("#trial-result dl dd").await;
    assert!(acts.parse::<u64>().is_ok_and(|acts| acts >= 8), "everyone was not ready while work was planned: {acts}");
    assert!(browser.count("#trial-result tbody tr").await >= 8);
    super::picture(&browser, "journey-trial").await;

    browser.write("#why", "two minutes are enough").await;
    browser.click("#save").await;
    version(&browser, 1).await;
    browser.until_text("[aria-labelledby=now]", |text| text.contains("two minutes are enough")).await;
    assert!(text_of(&browser).await.contains("\"2m\""));
    browser.end().await;
}

/// A rule `my-rule`, made in the browser.
async fn written(scenario: &Scenario, browser: &Browser) {
    browser.go(&scenario.page("/rules/new")).await;
    browser.click("#save").await;
    browser.until_url(|url| url.contains("/rules/my-rule")).await;
    version(browser, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_edit_one_rule_the_second_is_told_and_loses_nothing() {
    let Some((scenario, browser)) = signed_in(floor(8), "admin").await else { return };
    written(&scenario, &browser).await;
    let Some(other) = Browser::start().await else { return };
    sign_in(&scenario, &other, NAME).await;
    other.go(&scenario.page("/rules/my-rule")).await;
    rewrite(&browser, "5m", "6m").await;
    browser.write("#why", "slower").await;
    browser.click("#save").await;
    version(&browser, 2).await;

    let mine = rewrite(&other, "5m", "7m").await;
    other.write("#why", "slower still").await;
    other.click("#save").await;
    let told = other.until_text("#lost:not([hidden])", |text| text.contains("Somebody changed this rule")).await;
    assert!(told.contains("supervisor") && told.contains("version 2") && told.contains("slower"), "{told}");
    assert!(other.text("#lost pre").await.contains("6m"), "theirs is shown");
    let kept =
        other.run("return [document.querySelector('#text').value, document.querySelector('#why').value]", &[]).await;
    assert_eq!(kept, json!([mine, "slower still"]), "nothing that was typed is lost");
    super::picture(&other, "journey-lost-race").await;
    // Saved again without a decision, it is refused again: the older version is still the one that was read.
    other.run("document.querySelector('#lost pre').id = 'read'", &[]).await;
    other.click("#save").await;
    other.until_text("#lost:not([hidden]) pre:not(#read)", |text| text.contains("6m")).await;
    assert_eq!(text_of(&other).await, mine);
    other.click("#keep-mine").await;
    other.click("#save").await;
    version(&other, 3).await;
    assert!(text_of(&other).await.contains("7m"));

    // The other way round: who takes theirs has theirs.
    rewrite(&browser, "6m", "8m").await;
    browser.click("#save").await;
    browser.click("#take-theirs").await;
    assert!(text_of(&browser).await.contains("7m"));
    browser.end().await;
    other.end().await;
}
