//! Rules of the store, version by version, and what rules found of agents.

pub(in crate::store) mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use uuid::Uuid;

use crate::domain::changes::transition::STATUS_NAMES;
use crate::domain::ids::{AgentId, FindingId, RuleId, TeamName, TenantId};
use crate::domain::rules::rule::shelf::Edition;
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Script, Values};
use crate::store::cells::Cells;
use crate::store::change::{Commit, FindingKind, RuleFinding};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

/// A version that is there already refuses the change.
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
/// The newest of each rule.
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

/// `$2` and `$3` ids that bound the span, `$4` the kind or NULL.
pub(in crate::store) const FINDINGS: &str = findings!("");
/// Like [`FINDINGS`], of one rule and, where `$7` is not NULL, one agent.
pub(in crate::store) const FINDINGS_OF_RULE: &str =
    findings!(" AND f.rule = $6 AND (CAST($7 AS TEXT) IS NULL OR f.agent = $7)");
/// Like [`FINDINGS`], of one agent.
pub(in crate::store) const FINDINGS_OF_AGENT: &str = findings!(" AND f.agent = $6");
pub(in crate::store) const COUNTS: &str = "SELECT rule, kind, guard, COUNT(*) AS times, COUNT(DISTINCT agent) AS agents \
     FROM rule_findings WHERE tenant = $1 AND id >= $2 AND id < $3 GROUP BY rule, kind, guard ORDER BY rule, kind, guard";
pub(in crate::store) const ASKED: &str = "SELECT rule, status, COUNT(*) AS total FROM transitions WHERE tenant = $1 AND requested_at >= $2 \
     AND requested_at < $3 AND rule IS NOT NULL GROUP BY rule, status ORDER BY rule, status";
/// Who was really changed by rules in a span, by instant; for the comparison with a replay.
pub(in crate::store) const CHANGED: &str = "SELECT agent, requested_at FROM transitions WHERE tenant = $1 AND requested_at >= $2 \
     AND requested_at < $3 AND rule IS NOT NULL AND (CAST($4 AS TEXT) IS NULL OR rule = $4) ORDER BY requested_at LIMIT $5";
/// `$2` instant, `$3` the first id of that instant.
pub(in crate::store) const FORGET_FINDINGS: &str = "DELETE FROM rule_findings WHERE tenant = $1 AND at < $2 AND id IN \
     (SELECT id FROM rule_findings WHERE tenant = $1 AND id < $3 ORDER BY id LIMIT 500)";

/// The least id that something of this instant can have.
pub(in crate::store) fn first_id_of(at: UtcMicros) -> String {
    let millis = u64::try_from(at.as_micros() / 1000).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80).to_string()
}

pub(in crate::store) async fn write(
    connection: &mut AnyConnection,
    script: &mut Script,
    commits: &[&Commit],
) -> Result<(), CommitError> {
    let editions: Vec<_> = commits.iter().flat_map(|commit| &commit.editions).collect();
    batch::run(connection, script, &ADD_EDITIONS, &editions, |(tenant, edition), values| {
        values
            .text(tenant.as_str())
            .text(edition.rule.as_str())
            .count(edition.version)
            .text(&*edition.text)
            .int(i64::from(edition.enabled))
            .int_or_null(edition.order.map(i64::from))
            .int(i64::from(edition.removed))
            .int(edition.at.as_micros())
            .text(&*edition.by)
            .text_or_null(edition.why.as_deref());
    })
    .await?;
    let findings: Vec<_> = commits.iter().flat_map(|commit| &commit.findings).collect();
    batch::run(connection, script, &ADD_FINDINGS, &findings, |finding, values| {
        values
            .text(finding.tenant.as_str())
            .text(finding.id.to_string())
            .int(finding.at.as_micros())
            .text(finding.rule.as_str())
            .text(&*finding.rule_version)
            .text(finding.kind.name())
            .text(finding.agent.as_str())
            .text(finding.guard.as_deref().unwrap_or_default())
            .text(&*finding.wants)
            .text(&*finding.because);
    })
    .await
}

/// What a list of findings is to hold; newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingFilter {
    /// At or after.
    pub from: UtcMicros,
    /// Before.
    pub to: UtcMicros,
    /// Of this rule.
    pub rule: Option<RuleId>,
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of this kind.
    pub kind: Option<FindingKind>,
    /// Older than this one: the cursor of the next page.
    pub before: Option<FindingId>,
}

/// A finding, and who the agent is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFinding {
    /// What.
    pub finding: RuleFinding,
    /// The agent's name, where one is known.
    pub name: Option<Arc<str>>,
    /// The agent's team, where it is known.
    pub team: Option<TeamName>,
}

/// How often something was found of a rule's agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingCount {
    /// The rule.
    pub rule: RuleId,
    /// What.
    pub kind: FindingKind,
    /// What held it back, where something did.
    pub guard: Option<String>,
    /// How often.
    pub times: u64,
    /// Of how many agents.
    pub agents: u64,
}

/// How many transitions each rule asked for, and in which status they stand.
pub type AskedByRule = BTreeMap<RuleId, BTreeMap<&'static str, u64>>;

