//! What a plan stands on: the model, the device, and the setup that failed, adjusted to what the log measured.

use super::Occasion;
use crate::memory::catalogue::UserCatalogue;
use crate::memory::device::Basis;
use crate::memory::estimate::engine::Version;
use crate::memory::estimate::fit::{Known, estimate_with};
use crate::memory::estimate::{CacheFormat, Engine, Estimate, Setup, Verdict, formats};
use crate::memory::format::Dtype;
use crate::memory::shape::{Attention, Class};
use crate::memory::{Bytes, Device, Model};
use crate::post_mortem::{Figures, Phase};
use crate::remedies::flags::Circumstances;

/// A log's figure may be off from a computed one by this share; beyond it, they speak of different things.
const STRANGE: f64 = 0.25;

/// What is known of a failed setup.
pub(super) struct Ground {
    /// The engine.
    pub engine: Engine,
    /// Its version, if the log tells it.
    pub version: Option<Version>,
    /// The model.
    pub model: Model,
    /// The device.
    pub device: Device,
    /// What was asked for.
    pub setup: Setup,
    /// What the log measured of it, and what it must have been for the failure to happen.
    pub known: Known,
    /// What that needs.
    pub now: Estimate,
    /// What the checker can know.
    pub circumstances: Circumstances,
    /// Devices that the log shows.
    pub devices: u64,
    /// It is the weights that do not fit.
    pub weights_fail: bool,
}

impl Ground {
    /// Gathers it; none where something is missing, or contradicts itself.
    pub fn of(occasion: &Occasion<'_>) -> Option<Ground> {
        let d = occasion.deployment;
        let figures = &occasion.situation.figures;
        let engine = occasion.server()?;
        let model = Model::find(d.model.as_deref()?, &UserCatalogue::default()).ok().filter(|model| model.shape.is_some())?;
        let device = device(occasion)?;
        let setup = setup(occasion, engine, &model)?;
        let mut known = Known {
            weights: figures.weights_bytes.map(Bytes),
            activation: figures.activation_bytes.map(Bytes),
            outside_torch: figures.non_torch_bytes.map(Bytes),
            graphs: None,
            context: None,
        };
        let computed = estimate_with(&model, &device, &setup, &Known::default());
        if known.weights.is_some_and(|logged| strange(logged, computed.weights.bytes)) {
            return None;
        }
        let before = estimate_with(&model, &device, &setup, &known);
        let gap = gap(occasion, figures, &before);
        if gap > 0 {
            let outside = before.overheads.iter().find(|c| c.name == "communication").map_or(Bytes::ZERO, |c| c.figure.bytes);
            known.outside_torch = Some(outside + Bytes(u64::try_from(gap).ok()?));
        }
        let now = estimate_with(&model, &device, &setup, &known);
        let circumstances = occasion.circumstances(Some(&device.arch), Some(&model));
        let version = setup.version;
        Some(Ground {
            engine,
            version,
            model,
            device,
            setup,
            known,
            now,
            circumstances,
            devices: d.devices.len() as u64,
            weights_fail: occasion.cause == "weight-oom",
        })
    }

    /// What a changed setup needs: measured figures stay where the change does not touch them.
    pub fn estimate(&self, setup: &Setup) -> Estimate {
        let same_weights = setup.quantization == self.setup.quantization
            && setup.tensor_parallel == self.setup.tensor_parallel
            && setup.pipeline_parallel == self.setup.pipeline_parallel
            && setup.offloaded == self.setup.offloaded;
        let mut known = self.known;
        if !same_weights {
            known.weights = None;
        }
        // A measured peak is carried over in proportion.
        if let Some(measured) = known.activation
            && *setup != self.setup
        {
            let of = |setup: &Setup| estimate_with(&self.model, &self.device, setup, &Known::default()).activation.map_or(0, |a| a.bytes.0);
            let (then, new) = (of(&self.setup), of(setup));
            known.activation = (then > 0).then(|| Bytes((measured.0 as f64 * new as f64 / then as f64) as u64));
        }
        estimate_with(&self.model, &self.device, setup, &known)
    }

    /// True for a plain decoder, whose weights every engine's own quantization takes.
    pub fn is_plain(&self) -> bool {
        let Some(shape) = &self.model.shape else { return false };
        let parameters = shape.parameters();
        [Class::Experts, Class::Tower, Class::Recurrent].iter().all(|class| parameters[*class] == 0)
            && shape.layers.iter().all(|run| matches!(run.layer.attention, Some(Attention::Heads(_))))
    }

    /// True if keys and values have the lengths that the kernels for an 8-bit cache take.
    pub fn has_common_heads(&self) -> bool {
        let common =
            |a: Option<Attention>| matches!(a, Some(Attention::Heads(a)) if matches!(a.head_dim, 64 | 128 | 256) && a.value_dim == a.head_dim);
        self.is_plain() && self.model.shape.as_ref().is_some_and(|shape| shape.layers.iter().all(|run| common(run.layer.attention)))
    }

