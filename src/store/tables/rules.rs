//! Versions of the rules in the store, and findings of rules.

pub(in crate::store) mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::any::AnyRow;
use uuid::Uuid;

use crate::domain::changes::transition::STATUS_NAMES;
use crate::domain::ids::{AgentId, FindingId, RuleId, TeamName, TenantId};
use crate::domain::rules::rule::catalog::StoredRuleVersion;
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::{Commit, FindingKind, RuleFinding};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

/// A version that already exists refuses the change.
pub(in crate::store) const ADD_EDITIONS: ManyRows = ManyRows {
    head: "INSERT INTO rule_editions (tenant, rule, version, text, enabled, place, removed, at, made_by, why) VALUES",
    width: 10,
    tail: "",
};
pub(in crate::store) const ADD_FINDINGS: ManyRows = ManyRows {
    head: "INSERT INTO rule_findings (tenant, id, at, rule, rule_version, kind, agent, guard, wants, because) VALUES",
    width: 10,
    tail: "ON CONFLICT (tenant, id) DO NOTHING",
};
/// The newest version of each rule.
pub(in crate::store) const EDITIONS: &str = "SELECT e.tenant, e.rule, e.version, e.text, e.enabled, e.place, e.removed, e.at, e.made_by, e.why \
     FROM rule_editions e WHERE e.tenant = $1 AND e.version = (SELECT MAX(n.version) FROM rule_editions n \
     WHERE n.tenant = $1 AND n.rule = e.rule) ORDER BY e.rule";
pub(in crate::store) const EDITIONS_OF: &str = "SELECT tenant, rule, version, text, enabled, place, removed, at, made_by, why \
     FROM rule_editions WHERE tenant = $1 AND rule = $2 ORDER BY version DESC LIMIT $3";

macro_rules! findings {
    ($rest:literal) => {
        concat!(
            "SELECT f.tenant, f.id, f.at, f.rule, f.rule_version, f.kind, f.agent, f.guard, f.wants, f.because, a.name, a.team \
             FROM rule_findings f LEFT JOIN agents a ON a.tenant = f.tenant AND a.id = f.agent \
             WHERE f.tenant = $1 AND f.id >= $2 AND f.id < $3 AND (CAST($4 AS TEXT) IS NULL OR f.kind = $4)",
            $rest,
            " ORDER BY f.id DESC LIMIT $5"
        )
    };
}

/// `$2` and `$3` the ids that bound the span, `$4` the kind or NULL.
pub(in crate::store) const FINDINGS: &str = findings!("");
/// Like [`FINDINGS`], for one rule and, if `$7` is not NULL, one agent.
pub(in crate::store) const FINDINGS_OF_RULE: &str =
    findings!(" AND f.rule = $6 AND (CAST($7 AS TEXT) IS NULL OR f.agent = $7)");
/// Like [`FINDINGS`], for one agent.
pub(in crate::store) const FINDINGS_OF_AGENT: &str = findings!(" AND f.agent = $6");
pub(in crate::store) const COUNTS: &str = "SELECT rule, kind, guard, COUNT(*) AS times, COUNT(DISTINCT agent) AS agents \
     FROM rule_findings WHERE tenant = $1 AND id >= $2 AND id < $3 GROUP BY rule, kind, guard ORDER BY rule, kind, guard";
pub(in crate::store) const TRANSITION_COUNTS: &str = "SELECT rule, status, COUNT(*) AS total FROM transitions WHERE tenant = $1 AND requested_at >= $2 \
     AND requested_at < $3 AND rule IS NOT NULL GROUP BY rule, status ORDER BY rule, status";
/// The agents that rules really changed in a span, by time, for comparison with a backtest.
pub(in crate::store) const CHANGED: &str = "SELECT agent, requested_at FROM transitions WHERE tenant = $1 AND requested_at >= $2 \
     AND requested_at < $3 AND rule IS NOT NULL AND (CAST($4 AS TEXT) IS NULL OR rule = $4) ORDER BY requested_at LIMIT $5";
