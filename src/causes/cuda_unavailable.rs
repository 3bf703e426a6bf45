//! `cuda-unavailable`.

use super::*;

/// No usable GPU.
pub const CAUSE: Cause = Cause {
    id: "cuda-unavailable",
    family: "platform",
    title: "No usable GPU",
    kinds: &[FactKind::NoGpu],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("No usable GPU").to_owned(),
    explanation: |_| "No usable GPU.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::NoGpu, "no usable gpu")
}
