//! Monitors the series that a tenant configures: judges each value when its quarter of an hour or day is over, or when
//! an analytics query has brought it, records anomalies and reports each once.
//!
//! An anomaly, its audit entry and its event are one commit; rules see it only after that. For an analytics series the
//! same commit also records how far it was judged, because several runs may end before the next check. For other series
//! nothing is stored: the newest value before a restart would be judged the same way again.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Analytics;
use crate::clock::{RealTime, Stopwatch};
use crate::domain::analytics::anomaly::{
    Anomalies, AnomalyRecord, AnomalyUpdate, MonitoredSeries, format_short, update_anomalies,
};
use crate::domain::analytics::series::aggregated::{AggregatedMetric, ResultSource};
use crate::domain::analytics::series::{QUARTER, QUARTER_US, SeriesBucket, SeriesSource};
use crate::domain::analytics::trend::{TrendPoint, trend};
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{AnalyticsRunId, AnomalyId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AnomalyDetected, AnomalyEnded, Event, EventData};
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::link::Link;
use crate::store::{Commit, ReadError, Reader, SeriesError, SeriesProgress, SeriesValues};

/// How long after its end a quarter is judged, when its last read has been stored.
const SETTLING_TIME: Duration = Duration::from_mins(1);

/// How long after its end a day is judged, when its shifts are over and the agents' daily sums are stored.
const DAY_SETTLING_TIME: Duration = Duration::from_hours(12);

/// How much history is read to judge quarters of agents' time, which are computed from segments: the weeks that the
/// season needs, and one more. Other series use as much as `report trend` does without `--from`.
const QUARTER_LOOKBACK: Duration = Duration::from_hours(35 * 24);

/// Runs the worker of one tenant until `soft` is cancelled.
pub async fn run(
    link: Arc<Link>,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    analytics: Analytics,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let mut detector = AnomalyDetector::load(link.clone()).await?;
    let mut updates = analytics.subscribe();
    loop {
        let current = settings.borrow_and_update().clone();
        updates.borrow_and_update();
        let has_results = current.series.iter().any(|watched| watched.source.aggregated_metric().is_some());
        tokio::select! {
            biased;
            // A check in progress is repeated at the next start.
            () = soft.cancelled() => return Ok(()),
            done = detector.check(&current) => done?,
        }
        let wait = time_until_next_quarter(link.clock.now(), settling_time(&current));
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = settings.changed() => changed?,
            changed = updates.changed(), if has_results => changed?,
            () = link.clock.sleep(wait), if !current.series.is_empty() => {}
        }
    }
}

/// Returns the stored anomalies as rules see them, for the monitored series.
pub async fn load_recent_anomalies(
    reader: &Reader,
    tenant: &TenantId,
    series: &[MonitoredSeries],
    now: UtcMicros,
) -> Result<Anomalies, ReadError> {
    let recent = reader.anomalies_since(tenant, now - Anomalies::RETENTION).await?;
    Ok(Anomalies { monitored: series.iter().map(|watched| watched.id.clone()).collect(), recent })
}

/// Returns how long after its end a quarter is settled: its last read is stored, and no deviation in it is within its
/// tolerance any more.
fn settling_time(settings: &TenantSettings) -> Duration {
    let is_of_agents = |watched: &MonitoredSeries| {
        watched.source.agent_filter().is_some() && watched.source.bucket() == Some(SeriesBucket::Quarter)
    };
    let tolerance = if settings.series.iter().any(is_of_agents) {
        settings.decide.adherence.max_tolerance()
    } else {
        Duration::ZERO
    };
    SETTLING_TIME + tolerance
}

/// Returns the time until the next quarter is settled.
fn time_until_next_quarter(now: UtcMicros, settling_time: Duration) -> Duration {
    quarter_start(now - settling_time).offset(QUARTER_US).since(now - settling_time)
}

const fn quarter_start(at: UtcMicros) -> UtcMicros {
    UtcMicros::from_micros(at.as_micros() - at.as_micros().rem_euclid(QUARTER_US))
}

/// One monitored series and how far it has been judged.
struct SeriesMonitor {
    watched: MonitoredSeries,
    open: Option<AnomalyRecord>,
    /// The time of the last judged value; `None` before the first check.
    judged_through: Option<UtcMicros>,
    /// The extent of the series at the last check.
    judged_extent: Option<Extent>,
    /// Why the series cannot be judged.
    failure: Option<String>,
}

