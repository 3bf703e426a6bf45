//! Weights on one rank.
//!
//! Elements times bits, tensor by tensor, divided as the engine divides them. vLLM and SGLang join q, k and v, and gate
//! and up, into one matrix each, and PyTorch's allocator rounds large blocks up to 2 MiB: on models of many layers that
//! makes up to half a percent.

use super::engine::{Engine, Plan, Version};
use crate::memory::format::Method;
use crate::memory::model::Stored;
use crate::memory::shape::{Attention, Class, Layer, Run, Shape, Split, Tensor};
use crate::memory::size::{MIB, Rate};
use crate::memory::{Bytes, Model};

/// Above this, PyTorch's allocator asks the driver for a segment of its own, rounded up to 2 MiB.
const OWN_SEGMENT: Bytes = Bytes::mib(10);

/// Weights on the rank that has the most of them.
pub fn of_rank(model: &Model, plan: &Plan) -> Bytes {
    match (&model.stored, &model.shape) {
        // What is stored is what is loaded, unless it is quantized or cast on the way.
        (Some(stored), _) if stored.is_whole() && is_as_stored(model, plan) => of_files(model, stored, plan),
        (_, Some(shape)) => of_shape(model, shape, plan),
        (Some(stored), None) => of_files(model, stored, plan),
        (None, None) => Bytes::of(model.parameters, flat_rate(plan)).div_ceil(plan.ranks()),
    }
}

fn is_as_stored(model: &Model, plan: &Plan) -> bool {
    plan.quantization == model.quantization && model.dtype.is_none_or(|dtype| dtype.bits() == plan.dtype.bits())
}

/// Bits of a weight where nothing but the number of parameters is known.
fn flat_rate(plan: &Plan) -> Rate {
    plan.quantization.method.map_or(plan.dtype.rate(), Method::rate)
}

/// What the files hold. A split is by the shape's proportions; without a shape everything is divided evenly.
fn of_files(model: &Model, stored: &Stored, plan: &Plan) -> Bytes {
    let total = stored.total();
    let shape = model.shape.as_ref();
    if plan.engine == Engine::LlamaCpp {
        return total.saturating_sub(on_the_host(stored.bytes[Class::Embedding], shape)).div_ceil(plan.ranks());
    }
    if plan.ranks() == 1 {
        return total;
    }
    let Some(shape) = shape else { return total.div_ceil(plan.ranks()) };
    let whole = Plan { tensor_parallel: 1, pipeline_parallel: 1, ..plan.clone() };
    let (part, all) = (of_shape(model, shape, plan), of_shape(model, shape, &whole));
    let scaled = u128::from(total.0) * u128::from(part.0) / u128::from(all.0.max(1));
    Bytes(u64::try_from(scaled).unwrap_or(u64::MAX)).min(total)
}

/// llama.cpp looks tokens up on the processor, so the embedding stays there unless it is the output matrix as well.
fn on_the_host(embedding: u64, shape: Option<&Shape>) -> Bytes {
    if shape.is_some_and(|shape| shape.tied) { Bytes::ZERO } else { Bytes(embedding) }
}

/// What a shape takes on the rank that holds the most.
fn of_shape(model: &Model, shape: &Shape, plan: &Plan) -> Bytes {
    if let Some(Method::Gguf(mix)) = plan.quantization.method {
        // Towers are files of their own (`mmproj`), which are loaded beside.
        let bytes = mix.bytes(shape);
        let all = Bytes(bytes.total().saturating_sub(bytes[Class::Tower]));
        let embedding = if plan.engine == Engine::LlamaCpp { bytes[Class::Embedding] } else { 0 };
        return all.saturating_sub(on_the_host(embedding, Some(shape))).div_ceil(plan.ranks());
    }
    let rank = Rank { plan, hidden: shape.hidden };
    let runs = |runs: &[Run]| runs.iter().map(|run| rank.layer(&run.layer) * run.count).sum::<Bytes>();
    // A stage of a pipeline holds its share of the layers, rounded up.
    let layers = {
        let all = runs(&shape.encoder) + runs(&shape.layers);
        let count = shape.layer_count().max(1);
        let share = count.div_ceil(plan.pipeline_parallel);
        Bytes(u64::try_from(u128::from(all.0) * u128::from(share) / u128::from(count)).unwrap_or(u64::MAX))
    };
    let edges = shape.edges();
    let edge = |wanted: &dyn Fn(&Tensor) -> bool| edges.iter().filter(|t| wanted(t)).map(|t| rank.edge(t)).sum::<Bytes>();
    let head = edge(&|t| t.class == Class::LmHead);
    let rest = edge(&|t| t.class != Class::LmHead);
    let ends = if plan.pipeline_parallel > 1 { head.max(rest) } else { head + rest };
    layers + ends + positions_table(model, shape, plan) + absorbed(shape, plan)
}

/// One rank's share of things.
struct Rank<'a> {
    plan: &'a Plan,
    hidden: u64,
}

