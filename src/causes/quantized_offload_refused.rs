//! `quantized-offload-refused`.

use super::*;

/// Quantized modules cannot be offloaded.
pub const CAUSE: Cause = Cause {
    id: "quantized-offload-refused",
    family: "placement-and-offload",
    title: "Quantized modules cannot be offloaded",
    kinds: &[FactKind::OffloadRefused],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Quantized modules cannot be offloaded").to_owned(),
    explanation: |_| "Quantized modules cannot be offloaded.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::OffloadRefused, "quantized modules cannot be offloaded")
}