impl SeriesMonitor {
    /// Creates the state of a series that has not been checked yet.
    fn new(watched: &MonitoredSeries) -> Self {
        Self { watched: watched.clone(), open: None, judged_through: None, judged_extent: None, failure: None }
    }
}

/// How far the data of a series reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Up to an instant.
    To(UtcMicros),
    /// Up to what the newest run of its query brought, and the instant up to which the run before it reached.
    Run(AnalyticsRunId, Option<UtcMicros>),
}

/// The anomaly detector of one tenant.
pub struct AnomalyDetector {
    link: Arc<Link>,
    monitors: Vec<SeriesMonitor>,
    /// Stored anomalies that have not ended and that no series has claimed.
    unclaimed: Vec<AnomalyRecord>,
}

impl AnomalyDetector {
    /// Creates a detector from the stored anomalies.
    pub async fn load(link: Arc<Link>) -> anyhow::Result<Self> {
        let (reader, tenant) = (&link.reader, &link.tenant);
        let left = reader.open_anomalies(tenant).await.context("the current anomalies could not be read")?;
        let watched = link.watched_series.borrow().clone();
        let known = load_recent_anomalies(reader, tenant, &watched, link.clock.now()).await;
        link.anomalies.send_replace(Arc::new(known.context("the anomalies of the last week could not be read")?));
        Ok(Self { link, monitors: Vec::new(), unclaimed: left })
    }

    /// Judges every value that is settled and was not judged before.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read or written.
    pub async fn check(&mut self, settings: &TenantSettings) -> anyhow::Result<()> {
        self.set_series(&settings.series).await?;
        let settled = self.link.clock.now() - settling_time(settings);
        for index in 0..self.monitors.len() {
            let took = Stopwatch::start();
            self.judge(index, quarter_start(settled)).await?;
            RealTime::sleep(took.elapsed()).await;
        }
        let failures: Vec<&str> = self.monitors.iter().filter_map(|followed| followed.failure.as_deref()).collect();
        let part = self.link.part("anomalies");
        if settings.series.is_empty() {
            self.link.readiness.remove(&[part]);
        } else if failures.is_empty() {
            self.link.readiness.restored(&part);
        } else {
            self.link.readiness.degraded(&part, failures.join("; "));
        }
        Ok(())
    }

    /// Sets the monitored series. An open anomaly ends if its series is no longer monitored or has another definition.
    async fn set_series(&mut self, requested: &[MonitoredSeries]) -> anyhow::Result<()> {
        let mut known: Vec<SeriesMonitor> = std::mem::take(&mut self.monitors);
        for watched in requested {
            let same = known.iter().position(|followed| followed.watched == *watched);
            let followed = same.map_or_else(|| SeriesMonitor::new(watched), |place| known.swap_remove(place));
            self.monitors.push(followed);
        }
        self.unclaimed.extend(known.into_iter().filter_map(|followed| followed.open));
        for followed in &mut self.monitors {
            let (id, of) = (&followed.watched.id, followed.watched.source.to_string());
            let own = self.unclaimed.iter().position(|open| open.series == *id && *open.source == *of);
            if let Some(place) = own {
                followed.open = Some(self.unclaimed.swap_remove(place));
            }
        }
        let now = self.link.clock.now();
        let over = std::mem::take(&mut self.unclaimed).into_iter();
        let steps = over.map(|record| AnomalyUpdate::Ended(AnomalyRecord { ended_at: Some(now), ..record })).collect();
        self.link.anomalies.send_if_modified(|anomalies| {
            let ids: Vec<_> = requested.iter().map(|watched| watched.id.clone()).collect();
            let has_changed = anomalies.monitored != ids;
            if has_changed {
                Arc::make_mut(anomalies).monitored = ids;
            }
            has_changed
        });
        self.store_steps(steps, None, now).await
    }

