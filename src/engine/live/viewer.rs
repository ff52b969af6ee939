//! One viewer: its position in each of its tenants, and what it is sent next.
//!
//! A viewer starts with the id of the last row it knows, or without one. It continues in the ring if the ring has that
//! row; otherwise it gets the rows it missed, from the store, and then a snapshot. It holds at most one write in
//! memory.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::filter::{TenantViewerFilter, ViewerFilter};
use super::frame::Frame;
use super::hub::{Live, ViewerRejection, WakeSignal};
use super::message::{EndReason, ResetReason, end_frame, heartbeat, reset_frame};
use super::ring::RingReadError;
use super::snapshot::Snapshot;
use super::topic::{MissedRows, Topic};
use crate::clock::RealTime;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;

/// The most bytes in one write, unless a single message is larger.
const WRITE_BYTES: usize = 16 * 1024;

/// How soon a snapshot is requested again while a tenant's keeper is not running, in real time.
const SNAPSHOT_RETRY_REAL: Duration = Duration::from_secs(1);

/// How long to wait for a snapshot before the viewer's other tenants get their turn, in real time.
const SNAPSHOT_TIMEOUT_REAL: Duration = Duration::from_secs(2);

/// The shortest time after which viewers reconnect, in real time; up to one and a half times as much is added to spread
/// them.
const RETRY_REAL: Duration = Duration::from_secs(1);

/// What a viewer requests.
#[derive(Clone, PartialEq, Debug)]
pub struct ViewerRequest {
    /// The tenants, each with the id of the last row that the viewer knows.
    pub tenants: Vec<(TenantId, Option<u64>)>,
    /// The filter.
    pub filter: ViewerFilter,
}

/// What a viewer is sent next.
#[derive(Clone, Debug)]
pub enum ViewerOutput {
    /// Messages to be written at once.
    Frames(Vec<Frame>),
    /// The last message, and why the connection ends.
    End(EndReason, Frame),
}

/// How far a viewer is with a tenant.
#[derive(Debug)]
enum ViewerStage {
    /// Nothing sent yet; holds the id that the viewer knows.
    Start(Option<u64>),
    /// Sending missed rows, which a snapshot follows.
    MissedRows(Arc<Snapshot>, MissedRows, usize),
    /// Sending a snapshot.
    Snapshot { snapshot: Arc<Snapshot>, parts: Vec<Range<usize>>, next: usize, resumed: bool },
    /// Following the ring from this position.
    Following(u64),
}

#[derive(Debug)]
struct TenantSubscription {
    topic: Arc<Topic>,
    stage: ViewerStage,
    /// The id of the last row sent.
    last_id: Option<u64>,
    filter: TenantViewerFilter,
}

impl Drop for TenantSubscription {
    fn drop(&mut self) {
        self.topic.remove_viewer();
    }
}

/// A connected viewer. Dropping it frees its place.
#[derive(Debug)]
pub struct Viewer {
    live: Live,
    subscriptions: Vec<TenantSubscription>,
    wake_signal: watch::Receiver<WakeSignal>,
    heartbeats: u64,
    /// The index of the subscription whose turn it is.
    current: usize,
    retry: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    /// Adds a viewer.
    pub fn add_viewer(&self, request: ViewerRequest) -> Result<Viewer, ViewerRejection> {
        if self.0.stopping.is_cancelled() {
            return Err(ViewerRejection::Stopping);
        }
        let permit =
            self.0.viewer_permits.clone().try_acquire_owned().map_err(|_| ViewerRejection::Full(self.0.max_viewers))?;
        let topics = self.topics();
        let subscriptions = request.tenants.into_iter().map(|(tenant, after)| {
            let topic = topics.get(&tenant).cloned();
            topic.map(|topic| (topic, after))
        });
        let subscriptions: Option<Vec<_>> = subscriptions.collect();
        drop(topics);
        let number = self.0.total_viewers.fetch_add(1, Ordering::Relaxed);
        Ok(Viewer::new(
            self.clone(),
            permit,
            number,
            &request.filter,
            subscriptions.ok_or(ViewerRejection::TenantGone)?,
        ))
    }
}

