//! How far the reading has come, on standard error, where a person can see it.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::source::Input;

/// What takes less is not worth a word.
const FIRST_AFTER: Duration = Duration::from_millis(700);
/// How often the line is written.
const EVERY: Duration = Duration::from_millis(200);
/// Back to the beginning of the line, which is emptied.
const ERASE: &str = "\r\u{1b}[K";

/// A line that says how far the reading has come.
pub struct Progress {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    /// Bytes that were read, of packed inputs the packed ones.
    bytes: Arc<AtomicU64>,
    inputs: AtomicUsize,
    /// Bytes of all inputs, where all are files, and their number.
    total: Option<u64>,
    count: usize,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    has_ended: bool,
    /// Whether the line stands on the terminal.
    is_shown: bool,
}

impl Progress {
    /// Begins to show how far the reading of these inputs is, if somebody sees it.
    pub fn new<'i>(inputs: impl Iterator<Item = Option<&'i Input>>) -> Self {
        let is_shown = io::stderr().is_terminal();
        let (mut total, mut count) = (Some(0), 0);
        for input in inputs.filter(|_| is_shown).flatten() {
            let size = input.path().and_then(|path| fs::metadata(path).ok()).filter(fs::Metadata::is_file).map(|there| there.len());
            total = total.zip(size).map(|(total, size): (u64, u64)| total + size);
            count += 1;
        }
        let shared =
            Arc::new(Shared { bytes: Arc::default(), inputs: AtomicUsize::new(0), total, count, state: Mutex::default(), ended: Condvar::new() });
        let writer = is_shown.then(|| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.show())
        });
        Progress { shared, writer }
    }

    /// What counts the bytes.
    pub fn meter(&self) -> &Arc<AtomicU64> {
        &self.shared.bytes
    }

    /// One more input is done.
    pub fn one_done(&self) {
        self.shared.inputs.fetch_add(1, Ordering::Relaxed);
    }

    /// Does something that may write to the terminal.
    pub fn aside<R>(&self, act: impl FnOnce() -> R) -> R {
        let mut state = self.shared.lock();
        state.erase();
        act()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shared.lock().has_ended = true;
        self.shared.ended.notify_all();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self) {
        let begun = Instant::now();
        let mut pause = FIRST_AFTER;
        let mut state = self.lock();
        while !state.has_ended {
            state = self.ended.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
            if !state.has_ended && begun.elapsed() >= FIRST_AFTER {
                pause = EVERY;
                let line = line(self.bytes.load(Ordering::Relaxed), self.total, self.inputs.load(Ordering::Relaxed), self.count, begun.elapsed());
                let _ = write!(io::stderr(), "{ERASE}{line}");
                state.is_shown = true;
            }
        }
        state.erase();
    }
}

impl State {
    fn erase(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "{ERASE}");
        }
    }
}

/// `1.2 of 4.0 GB, 0.85 GB/s, 3 s left, 2 of 7 files`.
fn line(bytes: u64, total: Option<u64>, done: usize, count: usize, took: Duration) -> String {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let rate = bytes as f64 / took.as_secs_f64().max(0.001);
    let mut line = match total {
        Some(total) => format!("{:.2} of {:.2} GB", gigabytes(bytes), gigabytes(total)),
        None => format!("{:.2} GB", gigabytes(bytes)),
    };
    line += &format!(", {:.2} GB/s", rate / 1e9);
    if let Some(total) = total.filter(|_| rate > 0.0) {
        line += &format!(", {:.0} s left", total.saturating_sub(bytes) as f64 / rate);
    }
    if count > 1 {
        line += &format!(", {done} of {count} files");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        let two = Duration::from_secs(2);
        assert_eq!(line(1_000_000_000, Some(4_000_000_000), 2, 7, two), "1.00 of 4.00 GB, 0.50 GB/s, 6 s left, 2 of 7 files");
        assert_eq!(line(1_000_000_000, None, 0, 1, two), "1.00 GB, 0.50 GB/s");
        assert_eq!(line(0, Some(10), 0, 1, two), "0.00 of 0.00 GB, 0.00 GB/s");
    }
}
