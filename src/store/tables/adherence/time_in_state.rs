//! Time in state: how long each agent was in each state within a period.
//!
//! The engine only reads the rows and packs them into one text per agent; adding up here takes half the time of seven
//! conditional sums in SQL.

use sqlx::any::AnyRow;

use crate::domain::agents::state::{AgentState, STATE_KINDS};
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
use crate::store::cells::Cells;
use crate::store::error::ReadError;
use crate::store::reader::Reader;

/// The number of connections that share the scan; the pool keeps one for other readers.
const SCANS: usize = 3;

/// The number of agents on one page of a scan, whose rows are in memory at once.
const PAGE_AGENTS: i64 = 32;

/// The number of digits of every time from September 2001 to November 2286.
const INSTANT_DIGITS: usize = 16;
const INSTANTS_OF_DIGITS: std::ops::RangeInclusive<i64> = 1_000_000_000_000_000..=10_000_000_000_000_000;

/// The agents that divide a tenant's history into three parts of similar size, and the last agent. Any agents would do;
/// those with a subject are quick to count.
pub(in crate::store) const PARTS: &str = "SELECT \
     (SELECT agent FROM subjects WHERE tenant = $1 ORDER BY agent \
         LIMIT 1 OFFSET (SELECT COUNT(*) / 3 FROM subjects WHERE tenant = $1)) AS first_end, \
     (SELECT agent FROM subjects WHERE tenant = $1 ORDER BY agent \
         LIMIT 1 OFFSET (SELECT COUNT(*) * 2 / 3 FROM subjects WHERE tenant = $1)) AS second_end, \
     (SELECT MAX(agent) FROM state_history WHERE tenant = $1) AS last_agent";

/// The states of each agent within the period, packed with the times from the second on, and their number:
/// `Ready1790000000000000Paused1790000060000000Ready,3`, and the first time beside it. `$1` tenant, `$2` from, `$3` to,
/// `$4` the agent before the first one, `$5` the last agent, `$6` the number of agents.
pub(in crate::store) const STATES: &str = "WITH RECURSIVE a(agent, n) AS (\
     SELECT MIN(agent), CAST(1 AS BIGINT) FROM state_history WHERE tenant = $1 AND agent > $4 AND agent <= $5 \
     UNION ALL SELECT (SELECT MIN(h.agent) FROM state_history h WHERE h.tenant = $1 AND h.agent > a.agent AND h.agent <= $5), \
     a.n + 1 FROM a WHERE a.agent IS NOT NULL AND a.n < $6) \
     SELECT a.agent, (SELECT MIN(h.entered_at) FROM state_history h WHERE h.tenant = $1 AND h.agent = a.agent \
         AND h.entered_at < $3 AND h.entered_at >= COALESCE(\
         (SELECT MAX(p.entered_at) FROM state_history p WHERE p.tenant = $1 AND p.agent = a.agent AND p.entered_at <= $2), $2)\
     ) AS began, (SELECT string_agg(h.state, CAST(h.entered_at AS TEXT)) || ',' || CAST(COUNT(*) AS TEXT) \
         FROM state_history h WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at < $3 AND h.entered_at >= COALESCE(\
         (SELECT MAX(p.entered_at) FROM state_history p WHERE p.tenant = $1 AND p.agent = a.agent AND p.entered_at <= $2), $2)\
     ) AS states FROM a WHERE a.agent IS NOT NULL ORDER BY a.agent";

/// The result of [`STATES`] computed by the engine, for texts that cannot be parsed reliably. The sums of one agent are
/// one text, `ready,not-ready,…` in the order of [`AgentState::index`], because a subquery returns one value and only
/// so is each agent's part of the table read once, in its order, without a sort. `$1` tenant, `$2` from, `$3` to, `$4`
/// and `$5` first and last agent.
pub(in crate::store) const SUMS: &str = "WITH RECURSIVE a(agent) AS (\
     SELECT MIN(agent) FROM state_history WHERE tenant = $1 AND agent >= $4 AND agent <= $5 \
     UNION ALL SELECT (SELECT MIN(h.agent) FROM state_history h WHERE h.tenant = $1 AND h.agent > a.agent AND h.agent <= $5) \
     FROM a WHERE a.agent IS NOT NULL) \
     SELECT a.agent, (SELECT \
     COALESCE(CAST(SUM(d) FILTER (WHERE state = 'Ready') AS TEXT), '0') || ',' || \
     COALESCE(CAST(SUM(d) FILTER (WHERE state = 'NotReady') AS TEXT), '0') || ',' || \
     COALESCE(CAST(SUM(d) FILTER (WHERE state = 'Paused') AS TEXT), '0') || ',' || \
     COALESCE(CAST(SUM(d) FILTER (WHERE state = 'Idle') AS TEXT), '0') || ',' || \
     COALESCE(CAST(SUM(d) FILTER (WHERE state = 'LoggedOut') AS TEXT), '0') || ',' || \
     COALESCE(CAST(SUM(d) FILTER (WHERE state = 'OnContact') AS TEXT), '0') || ',' || \
     COALESCE(CAST(SUM(d) FILTER (WHERE state = 'AfterContactWork') AS TEXT), '0') || ',' || \
     COALESCE(CAST(SUM(d) AS TEXT), '0') \
     FROM (SELECT h.state, CASE WHEN h.left_at < $3 THEN h.left_at ELSE $3 END \
         - CASE WHEN h.entered_at > $2 THEN h.entered_at ELSE $2 END AS d \
         FROM state_history h WHERE h.tenant = $1 AND h.agent = a.agent AND h.entered_at < $3 AND h.entered_at >= COALESCE(\
         (SELECT MAX(p.entered_at) FROM state_history p WHERE p.tenant = $1 AND p.agent = a.agent AND p.entered_at <= $2), $2)\
     ) AS spans) AS sums FROM a WHERE a.agent IS NOT NULL ORDER BY a.agent";

