//! `disk-full`.

use super::*;

/// A file system is full.
pub const CAUSE: Cause = Cause {
    id: "disk-full",
    family: "host-memory-and-storage",
    title: "A file system is full",
    kinds: &[FactKind::DiskFull],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("A file system is full").to_owned(),
    explanation: |_| "A file system is full.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::DiskFull, "a file system is full")
}
