//! llama.cpp and Ollama: buffers whose sizes the log prints, and the layers that they are made of.
//!
//! Of each device the log gives the weights, the cache and the compute buffer as far as it came, and the size of the one
//! that was refused. What it did not come to is computed, if the file's name tells the model.

use super::{Occasion, Plan, Words, sentence};
use crate::causes::advice;
use crate::facts::Fact;
use crate::memory::catalogue::UserCatalogue;
use crate::memory::estimate::engine::Version;
use crate::memory::estimate::{CacheFormat, Engine, Setup, estimate, formats};
use crate::memory::shape::Class;
use crate::memory::{Bytes, Device, Model};
use crate::post_mortem::{Change, Fit, Remedy};
use crate::units::size;

use super::memory::{SURE, USEFUL};

/// What a compute buffer takes whatever the context: logits and one layer's results. Typical, not measured.
const LEAST_COMPUTE: Bytes = Bytes::mib(400);
/// The driver's context and kernels.
const CONTEXT: Bytes = Bytes::mib(360);
/// Files from the mildest on.
const MIXES: [&str; 6] = ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"];

/// What makes a remedy, if it would help.
type Make = fn(&Ground<'_>) -> Option<Remedy>;

/// What one device was to hold.
#[derive(Clone, Copy)]
struct Buffers {
    weights: Bytes,
    cache: Bytes,
    compute: Bytes,
}

impl Buffers {
    fn sum(&self) -> Bytes {
        self.weights + self.cache + self.compute + CONTEXT
    }
}

/// What is known of the failure.
struct Ground<'o> {
    occasion: &'o Occasion<'o>,
    is_ollama: bool,
    version: Option<Version>,
    model: Option<Model>,
    /// Device and buffers, where both are known and do not contradict one another.
    held: Option<(Device, Buffers)>,
    /// Layers on devices.
    layers: Option<u64>,
    /// The context.
    length: Option<u64>,
}

/// The plan; none for other engines and causes.
pub(super) fn plan(occasion: &Occasion<'_>) -> Option<Plan> {
    let g = Ground::of(occasion)?;
    let moves: &[Make] = match occasion.cause {
        "weight-oom" if is_of_mlx(occasion) => &[gguf_instead, smaller_file],
        "weight-oom" => &[let_it_fit, other_version, fewer_layers, smaller_file, experts_on_host, uneven_split],
        "kv-cache-oom" => &[shorter_context, smaller_cache, fewer_slots, fewer_layers, cache_on_host, smaller_file],
        "prefill-oom" => &[flash_attention, smaller_batch, shorter_context, fewer_slots, fewer_layers, smaller_file],
        "inference-oom" => {
            &[projector_on_host, other_version, shorter_context, fewer_layers, smaller_batch, flash_attention, overhead, fewer_slots, smaller_file]
        }
        "host-oom" => &[prompt_cache, mapped, shorter_context, smaller_file, fewer_models],
        _ => return None,
    };
    let remedies: Vec<Remedy> = moves.iter().filter_map(|make| make(&g)).collect();
    let mut settled = vec!["smaller-batch", "fewer-layers", "shorter-context", "fewer-prefill-tokens", "larger-share", "smaller-cache", "quantize"];
    if occasion.cause == "host-oom" {
        settled.push("smaller-model");
    }
    // Ollama splits as it sees fit.
    if g.is_ollama {
        settled.push("split");
    }
    (!remedies.is_empty()).then_some(Plan { remedies, settled })
}

