//! `/live` and `/live/events`: the live view over a WebSocket and as an event stream, with the same messages.
//!
//! The engine (`engine::live`) decides which messages are sent in which order; this module transmits them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, stream};
use tokio::sync::watch;
use utoipa::IntoParams;

use super::auth::{Caller, ConfiguredAccess, Right, SUBPROTOCOL};
use super::problem::{Code, Problem};
use super::state::ApiState;
use crate::clock::{RealTime, Stopwatch};
use crate::domain::ids::{TeamName, TenantId};
use crate::engine::live::filter::ViewerFilter;
use crate::engine::live::frame::{Frame, Kind};
use crate::engine::live::message::EndReason;
use crate::engine::live::{HEARTBEAT_REAL, Viewer, ViewerOutput, ViewerRejection, ViewerRequest};
use crate::engine::operations::tenants::TenantsUpdates;

/// The maximum number of teams, and of skills, that one viewer may name.
const MAX_NAMES: usize = 100;

/// How long a viewer may take to answer a ping, in real time; every heartbeat pings the WebSocket.
const PING_TIMEOUT_REAL: Duration = Duration::from_secs(3 * HEARTBEAT_REAL.as_secs());

/// How long the other side of a WebSocket may take to answer the close frame, in real time.
const CLOSE_TIMEOUT_REAL: Duration = Duration::from_secs(1);

/// Buffer sizes of a WebSocket in bytes: viewers send almost nothing, and receive one write at a time.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 32 * 1024;

/// The largest message that a viewer may send, in bytes; such messages are ignored.
const MAX_INCOMING_BYTES: usize = 4096;

/// Follow the live view as an event stream
///
/// Sends the same messages as `/live` as server-sent events; the name of each event is the message's `type`. See the
/// reference of the API.
#[utoipa::path(
    get,
    path = "/live/events",
    tag = "live",
    operation_id = "follow_events",
    params(LiveQueryParams),
    responses((status = 200, description = "The stream, which stays open.", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn events(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let viewer = authorize_viewer(&state, caller, query.as_deref(), &headers)?;
    let body = stream::unfold(EventStream::New(Box::new(viewer)), |event_stream| async { event_stream.next().await });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Otherwise nginx would buffer the stream.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// The state of an event stream.
enum EventStream {
    New(Box<AuthorizedViewer>),
    Open(Box<AuthorizedViewer>),
    Ended,
}

impl EventStream {
    async fn next(self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        let (chunk, next_state) = match self {
            Self::New(viewer) => {
                (Bytes::from(format!("retry: {}\n\n", viewer.viewer.retry().as_millis())), Self::Open(viewer))
            }
            Self::Open(mut viewer) => match viewer.next().await {
                ViewerOutput::Frames(frames) => (join_frames(&frames), Self::Open(viewer)),
                ViewerOutput::End(_, frame) => (frame.event().clone(), Self::Ended),
            },
            Self::Ended => return None,
        };
        Some((Ok(chunk), next_state))
    }
}

/// Joins the events of several frames.
fn join_frames(frames: &[Frame]) -> Bytes {
    if let [frame] = frames {
        return frame.event().clone();
    }
    let mut bytes = BytesMut::with_capacity(frames.iter().map(|frame| frame.event().len()).sum());
    for frame in frames {
        bytes.extend_from_slice(frame.event());
    }
    bytes.freeze()
}

/// Follow the live view over a WebSocket
///
/// Sends the live view first and then its changes. See the reference of the API.
#[utoipa::path(
    get,
    path = "/live",
    tag = "live",
    operation_id = "follow_socket",
    params(LiveQueryParams),
    responses((status = 101, description = "The connection is upgraded to a WebSocket."))
)]
pub(super) async fn socket(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("{}; ask for a WebSocket, or read /live/events instead", rejection.body_text());
        Problem::from_code(Code::NotAWebsocket, detail)
    })?;
    let viewer = authorize_viewer(&state, caller, query.as_deref(), &headers)?;
    Ok(upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_INCOMING_BYTES)
        .on_upgrade(|socket| serve_viewer(socket, viewer)))
}

