//! `internal-error`.

use super::*;

/// A defect inside the software.
pub const CAUSE: Cause = Cause {
    id: "internal-error",
    family: "platform",
    title: "A defect inside the software",
    kinds: &[FactKind::Internal, FactKind::Crash],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("A defect inside the software").to_owned(),
    explanation: |_| "A defect inside the software.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::Internal) || s.is(FactKind::Crash) {
        return Claim::new(stated(s).min(0.9), "an exception or crash inside the software");
    }
    match exit_signal(s.fact)? {
        4 | 7 | 8 | 11 => Claim::new(0.75, "the process crashed natively"),
        6 => Claim::new(0.5, "the process aborted"),
        _ => None,
    }
}
