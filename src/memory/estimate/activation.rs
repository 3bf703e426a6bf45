//! What is alive at the peak of the engine's own test run: its profiling or warm-up batch.
//!
//! Two moments compete. In the **forward pass** of a prefill step, one layer's intermediate results are alive. In the
//! **sampler**, the logits of every sequence of the largest batch are, several times over. In vLLM the sampler wins for
//! nearly every model, because it is tried with as many rows as there may be sequences.

use super::engine::{Engine, Plan, Version, is_hopper_or_later};
use crate::memory::format::Method;
use crate::memory::shape::{Attention, Experts, FeedForward, Layer, Shape};
use crate::memory::{Bytes, Device, Model};

/// vLLM's sampler before 0.17 sorts the logits: 16-bit logits, a float32 copy, the sorted values with 64-bit indices, the
/// sort's own buffers, probabilities and masks. 38 bytes for each row and word, measured alike in the first engine, 0.15
/// and 0.16.
const SORTING_SAMPLER: u64 = 38;
/// From 0.17 on it searches instead: 16-bit logits, a float32 copy, probabilities, and random numbers: 2 + 4 + 4 + 4.
const SEARCHING_SAMPLER: u64 = 14;
/// The search has a float32 buffer of one row for each multiprocessor. An H100 has 132; what other cards have differs by
/// less than this matters.
const MULTIPROCESSORS: u64 = 132;
/// What every step holds besides: inputs, positions, block tables, kernels' small workspaces. Fitted.
const BESIDE: Bytes = Bytes::mib(46);

/// The peak, with the parts that it is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peak {
    /// One layer's intermediate results in a prefill step.
    pub forward: Bytes,
    /// Logits and what the sampler makes of them, with the hidden states that they come from.
    pub sampler: Bytes,
    /// What stays beside both: workspaces of fused experts, images and what the tower made of them.
    pub beside: Bytes,
}

impl Peak {
    /// The larger moment, and what stays beside it.
    pub fn total(&self) -> Bytes {
        self.forward.max(self.sampler) + self.beside
    }
}

/// The peak of one rank.
pub fn peak(model: &Model, shape: &Shape, plan: &Plan, device: &Device) -> Peak {
    let workspace = blas_workspace(device);
    let forward = forward(shape, plan) + workspace + BESIDE;
    match plan.engine {
        Engine::Vllm => {
            Peak { forward, sampler: vllm_sampler(shape, plan) + workspace, beside: kept_workspace(shape, plan) + media(model, shape, plan) }
        }
        Engine::Tgi => Peak { forward: forward + tgi_logits(shape, plan), sampler: Bytes::ZERO, beside: Bytes::ZERO },
        // Logits, a float32 copy and probabilities of a decoding batch.
        Engine::Sglang => Peak {
            forward,
            sampler: Bytes(plan.sequences.saturating_mul(shape.vocabulary).saturating_mul(2 + 4 + 4)) + workspace,
            beside: Bytes::ZERO,
        },
        Engine::LlamaCpp => llama_cpp(shape, plan),
    }
}

/// cuBLAS keeps a workspace: 32 MiB on Hopper and later, 8 MiB on others.
fn blas_workspace(device: &Device) -> Bytes {
    if is_hopper_or_later(device) { Bytes::mib(32) } else { Bytes::mib(8) }
}

fn sixteen(elements: u64, plan: &Plan) -> Bytes {
    plan.dtype.size(elements)
}

/// The largest layer's intermediate results for a step of `plan.batch` tokens.
fn forward(shape: &Shape, plan: &Plan) -> Bytes {
    let n = plan.batch;
    // The residual, a layer's input and its output; without a compiler also what norms and sums leave.
    let compiled = plan.vllm_from(Version(0, 8, 0)) && !plan.eager;
    let hidden = sixteen(n.saturating_mul(if compiled { 3 } else { 5 } * shape.hidden), plan);
    let layers = shape.encoder.iter().chain(&shape.layers);
    hidden + layers.map(|run| of_layer(shape, &run.layer, plan)).max().unwrap_or_default()
}

