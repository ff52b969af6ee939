//! The open live feeds of one tenant (guide 000): what each was promised, what is said to it, and when it is ended.
//!
//! It decides and notes; the connection itself is `face::feed`'s. What it says waits in a queue with a limit: a client that
//! reads too slowly is cut off, and the platform goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::faults::{Endpoint, FaultSpec, Faults, Kind, Met};
use super::journal::Journal;
use super::news::News;
use super::tokens::Base;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(30);
/// How long a heartbeat may stay unanswered.
const PATIENCE: Duration = Duration::from_secs(90);
/// The most messages that wait for one client.
const MOST_WAITING: usize = 10_000;
/// The most feeds that a tenant may hold at once.
const MOST_FEEDS: usize = 100;

/// What happened on a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum FeedEvent {
    /// It is open.
    Connected,
    /// The client asked for these skills; agents' changes come from now on.
    Subscribed {
        /// The skills.
        skills: BTreeSet<u32>,
    },
    /// A message went into the connection, unless the fault says otherwise.
    Said {
        /// The message.
        #[serde(flatten)]
        news: News,
        /// What went wrong with it.
        fault: Option<Kind>,
    },
    /// The client answered a heartbeat.
    Answered,
    /// It is no more.
    Closed {
        /// Why.
        why: FeedEnd,
    },
}

/// Why a feed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedEnd {
    /// The client closed it, or is gone.
    Client,
    /// Its token has expired or was revoked.
    Token,
    /// The client did not answer heartbeats.
    Unanswered,
    /// The client said something that cannot be read.
    Unreadable,
    /// The client reads too slowly.
    Slow,
    /// A fault ended it.
    Fault,
    /// The simulator stopped.
    Stopped,
}

/// What the connection is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Send a message, after a pause in real time.
    Text { text: String, pause: Duration },
    /// Send a close frame, and end.
    Close { code: u16, reason: &'static str },
    /// End without a word.
    Vanish,
    /// Reset.
    Reset,
}

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "camelCase")]
enum Command {
    Subscribe {
        #[serde(rename = "skillIds")]
        skill_ids: BTreeSet<u32>,
    },
    Pong,
}

struct Feed {
    number: u64,
    /// The token that it was opened with, and the base that the token is good under.
    token: String,
    base: Base,
    /// None until the client has subscribed.
    skills: Option<BTreeSet<u32>>,
    next_beat: UtcMicros,
    /// The first heartbeat that was sent since the last answer.
    unanswered_since: Option<UtcMicros>,
    out: mpsc::Sender<Said>,
    /// Ends the connection whatever it is doing.
    cut: CancellationToken,
}

/// Where a tenant's feeds write down what happens, and what may go wrong there.
pub(super) struct Books<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) journal: &'a mut Journal,
    pub(super) faults: &'a mut Faults,
    pub(super) now: UtcMicros,
}

impl Books<'_> {
    fn note(&mut self, feed: u64, event: FeedEvent) {
        self.journal.feed(self.tenant, feed, event, self.now);
    }

    fn fault(&mut self, news: &News) -> Option<FaultSpec> {
        let agent = news.agent().map(crate::domain::ids::AgentId::as_str);
        self.faults.strike(&Met { endpoint: Endpoint::FeedMessage, tenant: Some(self.tenant), agent })
    }
}

/// The feeds of one tenant.
pub(super) struct Feeds {
    open: Vec<Feed>,
    /// How many there were.
    count: u64,
    /// How many messages were said, over all.
    said: u64,
    patience: Duration,
}

impl Feeds {
    /// None yet. `tolerance` is what the host may be late by.
    pub(super) fn new(tolerance: Duration) -> Self {
        Self { open: Vec::new(), count: 0, said: 0, patience: PATIENCE + tolerance * 20 }
    }

    /// Whether any is open.
    pub(super) fn any(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether another may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < MOST_FEEDS
    }

    /// A connection stands. Gives the feed's number, and what the connection is to do.
    pub(super) fn open(
        &mut self,
        (token, base): (String, Base),
        cut: CancellationToken,
        books: &mut Books<'_>,
    ) -> (u64, mpsc::Receiver<Said>) {
        let (out, said) = mpsc::channel(MOST_WAITING);
        self.count += 1;
        let number = self.count;
        let next_beat = books.now + BEAT;
        self.open.push(Feed { number, token, base, skills: None, next_beat, unanswered_since: None, out, cut });
        books.note(number, FeedEvent::Connected);
        (number, said)
    }

    /// The client of a feed said something.
    pub(super) fn hear(&mut self, number: u64, text: &str, books: &mut Books<'_>) {
        let Some(feed) = self.open.iter_mut().find(|feed| feed.number == number) else { return };
        match serde_json::from_str(text) {
            Ok(Command::Subscribe { skill_ids }) => {
                feed.skills = Some(skill_ids.clone());
                books.note(number, FeedEvent::Subscribed { skills: skill_ids });
            }
            Ok(Command::Pong) => {
                feed.unanswered_since = None;
                books.note(number, FeedEvent::Answered);
            }
            Err(_) => self.end(FeedEnd::Unreadable, books, |feed| feed.number == number),
        }
    }

    /// The connection of a feed is gone.
    pub(super) fn gone(&mut self, number: u64, why: FeedEnd, books: &mut Books<'_>) {
        self.end(why, books, |feed| feed.number == number);
    }

