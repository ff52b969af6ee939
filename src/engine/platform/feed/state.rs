//! The state of a tenant's live feed, for the status and for viewers.

use crate::domain::time::UtcMicros;

/// The state of a tenant's feed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FeedState {
    /// The state of the connection.
    pub connection: FeedConnection,
    /// When it last sent anything, including heartbeats.
    pub last_message_at: Option<UtcMicros>,
    /// Connections lost or not established, since the start of the daemon.
    pub losses: u64,
    /// Messages received since the start of the daemon.
    pub messages: u64,
    /// How many of these were invalid.
    pub invalid_messages: u64,
}

/// The state of a feed's connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedConnection {
    /// No feed is wanted, for this reason.
    Off(&'static str),
    /// There is no connection, or one that has not sent anything yet.
    Connecting {
        /// Since when.
        since: UtcMicros,
        /// The number of the attempt, from 1.
        attempt: u32,
    },
    /// The connection has sent a message.
    Live {
        /// Since when.
        since: UtcMicros,
    },
}

impl Default for FeedConnection {
    fn default() -> Self {
        Self::Off("not started yet")
    }
}
