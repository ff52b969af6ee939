//! The agents required in each queue.

use std::sync::Arc;

use crate::domain::adherence::timeline::Span;
use crate::domain::ids::TenantId;
use crate::domain::schedules::staffing::{AgentCount, RequiredStaffing};
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::Commit;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const REMOVE: ManyRows =
    ManyRows { head: "DELETE FROM required_staffing WHERE (tenant, starts_at, queue) IN (VALUES", width: 3, tail: ")" };
pub(in crate::store) const ADD: ManyRows = ManyRows {
    head: "INSERT INTO required_staffing (tenant, starts_at, queue, minutes, agents_thousandths) VALUES",
    width: 5,
    tail: "",
};
/// `$2` and `$3` are a span. An interval has at most an hour.
pub(in crate::store) const IN_SPAN: &str = "SELECT tenant, starts_at, queue, minutes, agents_thousandths FROM required_staffing \
     WHERE tenant = $1 AND starts_at > $2 - 3600000000 AND starts_at < $3 AND starts_at + minutes * 60000000 > $2 \
     ORDER BY queue, starts_at";
pub(in crate::store) const DELETE: &str = "DELETE FROM required_staffing WHERE tenant = $1 AND (starts_at, queue) IN \
     (SELECT starts_at, queue FROM required_staffing WHERE tenant = $1 AND starts_at < $2 ORDER BY starts_at LIMIT 500)";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    for change in commits.iter().flat_map(|commit| &commit.required_staffing) {
        let tenant = &change.tenant;
        batch::run(transaction, &REMOVE, &change.removed, |row, values| {
            values.text(tenant.as_str()).instant(row.start).text(&*row.queue)
        })
        .await?;
        batch::run(transaction, &ADD, &change.added, |row, values| {
            values
                .text(tenant.as_str())
                .instant(row.start)
                .text(&*row.queue)
                .int(i64::from(row.minutes))
                .int(row.agents.thousandths())
        })
        .await?;
    }
    Ok(())
}

impl Reader {
    /// Returns the intervals that overlap a span, by queue and start.
    pub async fn required_staffing(
        &self,
        tenant: &TenantId,
        (from, to): Span,
    ) -> Result<Vec<RequiredStaffing>, ReadError> {
        let mut queue: Arc<str> = Arc::from("");
        self.read_rows(IN_SPAN, Values::of(tenant).instant(from).instant(to), |row| {
            let cells = Cells::new("required_staffing", row);
            let name = cells.text("queue")?;
            if *queue != *name {
                queue = Arc::from(name);
            }
            Ok(RequiredStaffing {
                start: cells.instant("starts_at")?,
                minutes: cells.number("minutes")?,
                queue: queue.clone(),
                agents: AgentCount::from_thousandths(cells.int("agents_thousandths")?),
            })
        })
        .await
    }
}
