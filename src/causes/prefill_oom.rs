//! `prefill-oom`.

use super::*;

/// Prefill does not fit.
pub const CAUSE: Cause = Cause {
    id: "prefill-oom",
    family: "device-memory",
    title: "Prefill does not fit",
    kinds: &[FactKind::PrefillTooLarge],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Prefill does not fit").to_owned(),
    explanation: |_| "Prefill does not fit.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::PrefillTooLarge) {
        return Claim::new(stated(s), "the engine says that the prefill does not fit");
    }
    memory_at(s, &[Stage::Profile, Stage::Prefill], "memory ran out in a prefill-sized forward pass")
}
