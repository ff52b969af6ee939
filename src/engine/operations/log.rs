//! Writes the log, and outlives a log that cannot be written: on a full disk, or when the reader of a pipe has gone.
//!
//! Lines that cannot be written are lost and counted, and nothing else stops. The first line after such an outage says how many
//! were lost, why and since when. [`run`] shows an outage in readiness and tries until the log can be written again, so that
//! a quiet daemon says so too.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::readiness::Readiness;
use crate::clock::{RealTime, SharedClock};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;

/// The log's part of the readiness report.
pub const PART: &str = "log";

/// During an outage the log is tried this often, in real time.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// A span in which lines could not be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outage {
    /// When the first line was lost, by the log's clock.
    pub since: UtcMicros,
    /// How many lines were lost so far.
    pub lines_lost: u64,
    /// Why the last one was lost.
    pub cause: String,
}

impl Outage {
    /// What the first line after it says.
    pub fn notice(&self) -> String {
        let Self { since, lines_lost, cause } = self;
        format!("{} lost since {since:.0}, as the log could not be written: {cause}", count(*lines_lost, "log line"))
    }
}

/// How the log is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogState {
    /// How many lines were lost since the start.
    pub lines_lost: u64,
    /// The outage that goes on.
    pub outage: Option<Outage>,
}

/// Makes the line that tells of an outage that is over, at this instant and with its line's end.
pub type NoticeLine = fn(&Outage, UtcMicros) -> String;

/// Where the lines of the log go. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    sink: Mutex<Sink>,
    state: watch::Sender<LogState>,
    clock: SharedClock,
    notice: NoticeLine,
}

struct Sink {
    out: Box<dyn Write + Send>,
    /// The last line that was begun is not whole.
    is_torn: bool,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Log").field(&*self.0.state.borrow()).finish()
    }
}

impl Log {
    /// A log that goes to `out`. The clock is the one that its lines go by.
    pub fn new(out: impl Write + Send + 'static, clock: SharedClock, notice: NoticeLine) -> Self {
        let sink = Mutex::new(Sink { out: Box::new(out), is_torn: false });
        Self(Arc::new(Inner { sink, state: watch::Sender::default(), clock, notice }))
    }

    /// How it is, now and from now on.
    pub fn state(&self) -> watch::Receiver<LogState> {
        self.0.state.subscribe()
    }

    /// Writes a line with its end, or counts it as lost.
    fn write_line(&self, line: &[u8]) {
        let mut sink = self.sink();
        if let Err(error) = self.end_outage(&mut sink).and_then(|()| sink.write_line(line)) {
            let now = self.0.clock.now();
            self.0.state.send_modify(|state| {
                state.lines_lost += 1;
                let outage =
                    state.outage.get_or_insert_with(|| Outage { since: now, lines_lost: 0, cause: String::new() });
                outage.lines_lost += 1;
                outage.cause = error.to_string();
            });
        }
    }

    /// Tries to end an outage where there is one.
    fn try_again(&self) {
        // Why it goes on is known from the line that was lost last.
        let _ = self.end_outage(&mut self.sink());
    }

    /// Tells of an outage where there is one; it is over when that goes well.
    fn end_outage(&self, sink: &mut Sink) -> io::Result<()> {
        let Some(outage) = self.0.state.borrow().outage.clone() else { return Ok(()) };
        sink.write_line((self.0.notice)(&outage, self.0.clock.now()).as_bytes())?;
        self.0.state.send_modify(|state| state.outage = None);
        Ok(())
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.0.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes whole lines, one with each call, and never fails.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_all(b"\n")?;
        }
        self.write_all(line)
    }

    /// Like the usual one, and remembers where it stopped.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.is_torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.flush()
    }
}