impl<'o> Ground<'o> {
    fn of(occasion: &'o Occasion<'o>) -> Option<Ground<'o>> {
        let d = occasion.deployment;
        let name = d.engine.as_deref().filter(|name| matches!(*name, "llama.cpp" | "ollama"))?;
        let model = d.model.as_deref().and_then(|name| Model::find(name, &UserCatalogue::default()).ok()).filter(|model| model.shape.is_some());
        let f = &occasion.situation.figures;
        let mut g = Ground {
            occasion,
            is_ollama: name == "ollama",
            version: occasion.version().and_then(|text| Version::find(text).or_else(|| Some(Version(text.parse().ok()?, 0, 0)))),
            length: f.max_model_len.or(d.max_model_len).filter(|length| *length > 0),
            layers: None,
            held: None,
            model,
        };
        g.layers = g.said("layers").filter(|n| *n > 0).or_else(|| Some(g.model.as_ref()?.shape.as_ref()?.layer_count() + 1));
        g.held = g.buffers();
        Some(g)
    }

    fn facts(&self) -> impl DoubleEndedIterator<Item = &Fact> {
        let situation = self.occasion.situation;
        situation.run.facts.iter().filter_map(|at| situation.case.facts.get(*at))
    }

    /// The last number that the run says under a name.
    fn said(&self, name: &str) -> Option<u64> {
        self.facts().rev().find_map(|fact| u64::try_from(fact.number(name)?).ok())
    }

    /// The setup as far as it is known, for what the log did not come to.
    fn setup(&self) -> Setup {
        let batch = self.number(&["--ubatch-size"]);
        Setup { max_model_len: self.length, max_num_batched_tokens: batch, ..Setup::new(Engine::LlamaCpp) }
    }

    fn buffers(&self) -> Option<(Device, Buffers)> {
        let f = &self.occasion.situation.figures;
        // The host's memory has nothing to do with the device's.
        let device = super::ground::device(self.occasion).filter(|_| self.occasion.cause != "host-oom")?;
        let tried = f.tried_bytes.map(Bytes);
        // The size of the file is no buffer: only what names the device is.
        let index = f.device.unwrap_or(0);
        let on_device = |fact: &&Fact| fact.figures.device.unwrap_or(0) == index && fact.figures.device.is_some();
        let weights = self.facts().filter(on_device).filter_map(|fact| fact.figures.weights_bytes).next_back().map(Bytes);
        let compute = self.facts().filter(on_device).filter_map(|fact| fact.figures.activation_bytes).next_back().map(Bytes);
        let devices = self.occasion.deployment.devices.len().max(1) as u64;
        let cache = f.kv_available_bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(|bytes| Bytes(bytes).div_ceil(devices));
        let computed = self.model.as_ref().map(|model| estimate(model, &device, &self.setup()));
        let cache = cache.or_else(|| Some(computed.as_ref()?.needed_cache?.bytes.div_ceil(devices)));
        let compute = compute.or_else(|| Some(computed.as_ref()?.activation?.bytes));
        let buffers = match self.occasion.cause {
            "weight-oom" => Buffers { weights: tried?, cache: cache?, compute: compute? },
            "kv-cache-oom" => Buffers { weights: weights?, cache: tried?, compute: compute? },
            _ => {
                let (weights, cache) = (weights?, cache?);
                // The device was full, and the log does not say what was missing: half a GiB, at a guess.
                let full = || device.total.saturating_sub(weights + cache + CONTEXT) + Bytes::mib(513);
                Buffers { weights, cache, compute: tried.unwrap_or_else(full) }
            }
        };
        // What was there before the refusal was on the device; otherwise it is another device than it seems.
        let there = buffers.sum().saturating_sub(tried.unwrap_or(buffers.compute));
        let is_sound = self.occasion.cause == "weight-oom" || there <= device.total;
        (is_sound && buffers.sum() + Bytes::mib(512) > device.total).then_some((device, buffers))
    }

    fn number(&self, flags: &[&str]) -> Option<u64> {
        flags.iter().find_map(|flag| self.occasion.number(flag))
    }

    /// Whether these buffers fit.
    fn fit(&self, device: &Device, b: Buffers) -> Fit {
        let margin = crate::memory::estimate::margin::root([b.weights.scaled(0.005), b.compute.scaled(0.25), Bytes::mib(128)]);
        super::fit(b.sum(), device.total, margin)
    }

    /// What changed buffers would need, if they surely fit.
    fn surely(&self, change: impl Fn(Buffers) -> Buffers) -> Option<Fit> {
        let (device, buffers) = self.held.as_ref()?;
        Some(self.fit(device, change(*buffers))).filter(|fit| fit.probability >= SURE)
    }

    fn is_from(&self, version: Version) -> bool {
        self.version.is_some_and(|own| own >= version)
    }

    /// A remedy with its command where the form has a place for it.
    fn make(&self, id: &'static str, title: String, why: &str, price: &'static str, changes: &[(&str, &str)], fit: Option<Fit>) -> Option<Remedy> {
        let guess = " The log does not say what was missing: half a GiB is reckoned with.";
        let guess = if self.occasion.situation.figures.tried_bytes.is_none() { guess } else { "" };
        let rationale = match &fit {
            Some(fit) => format!("{}{guess} {why}", sentence(fit)),
            None => why.to_owned(),
        };
        // Parameters of a model stand in its Modelfile or in the request, not in the server's command.
        let of_model = changes.iter().all(|(flag, _)| flag.starts_with(|c: char| c.is_ascii_lowercase()));
        if of_model {
            let changes = changes
                .iter()
                .map(|(flag, to)| Change {
                    flag: (*flag).to_owned(),
                    from: self.occasion.value(flag),
                    to: (!to.is_empty()).then(|| (*to).to_owned()),
                })
                .collect();
            return Some(Remedy { changes, fit, ..advice(id, title, rationale, price) });
        }
        let words = Words { id, title, rationale, tradeoff: price };
        let mut remedy = self.occasion.changed(words, changes, &self.occasion.circumstances(None, None))?;
        remedy.fit = fit;
        Some(remedy)
    }
}

