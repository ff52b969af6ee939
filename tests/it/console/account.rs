//! One's own account: another password, and the sessions elsewhere.

use super::browser::Browser;
use super::{NAME, PASSWORD, sign_in, sign_in_browser, team_setup};

const NEW_PASSWORD: &str = "another long enough password";

async fn change_password(browser: &Browser, old: &str, new: &str) {
    for (field, text) in [("#old", old), ("#new", new), ("#again", new)] {
        browser.write(field, text).await;
    }
    browser.click("#change-password").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_where_they_are_signed_in_end_that_and_change_their_own_password() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(4), "viewer").await else { return };
    let Some(other) = Browser::start().await else { return };
    sign_in(&scenario, &other, NAME).await;
    browser.click("details.menu summary").await;
    browser.click("details.menu a[href^=\"/account\"]").await;
    browser.wait_for_text("h1", |text| text == "Your account").await;
    browser.wait_for_text("#fresh tbody", |text| text.contains("this browser")).await;
    assert_eq!(browser.count("#fresh tbody tr").await, 2);

    // The other is ended from here, and has to sign in again.
    browser.click("#fresh button:not([data-this])").await;
    browser.wait_for_text("#said", |text| text == "That session is over.").await;
    assert_eq!(browser.count("#fresh tbody tr").await, 1);
    other.go(&scenario.page_url("/changes")).await;
    other.wait_for_url(|url| url.contains("/sign-in?next=")).await;
    sign_in(&scenario, &other, NAME).await;

    // Another password ends it too; a wrong one is reported, and nothing is changed.
    change_password(&browser, "not the present password", NEW_PASSWORD).await;
    browser.wait_for_text("#password-problem:not([hidden])", |text| !text.is_empty()).await;
    browser.write("#again", "not the same at all").await;
    browser.click("#change-password").await;
    browser.wait_for_text("#password-problem:not([hidden])", |text| text.contains("do not match")).await;
    change_password(&browser, PASSWORD, NEW_PASSWORD).await;
    browser.wait_for_text("#said", |text| text.starts_with("Your password is changed")).await;
    other.go(&scenario.page_url("/changes")).await;
    other.wait_for_url(|url| url.contains("/sign-in?next=")).await;
    // The old one does no longer; the name is still there for the next try.
    other.write("#name", NAME).await;
    other.write("#password", PASSWORD).await;
    other.click("main button").await;
    other.wait_for_text("main .banner", |text| text.contains("is wrong")).await;
    assert_eq!(other.run("return document.querySelector('#name').value", &[]).await, NAME);
    other.write("#password", NEW_PASSWORD).await;
    other.click("main button").await;
    other.wait_for_text("h1", |text| text == "Changes").await;
    browser.end().await;
    other.end().await;
}
