//! `/live` and `/live/events`: the live picture over a WebSocket and as an event stream, with the same messages.
//!
//! What is told, and in which order, is the engine's (`engine::live`); here it is put on the line.

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

use super::ApiState;
use super::auth::{Caller, Right, SUBPROTOCOL, Tokens};
use super::problem::{Code, Problem};
use crate::clock::{RealTime, Stopwatch};
use crate::domain::ids::{TeamName, TenantId};
use crate::engine::live::frame::{Frame, Kind};
use crate::engine::live::message::EndReason;
use crate::engine::live::narrow::Narrow;
use crate::engine::live::{HEARTBEAT_REAL, Next, NoRoom, Viewer, Wanted};
use crate::engine::operations::tenants::TenantsNews;

/// Teams and skills that one viewer may name.
const MOST_NAMES: usize = 100;

/// A WebSocket is pinged with each heartbeat and has to answer within this, in real time.
const SILENT_REAL: Duration = Duration::from_secs(3 * HEARTBEAT_REAL.as_secs());

/// How long the other side of a WebSocket has to answer the closing, in real time.
const CLOSING_REAL: Duration = Duration::from_secs(1);

/// Buffers of a WebSocket: viewers say next to nothing, and are told a write's worth at once.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 32 * 1024;

/// The largest message that a viewer may send; none means anything.
const LARGEST_HEARD: usize = 4096;

/// The live view as an event stream
///
/// Messages as on `/live`, each the data of an event with the message's `type` for its name; see the reference of the API.
#[utoipa::path(
    get,
    path = "/live/events",
    tag = "live",
    operation_id = "follow_events",
    params(LiveQuery),
    responses((status = 200, description = "it lasts", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn events(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let viewer = admit(&state, caller, query.as_deref(), &headers)?;
    let body = stream::unfold(Line::New(Box::new(viewer)), |line| async { line.next().await });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would gather the stream.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// An event stream, from its first word to its last.
enum Line {
    New(Box<Admitted>),
    Going(Box<Admitted>),
    Ended,
}

impl Line {
    async fn next(self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        let (said, line) = match self {
            Self::New(viewer) => {
                (Bytes::from(format!("retry: {}\n\n", viewer.viewer.retry().as_millis())), Self::Going(viewer))
            }
            Self::Going(mut viewer) => match viewer.next().await {
                Next::Frames(frames) => (joined(&frames), Self::Going(viewer)),
                Next::End(_, frame) => (frame.event().clone(), Self::Ended),
            },
            Self::Ended => return None,
        };
        Some((Ok(said), line))
    }
}

/// Events as one piece.
fn joined(frames: &[Frame]) -> Bytes {
    if let [frame] = frames {
        return frame.event().clone();
    }
    let mut bytes = BytesMut::with_capacity(frames.iter().map(|frame| frame.event().len()).sum());
    for frame in frames {
        bytes.extend_from_slice(frame.event());
    }
    bytes.freeze()
}

/// The live view over a WebSocket
///
/// First comes the picture, then what changes; see the reference of the API.
#[utoipa::path(
    get,
    path = "/live",
    tag = "live",
    operation_id = "follow_socket",
    params(LiveQuery),
    responses((status = 101, description = "it lasts"))
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
        Problem::of(Code::NotAWebsocket, detail)
    })?;
    let viewer = admit(&state, caller, query.as_deref(), &headers)?;
    Ok(upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(LARGEST_HEARD)
        .on_upgrade(|socket| follow(socket, viewer)))
}

