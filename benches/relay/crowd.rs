//! The viewers: a process that opens the connections, counts what comes, and says how old it was.

use std::cell::{Cell, RefCell};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::lines_of_stdin;
use crate::ours::TOKEN;
use crate::server::{DIGITS, Kind, MARK, now_us};

pub const ARGUMENT: &str = "watch";
/// The ages of what one viewer of so many hears are looked at.
const LOOKED_AT: usize = 10;
/// Between two counts that are told.
const COUNT_EVERY: Duration = Duration::from_millis(5);
/// A run that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// The viewers as whoever measures sees them.
pub struct Crowd {
    child: Child,
    commands: ChildStdin,
    heard: Arc<AtomicU64>,
    ages: mpsc::Receiver<(Duration, Duration)>,
}

impl Crowd {
    /// Opens all connections; done when each was told something.
    pub fn gather(kind: Kind, address: &str, viewers: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([ARGUMENT, address, &viewers.to_string(), if kind.over_sockets() { "ws" } else { "sse" }]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let commands = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert_eq!(lines.next().expect("a line").expect("readable"), "ready");
        let heard = Arc::new(AtomicU64::new(0));
        let (told, ages) = mpsc::channel();
        let counted = heard.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
                match numbers[..] {
                    [count] => counted.store(count, Ordering::SeqCst),
                    [median, p99] => {
                        let _ = told.send((Duration::from_micros(median), Duration::from_micros(p99)));
                    }
                    _ => eprintln!("{line}"),
                }
            }
        });
        Self { child, commands, heard, ages }
    }

    /// Messages that came to every viewer so far, times the viewers.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }

    /// Waits until so many have come.
    pub fn until(&self, messages: u64) {
        let started = Instant::now();
        while self.heard() < messages {
            assert!(started.elapsed() < PATIENCE, "{} of {messages} messages came", self.heard());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The median and the 99th percentile of the ages since this was asked last.
    pub fn ages(&mut self) -> (Duration, Duration) {
        self.commands.write_all(b"ages\n").expect("it reads");
        self.ages.recv_timeout(PATIENCE).expect("it answers")
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the viewers heard.
#[derive(Default)]
struct Heard {
    /// By viewer.
    messages: RefCell<Vec<u64>>,
    greeted: Cell<usize>,
    ages_us: RefCell<Vec<u64>>,
}

/// The process of the viewers. On one thread: it is the servers that are measured.
pub fn watch(arguments: &[String]) {
    let [address, viewers, way] = arguments else { panic!("address, viewers, way") };
    let viewers: usize = viewers.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let heard = Rc::new(Heard { messages: RefCell::new(vec![0; viewers]), ..Heard::default() });
        for number in 0..viewers {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(request(address, way).as_bytes()).await.expect("sent");
            tokio::task::spawn_local(listen(stream, heard.clone(), number));
        }
        while heard.greeted.get() < viewers {
            tokio::time::sleep(COUNT_EVERY).await;
        }
        println!("ready");
        let mut commands = lines_of_stdin();
        loop {
            tokio::select! {
                line = commands.recv() => match line {
                    Some(_) => say_ages(&heard),
                    None => return,
                },
                () = tokio::time::sleep(COUNT_EVERY) => {
                    let least = heard.messages.borrow().iter().min().copied().unwrap_or(0);
                    println!("{}", least * viewers as u64);
                }
            }
        }
    });
}

fn say_ages(heard: &Heard) {
    let mut ages = heard.ages_us.take();
    ages.sort_unstable();
    let at = |share: usize| ages.get(ages.len().saturating_sub(1) * share / 100).copied().unwrap_or(0);
    println!("{} {}", at(50), at(99));
}

fn request(address: &str, way: &str) -> String {
    let head = format!("Host: {address}\r\nAuthorization: Bearer {TOKEN}\r\n");
    match way {
        "sse" => format!("GET /live/events HTTP/1.1\r\n{head}\r\n"),
        _ => format!(
            "GET /live HTTP/1.1\r\n{head}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
        ),
    }
}

/// Counts the marks that come; messages of both ways have one each, and what comes around them has none.
async fn listen(mut stream: TcpStream, heard: Rc<Heard>, number: usize) {
    let looked_at = number.is_multiple_of(LOOKED_AT);
    let mut bytes = vec![0; 64 * 1024];
    let mut kept = 0;
    let mut greeted = false;
    while let Ok(some) = stream.read(&mut bytes[kept..]).await {
        if some == 0 {
            break;
        }
        let whole = kept + some;
        // The first picture has a name that nothing before it has.
        if !greeted && bytes[..whole].windows(10).any(|name| name == b"\"snapshot\"") {
            greeted = true;
            heard.greeted.set(heard.greeted.get() + 1);
        }
        let (now, mut from, mut messages) = (now_us(), 0, 0);
        while let Some(place) = bytes[from..whole].iter().position(|byte| *byte == MARK) {
            let digits = from + place + 1;
            if digits + DIGITS > whole {
                from = digits - 1;
                break;
            }
            messages += 1;
            if looked_at {
                let digits = std::str::from_utf8(&bytes[digits..digits + DIGITS]).expect("digits");
                let told_at: u64 = digits.parse().expect("a number");
                heard.ages_us.borrow_mut().push(now.saturating_sub(told_at));
            }
            from = digits + DIGITS;
        }
        heard.messages.borrow_mut()[number] += messages;
        // A mark that is cut off comes again with the rest.
        let keep = if greeted { bytes[from..whole].iter().position(|byte| *byte == MARK) } else { Some(0) };
        let keep = keep.map_or(whole, |place| from + place);
        bytes.copy_within(keep..whole, 0);
        kept = whole - keep;
    }
    eprintln!("a viewer was dropped: {}", String::from_utf8_lossy(&bytes[..kept.min(300)]));
}
