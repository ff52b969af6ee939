//! Watches the series that a tenant names: judges each value when its quarter of an hour or day is over, keeps what is odd, and tells it
//! once.
//!
//! An anomaly, its audit entry and its event are one commit; only then rules see it. Nothing else is remembered: what was judged before a
//! start would be judged the same way again, and what is kept says how far that went.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::settings::TenantSettings;
use crate::clock::{RealTime, Stopwatch};
use crate::domain::anomaly::{Anomalies, AnomalyRecord, Step, Watched, follow, short};
use crate::domain::audit::AuditDraft;
use crate::domain::event::{AnomalyDetected, AnomalyEnded, Event, EventData};
use crate::domain::ids::{AnomalyId, EventId, TenantId};
use crate::domain::series::{Bucket, QUARTER, QUARTER_US, Source};
use crate::domain::time::UtcMicros;
use crate::domain::transition::Actor;
use crate::domain::trend::trend;
use crate::store::{Commit, ReadError, Reader, SeriesError};

/// A quarter is judged so long after its end, when its last read is stored.
const SETTLED_AFTER: Duration = Duration::from_mins(1);

/// A day is judged so long after its end, when its shifts are over and what agents' days add up to is stored.
const DAY_SETTLED_AFTER: Duration = Duration::from_hours(12);

/// What is looked at to judge one value: as `report trend` does without `--from`.
const LOOKS_BACK: Duration = Duration::from_hours(60 * 24);

/// The same of quarters of agents' time, which are cut from segments: as many weeks as the season needs, and one.
const QUARTERS_BACK: Duration = Duration::from_hours(35 * 24);

/// The worker of one tenant.
pub async fn run(
    link: Arc<Link>,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let mut watch = Watch::load(link.clone()).await?;
    loop {
        let wanted = settings.borrow_and_update().clone();
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
    let is_of_agents = |watched: &Watched| watched.of.whom().is_some() && watched.of.bucket() == Bucket::Quarter;
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
        let mut troubles = Vec::new();
        for place in 0..self.followed.len() {
            let took = Stopwatch::start();
            if let Some(trouble) = self.judge(place, quarter_of(settled)).await? {
                troubles.push(trouble);
            }
            RealTime::sleep(took.elapsed()).await;
        }
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
            let followed = match same {
                Some(place) => known.swap_remove(place),
                None => Followed { watched: watched.clone(), open: None, judged_through: None },
            };
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
        self.keep(steps, now).await
    }

    /// Judges one series up to the end of its last settled quarter; gives why that cannot be done.
    async fn judge(&mut self, place: usize, settled: UtcMicros) -> anyhow::Result<Option<String>> {
        let Some(followed) = self.followed.get(place) else { return Ok(None) };
        let (watched, now) = (&followed.watched, self.link.clock.now());
        let to = match watched.of.bucket() {
            Bucket::Quarter => settled,
            Bucket::Day => now - DAY_SETTLED_AFTER,
        };
        let judged_through = match followed.judged_through {
            Some(through) => through,
            None => self.judged_before(watched, to).await?,
        };
        let (zone, span) = (watched.time_zone(), (to - back(&watched.of), to));
        let samples = match self.link.reader.samples(&self.link.tenant, &watched.of, span, &zone).await {
            Ok(samples) => samples,
            Err(SeriesError::Read(error)) => return Err(error).context("the values of a watched series"),
            Err(error @ (SeriesError::TooLong | SeriesError::TooMuch { .. })) => {
                return Ok(Some(format!("series {} is not watched: {error}", watched.id)));
            }
        };
        let points = trend(&samples, &watched.settings());
        let id = || AnomalyId(self.link.random.id_at(now));
        let steps = follow((&self.link.tenant, watched), followed.open.clone(), &points, judged_through, now, id);
        let last = points.last().map_or(judged_through, |point| point.at.max(judged_through));
        let open = match steps.last() {
            Some(step) => Some(step.record().clone()).filter(|record| record.ended_at.is_none()),
            None => followed.open.clone(),
        };
        self.keep(steps, now).await?;
        if let Some(followed) = self.followed.get_mut(place) {
            (followed.open, followed.judged_through) = (open, Some(last));
        }
        Ok(None)
    }

    /// The last value before those that a first look judges: the newest alone is judged, and none that the store has an anomaly of.
    async fn judged_before(&self, watched: &Watched, to: UtcMicros) -> anyhow::Result<UtcMicros> {
        let newest = match watched.of.bucket() {
            Bucket::Quarter => to - QUARTER,
            // A day of 25 hours that ended up to 25 hours ago.
            Bucket::Day => to - Duration::from_hours(50),
        };
        let last = self.link.reader.last_anomaly(&self.link.tenant, &watched.id).await.context("the last anomaly")?;
        Ok(newest.offset(-1).max(last.map_or(UtcMicros::EPOCH, |last| last.last_at)))
    }

    /// Stores what has come of it with its audit entries and events, and then tells the rules.
    async fn keep(&self, steps: Vec<Step>, now: UtcMicros) -> anyhow::Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let mut commit = Commit::default();
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
                    tracing::info!(tenant = %self.link.tenant, %series, value = short(*value), "a watched series is odd: {record}");
                }
                Step::Ends(_) => {
                    tracing::info!(tenant = %self.link.tenant, %series, "the anomaly of a watched series is over");
                }
                Step::GoesOn(_) => {}
            }
        }
        self.link.anomalies.send_modify(|anomalies| Arc::make_mut(anomalies).take(&steps, now));
        Ok(())
    }

    fn entry(&self, step: &Step, now: UtcMicros) -> AuditDraft {
        let record = step.record();
        let (action, why) = match step {
            Step::Begins(_) | Step::GoesOn(_) => (
                "anomaly.detected",
                json!({
                    "anomaly": record.id, "series": record.series, "of": &*record.of, "kind": record.kind.name(),
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
        Source::Skill(..) | Source::Queue(..) | Source::Adherence(..) | Source::NotReady(..) => LOOKS_BACK,
    }
}
