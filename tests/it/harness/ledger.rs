//! The final check of a scenario: compares what the daemon stored with the simulator's own log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use shiftkeeper::domain::agents::agent::ObservationSource;
use shiftkeeper::domain::agents::state::AgentState;
use shiftkeeper::domain::audit::{ChainHead, ChainVerifier};
use shiftkeeper::domain::ids::AgentId;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::{ChangeCause, ChangeEntry, FaultKind, LogPage, RequestEntry, SimState};
use shiftkeeper::store::{CallWrite, PAGE_LIMIT, Reader, StoredEvent, StoredHistory};

use super::{INTERVAL, Scenario};

/// How far an instant of history may be from the simulator's own: `Date` headers are in whole seconds.
const TOLERANCE: Duration = Duration::from_secs(30);

/// The budget that the simulator grants where a test does not change it.
const WINDOW: Duration = Duration::from_secs(60);

/// A request with this number of later entries in the simulator's log has been answered, or never will be.
const MAX_UNANSWERED: u64 = 5_000;

/// The statuses that an ended scenario must not hold: nothing is under way, nothing is unknown.
const UNSETTLED: [&str; 3] = ["requested", "sending", "in_doubt"];

/// The outcomes of a call after which its sender cannot tell whether it took effect.
const UNKNOWN_EFFECT: [&str; 5] = ["server", "timeout", "broken", "nonsense", "too_large"];

impl Scenario {
    /// Ends the scenario: waits until nothing is in progress, stops the daemon in order, and makes the final check.
    pub async fn assert_nothing_left_over(mut self) {
        self.wait_until_settled().await;
        self.stop_daemon().await;
        self.check_consistency().await;
        self.sim.stop().await;
    }

    /// Holds the store of a daemon that has stopped against the simulator's log.
    pub async fn check_consistency(&self) {
        let (reader, log) = (self.reader().await, self.log());
        self.assert_outcomes_add_up(&reader).await;
        self.assert_history_is_the_platforms(&reader, &log).await;
        self.assert_sequences_have_no_hole(&reader).await;
        let mut attempts = reader.recent_calls(&self.tenant, UtcMicros::EPOCH).await.expect("readable");
        // The clock of a process begins at the instant that its command names, and so is behind by what the start took.
        if self.clocks.was_set() || self.setup.binary.is_some() {
            attempts = attempts.into_iter().map(|call| self.to_world_time(call)).collect();
            attempts.sort_by_key(|call| (call.sent_at, call.attempt));
        }
        assert_read_back_before_repeating(self, &log, &attempts);
        reader.close().await;
    }

    /// A call with its instants by the world's clock: the daemon's own may have been set, or be behind. Where that was while the call was under
    /// way, nobody knows when it left; it was within its time limit.
    fn to_world_time(&self, call: CallWrite) -> CallWrite {
        let Some(ended_at) = call.steady_us.map(|steady| self.clocks.world_at(steady)) else { return call };
        let Some(answered_at) = call.answered_at else { return CallWrite { sent_at: ended_at, ..call } };
        let longest = self.clock.scale_real(self.setup.request_timeout);
        let took = if answered_at < call.sent_at { longest } else { answered_at.since(call.sent_at).min(longest) };
        CallWrite { sent_at: ended_at - took, answered_at: Some(ended_at), ..call }
    }

    /// Waits until no transition is under way or unknown.
    pub async fn wait_until_settled(&self) {
        let reader = self.reader().await;
        self.wait_until("no transition is under way or in doubt", || async {
            let open = reader.open_transitions(&self.tenant).await.expect("readable");
            let unsettled: Vec<_> = open
                .iter()
                .map(|stored| (stored.transition.agent.to_string(), stored.transition.status.name()))
                .filter(|(_, status)| UNSETTLED.contains(status) || *status == "accepted")
                .collect();
            if unsettled.is_empty() { Ok(()) } else { Err(format!("{unsettled:?}")) }
        })
        .await;
    }

    /// The simulator's log of the tenant that is looked at, and of what nobody is known to have asked.
    pub fn log(&self) -> LogPage {
        let mut log = self.whole_log();
        log.requests.retain(|entry| entry.tenant.as_ref().is_none_or(|tenant| *tenant == self.tenant));
        log.changes.retain(|entry| entry.tenant == self.tenant);
        log
    }

