//! The connection of a live feed: passes messages between the platform state and the client, and decides nothing.

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::header::DATE;
use axum::response::Response;
use tokio::sync::mpsc;

use super::call::IncomingCall;
use super::connection::{self, ConnectionSignals, SHUTDOWN_GRACE};
use super::context::ServerContext;
use super::reply;
use crate::clock::RealTime;
use crate::domain::ids::TenantId;
use crate::sim::feed::{ConnectionCommand, FeedCredentials};
use crate::sim::feed_message::FeedEndReason;
use crate::sim::rules::{Operation, Reply};

/// The largest message of a client, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Opens a feed if the platform state allows it.
pub(super) async fn connect(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    incoming: IncomingCall,
) -> Response {
    let IncomingCall { context, signals, mut call } = incoming;
    // Browsers cannot set headers on a WebSocket, so the token is in the query.
    call.bearer = call.query.remove("access_token");
    call.upgrade = upgrade.is_ok();
    let now = context.clock.now();
    let mut served = context.lock_state().serve(Operation::Feed, &call, now);
    let answer = match (served.reply.take(), upgrade) {
        (Some(Reply::Feed(credentials)), Ok(upgrade)) => {
            let (context, signals) = (context.clone(), signals.clone());
            let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES);
            let mut response = upgrade.on_upgrade(move |socket| run_feed(socket, context, signals, credentials));
            if let Some(date) = reply::date_header(now.offset(served.clock_error.skew_ms.saturating_mul(1000))) {
                response.headers_mut().insert(DATE, date);
            }
            Some((response, Bytes::new()))
        }
        (reply, _) => {
            served.reply = reply;
            reply::write_response(&context, Operation::Feed, &call, &served, now)
        }
    };
    connection::send_response(answer, served.fault.as_ref(), &signals).await
}

async fn run_feed(
    mut socket: WebSocket,
    context: ServerContext,
    signals: ConnectionSignals,
    credentials: FeedCredentials,
) {
    let tenant = credentials.tenant.clone();
    let opened = context.lock_state().open_feed(credentials, signals.close.clone(), context.clock.now());
    let Some((feed, said)) = opened else { return };
    let reason = tokio::select! {
        biased;
        () = signals.close.cancelled() => FeedEndReason::Stopped,
        why = exchange_messages(&mut socket, &context, &signals, (&tenant, feed), said) => why,
    };
    context.lock_state().on_feed_closed(&tenant, feed, reason, context.clock.now());
}

/// Exchanges messages until either side ends. Returns the reason, in case the platform state does not know it yet.
async fn exchange_messages(
    socket: &mut WebSocket,
    context: &ServerContext,
    signals: &ConnectionSignals,
    (tenant, feed): (&TenantId, u64),
    mut said: mpsc::Receiver<ConnectionCommand>,
) -> FeedEndReason {
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => {
                close(socket, 1001, "the service goes away").await;
                return FeedEndReason::Stopped;
            }
            said = said.recv() => match said {
                Some(ConnectionCommand::Send { text, pause }) => {
                    if !pause.is_zero() {
                        RealTime::sleep(pause).await;
                    }
                    if socket.send(Message::text(text)).await.is_err() {
                        return FeedEndReason::Client;
                    }
                }
                Some(ConnectionCommand::Close { code, reason }) => {
                    close(socket, code, reason).await;
                    return FeedEndReason::Stopped;
                }
                Some(ConnectionCommand::Reset) => {
                    signals.reset.cancel();
                    return FeedEndReason::Fault;
                }
                Some(ConnectionCommand::Disconnect) | None => return FeedEndReason::Fault,
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Text(text))) => context.lock_state().on_feed_message(tenant, feed, &text, context.clock.now()),
                Some(Ok(Message::Binary(_))) => context.lock_state().on_feed_message(tenant, feed, "", context.clock.now()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return FeedEndReason::Client,
            },
        }
    }
}

/// Closes in order, with a close frame and a moment for the client's own. A socket closed with unread data would be
/// reset, and the frame lost.
async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    let in_order = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    tokio::select! {
        () = in_order => {}
        () = RealTime::sleep(SHUTDOWN_GRACE / 2) => {}
    }
}