/// The time that an agent spent in each state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeInState {
    /// The agent.
    pub agent: AgentId,
    /// Microseconds by [`AgentState::index`]; the last is the sum of all unknown states.
    pub micros: [u64; STATE_KINDS],
}

impl TimeInState {
    /// Returns the microseconds in `state`; for an unknown state, the sum of all unknown states.
    pub const fn micros_in(&self, state: &AgentState) -> u64 {
        self.micros[state.index()]
    }
}

/// A period, from start to end.
type Span = (UtcMicros, UtcMicros);

impl Reader {
    /// Returns the time that each agent spent in each state within `from..to`, by agent. The latest state lasts until
    /// `to`, so a caller should not ask beyond the current time.
    pub async fn time_in_state(
        &self,
        tenant: &TenantId,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Vec<TimeInState>, ReadError> {
        let parts = self.fetch_optional(PARTS, Values::of(tenant)).await?;
        let Some(row) = parts.filter(|_| from < to) else { return Ok(Vec::new()) };
        let cells = Cells::new("state_history", &row);
        let Some(last) = cells.text_or_null("last_agent")? else { return Ok(Vec::new()) };
        let first_end = cells.text_or_null("first_end")?.unwrap_or(last).min(last);
        let second_end = cells.text_or_null("second_end")?.unwrap_or(last).min(last);
        let scan = |after, last| self.time_in_state_of_agents(tenant, (from, to), after, last);
        let scans: [_; SCANS] = [scan("", first_end), scan(first_end, second_end), scan(second_end, last)];
        let [first, second, third] = scans;
        let (first, second, third) = tokio::try_join!(first, second, third)?;
        Ok([first, second, third].concat())
    }

    /// Returns the times of the agents after `after` up to `last`.
    async fn time_in_state_of_agents(
        &self,
        tenant: &TenantId,
        span: Span,
        after: &str,
        last: &str,
    ) -> Result<Vec<TimeInState>, ReadError> {
        let mut times: Vec<TimeInState> = Vec::new();
        loop {
            let after = times.last().map_or(after, |time| time.agent.as_str());
            let values = Values::of(tenant).instant(span.0).instant(span.1).text(after).text(last).int(PAGE_AGENTS);
            let read = |row: &AnyRow| {
                let cells = Cells::new("state_history", row);
                let micros = match (cells.instant_or_null("began")?, cells.text_or_null("states")?) {
                    (Some(began), Some(states)) => sum_states(states, began, span),
                    (None, _) | (_, None) => Some([0; STATE_KINDS]),
                };
                Ok((AgentId::new(cells.text("agent")?), micros))
            };
            let page = self.read_rows(STATES, values, read).await?;
            let done = i64::try_from(page.len()).is_ok_and(|agents| agents < PAGE_AGENTS);
            let all = page.iter().map(|(agent, micros)| Some(TimeInState { agent: agent.clone(), micros: (*micros)? }));
            match (all.collect::<Option<Vec<_>>>(), page.first(), page.last()) {
                (Some(all), ..) => times.extend(all),
                (None, Some((first, _)), Some((last, _))) => {
                    times.extend(self.sums_by_engine(tenant, span, first, last).await?);
                }
                (None, ..) => {}
            }
            if done {
                return Ok(times);
            }
        }
    }

    /// Returns the times of the agents from `first` to `last`, added up by the engine.
    async fn sums_by_engine(
        &self,
        tenant: &TenantId,
        (from, to): Span,
        first: &AgentId,
        last: &AgentId,
    ) -> Result<Vec<TimeInState>, ReadError> {
        self.read_rows(
            SUMS,
            Values::of(tenant).instant(from).instant(to).text(first.as_str()).text(last.as_str()),
            |row| {
                let cells = Cells::new("state_history", row);
                let micros = cells.known_value("sums", parse_sums)?;
                Ok(TimeInState { agent: AgentId::new(cells.text("agent")?), micros })
            },
        )
        .await
    }
}

/// Adds up a text of [`STATES`]. Returns `None` if the text is ambiguous: times do not have the usual length, rows are
/// out of order (an engine may return them so), or digits in the name of an unknown state cannot be told from a time.
/// Every row but the last adds at least one run of digits of a time's length, so if there are exactly as many runs as
/// rows minus one, none of them is part of a name.
fn sum_states(states: &str, started_at: UtcMicros, (from, to): Span) -> Option<[u64; STATE_KINDS]> {
    let (text, count) = states.rsplit_once(',')?;
    let mut remaining = count.parse::<usize>().ok()?;
    let (mut began, from, to) = (started_at.as_micros(), from.as_micros(), to.as_micros());
    if !INSTANTS_OF_DIGITS.contains(&began) || !INSTANTS_OF_DIGITS.contains(&to) {
        return None;
    }
    let (mut text, mut micros) = (text.as_bytes(), [0; STATE_KINDS]);
    loop {
        let length = text.iter().position(u8::is_ascii_digit).unwrap_or(text.len());
        let (state, rest) = text.split_at(length);
        remaining = remaining.checked_sub(1).filter(|_| !state.is_empty())?;
        let end = match rest.split_first_chunk::<INSTANT_DIGITS>() {
            Some((digits, next)) if !next.first()?.is_ascii_digit() => {
                text = next;
                digits_value(digits).filter(|next| *next > began)?
            }
            None if rest.is_empty() => to,
            Some(_) | None => return None,
        };
        micros[state_index(state)] += u64::try_from(end.min(to) - began.max(from)).unwrap_or(0);
        if rest.is_empty() {
            return (remaining == 0).then_some(micros);
        }
        began = end;
    }
}

fn digits_value(digits: &[u8; INSTANT_DIGITS]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Returns the [`AgentState::index`] of the state with this name.
fn state_index(name: &[u8]) -> usize {
    static KNOWN: [AgentState; STATE_KINDS - 1] = AgentState::KNOWN;
    KNOWN.iter().position(|state| state.name().as_bytes() == name).unwrap_or(STATE_KINDS - 1)
}

/// Parses seven sums by name and the total, as written by the query; the rest of the total belongs to unknown states.
fn parse_sums(text: &str) -> Option<[u64; STATE_KINDS]> {
    let mut micros = [0; STATE_KINDS];
    let mut parts = text.split(',');
    for slot in &mut micros {
        *slot = parts.next()?.parse().ok()?;
    }
    let known: u64 = micros[..STATE_KINDS - 1].iter().sum();
    micros[STATE_KINDS - 1] = micros[STATE_KINDS - 1].checked_sub(known)?;
    parts.next().is_none().then_some(micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEGAN: i64 = 1_790_000_000_000_000;

    fn joined_states(rows: &[(i64, &str)]) -> String {
        let mut text = rows[0].1.to_owned();
        for (at, state) in &rows[1..] {
            text.push_str(&at.to_string());
            text.push_str(state);
        }
        format!("{text},{}", rows.len())
    }

    fn read(rows: &[(i64, &str)], from: i64, to: i64) -> Option<[u64; STATE_KINDS]> {
        let span = (UtcMicros::from_micros(from), UtcMicros::from_micros(to));
        sum_states(&joined_states(rows), UtcMicros::from_micros(rows[0].0), span)
    }

    #[test]
    fn what_is_not_sure_is_left_to_the_engine() {
        for (state, sure) in [
            ("Coffee", true),
            ("a,7", false),
            ("2nd line", false),
            ("line 2", false),
            ("a2b", false),
            ("Ready1790000000000003Paused", false),
            ("", false),
        ] {
            for place in 0..3 {
                let mut rows = [(BEGAN, "Ready"), (BEGAN + 5, "Idle"), (BEGAN + 9, "Ready")];
                rows[place].1 = state;
                assert_eq!(read(&rows, BEGAN, BEGAN + 20).is_some(), sure, "{state} at {place}");
            }
        }
        let rows = [(BEGAN, "Ready"), (BEGAN + 9, "Idle"), (BEGAN + 5, "Ready")];
        assert_eq!(read(&rows, BEGAN, BEGAN + 20), None, "out of order");
        assert_eq!(read(&[(5, "Ready")], 0, BEGAN), None, "an instant of another length");
    }

    proptest! {
        #[test]
        fn time_adds_up_within_the_span(
            gaps in proptest::collection::vec((1_i64..100, 0_usize..9), 1..20), from in -50_i64..500, length in 1_i64..600,
        ) {
            let names = ["Ready", "NotReady", "Paused", "Idle", "LoggedOut", "OnContact", "AfterContactWork", "Tea", "Späti"];
            let mut at = BEGAN;
            let mut rows: Vec<(i64, &str)> = gaps.iter().map(|(gap, state)| { at += gap; (at, names[*state]) }).collect();
            let (from, to) = (BEGAN + from, BEGAN + from + length);
            // As the query has it: from the row that is in force at `from` on.
            let first = rows.iter().rposition(|(at, _)| *at <= from).unwrap_or(0);
            rows.drain(..first);
            rows.retain(|(at, _)| *at < to);
            prop_assume!(!rows.is_empty());
            let mut expected = [0; STATE_KINDS];
            for micro in from..to {
                if let Some((_, state)) = rows.iter().rev().find(|(at, _)| *at <= micro) {
                    expected[AgentState::from_stored_name(state).index()] += 1;
                }
            }
            prop_assert_eq!(read(&rows, from, to), Some(expected));
        }
    }
}
