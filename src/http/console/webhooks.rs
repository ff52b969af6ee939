//! The webhooks pages: the status of endpoints, their deliveries with every attempt, and sending again.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::shared::page_error::PageError;
use super::shared::page_request::PageRequest;
use super::shared::shell::{ConsolePage, Shell, render_page};
use crate::domain::ids::{EndpointId, EventId};
use crate::domain::webhooks::delivery::{ParkReason, STATUS_NAMES};
use crate::http::api::webhooks::endpoint_status;
use crate::http::auth::Right;
use crate::http::problem::{Code, Problem};
use crate::http::request::extract::Path;
use crate::http::state::ApiState;
use crate::store::{AttemptWrite, Backlog, DeliveryFilter, StoredDelivery, StoredEndpoint};

/// The number of deliveries per page.
const PAGE_SIZE: u32 = 50;

struct Endpoint {
    stored: StoredEndpoint,
    backlog: Backlog,
    /// `healthy`, `failing`, `disabled` or `removed`.
    status: &'static str,
}

#[derive(Template)]
#[template(path = "webhooks/webhooks.html")]
struct WebhooksPage {
    shell: Shell,
    endpoints: Vec<Endpoint>,
    may: bool,
}

/// `GET /webhooks`.
pub(in crate::http) async fn list(State(state): State<ApiState>, request: PageRequest) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let configured = state.outbox.endpoints(&request.tenant);
    let mut endpoints = Vec::new();
    for stored in state.reader.endpoints(&request.tenant).await? {
        let backlog = state.reader.backlog(&request.tenant, &stored.id).await?;
        let status = endpoint_status(&stored, configured.contains(&stored.id));
        endpoints.push(Endpoint { stored, backlog, status });
    }
    let (shell, may) = (request.shell(ConsolePage::Webhooks, "Webhooks"), request.has_right(Right::Webhooks));
    Ok(render_page(&WebhooksPage { shell, endpoints, may }))
}

struct Delivery {
    row: StoredDelivery,
    attempts: Vec<AttemptWrite>,
}

#[derive(Template)]
#[template(path = "webhooks/deliveries.html")]
struct DeliveriesPage {
    shell: Shell,
    endpoint: EndpointId,
    status: &'static str,
    deliveries: Vec<Delivery>,
    /// Whether the page shows one delivery, with its attempts.
    one: bool,
    older: Option<String>,
    may: bool,
}

impl DeliveriesPage {
    fn link(&self, more: &[(&str, &str)]) -> String {
        let pairs = more.iter().filter(|(_, value)| !value.is_empty());
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let joint = if query.is_empty() { "" } else { "&" };
        let id: String = url::form_urlencoded::byte_serialize(self.endpoint.as_str().as_bytes()).collect();
        format!("{}{joint}{query}", self.shell.to(&format!("/webhooks/{id}")))
    }

    fn all(&self) -> String {
        self.link(&[])
    }

    fn of_status(&self, status: &str) -> String {
        self.link(&[("status", status)])
    }

    fn of_event(&self, row: &StoredDelivery) -> String {
        self.link(&[("event", &row.event.to_string())])
    }

    fn before(&self, number: &str) -> String {
        self.link(&[("status", self.status), ("before", number)])
    }
}

/// Returns why a delivery was parked.
fn parked_for(row: &StoredDelivery) -> &'static str {
    row.parked_for.map_or("", ParkReason::name)
}

/// `GET /webhooks/{id}`: the deliveries of an endpoint, or with `event` one of them and its attempts.
pub(in crate::http) async fn deliveries(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Result<Response, PageError> {
    request.check(&state, Right::Read)?;
    let endpoint = EndpointId::new(id);
    if !state.reader.endpoints(&request.tenant).await?.iter().any(|stored| stored.id == endpoint) {
        let detail = format!("{} has no webhook {endpoint}", request.tenant);
        return Err(Problem::from_code(Code::NoSuchWebhook, detail).into());
    }
    let status = request.value("status").and_then(|status| STATUS_NAMES.into_iter().find(|known| *known == status));
    let event: Option<EventId> = request.value("event").and_then(|event| event.parse().ok());
    let before = match event {
        // The delivery of an event is the newest one before the next number.
        Some(event) => state.reader.event(&request.tenant, event).await?.map(|stored| stored.number + 1),
        None => request.value("before").and_then(|number| number.parse().ok()),
    };
    let filter = DeliveryFilter { status: status.filter(|_| event.is_none()), since: None, before };
    let limit = if event.is_some() { 1 } else { PAGE_SIZE };
    let mut rows = state.reader.deliveries(&request.tenant, &endpoint, &filter, limit).await?;
    rows.retain(|row| event.is_none_or(|event| row.event == event));
    let last = rows.last().filter(|_| event.is_none() && rows.len() == PAGE_SIZE as usize);
    let older = last.map(|row| row.event_number.to_string());
    let mut deliveries = Vec::new();
    for row in rows {
        let attempts = match event {
            Some(_) => state.reader.delivery_attempts(&request.tenant, &endpoint, row.event_number).await?,
            None => Vec::new(),
        };
        deliveries.push(Delivery { row, attempts });
    }
    Ok(render_page(&DeliveriesPage {
        shell: request.shell(ConsolePage::Webhooks, format!("Deliveries to {endpoint}")),
        may: request.has_right(Right::Webhooks),
        endpoint,
        status: status.unwrap_or(""),
        deliveries,
        one: event.is_some(),
        older,
    }))
}
