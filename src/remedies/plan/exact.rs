//! Causes whose message says what has to change, one module for each kind of thing.

mod config;
mod host;
mod hub;
mod numbers;
mod platform;
mod serving;

use super::{Occasion, Words};
use crate::memory::Model;
use crate::memory::catalogue::UserCatalogue;
use crate::memory::estimate::Verdict;
use crate::memory::format::Dtype;
use crate::post_mortem::{Fit, Phase, Remedy};
use crate::remedies::command::Form;

/// The fixes that are known, those that run first.
pub(super) fn plan(occasion: &Occasion<'_>) -> Vec<Remedy> {
    let found = match occasion.cause {
        "kv-cache-oom" => vec![context_that_holds(occasion)],
        "gpu-occupied" => vec![share_that_is_free(occasion), platform::end_process(occasion)],
        "context-limit-config" => config::context(occasion),
        "parallelism-config" => vec![config::ranks(occasion)],
        "quantization-unsupported" => numbers::quantization(occasion),
        "dtype-unsupported" => numbers::dtype(occasion),
        "model-unsupported" => vec![config::newer_engine(occasion), hub::pull_again(occasion)],
        "remote-code-refused" => vec![trust(occasion)],
        "invalid-argument" => vec![config::excluded(occasion), config::meant_value(occasion), config::meant_flag(occasion)],
        "model-auth" => vec![hub::token(occasion)],
        "model-download" => hub::fetch(occasion),
        "weights-invalid" => vec![hub::fetch_again(occasion)],
        "disk-full" => vec![hub::room(occasion)],
        "host-oom" => host::memory(occasion),
        "shm-exhausted" => vec![host::shared_memory(occasion)],
        "terminated" => vec![host::time_to_start(occasion)],
        "cuda-unavailable" => platform::device(occasion),
        "gpu-arch-unsupported" => vec![platform::other_back_end(occasion)],
        "cuda-fault" => vec![platform::eager(occasion), platform::blocking(occasion)],
        "collective-failure" => vec![platform::transport(occasion), platform::nccl(occasion)],
        "missing-dependency" => vec![platform::package(occasion)],
        "port-in-use" => vec![platform::port(occasion)],
        "template-error" => serving::template(occasion),
        "overload" => vec![serving::load(occasion)],
        "unknown" => vec![serving::more_log(occasion)],
        "integer-overflow" => vec![numbers::other_numerics(occasion)],
        "nan-logits" => vec![numbers::more_range(occasion)],
        "graph-capture-oom" if occasion.engine() == "tgi" => vec![no_graphs(occasion)],
        "meta-tensor-offload" | "quantized-offload-refused" => vec![super::script::on_one_device(occasion)],
        _ => Vec::new(),
    };
    found.into_iter().flatten().collect()
}

/// Words that say less than a fix that was found.
pub(super) fn replaces(id: &str) -> &'static [&'static str] {
    match id {
        "models-length" | "larger-prefill-budget" | "smaller-threshold" | "whole-pages" => &["consistent-budgets", "shorter-requests"],
        "longer-context" => &["consistent-budgets"],
        "newer-driver" | "container-toolkit" | "restart-host" | "free-node" => &["give-device", "match-driver"],
        "meant-flag" | "meant-value" | "one-of-both" | "offload-folder" => &["check-flag"],
        "own-template" => &["give-template", "instruct-model", "fix-messages"],
        "fit-on-device" => &["fewer-bits"],
        "plain-cache" | "float32-on-cpu" => &["half", "one-type"],
        "half" => &["one-type"],
        "load-format" | "allow-deprecated" => &["matching-checkpoint", "other-format"],
        "main-revision" | "mount-models" => &["check-name", "check-network"],
        "log-in" | "patience" => &["check-name"],
        "install-runtime" => &["install"],
        "install-back-end" | "install-runner" => &["install", "matching-set"],
        "larger-page-file" => &["more-ram"],
        _ => &[],
    }
}

/// Words that would not help: what is free on an occupied device does not hold the weights.
pub(super) fn useless(occasion: &Occasion<'_>) -> Vec<&'static str> {
    let too_large = || {
        let ground = super::ground::Ground::of(occasion)?;
        Some(ground.now.weights.bytes.0 > occasion.situation.figures.free_bytes?)
    };
    if occasion.cause == "gpu-occupied" && occasion.engine() == "vllm" && too_large() == Some(true) { vec!["smaller-share"] } else { Vec::new() }
}

/// Changes of flags that memory does not decide.
fn fix(occasion: &Occasion<'_>, words: Words, changes: &[(&str, &str)]) -> Option<Remedy> {
    occasion.changed(words, changes, &occasion.circumstances(None, None))
}

/// A remedy beside the command that was run: one of its own, or in words.
fn aid(words: Words, command: Option<String>) -> Remedy {
    let Words { id, title, rationale, tradeoff } = words;
    Remedy { command, ..crate::causes::advice(id, title, rationale, tradeoff) }
}

/// A variable of the environment, where there is a command to put it into. Code that was put together from a model's name is
/// not what the user ran.
fn environment(occasion: &Occasion<'_>, words: Words, variable: (&str, &str)) -> Option<Remedy> {
    occasion.command.filter(|command| command.form != Form::Python)?;
    fix(occasion, words, &[variable])
}

/// The message that decided.
fn text<'o>(occasion: &Occasion<'o>) -> &'o str {
    &occasion.situation.fact.place.text
}