/// Tells a viewer on a WebSocket all there is, until one of both ends it.
async fn follow(mut socket: WebSocket, mut viewer: Admitted) {
    let ended = match converse(&mut socket, &mut viewer).await {
        Ok(ended) => ended,
        Err(error) => {
            tracing::debug!(%error, "a viewer's WebSocket ended badly");
            return;
        }
    };
    // Its place is free for another one.
    drop(viewer);
    let Some((code, reason)) = ended else { return };
    let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
    let closing = async {
        if socket.send(close).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    tokio::select! {
        () = closing => {}
        () = RealTime::sleep(CLOSING_REAL) => {}
    }
}

/// Gives the code and the reason to close with, where it is ours to close.
async fn converse(socket: &mut WebSocket, viewer: &mut Admitted) -> Result<Option<(u16, &'static str)>, axum::Error> {
    let mut heard = Stopwatch::start();
    loop {
        tokio::select! {
            next = viewer.next() => match next {
                Next::Frames(frames) => {
                    if frames.iter().any(|frame| frame.kind() == Kind::Heartbeat) {
                        if heard.elapsed() > SILENT_REAL {
                            tracing::info!("a viewer answers no ping and is dropped");
                            return Ok(Some((close_code(EndReason::TooSlow), "silent")));
                        }
                        socket.feed(Message::Ping(Bytes::new())).await?;
                    }
                    for frame in &frames {
                        socket.feed(text(frame)?).await?;
                    }
                    socket.flush().await?;
                }
                Next::End(reason, frame) => {
                    socket.send(text(&frame)?).await?;
                    return Ok(Some((close_code(reason), reason.name())));
                }
            },
            said = socket.recv() => match said {
                None | Some(Ok(Message::Close(_))) => return Ok(None),
                Some(said) => {
                    said?;
                    heard = Stopwatch::start();
                }
            },
        }
    }
}

fn text(frame: &Frame) -> Result<Message, axum::Error> {
    Utf8Bytes::try_from(frame.json()).map(Message::Text).map_err(axum::Error::new)
}

/// RFC 6455, and its registry for 1013.
const fn close_code(reason: EndReason) -> u16 {
    match reason {
        EndReason::GoingAway | EndReason::TenantGone => 1001,
        EndReason::NotPermitted => 1008,
        EndReason::TenantsChanged => 1012,
        EndReason::TooSlow => 1013,
    }
}

/// A viewer who may look, for as long as that is so.
struct Admitted {
    viewer: Viewer,
    caller: Caller,
    tenants: BTreeSet<TenantId>,
    state: ApiState,
    tokens: watch::Receiver<Arc<Tokens>>,
    news: watch::Receiver<u64>,
    served: TenantsNews,
    /// It named no tenant, and watches all in its reach.
    watches_all: bool,
}

impl Admitted {
    async fn next(&mut self) -> Next {
        loop {
            tokio::select! {
                // Somebody to whom much is told loses a right as soon as anybody else.
                biased;
                // The senders live as long as the daemon can be reloaded and accounts can change.
                Ok(()) = self.tokens.changed() => {}
                Ok(()) = self.news.changed() => {}
                () = self.served.changed() => {}
                next = self.viewer.next() => {
                    if let Next::Frames(frames) = &next
                        && frames.iter().any(|frame| frame.kind() == Kind::Heartbeat)
                    {
                        self.caller.looks_on(&self.state);
                    }
                    return next;
                }
            }
            if !self.caller.may_still(&self.state, Right::Read, &self.tenants) {
                return self.viewer.end(EndReason::NotPermitted);
            }
            if self.watches_all && within_reach(&self.state, &self.caller).is_ok_and(|now| now != self.tenants) {
                return self.viewer.end(EndReason::TenantsChanged);
            }
        }
    }
}

/// Lets a viewer in who may look at what it asks for.
fn admit(state: &ApiState, caller: Caller, query: Option<&str>, headers: &HeaderMap) -> Result<Admitted, Problem> {
    let asked = Asked::of(query.unwrap_or_default(), headers)?;
    let served = state.door.tenants().news();
    let watches_all = asked.tenants.is_empty();
    let tenants = if watches_all {
        within_reach(state, &caller)?
    } else {
        for tenant in &asked.tenants {
            caller.check(state, Right::Read, tenant)?;
        }
        asked.tenants
    };
    let after = asked.after.as_deref().map_or(Ok(BTreeMap::new()), |id| parse_id(id, &tenants))?;
    let seats = tenants.iter().map(|tenant| (tenant.clone(), after.get(tenant).copied())).collect();
    let bound = tenants.iter().filter_map(|tenant| Some((tenant.clone(), caller.teams(tenant)?.clone()))).collect();
    let viewer = state.live.viewer(Wanted { tenants: seats, narrow: Narrow { bound, ..asked.narrow } })?;
    let mut tokens = state.tokens.clone();
    // Looked at once more at the first message: a right may have been lost since the caller was known.
    tokens.mark_changed();
    let news = state.accounts.news();
    Ok(Admitted { viewer, caller, tenants, state: state.clone(), tokens, news, served, watches_all })
}

/// All tenants that the caller may look at.
fn within_reach(state: &ApiState, caller: &Caller) -> Result<BTreeSet<TenantId>, Problem> {
    let mut refused = None;
    let mut tenants = BTreeSet::new();
    for tenant in state.door.tenants().ids() {
        match caller.check(state, Right::Read, &tenant) {
            Ok(()) => {
                tenants.insert(tenant);
            }
            // Of a tenant in reach it says more than of one that is not.
            Err(problem) => refused = refused.filter(|_| problem.status() == StatusCode::NOT_FOUND).or(Some(problem)),
        }
    }
    let nothing = || Problem::of(Code::NoSuchTenant, "no tenant is configured");
    if tenants.is_empty() { Err(refused.unwrap_or_else(nothing)) } else { Ok(tenants) }
}

/// The query, as the document describes it; [`Asked`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Asked` reads")]
struct LiveQuery {
    /// A tenant, more than once for several; without it every tenant that the caller may read.
    tenant: Option<Vec<String>>,
    /// Agents of this team alone, more than once for several.
    team: Option<Vec<String>>,
    /// This skill or queue alone, by id or name, and its agents; more than once for several.
    skill: Option<Vec<String>>,
    /// The id of the last message that you have.
    after: Option<String>,
}

/// What the query and the headers ask for.
#[derive(PartialEq, Debug)]
struct Asked {
    tenants: BTreeSet<TenantId>,
    narrow: Narrow,
    after: Option<String>,
}

impl Asked {
    fn of(query: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        // What a browser's event stream sends by itself when it comes back; it has moved on since the address was made.
        let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut asked = Self { tenants: BTreeSet::new(), narrow: Narrow::default(), after: None };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "tenant" => {
                    asked.tenants.insert(TenantId::new(value));
                }
                "team" => asked.narrow.teams.push(TeamName::new(value)),
                "skill" => asked.narrow.skills.push(Arc::from(value)),
                "after" => asked.after = Some(value.into_owned()),
                _ => {
                    let detail = format!("{key}: there is tenant, team, skill (each more than once) and after");
                    return Err(Problem::bad_request(detail));
                }
            }
        }
        if asked.narrow.teams.len() > MOST_NAMES || asked.narrow.skills.len() > MOST_NAMES {
            return Err(Problem::bad_request(format!("at most {MOST_NAMES} teams and as many skills")));
        }
        asked.after = last.or(asked.after).filter(|id| !id.is_empty());
        Ok(asked)
    }
}

