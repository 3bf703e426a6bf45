//! `shm-exhausted`.

use super::*;

/// Shared memory is too small.
pub const CAUSE: Cause = Cause {
    id: "shm-exhausted",
    family: "host-memory-and-storage",
    title: "Shared memory is too small",
    kinds: &[FactKind::SharedMemory],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Shared memory is too small").to_owned(),
    explanation: |_| "Shared memory is too small.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::SharedMemory, "shared memory is too small")
}
