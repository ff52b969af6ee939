//! The circuit breaker of one tenant: it halts automation when failures persist across several agents, and probes
//! resume it.
//!
//! The breaker does no I/O and notifies nobody. Every change of its state is returned, so that the engine can notify
//! people and write it to the audit log. Times are the clock's monotonic time.
//!
//! While the breaker is open, only the probe is sent. Changes that people request also wait and say why; since the most
//! urgent change in the queue asks first, theirs becomes the probe if there is one. Calls that were in flight when the
//! breaker opened may still finish: their success counts like the probe's, and their failure is ignored.

use std::collections::BTreeMap;
use std::time::Duration;

use super::PlatformTrouble;
use crate::domain::ids::{AgentId, TransitionId};

/// How many agents must have failed [`MIN_FAILURES_PER_AGENT`] times (source: the design's part 6 and guide 003).
const MIN_FAILING_AGENTS: usize = 3;

/// How often each of them must have failed without any success of the tenant in between (source: guide 003).
const MIN_FAILURES_PER_AGENT: u32 = 3;

/// How long failures of many agents must persist to open the breaker even if no agent has failed often.
///
/// With a small budget and many pending changes, no agent is tried often. So the same number of failures spread over
/// more agents also counts, if they persist this long without a success and each says that the platform is out of
/// service. Lost answers do not count here: the effect of their change is read back, and only what keeps failing is
/// tried again.
const PERSISTENT_AFTER: Duration = Duration::from_secs(30);

/// The time between two probes: at most two per minute.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// A probe without an outcome counts as failed after this time, so that a lost probe cannot keep the breaker open for
/// ever.
const MAX_PROBE: Duration = Duration::from_secs(3600);

/// The maximum number of failing agents that are remembered; more would not change the decision.
const MAX_TRACKED: usize = 10_000;

/// The breaker of one tenant.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    /// Consecutive failures by agent since the tenant's last success.
    failure_counts: BTreeMap<AgentId, u32>,
    /// How many of those failures said that the platform is out of service, with at most [`MIN_FAILURES_PER_AGENT`]
    /// counted per agent, and since when.
    out_of_service: Option<OutOfService>,
}

#[derive(Clone, Copy, Debug)]
struct OutOfService {
    since: Duration,
    failures: usize,
}

/// The breaker's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Automation runs.
    #[default]
    Closed,
    /// Automation is halted.
    Open {
        /// When the breaker opened.
        since: Duration,
        /// When the next probe may be sent.
        next_probe: Duration,
    },
    /// Automation is halted, and one probe is in flight.
    Probing {
        /// When the breaker opened.
        since: Duration,
        /// When the probe was permitted.
        sent: Duration,
        /// The call that is the probe.
        probe: TransitionId,
    },
}

/// Whether a call may be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// The call may be sent.
    Allowed,
    /// The call may be sent as the probe; its outcome must be recorded.
    Probe,
    /// The call must wait.
    Halted {
        /// The earliest time to ask again.
        until: Duration,
    },
}

/// A change of the breaker that people should be notified of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Automation was halted.
    Opened {
        /// The agents whose calls kept failing.
        agents: Vec<AgentId>,
    },
    /// A call succeeded and automation resumed.
    Resumed {
        /// How long automation was halted.
        after: Duration,
    },
}

impl Breaker {
    /// Returns the current state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Asks whether a call may be sent. A permitted probe must be followed by [`Breaker::record_success`],
    /// [`Breaker::record_failure`] or [`Breaker::probe_withdrawn`].
    pub fn permit(&mut self, call: TransitionId, now: Duration) -> Permission {
        match self.state {
            State::Closed => Permission::Allowed,
            State::Open { since, next_probe } if next_probe <= now => {
                self.state = State::Probing { since, sent: now, probe: call };
                Permission::Probe
            }
            State::Open { next_probe, .. } => Permission::Halted { until: next_probe },
            State::Probing { since, sent, .. } if sent + MAX_PROBE <= now => {
                self.state = State::Probing { since, sent: now, probe: call };
                Permission::Probe
            }
            State::Probing { sent, .. } => {
                Permission::Halted { until: (sent + PROBE_INTERVAL).max(now + PROBE_INTERVAL / 30) }
            }
        }
    }

    /// Returns whether this call is the probe in flight.
    pub fn is_probe(&self, call: TransitionId) -> bool {
        matches!(self.state, State::Probing { probe, .. } if probe == call)
    }

