//! Reads the snapshots of one subscription slice: what is new since the last one, and nothing else.
//!
//! Three steps, each only where the one before did not settle it: the same bytes as last time are not read; a row with the
//! same bytes as last time is stepped over; a row that was read is compared by a fingerprint of the fields that count. A
//! snapshot that breaks off changes nothing that is remembered.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::domain::agents::state::{AgentState, StateNames};
use crate::domain::ids::{AgentId, SubscriptionId, TeamName};
use crate::domain::time::UtcMicros;
use crate::platform::error::{CallError, CallSite, Failure, excerpt};
use crate::platform::snapshot::{
    Complaint, Fault, MAX_COMPLAINTS, Sighting, SnapshotBody, SnapshotDelta, SnapshotReader, UnreadableRows,
};
use crate::platform::text::{LONGEST_TEXT, is_id, kept};

use super::instant::InstantReader;
use super::rows::{BrokenAt, Field, Read, Row, Walk};

/// The reader of one slice of the roster.
#[derive(Debug)]
pub struct GuideReader {
    agents: Arc<[AgentId]>,
    index: HashMap<AgentId, usize, RandomState>,
    names: Arc<StateNames>,
    instants: InstantReader,
    states: Words<AgentState>,
    queues: Words<Arc<str>>,
    teams: Words<TeamName>,
    hasher: RandomState,
    /// By agent: what was last yielded.
    fingerprints: Vec<Option<u64>>,
    last: Option<Last>,
}

/// The most words of a kind that are kept: more than a contact centre has queues or teams.
const MOST_WORDS: usize = 512;

/// A word of more bytes is not kept.
const LONGEST_WORD: usize = 4 * LONGEST_TEXT;

/// What the words of a column mean: a few that nearly every row repeats.
#[derive(Debug)]
struct Words<T>(HashMap<Box<str>, T, RandomState>);

impl<T> Default for Words<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T: Clone> Words<T> {
    fn meaning(&mut self, word: &str, of: impl FnOnce(&str) -> T) -> T {
        if let Some(known) = self.0.get(word) {
            return known.clone();
        }
        let meaning = of(word);
        if self.0.len() < MOST_WORDS && word.len() <= LONGEST_WORD {
            self.0.insert(word.into(), meaning.clone());
        }
        meaning
    }
}

/// The last snapshot that was read.
struct Last {
    body: Vec<u8>,
    generated_at: UtcMicros,
    row_count: usize,
    absent: Arc<[AgentId]>,
    missing: Arc<[AgentId]>,
    unreadable: UnreadableRows,
    layout: Layout,
}

/// Without the bytes: they hold names.
impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Last({} bytes of {})", self.body.len(), self.generated_at)
    }
}

/// Where the rows of a snapshot stand.
#[derive(Debug, Default)]
struct Layout {
    /// In order: the bytes of each good row, and the agent that it is of.
    rows: Vec<(Range<usize>, usize)>,
    /// By agent: its place in `rows`.
    of_agent: Vec<Option<usize>>,
}

impl GuideReader {
    /// For snapshots of these agents.
    pub fn new(agents: &[AgentId], names: Arc<StateNames>) -> Self {
        Self {
            agents: agents.into(),
            index: agents.iter().enumerate().map(|(place, agent)| (agent.clone(), place)).collect(),
            names,
            instants: InstantReader::default(),
            states: Words::default(),
            queues: Words::default(),
            teams: Words::default(),
            hasher: RandomState::default(),
            fingerprints: vec![None; agents.len()],
            last: None,
        }
    }

    /// Of the fields that a sighting holds, as the row spells them. Two different rows of one agent agree by chance once in
    /// 2⁶⁴.
    fn fingerprint(&self, row: &Row<'_>) -> u64 {
        let Row { user_id: _, user_name, agent_state, queue_name, status_changed_timestamp, team_name } = row;
        self.hasher.hash_one((agent_state, queue_name, status_changed_timestamp, team_name, user_name))
    }

    /// The place of an agent in the slice, looked for first where it most likely is.
    fn position(&self, id: &str, likely: usize) -> Option<usize> {
        if self.agents.get(likely).is_some_and(|agent| agent.as_str() == id) {
            return Some(likely);
        }
        self.index.get(id).copied()
    }

