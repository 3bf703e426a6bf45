//! `graph-capture-oom`.

use super::*;

/// CUDA graphs do not fit.
pub const CAUSE: Cause = Cause {
    id: "graph-capture-oom",
    family: "device-memory",
    title: "CUDA graphs do not fit",
    kinds: &[FactKind::CaptureFailed],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("CUDA graphs do not fit").to_owned(),
    explanation: |_| "CUDA graphs do not fit.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::CaptureFailed) {
        return Claim::new(stated(s), "the engine says that graph capture failed for memory");
    }
    memory_at(s, &[Stage::Capture], "memory ran out while CUDA graphs were captured or kernels compiled")
}
