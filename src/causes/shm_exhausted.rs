//! `shm-exhausted`.

use super::*;

/// Shared memory is too small.
pub const CAUSE: Cause = Cause {
    id: "shm-exhausted",
    family: "host-memory-and-storage",
    title: "Shared memory is too small",
    kinds: &[FactKind::SharedMemory],
    phase: Some(Phase::Load),
    doc: "\
Shared memory (`/dev/shm`) was too small for the workers or for NCCL. Docker gives a container 64 MiB.

**Recognised by** `No space left on device` where `/dev/shm` or `multiprocessing.shared_memory` is named, `unable to open shared
memory object`, a `Bus error` of data loader workers, or NCCL's `Error while creating shared memory segment`. vLLM's `No available
shared memory broadcast block found` is not one: it says that a process is slow.

**Fixed by** more of it: `docker run --shm-size 1g` or `--ipc=host`; in Kubernetes an `emptyDir` with `medium: Memory` mounted at
`/dev/shm`; or fewer data loader workers.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if is_bus_error(s) {
        return Claim::new(0.7, "a bus error: a page of shared memory could not be had");
    }
    direct(s, FactKind::SharedMemory, "shared memory was too small")
}

/// True for a program of Python's that a bus error ended: its workers share tensors by pages of /dev/shm. What maps its
/// model's file may have lost that.
fn is_bus_error(s: &Situation<'_>) -> bool {
    let maps_files = matches!(s.engine, Some("llama.cpp" | "ollama"));
    !maps_files && !s.is(FactKind::SharedMemory) && exit_signal(s.fact) == Some(7)
}

fn headline(s: &Situation<'_>) -> String {
    match s.figures.tried_bytes {
        Some(tried) => format!("Shared memory (/dev/shm) is too small: {} was refused", size(tried)),
        None if is_bus_error(s) => "A bus error ended the process: most likely shared memory (/dev/shm) is too small".to_owned(),
        None => "Shared memory (/dev/shm) is too small".to_owned(),
    }
}

fn explanation(_: &Situation<'_>) -> String {
    "Processes of one server exchange tensors through /dev/shm; a container gets 64 MiB of it unless told otherwise.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("shm-size", "Start the container with `--shm-size 1g` or more, or with `--ipc=host`", "It sets the size of /dev/shm.", "RAM that is used as it is needed."),
        advice("empty-dir", "In Kubernetes, mount an `emptyDir` with `medium: Memory` at /dev/shm", "Pods cannot set it otherwise.", "It counts towards the pod's memory limit."),
        advice("fewer-workers", "Use fewer data loader workers", "Each keeps batches there.", "Input throughput."),
    ]
}
