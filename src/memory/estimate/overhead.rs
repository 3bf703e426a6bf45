//! What is neither weights, nor cache, nor activations: the driver's context, communication, CUDA graphs.

use super::engine::{Engine, Plan, Version, is_hopper_or_later};
use crate::memory::device::Arch;
use crate::memory::shape::{FeedForward, Shape};
use crate::memory::size::{GIB, MIB};
use crate::memory::{Bytes, Device};

/// A share of a GiB.
const fn hundredths(of_gib: u64) -> Bytes {
    Bytes(of_gib * GIB / 100)
}

/// The driver's context and the kernels that are loaded. Not measured apart by any engine; 0.3 to 0.6 GiB as a rule.
pub fn context(plan: &Plan) -> Bytes {
    match plan.engine {
        Engine::LlamaCpp => hundredths(35),
        _ => hundredths(45),
    }
}

/// What vLLM prints as non-torch memory: what grows outside PyTorch while the model is loaded and tried. On one device a
/// few libraries; on several, buffers for communication.
pub fn outside_torch(shape: Option<&Shape>, plan: &Plan, device: &Device) -> Bytes {
    let ranks = plan.tensor_parallel;
    if plan.engine != Engine::Vllm {
        return if ranks > 1 { hundredths(60) } else { Bytes::ZERO };
    }
    if ranks == 1 {
        return match plan.version {
            v if v >= Version(0, 18, 0) => hundredths(25),
            v if v >= Version(0, 8, 0) => hundredths(13),
            _ => hundredths(9),
        };
    }
    if is_hopper_or_later(device) && plan.version >= Version(0, 9, 0) {
        // NCCL, symmetric memory and the all-reduce kernels of linked cards, which hold a batch's hidden states for each
        // peer. Fitted: 2.04 GiB and 6.7 MiB for each 1024 of the hidden size and each peer.
        let width = shape.map_or(4096, |shape| shape.hidden);
        return hundredths(204) + Bytes(width.saturating_mul(ranks - 1).saturating_mul(67 * MIB / 10 / 1024));
    }
    match device.arch {
        // Linked as well, with less in the way of kernels: 1.0 to 1.2 GiB in logs of 0.7.
        Arch::Cuda(8, 0) | Arch::Cuda(9..=10, _) => hundredths(100),
        // Cards without such links; one figure was measured.
        _ => hundredths(25),
    }
}

/// CUDA graphs. A graph of each batch size is captured for every layer; what they hold grows with the layers and with
/// what the largest batch leaves in the pool.
pub fn graphs(shape: Option<&Shape>, plan: &Plan) -> Bytes {
    if plan.eager {
        return Bytes::ZERO;
    }
    let layers = shape.map_or(32, Shape::layer_count).div_ceil(plan.pipeline_parallel);
    match plan.engine {
        Engine::Vllm => {
            // Fitted on 0.19, which captures 51 sizes up to 512, twice the sequences at the most: 18 MiB for each layer,
            // more for what ranks share, and kernels of experts.
            let experts = shape.is_some_and(|s| s.layers.iter().any(|run| matches!(run.layer.feed_forward, Some(FeedForward::Experts(_)))));
            let all = hundredths(8) + Bytes::mib(18) * layers + hundredths(27) / plan.tensor_parallel + hundredths(if experts { 60 } else { 0 });
            all * sizes(plan) / 51
        }
        Engine::Tgi => hundredths(30) + Bytes::mib(4) * layers,
        // Two MiB for each row of the largest batch is what SGLang itself leaves aside.
        Engine::Sglang => Bytes::mib(2) * plan.sequences + Bytes::mib(10) * layers,
        Engine::LlamaCpp => Bytes::ZERO,
    }
}

/// How many sizes vLLM captures: 1, 2, 4, then every eighth up to 256, then every sixteenth up to 512.
fn sizes(plan: &Plan) -> u64 {
    let largest = plan.sequences.saturating_mul(2).clamp(8, 512);
    2 + largest.min(256) / 8 + largest.saturating_sub(256) / 16 + 1
}

/// Whether vLLM takes its graphs out of its own budget: it estimates them from 0.20 on.
pub fn graphs_are_budgeted(plan: &Plan) -> bool {
    plan.vllm_from(Version(0, 20, 0))
}

/// Whether the context counts against the engine's budget: early vLLM, and its second engine at first, took everything
/// that was in use on the card as its own.
pub fn context_is_budgeted(plan: &Plan) -> bool {
    match plan.engine {
        Engine::Vllm => {
            let v = plan.version;
            (v >= Version(0, 2, 7) && v < Version(0, 4, 0)) || (v >= Version(0, 8, 0) && v < Version(0, 9, 1))
        }
        _ => true,
    }
}
