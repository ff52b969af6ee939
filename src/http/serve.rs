//! The accept loop: a connection cap, time limits for handshakes, headers, requests and sockets that take nothing, an orderly stop.
//! With a certificate every connection is TLS; the limits are the same.
//!
//! axum's own server installs no timer, so that hyper's limit on slow headers would do nothing; hence this one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::ApiState;
use super::auth::Peer;
use super::routes::router;
use super::stall::StallGuard;
use super::tls::Certificate;
use crate::clock::{RealTime, SharedClock, SystemClock};

/// Connections at once beside those of viewers; who comes later waits in the system's queue.
const MOST_CONNECTIONS: usize = 512;
/// A connection must be secured within this.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// A client's headers must be whole within this.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Requests under way at a stop may take this long.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// And what was asked for under a key, after that.
const REPEATS_WITHIN: Duration = Duration::from_secs(2);
/// After an accept that failed (too many open files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What the system takes of us for a connection before some of it is sent, in bytes. Without a bound it is megabytes, and it takes
/// minutes until a viewer who has stopped reading shows.
const MOST_UNSENT: u32 = 32 * 1024;

/// Serves until `soft` is cancelled, then lets requests under way finish.
pub async fn serve(
    listener: Arc<TcpListener>,
    state: ApiState,
    certificate: Option<Certificate>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let (repeats, live) = (state.repeats.clone(), state.live.clone());
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS + live.most_viewers()));
    let app = router(state);
    let real_time: SharedClock = Arc::new(SystemClock::real());
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let permit = tokio::select! {
            () = soft.cancelled() => break,
            permit = room.clone().acquire_owned() => permit.context("the connection cap")?,
        };
        let stream: TcpStream = tokio::select! {
            () = soft.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    RealTime::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (app, clock, soft, certificate) = (app.clone(), real_time.clone(), soft.clone(), certificate.clone());
        connections.spawn(async move {
            if let Err(error) = receive(stream, app, clock, certificate, soft).await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(permit);
        });
    }
    let drained = async {
        live.stop().await;
        while connections.join_next().await.is_some() {}
    };
    within(STOP_WITHIN, drained).await;
    // Also when a viewer who takes nothing was in the way.
    within(REPEATS_WITHIN, repeats.finish()).await;
    Ok(())
}

async fn within(limit: Duration, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = RealTime::sleep(limit) => {}
    }
}

/// One connection.
async fn receive(
    stream: TcpStream,
    app: Router,
    clock: SharedClock,
    certificate: Option<Certificate>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    // What is written is whole: to wait for more would only hold it up.
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_notsent_lowat(MOST_UNSENT)?;
    let peer = Peer { address: stream.peer_addr()?, local: stream.local_addr()?, tls: certificate.is_some() };
    let guarded = StallGuard::new(stream, clock);
    let Some(certificate) = certificate else { return converse(guarded, app, peer, soft).await };
    let secured = tokio::select! {
        secured = certificate.acceptor().accept(guarded) => secured.context("TLS could not be agreed on")?,
        () = RealTime::sleep(HANDSHAKE_WITHIN) => anyhow::bail!("TLS was not agreed on in time"),
        () = soft.cancelled() => return Ok(()),
    };
    converse(secured, app, peer, soft).await
}

/// What is said on it. Once `soft` is cancelled the request under way is its last.
async fn converse<S>(socket: S, app: Router, peer: Peer, soft: CancellationToken) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let app = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    let service = TowerToHyperService::new(app);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service).with_upgrades());
    tokio::select! {
        done = connection.as_mut() => return Ok(done?),
        () = soft.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}
