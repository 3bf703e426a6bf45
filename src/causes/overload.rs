//! `overload`.

use super::*;

/// The server was saturated.
pub const CAUSE: Cause = Cause {
    id: "overload",
    family: "operation",
    title: "The server was saturated",
    kinds: &[FactKind::Overload],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("The server was saturated").to_owned(),
    explanation: |_| "The server was saturated.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Overload, "the server was saturated")
}