    /// Judges the new values of one series: up to the end of its last settled quarter, or what a run of its query has
    /// brought.
    async fn judge(&mut self, index: usize, settled: UtcMicros) -> anyhow::Result<()> {
        let Some(monitor) = self.monitors.get(index) else { return Ok(()) };
        let (watched, now) = (&monitor.watched, self.link.clock.now());
        let Some(extent) = self.extent(watched, settled).await? else { return Ok(()) };
        // An open anomaly may have ended.
        let is_over = monitor.open.is_none() || matches!(extent, Extent::To(_));
        if monitor.judged_extent == Some(extent) && is_over {
            return Ok(());
        }
        let to = match extent {
            Extent::To(to) => to,
            Extent::Run(..) => now,
        };
        let span = (to - lookback(&watched.source), to);
        let values =
            self.link.reader.series_values(&self.link.tenant, &watched.source, span, &watched.time_zone()).await;
        let SeriesValues { bucket, zone, samples } = match values {
            Ok(values) => values,
            Err(SeriesError::Read(error)) => {
                return Err(error).context("the values of a monitored series could not be read");
            }
            Err(
                error @ (SeriesError::TooLong { .. }
                | SeriesError::TooManyQuarters { .. }
                | SeriesError::Unavailable(_)),
            ) => {
                let why = format!("series {} is not watched: {error}", watched.id);
                if let Some(followed) = self.monitors.get_mut(index) {
                    (followed.judged_extent, followed.failure) = (Some(extent), Some(why));
                }
                return Ok(());
            }
        };
        let points = trend(&samples, &watched.settings().in_zone(&zone));
        let judged_through = match monitor.judged_through {
            Some(through) => through,
            None => self.initial_judged_through(watched, extent, &points).await?,
        };
        let id = || AnomalyId(self.link.random.time_ordered_id(now));
        let of = (&self.link.tenant, watched, bucket);
        let steps = update_anomalies(of, monitor.open.clone(), &points, judged_through, now, id);
        let last = points.last().map_or(judged_through, |point| point.at.max(judged_through));
        let has_new_values =
            matches!(extent, Extent::Run(..)) && !points.is_empty() && monitor.judged_through != Some(last);
        let judged = has_new_values.then(|| SeriesProgress {
            tenant: self.link.tenant.clone(),
            series: watched.id.clone(),
            source: watched.source.to_string().into(),
            through: last,
        });
        let open = match steps.last() {
            Some(step) => Some(step.record().clone()).filter(|record| record.ended_at.is_none()),
            None => monitor.open.clone(),
        };
        self.store_steps(steps, judged, now).await?;
        if let Some(followed) = self.monitors.get_mut(index) {
            (followed.open, followed.judged_through) = (open, Some(last));
            (followed.judged_extent, followed.failure) = (Some(extent), None);
        }
        Ok(())
    }

    /// Returns how far a series can be judged; `None` if no run of its query has brought anything.
    async fn extent(&self, watched: &MonitoredSeries, settled: UtcMicros) -> anyhow::Result<Option<Extent>> {
        let query = match &watched.source {
            SeriesSource::Skill(..) | SeriesSource::Queue(..) => return Ok(Some(Extent::To(settled))),
            SeriesSource::Adherence(_, bucket) | SeriesSource::NotReady(_, bucket) => {
                let days = *bucket == SeriesBucket::Day;
                let to = if days { quarter_start(self.link.clock.now() - DAY_SETTLING_TIME) } else { settled };
                return Ok(Some(Extent::To(to)));
            }
            // The configuration check rejects single runs.
            SeriesSource::Analytics(AggregatedMetric { source: ResultSource::Run(_), .. }) => return Ok(None),
            SeriesSource::Analytics(AggregatedMetric { source: ResultSource::Query(query), .. }) => query,
        };
        let runs = self.link.reader.stored_analytics_runs(&self.link.tenant, Some(query), 2).await;
        let runs = runs.context("the latest runs of an analytics query could not be read")?;
        let before = runs.get(1).map(|run| run.request.to);
        Ok(runs.first().map(|newest| Extent::Run(newest.id, before)))
    }

