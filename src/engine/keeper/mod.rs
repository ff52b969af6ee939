//! Owns one tenant's picture and its open transitions: observe, decide and act meet here, pass by pass.
//!
//! A pass takes in what has arrived, decides, lets go what may leave, and commits all of it at once. Only then do POSTs,
//! questions and answers leave. Where the commit fails, nothing leaves; the keeper ends, is started again and reads the store,
//! as after a crash. The keeper never waits for the platform.

mod agents;
mod changes;
mod clock_set;
mod excused;
mod facts;
mod load;
mod record;
mod rules;
mod show;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

pub(super) use self::changes::requests::hindrance;

use self::agents::files::File;
use self::changes::answers::{Answered, Told};
use self::changes::book::Book;
use self::changes::requests::PendingAnswer;
use self::record::Pass;
use self::rules::RuleShelf;
use self::show::Shown;
use super::agents::picture::PLANS_EVERY;
use super::message::Message;
use super::operations::meter::Totals;
use super::operations::settings::TenantSettings;
use super::platform::link::Link;
use crate::clock::{RealTime, Stopwatch};
use crate::domain::adherence::exception::Exception;
use crate::domain::agents::merge::Fed;
use crate::domain::agents::roster::Roster;
use crate::domain::changes::transition::{Status, Step};
use crate::domain::ids::{AgentId, RuleId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::platform::breaker::Breaker;
use crate::platform::share::Share;
use crate::store::CommitError;

/// Decisions are made at least this often.
const DECIDE_EVERY: Duration = Duration::from_secs(1);

/// Arrivals that one pass takes in at most.
const MOST_ARRIVALS: usize = 512;

/// A pass takes nothing more in once its arrivals may change so many agents: what it commits is held in memory several times over.
const MOST_CHANGES: usize = 1000;

/// How long POSTs that are under way are awaited at a stop, in real time.
const STOP_REAL: Duration = Duration::from_secs(5);

/// What outlives a keeper's restart.
#[derive(Clone, Debug)]
pub struct KeeperParts {
    /// Shared with the tenant's other workers.
    pub link: Arc<Link>,
    /// What arrives.
    pub inbox: Arc<Mutex<mpsc::Receiver<Message>>>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<TenantSettings>>,
    /// Where the roster is told to the worker that subscribes.
    pub roster: watch::Sender<Arc<[AgentId]>>,
}

/// An automatic change that an agent may reverse.
#[derive(Clone, Debug)]
struct AutomaticChange {
    transition: TransitionId,
    rule: RuleId,
    set_at: UtcMicros,
}

/// The keeper of one tenant.
struct Keeper {
    link: Arc<Link>,
    /// With the rules of the store.
    settings: Arc<TenantSettings>,
    shelf: RuleShelf,
    /// Exceptions that are not over.
    exceptions: Vec<Exception>,
    roster: Roster,
    /// By place in the roster.
    files: Vec<File>,
    book: Book,
    breaker: Breaker,
    retries: Share,
    reads: Share,
    automatic: HashMap<AgentId, AutomaticChange>,
    /// Agents who leave the roster as soon as nothing of theirs is under way.
    leaving: HashSet<AgentId>,
    answers: Vec<PendingAnswer>,
    sends: JoinSet<Answered>,
    questions: JoinSet<Result<Told, CommitError>>,
    roster_told: watch::Sender<Arc<[AgentId]>>,
    started_at: UtcMicros,
    /// When the newest snapshot of each subscription was generated, by the subscription's number.
    newest_sights: BTreeMap<u32, UtcMicros>,
    /// The span of sight that goes on, as it is stored.
    in_sight: Option<agents::in_sight::InSight>,
    /// Messages of the feed that may be older than what is known.
    held_fed: BTreeMap<AgentId, Fed>,
    /// Since when the subscriptions have their agents.
    looking_since: UtcMicros,
    /// The subscriptions that people were told are stale.
    told_stale: BTreeSet<u32>,
    plans_read: UtcMicros,
    /// What viewers were told.
    shown: Shown,
    /// How far the wall clock is ahead of steady time; another value means that it was set.
    ahead_of_steady_us: Option<i64>,
    /// In microseconds of steady time: since then our clock has not been set, as far as calls tell that were looked at.
    stands_since_us: Option<i64>,
    /// How much steady time is ahead of monotonic time; more of it means that the host slept.
    slept: Option<Duration>,
    /// When the budget, the breaker or an allowance may let something through, in monotonic time.
    next_slot: Option<Duration>,
    /// How long a state POST takes from its row to its answer, lately.
    answer_in: Option<Duration>,
}

/// One thing that a pass takes in.
enum Arrival {
    Message(Message),
    Answer(Answered),
    Told(Told),
}

impl Arrival {
    /// How many agents it may change.
    fn changes(&self) -> usize {
        match self {
            Self::Message(Message::Request { request, .. }) => request.agents.len(),
            Self::Message(Message::Sight(sight)) => sight.changed.len(),
            Self::Message(Message::Fed(fed)) => fed.len(),
            Self::Message(Message::ChangeSet(set)) => set.agents(),
            Self::Message(
                Message::SliceNotice(_)
                | Message::Cancel { .. }
                | Message::Decision(_)
                | Message::Skills(_)
                | Message::ScheduleChanged
                | Message::Rules(_)
                | Message::Erase(_)
                | Message::Look { .. }
                | Message::Board { .. },
            )
            | Self::Answer(_)
            | Self::Told(_) => 0,
        }
    }
}

/// Runs the keeper of a tenant until `soft` is cancelled, or until something fails that only a fresh start can mend.
pub async fn run(parts: KeeperParts, soft: CancellationToken) -> anyhow::Result<()> {
    let mut inbox = parts.inbox.clone().lock_owned().await;
    let mut keeper = match Keeper::load(&parts).await {
        Ok(keeper) => keeper,
        Err(error) => {
            // Who asks is told at once. A request that waited for a start that succeeds, perhaps in hours, would be carried
            // out when nobody wants it any more; all else is read anew then.
            while inbox.try_recv().is_ok() {}
            return Err(error);
        }
    };
    let _runs = Runs::from_now_on(&parts.link);
    let mut settings = parts.settings.clone();
    loop {
        let mut arrivals = Vec::new();
        let wait = keeper.next_wake();
        tokio::select! {
            biased;
            () = soft.cancelled() => {
                // Who still asks is told at once that nothing was taken in, while answers of POSTs are awaited.
                inbox.close();
                while inbox.try_recv().is_ok() {}
                return keeper.stop().await;
            }
            Some(answer) = keeper.sends.join_next() => arrivals.push(Arrival::Answer(answered(answer)?)),
            Some(told) = keeper.questions.join_next() => arrivals.push(Arrival::Told(answered(told)??)),
            Some(message) = inbox.recv() => arrivals.push(Arrival::Message(message)),
            changed = settings.changed() => {
                changed?;
                let newest = settings.borrow_and_update().clone();
                keeper.take_settings(newest).await?;
            }
            () = keeper.link.clock.sleep(wait) => {}
        }
        let mut changes: usize = arrivals.iter().map(Arrival::changes).sum();
        while arrivals.len() < MOST_ARRIVALS && changes < MOST_CHANGES {
            if let Some(answer) = keeper.sends.try_join_next() {
                arrivals.push(Arrival::Answer(answered(answer)?));
            } else if let Some(told) = keeper.questions.try_join_next() {
                arrivals.push(Arrival::Told(answered(told)??));
            } else if let Ok(message) = inbox.try_recv() {
                let arrival = Arrival::Message(message);
                changes += arrival.changes();
                arrivals.push(arrival);
            } else {
                break;
            }
        }
        keeper.pass(arrivals).await?;
    }
}

/// Says that the keeper runs, for as long as this is held.
struct Runs(Arc<Link>);

impl Runs {
    fn from_now_on(link: &Arc<Link>) -> Self {
        link.meter.runs(true);
        Self(link.clone())
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.meter.runs(false);
    }
}

fn answered<T>(result: Result<T, JoinError>) -> anyhow::Result<T> {
    result.map_err(|error| anyhow::anyhow!("a call's task failed: {error}"))
}

impl Keeper {
    fn next_wake(&self) -> Duration {
        let now = self.link.clock.monotonic();
        let slot = self.next_slot.map_or(DECIDE_EVERY, |at| at.saturating_sub(now));
        slot.clamp(Duration::from_millis(1), DECIDE_EVERY)
    }

    async fn pass(&mut self, arrivals: Vec<Arrival>) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        self.watch_clock().await?;
        let mut pass = Pass::new(self.link.clock.now());
        for arrival in arrivals {
            self.take(&mut pass, arrival).await?;
        }
        if pass.now.since(self.plans_read) >= PLANS_EVERY {
            self.read_plans(pass.now).await?;
        }
        self.believe_held(&mut pass);
        self.watch_staleness(&mut pass);
        self.give_up_unseen(&mut pass);
        self.decide(&mut pass);
        self.end_what_is_moot(&mut pass);
        self.dispatch(&mut pass);
        self.see_off(&mut pass);
        self.finish_answers(&mut pass);
        self.keep_sight(&mut pass, false);
        Self::finish_decisions(&mut pass);
        self.commit(&mut pass).await?;
        self.send(&mut pass);
        self.ask(&mut pass);
        self.forget_leavers(&pass);
        for reply in std::mem::take(&mut pass.replies) {
            reply();
        }
        for look in std::mem::take(&mut pass.looks) {
            // A viewer may be gone again.
            let _ = look.send(self.show(pass.now));
        }
        for reply in std::mem::take(&mut pass.boards) {
            let _ = reply.send(self.board(pass.now));
        }
        self.tell_facts(pass.now);
        self.link.meter.passed(watch.elapsed());
        Ok(())
    }

    async fn take(&mut self, pass: &mut Pass, arrival: Arrival) -> anyhow::Result<()> {
        match arrival {
            Arrival::Answer(answer) => self.take_answer(pass, answer),
            Arrival::Told(told) => self.take_told(pass, told),
            Arrival::Message(Message::Sight(sight)) => {
                self.read_stays_anew(pass, &sight).await?;
                self.take_sight(pass, sight);
            }
            Arrival::Message(Message::Fed(fed)) => self.take_fed(pass, fed),
            Arrival::Message(Message::SliceNotice(notice)) => self.take_notice(pass, &notice),
            Arrival::Message(Message::Request { request, reply }) => self.take_request(pass, request, reply),
            Arrival::Message(Message::Cancel { id, actor, reply }) => self.cancel(pass, id, actor, reply),
            Arrival::Message(Message::ChangeSet(set)) => self.take_set(pass, set).await?,
            Arrival::Message(Message::Decision(decision)) => self.take_decision(pass, decision),
            Arrival::Message(Message::Skills(skills)) => self.take_skills(pass, skills).await?,
            Arrival::Message(Message::ScheduleChanged) => self.take_schedule(pass).await?,
            Arrival::Message(Message::Rules(ask)) => self.take_rules_ask(pass, *ask).await?,
            Arrival::Message(Message::Erase(ask)) => self.take_erasure(pass, *ask).await?,
            Arrival::Message(Message::Look { reply }) => pass.looks.push(reply),
            Arrival::Message(Message::Board { reply }) => pass.boards.push(reply),
        }
        Ok(())
    }

    async fn commit(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
        let commit = self.finish_commit(pass);
        let (committed, draft) = (!commit.is_empty(), self.to_tell(pass.now, &commit));
        let mut ids = Vec::new();
        if committed {
            let totals = Totals::of(&commit);
            ids = self.link.writer.commit(commit).await?.history;
            self.link.meter.add(&totals);
        }
        self.publish(pass.now, draft, committed, &ids);
        Ok(())
    }

    /// Waits a little for the POSTs that are under way; those that are still unanswered then are in doubt, and the next start
    /// settles them.
    async fn stop(mut self) -> anyhow::Result<()> {
        let mut pass = Pass::new(self.link.clock.now());
        let mut limit = RealTime::sleep(STOP_REAL);
        while !self.sends.is_empty() {
            tokio::select! {
                Some(answer) = self.sends.join_next() => self.take_answer(&mut pass, answered(answer)?),
                () = &mut limit => break,
            }
        }
        let unanswered: Vec<TransitionId> = self
            .book
            .iter()
            .filter(|open| matches!(open.transition.status, Status::Sending { .. }))
            .map(|open| open.transition.id)
            .collect();
        for id in unanswered {
            let readable_after = self.readable_after(pass.now);
            self.step(&mut pass, id, Step::Doubt { readable_after });
        }
        self.keep_sight(&mut pass, true);
        self.commit(&mut pass).await
    }

    /// A snapshot generated after this instant tells what became of a POST that left at `sent_at`. After a stop or a crash
    /// nobody knows when it left, only that it was before the instant at which that is found; then that one counts.
    fn readable_after(&self, sent_at: UtcMicros) -> UtcMicros {
        sent_at + self.request_timeout() + self.settings.sight.interval
    }

    /// How long an answer is awaited, in the clock's time.
    fn request_timeout(&self) -> Duration {
        self.link.clock.span_of_real(self.settings.budget.request_timeout_real)
    }
}

#[cfg(test)]
mod tests;
