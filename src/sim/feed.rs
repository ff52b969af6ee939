//! The open live feeds of one tenant (guide 000): their subscriptions, messages and ends.
//!
//! This module decides and records; `server` handles the connection. Messages wait in a queue with a limit: a client
//! that reads too slowly is disconnected, and the platform goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::faults::{Endpoint, FaultContext, FaultKind, FaultSpec, Faults};
use super::feed_message::{FeedEndReason, FeedEvent, FeedMessage};
use super::journal::Journal;
use super::tokens::TokenBase;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The interval between heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);
/// How long a heartbeat may stay unanswered.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(90);
/// The most messages that wait for one client.
const MAX_QUEUED_MESSAGES: usize = 10_000;
/// The most feeds that a tenant may hold at once.
const MAX_FEEDS: usize = 100;

/// What the connection must do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConnectionCommand {
    /// Send a message after a pause in real time.
    Send { text: String, pause: Duration },
    /// Send a close frame and end.
    Close { code: u16, reason: &'static str },
    /// End without a close frame.
    Disconnect,
    /// Reset the connection.
    Reset,
}

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "camelCase")]
enum ClientCommand {
    Subscribe {
        #[serde(rename = "skillIds")]
        skill_ids: BTreeSet<u32>,
    },
    Pong,
}

/// What a client opens a feed with: a token, and the base under which it is valid. It does not implement `Debug`, since it holds a token.
pub(super) struct FeedCredentials {
    pub(super) tenant: TenantId,
    pub(super) token: String,
    pub(super) base: TokenBase,
}

struct Feed {
    number: u64,
    /// What opened it.
    credentials: FeedCredentials,
    /// The subscribed skills; `None` until the client has subscribed.
    skills: Option<BTreeSet<u32>>,
    next_heartbeat: UtcMicros,
    /// The instant of the first heartbeat sent since the last answer.
    unanswered_since: Option<UtcMicros>,
    out: mpsc::Sender<ConnectionCommand>,
    /// Ends the connection whatever it is doing.
    disconnect: CancellationToken,
}

/// The journal and the faults of a tenant's feeds.
pub(super) struct FeedContext<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) journal: &'a mut Journal,
    pub(super) faults: &'a mut Faults,
    pub(super) now: UtcMicros,
}

impl FeedContext<'_> {
    fn record(&mut self, feed: u64, event: FeedEvent) {
        self.journal.record_feed_event(self.tenant, feed, event, self.now);
    }

    fn take_fault(&mut self, message: &FeedMessage) -> Option<FaultSpec> {
        let agent = message.agent().map(crate::domain::ids::AgentId::as_str);
        self.faults.take_matching(&FaultContext { endpoint: Endpoint::FeedMessage, tenant: Some(self.tenant), agent })
    }
}

/// The feeds of one tenant.
pub(super) struct Feeds {
    open: Vec<Feed>,
    /// The number of feeds opened so far.
    count: u64,
    /// The number of messages sent on all feeds.
    sent_messages: u64,
    heartbeat_timeout: Duration,
}

impl Feeds {
    /// Creates an empty set. `tolerance` is how late the host may be.
    pub(super) fn new(tolerance: Duration) -> Self {
        Self { open: Vec::new(), count: 0, sent_messages: 0, heartbeat_timeout: HEARTBEAT_TIMEOUT + tolerance * 20 }
    }

