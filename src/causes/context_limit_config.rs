//! `context-limit-config`.

use super::*;

/// Context length or token budgets contradict.
pub const CAUSE: Cause = Cause {
    id: "context-limit-config",
    family: "configuration",
    title: "Context length or token budgets contradict",
    kinds: &[FactKind::ContextLimit],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Context length or token budgets contradict").to_owned(),
    explanation: |_| "Context length or token budgets contradict.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::ContextLimit, "context length or token budgets contradict")
}
