//! Memory causes: the space of changes, searched with the estimator.
//!
//! Moves are tried alone and in pairs, each with the longest context that it leaves room for, if it needs that. Of those
//! that fit, the ones that lose least are taken, each with a set of moves that none before it is a part of.

use super::ground::Ground;
use super::{Occasion, Words, sentence};
use crate::causes::advice;
use crate::memory::estimate::engine::Version;
use crate::memory::estimate::{CacheFormat, Engine, Estimate, Setup, Verdict, check, formats};
use crate::memory::{Bytes, Model, catalogue};
use crate::post_mortem::{Fit, Phase, Remedy};
use crate::units::size;

/// Planned remedies of an incident at most.
const PLANNED: usize = 4;
/// A context below this is of little use to anyone.
const USEFUL: u64 = 2048;
/// What counts as sure.
const SURE: f64 = 0.9;

/// Ids of words that the search decides about.
const SETTLED: [&str; 11] = [
    "quantize",
    "smaller-model",
    "split",
    "shorter-context",
    "larger-share",
    "smaller-cache",
    "fewer-prefill-tokens",
    "bigger-device",
    "fewer-sequences",
    "smaller-share",
    "fewer-graphs",
];

/// What an engine calls its settings.
pub(super) struct Names {
    pub quantization: &'static str,
    pub share: &'static str,
    pub length: &'static str,
    pub batch: &'static str,
    pub ranks: &'static str,
}

impl Names {
    pub(super) const fn of(engine: Engine) -> Names {
        match engine {
            Engine::Tgi => Names {
                quantization: "--quantize",
                share: "--cuda-memory-fraction",
                length: "--max-total-tokens",
                batch: "--max-batch-prefill-tokens",
                ranks: "--num-shard",
            },
            Engine::Sglang => Names {
                quantization: "--quantization",
                share: "--mem-fraction-static",
                length: "--context-length",
                batch: "--chunked-prefill-size",
                ranks: "--tp-size",
            },
            Engine::Vllm | Engine::LlamaCpp => Names {
                quantization: "--quantization",
                share: "--gpu-memory-utilization",
                length: "--max-model-len",
                batch: "--max-num-batched-tokens",
                ranks: "--tensor-parallel-size",
            },
        }
    }
}

/// One change of the setup.
#[derive(Clone)]
struct Move {
    id: &'static str,
    /// What it changes of the command; empty where no command can say it.
    flags: Vec<(&'static str, String)>,
    /// What to do, to be joined by "and".
    words: String,
    price: &'static str,
    loss: u32,
    apply: fn(&mut Setup, f64),
    value: f64,
}

/// A combination that fits.
struct Found {
    moves: Vec<Move>,
    estimate: Estimate,
    probability: f64,
    loss: u32,
}

impl Found {
    fn ids(&self) -> Vec<&'static str> {
        self.moves.iter().map(|m| m.id).collect()
    }
}

