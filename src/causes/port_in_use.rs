//! `port-in-use`.

use super::*;

/// The port is taken.
pub const CAUSE: Cause = Cause {
    id: "port-in-use",
    family: "platform",
    title: "The port is taken",
    kinds: &[FactKind::Port],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("The port is taken").to_owned(),
    explanation: |_| "The port is taken.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Port, "the port is taken")
}
