//! The page on which an agent accepts or declines an offer, by a link that needs no account.

use std::collections::HashSet;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::domain::schedules::offer::OfferStatus;
use crate::domain::time::UtcMicros;
use crate::http::api::schedules::offers::offer_problem;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::shell::{render_page, render_page_with_status};
use crate::http::console::shared::times::zone_name;
use crate::http::services::schedule_offers::{OfferError, OfferToAgent};
use crate::http::services::shifts::ShiftBody;
use crate::http::state::ApiState;

#[derive(Template)]
#[template(path = "schedules/offer.html")]
struct OfferPage {
    day: String,
    zone: String,
    state: OfferState,
    /// The shifts that acceptance would change.
    shifts: Vec<OfferedShift>,
    expires_at: String,
    places: u32,
    free_places: usize,
}

/// What the agent can do, or what became of the offer.
enum OfferState {
    Open,
    Accepted {
        at: String,
    },
    Declined {
        at: String,
    },
    Filled,
    Expired,
    Withdrawn,
    /// It does not fit the schedule in force.
    DoesNotFit {
        why: String,
    },
}

/// A shift as it is and as it would be.
struct OfferedShift {
    now: Vec<ShiftLine>,
    offered: Vec<ShiftLine>,
}

/// A line of a shift: its times, or an activity.
struct ShiftLine {
    text: String,
    /// Whether the other version of the shift does not have it.
    is_different: bool,
}

/// The page of a link that cannot be used.
#[derive(Template)]
#[template(path = "schedules/link_ended.html")]
struct LinkEndedPage;

/// What an agent answers.
#[derive(Deserialize)]
pub(in crate::http) struct OfferForm {
    answer: FormAnswer,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum FormAnswer {
    Accept,
    Decline,
}

/// `GET /offer/{secret}`.
pub(in crate::http) async fn show(State(state): State<ApiState>, Path(secret): Path<String>) -> Response {
    match state.offers.show_offer(secret).await {
        Ok(offer) => render_page(&offer_page(offer)),
        Err(error) => error_page(error),
    }
}

/// `POST /offer/{secret}`.
pub(in crate::http) async fn answer(
    State(state): State<ApiState>,
    Path(secret): Path<String>,
    Form(form): Form<OfferForm>,
) -> Response {
    match state.offers.answer_offer(secret.clone(), form.answer == FormAnswer::Accept).await {
        Ok(_) => Redirect::to(&format!("/offer/{secret}")).into_response(),
        Err(error) => error_page(error),
    }
}

fn error_page(error: OfferError) -> Response {
    match error {
        OfferError::NoOffer => render_page_with_status(StatusCode::NOT_FOUND, &LinkEndedPage),
        error => PageError::from(offer_problem(error)).into_response(),
    }
}

fn offer_page(shown: OfferToAgent) -> OfferPage {
    let OfferToAgent { offer, agent, zone, changes, now } = shown;
    let zone = zone.and_then(|zone| TimeZone::get(&zone).ok()).unwrap_or(TimeZone::UTC);
    let moment = |at| text_of(at, &zone, "%H:%M on %-d %B");
    let accepted = offer.accepted();
    let state = match (offer.answer_of(&agent), offer.status(now), &changes) {
        (Some(answer), ..) if answer.accepted_as.is_some() => OfferState::Accepted { at: moment(answer.at) },
        (Some(answer), ..) => OfferState::Declined { at: moment(answer.at) },
        (None, OfferStatus::Filled, _) => OfferState::Filled,
        (None, OfferStatus::Expired, _) => OfferState::Expired,
        // Nobody has a link of an offer that is only proposed.
        (None, OfferStatus::Withdrawn | OfferStatus::Proposed, _) => OfferState::Withdrawn,
        (None, OfferStatus::Open, Err(why)) => OfferState::DoesNotFit { why: why.clone() },
        (None, OfferStatus::Open, Ok(_)) => OfferState::Open,
    };
    let shifts = changes.unwrap_or_default().into_iter().map(|change| {
        let (now, offered) = (shift_lines(change.before.as_ref(), &zone), shift_lines(change.after.as_ref(), &zone));
        OfferedShift { offered: marked(&offered, &now), now: marked(&now, &offered) }
    });
    OfferPage {
        day: offer.day.strftime("%A %-d %B %Y").to_string(),
        shifts: if matches!(state, OfferState::Open) { shifts.collect() } else { Vec::new() },
        zone: zone_name(&zone).to_owned(),
        state,
        expires_at: moment(offer.expires_at),
        places: offer.places,
        free_places: usize::try_from(offer.places).unwrap_or(usize::MAX).saturating_sub(accepted),
    }
}

fn text_of(at: UtcMicros, zone: &TimeZone, format: &str) -> String {
    at.timestamp().to_zoned(zone.clone()).strftime(format).to_string()
}

/// Returns the times of a shift and of its activities, a line each.
fn shift_lines(shift: Option<&ShiftBody>, zone: &TimeZone) -> Vec<String> {
    let span = |start, end| format!("{}–{}", text_of(start, zone, "%H:%M"), text_of(end, zone, "%H:%M"));
    let Some(shift) = shift else { return vec!["No shift".to_owned()] };
    let activities = shift.activities.iter().map(|one| format!("{}: {}", one.activity, span(one.start, one.end)));
    std::iter::once(format!("Shift: {}", span(shift.start, shift.end))).chain(activities).collect()
}

fn marked(lines: &[String], others: &[String]) -> Vec<ShiftLine> {
    let others: HashSet<&String> = others.iter().collect();
    lines.iter().map(|line| ShiftLine { text: line.clone(), is_different: !others.contains(line) }).collect()
}
