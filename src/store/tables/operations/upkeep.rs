//! The state that the workers keep across restarts: counters, subscriptions, responses to repeated requests, versions
//! of rules, and whether automation is halted.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::ClockReading;
use crate::domain::ids::{AgentId, RuleId, SubscriptionId, TenantId};
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::{
    AgentCounters, Commit, IdempotencyRow, RuleVersion, SubscriptionRow, SubscriptionWrite, TenantStatus,
};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const SET_COUNTERS: ManyRows = ManyRows {
    head: "INSERT INTO agent_counters (tenant, agent, sequence, local_day, violations, not_ready_us) VALUES",
    width: 6,
    tail: "ON CONFLICT (tenant, agent) DO UPDATE SET sequence = excluded.sequence, local_day = excluded.local_day, \
           violations = excluded.violations, not_ready_us = excluded.not_ready_us",
};
pub(in crate::store) const SET_SUBSCRIPTIONS: ManyRows = ManyRows {
    head: "INSERT INTO subscriptions (tenant, slice, id, created_at, created_steady_us, created_host_start, polled_at, \
           polled_steady_us, polled_host_start, interval_ms, agents_hash) VALUES",
    width: 11,
    tail: "ON CONFLICT (tenant, slice) DO UPDATE SET id = excluded.id, created_at = excluded.created_at, \
           created_steady_us = excluded.created_steady_us, created_host_start = excluded.created_host_start, \
           polled_at = excluded.polled_at, polled_steady_us = excluded.polled_steady_us, \
           polled_host_start = excluded.polled_host_start, interval_ms = excluded.interval_ms, \
           agents_hash = excluded.agents_hash",
};
pub(in crate::store) const DROP_SUBSCRIPTIONS: ManyRows =
    ManyRows { head: "DELETE FROM subscriptions WHERE (tenant, slice) IN (VALUES", width: 2, tail: ")" };
pub(in crate::store) const ADD_IDEMPOTENCY_KEYS: ManyRows = ManyRows {
    head: "INSERT INTO idempotency_keys (tenant, token, request_key, request_hash, status, answer, at) VALUES",
    width: 7,
    tail: "",
};
pub(in crate::store) const ADD_RULE_VERSIONS: ManyRows = ManyRows {
    head: "INSERT INTO rule_versions (tenant, rule, version, body, first_seen_at) VALUES",
    width: 5,
    tail: "ON CONFLICT (tenant, rule, version) DO NOTHING",
};
pub(in crate::store) const SET_STATUS: ManyRows = ManyRows {
    head: "INSERT INTO tenant_status (tenant, halted_since, reason) VALUES",
    width: 3,
    tail: "ON CONFLICT (tenant) DO UPDATE SET halted_since = excluded.halted_since, reason = excluded.reason",
};
pub(in crate::store) const COUNTERS: &str = "SELECT tenant, agent, sequence, local_day, violations, not_ready_us FROM agent_counters \
     WHERE tenant = $1 ORDER BY agent";
pub(in crate::store) const SUBSCRIPTIONS: &str = "SELECT tenant, slice, id, created_at, created_steady_us, created_host_start, polled_at, \
     polled_steady_us, polled_host_start, interval_ms, agents_hash FROM subscriptions WHERE tenant = $1 ORDER BY slice";
pub(in crate::store) const IDEMPOTENCY_KEY: &str = "SELECT tenant, token, request_key, request_hash, status, answer, at FROM idempotency_keys \
     WHERE tenant = $1 AND token = $2 AND request_key = $3";
pub(in crate::store) const RULE_VERSIONS: &str = "SELECT tenant, rule, version, body, first_seen_at FROM rule_versions WHERE tenant = $1 \
     ORDER BY rule, first_seen_at, version";
pub(in crate::store) const STATUS: &str = "SELECT tenant, halted_since, reason FROM tenant_status WHERE tenant = $1";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let counters = last_of_each(commits.iter().flat_map(|commit| &commit.counters), |row| (&row.tenant, &row.agent));
    batch::run(transaction, &SET_COUNTERS, &counters, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.agent.as_str())
            .count(row.sequence)
            .text(&*row.local_day)
            .int(i64::from(row.violations))
            .count(row.not_ready_us)
    })
    .await?;
    write_subscriptions(transaction, commits).await?;
    let answers: Vec<_> = commits.iter().flat_map(|commit| &commit.idempotency).collect();
    batch::run(transaction, &ADD_IDEMPOTENCY_KEYS, &answers, |row, values| {
        values
            .text(row.tenant.as_ref().map_or("", TenantId::as_str))
            .text(&*row.token)
            .text(&*row.key)
            .bytes(&row.request_hash.0)
            .int(i64::from(row.status))
            .text(&*row.response_body)
            .instant(row.at)
    })
    .await?;
    let rules: Vec<_> = commits.iter().flat_map(|commit| &commit.rules).collect();
    batch::run(transaction, &ADD_RULE_VERSIONS, &rules, |row, values| {
        values
            .text(row.tenant.as_str())
            .text(row.rule.as_str())
            .text(&*row.version)
            .text(&*row.body)
            .instant(row.first_in_force_at)
    })
    .await?;
    let status = last_of_each(commits.iter().flat_map(|commit| &commit.tenant_status), |row| &row.tenant);
    batch::run(transaction, &SET_STATUS, &status, |row, values| {
        values.text(row.tenant.as_str()).instant_or_null(row.halted_since).text_or_null(row.reason.as_deref())
    })
    .await
}

