//! `quantization-unsupported`.

use super::*;

/// Quantization does not match.
pub const CAUSE: Cause = Cause {
    id: "quantization-unsupported",
    family: "configuration",
    title: "Quantization does not match",
    kinds: &[FactKind::Quantization],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Quantization does not match").to_owned(),
    explanation: |_| "Quantization does not match.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Quantization, "quantization does not match")
}
