//! `collective-failure`.

use super::*;

/// Communication between ranks failed.
pub const CAUSE: Cause = Cause {
    id: "collective-failure",
    family: "platform",
    title: "Communication between ranks failed",
    kinds: &[FactKind::Collective],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Communication between ranks failed").to_owned(),
    explanation: |_| "Communication between ranks failed.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Collective, "communication between ranks failed")
}