    /// Says it to every client that wants to hear it.
    pub(super) fn tell(&mut self, news: &News, books: &mut Books<'_>) {
        let wanted: Vec<u64> = self.open.iter().filter(|feed| feed.wants(news)).map(|feed| feed.number).collect();
        for number in wanted {
            self.say(number, news, books);
        }
    }

    /// Sends the heartbeats that are due, and ends the feeds whose clients do not answer or whose tokens are dead.
    pub(super) fn beat(&mut self, is_good: impl Fn(&str, Base) -> bool, books: &mut Books<'_>) {
        let (now, patience) = (books.now, self.patience);
        self.end(FeedEnd::Token, books, |feed| !is_good(&feed.token, feed.base));
        let tired = |feed: &Feed| feed.unanswered_since.is_some_and(|since| now.since(since) > patience);
        self.end(FeedEnd::Unanswered, books, tired);
        let mut due = Vec::new();
        for feed in self.open.iter_mut().filter(|feed| feed.next_beat <= now) {
            feed.next_beat = now + BEAT;
            due.push(feed.number);
        }
        for number in due {
            self.say(number, &News::Heartbeat, books);
        }
    }

    /// Closes every feed in order.
    pub(super) fn close_all(&mut self, books: &mut Books<'_>) {
        self.end(FeedEnd::Fault, books, |_| true);
    }

    /// Ends those feeds, each as its reason calls for.
    fn end(&mut self, why: FeedEnd, books: &mut Books<'_>, which: impl Fn(&Feed) -> bool) {
        self.end_with(why, || farewell(why), books, which);
    }

    /// Resets every feed.
    pub(super) fn reset_all(&mut self, books: &mut Books<'_>) {
        self.end_with(FeedEnd::Fault, || Said::Reset, books, |_| true);
    }

    fn end_with(&mut self, why: FeedEnd, how: impl Fn() -> Said, books: &mut Books<'_>, which: impl Fn(&Feed) -> bool) {
        self.open.retain(|feed| {
            if !which(feed) {
                return true;
            }
            books.note(feed.number, FeedEvent::Closed { why });
            if feed.out.try_send(how()).is_err() {
                feed.cut.cancel();
            }
            false
        });
    }

    fn say(&mut self, number: u64, news: &News, books: &mut Books<'_>) {
        let Some(feed) = self.open.iter_mut().find(|feed| feed.number == number) else { return };
        let fault = books.fault(news);
        let kind = fault.as_ref().map(|fault| fault.kind);
        books.note(number, FeedEvent::Said { news: news.clone(), fault: kind });
        let is = |feed: &Feed| feed.number == number;
        match kind {
            Some(Kind::Silent) => return,
            Some(Kind::ResetBefore) => return self.end_with(FeedEnd::Fault, || Said::Reset, books, is),
            Some(Kind::LostAnswer) => return self.end_with(FeedEnd::Fault, || Said::Vanish, books, is),
            Some(_) | None => {}
        }
        let text = if kind == Some(Kind::Html) {
            super::wire::PAGE.to_owned()
        } else {
            self.said += 1;
            news.text(books.now, kind, self.said)
        };
        let pause = fault.filter(|fault| fault.kind == Kind::Delay).and_then(|fault| fault.span()).unwrap_or_default();
        if *news == News::Heartbeat && feed.unanswered_since.is_none() {
            feed.unanswered_since = Some(books.now);
        }
        let mut full = feed.out.try_send(Said::Text { text: text.clone(), pause }).is_err();
        if kind == Some(Kind::Repeat) {
            full |= feed.out.try_send(Said::Text { text, pause }).is_err();
        }
        if full {
            self.end(FeedEnd::Slow, books, is);
        }
    }
}

impl Feed {
    fn wants(&self, news: &News) -> bool {
        match news {
            News::AgentStateChange { .. } => self.skills.is_some(),
            News::ContactQueued { skill } | News::ContactDequeued { skill } => {
                self.skills.as_ref().is_some_and(|skills| skills.contains(skill))
            }
            News::Heartbeat => true,
        }
    }
}

/// How the platform ends a feed for a reason of its own.
fn farewell(why: FeedEnd) -> Said {
    let (code, reason) = match why {
        FeedEnd::Token => (1008, "the access token is no longer good"),
        FeedEnd::Unanswered => (1008, "heartbeats are not answered"),
        FeedEnd::Unreadable => (1007, "the command cannot be read"),
        FeedEnd::Slow => (1008, "the client reads too slowly"),
        FeedEnd::Stopped | FeedEnd::Fault => (1001, "the service goes away"),
        FeedEnd::Client => return Said::Vanish,
    };
    Said::Close { code, reason }
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
        let mut books = Books { tenant: &tenant, journal: &mut journal, faults: &mut faults, now };
        let mut feeds = Feeds::new(Duration::ZERO);
        let cut = CancellationToken::new();
        let ticket = || ("token".to_owned(), Base::Root);
        let (slow, _unread) = feeds.open(ticket(), cut.clone(), &mut books);
        let (quick, mut read) = feeds.open(ticket(), CancellationToken::new(), &mut books);
        for number in [slow, quick] {
            feeds.hear(number, r#"{"command":"subscribe","skillIds":[]}"#, &mut books);
        }
        let news = News::AgentStateChange { agent: AgentId::new("u_1"), state: SimState::Paused, entered: now };
        let mut heard = 0;
        for _ in 0..=MOST_WAITING {
            feeds.tell(&news, &mut books);
            while read.try_recv().is_ok() {
                heard += 1;
            }
        }
        assert_eq!((heard, feeds.open.len()), (MOST_WAITING + 1, 1));
        assert!(cut.is_cancelled());
    }
}
