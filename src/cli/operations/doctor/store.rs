//! The database: its engine, settings, version and write-ahead log.

use super::context::CheckContext;
use crate::cli::shared::finding::{Finding, FindingGroup, bytes_text};
use crate::store::{Inspection, OpenError, ineffective_settings, inspect};

/// The size beyond which the write-ahead log is not checkpointed as it should be, in bytes.
const LOG_WARNING_BYTES: u64 = 256 << 20;

/// The advice if the daemon that answers uses another store than the configured one.
pub(super) const OTHER_STORE: &str =
    "run this in the daemon's folder and with its configuration, or make [store] url an absolute path";

/// Checks the database without changing it; `db check` reads every page.
pub(super) async fn check(context: &CheckContext) -> Vec<Finding> {
    let mut group = FindingGroup::new("store");
    let url = context.config.store.connection_url();
    if context.offline && !context.config.store.url.starts_with("sqlite:") {
        group.skipped("database", "not asked: --offline");
        return group.into_findings();
    }
    match inspect(url.expose(), false).await {
        Ok(inspection) => report_inspection(&mut group, &inspection).await,
        Err(OpenError::NotFound { place }) => {
            match &context.daemon {
                None => group.ok("database", format!("{place} does not exist yet; the first start creates it")),
                Some(running) => {
                    let detail =
                        format!("{place} does not exist, so the daemon at {} has another store", running.client.url());
                    group.warning("database", detail, OTHER_STORE);
                }
            }
            check_settings(&mut group).await;
        }
        Err(error) => {
            let advice = match &error {
                OpenError::InUse { .. }
                | OpenError::Url { .. }
                | OpenError::NotFound { .. }
                | OpenError::ReadOnly { .. }
                | OpenError::Newer { .. }
                | OpenError::Older { .. }
                | OpenError::DifferentBuild { .. }
                | OpenError::Full { .. }
                | OpenError::EngineTooOld { .. } => "as the message says",
                OpenError::Corrupt { .. } | OpenError::WithoutLog { .. } => "shiftkeeper db restore FILE",
                OpenError::Unreachable { .. } => "check [store] url, and that this user may read it",
            };
            group.wrong("database", format!("{:#}", anyhow::Error::from(error)), advice);
        }
    }
    group.into_findings()
}

async fn report_inspection(group: &mut FindingGroup, inspection: &Inspection) {
    group.ok("database", inspection.location.clone());
    let (found, known) = inspection.migrations;
    if found == known {
        group.ok("version", format!("migration {found} of {known}"));
    } else {
        let advice = "start the daemon once, which brings it up to date";
        group.warning("version", format!("migration {found} of {known}"), advice);
    }
    if !inspection.is_file {
        group.ok(
            "engine",
            format!("PostgreSQL {}; its settings and files are the server's business", inspection.engine),
        );
        return;
    }
    group.ok("engine", format!("SQLite {}", inspection.engine));
    check_settings(group).await;
    match inspection.journal.as_deref() {
        Some("wal") => group.ok("journal", "write-ahead log"),
        // A copy that was just restored.
        Some(_) | None => group.ok("journal", "the daemon's next start turns the write-ahead log on"),
    }
    if inspection.log_bytes > LOG_WARNING_BYTES {
        let advice = "end reports and copies that hang: a reader that stays open keeps it from being folded in";
        group.warning("write-ahead log", bytes_text(inspection.log_bytes), advice);
    } else {
        group.ok("write-ahead log", bytes_text(inspection.log_bytes));
    }
}

/// Checks the writer's settings, as this build of SQLite accepts them.
async fn check_settings(group: &mut FindingGroup) {
    match ineffective_settings().await {
        Ok(wrong) if wrong.is_empty() => {
            group.ok("settings", "synchronous=FULL, foreign_keys=ON and the writer's other settings are active");
        }
        Ok(wrong) => {
            group.wrong("settings", format!("not taken: {}", wrong.join(", ")), "use a build with the bundled SQLite");
        }
        Err(error) => {
            group.wrong("settings", format!("{:#}", anyhow::Error::from(error)), "use a build with the bundled SQLite");
        }
    }
}