impl Reader {
    /// The newest version of every rule that the store has or had, by id.
    pub async fn rule_editions(&self, tenant: &TenantId) -> Result<Vec<Edition>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str());
        self.all(EDITIONS, values).await?.iter().map(edition).collect()
    }

    /// The versions of one rule, newest first, at most `limit` (held to [`super::super::PAGE_LIMIT`]).
    pub async fn rule_editions_of(
        &self,
        tenant: &TenantId,
        rule: &RuleId,
        limit: u32,
    ) -> Result<Vec<Edition>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(rule.as_str()).int(super::super::page(limit));
        self.all(EDITIONS_OF, values).await?.iter().map(edition).collect()
    }

    /// What rules found of agents, newest first, at most `limit` (held to [`super::super::PAGE_LIMIT`]). Spans are held to
    /// milliseconds.
    pub async fn rule_findings(
        &self,
        tenant: &TenantId,
        filter: &FindingFilter,
        limit: u32,
    ) -> Result<Vec<StoredFinding>, ReadError> {
        let mut values = Values::default();
        let before = filter.before.map(|id| id.to_string());
        let end = first_id_of(filter.to);
        values
            .text(tenant.as_str())
            .text(first_id_of(filter.from))
            .text(before.map_or(end.clone(), |before| before.min(end)))
            .text_or_null(filter.kind.map(FindingKind::name))
            .int(super::super::page(limit));
        let statement = match (&filter.rule, &filter.agent) {
            (Some(rule), agent) => {
                values.text(rule.as_str()).text_or_null(agent.as_ref().map(AgentId::as_str));
                FINDINGS_OF_RULE
            }
            (None, Some(agent)) => {
                values.text(agent.as_str());
                FINDINGS_OF_AGENT
            }
            (None, None) => FINDINGS,
        };
        self.all(statement, values).await?.iter().map(finding).collect()
    }

    /// The same counted over a span, by rule.
    pub async fn rule_finding_counts(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
    ) -> Result<Vec<FindingCount>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).text(first_id_of(from)).text(first_id_of(to));
        let rows = self.all(COUNTS, values).await?;
        rows.iter()
            .map(|row| {
                let cells = Cells::of("rule_findings", row);
                Ok(FindingCount {
                    rule: RuleId::new(cells.text("rule")?),
                    kind: cells.word("kind", FindingKind::from_name)?,
                    guard: Some(cells.text("guard")?).filter(|guard| !guard.is_empty()).map(str::to_owned),
                    times: cells.number("times")?,
                    agents: cells.number("agents")?,
                })
            })
            .collect()
    }

    /// What rules asked for in a span.
    pub async fn asked_by_rules(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
    ) -> Result<AskedByRule, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(from.as_micros()).int(to.as_micros());
        let mut asked = AskedByRule::new();
        for row in &self.all(ASKED, values).await? {
            let cells = Cells::of("transitions", row);
            let status = cells.word("status", |name| STATUS_NAMES.into_iter().find(|known| *known == name))?;
            asked.entry(RuleId::new(cells.text("rule")?)).or_default().insert(status, cells.number("total")?);
        }
        Ok(asked)
    }

    /// Who was changed by a rule (or by any) in a span and when it was asked for, in order; at most `limit`.
    pub async fn changed_by_rules(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
        rule: Option<&RuleId>,
        limit: u32,
    ) -> Result<Vec<(AgentId, UtcMicros)>, ReadError> {
        let mut values = Values::default();
        values.text(tenant.as_str()).int(from.as_micros()).int(to.as_micros());
        values.text_or_null(rule.map(RuleId::as_str)).int(i64::from(limit));
        let mut changed = Vec::new();
        self.each(CHANGED, values, |row| {
            let cells = Cells::of("transitions", row);
            changed.push((AgentId::new(cells.text("agent")?), cells.instant("requested_at")?));
            Ok(())
        })
        .await?;
        Ok(changed)
    }
}

fn edition(row: &AnyRow) -> Result<Edition, ReadError> {
    let cells = Cells::of("rule_editions", row);
    Ok(Edition {
        rule: RuleId::new(cells.text("rule")?),
        version: cells.number("version")?,
        text: Arc::from(cells.text("text")?),
        enabled: cells.int("enabled")? != 0,
        order: cells.number_or_null("place")?,
        removed: cells.int("removed")? != 0,
        at: cells.instant("at")?,
        by: Arc::from(cells.text("made_by")?),
        why: cells.text_or_null("why")?.map(Arc::from),
    })
}

fn finding(row: &AnyRow) -> Result<StoredFinding, ReadError> {
    let cells = Cells::of("rule_findings", row);
    let finding = RuleFinding {
        tenant: TenantId::new(cells.text("tenant")?),
        id: cells.parsed("id")?,
        at: cells.instant("at")?,
        rule: RuleId::new(cells.text("rule")?),
        rule_version: Arc::from(cells.text("rule_version")?),
        kind: cells.word("kind", FindingKind::from_name)?,
        agent: AgentId::new(cells.text("agent")?),
        guard: Some(cells.text("guard")?).filter(|guard| !guard.is_empty()).map(Arc::from),
        wants: cells.text("wants")?.to_owned(),
        because: cells.text("because")?.to_owned(),
    };
    let name = cells.text_or_null("name")?.map(Arc::from);
    Ok(StoredFinding { finding, name, team: cells.text_or_null("team")?.map(TeamName::new) })
}