async fn write_subscriptions(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let last = last_of_each(commits.iter().flat_map(|commit| &commit.subscriptions), |write| match write {
        SubscriptionWrite::Set(row) => (&row.tenant, row.slice),
        SubscriptionWrite::Drop { tenant, slice } => (tenant, *slice),
    });
    let (mut set, mut dropped) = (Vec::new(), Vec::new());
    for write in last {
        match write {
            SubscriptionWrite::Set(row) => set.push(row),
            SubscriptionWrite::Drop { tenant, slice } => dropped.push((tenant, *slice)),
        }
    }
    batch::run(transaction, &DROP_SUBSCRIPTIONS, &dropped, |(tenant, slice), values| {
        values.text(tenant.as_str()).int(i64::from(*slice))
    })
    .await?;
    batch::run(transaction, &SET_SUBSCRIPTIONS, &set, |row, values| {
        values
            .text(row.tenant.as_str())
            .int(i64::from(row.slice))
            .text(row.id.as_str())
            .instant(row.created.wall)
            .int_or_null(steady_us(Some(row.created)))
            .int_or_null(row.created.host_start)
            .int_or_null(row.polled.map(|polled| polled.wall.as_micros()))
            .int_or_null(steady_us(row.polled))
            .int_or_null(row.polled.and_then(|polled| polled.host_start))
            .count(row.interval_ms)
            .bytes(&row.agents_hash.0)
    })
    .await
}

/// Returns the stored form of a reading of the host's steady clock.
fn steady_us(moment: Option<ClockReading>) -> Option<i64> {
    moment?.steady.map(|steady| i64::try_from(steady.as_micros()).unwrap_or(i64::MAX))
}

impl Reader {
    /// Returns the counters of a tenant's agents.
    pub async fn counters(&self, tenant: &TenantId) -> Result<Vec<AgentCounters>, ReadError> {
        self.read_rows(COUNTERS, Values::of(tenant), |row| {
            let cells = Cells::new("agent_counters", row);
            Ok(AgentCounters {
                tenant: tenant.clone(),
                agent: AgentId::new(cells.text("agent")?),
                sequence: cells.number("sequence")?,
                local_day: cells.text("local_day")?.to_owned(),
                violations: cells.number("violations")?,
                not_ready_us: cells.number("not_ready_us")?,
            })
        })
        .await
    }

    /// Returns a tenant's subscriptions, by slice.
    pub async fn subscriptions(&self, tenant: &TenantId) -> Result<Vec<SubscriptionRow>, ReadError> {
        self.read_rows(SUBSCRIPTIONS, Values::of(tenant), |row| {
            let cells = Cells::new("subscriptions", row);
            Ok(SubscriptionRow {
                tenant: tenant.clone(),
                slice: cells.number("slice")?,
                id: SubscriptionId::new(cells.text("id")?),
                created: ClockReading {
                    wall: cells.instant("created_at")?,
                    steady: cells.number_or_null("created_steady_us")?.map(Duration::from_micros),
                    host_start: cells.int_or_null("created_host_start")?,
                },
                polled: match cells.instant_or_null("polled_at")? {
                    None => None,
                    Some(wall) => Some(ClockReading {
                        wall,
                        steady: cells.number_or_null("polled_steady_us")?.map(Duration::from_micros),
                        host_start: cells.int_or_null("polled_host_start")?,
                    }),
                },
                interval_ms: cells.number("interval_ms")?,
                agents_hash: cells.hash("agents_hash")?,
            })
        })
        .await
    }

    /// Returns the stored response to a request with this key.
    pub async fn idempotency_row(
        &self,
        tenant: Option<&TenantId>,
        token: &str,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, ReadError> {
        let values = Values::default().text(tenant.map_or("", TenantId::as_str)).text(token).text(key);
        let Some(row) = self.fetch_optional(IDEMPOTENCY_KEY, values).await? else { return Ok(None) };
        let cells = Cells::new("idempotency_keys", &row);
        Ok(Some(IdempotencyRow {
            tenant: tenant.cloned(),
            token: Arc::from(token),
            key: Arc::from(key),
            request_hash: cells.hash("request_hash")?,
            status: cells.number("status")?,
            response_body: cells.text("answer")?.to_owned(),
            at: cells.instant("at")?,
        }))
    }

    /// Returns all versions of all rules that a tenant has had.
    pub async fn rule_versions(&self, tenant: &TenantId) -> Result<Vec<RuleVersion>, ReadError> {
        self.read_rows(RULE_VERSIONS, Values::of(tenant), |row| {
            let cells = Cells::new("rule_versions", row);
            Ok(RuleVersion {
                tenant: tenant.clone(),
                rule: RuleId::new(cells.text("rule")?),
                version: Arc::from(cells.text("version")?),
                body: cells.text("body")?.to_owned(),
                first_in_force_at: cells.instant("first_seen_at")?,
            })
        })
        .await
    }

    /// Returns whether a tenant's automation is halted; it runs if nothing is stored.
    pub async fn tenant_status(&self, tenant: &TenantId) -> Result<TenantStatus, ReadError> {
        let Some(row) = self.fetch_optional(STATUS, Values::of(tenant)).await? else {
            return Ok(TenantStatus { tenant: tenant.clone(), halted_since: None, reason: None });
        };
        let cells = Cells::new("tenant_status", &row);
        Ok(TenantStatus {
            tenant: tenant.clone(),
            halted_since: cells.instant_or_null("halted_since")?,
            reason: cells.text_or_null("reason")?.map(str::to_owned),
        })
    }
}
