//! Combinations that no amount of memory makes work.

use thiserror::Error;

use super::engine::{Engine, Plan, Version};
use crate::memory::device::{Arch, Support};
use crate::memory::format::{Dtype, Method};
use crate::memory::shape::{Shape, Split};
use crate::memory::{Device, Model};

/// Why a combination cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Impossible {
    /// The heads do not divide among the ranks.
    #[error("{heads} attention heads cannot be split over {ranks} devices")]
    Heads {
        /// Query heads.
        heads: u64,
        /// Ranks asked for.
        ranks: u64,
    },
    /// The key-value heads do not divide among the ranks, nor the ranks among the heads.
    #[error("{heads} key-value heads cannot be split over {ranks} devices, nor evenly copied to them")]
    KvHeads {
        /// Key-value heads.
        heads: u64,
        /// Ranks asked for.
        ranks: u64,
    },
    /// There are fewer layers than pipeline stages.
    #[error("{layers} layers cannot be split into {stages} stages")]
    Stages {
        /// Layers.
        layers: u64,
        /// Stages asked for.
        stages: u64,
    },
    /// Groups of quantized weights would be cut.
    #[error(
        "{method} weights in groups of {group} cannot be split over {ranks} devices: {inputs} inputs are {each} for each, which is no multiple of {group}"
    )]
    Groups {
        /// The method.
        method: &'static str,
        /// Weights in a group.
        group: u64,
        /// Ranks asked for.
        ranks: u64,
        /// Inputs of the matrix.
        inputs: u64,
        /// Inputs of each rank.
        each: u64,
    },
    /// The card has no kernels for the format.
    #[error("{device} has no kernels for {what}")]
    Kernels {
        /// The card, with its architecture.
        device: String,
        /// The format.
        what: &'static str,
    },
    /// The engine has no such format.
    #[error("{engine} {version} cannot load {what}")]
    Format {
        /// The engine.
        engine: Engine,
        /// Its version.
        version: Version,
        /// The format.
        what: &'static str,
    },
}

impl Impossible {
    /// What would work instead.
    pub fn help(&self) -> String {
        match self {
            Impossible::Heads { heads, ranks } => {
                let fit: Vec<String> = (1..=*heads.min(&16)).filter(|n| heads % n == 0 && n != ranks).map(|n| n.to_string()).collect();
                format!("--tensor-parallel may be {}", fit.join(", "))
            }
            Impossible::KvHeads { heads, .. } => format!("--tensor-parallel must divide {heads}, or be a multiple of it"),
            Impossible::Stages { layers, .. } => format!("at most {layers} stages"),
            Impossible::Groups { .. } => "use fewer devices for each layer, or pipeline stages, or the unquantized model".to_owned(),
            Impossible::Kernels { what: "bfloat16", .. } => "use --dtype float16".to_owned(),
            Impossible::Kernels { .. } => {
                "gptq runs from compute capability 6.0 on, bitsandbytes from 7.0, awq from 7.5, fp8 weights from 8.0".to_owned()
            }
            Impossible::Format { engine: Engine::LlamaCpp, .. } => "llama.cpp loads GGUF files: --quantization Q4_K_M, for example".to_owned(),
            Impossible::Format { .. } => "choose a format that the engine has, or another engine".to_owned(),
        }
    }
}

/// Refuses what cannot work.
///
/// # Errors
/// With the reason, if the combination is impossible on any amount of memory.
pub fn check(model: &Model, device: &Device, plan: &Plan) -> Result<(), Impossible> {
    if let Some(shape) = &model.shape {
        heads(shape, plan)?;
        stages(shape, plan)?;
        groups(shape, plan)?;
    }
    format(plan)?;
    kernels(device, plan)
}

fn heads(shape: &Shape, plan: &Plan) -> Result<(), Impossible> {
    let ranks = plan.tensor_parallel;
    // llama.cpp splits rows as it likes.
    if plan.engine == Engine::LlamaCpp {
        return Ok(());
    }
    for attention in shape.layers.iter().filter_map(|run| run.layer.attention) {
        let heads = attention.heads();
        if !heads.is_multiple_of(ranks) {
            return Err(Impossible::Heads { heads, ranks });
        }
        let heads = attention.kv_heads().max(1);
        if plan.engine != Engine::Tgi && !heads.is_multiple_of(ranks) && !ranks.is_multiple_of(heads) {
            return Err(Impossible::KvHeads { heads, ranks });
        }
    }
    Ok(())
}

fn stages(shape: &Shape, plan: &Plan) -> Result<(), Impossible> {
    let (layers, stages) = (shape.layer_count(), plan.pipeline_parallel);
    if stages > layers.max(1) { Err(Impossible::Stages { layers, stages }) } else { Ok(()) }
}

/// Matrices that are split along their inputs must not be cut inside a group.
fn groups(shape: &Shape, plan: &Plan) -> Result<(), Impossible> {
    let (method, group) = match plan.quantization.method {
        Some(m @ (Method::Gptq { group: Some(group), .. } | Method::PackedInt { group: Some(group), .. } | Method::Awq { group, .. })) => {
            (m.as_str(), u64::from(group))
        }
        _ => return Ok(()),
    };
    let ranks = plan.tensor_parallel;
    for run in &shape.layers {
        for t in run.layer.tensors(shape.hidden) {
            let cut = t.split == Split::Inputs && plan.quantization.of(t.class).is_some();
            if cut && ranks > 1 && (!t.inputs.is_multiple_of(ranks) || !(t.inputs / ranks).is_multiple_of(group)) {
                return Err(Impossible::Groups { method, group, ranks, inputs: t.inputs, each: t.inputs / ranks });
            }
        }
    }
    Ok(())
}

fn format(plan: &Plan) -> Result<(), Impossible> {
    let refused = |what| Err(Impossible::Format { engine: plan.engine, version: plan.version, what });
    match (plan.engine, plan.quantization.method) {
        (Engine::LlamaCpp, Some(method)) if !matches!(method, Method::Gguf(_) | Method::Mxfp4) => refused(method.as_str()),
        (Engine::Tgi, Some(Method::Gguf(_))) => refused("GGUF files"),
        (Engine::Vllm | Engine::Sglang, Some(Method::Exl2 { .. })) => refused("EXL2"),
        (Engine::Vllm | Engine::Sglang, Some(Method::Eetq)) => refused("EETQ"),
        _ => Ok(()),
    }
}

fn kernels(device: &Device, plan: &Plan) -> Result<(), Impossible> {
    if plan.engine == Engine::LlamaCpp {
        return Ok(());
    }
    let named = match &device.arch {
        Arch::Cuda(major, minor) => format!("{} (compute capability {major}.{minor})", device.name),
        Arch::Gfx(target) => format!("{} ({target})", device.name),
        Arch::Other(_) | Arch::Unknown => device.name.clone(),
    };
    match plan.quantization.method {
        _ if plan.dtype == Dtype::BF16 && device.bf16() == Some(false) => Err(Impossible::Kernels { device: named, what: "bfloat16" }),
        Some(method) if device.runs(method) == Support::No => Err(Impossible::Kernels { device: named, what: method.as_str() }),
        _ => Ok(()),
    }
}
