//! Backtests: rules replayed over stored history, one at a time, beside all other work.
//!
//! A backtest changes nothing. It is held in memory and lost at a restart; finished ones are replaced by newer ones.

mod input;
mod result;
mod run;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub use self::input::{BacktestInput, BacktestRequest};
pub use self::result::{
    ActualChanges, AgentActs, BacktestResult, BacktestSide, ComparisonView, GuardCount, HourActs, ListedAct, RuleActs,
};
use self::run::{BacktestControl, BacktestFailure, run as replay};
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::adherence::timeline::Span;
use crate::domain::ids::{BacktestId, RuleId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::Reader;

/// The most backtests of one tenant that may wait or run at once.
pub const MAX_OPEN: usize = 3;
/// The most backtests of one tenant that are kept, including finished ones.
const MAX_KEPT: usize = 20;

/// The status of a backtest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BacktestStatus {
    /// The backtest waits for another one.
    Waiting,
    /// The backtest is running.
    Running,
    /// The backtest has a result.
    Done,
    /// Somebody cancelled the backtest.
    Cancelled,
    /// The backtest failed; `error` says why.
    Failed,
}

/// A backtest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Backtest {
    /// The id of the backtest.
    pub id: BacktestId,
    /// The id of the tenant whose rules and history are used.
    pub tenant: TenantId,
    /// Who requested the backtest.
    pub asked_by: String,
    /// When the backtest was requested.
    pub asked_at: UtcMicros,
    /// The id of the tested rule; null if all rules are tested.
    pub rule: Option<RuleId>,
    /// The start of the time range (inclusive).
    pub from: UtcMicros,
    /// The end of the time range (exclusive).
    pub to: UtcMicros,
    /// The status of the backtest.
    pub status: BacktestStatus,
    /// The progress, as a fraction from 0 to 1.
    pub progress: f64,
    /// Why the backtest failed; null if it did not.
    pub error: Option<String>,
    /// The result; null until the backtest is done, and left out in lists.
    pub result: Option<BacktestResult>,
}

/// Why a backtest was not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BacktestError {
    /// The span is empty, in the future or too long.
    #[error(
        "the time range is from {from:.0} to {to:.0}, and it is now {now:.0}: the range must be in the past and at most {days} days long \
         (`automation.trial_days`)"
    )]
    Span {
        /// The start of the span.
        from: UtcMicros,
        /// The end of the span.
        to: UtcMicros,
        /// The longest span, in days.
        days: u64,
        /// The current time.
        now: UtcMicros,
    },
    /// The tenant has the maximum number of open backtests.
    #[error("{MAX_OPEN} backtests of this tenant wait or run, which is the limit: cancel one, or wait for one to end")]
    TooMany,
}

struct StoredBacktest {
    backtest: Backtest,
    input: Option<BacktestInput>,
    stop: CancellationToken,
}

/// The backtests of the daemon. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Backtests {
    reader: Reader,
    clock: SharedClock,
    random: SharedRandom,
    stored: Arc<Mutex<VecDeque<StoredBacktest>>>,
    queued: Arc<Notify>,
}

