//! One run: its queries are submitted one after the other, polled and read in pages, and then the result is assembled.
//!
//! A failed call is repeated depending on the kind of failure. A query that the platform has forgotten is submitted
//! again at once, and one that it could not answer after a pause; each a few times. A submission without an answer may
//! still be running on the platform: it keeps its slot, and the run waits for another one. Pages that contradict each
//! other end the run, because the platform would return the same ones again.

use std::sync::Arc;
use std::time::Duration;

use super::{Analytics, AnalyticsError};
use crate::domain::analytics::analytics_run::{AnalyticsRun, PartState, RunFailure, RunPart};
use crate::domain::analytics::{
    AggregationQuery, PartReader, PartResult, QueryResult, ReadProgress, ResultError, ResultRow, join_parts,
};
use crate::domain::ids::PlatformQueryId;
use crate::engine::platform::calls::{CallKind, HeldSlot, call_with_slot, call_within_budget};
use crate::engine::platform::link::BudgetKind;
use crate::engine::platform::link::Link;
use crate::platform::analytics::{PageRequest, QueryState, RetryDecision, after_page, after_submit};
use crate::platform::budget::Urgency;
use crate::platform::retry::RetryBackoff;
use crate::platform::{CallError, Failure};
use crate::store::{AnalyticsRows, Commit, CommitError};

/// The pauses between two polls of a running query; each poll takes a slot of the reporting budget.
const POLL_CURVE: RetryBackoff = RetryBackoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// The shortest pause between two polls.
const MIN_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How many calls of one kind may fail in a row. Throttling does not count, because it says when to try again.
const MAX_CALL_ATTEMPTS: u32 = 8;

/// How often the platform may lose or fail one part before the run fails.
const MAX_SUBMISSIONS: u32 = 3;

/// The number of rows in one stored slice of a result.
const ROWS_PER_SLICE: usize = 1_000;

/// The hint given when access is denied: a token is only good for the scopes it was requested with.
const SCOPE_HINT: &str = "a token is asked for with analytics:query and analytics:view as soon as the tenant's \
     [[tenants.analytics]] names a query, or where its token.scope has them";

/// The longest error text kept, in characters.
const MAX_ERROR_CHARS: usize = 800;

/// Why the execution of a run stops.
pub(super) enum StopReason {
    /// The run failed.
    Failed(RunFailure),
    /// Somebody else ended the run, or it waits for another slot.
    Released,
    /// The daemon cannot continue the run now, because its store fails.
    Internal(anyhow::Error),
}

