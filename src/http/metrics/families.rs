//! All families of metrics, with their descriptions.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::process;
use super::writer::{Labels, MetricsWriter, NO_LABELS, seconds};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::engine::jobs::JobView;
use crate::engine::operations::status::{BudgetStatus, FigureAge, StatusSnapshot, TenantMetrics, TenantStatus};
use crate::engine::platform::calls::CallKind;

/// The families of one snapshot of the status.
#[derive(Debug)]
pub(super) struct MetricFamilies(pub(super) StatusSnapshot);

impl Collector for MetricFamilies {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = MetricsWriter(encoder);
        self.daemon(&mut page)?;
        self.viewers(&mut page)?;
        process::write(&mut page)?;
        self.store(&mut page)?;
        self.jobs(&mut page)?;
        self.schedule_sources(&mut page)?;
        self.platform(&mut page)?;
        self.keepers(&mut page)?;
        self.feeds(&mut page)?;
        self.figures(&mut page)?;
        self.analytics(&mut page)?;
        self.anomalies(&mut page)?;
        self.subscriptions(&mut page)?;
        self.outbox(&mut page)?;
        self.audit(&mut page)
    }
}

fn tenant_labels(tenant: &TenantId) -> Labels {
    vec![("tenant", tenant.to_string())]
}

fn labels_with(tenant: &TenantId, name: &'static str, value: impl fmt::Display) -> Labels {
    vec![("tenant", tenant.to_string()), (name, value.to_string())]
}

/// Returns the counts of a tenant by a label.
fn counts_by<'m>(
    meters: &'m TenantMetrics,
    name: &'static str,
    counts: &'m BTreeMap<&'static str, u64>,
) -> impl Iterator<Item = (Labels, u64)> + 'm {
    counts.iter().map(move |(word, count)| (labels_with(&meters.tenant, name, word), *count))
}

/// Returns the seconds since 1970.
fn unix_seconds(at: UtcMicros) -> f64 {
    std::time::Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or_default()).as_secs_f64()
}

impl MetricFamilies {
    fn tenants(&self) -> impl Iterator<Item = &TenantStatus> {
        self.0.status.tenants.iter()
    }

    fn meters(&self) -> impl Iterator<Item = &TenantMetrics> {
        self.0.tenants.iter()
    }

    fn daemon(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let status = &self.0.status;
        let version = vec![("version", status.version.clone())];
        page.gauge("shiftkeeper_build_info", "The version that runs; always 1", [(version, 1_u64)])?;
        page.gauge(
            "shiftkeeper_start_time_seconds",
            "When the daemon was started",
            [(NO_LABELS, unix_seconds(status.started_at))],
        )?;
        let ready = u64::from(status.status != "not_ready");
        page.gauge("shiftkeeper_ready", "Whether the daemon itself is ready, as /readyz says", [(NO_LABELS, ready)])?;
        page.gauge(
            "shiftkeeper_part_ready",
            "Whether a part of /readyz is ready; own parts belong to the daemon, the others are external",
            status
                .parts
                .iter()
                .map(|part| (vec![("part", part.name.clone()), ("own", part.own.to_string())], u64::from(part.ready))),
        )?;
        page.gauge(
            "shiftkeeper_parts_needing_person",
            "Parts of /readyz that stay as they are until a person acts",
            [(NO_LABELS, status.parts.iter().filter(|part| part.needs_person).count() as u64)],
        )?;
        page.counter(
            "shiftkeeper_log_lines_lost",
            "Log lines that could not be written",
            [(NO_LABELS, self.0.log_lines_lost)],
        )?;
        page.gauge(
            "shiftkeeper_config_last_reload_successful",
            "Whether the last reload of the configuration succeeded",
            [(NO_LABELS, u64::from(status.configuration.ok))],
        )?;
        page.gauge(
            "shiftkeeper_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded",
            [(NO_LABELS, unix_seconds(status.configuration.loaded_at))],
        )
    }

    fn viewers(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let viewers = self.0.viewers;
        page.gauge("shiftkeeper_viewers", "Viewers of the live view", [(NO_LABELS, viewers.current as u64)])?;
        page.counter("shiftkeeper_viewers_seen", "Viewers that were let in", [(NO_LABELS, viewers.total)])?;
        page.counter(
            "shiftkeeper_viewers_too_slow",
            "Viewers that were disconnected because they read too slowly",
            [(NO_LABELS, viewers.too_slow)],
        )
    }

