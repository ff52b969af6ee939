//! Reads the figures of a tenant's skills and queues at fixed intervals without drift and within their own budget,
//! stores them and publishes them to viewers.
//!
//! Figures that cannot be read keep their last value and grow old; they never become zero. A failed read is not
//! repeated before the next interval, because the platform allows at most one read in 15 seconds. No decision depends
//! on this module.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{QueueId, TenantId};
use crate::domain::live::figures::{Figures, TimedFigures};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::operations::settings::{FigureSettings, TenantSettings};
use crate::engine::platform::calls::{CallKind, call_within_budget};
use crate::engine::platform::link::Link;
use crate::platform::budget::Urgency;
use crate::platform::poll::PollGrid;
use crate::platform::{Answer, Call, CallError, Failure, FigureDiagnostic, FiguresRead, ListedQueue, MAX_PER_READ};
use crate::store::{Commit, FiguresWrite, ReadError, Reader};

/// Figures older than this many intervals are stale.
const VALID_FOR_INTERVALS: u32 = 3;

/// How far before the newest stored figures others are loaded at a start, with their age.
const STARTUP_LOOKBACK: Duration = Duration::from_secs(3600);

/// How often the list of queues is read again, to find new or renamed queues.
const LIST_INTERVAL: Duration = Duration::from_secs(3600);

/// How soon the list is read again if it could not be read.
const LIST_RETRY_INTERVAL: Duration = Duration::from_secs(300);

/// The most unknown queues named in a message.
const MAX_NAMED: usize = 10;

/// Runs the worker of one tenant until `soft` is cancelled.
pub async fn run(
    link: Arc<Link>,
    mut settings: watch::Receiver<Arc<TenantSettings>>,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let current = settings.borrow_and_update().figures.clone();
    let mut figure_reader = FigureReader::load(link, current).await?;
    loop {
        let wait = figure_reader.time_until_poll();
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = settings.changed() => {
                changed?;
                let current = settings.borrow_and_update().figures.clone();
                figure_reader.set_settings(current);
            }
            () = figure_reader.link.clock.sleep(wait.unwrap_or_default()), if wait.is_some() => {
                tokio::select! {
                    () = soft.cancelled() => return Ok(()),
                    done = figure_reader.poll() => done?,
                }
            }
        }
    }
}

/// Returns the newest stored figures of the configured skills and queues.
pub async fn load_last_figures(
    reader: &Reader,
    tenant: &TenantId,
    settings: &FigureSettings,
) -> Result<Figures, ReadError> {
    let mut figures = reader.latest_figures(tenant, STARTUP_LOOKBACK).await?;
    apply_settings(&mut figures, settings);
    Ok(figures)
}

fn apply_settings(figures: &mut Figures, settings: &FigureSettings) {
    figures.retain(&settings.skills, &settings.queues);
    figures.fresh_for = settings.interval * VALID_FOR_INTERVALS;
}

/// What is read, and when next.
struct FigureReader {
    link: Arc<Link>,
    settings: FigureSettings,
    grid: PollGrid,
    last_sent: Option<Duration>,
    /// The queues that the platform listed last; `None` until a list was read.
    listed: Option<Vec<ListedQueue>>,
    next_list: Duration,
    /// A read of queues failed with not found, so queues that are not listed are left out.
    skips_unlisted: bool,
    diagnostics: Vec<FigureDiagnostic>,
}

/// The result of one poll.
#[derive(Default)]
struct PollResult {
    commit: Commit,
    troubles: Vec<String>,
    diagnostics: Vec<FigureDiagnostic>,
    throttled: bool,
}

impl FigureReader {
    /// Loads the stored figures. The first read keeps an interval from the last one of the previous process.
    async fn load(link: Arc<Link>, settings: FigureSettings) -> anyhow::Result<Self> {
        let stored = load_last_figures(&link.reader, &link.tenant, &settings)
            .await
            .context("the last figures could not be read")?;
        // A restarted worker loses nothing: all published figures were stored before.
        link.figures.send_replace(Arc::new(stored));
        let (now, monotonic) = (link.clock.now(), link.clock.monotonic());
        let calls = link
            .reader
            .recent_calls(&link.tenant, now - settings.interval * 2)
            .await
            .context("the last reads of figures could not be read")?;
        // A recent call without an answer may have reached the platform at any time until now.
        let lately = now - settings.interval * 2;
        let of_figures = |kind: &str| CallKind::FIGURES.iter().any(|known| known.name() == kind);
        let reads = calls.iter().filter(|call| of_figures(&call.kind) && call.sent_at >= lately);
        let since = reads.map(|call| now.since(call.answered_at.unwrap_or(now))).min();
        let first = since.map_or(monotonic, |since| monotonic + settings.interval.saturating_sub(since));
        let figure_reader = Self {
            grid: PollGrid::new(first, settings.interval),
            link,
            settings,
            last_sent: None,
            listed: None,
            next_list: Duration::ZERO,
            skips_unlisted: false,
            diagnostics: Vec::new(),
        };
        figure_reader.forget_part_if_idle();
        Ok(figure_reader)
    }

