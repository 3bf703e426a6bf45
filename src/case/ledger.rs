//! Where the memory of a device went, from the figures that the log prints.

use crate::facts::Fact;
use crate::post_mortem::{Basis, Component, Figures, Ledger, Memory};

/// The ledger of the device that a failure was on.
///
/// What PyTorch has allocated is not called weights: it holds cache, activations and workspace too.
pub fn memory(figures: &Figures, decisive: Option<&Fact>) -> Memory {
    // The line is named only when all the figures stand on it.
    let line = decisive.filter(|fact| fact.figures.known() == figures.known()).map(|fact| fact.place.first_line);
    let mut components: Vec<Component> = Vec::new();
    let mut add = |name: &'static str, bytes: Option<u64>, basis: Basis| {
        if let Some(bytes) = bytes.filter(|&bytes| bytes > 0) {
            components.push(Component { name, bytes, basis, line: if basis == Basis::Logged { line } else { None } });
        }
    };
    let f = figures;
    match f.allocated_bytes {
        Some(allocated) => {
            match f.weights_bytes.filter(|&weights| weights <= allocated) {
                Some(weights) => {
                    add("weights", Some(weights), Basis::Logged);
                    add("other-allocations", Some(allocated - weights), Basis::Derived);
                }
                None => add("allocated-by-pytorch", Some(allocated), Basis::Logged),
            }
            let unused = f.reserved_unallocated_bytes.or_else(|| f.reserved_bytes?.checked_sub(allocated));
            let basis = if f.reserved_unallocated_bytes.is_some() { Basis::Logged } else { Basis::Derived };
            add("reserved-unallocated", unused, basis);
            add("other-processes", f.other_processes_bytes, Basis::Logged);
            let known = allocated + unused.unwrap_or(0) + f.other_processes_bytes.unwrap_or(0) + f.free_bytes.unwrap_or(0);
            if f.free_bytes.is_some() {
                add("outside-the-allocator", f.total_bytes.and_then(|total| total.checked_sub(known)), Basis::Derived);
            }
        }
        None => {
            add("weights", f.weights_bytes, Basis::Logged);
            add("activations", f.activation_bytes, Basis::Logged);
            add("outside-the-allocator", f.non_torch_bytes, Basis::Logged);
            add("graphs", f.graph_bytes, Basis::Logged);
            let cache = f.kv_cache_bytes.or_else(|| u64::try_from(f.kv_available_bytes?).ok());
            add("kv-cache", cache, Basis::Logged);
            add("other-processes", f.other_processes_bytes, Basis::Logged);
        }
    }
    add("free", f.free_bytes, Basis::Logged);
    if components.is_empty() {
        return Memory::default();
    }
    Memory { devices: vec![Ledger { index: f.device.unwrap_or(0), total_bytes: f.total_bytes, components }] }
}