    fn store(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let (store, writer) = (&self.0.status.store, &self.0.writer);
        page.gauge(
            "shiftkeeper_store_up",
            "Whether the database can be read and written",
            [(NO_LABELS, u64::from(store.ok))],
        )?;
        page.gauge("shiftkeeper_store_size_bytes", "The database, with its free pages", [(NO_LABELS, store.bytes)])?;
        page.gauge(
            "shiftkeeper_store_log_size_bytes",
            "The size of the write-ahead log of the database",
            store.log_bytes.map(|bytes| (NO_LABELS, bytes)),
        )?;
        page.gauge(
            "shiftkeeper_store_disk_free_bytes",
            "The free space on the disk of the database",
            store.disk_free_bytes.map(|bytes| (NO_LABELS, bytes)),
        )?;
        page.gauge(
            "shiftkeeper_store_queue_length",
            "Changes that wait for the writer",
            [(NO_LABELS, writer.queued as u64)],
        )?;
        page.gauge(
            "shiftkeeper_store_queue_capacity",
            "Changes that may wait for the writer",
            [(NO_LABELS, writer.queue_capacity as u64)],
        )?;
        page.histogram(
            "shiftkeeper_store_transaction_duration_seconds",
            "How long the writer's transactions took until they were durable",
            [(NO_LABELS, &writer.durations)],
        )?;
        page.counter(
            "shiftkeeper_store_transaction_failures",
            "Transactions of the writer that failed",
            [(NO_LABELS, writer.failed)],
        )
    }

    fn jobs(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let jobs = &self.0.status.jobs;
        let labels = |job: &JobView| {
            let tenant = job.tenant.as_ref().map_or_else(String::new, ToString::to_string);
            vec![("tenant", tenant), ("job_id", job.id.to_string())]
        };
        page.gauge(
            "shiftkeeper_job_ok",
            "Whether a job's last run succeeded; jobs of the daemon itself have no tenant",
            jobs.iter().map(|status| (labels(&status.job), u64::from(status.ok))),
        )?;
        page.gauge(
            "shiftkeeper_job_last_success_timestamp_seconds",
            "When a job's last successful run ended",
            jobs.iter().filter_map(|status| Some((labels(&status.job), unix_seconds(status.last_success_at?)))),
        )
    }

    fn schedule_sources(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let each = || {
            self.tenants().flat_map(|tenant| {
                tenant.schedule_sources.iter().map(|source| (labels_with(&tenant.id, "source", &source.id), source))
            })
        };
        page.gauge(
            "shiftkeeper_schedule_source_age_seconds",
            "How long ago a source of schedules last gave or confirmed a good version; no sample before the first",
            each().filter_map(|(labels, source)| Some((labels, seconds(source.age_ms?)))),
        )?;
        page.gauge(
            "shiftkeeper_schedule_source_late",
            "Whether the last good version of a source of schedules is older than its max_age",
            each().map(|(labels, source)| (labels, u64::from(source.late))),
        )
    }

    fn platform(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        page.gauge(
            "shiftkeeper_token_age_seconds",
            "The age of the access token; no sample without one",
            self.tenants().filter_map(|tenant| Some((tenant_labels(&tenant.id), seconds(tenant.token.age_ms?)))),
        )?;
        page.gauge(
            "shiftkeeper_token_expires_in_seconds",
            "How long the access token is still valid; no sample without one",
            self.tenants().filter_map(|tenant| Some((tenant_labels(&tenant.id), seconds(tenant.token.expires_in_ms?)))),
        )?;
        page.gauge(
            "shiftkeeper_token_circuit_open",
            "Whether requests for a token are suspended because the platform refused several in a row",
            self.tenants().map(|tenant| (tenant_labels(&tenant.id), u64::from(tenant.token.circuit_open))),
        )?;
        page.counter(
            "shiftkeeper_token_requests",
            "Requests for an access token, by whether they were granted",
            self.tenants().flat_map(|tenant| {
                let sample = |outcome, count| (labels_with(&tenant.id, "outcome", outcome), count);
                [sample("granted", tenant.token.requests_granted), sample("failed", tenant.token.requests_failed)]
            }),
        )?;
        page.counter(
            "shiftkeeper_platform_calls",
            "Calls to the platform by kind and outcome: ok, or the class of the failure (throttled is a 429)",
            self.meters().flat_map(|meters| {
                meters.calls.iter().map(|(kind, outcome, count)| {
                    let mut labels = labels_with(&meters.tenant, "kind", kind.name());
                    labels.push(("outcome", (*outcome).to_owned()));
                    (labels, *count)
                })
            }),
        )?;
        page.histogram(
            "shiftkeeper_platform_call_duration_seconds",
            "How long calls to the platform took, including the wait for a token",
            self.meters().flat_map(|meters| {
                let labels = |kind: CallKind| labels_with(&meters.tenant, "kind", kind.name());
                meters.call_durations.iter().map(move |(kind, histogram)| (labels(*kind), histogram))
            }),
        )?;
        self.budgets(page)
    }