/// Sends a viewer on a WebSocket all messages until one side ends the connection.
async fn serve_viewer(mut socket: WebSocket, mut viewer: AuthorizedViewer) {
    let close_with = match exchange_messages(&mut socket, &mut viewer).await {
        Ok(close_with) => close_with,
        Err(error) => {
            tracing::debug!(%error, "a viewer's WebSocket ended badly");
            return;
        }
    };
    // This frees the viewer's place for another one.
    drop(viewer);
    let Some((code, reason)) = close_with else { return };
    let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
    let closing = async {
        if socket.send(close).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    tokio::select! {
        () = closing => {}
        () = RealTime::sleep(CLOSE_TIMEOUT_REAL) => {}
    }
}

/// Exchanges messages with a viewer. Returns the code and the reason to close with, or `None` if the other side has
/// closed.
async fn exchange_messages(
    socket: &mut WebSocket,
    viewer: &mut AuthorizedViewer,
) -> Result<Option<(u16, &'static str)>, axum::Error> {
    let mut last_received = Stopwatch::start();
    loop {
        tokio::select! {
            next = viewer.next() => match next {
                ViewerOutput::Frames(frames) => {
                    if frames.iter().any(|frame| frame.kind() == Kind::Heartbeat) {
                        if last_received.elapsed() > PING_TIMEOUT_REAL {
                            tracing::info!("a viewer answers no ping and is dropped");
                            return Ok(Some((close_code(EndReason::TooSlow), "silent")));
                        }
                        socket.feed(Message::Ping(Bytes::new())).await?;
                    }
                    for frame in &frames {
                        socket.feed(frame_message(frame)?).await?;
                    }
                    socket.flush().await?;
                }
                ViewerOutput::End(reason, frame) => {
                    socket.send(frame_message(&frame)?).await?;
                    return Ok(Some((close_code(reason), reason.name())));
                }
            },
            incoming = socket.recv() => match incoming {
                None | Some(Ok(Message::Close(_))) => return Ok(None),
                Some(incoming) => {
                    incoming?;
                    last_received = Stopwatch::start();
                }
            },
        }
    }
}

fn frame_message(frame: &Frame) -> Result<Message, axum::Error> {
    Utf8Bytes::try_from(frame.json()).map(Message::Text).map_err(axum::Error::new)
}

/// Returns the close code as defined by RFC 6455, or by its registry for 1013.
const fn close_code(reason: EndReason) -> u16 {
    match reason {
        EndReason::GoingAway | EndReason::TenantGone => 1001,
        EndReason::NotPermitted => 1008,
        EndReason::TenantsChanged => 1012,
        EndReason::TooSlow => 1013,
    }
}

/// A viewer with its permissions, which are checked again whenever they may have changed.
struct AuthorizedViewer {
    viewer: Viewer,
    caller: Caller,
    tenants: BTreeSet<TenantId>,
    state: ApiState,
    tokens: watch::Receiver<Arc<ConfiguredAccess>>,
    account_updates: watch::Receiver<u64>,
    tenant_updates: TenantsUpdates,
    /// Whether the viewer named no tenant and watches all that it can access.
    watches_all: bool,
}

impl AuthorizedViewer {
    async fn next(&mut self) -> ViewerOutput {
        loop {
            tokio::select! {
                // A viewer with many messages must lose a right as soon as any other.
                biased;
                // The senders live as long as the daemon can be reloaded and accounts can change.
                Ok(()) = self.tokens.changed() => {}
                Ok(()) = self.account_updates.changed() => {}
                () = self.tenant_updates.changed() => {}
                next = self.viewer.next() => {
                    if let ViewerOutput::Frames(frames) = &next
                        && frames.iter().any(|frame| frame.kind() == Kind::Heartbeat)
                    {
                        self.caller.touch_session(&self.state);
                    }
                    return next;
                }
            }
            if !self.caller.is_still_permitted(&self.state, Right::Read, &self.tenants) {
                return self.viewer.end(EndReason::NotPermitted);
            }
            if self.watches_all && accessible_tenants(&self.state, &self.caller).is_ok_and(|now| now != self.tenants) {
                return self.viewer.end(EndReason::TenantsChanged);
            }
        }
    }
}

/// Adds a viewer if the caller may see what the request asks for.
fn authorize_viewer(
    state: &ApiState,
    caller: Caller,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<AuthorizedViewer, Problem> {
    let request = LiveRequest::parse(query.unwrap_or_default(), headers)?;
    let tenant_updates = state.keepers.tenants().subscribe();
    let watches_all = request.tenants.is_empty();
    let tenants = if watches_all {
        accessible_tenants(state, &caller)?
    } else {
        for tenant in &request.tenants {
            caller.check(state, Right::Read, tenant)?;
        }
        request.tenants
    };
    let after = request.after.as_deref().map_or(Ok(BTreeMap::new()), |id| parse_resume_points(id, &tenants))?;
    let resume_points = tenants.iter().map(|tenant| (tenant.clone(), after.get(tenant).copied())).collect();
    let bound = tenants.iter().filter_map(|tenant| Some((tenant.clone(), caller.teams(tenant)?.clone()))).collect();
    let viewer = state.live.add_viewer(ViewerRequest {
        tenants: resume_points,
        filter: ViewerFilter { permitted_teams: bound, ..request.filter },
    })?;
    let mut tokens = state.tokens.clone();
    // Check the permissions again at the first message: a right may have been lost since the caller was authenticated.
    tokens.mark_changed();
    let account_updates = state.accounts.updates();
    Ok(AuthorizedViewer {
        viewer,
        caller,
        tenants,
        state: state.clone(),
        tokens,
        account_updates,
        tenant_updates,
        watches_all,
    })
}

/// Returns all tenants that the caller may read.
fn accessible_tenants(state: &ApiState, caller: &Caller) -> Result<BTreeSet<TenantId>, Problem> {
    let mut refused = None;
    let mut tenants = BTreeSet::new();
    for tenant in state.keepers.tenants().ids() {
        match caller.check(state, Right::Read, &tenant) {
            Ok(()) => {
                tenants.insert(tenant);
            }
            // The error for an accessible tenant says more than the one for a tenant that is not accessible.
            Err(problem) => refused = refused.filter(|_| problem.status() == StatusCode::NOT_FOUND).or(Some(problem)),
        }
    }
    let nothing = || Problem::from_code(Code::NoSuchTenant, "no tenant is configured");
    if tenants.is_empty() { Err(refused.unwrap_or_else(nothing)) } else { Ok(tenants) }
}

/// The query as documented; [`LiveRequest`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `LiveRequest` reads")]
struct LiveQueryParams {
    /// Only this tenant; repeat it for several tenants. By default all tenants that the caller may read.
    tenant: Option<Vec<String>>,
    /// Only agents of this team; repeat it for several teams.
    team: Option<Vec<String>>,
    /// Only this skill or queue, by id or name, and its agents; repeat it for several.
    skill: Option<Vec<String>>,
    /// The id of the last message received. The stream continues after it if possible.
    after: Option<String>,
}

/// The parameters from the query and the headers.
#[derive(PartialEq, Debug)]
struct LiveRequest {
    tenants: BTreeSet<TenantId>,
    filter: ViewerFilter,
    after: Option<String>,
}

impl LiveRequest {
    fn parse(query: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        // A browser's event stream sends this header when it reconnects; it is newer than the id in the address.
        let last_event_id = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut request = Self { tenants: BTreeSet::new(), filter: ViewerFilter::default(), after: None };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "tenant" => {
                    request.tenants.insert(TenantId::new(value));
                }
                "team" => request.filter.teams.push(TeamName::new(value)),
                "skill" => request.filter.skills.push(Arc::from(value)),
                "after" => request.after = Some(value.into_owned()),
                _ => {
                    let detail = format!("{key}: there is tenant, team, skill (each more than once) and after");
                    return Err(Problem::bad_request(detail));
                }
            }
        }
        if request.filter.teams.len() > MAX_NAMES || request.filter.skills.len() > MAX_NAMES {
            return Err(Problem::bad_request(format!("at most {MAX_NAMES} teams and as many skills")));
        }
        request.after = last_event_id.or(request.after).filter(|id| !id.is_empty());
        Ok(request)
    }
}

