//! Texts that would run something if a page took them for markup: as names of agents, teams and skills, and as reasons.

use reqwest::Method;
use serde_json::{Value, json};

use super::browser::Browser;
use super::pages::PAGES;
use super::{row_selector, sign_in_browser, team_setup};
use crate::harness::{Scenario, Setup, send};

/// Texts that would run or break something where they were taken for markup, script, style or an address; `RUN` is what would run.
const HOSTILE: [&str; 76] = [
    "<script>RUN</script>",
    "<ScRiPt >RUN</sCrIpT>",
    "</title><script>RUN</script>",
    "</textarea><script>RUN</script>",
    "</style><script>RUN</script>",
    "</script><script>RUN</script>",
    "</template><script>RUN</script>",
    "</option></select><script>RUN</script>",
    "<img src=x onerror=RUN>",
    "<img src=x onerror='RUN'>",
    "<svg onload=RUN>",
    "<svg/onload=RUN>",
    "<svg><animate onbegin=RUN attributeName=x dur=1s>",
    "<svg><script>RUN</script></svg>",
    "<body onload=RUN>",
    "<iframe srcdoc='<script>parent.RUN</script>'>",
    "<iframe src=javascript:RUN>",
    "<details open ontoggle=RUN>",
    "<input autofocus onfocus=RUN>",
    "<select autofocus onfocus=RUN>",
    "<marquee onstart=RUN>",
    "<video><source onerror=RUN>",
    "<audio src=x onerror=RUN>",
    "<object data=javascript:RUN>",
    "<embed src=javascript:RUN>",
    "<a href=javascript:RUN>x</a>",
    "<form action=javascript:RUN><button>x",
    "<math><mi xlink:href=javascript:RUN>x",
    "<link rel=stylesheet href=javascript:RUN>",
    "<meta http-equiv=refresh content='0;url=javascript:RUN'>",
    "<base href=//evil.example/>",
    "<style>*{background:url(javascript:RUN)}</style>",
    "<template><script>RUN</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=RUN>'>",
    "\" onmouseover=RUN x=\"",
    "' onmouseover=RUN x='",
    "\" autofocus onfocus=RUN x=\"",
    "' autofocus onfocus='RUN",
    "\"><script>RUN</script>",
    "'><script>RUN</script>",
    "\"><img src=x onerror=RUN>",
    "'><svg onload=RUN>",
    "`onerror=RUN",
    "javascript:RUN",
    "JaVaScRiPt:RUN",
    "data:text/html,<script>RUN</script>",
    "${RUN}",
    "{{RUN}}",
    "{% RUN %}",
    "#{RUN}",
    "<%= RUN %>",
    "\\\"-RUN-\\\"",
    "\\u003cscript\\u003eRUN\\u003c/script\\u003e",
    "&lt;script&gt;RUN&lt;/script&gt;",
    "&#60;script&#62;RUN&#60;/script&#62;",
    "<!--<script>RUN</script>-->",
    "--><script>RUN</script>",
    "]]><script>RUN</script>",
    "<![CDATA[<script>RUN</script>]]>",
    "<x onclick=RUN>x</x>",
    "<button popovertarget=x onclick=RUN>",
    "<dialog open oncancel=RUN>",
    "<img src=\"x\" onerror=\"RUN\">",
    "<img/src=x/onerror=RUN>",
    "<img src=x:x onerror=RUN//",
    "<p style=animation-name:x onanimationstart=RUN>",
    "<custom-element onpointerenter=RUN>",
    "<svg><use href=data:image/svg+xml,x#x>",
    "<svg><foreignObject><script>RUN</script>",
    "<frameset onload=RUN>",
    "<isindex action=javascript:RUN>",
    "<bgsound src=javascript:RUN>",
    "<table background=javascript:RUN>",
    "<script src=//evil.example/x.js></script>",
    "<script src=data:text/javascript,RUN></script>",
    "<img src=//evil.example/x.png>",
];

/// Marks that parsers have tripped over.
const MARKS: [&str; 4] = ["\u{202e}", "\u{200b}", "\u{feff}", "\u{2028}"];

/// A hundred of them.
pub(super) fn hostile_texts() -> Vec<String> {
    let runs = "window.__ran=(window.__ran||0)+1";
    let plain = HOSTILE.iter().map(|text| text.replace("RUN", runs));
    let marked = MARKS.iter().cycle().zip(HOSTILE.len()..100).map(|(mark, number)| {
        format!("{mark}<img src=x{number} onerror={runs}>{mark}\" onfocus=\"{runs}\" autofocus tabindex=\"1")
    });
    plain.chain(marked).collect()
}

