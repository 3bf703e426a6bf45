//! `device-mismatch`.

use super::*;

/// Tensors are on different devices.
pub const CAUSE: Cause = Cause {
    id: "device-mismatch",
    family: "placement-and-offload",
    title: "Tensors are on different devices",
    kinds: &[FactKind::DeviceMismatch],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Tensors are on different devices").to_owned(),
    explanation: |_| "Tensors are on different devices.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::DeviceMismatch, "tensors are on different devices")
}
