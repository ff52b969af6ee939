//! What a service manager is told in systemd's manner: that the daemon serves, reloads, stops, how it is, and that it lives.
//!
//! That it lives is said only while it gets on: the writer deals with its queue, and every keeper that runs makes its passes. A
//! store that refuses, or a platform that does not answer, is no reason to be killed; a task that hangs is. Without
//! `NOTIFY_SOCKET` nothing is done at all.

use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::clock::RealTime;
use crate::config::Environment;
use crate::engine::operations::readiness::{Readiness, Report};
use crate::engine::operations::tenants::Tenants;
use crate::store::Writer;

/// How often the status line is looked after, in real time.
const LOOK_EVERY_REAL: Duration = Duration::from_secs(5);

/// A keeper makes a pass each second at least; one that made none for so long, in real time, hangs.
const KEEPER_HANGS_AFTER_REAL: Duration = Duration::from_secs(30);

/// The service manager that started this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceManager {
    /// It wants to be told.
    is_there: bool,
    listen: SocketAddr,
    /// It kills the process unless it hears of it within this time.
    watchdog: Option<Duration>,
}

/// What must get on for the daemon to live.
#[derive(Clone)]
pub(super) struct Vital {
    pub(super) writer: Writer,
    pub(super) tenants: Tenants,
    pub(super) readiness: Readiness,
}

impl ServiceManager {
    /// The one of this process, if there is one. `listen` is where the daemon serves.
    pub fn of(environment: &Environment, listen: SocketAddr) -> Self {
        Self { is_there: environment.names_service_manager(), listen, watchdog: sd_notify::watchdog_enabled() }
    }

    pub(super) const fn is_there(self) -> bool {
        self.is_there
    }

    /// The daemon serves; also said when a reload is done.
    pub fn ready(self) {
        self.notify(&[NotifyState::Ready, NotifyState::Status(&format!("serving on {}", self.listen))]);
    }

    /// The configuration is read anew. Whoever starts with this ends with [`Self::ready`].
    pub fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
        }
    }

    /// The daemon stops.
    pub fn stopping(self) {
        self.notify(&[NotifyState::Stopping, NotifyState::Status("stopping: what is under way ends first")]);
    }

    /// Says that the daemon lives and how it is, until `soft` is cancelled.
    pub(super) async fn run(self, vital: Vital, soft: CancellationToken) -> anyhow::Result<()> {
        let every = self.watchdog.map_or(LOOK_EVERY_REAL, |watchdog| (watchdog / 3).min(LOOK_EVERY_REAL));
        let mut told = String::new();
        loop {
            if self.watchdog.is_some() && vital.gets_on(every).await {
                self.notify(&[NotifyState::Watchdog]);
            }
            let status = self.words(&vital.readiness.report());
            if status != told {
                self.notify(&[NotifyState::Status(&status)]);
                told = status;
            }
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = RealTime::sleep(every) => {}
            }
        }
    }

    fn notify(self, states: &[NotifyState<'_>]) {
        if self.is_there
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::warn!(%error, "the service manager cannot be told anything");
        }
    }

    /// How the daemon is, in one line.
    fn words(self, report: &Report) -> String {
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

impl Vital {
    /// Whether the writer answers within `limit` and no keeper hangs.
    async fn gets_on(&self, limit: Duration) -> bool {
        let answers = tokio::select! {
            () = self.writer.hail() => true,
            () = RealTime::sleep(limit) => false,
        };
        let links = self.tenants.links();
        let hanging = links.iter().find(|link| link.meter.quiet_for() > Some(KEEPER_HANGS_AFTER_REAL));
        if !answers {
            tracing::error!("the writer does not get on; the service manager is not told that the daemon lives");
        } else if let Some(link) = hanging {
            tracing::error!(tenant = %link.tenant, "a keeper hangs; the service manager is not told that the daemon lives");
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
    use crate::store::{Role, Store};

    fn manager() -> ServiceManager {
        ServiceManager { is_there: false, listen: "127.0.0.1:8080".parse().expect("an address"), watchdog: None }
    }

    #[test]
    fn without_a_socket_there_is_nobody_to_tell() {
        let listen = manager().listen;
        let with: Environment = [("NOTIFY_SOCKET".to_owned(), "/run/s".to_owned())].into_iter().collect();
        assert!(!ServiceManager::of(&Environment::default(), listen).is_there());
        assert!(ServiceManager::of(&with, listen).is_there());
    }

    #[test]
    fn the_status_line_names_the_first_part_that_is_not_ready() {
        let readiness = Readiness::new(Arc::new(ManualClock::at(UtcMicros::EPOCH)));
        readiness.ready("store");
        assert_eq!(manager().words(&readiness.report()), "serving on 127.0.0.1:8080");
        readiness.degraded("tenant acme: picture", "old");
        readiness.degraded("tenant acme: roster", "empty");
        let expected = "serving on 127.0.0.1:8080; degraded: tenant acme: picture and 1 more, see /readyz";
        assert_eq!(manager().words(&readiness.report()), expected);
    }

    #[tokio::test]
    async fn a_writer_that_hangs_is_not_said_to_live_and_one_that_goes_on_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("s.db");
        let clock = Arc::new(ManualClock::at(UtcMicros::EPOCH));
        let url = format!("sqlite://{}", file.display());
        let store = Store::open(&url, Role::Daemon, clock.clone(), &crate::app::identity()).await.expect("opens");
        let vital = Vital {
            writer: store.writer().clone(),
            tenants: Tenants::default(),
            readiness: Readiness::new(clock.clone()),
        };
        let long = Duration::from_secs(60);
        assert!(vital.gets_on(long).await);
        // Another program keeps the database to itself: the writer's transaction waits for it.
        let other = rusqlite::Connection::open(&file).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("takes the write lock");
        let mut stuck = Box::pin(store.writer().probe());
        assert!(futures_util::poll!(&mut stuck).is_pending(), "it is queued");
        assert!(!vital.gets_on(Duration::from_millis(50)).await);
        other.execute_batch("ROLLBACK").expect("lets go");
        assert!(vital.gets_on(long).await);
        drop(stuck);
        store.close().await;
    }
}
