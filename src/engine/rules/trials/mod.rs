//! Trials: rules replayed over stored history, one at a time, beside everything else.
//!
//! A trial changes nothing. It is held in memory and forgotten at a restart; the finished ones make way for newer ones.

mod kit;
mod result;
mod run;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub use self::kit::{TrialKit, TrialWish};
pub use self::result::{
    AgentActs, ComparedView, HeldTimes, HourActs, ListedAct, Really, RuleActs, TrialResult, TrialSide,
};
pub use self::run::Span;
use self::run::{Pace, TrialFailed, run as replay};
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::ids::{RuleId, TenantId, TrialId};
use crate::domain::time::UtcMicros;
use crate::store::Reader;

/// Trials of one tenant that may wait or run at once.
pub const MOST_WAITING: usize = 3;
/// Trials of one tenant that are kept, finished ones included.
const MOST_KEPT: usize = 20;

/// How a trial stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialStatus {
    /// Another one runs.
    Waiting,
    /// It runs.
    Running,
    /// It has a result.
    Done,
    /// Somebody stopped it.
    Cancelled,
    /// It came to nothing; `error` says why.
    Failed,
}

/// A trial as people see it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Trial {
    /// Its id.
    pub id: TrialId,
    /// Whose rules and history.
    pub tenant: TenantId,
    /// Who asked for it.
    pub asked_by: String,
    /// When.
    pub asked_at: UtcMicros,
    /// The rule that is tried; null where all are.
    pub rule: Option<RuleId>,
    /// First instant of the span.
    pub from: UtcMicros,
    /// First instant after it.
    pub to: UtcMicros,
    /// How it stands.
    pub status: TrialStatus,
    /// How much of it is done, 0 to 1.
    pub progress: f64,
    /// Why it came to nothing.
    pub error: Option<String>,
    /// What came of it; left out in lists.
    pub result: Option<TrialResult>,
}

/// Why a trial was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TrialRefused {
    /// The span is empty, lies ahead, or is too long.
    #[error(
        "the span is from {from:.0} to {to:.0}, and now it is {now:.0}: it has to lie in the past and may have {days} days at most \
         (`automation.trial_days`)"
    )]
    Span {
        /// From.
        from: UtcMicros,
        /// To.
        to: UtcMicros,
        /// The most.
        days: u64,
        /// Now.
        now: UtcMicros,
    },
    /// As many as may wait do.
    #[error("{MOST_WAITING} trials of this tenant wait or run, which is the most: cancel one, or wait for one to end")]
    TooMany,
}

struct Held {
    trial: Trial,
    kit: Option<TrialKit>,
    stop: CancellationToken,
}

/// The trials of the daemon. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Trials {
    reader: Reader,
    clock: SharedClock,
    random: SharedRandom,
    held: Arc<Mutex<VecDeque<Held>>>,
    news: Arc<Notify>,
}