    /// Returns the failing agents if they are enough to open the breaker: each has failed often, or the platform was
    /// out of service for many agents for a while.
    fn persistently_failing_agents(&self, now: Duration) -> Option<Vec<AgentId>> {
        let often = self.failure_counts.iter().filter(|(_, tries)| **tries >= MIN_FAILURES_PER_AGENT);
        let agents: Vec<AgentId> = often.map(|(agent, _)| agent.clone()).collect();
        if agents.len() >= MIN_FAILING_AGENTS {
            return Some(agents);
        }
        let out = self.out_of_service?;
        let long = now.saturating_sub(out.since) >= PERSISTENT_AFTER;
        (long
            && self.failure_counts.len() >= MIN_FAILING_AGENTS
            && out.failures >= MIN_FAILING_AGENTS * MIN_FAILURES_PER_AGENT as usize)
            .then(|| self.failure_counts.keys().cloned().collect())
    }

    fn track(&mut self, agent: &AgentId, signal: PlatformTrouble, now: Duration) {
        if self.failure_counts.len() < MAX_TRACKED || self.failure_counts.contains_key(agent) {
            *self.failure_counts.entry(agent.clone()).or_default() += 1;
        }
        let tries = self.failure_counts.get(agent).copied().unwrap_or_default();
        if signal == PlatformTrouble::OutOfService && tries <= MIN_FAILURES_PER_AGENT {
            self.out_of_service.get_or_insert(OutOfService { since: now, failures: 0 }).failures += 1;
        }
    }

    fn untrack(&mut self) {
        self.failure_counts.clear();
        self.out_of_service = None;
    }

    /// Records a failed call for an agent. Only failures that count ([`super::CallError::platform_trouble`]) may be
    /// recorded.
    pub fn record_failure(
        &mut self,
        agent: &AgentId,
        call: TransitionId,
        signal: PlatformTrouble,
        now: Duration,
    ) -> Option<Change> {
        match self.state {
            State::Closed => {
                self.track(agent, signal, now);
                let agents = self.persistently_failing_agents(now)?;
                self.untrack();
                self.state = State::Open { since: now, next_probe: now + PROBE_INTERVAL };
                Some(Change::Opened { agents })
            }
            State::Probing { since, probe, .. } if probe == call => {
                // Counted from the answer: whenever a probe arrives between its sending and its answer, the next one
                // arrives at least this much later.
                self.state = State::Open { since, next_probe: now + PROBE_INTERVAL };
                None
            }
            // Calls that were in flight when the breaker opened tell nothing new.
            State::Open { .. } | State::Probing { .. } => None,
        }
    }

    /// Records an answer that shows the platform working: a success, or a refusal with a reason (4xx).
    pub fn record_success(&mut self, now: Duration) -> Option<Change> {
        self.untrack();
        match self.state {
            State::Closed => None,
            State::Open { since, .. } | State::Probing { since, .. } => {
                self.state = State::Closed;
                Some(Change::Resumed { after: now.saturating_sub(since) })
            }
        }
    }

    /// Records that this call was not sent after all. If it is the probe, another probe may be sent at once.
    pub fn probe_withdrawn(&mut self, call: TransitionId) {
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

    const OUT: PlatformTrouble = PlatformTrouble::OutOfService;

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
        let changes: Vec<_> = (0..9).filter_map(|n| breaker.record_failure(&agent(n % 3), call(1), OUT, now)).collect();
        assert_eq!(changes, [Change::Opened { agents: vec![agent(0), agent(1), agent(2)] }]);
        breaker
    }

    #[test]
    fn two_failing_agents_or_a_success_in_between_do_not_open_it() {
        let mut breaker = Breaker::default();
        for n in 0..20 {
            assert_eq!(breaker.record_failure(&agent(n % 2), call(1), OUT, seconds(1)), None);
        }
        assert_eq!(breaker.record_success(seconds(2)), None);
        for n in 0..8 {
            assert_eq!(
                breaker.record_failure(&agent(n % 3), call(1), OUT, seconds(3)),
                None,
                "failure {n} after the success"
            );
        }
        assert_eq!(breaker.permit(call(1), seconds(4)), Permission::Allowed);
        assert!(
            breaker.record_failure(&agent(2), call(1), OUT, seconds(5)).is_some(),
            "the third failure of the third agent"
        );
    }

