//! `cuda-fault`.

use super::*;

/// A GPU kernel faulted.
pub const CAUSE: Cause = Cause {
    id: "cuda-fault",
    family: "platform",
    title: "A GPU kernel faulted",
    kinds: &[FactKind::KernelFault],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("A GPU kernel faulted").to_owned(),
    explanation: |_| "A GPU kernel faulted.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::KernelFault, "a gpu kernel faulted")
}