impl Viewer {
    pub(super) fn new(
        live: Live,
        permit: OwnedSemaphorePermit,
        number: u64,
        filter: &ViewerFilter,
        subscriptions: Vec<(Arc<Topic>, Option<u64>)>,
    ) -> Self {
        let wake_signal = live.0.wake_signal.subscribe();
        let heartbeats = wake_signal.borrow().heartbeat;
        let subscriptions = subscriptions.into_iter().map(|(topic, after)| {
            topic.add_viewer();
            let filter = filter.for_tenant(topic.tenant());
            TenantSubscription { topic, stage: ViewerStage::Start(after), last_id: after, filter }
        });
        // Not random: it is enough that successive viewers reconnect at different times.
        let retry = RETRY_REAL + Duration::from_millis(number.wrapping_mul(619) % 1500);
        Self {
            subscriptions: subscriptions.collect(),
            live,
            wake_signal,
            heartbeats,
            current: 0,
            retry,
            _permit: permit,
        }
    }

    /// Returns how long the viewer should wait before it reconnects.
    pub const fn retry(&self) -> Duration {
        self.retry
    }

    /// Waits for the next output.
    pub async fn next(&mut self) -> ViewerOutput {
        loop {
            // Read before checking, so that anything published from here on wakes the viewer.
            let wake_signal = *self.wake_signal.borrow_and_update();
            if let Some(reason) = self.end_reason() {
                return self.end(reason);
            }
            if wake_signal.heartbeat != self.heartbeats {
                self.heartbeats = wake_signal.heartbeat;
                let freshness = self.subscriptions.iter().map(|seat| (seat.topic.tenant(), seat.topic.freshness()));
                return ViewerOutput::Frames(vec![heartbeat(self.live.0.clock.now(), freshness)]);
            }
            match self.next_round().await {
                Ok(frames) if frames.is_empty() => {}
                Ok(frames) => return ViewerOutput::Frames(frames),
                Err(reason) => return self.end(reason),
            }
            let starts = self.subscriptions.iter().any(|seat| matches!(seat.stage, ViewerStage::Start(_)));
            let stopping = self.live.0.stopping.clone();
            tokio::select! {
                // The sender lives as long as the hub, which this viewer holds.
                _ = self.wake_signal.changed() => {}
                () = stopping.cancelled() => {}
                () = RealTime::sleep(SNAPSHOT_RETRY_REAL), if starts => {}
            }
        }
    }

    fn end_reason(&self) -> Option<EndReason> {
        if self.live.0.stopping.is_cancelled() {
            return Some(EndReason::GoingAway);
        }
        self.subscriptions.iter().any(|seat| seat.topic.is_closed()).then_some(EndReason::TenantGone)
    }

    /// Returns the end of the connection for a reason.
    pub fn end(&self, reason: EndReason) -> ViewerOutput {
        if reason == EndReason::TooSlow {
            self.live.0.too_slow_viewers.fetch_add(1, Ordering::Relaxed);
            tracing::info!("a viewer took messages more slowly than they came and is dropped");
        }
        ViewerOutput::End(reason, end_frame(reason, self.retry))
    }

    /// Gives each tenant its turn until one has messages.
    async fn next_round(&mut self) -> Result<Vec<Frame>, EndReason> {
        let stopping = self.live.0.stopping.clone();
        for _ in 0..self.subscriptions.len() {
            self.current = (self.current + 1) % self.subscriptions.len();
            let now = self.live.0.clock.now();
            let subscription = &mut self.subscriptions[self.current];
            let frames = tokio::select! {
                frames = subscription.next_frames(now) => frames?,
                () = stopping.cancelled() => return Ok(Vec::new()),
                () = RealTime::sleep(SNAPSHOT_TIMEOUT_REAL), if matches!(subscription.stage, ViewerStage::Start(_)) => Vec::new(),
            };
            if !frames.is_empty() {
                return Ok(self.with_ids(frames));
            }
        }
        Ok(Vec::new())
    }

    /// Records the ids sent. A viewer of several tenants gets a compound id with the last row of each.
    fn with_ids(&mut self, mut frames: Vec<Frame>) -> Vec<Frame> {
        let current = self.current;
        if let [seat] = self.subscriptions.as_mut_slice() {
            seat.last_id = frames.iter().rev().find_map(Frame::id).or(seat.last_id);
            return frames;
        }
        for frame in &mut frames {
            if let Some(id) = frame.id() {
                self.subscriptions[current].last_id = Some(id);
                *frame = frame.with_id_text(&self.compound_id());
            }
        }
        frames
    }

