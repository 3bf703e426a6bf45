//! `inference-oom`.

use super::*;

/// Inference ran out of device memory.
pub const CAUSE: Cause = Cause {
    id: "inference-oom",
    family: "device-memory",
    title: "Inference ran out of device memory",
    kinds: &[],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Inference ran out of device memory").to_owned(),
    explanation: |_| "Inference ran out of device memory.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::OutOfMemory) && s.stage.is_none() {
        return Claim::new(0.6, "memory ran out, and the log does not show at what");
    }
    memory_at(s, &[Stage::Serve, Stage::Decode], "memory ran out in a forward or generate step")
}
