//! Reads the figures of a tenant's skills and queues, on a grid that does not drift and within a budget of their own, stores them
//! and tells them to whoever looks.
//!
//! What could not be read stays as it was and grows old; it never becomes zero. A read that fails is not repeated before the
//! grid's next instant, since the platform wants no more than one in 15 seconds. Nothing here decides.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{QueueId, TenantId};
use crate::domain::live::figures::{Figures, Taken};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;
use crate::engine::operations::settings::{FigureSettings, TenantSettings};
use crate::engine::platform::calls::{CallKind, budgeted};
use crate::engine::platform::link::Link;
use crate::platform::budget::Urgency;
use crate::platform::poll::PollGrid;
use crate::platform::{Answer, Call, CallError, Failure, FigureComplaint, FiguresRead, ListedQueue, MOST_IN_ONE_READ};
use crate::store::{Commit, FiguresWrite, ReadError, Reader};

/// Older figures than so many intervals tell nothing of now.
const GOOD_FOR_INTERVALS: u32 = 3;

/// Stored figures of so long before the newest ones are taken up at a start, with their age.
const TAKEN_UP: Duration = Duration::from_secs(3600);

/// The list of queues is read anew after so long, for queues that are new or have other names.
const LIST_EVERY: Duration = Duration::from_secs(3600);

/// And after so long where it could not be read.
const LIST_AGAIN: Duration = Duration::from_secs(300);

/// Unknown queues that are named at most.
const MOST_NAMED: usize = 10;

/// The worker of one tenant.
pub async fn run(
    link: Arc<Link>,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let wanted = settings.borrow_and_update().figures.clone();
    let mut reads = Reads::load(link, wanted).await?;
    loop {
        let wait = reads.wait();
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = settings.changed() => {
                changed?;
                let wanted = settings.borrow_and_update().figures.clone();
                reads.take(wanted);
            }
            () = reads.link.clock.sleep(wait.unwrap_or_default()), if wait.is_some() => {
                tokio::select! {
                    () = soft.cancelled() => return Ok(()),
                    done = reads.poll() => done?,
                }
            }
        }
    }
}

/// The figures that the store knows last, as they count with these settings.
pub async fn last_stored(reader: &Reader, tenant: &TenantId, settings: &FigureSettings) -> Result<Figures, ReadError> {
    let mut figures = reader.latest_figures(tenant, TAKEN_UP).await?;
    fit(&mut figures, settings);
    Ok(figures)
}

fn fit(figures: &mut Figures, settings: &FigureSettings) {
    figures.retain(&settings.skills, &settings.queues);
    figures.good_for = settings.interval * GOOD_FOR_INTERVALS;
}

/// What is read, and when next.
struct Reads {
    link: Arc<Link>,
    wanted: FigureSettings,
    grid: PollGrid,
    last_sent: Option<Duration>,
    /// The queues that the platform listed last; `None` while no list could be read.
    listed: Option<Vec<ListedQueue>>,
    next_list: Duration,
    /// A read of queues was refused as not found: those that are not listed are left out of the next.
    leaves_unlisted_out: bool,
    complaints: Vec<FigureComplaint>,
}

/// What one poll brought.
#[derive(Default)]
struct Brought {
    commit: Commit,
    troubles: Vec<String>,
    complaints: Vec<FigureComplaint>,
    throttled: bool,
}

impl Reads {
    /// Takes up what the store knows. The process before may have read a moment ago.
    async fn load(link: Arc<Link>, wanted: FigureSettings) -> anyhow::Result<Self> {
        let stored = last_stored(&link.reader, &link.tenant, &wanted).await.context("the last figures")?;
        // A worker that starts again knows no more than the store: what it told last was stored before.
        link.figures.send_replace(Arc::new(stored));
        let (now, monotonic) = (link.clock.now(), link.clock.monotonic());
        let calls =
            link.reader.recent_calls(&link.tenant, now - wanted.interval * 2).await.context("the last reads")?;
        // One without an answer may have arrived up to now, if it is not from long ago.
        let lately = now - wanted.interval * 2;
        let of_figures = |kind: &str| CallKind::FIGURES.iter().any(|known| known.name() == kind);
        let reads = calls.iter().filter(|call| of_figures(&call.kind) && call.sent_at >= lately);
        let since = reads.map(|call| now.since(call.answered_at.unwrap_or(now))).min();
        let first = since.map_or(monotonic, |since| monotonic + wanted.interval.saturating_sub(since));
        let reads = Self {
            grid: PollGrid::new(first, wanted.interval),
            link,
            wanted,
            last_sent: None,
            listed: None,
            next_list: Duration::ZERO,
            leaves_unlisted_out: false,
            complaints: Vec::new(),
        };
        reads.forget_part_if_idle();
        Ok(reads)
    }

