//! The network between the daemon and the others: byte pipes with delays, outages, resets, and socket buffers that fill while the
//! daemon's host stands still.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

/// The two places that the daemon connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    Platform,
    Receiver,
}

const DAEMON: usize = 0;
const OTHER: usize = 1;

/// The whole network.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

struct State {
    now: Duration,
    rng: Rng,
    links: BTreeMap<u64, Link>,
    next_id: u64,
    latency: BTreeMap<Route, (Duration, Duration)>,
    refused_until: BTreeMap<Route, Duration>,
    stalled_until: BTreeMap<Route, Duration>,
    arrivals: BTreeMap<Route, mpsc::UnboundedSender<Endpoint>>,
    daemon_still: bool,
}

struct Link {
    route: Route,
    /// What is on its way to the daemon, and to the other side.
    to: [Lane; 2],
    reset: bool,
    open: [bool; 2],
}

#[derive(Default)]
struct Lane {
    in_flight: VecDeque<(Duration, Bytes)>,
    ready: VecDeque<Bytes>,
    last_due: Duration,
    ends_at: Option<Duration>,
    ended: bool,
    reader: Option<Waker>,
}

/// One end of a connection.
pub struct Endpoint {
    network: Network,
    link: u64,
    side: usize,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "End {} of link {}", self.side, self.link)
    }
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            rng: Rng::with_seed(seed),
            links: BTreeMap::new(),
            next_id: 0,
            latency: BTreeMap::new(),
            refused_until: BTreeMap::new(),
            stalled_until: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            daemon_still: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("a lock")
    }

    /// Where the other side's ends of new connections come out.
    pub fn arrivals(&self, route: Route) -> mpsc::UnboundedReceiver<Endpoint> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state().arrivals.insert(route, sender);
        receiver
    }

    /// How long each piece is on its way.
    pub fn latency(&self, route: Route, least: Duration, most: Duration) {
        self.state().latency.insert(route, (least, most));
    }

    /// New connections are refused for so long.
    pub fn refuse(&self, route: Route, span: Duration) {
        let mut state = self.state();
        let until = state.now + span;
        state.refused_until.insert(route, until);
    }

    /// Nothing gets through for so long, either way; what is sent meanwhile arrives after it.
    pub fn stall(&self, route: Route, span: Duration) {
        let mut state = self.state();
        let until = state.now + span;
        state.stalled_until.insert(route, until);
        for link in state.links.values_mut().filter(|link| link.route == route) {
            for lane in &mut link.to {
                for (due, _) in &mut lane.in_flight {
                    *due = (*due).max(until);
                }
                lane.last_due = lane.last_due.max(until);
                lane.ends_at = lane.ends_at.map(|at| at.max(until));
            }
        }
    }

    /// Every connection there is breaks.
    pub fn break_connections(&self, route: Option<Route>) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state();
            let still = state.daemon_still;
            for link in state.links.values_mut().filter(|link| route.is_none_or(|route| link.route == route)) {
                link.reset = true;
                for (side, lane) in link.to.iter_mut().enumerate() {
                    if !(still && side == DAEMON) {
                        wakers.extend(lane.reader.take());
                    }
                }
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// While it stands still the daemon's host takes bytes in, and nobody reads them.
    pub fn set_daemon_paused(&self, still: bool) {
        self.state().daemon_still = still;
    }

    /// Opens a connection; the time that it takes is the caller's to wait.
    pub fn connect(&self, route: Route) -> io::Result<Endpoint> {
        let mut state = self.state();
        if state.refused_until.get(&route).is_some_and(|until| *until > state.now) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        state.next_id += 1;
        let id = state.next_id;
        let link = Link { route, to: [Lane::default(), Lane::default()], reset: false, open: [true, true] };
        state.links.insert(id, link);
        let other = Endpoint { network: self.clone(), link: id, side: OTHER };
        let sent = state.arrivals.get(&route).map(|arrivals| arrivals.send(other));
        match sent {
            Some(Ok(())) => Ok(Endpoint { network: self.clone(), link: id, side: DAEMON }),
            Some(Err(refused)) => {
                drop(state);
                drop(refused);
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Draws how long a connection takes to be made.
    pub fn draw_connect_time(&self, route: Route) -> Duration {
        let mut state = self.state();
        let way = state.draw(route) * 2;
        let stalled = state.stalled_until.get(&route).map_or(Duration::ZERO, |until| until.saturating_sub(state.now));
        way + stalled
    }

    /// When the next piece arrives.
    pub fn next_due(&self) -> Option<Duration> {
        let state = self.state();
        let lanes = state.links.values().flat_map(|link| &link.to);
        lanes
            .filter_map(|lane| lane.in_flight.front().map(|(due, _)| *due).or(lane.ends_at))
            .min()
            .map(|due| due.saturating_sub(state.now))
    }

    /// Moves the world's time on; gives who has something to read.
    pub fn advance(&self, time: Duration) -> Vec<Waker> {
        let mut state = self.state();
        state.now += time;
        state.deliver_due()
    }
}

impl State {
    fn draw(&mut self, route: Route) -> Duration {
        let (least, most) =
            self.latency.get(&route).copied().unwrap_or((Duration::from_millis(1), Duration::from_millis(5)));
        let least_us = u64::try_from(least.as_micros()).expect("short");
        let most_us = u64::try_from(most.as_micros()).expect("short");
        Duration::from_micros(self.rng.u64(least_us..=most_us))
    }

    fn deliver_due(&mut self) -> Vec<Waker> {
        let (now, still) = (self.now, self.daemon_still);
        let mut wakers = Vec::new();
        for link in self.links.values_mut() {
            for (side, lane) in link.to.iter_mut().enumerate() {
                let mut news = false;
                while lane.in_flight.front().is_some_and(|(due, _)| *due <= now) {
                    lane.ready.extend(lane.in_flight.pop_front().map(|(_, bytes)| bytes));
                    news = true;
                }
                if lane.in_flight.is_empty() && lane.ends_at.is_some_and(|at| at <= now) {
                    (lane.ends_at, lane.ended, news) = (None, true, true);
                }
                let readable = news || !lane.ready.is_empty() || lane.ended || link.reset;
                if readable && !(still && side == DAEMON) {
                    wakers.extend(lane.reader.take());
                }
            }
        }
        wakers
    }
}

impl AsyncRead for Endpoint {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.network.state();
        let link = state.links.get_mut(&self.link).expect("a link lives as long as an end");
        let lane = &mut link.to[self.side];
        while let Some(first) = lane.ready.front_mut() {
            if first.is_empty() {
                lane.ready.pop_front();
                continue;
            }
            let length = first.len().min(into.remaining());
            into.put_slice(&first[..length]);
            first.advance(length);
            return Poll::Ready(Ok(()));
        }
        if link.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if lane.ended {
            return Poll::Ready(Ok(()));
        }
        lane.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Endpoint {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.network.state();
        let (id, to) = (self.link, 1 - self.side);
        let link = state.links.get(&id).expect("a link lives as long as an end");
        if link.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !link.open[to] {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let route = link.route;
        let due = state.now + state.draw(route);
        let due = state.stalled_until.get(&route).map_or(due, |until| due.max(*until));
        let lane = &mut state.links.get_mut(&id).expect("a link").to[to];
        if lane.ends_at.is_some() || lane.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        lane.last_due = lane.last_due.max(due);
        let due = lane.last_due;
        lane.in_flight.push_back((due, Bytes::copy_from_slice(bytes)));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl Endpoint {
    /// Says that nothing more comes from this side.
    fn close(&self) {
        let mut state = self.network.state();
        let now = state.now;
        let Some(link) = state.links.get(&self.link) else { return };
        let route = link.route;
        let due = now + state.draw(route);
        let due = state.stalled_until.get(&route).map_or(due, |until| due.max(*until));
        let lane = &mut state.links.get_mut(&self.link).expect("a link").to[1 - self.side];
        if lane.ends_at.is_none() && !lane.ended {
            lane.ends_at = Some(lane.last_due.max(due));
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close();
        let mut state = self.network.state();
        let link = state.links.get_mut(&self.link).expect("a link lives as long as an end");
        link.open[self.side] = false;
        if link.open == [false, false] {
            state.links.remove(&self.link);
        }
    }
}

impl shiftkeeper::sim::ConnectionStream for Endpoint {
    fn reset_on_close(&self) {
        let waker = {
            let mut state = self.network.state();
            let still = state.daemon_still;
            let link = state.links.get_mut(&self.link).expect("a link lives as long as an end");
            link.reset = true;
            if still { None } else { link.to[1 - self.side].reader.take() }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
