//! `prefill-oom`.

use super::*;

/// The prefill does not fit.
pub const CAUSE: Cause = Cause {
    id: "prefill-oom",
    family: "device-memory",
    title: "The prefill does not fit",
    kinds: &[FactKind::PrefillTooLarge],
    phase: Some(Phase::Profile),
    doc: "\
The weights were in, and memory ran out in a forward pass of prefill size: warm-up or profiling over N prefill tokens,
multimodal profiling, or a long prompt while serving.

**Recognised by** the engine's own words (TGI: `Not enough memory to handle N prefill tokens`), by an out-of-memory message
whose traceback is in the profiling or warm-up run (`profile_run`, `determine_available_memory`, `warmup`), or that stands
between the mark that the weights are in and the mark that the cache was sized. TGI up to 1.x says it of any failure in
its warm-up; then the exception before it decides.

**Fixed by** fewer tokens in one prefill (TGI: `--max-batch-prefill-tokens`, together with `--max-input-tokens`; vLLM:
`--max-num-batched-tokens`, chunked prefill, fewer images for each prompt), by weights that take less (quantization), or by
more memory.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::PrefillTooLarge) {
        return Claim::new(stated(s), "the engine says that the prefill does not fit");
    }
    memory_at(s, &[Stage::Profile, Stage::Prefill], "memory ran out in a forward pass of prefill size")
}

fn headline(s: &Situation<'_>) -> String {
    let doing = if s.at(&[Stage::Prefill, Stage::Serve]) { "run a prefill" } else { "warm up" };
    let lead = match s.figures.prefill_tokens {
        Some(tokens) => format!("Not enough memory left to {doing} of {} prefill tokens", thousands(tokens)).replace("warm up of", "warm up"),
        None if doing == "warm up" => "Not enough memory left for the warm-up's forward pass".to_owned(),
        None => "Not enough memory left for the prefill of a prompt".to_owned(),
    };
    match refusal_and_deficit(s) {
        Some(refusal) => format!("{lead}{}: {refusal}", on_device(s)),
        None => lead,
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let mut text = "The weights are in; what is left did not hold the activations of one prefill-sized forward pass.".to_owned();
    text += &held(s);
    if s.figures.allocated_bytes.is_some() && s.figures.weights_bytes.is_none() && s.need.is_none_or(|need| need.weights.is_none()) {
        text += " That is weights, cache and activations together; the log does not give the weights alone.";
    }
    text
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let fewer = match s.engine {
        Some("tgi") => "Lower `--max-batch-prefill-tokens`, and `--max-input-tokens` with it",
        Some("vllm") => "Lower `--max-num-seqs` and `--max-num-batched-tokens`, or `--max-model-len` where prefill is not chunked",
        Some("sglang") => "Lower `--chunked-prefill-size`",
        Some("llama.cpp" | "ollama") => "Lower the batch sizes (`-b`, `-ub`) or the context (`-c`)",
        _ => "Send shorter inputs, or fewer of them at once",
    };
    vec![
        advice("fewer-prefill-tokens", fewer, "The activations of a prefill grow with its tokens.", "Long prompts are refused or split; time to first token."),
        advice("quantize", "Load the weights quantized", "It frees a half to three quarters of what the weights take.", "Some quality."),
        advice("bigger-device", "Take a device with more memory, or split the model over several", "There is then room for weights and activations.", "Hardware."),
    ]
}
