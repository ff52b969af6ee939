//! Watches the series that a tenant names: judges each value when its quarter of an hour or day is over, or when an analytics query has
//! brought it, keeps what is odd, and tells it once.
//!
//! An anomaly, its audit entry and its event are one commit; only then rules see it. Of a series of analytics the same commit says how far it
//! was judged: several runs may end before anybody looks. Of all else nothing is remembered: the newest value before a start would be
//! judged the same way again.

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
use crate::domain::analytics::anomaly::{Anomalies, AnomalyRecord, Step, Watched, follow, short};
use crate::domain::analytics::series::aggregated::{Aggregated, Results};
use crate::domain::analytics::series::{Bucket, QUARTER, QUARTER_US, Source};
use crate::domain::analytics::trend::{TrendPoint, trend};
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{AnalyticsRunId, AnomalyId, EventId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AnomalyDetected, AnomalyEnded, Event, EventData};
use crate::engine::operations::settings::TenantSettings;
use crate::engine::platform::link::Link;
use crate::store::{Commit, ReadError, Reader, SeriesError, SeriesJudged, SeriesValues};

/// A quarter is judged so long after its end, when its last read is stored.
const SETTLED_AFTER: Duration = Duration::from_mins(1);

/// A day is judged so long after its end, when its shifts are over and what agents' days add up to is stored.
const DAY_SETTLED_AFTER: Duration = Duration::from_hours(12);

/// What is looked at to judge quarters of agents' time, which are cut from segments: as many weeks as the season needs, and one. Of all
/// else as much as `report trend` looks at without `--from`.
const QUARTERS_BACK: Duration = Duration::from_hours(35 * 24);

/// The worker of one tenant.
pub async fn run(
    link: Arc<Link>,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    desk: Analytics,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let mut watch = Watch::load(link.clone()).await?;
    let mut news = desk.news();
    loop {
        let wanted = settings.borrow_and_update().clone();
        news.borrow_and_update();
        let has_results = wanted.series.iter().any(|watched| watched.of.aggregated().is_some());
        tokio::select! {
            biased;
            // What is under way is judged at the next start.
            () = soft.cancelled() => return Ok(()),
            done = watch.look(&wanted) => done?,
        }
        let wait = until_next(link.clock.now(), settled_after(&wanted));
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = settings.changed() => changed?,
            changed = news.changed(), if has_results => changed?,
            () = link.clock.sleep(wait), if !wanted.series.is_empty() => {}
        }
    }
}

/// What rules see of the anomalies that the store knows, with these series watched.
pub async fn last_found(
    reader: &Reader,
    tenant: &TenantId,
    series: &[Watched],
    now: UtcMicros,
) -> Result<Anomalies, ReadError> {
    let recent = reader.anomalies_since(tenant, now - Anomalies::KEPT).await?;
    Ok(Anomalies { watched: series.iter().map(|watched| watched.id.clone()).collect(), recent })
}

/// When a quarter is settled: its last read is stored, and no deviation in it is within its tolerance any more.
fn settled_after(settings: &TenantSettings) -> Duration {
    let is_of_agents = |watched: &Watched| watched.of.whom().is_some() && watched.of.bucket() == Some(Bucket::Quarter);
    let tolerance = if settings.series.iter().any(is_of_agents) {
        settings.decide.adherence.longest_tolerance()
    } else {
        Duration::ZERO
    };
    SETTLED_AFTER + tolerance
}

/// Until the next quarter is settled.
fn until_next(now: UtcMicros, settled_after: Duration) -> Duration {
    quarter_of(now - settled_after).offset(QUARTER_US).since(now - settled_after)
}

const fn quarter_of(at: UtcMicros) -> UtcMicros {
    UtcMicros::from_micros(at.as_micros() - at.as_micros().rem_euclid(QUARTER_US))
}

