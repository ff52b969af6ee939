//! What must hold in every world, judged from the simulator's own account, the receiver's, and the database's bare rows. Nothing here asks
//! the code that it judges.

mod calls;
mod delays;
mod records;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shiftkeeper::clock::Clock as _;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{FaultKind, FeedEvent, FeedMessage, LogPage, RequestEntry, SimState};

use self::delays::{first_stall_before, may_arrive_together, may_have_lost_answer, received_at, was_delayed};
use crate::daemon::{Response, Slot};
use crate::plan::PlannedEvent;
use crate::simulation::{INTERVAL, REQUEST_TIMEOUT, World};

/// The span of the request budget.
const MINUTE: Duration = Duration::from_secs(60);

/// Clocks drift by 300 millionths at most in either direction.
const DRIFT: Duration = Duration::from_millis(50);

/// A state that the platform has shown for so long must be what the daemon shows, or it must say that something is wrong.
const MAX_VIEW_DELAY: Duration = Duration::from_secs(50);

/// So much longer while the platform's snapshots are faulty.
const FAULTY_SNAPSHOTS: Duration = Duration::from_secs(40);

/// What a change that may have been made is read back by: a snapshot made after its time limit and an interval, as near as
/// clocks and networks tell.
const FENCE: Duration = Duration::from_millis(14_500);

/// A feed ends with its token, and is there again with the next.
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(30);

/// A row that says that it is older than three intervals calls itself old.
const OLD_MS: u64 = 30_000;

/// What a look at the daemon brings, once it is answered.
#[derive(Debug)]
pub struct Observation {
    pub at: Duration,
    pub platform_now: UtcMicros,
    /// What each agent was doing then, and since when.
    pub actual_states: BTreeMap<String, (SimState, UtcMicros)>,
    pub agents: Slot<Response>,
    pub ready: Slot<Response>,
}

#[derive(Default)]
pub struct Laws {
    observations: u64,
    ready: u64,
    /// Since when the daemon says that it is not ready, and what it complained of last.
    not_ready_since: Option<(Duration, String)>,
    read_log: LogPage,
    /// The position up to which the platform's record was compared with the store's attempts, and the number of state
    /// POSTs per agent.
    compared: u64,
    posts: BTreeMap<String, i64>,
    /// What was shown of each agent at the last look, and since when.
    last_shown: BTreeMap<String, (String, Duration)>,
}

/// What the daemon calls a state of the platform.
pub fn name_of(state: SimState) -> &'static str {
    match state {
        SimState::Available => "Ready",
        SimState::Unavailable => "NotReady",
        SimState::Paused => "Paused",
        SimState::Idle => "Idle",
        SimState::OnContact => "OnContact",
        SimState::Acw => "AfterContactWork",
        SimState::LoggedOut => "LoggedOut",
    }
}

type LawResult = Result<(), String>;

const _: () = assert!(FENCE.as_millis() + 500 == REQUEST_TIMEOUT.as_millis() + INTERVAL.as_millis());

impl Laws {
    /// No state POST leaves before its attempt is durable: judged when it has arrived, before it is answered.
    pub fn on_state_post(&mut self, world: &World) -> LawResult {
        let page = world.sim.log(self.compared, usize::MAX);
        self.compared = page.next;
        for agent in
            page.requests.iter().filter(|request| is_state_post(request)).filter_map(|post| post.agent.as_ref())
        {
            let posts = self.posts.entry(agent.to_string()).or_default();
            *posts += 1;
            let statement = "SELECT COUNT(*) FROM platform_calls WHERE kind = 'state' AND agent = ?1";
            let attempts = scalar(&open(world), statement, agent.as_str()).unwrap_or_default();
            if attempts < *posts {
                return Err(format!("{posts} state POSTs for {agent} arrived, and the store has {attempts} attempts"));
            }
        }
        Ok(())
    }

