//! The audit chain as people read it: a page of it, newest first, narrowed; and whom a subject stands for.
//!
//! The chain has no index but its number and the transition: each would cost at every write. A page therefore looks through a bounded
//! stretch of entries, and says where it stopped; instants find their place by halving, since numbers and instants rise together
//! but where the clock was set.

use sqlx::any::AnyRow;

use super::StoredEntry;
use crate::domain::ids::{AgentId, SubjectId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
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

/// `$2` below this number, `$3` from this number on; `$4` the action or nothing, `$5` what it begins with, `$6` and `$7` the span of
/// instants, `$8` the actor as the body writes it after its action or nothing, `$9` how many, `$10` to `$19` the subjects or nothing.
pub(in crate::store) const PAGE: &str = page!("tenant = $1 AND seq < $2 AND seq >= $3", "seq DESC");
/// The same of one person, `$20`. SQLite takes an index of some rows for three columns compared as one, and the primary key for any that
/// is compared by itself.
pub(in crate::store) const PAGE_OF_PERSON: &str = page!(
    "person IS NOT NULL AND (tenant, person, seq) < ($1, $20, $2) AND (tenant, person, seq) >= ($1, $20, $3)",
    "tenant DESC, person DESC, seq DESC"
);
/// The number of the entry of a person, `$2`, that is the first beyond a page which begins below `$3` and looks through `$4`.
pub(in crate::store) const PERSON_BEYOND: &str = "SELECT tenant, seq FROM audit_entries WHERE person IS NOT NULL \
     AND (tenant, person, seq) < ($1, $2, $3) AND (tenant, person, seq) >= ($1, $2, 0) \
     ORDER BY tenant DESC, person DESC, seq DESC LIMIT 1 OFFSET $4";
/// Decisions on what rules asked, below the number `$2`.
pub(in crate::store) const DECISIONS: &str = "SELECT tenant, seq, at, action, subject, transition, body, hash FROM audit_entries \
     WHERE action IN ('transition.approved', 'transition.denied') AND (tenant, seq) < ($1, $2) AND (tenant, seq) >= ($1, 0) \
     ORDER BY tenant DESC, seq DESC LIMIT $3";
/// The instant of the last entry up to a number.
pub(in crate::store) const INSTANT_OF: &str =
    "SELECT tenant, seq, at FROM audit_entries WHERE tenant = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1";
pub(in crate::store) const FIRST: &str =
    "SELECT tenant, seq, at FROM audit_entries WHERE tenant = $1 ORDER BY seq LIMIT 1";
pub(in crate::store) const AGENT_OF: &str = "SELECT s.tenant, s.agent, a.name FROM subjects s LEFT JOIN agents a \
     ON a.tenant = s.tenant AND a.id = s.agent WHERE s.tenant = $1 AND s.subject = $2";

/// How many entries one statement looks through at most.
const STRETCH: u64 = 20_000;

/// How many such stretches a page looks through for what few entries fit.
const STRETCHES: u64 = 5;

/// How many entries one page looks through at most.
pub const AUDIT_STRETCH: u64 = STRETCH * STRETCHES;

/// The most agents whose entries are looked for at once.
pub const MOST_SUBJECTS: usize = 10;

/// By how much instants may be out of the order of the numbers for a page to find them: as far as a clock is commonly set.
const OUT_OF_ORDER_US: i64 = 24 * 3_600_000_000;

/// Which entries are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What was done, exactly.
    pub action: Option<String>,
    /// What was done begins with this.
    pub action_prefix: Option<String>,
    /// Who or what did it, as [`crate::domain::changes::transition::Actor::label`] writes it.
    pub actor: Option<String>,
    /// The agents concerned, at most [`MOST_SUBJECTS`]; none for whomever.
    pub subjects: Vec<SubjectId>,
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

/// An actor as bodies write it.
#[derive(Debug, Default)]
struct Written {
    /// The key and its value, as they follow the action.
    text: String,
    /// The person as the column has it: up to the first quotation mark, before which there may be the backslash that escapes it.
    person: Option<String>,
}

impl Written {
    fn of(actor: &str) -> Self {
        let quoted = serde_json::Value::from(actor).to_string();
        let person = quoted.strip_prefix("\"person:").and_then(|rest| rest.split('"').next()).map(str::to_owned);
        Self { text: format!("\"actor\":{quoted},"), person }
    }
}

impl Reader {
    /// A page of a tenant's chain, newest first, at most `limit` entries (held to [`crate::store::PAGE_LIMIT`]) out of at most
    /// [`AUDIT_STRETCH`] that are looked through: of one person's where a person is named, else of all. Entries are as stored; nothing
    /// is checked.
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
        let actor = filter.actor.as_deref().map(Written::of).unwrap_or_default();
        let mut below = filter.before.map_or(below, |before| before.min(below));
        let wanted = usize::try_from(crate::store::page(limit)).unwrap_or(usize::MAX);
        let mut entries = Vec::new();
        for _ in 0..STRETCHES {
            let bottom = match &actor.person {
                None => below.saturating_sub(STRETCH),
                Some(person) => self.beyond(tenant, person, below).await?,
            };
            let bottom = bottom.max(lowest);
            let left = wanted - entries.len();
            entries.extend(self.stretch(tenant, filter, &actor, (bottom, below), left).await?);
            let last = entries.last().map(|entry: &StoredEntry| entry.seq);
            below = if entries.len() >= wanted { last.unwrap_or(bottom) } else { bottom };
            if below <= lowest || entries.len() >= wanted {
                break;
            }
        }
        Ok(AuditPage { entries, next: (below > lowest).then_some(below) })
    }

    /// What people said to rules that asked, newest first, below a number or from the newest on; at most `limit` (held to
    /// [`crate::store::PAGE_LIMIT`]).
    pub async fn decisions(
        &self,
        tenant: &TenantId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(before.map_or(i64::MAX, |seq| i64::try_from(seq).unwrap_or(i64::MAX)));
        values.int(crate::store::page(limit));
        self.all(DECISIONS, values).await?.iter().map(super::entry).collect()
    }

    /// The entries of a span of numbers that fit.
    async fn stretch(
        &self,
        tenant: &TenantId,
        filter: &AuditFilter,
        actor: &Written,
        (bottom, below): (u64, u64),
        limit: usize,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).count(below).count(bottom);
        values
            .text(filter.action.as_deref().unwrap_or_default())
            .text(filter.action_prefix.as_deref().unwrap_or_default());
        values
            .int(filter.from.map_or(i64::MIN, UtcMicros::as_micros))
            .int(filter.to.map_or(i64::MAX, UtcMicros::as_micros));
        values.text(&*actor.text).count(limit as u64);
        for place in 0..MOST_SUBJECTS {
            values.text(filter.subjects.get(place).map_or_else(String::new, ToString::to_string));
        }
        let statement = match &actor.person {
            None => PAGE,
            Some(person) => {
                values.text(&**person);
                PAGE_OF_PERSON
            }
        };
        self.all(statement, values).await?.iter().map(super::entry).collect()
    }

    /// From which number on one person's last entries below a number are no more than a stretch; 0 where all are.
    async fn beyond(&self, tenant: &TenantId, person: &str, below: u64) -> Result<u64, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(person).count(below).count(STRETCH);
        match self.optional(PERSON_BEYOND, values).await? {
            None => Ok(0),
            Some(row) => Ok(Cells::of("audit_entries", &row).number::<u64>("seq")? + 1),
        }
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