/// The plan for a memory cause, and the words that it makes superfluous. None where too little is known.
pub(super) fn plan(occasion: &Occasion<'_>) -> Option<(Vec<Remedy>, Vec<&'static str>)> {
    if !matches!(occasion.cause, "weight-oom" | "prefill-oom" | "kv-cache-oom" | "sampler-oom" | "graph-capture-oom" | "inference-oom") {
        return None;
    }
    // TGI takes the cache first, whatever the rest needs: only the graphs themselves are to be had.
    if occasion.cause == "graph-capture-oom" && occasion.deployment.engine.as_deref() == Some("tgi") {
        return None;
    }
    let ground = Ground::of(occasion)?;
    let serving = occasion.situation.phase() == Some(Phase::Serve);
    // It came up: if the sum says that it cannot have, something of the setup is not known.
    if serving && ground.now.verdict == Verdict::Exceeds {
        return None;
    }
    // The same for weights that have room: they are others than the ones that failed.
    if occasion.cause == "weight-oom" && ground.now.weights.bytes + Bytes::gib(1) < ground.device.total {
        return None;
    }
    let found = search(occasion, &ground, serving);
    let mut remedies = Vec::new();
    let mut taken: Vec<(Vec<&str>, u64)> = Vec::new();
    for one in &found {
        let (ids, length) = (one.ids(), one.estimate.plan.length);
        // More moves than one before, for nothing that is worth it.
        let is_more = |(before, shorter): &(Vec<&str>, u64)| before.iter().all(|id| ids.contains(id)) && length * 3 < *shorter * 4;
        if taken.iter().any(is_more) {
            continue;
        }
        if let Some(remedy) = remedy(occasion, &ground, one, serving) {
            taken.push((ids, length));
            remedies.push(remedy);
        }
        if remedies.len() == PLANNED {
            break;
        }
    }
    if !serving && !ground.graphs_fail && remedies.len() < PLANNED {
        remedies.extend(sibling(occasion, &ground));
    }
    if remedies.is_empty() {
        if serving {
            return None;
        }
        remedies.push(nothing(&ground));
        return Some((
            remedies,
            vec![
                "quantize",
                "shorter-context",
                "larger-share",
                "smaller-cache",
                "fewer-prefill-tokens",
                "fewer-sequences",
                "smaller-share",
                "fewer-graphs",
            ],
        ));
    }
    let settled = if serving { vec!["smaller-share", "fewer-sequences", "fewer-prefill-tokens"] } else { SETTLED.to_vec() };
    Some((remedies, settled))
}

fn search(occasion: &Occasion<'_>, ground: &Ground, serving: bool) -> Vec<Found> {
    let moves = moves(occasion, ground, serving);
    let mut found = Vec::new();
    for (at, one) in moves.iter().enumerate() {
        found.extend(attempt(ground, vec![one.clone()], serving));
        for other in moves.get(at + 1..).unwrap_or_default() {
            if !serving && go_together(one, other) {
                found.extend(attempt(ground, vec![one.clone(), other.clone()], serving));
            }
        }
    }
    if !serving {
        found.extend(attempt(ground, Vec::new(), serving));
    }
    // Those that surely work, by what they lose; then those that may.
    found.sort_by(|a, b| {
        let key = |f: &Found| (f.probability < SURE, f.loss, f.moves.len());
        key(a).cmp(&key(b)).then(b.probability.total_cmp(&a.probability))
    });
    found
}

/// Whether two moves are worth trying at once.
fn go_together(one: &Move, other: &Move) -> bool {
    let has = |id: &str| one.id == id || other.id == id;
    let quantize = |m: &Move| m.id.starts_with("quanti");
    let alone = has("quantized-checkpoint") || has("no-graphs") && !has("smaller-share") && !has("larger-share") && !has("fewer-sequences");
    let clash = quantize(one) && quantize(other) || has("split") && has("fewer-sequences");
    one.id != other.id && !alone && !clash
}

/// The setup after these moves, if it fits: as it is, or with the longest context that then surely does.
fn attempt(ground: &Ground, moves: Vec<Move>, serving: bool) -> Option<Found> {
    let mut setup = ground.setup.clone();
    for one in &moves {
        (one.apply)(&mut setup, one.value);
    }
    // Nothing but fewer bytes of weights helps weights.
    if ground.weights_fail && !moves.iter().any(|m| m.id == "split" || m.id.starts_with("quanti")) {
        return None;
    }
    let probable = |setup: &Setup| ground.estimate(setup).probability.unwrap_or(0.0);
    let loss = moves.iter().map(|m| m.loss).sum();
    // What is called impossible though it ran is known wrongly.
    let ran = check(&ground.model, &ground.device, &ground.now.plan).is_err();
    let possible = |e: &Estimate| ran || check(&ground.model, &ground.device, &e.plan).is_ok();
    let estimate = ground.estimate(&setup);
    if !possible(&estimate) {
        return None;
    }
    let probability = estimate.probability?;
    if probability >= SURE && !moves.is_empty() {
        return Some(Found { moves, estimate, probability, loss });
    }
    // Two moves and a context are more than a remedy should ask for, unless nothing else is left.
    let length = if serving || ground.graphs_fail {
        None
    } else {
        longest(ground.engine, estimate.plan.length, |length| probable(&shorter(ground, &setup, length)) >= SURE)
    };
    if let Some(length) = length {
        let estimate = ground.estimate(&shorter(ground, &setup, length));
        let times = (ground.now.plan.length as f64 / length.max(1) as f64).log2().ceil().clamp(1.0, 6.0);
        let mut moves = moves;
        moves.push(context(ground, length, estimate.plan.batch));
        let probability = estimate.probability?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let loss = loss + times as u32;
        return Some(Found { moves, estimate, probability, loss });
    }
    (probability >= 0.5 && !moves.is_empty()).then_some(Found { moves, estimate, probability, loss })
}

