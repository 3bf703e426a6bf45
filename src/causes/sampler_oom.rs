//! `sampler-oom`.

use super::*;

/// Logits or sampler do not fit.
pub const CAUSE: Cause = Cause {
    id: "sampler-oom",
    family: "device-memory",
    title: "Logits or sampler do not fit",
    kinds: &[FactKind::SamplerTooLarge],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Logits or sampler do not fit").to_owned(),
    explanation: |_| "Logits or sampler do not fit.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::SamplerTooLarge) {
        return Claim::new(stated(s), "the engine says that the sampler does not fit");
    }
    memory_at(s, &[Stage::Sampler], "memory ran out in the logits or sampler step")
}
