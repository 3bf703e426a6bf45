//! `terminated`.

use super::*;

/// Told to stop from outside.
pub const CAUSE: Cause = Cause {
    id: "terminated",
    family: "operation",
    title: "Told to stop from outside",
    kinds: &[FactKind::StopSignal],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Told to stop from outside").to_owned(),
    explanation: |_| "Told to stop from outside.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::StopSignal) {
        return Claim::new(stated(s).min(0.9), "something outside told the process to stop");
    }
    match exit_signal(s.fact)? {
        2 | 15 => Claim::new(0.8, "the process ended on a signal to stop"),
        _ => None,
    }
}
