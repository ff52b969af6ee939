//! Every page as it is drawn: readable in both themes and at two widths by axe-core's judgement, and without a complaint of the
//! browser.

use serde_json::Value;

use super::browser::{Browser, axe};
use super::{save_screenshot, sign_in_browser, team_setup};
use crate::harness::Scenario;

/// The pages that need nothing but a tenant.
pub(super) const PAGES: [(&str, &str); 20] = [
    ("live", "/"),
    ("schedule", "/schedule"),
    ("schedule-change", "/schedule/change"),
    ("schedule-import", "/schedule/import"),
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
    ("analytics", "/analytics"),
    ("trends", "/trends"),
    ("audit", "/audit"),
    ("webhooks", "/webhooks"),
    ("system", "/system"),
    ("account", "/account"),
];

/// The widths of a desk and of a telephone.
const SIZES: [(u32, u32); 2] = [(1280, 900), (390, 844)];

/// What axe-core finds wrong with the page as it is.
pub(super) async fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe, &[]).await;
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
           .then((result) => done(result.violations.map((one) => [one.id, one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + ' ' + (node.failureSummary || '').slice(0, 300))])),
                 (error) => done([['axe', [String(error)]]]));";
    let found = browser.run_later(script, &[]).await;
    found.as_array().into_iter().flatten().map(Value::to_string).collect()
}

/// Whether all tabs are visible in one row if there is room, and otherwise a menu that names the current page.
async fn are_tabs_visible(browser: &Browser) -> bool {
    let script = "const nav = document.querySelector('.top nav');
        const shown = (element) => element.checkVisibility() && element.getBoundingClientRect().right <= innerWidth;
        const [menu, tabs] = [nav.querySelector('summary'), [...nav.querySelectorAll('a')]];
        if (innerWidth >= 1280) return tabs.every(shown) && nav.clientHeight < 48 && !shown(menu);
        const here = nav.querySelector('[aria-current]')?.textContent || 'Your account';
        return shown(menu) && menu.textContent === `Menu: ${here}`";
    browser.run(script, &[]).await.as_bool().expect("yes or no")
}

/// How far the page is wider than the window.
pub(super) async fn horizontal_overflow(browser: &Browser) -> i64 {
    let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    browser.run(script, &[]).await.as_i64().expect("pixels")
}

/// What is wrong with a page in both themes and at both widths; kept as pictures by its name.
pub(super) async fn page_problems(
    scenario: &Scenario,
    browser: &Browser,
    axe: Option<&str>,
    (name, path): (&str, &str),
) -> Vec<String> {
    let mut wrong = Vec::new();
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        for (width, height) in SIZES {
            let shown = format!("{name}-{scheme}-{width}");
            browser.resize(width, height).await;
            browser.go(&scenario.page_url(path)).await;
            browser.find("h1").await;
            save_screenshot(browser, &shown).await;
            if let Some(axe) = axe {
                wrong.extend(violations(browser, axe).await.into_iter().map(|one| format!("{shown}: {one}")));
            }
            if !are_tabs_visible(browser).await {
                wrong.push(format!("{shown}: its tab is out of sight"));
            }
            let over = horizontal_overflow(browser).await;
            if over > 0 {
                wrong.push(format!("{shown}: {over} pixels wider than the window"));
            }
        }
    }
    wrong.extend(browser.console_errors().await.into_iter().map(|one| format!("{name}: {one}")));
    wrong
}

/// The routes of the page of the API that are visible.
async fn visible_routes(browser: &Browser) -> usize {
    let script = "return [...document.querySelectorAll('.opblock')].filter((one) => one.checkVisibility()).length";
    browser.run(script, &[]).await.as_u64().and_then(|count| usize::try_from(count).ok()).expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_api_lists_every_route_finds_them_and_fits_a_telephone() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(4), "viewer").await else { return };
    let all = shiftkeeper::http::list_routes().iter().filter(|route| route.method.is_some()).count();
    for (theme, dark) in [("system", true), ("light", false), ("dark", true)] {
        browser.scheme("dark").await;
        browser.go(&scenario.page_url(&format!("/preferences?theme={theme}&next=/api/docs/"))).await;
        browser.wait_for_text("#found", |text| text == format!("{all} routes")).await;
        assert_eq!(visible_routes(&browser).await, all);
        let is_dark = browser.run("return document.documentElement.classList.contains('dark-mode')", &[]).await;
        assert_eq!(is_dark, Value::Bool(dark), "{theme}");
        for (width, height) in SIZES {
            browser.resize(width, height).await;
            save_screenshot(&browser, &format!("api-{theme}-{width}")).await;
            assert!(horizontal_overflow(&browser).await <= 0, "{theme} {width}");
        }
    }
    let smallest = "return Math.min(...[...document.querySelectorAll('.opblock-summary-path')].map((one) => parseFloat(getComputedStyle(one).fontSize) * visualViewport.width / innerWidth))";
    assert!(browser.run(smallest, &[]).await.as_f64().expect("pixels") >= 12.0);
    browser.press("/").await;
    browser.press("change-sets post UNDO").await;
    browser.wait_for_text("#found", |text| text.starts_with("1 of ")).await;
    assert_eq!(visible_routes(&browser).await, 1);
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_in_both_themes_and_at_both_widths() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(30), "admin").await else { return };
    let axe = axe();
    let mut wrong = Vec::new();
    for page in PAGES {
        wrong.extend(page_problems(&scenario, &browser, axe.as_deref(), page).await);
    }
    browser.end().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