fn of_layer(shape: &Shape, layer: &Layer, plan: &Plan) -> Bytes {
    let attention = layer.attention.map_or(Bytes::ZERO, |a| of_attention(&a, plan));
    let recurrent =
        layer.recurrent.map_or(Bytes::ZERO, |r| sixteen(plan.batch.saturating_mul((r.input + 2 * r.output).div_ceil(plan.tensor_parallel)), plan));
    let feed_forward = match layer.feed_forward {
        Some(FeedForward::Dense(d)) => dense(d.intermediate, d.gated, shape.hidden, plan),
        Some(FeedForward::Experts(e)) => {
            let shared = dense(e.shared.max(e.beside), e.gated, shape.hidden, plan);
            let routed = if keeps_workspace(plan) { Bytes::ZERO } else { experts(&e, shape.hidden, plan) };
            shared + routed
        }
        None => Bytes::ZERO,
    };
    attention.max(recurrent).max(feed_forward)
}

/// Gate and up, and their product; or up and its activation.
fn dense(intermediate: u64, gated: bool, hidden: u64, plan: &Plan) -> Bytes {
    if intermediate == 0 {
        return Bytes::ZERO;
    }
    let width = intermediate.div_ceil(plan.tensor_parallel);
    let n = plan.batch;
    let wide = sixteen(n.saturating_mul(if gated { 3 } else { 2 } * width), plan);
    wide + quantized_inputs(width, hidden, plan) + dequantized(width * if gated { 2 } else { 1 }, hidden, plan)
}

/// Formats that compute in 8 bits quantize each input of a matrix first: a byte for each element and a scale for each row.
fn quantized_inputs(width: u64, hidden: u64, plan: &Plan) -> Bytes {
    match plan.quantization.method {
        Some(Method::Int8 { .. } | Method::Fp8(_) | Method::Bnb8) => Bytes(plan.batch.saturating_mul(width + hidden + 4)),
        _ => Bytes::ZERO,
    }
}

/// bitsandbytes writes a matrix out in 16 bit before it multiplies.
fn dequantized(outputs: u64, hidden: u64, plan: &Plan) -> Bytes {
    match plan.quantization.method {
        Some(Method::Bnb4 { .. }) => sixteen(outputs.saturating_mul(hidden), plan),
        _ => Bytes::ZERO,
    }
}

fn of_attention(attention: &Attention, plan: &Plan) -> Bytes {
    let n = plan.batch;
    match attention {
        Attention::Heads(a) => {
            let heads = a.heads.div_ceil(plan.tensor_parallel);
            let kv = a.kv_heads.div_ceil(plan.tensor_parallel);
            sixteen(n.saturating_mul((2 * heads + 2 * kv) * a.head_dim), plan)
        }
        Attention::Latent(a) => {
            let heads = a.heads.div_ceil(plan.tensor_parallel);
            let own = sixteen(n.saturating_mul(heads * (2 * (a.nope + a.rope) + 2 * a.value) + a.kv_rank + a.rope), plan);
            // vLLM writes the context out as keys and values for up to 65,536 tokens at a time, whatever the batch is.
            let context = if plan.engine == Engine::Vllm {
                let tokens = (8 * plan.length).max(4 * plan.sequences * 16).min(65536);
                sixteen(tokens.saturating_mul(heads * (a.nope + a.value)), plan)
            } else {
                Bytes::ZERO
            };
            own + context
        }
    }
}

/// What a token's way through its experts takes: the two sides of the first product or the output, whichever is more, and
/// the activation between; and the sum.
fn experts(e: &Experts, hidden: u64, plan: &Plan) -> Bytes {
    let width = e.intermediate.div_ceil(plan.tensor_parallel);
    let first = if e.gated { 2 * width } else { width };
    let rows = plan.batch.saturating_mul(e.active);
    sixteen(rows.saturating_mul(first.max(hidden)), plan)
        + sixteen(rows.saturating_mul(width), plan)
        + sixteen(plan.batch.saturating_mul(hidden), plan)
}

/// From 0.12 on vLLM keeps the workspaces of its fused experts from the first use on, so that they are there beside the
/// sampler. MXFP4 has kernels of its own.
fn keeps_workspace(plan: &Plan) -> bool {
    plan.vllm_from(Version(0, 12, 0)) && plan.quantization.method != Some(Method::Mxfp4)
}