/// The context for which cache and compute buffer surely fit, or half of what there was where that is not known.
fn shorter_context(g: &Ground) -> Option<Remedy> {
    let Some(now) = g.length else {
        // Somebody asked for more than there is, and the log does not show for how much.
        return matches!(g.occasion.cause, "kv-cache-oom" | "host-oom").then(|| limited(g, 2 * USEFUL, None)).flatten();
    };
    if now <= USEFUL {
        return None;
    }
    let flash = has_flash_attention(g);
    let at = |length: u64| {
        move |b: Buffers| {
            let part = length as f64 / now as f64;
            // Scores of attention are held for the whole context where it is not computed in blocks.
            let compute = if flash { b.compute } else { LEAST_COMPUTE.min(b.compute) + b.compute.saturating_sub(LEAST_COMPUTE).scaled(part) };
            Buffers { cache: b.cache.scaled(part), compute, ..b }
        }
    };
    let steps = || std::iter::successors(Some(now.next_power_of_two() / 2), |n| Some(n / 2)).take_while(|n| *n >= USEFUL).filter(|n| *n < now);
    let found = steps().find_map(|length| Some((length, g.surely(at(length))?)));
    let (length, fit) = match found {
        Some((length, fit)) => (length, Some(fit)),
        // Known not to help.
        None if g.held.is_some() => return None,
        None => (steps().next()?.min(8192), None),
    };
    limited(g, length, fit)
}

fn limited(g: &Ground, length: u64, fit: Option<Fit>) -> Option<Remedy> {
    let value = length.to_string();
    let flag = match g.is_ollama {
        true if g.is_from(Version(0, 5, 13)) => "OLLAMA_CONTEXT_LENGTH",
        true => "num_ctx",
        false => "--ctx-size",
    };
    let title = format!("Limit the context to {length} tokens ({flag} {value})");
    g.make("shorter-context", title, "The cache grows with the context.", "Longer conversations are cut or refused.", &[(flag, &value)], fit)
}

/// Keys and values in 8 bits.
fn smaller_cache(g: &Ground) -> Option<Remedy> {
    // How flash attention, which values need, is asked for changed with the builds: without one, the keys alone.
    let keys_only = !g.is_ollama && g.version.is_none();
    let format = CacheFormat::parse(if keys_only { "q8_0/f16" } else { "q8_0" });
    let part = format.map_or(1.0, |format| (format.keys.as_bits() + format.values.as_bits()) / 32.0);
    let fit = g.surely(|b| Buffers { cache: b.cache.scaled(part), ..b });
    if g.held.is_some() && fit.is_none() {
        return None;
    }
    let why = "It takes about half the bytes for each key and value.";
    let price = "A little accuracy on long contexts.";
    let title = "Keep the cache in 8 bits (q8_0)".to_owned();
    if g.is_ollama {
        let changes = [("OLLAMA_FLASH_ATTENTION", "1"), ("OLLAMA_KV_CACHE_TYPE", "q8_0")];
        return g.make("smaller-cache", title, why, price, &changes, fit);
    }
    let flash = flash_word(g);
    let changes = [("--cache-type-k", "q8_0"), ("--cache-type-v", "q8_0"), ("--flash-attn", flash)];
    let changes = if keys_only { &changes[..1] } else { &changes[..] };
    g.make("smaller-cache", title, why, price, changes, fit)
}

/// How this build writes it: it was a switch once.
fn flash_word(g: &Ground) -> &'static str {
    if g.version.is_none_or(|build| build >= Version(6327, 0, 0)) { "on" } else { "true" }
}

fn has_flash_attention(g: &Ground) -> bool {
    let value = |flag: &str| g.occasion.value(flag).is_some_and(|value| matches!(value.as_str(), "true" | "on" | "1"));
    value("--flash-attn") || value("fa") || value("OLLAMA_FLASH_ATTENTION") || g.said("flash_attn") == Some(1)
}