    /// The simulator's whole log. It holds the latest entries alone: a scenario with more of them looks now and then.
    pub fn whole_log(&self) -> LogPage {
        let mut whole = self.read_log.lock().expect("a lock");
        // Answers are noted in the entry of their request.
        let settled = whole.next.saturating_sub(MAX_UNANSWERED);
        whole.next = settled;
        whole.requests.retain(|entry| entry.seq <= settled);
        whole.changes.retain(|entry| entry.seq <= settled);
        whole.feed.retain(|entry| entry.seq <= settled);
        loop {
            let page = self.sim.log(whole.next, 10_000);
            assert!(page.dropped <= whole.next, "the simulator's log is cut");
            if page.next == whole.next {
                return whole.clone();
            }
            whole.next = page.next;
            whole.requests.extend(page.requests);
            whole.changes.extend(page.changes);
            whole.feed.extend(page.feed);
        }
    }

    /// The state POSTs for an agent, in order.
    pub fn posts_for(&self, agent: &str) -> Vec<RequestEntry> {
        state_posts(&self.log())
            .filter(|post| post.agent.as_ref().is_some_and(|id| id.as_str() == agent))
            .cloned()
            .collect()
    }

    /// When each subscription was polled, by its first poll. No poll may be refused, and one that has no answer yet is left out.
    pub fn polls(&self) -> Vec<(String, Vec<UtcMicros>)> {
        let mut polls: BTreeMap<String, Vec<UtcMicros>> = BTreeMap::new();
        for entry in self.log().requests {
            let Some((_, id)) = entry.path.split_once("/realtime/subscription/") else { continue };
            let Some(status) = entry.status else { continue };
            assert_eq!(status, 200, "a poll of a dead subscription, or one too fast: {entry:?}");
            polls.entry(id.to_owned()).or_default().push(entry.at);
        }
        let mut polls: Vec<_> = polls.into_iter().collect();
        polls.sort_by_key(|(_, at)| at[0]);
        polls
    }

    /// Every audit entry, checked against the chain.
    pub async fn audit(&self, reader: &Reader) -> Vec<shiftkeeper::domain::audit::AuditBody> {
        let mut check = ChainVerifier::starting_at(self.tenant.clone(), ChainHead::default());
        let mut bodies = Vec::new();
        loop {
            let page = reader.audit_entries(&self.tenant, check.head().seq, PAGE_LIMIT).await.expect("readable");
            if page.is_empty() {
                return bodies;
            }
            for entry in page {
                bodies.push(check.verify_entry(entry.seq, &entry.body, &entry.hash).expect("the chain holds"));
            }
        }
    }

