//! A webhook receiver on loopback for the demo and for tests: it believes nothing that is not signed, counts what it gets, and
//! fails as it is told.
//!
//! Its verification is written from the Standard Webhooks text on another library than the sender's, so that one mistake cannot
//! hide behind the same mistake on the other side.

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

use super::dice::Dice;
use crate::clock::RealTime;
use crate::domain::time::UtcMicros;

/// The largest body that is taken, in bytes.
const LARGEST_BODY: usize = 4 << 20;
/// How far a timestamp may lie from now, in seconds.
const TOLERANCE_S: i64 = 300;
/// The most receipts that are remembered one by one.
const MOST_RECEIPTS: usize = 1 << 20;
/// The most connections at once; more wait in the kernel.
const MOST_CONNECTIONS: usize = 4096;
/// One delivery is failed by dice so often at most, so that none runs out of tries.
const MOST_FAILURES: u32 = 4;
/// How long an answer is awaited in vain before the connection breaks, where the dice say so: longer than the sender calls slow.
const LATE: Duration = Duration::from_millis(1200);
/// Between two tries to accept when the system has no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What it is started with.
#[derive(Clone, Default)]
pub struct ReceiverOptions {
    /// The keys that it believes, as `whsec_` and base64.
    pub keys: Vec<String>,
    /// Where it listens, on loopback; a free port without one.
    pub listen: Option<SocketAddr>,
    /// Answers the first try of every so many-th delivery with 500; 0 fails none.
    pub fail_every: u64,
    /// Fails this share of the deliveries, by dice, one no more than four times: with 503, with a reset instead of an answer
    /// before or after it was taken, or with a reset after a silence.
    pub fail_share: f64,
    /// The dice's seed.
    pub seed: u64,
}

/// What it does with a delivery that it would otherwise take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Conduct {
    /// Takes it, or fails it as the options say.
    #[default]
    Takes,
    /// Never answers.
    Silent,
    /// Takes it and answers after this much real time.
    Slow(Duration),
    /// Answers with this status and takes nothing.
    Refuses(u16),
    /// Answers 410: the endpoint is gone.
    Gone,
    /// Answers 429 and wants to be left alone for so many seconds.
    TooMany(u32),
}

/// What it has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ReceiverCounts {
    /// Requests, whatever came of them.
    pub received: u64,
    /// Ids that were taken, each once; every one of them had a good signature.
    pub distinct: u64,
    /// Requests with a good signature.
    pub verified: u64,
    /// Requests without one.
    pub bad_signature: u64,
    /// Deliveries with the id of one that had been taken.
    pub duplicates: u64,
    /// Deliveries that were failed on purpose.
    pub failed: u64,
    /// Taken events whose number does not follow the one taken before of the same agent.
    pub out_of_sequence: u64,
}

/// One request as it was judged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Receipt {
    /// Its number, from 1.
    pub number: u64,
    /// When it came, in real time.
    pub at: UtcMicros,
    /// Its `webhook-id`.
    pub id: String,
    /// The agent concerned.
    pub agent: Option<String>,
    /// The number among the agent's events.
    pub sequence: Option<u64>,
    /// Whether its signature is good.
    pub verified: bool,
    /// Whether its id had been taken before.
    pub duplicate: bool,
    /// Whether it was taken now, for the first time, whatever the sender hears of that.
    pub taken: bool,
    /// The status that it was answered with; 0 where there is to be no answer.
    pub status: u16,
}

/// What becomes of a delivery.
#[derive(Clone, Copy)]
struct Fate {
    takes: bool,
    /// Before the reply, in real time.
    pause: Duration,
    reply: Reply,
}

#[derive(Clone, Copy)]
enum Reply {
    Status(StatusCode),
    /// 429, and how many seconds it wants to be left alone.
    TooMany(u32),
    /// The connection breaks.
    Reset,
    Never,
}

impl Fate {
    const fn of(takes: bool, reply: Reply) -> Self {
        Self { takes, pause: Duration::ZERO, reply }
    }