impl From<AnalyticsError> for StopReason {
    fn from(error: AnalyticsError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<CommitError> for StopReason {
    fn from(error: CommitError) -> Self {
        Self::Internal(error.into())
    }
}

/// The outcome of one query on the platform.
enum QueryOutcome {
    Complete(PartResult),
    Forgotten,
    Failed(String),
}

/// The execution of one run.
pub(super) struct RunExecutor {
    link: Arc<Link>,
    analytics: Analytics,
    run: AnalyticsRun,
    query: AggregationQuery,
}

/// Returns the failure of a run, with a text that names the run.
pub(super) fn run_failure(run: &AnalyticsRun, class: &str, what: impl std::fmt::Display) -> RunFailure {
    let text = format!("analytics run {} of the query {:?}: {what}", run.id, run.request.name);
    RunFailure { class: class.to_owned(), text: text.chars().take(MAX_ERROR_CHARS).collect() }
}

impl RunExecutor {
    /// Returns `None` if this version cannot build the query of the request.
    pub(super) fn new(link: Arc<Link>, analytics: Analytics, run: AnalyticsRun) -> Option<Self> {
        let query = run.request.query()?;
        Some(Self { link, analytics, run, query })
    }

    /// Executes every part and stores the rows of the result, which count once the run records them. Safe to drop at
    /// any await.
    pub(super) async fn execute(mut self) -> Result<QueryResult, StopReason> {
        let mut parts = Vec::with_capacity(self.run.parts.len());
        for index in 0..self.run.parts.len() {
            parts.push(self.fetch_part(index).await?);
        }
        let span = self.run.request.span();
        let result = join_parts(&self.query, span, parts).map_err(|fault| self.invalid_result(&fault))?;
        self.store_rows(&result.rows).await?;
        Ok(result)
    }

    fn part_at(&self, index: usize) -> RunPart {
        self.run.parts.get(index).cloned().unwrap_or_else(|| RunPart::new(self.run.request.span()))
    }

    /// Changes a part, as long as the run has not ended.
    async fn update_part(&mut self, index: usize, note: impl FnOnce(&mut RunPart)) -> Result<(), StopReason> {
        let change = |run: &mut AnalyticsRun| run.parts.get_mut(index).map_or((), note);
        self.run = self
            .analytics
            .update_run(&self.run.tenant, self.run.id, None, change)
            .await?
            .ok_or(StopReason::Released)?;
        Ok(())
    }

    /// Reads one part completely. After a restart it continues with the id that the platform gave.
    async fn fetch_part(&mut self, index: usize) -> Result<PartResult, StopReason> {
        loop {
            let part = self.part_at(index);
            let id = match part.query_id {
                Some(id) => id,
                None if part.state == PartState::Leaving => {
                    return Err(self
                        .handle_unanswered(index, "the daemon ended before an answer was written down")
                        .await);
                }
                None => self.submit_part(index).await?,
            };
            let (class, what) = match self.fetch_pages(index, &id).await? {
                QueryOutcome::Complete(result) => {
                    let (received, promised) = (u64::try_from(result.rows.len()).unwrap_or(u64::MAX), result.promised);
                    let whole = |part: &mut RunPart| (part.received, part.promised) = (Some(received), promised);
                    self.update_part(index, whole).await?;
                    return Ok(result);
                }
                QueryOutcome::Forgotten => ("forgotten", "the platform does not know the query any more".to_owned()),
                QueryOutcome::Failed(why) => ("platform_failed", format!("the platform could not answer: {why}")),
            };
            self.update_part(index, |part| part.state = PartState::Ended).await?;
            let times = self.part_at(index).submissions;
            tracing::warn!(tenant = %self.run.tenant, run = %self.run.id, query_id = %id, class, times, "an analytics query was lost or failed");
            if times >= MAX_SUBMISSIONS {
                let span = self.part_at(index).span();
                let what =
                    format!("{what}, after it took it {times} times (part {span}); run it again, or ask for less");
                return Err(StopReason::Failed(run_failure(&self.run, class, what)));
            }
            if class == "platform_failed" {
                let wait = RetryBackoff::default().delay(times, None, &*self.link.random);
                self.link.clock.sleep(wait).await;
            }
            self.update_part(index, |part| (part.state, part.query_id) = (PartState::Waiting, None)).await?;
        }
    }

    async fn submit_part(&mut self, index: usize) -> Result<PlatformQueryId, StopReason> {
        let (link, query, part) = (self.link.clone(), self.query.clone(), self.part_at(index));
        if part.unanswered > 0 {
            link.clock.sleep(RetryBackoff::default().delay(part.unanswered, None, &*link.random)).await;
        }
        let mut failed = 0;
        loop {
            let slot = HeldSlot::take(&link, BudgetKind::Reporting, Urgency::Ordinary).await;
            if let Err(halt) = self.update_part(index, |part| part.state = PartState::Leaving).await {
                slot.release();
                return Err(halt);
            }
            let call = link.platform.submit_query(&query, part.span(), self.run.request.page_rows);
            match call_with_slot(slot, &link, CallKind::AnalyticsSubmit, None, call).await? {
                Ok(answer) => {
                    let id = answer.value;
                    let submitted = |part: &mut RunPart| {
                        (part.state, part.query_id) = (PartState::Submitted, Some(id.clone()));
                        part.submissions += 1;
                    };
                    self.update_part(index, submitted).await?;
                    return Ok(id);
                }
                Err(error) => match after_submit(&error.failure) {
                    RetryDecision::RetryUnanswered => return Err(self.handle_unanswered(index, &error).await),
                    again => {
                        self.update_part(index, |part| part.state = PartState::Waiting).await?;
                        self.wait_to_retry(&error, again, &mut failed).await?;
                    }
                },
            }
        }
    }

    /// Handles a submission without an answer: nobody knows whether the platform accepted it. The run leaves its slot
    /// to the submission and waits again, or fails after [`MAX_SUBMISSIONS`] of these.
    async fn handle_unanswered(&mut self, index: usize, why: &(impl std::fmt::Display + ?Sized)) -> StopReason {
        let now = self.link.clock.now();
        let changed = self
            .analytics
            .update_run(&self.run.tenant, self.run.id, None, |run| run.record_unanswered(index, now))
            .await;
        match changed {
            Err(error) => return error.into(),
            Ok(None) => return StopReason::Released,
            Ok(Some(run)) => self.run = run,
        }
        let times = self.part_at(index).unanswered;
        tracing::warn!(tenant = %self.run.tenant, run = %self.run.id, times, "an analytics query was submitted and not answered: {why}");
        if times < MAX_SUBMISSIONS {
            return StopReason::Released;
        }
        let span = self.part_at(index).span();
        let what = format!(
            "it was submitted {times} times without an answer that says whether the platform took it (part {span}): {why}; \
             run it again when the platform answers"
        );
        StopReason::Failed(run_failure(&self.run, "unanswered", what))
    }

    /// Polls a query of the platform until it is done, and reads its pages.
    async fn fetch_pages(&mut self, index: usize, id: &PlatformQueryId) -> Result<QueryOutcome, StopReason> {
        let (link, query, limit) = (self.link.clone(), self.query.clone(), self.run.request.page_rows);
        let mut pages = PartReader::new(&query, self.part_at(index).span(), limit);
        let (mut polls, mut failed) = (0, 0);
        loop {
            let request = PageRequest { query: &query, id, offset: pages.next_offset(), limit };
            let call = link.platform.query_page(request);
            match call_within_budget(&link, CallKind::AnalyticsPage, Urgency::Ordinary, None, call).await? {
                Ok(answer) => {
                    failed = 0;
                    match answer.value {
                        QueryState::Pending | QueryState::Running => {
                            polls += 1;
                            let wait = POLL_CURVE.delay(polls, Some(MIN_POLL_INTERVAL), &*self.link.random);
                            self.link.clock.sleep(wait).await;
                        }
                        QueryState::Failed { reason: why } => return Ok(QueryOutcome::Failed(why)),
                        QueryState::Page(page) => {
                            self.mark_query_ended(index).await?;
                            match pages.add_page(page).map_err(|fault| self.invalid_result(&fault))? {
                                ReadProgress::NextPage { .. } => {}
                                ReadProgress::Complete => {
                                    return pages
                                        .finish()
                                        .map(QueryOutcome::Complete)
                                        .map_err(|fault| self.invalid_result(&fault));
                                }
                            }
                        }
                    }
                }
                Err(error) => match after_page(&error.failure) {
                    RetryDecision::Restart => return Ok(QueryOutcome::Forgotten),
                    again => self.wait_to_retry(&error, again, &mut failed).await?,
                },
            }
        }
    }

    /// Records that the query has ended: from its first page on, the platform's slot is free whatever the rows are.
    async fn mark_query_ended(&mut self, index: usize) -> Result<(), StopReason> {
        if self.part_at(index).state == PartState::Submitted {
            self.update_part(index, |part| part.state = PartState::Ended).await?;
        }
        Ok(())
    }

    /// Waits before a failed call is repeated, or returns the reason to stop.
    async fn wait_to_retry(&self, error: &CallError, again: RetryDecision, failed: &mut u32) -> Result<(), StopReason> {
        if !matches!(error.failure, Failure::Throttled { .. }) {
            *failed += 1;
        }
        if again != RetryDecision::Retry {
            let what = if matches!(error.failure, Failure::Forbidden { .. }) {
                format!("{error}; {SCOPE_HINT}")
            } else {
                error.to_string()
            };
            return Err(StopReason::Failed(run_failure(&self.run, "call_failed", what)));
        }
        if *failed >= MAX_CALL_ATTEMPTS {
            let what = format!("{error}; that was {MAX_CALL_ATTEMPTS} times in a row");
            return Err(StopReason::Failed(run_failure(&self.run, "call_failed", what)));
        }
        let wait = RetryBackoff::default().delay((*failed).max(1), error.retry_after(), &*self.link.random);
        self.link.clock.sleep(wait).await;
        Ok(())
    }

    fn invalid_result(&self, fault: &ResultError) -> StopReason {
        StopReason::Failed(run_failure(&self.run, fault.kind.name(), fault))
    }

    /// Stores the rows in slices, so that other changes are committed in between. Rows of an earlier attempt are
    /// deleted first.
    async fn store_rows(&self, rows: &[ResultRow]) -> Result<(), StopReason> {
        self.analytics.delete_rows(&self.run.tenant, self.run.id).await?;
        let mut first = 0;
        for slice in rows.chunks(ROWS_PER_SLICE) {
            let analytics_rows = vec![AnalyticsRows {
                tenant: self.run.tenant.clone(),
                run: self.run.id,
                first_index: first,
                rows: slice.iter().map(ResultRow::to_canonical).collect(),
            }];
            self.link.writer.commit(Commit { analytics_rows, ..Commit::default() }).await?;
            first += u64::try_from(slice.len()).unwrap_or_default();
        }
        Ok(())
    }
}