    fn budgets(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let per_budget_kind = |of: fn(&BudgetStatus) -> usize| {
            self.tenants().flat_map(move |tenant| {
                let sample = |budget_kind, budget| (labels_with(&tenant.id, "purse", budget_kind), of(budget) as u64);
                [sample("ordinary", &tenant.budget), sample("reporting", &tenant.reporting_budget)]
            })
        };
        page.gauge(
            "shiftkeeper_budget_limit_calls",
            "Calls that the request budget allows in any minute",
            per_budget_kind(|budget| budget.limit),
        )?;
        page.gauge(
            "shiftkeeper_budget_used_calls",
            "Calls of the request budget that are in progress or in the last minute",
            per_budget_kind(|budget| budget.used),
        )?;
        page.gauge(
            "shiftkeeper_budget_free_calls",
            "Calls that the request budget allows now, including the reserve",
            per_budget_kind(|budget| budget.free),
        )?;
        page.gauge(
            "shiftkeeper_breaker_open",
            "Whether automation of a tenant is halted because state changes keep failing",
            self.tenants().map(|tenant| (tenant_labels(&tenant.id), u64::from(!tenant.breaker.ok))),
        )?;
        page.counter(
            "shiftkeeper_breaker_openings",
            "How often automation of a tenant was halted",
            self.meters().map(|meters| (tenant_labels(&meters.tenant), meters.totals.halts)),
        )
    }

    fn keepers(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        page.histogram(
            "shiftkeeper_keeper_pass_duration_seconds",
            "How long the passes of a tenant's keeper took, including their commits",
            self.meters().map(|meters| (tenant_labels(&meters.tenant), &meters.passes)),
        )?;
        page.gauge(
            "shiftkeeper_keeper_quiet_seconds",
            "How long ago a tenant's keeper made its last pass, which it does at least each second; no sample while none runs",
            self.meters().filter_map(|meters| Some((tenant_labels(&meters.tenant), meters.since_last_pass?.as_secs_f64()))),
        )?;
        page.gauge(
            "shiftkeeper_picture_age_seconds",
            "The age of the oldest observation in the live view; no sample without agents",
            self.tenants().filter_map(|tenant| Some((tenant_labels(&tenant.id), seconds(tenant.picture.age_ms?)))),
        )?;
        page.gauge(
            "shiftkeeper_picture_stale_after_seconds",
            "The age of an observation beyond which automation waits",
            self.tenants().map(|tenant| (tenant_labels(&tenant.id), seconds(tenant.picture.stale_after_ms))),
        )?;
        page.gauge(
            "shiftkeeper_agents",
            "Agents in the roster, by state; unseen if they are not observed, other for states that are not known",
            self.tenants().flat_map(|tenant| {
                tenant.picture.agents.iter().map(|(state, count)| (labels_with(&tenant.id, "state", state), *count))
            }),
        )?;
        page.counter(
            "shiftkeeper_transitions_requested",
            "Requested state changes, by requester",
            self.meters().flat_map(|meters| counts_by(meters, "actor", &meters.totals.requested)),
        )?;
        page.counter(
            "shiftkeeper_transitions_finished",
            "State changes that ended, by result",
            self.meters().flat_map(|meters| counts_by(meters, "outcome", &meters.totals.finished)),
        )?;
        page.gauge(
            "shiftkeeper_transitions_open",
            "State changes that have not ended, by status",
            self.tenants().flat_map(|tenant| {
                tenant
                    .open_transitions
                    .iter()
                    .map(|(status, count)| (labels_with(&tenant.id, "status", status), *count))
            }),
        )
    }

