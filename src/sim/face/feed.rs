//! A live feed's connection: what the stage says goes out, what the client says goes in. It decides nothing.

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::DATE;
use axum::response::Response;
use tokio::sync::mpsc;

use super::call::Incoming;
use super::line::{self, FAREWELL, Line};
use super::{Lobby, reply};
use crate::clock::RealTime;
use crate::domain::ids::TenantId;
use crate::sim::feed::{FeedEnd, Said};
use crate::sim::rules::{Ask, Reply, Ticket};

/// The largest message that a client may send.
const LARGEST_MESSAGE: usize = 64 * 1024;

/// Opens a feed where the stage lets it.
pub(super) async fn connect(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    incoming: Incoming,
) -> Response {
    let Incoming { lobby, line, mut call } = incoming;
    // Browsers cannot set headers on a WebSocket, so its token stands in the query.
    call.bearer = call.query.remove("access_token");
    call.upgrade = upgrade.is_ok();
    let now = lobby.clock.now();
    let mut served = lobby.stage().serve(Ask::Feed, &call, now);
    let answer = match (served.reply.take(), upgrade) {
        (Some(Reply::Feed(ticket)), Ok(upgrade)) => {
            let (lobby, line) = (lobby.clone(), line.clone());
            let upgrade = upgrade.max_message_size(LARGEST_MESSAGE);
            let mut response = upgrade.on_upgrade(move |socket| talk(socket, lobby, line, ticket));
            if let Some(date) = reply::date(now.offset(served.ambience.skew_ms.saturating_mul(1000))) {
                response.headers_mut().insert(DATE, date);
            }
            Some((response, Bytes::new()))
        }
        (reply, _) => {
            served.reply = reply;
            reply::write(&lobby, Ask::Feed, &call, &served, now)
        }
    };
    line::deliver(answer, served.fault.as_ref(), &line).await
}

async fn talk(mut socket: WebSocket, lobby: Lobby, line: Line, ticket: Ticket) {
    let tenant = ticket.tenant.clone();
    let opened = lobby.stage().open_feed(ticket, line.close.clone(), lobby.clock.now());
    let Some((feed, said)) = opened else { return };
    let why = tokio::select! {
        biased;
        () = line.close.cancelled() => FeedEnd::Stopped,
        why = exchange(&mut socket, &lobby, &line, (&tenant, feed), said) => why,
    };
    lobby.stage().feed_gone(&tenant, feed, why, lobby.clock.now());
}

/// Talks until either side ends it. Says why, for the case that the stage does not know yet.
async fn exchange(
    socket: &mut WebSocket,
    lobby: &Lobby,
    line: &Line,
    (tenant, feed): (&TenantId, u64),
    mut said: mpsc::Receiver<Said>,
) -> FeedEnd {
    loop {
        tokio::select! {
            () = line.stop.cancelled() => {
                close(socket, 1001, "the service goes away").await;
                return FeedEnd::Stopped;
            }
            said = said.recv() => match said {
                Some(Said::Text { text, pause }) => {
                    if !pause.is_zero() {
                        RealTime::sleep(pause).await;
                    }
                    if socket.send(Message::text(text)).await.is_err() {
                        return FeedEnd::Client;
                    }
                }
                Some(Said::Close { code, reason }) => {
                    close(socket, code, reason).await;
                    return FeedEnd::Stopped;
                }
                Some(Said::Reset) => {
                    line.reset.cancel();
                    return FeedEnd::Fault;
                }
                Some(Said::Vanish) | None => return FeedEnd::Fault,
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Text(text))) => lobby.stage().hear(tenant, feed, &text, lobby.clock.now()),
                Some(Ok(Message::Binary(_))) => lobby.stage().hear(tenant, feed, "", lobby.clock.now()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return FeedEnd::Client,
            },
        }
    }
}

/// Closes in order: a close frame, and a moment for the client's own. A socket that is closed with something unread in it would
/// be reset, and the frame lost.
async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    let in_order = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    tokio::select! {
        () = in_order => {}
        () = RealTime::sleep(FAREWELL / 2) => {}
    }
}