    /// Every event of the outbox.
    pub async fn events(&self, reader: &Reader) -> Vec<StoredEvent> {
        let mut events: Vec<StoredEvent> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.number);
            let page = reader.events(&self.tenant, after, PAGE_LIMIT).await.expect("readable");
            if page.is_empty() {
                return events;
            }
            events.extend(page);
        }
    }

    /// An agent's history, oldest first.
    pub async fn history(&self, reader: &Reader, agent: &AgentId) -> Vec<StoredHistory> {
        let ever = (UtcMicros::EPOCH, UtcMicros::MAX);
        reader.agent_history(&self.tenant, agent, ever, None, 10_000).await.expect("readable")
    }

    /// What was requested is what ended and what is open, by the table and by the audit chain.
    async fn assert_outcomes_add_up(&self, reader: &Reader) {
        let figures =
            reader.compliance_figures(&self.tenant, UtcMicros::EPOCH, UtcMicros::MAX).await.expect("readable");
        for status in UNSETTLED {
            assert_eq!(figures.by_status[status], 0, "{status} at the end: {:?}", figures.by_status);
        }
        let entries = self.audit(reader).await;
        let with =
            |actions: &[&str]| entries.iter().filter(|entry| actions.contains(&entry.action.as_str())).count() as u64;
        assert_eq!(with(&["transition.requested"]), figures.total, "one entry for each request");
        for outcome in ["confirmed", "unconfirmed", "refused", "failed", "cancelled", "superseded", "expired"] {
            let audited = with(&[&format!("transition.{outcome}")]);
            assert_eq!(audited, figures.by_status[outcome], "one entry for each that is {outcome}");
        }
        let open = reader.open_transitions(&self.tenant).await.expect("readable").len() as u64;
        let ended: u64 = ["confirmed", "unconfirmed", "refused", "failed", "cancelled", "superseded", "expired"]
            .iter()
            .map(|outcome| figures.by_status[outcome])
            .sum();
        assert_eq!(figures.total, ended + open, "requested is the sum of outcomes and open ones");
    }

    /// History holds what the platform did, each change by the API exactly once, and nothing else.
    async fn assert_history_is_the_platforms(&self, reader: &Reader, log: &LogPage) {
        for world in self.sim.world_views().into_iter().filter(|world| world.id == self.tenant) {
            for view in world.agents {
                let changes: Vec<_> = log
                    .changes
                    .iter()
                    .filter(|change| change.tenant == self.tenant && change.agent == view.id)
                    .collect();
                let rows = self.history(reader, &view.id).await;
                if self.setup.sim.autonomous_agents {
                    assert_one_row_per_transition(&view.id, &rows);
                } else {
                    // By a clock that was set, instants tell nothing; what happened, and in which order, still must agree.
                    let about = if self.clocks.was_set() { Duration::MAX } else { TOLERANCE };
                    assert_same_history(&view.id, view.state, &changes, &rows, about);
                }
            }
        }
    }

    async fn assert_sequences_have_no_hole(&self, reader: &Reader) {
        let mut last: BTreeMap<AgentId, u64> = BTreeMap::new();
        for event in self.events(reader).await {
            let body: Value = serde_json::from_str(&event.body).expect("JSON");
            assert_as_listed(event.kind, &body);
            let (Some(agent), Some(sequence)) = (event.agent, event.sequence) else { continue };
            let before = last.insert(agent.clone(), sequence).unwrap_or(0);
            assert_eq!(sequence, before + 1, "the events of {agent} have a hole or a repeat");
            assert_eq!(body["data"]["sequence"], sequence, "the body says what the row says");
        }
    }

    /// No window of the platform's minute held more calls than its budget, and none was turned away.
    pub fn assert_within_budget(&self, budget: usize) {
        self.assert_within_budget_but_for_faults(budget);
        assert_eq!(self.sim.counts(&self.tenant).throttled, 0, "no 429");
    }

    /// No window of the platform's minute held more calls than its budget; a fault may have answered 429 all the same.
    pub fn assert_within_budget_but_for_faults(&self, budget: usize) {
        let log = self.log();
        let calls: Vec<UtcMicros> = log.requests.iter().filter(|call| is_budgeted(call)).map(|call| call.at).collect();
        for (first, at) in calls.iter().enumerate() {
            let within = calls[first..].iter().take_while(|later| later.since(*at) < WINDOW).count();
            assert!(within <= budget, "{within} calls within a minute of {at}");
        }
    }
}

/// The data of an event has the fields that `docs/events.md` lists, no more and no fewer, each of its type.
fn assert_as_listed(kind: EventKind, body: &Value) {
    assert_eq!(body["event"], kind.wire_name());
    let listed = json!(kind.schema());
    let (fields, properties) = (body["data"].as_object(), listed["properties"].as_object());
    let (fields, properties) = (fields.expect("an object"), properties.expect("an object"));
    assert_eq!(fields.keys().collect::<Vec<_>>(), properties.keys().collect::<Vec<_>>(), "{body}");
    for (name, value) in fields {
        let property = &properties[name];
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let may_be =
            property["type"].as_array().map_or_else(|| vec![&property["type"]], |types| types.iter().collect());
        assert!(may_be.contains(&&json!(is)), "{name} is to be {property}: {body}");
        let choice = property["enum"].as_array();
        assert!(choice.is_none_or(|choice| choice.contains(value)), "{name} is to be {property}: {body}");
    }
}

/// The state POSTs of a log, in order.
pub fn state_posts(log: &LogPage) -> impl Iterator<Item = &RequestEntry> {
    log.requests.iter().filter(|call| call.method == "POST" && call.path.ends_with("/state"))
}

pub fn is_budgeted(call: &RequestEntry) -> bool {
    let subscribes = call.method == "POST" && call.path.ends_with("/subscription");
    call.agent.is_some() || subscribes || call.path.starts_with("/incontactapi/")
}

/// A read of all agents' states, or of those who changed.
pub fn is_poll(call: &RequestEntry) -> bool {
    call.method == "GET" && (call.path.contains("/realtime/subscription/") || call.path.ends_with("/agents/states"))
}

/// A snapshot that was served whole.
fn is_good_snapshot(call: &RequestEntry) -> bool {
    is_poll(call)
        && call.status == Some(200)
        && matches!(call.fault, None | Some(FaultKind::ClockSkew | FaultKind::TimestampJitter))
}