    fn feeds(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let each = || self.tenants().map(|tenant| (tenant_labels(&tenant.id), &tenant.feed));
        page.gauge(
            "shiftkeeper_feed_up",
            "Whether the live feed is connected; no sample if it is off",
            each()
                .filter(|(_, feed)| feed.state != "off")
                .map(|(labels, feed)| (labels, u64::from(feed.state == "live"))),
        )?;
        page.gauge(
            "shiftkeeper_feed_last_message_age_seconds",
            "How long ago the live feed sent its last message, including heartbeats",
            each().filter_map(|(labels, feed)| Some((labels, seconds(feed.last_message_age_ms?)))),
        )?;
        page.counter(
            "shiftkeeper_feed_losses",
            "Connections of the live feed that were lost or could not be made",
            each().map(|(labels, feed)| (labels, feed.losses)),
        )?;
        page.counter(
            "shiftkeeper_feed_messages",
            "Messages of the live feed",
            each().map(|(labels, feed)| (labels, feed.messages)),
        )?;
        page.counter(
            "shiftkeeper_feed_odd_messages",
            "Messages of the live feed that could not be understood",
            each().map(|(labels, feed)| (labels, feed.odd_messages)),
        )
    }

    fn figures(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        page.gauge(
            "shiftkeeper_figures_age_seconds",
            "The age of the figures of a skill or a queue",
            self.tenants().flat_map(|tenant| {
                let sample = |kind: &str, one: &FigureAge| {
                    let mut labels = labels_with(&tenant.id, "of", kind);
                    labels.push(("id", one.id.clone()));
                    (labels, seconds(one.age_ms))
                };
                let skills = tenant.figures.skills.iter().map(|one| sample("skill", one));
                skills.chain(tenant.figures.queues.iter().map(|one| sample("queue", one))).collect::<Vec<_>>()
            }),
        )?;
        page.gauge(
            "shiftkeeper_figures_good_for_seconds",
            "The age beyond which figures are stale; no sample if none are read",
            self.tenants()
                .filter(|tenant| tenant.figures.good_for_ms > 0)
                .map(|tenant| (tenant_labels(&tenant.id), seconds(tenant.figures.good_for_ms))),
        )
    }

    fn subscriptions(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let each = || {
            self.tenants().flat_map(|tenant| {
                tenant.subscriptions.iter().map(|one| (labels_with(&tenant.id, "subscription", one.slice), one))
            })
        };
        page.gauge(
            "shiftkeeper_subscription_age_seconds",
            "The age of a real-time subscription; the platform ends it after a day",
            each().map(|(labels, one)| (labels, seconds(one.age_ms))),
        )?;
        page.gauge(
            "shiftkeeper_subscription_interval_seconds",
            "How often a real-time subscription is polled",
            each().map(|(labels, one)| (labels, seconds(one.interval_ms))),
        )?;
        page.gauge(
            "shiftkeeper_subscription_agents",
            "Agents of a real-time subscription: the rows that its snapshots should have",
            each().map(|(labels, one)| (labels, one.agents as u64)),
        )?;
        page.gauge(
            "shiftkeeper_snapshot_age_seconds",
            "The age of the newest snapshot of a subscription",
            each().map(|(labels, one)| (labels, seconds(one.snapshot_age_ms))),
        )?;
        page.gauge(
            "shiftkeeper_snapshot_size_bytes",
            "The size of the newest snapshot of a subscription",
            each().map(|(labels, one)| (labels, one.snapshot_bytes as u64)),
        )?;
        page.gauge(
            "shiftkeeper_snapshot_oversize",
            "Whether the newest snapshot of a subscription is larger than the configuration allows",
            each().map(|(labels, one)| (labels, u64::from(!one.ok))),
        )
    }

