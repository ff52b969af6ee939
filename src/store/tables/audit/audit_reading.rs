//! Reads filtered pages of the audit chain, newest first, and the agent behind a subject.
//!
//! The chain is indexed only by number and transition, because every further index would slow down each write. A page
//! therefore reads a bounded number of entries and returns where it stopped. Times are found by binary search, because
//! numbers and times increase together except where the clock was set.

use sqlx::any::AnyRow;

use super::StoredEntry;
use crate::domain::ids::{AgentId, SubjectId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{PAGE_LIMIT, Values};
use crate::store::cells::Cells;
use crate::store::error::ReadError;
use crate::store::reader::Reader;

macro_rules! page {
    ($span:literal, $order:literal) => {
        concat!(
            "SELECT tenant, seq, at, action, subject, transition, body, hash FROM audit_entries WHERE ",
            $span,
            " AND (CAST($4 AS TEXT) = '' OR action = $4) AND substr(action, 1, length(CAST($5 AS TEXT))) = $5 \
             AND at >= $6 AND at < $7 AND substr(body, length(action) + 14, length(CAST($8 AS TEXT))) = $8 \
             AND (CAST($10 AS TEXT) = '' OR subject IN ($10, $11, $12, $13, $14, $15, $16, $17, $18, $19)) ORDER BY ",
            $order,
            " LIMIT $9"
        )
    };
}

/// `$2` below this number, `$3` from this number on; `$4` the action or nothing, `$5` its prefix, `$6` and `$7` the
/// time span, `$8` the actor as the body writes it after its action or nothing, `$9` limit, `$10` to `$19` the subjects
/// or nothing.
pub(in crate::store) const PAGE: &str = page!("tenant = $1 AND seq < $2 AND seq >= $3", "seq DESC");
/// The same for one person, `$20`. SQLite uses a partial index for three columns compared as one, and the primary key
/// for a column compared by itself.
pub(in crate::store) const PAGE_OF_PERSON: &str = page!(
    "person IS NOT NULL AND (tenant, person, seq) < ($1, $20, $2) AND (tenant, person, seq) >= ($1, $20, $3)",
    "tenant DESC, person DESC, seq DESC"
);
/// The number of the first entry of the person `$2` beyond a page that begins below `$3` and reads `$4` entries.
pub(in crate::store) const FIRST_BEYOND_PERSON_PAGE: &str = "SELECT tenant, seq FROM audit_entries WHERE person IS NOT NULL \
     AND (tenant, person, seq) < ($1, $2, $3) AND (tenant, person, seq) >= ($1, $2, 0) \
     ORDER BY tenant DESC, person DESC, seq DESC LIMIT 1 OFFSET $4";
/// The decisions on requests of rules, below the number `$2`.
pub(in crate::store) const DECISIONS: &str = "SELECT tenant, seq, at, action, subject, transition, body, hash FROM audit_entries \
     WHERE action IN ('transition.approved', 'transition.denied') AND (tenant, seq) < ($1, $2) AND (tenant, seq) >= ($1, 0) \
     ORDER BY tenant DESC, seq DESC LIMIT $3";
/// The time of the last entry up to a number.
pub(in crate::store) const INSTANT_OF: &str =
    "SELECT tenant, seq, at FROM audit_entries WHERE tenant = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1";
pub(in crate::store) const FIRST: &str =
    "SELECT tenant, seq, at FROM audit_entries WHERE tenant = $1 ORDER BY seq LIMIT 1";
pub(in crate::store) const AGENT_OF: &str = "SELECT s.tenant, s.agent, a.name FROM subjects s LEFT JOIN agents a \
     ON a.tenant = s.tenant AND a.id = s.agent WHERE s.tenant = $1 AND s.subject = $2";

/// The maximum number of entries that one statement reads.
const SCAN_LENGTH: u64 = 20_000;

/// The maximum number of such scans for one page, if few entries match.
const MAX_SCANS: u64 = 5;

/// The maximum number of entries that are read for one page.
pub const AUDIT_SCAN_LIMIT: u64 = SCAN_LENGTH * MAX_SCANS;

/// The maximum number of agents in one filter.
pub const MAX_SUBJECTS: usize = 10;

/// The maximum disorder between times and numbers that a page tolerates, in microseconds: as far as a clock is commonly
/// set.
const MAX_DISORDER_US: i64 = 24 * 3_600_000_000;

/// The conditions of a list of audit entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The exact action.
    pub action: Option<String>,
    /// The prefix of the action.
    pub action_prefix: Option<String>,
    /// The actor, as written by [`crate::domain::changes::transition::Actor::label`].
    pub actor: Option<String>,
    /// The subjects of the agents concerned, at most [`MAX_SUBJECTS`]; empty for all.
    pub subjects: Vec<SubjectId>,
    /// The earliest time, inclusive.
    pub from: Option<UtcMicros>,
    /// The latest time, exclusive.
    pub to: Option<UtcMicros>,
    /// Only entries older than this number: the cursor of the next page.
    pub before: Option<u64>,
}

/// A page of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, newest first.
    pub entries: Vec<StoredEntry>,
    /// The cursor of the next page; `None` if everything was read.
    pub next: Option<u64>,
}

/// The agent behind a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectAgent {
    /// The agent.
    pub agent: AgentId,
    /// The agent's name, if known.
    pub name: Option<String>,
}

/// An actor in the form used in bodies.
#[derive(Debug, Default)]
struct ActorText {
    /// The key and its value, as they follow the action.
    text: String,
    /// The person as stored in the column: up to the first quotation mark, including a backslash that escapes it.
    person: Option<String>,
}