/// Attention in blocks, so that no scores of the whole context are held.
fn flash_attention(g: &Ground) -> Option<Remedy> {
    if has_flash_attention(g) {
        return None;
    }
    // What is left is about what a small context takes.
    let fit = g.surely(|b| Buffers { compute: b.compute.min(LEAST_COMPUTE + LEAST_COMPUTE), ..b });
    if g.held.is_some() && fit.is_none() {
        return None;
    }
    let why = "Without it the scores of the whole context are held at once, in one buffer.";
    let flag = if g.is_ollama { ("OLLAMA_FLASH_ATTENTION", "1") } else { ("--flash-attn", flash_word(g)) };
    g.make("flash-attention", format!("Switch flash attention on ({})", flag.0), why, "None where the device has kernels for it.", &[flag], fit)
}

/// Fewer tokens in a step.
fn smaller_batch(g: &Ground) -> Option<Remedy> {
    let flag = if g.is_ollama { "num_batch" } else { "--ubatch-size" };
    let now = g.number(&[flag]).unwrap_or(512);
    let steps = || [256, 128, 64, 32].into_iter().filter(|n| *n < now);
    let with = |to: u64| g.surely(|b| Buffers { compute: b.compute.scaled(to as f64 / now as f64), ..b });
    let found = steps().find_map(|to| Some((to, with(to)?)));
    let (to, fit) = match found {
        Some((to, fit)) => (to, Some(fit)),
        None if g.held.is_some() => return None,
        None => (steps().next()?, None),
    };
    let value = to.to_string();
    g.make(
        "smaller-batch",
        format!("Compute {to} tokens of a prompt at a time ({flag} {to})"),
        "The compute buffer grows with them.",
        "Long prompts are read more slowly.",
        &[(flag, &value)],
        fit,
    )
}

/// Fewer layers on the device; the processor computes the others.
fn fewer_layers(g: &Ground) -> Option<Remedy> {
    let flag = if g.is_ollama { "num_gpu" } else { "--n-gpu-layers" };
    let price = "Speed: the other layers are computed by the processor.";
    let why = "What stays on the processor leaves room for everything else.";
    let with = |now: u64, to: u64| {
        let part = to as f64 / now as f64;
        g.surely(move |b| Buffers { weights: b.weights.scaled(part), cache: b.cache.scaled(part), ..b })
    };
    let found = g.layers.filter(|_| g.held.is_some()).and_then(|now| (1..now).rev().find_map(|to| Some((to, with(now, to)?))));
    match found {
        Some((to, fit)) => {
            let value = to.to_string();
            let of = if g.is_ollama { "" } else { "at most " };
            g.make("fewer-layers", format!("Put {of}{to} layers on the device ({flag} {to})"), why, price, &[(flag, &value)], Some(fit))
        }
        None if g.held.is_some() => None,
        None => Some(advice("fewer-layers", format!("Put fewer layers on the device ({flag})"), why, price)),
    }
}

/// A file with fewer bits for each weight.
fn smaller_file(g: &Ground) -> Option<Remedy> {
    let price = "Some quality, more of it below 4 bits.";
    let Some((device, b)) = g.held.as_ref() else {
        return Some(advice(
            "smaller-file",
            "Take a GGUF file with fewer bits for each weight, or a smaller model",
            "It leaves more for everything else.",
            price,
        ));
    };
    let single = g.occasion.deployment.devices.len() < 2;
    if let (Some(model), true) = (&g.model, single) {
        let found = MIXES.iter().find_map(|mix| {
            let e = estimate(model, device, &Setup { quantization: formats::named(mix), ..g.setup() });
            let fit = g.surely(|b| Buffers { weights: e.weights.bytes, ..b })?;
            (e.weights.bytes < b.weights).then_some((mix, fit))
        });
        if let Some((mix, fit)) = found {
            let why = "All of it is then on the device, which is the fastest.";
            return Some(Remedy {
                fit: Some(fit),
                ..advice("smaller-file", format!("Take the file in {mix}, if one is published"), format!("{} {why}", sentence(&fit)), price)
            });
        }
    }
    // How large a file may be follows without knowing the model.
    let most = device.total.saturating_sub(b.sum().saturating_sub(b.weights) + Bytes::mib(256));
    let fit = g.surely(|b| Buffers { weights: most.min(b.weights), ..b })?;
    if most.scaled(6.0) < b.weights {
        return None;
    }
    let title = format!("Take a file of at most {} for each such device: fewer bits for each weight, or a smaller model", size(most.0));
    Some(Remedy { fit: Some(fit), ..advice("smaller-file", title, sentence(&fit), price) })
}

