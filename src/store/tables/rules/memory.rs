//! What automation remembers of agents, rule by rule, so that a restart neither hurries nor repeats it.

use sqlx::AnyConnection;

use crate::domain::ids::{AgentId, RuleId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Script, Values};
use crate::store::cells::Cells;
use crate::store::change::RemembersWrite;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;
use crate::store::tables::last_of_each;

pub(in crate::store) const REMEMBER: ManyRows = ManyRows {
    head: "INSERT INTO automation_memory (tenant, agent, rule, acted_at, fact_key, held_key, left_alone_until) VALUES",
    width: 7,
    tail: "ON CONFLICT (tenant, agent, rule) DO UPDATE SET acted_at = excluded.acted_at, fact_key = excluded.fact_key, \
           held_key = excluded.held_key, left_alone_until = excluded.left_alone_until",
};
pub(in crate::store) const REMEMBERED: &str = "SELECT tenant, agent, rule, acted_at, fact_key, held_key, left_alone_until \
     FROM automation_memory WHERE tenant = $1 ORDER BY acted_at, agent, rule";

pub(in crate::store) async fn write(
    connection: &mut AnyConnection,
    script: &mut Script,
    writes: impl Iterator<Item = &RemembersWrite>,
) -> Result<(), CommitError> {
    let rows = last_of_each(writes, |row| (&row.tenant, &row.agent, &row.rule));
    batch::run(connection, script, &REMEMBER, &rows, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .text(row.rule.as_str())
            .int_or_null(row.acted.map(|(at, _)| at.as_micros()))
            .int_or_null(row.acted.map(|(_, key)| key.cast_signed()))
            .int_or_null(row.held_key.map(u64::cast_signed))
            .int_or_null(row.left_alone_until.map(UtcMicros::as_micros));
    })
    .await
}

impl Reader {
    /// All that automation remembers of a tenant's agents, what was acted on first first.
    pub async fn automation_memory(&self, tenant: &TenantId) -> Result<Vec<RemembersWrite>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        let rows = self.all(REMEMBERED, values).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("automation_memory", row);
                let key = cells.int_or_null("fact_key")?.map(i64::cast_unsigned);
                Ok(RemembersWrite {
                    tenant: tenant.clone(),
                    agent: AgentId::new(cells.text("agent")?),
                    rule: RuleId::new(cells.text("rule")?),
                    acted: cells.instant_or_null("acted_at")?.zip(key),
                    held_key: cells.int_or_null("held_key")?.map(i64::cast_unsigned),
                    left_alone_until: cells.instant_or_null("left_alone_until")?,
                })
            })
            .collect()
    }
}
