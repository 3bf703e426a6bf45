//! `template-error`.

use super::*;

/// Chat template failed.
pub const CAUSE: Cause = Cause {
    id: "template-error",
    family: "prompt-template",
    title: "Chat template failed",
    kinds: &[FactKind::Template],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Chat template failed").to_owned(),
    explanation: |_| "Chat template failed.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Template, "chat template failed")
}