    fn repeated(&self, body: &[u8]) -> Option<SnapshotDelta> {
        let last = self.last.as_ref().filter(|last| body.is_empty() || last.body == body)?;
        Some(SnapshotDelta {
            generated_at: last.generated_at,
            repeated: true,
            changed: Vec::new(),
            rows: last.row_count,
            absent: Arc::clone(&last.absent),
            missing: Arc::clone(&last.missing),
            unreadable: last.unreadable.clone(),
            complaints: Vec::new(),
            more_complaints: 0,
        })
    }

    fn read_new(&mut self, subscription: &SubscriptionId, body: SnapshotBody) -> Result<SnapshotDelta, String> {
        let mut reading = Reading::new(self);
        let head = reading.document(&body.bytes).map_err(|BrokenAt(at)| {
            format!("expected a snapshot, its {} bytes stop making sense at byte {at}", body.bytes.len())
        })?;
        if let Some(other) = head.subscription.filter(|id| id != subscription.as_str()) {
            return Err(format!(
                "expected a snapshot of {subscription}, got one of {}",
                excerpt(other.as_bytes(), &[])
            ));
        }
        let generated_at = head.generated_at.ok_or("expected a snapshot with its lastUpdatedTimestamp")?;
        if let Some(status) = head.status.filter(|status| !status.eq_ignore_ascii_case("active")) {
            reading.complain(None, None, Fault::Status(excerpt(status.as_bytes(), &[])));
        }
        if reading.reader.last.as_ref().is_some_and(|last| generated_at < last.generated_at) {
            reading.complain(None, None, Fault::OlderThanLast);
        }
        Ok(reading.finish(generated_at, body.bytes))
    }
}

impl SnapshotReader for GuideReader {
    fn read(&mut self, subscription: &SubscriptionId, body: SnapshotBody) -> Result<SnapshotDelta, CallError> {
        if let Some(delta) = self.repeated(&body.bytes) {
            return Ok(delta);
        }
        self.read_new(subscription, body).map_err(|excerpt| CallError {
            site: CallSite { purpose: "read a snapshot", method: "", path: String::new() },
            failure: Failure::Nonsense { status: 200, excerpt },
            asked_at: None,
        })
    }

    fn forget(&mut self) {
        self.fingerprints.fill(None);
        self.last = None;
    }
}

/// What a snapshot says beside its rows.
#[derive(Default)]
struct Head {
    subscription: Option<String>,
    status: Option<String>,
    generated_at: Option<UtcMicros>,
}

/// One snapshot while it is read; what the reader remembers changes only in [`Reading::finish`].
struct Reading<'r> {
    reader: &'r mut GuideReader,
    layout: Layout,
    row_count: usize,
    /// By agent: not met yet, met unchanged, or met with the change at this place.
    met: Vec<Met>,
    changed: Vec<Sighting>,
    fingerprints: Vec<(usize, u64)>,
    /// The row of the last snapshot that is expected next.
    expected: usize,
    /// The agent that the next row is most likely of, where it has to be read.
    next_agent: usize,
    complaints: Vec<Complaint>,
    more_complaints: usize,
    duplicates: bool,
    /// Agents with a row that could not be read.
    unreadable: Vec<usize>,
    /// Rows that could not be read and name no agent of the slice.
    nameless: usize,
    /// A row names nobody, or nobody of the slice: whose it is cannot be told.
    anonymous: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Not,
    Unchanged,
    Changed(usize),
}

impl<'r> Reading<'r> {
    fn new(reader: &'r mut GuideReader) -> Self {
        let agents = reader.agents.len();
        // The first snapshot yields everyone; growing step by step would need up to three times the room for a moment.
        let expected_changes = if reader.last.is_none() { agents } else { 0 };
        Self {
            reader,
            layout: Layout { rows: Vec::with_capacity(agents), of_agent: vec![None; agents] },
            row_count: 0,
            met: vec![Met::Not; agents],
            changed: Vec::with_capacity(expected_changes),
            fingerprints: Vec::with_capacity(expected_changes),
            expected: 0,
            next_agent: 0,
            complaints: Vec::new(),
            more_complaints: 0,
            duplicates: false,
            unreadable: Vec::new(),
            nameless: 0,
            anonymous: false,
        }
    }