    /// Returns whether any feed is open.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Returns whether another feed may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < MAX_FEEDS
    }

    /// Opens a feed on a connection. Returns the feed's number and the commands for the connection.
    pub(super) fn open(
        &mut self,
        credentials: FeedCredentials,
        disconnect: CancellationToken,
        context: &mut FeedContext<'_>,
    ) -> (u64, mpsc::Receiver<ConnectionCommand>) {
        let (out, said) = mpsc::channel(MAX_QUEUED_MESSAGES);
        self.count += 1;
        let number = self.count;
        let next_heartbeat = context.now + HEARTBEAT_INTERVAL;
        self.open.push(Feed {
            number,
            credentials,
            skills: None,
            next_heartbeat,
            unanswered_since: None,
            out,
            disconnect,
        });
        context.record(number, FeedEvent::Connected);
        (number, said)
    }

    /// Handles a message from the client of a feed.
    pub(super) fn on_client_message(&mut self, number: u64, text: &str, context: &mut FeedContext<'_>) {
        let Some(feed) = self.open.iter_mut().find(|feed| feed.number == number) else { return };
        match serde_json::from_str(text) {
            Ok(ClientCommand::Subscribe { skill_ids }) => {
                feed.skills = Some(skill_ids.clone());
                context.record(number, FeedEvent::Subscribed { skills: skill_ids });
            }
            Ok(ClientCommand::Pong) => {
                feed.unanswered_since = None;
                context.record(number, FeedEvent::Answered);
            }
            Err(_) => self.end_matching(FeedEndReason::Unreadable, context, |feed| feed.number == number),
        }
    }

    /// Handles the end of a feed's connection.
    pub(super) fn on_disconnected(&mut self, number: u64, reason: FeedEndReason, context: &mut FeedContext<'_>) {
        self.end_matching(reason, context, |feed| feed.number == number);
    }

    /// Sends a message to every client that subscribed to it.
    pub(super) fn broadcast(&mut self, message: &FeedMessage, context: &mut FeedContext<'_>) {
        let subscribed: Vec<u64> =
            self.open.iter().filter(|feed| feed.is_subscribed_to(message)).map(|feed| feed.number).collect();
        for number in subscribed {
            self.send(number, message, context);
        }
    }

    /// Sends the heartbeats that are due, and ends feeds whose clients do not answer or whose tokens are no longer
    /// valid.
    pub(super) fn send_heartbeats(&mut self, is_good: impl Fn(&str, TokenBase) -> bool, context: &mut FeedContext<'_>) {
        let (now, patience) = (context.now, self.heartbeat_timeout);
        self.end_matching(FeedEndReason::Token, context, |feed| {
            !is_good(&feed.credentials.token, feed.credentials.base)
        });
        let tired = |feed: &Feed| feed.unanswered_since.is_some_and(|since| now.since(since) > patience);
        self.end_matching(FeedEndReason::Unanswered, context, tired);
        let mut due = Vec::new();
        for feed in self.open.iter_mut().filter(|feed| feed.next_heartbeat <= now) {
            feed.next_heartbeat = now + HEARTBEAT_INTERVAL;
            due.push(feed.number);
        }
        for number in due {
            self.send(number, &FeedMessage::Heartbeat, context);
        }
    }

    /// Closes every feed in order.
    pub(super) fn close_all(&mut self, context: &mut FeedContext<'_>) {
        self.end_matching(FeedEndReason::Fault, context, |_| true);
    }

    /// Ends the matching feeds, each in the way that the reason calls for.
    fn end_matching(&mut self, reason: FeedEndReason, context: &mut FeedContext<'_>, which: impl Fn(&Feed) -> bool) {
        self.end_matching_with(reason, || closing_command(reason), context, which);
    }

    /// Resets every feed.
    pub(super) fn reset_all(&mut self, context: &mut FeedContext<'_>) {
        self.end_matching_with(FeedEndReason::Fault, || ConnectionCommand::Reset, context, |_| true);
    }

    fn end_matching_with(
        &mut self,
        reason: FeedEndReason,
        command: impl Fn() -> ConnectionCommand,
        context: &mut FeedContext<'_>,
        which: impl Fn(&Feed) -> bool,
    ) {
        self.open.retain(|feed| {
            if !which(feed) {
                return true;
            }
            context.record(feed.number, FeedEvent::Closed { why: reason });
            if feed.out.try_send(command()).is_err() {
                feed.disconnect.cancel();
            }
            false
        });
    }

    fn send(&mut self, number: u64, message: &FeedMessage, context: &mut FeedContext<'_>) {
        let Some(feed) = self.open.iter_mut().find(|feed| feed.number == number) else { return };
        let fault = context.take_fault(message);
        let kind = fault.as_ref().map(|fault| fault.kind);
        context.record(number, FeedEvent::Said { news: message.clone(), fault: kind });
        let is = |feed: &Feed| feed.number == number;
        match kind {
            Some(FaultKind::Silent) => return,
            Some(FaultKind::ResetBefore) => {
                return self.end_matching_with(FeedEndReason::Fault, || ConnectionCommand::Reset, context, is);
            }
            Some(FaultKind::LostAnswer) => {
                return self.end_matching_with(FeedEndReason::Fault, || ConnectionCommand::Disconnect, context, is);
            }
            Some(_) | None => {}
        }
        let text = if kind == Some(FaultKind::Html) {
            super::wire::HTML_PAGE.to_owned()
        } else {
            self.sent_messages += 1;
            message.text(context.now, kind, self.sent_messages)
        };
        let pause =
            fault.filter(|fault| fault.kind == FaultKind::Delay).and_then(|fault| fault.duration()).unwrap_or_default();
        if *message == FeedMessage::Heartbeat && feed.unanswered_since.is_none() {
            feed.unanswered_since = Some(context.now);
        }
        let mut full = feed.out.try_send(ConnectionCommand::Send { text: text.clone(), pause }).is_err();
        if kind == Some(FaultKind::Repeat) {
            full |= feed.out.try_send(ConnectionCommand::Send { text, pause }).is_err();
        }
        if full {
            self.end_matching(FeedEndReason::Slow, context, is);
        }
    }
}

