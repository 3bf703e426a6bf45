//! `parallelism-config`.

use super::*;

/// Parallel sizes do not fit.
pub const CAUSE: Cause = Cause {
    id: "parallelism-config",
    family: "configuration",
    title: "Parallel sizes do not fit",
    kinds: &[FactKind::Parallelism],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Parallel sizes do not fit").to_owned(),
    explanation: |_| "Parallel sizes do not fit.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Parallelism, "parallel sizes do not fit")
}