    const TAKEN: Self = Self::of(true, Reply::Status(StatusCode::NO_CONTENT));

    /// What the dice choose from.
    const FAILURES: [Self; 4] = [
        Self::of(false, Reply::Status(StatusCode::SERVICE_UNAVAILABLE)),
        Self::of(false, Reply::Reset),
        Self::of(true, Reply::Reset),
        Self { takes: true, pause: LATE, reply: Reply::Reset },
    ];

    /// 0 where there is none.
    fn status(self) -> u16 {
        match self.reply {
            Reply::Status(status) => status.as_u16(),
            Reply::TooMany(_) => StatusCode::TOO_MANY_REQUESTS.as_u16(),
            Reply::Reset | Reply::Never => 0,
        }
    }
}

#[derive(Default)]
struct Account {
    conduct: Conduct,
    counts: ReceiverCounts,
    taken: HashSet<String>,
    /// How often ids were failed by turn or by dice.
    failed: HashMap<String, u32>,
    /// Ids seen for the first time, for the turn.
    firsts: u64,
    last: HashMap<String, u64>,
    receipts: Vec<Receipt>,
}

struct Desk {
    keys: Vec<hmac::Key>,
    fail_every: u64,
    fail_share: f64,
    dice: Dice,
    account: Mutex<Account>,
}

