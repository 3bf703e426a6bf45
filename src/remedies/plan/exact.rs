//! Causes whose message says what has to change.

use super::{Occasion, Words};
use crate::memory::estimate::Verdict;
use crate::post_mortem::{Fit, Phase, Remedy};

/// The fixes that are known.
pub(super) fn plan(occasion: &Occasion<'_>) -> Vec<Remedy> {
    let found = match occasion.cause {
        "kv-cache-oom" => context_that_holds(occasion),
        "gpu-occupied" => share_that_is_free(occasion),
        "context-limit-config" => budgets(occasion),
        "remote-code-refused" => trust(occasion),
        "shm-exhausted" => shared_memory(occasion),
        "dtype-unsupported" => half(occasion),
        "model-auth" => token(occasion),
        "port-in-use" => port(occasion),
        "graph-capture-oom" if occasion.engine() == "tgi" => no_graphs(occasion),
        "fragmentation-oom" => segments(occasion),
        "cuda-fault" => blocking(occasion),
        "collective-failure" => nccl(occasion),
        "meta-tensor-offload" | "quantized-offload-refused" => four_bits(occasion),
        "weight-oom" if occasion.deployment.engine.as_deref() == Some("transformers") => four_bits(occasion),
        _ => None,
    };
    found.into_iter().collect()
}

/// Words that would not help: what is free on an occupied device does not hold the weights.
pub(super) fn useless(occasion: &Occasion<'_>) -> Vec<&'static str> {
    let too_large = || {
        let ground = super::ground::Ground::of(occasion)?;
        Some(ground.now.weights.bytes.0 > occasion.situation.figures.free_bytes?)
    };
    if occasion.cause == "gpu-occupied" && occasion.engine() == "vllm" && too_large() == Some(true) { vec!["smaller-share"] } else { Vec::new() }
}

impl Occasion<'_> {
    fn engine(&self) -> &str {
        self.deployment.engine.as_deref().unwrap_or_default()
    }

    fn fix(&self, words: Words, changes: &[(&str, &str)]) -> Option<Remedy> {
        self.changed(words, changes, &self.circumstances(None, None))
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
        rationale: format!(
            "By the engine's own figures the cache holds {holds} tokens, and one context must fit. It worked when the server comes up."
        ),
        tradeoff: "Longer prompts and answers are refused.",
    };
    let mut remedy = occasion.fix(words, &changes)?;
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
        rationale: format!("{} It worked when the log says `Application startup complete`.", super::sentence(&fit)),
        tradeoff: "Less key-value cache.",
    };
    let mut remedy = occasion.fix(words, &[("--gpu-memory-utilization", &value)])?;
    remedy.fit = Some(fit);
    Some(remedy)
}

/// Budgets of TGI that satisfy one another, changed as little as can be.
fn budgets(occasion: &Occasion<'_>) -> Option<Remedy> {
    let fact = occasion.situation.fact;
    if occasion.engine() != "tgi" || !fact.place.text.contains("ArgumentValidation") {
        return None;
    }
    let input_flag = if occasion.value("--max-input-length").is_some() && occasion.value("--max-input-tokens").is_none() {
        "--max-input-length"
    } else {
        "--max-input-tokens"
    };
    let total = occasion.number("--max-total-tokens")?;
    let prefill = occasion.number("--max-batch-prefill-tokens");
    let batch = occasion.number("--max-batch-total-tokens");
    let total = batch.map_or(total, |batch| total.min(batch));
    let input = occasion.number(input_flag)?;
    let input = if input >= total { total - total / 4 } else { input };
    // Prompts are not split in all versions.
    let wanted_prefill = prefill.map(|prefill| batch.map_or(prefill.max(input), |batch| prefill.max(input).min(batch)));
    let (total, input) = (total.to_string(), input.to_string());
    let mut changes = vec![("--max-total-tokens", total.as_str()), (input_flag, input.as_str())];
    let text = wanted_prefill.map(|prefill| prefill.to_string());
    if let Some(text) = text.as_deref() {
        changes.push(("--max-batch-prefill-tokens", text));
    }
    let words = Words {
        id: "consistent-budgets",
        title: "Give token budgets that satisfy one another".to_owned(),
        rationale: "A prompt must be shorter than prompt and answer together, a prefill must hold a prompt, and both must be within the batch."
            .to_owned(),
        tradeoff: "Shorter prompts.",
    };
    occasion.fix(words, &changes)
}

fn trust(occasion: &Occasion<'_>) -> Option<Remedy> {
    let words = Words {
        id: "trust",
        title: "Read the repository's code, then allow it".to_owned(),
        rationale: "The model cannot be loaded without its own code. Pin the revision that you read.".to_owned(),
        tradeoff: "That code runs with all rights of the server: a repository that is changed later can do anything with them.",
    };
    match occasion.engine() {
        "vllm" | "tgi" | "sglang" => occasion.fix(words, &[("--trust-remote-code", "true")]),
        "transformers" => occasion.fix(words, &[("trust_remote_code", "true")]),
        _ => None,
    }
}

/// More shared memory, where the command runs a container.
fn shared_memory(occasion: &Occasion<'_>) -> Option<Remedy> {
    occasion.command?.container.as_ref()?;
    let gib = occasion.deployment.tensor_parallel.unwrap_or(1).clamp(1, 8) * 2;
    let words = Words {
        id: "shm-size",
        title: format!("Give the container {gib} GiB of shared memory"),
        rationale:
            "Docker gives 64 MiB; processes that share a model exchange data there. It worked when `df -h /dev/shm` in the container shows it."
                .to_owned(),
        tradeoff: "RAM that is used as it is needed.",
    };
    occasion.fix(words, &[("--shm-size", &format!("{gib}g"))])
}

