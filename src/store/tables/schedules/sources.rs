//! The sources of schedules, each with its last good version.

use crate::domain::ids::{ScheduleSourceId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::{Commit, GoodVersion};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const ADD: ManyRows = ManyRows {
    head: "INSERT INTO schedule_sources (tenant, source, since) VALUES",
    width: 3,
    tail: "ON CONFLICT (tenant, source) DO NOTHING",
};
pub(in crate::store) const SET: ManyRows = ManyRows {
    head: "INSERT INTO schedule_sources (tenant, source, since, good_at, version, etag, last_modified, content, settings) VALUES",
    width: 9,
    tail: "ON CONFLICT (tenant, source) DO UPDATE SET good_at = excluded.good_at, version = excluded.version, \
           etag = excluded.etag, last_modified = excluded.last_modified, content = excluded.content, \
           settings = excluded.settings",
};
pub(in crate::store) const ALL: &str = "SELECT source, since, good_at, version, etag, last_modified, content, settings \
     FROM schedule_sources WHERE tenant = $1 ORDER BY source";

/// A source of schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredScheduleSource {
    /// The source.
    pub source: ScheduleSourceId,
    /// Since when the source is known.
    pub since: UtcMicros,
    /// The last good version, and when the source gave or confirmed it.
    pub good: Option<(UtcMicros, GoodVersion)>,
}

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let writes = commits.iter().flat_map(|commit| &commit.schedule_sources);
    let new: Vec<_> = writes.clone().filter(|write| write.good.is_none()).collect();
    batch::run(transaction, &ADD, &new, |write, values| {
        values.text(write.tenant.as_str()).text(write.source.as_str()).instant(write.at)
    })
    .await?;
    let good = batch::last_of_each(writes.filter(|write| write.good.is_some()), |write| (&write.tenant, &write.source));
    let good: Vec<_> = good.into_iter().filter_map(|write| Some((write, write.good.as_ref()?))).collect();
    batch::run(transaction, &SET, &good, |(write, good), values| {
        values
            .text(write.tenant.as_str())
            .text(write.source.as_str())
            .instant(write.at)
            .instant(write.at)
            .count(good.version)
            .text_or_null(good.etag.as_deref())
            .text_or_null(good.last_modified.as_deref())
            .bytes(&good.content.0)
            .bytes(&good.settings.0)
    })
    .await
}

impl Reader {
    /// Returns the sources of a tenant that were ever configured.
    pub async fn schedule_sources(&self, tenant: &TenantId) -> Result<Vec<StoredScheduleSource>, ReadError> {
        self.read_rows(ALL, Values::of(tenant), |row| {
            let cells = Cells::new("schedule_sources", row);
            let good = match cells.instant_or_null("good_at")? {
                None => None,
                Some(at) => Some((
                    at,
                    GoodVersion {
                        version: cells.number("version")?,
                        etag: cells.text_or_null("etag")?.map(str::to_owned),
                        last_modified: cells.text_or_null("last_modified")?.map(str::to_owned),
                        content: cells.hash("content")?,
                        settings: cells.hash("settings")?,
                    },
                )),
            };
            Ok(StoredScheduleSource {
                source: ScheduleSourceId::new(cells.text("source")?),
                since: cells.instant("since")?,
                good,
            })
        })
        .await
    }
}
