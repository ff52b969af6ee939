//! One viewer: where it stands in each of its tenants, and what it is to be told next.
//!
//! A viewer comes with the id of the last row that it knows, or with none. It goes on in the ring where the ring has that row;
//! else it is told the rows that it missed, out of the store, and then the picture. It holds no more than one write at a time.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::frame::Frame;
use super::message::{EndReason, ResetReason, end_frame, heartbeat, reset_frame};
use super::narrow::{Narrow, NarrowAt};
use super::ring::Broken;
use super::snapshot::Snapshot;
use super::topic::{Rows, Topic};
use super::{Beat, Live};
use crate::clock::RealTime;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The bytes that go out in one write, unless a single message is larger.
const WRITE_BYTES: usize = 16 * 1024;

/// While a tenant's keeper is away, its picture is asked for again after this, in real time.
const ASK_AGAIN_REAL: Duration = Duration::from_secs(1);

/// A picture is awaited so long before the viewer's other tenants get their turn, in real time.
const PICTURE_WITHIN_REAL: Duration = Duration::from_secs(2);

/// Viewers come back after at least this when their line ends, in real time, and spread over as much again and a half.
const RETRY_REAL: Duration = Duration::from_secs(1);

/// What a viewer asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// Its tenants, each with the id of the last row that the viewer knows.
    pub tenants: Vec<(TenantId, Option<u64>)>,
    /// What of them.
    pub narrow: Narrow,
}

/// What comes next for a viewer.
#[derive(Clone, Debug)]
pub enum Next {
    /// Messages, to be written at once.
    Frames(Vec<Frame>),
    /// The last message.
    End(EndReason, Frame),
}

/// Where a viewer stands with a tenant.
#[derive(Debug)]
enum Stage {
    /// It has nothing yet but what it knew when it came.
    Start(Option<u64>),
    /// It is told rows that it missed; the picture follows.
    Rows(Arc<Snapshot>, Rows, usize),
    /// It is told the picture.
    Picture { snapshot: Arc<Snapshot>, parts: Vec<Range<usize>>, next: usize, resumed: bool },
    /// It follows the ring from this place on.
    Follow(u64),
}

#[derive(Debug)]
struct Seat {
    topic: Arc<Topic>,
    stage: Stage,
    /// The last row that it was told.
    last_id: Option<u64>,
    narrow: NarrowAt,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.topic.leave();
    }
}

/// A viewer. Its place is free again when it is dropped.
#[derive(Debug)]
pub struct Viewer {
    live: Live,
    seats: Vec<Seat>,
    beat: watch::Receiver<Beat>,
    heartbeats: u64,
    /// The seat whose turn it is.
    turn: usize,
    retry: Duration,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    pub(super) fn new(
        live: Live,
        place: OwnedSemaphorePermit,
        number: u64,
        narrow: &Narrow,
        seats: Vec<(Arc<Topic>, Option<u64>)>,
    ) -> Self {
        let beat = live.0.beat.subscribe();
        let heartbeats = beat.borrow().heartbeat;
        let seats = seats.into_iter().map(|(topic, after)| {
            topic.enter();
            let narrow = narrow.at(topic.tenant());
            Seat { topic, stage: Stage::Start(after), last_id: after, narrow }
        });
        // Not random: what counts is that neighbours come back at different times.
        let retry = RETRY_REAL + Duration::from_millis(number.wrapping_mul(619) % 1500);
        Self { seats: seats.collect(), live, beat, heartbeats, turn: 0, retry, _place: place }
    }

    /// After which wait the viewer is to come back when its line breaks.
    pub const fn retry(&self) -> Duration {
        self.retry
    }

    /// Waits for what the viewer is to be told next.
    pub async fn next(&mut self) -> Next {
        loop {
            // Before looking, so that what is published from here on wakes the viewer.
            let beat = *self.beat.borrow_and_update();
            if let Some(reason) = self.ended() {
                return self.end(reason);
            }
            if beat.heartbeat != self.heartbeats {
                self.heartbeats = beat.heartbeat;
                let seen = self.seats.iter().map(|seat| (seat.topic.tenant(), seat.topic.freshness()));
                return Next::Frames(vec![heartbeat(self.live.0.clock.now(), seen)]);
            }
            match self.round().await {
                Ok(frames) if frames.is_empty() => {}
                Ok(frames) => return Next::Frames(frames),
                Err(reason) => return self.end(reason),
            }
            let starts = self.seats.iter().any(|seat| matches!(seat.stage, Stage::Start(_)));
            let stopping = self.live.0.stopping.clone();
            tokio::select! {
                // The sender lives as long as the hub that this viewer holds.
                _ = self.beat.changed() => {}
                () = stopping.cancelled() => {}
                () = RealTime::sleep(ASK_AGAIN_REAL), if starts => {}
            }
        }
    }

    fn ended(&self) -> Option<EndReason> {
        if self.live.0.stopping.is_cancelled() {
            return Some(EndReason::GoingAway);
        }
        self.seats.iter().any(|seat| seat.topic.has_ended()).then_some(EndReason::TenantGone)
    }

    /// The end of the line, for a reason.
    pub fn end(&self, reason: EndReason) -> Next {
        if reason == EndReason::TooSlow {
            self.live.0.too_slow.fetch_add(1, Ordering::Relaxed);
            tracing::info!("a viewer took messages more slowly than they came and is dropped");
        }
        Next::End(reason, end_frame(reason, self.retry))
    }