    fn analytics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        page.counter(
            "shiftkeeper_analytics_runs",
            "Runs of analytics queries that ended: done, failed or cancelled",
            self.meters().flat_map(|meters| counts_by(meters, "outcome", &meters.runs.outcomes)),
        )?;
        page.counter(
            "shiftkeeper_analytics_rows_received",
            "Rows received from analytics queries, counted when a part is complete",
            self.meters().map(|meters| (tenant_labels(&meters.tenant), meters.runs.received)),
        )?;
        page.counter(
            "shiftkeeper_analytics_rows_promised",
            "Rows of these parts that the platform had announced, if it announced a number",
            self.meters().map(|meters| (tenant_labels(&meters.tenant), meters.runs.promised)),
        )?;
        page.histogram(
            "shiftkeeper_analytics_run_duration_seconds",
            "How long runs of analytics queries took from start to end, by the daemon's clock",
            self.meters().map(|meters| (tenant_labels(&meters.tenant), &meters.runs.durations)),
        )
    }

    fn anomalies(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        page.counter(
            "shiftkeeper_anomalies_detected",
            "Anomalies of monitored series that were found, by kind",
            self.meters().flat_map(|meters| counts_by(meters, "kind", &meters.anomalies)),
        )?;
        page.gauge(
            "shiftkeeper_anomalies_open",
            "Current anomalies of monitored series, by kind",
            self.meters().flat_map(|meters| counts_by(meters, "kind", &meters.open_anomalies)),
        )
    }

    fn outbox(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let each = || {
            self.tenants().flat_map(|tenant| {
                tenant.webhooks.iter().map(|hook| (labels_with(&tenant.id, "endpoint", &hook.id), hook))
            })
        };
        page.gauge(
            "shiftkeeper_webhook_up",
            "Whether an endpoint accepts deliveries: neither failing for a minute nor disabled",
            each().map(|(labels, hook)| (labels, u64::from(hook.ok))),
        )?;
        page.gauge(
            "shiftkeeper_webhook_disabled",
            "Whether an endpoint is disabled until a person enables it",
            each().map(|(labels, hook)| (labels, u64::from(hook.status == "disabled"))),
        )?;
        page.gauge(
            "shiftkeeper_outbox_waiting_deliveries",
            "Deliveries that wait for their next attempt",
            each().map(|(labels, hook)| (labels, hook.waiting)),
        )?;
        page.gauge(
            "shiftkeeper_outbox_parked_deliveries",
            "Deliveries whose attempts have ended without success",
            each().map(|(labels, hook)| (labels, hook.parked)),
        )?;
        page.gauge(
            "shiftkeeper_outbox_unread_events",
            "Events that an endpoint's worker has not read yet",
            each().map(|(labels, hook)| (labels, hook.unread)),
        )?;
        page.gauge(
            "shiftkeeper_outbox_oldest_unsent_age_seconds",
            "The age of the oldest event that has not been delivered; 0 if there is none",
            each().map(|(labels, hook)| (labels, seconds(hook.oldest_unsent_age_ms.unwrap_or_default()))),
        )?;
        page.counter(
            "shiftkeeper_delivery_attempts",
            "Attempts to deliver an event: delivered, failed (to be retried) or parked (not retried)",
            self.meters().flat_map(|meters| {
                meters.deliveries.iter().flat_map(|(endpoint, outcomes)| {
                    outcomes.map(|(outcome, count)| {
                        let mut labels = labels_with(&meters.tenant, "endpoint", endpoint);
                        labels.push(("outcome", outcome.to_owned()));
                        (labels, count)
                    })
                })
            }),
        )
    }

    fn audit(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let each = || self.tenants().filter_map(|tenant| Some((tenant_labels(&tenant.id), tenant.audit.as_ref()?)));
        page.counter(
            "shiftkeeper_audit_entries",
            "Entries of a tenant's audit chain since its start",
            each().map(|(labels, audit)| (labels, audit.entries)),
        )?;
        page.gauge(
            "shiftkeeper_audit_unsigned_entries",
            "Entries of the audit chain that no signed head covers yet",
            each().map(|(labels, audit)| (labels, audit.entries.saturating_sub(audit.signed_through))),
        )?;
        page.gauge(
            "shiftkeeper_audit_head_age_seconds",
            "The age of the newest signed head of the audit chain; no sample before the first",
            each().filter_map(|(labels, audit)| Some((labels, seconds(audit.head_age_ms?)))),
        )
    }
}
