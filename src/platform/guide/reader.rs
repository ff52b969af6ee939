//! Reads the snapshots of one slice of the roster and returns only what changed since the previous one.
//!
//! There are three steps, each used only if the one before did not decide. An identical snapshot is not read. A row
//! with the same bytes as in the previous snapshot is skipped. A row that was read is compared by a fingerprint of the
//! relevant fields. A snapshot that breaks off does not change what is remembered.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::domain::agents::state::{AgentState, StateNames};
use crate::domain::ids::{AgentId, SubscriptionId, TeamName};
use crate::domain::time::UtcMicros;
use crate::platform::error::{CallError, Failure, excerpt};
use crate::platform::snapshot::{
    AgentObservation, MAX_DIAGNOSTICS, SnapshotBody, SnapshotDelta, SnapshotDiagnostic, SnapshotFault, SnapshotReader,
    UnreadableRows,
};
use crate::platform::text::{MAX_TEXT_CHARS, is_id, truncated};

use super::instant::InstantReader;
use super::rows::{Field, ParseErrorAt, ParsedRow, Row, RowParser};

/// Reads the snapshots of one slice of the roster.
#[derive(Debug)]
pub struct GuideReader {
    agents: Arc<[AgentId]>,
    index: HashMap<AgentId, usize, RandomState>,
    names: Arc<StateNames>,
    instants: InstantReader,
    states: Interner<AgentState>,
    queues: Interner<Arc<str>>,
    teams: Interner<TeamName>,
    hasher: RandomState,
    /// For each agent, the fingerprint of what was last returned.
    fingerprints: Vec<Option<u64>>,
    previous: Option<PreviousSnapshot>,
}

/// The maximum number of interned texts of a kind: more than a contact centre has queues or teams.
const MAX_INTERNED: usize = 512;

/// The maximum length of an interned text, in bytes.
const MAX_INTERNED_BYTES: usize = 4 * MAX_TEXT_CHARS;

/// Converted values of a column, by their text. Nearly every row repeats one of a few texts.
#[derive(Debug)]
struct Interner<T>(HashMap<Box<str>, T, RandomState>);

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T: Clone> Interner<T> {
    fn lookup(&mut self, word: &str, of: impl FnOnce(&str) -> T) -> T {
        if let Some(known) = self.0.get(word) {
            return known.clone();
        }
        let value = of(word);
        if self.0.len() < MAX_INTERNED && word.len() <= MAX_INTERNED_BYTES {
            self.0.insert(word.into(), value.clone());
        }
        value
    }
}

/// The previous snapshot.
struct PreviousSnapshot {
    body: Vec<u8>,
    generated_at: UtcMicros,
    row_count: usize,
    absent: Arc<[AgentId]>,
    missing: Arc<[AgentId]>,
    unreadable: UnreadableRows,
    layout: RowLayout,
}

/// Leaves out the bytes, since they contain names.
impl std::fmt::Debug for PreviousSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Last({} bytes of {})", self.body.len(), self.generated_at)
    }
}

/// The positions of a snapshot's rows.
#[derive(Debug, Default)]
struct RowLayout {
    /// The byte range of each readable row and its agent, in order.
    rows: Vec<(Range<usize>, usize)>,
    /// For each agent, the index in `rows`.
    row_of_agent: Vec<Option<usize>>,
}

impl GuideReader {
    /// Creates a reader for snapshots of these agents.
    pub fn new(agents: &[AgentId], names: Arc<StateNames>) -> Self {
        Self {
            agents: agents.into(),
            index: agents.iter().enumerate().map(|(place, agent)| (agent.clone(), place)).collect(),
            names,
            instants: InstantReader::default(),
            states: Interner::default(),
            queues: Interner::default(),
            teams: Interner::default(),
            hasher: RandomState::default(),
            fingerprints: vec![None; agents.len()],
            previous: None,
        }
    }

    /// Returns a hash of the fields that an observation contains, as the row spells them. Two different rows of one
    /// agent have the same one with a probability of 2⁻⁶⁴.
    fn fingerprint(&self, row: &Row<'_>) -> u64 {
        let Row { user_id: _, user_name, agent_state, queue_name, status_changed_timestamp, team_name } = row;
        self.hasher.hash_one((agent_state, queue_name, status_changed_timestamp, team_name, user_name))
    }

