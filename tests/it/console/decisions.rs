//! What people decide about single agents and teams: approving what a rule wants, excusing, and looking at the audit.

use reqwest::StatusCode;
use serde_json::{Value, json};
use shiftkeeper::sim::SimState;

use super::browser::Browser;
use super::{row_selector, sign_in_browser, team_setup};
use crate::harness::{Scenario, Setup};

/// A rule that asks a person.
const APPROVAL_RULE: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = ["NotReady", "Paused"], for = "20s" }
then = { set_state = "Ready", reason = "WORKING" }
mode = "approve"
cooldown = "2m"
"#;

/// Everyone of a small floor is asked about, and whoever is denied stays denied for as long as the test lasts.
fn approval_setup(count: usize) -> Setup {
    Setup {
        rules: APPROVAL_RULE,
        tenant_tables: "[tenants.policy]\nwait_at_most = \"12h\"\nanswers_kept = \"1m\"\n\
                        [tenants.automation]\nstale_intervals = 30\nleave_alone = \"24h\"\n",
        ..team_setup(count)
    }
}

async fn wait_for_approvals(scenario: &Scenario, agents: &[&str]) {
    scenario
        .wait_until("the rule asks about them alone", || async {
            let (status, page) = scenario.get(&format!("/api/v1/approvals?tenant={}", scenario.tenant)).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            let asked: Vec<_> = page["approvals"].as_array().into_iter().flatten().map(|one| &one["agent"]).collect();
            let all = agents.len() == asked.len() && agents.iter().all(|agent| asked.contains(&&json!(agent)));
            if all { Ok(()) } else { Err(format!("{asked:?}")) }
        })
        .await;
}

async fn wait_for_state(scenario: &Scenario, agent: &str, state: SimState) {
    let look = || async {
        let now = scenario.state_of(agent);
        if now == state { Ok(()) } else { Err(format!("{now:?}")) }
    };
    scenario.wait_until(&format!("{agent} is {state:?} on the platform"), look).await;
}