fn kept_workspace(shape: &Shape, plan: &Plan) -> Bytes {
    let of_run = |layer: &Layer| match layer.feed_forward {
        Some(FeedForward::Experts(e)) if keeps_workspace(plan) => experts(&e, shape.hidden, plan),
        _ => Bytes::ZERO,
    };
    shape.layers.iter().map(|run| of_run(&run.layer)).max().unwrap_or_default()
}

/// The sampler's test: as many rows as there may be sequences, over the whole vocabulary on each rank, while the hidden
/// states of the step are still there.
fn vllm_sampler(shape: &Shape, plan: &Plan) -> Bytes {
    if shape.headless {
        return Bytes::ZERO;
    }
    let rows = plan.sequences.min(plan.batch);
    let vocabulary = shape.vocabulary.next_multiple_of(64);
    let each = if plan.version < Version(0, 17, 0) { SORTING_SAMPLER } else { SEARCHING_SAMPLER };
    let buffer = if plan.version < Version(0, 17, 0) { 0 } else { 4 * MULTIPROCESSORS.min(rows) };
    let sampler = Bytes(vocabulary.saturating_mul(rows.saturating_mul(each).saturating_add(buffer)));
    sampler + sixteen((plan.batch + rows).saturating_mul(shape.hidden), plan)
}

/// TGI before 3.0 asks for the log-probabilities of the whole prompt in its warm-up; later only for the last positions.
fn tgi_logits(shape: &Shape, plan: &Plan) -> Bytes {
    let rows = if plan.version < Version(3, 0, 0) { plan.batch } else { plan.sequences };
    Bytes(rows.saturating_mul(shape.vocabulary).saturating_mul(2 + 4 + 4))
}

/// llama.cpp reserves one buffer for the whole graph: the logits of a batch in float32 and the states that they come from,
/// or a layer's intermediate results with the mask of the context, whichever is more.
fn llama_cpp(shape: &Shape, plan: &Plan) -> Peak {
    let n = plan.batch;
    let logits = Bytes(n.saturating_mul(shape.vocabulary + shape.hidden).saturating_mul(4));
    let widest = shape.layers.iter().map(|run| of_layer(shape, &run.layer, plan)).max().unwrap_or_default();
    // float32, and float16 for the kernel.
    let mask = Bytes(n.saturating_mul(plan.length.next_multiple_of(256)).saturating_mul(2));
    Peak { forward: widest * 2 + mask, sampler: logits, beside: Bytes::ZERO }
}

/// Images and what the tower makes of them, which stay during vLLM's test of the language model. As many images as the
/// batch has room for, of the largest size that the processor lets through.
fn media(model: &Model, shape: &Shape, plan: &Plan) -> Bytes {
    let Some(image) = image_of(model.family.as_deref()).filter(|_| shape.tower > 0) else { return Bytes::ZERO };
    let images = (plan.batch / image.tokens.max(1)).max(1);
    sixteen(images.saturating_mul(image.values), plan) + sixteen(images.saturating_mul(image.tokens * shape.hidden), plan)
}

/// The largest image of a family.
struct Image {
    /// Tokens that it becomes.
    tokens: u64,
    /// Values of its pixels.
    values: u64,
}

fn image_of(family: Option<&str>) -> Option<Image> {
    let square = |side: u64, tokens: u64| Some(Image { tokens, values: 3 * side * side });
    match family? {
        "gemma3" | "gemma3_text" => square(896, 256),
        // 1540 pixels in patches of 14, merged two by two.
        "mistral" | "mistral3" => square(1540, 55 * 55),
        // Five pieces of 384 pixels.
        "granite" => Some(Image { tokens: 5 * 27 * 27, values: 5 * 3 * 384 * 384 }),
        "pixtral" => square(1024, 64 * 64),
        // 16,384 tokens of four patches each, two frames of 14 or 16 pixels squared.
        "qwen2_vl" | "qwen2_5_vl" | "qwen2_vl_text" | "qwen2_5_vl_text" => Some(Image { tokens: 16384, values: 4 * 16384 * 3 * 2 * 14 * 14 }),
        f if f.starts_with("qwen3_vl") => Some(Image { tokens: 16384, values: 4 * 16384 * 3 * 2 * 16 * 16 }),
        "llava" => square(336, 576),
        "paligemma" => square(448, 1024),
        _ => None,
    }
}
