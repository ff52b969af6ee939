//! The accept loop: it limits the number of connections, the time for handshakes, headers and requests, and how long a
//! socket may stall, and it stops gracefully. With a certificate every connection uses TLS; the limits are the same.
//!
//! axum's own server sets no timer, so hyper's limit on slow headers would have no effect with it.

mod stall;
pub mod tls;

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

use self::stall::StallGuard;
use self::tls::Certificate;
use super::auth::Peer;
use super::routes::router;
use super::state::ApiState;
use crate::clock::{RealTime, SharedClock, SystemClock};

/// The maximum number of connections, in addition to those of viewers; later ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 512;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in progress may take to finish at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);
/// How long work under an idempotency key may take after that.
const IDEMPOTENT_WORK_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a failed accept, for example because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The maximum number of unsent bytes that the system buffers for a connection.
///
/// Without this limit it buffers megabytes, and it takes minutes to notice that a viewer has stopped reading.
const MAX_UNSENT_BYTES: u32 = 32 * 1024;

/// Serves requests until `soft` is cancelled, then lets requests in progress finish.
pub async fn serve(
    listener: Arc<TcpListener>,
    state: ApiState,
    certificate: Option<Certificate>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let (idempotency, live) = (state.idempotency.clone(), state.live.clone());
    let connection_slots = Arc::new(Semaphore::new(MAX_CONNECTIONS + live.max_viewers()));
    let app = router(state);
    let real_time: SharedClock = Arc::new(SystemClock::real());
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let permit = tokio::select! {
            () = soft.cancelled() => break,
            permit = connection_slots.clone().acquire_owned() => permit.context("the limit of connections failed")?,
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
            if let Err(error) = handle_connection(stream, app, clock, certificate, soft).await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(permit);
        });
    }
    let drained = async {
        live.stop().await;
        while connections.join_next().await.is_some() {}
    };
    with_timeout(SHUTDOWN_TIMEOUT, drained).await;
    // This also runs if a viewer that reads nothing used up the time above.
    with_timeout(IDEMPOTENT_WORK_TIMEOUT, idempotency.finish()).await;
    Ok(())
}

async fn with_timeout(limit: Duration, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = RealTime::sleep(limit) => {}
    }
}

/// Handles one connection.
async fn handle_connection(
    stream: TcpStream,
    app: Router,
    clock: SharedClock,
    certificate: Option<Certificate>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    // Every write is complete, so waiting for more data would only delay it.
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES)?;
    let peer = Peer { address: stream.peer_addr()?, local: stream.local_addr()?, tls: certificate.is_some() };
    let stall_guarded = StallGuard::new(stream, clock);
    let Some(certificate) = certificate else { return serve_http(stall_guarded, app, peer, soft).await };
    let secured = tokio::select! {
        secured = certificate.acceptor().accept(stall_guarded) => secured.context("the TLS handshake failed")?,
        () = RealTime::sleep(HANDSHAKE_TIMEOUT) => anyhow::bail!("the TLS handshake took too long"),
        () = soft.cancelled() => return Ok(()),
    };
    serve_http(secured, app, peer, soft).await
}

/// Serves HTTP on a connection. Once `soft` is cancelled, the request in progress is the last.
async fn serve_http<S>(socket: S, app: Router, peer: Peer, soft: CancellationToken) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let app = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let service = TowerToHyperService::new(app);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service).with_upgrades());
    tokio::select! {
        done = connection.as_mut() => return Ok(done?),
        () = soft.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}
