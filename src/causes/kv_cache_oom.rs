//! `kv-cache-oom`.

use super::*;

/// Key-value cache does not fit.
pub const CAUSE: Cause = Cause {
    id: "kv-cache-oom",
    family: "device-memory",
    title: "Key-value cache does not fit",
    kinds: &[FactKind::KvCacheTooSmall],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Key-value cache does not fit").to_owned(),
    explanation: |_| "Key-value cache does not fit.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::KvCacheTooSmall) {
        return Claim::new(stated(s), "the engine says that the key-value cache does not fit");
    }
    memory_at(s, &[Stage::KvCache], "memory ran out while the key-value cache was allocated")
}