    #[test]
    fn many_agents_that_fail_once_open_it_when_that_goes_on_for_a_while() {
        let mut breaker = Breaker::default();
        for n in 0..100 {
            assert_eq!(breaker.record_failure(&agent(n), call(1), OUT, seconds(1)), None, "a burst is no persistence");
        }
        assert_eq!(breaker.record_failure(&agent(100), call(1), OUT, seconds(30)), None);
        assert!(
            matches!(breaker.record_failure(&agent(101), call(1), OUT, seconds(31)), Some(Change::Opened { agents }) if agents.len() == 102)
        );
        let mut breaker = Breaker::default();
        for n in 0..8 {
            assert_eq!(
                breaker.record_failure(&agent(n), call(1), OUT, seconds(60 * n as u64)),
                None,
                "failure {n} of too few"
            );
        }
        assert_eq!(breaker.record_success(seconds(500)), None);
        assert_eq!(breaker.record_failure(&agent(9), call(1), OUT, seconds(501)), None);
    }

    #[test]
    fn lost_answers_open_it_only_where_the_same_agents_keep_failing() {
        let mut breaker = Breaker::default();
        for n in 0..1000 {
            assert_eq!(
                breaker.record_failure(&agent(n), call(1), PlatformTrouble::AnswerLost, seconds(n as u64)),
                None,
                "agent {n}"
            );
        }
        for n in 0..8 {
            assert_eq!(breaker.record_failure(&agent(1000 + n), call(1), OUT, seconds(2000 + 10 * n as u64)), None);
        }
        assert!(breaker.record_failure(&agent(1008), call(1), OUT, seconds(2080)).is_some(), "the ninth that says so");

        let mut breaker = Breaker::default();
        let lost = (0..9)
            .filter_map(|n| breaker.record_failure(&agent(n % 3), call(1), PlatformTrouble::AnswerLost, seconds(1)));
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
            ("closed, success", Breaker::default(), |b| drop(b.record_success(seconds(141))), State::Closed),
            (
                "closed, failure",
                Breaker::default(),
                |b| drop(b.record_failure(&agent(9), call(1), OUT, seconds(141))),
                State::Closed,
            ),
            ("closed, withdrawn", Breaker::default(), |b| b.probe_withdrawn(call(1)), State::Closed),
            ("open, success", open(), |b| drop(b.record_success(seconds(141))), State::Closed),
            (
                "open, failure",
                open(),
                |b| drop(b.record_failure(&agent(9), call(1), OUT, seconds(141))),
                open_state(seconds(130)),
            ),
            ("open, withdrawn", open(), |b| b.probe_withdrawn(call(1)), open_state(seconds(130))),
            ("probing, success", probing(), |b| drop(b.record_success(seconds(141))), State::Closed),
            (
                "probing, failure",
                probing(),
                |b| drop(b.record_failure(&agent(9), call(1), OUT, seconds(141))),
                open_state(seconds(171)),
            ),
            (
                "probing, failure of another",
                probing(),
                |b| drop(b.record_failure(&agent(9), call(2), OUT, seconds(141))),
                probing().state(),
            ),
            ("probing, another withdrawn", probing(), |b| b.probe_withdrawn(call(2)), probing().state()),
            ("probing, withdrawn", probing(), |b| b.probe_withdrawn(call(1)), open_state(asked)),
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
                    breaker.record_failure(&agent(5), call(1), OUT, now);
                }
                Permission::Halted { until } => assert!(until > now),
                Permission::Allowed => panic!("it is open"),
            }
        }
        assert_eq!(probes, [30, 60, 90, 120, 150, 180, 210, 240, 270].map(seconds));
    }

    #[test]
    fn a_success_resumes_and_says_for_how_long_it_was_halted() {
        let mut breaker = open_at(seconds(100));
        assert_eq!(breaker.permit(call(1), seconds(129)), Permission::Halted { until: seconds(130) });
        assert_eq!(breaker.permit(call(1), seconds(130)), Permission::Probe);
        assert_eq!(breaker.record_success(seconds(131)), Some(Change::Resumed { after: seconds(31) }));
        assert_eq!(breaker.permit(call(1), seconds(131)), Permission::Allowed);
    }

    #[test]
    fn a_lost_probe_does_not_keep_it_open_for_ever() {
        let mut breaker = open_at(seconds(0));
        assert_eq!(breaker.permit(call(1), seconds(30)), Permission::Probe);
        assert!(matches!(breaker.permit(call(1), seconds(3600)), Permission::Halted { .. }));
        assert_eq!(breaker.permit(call(1), seconds(3630)), Permission::Probe);
    }
}
