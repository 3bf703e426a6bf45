//! `fragmentation-oom`.

use super::*;

/// Device memory is fragmented.
pub const CAUSE: Cause = Cause {
    id: "fragmentation-oom",
    family: "device-memory",
    title: "Device memory is fragmented",
    kinds: &[],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Device memory is fragmented").to_owned(),
    explanation: |_| "Device memory is fragmented.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if !s.is(FactKind::OutOfMemory) {
        return None;
    }
    let f = &s.figures;
    let (unused, tried) = (f.reserved_unallocated_bytes?, f.tried_bytes?);
    if unused <= tried {
        return None;
    }
    let large = f.total_bytes.is_some_and(|total| unused >= total / 5);
    Claim::new(if large { 0.96 } else { 0.3 }, format!("the allocator held {} that it could not use in one piece", gib(unused)))
}
