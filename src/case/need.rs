//! What the model of a deployment needs of one device, where the log names model and engine.
//!
//! Nothing here is a figure of the log: all of it is computed, and a log that contradicts it is believed instead.

use crate::facts::Stage;
use crate::memory::device::Device;
use crate::memory::estimate::fit::{Known, estimate_with};
use crate::memory::estimate::tensor::{Occasion, tensor_of};
use crate::memory::estimate::{CacheFormat, Engine, Estimate, Figure, FigureBasis, Guess, Plan, Setup, Version, formats, margin, weights};
use crate::memory::format::{Dtype, Method, Quantization};
use crate::memory::model::Origin;
use crate::memory::{Bytes, Model};
use crate::post_mortem::{Deployment, Figures};

/// How many standard deviations a difference must be before it decides anything.
const CERTAIN: u64 = 3;

/// What a model needs of one device.
pub struct Need {
    /// The model, as the catalogue or its name tells it.
    pub model: Model,
    /// The setup with its defaults.
    pub plan: Plan,
    /// Usable memory of the device: printed, or what such a card has.
    pub total: Option<Bytes>,
    /// Weights of one rank; none if the log does not tell how they are stored.
    pub weights: Option<Figure>,
    /// The rest, if the engine's division of memory is known.
    pub estimate: Option<Estimate>,
    /// Whether a server runs the model, and not a library.
    is_server: bool,
}

impl Need {
    /// What a deployment needs, if its model is known and nothing that the log says speaks against it.
    ///
    /// `stage` is what the process was at, `several` whether the log shows several ranks.
    pub fn new(deployment: &Deployment, figures: &Figures, stage: Option<Stage>, several: bool) -> Option<Need> {
        let name = deployment.engine.as_deref()?;
        let engine = match name {
            // Their logs print the size of the file and of each buffer, and how much of a model they offload is theirs to choose.
            "llama.cpp" | "ollama" => return None,
            "transformers" | "accelerate" | "bitsandbytes" | "pytorch" | "lmdeploy" | "tensorrt-llm" | "deepspeed" => None,
            other => Some(other.parse::<Engine>().ok()?),
        };
        // How many ranks share the model is not known then.
        if several && deployment.tensor_parallel.is_none() {
            return None;
        }
        let whole = |names: &[&str]| names.iter().find_map(|name| deployment.arguments.get(*name)?.as_u64()).filter(|&n| n > 0);
        let is_set = |names: &[&str]| names.iter().any(|name| deployment.arguments.get(*name).and_then(|value| value.as_bool()) == Some(true));
        // Part of the weights lies elsewhere.
        if is_set(&["enable_expert_parallel", "enable_ep_moe"])
            || deployment.arguments.get("cpu_offload_gb").and_then(|v| v.as_f64()).unwrap_or(0.0) > 0.0
        {
            return None;
        }
        let model = Model::find(deployment.model.as_deref()?, &Default::default()).ok()?;
        let device = device(deployment, figures);
        let dtype = deployment.dtype.as_deref().and_then(Dtype::parse);
        let quantization = match deployment.quantization.as_deref() {
            Some(word) => Some(formats::asked(engine.unwrap_or(Engine::Tgi), word, model.quantization)?),
            None => None,
        };
        // A library loads in float32 or as stored, by its version; a server always in 16 bit.
        let is_told = engine.is_some() || dtype.is_some() || quantization.is_some() || model.quantization != Quantization::NONE;
        let setup = Setup {
            version: deployment.engine_version.as_deref().and_then(Version::find),
            dtype,
            quantization,
            cache: deployment.arguments.get("kv_cache_dtype").and_then(|word| CacheFormat::parse(word.as_str()?)),
            max_model_len: deployment.max_model_len,
            max_num_seqs: whole(&["max_num_seqs", "max_running_requests", "max_batch_size"]),
            max_num_batched_tokens: whole(&["max_num_batched_tokens", "max_batch_prefill_tokens", "chunked_prefill_size"]).or(figures.prefill_tokens),
            tensor_parallel: deployment.tensor_parallel.unwrap_or(1),
            pipeline_parallel: whole(&["pipeline_parallel_size", "pp_size"]).unwrap_or(1),
            fraction: deployment.gpu_memory_utilization,
            eager: is_set(&["enforce_eager", "disable_cuda_graph"]),
            ..Setup::new(engine.unwrap_or(Engine::Tgi))
        };
        let logged = figures.weights_bytes.map(Bytes);
        let is_server = engine.is_some();
        let mut need = match &device {
            Some(device) => {
                let known = Known {
                    weights: logged,
                    activation: figures.activation_bytes.map(Bytes),
                    outside_torch: figures.non_torch_bytes.map(Bytes),
                    graphs: figures.graph_bytes.map(Bytes),
                    context: None,
                };
                let estimate = estimate_with(&model, device, &setup, &known);
                let (plan, weights) = (estimate.plan.clone(), estimate.weights);
                Need { plan, total: Some(device.total), weights: Some(weights), estimate: is_server.then_some(estimate), is_server, model }
            }
            None => {
                let plan = Plan::new(&setup, &model, &Device::of_size("", Bytes::gib(24)));
                let bytes = weights::of_rank(&model, &plan);
                let computed = Figure::computed(bytes, margin::weights(bytes, &model, &plan));
                Need { total: None, weights: Some(logged.map_or(computed, Figure::logged)), estimate: None, is_server, model, plan }
            }
        };
        if !is_told && logged.is_none() {
            need.weights = None;
        }
        need.agrees(figures, stage).then_some(need)
    }

