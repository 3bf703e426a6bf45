//! `meta-tensor-offload`.

use super::*;

/// A tensor without data was used.
pub const CAUSE: Cause = Cause {
    id: "meta-tensor-offload",
    family: "placement-and-offload",
    title: "A tensor without data was used",
    kinds: &[FactKind::MetaTensor],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("A tensor without data was used").to_owned(),
    explanation: |_| "A tensor without data was used.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::MetaTensor, "a tensor without data was used")
}