    /// Returns an id such as `acme:1204,beta:77`, without tenants of which no row was sent.
    fn compound_id(&self) -> String {
        let mut text = String::new();
        for (topic, id) in self.subscriptions.iter().filter_map(|seat| Some((&seat.topic, seat.last_id?))) {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{}:{id}", topic.tenant());
        }
        text
    }
}

impl TenantSubscription {
    /// Returns the next messages of this tenant; empty if there are none.
    async fn next_frames(&mut self, now: UtcMicros) -> Result<Vec<Frame>, EndReason> {
        let mut frames = Vec::new();
        loop {
            match &mut self.stage {
                ViewerStage::Start(after) => {
                    let after = *after;
                    match self.start_stage(after, now).await {
                        None => return Ok(frames),
                        Some((stage, reset)) => {
                            self.stage = stage;
                            frames.extend(reset);
                        }
                    }
                }
                ViewerStage::MissedRows(snapshot, rows, next) => {
                    push_rows(rows, next, &self.filter, &mut frames);
                    if *next == rows.len() {
                        self.stage = snapshot_stage(snapshot.clone(), true);
                    }
                }
                ViewerStage::Snapshot { snapshot, parts, next, resumed } => {
                    if parts.is_empty() {
                        *parts = snapshot.parts(&self.filter);
                    }
                    frames.push(snapshot.part(&self.filter, parts, *next, *resumed));
                    *next += 1;
                    if *next == parts.len() {
                        self.stage = ViewerStage::Following(snapshot.position());
                    }
                }
                ViewerStage::Following(place) => {
                    if !self.topic.has_updates(*place) {
                        return Ok(frames);
                    }
                    match self.topic.read(*place, &self.filter, WRITE_BYTES, &mut frames) {
                        Ok(next) => *place = next,
                        Err(RingReadError::FellBehind) => return Err(EndReason::TooSlow),
                        Err(RingReadError::Gap) => self.stage = ViewerStage::Start(self.last_id),
                    }
                }
            }
            if !frames.is_empty() {
                return Ok(frames);
            }
        }
    }

    /// Returns how a viewer that knows the row `after` starts, with a message to send first; `None` if it has to wait.
    async fn start_stage(&self, after: Option<u64>, now: UtcMicros) -> Option<(ViewerStage, Option<Frame>)> {
        let tenant = self.topic.tenant();
        if let Some(place) = after.and_then(|id| self.topic.position_after_id(id)) {
            return Some((ViewerStage::Following(place), None));
        }
        let snapshot = self.topic.live_view_snapshot().await?;
        let Some(after) = after else { return Some((snapshot_stage(snapshot, false), None)) };
        let reset = |reason| Some(reset_frame(tenant, reason, now));
        if after > snapshot.last_id() {
            return Some((snapshot_stage(snapshot, false), reset(ResetReason::UnknownId)));
        }
        match self.topic.missed_rows(after, snapshot.last_id(), snapshot.at()).await {
            Ok(Some(rows)) => Some((ViewerStage::MissedRows(snapshot, rows, 0), None)),
            Ok(None) => Some((snapshot_stage(snapshot, false), reset(ResetReason::TooFarBehind))),
            Err(error) => {
                tracing::warn!(%tenant, error = format!("{:#}", anyhow::Error::from(error)), "missed rows cannot be read");
                None
            }
        }
    }
}

fn snapshot_stage(snapshot: Arc<Snapshot>, resumed: bool) -> ViewerStage {
    ViewerStage::Snapshot { snapshot, parts: Vec::new(), next: 0, resumed }
}

fn push_rows(rows: &MissedRows, next: &mut usize, filter: &TenantViewerFilter, frames: &mut Vec<Frame>) {
    let mut bytes = 0;
    for (frame, about) in &rows[*next..] {
        if bytes > 0 && bytes + frame.size() > WRITE_BYTES {
            return;
        }
        *next += 1;
        if filter.matches(about) {
            bytes += frame.size();
            frames.push(frame.clone());
        }
    }
}
