//! A floor of 2,000 agents in the browser, sorted and narrowed while states stream in. What it costs the browser is printed with
//! `SHIFTKEEPER_TEST_FULL=1`, for `docs/performance.md`; what is asserted does not depend on the machine.

use std::time::Duration;

use serde_json::{Value, json};
use shiftkeeper::sim::SimState;

use super::browser::Browser;
use super::{row_selector, sign_in_browser, team_setup};
use crate::faults::print_progress;
use crate::harness::{Scenario, Setup, WAIT_TIMEOUT, agent_ids, full_size, wait_until};

const AGENTS: usize = 2000;

/// Counts what keeps the page from answering: tasks of over 50 ms, and the time from frame to frame.
pub(super) const MEASURE_SCRIPT: &str = "
    window.__tasks = [];
    window.__gaps = [];
    new PerformanceObserver((list) => __tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: 'longtask' });
    let last = performance.now();
    const frame = (at) => { __gaps.push(at - last); last = at; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);";

/// Does something and waits until it is painted; gives how long its own work took and until when it was painted, in milliseconds.
const TIMING_SCRIPT: &str = "
    const done = arguments[arguments.length - 1];
    const began = performance.now();
    WORK;
    const worked = performance.now() - began;
    requestAnimationFrame(() => requestAnimationFrame(() => done([worked, performance.now() - began])));";

async fn measure(browser: &Browser, what: &str, work: &str) -> String {
    let script = TIMING_SCRIPT.replace("WORK", work);
    let took = browser.run_later(&script, &[]).await;
    let ms = |index: usize| took[index].as_f64().unwrap_or_default();
    format!("{what}: {:.0} ms of work, painted after {:.0} ms", ms(0), ms(1))
}

/// Numbers in words: how many, the median, the 99th in a hundred and the greatest.
pub(super) fn distribution_text(numbers: &Value) -> String {
    let mut sorted: Vec<f64> = numbers.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
    let text = |percent| at(percent).map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0}"));
    format!("{} (median {} ms, p99 {} ms, longest {} ms)", sorted.len(), text(50), text(99), text(100))
}

/// Changes fifty agents of a number at a time until the page has drawn this number of frames.
pub(super) async fn stream_changes(scenario: &Scenario, browser: &Browser, agents: usize, frames: u64) {
    let mut turn = 0;
    wait_until("the page has drawn its frames", WAIT_TIMEOUT * 3, || {
        turn += 1;
        let state = if turn % 2 == 0 { SimState::Available } else { SimState::Unavailable };
        for agent in agent_ids(agents).iter().skip(turn * 50 % agents).take(50) {
            scenario.set_agent_state(agent, state);
        }
        async {
            let drawn = browser.run("return __gaps.length", &[]).await.as_u64().unwrap_or_default();
            if drawn >= frames { Ok(()) } else { Err(format!("{drawn} frames")) }
        }
    })
    .await;
}

async fn ids(browser: &Browser) -> Vec<String> {
    let ids = browser.run("return [...document.querySelectorAll('#rows tr')].map((row) => row.dataset.id)", &[]).await;
    ids.as_array().into_iter().flatten().map(|id| id.as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_agents_are_sorted_narrowed_and_selected_while_they_change() {
    let setup = Setup { speed: 20, request_timeout: Duration::from_secs(10), ..team_setup(AGENTS) };
    let Some((scenario, browser)) = sign_in_browser(setup, "supervisor").await else { return };
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.wait_for_text("#total", |text| text == "2000").await;
    let mut figures = Vec::new();
    let load = browser.run("const [page] = performance.getEntriesByType('navigation'); return [page.responseEnd - page.requestStart, page.domInteractive - page.responseEnd, page.loadEventEnd - page.responseEnd, page.decodedBodySize / 1024]", &[]).await;
    figures.push(format!(
        "the page: answered in {:.0} ms, read in {:.0} ms, loaded in {:.0} ms, {:.0} KiB",
        load[0].as_f64().unwrap_or_default(),
        load[1].as_f64().unwrap_or_default(),
        load[2].as_f64().unwrap_or_default(),
        load[3].as_f64().unwrap_or_default()
    ));
    browser.run(MEASURE_SCRIPT, &[]).await;
    stream_changes(&scenario, &browser, AGENTS, if full_size() { 900 } else { 120 }).await;
    figures.push(format!(
        "frames while fifty change at a time: {}",
        distribution_text(&browser.run("return __gaps", &[]).await)
    ));
    figures
        .push(format!("tasks over 50 ms meanwhile: {}", distribution_text(&browser.run("return __tasks", &[]).await)));

    for key in ["name", "team", "state", "time", "worst"] {
        let click = format!("document.querySelector('#agents th[data-sort={key}] a').click()");
        figures.push(measure(&browser, &format!("sorted by {key}"), &click).await);
    }
    browser.wait_for_text("#matching", |text| text == "2000").await;
    let click = "document.querySelector('#agents th[data-sort=name] a').click()";
    figures.push(measure(&browser, "sorted by name again", click).await);
    let sorted = ids(&browser).await;
    assert_eq!((sorted.len(), sorted[0].as_str(), sorted[AGENTS - 1].as_str()), (AGENTS, "u_0001", "u_2000"));
    let search = |text: &str| {
        format!(
            "const box = document.querySelector('#q'); box.value = '{text}'; box.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )
    };
    figures.push(measure(&browser, "searched for u_19", &search("u_19")).await);
    browser.wait_for_text("#matching", |text| text == "100").await;
    assert_eq!(ids(&browser).await, agent_ids(AGENTS)[1899..1999]);
    figures.push(measure(&browser, "searched for all again", &search("")).await);
    browser.wait_for_text("#matching", |text| text == "2000").await;
    figures.push(measure(&browser, "selected all", "document.querySelector('#tick-all').click()").await);
    browser.wait_for_text("#selected", |text| text == "2000").await;
    figures.push(measure(&browser, "selected none", "document.querySelector('#select-none').click()").await);

    // It followed the stream all the time.
    scenario.set_agent_state("u_1234", SimState::Available);
    browser.wait_for_text(&format!("{} [data-f=state]", row_selector("u_1234")), |text| text == "Ready").await;
    assert_eq!(browser.console_errors().await, Vec::<String>::new());
    if full_size() {
        print_progress(figures.join("\n"));
    }
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_moves_is_counted_once_and_moved_alone() {
    let Some((scenario, browser)) = sign_in_browser(team_setup(30), "supervisor").await else { return };
    browser.wait_for_text("#line-word", |text| text == "Connected").await;
    browser.choose("#sort", "state").await;
    // The focus in a row keeps rows from moving by themselves.
    browser
        .run("document.querySelector(arguments[0]).focus()", &[json!(format!("{} a", row_selector("u_0010")))])
        .await;
    scenario.set_agent_state("u_0001", SimState::Available);
    browser.wait_for_text("#moved:not([hidden]) #moved-text", |text| text == "1 row has moved.").await;
    browser.click("#resort").await;
    let moved = ids(&browser).await;
    assert_eq!((moved[0].as_str(), moved[29].as_str()), ("u_0002", "u_0001"), "not ready before ready");
    browser.end().await;
}