    /// Returns the time of the last value before those that a first check judges. An analytics series continues after
    /// the last judged value or, without one, after what the run before the newest one brought. For other series, and
    /// for a first run, only the newest value is judged. Values with a stored anomaly are not judged again.
    async fn initial_judged_through(
        &self,
        watched: &MonitoredSeries,
        extent: Extent,
        points: &[TrendPoint],
    ) -> anyhow::Result<UtcMicros> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let newest = match (extent, watched.source.bucket()) {
            (Extent::To(to), Some(SeriesBucket::Quarter)) => to - QUARTER,
            // A day of 25 hours that ended up to 25 hours ago.
            (Extent::To(to), _) => to - Duration::from_hours(50),
            (Extent::Run(_, before), _) => {
                let judged = reader.judged_through(tenant, &watched.id, &watched.source.to_string()).await;
                if let Some(through) = judged.context("the progress of a series could not be read")? {
                    return Ok(through);
                }
                before.unwrap_or_else(|| points.last().map_or(UtcMicros::EPOCH, |point| point.at))
            }
        };
        let last = reader.last_anomaly(tenant, &watched.id).await.context("the last anomaly could not be read")?;
        Ok(newest.offset(-1).max(last.map_or(UtcMicros::EPOCH, |last| last.last_bucket_at)))
    }

    /// Stores new and ended anomalies with their audit entries and events, and then tells the rules.
    async fn store_steps(
        &self,
        steps: Vec<AnomalyUpdate>,
        judged: Option<SeriesProgress>,
        now: UtcMicros,
    ) -> anyhow::Result<()> {
        let mut commit = Commit { series_progress: judged.into_iter().collect(), ..Commit::default() };
        if steps.is_empty() && commit.series_progress.is_empty() {
            return Ok(());
        }
        for step in &steps {
            commit.anomalies.push(step.record().clone());
            let event_data: Option<EventData> = match step {
                AnomalyUpdate::Started(record) => Some(AnomalyDetected::from_record(record).into()),
                AnomalyUpdate::Ended(record) => Some(AnomalyEnded::from_record(record).into()),
                AnomalyUpdate::Continued(_) => None,
            };
            if let Some(data) = event_data {
                commit.audit.push(self.audit_entry(step, now));
                let (id, tenant) = (EventId(self.link.random.random_id()), self.link.tenant.clone());
                commit.events.push(Event { id, tenant, at: now, data });
            }
        }
        self.link.writer.commit(commit).await.context("the anomalies could not be stored")?;
        for step in &steps {
            let AnomalyRecord { series, value, .. } = step.record();
            match step {
                AnomalyUpdate::Started(record) => {
                    self.link.meter.record_anomaly(record.kind);
                    tracing::info!(tenant = %self.link.tenant, %series, value = format_short(*value), "a watched series is odd: {record}");
                }
                AnomalyUpdate::Ended(_) => {
                    tracing::info!(tenant = %self.link.tenant, %series, "the anomaly of a watched series is over");
                }
                AnomalyUpdate::Continued(_) => {}
            }
        }
        if !steps.is_empty() {
            self.link.anomalies.send_modify(|anomalies| Arc::make_mut(anomalies).apply(&steps, now));
        }
        Ok(())
    }

    fn audit_entry(&self, step: &AnomalyUpdate, now: UtcMicros) -> AuditDraft {
        let record = step.record();
        let of = record
            .source
            .parse()
            .map_or_else(|_| record.source.to_string(), |source: SeriesSource| source.audit_text());
        let (action, why) = match step {
            AnomalyUpdate::Started(_) | AnomalyUpdate::Continued(_) => (
                "anomaly.detected",
                json!({
                    "anomaly": record.id, "series": record.series, "of": of, "kind": record.kind.name(),
                    "baseline": record.baseline.name(), "at": record.first_bucket_at, "value": record.value, "expected": record.expected,
                    "score": record.score,
                }),
            ),
            AnomalyUpdate::Ended(_) => (
                "anomaly.ended",
                json!({ "anomaly": record.id, "series": record.series, "at": record.first_bucket_at, "last_at": record.last_bucket_at }),
            ),
        };
        AuditDraft::new(self.link.tenant.clone(), now, Actor::Daemon.label(), action, why)
    }
}

/// Returns how much history is read to judge a value.
const fn lookback(of: &SeriesSource) -> Duration {
    match of {
        SeriesSource::Adherence(_, SeriesBucket::Quarter) | SeriesSource::NotReady(_, SeriesBucket::Quarter) => {
            QUARTER_LOOKBACK
        }
        SeriesSource::Skill(..)
        | SeriesSource::Queue(..)
        | SeriesSource::Adherence(..)
        | SeriesSource::NotReady(..)
        | SeriesSource::Analytics(_) => of.default_span(),
    }
}