impl Backtests {
    /// Creates the service. Submitted backtests wait until [`Backtests::run`] runs.
    pub fn new(reader: Reader, clock: SharedClock, random: SharedRandom) -> Self {
        Self { reader, clock, random, stored: Arc::default(), queued: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<StoredBacktest>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts a backtest. The span ends at the given instant or now, and starts at the given one or as early as
    /// allowed.
    ///
    /// # Errors
    ///
    /// Fails if the span is not allowed or too many backtests wait.
    pub fn submit(
        &self,
        tenant: &TenantId,
        asked_by: &str,
        input: BacktestInput,
        (from, to): (Option<UtcMicros>, Option<UtcMicros>),
    ) -> Result<Backtest, BacktestError> {
        let now = self.clock.now();
        let to = to.unwrap_or(now);
        let from = from.unwrap_or(to - input.max_span);
        if from >= to || to > now || to.since(from) > input.max_span {
            let days = input.max_span.as_secs() / (24 * 3600);
            return Err(BacktestError::Span { from, to, days, now });
        }
        let backtest = Backtest {
            id: BacktestId(self.random.time_ordered_id(now)),
            tenant: tenant.clone(),
            asked_by: asked_by.to_owned(),
            asked_at: now,
            rule: input.subject.clone(),
            from,
            to,
            status: BacktestStatus::Waiting,
            progress: 0.0,
            error: None,
            result: None,
        };
        {
            let mut stored = self.lock();
            let of_tenant = |held: &&StoredBacktest| held.backtest.tenant == *tenant;
            let open = stored.iter().filter(of_tenant).filter(|held| is_open(held.backtest.status)).count();
            if open >= MAX_OPEN {
                return Err(BacktestError::TooMany);
            }
            while stored.iter().filter(of_tenant).count() >= MAX_KEPT {
                let oldest =
                    stored.iter().position(|held| held.backtest.tenant == *tenant && !is_open(held.backtest.status));
                let Some(oldest) = oldest else { break };
                stored.remove(oldest);
            }
            stored.push_back(StoredBacktest {
                backtest: backtest.clone(),
                input: Some(input),
                stop: CancellationToken::new(),
            });
        }
        self.queued.notify_one();
        Ok(backtest)
    }

    /// Returns a tenant's backtests without their results, newest first.
    pub fn list(&self, tenant: &TenantId) -> Vec<Backtest> {
        let held = self.lock();
        let of_tenant = held.iter().rev().filter(|held| held.backtest.tenant == *tenant);
        of_tenant.map(|held| Backtest { result: None, ..held.backtest.clone() }).collect()
    }

    /// Returns one backtest.
    pub fn get(&self, tenant: &TenantId, id: BacktestId) -> Option<Backtest> {
        self.lock()
            .iter()
            .find(|held| held.backtest.id == id && held.backtest.tenant == *tenant)
            .map(|held| held.backtest.clone())
    }

    /// Cancels a waiting or running backtest; one that has ended stays as it is. Returns `None` if there is none.
    pub fn cancel(&self, tenant: &TenantId, id: BacktestId) -> Option<Backtest> {
        let mut all = self.lock();
        let held = all.iter_mut().find(|held| held.backtest.id == id && held.backtest.tenant == *tenant)?;
        if is_open(held.backtest.status) {
            held.stop.cancel();
            held.backtest.status = BacktestStatus::Cancelled;
            held.input = None;
        }
        Some(held.backtest.clone())
    }

    /// Removes all of a tenant's backtests, also waiting and running ones, because an agent in them is erased.
    pub fn remove_all(&self, tenant: &TenantId) {
        self.lock().retain(|held| {
            let is_removed = held.backtest.tenant == *tenant;
            if is_removed {
                held.stop.cancel();
            }
            !is_removed
        });
    }

    /// Runs the backtests one after the other until `soft` is cancelled.
    ///
    /// # Errors
    ///
    /// None of its own; a failure is recorded in the backtest.
    pub async fn run(self, soft: CancellationToken) -> anyhow::Result<()> {
        // A backtest left over by an earlier run of this task would otherwise stay open for ever.
        for held in self.lock().iter_mut().filter(|held| held.backtest.status == BacktestStatus::Running) {
            held.backtest.status = BacktestStatus::Failed;
            held.backtest.error = Some("it was cut off; ask for it again".to_owned());
        }
        loop {
            if let Some((id, tenant, input, span, stop)) = self.next_waiting() {
                self.execute(id, &tenant, &input, span, &stop, &soft).await;
            } else {
                tokio::select! {
                    () = soft.cancelled() => return Ok(()),
                    () = self.queued.notified() => {}
                }
            }
            if soft.is_cancelled() {
                return Ok(());
            }
        }
    }

    fn next_waiting(&self) -> Option<(BacktestId, TenantId, BacktestInput, Span, CancellationToken)> {
        let mut all = self.lock();
        let held = all.iter_mut().find(|held| held.backtest.status == BacktestStatus::Waiting)?;
        let input = held.input.take()?;
        let backtest = &mut held.backtest;
        backtest.status = BacktestStatus::Running;
        Some((backtest.id, backtest.tenant.clone(), input, (backtest.from, backtest.to), held.stop.clone()))
    }

    async fn execute(
        &self,
        id: BacktestId,
        tenant: &TenantId,
        input: &BacktestInput,
        span: Span,
        stop: &CancellationToken,
        soft: &CancellationToken,
    ) {
        let progress = |share: f64| self.update(id, |backtest| backtest.progress = share);
        let control = BacktestControl { stop, progress: &progress };
        let ended = tokio::select! {
            ended = replay(&self.reader, tenant, input, span, &control) => ended,
            () = soft.cancelled() => Err(BacktestFailure::Cancelled),
        };
        self.update(id, |backtest| match ended {
            Ok(result) => {
                (backtest.status, backtest.progress) = (BacktestStatus::Done, 1.0);
                backtest.result = Some(result);
            }
            Err(BacktestFailure::Cancelled) => backtest.status = BacktestStatus::Cancelled,
            Err(error) => {
                let cause = anyhow::Error::from(error);
                tracing::error!(%tenant, trial = %id, error = format!("{cause:#}"), "a trial of rules failed");
                backtest.status = BacktestStatus::Failed;
                backtest.error = Some("the history could not be read; see the log".to_owned());
            }
        });
    }

    /// Changes a running backtest.
    fn update(&self, id: BacktestId, change: impl FnOnce(&mut Backtest)) {
        let mut all = self.lock();
        if let Some(held) = all.iter_mut().find(|held| held.backtest.id == id)
            && held.backtest.status == BacktestStatus::Running
        {
            change(&mut held.backtest);
        }
    }
}

const fn is_open(status: BacktestStatus) -> bool {
    match status {
        BacktestStatus::Waiting | BacktestStatus::Running => true,
        BacktestStatus::Done | BacktestStatus::Cancelled | BacktestStatus::Failed => false,
    }
}

#[cfg(test)]
mod tests;
