//! `host-oom`.

use super::*;

/// Host memory ran out.
pub const CAUSE: Cause = Cause {
    id: "host-oom",
    family: "host-memory-and-storage",
    title: "Host memory ran out",
    kinds: &[FactKind::HostMemory],
    phase: Some(Phase::Load),
    doc: "\
Host RAM ran out: the kernel's or a cgroup's OOM killer, exit code 137, signal 9 while loading, the CPU allocator's refusal,
pinned memory that could not be had.

**Recognised by** the kernel's lines (`Out of memory: Killed process`, `Memory cgroup out of memory`), `OOMKilled`, exit code 137 or
signal 9 without another cause, or `DefaultCPUAllocator: can't allocate memory`. A signal 9 alone may also be somebody's
`docker kill`; then the confidence is lower.

**Fixed by** more memory for the container or pod, by loading that does not hold the whole model in RAM (safetensors instead
of `.bin`, one process at a time), by less offload to the CPU, or by a smaller swap space or pinned pool.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::HostMemory) {
        let weight = if s.fact.word("how") == Some("sigkill") { stated(s).min(0.85) } else { stated(s) };
        return Claim::new(weight, "host memory ran out");
    }
    match exit_signal(s.fact)? {
        9 if s.at(&[Stage::Serve, Stage::Prefill, Stage::Decode]) => Claim::new(0.7, "the process was killed with signal 9"),
        9 => Claim::new(0.85, "the process was killed with signal 9 while it loaded"),
        _ => None,
    }
}

fn headline(s: &Situation<'_>) -> String {
    let f = &s.figures;
    let doing = match s.stage {
        Some(Stage::Download) => " while files were downloaded or converted",
        Some(Stage::Load | Stage::Weights) => " while the model was loaded",
        Some(Stage::Train) => " while training",
        _ => "",
    };
    match (f.host_used_bytes, f.tried_bytes) {
        (Some(used), _) => format!("Host memory ran out{doing}: the killed process held {}", size(used)),
        (None, Some(tried)) if s.fact.kind == FactKind::HostMemory => format!("Host memory ran out{doing}: {} was refused", size(tried)),
        _ if s.fact.kind != FactKind::HostMemory || s.fact.word("how") == Some("sigkill") => {
            format!("The process was killed (signal 9){doing}: most likely host memory ran out")
        }
        _ => format!("Host memory ran out{doing}"),
    }
}

fn explanation(s: &Situation<'_>) -> String {
    if s.fact.kind != FactKind::HostMemory || s.fact.word("how") == Some("sigkill") {
        return "Nothing in the log explains the kill but the kernel, which kills without a word to the program. Its own log would prove it: `dmesg -T`, `docker inspect` (OOMKilled), `kubectl describe pod`.".to_owned();
    }
    "The machine's or the container's RAM ran out, not the GPU's.".to_owned()
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if is_ggml(s) {
        return vec![
            advice("more-ram", "Give the machine, container or virtual machine more memory, or close what else uses it", "Layers that are not on a device stay in RAM.", "RAM."),
            advice("smaller-model", "Take a GGUF file with fewer bits for each weight, a smaller model or a shorter context", "There is less to hold.", "Some quality."),
        ];
    }
    vec![
        advice("more-ram", "Give the container or pod more memory, or remove its limit", "Loading needs RAM for what is on its way to the device.", "RAM."),
        advice("lighter-load", "Load from safetensors, and with fewer processes at a time", "A `.bin` checkpoint is read whole by each process; safetensors are mapped.", "None, where such files are published."),
        advice("smaller-model", "Take a smaller or quantized checkpoint", "There is less to hold on the way.", "Some quality."),
    ]
}
