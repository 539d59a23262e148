//! Records on standard output, a line each.
//!
//! Invariants:
//!
//! - A reader that stands still holds up a thread that does nothing but write. The lane goes on: what is not written
//!   waits in memory and in the spool, and a stop does not wait for the reader, either.
//! - What was written is whole lines, or will be before anything else is written. A line that broke off is finished
//!   first when the sink was renewed. Its record counts as not published and is written once more: its id tells.
//! - Nothing is written after what failed until the sink is renewed, so that records stay in order.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::lines::{self, Broken, Lines};
use super::outgoing::Outgoing;
use super::sink::{Failure, Problem, Refused, Reports, Sink};

/// Collects lines while others are being written.
pub(super) struct StdoutSink {
    reports: Reports,
    lines: Lines,
    /// To the thread, which takes lines only while it is idle.
    writer: SyncSender<Lines>,
    status: Arc<Status>,
}

/// What the thread does.
#[derive(Debug, Clone)]
enum State {
    Idle,
    Writing,
    /// Nothing, until the sink is renewed.
    Failed(Problem),
}

/// The state, which changes together with what is told.
#[derive(Debug)]
struct Status {
    state: Mutex<State>,
    has_written: Condvar,
}

/// Writes what it gets.
struct Writer<W> {
    out: W,
    reports: Reports,
    status: Arc<Status>,
    /// The rest of a line that broke off.
    torn: Vec<u8>,
}

impl StdoutSink {
    /// Takes standard output past the buffer that the process has for it, which would not tell what was written.
    pub(super) fn new(reports: Reports) -> io::Result<Self> {
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        Self::to(File::from(out), reports)
    }

    /// Writes there; `out` has no buffer.
    fn to(out: impl Write + Send + 'static, reports: Reports) -> io::Result<Self> {
        let status = Arc::new(Status {
            state: Mutex::new(State::Idle),
            has_written: Condvar::new(),
        });
        let writer = Writer {
            out,
            reports: reports.clone(),
            status: status.clone(),
            torn: Vec::new(),
        };
        // It is idle when it is given lines, so there is always room.
        let (sender, receiver) = sync_channel(1);
        thread::Builder::new()
            .name("stdout-writer".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self {
            reports,
            lines: Lines::default(),
            writer: sender,
            status,
        })
    }

    /// Gives the thread what there is, if it is idle.
    fn hand_over(&mut self) {
        let mut state = self.status.state();
        if !matches!(*state, State::Idle) || self.lines.is_empty() {
            return;
        }
        *state = State::Writing;
        if let Err(lost) = self.writer.send(std::mem::take(&mut self.lines)) {
            // The thread has panicked, which the panic hook has told.
            let problem = Problem {
                reason: "a defect of miffy's has ended its writing to standard output".to_owned(),
                remedy: Some("restart miffy, and report what the log says"),
            };
            *state = State::Failed(problem.clone());
            let mut lines = lost.0;
            lines.tell_broken(0, &problem, &self.reports);
        }
    }
}

impl Sink for StdoutSink {
    fn send(&mut self, ticket: u64, record: &Outgoing) -> Result<(), Refused> {
        if let State::Failed(problem) = &*self.status.state() {
            return Err(Refused::Failed(Failure::Sink(problem.clone())));
        }
        if self.lines.is_full() {
            self.hand_over();
            if self.lines.is_full() {
                return Err(Refused::Busy);
            }
        }
        self.lines.push(ticket, record);
        Ok(())
    }

    fn flush(&mut self, _hurry: bool) {
        self.hand_over();
    }

    fn recall(&mut self) {
        self.hand_over();
        self.lines.tell_recalled(&self.reports);
    }

    fn renew(&mut self) -> Result<(), Problem> {
        self.lines.clear();
        let mut state = self.status.state();
        if let State::Failed(_) = *state {
            *state = State::Idle;
        }
        Ok(())
    }

    fn settle(&mut self, patience: Duration) {
        let is_writing = |state: &mut State| matches!(state, State::Writing);
        let state = self.status.state();
        let waited = self
            .status
            .has_written
            .wait_timeout_while(state, patience, is_writing);
        drop(waited);
    }
}