/// float16, where the message says that bfloat16 is the trouble.
fn half(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = occasion.situation.fact.place.text.to_ascii_lowercase();
    let is_bfloat = text.contains("bfloat16 is only supported") || text.contains("bfloat16 is not supported");
    if !is_bfloat {
        return None;
    }
    let words = Words {
        id: "half",
        title: "Use float16".to_owned(),
        rationale: "bfloat16 is refused here; all CUDA cards that serve language models run float16.".to_owned(),
        tradeoff: "A smaller range of values: watch for nan.",
    };
    match occasion.engine() {
        "vllm" | "sglang" => occasion.fix(words, &[("--dtype", "half")]),
        "tgi" => occasion.fix(words, &[("--dtype", "float16")]),
        _ => None,
    }
}

/// The token, handed through from the environment; it is never printed.
fn token(occasion: &Occasion<'_>) -> Option<Remedy> {
    let command = occasion.command?;
    command.container.as_ref()?;
    let command = command.with_token()?;
    let text = command.print(crate::remedies::command::Shell::Sh, &occasion.circumstances(None, None)).ok()?;
    Some(Remedy {
        id: "pass-token".to_owned(),
        title: "Pass the token into the container".to_owned(),
        rationale:
            "The login of the host is not seen inside. Set HF_TOKEN in the shell first, to a token of the account that accepted the model's terms."
                .to_owned(),
        tradeoff: "The token is a secret: keep it out of the command line.".to_owned(),
        command: Some(text),
        changes: Vec::new(),
        fit: None,
    })
}

/// The next port, where the server's own one is taken and no container maps it.
fn port(occasion: &Occasion<'_>) -> Option<Remedy> {
    let command = occasion.command?;
    if command.container.is_some() || !matches!(occasion.engine(), "vllm" | "tgi" | "sglang" | "llama.cpp") {
        return None;
    }
    let default = command.table()?.port;
    let now = occasion.number("--port").or(Some(u64::from(default)))?;
    // Another port of the server may be the one that is taken.
    if !occasion.situation.fact.place.text.contains(&now.to_string()) {
        return None;
    }
    let to = (now + 1).to_string();
    let words = Words {
        id: "other-port",
        title: format!("Listen on port {to}"),
        rationale: format!("Port {now} is taken. `ss -ltnp` shows by whom, and whether {to} is free."),
        tradeoff: "Clients must know it.",
    };
    occasion.fix(words, &[("--port", &to)])
}

fn no_graphs(occasion: &Occasion<'_>) -> Option<Remedy> {
    let words = Words {
        id: "fewer-graphs",
        title: "Run without CUDA graphs".to_owned(),
        rationale: "Each captured size keeps its memory, and the cache has taken the rest before.".to_owned(),
        tradeoff: "Decoding is slower, most of all with few requests at a time.",
    };
    occasion.fix(words, &[("--cuda-graphs", "0")])
}

fn segments(occasion: &Occasion<'_>) -> Option<Remedy> {
    environment(
        occasion,
        Words {
            id: "expandable-segments",
            title: "Let the allocator's segments grow".to_owned(),
            rationale: "Segments then grow instead of leaving holes.".to_owned(),
            tradeoff: "None on Linux; not supported everywhere.",
        },
        ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"),
    )
}

fn blocking(occasion: &Occasion<'_>) -> Option<Remedy> {
    environment(
        occasion,
        Words {
            id: "blocking",
            title: "Run it once with CUDA_LAUNCH_BLOCKING=1 and read the traceback again".to_owned(),
            rationale: "Each kernel is then waited for, so that the right line fails.".to_owned(),
            tradeoff: "Slow; for diagnosis only.",
        },
        ("CUDA_LAUNCH_BLOCKING", "1"),
    )
}

fn nccl(occasion: &Occasion<'_>) -> Option<Remedy> {
    environment(
        occasion,
        Words {
            id: "nccl-debug",
            title: "Run it once with NCCL_DEBUG=INFO and look for the first rank that stops".to_owned(),
            rationale: "The time-out names who waited, not who failed.".to_owned(),
            tradeoff: "A long log.",
        },
        ("NCCL_DEBUG", "INFO"),
    )
}

/// A variable of the environment, where there is a command to put it into.
fn environment(occasion: &Occasion<'_>, words: Words, variable: (&str, &str)) -> Option<Remedy> {
    occasion.command?;
    occasion.fix(words, &[variable])
}

/// The model in 4 bits on one device, as Python code.
fn four_bits(occasion: &Occasion<'_>) -> Option<Remedy> {
    occasion.command?;
    if occasion.engine() != "transformers" || occasion.value("load_in_4bit").is_some() {
        return None;
    }
    let model = crate::memory::Model::find(occasion.deployment.model.as_deref()?, &crate::memory::catalogue::UserCatalogue::default()).ok()?;
    if model.quantization.is_some() {
        return None;
    }
    let fit = super::memory::fit_in_four_bits(occasion, &model)?;
    if fit.verdict == Verdict::Exceeds.as_str() {
        return None;
    }
    let words = Words {
        id: if occasion.cause == "weight-oom" { "quantize" } else { "fit-on-device" },
        title: "Load the model in 4 bits, so that all of it is on the device".to_owned(),
        rationale: format!(
            "{} What is not offloaded always has its data. It worked when `model.hf_device_map` names no cpu and no disk.",
            super::sentence(&fit)
        ),
        tradeoff: "Some quality.",
    };
    let changes = [("load_in_4bit", "true"), ("bnb_4bit_quant_type", "nf4"), ("bnb_4bit_compute_dtype", "float16"), ("device_map", "auto")];
    let mut remedy = occasion.fix(words, &changes)?;
    remedy.command.as_ref()?;
    remedy.fit = Some(fit);
    Some(remedy)
}