/// Experts in the host's memory: each token needs a few of them only.
fn experts_on_host(g: &Ground) -> Option<Remedy> {
    let parameters = g.model.as_ref()?.shape.as_ref()?.parameters();
    let part = parameters[Class::Experts] as f64 / parameters.total().max(1) as f64;
    if g.is_ollama || part < 0.3 {
        return None;
    }
    let fit = g.surely(|b| Buffers { weights: b.weights.scaled(1.0 - part), ..b })?;
    let why = "Attention and shared layers stay on the device, where they count most.";
    g.make(
        "experts-on-host",
        "Keep the experts in the host's memory (--cpu-moe)".to_owned(),
        why,
        "Speed; the host's memory must hold them.",
        &[("--cpu-moe", "true")],
        Some(fit),
    )
}

/// The layers that fit, chosen by llama.cpp itself.
fn let_it_fit(g: &Ground) -> Option<Remedy> {
    let asked = g.occasion.value("--fit").or_else(|| g.occasion.value("fit"));
    if g.is_ollama || !(asked.is_some() || g.is_from(Version(9093, 0, 0))) || g.layers.is_none() && g.occasion.value("--n-gpu-layers").is_none() {
        return None;
    }
    let mut changes = vec![("--n-gpu-layers", "")];
    if asked.as_deref() == Some("off") {
        changes.push(("--fit", "on"));
    }
    let why = "Without --n-gpu-layers this build asks the devices what is free, leaves 1 GiB of it, and puts the rest of the model on the processor.";
    let fit = g.held.as_ref().map(|(device, _)| super::fit(device.total.saturating_sub(Bytes::gib(1)), device.total, Bytes::mib(400)));
    let title = "Let llama.cpp choose how much goes on the device (no --n-gpu-layers)";
    let price = "Speed: the other layers are computed by the processor.";
    let told = || {
        let changes = changes
            .iter()
            .map(|(flag, to)| Change { flag: (*flag).to_owned(), from: g.occasion.value(flag), to: (!to.is_empty()).then(|| (*to).to_owned()) })
            .collect();
        Remedy { changes, fit, ..advice("let-it-fit", title, why, price) }
    };
    // That the log has the flag says that the build has it, whatever is known of its version.
    g.make("let-it-fit", title.to_owned(), why, price, &changes, fit).or_else(|| Some(told()))
}

/// Whether Ollama's runner for MLX refused the model: it knows no layers on the processor.
fn is_of_mlx(occasion: &Occasion<'_>) -> bool {
    occasion.situation.fact.word("process") == Some("mlx")
}

/// The same model for the runner that can split it.
fn gguf_instead(_: &Ground) -> Option<Remedy> {
    Some(advice(
        "gguf-instead",
        "Pull the model as GGUF instead of its build for MLX",
        "The runner of MLX needs all of the model on the GPU; of a GGUF file, the layers that do not fit stay with the processor.",
        "Speed: the other layers are computed by the processor.",
    ))
}

/// Less for the device that ran out, where there are others.
fn uneven_split(g: &Ground) -> Option<Remedy> {
    let devices = g.occasion.deployment.devices.len();
    if g.is_ollama || devices < 2 {
        return None;
    }
    Some(advice(
        "uneven-split",
        "Give the device that ran out a smaller part, and the others a larger one (--tensor-split)",
        "Buffers beside the weights lie on one device more than on the others.",
        "None, where the others have room.",
    ))
}

/// The image encoder on the processor, where one was loaded.
fn projector_on_host(g: &Ground) -> Option<Remedy> {
    let has = g.occasion.deployment.arguments.contains_key("mmproj") || g.occasion.value("--mmproj").is_some();
    if g.is_ollama || !has {
        return None;
    }
    // Its buffers are not the ones that the model has.
    let fit = g.surely(|b| Buffers { compute: LEAST_COMPUTE + LEAST_COMPUTE, ..b });
    let why = "An image's encoder needs a buffer of its own, which grows with the image.";
    let title = "Encode images on the processor (--no-mmproj-offload)".to_owned();
    g.make("projector-on-host", title, why, "Images are read more slowly.", &[("--no-mmproj-offload", "true")], fit)
}

