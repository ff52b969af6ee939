//! The memory of rules about agents, which keeps a restart from repeating actions or acting too early.

use crate::domain::ids::{AgentId, RuleId, TenantId};
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::RuleMemoryWrite;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const SET_MEMORY: ManyRows = ManyRows {
    head: "INSERT INTO automation_memory (tenant, agent, rule, acted_at, fact_key, held_key, left_alone_until) VALUES",
    width: 7,
    tail: "ON CONFLICT (tenant, agent, rule) DO UPDATE SET acted_at = excluded.acted_at, fact_key = excluded.fact_key, \
           held_key = excluded.held_key, left_alone_until = excluded.left_alone_until",
};
pub(in crate::store) const MEMORY: &str = "SELECT tenant, agent, rule, acted_at, fact_key, held_key, left_alone_until \
     FROM automation_memory WHERE tenant = $1 ORDER BY acted_at, agent, rule";

pub(in crate::store) async fn write(
    transaction: &mut Transaction<'_>,
    writes: impl Iterator<Item = &RuleMemoryWrite>,
) -> Result<(), CommitError> {
    let rows = last_of_each(writes, |row| (&row.tenant, &row.agent, &row.rule));
    batch::run(transaction, &SET_MEMORY, &rows, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .text(row.rule.as_str())
            .int_or_null(row.last_action.map(|(at, _)| at.as_micros()))
            .int_or_null(row.last_action.map(|(_, key)| key.cast_signed()))
            .int_or_null(row.held_key.map(u64::cast_signed))
            .instant_or_null(row.left_alone_until)
    })
    .await
}

impl Reader {
    /// Returns the whole rule memory of a tenant's agents, ordered by the time of the last action.
    pub async fn automation_memory(&self, tenant: &TenantId) -> Result<Vec<RuleMemoryWrite>, ReadError> {
        self.read_rows(MEMORY, Values::of(tenant), |row| {
            let cells = Cells::new("automation_memory", row);
            let key = cells.int_or_null("fact_key")?.map(i64::cast_unsigned);
            Ok(RuleMemoryWrite {
                tenant: tenant.clone(),
                agent: AgentId::new(cells.text("agent")?),
                rule: RuleId::new(cells.text("rule")?),
                last_action: cells.instant_or_null("acted_at")?.zip(key),
                held_key: cells.int_or_null("held_key")?.map(i64::cast_unsigned),
                left_alone_until: cells.instant_or_null("left_alone_until")?,
            })
        })
        .await
    }
}