/// A schedule whose agents and teams have hostile names.
fn hostile_schedule(texts: &[String]) -> String {
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut lines = vec!["agent_id,agent_name,team,time_zone,activity,start,end,mandatory".to_owned()];
    for (number, text) in texts.iter().enumerate() {
        let who = format!("u_{:04},{},{},UTC", number + 1, cell(text), cell(&format!("{text} team")));
        lines.push(format!("{who},shift,2026-10-26T00:30,2026-10-26T23:30,false"));
    }
    lines.join("\n") + "\n"
}

async fn executed_scripts(browser: &Browser) -> Value {
    browser.run("return window.__ran ?? 0", &[]).await
}

/// The browser has run nothing, and was not even asked to.
pub(super) async fn assert_nothing_ran(browser: &Browser, page: &str) {
    assert_eq!(executed_scripts(browser).await, json!(0), "{page}");
    let tried = |line: &String| line.contains("Content Security Policy") || line.contains("evil.example");
    let tried: Vec<_> = browser.console_errors().await.into_iter().filter(tried).collect();
    assert!(tried.is_empty(), "{page}: {tried:?}");
}

/// A text as a page shows it, with blanks as the browser counts them.
pub(super) fn as_displayed(text: &str) -> String {
    text.replace('\u{feff}', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_names_of_agents_and_teams_run_nothing() {
    let texts = hostile_texts();
    assert!(texts.len() >= 100);
    let setup = Setup { schedule: Some(hostile_schedule(&texts)), ..team_setup(texts.len()) };
    let Some((scenario, browser)) = sign_in_browser(setup, "admin").await else { return };
    for (name, path) in PAGES {
        browser.go(&scenario.page_url(path)).await;
        browser.find("h1").await;
        assert_nothing_ran(&browser, name).await;
    }
    browser.go(&scenario.page_url("/")).await;
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    for agent in ["u_0001", "u_0035", "u_0100"] {
        // The module draws the row again from the stream.
        let name = browser.text(&format!("{} [data-f=name]", row_selector(agent))).await;
        let number: usize = agent[2..].parse().expect("a number");
        assert_eq!(as_displayed(&name), as_displayed(&texts[number - 1]), "{agent} is shown as written");
        browser.go(&scenario.page_url(&format!("/agents/{agent}"))).await;
        browser.find("h1").await;
        assert_nothing_ran(&browser, agent).await;
        browser.go(&scenario.page_url("/")).await;
    }
    browser.end().await;
}

async fn send_json(scenario: &Scenario, method: Method, path: &str, body: &Value) -> Value {
    let (status, said) = send(scenario.request(method, path).json(body)).await;
    assert!(status.is_success(), "{path}: {said}");
    said
}

/// The id of an agent.
fn agent(number: usize) -> String {
    format!("u_{number:04}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_names_of_skills_run_nothing() {
    let texts = hostile_texts();
    let setup = Setup::team(texts.len());
    let Some((scenario, browser)) = sign_in_browser(setup, "admin").await else { return };
    let tenant = &scenario.tenant;
    for (number, text) in texts.iter().enumerate() {
        let skill = format!("s-{number}");
        send_json(
            &scenario,
            Method::PUT,
            &format!("/api/v1/skills/{skill}"),
            &json!({"tenant": tenant, "name": text, "floor": 1}),
        )
        .await;
        let path = format!("/api/v1/agents/{}/skills", agent(number + 1));
        send_json(&scenario, Method::PUT, &path, &json!({"tenant": tenant, "skills": [skill]})).await;
    }
    // Everyone is made ready first, so that every skill has somebody whom a change would remove.
    let all: Vec<String> = (1..=texts.len()).map(agent).collect();
    let taken = scenario.request_change(&all, "Ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    let wish = json!({"tenant": tenant, "select": {"agents": all}, "to": "NotReady", "on_contact": "now"});
    let set = send_json(&scenario, Method::POST, "/api/v1/change-sets", &wish).await;
    browser.go(&scenario.page_url(&format!("/changes/{}", set["id"].as_str().expect("an id")))).await;
    browser.find("#members tr").await;
    let script =
        "return [...document.querySelectorAll('[aria-labelledby=sum] li .outcome')].map((one) => one.textContent)";
    let floors = browser.run(script, &[]).await;
    let floors: Vec<String> =
        floors.as_array().into_iter().flatten().map(|one| as_displayed(one.as_str().expect("text"))).collect();
    for text in &texts {
        assert!(floors.contains(&as_displayed(text)), "{text} is shown as written: {floors:?}");
    }
    assert_nothing_ran(&browser, "floors of skills").await;
    for page in ["/", "/changes", "/audit", "/wallboard"] {
        browser.go(&scenario.page_url(page)).await;
        browser.find("h1").await;
        assert_nothing_ran(&browser, page).await;
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_names_of_skills_and_queues_in_the_platforms_figures_run_nothing() {
    let texts = hostile_texts();
    let skills: Vec<String> = (1001..1001 + texts.len()).map(|id| id.to_string()).collect();
    let queues: Vec<String> = skills.iter().map(|id| format!("q_{id}")).collect();
    let keys = format!("skills = {}\nqueues = {}\n", json!(skills), json!(queues));
    let mut setup = Setup { tenant_keys: keys.leak(), ..Setup::team(8) };
    (setup.sim.skills, setup.sim.skill_names) = (texts.len(), texts.clone());
    let Some((scenario, browser)) = sign_in_browser(setup, "admin").await else { return };
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    let names = "return [...document.querySelectorAll('#cards .card-name')].map((one) => one.textContent)";
    scenario
        .wait_until("the figures of all are shown, drawn out of the stream", || async {
            let drawn = browser.run(names, &[]).await;
            let drawn: Vec<String> =
                drawn.as_array().into_iter().flatten().map(|one| as_displayed(one.as_str().expect("text"))).collect();
            let missing: Vec<_> = texts.iter().filter(|text| !drawn.contains(&as_displayed(text))).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} of {drawn:?}")) }
        })
        .await;
    assert_nothing_ran(&browser, "live, out of the stream").await;
    for page in ["/", "/wallboard", "/reports", "/system"] {
        browser.go(&scenario.page_url(page)).await;
        browser.find("h1").await;
        assert_nothing_ran(&browser, page).await;
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_reasons_run_nothing() {
    let texts = hostile_texts();
    let Some((scenario, browser)) = sign_in_browser(team_setup(texts.len()), "admin").await else { return };
    let tenant = &scenario.tenant;
    let (from, to) = ("2026-10-26T13:00:00Z", "2026-10-26T23:00:00Z");
    let mut sets = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let agents = json!([agent(number + 1)]);
        let why = json!({"tenant": tenant, "agents": agents, "from": from, "to": to, "reason": text});
        send_json(&scenario, Method::POST, "/api/v1/exceptions", &why).await;
        let wish = json!({"tenant": tenant, "agents": agents, "to": "Ready", "reason": text, "note": text});
        send_json(&scenario, Method::POST, "/api/v1/transitions", &wish).await;
        let wish = json!({"tenant": tenant, "select": {"agents": agents}, "to": "Paused", "reason": text, "note": text, "below_floor": text});
        // So many previews are kept, and the list of changes has those that were started.
        if number % 3 == 0 || number == texts.len() - 1 {
            let set = send_json(&scenario, Method::POST, "/api/v1/change-sets", &wish).await;
            let id = set["id"].as_str().expect("an id").to_owned();
            if set["counts"]["will_change"] != 0 {
                let start = json!({"tenant": tenant, "hash": set["hash"]});
                send_json(&scenario, Method::POST, &format!("/api/v1/change-sets/{id}/start"), &start).await;
            }
            sets.push((number, id));
        }
    }
    // The newest fifty of each list, and the fifty before.
    for page in ["/exceptions", "/changes", "/audit"] {
        browser.go(&scenario.page_url(page)).await;
        browser.find("main tbody tr").await;
        assert_nothing_ran(&browser, page).await;
        while browser.count("main p > a.button[href*=cursor]").await > 0 {
            browser.click("main p > a.button[href*=cursor]").await;
            browser.find("h1").await;
            assert_nothing_ran(&browser, page).await;
        }
    }
    for number in [1, 9, 46, 77, 100] {
        let who = agent(number);
        browser.go(&scenario.page_url(&format!("/agents/{who}"))).await;
        let text = as_displayed(&texts[number - 1]);
        browser.wait_for_text("[aria-labelledby=day-heading]", |shown| shown.contains(&text)).await;
        browser.wait_for_text("[aria-labelledby=changes-heading]", |shown| shown.contains(&text)).await;
        assert_nothing_ran(&browser, &who).await;
    }
    for (number, id) in &sets {
        browser.go(&scenario.page_url(&format!("/changes/{id}"))).await;
        let text = as_displayed(&texts[*number]);
        browser.wait_for_text("[aria-labelledby=sum]", |shown| shown.contains(&text)).await;
        assert_nothing_ran(&browser, &text).await;
    }
    // Live shows what was accepted, out of the stream.
    browser.go(&scenario.page_url("/")).await;
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    assert_nothing_ran(&browser, "live").await;
    browser.end().await;
}