impl Status {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> Writer<W> {
    fn run(mut self, lines: &Receiver<Lines>) {
        for mut lines in lines {
            let written = self.write(&lines);
            let mut state = self.status.state();
            *state = match written {
                Ok(()) => {
                    lines.tell_written(&self.reports);
                    State::Idle
                }
                Err(Broken { written, error }) => {
                    let problem = problem(&error);
                    lines.tell_broken(written, &problem, &self.reports);
                    State::Failed(problem)
                }
            };
            drop(state);
            self.status.has_written.notify_all();
        }
    }

    /// Finishes a line that broke off, and writes the lines.
    fn write(&mut self, lines: &Lines) -> Result<(), Broken> {
        if let Err(Broken { written, error }) = lines::write(&mut self.out, &self.torn) {
            self.torn.drain(..written);
            return Err(Broken { written: 0, error });
        }
        self.torn.clear();
        let written = lines::write(&mut self.out, lines.bytes());
        if let Err(broken) = &written {
            self.torn = lines.rest(broken.written).to_vec();
        }
        written
    }
}

fn problem(error: &io::Error) -> Problem {
    match error.kind() {
        ErrorKind::BrokenPipe => Problem {
            reason: "standard output is closed".to_owned(),
            remedy: Some("start miffy again with somebody who reads its standard output"),
        },
        _ => Problem {
            reason: format!("standard output can't be written: {error}"),
            remedy: lines::remedy(error),
        },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test's panic is its result")]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::delivery::testing::{Told, record};

    /// Longer than any of it takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Takes so many bytes of each kind of step, in turn: written, or failed with.
    struct Steps {
        steps: Vec<Result<usize, ErrorKind>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Steps {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let step = if self.steps.is_empty() {
                Ok(bytes.len())
            } else {
                self.steps.remove(0)
            };
            let taken = bytes.len().min(step?);
            self.written
                .lock()
                .unwrap()
                .extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink, what it tells, and what it has written.
    struct Tried {
        sink: StdoutSink,
        told: Told,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Tried {
        fn with(steps: &[Result<usize, ErrorKind>]) -> Self {
            let (told, written) = (Told::default(), Arc::default());
            let out = Steps {
                steps: steps.to_vec(),
                written: Arc::clone(&written),
            };
            let sink = StdoutSink::to(out, told.reports()).unwrap();
            Self {
                sink,
                told,
                written,
            }
        }

        fn send(&mut self, ticket: u64, text: &str) {
            self.sink.send(ticket, &record(text)).unwrap();
        }

        fn flush(&mut self) {
            self.sink.flush(false);
            self.sink.settle(PATIENCE);
        }

        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn records_are_lines_and_told_when_they_are_written() {
        let mut it = Tried::with(&[]);
        it.send(1, "a");
        it.send(2, "b");
        assert!(it.told.take().is_empty() && it.text().is_empty());
        it.flush();
        assert_eq!(it.text(), "a\nb\n");
        assert_eq!(it.told.take(), [(1, Ok(())), (2, Ok(()))]);
        it.flush();
        assert!(it.told.take().is_empty());
    }

    #[test]
    fn a_full_buffer_does_not_wait() {
        let mut it = Tried::with(&[]);
        let long = "x".repeat(40_000);
        for ticket in 1..=3 {
            it.send(ticket, &long);
        }
        it.sink.settle(PATIENCE);
        assert_eq!(it.told.take().len(), 2);
    }

    #[test]
    fn what_is_written_in_parts_is_written_once() {
        let interrupted = Err(ErrorKind::Interrupted);
        let mut it = Tried::with(&[Ok(1), interrupted, Ok(2)]);
        it.send(1, "abc");
        it.send(2, "de");
        it.flush();
        assert_eq!(it.text(), "abc\nde\n");
        assert_eq!(it.told.take(), [(1, Ok(())), (2, Ok(()))]);
    }

    #[test]
    fn a_reader_that_left_is_a_problem_of_the_sink_until_it_is_renewed() {
        let broken = Err(ErrorKind::BrokenPipe);
        let mut it = Tried::with(&[broken]);
        it.send(1, "a");
        it.flush();
        let problem = problem(&ErrorKind::BrokenPipe.into());
        assert_eq!(problem.reason, "standard output is closed");
        let failure = Failure::Sink(problem);
        assert_eq!(it.told.take(), [(1, Err(failure.clone()))]);
        assert_eq!(
            it.sink.send(2, &record("b")),
            Err(Refused::Failed(failure.clone()))
        );
        it.flush();
        assert!(it.told.take().is_empty());
        it.sink.renew().unwrap();
        it.send(1, "a");
        it.flush();
        assert_eq!(it.text(), "a\n");
        assert_eq!(it.told.take(), [(1, Ok(()))]);
    }

    #[test]
    fn a_torn_line_is_finished_before_anything_else() {
        let full = Err(ErrorKind::StorageFull);
        let mut it = Tried::with(&[Ok(2), Ok(2), full, Ok(1), full]);
        for (ticket, text) in [(1, "a"), (2, "bcde"), (3, "f")] {
            it.send(ticket, text);
        }
        it.flush();
        let failure = Failure::Sink(problem(&ErrorKind::StorageFull.into()));
        let expected = [
            (1, Ok(())),
            (2, Err(failure.clone())),
            (3, Err(failure.clone())),
        ];
        assert_eq!(it.told.take(), expected);
        assert_eq!(it.text(), "a\nbc");
        it.sink.renew().unwrap();
        it.send(2, "bcde");
        it.flush();
        assert_eq!(it.text(), "a\nbcd");
        assert_eq!(it.told.take(), [(2, Err(failure))]);
        it.sink.renew().unwrap();
        for (ticket, text) in [(2, "bcde"), (3, "f")] {
            it.send(ticket, text);
        }
        it.sink.recall();
        it.sink.settle(PATIENCE);
        assert_eq!(it.text(), "a\nbcde\nbcde\nf\n");
        assert_eq!(it.told.take(), [(2, Ok(())), (3, Ok(()))]);
    }

    #[test]
    fn a_line_of_which_only_the_end_is_missing_is_torn() {
        let mut it = Tried::with(&[Ok(3), Err(ErrorKind::StorageFull)]);
        it.send(1, "abc");
        it.flush();
        assert!(it.told.take()[0].1.is_err());
        it.sink.renew().unwrap();
        it.send(1, "abc");
        it.flush();
        assert_eq!(it.text(), "abc\nabc\n");
    }

    #[test]
    fn what_was_not_written_before_it_is_renewed_is_forgotten() {
        let mut it = Tried::with(&[]);
        it.send(1, "a");
        it.sink.renew().unwrap();
        it.flush();
        assert!(it.told.take().is_empty() && it.text().is_empty());
    }

    #[test]
    fn a_reader_that_stands_still_holds_up_nobody() {
        let (mut reader, out) = io::pipe().unwrap();
        let told = Told::default();
        let mut sink = StdoutSink::to(out, told.reports()).unwrap();
        // More than a pipe holds.
        sink.send(1, &record(&"a".repeat(2 << 20))).unwrap();
        sink.flush(true);
        sink.settle(Duration::ZERO);
        let long = record(&"b".repeat(40_000));
        sink.send(2, &long).unwrap();
        sink.send(3, &long).unwrap();
        assert_eq!(sink.send(4, &long), Err(Refused::Busy));
        sink.recall();
        let recalled = Err(Failure::Recalled);
        assert_eq!(told.take(), [(2, recalled.clone()), (3, recalled)]);
        let reading = thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        sink.settle(PATIENCE);
        assert_eq!(told.take(), [(1, Ok(()))]);
        drop(sink);
        let read = reading.join().unwrap().unwrap();
        assert_eq!((read.len(), read.last()), ((2 << 20) + 1, Some(&b'\n')));
    }

    #[test]
    fn a_full_disk_is_a_problem_with_its_remedy() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let told = Told::default();
        let mut sink = StdoutSink::to(full, told.reports()).unwrap();
        sink.send(1, &record("a")).unwrap();
        sink.flush(false);
        sink.settle(PATIENCE);
        let told = told.take();
        let [(1, Err(Failure::Sink(problem)))] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(problem.remedy, Some("make room on the disk"));
    }

    #[test]
    fn a_pipe_without_a_reader_is_closed() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let told = Told::default();
        let mut sink = StdoutSink::to(writer, told.reports()).unwrap();
        sink.send(1, &record("a")).unwrap();
        sink.flush(false);
        sink.settle(PATIENCE);
        let failure = Failure::Sink(problem(&ErrorKind::BrokenPipe.into()));
        assert_eq!(told.take(), [(1, Err(failure))]);
    }
}