    /// Returns an agent's index in the slice, trying `likely` first.
    fn position(&self, id: &str, likely: usize) -> Option<usize> {
        if self.agents.get(likely).is_some_and(|agent| agent.as_str() == id) {
            return Some(likely);
        }
        self.index.get(id).copied()
    }

    fn repeated_snapshot(&self, body: &[u8]) -> Option<SnapshotDelta> {
        let last = self.previous.as_ref().filter(|last| body.is_empty() || last.body == body)?;
        Some(SnapshotDelta {
            generated_at: last.generated_at,
            repeated: true,
            changed: Vec::new(),
            rows: last.row_count,
            absent: Arc::clone(&last.absent),
            missing: Arc::clone(&last.missing),
            unreadable: last.unreadable.clone(),
            diagnostics: Vec::new(),
            more_diagnostics: 0,
        })
    }

    fn read_new(&mut self, subscription: &SubscriptionId, body: SnapshotBody) -> Result<SnapshotDelta, String> {
        let mut pass = SnapshotPass::new(self);
        let head = pass.document(&body.bytes).map_err(|ParseErrorAt(at)| {
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
            pass.add_diagnostic(None, None, SnapshotFault::Status(excerpt(status.as_bytes(), &[])));
        }
        if pass.reader.previous.as_ref().is_some_and(|last| generated_at < last.generated_at) {
            pass.add_diagnostic(None, None, SnapshotFault::OlderThanPrevious);
        }
        Ok(pass.finish(generated_at, body.bytes))
    }
}

impl SnapshotReader for GuideReader {
    fn read(&mut self, subscription: &SubscriptionId, body: SnapshotBody) -> Result<Option<SnapshotDelta>, CallError> {
        if let Some(delta) = self.repeated_snapshot(&body.bytes) {
            return Ok(Some(delta));
        }
        self.read_new(subscription, body).map(Some).map_err(|excerpt| {
            CallError::without_request("read a snapshot", Failure::Malformed { status: 200, excerpt })
        })
    }

    fn reset(&mut self) {
        self.fingerprints.fill(None);
        self.previous = None;
    }
}

/// The fields of a snapshot other than its rows.
#[derive(Default)]
struct SnapshotHeader {
    subscription: Option<String>,
    status: Option<String>,
    generated_at: Option<UtcMicros>,
}

/// The reading of one snapshot. The reader's memory changes only in [`SnapshotPass::finish`].
struct SnapshotPass<'r> {
    reader: &'r mut GuideReader,
    layout: RowLayout,
    row_count: usize,
    /// For each agent: no row yet, an unchanged row, or the index of its change.
    agent_rows: Vec<AgentRow>,
    changed: Vec<AgentObservation>,
    fingerprints: Vec<(usize, u64)>,
    /// The row of the previous snapshot that is expected next.
    expected: usize,
    /// The agent that the next row is most likely of, if it has to be read.
    next_agent: usize,
    diagnostics: Vec<SnapshotDiagnostic>,
    more_diagnostics: usize,
    duplicates: bool,
    /// Agents with an unreadable row.
    unreadable: Vec<usize>,
    /// The number of unreadable rows that name no agent of the slice.
    without_id: usize,
    /// Whether a row names no agent, or none of the slice, so that its agent is unknown.
    has_foreign_rows: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AgentRow {
    Missing,
    Unchanged,
    Changed(usize),
}

impl<'r> SnapshotPass<'r> {
    fn new(reader: &'r mut GuideReader) -> Self {
        let agents = reader.agents.len();
        // The first snapshot returns every agent; growing step by step would briefly need up to three times the memory.
        let expected_changes = if reader.previous.is_none() { agents } else { 0 };
        Self {
            reader,
            layout: RowLayout { rows: Vec::with_capacity(agents), row_of_agent: vec![None; agents] },
            row_count: 0,
            agent_rows: vec![AgentRow::Missing; agents],
            changed: Vec::with_capacity(expected_changes),
            fingerprints: Vec::with_capacity(expected_changes),
            expected: 0,
            next_agent: 0,
            diagnostics: Vec::new(),
            more_diagnostics: 0,
            duplicates: false,
            unreadable: Vec::new(),
            without_id: 0,
            has_foreign_rows: false,
        }
    }

