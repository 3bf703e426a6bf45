//! `fragmentation-oom`.

use super::*;

/// Device memory is fragmented.
pub const CAUSE: Cause = Cause {
    id: "fragmentation-oom",
    family: "device-memory",
    title: "Device memory is fragmented",
    kinds: &[],
    phase: Some(Phase::Serve),
    doc: "\
The allocator held enough memory, but not in one piece: what it had reserved without using is larger than what was asked
for, and at least a fifth of the device. Less than that is contributing.

**Recognised by** the figures of the out-of-memory message: reserved but unallocated above the request.

**Fixed by** the allocator's settings (`PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True`, in PyTorch before 2.1
`max_split_size_mb:128`), by sizes that vary less (padding to buckets), or by `torch.cuda.empty_cache()` between phases that
need different shapes.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if !s.is(FactKind::OutOfMemory) {
        return None;
    }
    let f = &s.fact.figures;
    let unused = f.reserved_unallocated_bytes.or_else(|| f.reserved_bytes?.checked_sub(f.allocated_bytes?))?;
    if unused <= f.tried_bytes? {
        return None;
    }
    let large = f.total_bytes.is_some_and(|total| unused >= total / 5);
    Claim::new(if large { 0.96 } else { 0.3 }, format!("the allocator held {} that it could not use in one piece", size(unused)))
}

fn headline(s: &Situation<'_>) -> String {
    let f = &s.figures;
    let unused = f.reserved_unallocated_bytes.or_else(|| f.reserved_bytes?.checked_sub(f.allocated_bytes?));
    match (f.tried_bytes, unused) {
        (Some(tried), Some(unused)) => format!("{} was refused although PyTorch held {} unused{}", size(tried), size(unused), on_device(s)),
        _ => "Device memory is fragmented".to_owned(),
    }
}

fn explanation(s: &Situation<'_>) -> String {
    "The allocator's unused memory is in pieces, none of which is large enough for the request.".to_owned() + &held(s)
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("expandable-segments", "Set the allocator's option against pieces: `expandable_segments:True`, in PyTorch before 2.1 `max_split_size_mb:128`", "Segments then grow instead of leaving holes; before, large blocks at least stay whole.", "None on Linux; not supported everywhere."),
        advice("even-sizes", "Pad inputs to a few fixed sizes", "Blocks can be used again when sizes repeat.", "Some wasted computation."),
        advice("empty-cache", "Call `torch.cuda.empty_cache()` between phases that need different shapes", "Unused segments go back to the driver.", "Time to allocate them again."),
    ]
}