    /// True where the weights are what their files hold, in 16 bit.
    pub fn is_unquantized(&self) -> bool {
        !self.now.plan.quantization.is_some() && self.model.stored.is_none()
    }
}

/// Memory that something must have taken: if what is computed fits and the start failed all the same.
fn gap(occasion: &Occasion<'_>, figures: &Figures, e: &Estimate) -> i128 {
    let in_profile = matches!(occasion.situation.phase(), Some(Phase::Profile));
    if let (Some(available), true, true) = (figures.kv_available_bytes, e.plan.engine == Engine::Vllm, in_profile) {
        return e.limit.difference(e.fixed()) - i128::from(available);
    }
    if occasion.cause == "gpu-occupied"
        || matches!(occasion.situation.phase(), Some(Phase::Serve))
        || !matches!(e.verdict, Verdict::Fits | Verdict::Tight)
    {
        return 0;
    }
    e.limit.difference(e.fixed() + e.needed_cache.map_or(Bytes::ZERO, |f| f.bytes)).max(0)
}

fn strange(logged: Bytes, computed: Bytes) -> bool {
    let (a, b) = (logged.0 as f64, computed.0 as f64);
    (a - b).abs() > STRANGE * b.max(1.0)
}

/// The device that failed: its name for what it can run, its total as the log prints it.
pub(super) fn device(occasion: &Occasion<'_>) -> Option<Device> {
    let (d, figures) = (occasion.deployment, &occasion.situation.figures);
    let index = figures.device.unwrap_or(0);
    let listed = d.devices.iter().find(|device| device.index == index).or(d.devices.first());
    let total = figures.total_bytes.or(listed.and_then(|device| device.total_bytes)).map(Bytes);
    let named = d.devices.iter().filter_map(|device| device.name.as_deref()).find_map(|name| Device::find(name).ok());
    match (named, total) {
        (Some(device), Some(total)) if strange(total, device.total) => Some(of_size(total)),
        (Some(device), Some(total)) => Some(Device { total, margin: Bytes::ZERO, basis: Basis::Given, ..device }),
        (Some(device), None) => Some(device),
        (None, total) => total.filter(|total| *total >= Bytes::gib(2)).map(of_size),
    }
}

fn of_size(total: Bytes) -> Device {
    Device::of_size(&format!("a device of {}", crate::units::size(total.0)), total)
}

/// What was asked for, as far as the command and the log's arguments tell.
fn setup(occasion: &Occasion<'_>, engine: Engine, model: &Model) -> Option<Setup> {
    let d = occasion.deployment;
    let flags = super::moves::Names::of(engine);
    let word = |flag: &str| occasion.value(flag).filter(|value| !matches!(value.as_str(), "auto" | "none"));
    // The command's spelling first: what a dump prints may be its own.
    let quantization = match word(flags.quantization).or_else(|| d.quantization.clone().filter(|q| !matches!(q.as_str(), "none" | "None" | "auto"))) {
        None => None,
        Some(word) => {
            let asked = formats::named_for(engine, &word)?;
            match (asked.method, model.quantization.method) {
                (Some(asked), Some(stored)) if asked.as_str() == stored.as_str() => Some(model.quantization),
                // Such weights must have been made so: what else is asked for is not what is on disk.
                _ => Some(asked),
            }
        }
    };
    let fraction = occasion.value(flags.share).and_then(|value| value.parse().ok()).or(d.gpu_memory_utilization);
    let length = match engine {
        Engine::Tgi => occasion.number("--max-total-tokens").or(d.max_model_len),
        Engine::Vllm => occasion.number("--max-model-len").or(d.max_model_len),
        _ => occasion.number(flags.length),
    };
    Some(Setup {
        version: occasion.version().and_then(Version::find),
        dtype: d.dtype.as_deref().and_then(Dtype::parse).filter(|dtype| dtype.bits() >= 16),
        quantization,
        cache: word("--kv-cache-dtype").as_deref().and_then(CacheFormat::parse),
        max_model_len: length.filter(|length| *length > 0),
        max_num_seqs: (engine == Engine::Vllm).then(|| occasion.number("--max-num-seqs")).flatten(),
        max_num_batched_tokens: occasion.number(flags.batch).filter(|n| *n > 0),
        tensor_parallel: occasion.number(flags.ranks).or(d.tensor_parallel).unwrap_or(1).clamp(1, 64),
        pipeline_parallel: occasion.number("--pipeline-parallel-size").unwrap_or(1).clamp(1, 64),
        fraction,
        offloaded: occasion.number("--cpu-offload-gb").map_or(Bytes::ZERO, |gib| Bytes::gib(gib.min(4096))),
        eager: occasion.is_eager(),
        ..Setup::new(engine)
    })
}