    /// Judges what was seen at the look before, and what the platform saw since.
    pub fn check_observations(&mut self, world: &World, watched: &[Observation]) -> LawResult {
        self.read(world);
        check_within_budget(world, &self.read_log)?;
        // A daemon that does not run shows nothing, and after a start it has three snapshots again to believe what it sees.
        if !world.serving() {
            self.last_shown.clear();
        }
        for look in watched {
            let (agents, ready) = (take_response(&look.agents), take_response(&look.ready));
            let (Some(agents), Some(ready)) = (agents, ready) else { continue };
            self.observations += 1;
            let since = self.not_ready_since.as_ref().map_or(look.at, |(since, _)| *since);
            self.not_ready_since = not_ready_details(&ready.body).map(|complaints| (since, complaints));
            if ready.body["status"] != "ready" || agents.status != 200 {
                self.last_shown.clear();
                continue;
            }
            self.ready += 1;
            self.check_fresh_view(look, &agents.body)?;
        }
        Ok(())
    }

    /// Ten minutes after the last fault nothing is in progress, everything is delivered, and the live view is correct.
    pub fn check_settled(&self, world: &World) -> LawResult {
        if !world.serving() {
            return Err("ten minutes after the last fault the daemon does not serve".to_owned());
        }
        if let Some((since, complaints)) = &self.not_ready_since
            && world.now.saturating_sub(*since) > MAX_RECOVERY_TIME
        {
            return Err(format!("ten minutes after the last fault the daemon is not ready: {complaints}"));
        }
        let database = open(world);
        let under_way: Vec<String> = texts(
            &database,
            "SELECT agent || ' ' || target || ' ' || status FROM transitions WHERE status IN ('requested', 'sending', 'in_doubt')
             AND requested_at < (SELECT MAX(requested_at) FROM transitions) - 120000000",
        );
        if !under_way.is_empty() {
            return Err(format!("still under way ten minutes after the last fault: {under_way:?}"));
        }
        let now = world.clock().now().as_micros();
        let accepted = texts(
            &database,
            &format!(
                "SELECT agent || ' ' || target FROM transitions WHERE status = 'accepted' AND accepted_at < {now} - 60000000"
            ),
        );
        if !accepted.is_empty() {
            return Err(format!("accepted a minute ago, and nobody knows what became of it: {accepted:?}"));
        }
        webhooks::check_delivery_delays(world, &database)
    }

    /// Checks the state after the daemon has stopped in order; returns the hash of the whole run.
    pub fn check_at_end(world: &World) -> Result<(String, Vec<String>), String> {
        let log = world.log();
        let database = open(world);
        check_within_budget(world, &log)?;
        check_not_repeated(world, &log)?;
        check_chain(&database)?;
        check_outcomes_are_audited(&database)?;
        webhooks::check_events_arrived(world, &database)?;
        records::check_history_events(&database)?;
        records::check_idempotency(world)?;
        records::check_unknown_after_misses(&database, &log)?;
        records::check_instants_converted(world, &database, &log)?;
        calls::check_pauses(world, &log)?;
        calls::check_breaks(world, &log)?;
        calls::check_subscriptions_needed(world, &log)?;
        calls::check_people_do_not_wait(world, &database, &log)?;
        check_later_requests_win(world, &database)?;
        check_history(world, &database, &log)?;
        let lines = trace(world, &database, &log);
        Ok((hash(&lines), lines))
    }

    /// How often what was met.
    pub fn coverage(&self, world: &World) -> BTreeMap<String, u64> {
        let database = open(world);
        let mut covered =
            BTreeMap::from([("looks".to_owned(), self.observations), ("looks when ready".to_owned(), self.ready)]);
        covered.insert("people's longer work that succeeded".to_owned(), world.people.history.completed());
        for action in texts(&database, "SELECT action FROM audit_entries") {
            *covered.entry(format!("audit {action}")).or_default() += 1;
        }
        for (_, what) in &world.plan.events {
            *covered.entry(format!("met {}", what.kind())).or_default() += 1;
        }
        for request in world.log().requests {
            if let Some(kind) = request.fault {
                *covered.entry(format!("fault {kind:?}")).or_default() += 1;
            }
        }
        covered
    }

    /// For how long the daemon has shown an agent in this state: what it takes from an accepted change it may show for a while.
    fn shown_duration(&mut self, at: Duration, agent: &str, state: &str) -> Duration {
        match self.last_shown.get(agent) {
            Some((before, since)) if before == state => at.saturating_sub(*since),
            Some(_) | None => {
                self.last_shown.insert(agent.to_owned(), (state.to_owned(), at));
                Duration::ZERO
            }
        }
    }