impl Rank<'_> {
    /// Everything in one layer.
    fn layer(&self, layer: &Layer) -> Bytes {
        let kv_heads = layer.attention.as_ref().map_or(1, Attention::kv_heads);
        let tensors = layer.tensors(self.hidden);
        // By the matrix that the engine makes of them.
        let mut joined: Vec<(&str, Class, Bytes)> = Vec::with_capacity(tensors.len());
        for t in &tensors {
            let name = self.joined_name(t);
            let bytes = self.tensor(t, kv_heads);
            match joined.iter_mut().find(|(n, class, _)| *n == name && *class == t.class) {
                Some((_, _, sum)) => *sum += bytes,
                None => joined.push((name, t.class, bytes)),
            }
        }
        joined.into_iter().map(|(_, _, bytes)| self.allocated(bytes)).sum()
    }

    fn joined_name(&self, tensor: &Tensor) -> &'static str {
        match tensor.name {
            "q" | "k" | "v" => "qkv",
            "gate" | "up" => "gate_up",
            other => other,
        }
    }

    /// One rank's part of all copies of a tensor in one layer.
    fn tensor(&self, t: &Tensor, kv_heads: u64) -> Bytes {
        let ranks = self.plan.tensor_parallel;
        let share = match t.split {
            Split::Replicated => 1,
            Split::KvHeads => ranks.min(kv_heads.max(1)),
            Split::Outputs | Split::Inputs | Split::Vocabulary => ranks,
        };
        let (inputs, outputs) = match t.split {
            Split::Inputs => (t.inputs.div_ceil(share), t.outputs),
            _ => (t.inputs, t.outputs.div_ceil(share)),
        };
        // Kernels for MXFP4 experts want the width of a rank in multiples of 128 (64 before 0.12) and the hidden size in
        // multiples of 256.
        let padded = self.plan.engine == Engine::Vllm && self.plan.quantization.of(t.class) == Some(Method::Mxfp4) && t.inputs > 1;
        let width = if self.plan.vllm_from(Version(0, 12, 0)) { 128 } else { 64 };
        let (inputs, outputs) = match (padded, t.split) {
            (true, Split::Inputs) => (inputs.next_multiple_of(width), outputs.next_multiple_of(256)),
            (true, _) => (inputs.next_multiple_of(256), outputs.next_multiple_of(width)),
            _ => (inputs, outputs),
        };
        self.stored(t.class, inputs, outputs) * t.count
    }

    fn stored(&self, class: Class, inputs: u64, outputs: u64) -> Bytes {
        match self.plan.quantization.of(class) {
            Some(method) => method.size(inputs, outputs),
            None => self.plan.dtype.size(inputs.saturating_mul(outputs)),
        }
    }

    /// Embeddings, output matrix, norms, towers. vLLM pads the vocabulary to a multiple of 64.
    fn edge(&self, t: &Tensor) -> Bytes {
        let ranks = self.plan.tensor_parallel;
        let outputs = match t.split {
            Split::Vocabulary => t.outputs.next_multiple_of(64).div_ceil(ranks),
            // Towers are split like the rest, where they are split at all.
            _ if t.class == Class::Tower && self.plan.engine != Engine::Tgi => t.outputs.div_ceil(ranks),
            _ => t.outputs,
        };
        self.allocated(self.stored(t.class, t.inputs, outputs))
    }

    /// What PyTorch's allocator keeps for a block of this size: a segment of its own is a multiple of 2 MiB, and what is
    /// left of it is given to others only if it is more than 1 MiB.
    fn allocated(&self, size: Bytes) -> Bytes {
        if self.plan.engine == Engine::LlamaCpp || size < OWN_SEGMENT {
            return size;
        }
        let segment = size.round_up(Bytes::mib(2));
        if segment.saturating_sub(size) <= Bytes(MIB) { segment } else { size }
    }
}

/// The tables of sines and cosines that vLLM and SGLang keep with the weights: a row of a head's length for each position.
fn positions_table(model: &Model, shape: &Shape, plan: &Plan) -> Bytes {
    if !matches!(plan.engine, Engine::Vllm | Engine::Sglang) || shape.positions > 0 {
        return Bytes::ZERO;
    }
    let width = shape.layers.iter().find_map(|run| match run.layer.attention? {
        Attention::Heads(a) => Some(a.head_dim),
        Attention::Latent(a) => Some(a.rope),
    });
    let family = model.family.as_deref().unwrap_or_default();
    let tables = match family {
        // One table for its windows and one, scaled eight times, for the rest.
        f if f.starts_with("gemma3") && shape.tower > 0 => 9,
        // Positions in time, height and width: four times the length.
        f if ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"].iter().any(|vl| f.starts_with(vl)) => 4,
        _ => 1,
    };
    plan.dtype.size(shape.max_positions.unwrap_or(0).saturating_mul(width.unwrap_or(0)).saturating_mul(tables))
}

/// vLLM (from 0.7 on) and SGLang keep the up-projection of latent attention a second time, in 16 bit, in the form in
/// which it is multiplied into queries and outputs.
fn absorbed(shape: &Shape, plan: &Plan) -> Bytes {
    if plan.engine != Engine::Sglang && !plan.vllm_from(Version(0, 7, 0)) {
        return Bytes::ZERO;
    }
    let of_run = |run: &Run| match run.layer.attention {
        Some(Attention::Latent(a)) => {
            let elements = a.kv_rank.saturating_mul(a.heads.div_ceil(plan.tensor_parallel)).saturating_mul(a.nope + a.value);
            plan.dtype.size(elements) * run.count.div_ceil(plan.pipeline_parallel)
        }
        _ => Bytes::ZERO,
    };
    shape.layers.iter().map(of_run).sum()
}