    fn document(&mut self, text: &[u8]) -> Result<SnapshotHeader, ParseErrorAt> {
        let mut walk = RowParser::new(text);
        let (mut head, mut data) = (SnapshotHeader::default(), false);
        walk.expect_byte(b'{')?;
        let mut more = !walk.take_byte(b'}');
        while more {
            let key = walk.key()?;
            walk.expect_byte(b':')?;
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
            more = walk.take_byte(b',');
            if !more {
                walk.expect_byte(b'}')?;
            }
        }
        if data && walk.at_end() { Ok(head) } else { Err(ParseErrorAt(walk.at())) }
    }

    fn rows(&mut self, walk: &mut RowParser<'_>) -> Result<(), ParseErrorAt> {
        walk.expect_byte(b'[')?;
        let mut more = !walk.take_byte(b']');
        while more {
            if !self.skip_unchanged(walk) {
                walk.skip_space();
                let start = walk.at();
                match walk.row()? {
                    ParsedRow::Row(row) => self.row(&row, start..walk.at()),
                    ParsedRow::Unreadable { user_id } => self.record_unreadable(user_id.as_deref()),
                }
            }
            self.row_count += 1;
            more = walk.take_byte(b',');
            if !more {
                walk.expect_byte(b']')?;
            }
        }
        Ok(())
    }

    /// Skips a row that is identical to the expected one of the previous snapshot, and returns whether it did.
    fn skip_unchanged(&mut self, walk: &mut RowParser<'_>) -> bool {
        let Some(last) = &self.reader.previous else { return false };
        let Some((bytes, agent)) = last.layout.rows.get(self.expected) else { return false };
        let agent = *agent;
        // A second row of an agent has to be read, so that it is reported.
        if self.agent_rows[agent] != AgentRow::Missing || !walk.skip_known(&last.body[bytes.clone()]) {
            return false;
        }
        let end = walk.at();
        self.agent_rows[agent] = AgentRow::Unchanged;
        self.record_row(agent, end - bytes.len()..end);
        self.expected += 1;
        true
    }

    fn row(&mut self, row: &Row<'_>, bytes: Range<usize>) {
        let (Some(id), Some(_)) = (row.user_id.text(), row.agent_state.text()) else {
            return self.record_unreadable(row.user_id.text());
        };
        let Some(agent) = self.reader.position(id, self.next_agent) else {
            if !is_id(id) {
                return self.record_unreadable(Some(id));
            }
            self.has_foreign_rows = true;
            return self.add_diagnostic(Some(self.row_count), Some(AgentId::new(id)), SnapshotFault::UnknownAgent);
        };
        self.next_agent = agent + 1;
        if let Some(place) =
            self.reader.previous.as_ref().and_then(|last| last.layout.row_of_agent.get(agent).copied().flatten())
        {
            self.expected = place + 1;
        }
        let fingerprint = self.reader.fingerprint(row);
        let known = self.reader.fingerprints[agent] == Some(fingerprint);
        let earlier = self.agent_rows[agent];
        if earlier != AgentRow::Missing {
            self.duplicates = true;
            self.add_field_diagnostic(agent, SnapshotFault::Duplicate);
        }
        if known && earlier == AgentRow::Missing {
            self.agent_rows[agent] = AgentRow::Unchanged;
        } else {
            // After a duplicate, the row is returned whether or not it is new: merging a repeated observation has no
            // effect.
            let observation = self.observation(agent, row);
            self.yield_row(agent, earlier, observation);
            self.fingerprints.push((agent, fingerprint));
        }
        self.record_row(agent, bytes);
    }

    fn record_unreadable(&mut self, id: Option<&str>) {
        let id = id.filter(|id| is_id(id));
        let agent = id.and_then(|id| self.reader.position(id, self.next_agent));
        self.unreadable.extend(agent);
        self.without_id += usize::from(agent.is_none());
        self.has_foreign_rows |= id.is_none();
        self.add_diagnostic(Some(self.row_count), id.map(AgentId::new), SnapshotFault::Unreadable);
    }