/// Whoever sent this POST could not tell whether it took effect. A crash soon after it leaves that open unless the answer is in
/// the sender's own books: what is durable was known, and a refusal (401, 409, 429) that is known may be followed by a repetition
/// at once, also by the next process.
fn is_unanswered(post: &RequestEntry, attempt: &CallWrite, kills: &[UtcMicros]) -> bool {
    let garbled = match post.fault {
        None
        | Some(
            FaultKind::Status
            | FaultKind::Late
            | FaultKind::ClockSkew
            | FaultKind::TimestampJitter
            | FaultKind::RevokeTokens
            | FaultKind::ExpireSubscriptions
            | FaultKind::WrongTypes
            | FaultKind::Nonsense
            | FaultKind::Silent
            | FaultKind::Repeat
            | FaultKind::MissingRows
            | FaultKind::OldTimes
            | FaultKind::OtherZones
            | FaultKind::Bulky
            | FaultKind::OddTexts
            | FaultKind::SkipRows
            | FaultKind::StopShort
            | FaultKind::NeverFinish
            | FaultKind::FailQuery
            | FaultKind::ForgetQueries
            | FaultKind::DropFeeds
            | FaultKind::CloseFeeds,
        ) => false,
        // Half of a refusal still says that nothing was done: its status came first.
        Some(FaultKind::ResetMid | FaultKind::Truncated) => post.status.is_none_or(|status| status < 400),
        Some(
            FaultKind::Delay
            | FaultKind::ResetBefore
            | FaultKind::LostAnswer
            | FaultKind::Html
            | FaultKind::StopAnswering,
        ) => true,
    };
    let killed = kills.iter().any(|kill| *kill >= post.at && kill.since(post.at) < Duration::from_secs(5));
    let unknown = attempt.outcome.as_deref().is_some_and(|class| UNKNOWN_EFFECT.contains(&class));
    garbled || unknown || (killed && attempt.answered_at.is_none()) || post.status.is_none_or(|status| status >= 500)
}

/// design: what must always hold, 2. Before a POST its attempt is durable. Between a POST whose sender cannot tell the effect of
/// it and its repetition, a snapshot was read that was generated after the send plus the request timeout plus one interval. A
/// POST for another state may leave as soon as a snapshot showed that the one before took effect; so may one of another
/// transition for the same state, where by the platform's own log the one before did take effect by then: nothing is repeated.
///
/// The send is the attempt's own instant: the platform's log knows the arrival, which is later by what the way takes.
fn assert_read_back_before_repeating(scenario: &Scenario, log: &LogPage, calls: &[CallWrite]) {
    let wait = scenario.clock.scale_real(scenario.setup.request_timeout) + INTERVAL;
    let mut last: BTreeMap<&AgentId, (&RequestEntry, &CallWrite)> = BTreeMap::new();
    let mut attempts: BTreeMap<&AgentId, Vec<&CallWrite>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.transition.is_some()) {
        attempts.entry(call.agent.as_ref().expect("an attempt is for an agent")).or_default().push(call);
    }
    for post in state_posts(log).filter(|post| post.tenant.as_ref() == Some(&scenario.tenant)) {
        let Some(agent) = post.agent.as_ref() else { continue };
        let made = attempts.get(agent).and_then(|made| made.iter().rfind(|attempt| attempt.sent_at <= post.at));
        let attempt = *made.unwrap_or_else(|| panic!("{agent}: the POST at {} has no durable attempt", post.at));
        let Some((before, its_attempt)) = last.insert(agent, (post, attempt)) else { continue };
        assert_ne!(
            its_attempt.id,
            attempt.id,
            "{agent}: the POST at {} has no durable attempt of its own; the one before was at {}, and the attempts: {:?}",
            post.at,
            before.at,
            attempts.get(agent).into_iter().flatten().map(|one| (one.sent_at, one.answered_at)).collect::<Vec<_>>(),
        );
        if !is_unanswered(before, its_attempt, scenario.kills()) {
            continue;
        }
        let took_effect =
            log.changes.iter().find(|change| change.request_seq == Some(before.seq)).map(|change| change.at);
        let another = attempt.transition != its_attempt.transition;
        let readable_after = match took_effect {
            _ if requested_state(before) != requested_state(post) => before.at,
            Some(at) if another => at,
            Some(_) | None => its_attempt.sent_at + wait,
        };
        let read_back = log
            .requests
            .iter()
            .filter(|call| call.seq > before.seq && call.seq < post.seq && is_good_snapshot(call))
            .any(|call| call.at >= readable_after);
        assert!(
            read_back,
            "{agent}: the POST of {:?} at {} ({:?}, {:?}, in the books: {:?}) was followed by one of {:?} at {} (another \
             transition: {another}) without a read-back; the agent: {:?}",
            requested_state(before),
            before.at,
            before.fault,
            before.status,
            its_attempt.outcome,
            requested_state(post),
            post.at,
            log.changes
                .iter()
                .filter(|change| change.agent == *agent)
                .map(|change| (change.at, change.to, change.cause))
                .collect::<Vec<_>>(),
        );
    }
}

