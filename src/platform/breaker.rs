//! The tenant's breaker: when failures persist over several agents it halts automation, and probes resume it.
//!
//! Pure; it neither sends nor tells anyone. Every change of its state is returned, so that the engine can tell people and
//! write it into the audit. Times are the clock's monotonic time.
//!
//! While it is open nothing but the probe leaves, also nothing that people ask for: their changes wait and say why, and since
//! the most urgent change in line is the one that asks first, the probe is theirs where they ask. Calls that were under way
//! when it opened may still end; a success of theirs is worth as much as the probe's, a failure tells nothing new.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Trouble;
use crate::domain::ids::{AgentId, TransitionId};

/// How many agents must have failed [`TRIES`] times (source: the design's part 6 and guide 003).
const AGENTS: usize = 3;

/// How often each of them must have failed, without any success of the tenant in between (source: guide 003).
const TRIES: u32 = 3;

/// As many failures of more agents halt as well when they go on for so long without any success, where each of them says that
/// the platform is out of service: under a small budget and many pending changes nobody is tried often. An answer that was
/// lost says nothing of the kind; what became of its change is read back, and only what keeps failing is tried again.
const PERSISTS: Duration = Duration::from_secs(30);

/// The time between two probes: at most two a minute.
pub const PROBE_EVERY: Duration = Duration::from_secs(30);

/// A probe without an outcome for so long is taken as failed, so that a lost one cannot keep the breaker open for ever.
const LONGEST_PROBE: Duration = Duration::from_secs(3600);

/// Agents that are remembered as failing; more of them would not change the verdict.
const MOST_REMEMBERED: usize = 10_000;

/// The breaker of one tenant.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    /// Consecutive failures by agent, since the tenant's last success.
    failing: BTreeMap<AgentId, u32>,
    /// How many of those failures said that the platform is out of service, at most [`TRIES`] of an agent, and since when.
    out_of_service: Option<OutOfService>,
}

#[derive(Clone, Copy, Debug)]
struct OutOfService {
    since: Duration,
    failures: usize,
}

/// Where the breaker stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Automation runs.
    #[default]
    Closed,
    /// Automation halts.
    Open {
        /// Since when.
        since: Duration,
        /// When the next probe may go.
        next_probe: Duration,
    },
    /// Automation halts, and one probe is under way.
    Probing {
        /// Since when automation halts.
        since: Duration,
        /// When the probe was let go.
        sent: Duration,
        /// Which call it is.
        probe: TransitionId,
    },
}

/// What a call may do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Go.
    Go,
    /// Go, as the one probe: its outcome must be told.
    Probe,
    /// Wait at least until then.
    Halted {
        /// When to ask again.
        until: Duration,
    },
}

/// A change that people should hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Automation halts.
    Opened {
        /// The agents whose calls kept failing.
        agents: Vec<AgentId>,
    },
    /// A call went through; automation runs again.
    Resumed {
        /// How long it was halted.
        after: Duration,
    },
}

impl Breaker {
    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Asks for a call. A granted probe must be followed by [`Breaker::succeeded`], [`Breaker::failed`] or
    /// [`Breaker::withdrawn`].
    pub fn permit(&mut self, call: TransitionId, now: Duration) -> Permission {
        match self.state {
            State::Closed => Permission::Go,
            State::Open { since, next_probe } if next_probe <= now => {
                self.state = State::Probing { since, sent: now, probe: call };
                Permission::Probe
            }
            State::Open { next_probe, .. } => Permission::Halted { until: next_probe },
            State::Probing { since, sent, .. } if sent + LONGEST_PROBE <= now => {
                self.state = State::Probing { since, sent: now, probe: call };
                Permission::Probe
            }
            State::Probing { sent, .. } => {
                Permission::Halted { until: (sent + PROBE_EVERY).max(now + PROBE_EVERY / 30) }
            }
        }
    }

    /// Whether this call is the probe that is under way.
    pub fn is_probe(&self, call: TransitionId) -> bool {
        matches!(self.state, State::Probing { probe, .. } if probe == call)
    }

    /// The agents whose failures persist, once they are enough: each has failed often, or the platform was out of service for
    /// many for a while.
    fn persistently_failing(&self, now: Duration) -> Option<Vec<AgentId>> {
        let often = self.failing.iter().filter(|(_, tries)| **tries >= TRIES);
        let agents: Vec<AgentId> = often.map(|(agent, _)| agent.clone()).collect();
        if agents.len() >= AGENTS {
            return Some(agents);
        }
        let out = self.out_of_service?;
        let long = now.saturating_sub(out.since) >= PERSISTS;
        (long && self.failing.len() >= AGENTS && out.failures >= AGENTS * TRIES as usize)
            .then(|| self.failing.keys().cloned().collect())
    }

