//! `unknown`.

use super::*;

/// The log does not say why.
pub const CAUSE: Cause = Cause {
    id: "unknown",
    family: "no-cause",
    title: "The log does not say why",
    kinds: &[],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("The log does not say why").to_owned(),
    explanation: |_| "The log does not say why.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    match s.fact.kind {
        FactKind::Failure => Claim::new(0.45, "a failure that does not say why"),
        FactKind::Symptom | FactKind::ProcessExit => Claim::new(0.4, "only what followed from the failure is in the log"),
        FactKind::Hint => Claim::new(0.2, "only hints are in the log"),
        _ => None,
    }
}