/// `$2` the time, `$3` the first id of that time.
pub(in crate::store) const DELETE_FINDINGS: &str = "DELETE FROM rule_findings WHERE tenant = $1 AND at < $2 AND id IN \
     (SELECT id FROM rule_findings WHERE tenant = $1 AND id < $3 ORDER BY id LIMIT 500)";

/// Returns the smallest possible id of something created at this time.
pub(in crate::store) fn first_id_at(at: UtcMicros) -> String {
    let millis = u64::try_from(at.as_micros() / 1000).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80).to_string()
}

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let editions: Vec<_> = commits.iter().flat_map(|commit| &commit.editions).collect();
    batch::run(transaction, &ADD_EDITIONS, &editions, |(tenant, edition), values| {
        values
            .text(tenant.as_str())
            .text(edition.rule.as_str())
            .count(edition.version)
            .text(&*edition.text)
            .int(i64::from(edition.enabled))
            .int_or_null(edition.order.map(i64::from))
            .int(i64::from(edition.removed))
            .instant(edition.changed_at)
            .text(&*edition.changed_by)
            .text_or_null(edition.comment.as_deref())
    })
    .await?;
    let findings: Vec<_> = commits.iter().flat_map(|commit| &commit.findings).collect();
    batch::run(transaction, &ADD_FINDINGS, &findings, |finding, values| {
        values
            .text(finding.tenant.as_str())
            .text(finding.id.to_string())
            .instant(finding.at)
            .text(finding.rule.as_str())
            .text(&*finding.rule_version)
            .text(finding.kind.name())
            .text(finding.agent.as_str())
            .text(finding.guard.as_deref().unwrap_or_default())
            .text(&*finding.intended_action)
            .text(&*finding.facts)
    })
    .await
}

/// The conditions of a list of findings, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingFilter {
    /// At this time or later.
    pub from: UtcMicros,
    /// Before this time.
    pub to: UtcMicros,
    /// The rule.
    pub rule: Option<RuleId>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// The kind of finding.
    pub kind: Option<FindingKind>,
    /// Only findings older than this one: the cursor of the next page.
    pub before: Option<FindingId>,
}

/// A finding with the agent's current name and team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFinding {
    /// The finding.
    pub finding: RuleFinding,
    /// The agent's name, if known.
    pub name: Option<Arc<str>>,
    /// The agent's team, if known.
    pub team: Option<TeamName>,
}

/// The number of findings of one rule and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingCount {
    /// The rule.
    pub rule: RuleId,
    /// The kind of finding.
    pub kind: FindingKind,
    /// The guard that held the change, if any.
    pub guard: Option<String>,
    /// The number of findings.
    pub count: u64,
    /// The number of agents.
    pub agents: u64,
}

/// The number of transitions by rule and status.
pub type TransitionCountsByRule = BTreeMap<RuleId, BTreeMap<&'static str, u64>>;

impl Reader {
    /// Returns the newest version of every rule that the store has or had, ordered by id.
    pub async fn rule_editions(&self, tenant: &TenantId) -> Result<Vec<StoredRuleVersion>, ReadError> {
        self.read_rows(EDITIONS, Values::of(tenant), read_edition).await
    }