/// One watched series, as far as it is judged.
struct Followed {
    watched: Watched,
    open: Option<AnomalyRecord>,
    /// The last value that was judged; none before the first look.
    judged_through: Option<UtcMicros>,
    /// Up to where it was looked at last.
    seen: Option<Extent>,
    /// Why it cannot be judged.
    trouble: Option<String>,
}

impl Followed {
    /// One that was not looked at yet.
    fn new(watched: &Watched) -> Self {
        Self { watched: watched.clone(), open: None, judged_through: None, seen: None, trouble: None }
    }
}

/// How far a series goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// To an instant.
    To(UtcMicros),
    /// To what the newest run of its query brought; the one before it went to an instant.
    Run(AnalyticsRunId, Option<UtcMicros>),
}

/// Does the work, a look at a time.
pub struct Watch {
    link: Arc<Link>,
    followed: Vec<Followed>,
    /// Those of the store that are not over and that no series has taken up.
    left: Vec<AnomalyRecord>,
}

impl Watch {
    /// Takes up what the store knows.
    pub async fn load(link: Arc<Link>) -> anyhow::Result<Self> {
        let (reader, tenant) = (&link.reader, &link.tenant);
        let left = reader.open_anomalies(tenant).await.context("the anomalies that are not over")?;
        let watched = link.watched.borrow().clone();
        let known = last_found(reader, tenant, &watched, link.clock.now()).await;
        link.anomalies.send_replace(Arc::new(known.context("the anomalies of the last week")?));
        Ok(Self { link, followed: Vec::new(), left })
    }

    /// Judges what is settled and was not judged before.
    ///
    /// # Errors
    /// The store could not be read or written.
    pub async fn look(&mut self, settings: &TenantSettings) -> anyhow::Result<()> {
        self.take(&settings.series).await?;
        let settled = self.link.clock.now() - settled_after(settings);
        for place in 0..self.followed.len() {
            let took = Stopwatch::start();
            self.judge(place, quarter_of(settled)).await?;
            RealTime::sleep(took.elapsed()).await;
        }
        let troubles: Vec<&str> = self.followed.iter().filter_map(|followed| followed.trouble.as_deref()).collect();
        let part = self.link.part("anomalies");
        if settings.series.is_empty() {
            self.link.readiness.forget(&[part]);
        } else if troubles.is_empty() {
            self.link.readiness.restored(&part);
        } else {
            self.link.readiness.degraded(&part, troubles.join("; "));
        }
        Ok(())
    }

    /// These are watched from now on. What goes on of a series that is watched no more, or as something else, is over.
    async fn take(&mut self, wanted: &[Watched]) -> anyhow::Result<()> {
        let mut known: Vec<Followed> = std::mem::take(&mut self.followed);
        for watched in wanted {
            let same = known.iter().position(|followed| followed.watched == *watched);
            let followed = same.map_or_else(|| Followed::new(watched), |place| known.swap_remove(place));
            self.followed.push(followed);
        }
        self.left.extend(known.into_iter().filter_map(|followed| followed.open));
        for followed in &mut self.followed {
            let (id, of) = (&followed.watched.id, followed.watched.of.to_string());
            let own = self.left.iter().position(|open| open.series == *id && *open.of == *of);
            if let Some(place) = own {
                followed.open = Some(self.left.swap_remove(place));
            }
        }
        let now = self.link.clock.now();
        let over = std::mem::take(&mut self.left).into_iter();
        let steps = over.map(|record| Step::Ends(AnomalyRecord { ended_at: Some(now), ..record })).collect();
        self.link.anomalies.send_if_modified(|anomalies| {
            let ids: Vec<_> = wanted.iter().map(|watched| watched.id.clone()).collect();
            let is_news = anomalies.watched != ids;
            if is_news {
                Arc::make_mut(anomalies).watched = ids;
            }
            is_news
        });
        self.keep(steps, None, now).await
    }