/// Parses the id of a message: `1204` for a viewer of one tenant, `acme:1204,beta:77` for any.
///
/// A number without a tenant is ignored if there are several tenants, because another one was added since; the viewer
/// then gets the whole live view.
fn parse_resume_points(text: &str, tenants: &BTreeSet<TenantId>) -> Result<BTreeMap<TenantId, u64>, Problem> {
    let wrong = || {
        Problem::bad_request(format!(
            "after: {text:?} is not an id of these messages; for one tenant it is a number, for several TENANT:NUMBER,…"
        ))
    };
    if let Ok(id) = text.parse() {
        let only = tenants.first().filter(|_| tenants.len() == 1);
        return Ok(only.map(|only| (only.clone(), id)).into_iter().collect());
    }
    let one = |part: &str| {
        let (tenant, id) = part.rsplit_once(':')?;
        Some((TenantId::new(tenant), id.parse().ok()?))
    };
    text.split(',').map(one).collect::<Option<_>>().ok_or_else(wrong)
}

impl From<ViewerRejection> for Problem {
    fn from(error: ViewerRejection) -> Self {
        let detail = error.to_string();
        match error {
            ViewerRejection::Full(_) => Self::from_code(Code::TooManyViewers, detail).with_retry_after(5),
            ViewerRejection::Stopping => Self::from_code(Code::Unavailable, detail),
            ViewerRejection::TenantGone => Self::from_code(Code::NoSuchTenant, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(names: &[&str]) -> BTreeSet<TenantId> {
        names.iter().copied().map(TenantId::from).collect()
    }

    #[test]
    fn an_id_is_a_number_for_one_tenant_and_names_the_tenants_of_several() {
        let (one, two) = (tenants(&["acme"]), tenants(&["acme", "beta"]));
        let acme = BTreeMap::from([(TenantId::from("acme"), 12)]);
        assert_eq!(parse_resume_points("12", &one), Ok(acme.clone()));
        assert_eq!(parse_resume_points("acme:12", &one), Ok(acme.clone()));
        assert_eq!(parse_resume_points("acme:12", &two), Ok(acme), "nothing was told of beta yet");
        let both = BTreeMap::from([(TenantId::from("acme"), 12), (TenantId::from("beta"), 7)]);
        assert_eq!(parse_resume_points("acme:12,beta:7", &two), Ok(both));
        assert_eq!(parse_resume_points("12", &two), Ok(BTreeMap::new()), "there was one tenant then");
        for wrong in ["x", "acme", "acme:", "acme:-1", "acme:1,"] {
            assert!(parse_resume_points(wrong, &two).is_err(), "{wrong}");
        }
        assert!(parse_resume_points("-1", &one).is_err());
    }

    #[test]
    fn the_query_names_tenants_teams_skills_and_an_id_and_the_header_takes_precedence() {
        let mut headers = HeaderMap::new();
        let query = "tenant=acme&tenant=beta&team=Care%20%26%20Co&skill=Voice&after=12";
        let request = LiveRequest::parse(query, &headers).expect("sound");
        assert_eq!(request.tenants, tenants(&["acme", "beta"]));
        assert_eq!(
            request.filter,
            ViewerFilter { teams: vec!["Care & Co".into()], skills: vec!["Voice".into()], ..ViewerFilter::default() }
        );
        assert_eq!(request.after.as_deref(), Some("12"));
        headers.insert("last-event-id", HeaderValue::from_static("15"));
        assert_eq!(LiveRequest::parse(query, &headers).expect("sound").after.as_deref(), Some("15"));
        assert!(LiveRequest::parse("tenants=acme", &headers).is_err());
        assert!(LiveRequest::parse(&"team=x&".repeat(MAX_NAMES + 1), &headers).is_err());
    }
}
