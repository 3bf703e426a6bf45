//! The most that still fits.

use super::cache::Layout;
use super::engine::Setup;
use super::fit::{Estimate, Verdict, estimate};
use crate::memory::{Device, Model};

/// Where a search for a context ends if the model does not say for how long a context it was made.
const LONGEST: u64 = 1 << 24;

/// The largest settings that more likely fit than not, each with the others as they are. None where not even the least
/// fits, or where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Largest {
    /// The longest context.
    pub context: Option<u64>,
    /// The most tokens in a prefill step.
    pub batch: Option<u64>,
    /// The most sequences of full length at a time.
    pub concurrency: Option<u64>,
}

/// Searches for the most that fits.
pub fn largest(model: &Model, device: &Device, setup: &Setup) -> Largest {
    let fits = |setup: &Setup| matches!(estimate(model, device, setup).verdict, Verdict::Fits | Verdict::Tight);
    let Some(shape) = &model.shape else { return Largest::default() };
    let plan = estimate(model, device, setup).plan;
    let context_limit = shape.max_positions.unwrap_or(LONGEST).max(plan.length);
    // A step of prefill is no longer than needed for the context, so that a short context is not refused for a long batch.
    let context = most(context_limit, |length| fits(&Setup { max_model_len: Some(length), ..setup.clone() }));
    let batch = most(1 << 20, |batch| fits(&Setup { max_num_batched_tokens: Some(batch), ..setup.clone() }));
    let now = estimate(model, device, setup);
    Largest { context: context.map(round), batch, concurrency: concurrency(shape, &now) }
}

/// Sequences of full length in the pool.
fn concurrency(shape: &crate::memory::Shape, e: &Estimate) -> Option<u64> {
    let one = Layout::new(shape, &e.plan).need(e.plan.length, &e.plan);
    let pool = e.pool?.bytes;
    match e.verdict {
        Verdict::Fits | Verdict::Tight => Some(pool.count_of(one)),
        _ => None,
    }
}

/// Contexts are told in blocks of 16, rounded down, once they are longer than that.
fn round(length: u64) -> u64 {
    if length >= 16 { length / 16 * 16 } else { length }
}

/// The largest number up to `limit` for which `holds`, which must not hold again once it has failed.
fn most(limit: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    if !holds(1) {
        return None;
    }
    let (mut good, mut bad) = (1, limit.saturating_add(1));
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Some(good)
}