    /// Judges what has come of one series: up to the end of its last settled quarter, or what a run of its query has brought.
    async fn judge(&mut self, place: usize, settled: UtcMicros) -> anyhow::Result<()> {
        let Some(followed) = self.followed.get(place) else { return Ok(()) };
        let (watched, now) = (&followed.watched, self.link.clock.now());
        let Some(extent) = self.extent(watched, settled).await? else { return Ok(()) };
        // What goes on may have become quiet.
        let is_over = followed.open.is_none() || matches!(extent, Extent::To(_));
        if followed.seen == Some(extent) && is_over {
            return Ok(());
        }
        let to = match extent {
            Extent::To(to) => to,
            Extent::Run(..) => now,
        };
        let span = (to - back(&watched.of), to);
        let values = self.link.reader.samples(&self.link.tenant, &watched.of, span, &watched.time_zone()).await;
        let SeriesValues { bucket, zone, samples } = match values {
            Ok(values) => values,
            Err(SeriesError::Read(error)) => return Err(error).context("the values of a watched series"),
            Err(error @ (SeriesError::TooLong { .. } | SeriesError::TooMuch { .. } | SeriesError::Unfit(_))) => {
                let why = format!("series {} is not watched: {error}", watched.id);
                if let Some(followed) = self.followed.get_mut(place) {
                    (followed.seen, followed.trouble) = (Some(extent), Some(why));
                }
                return Ok(());
            }
        };
        let points = trend(&samples, &watched.settings().in_zone(&zone));
        let judged_through = match followed.judged_through {
            Some(through) => through,
            None => self.judged_before(watched, extent, &points).await?,
        };
        let id = || AnomalyId(self.link.random.id_at(now));
        let of = (&self.link.tenant, watched, bucket);
        let steps = follow(of, followed.open.clone(), &points, judged_through, now, id);
        let last = points.last().map_or(judged_through, |point| point.at.max(judged_through));
        let is_news = matches!(extent, Extent::Run(..)) && !points.is_empty() && followed.judged_through != Some(last);
        let judged = is_news.then(|| SeriesJudged {
            tenant: self.link.tenant.clone(),
            series: watched.id.clone(),
            of: watched.of.to_string().into(),
            through: last,
        });
        let open = match steps.last() {
            Some(step) => Some(step.record().clone()).filter(|record| record.ended_at.is_none()),
            None => followed.open.clone(),
        };
        self.keep(steps, judged, now).await?;
        if let Some(followed) = self.followed.get_mut(place) {
            (followed.open, followed.judged_through) = (open, Some(last));
            (followed.seen, followed.trouble) = (Some(extent), None);
        }
        Ok(())
    }

    /// How far a series goes that can be judged; none where no run of its query has brought anything.
    async fn extent(&self, watched: &Watched, settled: UtcMicros) -> anyhow::Result<Option<Extent>> {
        let query = match &watched.of {
            Source::Skill(..) | Source::Queue(..) => return Ok(Some(Extent::To(settled))),
            Source::Adherence(_, bucket) | Source::NotReady(_, bucket) => {
                let days = *bucket == Bucket::Day;
                let to = if days { quarter_of(self.link.clock.now() - DAY_SETTLED_AFTER) } else { settled };
                return Ok(Some(Extent::To(to)));
            }
            // The configuration's check refuses a single run.
            Source::Analytics(Aggregated { of: Results::Run(_), .. }) => return Ok(None),
            Source::Analytics(Aggregated { of: Results::Query(query), .. }) => query,
        };
        let runs = self.link.reader.stored_analytics_runs(&self.link.tenant, Some(query), 2).await;
        let runs = runs.context("the newest runs of an analytics query")?;
        let before = runs.get(1).map(|run| run.request.to);
        Ok(runs.first().map(|newest| Extent::Run(newest.id, before)))
    }