    /// Returns the versions of one rule, newest first, at most `limit` (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn rule_editions_of(
        &self,
        tenant: &TenantId,
        rule: &RuleId,
        limit: u32,
    ) -> Result<Vec<StoredRuleVersion>, ReadError> {
        self.read_rows(EDITIONS_OF, Values::of(tenant).text(rule.as_str()).page(limit), read_edition).await
    }

    /// Returns the findings of rules, newest first, at most `limit` (capped at [`crate::store::PAGE_LIMIT`]). Spans
    /// have millisecond precision.
    pub async fn rule_findings(
        &self,
        tenant: &TenantId,
        filter: &FindingFilter,
        limit: u32,
    ) -> Result<Vec<StoredFinding>, ReadError> {
        let before = filter.before.map(|id| id.to_string());
        let end = first_id_at(filter.to);
        let values = Values::of(tenant)
            .text(first_id_at(filter.from))
            .text(before.map_or(end.clone(), |before| before.min(end)))
            .text_or_null(filter.kind.map(FindingKind::name))
            .page(limit);
        let (statement, values) = match (&filter.rule, &filter.agent) {
            (Some(rule), agent) => {
                let agent = agent.as_ref().map(AgentId::as_str);
                (FINDINGS_OF_RULE, values.text(rule.as_str()).text_or_null(agent))
            }
            (None, Some(agent)) => (FINDINGS_OF_AGENT, values.text(agent.as_str())),
            (None, None) => (FINDINGS, values),
        };
        self.read_rows(statement, values, read_finding).await
    }

    /// Returns the number of findings in a span, by rule.
    pub async fn rule_finding_counts(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
    ) -> Result<Vec<FindingCount>, ReadError> {
        self.read_rows(COUNTS, Values::of(tenant).text(first_id_at(from)).text(first_id_at(to)), |row| {
            let cells = Cells::new("rule_findings", row);
            Ok(FindingCount {
                rule: RuleId::new(cells.text("rule")?),
                kind: cells.known_value("kind", FindingKind::from_name)?,
                guard: Some(cells.text("guard")?).filter(|guard| !guard.is_empty()).map(str::to_owned),
                count: cells.number("times")?,
                agents: cells.number("agents")?,
            })
        })
        .await
    }

    /// Returns the number of transitions that rules requested in a span.
    pub async fn transition_counts_by_rule(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
    ) -> Result<TransitionCountsByRule, ReadError> {
        let values = Values::of(tenant).instant(from).instant(to);
        let mut counts = TransitionCountsByRule::new();
        self.for_each_row(TRANSITION_COUNTS, values, |row| {
            let cells = Cells::new("transitions", row);
            let status = cells.known_value("status", |name| STATUS_NAMES.into_iter().find(|known| *known == name))?;
            counts.entry(RuleId::new(cells.text("rule")?)).or_default().insert(status, cells.number("total")?);
            Ok(())
        })
        .await?;
        Ok(counts)
    }

    /// Returns the agents that a rule (or any rule) changed in a span and the times of the requests, in order; at most
    /// `limit`.
    pub async fn changed_by_rules(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
        rule: Option<&RuleId>,
        limit: u32,
    ) -> Result<Vec<(AgentId, UtcMicros)>, ReadError> {
        let values =
            Values::of(tenant).instant(from).instant(to).text_or_null(rule.map(RuleId::as_str)).int(i64::from(limit));
        self.read_rows(CHANGED, values, |row| {
            let cells = Cells::new("transitions", row);
            Ok((AgentId::new(cells.text("agent")?), cells.instant("requested_at")?))
        })
        .await
    }
}

fn read_edition(row: &AnyRow) -> Result<StoredRuleVersion, ReadError> {
    let cells = Cells::new("rule_editions", row);
    Ok(StoredRuleVersion {
        rule: RuleId::new(cells.text("rule")?),
        version: cells.number("version")?,
        text: Arc::from(cells.text("text")?),
        enabled: cells.int("enabled")? != 0,
        order: cells.number_or_null("place")?,
        removed: cells.int("removed")? != 0,
        changed_at: cells.instant("at")?,
        changed_by: Arc::from(cells.text("made_by")?),
        comment: cells.text_or_null("why")?.map(Arc::from),
    })
}

fn read_finding(row: &AnyRow) -> Result<StoredFinding, ReadError> {
    let cells = Cells::new("rule_findings", row);
    let finding = RuleFinding {
        tenant: TenantId::new(cells.text("tenant")?),
        id: cells.parsed("id")?,
        at: cells.instant("at")?,
        rule: RuleId::new(cells.text("rule")?),
        rule_version: Arc::from(cells.text("rule_version")?),
        kind: cells.known_value("kind", FindingKind::from_name)?,
        agent: AgentId::new(cells.text("agent")?),
        guard: Some(cells.text("guard")?).filter(|guard| !guard.is_empty()).map(Arc::from),
        intended_action: cells.text("wants")?.to_owned(),
        facts: cells.text("because")?.to_owned(),
    };
    let name = cells.text_or_null("name")?.map(Arc::from);
    Ok(StoredFinding { finding, name, team: cells.text_or_null("team")?.map(TeamName::new) })
}