    /// Changes the settings. Reads stay an interval apart.
    fn set_settings(&mut self, settings: FigureSettings) {
        if settings == self.settings {
            return;
        }
        let now = self.link.clock.monotonic();
        let after_last = self.last_sent.map_or(self.grid.next_due(), |last| last + settings.interval);
        self.grid = PollGrid::new(after_last.max(now), settings.interval);
        self.settings = settings;
        (self.next_list, self.skips_unlisted) = (now, false);
        self.link.figures.send_modify(|figures| apply_settings(Arc::make_mut(figures), &self.settings));
        self.forget_part_if_idle();
    }

    fn part(&self) -> String {
        self.link.part("figures")
    }

    fn is_idle(&self) -> bool {
        self.settings.skills.is_empty() && self.settings.queues.is_empty()
    }

    fn forget_part_if_idle(&self) {
        if self.is_idle() {
            self.link.readiness.remove(&[self.part()]);
        }
    }

    /// Returns the time until the next poll; `None` if nothing is to be read.
    fn time_until_poll(&self) -> Option<Duration> {
        (!self.is_idle()).then(|| self.grid.next_due().saturating_sub(self.link.clock.monotonic()))
    }

    /// Reads all figures once. Safe to drop at any await: a slot that was taken then counts as answered.
    async fn poll(&mut self) -> anyhow::Result<()> {
        let mut result = PollResult::default();
        self.read_skills(&mut result).await?;
        self.read_queues(&mut result).await?;
        let PollResult { commit, troubles: mut failures, diagnostics: complaints, .. } = result;
        let (skills, queues) = (commit.skill_figures.clone(), commit.queue_figures.clone());
        if !commit.is_empty() {
            self.link.writer.commit(commit).await?;
        }
        self.link.figures.send_modify(|figures| {
            let figures = Arc::make_mut(figures);
            for row in skills {
                figures.put_skill(row.reading.at, row.reading.figures);
            }
            for row in queues {
                figures.put_queue(row.reading.at, row.reading.figures);
            }
        });
        self.log_diagnostics(complaints);
        failures.extend(self.unknown_queues());
        if failures.is_empty() {
            self.link.readiness.restored(&self.part());
        } else {
            let detail = failures.join("; ");
            tracing::warn!(tenant = %self.link.tenant, detail, "figures are not as they should be");
            self.link.readiness.degraded(&self.part(), detail);
        }
        Ok(())
    }

    async fn read_skills(&mut self, result: &mut PollResult) -> anyhow::Result<()> {
        let (link, skills) = (self.link.clone(), self.settings.skills.clone());
        for batch in skills.chunks(MAX_PER_READ) {
            if result.throttled {
                break;
            }
            let answer = self.send_call(CallKind::SkillFigures, link.platform.skill_figures(batch)).await?;
            let last = |figures: &Figures| {
                batch.iter().filter_map(|id| figures.skill(id.as_str())).map(|taken| taken.at).min()
            };
            if let Some(read) = self.accept_answer(answer, result, &count_with_noun(batch.len(), "skill"), last) {
                result.commit.skill_figures.extend(self.rows(read));
            }
        }
        Ok(())
    }

    async fn read_queues(&mut self, result: &mut PollResult) -> anyhow::Result<()> {
        let link = self.link.clone();
        if !self.settings.queues.is_empty() && link.clock.monotonic() >= self.next_list && !result.throttled {
            self.list_queues().await?;
        }
        let queues: Vec<QueueId> = self.settings.queues.iter().filter(|id| self.is_readable(id)).cloned().collect();
        for batch in queues.chunks(MAX_PER_READ) {
            if result.throttled {
                break;
            }
            let answer = self.send_call(CallKind::QueueFigures, link.platform.queue_figures(batch)).await?;
            if answer.as_ref().is_err_and(|error| error.failure == Failure::NotFound) {
                self.skips_unlisted = true;
                self.next_list = link.clock.monotonic();
            }
            let last = |figures: &Figures| {
                batch.iter().filter_map(|id| figures.queue(id.as_str())).map(|taken| taken.at).min()
            };
            if let Some(read) = self.accept_answer(answer, result, &count_with_noun(batch.len(), "queue"), last) {
                result.commit.queue_figures.extend(self.rows(read));
            }
        }
        Ok(())
    }