/// The first number behind some words.
fn digits_after(text: &str, words: &str) -> Option<u64> {
    let rest = &text[text.find(words)? + words.len()..];
    let line = rest.split(['\n', ')', '.']).next()?;
    let from = line.find(|c: char| c.is_ascii_digit())?;
    let digits = &line[from..];
    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

/// True for a name that is one word to every shell, and no option.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':'))
}

/// What the model's files take, where it is known.
fn weights_on_disk(occasion: &Occasion<'_>) -> Option<u64> {
    let model = Model::find(occasion.deployment.model.as_deref()?, &UserCatalogue::default()).ok()?;
    match &model.stored {
        Some(stored) => Some(stored.total().0),
        None if model.quantization.is_some() => None,
        None => Some(model.parameters.checked_mul(model.dtype.map_or(16, Dtype::bits))? / 8),
    }
}

/// The longest context that the engine's own figures leave room for.
fn context_that_holds(occasion: &Occasion<'_>) -> Option<Remedy> {
    let f = &occasion.situation.figures;
    if occasion.situation.phase() == Some(Phase::Serve) {
        return None;
    }
    let asked = f.max_model_len.or(occasion.deployment.max_model_len)?;
    let by_bytes = || {
        let (needed, there) = (f.kv_needed_bytes?, u64::try_from(f.kv_available_bytes?).ok()?);
        u64::try_from(u128::from(asked) * u128::from(there) / u128::from(needed.max(1))).ok()
    };
    let holds = f.kv_tokens.or_else(by_bytes).filter(|tokens| (1024..asked).contains(tokens))?;
    let step = if holds >= 16384 { 256 } else { 16 };
    let length = holds / step * step;
    let value = length.to_string();
    let input;
    let changes: Vec<(&str, &str)> = match occasion.engine() {
        "vllm" => vec![("--max-model-len", &value)],
        "tgi" => {
            // TGI wants prompt < total, and no prefill beyond the total.
            input = (length - length / 4).min(occasion.number("--max-batch-prefill-tokens").unwrap_or(u64::MAX)).to_string();
            vec![("--max-total-tokens", &value), ("--max-input-tokens", &input)]
        }
        _ => return None,
    };
    let words = Words {
        id: "shorter-context",
        title: format!("Limit the context to {length} tokens"),
        rationale: format!("By the engine's own figures the cache holds {holds} tokens, and one context must fit."),
        tradeoff: "Longer prompts and answers are refused.",
    };
    let mut remedy = fix(occasion, words, &changes)?;
    if let (Some(needed), Some(there)) = (f.kv_needed_bytes, f.kv_available_bytes.and_then(|bytes| u64::try_from(bytes).ok())) {
        let predicted = u64::try_from(u128::from(needed) * u128::from(length) / u128::from(asked.max(1))).ok()?;
        if predicted <= there {
            // The engine measured both; between two starts they move by little.
            remedy.fit = Some(Fit { verdict: Verdict::Fits.as_str(), predicted_bytes: predicted, limit_bytes: there, probability: 0.95 });
        }
    }
    Some(remedy)
}

/// The share of the device that is free, where the engine asked for more than that and the model fits into it.
fn share_that_is_free(occasion: &Occasion<'_>) -> Option<Remedy> {
    let f = &occasion.situation.figures;
    let (free, total) = (f.free_bytes?, f.total_bytes.filter(|total| *total > 0)?);
    if occasion.engine() != "vllm" || f.requested_bytes.is_none_or(|asked| asked <= free) {
        return None;
    }
    // Room for what lies beside the share.
    let share = ((free.saturating_sub(700 << 20)) as f64 / total as f64 * 100.0).floor() / 100.0;
    if !(0.1..1.0).contains(&share) {
        return None;
    }
    let ground = super::ground::Ground::of(occasion)?;
    let setup = crate::memory::estimate::Setup { fraction: Some(share), ..ground.setup.clone() };
    let e = crate::memory::estimate::estimate(&ground.model, &ground.device, &setup);
    let probability = e.probability.filter(|p| *p >= 0.5)?;
    let fit = super::memory::fit_of(&e, probability);
    let value = format!("{share:.2}");
    let words = Words {
        id: "smaller-share",
        title: format!("Give the engine only what is free (--gpu-memory-utilization {value})"),
        rationale: super::sentence(&fit),
        tradeoff: "Less key-value cache.",
    };
    let mut remedy = fix(occasion, words, &[("--gpu-memory-utilization", &value)])?;
    remedy.fit = Some(fit);
    Some(remedy)
}

fn trust(occasion: &Occasion<'_>) -> Option<Remedy> {
    let words = Words {
        id: "trust",
        title: "Read the repository's code, then allow it".to_owned(),
        rationale: "The model cannot be loaded without its own code. Pin the revision that you read.".to_owned(),
        tradeoff: "That code runs with all rights of the server: a repository that is changed later can do anything with them.",
    };
    match occasion.engine() {
        "vllm" | "tgi" | "sglang" => fix(occasion, words, &[("--trust-remote-code", "true")]),
        "transformers" => fix(occasion, words, &[("trust_remote_code", "true")]),
        _ => None,
    }
}

fn no_graphs(occasion: &Occasion<'_>) -> Option<Remedy> {
    let words = Words {
        id: "fewer-graphs",
        title: "Run without CUDA graphs".to_owned(),
        rationale: "Each captured size keeps its memory, and the cache has taken the rest before.".to_owned(),
        tradeoff: "Decoding is slower, most of all with few requests at a time.",
    };
    fix(occasion, words, &[("--cuda-graphs", "0")])
}