impl Trials {
    /// None yet. Those that are asked for wait until [`Trials::run`] runs.
    pub fn new(reader: Reader, clock: SharedClock, random: SharedRandom) -> Self {
        Self { reader, clock, random, held: Arc::default(), news: Arc::default() }
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a trial in: from an instant, or as long before the end as may be, to another, or now.
    ///
    /// # Errors
    /// The span is none that may be tried, or too many wait.
    pub fn ask(
        &self,
        tenant: &TenantId,
        asked_by: &str,
        kit: TrialKit,
        (from, to): (Option<UtcMicros>, Option<UtcMicros>),
    ) -> Result<Trial, TrialRefused> {
        let now = self.clock.now();
        let to = to.unwrap_or(now);
        let from = from.unwrap_or(to - kit.longest);
        if from >= to || to > now || to.since(from) > kit.longest {
            let days = kit.longest.as_secs() / (24 * 3600);
            return Err(TrialRefused::Span { from, to, days, now });
        }
        let trial = Trial {
            id: TrialId(self.random.id_at(now)),
            tenant: tenant.clone(),
            asked_by: asked_by.to_owned(),
            asked_at: now,
            rule: kit.subject.clone(),
            from,
            to,
            status: TrialStatus::Waiting,
            progress: 0.0,
            error: None,
            result: None,
        };
        {
            let mut held = self.held();
            let of_tenant = |held: &&Held| held.trial.tenant == *tenant;
            let open = held.iter().filter(of_tenant).filter(|held| is_open(held.trial.status)).count();
            if open >= MOST_WAITING {
                return Err(TrialRefused::TooMany);
            }
            while held.iter().filter(of_tenant).count() >= MOST_KEPT {
                let oldest = held.iter().position(|held| held.trial.tenant == *tenant && !is_open(held.trial.status));
                let Some(oldest) = oldest else { break };
                held.remove(oldest);
            }
            held.push_back(Held { trial: trial.clone(), kit: Some(kit), stop: CancellationToken::new() });
        }
        self.news.notify_one();
        Ok(trial)
    }

    /// The trials of a tenant without their results, newest first.
    pub fn list(&self, tenant: &TenantId) -> Vec<Trial> {
        let held = self.held();
        let of_tenant = held.iter().rev().filter(|held| held.trial.tenant == *tenant);
        of_tenant.map(|held| Trial { result: None, ..held.trial.clone() }).collect()
    }

    /// One trial.
    pub fn one(&self, tenant: &TenantId, id: TrialId) -> Option<Trial> {
        self.held()
            .iter()
            .find(|held| held.trial.id == id && held.trial.tenant == *tenant)
            .map(|held| held.trial.clone())
    }

    /// Stops a trial that waits or runs; one that has ended stays as it is.
    pub fn cancel(&self, tenant: &TenantId, id: TrialId) -> Option<Trial> {
        let mut all = self.held();
        let held = all.iter_mut().find(|held| held.trial.id == id && held.trial.tenant == *tenant)?;
        if is_open(held.trial.status) {
            held.stop.cancel();
            held.trial.status = TrialStatus::Cancelled;
            held.kit = None;
        }
        Some(held.trial.clone())
    }

    /// Lets go of a tenant's trials, those that wait or run too: an agent whom they name is erased.
    pub fn forget(&self, tenant: &TenantId) {
        self.held().retain(|held| {
            let goes = held.trial.tenant == *tenant;
            if goes {
                held.stop.cancel();
            }
            !goes
        });
    }

    /// Carries trials out, one after the other, until `soft` is cancelled.
    ///
    /// # Errors
    /// None of its own; what a trial fails of stands in the trial.
    pub async fn run(self, soft: CancellationToken) -> anyhow::Result<()> {
        // What an earlier run of this task left behind would wait for ever.
        for held in self.held().iter_mut().filter(|held| held.trial.status == TrialStatus::Running) {
            held.trial.status = TrialStatus::Failed;
            held.trial.error = Some("it was cut off; ask for it again".to_owned());
        }
        loop {
            if let Some((id, tenant, kit, span, stop)) = self.next() {
                self.carry_out(id, &tenant, &kit, span, &stop, &soft).await;
            } else {
                tokio::select! {
                    () = soft.cancelled() => return Ok(()),
                    () = self.news.notified() => {}
                }
            }
            if soft.is_cancelled() {
                return Ok(());
            }
        }
    }

    fn next(&self) -> Option<(TrialId, TenantId, TrialKit, Span, CancellationToken)> {
        let mut all = self.held();
        let held = all.iter_mut().find(|held| held.trial.status == TrialStatus::Waiting)?;
        let kit = held.kit.take()?;
        let trial = &mut held.trial;
        trial.status = TrialStatus::Running;
        Some((trial.id, trial.tenant.clone(), kit, (trial.from, trial.to), held.stop.clone()))
    }

    async fn carry_out(
        &self,
        id: TrialId,
        tenant: &TenantId,
        kit: &TrialKit,
        span: Span,
        stop: &CancellationToken,
        soft: &CancellationToken,
    ) {
        let progress = |share: f64| self.change(id, |trial| trial.progress = share);
        let pace = Pace { stop, progress: &progress };
        let ended = tokio::select! {
            ended = replay(&self.reader, tenant, kit, span, &pace) => ended,
            () = soft.cancelled() => Err(TrialFailed::Cancelled),
        };
        self.change(id, |trial| match ended {
            Ok(result) => {
                (trial.status, trial.progress) = (TrialStatus::Done, 1.0);
                trial.result = Some(result);
            }
            Err(TrialFailed::Cancelled) => trial.status = TrialStatus::Cancelled,
            Err(error) => {
                let cause = anyhow::Error::from(error);
                tracing::error!(%tenant, trial = %id, error = format!("{cause:#}"), "a trial of rules failed");
                trial.status = TrialStatus::Failed;
                trial.error = Some("the history could not be read; see the log".to_owned());
            }
        });
    }

    /// Changes a trial that runs.
    fn change(&self, id: TrialId, change: impl FnOnce(&mut Trial)) {
        let mut all = self.held();
        if let Some(held) = all.iter_mut().find(|held| held.trial.id == id)
            && held.trial.status == TrialStatus::Running
        {
            change(&mut held.trial);
        }
    }
}

const fn is_open(status: TrialStatus) -> bool {
    match status {
        TrialStatus::Waiting | TrialStatus::Running => true,
        TrialStatus::Done | TrialStatus::Cancelled | TrialStatus::Failed => false,
    }
}

#[cfg(test)]
mod tests;
