//! One run: its queries are submitted one after the other, watched, and read in pages; then the result is put together.
//!
//! A call that fails is repeated by the class of its failure. A query that the platform has forgotten is submitted again at once, one
//! that it could not answer after a wait, each a few times. A submission that was not answered may be at work on the platform: it
//! keeps its place, and the run waits for another. Pages that do not hold together end the run: what the platform has
//! settled on would come the same way again.

use std::sync::Arc;
use std::time::Duration;

use super::{Analytics, AnalyticsRefused};
use crate::domain::analytics::analytics_run::{AnalyticsRun, PartState, RunFailure, RunPart};
use crate::domain::analytics::{
    AggregationQuery, PartReader, PartResult, QueryResult, Reading, ResultFault, ResultRow, join,
};
use crate::domain::ids::QueryId;
use crate::engine::platform::calls::{CallKind, HeldSlot, Purse, budgeted, within};
use crate::engine::platform::link::Link;
use crate::platform::analytics::{Again, PageAsk, QueryState, after_page, after_submit};
use crate::platform::budget::Urgency;
use crate::platform::retry::RetryCurve;
use crate::platform::{CallError, Failure};
use crate::store::{AnalyticsRows, Commit, CommitError};

/// Between two looks at a query that the platform is at: every look takes a slot of the reporting budget.
const LOOKS: RetryCurve = RetryCurve { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// The least between two looks.
const LEAST_APART: Duration = Duration::from_secs(1);

/// Calls of one kind that may fail one after the other; throttling does not count, since it says when to come again.
const MOST_TRIES: u32 = 8;

/// How often the platform may lose or fail one part before the run fails.
const MOST_SUBMISSIONS: u32 = 3;

/// Rows of one slice of a result.
const SLICE: usize = 1_000;

/// What whoever is forbidden to ask has to know: a token is only good for what was asked for with it.
const HOW_SCOPES_ARE_ASKED_FOR: &str = "a token is asked for with analytics:query and analytics:view as soon as the tenant's \
     [[tenants.analytics]] names a query, or where its token.scope has them";

/// The longest error that is kept, in characters.
const LONGEST_ERROR: usize = 800;

/// Why a run goes no further.
pub(super) enum Halt {
    /// It came to nothing.
    Failed(RunFailure),
    /// Somebody else ended it, or it waits for another place.
    Over,
    /// The daemon cannot go on with it now: its store fails.
    Daemon(anyhow::Error),
}

impl From<AnalyticsRefused> for Halt {
    fn from(error: AnalyticsRefused) -> Self {
        Self::Daemon(error.into())
    }
}

impl From<CommitError> for Halt {
    fn from(error: CommitError) -> Self {
        Self::Daemon(error.into())
    }
}

/// What a platform's query came to.
enum Came {
    Whole(PartResult),
    Forgotten,
    Failed(String),
}

/// One run while it is carried out.
pub(super) struct Asking {
    link: Arc<Link>,
    desk: Analytics,
    run: AnalyticsRun,
    query: AggregationQuery,
}

/// Why a run failed, in words that name it.
pub(super) fn failure(run: &AnalyticsRun, class: &str, what: impl std::fmt::Display) -> RunFailure {
    let text = format!("analytics run {} of the query {:?}: {what}", run.id, run.request.name);
    RunFailure { class: class.to_owned(), text: text.chars().take(LONGEST_ERROR).collect() }
}

impl Asking {
    /// None where the request cannot be asked by this version.
    pub(super) fn new(link: Arc<Link>, desk: Analytics, run: AnalyticsRun) -> Option<Self> {
        let query = run.request.query()?;
        Some(Self { link, desk, run, query })
    }

    /// Asks all of it and stores the rows of the result, which count once the run says so. Safe to drop at any await.
    pub(super) async fn ask(mut self) -> Result<QueryResult, Halt> {
        let mut parts = Vec::with_capacity(self.run.parts.len());
        for place in 0..self.run.parts.len() {
            parts.push(self.part(place).await?);
        }
        let span = self.run.request.span();
        let result = join(&self.query, span, parts).map_err(|fault| self.bad_answer(&fault))?;
        self.store(&result.rows).await?;
        Ok(result)
    }

    fn part_at(&self, place: usize) -> RunPart {
        self.run.parts.get(place).cloned().unwrap_or_else(|| RunPart::new(self.run.request.span()))
    }

    /// Notes what became of a part, as long as the run goes on.
    async fn note(&mut self, place: usize, note: impl FnOnce(&mut RunPart)) -> Result<(), Halt> {
        let change = |run: &mut AnalyticsRun| run.parts.get_mut(place).map_or((), note);
        self.run = self.desk.change(&self.run.tenant, self.run.id, None, change).await?.ok_or(Halt::Over)?;
        Ok(())
    }

    /// One part, read whole. After a restart it goes on with the id that the platform gave.
    async fn part(&mut self, place: usize) -> Result<PartResult, Halt> {
        loop {
            let part = self.part_at(place);
            let id = match part.query_id {
                Some(id) => id,
                None if part.state == PartState::Leaving => {
                    return Err(self.unanswered(place, "the daemon ended before an answer was written down").await);
                }
                None => self.submit(place).await?,
            };
            let (class, what) = match self.read(place, &id).await? {
                Came::Whole(result) => {
                    let (received, promised) = (u64::try_from(result.rows.len()).unwrap_or(u64::MAX), result.promised);
                    let whole = |part: &mut RunPart| (part.received, part.promised) = (Some(received), promised);
                    self.note(place, whole).await?;
                    return Ok(result);
                }
                Came::Forgotten => ("forgotten", "the platform does not know the query any more".to_owned()),
                Came::Failed(why) => ("platform_failed", format!("the platform could not answer: {why}")),
            };
            self.note(place, |part| part.state = PartState::Ended).await?;
            let times = self.part_at(place).submissions;
            tracing::warn!(tenant = %self.run.tenant, run = %self.run.id, query_id = %id, class, times, "an analytics query was lost or failed");
            if times >= MOST_SUBMISSIONS {
                let span = self.part_at(place).span();
                let what =
                    format!("{what}, after it took it {times} times (part {span}); run it again, or ask for less");
                return Err(Halt::Failed(failure(&self.run, class, what)));
            }
            if class == "platform_failed" {
                let wait = RetryCurve::default().delay(times, None, &*self.link.random);
                self.link.clock.sleep(wait).await;
            }
            self.note(place, |part| (part.state, part.query_id) = (PartState::Waiting, None)).await?;
        }
    }

    async fn submit(&mut self, place: usize) -> Result<QueryId, Halt> {
        let (link, query, part) = (self.link.clone(), self.query.clone(), self.part_at(place));
        if part.unanswered > 0 {
            link.clock.sleep(RetryCurve::default().delay(part.unanswered, None, &*link.random)).await;
        }
        let mut failed = 0;
        loop {
            let slot = HeldSlot::take(&link, Purse::Reporting, Urgency::Ordinary).await;
            if let Err(halt) = self.note(place, |part| part.state = PartState::Leaving).await {
                slot.release();
                return Err(halt);
            }
            let call = link.platform.submit_query(&query, part.span(), self.run.request.page_rows);
            match within(slot, &link, CallKind::AnalyticsSubmit, None, call).await? {
                Ok(answer) => {
                    let id = answer.value;
                    let taken = |part: &mut RunPart| {
                        (part.state, part.query_id) = (PartState::Submitted, Some(id.clone()));
                        part.submissions += 1;
                    };
                    self.note(place, taken).await?;
                    return Ok(id);
                }
                Err(error) => match after_submit(&error.failure) {
                    Again::Unanswered => return Err(self.unanswered(place, &error).await),
                    again => {
                        self.note(place, |part| part.state = PartState::Waiting).await?;
                        self.after(&error, again, &mut failed).await?;
                    }
                },
            }
        }
    }

    /// Whether the platform took a submission nobody knows: the run gives its place up to it, as often as it may.
    async fn unanswered(&mut self, place: usize, why: &(impl std::fmt::Display + ?Sized)) -> Halt {
        let now = self.link.clock.now();
        let changed =
            self.desk.change(&self.run.tenant, self.run.id, None, |run| run.was_not_answered(place, now)).await;
        match changed {
            Err(error) => return error.into(),
            Ok(None) => return Halt::Over,
            Ok(Some(run)) => self.run = run,
        }
        let times = self.part_at(place).unanswered;
        tracing::warn!(tenant = %self.run.tenant, run = %self.run.id, times, "an analytics query was submitted and not answered: {why}");
        if times < MOST_SUBMISSIONS {
            return Halt::Over;
        }
        let span = self.part_at(place).span();
        let what = format!(
            "it was submitted {times} times without an answer that says whether the platform took it (part {span}): {why}; \
             run it again when the platform answers"
        );
        Halt::Failed(failure(&self.run, "unanswered", what))
    }

    /// Watches a query of the platform until it is done, and reads its pages.
    async fn read(&mut self, place: usize, id: &QueryId) -> Result<Came, Halt> {
        let (link, query, limit) = (self.link.clone(), self.query.clone(), self.run.request.page_rows);
        let mut pages = PartReader::new(&query, self.part_at(place).span(), limit);
        let (mut looks, mut failed) = (0, 0);
        loop {
            let ask = PageAsk { query: &query, id, offset: pages.next_offset(), limit };
            let call = link.platform.query_page(ask);
            match budgeted(&link, CallKind::AnalyticsPage, Urgency::Ordinary, None, call).await? {
                Ok(answer) => {
                    failed = 0;
                    match answer.value {
                        QueryState::Pending | QueryState::Running => {
                            looks += 1;
                            let wait = LOOKS.delay(looks, Some(LEAST_APART), &*self.link.random);
                            self.link.clock.sleep(wait).await;
                        }
                        QueryState::Failed { why } => return Ok(Came::Failed(why)),
                        QueryState::Page(page) => {
                            self.is_done_there(place).await?;
                            match pages.take(page).map_err(|fault| self.bad_answer(&fault))? {
                                Reading::More { .. } => {}
                                Reading::Whole => {
                                    return pages.finish().map(Came::Whole).map_err(|fault| self.bad_answer(&fault));
                                }
                            }
                        }
                    }
                }
                Err(error) => match after_page(&error.failure) {
                    Again::Anew => return Ok(Came::Forgotten),
                    again => self.after(&error, again, &mut failed).await?,
                },
            }
        }
    }

    /// With the first page the platform's place is free, whatever the rows are.
    async fn is_done_there(&mut self, place: usize) -> Result<(), Halt> {
        if self.part_at(place).state == PartState::Submitted {
            self.note(place, |part| part.state = PartState::Ended).await?;
        }
        Ok(())
    }

    /// Waits before a call that failed is repeated, or gives up.
    async fn after(&self, error: &CallError, again: Again, failed: &mut u32) -> Result<(), Halt> {
        if !matches!(error.failure, Failure::Throttled { .. }) {
            *failed += 1;
        }
        if again != Again::Same {
            let what = if matches!(error.failure, Failure::Forbidden { .. }) {
                format!("{error}; {HOW_SCOPES_ARE_ASKED_FOR}")
            } else {
                error.to_string()
            };
            return Err(Halt::Failed(failure(&self.run, "call_failed", what)));
        }
        if *failed >= MOST_TRIES {
            let what = format!("{error}; that was {MOST_TRIES} times in a row");
            return Err(Halt::Failed(failure(&self.run, "call_failed", what)));
        }
        let wait = RetryCurve::default().delay((*failed).max(1), error.retry_after(), &*self.link.random);
        self.link.clock.sleep(wait).await;
        Ok(())
    }

    fn bad_answer(&self, fault: &ResultFault) -> Halt {
        Halt::Failed(failure(&self.run, fault.kind.name(), fault))
    }

    /// Stores the rows, a slice at a time, so that other changes are served in between. What an earlier try left goes first.
    async fn store(&self, rows: &[ResultRow]) -> Result<(), Halt> {
        self.desk.clear_rows(&self.run.tenant, self.run.id).await?;
        let mut first = 0;
        for slice in rows.chunks(SLICE) {
            let analytics_rows = vec![AnalyticsRows {
                tenant: self.run.tenant.clone(),
                run: self.run.id,
                first,
                rows: slice.iter().map(ResultRow::canonical).collect(),
            }];
            self.link.writer.commit(Commit { analytics_rows, ..Commit::default() }).await?;
            first += u64::try_from(slice.len()).unwrap_or_default();
        }
        Ok(())
    }
}
