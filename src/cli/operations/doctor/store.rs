//! The database: its engine, its settings, its version, its log.

use super::Desk;
use super::daemon::Running;
use crate::cli::shared::finding::{Finding, Group, bytes_text};
use crate::store::{Inspection, OpenError, inspect, settings_not_taken};

/// A log beyond this is not folded in as it should be.
const LARGE_LOG: u64 = 256 << 20;

/// What to do where a daemon answers that has not the store that is configured here.
pub(super) const OTHER_STORE: &str =
    "run this in the daemon's folder and with its configuration, or make [store] url an absolute path";

/// Looks at it without a trace; every page is `db check`'s business.
pub(super) async fn look(desk: &Desk, running: Option<&Running>) -> Vec<Finding> {
    let mut group = Group::new("store");
    let url = desk.config.store.connection_url();
    if desk.offline && !desk.config.store.url.starts_with("sqlite:") {
        group.skipped("database", "not asked: --offline");
        return group.done();
    }
    match inspect(url.expose(), false).await {
        Ok(seen) => found(&mut group, &seen).await,
        Err(OpenError::NotFound { place }) => {
            match running {
                None => group.ok("database", format!("{place} is not there yet; the first start makes it")),
                Some(Running { daemon, .. }) => {
                    let detail =
                        format!("{place} is not there, so the daemon that answers at {} has another one", daemon.url());
                    group.warning("database", detail, OTHER_STORE);
                }
            }
            settings(&mut group).await;
        }
        Err(error) => {
            let advice = match &error {
                OpenError::Held { .. }
                | OpenError::Url { .. }
                | OpenError::NotFound { .. }
                | OpenError::ReadOnly { .. }
                | OpenError::Newer { .. }
                | OpenError::Older { .. }
                | OpenError::Foreign { .. }
                | OpenError::Full { .. }
                | OpenError::EngineTooOld { .. } => "as the message says",
                OpenError::Corrupt { .. } | OpenError::WithoutLog { .. } => "shiftkeeper db restore FILE",
                OpenError::Unreachable { .. } => "check [store] url, and that this user may read it",
            };
            group.wrong("database", format!("{:#}", anyhow::Error::from(error)), advice);
        }
    }
    group.done()
}

async fn found(group: &mut Group, seen: &Inspection) {
    group.ok("database", seen.place.clone());
    let (found, known) = seen.migrations;
    if found == known {
        group.ok("version", format!("migration {found} of {known}"));
    } else {
        let advice = "start the daemon once, which brings it up to date";
        group.warning("version", format!("migration {found} of {known}"), advice);
    }
    if !seen.is_file {
        group.ok("engine", format!("PostgreSQL {}; its settings and files are the server's business", seen.engine));
        return;
    }
    group.ok("engine", format!("SQLite {}", seen.engine));
    settings(group).await;
    match seen.journal.as_deref() {
        Some("wal") => group.ok("journal", "write-ahead log"),
        // A copy that was just put in place.
        Some(_) | None => group.ok("journal", "the daemon's next start turns the write-ahead log on"),
    }
    if seen.log_bytes > LARGE_LOG {
        let advice = "end reports and copies that hang: a reader that stays open keeps it from being folded in";
        group.warning("write-ahead log", bytes_text(seen.log_bytes), advice);
    } else {
        group.ok("write-ahead log", bytes_text(seen.log_bytes));
    }
}

/// The writer's own settings, as this build of SQLite takes them.
async fn settings(group: &mut Group) {
    match settings_not_taken().await {
        Ok(wrong) if wrong.is_empty() => {
            group.ok("settings", "synchronous=FULL, foreign_keys=ON and the others of the writer are taken");
        }
        Ok(wrong) => {
            group.wrong("settings", format!("not taken: {}", wrong.join(", ")), "use a build with the bundled SQLite");
        }
        Err(error) => {
            group.wrong("settings", format!("{:#}", anyhow::Error::from(error)), "use a build with the bundled SQLite");
        }
    }
}
