//! `model-auth`.

use super::*;

/// The hub refused access.
pub const CAUSE: Cause = Cause {
    id: "model-auth",
    family: "model-files-and-hub",
    title: "The hub refused access",
    kinds: &[FactKind::HubAuth],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("The hub refused access").to_owned(),
    explanation: |_| "The hub refused access.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::HubAuth, "the hub refused access")
}
