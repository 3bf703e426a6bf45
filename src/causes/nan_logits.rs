//! `nan-logits`.

use super::*;

/// Values are not finite.
pub const CAUSE: Cause = Cause {
    id: "nan-logits",
    family: "numbers",
    title: "Values are not finite",
    kinds: &[FactKind::NonFinite],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Values are not finite").to_owned(),
    explanation: |_| "Values are not finite.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::NonFinite, "values are not finite")
}
