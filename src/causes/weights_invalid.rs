//! `weights-invalid`.

use super::*;

/// Model files are wrong.
pub const CAUSE: Cause = Cause {
    id: "weights-invalid",
    family: "model-files-and-hub",
    title: "Model files are wrong",
    kinds: &[FactKind::WeightsInvalid],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Model files are wrong").to_owned(),
    explanation: |_| "Model files are wrong.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::WeightsInvalid, "model files are wrong")
}