    /// Other settings. Reads stay an interval apart.
    fn take(&mut self, wanted: FigureSettings) {
        if wanted == self.wanted {
            return;
        }
        let now = self.link.clock.monotonic();
        let after_last = self.last_sent.map_or(self.grid.due(), |last| last + wanted.interval);
        self.grid = PollGrid::new(after_last.max(now), wanted.interval);
        self.wanted = wanted;
        (self.next_list, self.leaves_unlisted_out) = (now, false);
        self.link.figures.send_modify(|figures| fit(Arc::make_mut(figures), &self.wanted));
        self.forget_part_if_idle();
    }

    fn part(&self) -> String {
        self.link.part("figures")
    }

    fn is_idle(&self) -> bool {
        self.wanted.skills.is_empty() && self.wanted.queues.is_empty()
    }

    fn forget_part_if_idle(&self) {
        if self.is_idle() {
            self.link.readiness.forget(&[self.part()]);
        }
    }

    /// Until the next poll; `None` while nothing is to be read.
    fn wait(&self) -> Option<Duration> {
        (!self.is_idle()).then(|| self.grid.due().saturating_sub(self.link.clock.monotonic()))
    }

    /// Reads everything once. Safe to drop at any await: a slot that was taken counts as answered then.
    async fn poll(&mut self) -> anyhow::Result<()> {
        let mut brought = Brought::default();
        self.read_skills(&mut brought).await?;
        self.read_queues(&mut brought).await?;
        let Brought { commit, mut troubles, complaints, .. } = brought;
        let (skills, queues) = (commit.skill_figures.clone(), commit.queue_figures.clone());
        if !commit.is_empty() {
            self.link.writer.commit(commit).await?;
        }
        self.link.figures.send_modify(|figures| {
            let figures = Arc::make_mut(figures);
            for row in skills {
                figures.put_skill(row.taken.at, row.taken.figures);
            }
            for row in queues {
                figures.put_queue(row.taken.at, row.taken.figures);
            }
        });
        self.note_complaints(complaints);
        troubles.extend(self.unknown_queues());
        if troubles.is_empty() {
            self.link.readiness.restored(&self.part());
        } else {
            let detail = troubles.join("; ");
            tracing::warn!(tenant = %self.link.tenant, detail, "figures are not as they should be");
            self.link.readiness.degraded(&self.part(), detail);
        }
        Ok(())
    }

    async fn read_skills(&mut self, brought: &mut Brought) -> anyhow::Result<()> {
        let (link, skills) = (self.link.clone(), self.wanted.skills.clone());
        for batch in skills.chunks(MOST_IN_ONE_READ) {
            if brought.throttled {
                break;
            }
            let answer = self.ask(CallKind::SkillFigures, link.platform.skill_figures(batch)).await?;
            let last = |figures: &Figures| {
                batch.iter().filter_map(|id| figures.skill(id.as_str())).map(|taken| taken.at).min()
            };
            if let Some(read) = self.settle(answer, brought, &count(batch.len(), "skill"), last) {
                brought.commit.skill_figures.extend(self.rows(read));
            }
        }
        Ok(())
    }

    async fn read_queues(&mut self, brought: &mut Brought) -> anyhow::Result<()> {
        let link = self.link.clone();
        if !self.wanted.queues.is_empty() && link.clock.monotonic() >= self.next_list && !brought.throttled {
            self.list_queues().await?;
        }
        let queues: Vec<QueueId> = self.wanted.queues.iter().filter(|id| self.is_asked(id)).cloned().collect();
        for batch in queues.chunks(MOST_IN_ONE_READ) {
            if brought.throttled {
                break;
            }
            let answer = self.ask(CallKind::QueueFigures, link.platform.queue_figures(batch)).await?;
            if answer.as_ref().is_err_and(|error| error.failure == Failure::NotFound) {
                self.leaves_unlisted_out = true;
                self.next_list = link.clock.monotonic();
            }
            let last = |figures: &Figures| {
                batch.iter().filter_map(|id| figures.queue(id.as_str())).map(|taken| taken.at).min()
            };
            if let Some(read) = self.settle(answer, brought, &count(batch.len(), "queue"), last) {
                brought.commit.queue_figures.extend(self.rows(read));
            }
        }
        Ok(())
    }

