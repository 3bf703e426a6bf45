//! Memory and storage of the host, and who stopped the server.

use super::{aid, fix, weights_on_disk};
use crate::post_mortem::Remedy;
use crate::remedies::flags::Version;
use crate::remedies::plan::{Occasion, Words};
use crate::units::size;

/// What a process needs beside the weights that pass through it: interpreter, libraries, buffers for transfers.
const BESIDE: u64 = 8 << 30;

/// More of the host's memory.
pub(super) fn memory(occasion: &Occasion<'_>) -> Vec<Option<Remedy>> {
    vec![larger_page_file(occasion), larger_limit(occasion), no_swap_space(occasion), piece_by_piece(occasion)]
}

/// Windows promises no more memory than RAM and page file hold together, used or not.
fn larger_page_file(occasion: &Occasion<'_>) -> Option<Remedy> {
    if occasion.situation.fact.word("how") != Some("page-file") {
        return None;
    }
    let words = Words {
        id: "larger-page-file",
        title: "Enlarge Windows' page file, or let Windows manage its size".to_owned(),
        rationale: "What ran out is memory that Windows promised: RAM and page file together. Each process that loads CUDA's libraries is promised several GiB, used or not; fewer worker processes ask for less. The setting is in System Properties > Advanced > Performance > Virtual memory (`SystemPropertiesPerformance.exe`).".to_owned(),
        tradeoff: "Space on a disk, and a restart.",
    };
    Some(aid(words, None))
}

/// The container's limit, above what loading takes.
fn larger_limit(occasion: &Occasion<'_>) -> Option<Remedy> {
    let needed = weights_on_disk(occasion)? + BESIDE;
    let gib = needed.div_ceil(1 << 30);
    let limit = occasion.command.and_then(|command| command.option("--memory"));
    let words = Words {
        id: "more-ram",
        title: format!("Give it {gib} GiB of host memory"),
        rationale: format!("Weights of {} pass through it while they are loaded, and a process needs some GiB beside them.", size(needed - BESIDE)),
        tradeoff: "RAM of the host.",
    };
    match limit {
        Some(limit) if bytes(&limit).is_some_and(|limit| limit < needed) => fix(occasion, words, &[("--memory", &format!("{gib}g"))]),
        Some(_) => None,
        None => Some(aid(words, None)),
    }
}

/// Docker's and Kubernetes' sizes: `16g`, `16Gi`, `17179869184`.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match lower.get(digits.len()..)?.chars().next() {
        None | Some('b') => 1,
        Some('k') => 1 << 10,
        Some('m') => 1 << 20,
        Some('g') => 1 << 30,
        Some('t') => 1 << 40,
        Some(_) => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Without the host memory that vLLM pins for preempted requests.
fn no_swap_space(occasion: &Occasion<'_>) -> Option<Remedy> {
    if occasion.engine() != "vllm" {
        return None;
    }
    let command = occasion.command?;
    // From 0.8 on, nothing is kept there.
    let version = occasion.version().and_then(Version::parse)?;
    if version >= Version::parse("0.8.0")? {
        return None;
    }
    let given = command.value_of("--swap-space");
    let now = given.unwrap_or_else(|| "4".to_owned());
    if now.parse::<f64>().ok()? <= 0.0 {
        return None;
    }
    let words = Words {
        id: "no-swap-space",
        title: "Pin no host memory for the cache (--swap-space 0)".to_owned(),
        rationale: format!(
            "{now} GiB are pinned for each device as room for preempted requests; a request that is preempted can be computed again instead."
        ),
        tradeoff: "Beam search and several answers at a time may need it.",
    };
    fix(occasion, words, &[("--swap-space", "0")])
}

/// Weights that go to their device one by one.
fn piece_by_piece(occasion: &Occasion<'_>) -> Option<Remedy> {
    if occasion.engine() != "transformers" {
        return None;
    }
    let words = Words {
        id: "lighter-load",
        title: "Load the weights piece by piece onto the device".to_owned(),
        rationale: "With a device map each tensor is read and moved before the next; without one the whole model is first made in RAM, in older releases twice.".to_owned(),
        tradeoff: "The model must fit on the device.",
    };
    fix(occasion, words, &[("device_map", "auto"), ("low_cpu_mem_usage", "true"), ("torch_dtype", "auto")])
}

/// More shared memory, where the command runs a container.
pub(super) fn shared_memory(occasion: &Occasion<'_>) -> Option<Remedy> {
    occasion.command?.container.as_ref()?;
    let gib = occasion.deployment.tensor_parallel.unwrap_or(1).clamp(1, 8) * 2;
    let words = Words {
        id: "shm-size",
        title: format!("Give the container {gib} GiB of shared memory"),
        rationale: "Docker gives 64 MiB; processes that share a model exchange data there.".to_owned(),
        tradeoff: "RAM that is used as it is needed.",
    };
    fix(occasion, words, &[("--shm-size", &format!("{gib}g"))])
}

/// Time to come up, for the one who stops it.
pub(super) fn time_to_start(occasion: &Occasion<'_>) -> Option<Remedy> {
    let command = occasion.command?;
    let patch = command.with_startup_probe(occasion.number("--port"))?.print(occasion.shell, &occasion.circumstances(None, None)).ok()?;
    let words = Words {
        id: "startup-probe",
        title: "Give the pod a start-up probe of half an hour".to_owned(),
        rationale: "As long as it has not answered once, the liveness probe is not asked.".to_owned(),
        tradeoff: "A pod that never comes up is noticed later.",
    };
    Some(aid(words, Some(patch)))
}
