//! `kv-cache-oom`.

use super::*;
use crate::case::deployment::deployment;
use crate::memory::estimate::Version;
use crate::units::signed_size;

/// The key-value cache does not fit.
pub const CAUSE: Cause = Cause {
    id: "kv-cache-oom",
    family: "device-memory",
    title: "The key-value cache does not fit",
    kinds: &[FactKind::KvCacheTooSmall],
    phase: Some(Phase::Profile),
    doc: "\
The weights were in, and what was left could not hold the key-value cache that was asked for: no blocks were left, or
fewer tokens than one full context needs.

**Recognised by** the engine's own words (vLLM: `No available memory for the cache blocks`, `KV cache is needed, which is
larger than the available KV cache memory`; TGI: `NotEnoughMemory(n)`; SGLang: `Not enough memory. Please try to increase
--mem-fraction-static`; llama.cpp: `failed to allocate buffer for kv cache`), or by an out-of-memory message in the cache's
allocation.

**Fixed by** a shorter context (`--max-model-len` at what the log says is possible), a cache in 8 bits, a larger fraction of
the device for the engine where nothing else is on it, weights that take less, or more devices. Where less than nothing is
left for the cache, the weights and the profiling run fill the share already, and only the last three help, or a shorter
context where the profiling run is as long as that (vLLM before 0.8).",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::KvCacheTooSmall) {
        return Claim::new(stated(s), "the engine says that the key-value cache does not fit");
    }
    if !s.is(FactKind::OutOfMemory) && !s.fact.kind.is_failure() && s.fact.figures.kv_available_bytes.is_some_and(|bytes| bytes <= 0) {
        return Claim::new(0.9, "less than nothing was left for the key-value cache");
    }
    memory_at(s, &[Stage::KvCache], "memory ran out while the key-value cache was allocated")
}

/// Whether the cache was there and its tokens ran out while requests were served.
fn ran_out_of_tokens(s: &Situation<'_>) -> bool {
    s.is(FactKind::KvCacheTooSmall) && s.phase() == Some(Phase::Serve)
}

/// Messages that say so without a figure: not one block is left.
const NOTHING_LEFT: &[&str] = &["vllm-no-cache-blocks", "vllm-kv-autofit-failed"];

/// Whether weights and the profiling run fill the engine's share already, so that no length of context fits.
fn nothing_is_left(s: &Situation<'_>) -> bool {
    s.figures.kv_available_bytes.map_or_else(|| NOTHING_LEFT.contains(&&*s.fact.rule), |bytes| bytes <= 0)
}

/// Whether the engine's profiling run is as long as the context: in vLLM before 0.8, which the log need not name.
fn profiles_the_context(s: &Situation<'_>) -> bool {
    let version = deployment(s.case, Some(s.run)).engine_version;
    s.engine == Some("vllm") && version.as_deref().and_then(Version::find).is_none_or(|version| version < Version(0, 8, 0))
}

fn headline(s: &Situation<'_>) -> String {
    let f = &s.figures;
    if ran_out_of_tokens(s) {
        return match f.kv_tokens {
            Some(tokens) => format!("The {} tokens of the key-value cache ran out while requests were served", thousands(tokens)),
            None => "The key-value cache ran out while requests were served".to_owned(),
        };
    }
    match (f.kv_needed_bytes, f.kv_available_bytes, f.max_model_len, f.kv_tokens) {
        (Some(needed), Some(available), Some(length), _) => format!(
            "One context of {} tokens needs {} of key-value cache, and {} is left{}",
            thousands(length),
            size(needed),
            signed_size(available),
            deficit(needed, available)
        ),
        (Some(needed), Some(available), None, _) => {
            format!("{} of key-value cache is needed, and {} is left{}", size(needed), signed_size(available), deficit(needed, available))
        }
        (_, Some(available), ..) if available <= 0 => format!("Nothing is left for the key-value cache ({})", signed_size(available)),
        (_, _, Some(length), Some(tokens)) => {
            format!("The key-value cache holds {} tokens, fewer than one context of {}", thousands(tokens), thousands(length))
        }
        (_, Some(available), ..) => format!("The {} left for the key-value cache are not enough", signed_size(available)),
        _ => match refusal_and_deficit(s) {
            Some(refusal) => format!("The key-value cache does not fit{}: {refusal}", on_device(s)),
            None if nothing_is_left(s) => "Nothing is left for the key-value cache".to_owned(),
            None => "Not enough memory is left for the key-value cache".to_owned(),
        },
    }
}

fn deficit(needed: u64, available: i64) -> String {
    let missing = i128::from(needed) - i128::from(available);
    u64::try_from(missing).ok().filter(|&missing| missing > 0).map_or(String::new(), |missing| format!(": {} short", size(missing)))
}

fn explanation(s: &Situation<'_>) -> String {
    let f = &s.figures;
    if ran_out_of_tokens(s) {
        return "The cache was allocated and the server was up; the requests that ran at one time needed more tokens than it holds, and the engine could not make room.".to_owned();
    }
    let mut text = "The weights are in. The engine measured what its share of the device leaves for the key-value cache, and that is too little.".to_owned();
    if let (Some(utilization), Some(total)) = (f.gpu_memory_utilization, f.total_bytes) {
        text += &format!(" Its share is {:.0} % of {}.", utilization * 100.0, size(total));
    }
    if let Some(weights) = f.weights_bytes.filter(|_| !weights_take_nearly_all(s)) {
        text += &format!(" The weights take {}.", size(weights));
    }
    if let Some((own, share)) = arithmetic::unaccounted(s) {
        text += &format!(
            " Weights, activations and overheads come to about {} of the {} (computed as far as the log does not say): something else holds the rest, another process or another part of this one.",
            size(own.0),
            size(share.0)
        );
    } else if nothing_is_left(s) {
        text += " Weights and the profiling run fill the share already; a shorter context ";
        text += if profiles_the_context(s) { "helps only as far as it makes the profiling run smaller." } else { "hardly helps." };
    }
    text + &held(s)
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let (shorter, share) = match s.engine {
        Some("tgi") => ("Lower `--max-total-tokens` and `--max-batch-prefill-tokens`", "Raise `--cuda-memory-fraction`"),
        Some("sglang") => ("Lower `--context-length`", "Raise `--mem-fraction-static`"),
        Some("llama.cpp" | "ollama") => ("Lower the context (`-c`, `num_ctx`)", "Offload fewer layers to the device"),
        _ => ("Lower `--max-model-len`", "Raise `--gpu-memory-utilization`, if nothing else needs the device"),
    };
    let nothing_left = nothing_is_left(s);
    let mut remedies = Vec::new();
    if ran_out_of_tokens(s) {
        remedies.push(advice("fewer-requests", "Run fewer requests at a time, with shorter prompts and answers", "All that run at one time share the cache.", "Throughput."));
    } else if !nothing_left {
        remedies.push(advice("shorter-context", shorter, "One full context must fit; its cache grows with its length.", "Longer prompts and answers are refused."));
    }
    // Nobody can take more than all.
    let has_all = deployment(s.case, Some(s.run)).gpu_memory_utilization.is_some_and(|fraction| fraction > 0.99);
    if !has_all {
    remedies.push(advice("larger-share", share, "What the engine may take above weights and activations becomes cache.", "Less room for peaks and for other programs."));
    }
    if !nothing_left {
        remedies.push(advice("smaller-cache", "Keep the cache in 8 bits, where the engine and card support it", "It takes half the bytes for each token.", "A little accuracy on long contexts."));
    }
    remedies.push(advice("quantize", "Load the weights quantized", "What the weights free becomes cache.", "Some quality."));
    if nothing_left {
        remedies.push(advice("more-devices", "Split the model over more devices", "Each then holds its share of the weights.", "More hardware."));
        if profiles_the_context(s) {
            remedies.push(advice("shorter-context", shorter, "It helps where the profiling run is as long as the context: in vLLM before 0.8.", "Longer prompts and answers are refused."));
        }
    }
    remedies
}