    /// Gives each tenant its turn until one has something.
    async fn round(&mut self) -> Result<Vec<Frame>, EndReason> {
        let stopping = self.live.0.stopping.clone();
        for _ in 0..self.seats.len() {
            self.turn = (self.turn + 1) % self.seats.len();
            let now = self.live.0.clock.now();
            let seat = &mut self.seats[self.turn];
            let frames = tokio::select! {
                frames = seat.take(now) => frames?,
                () = stopping.cancelled() => return Ok(Vec::new()),
                () = RealTime::sleep(PICTURE_WITHIN_REAL), if matches!(seat.stage, Stage::Start(_)) => Vec::new(),
            };
            if !frames.is_empty() {
                return Ok(self.with_ids(frames));
            }
        }
        Ok(Vec::new())
    }

    /// Notes the ids that are told; a viewer of several tenants gets one id that names the last row of each.
    fn with_ids(&mut self, mut frames: Vec<Frame>) -> Vec<Frame> {
        let turn = self.turn;
        if let [seat] = self.seats.as_mut_slice() {
            seat.last_id = frames.iter().rev().find_map(Frame::id).or(seat.last_id);
            return frames;
        }
        for frame in &mut frames {
            if let Some(id) = frame.id() {
                self.seats[turn].last_id = Some(id);
                *frame = frame.with_id_text(&self.compound_id());
            }
        }
        frames
    }

    /// `acme:1204,beta:77`; a tenant of which nothing was told yet is not in it.
    fn compound_id(&self) -> String {
        let mut text = String::new();
        for (topic, id) in self.seats.iter().filter_map(|seat| Some((&seat.topic, seat.last_id?))) {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{}:{id}", topic.tenant());
        }
        text
    }
}

impl Seat {
    /// What comes next of this tenant; empty when there is nothing.
    async fn take(&mut self, now: UtcMicros) -> Result<Vec<Frame>, EndReason> {
        let mut frames = Vec::new();
        loop {
            match &mut self.stage {
                Stage::Start(after) => {
                    let after = *after;
                    match self.begin(after, now).await {
                        None => return Ok(frames),
                        Some((stage, reset)) => {
                            self.stage = stage;
                            frames.extend(reset);
                        }
                    }
                }
                Stage::Rows(snapshot, rows, next) => {
                    take_rows(rows, next, &self.narrow, &mut frames);
                    if *next == rows.len() {
                        self.stage = picture(snapshot.clone(), true);
                    }
                }
                Stage::Picture { snapshot, parts, next, resumed } => {
                    if parts.is_empty() {
                        *parts = snapshot.parts(&self.narrow);
                    }
                    frames.push(snapshot.part(&self.narrow, parts, *next, *resumed));
                    *next += 1;
                    if *next == parts.len() {
                        self.stage = Stage::Follow(snapshot.place());
                    }
                }
                Stage::Follow(place) => {
                    if !self.topic.has_news(*place) {
                        return Ok(frames);
                    }
                    match self.topic.read(*place, &self.narrow, WRITE_BYTES, &mut frames) {
                        Ok(next) => *place = next,
                        Err(Broken::FellOff) => return Err(EndReason::TooSlow),
                        Err(Broken::Gap) => self.stage = Stage::Start(self.last_id),
                    }
                }
            }
            if !frames.is_empty() {
                return Ok(frames);
            }
        }
    }

    /// How a viewer that knows the row `after` begins, and what it is told of that first; `None` when it has to wait.
    async fn begin(&self, after: Option<u64>, now: UtcMicros) -> Option<(Stage, Option<Frame>)> {
        let tenant = self.topic.tenant();
        if let Some(place) = after.and_then(|id| self.topic.behind_id(id)) {
            return Some((Stage::Follow(place), None));
        }
        let snapshot = self.topic.look().await?;
        let Some(after) = after else { return Some((picture(snapshot, false), None)) };
        let reset = |reason| Some(reset_frame(tenant, reason, now));
        if after > snapshot.last_id() {
            return Some((picture(snapshot, false), reset(ResetReason::UnknownId)));
        }
        match self.topic.missed(after, snapshot.last_id(), snapshot.at()).await {
            Ok(Some(rows)) => Some((Stage::Rows(snapshot, rows, 0), None)),
            Ok(None) => Some((picture(snapshot, false), reset(ResetReason::TooFarBehind))),
            Err(error) => {
                tracing::warn!(%tenant, error = format!("{:#}", anyhow::Error::from(error)), "missed rows cannot be read");
                None
            }
        }
    }
}

fn picture(snapshot: Arc<Snapshot>, resumed: bool) -> Stage {
    Stage::Picture { snapshot, parts: Vec::new(), next: 0, resumed }
}

fn take_rows(rows: &Rows, next: &mut usize, narrow: &NarrowAt, frames: &mut Vec<Frame>) {
    let mut bytes = 0;
    for (frame, about) in &rows[*next..] {
        if bytes > 0 && bytes + frame.size() > WRITE_BYTES {
            return;
        }
        *next += 1;
        if narrow.passes(about) {
            bytes += frame.size();
            frames.push(frame.clone());
        }
    }
}
