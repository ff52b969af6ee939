//! Accepts connections, for the simulator and for the webhook receiver.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::RealTime;

/// The most connections at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 4096;
/// The pause before accepting again if the system has no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections and serves each until stopped, then waits for them to end.
pub(super) async fn accept_connections<F>(
    listener: TcpListener,
    stop: CancellationToken,
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let full = connections.len() >= MAX_CONNECTIONS;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, _)) => {
                    // Answers are short and written at once, so waiting for more data would only delay them.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream));
                }
                Err(_) => RealTime::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
