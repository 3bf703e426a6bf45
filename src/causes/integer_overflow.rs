//! `integer-overflow`.

use super::*;

/// An integer left its range.
pub const CAUSE: Cause = Cause {
    id: "integer-overflow",
    family: "numbers",
    title: "An integer left its range",
    kinds: &[FactKind::IntegerRange],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("An integer left its range").to_owned(),
    explanation: |_| "An integer left its range.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::IntegerRange, "an integer left its range")
}
