//! A webhook receiver on loopback for the demo and for tests: it checks signatures, counts deliveries, and fails on
//! demand.
//!
//! Its verification follows the Standard Webhooks specification and uses another library than the sender, so that one
//! mistake cannot hide behind the same mistake on the other side.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ring::hmac;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::accept::accept_connections;
use super::random::RandomStream;
use crate::clock::RealTime;
use crate::domain::time::UtcMicros;

/// The largest body accepted, in bytes.
const MAX_BODY_BYTES: usize = 4 << 20;
/// How far a timestamp may lie from now, in seconds.
const TOLERANCE_S: i64 = 300;
/// The most deliveries that are kept one by one.
const MAX_RECEIPTS: usize = 1 << 20;
/// The most random failures of one delivery, so that none runs out of attempts.
const MAX_FAILURES: u32 = 4;
/// The silence before a late reset, in real time; longer than what the sender calls slow.
const LATE_RESET_DELAY: Duration = Duration::from_millis(1200);

/// The options of a receiver.
#[derive(Clone, Default)]
pub struct ReceiverOptions {
    /// The accepted keys, as `whsec_` and base64.
    pub keys: Vec<String>,
    /// The loopback address to listen on; a free port by default.
    pub listen: Option<SocketAddr>,
    /// Answers the first attempt of every n-th delivery with 500; 0 fails none.
    pub fail_every: u64,
    /// The share of deliveries that fail at random, each at most four times: with 503, with a reset instead of an
    /// answer before or after the delivery was accepted, or with a reset after a silence.
    pub fail_share: f64,
    /// The seed of random failures.
    pub seed: u64,
}

/// How the receiver treats a delivery that it would otherwise accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReceiverMode {
    /// Accepts it, or fails it as the options say.
    #[default]
    Accept,
    /// Never answers.
    Silent,
    /// Accepts it and answers after this much real time.
    Slow(Duration),
    /// Answers with this status and does not accept it.
    Refuse(u16),
    /// Answers 410: the endpoint is gone.
    Gone,
    /// Answers 429 with this many seconds to wait.
    TooManyRequests(u32),
}

/// The receiver's counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ReceiverCounts {
    /// All requests, whatever their result.
    pub received: u64,
    /// The distinct ids accepted, all with a valid signature.
    pub distinct: u64,
    /// The requests with a valid signature.
    pub verified: u64,
    /// The requests without a valid signature.
    pub bad_signature: u64,
    /// The deliveries with an id that had been accepted before.
    pub duplicates: u64,
    /// The deliveries failed on purpose.
    pub failed: u64,
    /// The accepted events whose sequence number does not follow the one accepted before for the same agent.
    pub out_of_sequence: u64,
}

/// One request and how it was judged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReceivedDelivery {
    /// The request's number, from 1.
    pub number: u64,
    /// The instant of arrival in real time.
    pub at: UtcMicros,
    /// The `webhook-id`.
    pub id: String,
    /// The agent concerned.
    pub agent: Option<String>,
    /// The sequence number among the agent's events.
    pub sequence: Option<u64>,
    /// Whether the signature is valid.
    pub verified: bool,
    /// Whether the id had been accepted before.
    pub duplicate: bool,
    /// Whether it was accepted now for the first time, whatever the sender was answered.
    pub taken: bool,
    /// The status answered; 0 without an answer.
    pub status: u16,
}

/// The outcome of a delivery.
#[derive(Clone, Copy)]
struct DeliveryOutcome {
    accepts: bool,
    /// The pause before the reply, in real time.
    pause: Duration,
    reply: Reply,
}

#[derive(Clone, Copy)]
enum Reply {
    Status(StatusCode),
    /// 429, with the number of seconds to wait.
    TooMany(u32),
    /// A reset of the connection.
    Reset,
    Never,
}

impl DeliveryOutcome {
    const fn new(accepts: bool, reply: Reply) -> Self {
        Self { accepts, pause: Duration::ZERO, reply }
    }

    const ACCEPTED: Self = Self::new(true, Reply::Status(StatusCode::NO_CONTENT));

    /// The random failures.
    const FAILURES: [Self; 4] = [
        Self::new(false, Reply::Status(StatusCode::SERVICE_UNAVAILABLE)),
        Self::new(false, Reply::Reset),
        Self::new(true, Reply::Reset),
        Self { accepts: true, pause: LATE_RESET_DELAY, reply: Reply::Reset },
    ];

