//! The page of offers to agents: how many places are taken, who answered, and the button that withdraws an offer.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::domain::ids::OfferId;
use crate::domain::wording::count_with_noun;
use crate::http::api::schedules::offers::{self, OfferResponse, OffersResponse};
use crate::http::auth::Right;
use crate::http::console::shared::page_error::PageError;
use crate::http::console::shared::page_request::PageRequest;
use crate::http::console::shared::shell::{ConsolePage, Shell, render_page};
use crate::http::state::ApiState;

#[derive(Template)]
#[template(path = "schedules/offers.html")]
struct OffersPage {
    shell: Shell,
    offers: Vec<OfferResponse>,
    older: Option<OfferId>,
    may_change: bool,
}

impl OffersPage {
    /// Returns the name of an agent, or the id of one without a name.
    fn name(agent: &offers::OfferedAgentResponse) -> &str {
        agent.name.as_deref().unwrap_or(agent.agent.as_str())
    }

    /// Returns the class and the text of an offer's status.
    fn status(offer: &OfferResponse) -> (&'static str, &str) {
        match offer.status.as_str() {
            "proposed" => ("outcome-wait", "waiting for approval"),
            "open" => ("outcome-wait", "open"),
            "filled" => ("outcome-good", "filled"),
            other => ("outcome-no", other),
        }
    }

    /// Returns the agents who have not answered, in words.
    fn without_answer(offer: &OfferResponse) -> Option<String> {
        let count = offer.agents.iter().filter(|agent| agent.answer.is_none()).count();
        (count > 0).then(|| count_with_noun(count, "agent"))
    }

    /// Returns the number of agents in words.
    fn agent_count(offer: &OfferResponse) -> String {
        count_with_noun(offer.agents.len(), "agent")
    }

    /// Returns who made an offer.
    fn made_by(offer: &OfferResponse) -> String {
        match offer.made_by.strip_prefix("rule:") {
            Some(rule) => format!("rule {rule}"),
            None => offer.made_by.strip_prefix("person:").unwrap_or(&offer.made_by).to_owned(),
        }
    }
}

/// `GET /schedule/offers?cursor=`.
pub(in crate::http) async fn show(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let query = [("limit", "50"), ("cursor", request.value("cursor").unwrap_or_default())];
    let OffersResponse { offers, next } =
        request.api("/api/v1/schedule-offers").query(&query).call(&state, offers::list).await?;
    Ok(render_page(&OffersPage {
        shell: request.shell(ConsolePage::Schedule, "Offers"),
        offers,
        older: next,
        may_change: request.has_right(Right::EditSchedules),
    }))
}