    fn yield_row(&mut self, agent: usize, earlier: AgentRow, observation: AgentObservation) {
        match earlier {
            AgentRow::Changed(place) => self.changed[place] = observation,
            AgentRow::Missing | AgentRow::Unchanged => {
                self.agent_rows[agent] = AgentRow::Changed(self.changed.len());
                self.changed.push(observation);
            }
        }
    }

    fn observation(&mut self, agent: usize, row: &Row<'_>) -> AgentObservation {
        for (name, field) in [
            ("userName", &row.user_name),
            ("queueName", &row.queue_name),
            ("statusChangedTimestamp", &row.status_changed_timestamp),
            ("teamName", &row.team_name),
        ] {
            if *field == Field::Invalid {
                self.add_field_diagnostic(agent, SnapshotFault::BadField(name));
            }
        }
        let changed_text = row.status_changed_timestamp.text();
        let changed_at = changed_text.and_then(|text| self.reader.instants.read(text));
        if changed_text.is_some() && changed_at.is_none() {
            self.add_field_diagnostic(agent, SnapshotFault::BadInstant);
        }
        let GuideReader { agents, names, states, queues, teams, .. } = &mut *self.reader;
        AgentObservation {
            agent: agents[agent].clone(),
            state: states.lookup(row.agent_state.text().unwrap_or_default(), |word| names.state(&truncated(word))),
            reason: None,
            queue: row.queue_name.text().map(|word| queues.lookup(word, |word| Arc::from(truncated(word)))),
            changed_at,
            team: row.team_name.text().map(|word| teams.lookup(word, |word| TeamName::new(truncated(word)))),
            name: row.user_name.text().map(|name| Arc::from(truncated(name))),
        }
    }

    fn record_row(&mut self, agent: usize, bytes: Range<usize>) {
        self.layout.row_of_agent[agent] = Some(self.layout.rows.len());
        self.layout.rows.push((bytes, agent));
    }

    fn add_field_diagnostic(&mut self, agent: usize, fault: SnapshotFault) {
        self.add_diagnostic(Some(self.row_count), Some(self.reader.agents[agent].clone()), fault);
    }

    fn add_diagnostic(&mut self, row: Option<usize>, agent: Option<AgentId>, fault: SnapshotFault) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(SnapshotDiagnostic { row, agent, fault });
        } else {
            self.more_diagnostics += 1;
        }
    }

    fn finish(self, generated_at: UtcMicros, body: Vec<u8>) -> SnapshotDelta {
        let Self { reader, layout, row_count, agent_rows: met, changed, fingerprints, .. } = self;
        for (agent, fingerprint) in fingerprints {
            reader.fingerprints[agent] = Some(fingerprint);
        }
        let unlisted: Vec<usize> = (0..met.len()).filter(|agent| met[*agent] == AgentRow::Missing).collect();
        let named = |agents: &[usize]| agents.iter().map(|agent| reader.agents[*agent].clone()).collect();
        let absent: Arc<[AgentId]> = named(&unlisted);
        let mut with_bad_row = self.unreadable;
        with_bad_row.sort_unstable();
        let (bad, without_row): (Vec<_>, Vec<_>) =
            unlisted.into_iter().partition(|agent| with_bad_row.binary_search(agent).is_ok());
        let missing = match &bad[..] {
            _ if self.has_foreign_rows => Arc::from([]),
            [] => Arc::clone(&absent),
            [..] => named(&without_row),
        };
        let unreadable = UnreadableRows { agents: named(&bad), without_id: self.without_id };
        // If an agent has two rows, both must be read next time, to see which of them disappeared.
        let layout = if self.duplicates { RowLayout::default() } else { layout };
        reader.previous = Some(PreviousSnapshot {
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
            diagnostics: self.diagnostics,
            more_diagnostics: self.more_diagnostics,
        }
    }
}

fn text_of(field: Field<'_>) -> Option<String> {
    match field {
        Field::Text(text) => Some(text.into_owned()),
        Field::Absent | Field::Invalid => None,
    }
}

#[cfg(test)]
mod tests;