    fn read(&mut self, world: &World) {
        let page = world.sim.log(self.read_log.next, usize::MAX);
        self.read_log.next = page.next;
        self.read_log.requests.extend(page.requests);
        let minutes_ago = world.platform_clock_now() - MINUTE * 3;
        self.read_log.requests.retain(|request| request.at > minutes_ago);
    }

    /// A live view that is called fresh shows each state that the platform has had for a while.
    fn check_fresh_view(&mut self, look: &Observation, body: &Value) -> LawResult {
        let faulty = self.read_log.requests.iter().any(|request| {
            is_poll(request) && request.fault.is_some() && look.platform_now.since(request.at) < MINUTE * 2
        });
        let within = if faulty { MAX_VIEW_DELAY + FAULTY_SNAPSHOTS } else { MAX_VIEW_DELAY };
        let rows = body["agents"].as_array().map(Vec::as_slice).unwrap_or_default();
        for row in rows {
            let (Some(id), Some(shown)) = (row["id"].as_str(), row["state"].as_str()) else { continue };
            let Some((state, since)) = look.actual_states.get(id) else { continue };
            let stay = format!("{shown} since {}", row["entered_at"]);
            let shown_for = self.shown_duration(look.at, id, &stay);
            let held = look.platform_now.since(*since).min(shown_for);
            let called_old = row["age_ms"].as_u64().is_none_or(|age_ms| age_ms > OLD_MS);
            if shown != name_of(*state) && held > within && !called_old {
                return Err(format!(
                    "{id} is {} for {:.0} s, and the daemon, which says that it is ready, shows {shown} ({row})",
                    name_of(*state),
                    held.as_secs_f64()
                ));
            }
        }
        Ok(())
    }
}

