//! The same work on many things, on several threads, with the results in order.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// How many results for each thread may wait for one that comes before them.
const AHEAD: usize = 8;

/// Calls `work` for each item and `take` with the results, in the order of the items, as soon as they are there. No more
/// than a few results wait at a time. When `take` fails, no further item is begun.
pub fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.min(items.len());
    if threads < 2 {
        return items.iter().try_for_each(|item| take(work(item)));
    }
    let queue = Queue { state: Mutex::new(State { next: 0, end: items.len(), limit: threads * AHEAD }), moved: Condvar::new() };
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            let (queue, work) = (&queue, &work);
            scope.spawn(move || {
                let _guard = StopsInPanic(queue);
                while let Some(at) = queue.next() {
                    if sender.send((at, work(&items[at]))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Ends early as soon as `take` fails, whatever is still being worked on.
        let _guard = Stops(&queue);
        let mut early = BTreeMap::new();
        let mut expected = 0;
        for (at, result) in results {
            early.insert(at, result);
            while let Some(result) = early.remove(&expected) {
                take(result)?;
                expected += 1;
                queue.taken();
            }
        }
        Ok(())
    })
}

/// Which items are to be worked on.
struct Queue {
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    next: usize,
    end: usize,
    /// Items from this one on have to wait.
    limit: usize,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item; waits while too many results wait.
    fn next(&self) -> Option<usize> {
        let mut state = self.state();
        while state.next < state.end && state.next >= state.limit {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let at = state.next;
        state.next += 1;
        (at < state.end).then_some(at)
    }

    /// A result was taken.
    fn taken(&self) {
        self.state().limit += 1;
        self.moved.notify_one();
    }

    fn stop(&self) {
        self.state().end = 0;
        self.moved.notify_all();
    }
}

struct Stops<'q>(&'q Queue);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct StopsInPanic<'q>(&'q Queue);

impl Drop for StopsInPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn results_come_in_order_whatever_takes_how_long() {
        let items: Vec<u64> = (0..200).collect();
        for threads in [1, 2, 7, 500] {
            let mut taken = Vec::new();
            let work = |&item: &u64| {
                thread::sleep(Duration::from_micros((item * 37) % 300));
                item * 2
            };
            let ended: Result<(), ()> = in_order(&items, threads, work, |result| {
                taken.push(result);
                Ok(())
            });
            assert_eq!(ended, Ok(()));
            assert_eq!(taken, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn few_results_wait_and_none_is_begun_after_a_failure() {
        let items: Vec<usize> = (0..10_000).collect();
        let begun = AtomicUsize::new(0);
        let work = |&item: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if item == 0 {
                thread::sleep(Duration::from_millis(50));
            }
            item
        };
        assert_eq!(in_order(&items, 4, work, Err), Err(0));
        assert!(begun.load(Ordering::Relaxed) <= 4 * AHEAD + 4);
    }
}
