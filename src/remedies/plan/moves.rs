//! Single changes of a setup: what each does, what the command says for it, what it costs.

use super::Occasion;
use super::ground::Ground;
use super::memory::{SURE, USEFUL};
use crate::memory::device::Support;
use crate::memory::estimate::engine::Version;
use crate::memory::estimate::{CacheFormat, Engine, Setup, check, formats};
use crate::memory::{Bytes, catalogue};

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

/// True for a move, by its id, that leaves fewer bytes of weights on a device.
pub(super) fn is_of_weights(id: &str) -> bool {
    matches!(id, "split" | "pipeline" | "cpu-offload") || id.starts_with("quanti")
}

/// One change of the setup.
#[derive(Clone)]
pub(super) struct Move {
    pub id: &'static str,
    /// What it changes of the command; empty where no command can say it.
    pub flags: Vec<(&'static str, String)>,
    /// What to do, to be joined by "and".
    pub words: String,
    pub price: &'static str,
    pub loss: u32,
    pub apply: fn(&mut Setup, f64),
    pub value: f64,
}

pub(super) fn context(ground: &Ground, length: u64, batch: u64) -> Move {
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
pub(super) fn moves(occasion: &Occasion<'_>, ground: &Ground) -> Vec<Move> {
    let mut all = Vec::new();
    all.extend(share(occasion, ground));
    all.extend(sequences(occasion, ground));
    all.extend(batch(occasion, ground));
    all.extend(eager(occasion, ground));
    all.extend(cache(ground));
    all.extend(quantized(ground));
    all.extend(ranks(ground));
    all.extend(stages(ground));
    all.extend(offload(ground));
    all
}

/// More of the device where nothing else needs it. The share is for the cache: weights and the trial run take what they
/// need, whatever it is.
fn share(occasion: &Occasion<'_>, ground: &Ground) -> Option<Move> {
    let names = Names::of(ground.engine);
    let now = ground.now.plan.fraction;
    let helps = match (ground.engine, occasion.cause) {
        (Engine::Vllm | Engine::Sglang, "kv-cache-oom") => true,
        (Engine::Vllm, "weight-oom") => now < 0.85,
        _ => false,
    };
    if !helps {
        return None;
    }
    // What lies beside the share must find room.
    let most = if ground.device.total >= Bytes::gib(70) || ground.now.plan.vllm_from(Version(0, 20, 0)) { 97 } else { 95 };
    let has_room = |share: f64| ground.estimate(&Setup { fraction: Some(share), ..ground.setup.clone() }).room_beside() >= SURE;
    let to = (30..=most).rev().map(|hundredths| f64::from(hundredths) / 100.0).find(|share| has_room(*share))?;
    (now + 0.01 <= to).then(|| Move {
        id: "larger-share",
        flags: vec![(names.share, format!("{to:.2}"))],
        words: format!("give the engine more of the device ({} {to:.2})", names.share),
        price: "Less room for peaks; nothing else may use the device.",
        loss: 1,
        apply: |setup, value| setup.fraction = Some(value),
        value: to,
    })
}

/// Less of the device, where what lies beside the share (graphs, the driver) finds no room otherwise.
pub(super) fn room_beside(ground: &Ground, setup: &Setup) -> Option<Move> {
    let has_room = |setup: &Setup| ground.estimate(setup).room_beside() >= SURE;
    if ground.engine != Engine::Vllm || has_room(setup) {
        return None;
    }
    let most = (ground.estimate(setup).plan.fraction * 100.0).floor() as u32;
    let to = (50..most)
        .rev()
        .map(|hundredths| f64::from(hundredths) / 100.0)
        .find(|share| has_room(&Setup { fraction: Some(*share), ..setup.clone() }))?;
    let flag = Names::of(ground.engine).share;
    Some(Move {
        id: "smaller-share",
        flags: vec![(flag, format!("{to:.2}"))],
        words: format!("leave room beside the engine's share ({flag} {to:.2})"),
        price: "Less key-value cache.",
        loss: 1,
        apply: |setup, value| setup.fraction = Some(value),
        value: to,
    })
}

/// Fewer sequences at a time.
fn sequences(occasion: &Occasion<'_>, ground: &Ground) -> Option<Move> {
    if ground.engine != Engine::Vllm || occasion.cause == "weight-oom" {
        return None;
    }
    let now = ground.now.plan.sequences;
    let surely = |n: u64| ground.estimate(&Setup { max_num_seqs: Some(n), ..ground.setup.clone() }).probability.is_some_and(|p| p >= SURE);
    let to = [512, 256, 128, 64, 32, 16].into_iter().filter(|n| *n < now).find(|n| surely(*n)).or(Some(32).filter(|n| *n < now))?;
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
fn batch(occasion: &Occasion<'_>, ground: &Ground) -> Vec<Move> {
    let plan = &ground.now.plan;
    if !matches!(occasion.cause, "prefill-oom" | "kv-cache-oom") || !ground.is_plain() {
        return Vec::new();
    }
    // Before its second engine, vLLM wants a whole prompt in a batch.
    if ground.engine == Engine::Vllm && ground.version.is_none_or(|version| version < Version(0, 8, 5)) {
        return Vec::new();
    }
    let least = if ground.engine == Engine::Vllm { plan.sequences.max(512) } else { 512 };
    let surely = |n: u64| ground.estimate(&with_batch(ground, n)).probability.is_some_and(|p| p >= SURE);
    let steps = [8192, 6144, 4096, 3072, 2048, 1536, 1024, 512];
    let smaller = steps.into_iter().filter(|n| *n < plan.batch && *n >= least);
    // Where none is enough by itself, each may be beside another change.
    let sizes: Vec<u64> =
        smaller.clone().find(|n| surely(*n)).map_or_else(|| smaller.filter(|n| n.is_power_of_two() && *n <= 2048).collect(), |one| vec![one]);
    (0..).zip(sizes).map(|(more, to)| smaller_batch(occasion, ground, to, more)).collect()
}

fn smaller_batch(occasion: &Occasion<'_>, ground: &Ground, to: u64, more: u32) -> Move {
    let names = Names::of(ground.engine);
    let plan = &ground.now.plan;
    let mut flags = vec![(names.batch, to.to_string())];
    // What is refused of prompts counts as a shorter context does.
    let mut refused = 0;
    if ground.engine == Engine::Tgi && is_before_three(ground) {
        // A prompt must fit into a prefill, and be shorter than prompt and answer together.
        let total = plan.length.max(2);
        let input = occasion.number("--max-input-tokens").or_else(|| occasion.number("--max-input-length")).unwrap_or(total - 1);
        refused = (input.min(total - 1) / to).max(1).ilog2();
        let input = input.min(to).min(total - 1);
        flags.push(("--max-input-tokens", input.to_string()));
        flags.push((names.length, total.to_string()));
    }
    Move {
        id: "fewer-prefill-tokens",
        flags,
        words: format!("prefill at most {to} tokens at a time"),
        price: if ground.engine == Engine::Tgi && is_before_three(ground) { "Longer prompts are refused." } else { "Long prompts take more steps." },
        loss: u32::from(occasion.cause != "prefill-oom") + more + refused,
        apply: |setup, value| setup.max_num_batched_tokens = Some(whole(value)),
        value: to as f64,
    }
}

fn with_batch(ground: &Ground, batch: u64) -> Setup {
    Setup { max_num_batched_tokens: Some(batch), ..ground.setup.clone() }
}

pub(super) fn is_before_three(ground: &Ground) -> bool {
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
        loss: 2,
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
    match published(ground) {
        Some(one) => all.push(one),
        None => add(
            "quantized-checkpoint",
            &[],
            "serve a checkpoint of this model in 4 bits (AWQ or GPTQ) in its place, if one is published",
            FOUR,
            8,
            |s, _| s.quantization = formats::named("awq"),
        ),
    }
    all
}

/// A checkpoint in 4 bits whose name is known.
fn published(ground: &Ground) -> Option<Move> {
    let from = |version: Version| ground.version.is_none_or(|own| own >= version);
    // The format has to be known to the engine as well as to the card.
    let is_known = |word: &str| match (ground.engine, word) {
        (Engine::Tgi, "awq") => from(Version(1, 1, 0)),
        (Engine::Tgi, _) => from(Version(0, 9, 2)),
        (Engine::Vllm, "awq") => from(Version(0, 2, 0)),
        (Engine::Vllm, _) => from(Version(0, 2, 7)),
        _ => true,
    };
    let runs =
        |word: &str| is_known(word) && formats::named(word).and_then(|q| q.method).is_some_and(|method| ground.device.runs(method) != Support::No);
    let (name, word, apply): (_, _, fn(&mut Setup, f64)) = catalogue::published(&ground.model.id).find_map(|name| {
        let lower = name.to_ascii_lowercase();
        if lower.contains("awq") && runs("awq") {
            return Some((name, "awq", (|s, _| s.quantization = formats::named("awq")) as fn(&mut Setup, f64)));
        }
        (lower.contains("gptq") && runs("gptq")).then_some((name, "gptq", |s: &mut Setup, _| s.quantization = formats::named("gptq")))
    })?;
    let mut flags = vec![("model", name.to_owned())];
    // The others read it off the checkpoint.
    if ground.engine == Engine::Tgi {
        flags.push(("--quantize", word.to_owned()));
    }
    Some(Move {
        id: "quantized-checkpoint",
        flags,
        words: format!("serve {name}, this model in 4 bits, in its place"),
        price: "Some quality.",
        loss: 4,
        apply,
        value: 0.0,
    })
}

/// More of the same cards: as a command where the log shows them, else as a change.
fn ranks(ground: &Ground) -> Option<Move> {
    let now = ground.setup.tensor_parallel;
    let shown = ground.devices.max(now);
    let fits = |n: u64, length: Option<u64>| {
        let mut setup = Setup { tensor_parallel: n, max_model_len: length.or(ground.setup.max_model_len), ..ground.setup.clone() };
        if let Some(less) = room_beside(ground, &setup) {
            (less.apply)(&mut setup, less.value);
        }
        let e = ground.estimate(&setup);
        check(&ground.model, &ground.device, &e.plan).is_ok() && e.probability.is_some_and(|p| p >= SURE)
    };
    let least = |length: Option<u64>| [2, 4, 8].into_iter().filter(|n| *n > now).find(|n| fits(*n, length));
    // Fewer devices with a shorter context are easier to have than more of them.
    let short = Some(ground.now.plan.length.min(2 * USEFUL));
    let to = if ground.weights_fail { least(short) } else { least(None).or_else(|| least(short)) }?;
    let name = Names::of(ground.engine).ranks;
    Some(Move {
        id: "split",
        flags: vec![(name, to.to_string())],
        words: format!("split it over {to} such devices ({name} {to})"),
        price: "Hardware; communication between the devices.",
        // Most have no others to put in.
        loss: if to <= shown { 1 } else { 12 },
        apply: |setup, value| setup.tensor_parallel = whole(value),
        value: to as f64,
    })
}

/// Layers shared out over more devices, where the heads do not divide among them: otherwise splitting each layer is faster.
fn stages(ground: &Ground) -> Option<Move> {
    let flag = match ground.engine {
        Engine::Vllm => "--pipeline-parallel-size",
        // It came after tensor parallelism, and only for some models at first.
        Engine::Sglang if ground.version.is_some_and(|version| version >= Version(0, 5, 0)) => "--pp-size",
        _ => return None,
    };
    let (ranks, now, shown) = (ground.setup.tensor_parallel, ground.setup.pipeline_parallel, ground.devices);
    let with = |ranks: u64, stages: u64| {
        let e = ground.estimate(&Setup { tensor_parallel: ranks, pipeline_parallel: stages, ..ground.setup.clone() });
        (check(&ground.model, &ground.device, &e.plan).is_ok(), e.probability.is_some_and(|p| p >= SURE))
    };
    let divides = if shown > 1 { with(shown, now).0 } else { (2..=8).any(|n| with(n, now).0) };
    if divides || (2..=shown).any(|n| with(n, now) == (true, true)) {
        return None;
    }
    let to = (2..=8).filter(|n| *n > now).find(|n| with(ranks, *n) == (true, true))?;
    Some(Move {
        id: "pipeline",
        flags: vec![(flag, to.to_string())],
        words: format!("share its layers out over {to} such devices ({flag} {to}), as its heads do not divide among them"),
        price: "Hardware; each token passes the devices one after the other.",
        loss: if to * ranks <= shown { 1 } else { 12 },
        apply: |setup, value| setup.pipeline_parallel = whole(value),
        value: to as f64,
    })
}

/// Part of the weights in the host's memory, from where each step fetches it.
fn offload(ground: &Ground) -> Option<Move> {
    let from = ground.version.is_some_and(|version| version >= Version(0, 6, 0));
    if ground.engine != Engine::Vllm || !from || !ground.weights_fail || !ground.is_plain() || ground.now.plan.ranks() > 1 {
        return None;
    }
    let with = |gib: u64| ground.estimate(&Setup { offloaded: Bytes::gib(gib), ..ground.setup.clone() });
    // More than the half of a model over the bus is no serving any more.
    let most = (ground.now.weights.bytes.as_gib() / 2.0) as u64;
    let to = (1..=most.min(256)).find(|gib| with(*gib).probability.is_some_and(|p| p >= SURE))?;
    Some(Move {
        id: "cpu-offload",
        flags: vec![("--cpu-offload-gb", to.to_string())],
        words: format!("keep {to} GiB of the weights in the host's memory (--cpu-offload-gb {to})"),
        price: "Speed: that much is fetched over the bus for every step; and the host's memory.",
        loss: 7,
        apply: |setup, value| setup.offloaded = Bytes::gib(whole(value)),
        value: to as f64,
    })
}
