//! `invalid-argument`.

use super::*;

/// A flag or value is refused.
pub const CAUSE: Cause = Cause {
    id: "invalid-argument",
    family: "configuration",
    title: "A flag or value is refused",
    kinds: &[FactKind::Argument],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("A flag or value is refused").to_owned(),
    explanation: |_| "A flag or value is refused.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Argument, "a flag or value is refused")
}
