//! `sampler-oom`.

use super::*;

/// The logits or the sampler do not fit.
pub const CAUSE: Cause = Cause {
    id: "sampler-oom",
    family: "device-memory",
    title: "The logits or the sampler do not fit",
    kinds: &[FactKind::SamplerTooLarge],
    phase: Some(Phase::Profile),
    doc: "\
Memory ran out in the logits or sampler step: warming up the sampler with dummy requests, or log-probabilities over the
vocabulary.

**Recognised by** vLLM's `CUDA out of memory occurred when warming up sampler with N dummy requests`, or by an out-of-memory
message whose traceback is in the logits or the sampler (`compute_logits`, `_dummy_sampler_run`, `log_softmax`,
`gather_logprobs`). The step needs requests × vocabulary × 4 bytes, several times over.

**Fixed by** fewer sequences at once (`--max-num-seqs`), fewer log-probabilities, or a smaller share for the cache.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::SamplerTooLarge) {
        return Claim::new(stated(s), "the engine says that the sampler does not fit");
    }
    memory_at(s, &[Stage::Sampler], "memory ran out in the logits or sampler step")
}

fn headline(s: &Situation<'_>) -> String {
    let lead = match s.fact.number("count").and_then(|n| u64::try_from(n).ok()) {
        Some(requests) => format!("Not enough memory left to warm up the sampler with {} requests", thousands(requests)),
        None => "Not enough memory left for the logits or the sampler".to_owned(),
    };
    match refusal_and_deficit(s) {
        Some(refusal) => format!("{lead}{}: {refusal}", on_device(s)),
        None => lead,
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let text = "The step needs requests times vocabulary times 4 bytes several times over, on top of weights and cache.";
    text.to_owned() + &held(s)
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("fewer-sequences", "Run fewer sequences at once (vLLM: `--max-num-seqs`)", "The sampler's memory grows with them.", "Less throughput under load."),
        advice("smaller-share", "Leave more of the device free (vLLM: lower `--gpu-memory-utilization`)", "The cache is sized first; what is outside its share is left for the sampler.", "Less key-value cache."),
        advice("fewer-logprobs", "Ask for fewer log-probabilities, none for the prompt", "Those of a prompt are tokens times vocabulary.", "Requests that want them."),
    ]
}
