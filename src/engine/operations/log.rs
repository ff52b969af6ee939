//! Writes the log, and survives a log that cannot be written: a full disk, or a pipe whose reader has gone.
//!
//! Lines that cannot be written are lost and counted; nothing else stops. The first line after an outage says how many
//! were lost, why and since when. [`run`] shows an outage in readiness and retries until the log can be written again,
//! so that the outage also ends if nothing else is logged.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::readiness::Readiness;
use crate::clock::{RealTime, SharedClock};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;

/// The log's part of the readiness report.
pub const PART: &str = "log";

/// How often the log is retried during an outage, in real time.
const RETRY_INTERVAL_REAL: Duration = Duration::from_secs(1);

/// A period in which lines could not be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outage {
    /// When the first line was lost, by the log's clock.
    pub since: UtcMicros,
    /// The number of lines lost so far.
    pub lines_lost: u64,
    /// Why the last one was lost.
    pub cause: String,
}

impl Outage {
    /// Returns the text of the first line after the outage.
    pub fn notice(&self) -> String {
        let Self { since, lines_lost, cause } = self;
        format!(
            "{} lost since {since:.0}, as the log could not be written: {cause}",
            count_with_noun(*lines_lost, "log line")
        )
    }
}

/// The state of the log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogState {
    /// The number of lines lost since the start of the daemon.
    pub lines_lost: u64,
    /// The current outage, if any.
    pub outage: Option<Outage>,
}

/// Formats the line that reports an outage that is over, at this instant, with its line end.
pub type NoticeLine = fn(&Outage, UtcMicros) -> String;

/// The destination of log lines. Cheap to clone.
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
    /// The last line was only partly written.
    is_torn: bool,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Log").field(&*self.0.state.borrow()).finish()
    }
}

impl Log {
    /// Creates a log that writes to `out`. The clock is the one used for the lines.
    pub fn new(out: impl Write + Send + 'static, clock: SharedClock, notice: NoticeLine) -> Self {
        let sink = Mutex::new(Sink { out: Box::new(out), is_torn: false });
        Self(Arc::new(Inner { sink, state: watch::Sender::default(), clock, notice }))
    }

    /// Returns a receiver of the log's state.
    pub fn state(&self) -> watch::Receiver<LogState> {
        self.0.state.subscribe()
    }

    /// Writes a line, which includes its line end, or counts it as lost.
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

    /// Tries to end the current outage, if there is one.
    fn retry(&self) {
        // The cause is known from the last lost line.
        let _ = self.end_outage(&mut self.sink());
    }

    /// Reports the current outage, if there is one; it is over if that succeeds.
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

/// Takes one whole line per call and never fails.
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

    /// Like [`Write::write_all`], but remembers whether a line was written only in part.
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

/// Shows the log's state in readiness until `soft` is cancelled.
pub async fn run(log: Log, readiness: Readiness, soft: CancellationToken) -> anyhow::Result<()> {
    let mut state = log.state();
    loop {
        let outage = state.borrow_and_update().outage.clone();
        match &outage {
            None => readiness.restored(PART),
            Some(outage) => readiness
                .degraded(PART, format!("{}; make room on its disk, or restart what reads it", outage.notice())),
        }
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            changed = state.changed() => changed?,
            () = RealTime::sleep(RETRY_INTERVAL_REAL), if outage.is_some() => log.retry(),
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
    fn lost_lines_are_counted_and_reported_once_when_the_log_recovers() {
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
    fn a_log_that_fails_again_reports_only_the_new_outage() {
        let (disk, clock, mut log) = bench();
        log.write_all(b"one\n").expect("never fails");
        disk.make_room(1000);
        log.retry();
        assert!(disk.text().starts_with("1 log line lost since 1970-01-01T00:00:00Z"), "{}", disk.text());
        let room = disk.0.lock().expect("a lock").1;
        disk.0.lock().expect("a lock").1 = 0;
        clock.advance(Duration::from_secs(60));
        log.write_all(b"two\n").expect("never fails");
        disk.make_room(room);
        log.write_all(b"three\n").expect("never fails");
        let text = disk.text();
        let lines: Vec<&str> = text.lines().filter_map(|line| line.split(", as").next()).collect();
        let expected =
            ["1 log line lost since 1970-01-01T00:00:00Z", "1 log line lost since 1970-01-01T00:01:00Z", "three"];
        assert_eq!(lines, expected);
        assert_eq!(log.state().borrow().lines_lost, 2);
    }

    #[tokio::test]
    async fn an_outage_is_shown_in_readiness_and_ends_without_another_line() {
        let (disk, clock, mut log) = bench();
        let readiness = Readiness::new(Arc::new(clock));
        let soft = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(run(log.clone(), readiness.clone(), soft.clone()));
        let wait_for_part = |ready: bool| {
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
        wait_for_part(true).await;
        log.write_all(b"one\n").expect("never fails");
        let part = wait_for_part(false).await;
        assert!(!part.own && part.detail.starts_with("1 log line lost since 1970"), "{part:?}");
        assert_eq!(readiness.report().status, "degraded");
        disk.make_room(1000);
        wait_for_part(true).await;
        assert_eq!(disk.text().lines().count(), 1);
        soft.cancel();
        tasks.join_next().await.expect("a task").expect("no panic").expect("ends in order");
    }
}