impl Feed {
    fn is_subscribed_to(&self, message: &FeedMessage) -> bool {
        match message {
            FeedMessage::AgentStateChange { .. } => self.skills.is_some(),
            FeedMessage::ContactQueued { skill } | FeedMessage::ContactDequeued { skill } => {
                self.skills.as_ref().is_some_and(|skills| skills.contains(skill))
            }
            FeedMessage::Heartbeat => true,
        }
    }
}

/// Returns how the platform ends a feed for a reason of its own.
fn closing_command(end_reason: FeedEndReason) -> ConnectionCommand {
    let (code, reason) = match end_reason {
        FeedEndReason::Token => (1008, "the access token is no longer good"),
        FeedEndReason::Unanswered => (1008, "heartbeats are not answered"),
        FeedEndReason::Unreadable => (1007, "the command cannot be read"),
        FeedEndReason::Slow => (1008, "the client reads too slowly"),
        FeedEndReason::Stopped | FeedEndReason::Fault => (1001, "the service goes away"),
        FeedEndReason::Client => return ConnectionCommand::Disconnect,
    };
    ConnectionCommand::Close { code, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::AgentId;
    use crate::sim::state::SimState;

    #[test]
    fn a_client_that_does_not_read_is_cut_off_and_the_others_hear_on() {
        let (tenant, mut journal, mut faults) = (TenantId::from("acme"), Journal::default(), Faults::new(1));
        let now = UtcMicros::EPOCH;
        let mut context = FeedContext { tenant: &tenant, journal: &mut journal, faults: &mut faults, now };
        let mut feeds = Feeds::new(Duration::ZERO);
        let cut = CancellationToken::new();
        let ticket = || FeedCredentials { tenant: tenant.clone(), token: "token".to_owned(), base: TokenBase::Root };
        let (slow, _unread) = feeds.open(ticket(), cut.clone(), &mut context);
        let (quick, mut read) = feeds.open(ticket(), CancellationToken::new(), &mut context);
        for number in [slow, quick] {
            feeds.on_client_message(number, r#"{"command":"subscribe","skillIds":[]}"#, &mut context);
        }
        let message =
            FeedMessage::AgentStateChange { agent: AgentId::new("u_1"), state: SimState::Paused, entered: now };
        let mut heard = 0;
        for _ in 0..=MAX_QUEUED_MESSAGES {
            feeds.broadcast(&message, &mut context);
            while read.try_recv().is_ok() {
                heard += 1;
            }
        }
        assert_eq!((heard, feeds.open.len()), (MAX_QUEUED_MESSAGES + 1, 1));
        assert!(cut.is_cancelled());
    }
}