    /// Whether the log leaves this possible. While weights are loaded, there cannot be more in tensors than they take.
    fn agrees(&self, figures: &Figures, stage: Option<Stage>) -> bool {
        let computed = self.computed();
        let slack = margin::weights(computed, &self.model, &self.plan) * CERTAIN + Bytes::gib(1);
        if let Some(logged) = figures.weights_bytes {
            return computed.difference(Bytes(logged)).unsigned_abs() <= u128::from(slack.0);
        }
        match (is_loading(stage), figures.allocated_bytes) {
            (true, Some(allocated)) if self.weights.is_some() => Bytes(allocated) <= computed + slack,
            _ => true,
        }
    }

    /// What the weights take more than this, if they certainly do.
    pub fn beyond(&self, total: Bytes) -> Option<Bytes> {
        let weights = self.weights?;
        let surely = weights.bytes.saturating_sub(weights.margin * CERTAIN);
        if surely > total { weights.bytes.checked_sub(total) } else { None }
    }

    /// Whether an empty device of this size certainly holds the weights and the driver's context, with something left.
    pub fn fits_easily(&self, total: Bytes) -> bool {
        self.weights.is_some_and(|w| w.bytes + w.margin * CERTAIN + Bytes::gib(1) < total.fraction(0.9))
    }

    /// How the weights are stored, in words: `in 16 bit`, `as awq`.
    pub fn format(&self) -> String {
        match self.plan.quantization.method {
            Some(method) => format!("as {}", method.as_str()),
            None => format!("in {} bit", self.plan.dtype.bits()),
        }
    }

    /// What weights that are not quantized would take in 8 and in 4 bit.
    pub fn quantized(&self) -> Option<(Bytes, Bytes)> {
        if self.plan.quantization != Quantization::NONE || self.model.shape.is_none() {
            return None;
        }
        let with = |method| weights::of_rank(&self.model, &Plan { quantization: Quantization::new(method), ..self.plan.clone() });
        Some((with(Method::Bnb8), with(Method::Bnb4 { double: true })))
    }

    /// What the weights would take as they are computed with, whatever is printed of them.
    pub fn computed(&self) -> Bytes {
        weights::of_rank(&self.model, &self.plan)
    }

    /// What one token takes in the cache.
    pub fn token(&self) -> Option<Bytes> {
        self.estimate.as_ref()?.token
    }

    /// True if the size was only read from the name.
    pub fn is_by_name(&self) -> bool {
        self.model.origin == Origin::Name
    }

    /// Which tensor a refused allocation was for, if its size gives it away.
    pub fn tensor(&self, tried: Bytes, stage: Option<Stage>) -> Option<Guess> {
        let stage = stage?;
        // Smaller requests are rounded up to this by the allocator, so it may be anything.
        if tried <= Bytes::mib(20) {
            return None;
        }
        let is_test = matches!(stage, Stage::Profile | Stage::Sampler);
        let occasion = Occasion {
            loading: Some(is_loading(Some(stage))),
            // A request has as many tokens as it has; a test run as many as the setup allows.
            tokens: is_test.then_some(self.plan.batch),
            sequences: is_test.then_some(self.plan.sequences),
            ranks: self.plan.tensor_parallel,
            dtype: self.plan.dtype,
        };
        // A count that was only solved for proves nothing: some count always comes near.
        let is_known = |count: u64| Some(count) == occasion.tokens || Some(count) == occasion.sequences;
        tensor_of(tried, &self.model, &occasion).filter(|guess| match *guess {
            Guess::Logits { rows: count, .. } | Guess::GateUp { tokens: count } | Guess::Scores { tokens: count, .. } => is_known(count),
            Guess::WholeModel => tried > Bytes::gib(1),
            // Those of quantized models have sizes of their own.
            Guess::Matrix(_) if self.plan.quantization != Quantization::NONE => false,
            // Libraries load each matrix by itself.
            Guess::Matrix("gate_up" | "qkv") => self.is_server,
            Guess::Vocabulary | Guess::Matrix(_) => true,
        })
    }

    /// True if the weights are not in the log but computed.
    pub fn is_computed(&self) -> bool {
        self.weights.is_some_and(|weights| weights.basis == FigureBasis::Computed)
    }
}

/// Whether weights were still being loaded.
pub fn is_loading(stage: Option<Stage>) -> bool {
    matches!(stage, Some(Stage::Weights | Stage::Load | Stage::Download))
}

/// The device that failed: what its name tells of it, and the memory that the log gives it.
fn device(deployment: &Deployment, figures: &Figures) -> Option<Device> {
    let index = figures.device.unwrap_or(0);
    let said = deployment.devices.iter().find(|device| device.index == index).or(deployment.devices.first());
    let named = said.and_then(|device| Device::find(device.name.as_deref()?).ok());
    let total = figures.total_bytes.or_else(|| said?.total_bytes).map(Bytes);
    match (named, total) {
        (Some(device), Some(total)) => Some(Device { total, margin: Bytes::ZERO, ..device }),
        (None, Some(total)) => Some(Device::of_size("", total)),
        (named, None) => named,
    }
}
