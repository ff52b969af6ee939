//! The receiver of all contestants, in a process of its own: answers each POST as soon as its bytes have come, counts ids, and
//! says when so many were there. It is this binary, started anew with [`ARGUMENT`].

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, BytesMut};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::domain::webhooks::signature::{
    self, ID_HEADER, SIGNATURE_HEADER, SignedHeaders, SigningKey, TIMESTAMP_HEADER,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

pub const ARGUMENT: &str = "receive";
pub const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One signature of so many is looked at: enough to know that they are real, too few to weigh.
const JUDGED: usize = 64;
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
/// Longer than any contestant needs for a round.
const PATIENCE: Duration = Duration::from_secs(180);

/// The wall clock, which two processes of a host share.
pub fn now() -> UtcMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UtcMicros::from_micros(since.as_micros().try_into().expect("fits"))
}

/// The receiver as the bench sees it.
pub struct Receiver {
    child: Child,
    control: BufReader<TcpStream>,
    /// Where deliveries go.
    pub posts: SocketAddr,
}

impl Receiver {
    pub async fn start() -> Self {
        let this = std::env::current_exe().expect("a file");
        let mut child = Command::new(this).arg(ARGUMENT).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
        let mut addresses = line.split_whitespace().map(|text| text.parse().expect("an address"));
        let (posts, control) = (addresses.next().expect("one"), addresses.next().expect("two"));
        let control = TcpStream::connect::<SocketAddr>(control).await.expect("connects");
        control.set_nodelay(true).expect("set");
        Self { child, control: BufReader::new(control), posts }
    }

    /// Waits until so many different events have come since the start; gives when the last of them did.
    pub async fn until(&mut self, total: u64) -> UtcMicros {
        self.control.write_all(format!("{total}\n").as_bytes()).await.expect("written");
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.control.read_line(&mut line)).await;
        read.expect("all events come in time").expect("an answer");
        UtcMicros::from_micros(line.trim().parse().expect("microseconds"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many different events have come, and when the last did.
type Arrived = (u64, UtcMicros);

/// The process itself: prints where it listens, for POSTs and for whoever asks how many came, and ends with the latter.
#[expect(clippy::print_stdout, reason = "its one line says where it listens")]
pub async fn receive() {
    let posts = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let control = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = |listener: &TcpListener| listener.local_addr().expect("bound");
    println!("{} {}", address(&posts), address(&control));
    let (arrived, told) = watch::channel((0, UtcMicros::EPOCH));
    let desk = Rc::new(Desk { seen: RefCell::default(), arrived, key: SigningKey::parse(KEY).expect("a key") });
    let accept = async {
        while let Ok((stream, _)) = posts.accept().await {
            tokio::task::spawn_local(Rc::clone(&desk).serve(stream));
        }
    };
    tokio::select! {
        () = accept => {}
        () = tell(control, told) => {}
    }
}

async fn tell(control: TcpListener, mut told: watch::Receiver<Arrived>) {
    let (stream, _) = control.accept().await.expect("the bench connects");
    stream.set_nodelay(true).expect("set");
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        let total: u64 = line.trim().parse().expect("a count");
        let (_, last) = *told.wait_for(|(count, _)| *count >= total).await.expect("the desk stands");
        if lines.write_all(format!("{}\n", last.as_micros()).as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

struct Desk {
    seen: RefCell<HashSet<Uuid>>,
    arrived: watch::Sender<Arrived>,
    key: SigningKey,
}

impl Desk {
    async fn serve(self: Rc<Self>, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut bytes = BytesMut::with_capacity(16 * 1024);
        while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            while let Some(length) = self.take(&bytes) {
                bytes.advance(length);
                if stream.write_all(ANSWER).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Counts the request at the front, if it is there whole; gives its length.
    fn take(&self, bytes: &[u8]) -> Option<usize> {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&bytes[..head]).expect("a head in UTF-8");
        let size: usize = header(text, "content-length").parse().expect("a length");
        let body = bytes.get(head + 4..head + 4 + size)?;
        let id = header(text, ID_HEADER);
        let mut seen = self.seen.borrow_mut();
        if seen.insert(id.parse().expect("a UUID")) {
            self.arrived.send_replace((seen.len() as u64, now()));
        }
        if seen.len().is_multiple_of(JUDGED) {
            let (timestamp, signature) = (header(text, TIMESTAMP_HEADER), header(text, SIGNATURE_HEADER));
            let headers = SignedHeaders { id, timestamp, signature };
            signature::verify(std::slice::from_ref(&self.key), headers, body, now()).expect("signed");
        }
        Some(head + 4 + size)
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let value = head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    value.unwrap_or_else(|| panic!("a request has {name}: {head}"))
}