    /// Makes one call within the reporting budget, and records on the grid when it was sent.
    async fn send_call<T: Send>(
        &mut self,
        kind: CallKind,
        call: Call<'_, T>,
    ) -> anyhow::Result<Result<Answer<T>, CallError>> {
        let (clock, mut sent) = (self.link.clock.clone(), None);
        let marked = async {
            sent = Some(clock.monotonic());
            call.await
        };
        let result = call_within_budget(&self.link, kind, Urgency::Ordinary, None, marked).await?;
        // It is sent later if a token had to be fetched first.
        let asked_at = match &result {
            Ok(answer) => Some(answer.sent_at),
            Err(error) => error.sent_at,
        };
        let left = asked_at.map(|at| clock.monotonic().saturating_sub(clock.now().since(at)));
        let sent = sent.max(left).unwrap_or_else(|| clock.monotonic());
        self.grid.record_sent(sent);
        self.last_sent = Some(sent);
        Ok(result)
    }

    /// Returns an answer with its diagnostics recorded; records an error as a problem of the poll.
    fn accept_answer<T>(
        &self,
        answer: Result<Answer<FiguresRead<T>>, CallError>,
        result: &mut PollResult,
        of: &str,
        last: impl Fn(&Figures) -> Option<UtcMicros>,
    ) -> Option<Answer<FiguresRead<T>>> {
        match answer {
            Ok(answer) => {
                result.diagnostics.extend(answer.value.diagnostics.iter().cloned());
                Some(answer)
            }
            Err(error) => {
                result.throttled |= matches!(error.failure, Failure::Throttled { .. });
                let last = match last(&self.link.figures.borrow()) {
                    Some(at) => format!("last read at {at:.0}"),
                    None => "never read yet".to_owned(),
                };
                result.troubles.push(format!("figures of {of}, {last}: {error}"));
                None
            }
        }
    }

    fn rows<T>(&self, answer: Answer<FiguresRead<T>>) -> impl Iterator<Item = FiguresWrite<T>> {
        let (tenant, at) = (self.link.tenant.clone(), answer.received_at);
        let row = move |figures| FiguresWrite { tenant: tenant.clone(), reading: TimedFigures { at, figures } };
        answer.value.figures.into_iter().map(row)
    }

    async fn list_queues(&mut self) -> anyhow::Result<()> {
        let link = self.link.clone();
        let answer = self.send_call(CallKind::Queues, link.platform.queues()).await?;
        let now = link.clock.monotonic();
        match answer {
            Ok(answer) => (self.listed, self.next_list) = (Some(answer.value), now + LIST_INTERVAL),
            Err(error) => {
                tracing::warn!(tenant = %link.tenant, error = %error, "the list of queues could not be read");
                self.next_list = now + LIST_RETRY_INTERVAL;
            }
        }
        Ok(())
    }

    fn is_listed(&self, id: &QueueId) -> Option<bool> {
        self.listed.as_ref().map(|listed| listed.iter().any(|queue| queue.id == *id))
    }

    fn is_readable(&self, id: &QueueId) -> bool {
        !self.skips_unlisted || self.is_listed(id) != Some(false)
    }

    /// Returns a message about configured queues that the platform neither lists nor has figures for.
    fn unknown_queues(&self) -> Option<String> {
        let figures = self.link.figures.borrow();
        let has_figures = |id: &QueueId| figures.queue(id.as_str()).is_some();
        let unknown: Vec<&str> = self
            .settings
            .queues
            .iter()
            .filter(|id| self.is_listed(id) == Some(false) && !has_figures(id))
            .map(QueueId::as_str)
            .collect();
        let more = unknown.len().saturating_sub(MAX_NAMED);
        let named = unknown[..unknown.len() - more].join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!unknown.is_empty())
            .then(|| format!("the platform knows no queue {named}{more}: correct the tenant's `queues`"))
    }

    /// Logs invalid rows when they appear or change, not at every poll.
    fn log_diagnostics(&mut self, diagnostics: Vec<FigureDiagnostic>) {
        if diagnostics != self.diagnostics {
            for diagnostic in &diagnostics {
                tracing::warn!(tenant = %self.link.tenant, ?diagnostic, "a row of figures is not valid");
            }
            self.diagnostics = diagnostics;
        }
    }
}

#[cfg(test)]
mod tests;
