//! `gpu-hardware`.

use super::*;

/// The GPU failed.
pub const CAUSE: Cause = Cause {
    id: "gpu-hardware",
    family: "platform",
    title: "The GPU failed",
    kinds: &[FactKind::Hardware],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("The GPU failed").to_owned(),
    explanation: |_| "The GPU failed.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Hardware, "the gpu failed")
}