    fn document(&mut self, text: &[u8]) -> Result<Head, BrokenAt> {
        let mut walk = Walk::new(text);
        let (mut head, mut data) = (Head::default(), false);
        walk.expect(b'{')?;
        let mut more = !walk.take(b'}');
        while more {
            let key = walk.key()?;
            walk.expect(b':')?;
            match &*key {
                "data" => {
                    self.rows(&mut walk)?;
                    data = true;
                }
                "subscriptionId" => head.subscription = text_of(walk.field()?),
                "status" => head.status = text_of(walk.field()?),
                "lastUpdatedTimestamp" => {
                    let instants = &mut self.reader.instants;
                    head.generated_at = text_of(walk.field()?).and_then(|text| instants.read(&text));
                }
                _ => walk.skip_value()?,
            }
            more = walk.take(b',');
            if !more {
                walk.expect(b'}')?;
            }
        }
        if data && walk.at_end() { Ok(head) } else { Err(BrokenAt(walk.at())) }
    }

    fn rows(&mut self, walk: &mut Walk<'_>) -> Result<(), BrokenAt> {
        walk.expect(b'[')?;
        let mut more = !walk.take(b']');
        while more {
            if !self.step_over_known(walk) {
                walk.skip_space();
                let start = walk.at();
                match walk.row()? {
                    Read::Row(row) => self.row(&row, start..walk.at()),
                    Read::Unreadable { user_id } => self.unreadable(user_id.as_deref()),
                }
            }
            self.row_count += 1;
            more = walk.take(b',');
            if !more {
                walk.expect(b']')?;
            }
        }
        Ok(())
    }

    /// Steps over a row that stands here as it stood in the last snapshot.
    fn step_over_known(&mut self, walk: &mut Walk<'_>) -> bool {
        let Some(last) = &self.reader.last else { return false };
        let Some((bytes, agent)) = last.layout.rows.get(self.expected) else { return false };
        let agent = *agent;
        // A second row of an agent has to be read, to be complained about.
        if self.met[agent] != Met::Not || !walk.step_over(&last.body[bytes.clone()]) {
            return false;
        }
        let end = walk.at();
        self.met[agent] = Met::Unchanged;
        self.place(agent, end - bytes.len()..end);
        self.expected += 1;
        true
    }

    fn row(&mut self, row: &Row<'_>, bytes: Range<usize>) {
        let (Some(id), Some(_)) = (row.user_id.text(), row.agent_state.text()) else {
            return self.unreadable(row.user_id.text());
        };
        let Some(agent) = self.reader.position(id, self.next_agent) else {
            if !is_id(id) {
                return self.unreadable(Some(id));
            }
            self.anonymous = true;
            return self.complain(Some(self.row_count), Some(AgentId::new(id)), Fault::Stranger);
        };
        self.next_agent = agent + 1;
        if let Some(place) =
            self.reader.last.as_ref().and_then(|last| last.layout.of_agent.get(agent).copied().flatten())
        {
            self.expected = place + 1;
        }
        let fingerprint = self.reader.fingerprint(row);
        let known = self.reader.fingerprints[agent] == Some(fingerprint);
        let earlier = self.met[agent];
        if earlier != Met::Not {
            self.duplicates = true;
            self.complain_of(agent, Fault::Duplicate);
        }
        if known && earlier == Met::Not {
            self.met[agent] = Met::Unchanged;
        } else {
            // After a duplicate the row is yielded whether or not it is new: the merge takes a repeat as nothing.
            let sighting = self.sighting(agent, row);
            self.yield_once(agent, earlier, sighting);
            self.fingerprints.push((agent, fingerprint));
        }
        self.place(agent, bytes);
    }

    fn unreadable(&mut self, id: Option<&str>) {
        let id = id.filter(|id| is_id(id));
        let agent = id.and_then(|id| self.reader.position(id, self.next_agent));
        self.unreadable.extend(agent);
        self.nameless += usize::from(agent.is_none());
        self.anonymous |= id.is_none();
        self.complain(Some(self.row_count), id.map(AgentId::new), Fault::Unreadable);
    }