    /// Returns the status, or 0 without an answer.
    fn status(self) -> u16 {
        match self.reply {
            Reply::Status(status) => status.as_u16(),
            Reply::TooMany(_) => StatusCode::TOO_MANY_REQUESTS.as_u16(),
            Reply::Reset | Reply::Never => 0,
        }
    }
}

#[derive(Default)]
struct ReceiverState {
    mode: ReceiverMode,
    counts: ReceiverCounts,
    accepted_ids: HashSet<String>,
    /// The number of failures by id, both regular and random.
    failures: HashMap<String, u32>,
    /// The number of ids seen for the first time, for regular failures.
    first_attempts: u64,
    last_sequences: HashMap<String, u64>,
    receipts: Vec<ReceivedDelivery>,
}

struct SharedState {
    keys: Vec<hmac::Key>,
    fail_every: u64,
    fail_share: f64,
    random: RandomStream,
    state: Mutex<ReceiverState>,
}

/// A running receiver. Dropping it ends it at once.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<SharedState>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Receiver {
    /// Starts to listen.
    pub async fn start(options: ReceiverOptions) -> io::Result<Self> {
        let listen = options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        if !listen.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the receiver listens on loopback alone"));
        }
        let keys = options.keys.iter().map(|key| parse_key(key)).collect::<Option<Vec<_>>>();
        let keys = keys.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a key is not whsec_ and base64"))?;
        let listener = TcpListener::bind(listen).await?;
        let shared = Arc::new(SharedState {
            keys,
            fail_every: options.fail_every,
            fail_share: options.fail_share,
            random: RandomStream::for_path(options.seed, &["receiver"]),
            state: Mutex::default(),
        });
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let mut tasks = JoinSet::new();
        let (serving, ended) = (Arc::clone(&shared), stop.clone());
        tasks.spawn(accept_connections(listener, stop.clone(), move |stream| {
            serve_connection(stream, Arc::clone(&serving), ended.clone())
        }));
        Ok(Self { address, shared, stop, tasks })
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL to deliver to.
    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Returns the counts.
    pub fn counts(&self) -> ReceiverCounts {
        self.shared.lock_state().counts
    }

    /// Returns up to `limit` deliveries after the one with the number `after`; the first million are kept.
    pub fn log(&self, after: u64, limit: usize) -> Vec<ReceivedDelivery> {
        let state = self.shared.lock_state();
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        state.receipts.iter().skip(skip).take(limit).cloned().collect()
    }

    /// Sets how deliveries are treated from now on.
    pub fn set_mode(&self, conduct: ReceiverMode) {
        self.shared.lock_state().mode = conduct;
    }

    /// Stops the receiver and closes every connection.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn parse_key(text: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    (!bytes.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

async fn serve_connection(stream: TcpStream, shared: Arc<SharedState>, stop: CancellationToken) {
    let reset = CancellationToken::new();
    let resets = reset.clone();
    let service = service_fn(move |request| handle_request(Arc::clone(&shared), request, resets.clone()));
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = &mut connection => {}
        () = reset.cancelled() => {
            let _ = connection.into_parts().io.into_inner().set_zero_linger();
        }
        () = stop.cancelled() => {}
    }
}