    fn remember(&mut self, agent: &AgentId, trouble: Trouble, now: Duration) {
        if self.failing.len() < MOST_REMEMBERED || self.failing.contains_key(agent) {
            *self.failing.entry(agent.clone()).or_default() += 1;
        }
        let tries = self.failing.get(agent).copied().unwrap_or_default();
        if trouble == Trouble::OutOfService && tries <= TRIES {
            self.out_of_service.get_or_insert(OutOfService { since: now, failures: 0 }).failures += 1;
        }
    }

    fn forget(&mut self) {
        self.failing.clear();
        self.out_of_service = None;
    }

    /// A call for this agent failed in a way that counts ([`super::CallError::trouble`]).
    pub fn failed(&mut self, agent: &AgentId, call: TransitionId, trouble: Trouble, now: Duration) -> Option<Change> {
        match self.state {
            State::Closed => {
                self.remember(agent, trouble, now);
                let agents = self.persistently_failing(now)?;
                self.forget();
                self.state = State::Open { since: now, next_probe: now + PROBE_EVERY };
                Some(Change::Opened { agents })
            }
            State::Probing { since, probe, .. } if probe == call => {
                // From the answer on: whenever a probe arrives between its sending and its answer, the next one arrives at
                // least this much later.
                self.state = State::Open { since, next_probe: now + PROBE_EVERY };
                None
            }
            // Calls that were under way when it opened: nothing new.
            State::Open { .. } | State::Probing { .. } => None,
        }
    }

    /// A call got an answer that shows the platform at work: a success, or a refusal with a reason (4xx).
    pub fn succeeded(&mut self, now: Duration) -> Option<Change> {
        self.forget();
        match self.state {
            State::Closed => None,
            State::Open { since, .. } | State::Probing { since, .. } => {
                self.state = State::Closed;
                Some(Change::Resumed { after: now.saturating_sub(since) })
            }
        }
    }

