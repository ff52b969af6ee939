//! The audit chain as people read it: a page of it, newest first, narrowed; and whom a subject stands for.
//!
//! The chain has no index but its number and the transition: each would cost at every write. A page therefore looks through a bounded
//! stretch of entries, and says where it stopped; instants find their place by halving, since numbers and instants rise together
//! but where the clock was set.

use sqlx::any::AnyRow;

use super::audit::StoredEntry;
use crate::domain::ids::{AgentId, SubjectId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::error::ReadError;
use crate::store::reader::Reader;

/// `$2` below this number, `$3` from this number on; `$4` the action or nothing, `$5` what it begins with, `$6` the subject or nothing,
/// `$7` and `$8` the span of instants.
pub(in crate::store) const PAGE: &str = "SELECT tenant, seq, at, action, subject, transition, body, hash FROM audit_entries \
     WHERE tenant = $1 AND seq < $2 AND seq >= $3 AND (CAST($4 AS TEXT) = '' OR action = $4) \
     AND substr(action, 1, length(CAST($5 AS TEXT))) = $5 AND (CAST($6 AS TEXT) = '' OR subject = $6) \
     AND at >= $7 AND at < $8 ORDER BY seq DESC LIMIT $9";
/// The instant of the last entry up to a number.
pub(in crate::store) const INSTANT_OF: &str =
    "SELECT tenant, seq, at FROM audit_entries WHERE tenant = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1";
pub(in crate::store) const FIRST: &str =
    "SELECT tenant, seq, at FROM audit_entries WHERE tenant = $1 ORDER BY seq LIMIT 1";
pub(in crate::store) const AGENT_OF: &str = "SELECT s.tenant, s.agent, a.name FROM subjects s LEFT JOIN agents a \
     ON a.tenant = s.tenant AND a.id = s.agent WHERE s.tenant = $1 AND s.subject = $2";

/// How many entries one page looks through at most.
pub const AUDIT_STRETCH: u64 = 20_000;

/// By how much instants may be out of the order of the numbers for a page to find them: as far as a clock is commonly set.
const OUT_OF_ORDER_US: i64 = 24 * 3_600_000_000;

/// Which entries are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What was done, exactly.
    pub action: Option<String>,
    /// What was done begins with this.
    pub action_prefix: Option<String>,
    /// The agent concerned.
    pub subject: Option<SubjectId>,
    /// At this instant or later.
    pub from: Option<UtcMicros>,
    /// Before this instant.
    pub to: Option<UtcMicros>,
    /// Older than this one: the cursor of the next page.
    pub before: Option<u64>,
}

/// A page of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, newest first.
    pub entries: Vec<StoredEntry>,
    /// Where the next page goes on; `None` when all was looked through.
    pub next: Option<u64>,
}

/// An agent whom a subject stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSubject {
    /// Who.
    pub agent: AgentId,
    /// The name, where one is known.
    pub name: Option<String>,
}

impl Reader {
    /// A page of a tenant's chain, newest first, at most `limit` entries (held to [`super::super::PAGE_LIMIT`]) out of at most
    /// [`AUDIT_STRETCH`] that are looked through. Entries are as stored; nothing is checked.
    pub async fn audit_page(
        &self,
        tenant: &TenantId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<AuditPage, ReadError> {
        let Some((first, _)) = self.audit_edge(FIRST, tenant, None).await? else { return Ok(AuditPage::default()) };
        let end = self.chain_head(tenant).await?.seq + 1;
        let below = match filter.to {
            None => end,
            Some(to) => self.entry_from(tenant, (first, end), to.offset(OUT_OF_ORDER_US)).await?,
        };
        let lowest = match filter.from {
            None => first,
            Some(from) => self.entry_from(tenant, (first, end), from.offset(-OUT_OF_ORDER_US)).await?,
        };
        let below = filter.before.map_or(below, |before| before.min(below));
        let bottom = below.saturating_sub(AUDIT_STRETCH).max(lowest);
        let mut values = Values::default();
        values.text(tenant.as_str()).count(below).count(bottom);
        values
            .text(filter.action.as_deref().unwrap_or_default())
            .text(filter.action_prefix.as_deref().unwrap_or_default());
        values.text(filter.subject.map_or_else(String::new, |subject| subject.to_string()));
        values
            .int(filter.from.map_or(i64::MIN, UtcMicros::as_micros))
            .int(filter.to.map_or(i64::MAX, UtcMicros::as_micros));
        values.int(super::super::page(limit));
        let entries: Vec<_> =
            self.all(PAGE, values).await?.iter().map(super::audit::entry).collect::<Result<_, _>>()?;
        let last = entries.last().map(|entry| entry.seq);
        let is_full = entries.len() >= usize::try_from(super::super::page(limit)).unwrap_or(usize::MAX);
        let reached = if is_full { last.unwrap_or(bottom) } else { bottom };
        Ok(AuditPage { entries, next: (reached > lowest).then_some(reached) })
    }

    /// The first entry of `first..end` that is not before an instant; `end` where all are.
    async fn entry_from(
        &self,
        tenant: &TenantId,
        (first, end): (u64, u64),
        instant: UtcMicros,
    ) -> Result<u64, ReadError> {
        let (mut low, mut high) = (first, end);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.audit_edge(INSTANT_OF, tenant, Some(middle)).await?;
            if found.is_none_or(|(_, at)| at < instant) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    async fn audit_edge(
        &self,
        statement: &'static str,
        tenant: &TenantId,
        seq: Option<u64>,
    ) -> Result<Option<(u64, UtcMicros)>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        if let Some(seq) = seq {
            values.count(seq);
        }
        let read = |row: &AnyRow| {
            let cells = Cells::of("audit_entries", row);
            Ok((cells.number("seq")?, cells.instant("at")?))
        };
        self.optional(statement, values).await?.as_ref().map(read).transpose()
    }

    /// Whom a subject stands for; `None` for one that was erased.
    pub async fn agent_of_subject(&self, tenant: &TenantId, subject: &str) -> Result<Option<KnownSubject>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(subject);
        let read = |row: &AnyRow| {
            let cells = Cells::of("subjects", row);
            let name = cells.text_or_null("name")?.map(str::to_owned);
            Ok(KnownSubject { agent: AgentId::new(cells.text("agent")?), name })
        };
        self.optional(AGENT_OF, values).await?.as_ref().map(read).transpose()
    }
}