    fn yield_once(&mut self, agent: usize, earlier: Met, sighting: Sighting) {
        match earlier {
            Met::Changed(place) => self.changed[place] = sighting,
            Met::Not | Met::Unchanged => {
                self.met[agent] = Met::Changed(self.changed.len());
                self.changed.push(sighting);
            }
        }
    }

    fn sighting(&mut self, agent: usize, row: &Row<'_>) -> Sighting {
        for (name, field) in [
            ("userName", &row.user_name),
            ("queueName", &row.queue_name),
            ("statusChangedTimestamp", &row.status_changed_timestamp),
            ("teamName", &row.team_name),
        ] {
            if *field == Field::Wrong {
                self.complain_of(agent, Fault::BadField(name));
            }
        }
        let changed_text = row.status_changed_timestamp.text();
        let changed_at = changed_text.and_then(|text| self.reader.instants.read(text));
        if changed_text.is_some() && changed_at.is_none() {
            self.complain_of(agent, Fault::BadInstant);
        }
        let GuideReader { agents, names, states, queues, teams, .. } = &mut *self.reader;
        Sighting {
            agent: agents[agent].clone(),
            state: states.meaning(row.agent_state.text().unwrap_or_default(), |word| names.state(&kept(word))),
            queue: row.queue_name.text().map(|word| queues.meaning(word, |word| Arc::from(kept(word)))),
            changed_at,
            team: row.team_name.text().map(|word| teams.meaning(word, |word| TeamName::new(kept(word)))),
            name: row.user_name.text().map(|name| Arc::from(kept(name))),
        }
    }

    fn place(&mut self, agent: usize, bytes: Range<usize>) {
        self.layout.of_agent[agent] = Some(self.layout.rows.len());
        self.layout.rows.push((bytes, agent));
    }

    fn complain_of(&mut self, agent: usize, fault: Fault) {
        self.complain(Some(self.row_count), Some(self.reader.agents[agent].clone()), fault);
    }

    fn complain(&mut self, row: Option<usize>, agent: Option<AgentId>, fault: Fault) {
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(Complaint { row, agent, fault });
        } else {
            self.more_complaints += 1;
        }
    }

    fn finish(self, generated_at: UtcMicros, body: Vec<u8>) -> SnapshotDelta {
        let Self { reader, layout, row_count, met, changed, fingerprints, .. } = self;
        for (agent, fingerprint) in fingerprints {
            reader.fingerprints[agent] = Some(fingerprint);
        }
        let unmet: Vec<usize> = (0..met.len()).filter(|agent| met[*agent] == Met::Not).collect();
        let named = |agents: &[usize]| agents.iter().map(|agent| reader.agents[*agent].clone()).collect();
        let absent: Arc<[AgentId]> = named(&unmet);
        let mut with_bad_row = self.unreadable;
        with_bad_row.sort_unstable();
        let (bad, left_out): (Vec<_>, Vec<_>) =
            unmet.into_iter().partition(|agent| with_bad_row.binary_search(agent).is_ok());
        let missing = match &bad[..] {
            _ if self.anonymous => Arc::from([]),
            [] => Arc::clone(&absent),
            [..] => named(&left_out),
        };
        let unreadable = UnreadableRows { agents: named(&bad), nameless: self.nameless };
        // Two rows of one agent must be read again next time, to see which of them went away.
        let layout = if self.duplicates { Layout::default() } else { layout };
        reader.last = Some(Last {
            body,
            generated_at,
            row_count,
            absent: Arc::clone(&absent),
            missing: Arc::clone(&missing),
            unreadable: unreadable.clone(),
            layout,
        });
        SnapshotDelta {
            generated_at,
            repeated: false,
            changed,
            rows: row_count,
            absent,
            missing,
            unreadable,
            complaints: self.complaints,
            more_complaints: self.more_complaints,
        }
    }
}

fn text_of(field: Field<'_>) -> Option<String> {
    match field {
        Field::Text(text) => Some(text.into_owned()),
        Field::Absent | Field::Wrong => None,
    }
}

#[cfg(test)]
mod tests;
