//! `gpu-occupied`.

use super::*;

/// Other processes hold the GPU.
pub const CAUSE: Cause = Cause {
    id: "gpu-occupied",
    family: "device-memory",
    title: "Other processes hold the GPU's memory",
    kinds: &[FactKind::DeviceOccupied],
    phase: Some(Phase::Load),
    doc: "\
Other processes, or an earlier one that has not ended, held the memory: what was free at start-up was below what the engine
was told to take, or, in the failing message, total minus free minus this process's own exceeds what this process holds.

**Recognised by** the engine's own words (vLLM: `Free memory on device … on startup is less than desired GPU memory
utilization`, `Error in memory profiling`; SGLang: `The memory capacity is unbalanced`), or by that arithmetic. Inside a
container PyTorch names its own process as `Process N`: one process that holds about what PyTorch says it has reserved is
not taken for another.

**Fixed by** ending the other process (`nvidia-smi` lists them on the host), by waiting until an earlier run has released its
memory, by using another device (`CUDA_VISIBLE_DEVICES`), or by a smaller share for this engine.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::DeviceOccupied) {
        return Claim::new(stated(s), "less memory was free at start-up than the engine was told to take");
    }
    if !s.is(FactKind::OutOfMemory) {
        return None;
    }
    let f = &s.fact.figures;
    let by_allocator = || Some(f.allocated_bytes? + f.reserved_unallocated_bytes.unwrap_or(0) + CONTEXT);
    // What the driver says of this process is not believed when the allocator alone holds more.
    let by_driver = f.process_bytes.filter(|&bytes| bytes >= f.allocated_bytes.unwrap_or(0));
    let own = by_driver.or_else(by_allocator).or_else(|| Some(f.reserved_bytes? + CONTEXT))?;
    let others = others(s, own)?;
    let share = others as f64 / f.total_bytes? as f64;
    let weight = if others > own {
        0.97
    } else if share > 0.1 {
        0.35
    } else {
        return None;
    };
    Claim::new(weight, format!("other processes held {} of the device", size(others)))
}

/// Bytes of the device that neither are free nor belong to this process.
fn others(s: &Situation<'_>, own: u64) -> Option<u64> {
    let f = &s.fact.figures;
    f.total_bytes?.checked_sub(f.free_bytes?)?.checked_sub(own)
}

fn headline(s: &Situation<'_>) -> String {
    let f = &s.figures;
    match (f.free_bytes, f.total_bytes, f.requested_bytes) {
        (Some(free), Some(total), Some(requested)) => {
            let deficit = requested.checked_sub(free).filter(|&deficit| deficit > 0);
            let deficit = deficit.map_or(String::new(), |deficit| format!(": {} short", size(deficit)));
            format!("{} of {} was free{} at start-up; the engine was told to take {}{deficit}", size(free), size(total), on_device(s), size(requested))
        }
        (Some(free), Some(total), None) => format!("Other processes hold most of {}: {} of {} was free", s.figures.device.map_or("the device".to_owned(), |device| format!("GPU {device}")), size(free), size(total)),
        _ => format!("Other processes hold the GPU's memory: {}", said(s)),
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let mut text = "The memory was taken before this process asked for it, by another process or by an earlier one that has not ended.".to_owned();
    if let Some(pid) = s.fact.word("other_pid") {
        text += &format!(" The log names process {pid}.");
    }
    text + &arithmetic::sentences(s)
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let find = "Run `nvidia-smi` on the host, and end the process that holds the memory, if it is yours";
    let share = match s.engine {
        Some("tgi") => Some("Lower `--cuda-memory-fraction` to what is free"),
        Some("sglang") => Some("Lower `--mem-fraction-static` to what is free"),
        Some("vllm") => Some("Lower `--gpu-memory-utilization` to what is free"),
        _ => None,
    };
    let mut remedies = vec![
        advice("free-device", find, "It is not this model that is too large; the device is not empty.", "Whatever that process did stops."),
        advice("other-device", "Use a device that is empty (`CUDA_VISIBLE_DEVICES`, `--gpus device=N`)", "Each device has its own memory.", "None, if there is one."),
    ];
    remedies.extend(share.map(|share| advice("smaller-share", share, "The engine then plans with what is there.", "Less key-value cache.")));
    remedies
}