async fn handle_request(
    shared: Arc<SharedState>,
    request: Request<Incoming>,
    reset: CancellationToken,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return Ok(empty_response(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let DeliveryOutcome { pause, reply, .. } = shared.decide(&head.headers, &body.to_bytes());
    RealTime::sleep(pause).await;
    match reply {
        Reply::Status(status) => Ok(empty_response(status)),
        Reply::TooMany(seconds) => {
            let mut answer = empty_response(StatusCode::TOO_MANY_REQUESTS);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            Ok(answer)
        }
        Reply::Reset => {
            reset.cancel();
            std::future::pending().await
        }
        Reply::Never => std::future::pending().await,
    }
}

fn empty_response(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// The relevant parts of a body, both in the guide's format and in the envelope.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    source: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    user_id: Option<String>,
    sequence: Option<u64>,
}

impl SharedState {
    fn lock_state(&self) -> MutexGuard<'_, ReceiverState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, headers: &HeaderMap, body: &[u8]) -> DeliveryOutcome {
        let now = RealTime::now();
        let verified = self.is_signed(headers, body, now.as_micros() / 1_000_000);
        let id = header_text(headers, "webhook-id").to_owned();
        let Body { source, data } =
            serde_json::from_slice(body).unwrap_or(Body { source: String::new(), data: Data::default() });
        let mut state = self.lock_state();
        state.counts.received += 1;
        let duplicate = state.accepted_ids.contains(&id);
        let outcome = if verified {
            state.counts.verified += 1;
            state.counts.duplicates += u64::from(duplicate);
            self.outcome_for(&mut state, &id, duplicate)
        } else {
            state.counts.bad_signature += 1;
            DeliveryOutcome::new(false, Reply::Status(StatusCode::UNAUTHORIZED))
        };
        let (status, taken) = (outcome.status(), outcome.accepts && !duplicate);
        state.counts.failed += u64::from(verified && !(200..300).contains(&status));
        if taken {
            let agent = format!("{source} {}", data.user_id.as_deref().unwrap_or_default());
            state.record_accepted(id.clone(), agent, data.sequence);
        }
        if state.receipts.len() < MAX_RECEIPTS {
            let number = state.counts.received;
            let (agent, sequence) = (data.user_id, data.sequence);
            state.receipts.push(ReceivedDelivery {
                number,
                at: now,
                id,
                agent,
                sequence,
                verified,
                duplicate,
                taken,
                status,
            });
        }
        outcome
    }

    /// Returns the outcome of a delivery with a valid signature.
    fn outcome_for(&self, state: &mut ReceiverState, id: &str, duplicate: bool) -> DeliveryOutcome {
        match state.mode {
            ReceiverMode::Accept => self.accept_or_fail(state, id, duplicate),
            ReceiverMode::Slow(pause) => DeliveryOutcome { pause, ..self.accept_or_fail(state, id, duplicate) },
            ReceiverMode::Silent => DeliveryOutcome::new(false, Reply::Never),
            ReceiverMode::Refuse(status) => DeliveryOutcome::new(
                false,
                Reply::Status(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)),
            ),
            ReceiverMode::Gone => DeliveryOutcome::new(false, Reply::Status(StatusCode::GONE)),
            ReceiverMode::TooManyRequests(seconds) => DeliveryOutcome::new(false, Reply::TooMany(seconds)),
        }
    }

    /// Accepts the delivery, or fails it regularly or at random.
    fn accept_or_fail(&self, state: &mut ReceiverState, id: &str, duplicate: bool) -> DeliveryOutcome {
        let failures = state.failures.get(id).copied().unwrap_or_default();
        let first = !duplicate && failures == 0;
        state.first_attempts += u64::from(first);
        let failure = if first && self.fail_every > 0 && state.first_attempts.is_multiple_of(self.fail_every) {
            Some(DeliveryOutcome::new(false, Reply::Status(StatusCode::INTERNAL_SERVER_ERROR)))
        } else if failures < MAX_FAILURES && self.fail_share > 0.0 && self.random.chance(self.fail_share) {
            self.random.pick(&DeliveryOutcome::FAILURES).copied()
        } else {
            None
        };
        if failure.is_some() {
            state.failures.insert(id.to_owned(), failures + 1);
        }
        failure.unwrap_or(DeliveryOutcome::ACCEPTED)
    }

    fn is_signed(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> bool {
        let (id, timestamp) = (header_text(headers, "webhook-id"), header_text(headers, "webhook-timestamp"));
        if id.is_empty()
            || !timestamp.parse::<i64>().is_ok_and(|at_s| now_s.abs_diff(at_s) <= TOLERANCE_S.unsigned_abs())
        {
            return false;
        }
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(body);
        header_text(headers, "webhook-signature").split_ascii_whitespace().any(|signature| {
            let tag = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
            tag.is_some_and(|tag| self.keys.iter().any(|key| hmac::verify(key, &signed, &tag).is_ok()))
        })
    }
}

impl ReceiverState {
    fn record_accepted(&mut self, id: String, agent: String, sequence: Option<u64>) {
        self.accepted_ids.insert(id);
        self.counts.distinct += 1;
        let Some(sequence) = sequence else { return };
        let before = self.last_sequences.insert(agent, sequence);
        if before.is_some_and(|before| sequence != before + 1) {
            self.counts.out_of_sequence += 1;
        }
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