/// The cache in the host's memory.
fn cache_on_host(g: &Ground) -> Option<Remedy> {
    if g.is_ollama {
        return None;
    }
    let fit = g.surely(|b| Buffers { cache: Bytes::ZERO, ..b })?;
    let why = "All layers stay on the device.";
    g.make(
        "cache-on-host",
        "Keep the cache in the host's memory (--no-kv-offload)".to_owned(),
        why,
        "Speed, more of it the longer the context.",
        &[("--no-kv-offload", "true")],
        Some(fit),
    )
}

/// Requests one after the other: Ollama makes the context as many times as large.
fn fewer_slots(g: &Ground) -> Option<Remedy> {
    let now = g.number(&["OLLAMA_NUM_PARALLEL"]);
    // Newer versions run one at a time unless told otherwise.
    if !g.is_ollama || now == Some(1) || now.is_none() && g.is_from(Version(0, 12, 0)) {
        return None;
    }
    let fit = now.and_then(|now| g.surely(|b| Buffers { cache: b.cache.div_ceil(now), ..b }));
    let why = "The cache is made for that many contexts.";
    g.make("fewer-slots", "Serve one request at a time (OLLAMA_NUM_PARALLEL=1)".to_owned(), why, "Others wait.", &[("OLLAMA_NUM_PARALLEL", "1")], fit)
}

/// One model at a time.
fn fewer_models(g: &Ground) -> Option<Remedy> {
    if !g.is_ollama || g.number(&["OLLAMA_MAX_LOADED_MODELS"]) == Some(1) {
        return None;
    }
    let title = "Keep one model loaded at a time (OLLAMA_MAX_LOADED_MODELS=1)".to_owned();
    g.make(
        "fewer-models",
        title,
        "Each has buffers of its own.",
        "A model that is asked for in turn is loaded anew.",
        &[("OLLAMA_MAX_LOADED_MODELS", "1")],
        None,
    )
}

/// Room that Ollama must not count on.
fn overhead(g: &Ground) -> Option<Remedy> {
    if !g.is_from(Version(0, 4, 0)) || !g.is_ollama {
        return None;
    }
    let now = g.number(&["OLLAMA_GPU_OVERHEAD"]).unwrap_or(0);
    let to = (now + (1 << 30)).to_string();
    let why = "Ollama then puts fewer layers on the device.";
    g.make(
        "overhead",
        "Keep 1 GiB of the device out of Ollama's reckoning (OLLAMA_GPU_OVERHEAD)".to_owned(),
        why,
        "A little speed.",
        &[("OLLAMA_GPU_OVERHEAD", &to)],
        None,
    )
}

/// Ollama chooses the layers itself: where that went wrong, a later version may choose better.
fn other_version(g: &Ground) -> Option<Remedy> {
    if !g.is_ollama || g.is_from(Version(0, 12, 0)) {
        return None;
    }
    Some(advice(
        "other-version",
        "Update Ollama",
        "It decides itself how many layers go on the device. A refusal means that it reckoned with too little for cache and buffers, which later versions do more exactly.",
        "Another version is to be tested with what else you run.",
    ))
}

/// The cache of prompts, which is in the host's memory.
fn prompt_cache(g: &Ground) -> Option<Remedy> {
    // It came with builds of late 2025; Ollama runs such a server from 0.30 on.
    let has = if g.is_ollama { g.is_from(Version(0, 30, 0)) } else { g.is_from(Version(9093, 0, 0)) };
    if !has || g.length.is_none() {
        return None;
    }
    let why = "The server keeps prompts that it has read, up to 8 GiB of them for each model unless told otherwise.";
    let flag = if g.is_ollama { "LLAMA_ARG_CACHE_RAM" } else { "--cache-ram" };
    let title = format!("Keep at most 512 MiB of prompts in memory ({flag} 512)");
    g.make("prompt-cache", title, why, "Prompts that come again are read anew more often.", &[(flag, "512")], None)
}

/// The file mapped, so that the system can drop pages of it.
fn mapped(g: &Ground) -> Option<Remedy> {
    let copied = ["--no-mmap", "--mlock"].into_iter().find(|flag| g.occasion.value(flag).is_some_and(|value| value == "true"))?;
    let why = "The file is then mapped, and its pages can be dropped when memory is short.";
    g.make("mapped", format!("Leave {copied} away"), why, "Slower where the file does not fit into memory.", &[(copied, "")], None)
}
