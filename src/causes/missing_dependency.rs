//! `missing-dependency`.

use super::*;

/// A dependency is missing.
pub const CAUSE: Cause = Cause {
    id: "missing-dependency",
    family: "platform",
    title: "A dependency is missing",
    kinds: &[FactKind::Dependency],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("A dependency is missing").to_owned(),
    explanation: |_| "A dependency is missing.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Dependency, "a dependency is missing")
}