/// Shows in readiness how the log is, until `soft` is cancelled.
pub async fn run(log: Log, readiness: Readiness, soft: CancellationToken) -> anyhow::Result<()> {
    let mut told = log.state();
    loop {
        let outage = told.borrow_and_update().outage.clone();
        match &outage {
            None => readiness.restored(PART),
            Some(outage) => readiness
                .degraded(PART, format!("{}; make room on its disk, or restart what reads it", outage.notice())),
        }
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = told.changed() => changed?,
            () = RealTime::sleep(TRY_EVERY), if outage.is_some() => log.try_again(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    /// A file on a disk with so much room.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Disk {
        fn make_room(&self, bytes: usize) {
            self.0.lock().expect("a lock").1 += bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("a lock").0.clone()).expect("text")
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (file, room) = &mut *self.0.lock().expect("a lock");
            let fits = bytes.len().min(*room);
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.extend_from_slice(&bytes[..fits]);
            *room -= fits;
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bench() -> (Disk, ManualClock, Log) {
        let (disk, clock) = (Disk::default(), ManualClock::at(UtcMicros::EPOCH));
        let log = Log::new(disk.clone(), Arc::new(clock.clone()), |outage, _| format!("{}\n", outage.notice()));
        (disk, clock, log)
    }

    #[test]
    fn lost_lines_are_counted_and_told_once_when_the_log_can_be_written_again() {
        let (disk, clock, mut log) = bench();
        disk.make_room(8);
        log.write_all(b"one\n").expect("never fails");
        for line in [&b"two, torn\n"[..], b"three\n"] {
            clock.advance(Duration::from_secs(60));
            log.write_all(line).expect("never fails");
        }
        let state = log.state().borrow().clone();
        assert_eq!(state.lines_lost, 2);
        assert_eq!(state.outage.as_ref().map(|outage| outage.lines_lost), Some(2));
        clock.advance(Duration::from_secs(60));
        disk.make_room(1000);
        log.write_all(b"four\n").expect("never fails");
        log.write_all(b"five\n").expect("never fails");
        let notice = "2 log lines lost since 1970-01-01T00:01:00Z, as the log could not be written: no storage space";
        assert_eq!(disk.text(), format!("one\ntwo,\n{notice}\nfour\nfive\n"));
        assert_eq!(*log.state().borrow(), LogState { lines_lost: 2, outage: None });
    }

    #[test]
    fn a_log_that_fails_again_tells_of_the_new_outage_alone() {
        let (disk, clock, mut log) = bench();
        log.write_all(b"one\n").expect("never fails");
        disk.make_room(1000);
        log.try_again();
        assert!(disk.text().starts_with("1 log line lost since 1970-01-01T00:00:00Z"), "{}", disk.text());
        let room = disk.0.lock().expect("a lock").1;
        disk.0.lock().expect("a lock").1 = 0;
        clock.advance(Duration::from_secs(60));
        log.write_all(b"two\n").expect("never fails");
        disk.make_room(room);
        log.write_all(b"three\n").expect("never fails");
        let text = disk.text();
        let told: Vec<&str> = text.lines().filter_map(|line| line.split(", as").next()).collect();
        let expected =
            ["1 log line lost since 1970-01-01T00:00:00Z", "1 log line lost since 1970-01-01T00:01:00Z", "three"];
        assert_eq!(told, expected);
        assert_eq!(log.state().borrow().lines_lost, 2);
    }

    #[tokio::test]
    async fn an_outage_is_shown_in_readiness_and_ends_without_another_line() {
        let (disk, clock, mut log) = bench();
        let readiness = Readiness::new(Arc::new(clock));
        let soft = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(run(log.clone(), readiness.clone(), soft.clone()));
        let shown = |ready: bool| {
            let readiness = readiness.clone();
            async move {
                loop {
                    let parts = readiness.report().parts;
                    if let Some(part) = parts.into_iter().find(|part| part.name == PART && part.ready == ready) {
                        return part;
                    }
                    tokio::task::yield_now().await;
                }
            }
        };
        shown(true).await;
        log.write_all(b"one\n").expect("never fails");
        let part = shown(false).await;
        assert!(!part.own && part.detail.starts_with("1 log line lost since 1970"), "{part:?}");
        assert_eq!(readiness.report().status, "degraded");
        disk.make_room(1000);
        shown(true).await;
        assert_eq!(disk.text().lines().count(), 1);
        soft.cancel();
        tasks.join_next().await.expect("a task").expect("no panic").expect("ends in order");
    }
}
