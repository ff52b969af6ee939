//! The wallboard: the queues' figures for a screen that is read from five metres.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::age;
use super::cards::{Card, cards};
use super::picture::Picture;
use super::rows::Row;
use super::thresholds::Marks;
use crate::http::ApiState;
use crate::http::auth::Right;
use crate::http::console::shared::ask::Ask;
use crate::http::console::shared::failure::Failure;
use crate::http::console::shared::shell::{Place, Shell, page};
use crate::http::console::shared::times::Stamp;

/// Tiles that a screen holds; more of them take turns.
const TILES: usize = 6;

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
    marks: Marks,
}

/// `GET /wallboard`.
pub(in crate::http) async fn show(State(state): State<ApiState>, ask: Ask) -> Result<Response, Failure> {
    ask.check(&state, Right::Read)?;
    let picture = ask.picture(&state).await;
    let at = picture.as_ref().map_or(ask.now, Picture::at);
    let agents = picture.iter().flat_map(Picture::agents);
    let rows: Vec<Row> = agents.map(|agent| Row::of(agent, &ask.times, at)).collect();
    let count = |passes: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| passes(row)).count();
    let mut all = picture.as_ref().map(|picture| cards(picture, &ask.times)).unwrap_or_default();
    let mut pages = Vec::new();
    while !all.is_empty() {
        let rest = all.split_off(all.len().min(TILES));
        pages.push(std::mem::replace(&mut all, rest));
    }
    let seen = picture.as_ref().and_then(Picture::seen_at);
    Ok(page(&WallboardPage {
        pages,
        seen: seen.map(|seen| ask.times.second(seen)),
        age: age(seen, at),
        now: ask.times.clock(at, None),
        agents: rows.len(),
        ready: count(&|row| row.state.class == "ready"),
        contact: count(&|row| ["oncontact", "wrapup"].contains(&row.state.class)),
        out: count(&|row| row.verdict.class == "out"),
        too_long: count(&|row| row.level == "act"),
        marks: Marks::of(picture.as_ref()),
        shell: ask.shell(Place::Wallboard, "Wallboard"),
    }))
}
