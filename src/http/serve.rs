//! The accept loop: a connection cap, time limits for headers and requests, an orderly stop.
//!
//! axum's own server installs no timer, so that hyper's limit on slow headers would do nothing; hence this one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{ApiState, router};
use crate::clock::RealTime;

/// Connections at once; who comes later waits in the system's queue.
const MOST_CONNECTIONS: usize = 512;
/// A client's headers must be whole within this.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Requests under way at a stop may take this long.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// After an accept that failed (too many open files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `soft` is cancelled, then lets requests under way finish.
pub async fn serve(listener: Arc<TcpListener>, state: ApiState, soft: CancellationToken) -> anyhow::Result<()> {
    let repeats = state.repeats.clone();
    let app = router(state);
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
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
        let service = TowerToHyperService::new(app.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(permit);
        });
    }
    tokio::select! {
        () = async { graceful.shutdown().await; repeats.finish().await } => {}
        () = RealTime::sleep(STOP_WITHIN) => {}
    }
    Ok(())
}