    /// One call under the reporting budget, marked on the grid when it leaves.
    async fn ask<T: Send>(
        &mut self,
        kind: CallKind,
        call: Call<'_, T>,
    ) -> anyhow::Result<Result<Answer<T>, CallError>> {
        let (clock, mut sent) = (self.link.clock.clone(), None);
        let marked = async {
            sent = Some(clock.monotonic());
            call.await
        };
        let result = budgeted(&self.link, kind, Urgency::Ordinary, None, marked).await?;
        // It left later where a token had to be fetched first.
        let asked_at = match &result {
            Ok(answer) => Some(answer.asked_at),
            Err(error) => error.asked_at,
        };
        let left = asked_at.map(|at| clock.monotonic().saturating_sub(clock.now().since(at)));
        let sent = sent.max(left).unwrap_or_else(|| clock.monotonic());
        self.grid.sent(sent);
        self.last_sent = Some(sent);
        Ok(result)
    }

    /// What an answer brought; what came instead of one is a trouble.
    fn settle<T>(
        &self,
        answer: Result<Answer<FiguresRead<T>>, CallError>,
        brought: &mut Brought,
        of: &str,
        last: impl Fn(&Figures) -> Option<UtcMicros>,
    ) -> Option<Answer<FiguresRead<T>>> {
        match answer {
            Ok(answer) => {
                brought.complaints.extend(answer.value.complaints.iter().cloned());
                Some(answer)
            }
            Err(error) => {
                brought.throttled |= matches!(error.failure, Failure::Throttled { .. });
                let last = match last(&self.link.figures.borrow()) {
                    Some(at) => format!("last read at {at:.0}"),
                    None => "never read yet".to_owned(),
                };
                brought.troubles.push(format!("figures of {of}, {last}: {error}"));
                None
            }
        }
    }

    fn rows<T>(&self, answer: Answer<FiguresRead<T>>) -> impl Iterator<Item = FiguresWrite<T>> {
        let (tenant, at) = (self.link.tenant.clone(), answer.answered_at);
        let row = move |figures| FiguresWrite { tenant: tenant.clone(), taken: Taken { at, figures } };
        answer.value.figures.into_iter().map(row)
    }

    async fn list_queues(&mut self) -> anyhow::Result<()> {
        let link = self.link.clone();
        let answer = self.ask(CallKind::Queues, link.platform.queues()).await?;
        let now = link.clock.monotonic();
        match answer {
            Ok(answer) => (self.listed, self.next_list) = (Some(answer.value), now + LIST_EVERY),
            Err(error) => {
                tracing::warn!(tenant = %link.tenant, error = %error, "the list of queues could not be read");
                self.next_list = now + LIST_AGAIN;
            }
        }
        Ok(())
    }

    fn is_listed(&self, id: &QueueId) -> Option<bool> {
        self.listed.as_ref().map(|listed| listed.iter().any(|queue| queue.id == *id))
    }

    fn is_asked(&self, id: &QueueId) -> bool {
        !self.leaves_unlisted_out || self.is_listed(id) != Some(false)
    }

    /// The queues of the configuration that the platform neither lists nor shows.
    fn unknown_queues(&self) -> Option<String> {
        let figures = self.link.figures.borrow();
        let shown = |id: &QueueId| figures.queue(id.as_str()).is_some();
        let unknown: Vec<&str> = self
            .wanted
            .queues
            .iter()
            .filter(|id| self.is_listed(id) == Some(false) && !shown(id))
            .map(QueueId::as_str)
            .collect();
        let more = unknown.len().saturating_sub(MOST_NAMED);
        let named = unknown[..unknown.len() - more].join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!unknown.is_empty())
            .then(|| format!("the platform knows no queue {named}{more}: correct the tenant's `queues`"))
    }

    /// What is odd is told when it begins or changes, not at every poll.
    fn note_complaints(&mut self, complaints: Vec<FigureComplaint>) {
        if complaints != self.complaints {
            for complaint in &complaints {
                tracing::warn!(tenant = %self.link.tenant, ?complaint, "a row of figures is odd");
            }
            self.complaints = complaints;
        }
    }
}

#[cfg(test)]
mod tests;
