//! `model-download`.

use super::*;

/// Model was not found or not fetched.
pub const CAUSE: Cause = Cause {
    id: "model-download",
    family: "model-files-and-hub",
    title: "Model was not found or not fetched",
    kinds: &[FactKind::HubFetch],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Model was not found or not fetched").to_owned(),
    explanation: |_| "Model was not found or not fetched.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::HubFetch, "model was not found or not fetched")
}
