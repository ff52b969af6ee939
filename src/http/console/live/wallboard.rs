//! The wallboard: figures of queues for a screen that is read from five metres away.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::age_text;
use super::cards::{Card, build_cards};
use super::live_view::LiveView;
use super::rows::AgentRow;
use super::thresholds::ClientThresholds;
use crate::http::auth::Right;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::console::shared::times::Stamp;
use crate::http::state::ApiState;

/// The number of tiles on a screen; if there are more, they take turns.
const TILES_PER_SCREEN: usize = 6;

#[derive(Template)]
#[template(path = "live/wallboard.html")]
struct WallboardPage {
    shell: Shell,
    pages: Vec<Vec<Card>>,
    seen: Option<Stamp>,
    age: String,
    now: Stamp,
    agents: usize,
    ready: usize,
    contact: usize,
    out: usize,
    too_long: usize,
    marks: ClientThresholds,
}

/// `GET /wallboard`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let live_view = LiveView::load(&state, &request).await;
    let at = live_view.as_ref().map_or(request.now, LiveView::at);
    let agents = live_view.iter().flat_map(LiveView::agents);
    let rows: Vec<AgentRow> = agents.map(|agent| AgentRow::from_card(agent, &request.times, at)).collect();
    let count = |passes: &dyn Fn(&AgentRow) -> bool| rows.iter().filter(|row| passes(row)).count();
    let mut all = live_view.as_ref().map(|picture| build_cards(picture, &request.times)).unwrap_or_default();
    let mut pages = Vec::new();
    while !all.is_empty() {
        let rest = all.split_off(all.len().min(TILES_PER_SCREEN));
        pages.push(std::mem::replace(&mut all, rest));
    }
    let observed_at = live_view.as_ref().and_then(LiveView::observed_at);
    Ok(render_page(&WallboardPage {
        pages,
        seen: observed_at.map(|seen| request.times.second(seen)),
        age: age_text(observed_at, at),
        now: request.times.clock(at, None),
        agents: rows.len(),
        ready: count(&|row| row.state.class == "ready"),
        contact: count(&|row| ["oncontact", "wrapup"].contains(&row.state.class)),
        out: count(&|row| row.verdict.class == "out"),
        too_long: count(&|row| row.level == "act"),
        marks: ClientThresholds::from_live_view(live_view.as_ref()),
        shell: request.shell(ConsolePage::Wallboard, "Wallboard"),
    }))
}