/// `1204` for a viewer of one tenant, `acme:1204,beta:77` for any. A number alone from before another tenant came is no place to go on
/// from: the viewer gets a picture.
fn parse_id(text: &str, tenants: &BTreeSet<TenantId>) -> Result<BTreeMap<TenantId, u64>, Problem> {
    let wrong = || {
        Problem::bad_request(format!(
            "after: {text:?} is no id of these messages; for one tenant it is a number, for several TENANT:NUMBER,…"
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

impl From<NoRoom> for Problem {
    fn from(error: NoRoom) -> Self {
        let detail = error.to_string();
        match error {
            NoRoom::Full(_) => Self::of(Code::TooManyViewers, detail).retry_after(5),
            NoRoom::Stopping => Self::of(Code::Unavailable, detail).retry_after(2),
            NoRoom::TenantGone => Self::of(Code::NoSuchTenant, detail),
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
        assert_eq!(parse_id("12", &one), Ok(acme.clone()));
        assert_eq!(parse_id("acme:12", &one), Ok(acme.clone()));
        assert_eq!(parse_id("acme:12", &two), Ok(acme), "nothing was told of beta yet");
        let both = BTreeMap::from([(TenantId::from("acme"), 12), (TenantId::from("beta"), 7)]);
        assert_eq!(parse_id("acme:12,beta:7", &two), Ok(both));
        assert_eq!(parse_id("12", &two), Ok(BTreeMap::new()), "there was one tenant then");
        for wrong in ["x", "acme", "acme:", "acme:-1", "acme:1,"] {
            assert!(parse_id(wrong, &two).is_err(), "{wrong}");
        }
        assert!(parse_id("-1", &one).is_err());
    }

    #[test]
    fn the_query_names_tenants_teams_skills_and_an_id_and_the_header_goes_before_it() {
        let mut headers = HeaderMap::new();
        let query = "tenant=acme&tenant=beta&team=Care%20%26%20Co&skill=Voice&after=12";
        let asked = Asked::of(query, &headers).expect("sound");
        assert_eq!(asked.tenants, tenants(&["acme", "beta"]));
        assert_eq!(
            asked.narrow,
            Narrow { teams: vec!["Care & Co".into()], skills: vec!["Voice".into()], ..Narrow::default() }
        );
        assert_eq!(asked.after.as_deref(), Some("12"));
        headers.insert("last-event-id", HeaderValue::from_static("15"));
        assert_eq!(Asked::of(query, &headers).expect("sound").after.as_deref(), Some("15"));
        assert!(Asked::of("tenants=acme", &headers).is_err());
        assert!(Asked::of(&"team=x&".repeat(MOST_NAMES + 1), &headers).is_err());
    }
}
