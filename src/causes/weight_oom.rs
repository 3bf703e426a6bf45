//! `weight-oom`.

use super::*;

/// Weights do not fit.
pub const CAUSE: Cause = Cause {
    id: "weight-oom",
    family: "device-memory",
    title: "Weights do not fit",
    kinds: &[FactKind::WeightsTooLarge],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Weights do not fit").to_owned(),
    explanation: |_| "Weights do not fit.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::WeightsTooLarge) {
        return Claim::new(stated(s), "the engine says that the weights do not fit");
    }
    memory_at(s, &[Stage::Weights, Stage::Load, Stage::Download], "memory ran out while weights were loaded")
}