    /// This call was not sent after all: where it is the probe, another one may be, at once.
    pub fn withdrawn(&mut self, call: TransitionId) {
        match self.state {
            State::Probing { since, sent, probe } if probe == call => {
                self.state = State::Open { since, next_probe: sent };
            }
            State::Closed | State::Open { .. } | State::Probing { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, a breaker, what happens to it, and where it stands then.
    type Case = (&'static str, Breaker, fn(&mut Breaker), State);

    const OUT: Trouble = Trouble::OutOfService;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn agent(n: usize) -> AgentId {
        AgentId::new(format!("u_{n}"))
    }

    fn call(n: u128) -> TransitionId {
        TransitionId(uuid::Uuid::from_u128(n))
    }

    fn open_at(now: Duration) -> Breaker {
        let mut breaker = Breaker::default();
        let changes: Vec<_> = (0..9).filter_map(|n| breaker.failed(&agent(n % 3), call(1), OUT, now)).collect();
        assert_eq!(changes, [Change::Opened { agents: vec![agent(0), agent(1), agent(2)] }]);
        breaker
    }

    #[test]
    fn two_failing_agents_or_a_success_in_between_do_not_open_it() {
        let mut breaker = Breaker::default();
        for n in 0..20 {
            assert_eq!(breaker.failed(&agent(n % 2), call(1), OUT, seconds(1)), None);
        }
        assert_eq!(breaker.succeeded(seconds(2)), None);
        for n in 0..8 {
            assert_eq!(breaker.failed(&agent(n % 3), call(1), OUT, seconds(3)), None, "failure {n} after the success");
        }
        assert_eq!(breaker.permit(call(1), seconds(4)), Permission::Go);
        assert!(breaker.failed(&agent(2), call(1), OUT, seconds(5)).is_some(), "the third failure of the third agent");
    }

    #[test]
    fn many_agents_that_fail_once_open_it_when_that_goes_on_for_a_while() {
        let mut breaker = Breaker::default();
        for n in 0..100 {
            assert_eq!(breaker.failed(&agent(n), call(1), OUT, seconds(1)), None, "a burst is no persistence");
        }
        assert_eq!(breaker.failed(&agent(100), call(1), OUT, seconds(30)), None);
        assert!(
            matches!(breaker.failed(&agent(101), call(1), OUT, seconds(31)), Some(Change::Opened { agents }) if agents.len() == 102)
        );
        let mut breaker = Breaker::default();
        for n in 0..8 {
            assert_eq!(breaker.failed(&agent(n), call(1), OUT, seconds(60 * n as u64)), None, "failure {n} of too few");
        }
        assert_eq!(breaker.succeeded(seconds(500)), None);
        assert_eq!(breaker.failed(&agent(9), call(1), OUT, seconds(501)), None);
    }

    #[test]
    fn lost_answers_open_it_only_where_the_same_agents_keep_failing() {
        let mut breaker = Breaker::default();
        for n in 0..1000 {
            assert_eq!(breaker.failed(&agent(n), call(1), Trouble::AnswerLost, seconds(n as u64)), None, "agent {n}");
        }
        for n in 0..8 {
            assert_eq!(breaker.failed(&agent(1000 + n), call(1), OUT, seconds(2000 + 10 * n as u64)), None);
        }
        assert!(breaker.failed(&agent(1008), call(1), OUT, seconds(2080)).is_some(), "the ninth that says so");

        let mut breaker = Breaker::default();
        let lost = (0..9).filter_map(|n| breaker.failed(&agent(n % 3), call(1), Trouble::AnswerLost, seconds(1)));
        assert_eq!(lost.collect::<Vec<_>>(), [Change::Opened { agents: vec![agent(0), agent(1), agent(2)] }]);
    }

    #[test]
    fn every_state_answers_every_event() {
        let (opened, asked) = (seconds(100), seconds(140));
        let open = || open_at(opened);
        let probing = || {
            let mut breaker = open();
            assert_eq!(breaker.permit(call(1), asked), Permission::Probe);
            breaker
        };
        let open_state = |next| State::Open { since: opened, next_probe: next };
        let table: [Case; 11] = [
            ("closed, success", Breaker::default(), |b| drop(b.succeeded(seconds(141))), State::Closed),
            (
                "closed, failure",
                Breaker::default(),
                |b| drop(b.failed(&agent(9), call(1), OUT, seconds(141))),
                State::Closed,
            ),
            ("closed, withdrawn", Breaker::default(), |b| b.withdrawn(call(1)), State::Closed),
            ("open, success", open(), |b| drop(b.succeeded(seconds(141))), State::Closed),
            (
                "open, failure",
                open(),
                |b| drop(b.failed(&agent(9), call(1), OUT, seconds(141))),
                open_state(seconds(130)),
            ),
            ("open, withdrawn", open(), |b| b.withdrawn(call(1)), open_state(seconds(130))),
            ("probing, success", probing(), |b| drop(b.succeeded(seconds(141))), State::Closed),
            (
                "probing, failure",
                probing(),
                |b| drop(b.failed(&agent(9), call(1), OUT, seconds(141))),
                open_state(seconds(171)),
            ),
            (
                "probing, failure of another",
                probing(),
                |b| drop(b.failed(&agent(9), call(2), OUT, seconds(141))),
                probing().state(),
            ),
            ("probing, another withdrawn", probing(), |b| b.withdrawn(call(2)), probing().state()),
            ("probing, withdrawn", probing(), |b| b.withdrawn(call(1)), open_state(asked)),
        ];
        for (name, mut breaker, event, expected) in table {
            event(&mut breaker);
            assert_eq!(breaker.state(), expected, "{name}");
        }
    }

    #[test]
    fn probes_go_at_most_twice_a_minute_and_one_at_a_time() {
        let mut breaker = open_at(seconds(0));
        let mut probes = Vec::new();
        for now in (0..300).map(seconds) {
            match breaker.permit(call(1), now) {
                Permission::Probe => {
                    probes.push(now);
                    assert!(matches!(breaker.permit(call(1), now), Permission::Halted { until } if until > now));
                    breaker.failed(&agent(5), call(1), OUT, now);
                }
                Permission::Halted { until } => assert!(until > now),
                Permission::Go => panic!("it is open"),
            }
        }
        assert_eq!(probes, [30, 60, 90, 120, 150, 180, 210, 240, 270].map(seconds));
    }

    #[test]
    fn a_success_resumes_and_says_for_how_long_it_was_halted() {
        let mut breaker = open_at(seconds(100));
        assert_eq!(breaker.permit(call(1), seconds(129)), Permission::Halted { until: seconds(130) });
        assert_eq!(breaker.permit(call(1), seconds(130)), Permission::Probe);
        assert_eq!(breaker.succeeded(seconds(131)), Some(Change::Resumed { after: seconds(31) }));
        assert_eq!(breaker.permit(call(1), seconds(131)), Permission::Go);
    }

    #[test]
    fn a_lost_probe_does_not_keep_it_open_for_ever() {
        let mut breaker = open_at(seconds(0));
        assert_eq!(breaker.permit(call(1), seconds(30)), Permission::Probe);
        assert!(matches!(breaker.permit(call(1), seconds(3600)), Permission::Halted { .. }));
        assert_eq!(breaker.permit(call(1), seconds(3630)), Permission::Probe);
    }
}