impl ActorText {
    fn new(actor: &str) -> Self {
        let quoted = serde_json::Value::from(actor).to_string();
        let person = quoted.strip_prefix("\"person:").and_then(|rest| rest.split('"').next()).map(str::to_owned);
        Self { text: format!("\"actor\":{quoted},"), person }
    }
}

impl Reader {
    /// Returns a page of a tenant's chain, newest first, at most `limit` entries (capped at
    /// [`crate::store::PAGE_LIMIT`]). It reads at most [`AUDIT_SCAN_LIMIT`] entries, counting only those of one person
    /// if the filter names one. Entries are returned as stored, without verification.
    pub async fn audit_page(
        &self,
        tenant: &TenantId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<AuditPage, ReadError> {
        let Some((first, _)) = self.entry_instant(FIRST, tenant, None).await? else { return Ok(AuditPage::default()) };
        let end = self.chain_head(tenant).await?.seq + 1;
        let below = match filter.to {
            None => end,
            Some(to) => self.first_entry_at(tenant, (first, end), to.offset(MAX_DISORDER_US)).await?,
        };
        let lowest = match filter.from {
            None => first,
            Some(from) => self.first_entry_at(tenant, (first, end), from.offset(-MAX_DISORDER_US)).await?,
        };
        let actor = filter.actor.as_deref().map(ActorText::new).unwrap_or_default();
        let mut below = filter.before.map_or(below, |before| before.min(below));
        let page_size = limit.min(PAGE_LIMIT) as usize;
        let mut entries = Vec::new();
        for _ in 0..MAX_SCANS {
            let bottom = match &actor.person {
                None => below.saturating_sub(SCAN_LENGTH),
                Some(person) => self.person_scan_start(tenant, person, below).await?,
            };
            let bottom = bottom.max(lowest);
            let remaining = page_size - entries.len();
            entries.extend(self.scan(tenant, filter, &actor, (bottom, below), remaining).await?);
            let last = entries.last().map(|entry: &StoredEntry| entry.seq);
            below = if entries.len() >= page_size { last.unwrap_or(bottom) } else { bottom };
            if below <= lowest || entries.len() >= page_size {
                break;
            }
        }
        Ok(AuditPage { entries, next: (below > lowest).then_some(below) })
    }

    /// Returns people's decisions on requests of rules, newest first, below a number or from the newest on; at most
    /// `limit` (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn decisions(
        &self,
        tenant: &TenantId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        let values = Values::of(tenant).count(before.unwrap_or(u64::MAX)).page(limit);
        self.read_rows(DECISIONS, values, super::read_entry).await
    }

    /// Returns the matching entries in a span of numbers.
    async fn scan(
        &self,
        tenant: &TenantId,
        filter: &AuditFilter,
        actor: &ActorText,
        (bottom, below): (u64, u64),
        limit: usize,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        let mut values = Values::of(tenant)
            .count(below)
            .count(bottom)
            .text(filter.action.as_deref().unwrap_or_default())
            .text(filter.action_prefix.as_deref().unwrap_or_default())
            .int(filter.from.map_or(i64::MIN, UtcMicros::as_micros))
            .int(filter.to.map_or(i64::MAX, UtcMicros::as_micros))
            .text(&*actor.text)
            .count(limit as u64);
        for index in 0..MAX_SUBJECTS {
            values = values.text(filter.subjects.get(index).map_or_else(String::new, ToString::to_string));
        }
        let (statement, values) = match &actor.person {
            None => (PAGE, values),
            Some(person) => (PAGE_OF_PERSON, values.text(&**person)),
        };
        self.read_rows(statement, values, super::read_entry).await
    }

    /// Returns the number from which one person's last entries below a number fit into one scan; 0 if all do.
    async fn person_scan_start(&self, tenant: &TenantId, person: &str, below: u64) -> Result<u64, ReadError> {
        let values = Values::of(tenant).text(person).count(below).count(SCAN_LENGTH);
        let read = |row: &AnyRow| Cells::new("audit_entries", row).number::<u64>("seq");
        Ok(self.read_row(FIRST_BEYOND_PERSON_PAGE, values, read).await?.map_or(0, |beyond| beyond + 1))
    }

    /// Returns the first entry of `first..end` at or after a given time; `end` if there is none.
    async fn first_entry_at(
        &self,
        tenant: &TenantId,
        (first, end): (u64, u64),
        instant: UtcMicros,
    ) -> Result<u64, ReadError> {
        let (mut low, mut high) = (first, end);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.entry_instant(INSTANT_OF, tenant, Some(middle)).await?;
            if found.is_none_or(|(_, at)| at < instant) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    async fn entry_instant(
        &self,
        statement: &'static str,
        tenant: &TenantId,
        seq: Option<u64>,
    ) -> Result<Option<(u64, UtcMicros)>, ReadError> {
        let values = seq.into_iter().fold(Values::of(tenant), Values::count);
        let read = |row: &AnyRow| {
            let cells = Cells::new("audit_entries", row);
            Ok((cells.number("seq")?, cells.instant("at")?))
        };
        self.read_row(statement, values, read).await
    }

    /// Returns the agent behind a subject; `None` if it was erased.
    pub async fn agent_of_subject(&self, tenant: &TenantId, subject: &str) -> Result<Option<SubjectAgent>, ReadError> {
        let values = Values::of(tenant).text(subject);
        let read = |row: &AnyRow| {
            let cells = Cells::new("subjects", row);
            let name = cells.text_or_null("name")?.map(str::to_owned);
            Ok(SubjectAgent { agent: AgentId::new(cells.text("agent")?), name })
        };
        self.read_row(AGENT_OF, values, read).await
    }
}
