//! Traps: what the published services may do differently from their documents, each switched on by its name.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A way in which the published services may surprise a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trap {
    /// A page has at most 20 rows, whatever `top` asks for.
    SmallPages,
    /// In every second read of several pages, the rows move up by one after the first page.
    MovingRows,
    /// Everything is in `resultSet` and spelled as in older versions.
    ResultSet,
    /// Field names begin with a capital letter.
    OtherCases,
    /// Numbers are written as text.
    NumbersAsText,
    /// Errors have no body and say their text in the header `icStatusDescription`.
    StatusHeader,
    /// A list without rows is answered with 204, which still declares a content type.
    NoContent,
    /// A 429 has no `Retry-After`.
    NoRetryAfter,
    /// `lastPollTime` is in each row, not above them.
    PollTimeInRows,
    /// There is no `lastPollTime`.
    NoPollTime,
    /// `lastPollTime` stands still from the first answer on.
    FrozenPollTime,
    /// `_links.next` leads to another origin.
    ForeignLinks,
    /// The timeout of an unavailable code logs its agents out.
    CodeTimeouts,
    /// In every second team the code 12 is Training and 112 is Break, and nobody may use 13.
    TeamCodes,
    /// A state that was accepted during a contact is dropped, because the agent chooses another one.
    AgentChooses,
    /// A state that is requested during wrap-up ends the wrap-up at once.
    WrapUpEndsAtOnce,
    /// The arguments of a state request are read from a JSON body, not from the query.
    StateInBody,
    /// A search for one skill answers with its object alone.
    BareObject,
    /// Token answers have no id token.
    NoIdToken,
    /// Refresh tokens are refused.
    NoRefresh,
}

impl Trap {
    /// All traps, in the order of the document.
    pub const ALL: [Self; 20] = [
        Self::SmallPages,
        Self::MovingRows,
        Self::ResultSet,
        Self::OtherCases,
        Self::NumbersAsText,
        Self::StatusHeader,
        Self::NoContent,
        Self::NoRetryAfter,
        Self::PollTimeInRows,
        Self::NoPollTime,
        Self::FrozenPollTime,
        Self::ForeignLinks,
        Self::CodeTimeouts,
        Self::TeamCodes,
        Self::AgentChooses,
        Self::WrapUpEndsAtOnce,
        Self::StateInBody,
        Self::BareObject,
        Self::NoIdToken,
        Self::NoRefresh,
    ];

    /// Returns the name by which the trap is switched on.
    pub fn name(self) -> &'static str {
        match self {
            Self::SmallPages => "small_pages",
            Self::MovingRows => "moving_rows",
            Self::ResultSet => "result_set",
            Self::OtherCases => "other_cases",
            Self::NumbersAsText => "numbers_as_text",
            Self::StatusHeader => "status_header",
            Self::NoContent => "no_content",
            Self::NoRetryAfter => "no_retry_after",
            Self::PollTimeInRows => "poll_time_in_rows",
            Self::NoPollTime => "no_poll_time",
            Self::FrozenPollTime => "frozen_poll_time",
            Self::ForeignLinks => "foreign_links",
            Self::CodeTimeouts => "code_timeouts",
            Self::TeamCodes => "team_codes",
            Self::AgentChooses => "agent_chooses",
            Self::WrapUpEndsAtOnce => "wrap_up_ends_at_once",
            Self::StateInBody => "state_in_body",
            Self::BareObject => "bare_object",
            Self::NoIdToken => "no_id_token",
            Self::NoRefresh => "no_refresh",
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of no trap.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no trap {name:?}; there are {known}", known = Trap::ALL.map(Trap::name).join(", "))]
pub struct UnknownTrap {
    name: String,
}

impl FromStr for Trap {
    type Err = UnknownTrap;

    fn from_str(text: &str) -> Result<Self, UnknownTrap> {
        Self::ALL
            .into_iter()
            .find(|trap| trap.name() == text.trim())
            .ok_or_else(|| UnknownTrap { name: text.to_owned() })
    }
}

/// The traps that are switched on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct Traps(BTreeSet<Trap>);

impl Traps {
    /// Returns whether a trap is switched on.
    pub(in crate::sim) fn has(&self, trap: Trap) -> bool {
        self.0.contains(&trap)
    }

    /// Returns the traps in order.
    pub(in crate::sim) fn iter(&self) -> impl Iterator<Item = Trap> {
        self.0.iter().copied()
    }
}

impl FromIterator<Trap> for Traps {
    fn from_iter<I: IntoIterator<Item = Trap>>(traps: I) -> Self {
        Self(traps.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_read_by_the_name_that_it_is_written_with() {
        let document = std::fs::read_to_string("docs/simulator.md").expect("the document");
        for trap in Trap::ALL {
            assert_eq!(trap.to_string().parse(), Ok(trap));
            assert_eq!(serde_json::to_value(trap).expect("JSON"), trap.name());
            assert!(document.contains(&format!("| `{trap}` |")), "docs/simulator.md does not explain {trap}");
        }
        assert!("sneeze".parse::<Trap>().expect_err("unknown").to_string().contains("small_pages"));
    }
}
