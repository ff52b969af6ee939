//! Erasures of agents: the requests and their results.

use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::agents::erasure::Erasure;
use crate::domain::ids::{AgentId, ErasureId, TenantId};
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::Commit;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const SET: ManyRows = ManyRows {
    head: "INSERT INTO erasures (tenant, id, agent, stand_in, asked_at, asked_by, reason, done_at, outcome) VALUES",
    width: 9,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET agent = excluded.agent, reason = excluded.reason, done_at = excluded.done_at, \
           outcome = excluded.outcome",
};

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, id, agent, stand_in, asked_at, asked_by, reason, done_at, outcome FROM erasures WHERE tenant = $1 AND ",
            $rest
        )
    };
}

pub(in crate::store) const ONE: &str = selecting!("id = $2");
pub(in crate::store) const OPEN: &str = selecting!("done_at IS NULL ORDER BY id");
/// `$2` before this id.
pub(in crate::store) const LIST: &str = selecting!("id < $2 ORDER BY id DESC LIMIT $3");

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let rows = last_of_each(commits.iter().flat_map(|commit| &commit.erasure.erasures), |row| (&row.tenant, row.id));
    let outcomes = rows.iter().map(|row| serde_json::to_string(&row.result)).collect::<Result<Vec<_>, _>>();
    let outcomes = outcomes.map_err(|error| CommitError::Refused(Arc::new(error)))?;
    let rows: Vec<(&Erasure, String)> = rows.into_iter().zip(outcomes).collect();
    batch::run(transaction, &SET, &rows, |(row, outcome), values| {
        values
            .text(row.tenant.as_str())
            .text(row.id.to_string())
            .text_or_null(row.agent.as_ref().map(AgentId::as_str))
            .text(row.stand_in.as_str())
            .instant(row.requested_at)
            .text(&*row.requested_by)
            .text(&*row.reason)
            .instant_or_null(row.completed_at)
            .text(&**outcome)
    })
    .await
}

impl Reader {
    /// Returns one erasure.
    pub async fn erasure(&self, tenant: &TenantId, id: ErasureId) -> Result<Option<Erasure>, ReadError> {
        self.read_row(ONE, Values::of(tenant).text(id.to_string()), erasure).await
    }

    /// Returns the erasures that are not finished, oldest first.
    pub async fn open_erasures(&self, tenant: &TenantId) -> Result<Vec<Erasure>, ReadError> {
        self.read_rows(OPEN, Values::of(tenant), erasure).await
    }

    /// Returns a page of at most `limit` erasures, newest first (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn erasures(
        &self,
        tenant: &TenantId,
        before: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, ReadError> {
        self.read_rows(LIST, Values::of(tenant).before(before).page(limit), erasure).await
    }
}

fn erasure(row: &AnyRow) -> Result<Erasure, ReadError> {
    let cells = Cells::new("erasures", row);
    Ok(Erasure {
        id: cells.parsed("id")?,
        tenant: TenantId::new(cells.text("tenant")?),
        agent: cells.text_or_null("agent")?.map(AgentId::new),
        stand_in: AgentId::new(cells.text("stand_in")?),
        requested_at: cells.instant("asked_at")?,
        requested_by: Arc::from(cells.text("asked_by")?),
        reason: Arc::from(cells.text("reason")?),
        completed_at: cells.instant_or_null("done_at")?,
        result: cells.json("outcome")?,
    })
}