fn not_ready_details(report: &Value) -> Option<String> {
    let parts = report["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_part = |part: &Value| format!("{}: {}", part["name"], part["detail"]);
    let complaints: Vec<String> = parts.iter().filter(|part| part["ready"] != true).map(of_part).collect();
    (report["status"] != "ready").then(|| complaints.join("; "))
}

fn take_response(slot: &Slot<Response>) -> Option<Response> {
    slot.lock().expect("a lock").clone()
}

fn is_poll(request: &RequestEntry) -> bool {
    request.method == "GET" && request.path.contains("/realtime/subscription/")
}

fn is_good_poll(request: &RequestEntry) -> bool {
    is_poll(request)
        && request.status == Some(200)
        && matches!(
            request.fault,
            None | Some(FaultKind::ClockSkew | FaultKind::TimestampJitter | FaultKind::OtherZones | FaultKind::Repeat)
        )
}

/// A snapshot that leaves out every other row still shows the other agents as they are.
fn is_poll_with_row(request: &RequestEntry, place: usize) -> bool {
    let is_shown = request.fault == Some(FaultKind::MissingRows) && place.is_multiple_of(2);
    is_poll(request) && request.status == Some(200) && is_shown
}

fn is_state_post(request: &RequestEntry) -> bool {
    request.method == "POST" && request.path.ends_with("/state")
}

fn is_budgeted(request: &RequestEntry) -> bool {
    request.agent.is_some() || (request.method == "POST" && request.path.ends_with("/subscription"))
}

fn check_within_budget(world: &World, log: &LogPage) -> LawResult {
    if may_arrive_together(world) {
        return Ok(());
    }
    let calls: Vec<&RequestEntry> = log.requests.iter().filter(|request| is_budgeted(request)).collect();
    let budget = usize::try_from(world.plan.requests_per_minute).expect("small");
    for (first, call) in calls.iter().enumerate() {
        let within = calls[first..].iter().take_while(|later| later.at.since(call.at) + DRIFT < MINUTE).count();
        if within > budget {
            return Err(format!("{within} calls within a minute of {}, and {budget} are allowed", call.at));
        }
    }
    // A call that comes a moment early, since the clocks drift, may be throttled.
    let throttled = calls.iter().enumerate().find(|(index, call)| {
        let before = calls[..*index].iter().rev();
        let within = before.take_while(|earlier| call.at.since(earlier.at) + DRIFT < MINUTE).count();
        call.status == Some(429) && call.fault.is_none() && within >= budget
    });
    throttled.map_or(Ok(()), |(_, call)| Err(format!("{} was answered 429 at {}", call.path, call.at)))
}

/// Between a state POST whose effect the sender may not know and the same again, the platform was looked at.
fn check_not_repeated(world: &World, log: &LogPage) -> LawResult {
    for (place, agent) in world.agents.iter().enumerate() {
        let posts: Vec<&RequestEntry> =
            log.requests.iter().filter(|post| is_state_post(post) && post.agent.as_ref() == Some(agent)).collect();
        for pair in posts.windows(2) {
            let [before, again] = pair else { continue };
            let definite = matches!(before.status, Some(400..=499)) && before.fault != Some(FaultKind::ResetBefore);
            if definite
                || requested_state(before) != requested_state(again)
                || was_requested_between(world, agent.as_str(), before.at, again.at)
            {
                continue;
            }
            // Where the platform's own answer was good, only the network can have kept it from the sender.
            let answered = before.status == Some(200) && before.fault.is_none();
            let fence = if answered || was_delayed(world, before.at, again.at) { Duration::ZERO } else { FENCE };
            if answered && was_seen_to_leave(world, log, before, again) {
                continue;
            }
            let looked = log.requests.iter().any(|poll| {
                (is_good_poll(poll) || is_poll_with_row(poll, place))
                    && poll.seq > before.seq
                    && poll.seq < again.seq
                    && poll.at >= before.at + fence
                    && poll.generated.is_some_and(|generated| generated >= before.at)
            });
            if !looked {
                return Err(format!(
                    "{agent} was asked for {} at {} and again at {} without a look between",
                    requested_state(before),
                    before.at,
                    again.at
                ));
            }
        }
    }
    Ok(())
}

/// Whether the daemon knew that the first POST was accepted, and the live feed told it afterwards that the agent went on
/// to another state. The second POST then sets the state anew, as a rule does at once when an agent leaves a break.
fn was_seen_to_leave(world: &World, log: &LogPage, before: &RequestEntry, again: &RequestEntry) -> bool {
    let left = log.feed.iter().filter(|entry| (before.seq..again.seq).contains(&entry.seq)).any(|entry| {
        let FeedEvent::Said { news: FeedMessage::AgentStateChange { agent, entered, .. }, fault: None } = &entry.event
        else {
            return false;
        };
        before.agent.as_ref() == Some(agent) && *entered > before.at
    });
    left && !may_have_lost_answer(world, before.at, again.at)
}

fn requested_state(post: &RequestEntry) -> String {
    let body: Value = post.body.as_ref().and_then(|body| serde_json::from_str(body.get()).ok()).unwrap_or_default();
    body["state"].as_str().unwrap_or("?").to_owned()
}

fn was_requested_between(world: &World, agent: &str, from: UtcMicros, to: UtcMicros) -> bool {
    let margin = Duration::from_secs(60);
    let singles = world.requests.iter().map(|wish| (&wish.agent, wish.requested_at));
    let others = world.changed_otherwise.iter().map(|(agent, at)| (agent, *at));
    singles.chain(others).any(|(wished_for, at)| {
        let at = World::true_time(received_at(world, at));
        wished_for == agent && at + margin > from && at < to + margin
    })
}

/// Each entry's hash is that of its body, and each body holds the hash before.
fn check_chain(database: &Connection) -> LawResult {
    let mut statement = database.prepare("SELECT seq, body, hash FROM audit_entries ORDER BY seq").expect("readable");
    let mut rows = statement.query([]).expect("readable");
    let (mut last, mut number) = ("0".repeat(64), 0);
    while let Some(row) = rows.next().expect("readable") {
        let (seq, body): (i64, String) = (row.get(0).expect("a number"), row.get(1).expect("a text"));
        let hash: Vec<u8> = row.get(2).expect("bytes");
        number += 1;
        let value: Value = serde_json::from_str(&body).map_err(|_| format!("entry {seq} is no JSON"))?;
        if seq != number || value["prev"] != last {
            return Err(format!("the audit chain breaks at entry {seq}"));
        }
        let own = Sha256::digest(body.as_bytes());
        if own.as_slice() != hash {
            return Err(format!("the hash of audit entry {seq} is another's"));
        }
        last = hex(&hash);
    }
    Ok(())
}

/// Each transition has the entry of its request and of its end, and no other end.
fn check_outcomes_are_audited(database: &Connection) -> LawResult {
    let wrong = texts(
        database,
        "SELECT t.id || ' ' || t.status FROM transitions t
         WHERE (SELECT COUNT(*) FROM audit_entries a WHERE a.transition = t.id AND a.action = 'transition.requested') <> 1
            OR (t.status IN ('confirmed', 'unconfirmed', 'refused', 'failed', 'cancelled', 'superseded', 'expired')
                AND (SELECT COUNT(*) FROM audit_entries a WHERE a.transition = t.id
                     AND a.action = 'transition.' || t.status) <> 1)",
    );
    if wrong.is_empty() { Ok(()) } else { Err(format!("not audited as they stand: {wrong:?}")) }
}

/// Of two requests of a person for one agent, the earlier is not sent to the platform once the later was made.
fn check_later_requests_win(world: &World, database: &Connection) -> LawResult {
    if world.clock_was_set {
        return Ok(());
    }
    let overtaken = texts(
        database,
        "SELECT t.agent || ': the wish for ' || t.target FROM transitions t
         JOIN transitions o ON o.id = json_extract(t.standing, '$.by')
         WHERE t.status = 'superseded' AND t.priority = o.priority AND o.requested_at < t.requested_at",
    );
    if !overtaken.is_empty() {
        return Err(format!("gave way to an earlier one: {overtaken:?}"));
    }
    let mut last: BTreeMap<&str, (String, &str)> = BTreeMap::new();
    for wish in &world.requests {
        let Some(said) = take_response(&wish.response).filter(|said| said.status == 202) else { continue };
        let Some(id) = crate::people::transitions(&said).first().copied().map(str::to_owned) else { continue };
        if let Some((earlier, to)) = last.insert(&wish.agent, (id.clone(), wish.to)) {
            let first: Option<i64> =
                scalar(database, "SELECT MIN(sent_at) FROM platform_calls WHERE transition = ?1", &id);
            let late: Option<i64> =
                scalar(database, "SELECT MAX(sent_at) FROM platform_calls WHERE transition = ?1", &earlier);
            if let (Some(first), Some(late)) = (first, late)
                && late > first
            {
                return Err(format!("{}: {to} was sent after the later wish for {}", wish.agent, wish.to));
            }
        }
    }
    Ok(())
}

/// One row of an agent's history has not ended, and has the agent's current state.
fn check_open_interval(agent: &str, open: &[&String], now: &str, held: Duration) -> LawResult {
    let [last] = open else { return Err(format!("history has {agent} in {open:?} now")) };
    if *last != now && held > MAX_VIEW_DELAY + INTERVAL {
        return Err(format!("history ends with {last} for {agent}, who is {now} for {held:?}"));
    }
    Ok(())
}

/// History ends with what is, and holds nothing that never was.
fn check_history(world: &World, database: &Connection, log: &LogPage) -> LawResult {
    let skewed = world
        .plan
        .events
        .iter()
        .any(|(_, what)| matches!(what, PlannedEvent::Platform(text) if text.contains("clock_skew")));
    // A connection that is delayed by less than a heartbeat cannot be distinguished from one without messages.
    let held_back = may_arrive_together(world);
    let usual = match (skewed, held_back) {
        (true, _) => Duration::from_secs(120),
        (false, true) => Duration::from_secs(50),
        (false, false) => Duration::from_secs(20),
    };
    for agent in &world.agents {
        let changes: Vec<_> = log.changes.iter().filter(|change| change.agent == *agent).collect();
        let mut statement = database
            .prepare(
                "SELECT state, entered_at, left_at, source FROM state_history WHERE agent = ?1 ORDER BY entered_at",
            )
            .expect("readable");
        let rows = statement.query_map([agent.as_str()], |row| {
            let (entered, left) = (row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?);
            Ok((row.get::<_, String>(0)?, entered, left, row.get::<_, String>(3)?))
        });
        let rows: Vec<_> = rows.expect("readable").map(|row| row.expect("readable")).collect();
        let now = world.state_of(agent);
        let since = changes.last().map_or(UtcMicros::EPOCH, |change| change.at);
        let held = world.platform_clock_now().since(since);
        // If the clock was set back, the row that has not ended need not be the one that began last.
        let open: Vec<_> = rows.iter().filter(|(_, _, left, _)| left.is_none()).map(|(state, ..)| state).collect();
        check_open_interval(agent.as_str(), &open, name_of(now), held)?;
        if world.clock_was_set {
            continue;
        }
        for (state, entered, left, source) in &rows {
            let about =
                usual.max(first_stall_before(world, UtcMicros::from_micros(*entered)) + Duration::from_secs(20));
            let entered = UtcMicros::from_micros(*entered) - about;
            let left = left.map_or(UtcMicros::MAX, |left| UtcMicros::from_micros(left) + about);
            // What was accepted and overtaken before anybody saw it keeps its row, though the platform may never have done it.
            let accepted = source == "post"
                && log.requests.iter().any(|post| {
                    is_state_post(post)
                        && post.agent.as_ref() == Some(agent)
                        && post.status == Some(200)
                        && post.at >= entered
                        && post.at <= entered + about * 2
                });
            if !KNOWN.contains(&state.as_str()) || accepted {
                continue;
            }
            let was = |from: UtcMicros, to: UtcMicros, name: &str| name == state && from <= left && to >= entered;
            let first = changes.first().map(|change| (UtcMicros::EPOCH, change.at, name_of(change.from)));
            let spans = changes.iter().enumerate().map(|(place, change)| {
                (change.at, changes.get(place + 1).map_or(UtcMicros::MAX, |next| next.at), name_of(change.to))
            });
            let mut all = first.into_iter().chain(spans).peekable();
            let unchanged = all.peek().is_none() && state == name_of(now);
            if !unchanged && !all.any(|(from, to, name)| was(from, to, name)) {
                return Err(format!("history has {agent} in {state} at {entered}, which never was"));
            }
        }
    }
    Ok(())
}

const KNOWN: [&str; 7] = ["Ready", "NotReady", "Paused", "Idle", "OnContact", "AfterContactWork", "LoggedOut"];

/// The whole run, line by line: what the platform and the receiver got, and what the store has.
fn trace(world: &World, database: &Connection, log: &LogPage) -> Vec<String> {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for request in &log.requests {
        // A subscription's id is the platform's own draw.
        let path = request.path.split("/subscription/").next().unwrap_or_default();
        let RequestEntry { seq, at, method, status, fault, .. } = request;
        lines.push((*seq, format!("{seq} {at} {method} {path} {status:?} {fault:?}")));
    }
    for change in &log.changes {
        let line = format!("{} {} {} {:?} {:?}", change.seq, change.at, change.agent, change.to, change.cause);
        lines.push((change.seq, line));
    }
    lines.sort();
    let mut lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    lines.extend(world.receiver.lock().expect("a lock").deliveries.iter().map(|receipt| format!("{receipt:?}")));
    for statement in [
        "SELECT body FROM audit_entries ORDER BY seq",
        "SELECT id || body FROM events ORDER BY number",
        "SELECT agent || ' ' || entered_at || ' ' || state || ' ' || id FROM state_history ORDER BY agent, entered_at",
    ] {
        lines.extend(texts(database, statement));
    }
    lines
}

/// The whole run as one number.
fn hash(lines: &[String]) -> String {
    let mut sha = Sha256::new();
    for line in lines {
        sha.update(line);
        sha.update("\n");
    }
    hex(&sha.finalize()[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn open(world: &World) -> Connection {
    Connection::open_with_flags(world.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database")
}

fn texts(database: &Connection, statement: &str) -> Vec<String> {
    let mut statement = database.prepare(statement).expect("a statement");
    let rows = statement.query_map([], |row| row.get(0)).expect("readable");
    rows.map(|row| row.expect("a text")).collect()
}

fn scalar(database: &Connection, statement: &str, value: &str) -> Option<i64> {
    database.query_row(statement, [value], |row| row.get(0)).expect("readable")
}
