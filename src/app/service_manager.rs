//! Notifications to a service manager in systemd's protocol: the daemon is ready, reloading or stopping, its status,
//! and that it is alive.
//!
//! It is reported alive only while it makes progress: the writer works through its queue, and every running keeper
//! makes its passes. A store that refuses or a platform that does not answer is no reason to kill the daemon, but a
//! task that hangs is. Without `NOTIFY_SOCKET` nothing is done.

use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::clock::RealTime;
use crate::config::Environment;
use crate::engine::operations::readiness::{Readiness, Report};
use crate::engine::operations::tenants::Tenants;
use crate::store::Writer;

/// How often the status line is updated, in real time.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a keeper may go without a pass, in real time, before it counts as hanging. It makes one at least every
/// second.
const KEEPER_STALLED_AFTER: Duration = Duration::from_secs(30);

/// The service manager that started this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceManager {
    /// Whether it wants notifications.
    is_present: bool,
    listen: SocketAddr,
    /// The time without a notification after which it kills the process.
    watchdog: Option<Duration>,
}

/// What must make progress for the daemon to count as alive.
#[derive(Clone)]
pub(super) struct Liveness {
    pub(super) writer: Writer,
    pub(super) tenants: Tenants,
    pub(super) readiness: Readiness,
}

impl ServiceManager {
    /// Returns the service manager of this process, if there is one. `listen` is the address that the daemon serves on.
    pub fn of(environment: &Environment, listen: SocketAddr) -> Self {
        Self { is_present: environment.has_notify_socket(), listen, watchdog: sd_notify::watchdog_enabled() }
    }

    pub(super) const fn is_present(self) -> bool {
        self.is_present
    }

    /// Reports that the daemon is serving, or that a reload is done.
    pub fn ready(self) {
        self.notify(&[NotifyState::Ready, NotifyState::Status(&format!("serving on {}", self.listen))]);
    }

    /// Reports that the configuration is being reloaded. Must be followed by [`Self::ready`].
    pub fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager cannot be notified of the reload"),
        }
    }

    /// Reports that the daemon is stopping.
    pub fn stopping(self) {
        self.notify(&[NotifyState::Stopping, NotifyState::Status("stopping: waiting for work in progress")]);
    }

    /// Reports liveness and status until `soft` is cancelled.
    pub(super) async fn run(self, liveness: Liveness, soft: CancellationToken) -> anyhow::Result<()> {
        let interval = self.watchdog.map_or(CHECK_INTERVAL, |watchdog| (watchdog / 3).min(CHECK_INTERVAL));
        let mut last_status = String::new();
        loop {
            if self.watchdog.is_some() && liveness.is_alive(interval).await {
                self.notify(&[NotifyState::Watchdog]);
            }
            let status = self.status_text(&liveness.readiness.report());
            if status != last_status {
                self.notify(&[NotifyState::Status(&status)]);
                last_status = status;
            }
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = RealTime::sleep(interval) => {}
            }
        }
    }

    fn notify(self, states: &[NotifyState<'_>]) {
        if self.is_present
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::warn!(%error, "the service manager cannot be notified");
        }
    }

    /// Returns the daemon's status in one line.
    fn status_text(self, report: &Report) -> String {
        let not_ready = report.parts.iter().filter(|part| !part.ready);
        let names: Vec<&str> = not_ready.map(|part| part.name.as_str()).collect();
        match names.as_slice() {
            [] => format!("serving on {}", self.listen),
            [first, rest @ ..] => {
                let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                format!("serving on {}; {}: {first}{more}, see /readyz", self.listen, report.status)
            }
        }
    }
}

impl Liveness {
    /// Returns whether the writer answers within `limit` and no keeper hangs.
    async fn is_alive(&self, limit: Duration) -> bool {
        let answers = tokio::select! {
            () = self.writer.ping() => true,
            () = RealTime::sleep(limit) => false,
        };
        let links = self.tenants.links();
        let hanging = links.iter().find(|link| link.meter.time_since_pass() > Some(KEEPER_STALLED_AFTER));
        if !answers {
            tracing::error!("the writer makes no progress; the watchdog is not notified");
        } else if let Some(link) = hanging {
            tracing::error!(tenant = %link.tenant, "a keeper makes no passes; the watchdog is not notified");
        }
        answers && hanging.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::UtcMicros;
    use crate::store::{ProcessRole, Store};

    fn manager() -> ServiceManager {
        ServiceManager { is_present: false, listen: "127.0.0.1:8080".parse().expect("an address"), watchdog: None }
    }

    #[test]
    fn without_a_socket_there_is_nobody_to_tell() {
        let listen = manager().listen;
        let with: Environment = [("NOTIFY_SOCKET".to_owned(), "/run/s".to_owned())].into_iter().collect();
        assert!(!ServiceManager::of(&Environment::default(), listen).is_present());
        assert!(ServiceManager::of(&with, listen).is_present());
    }

    #[test]
    fn the_status_line_names_the_first_part_that_is_not_ready() {
        let readiness = Readiness::new(Arc::new(ManualClock::at(UtcMicros::EPOCH)));
        readiness.ready("store");
        assert_eq!(manager().status_text(&readiness.report()), "serving on 127.0.0.1:8080");
        readiness.degraded("tenant acme: picture", "old");
        readiness.degraded("tenant acme: roster", "empty");
        let expected = "serving on 127.0.0.1:8080; degraded: tenant acme: picture and 1 more, see /readyz";
        assert_eq!(manager().status_text(&readiness.report()), expected);
    }

    #[tokio::test]
    async fn the_watchdog_is_notified_only_while_the_writer_makes_progress() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("s.db");
        let clock = Arc::new(ManualClock::at(UtcMicros::EPOCH));
        let url = format!("sqlite://{}", file.display());
        let store =
            Store::open(&url, ProcessRole::Daemon, clock.clone(), &crate::app::identity()).await.expect("opens");
        let vital = Liveness {
            writer: store.writer().clone(),
            tenants: Tenants::default(),
            readiness: Readiness::new(clock.clone()),
        };
        let long = Duration::from_secs(60);
        assert!(vital.is_alive(long).await);
        // Another program keeps the database to itself: the writer's transaction waits for it.
        let other = rusqlite::Connection::open(&file).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("takes the write lock");
        let mut stuck = Box::pin(store.writer().probe());
        assert!(futures_util::poll!(&mut stuck).is_pending(), "it is queued");
        assert!(!vital.is_alive(Duration::from_millis(50)).await);
        other.execute_batch("ROLLBACK").expect("lets go");
        assert!(vital.is_alive(long).await);
        drop(stuck);
        store.close().await;
    }
}
