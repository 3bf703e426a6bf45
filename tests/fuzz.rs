//! What the fuzz targets run, over their seeds and over the inputs that fuzzing has kept: short, and the same each time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/seeds.rs"]
mod seeds;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn seeds_and_kept_inputs_break_no_promise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inputs = |target: &str| {
        let mut inputs = seeds::of(target, root);
        assert!(inputs.len() >= 3, "{target} has no seeds");
        inputs.extend(corpus::kept(target, root).unwrap());
        inputs
    };
    let all: Vec<(&str, Vec<u8>)> =
        targets::TARGETS.iter().flat_map(|(target, _)| inputs(target).into_iter().map(move |input| (*target, input))).collect();
    // `follow` has one file for all.
    let (apart, all): (Vec<_>, Vec<_>) = all.into_iter().partition(|(target, _)| matches!(*target, "follow" | "model_files"));
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(Vec::new());
    let run = |(target, input): &(&str, Vec<u8>)| {
        if std::panic::catch_unwind(|| targets::run(target, input)).is_err() {
            broken.lock().unwrap().push(format!("{target}: {}", input.escape_ascii()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| while all.get(next.fetch_add(1, Ordering::Relaxed)).map(run).is_some() {});
        }
        scope.spawn(|| apart.iter().for_each(run));
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{} of {} inputs break a promise:\n{}", broken.len(), all.len() + apart.len(), broken.join("\n"));
}