    /// The last value before those that a first look judges. Of analytics all are judged that came after the last that was; where none was,
    /// what the newest run has brought beyond the one before it. Of all else, and of a first run, the newest alone is judged. None is that
    /// the store has an anomaly of.
    async fn judged_before(
        &self,
        watched: &Watched,
        extent: Extent,
        points: &[TrendPoint],
    ) -> anyhow::Result<UtcMicros> {
        let (reader, tenant) = (&self.link.reader, &self.link.tenant);
        let newest = match (extent, watched.of.bucket()) {
            (Extent::To(to), Some(Bucket::Quarter)) => to - QUARTER,
            // A day of 25 hours that ended up to 25 hours ago.
            (Extent::To(to), _) => to - Duration::from_hours(50),
            (Extent::Run(_, before), _) => {
                let judged = reader.judged_through(tenant, &watched.id, &watched.of.to_string()).await;
                if let Some(through) = judged.context("how far a series was judged")? {
                    return Ok(through);
                }
                before.unwrap_or_else(|| points.last().map_or(UtcMicros::EPOCH, |point| point.at))
            }
        };
        let last = reader.last_anomaly(tenant, &watched.id).await.context("the last anomaly")?;
        Ok(newest.offset(-1).max(last.map_or(UtcMicros::EPOCH, |last| last.last_at)))
    }

    /// Stores what has come of it with its audit entries and events, and then tells the rules.
    async fn keep(&self, steps: Vec<Step>, judged: Option<SeriesJudged>, now: UtcMicros) -> anyhow::Result<()> {
        let mut commit = Commit { judged: judged.into_iter().collect(), ..Commit::default() };
        if steps.is_empty() && commit.judged.is_empty() {
            return Ok(());
        }
        for step in &steps {
            commit.anomalies.push(step.record().clone());
            let told: Option<EventData> = match step {
                Step::Begins(record) => Some(AnomalyDetected::of(record).into()),
                Step::Ends(record) => Some(AnomalyEnded::of(record).into()),
                Step::GoesOn(_) => None,
            };
            if let Some(data) = told {
                commit.audit.push(self.entry(step, now));
                let (id, tenant) = (EventId(self.link.random.opaque_id()), self.link.tenant.clone());
                commit.events.push(Event { id, tenant, at: now, data });
            }
        }
        self.link.writer.commit(commit).await.context("keeping anomalies")?;
        for step in &steps {
            let AnomalyRecord { series, value, .. } = step.record();
            match step {
                Step::Begins(record) => {
                    self.link.meter.found(record.kind);
                    tracing::info!(tenant = %self.link.tenant, %series, value = short(*value), "a watched series is odd: {record}");
                }
                Step::Ends(_) => {
                    tracing::info!(tenant = %self.link.tenant, %series, "the anomaly of a watched series is over");
                }
                Step::GoesOn(_) => {}
            }
        }
        if !steps.is_empty() {
            self.link.anomalies.send_modify(|anomalies| Arc::make_mut(anomalies).take(&steps, now));
        }
        Ok(())
    }

    fn entry(&self, step: &Step, now: UtcMicros) -> AuditDraft {
        let record = step.record();
        let of = record.of.parse().map_or_else(|_| record.of.to_string(), |source: Source| source.for_the_record());
        let (action, why) = match step {
            Step::Begins(_) | Step::GoesOn(_) => (
                "anomaly.detected",
                json!({
                    "anomaly": record.id, "series": record.series, "of": of, "kind": record.kind.name(),
                    "baseline": record.baseline.name(), "at": record.at, "value": record.value, "expected": record.expected,
                    "score": record.score,
                }),
            ),
            Step::Ends(_) => (
                "anomaly.ended",
                json!({ "anomaly": record.id, "series": record.series, "at": record.at, "last_at": record.last_at }),
            ),
        };
        AuditDraft::new(self.link.tenant.clone(), now, Actor::Daemon.label(), action, why)
    }
}

/// How far back is looked to judge a value.
const fn back(of: &Source) -> Duration {
    match of {
        Source::Adherence(_, Bucket::Quarter) | Source::NotReady(_, Bucket::Quarter) => QUARTERS_BACK,
        Source::Skill(..) | Source::Queue(..) | Source::Adherence(..) | Source::NotReady(..) | Source::Analytics(_) => {
            of.usual_span()
        }
    }
}
