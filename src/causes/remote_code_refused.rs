//! `remote-code-refused`.

use super::*;

/// The model's own code is not trusted.
pub const CAUSE: Cause = Cause {
    id: "remote-code-refused",
    family: "configuration",
    title: "The model's own code is not trusted",
    kinds: &[FactKind::RemoteCode],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("The model's own code is not trusted").to_owned(),
    explanation: |_| "The model's own code is not trusted.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::RemoteCode, "the model's own code is not trusted")
}