/// The setup with a shorter context, and with TGI a prefill that is no longer than that.
fn shorter(ground: &Ground, setup: &Setup, length: u64) -> Setup {
    let batch = match ground.engine {
        Engine::Tgi => Some(setup.max_num_batched_tokens.unwrap_or(ground.now.plan.batch).min(length)),
        _ => setup.max_num_batched_tokens,
    };
    Setup { max_model_len: Some(length), max_num_batched_tokens: batch, ..setup.clone() }
}

/// The longest context below the present one for which `enough` holds, in round numbers.
fn longest(engine: Engine, now: u64, enough: impl Fn(u64) -> bool) -> Option<u64> {
    let least = if engine == Engine::Tgi { USEFUL / 2 } else { USEFUL };
    if now <= least || !enough(least) {
        return None;
    }
    let (mut good, mut bad) = (least, now);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if enough(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    let step = if good >= 16384 { 1024 } else { 256 };
    Some(good / step * step)
}

fn context(ground: &Ground, length: u64, batch: u64) -> Move {
    let names = Names::of(ground.engine);
    let mut flags = vec![(names.length, length.to_string())];
    if ground.engine == Engine::Tgi && batch != ground.now.plan.batch {
        flags.push((names.batch, batch.to_string()));
    }
    Move {
        id: "shorter-context",
        flags,
        words: format!("limit the context to {length} tokens"),
        price: "Longer prompts and answers are refused.",
        loss: 0,
        apply: |setup, value| setup.max_model_len = Some(whole(value)),
        value: length as f64,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// The changes that may help with this cause.
fn moves(occasion: &Occasion<'_>, ground: &Ground, serving: bool) -> Vec<Move> {
    let mut all = Vec::new();
    all.extend(share(occasion, ground, serving));
    all.extend(sequences(occasion, ground, serving));
    all.extend(batch(occasion, ground, serving));
    all.extend(eager(occasion, ground));
    if serving || ground.graphs_fail {
        return all;
    }
    all.extend(cache(ground));
    all.extend(quantized(ground));
    all.extend(ranks(ground));
    all
}

/// More of the device where nothing else needs it, or less where memory outside the share ran out.
fn share(occasion: &Occasion<'_>, ground: &Ground, serving: bool) -> Option<Move> {
    let names = Names::of(ground.engine);
    let now = ground.now.plan.fraction;
    if !matches!(ground.engine, Engine::Vllm | Engine::Sglang) {
        return None;
    }
    let outside = serving || matches!(occasion.cause, "sampler-oom") || ground.graphs_fail;
    let (id, to, words, price) = if outside {
        let to = ((now - 0.05) * 100.0).round() / 100.0;
        ("smaller-share", to, "leave more of the device free", "Less key-value cache.")
    } else {
        // What lies beside the share must find room.
        let total = ground.device.total;
        let room = total.saturating_sub(ground.now.beside() + Bytes::mib(256));
        let most: f64 = if total >= Bytes::gib(70) || graphs_in_budget(ground) { 0.97 } else { 0.95 };
        let highest = (room.0 as f64 / total.0.max(1) as f64 * 100.0).floor().min(most * 100.0) / 100.0;
        // The share is for the cache: weights and the trial run take what they need, whatever it is.
        let helps = match occasion.cause {
            "kv-cache-oom" | "graph-capture-oom" => true,
            "weight-oom" => ground.engine == Engine::Vllm && now < 0.85,
            _ => false,
        };
        if now + 0.01 > highest || !helps {
            return None;
        }
        ("larger-share", highest, "give the engine more of the device", "Less room for peaks; nothing else may use the device.")
    };
    (0.3..=0.99).contains(&to).then(|| Move {
        id,
        flags: vec![(names.share, format!("{to:.2}"))],
        words: format!("{words} ({} {to:.2})", names.share),
        price,
        loss: 1,
        apply: |setup, value| setup.fraction = Some(value),
        value: to,
    })
}

fn graphs_in_budget(ground: &Ground) -> bool {
    ground.now.plan.vllm_from(Version(0, 20, 0))
}

/// Fewer sequences at a time.
fn sequences(occasion: &Occasion<'_>, ground: &Ground, serving: bool) -> Option<Move> {
    if ground.engine != Engine::Vllm || !serving && occasion.cause == "weight-oom" {
        return None;
    }
    let now = ground.now.plan.sequences;
    let to = if serving {
        Some(now / 4).filter(|to| *to >= 1)
    } else {
        let surely = |n: u64| ground.estimate(&Setup { max_num_seqs: Some(n), ..ground.setup.clone() }).probability.is_some_and(|p| p >= SURE);
        [512, 256, 128, 64, 32, 16].into_iter().filter(|n| *n < now).find(|n| surely(*n)).or(Some(32).filter(|n| *n < now))
    }?;
    Some(Move {
        id: "fewer-sequences",
        flags: vec![("--max-num-seqs", to.to_string())],
        words: format!("run at most {to} sequences at a time"),
        price: "Less throughput under load.",
        loss: 1,
        apply: |setup, value| setup.max_num_seqs = Some(whole(value)),
        value: to as f64,
    })
}

/// Fewer tokens in a prefill step.
fn batch(occasion: &Occasion<'_>, ground: &Ground, serving: bool) -> Vec<Move> {
    let plan = &ground.now.plan;
    if !matches!(occasion.cause, "prefill-oom" | "kv-cache-oom" | "inference-oom") || !ground.is_plain() {
        return Vec::new();
    }
    // Before its second engine, vLLM wants a whole prompt in a batch.
    if ground.engine == Engine::Vllm && ground.version.is_none_or(|version| version < Version(0, 8, 5)) {
        return Vec::new();
    }
    let least = if ground.engine == Engine::Vllm { plan.sequences.max(512) } else { 512 };
    let surely = |n: u64| ground.estimate(&with_batch(ground, n)).probability.is_some_and(|p| p >= SURE);
    let steps = [8192, 6144, 4096, 3072, 2048, 1536, 1024, 512];
    let mut smaller = steps.into_iter().filter(|n| *n < plan.batch && *n >= least);
    let sizes: Vec<u64> = if serving {
        smaller.find(|n| *n * 2 <= plan.batch).into_iter().collect()
    } else {
        // Where none is enough by itself, each may be beside another change.
        smaller.clone().find(|n| surely(*n)).map_or_else(|| smaller.filter(|n| n.is_power_of_two() && *n <= 2048).collect(), |one| vec![one])
    };
    (0..).zip(sizes).map(|(more, to)| smaller_batch(occasion, ground, to, more)).collect()
}

fn smaller_batch(occasion: &Occasion<'_>, ground: &Ground, to: u64, more: u32) -> Move {
    let names = Names::of(ground.engine);
    let plan = &ground.now.plan;
    let mut flags = vec![(names.batch, to.to_string())];
    if ground.engine == Engine::Tgi && is_before_three(ground) {
        // A prompt must fit into a prefill, and be shorter than prompt and answer together.
        let total = plan.length.max(2);
        let input = occasion.number("--max-input-tokens").or_else(|| occasion.number("--max-input-length")).unwrap_or(total - 1);
        let input = input.min(to).min(total - 1);
        flags.push(("--max-input-tokens", input.to_string()));
        flags.push((names.length, total.to_string()));
    }
    Move {
        id: "fewer-prefill-tokens",
        flags,
        words: format!("prefill at most {to} tokens at a time"),
        price: if ground.engine == Engine::Tgi && is_before_three(ground) { "Longer prompts are refused." } else { "Long prompts take more steps." },
        loss: u32::from(occasion.cause != "prefill-oom") + more,
        apply: |setup, value| setup.max_num_batched_tokens = Some(whole(value)),
        value: to as f64,
    }
}

fn with_batch(ground: &Ground, batch: u64) -> Setup {
    Setup { max_num_batched_tokens: Some(batch), ..ground.setup.clone() }
}

fn is_before_three(ground: &Ground) -> bool {
    ground.version.is_none_or(|version| version < Version(3, 0, 0))
}

/// No CUDA graphs.
fn eager(occasion: &Occasion<'_>, ground: &Ground) -> Option<Move> {
    let flag = match ground.engine {
        Engine::Vllm => ("--enforce-eager", "true"),
        Engine::Sglang => ("--disable-cuda-graph", "true"),
        Engine::Tgi if ground.version.is_some_and(|version| version >= Version(2, 0, 0)) => ("--cuda-graphs", "0"),
        _ => return None,
    };
    if ground.setup.eager || occasion.cause == "weight-oom" {
        return None;
    }
    Some(Move {
        id: "no-graphs",
        flags: vec![(flag.0, flag.1.to_owned())],
        words: "run without CUDA graphs".to_owned(),
        price: "Decoding is slower, most of all with few requests at a time.",
        loss: if occasion.cause == "graph-capture-oom" { 1 } else { 2 },
        apply: |setup, _| setup.eager = true,
        value: 0.0,
    })
}

/// The cache in 8 bits, where the card and the attention kernels take it.
fn cache(ground: &Ground) -> Option<Move> {
    if ground.now.plan.cache != CacheFormat::HALF || !ground.has_common_heads() {
        return None;
    }
    let word = match ground.engine {
        Engine::Vllm if ground.device.fp8() == Some(true) && ground.version.is_none_or(|version| version >= Version(0, 6, 0)) => "fp8",
        Engine::Sglang if ground.device.flash_attention() == Some(true) => "fp8_e5m2",
        Engine::Tgi if ground.device.flash_attention() == Some(true) && ground.version.is_some_and(|version| version >= Version(2, 4, 0)) => {
            "fp8_e5m2"
        }
        _ => return None,
    };
    Some(Move {
        id: "smaller-cache",
        flags: vec![("--kv-cache-dtype", word.to_owned())],
        words: format!("keep the key-value cache in 8 bits (--kv-cache-dtype {word})"),
        price: "A little accuracy on long contexts.",
        loss: 2,
        apply: |setup, _| setup.cache = Some(CacheFormat::FP8),
        value: 0.0,
    })
}

/// Weights in fewer bits, by the engine itself or from a checkpoint that is made so.
fn quantized(ground: &Ground) -> Vec<Move> {
    if !ground.is_unquantized() {
        return Vec::new();
    }
    // A server that loads 16 bit and then casts needs room for 16 bit first.
    let whole_fits = ground.now.weights.bytes + Bytes::gib(1) < ground.device.total;
    let nvidia = !matches!(ground.device.arch, crate::memory::device::Arch::Gfx(_) | crate::memory::device::Arch::Other(_));
    let known_arch = matches!(ground.device.arch, crate::memory::device::Arch::Cuda(..));
    let mut all = Vec::new();
    let mut add = |id, flags: &[(&'static str, &str)], words: &str, price, loss, apply| {
        let flags = flags.iter().map(|(flag, value)| (*flag, (*value).to_owned())).collect();
        all.push(Move { id, flags, words: words.to_owned(), price, loss, apply, value: 0.0 });
    };
    let four: fn(&mut Setup, f64) = |setup, _| {
        let word = if setup.engine == Engine::Tgi { "bitsandbytes-nf4" } else { "bitsandbytes" };
        setup.quantization = formats::named_for(setup.engine, word);
    };
    const EIGHT: &str = "A little quality.";
    const FOUR: &str = "Some quality; slower than 16 bit where the card is not the limit.";
    match ground.engine {
        Engine::Tgi if ground.is_plain() => {
            let from = |version: Version| ground.version.is_none_or(|v| v >= version);
            if known_arch && from(Version(2, 1, 0)) {
                add("quantize-fp8", &[("--quantize", "fp8")], "load the weights in fp8", EIGHT, 3, |s, _| s.quantization = formats::named("fp8"));
            }
            if nvidia && from(Version(1, 1, 0)) {
                add("quantize-eetq", &[("--quantize", "eetq")], "load the weights in 8 bits (EETQ)", EIGHT, 3, |s, _| {
                    s.quantization = formats::named("eetq")
                });
            }
            if nvidia && from(Version(1, 0, 1)) {
                add("quantize-bnb-nf4", &[("--quantize", "bitsandbytes-nf4")], "load the weights in 4 bits (bitsandbytes NF4)", FOUR, 5, four);
            }
        }
        Engine::Vllm if ground.is_plain() => {
            if known_arch && whole_fits {
                add("quantize-fp8", &[("--quantization", "fp8")], "cast the weights to fp8 while loading", EIGHT, 3, |s, _| {
                    s.quantization = formats::named("fp8")
                });
            }
            if nvidia
                && ground.version.is_some_and(|v| v >= Version(0, 5, 1))
                && (ground.setup.tensor_parallel == 1 || ground.version >= Some(Version(0, 6, 3)))
            {
                let flags = [("--quantization", "bitsandbytes"), ("--load-format", "bitsandbytes")];
                let flags = if ground.version >= Some(Version(0, 9, 0)) { &flags[..1] } else { &flags[..] };
                add("quantize-bnb-4bit", flags, "load the weights in 4 bits (bitsandbytes)", FOUR, 5, four);
            }
        }
        Engine::Sglang if ground.is_plain() && known_arch && whole_fits => {
            add("quantize-fp8", &[("--quantization", "fp8")], "cast the weights to fp8 while loading", EIGHT, 3, |s, _| {
                s.quantization = formats::named("fp8")
            });
        }
        _ => {}
    }
    add(
        "quantized-checkpoint",
        &[],
        "serve a checkpoint of this model in 4 bits (AWQ or GPTQ) in its place, if one is published",
        FOUR,
        8,
        |s, _| {
            s.quantization = formats::named("awq");
        },
    );
    all
}

/// More of the same cards: as a command where the log shows them, else as a change.
fn ranks(ground: &Ground) -> Option<Move> {
    let now = ground.setup.tensor_parallel;
    let shown = ground.devices.max(now);
    let fits = |n: u64| {
        let e = ground.estimate(&Setup { tensor_parallel: n, ..ground.setup.clone() });
        check(&ground.model, &ground.device, &e.plan).is_ok() && e.probability.is_some_and(|p| p >= SURE)
    };
    let to = [2, 4, 8].into_iter().filter(|n| *n > now).find(|n| fits(*n))?;
    let name = Names::of(ground.engine).ranks;
    Some(Move {
        id: "split",
        flags: vec![(name, to.to_string())],
        words: format!("split it over {to} such devices ({name} {to})"),
        price: "Hardware; communication between the devices.",
        loss: if to <= shown { 1 } else { 9 },
        apply: |setup, value| setup.tensor_parallel = whole(value),
        value: to as f64,
    })
}

/// The remedy of a combination; none if the engine would refuse it.
fn remedy(occasion: &Occasion<'_>, ground: &Ground, found: &Found, serving: bool) -> Option<Remedy> {
    let fit = fit_of(&found.estimate, found.probability);
    let mut words: Vec<String> = found.moves.iter().map(|m| m.words.clone()).collect();
    if let Some(first) = words.first_mut() {
        *first = capital(first);
    }
    let why =
        if serving { "The server came up and ran out at a peak of its requests; this leaves room for the peak.".to_owned() } else { sentence(&fit) };
    let missing = if ground.version.is_none() { " The log names no version: the flags are those of all recent ones." } else { "" };
    let rationale = format!("{why} {}{missing}", proof(ground.engine));
    let price = found.moves.iter().max_by_key(|m| m.loss).map_or("", |m| m.price);
    let price = match found.moves.iter().any(|m| m.id == "shorter-context") && found.moves.len() > 1 {
        true if price.is_empty() => "Longer prompts and answers are refused.",
        _ => price,
    };
    let id = found.moves.first().map_or("none", |m| m.id);
    let told = Words { id, title: words.join(", and "), rationale, tradeoff: price };
    let of_checkpoint = found.moves.iter().any(|m| m.flags.is_empty());
    let mut flags: Vec<(&str, &str)> = Vec::new();
    for (flag, value) in found.moves.iter().flat_map(|m| &m.flags) {
        // A later move sets what an earlier one took as it was.
        flags.retain(|(other, _)| other != flag);
        flags.push((flag, value));
    }
    let input;
    if ground.engine == Engine::Tgi && flags.iter().any(|(flag, _)| *flag == "--max-total-tokens") {
        input = tgi_input(occasion, ground, found, &flags);
        if let Some(input) = &input {
            flags.retain(|(flag, _)| *flag != "--max-input-tokens");
            flags.push(("--max-input-tokens", input));
        }
    }
    let mut remedy = if flags.is_empty() {
        advice(told.id, told.title, told.rationale, told.tradeoff)
    } else {
        occasion.changed(told, &flags, &ground.circumstances)?
    };
    let ranks = found.estimate.plan.tensor_parallel;
    if of_checkpoint || ranks > ground.devices.max(ground.setup.tensor_parallel) {
        // Nobody knows the checkpoint's name, or that the devices are there.
        remedy.command = None;
    }
    remedy.id = found.ids().join("-and-");
    remedy.fit = (!serving).then_some(fit);
    Some(remedy)
}

/// TGI checks prompt, total and prefill against one another.
fn tgi_input(occasion: &Occasion<'_>, ground: &Ground, found: &Found, flags: &[(&str, &str)]) -> Option<String> {
    let total = found.estimate.plan.length;
    let own = occasion.number("--max-input-tokens").or_else(|| occasion.number("--max-input-length"));
    let set = flags.iter().find(|(flag, _)| *flag == "--max-input-tokens").and_then(|(_, value)| value.parse::<u64>().ok());
    let most = if is_before_three(ground) { found.estimate.plan.batch } else { u64::MAX };
    // Room for an answer is left, a quarter where nothing was asked for.
    let wanted = set.or(own).unwrap_or(total);
    let input = if wanted >= total { total - total / 4 } else { wanted }.min(most).min(total.saturating_sub(1));
    (own != Some(input)).then(|| input.to_string())
}

pub(super) fn fit_of(e: &Estimate, probability: f64) -> Fit {
    let needed = e.fixed() + e.needed_cache.map_or(Bytes::ZERO, |f| f.bytes);
    Fit {
        verdict: e.verdict.as_str(),
        predicted_bytes: needed.0,
        // SGLang's share is of weights and cache alone.
        limit_bytes: if e.plan.engine == Engine::Sglang { e.total.0 } else { e.limit.0 },
        // No estimate is certain.
        probability: (probability.clamp(0.0, 0.99) * 100.0).round() / 100.0,
    }
}

/// The weights of a model in bitsandbytes' 4 bits on the device of the log, with room for a small batch.
pub(super) fn fit_in_four_bits(occasion: &Occasion<'_>, model: &Model) -> Option<Fit> {
    let device = super::ground::device(occasion)?;
    // vLLM's arithmetic for a short context is that of a script that answers one prompt.
    let setup = Setup {
        quantization: formats::named_for(Engine::Vllm, "bitsandbytes"),
        max_model_len: Some(USEFUL),
        max_num_seqs: Some(1),
        fraction: Some(0.98),
        eager: true,
        ..Setup::new(Engine::Vllm)
    };
    let e = crate::memory::estimate::estimate(model, &device, &setup);
    Some(fit_of(&e, e.probability?))
}

/// How to see that it worked.
fn proof(engine: Engine) -> &'static str {
    match engine {
        Engine::Vllm => "It worked when the log says `Application startup complete`.",
        Engine::Tgi => "It worked when the log says `Connected`.",
        Engine::Sglang => "It worked when the log says `The server is fired up and ready to roll!`.",
        Engine::LlamaCpp => "It worked when the log says `server is listening`.",
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The largest model of the same family that fits in the same setup.
fn sibling(occasion: &Occasion<'_>, ground: &Ground) -> Option<Remedy> {
    if occasion.deployment.model.as_deref()? != ground.model.id || !ground.is_unquantized() {
        return None;
    }
    let id = &ground.model.id;
    let mut best: Option<(u64, &'static str, Estimate)> = None;
    for row in catalogue::rows().iter().filter(|row| row.parameters < ground.model.parameters && row.parameters * 40 > ground.model.parameters) {
        for other in row.ids.iter().filter(|other| is_sibling(id, other)) {
            let model: Model = row.model(other);
            let e = crate::memory::estimate::estimate(&model, &ground.device, &ground.setup);
            if e.verdict == Verdict::Fits
                && check(&model, &ground.device, &e.plan).is_ok()
                && best.as_ref().is_none_or(|(most, ..)| row.parameters > *most)
            {
                best = Some((row.parameters, other, e));
            }
        }
    }
    let (_, other, e) = best?;
    let fit = fit_of(&e, e.probability?);
    let words = Words {
        id: "smaller-model",
        title: format!("Take the smaller model {other}"),
        rationale: format!("{} {}", sentence(&fit), proof(ground.engine)),
        tradeoff: "Quality: it knows less.",
    };
    let circumstances = occasion.circumstances(Some(&ground.device.arch), Some(&Model::find(other, &catalogue::UserCatalogue::default()).ok()?));
    let mut remedy = occasion.changed(words, &[("model", other)], &circumstances)?;
    remedy.fit = Some(fit);
    Some(remedy)
}

/// True if two ids differ in one word only, which is a size.
fn is_sibling(id: &str, other: &str) -> bool {
    let parts = |text: &str| text.split(['/', '-', '_']).map(str::to_ascii_lowercase).collect::<Vec<_>>();
    let (a, b) = (parts(id), parts(other));
    let is_size = |word: &String| word.strip_suffix('b').is_some_and(|number| number.parse::<f64>().is_ok());
    let mut differ = a.iter().zip(&b).filter(|(a, b)| a != b);
    a.len() == b.len() && differ.next().is_some_and(|(a, b)| is_size(a) && is_size(b)) && differ.next().is_none()
}

/// What is said where nothing helps.
fn nothing(ground: &Ground) -> Remedy {
    let e = &ground.now;
    let needed = e.fixed() + e.needed_cache.map_or(Bytes::ZERO, |f| f.bytes) + e.beside();
    let ranks = if e.plan.tensor_parallel > 1 { "each device" } else { "the device" };
    advice(
        "bigger-device",
        format!("Take devices with more memory than {}", size(ground.device.total.0)),
        format!(
            "Nothing that was tried makes it fit: fewer bits for weights and cache, shorter contexts, smaller batches. As it is, it needs about {} of {ranks}, {} of them for weights.",
            size(needed.0),
            size(e.weights.bytes.0)
        ),
        "Hardware.",
    )
}
