//! The most that still fits.

use super::cache::Layout;
use super::engine::{CacheFormat, Engine, Setup};
use super::fit::{Estimate, Verdict, estimate};
use super::formats;
use super::possible::check;
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
    let Some(shape) = &model.shape else { return Largest::default() };
    let fits = |setup: &Setup| matches!(estimate(model, device, setup).verdict, Verdict::Fits | Verdict::Tight);
    let batch = most(1 << 20, |batch| fits(&Setup { max_num_batched_tokens: Some(batch), ..setup.clone() }));
    let now = estimate(model, device, setup);
    Largest { context: longest(model, device, setup, fits), batch, concurrency: concurrency(shape, &now) }
}

/// The longest context for which `enough` holds.
fn longest(model: &Model, device: &Device, setup: &Setup, enough: impl Fn(&Setup) -> bool) -> Option<u64> {
    let own = model.shape.as_ref()?.max_positions.unwrap_or(LONGEST);
    let limit = own.max(estimate(model, device, setup).plan.length);
    most(limit, |length| enough(&Setup { max_model_len: Some(length), ..setup.clone() })).map(round)
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

/// A change that would make a setup fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The argument, as the engine has it.
    pub argument: String,
    /// What it is at the price of.
    pub price: &'static str,
    /// What it would then need.
    pub estimate: Estimate,
}

/// What would have to change for a setup to fit, one change at a time, the mildest first. Each was tried.
pub fn changes(model: &Model, device: &Device, setup: &Setup) -> Vec<Change> {
    let engine = setup.engine;
    let flags = Flags::of(engine);
    let now = estimate(model, device, setup);
    let surely = |setup: &Setup| estimate(model, device, setup).verdict == Verdict::Fits;
    let mut tried: Vec<(String, &'static str, Setup)> = Vec::new();
    if let Some(length) = longest(model, device, setup, surely).filter(|length| (USEFUL..now.plan.length).contains(length)) {
        tried.push((format!("{} {length}", flags.length), SHORTER, Setup { max_model_len: Some(length), ..setup.clone() }));
    }
    let batch = most(now.plan.batch, |batch| surely(&Setup { max_num_batched_tokens: Some(batch), ..setup.clone() })).map(|batch| batch / 256 * 256);
    if let Some(batch) = batch.filter(|batch| (256..now.plan.batch).contains(batch)) {
        let price = "slower prefill of long prompts";
        tried.push((format!("{} {batch}", flags.batch), price, Setup { max_num_batched_tokens: Some(batch), ..setup.clone() }));
    }
    if engine != Engine::LlamaCpp && now.plan.cache == CacheFormat::HALF {
        let setup = Setup { cache: Some(CacheFormat::FP8), ..setup.clone() };
        tried.push((flags.cache.to_owned(), "a little accuracy in long contexts", setup));
    }
    // Of GGUF there mostly are files in other mixes.
    if now.plan.quantization.method.is_none() || engine == Engine::LlamaCpp {
        for word in formats::usual(engine).iter().filter(|word| !matches!(**word, "none" | "F16")) {
            let setup = Setup { quantization: formats::named_for(engine, word), ..setup.clone() };
            // Engines quantize to the others by themselves while they load.
            let price = if matches!(*word, "awq" | "gptq") { "some accuracy, and of another checkpoint, in this format" } else { "some accuracy" };
            tried.push((format!("{} {word}", flags.quantization), price, setup));
        }
    }
    let mut found: Vec<Change> =
        tried.into_iter().filter_map(|(argument, price, setup)| works(model, device, &flags, argument, price, &setup)).collect();
    if engine != Engine::LlamaCpp {
        let more = [2, 4, 8].into_iter().filter(|ranks| *ranks > now.plan.tensor_parallel);
        found.extend(
            more.filter_map(|ranks| {
                fitting(
                    model,
                    device,
                    format!("{} {ranks}", flags.ranks),
                    "so many of these cards",
                    &Setup { tensor_parallel: ranks, ..setup.clone() },
                )
            })
            .next(),
        );
    }
    found
}

const SHORTER: &str = "shorter prompts and answers";
/// A context below this is of little use to anyone.
const USEFUL: u64 = 2048;

/// The change, if it makes the setup fit, by itself or with the longest context that it leaves room for.
fn works(model: &Model, device: &Device, flags: &Flags, argument: String, price: &'static str, setup: &Setup) -> Option<Change> {
    fitting(model, device, argument.clone(), price, setup).or_else(|| {
        let surely = |setup: &Setup| estimate(model, device, setup).verdict == Verdict::Fits;
        let length = longest(model, device, setup, surely).filter(|length| *length >= USEFUL && price != SHORTER)?;
        fitting(model, device, format!("{argument} {} {length}", flags.length), price, &Setup { max_model_len: Some(length), ..setup.clone() })
    })
}

fn fitting(model: &Model, device: &Device, argument: String, price: &'static str, setup: &Setup) -> Option<Change> {
    let estimate = estimate(model, device, setup);
    let possible = check(model, device, &estimate.plan).is_ok();
    let fits = matches!(estimate.verdict, Verdict::Fits | Verdict::Tight);
    (possible && fits).then_some(Change { argument, price, estimate })
}

/// What the engines call the arguments.
struct Flags {
    length: &'static str,
    batch: &'static str,
    cache: &'static str,
    quantization: &'static str,
    ranks: &'static str,
}

impl Flags {
    const fn of(engine: Engine) -> Flags {
        match engine {
            Engine::Vllm => Flags {
                length: "--max-model-len",
                batch: "--max-num-batched-tokens",
                cache: "--kv-cache-dtype fp8",
                quantization: "--quantization",
                ranks: "--tensor-parallel-size",
            },
            Engine::Tgi => Flags {
                length: "--max-total-tokens",
                batch: "--max-batch-prefill-tokens",
                cache: "--kv-cache-dtype fp8_e4m3fn",
                quantization: "--quantize",
                ranks: "--num-shard",
            },
            Engine::Sglang => Flags {
                length: "--context-length",
                batch: "--chunked-prefill-size",
                cache: "--kv-cache-dtype fp8_e5m2",
                quantization: "--quantization",
                ranks: "--tp-size",
            },
            Engine::LlamaCpp => {
                Flags { length: "--ctx-size", batch: "--ubatch-size", cache: "-fa on -ctk q8_0 -ctv q8_0", quantization: "a GGUF file in", ranks: "" }
            }
        }
    }
}