/// A running receiver. Dropping it ends it at once.
pub struct Receiver {
    address: SocketAddr,
    desk: Arc<Desk>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Receiver {
    /// Listens.
    pub async fn start(options: ReceiverOptions) -> io::Result<Self> {
        let listen = options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        if !listen.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the receiver listens on loopback alone"));
        }
        let keys = options.keys.iter().map(|key| key_of(key)).collect::<Option<Vec<_>>>();
        let keys = keys.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a key is not whsec_ and base64"))?;
        let listener = TcpListener::bind(listen).await?;
        let desk = Arc::new(Desk {
            keys,
            fail_every: options.fail_every,
            fail_share: options.fail_share,
            dice: Dice::of(options.seed, &["receiver"]),
            account: Mutex::default(),
        });
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&desk), stop.clone()));
        Ok(Self { address, desk, stop, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL to deliver to.
    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// What it has counted.
    pub fn counts(&self) -> ReceiverCounts {
        self.desk.account().counts
    }

    /// Up to `limit` receipts after the one with the number `after`; the first million are remembered.
    pub fn log(&self, after: u64, limit: usize) -> Vec<Receipt> {
        let account = self.desk.account();
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        account.receipts.iter().skip(skip).take(limit).cloned().collect()
    }

    /// From now on it treats deliveries like this.
    pub fn conduct(&self, conduct: Conduct) {
        self.desk.account().conduct = conduct;
    }

    /// Ends it: every connection is closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn key_of(text: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    (!bytes.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

async fn accept(listener: TcpListener, desk: Arc<Desk>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let full = connections.len() >= MOST_CONNECTIONS;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&desk), stop.clone()));
                }
                Err(_) => RealTime::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse(stream: TcpStream, desk: Arc<Desk>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let reset = CancellationToken::new();
    let resets = reset.clone();
    let service = service_fn(move |request| receive(Arc::clone(&desk), request, resets.clone()));
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

async fn receive(
    desk: Arc<Desk>,
    request: Request<Incoming>,
    reset: CancellationToken,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        return Ok(answer(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let Fate { pause, reply, .. } = desk.judge(&head.headers, &body.to_bytes());
    RealTime::sleep(pause).await;
    match reply {
        Reply::Status(status) => Ok(answer(status)),
        Reply::TooMany(seconds) => {
            let mut answer = answer(StatusCode::TOO_MANY_REQUESTS);
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

fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// What of a body is of interest here, in the guide's shape and in the envelope alike.
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

impl Desk {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, headers: &HeaderMap, body: &[u8]) -> Fate {
        let now = RealTime::now();
        let verified = self.is_signed(headers, body, now.as_micros() / 1_000_000);
        let id = text(headers, "webhook-id").to_owned();
        let Body { source, data } =
            serde_json::from_slice(body).unwrap_or(Body { source: String::new(), data: Data::default() });
        let mut account = self.account();
        account.counts.received += 1;
        let duplicate = account.taken.contains(&id);
        let fate = if verified {
            account.counts.verified += 1;
            account.counts.duplicates += u64::from(duplicate);
            self.fate(&mut account, &id, duplicate)
        } else {
            account.counts.bad_signature += 1;
            Fate::of(false, Reply::Status(StatusCode::UNAUTHORIZED))
        };
        let (status, taken) = (fate.status(), fate.takes && !duplicate);
        account.counts.failed += u64::from(verified && !(200..300).contains(&status));
        if taken {
            let agent = format!("{source} {}", data.user_id.as_deref().unwrap_or_default());
            account.take(id.clone(), agent, data.sequence);
        }
        if account.receipts.len() < MOST_RECEIPTS {
            let number = account.counts.received;
            let (agent, sequence) = (data.user_id, data.sequence);
            account.receipts.push(Receipt { number, at: now, id, agent, sequence, verified, duplicate, taken, status });
        }
        fate
    }

    /// What becomes of a delivery with a good signature.
    fn fate(&self, account: &mut Account, id: &str, duplicate: bool) -> Fate {
        match account.conduct {
            Conduct::Takes => self.taken_or_failed(account, id, duplicate),
            Conduct::Slow(pause) => Fate { pause, ..self.taken_or_failed(account, id, duplicate) },
            Conduct::Silent => Fate::of(false, Reply::Never),
            Conduct::Refuses(status) => {
                Fate::of(false, Reply::Status(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)))
            }
            Conduct::Gone => Fate::of(false, Reply::Status(StatusCode::GONE)),
            Conduct::TooMany(seconds) => Fate::of(false, Reply::TooMany(seconds)),
        }
    }

    /// Takes it, or fails it by turn or by dice.
    fn taken_or_failed(&self, account: &mut Account, id: &str, duplicate: bool) -> Fate {
        let failures = account.failed.get(id).copied().unwrap_or_default();
        let first = !duplicate && failures == 0;
        account.firsts += u64::from(first);
        let failure = if first && self.fail_every > 0 && account.firsts.is_multiple_of(self.fail_every) {
            Some(Fate::of(false, Reply::Status(StatusCode::INTERNAL_SERVER_ERROR)))
        } else if failures < MOST_FAILURES && self.fail_share > 0.0 && self.dice.chance(self.fail_share) {
            self.dice.pick(&Fate::FAILURES).copied()
        } else {
            None
        };
        if failure.is_some() {
            account.failed.insert(id.to_owned(), failures + 1);
        }
        failure.unwrap_or(Fate::TAKEN)
    }

    fn is_signed(&self, headers: &HeaderMap, body: &[u8], now_s: i64) -> bool {
        let (id, timestamp) = (text(headers, "webhook-id"), text(headers, "webhook-timestamp"));
        if id.is_empty()
            || !timestamp.parse::<i64>().is_ok_and(|at_s| now_s.abs_diff(at_s) <= TOLERANCE_S.unsigned_abs())
        {
            return false;
        }
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(body);
        text(headers, "webhook-signature").split_ascii_whitespace().any(|signature| {
            let tag = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
            tag.is_some_and(|tag| self.keys.iter().any(|key| hmac::verify(key, &signed, &tag).is_ok()))
        })
    }
}

impl Account {
    fn take(&mut self, id: String, agent: String, sequence: Option<u64>) {
        self.taken.insert(id);
        self.counts.distinct += 1;
        let Some(sequence) = sequence else { return };
        let before = self.last.insert(agent, sequence);
        if before.is_some_and(|before| sequence != before + 1) {
            self.counts.out_of_sequence += 1;
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
