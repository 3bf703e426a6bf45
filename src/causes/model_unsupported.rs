//! `model-unsupported`.

use super::*;

/// Architecture is not known.
pub const CAUSE: Cause = Cause {
    id: "model-unsupported",
    family: "configuration",
    title: "Architecture is not known",
    kinds: &[FactKind::Architecture],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Architecture is not known").to_owned(),
    explanation: |_| "Architecture is not known.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Architecture, "architecture is not known")
}