/// The state that a POST asks for, in the words of its dialect.
pub fn requested_state(post: &RequestEntry) -> Option<String> {
    if let Some(query) = &post.query {
        return Some(query.clone());
    }
    let body: Value = serde_json::from_str(post.body.as_ref()?.get()).ok()?;
    body["state"].as_str().map(str::to_owned)
}

fn assert_one_row_per_transition(agent: &AgentId, rows: &[StoredHistory]) {
    let mut seen = BTreeSet::new();
    for row in rows {
        if let Some(transition) = row.row.transition {
            assert!(seen.insert(transition), "{agent}: two rows of {transition}");
        }
    }
}

/// Walks the agent's story by the simulator's log beside its history. What was done by the API must be in history, once;
/// what a script did between two snapshots may be missing; nothing may be in history that did not happen.
fn assert_same_history(
    agent: &AgentId,
    now: SimState,
    changes: &[&ChangeEntry],
    rows: &[StoredHistory],
    about: Duration,
) {
    let story = || {
        let told: Vec<_> =
            changes.iter().map(|change| format!("{} {:?} by {:?}", change.at, change.to, change.cause)).collect();
        let kept: Vec<_> = rows
            .iter()
            .map(|row| format!("{} {} by {:?}", row.row.entered_at, row.row.state, row.row.source))
            .collect();
        format!("{agent}\n  happened: {told:#?}\n  history: {kept:#?}")
    };
    let first = changes.first().map_or(now, |change| change.from);
    let in_sight = without_reasons(without_unobserved_time(rows));
    let rows = &in_sight[..];
    let begins_at_once = match_changes(changes, rows, about);
    // The first row is the state that the agent began in, or already a change, where nobody looked before it.
    let begins_before = match rows.split_first() {
        Some((row, rest)) if row.row.state == daemon_state(first) => match_changes(changes, rest, about),
        Some(_) | None => Err("the first row is not what the agent began with"),
    };
    if let (Err(one), Err(other)) = (begins_at_once, begins_before) {
        panic!("{one}, or {other}: {}", story());
    }
}

/// Without the unobserved time: the state interval that continues after it is the previous one.
fn without_unobserved_time(rows: &[StoredHistory]) -> Vec<&StoredHistory> {
    let (mut seen, mut gap): (Vec<&StoredHistory>, bool) = (Vec::new(), false);
    for row in rows {
        let goes_on =
            gap && row.row.platform_at.is_none() && seen.last().is_some_and(|before| before.row.state == row.row.state);
        gap = row.row.state.is_unobserved();
        if !gap && !goes_on {
            seen.push(row);
        }
    }
    seen
}

/// Without rows that gave a state interval another reason, because the simulator does not record reasons.
fn without_reasons(rows: Vec<&StoredHistory>) -> Vec<&StoredHistory> {
    let mut stays: Vec<&StoredHistory> = Vec::new();
    for row in rows {
        let goes_on = stays.last().is_some_and(|before| before.row.state == row.row.state);
        if !(goes_on && row.row.source == ObservationSource::Post && row.row.reason.is_some()) {
            stays.push(row);
        }
    }
    stays
}

/// Whether every change by the API is a row, every row a change, and all in one order.
fn match_changes(changes: &[&ChangeEntry], rows: &[&StoredHistory], about: Duration) -> Result<(), &'static str> {
    let mut rows = rows.iter().peekable();
    for change in changes {
        let same = |row: &&&StoredHistory| {
            row.row.state == daemon_state(change.to) && distance(row.row.entered_at, change.at) <= about
        };
        if rows.next_if(same).is_none() && change.cause == ChangeCause::Api {
            return Err("a change by the API is not in history");
        }
    }
    if rows.next().is_none() { Ok(()) } else { Err("history holds what did not happen") }
}

fn distance(one: UtcMicros, other: UtcMicros) -> Duration {
    one.since(other).max(other.since(one))
}

/// The daemon's word for a state of the simulator.
pub fn daemon_state(state: SimState) -> AgentState {
    match state {
        SimState::Available => AgentState::Ready,
        SimState::Unavailable => AgentState::NotReady,
        SimState::Paused => AgentState::Paused,
        SimState::Idle => AgentState::Idle,
        SimState::OnContact => AgentState::OnContact,
        SimState::Acw => AgentState::AfterContactWork,
        SimState::LoggedOut => AgentState::LoggedOut,
    }
}