/// Says no in the dialog, with a reason.
async fn deny(browser: &Browser, why: &str) {
    browser.write("#sure-typed", why).await;
    browser.click("#sure-yes").await;
    browser.wait_for_text("#said", |text| text.starts_with("Denied")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_wants_is_approved_and_denied_on_the_page_of_all_and_on_the_agents_own() {
    let Some((scenario, browser)) = sign_in_browser(approval_setup(4), "supervisor").await else { return };
    wait_for_approvals(&scenario, &["u_0001", "u_0002", "u_0003", "u_0004"]).await;
    let button = |agent: &str, what: &str| format!("tr:has(a[href*=\"{agent}\"]) button[data-{what}]");
    browser.go(&scenario.page_url("/approvals")).await;
    browser.wait_for_text("#fresh tbody", |text| text.contains("planned work")).await;
    browser.click(&button("u_0001", "accept")).await;
    wait_for_state(&scenario, "u_0001", SimState::Available).await;
    browser.click(&button("u_0002", "deny")).await;
    let disabled = browser.run("return document.querySelector('#sure-yes').disabled", &[]).await;
    assert_eq!(disabled, json!(true), "a no takes a reason");
    deny(&browser, "she is in a talk").await;
    wait_for_approvals(&scenario, &["u_0003", "u_0004"]).await;

    browser.go(&scenario.page_url("/agents/u_0003")).await;
    browser
        .wait_for_text("#decisions", |text| text.contains("The rule “back” requests") && text.contains("Ready"))
        .await;
    super::save_screenshot(&browser, "journey-approve").await;
    browser.click("#decisions button[data-accept]").await;
    wait_for_state(&scenario, "u_0003", SimState::Available).await;
    browser.wait_for_text("#decisions", str::is_empty).await;
    browser.go(&scenario.page_url("/agents/u_0004")).await;
    browser.click("#decisions button[data-deny]").await;
    deny(&browser, "he fetches the post").await;
    browser.wait_for_text("#decisions", str::is_empty).await;

    wait_for_approvals(&scenario, &[]).await;
    for agent in ["u_0002", "u_0004"] {
        assert!(scenario.posts_for(agent).is_empty(), "{agent} was denied");
    }
    // Who decided stands with the change, on the page and in the chain.
    browser.go(&scenario.page_url("/agents/u_0003")).await;
    browser
        .wait_for_text("[aria-labelledby=changes-heading] tbody", |text| {
            text.contains("back") && text.contains("confirmed")
        })
        .await;
    let (_, entries) =
        scenario.get(&format!("/api/v1/audit?tenant={}&action=transition.denied", scenario.tenant)).await;
    let by: Vec<&Value> = entries["entries"].as_array().into_iter().flatten().map(|entry| &entry["actor"]).collect();
    assert_eq!(by, [&json!("person:supervisor"), &json!("person:supervisor")], "{entries}");
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_decided_at_once_each_with_its_answer_and_the_menu_counts_what_waits() {
    let Some((scenario, browser)) = sign_in_browser(approval_setup(4), "supervisor").await else { return };
    wait_for_approvals(&scenario, &["u_0001", "u_0002", "u_0003", "u_0004"]).await;
    browser.go(&scenario.page_url("/rules")).await;
    browser.wait_for_text("#waiting .waits", |text| text.starts_with('4')).await;
    browser.go(&scenario.page_url("/approvals")).await;
    // Two are chosen, and of one somebody else has decided before the button is pressed.
    let script = "for (const agent of ['u_0001', 'u_0002']) document.querySelector(`tr:has(a[href*=\"${agent}\"]) input[name=chosen]`).click();
        const other = document.querySelector('tr:has(a[href*=\"u_0002\"]) input[name=chosen]').value;
        const request = new XMLHttpRequest();
        request.open('POST', `/api/v1/approvals/${other}/deny`, false);
        request.setRequestHeader('Content-Type', 'application/json');
        request.setRequestHeader('Idempotency-Key', 'somebody-else');
        request.send(JSON.stringify({ tenant: arguments[0], note: 'she is in a talk' }));
        const counted = document.querySelector('#chosen-count').textContent;
        document.querySelector('#chosen-accept').click();
        return [request.status, counted]";
    let told = browser.run(script, &[json!(scenario.tenant)]).await;
    assert_eq!(told, json!([200, "2 selected"]));
    browser.wait_for_text("#outcome-heading", |text| text == "1 of 2 approved").await;
    let answers = browser.text("#outcome ul").await;
    assert!(answers.contains("Agent 0: approved."), "{answers}");
    assert!(answers.contains("not decided by you") && answers.contains("denied by person:supervisor"), "{answers}");
    wait_for_state(&scenario, "u_0001", SimState::Available).await;
    browser.wait_for_text("#waiting .waits", |text| text.starts_with('2')).await;
    // The rest is denied, with one reason for all.
    browser.click("#choose-all").await;
    browser.wait_for_text("#chosen-count", |text| text == "2 selected").await;
    super::save_screenshot(&browser, "journey-approve-several").await;
    browser.resize(390, 844).await;
    browser.scheme("dark").await;
    super::save_screenshot(&browser, "journey-approve-several-phone").await;
    let sideways = "return document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.run(sideways, &[]).await, json!(true));
    if let Some(axe) = super::browser::axe() {
        assert_eq!(super::pages::violations(&browser, &axe).await, Vec::<String>::new());
    }
    browser.resize(1280, 900).await;
    browser.scheme("light").await;
    browser.click("#chosen-deny").await;
    browser.write("#sure-typed", "all of them are in a talk").await;
    browser.click("#sure-yes").await;
    browser.wait_for_text("#outcome-heading", |text| text == "2 of 2 denied").await;
    wait_for_approvals(&scenario, &[]).await;
    // All of it is listed, and the menu counts nothing any more.
    let decided = "[aria-labelledby=decided] tbody";
    browser.wait_for_text(decided, |text| text.matches("all of them are in a talk").count() == 2).await;
    assert_eq!(browser.count(&format!("{decided} tr")).await, 4);
    assert_eq!(browser.text("#waiting").await, "");
    super::save_screenshot(&browser, "journey-approve-decided").await;
    if let Some(axe) = super::browser::axe() {
        assert_eq!(super::pages::violations(&browser, &axe).await, Vec::<String>::new());
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_offered_no_decision() {
    let Some((scenario, browser)) = sign_in_browser(approval_setup(4), "viewer").await else { return };
    wait_for_approvals(&scenario, &["u_0001", "u_0002", "u_0003", "u_0004"]).await;
    for page in ["/approvals", "/agents/u_0001"] {
        browser.go(&scenario.page_url(page)).await;
        browser.wait_for_text("#fresh", |text| text.contains("back")).await;
        assert_eq!(browser.count("#fresh button, #fresh input, #waiting").await, 0, "{page}");
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_excused_is_neutral_from_then_on_and_counts_again_when_the_exception_is_ended() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(8), "supervisor").await else { return };
    let verdict = |agent: &str| format!("{} [data-f=verdict]", row_selector(agent));
    // Everyone is held not ready although work is planned; u_0002 and u_0006 are of team 1.
    browser.wait_for_text(&verdict("u_0002"), |text| text == "Out of adherence").await;
    browser.go(&scenario.page_url("/exceptions/new")).await;
    browser.click("#by-team").await;
    browser.choose("#exception-team", "Team 1").await;
    browser.wait_for_text("#affected", |text| text == "This exception affects 2 agents: Team 1.").await;
    browser.wait_for_text("#excuse-save", |text| text == "Approve exception for 2 agents").await;
    browser.choose("#to", "2026-10-26T23:00").await;
    browser.write("#exception-reason", "fire drill").await;
    browser.click("#excuse-save").await;
    browser.wait_for_url(|url| url.contains("/exceptions?")).await;
    browser.wait_for_text("#fresh tbody", |text| text.contains("Team 1") && text.contains("fire drill")).await;

    browser.go(&scenario.page_url("/")).await;
    for agent in ["u_0002", "u_0006"] {
        browser.wait_for_text(&verdict(agent), |text| text == "Neutral").await;
    }
    assert_eq!(browser.text(&verdict("u_0003")).await, "Out of adherence", "another team is not excused");
    browser.click("#chips a[data-value=neutral]").await;
    browser.wait_for_text("#matching", |text| text == "2").await;
    browser.go(&scenario.page_url("/agents/u_0002")).await;
    browser.wait_for_text("[aria-labelledby=now-heading]", |text| text.contains("Neutral")).await;
    browser.wait_for_text("[aria-labelledby=day-heading]", |text| text.contains("Exception: fire drill")).await;

    browser.go(&scenario.page_url("/exceptions")).await;
    browser.click("button[data-end]").await;
    browser.write("#sure-typed", "it was a false alarm").await;
    browser.click("#sure-yes").await;
    browser.wait_for_text("#fresh tbody", |text| text.contains("false alarm")).await;
    browser.go(&scenario.page_url("/")).await;
    browser.wait_for_text(&verdict("u_0002"), |text| text == "Out of adherence").await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agent_is_chosen_by_name_and_the_page_says_whom_the_exception_affects() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(8), "supervisor").await else { return };
    browser.go(&scenario.page_url("/exceptions/new")).await;
    browser.wait_for_text("#affected", |text| text == "Type the name or the id of an agent.").await;
    browser.write("#exception-reason", "the doctor's").await;
    browser.choose("#to", "2026-10-26T23:00").await;
    browser.write("#exception-agent", "nobody").await;
    browser.click("#excuse-save").await;
    browser.wait_for_text("#said", |text| text.contains("Type the name or the id")).await;
    browser.write("#exception-agent", "agent 2").await;
    browser.wait_for_text("#affected", |text| text == "This exception affects 1 agent: Agent 2 (u_0003).").await;
    super::save_screenshot(&browser, "journey-exception-agent").await;
    browser.click("#excuse-save").await;
    browser.wait_for_url(|url| url.contains("/exceptions?")).await;
    browser.wait_for_text("#fresh tbody", |text| text.contains("Agent 2") && !text.contains("Team")).await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_excused_from_the_agents_own_page() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(4), "supervisor").await else { return };
    browser.go(&scenario.page_url("/agents/u_0003")).await;
    browser.click("a[href^=\"/exceptions/new\"]").await;
    browser.wait_for_text("#agents-names", |text| text == "u_0003").await;
    browser.choose("#to", "2026-10-26T23:00").await;
    browser.write("#exception-reason", "the doctor's").await;
    browser.click("#excuse-save").await;
    browser.wait_for_url(|url| url.contains("/exceptions?")).await;
    browser.go(&scenario.page_url("/agents/u_0003")).await;
    browser.wait_for_text("[aria-labelledby=now-heading]", |text| text.contains("Neutral")).await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_is_verified_by_a_button_and_narrowed_by_its_action() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(5), "auditor").await else { return };
    scenario.request_change(&["u_0001", "u_0002"], "Ready").await;
    browser.go(&scenario.page_url("/audit")).await;
    browser.click("#verify").await;
    let said = browser.wait_for_text("#verified", |text| text.contains("The chain holds")).await;
    let number = |text: &str| text.split_whitespace().find_map(|word| word.parse::<u64>().ok());
    assert!(number(&said).is_some_and(|verified| verified > 0), "{said}");
    // Entries that came since the page was drawn are said to have come, so that both numbers can be understood.
    let seq = browser.run("return Number(document.querySelector('#last').dataset.seq)", &[]).await.as_u64();
    let newer = said.split(" ms.").nth(1).and_then(number).unwrap_or_default();
    assert_eq!(seq.map(|seq| seq + newer), number(&said), "{said}");
    browser.choose("#action", "transition.").await;
    browser.click("form[role=search] button").await;
    browser.wait_for_url(|url| url.contains("action=transition.")).await;
    browser.wait_for_text("main tbody", |text| text.contains("transition.") && text.contains("Agent 1")).await;
    let rows = browser.count("main tbody tr:not(.more)").await;
    assert_eq!(browser.count("main tbody td[data-label=Action] a[href*=\"action=transition.\"]").await, rows);
    // What went out as a file is what the chain holds.
    let script = "const done = arguments[0];
        fetch(document.querySelector('a[download]').href).then((answer) => answer.text()).then((text) => done(text.trim().split('\\n').length))";
    let lines = browser.run_later(script, &[]).await.as_u64().expect("a count");
    assert!(lines >= number(&said).expect("a count"), "{lines} lines");
    browser.end().await;
}

/// Whether every entry that is shown has a text in one of its columns.
async fn all_entries_have(browser: &Browser, column: &str, text: &str) -> bool {
    let script = "const cells = [...document.querySelectorAll(`main tbody td[data-label=${arguments[0]}]`)];
        return cells.length > 0 && cells.every((cell) => cell.textContent.includes(arguments[1]))";
    browser.run(script, &[json!(column), json!(text)]).await == json!(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_finds_entries_by_person_agent_and_time_with_scripts_and_without() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(12), "auditor").await else { return };
    let taken = scenario.request_change(&["u_0001", "u_0002"], "Ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    let (_, all) = scenario.get(&format!("/api/v1/audit?tenant={}&action=transition.requested", scenario.tenant)).await;
    let person = all["entries"][0]["actor"].as_str().expect("an actor").to_owned();
    browser.go(&scenario.page_url("/audit")).await;
    // By the person that the entries of the page name.
    browser.write("#actor", person.trim_start_matches("person:")).await;
    browser.click("form[role=search] button").await;
    browser.wait_for_url(|url| url.contains("actor=")).await;
    assert!(all_entries_have(&browser, "Who", &person).await, "{}", browser.text("main tbody").await);
    // And by a part of a name; who is meant is said.
    browser.write("#agent", "agent 0").await;
    browser.click("form[role=search] button").await;
    browser.wait_for_text("#about", |text| text == "About Agent 0 (u_0001)").await;
    assert!(all_entries_have(&browser, "Agent", "Agent 0").await && all_entries_have(&browser, "Who", &person).await);
    assert_eq!(browser.run("return document.querySelector('#actor').value", &[]).await, json!(person[7..]));
    // The facts are terms and values, and what is stored stands behind them.
    browser.click("main tbody .more summary").await;
    browser.wait_for_text("main tbody .more dl", |text| text.contains("Hash")).await;
    super::save_screenshot(&browser, "journey-audit").await;
    if let Some(axe) = super::browser::axe() {
        assert_eq!(super::pages::violations(&browser, &axe).await, Vec::<String>::new());
    }
    // By the span: what is before the request is not after it.
    let at = all["entries"][0]["at"].as_str().expect("an instant");
    browser.go(&scenario.page_url(&format!("/audit?to={at}&actor={person}&action=transition."))).await;
    browser.wait_for_text("main .empty", |text| text == "No entries match.").await;
    browser.scripts(false).await;
    browser.go(&scenario.page_url(&format!("/audit?from={at}&actor={person}&agent=u_0001"))).await;
    browser.wait_for_source(|page| page.contains("transition.requested") && !page.contains("Agent 1</a></td>")).await;
    // What cannot be looked for is said, with what was typed still there.
    browser.go(&scenario.page_url("/audit?from=soon&actor=ann")).await;
    browser.wait_for_source(|page| page.contains("is no day and time") && page.contains("value=\"ann\"")).await;
    browser.go(&scenario.page_url("/audit?agent=agent")).await;
    browser.wait_for_source(|page| page.contains("12 agents have")).await;
    browser.go(&scenario.page_url("/audit?agent=nobody")).await;
    browser.wait_for_source(|page| page.contains("No agent has this name")).await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bad_entry_of_a_chain_that_somebody_has_edited_is_named() {
    let Some((mut scenario, browser)) = sign_in_browser(team_setup(5), "auditor").await else { return };
    let taken = scenario.request_change(&["u_0001", "u_0002"], "Ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    scenario.stop_daemon().await;
    let forger = rusqlite::Connection::open(scenario.database()).expect("opens");
    forger
        .execute_batch(
            "DROP TRIGGER audit_entries_refuse_update; UPDATE audit_entries SET body = REPLACE(body, 'acme', 'acne') \
             WHERE seq IN (3, 5)",
        )
        .expect("forged");
    drop(forger);
    scenario.start_daemon().await;
    super::sign_in(&scenario, &browser, super::NAME).await;
    browser.go(&scenario.page_url("/audit")).await;
    browser.click("#verify").await;
    let said = browser.wait_for_text("#verified", |text| text.contains("The chain does not hold")).await;
    assert!(said.contains("First bad entry: no. 3,"), "{said}");
    super::save_screenshot(&browser, "journey-first-bad-entry").await;
    browser.end().await;
}
