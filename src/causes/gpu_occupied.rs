//! `gpu-occupied`.

use super::*;

/// Other processes hold the GPU.
pub const CAUSE: Cause = Cause {
    id: "gpu-occupied",
    family: "device-memory",
    title: "Other processes hold the GPU",
    kinds: &[FactKind::DeviceOccupied],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Other processes hold the GPU").to_owned(),
    explanation: |_| "Other processes hold the GPU.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::DeviceOccupied) {
        return Claim::new(stated(s), "less memory was free at start-up than the engine was told to take");
    }
    if !s.is(FactKind::OutOfMemory) {
        return None;
    }
    let f = &s.fact.figures;
    let own = f.process_bytes.or_else(|| Some(f.allocated_bytes? + f.reserved_unallocated_bytes.unwrap_or(0) + CONTEXT))
        .or_else(|| Some(f.reserved_bytes? + CONTEXT))?;
    let others = f.total_bytes?.checked_sub(f.free_bytes?)?.checked_sub(own)?;
    let share = others as f64 / f.total_bytes? as f64;
    let weight = if others > own { 0.97 } else if share > 0.1 { 0.35 } else { return None };
    Claim::new(weight, format!("other processes held {} of the device", gib(others)))
}
