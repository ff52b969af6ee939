//! Every page as it is drawn: readable in both themes and at two widths by axe-core's judgement, without a complaint of the
//! browser, and with nothing of what a platform, a file or a person wrote taken for markup.

use serde_json::{Value, json};

use super::browser::{Browser, axe};
use super::{floor, picture, signed_in};
use crate::harness::{Scenario, Setup};

/// The pages that need nothing but a tenant.
const PAGES: [(&str, &str); 14] = [
    ("live", "/"),
    ("wallboard", "/wallboard"),
    ("agent", "/agents/u_0001"),
    ("changes", "/changes"),
    ("change-new", "/changes/new"),
    ("approvals", "/approvals"),
    ("rules", "/rules"),
    ("rule-new", "/rules/new"),
    ("exceptions", "/exceptions"),
    ("exception-new", "/exceptions/new"),
    ("reports", "/reports"),
    ("audit", "/audit"),
    ("webhooks", "/webhooks"),
    ("system", "/system"),
];

/// The widths of a desk and of a telephone.
const SIZES: [(u32, u32); 2] = [(1280, 900), (390, 844)];

/// What axe-core finds wrong with the page as it is.
async fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe, &[]).await;
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
           .then((result) => done(result.violations.map((one) => [one.id, one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + ' ' + (node.failureSummary || '').slice(0, 300))])),
                 (error) => done([['axe', [String(error)]]]));";
    let found = browser.run_later(script, &[]).await;
    found.as_array().into_iter().flatten().map(Value::to_string).collect()
}

/// How far the page is wider than the window.
async fn overhang(browser: &Browser) -> i64 {
    let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    browser.run(script, &[]).await.as_i64().expect("pixels")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_both_themes_and_at_both_widths() {
    let Some((scenario, browser)) = signed_in(floor(30), "admin").await else { return };
    let axe = axe();
    let mut wrong = Vec::new();
    for (name, path) in PAGES {
        for scheme in ["light", "dark"] {
            browser.scheme(scheme).await;
            for (width, height) in SIZES {
                let shown = format!("{name}-{scheme}-{width}");
                browser.resize(width, height).await;
                browser.go(&scenario.page(path)).await;
                browser.find("h1").await;
                picture(&browser, &shown).await;
                if let Some(axe) = &axe {
                    wrong.extend(violations(&browser, axe).await.into_iter().map(|one| format!("{shown}: {one}")));
                }
                let over = overhang(&browser).await;
                if over > 0 {
                    wrong.push(format!("{shown}: {over} pixels wider than the window"));
                }
            }
        }
        wrong.extend(browser.complaints().await.into_iter().map(|one| format!("{name}: {one}")));
    }
    browser.end().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

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
fn hostile() -> Vec<String> {
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

async fn ran(browser: &Browser) -> Value {
    browser.run("return window.__ran ?? 0", &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_names_run_nothing() {
    let texts = hostile();
    assert!(texts.len() >= 100);
    let setup = Setup { schedule: Some(hostile_schedule(&texts)), ..floor(texts.len()) };
    let Some((scenario, browser)) = signed_in(setup, "admin").await else { return };
    change_with_hostile_reasons(&scenario, &texts).await;
    for (name, path) in PAGES {
        browser.go(&scenario.page(path)).await;
        browser.find("h1").await;
        assert_eq!(ran(&browser).await, json!(0), "{name}");
    }
    browser.go(&scenario.page("/")).await;
    browser.until_text("#line-word", |text| text == "Following live").await;
    for agent in ["u_0001", "u_0035", "u_0100"] {
        // The module draws the row anew out of the stream.
        let shown = browser.text(&format!("{} [data-f=name]", super::row(agent))).await;
        let number: usize = agent[2..].parse().expect("a number");
        let wanted = texts[number - 1].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(shown.trim_matches(['\u{feff}']), wanted.trim_matches(['\u{feff}']), "{agent} is shown as written");
        browser.go(&scenario.page(&format!("/agents/{agent}"))).await;
        browser.find("h1").await;
        assert_eq!(ran(&browser).await, json!(0), "{agent}");
        browser.go(&scenario.page("/")).await;
    }
    let blocked: Vec<_> =
        browser.complaints().await.into_iter().filter(|line| line.contains("Content Security Policy")).collect();
    assert!(blocked.is_empty(), "nothing even tried: {blocked:?}");
    browser.end().await;
}

/// Reasons come from people and platforms too.
async fn change_with_hostile_reasons(scenario: &Scenario, texts: &[String]) {
    for (number, text) in texts.iter().enumerate().take(10) {
        let agent = format!("u_{:04}", number + 1);
        let body = json!({"tenant": scenario.tenant, "agents": [agent], "to": "Ready", "reason": text, "note": text});
        let (status, answer) =
            crate::harness::answer(scenario.request(reqwest::Method::POST, "/api/v1/transitions").json(&body)).await;
        assert!(status.is_success(), "{answer}");
    }
}
