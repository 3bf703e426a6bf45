//! Python code that runs or trains a model without a server: transformers, PyTorch, DeepSpeed.
//!
//! Nothing divides the memory beforehand, so what a change frees is reckoned from what the message says was held.

use super::memory::USEFUL;
use super::{Occasion, Plan, Words, sentence};
use crate::causes::advice;
use crate::memory::catalogue::UserCatalogue;
use crate::memory::estimate::{Engine, Setup, estimate, formats, margin};
use crate::memory::format::{Method, Quantization};
use crate::memory::shape::Shape;
use crate::memory::{Bytes, Device, Model};
use crate::post_mortem::{Change, Fit, Phase, Remedy};
use crate::remedies::flags::Circumstances;
use crate::units::size;

/// Bytes of a parameter that is trained with Adam in mixed precision: two for itself, two for its gradient, four for a
/// master copy, eight for the optimizer. In float32 without a master copy it is as much.
const TRAINED: f64 = 16.0;
/// Adapters have about this share of a model's parameters.
const ADAPTERS: f64 = 0.01;
/// Tokens of a step in the smallest training that is of use.
const STEP: u64 = 1024;
/// The setting against pieces, as the cause's own words name it.
const SEGMENTS: &str = "expandable-segments";

/// The plan; for servers only of what PyTorch's allocator holds in pieces.
pub(super) fn plan(occasion: &Occasion<'_>) -> Option<Plan> {
    if occasion.cause == "fragmentation-oom" && occasion.situation.fact.place.text.contains("CUDA out of memory") {
        return Some(Plan { remedies: against_pieces(occasion).into_iter().collect(), settled: vec![SEGMENTS] });
    }
    if !is_python(occasion) {
        return None;
    }
    let g = Ground::of(occasion);
    let plan = |remedies: Vec<Option<Remedy>>, settled: &[&'static str]| {
        let remedies: Vec<Remedy> = remedies.into_iter().flatten().collect();
        (!remedies.is_empty()).then(|| Plan { remedies, settled: settled.to_vec() })
    };
    match occasion.cause {
        "weight-oom" => plan(vec![half(&g), four_bits(&g), eight_bits(&g), offloaded(&g), larger(&g)], &[]),
        "inference-oom" | "prefill-oom" => {
            let settled = ["smaller-batch", "quantize", "release", "fewer-prefill-tokens"];
            // What grows from request to request is held by somebody.
            if crate::case::trends::climb(occasion.situation.case, &occasion.situation.run.facts).is_some() {
                return plan(vec![no_gradients(&g), smaller_batch(&g), attention(&g), four_bits_running(&g)], &settled);
            }
            let mut moves = vec![smaller_batch(&g), attention(&g), four_bits_running(&g), no_gradients(&g)];
            if moves.iter().flatten().all(|remedy| remedy.fit.is_none()) {
                moves.push(larger(&g));
            }
            plan(moves, &settled)
        }
        "training-oom" => {
            let settled = ["smaller-batch", "lighter-optimizer", "checkpointing"];
            // No batch is small enough for what does not fit without one.
            if trained(&g).zip(g.device.as_ref()).is_some_and(|(fixed, device)| fixed >= device.total) {
                return plan(vec![adapters(&g), training_batch(&g), sharded(&g), checkpointing(&g)], &settled);
            }
            plan(vec![training_batch(&g), adapters(&g), checkpointing(&g), sharded(&g)], &settled)
        }
        _ => None,
    }
}

/// What the model needs of a device that nobody else uses, if it fits.
pub(super) fn alone(occasion: &Occasion<'_>) -> Option<Fit> {
    if !is_python(occasion) {
        return None;
    }
    Ground::of(occasion).as_it_is().filter(|fit| fit.probability >= 0.5)
}

/// Whether it is code of the user's own that runs the model.
fn is_python(occasion: &Occasion<'_>) -> bool {
    matches!(occasion.engine(), "transformers" | "accelerate" | "bitsandbytes" | "pytorch" | "deepspeed")
}

struct Ground<'o> {
    occasion: &'o Occasion<'o>,
    device: Option<Device>,
    model: Option<Model>,
}

impl<'o> Ground<'o> {
    fn of(occasion: &'o Occasion<'o>) -> Ground<'o> {
        let model = occasion.deployment.model.as_deref().and_then(|name| Model::find(name, &UserCatalogue::default()).ok());
        Ground { occasion, device: super::ground::device(occasion), model: model.filter(|model| model.shape.is_some()) }
    }

    /// What the model takes on the device to answer one prompt.
    fn answering(&self, word: &str) -> Option<Fit> {
        answering(self.model.as_ref()?, self.device.as_ref()?, formats::named_for(Engine::Tgi, word))
    }

    /// The same with the weights as they were to be loaded.
    fn as_it_is(&self) -> Option<Fit> {
        let asked = match self.occasion.deployment.quantization.as_deref() {
            _ if self.is_set("load_in_4bit") => Some("nf4"),
            _ if self.is_set("load_in_8bit") => Some("llm.int8"),
            word => word,
        };
        let quantization = match asked {
            Some(word) => Some(formats::asked(Engine::Tgi, word, self.model.as_ref()?.quantization)?),
            None => None,
        };
        answering(self.model.as_ref()?, self.device.as_ref()?, quantization)
    }

    fn is_set(&self, argument: &str) -> bool {
        self.occasion.value(argument).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether `from_pretrained` loads it.
    fn is_transformers(&self) -> bool {
        matches!(self.occasion.engine(), "transformers" | "accelerate" | "bitsandbytes")
    }

    fn shape(&self) -> Option<&Shape> {
        self.model.as_ref()?.shape.as_ref()
    }

    fn is_quantized(&self) -> bool {
        self.model.as_ref().is_some_and(|model| model.quantization.is_some())
            || self.occasion.deployment.quantization.is_some()
            || self.is_set("load_in_4bit")
            || self.is_set("load_in_8bit")
    }

    /// A remedy of arguments of `from_pretrained`, as code where the model is known to be loaded by it.
    fn loading(&self, id: &'static str, title: &str, why: &str, price: &'static str, changes: &[(&str, &str)], fit: Option<Fit>) -> Option<Remedy> {
        let rationale =
            fit.as_ref().map(sentence).into_iter().chain(Some(why.to_owned())).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
        let words = Words { id, title: title.to_owned(), rationale, tradeoff: price };
        if self.occasion.command.is_some() && self.occasion.engine() == "transformers" {
            let mut remedy =
                self.occasion.changed(words, changes, &self.occasion.circumstances(self.device.as_ref().map(|d| &d.arch), self.model.as_ref()))?;
            remedy.fit = fit;
            return Some(remedy);
        }
        let Words { title, rationale, .. } = words;
        Some(Remedy { changes: set(changes), fit, ..advice(id, title, rationale, price) })
    }
}

/// What the process and others held when memory was refused, what was asked for, and what the device has.
fn refused(occasion: &Occasion<'_>) -> Option<(Bytes, Bytes, Bytes)> {
    let f = &occasion.situation.figures;
    let (tried, total) = (Bytes(f.tried_bytes?), Bytes(f.total_bytes?));
    let by_process = f.process_bytes.or(f.reserved_bytes).or(f.allocated_bytes).map(Bytes);
    let held = f.free_bytes.map(|free| total.saturating_sub(Bytes(free))).or(by_process)?;
    Some((held.min(total), tried, total))
}

/// Arguments that are set, whatever they were before.
fn set(changes: &[(&str, &str)]) -> Vec<Change> {
    changes.iter().map(|(flag, to)| Change { flag: (*flag).to_owned(), from: None, to: Some((*to).to_owned()) }).collect()
}

/// The weights of a model in bitsandbytes' 4 bits.
fn nf4(model: &Model) -> Bytes {
    let setup = Setup { quantization: formats::named_for(Engine::Tgi, "nf4"), ..Setup::new(Engine::Vllm) };
    estimate(model, &Device::of_size("any", Bytes::ZERO), &setup).weights.bytes
}

/// What a model takes on a device to answer one prompt, its weights quantized so, or as they are stored. vLLM's arithmetic
/// without its pool is that of a script.
fn answering(model: &Model, device: &Device, quantization: Option<Quantization>) -> Option<Fit> {
    let setup = Setup { quantization, max_model_len: Some(USEFUL), max_num_seqs: Some(1), eager: true, ..Setup::new(Engine::Vllm) };
    let e = estimate(model, device, &setup);
    let (activation, cache) = (e.activation?, e.needed_cache?);
    let parts = [e.weights.margin, activation.margin, cache.margin, margin::context(), device.margin];
    Some(super::fit(e.fixed() + cache.bytes + e.beside(), device.total, margin::root(parts)))
}

/// All of the model on one device, in 4 bits: what is not offloaded always has its data. Where the device is not known
/// nobody can say that it fits, and there is no code.
pub(super) fn on_one_device(occasion: &Occasion<'_>) -> Option<Remedy> {
    let g = Ground::of(occasion);
    // Of quantized weights only those that bitsandbytes makes 8 bits of while loading can be 4 bits instead.
    let is_other = occasion.cause == "quantized-offload-refused" && occasion.situation.fact.word("quantizer").is_none();
    let is_in_eight = |word: &str| formats::named_for(Engine::Tgi, word).is_some_and(|asked| asked.method == Some(Method::Bnb8));
    let asked = occasion.deployment.quantization.as_deref().filter(|word| !word.eq_ignore_ascii_case("none"));
    let is_stored = g.model.as_ref().is_some_and(|model| model.quantization.is_some());
    if !g.is_transformers() || is_other || is_stored || g.is_set("load_in_4bit") || asked.is_some_and(|word| !is_in_eight(word)) {
        return None;
    }
    let fit = g.answering("nf4");
    if fit.as_ref().is_some_and(|fit| fit.probability < 0.5) {
        return None;
    }
    let changes = [("load_in_4bit", "true"), ("bnb_4bit_quant_type", "nf4"), ("bnb_4bit_compute_dtype", "float16"), ("device_map", "{\"\": 0}")];
    let title = "Load the model in 4 bits, with all of it on the device";
    let why = "What is not offloaded always has its data.";
    let tradeoff = "Some quality.";
    if fit.is_some() {
        return g.loading("fit-on-device", title, why, tradeoff, &changes, fit);
    }
    let least = match &g.model {
        Some(model) => format!(
            "Its weights take {} in 4 bits (computed): a device with less than that and a GiB or two more cannot hold it.",
            size(nf4(model).0)
        ),
        None => "Whether it then fits is not known, as the log does not name the model.".to_owned(),
    };
    Some(Remedy { changes: set(&changes), ..advice("fit-on-device", title, format!("{why} {least}"), tradeoff) })
}

/// 16 bit, where nothing says that it was loaded so: older versions load float32 unless told otherwise.
fn half(g: &Ground) -> Option<Remedy> {
    if g.is_quantized() || g.occasion.deployment.dtype.as_deref().is_some_and(|dtype| dtype.contains("16")) {
        return None;
    }
    let fit = g.answering("none");
    if !g.is_transformers() || fit.as_ref().is_some_and(|fit| fit.probability < 0.5) {
        return None;
    }
    let why = "Versions of transformers before 5 load float32, twice that, unless they are told otherwise.";
    let title = "Load the weights in 16 bits, placed module by module";
    g.loading("half", title, why, "None, for models that are published in 16 bits.", &[("torch_dtype", "float16"), ("device_map", "auto")], fit)
}

fn four_bits(g: &Ground) -> Option<Remedy> {
    if g.is_quantized() {
        return None;
    }
    let fit = g.answering("nf4").filter(|fit| fit.probability >= 0.5)?;
    let changes = [("load_in_4bit", "true"), ("bnb_4bit_quant_type", "nf4"), ("bnb_4bit_compute_dtype", "float16"), ("device_map", "auto")];
    g.loading("quantize", "Load the model in 4 bits, so that all of it is on the device", "", "Some quality.", &changes, Some(fit))
}

fn eight_bits(g: &Ground) -> Option<Remedy> {
    if g.is_quantized() {
        return None;
    }
    let fit = g.answering("llm.int8").filter(|fit| fit.probability >= 0.9)?;
    let changes = [("load_in_8bit", "true"), ("device_map", "auto")];
    g.loading("quantize-8bit", "Load the model in 8 bits", "", "A little quality; slower than 4 bits.", &changes, Some(fit))
}

/// What does not fit in the host's memory.
fn offloaded(g: &Ground) -> Option<Remedy> {
    if !g.is_transformers() || g.is_quantized() || g.occasion.value("device_map").is_some_and(|value| value == "auto") {
        return None;
    }
    let several = g.occasion.deployment.devices.len() > 1;
    let title = if several {
        "Spread the layers over the devices, and the rest over the host (device_map auto)"
    } else {
        "Leave what does not fit in the host's memory (device_map auto)"
    };
    let why = "accelerate then fills the devices first. Do not move the model afterwards.";
    g.loading("offload", title, why, "Speed: what lies in the host's memory is fetched for every token.", &[("device_map", "auto")], None)
}

/// A device that holds it, where it fits in no format: of weights that are quantized there is no other.
fn larger(g: &Ground) -> Option<Remedy> {
    let (how, fit) = if g.is_quantized() { ("As it is quantized", g.as_it_is()?) } else { ("In 4 bits", g.answering("nf4")?) };
    let fits = |fit: &Fit| fit.probability >= 0.5;
    if fits(&fit) || !g.is_quantized() && ["none", "llm.int8"].into_iter().filter_map(|word| g.answering(word)).any(|fit| fits(&fit)) {
        return None;
    }
    Some(advice(
        "bigger-device",
        "Nothing on this device makes it fit: take a larger one, or several",
        format!("{how} it needs {} of {}.", size(fit.predicted_bytes), size(fit.limit_bytes)),
        "Hardware.",
    ))
}

/// A smaller batch, or shorter inputs: a step's tensors are smaller by as much.
fn smaller_batch(g: &Ground) -> Option<Remedy> {
    let why = "Activations and the cache grow with the batch, the length of the inputs and the number of new tokens.";
    let price = "Throughput.";
    let found = refused(g.occasion).and_then(|(held, tried, total)| {
        [2, 4, 8].into_iter().find_map(|part| {
            let one = tried.div_ceil(part);
            // What comes after it in the step is not printed.
            let fit = super::fit(held + one, total, margin::root([one.scaled(0.25), total.fraction(0.01)]));
            (fit.probability >= 0.9).then_some((part, fit))
        })
    });
    Some(match found {
        Some((part, fit)) => Remedy {
            fit: Some(fit),
            ..advice(
                "smaller-batch",
                format!("Run 1/{part} of the batch at a time, or inputs that are as much shorter"),
                format!("{} {why} That is for the tensor that was refused.", sentence(&fit)),
                price,
            )
        },
        None => advice("smaller-batch", "Run smaller batches, shorter inputs, fewer new tokens", why, price),
    })
}

/// Attention without the matrix of scores.
fn attention(g: &Ground) -> Option<Remedy> {
    let asked = g.occasion.value("attn_implementation");
    if asked.as_deref().is_some_and(|word| word != "eager") {
        return None;
    }
    // Where one request is of the size of a model, it is the scores: everything else is linear in the input.
    let large = refused(g.occasion).is_some_and(|(held, tried, _)| tried >= Bytes::gib(2) || tried.0 > held.0 / 3);
    let why = if large {
        "So large a tensor in one piece is that of attention scores as a rule, which grow with the square of the input; these kernels never hold it."
    } else {
        "Attention scores grow with the square of the input; these kernels never hold them."
    };
    let price = "None where the device has kernels for it; flash attention needs the package flash-attn.";
    if !g.is_transformers() {
        return Some(advice("attention", "Use an attention that holds no scores: scaled_dot_product_attention, or flash attention", why, price));
    }
    let title = "Use an attention that holds no scores: attn_implementation sdpa, or flash_attention_2";
    Some(Remedy {
        changes: vec![Change { flag: "attn_implementation".to_owned(), from: asked, to: Some("sdpa".to_owned()) }],
        ..advice("attention", title, why, price)
    })
}

/// What quantized weights would leave for the step.
fn four_bits_running(g: &Ground) -> Option<Remedy> {
    if g.is_quantized() {
        return None;
    }
    if !g.is_transformers() {
        return Some(advice("quantize", "Load the weights quantized", "It leaves more for everything else.", "Some quality."));
    }
    let weights = |word: &str| {
        let setup = Setup { quantization: formats::named_for(Engine::Tgi, word), ..Setup::new(Engine::Vllm) };
        Some(estimate(g.model.as_ref()?, g.device.as_ref()?, &setup).weights.bytes)
    };
    let by_refusal = || {
        let (whole, quarter) = (weights("none")?, weights("nf4")?);
        let (held, tried, total) = refused(g.occasion)?;
        // What was held was not all of the model otherwise.
        let freed = whole.checked_sub(quarter).filter(|_| whole <= held)?;
        Some(super::fit(held.saturating_sub(freed) + tried, total, margin::root([freed.scaled(0.05), tried.scaled(0.25), Bytes::mib(128)])))
    };
    let fit = by_refusal().or_else(|| g.answering("nf4"));
    if fit.as_ref().is_some_and(|fit| fit.probability < 0.5) {
        return None;
    }
    let changes = [("load_in_4bit", "true"), ("bnb_4bit_quant_type", "nf4"), ("bnb_4bit_compute_dtype", "float16"), ("device_map", "auto")];
    g.loading("quantize", "Load the weights in 4 bits", "It leaves more for everything else.", "Some quality.", &changes, fit)
}

fn no_gradients(g: &Ground) -> Option<Remedy> {
    (g.occasion.situation.phase() == Some(Phase::Serve)).then(|| {
        advice(
            "release",
            "Generate under `torch.inference_mode()` and drop caches and outputs between requests",
            "What earlier steps still hold is not free for the next.",
            "None.",
        )
    })
}

/// What full training holds whatever the batch.
fn trained(g: &Ground) -> Option<Bytes> {
    // Shared out over ranks or offloaded, it is less.
    if g.occasion.engine() == "deepspeed" || g.occasion.situation.has_several_ranks() {
        return None;
    }
    Some(Bytes(g.model.as_ref()?.parameters).scaled(TRAINED))
}

fn training_batch(g: &Ground) -> Option<Remedy> {
    let title = "Halve the batch for each device and double gradient accumulation";
    let price = "Some speed.";
    let why = "Activations grow with the batch; the effective batch stays.";
    let (fixed, total) = (trained(g), g.device.as_ref().map(|device| device.total));
    if let Some((fixed, total)) = fixed.zip(total)
        && fixed >= total
    {
        let held = format!(
            "It is not enough if all parameters are trained: with Adam those take {} before any activation, and the device has {}.",
            size(fixed.0),
            size(total.0)
        );
        return Some(advice("smaller-batch", title, format!("{why} {held}"), price));
    }
    let fit = fixed.zip(refused(g.occasion)).and_then(|(fixed, (held, tried, total))| {
        let half = (held + tried).saturating_sub(fixed).scaled(0.5);
        Some(super::fit(fixed + half, total, margin::root([half.scaled(0.3), fixed.scaled(0.1)]))).filter(|fit| fit.probability >= 0.5)
    });
    let rationale = fit.as_ref().map_or_else(|| why.to_owned(), |fit| format!("{} {why}", sentence(fit)));
    Some(Remedy { fit, ..advice("smaller-batch", title, rationale, price) })
}

/// Adapters on weights in 4 bits.
fn adapters(g: &Ground) -> Option<Remedy> {
    let title = "Train adapters on weights in 4 bits (QLoRA), or use an 8-bit or paged optimizer";
    let why = "Gradients and optimizer state are several times the weights; adapters have a hundredth of them.";
    let price = "Some capacity of the fine-tune.";
    let fit = g.model.as_ref().zip(g.shape()).zip(g.device.as_ref()).and_then(|((model, shape), device)| {
        let setup = Setup { quantization: formats::named("nf4"), ..Setup::new(Engine::Vllm) };
        let weights = estimate(model, device, &setup).weights.bytes;
        let adapters = Bytes(model.parameters).scaled(ADAPTERS * TRAINED);
        // With checkpoints: the input of each layer, one layer's results several times over, and logits in float32 twice.
        let inputs = Bytes(2 * STEP * shape.hidden * shape.layer_count());
        let logits = Bytes(8 * STEP * shape.vocabulary);
        let sum = weights + adapters + inputs.scaled(2.0) + logits + Bytes::mib(600);
        let fit =
            super::fit(sum, device.total, margin::root([weights.scaled(0.05), adapters.scaled(0.5), inputs, logits.scaled(0.5), Bytes::mib(256)]));
        (fit.probability >= 0.5).then_some(fit)
    });
    let rationale = match &fit {
        Some(fit) => format!("{} That is for steps of {STEP} tokens with gradient checkpoints; it was not measured. {why}", sentence(fit)),
        None => why.to_owned(),
    };
    Some(Remedy { fit, ..advice("lighter-optimizer", title, rationale, price) })
}

fn checkpointing(_: &Ground) -> Option<Remedy> {
    Some(advice("checkpointing", "Switch gradient checkpointing on", "Activations are computed again instead of kept.", "About a third more time."))
}

/// Optimizer and gradients shared out.
fn sharded(g: &Ground) -> Option<Remedy> {
    let fixed = trained(g).zip(g.device.as_ref()).filter(|(fixed, device)| *fixed >= device.total);
    let several = g.occasion.situation.has_several_ranks() || g.occasion.deployment.devices.len() > 1;
    if fixed.is_none() && !several {
        return None;
    }
    let count = fixed.as_ref().map_or(String::new(), |(fixed, device)| {
        format!(" All of it needs {} such devices at the least.", fixed.0.div_ceil(device.total.fraction(0.8).0.max(1)))
    });
    Some(advice(
        "sharded",
        "Share weights, gradients and optimizer out over devices, or leave them to the host (FSDP, ZeRO stage 3 with offload)",
        format!("Each device then holds its part.{count}"),
        "Hardware, or speed; communication.",
    ))
}

/// The allocator's option against pieces: not where all that is held unused would not do, nor where it is set already.
fn against_pieces(occasion: &Occasion<'_>) -> Option<Remedy> {
    let f = &occasion.situation.figures;
    let unused = f.reserved_unallocated_bytes.or_else(|| f.reserved_bytes?.checked_sub(f.allocated_bytes?)).map(Bytes);
    // A tenth of it stays in pieces all the same.
    let fit = unused.zip(refused(occasion)).map(|(unused, (held, tried, total))| {
        super::fit(held.saturating_sub(unused.scaled(0.9)) + tried, total, margin::root([unused.scaled(0.1), Bytes::mib(128)]))
    });
    if fit.as_ref().is_some_and(|fit| fit.probability < 0.5) {
        return None;
    }
    // PyTorch before 2.1, whose message does not name what is reserved but unallocated, refuses the newer option.
    let (words, setting, fit) = if f.reserved_unallocated_bytes.is_some() {
        let why = "Segments then grow instead of leaving holes.";
        let words = Words {
            id: SEGMENTS,
            title: "Let the allocator's segments grow (PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True)".to_owned(),
            rationale: fit.as_ref().map_or_else(|| why.to_owned(), |fit| format!("{} {why}", sentence(fit))),
            tradeoff: "None on Linux; not supported everywhere.",
        };
        (words, "expandable_segments:True", fit)
    } else if occasion.situation.fact.place.text.contains("max_split_size_mb") {
        let words = Words {
            id: "unsplit-blocks",
            title: "Keep large blocks whole (PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:128)".to_owned(),
            rationale: "A block above that size is not cut for a small tensor, and can be given back. How much that wins is not known \
                        beforehand; PyTorch 2.1 and later have segments that grow, which win more."
                .to_owned(),
            tradeoff: "Some speed.",
        };
        (words, "max_split_size_mb:128", None)
    } else {
        return None;
    };
    let changes = [("PYTORCH_CUDA_ALLOC_CONF", setting)];
    let remedy = match occasion.command {
        Some(_) => occasion.changed(words, &changes, &Circumstances::default())?,
        None => Remedy { changes: set(&changes), ..advice(words.id, words.title, words.rationale, words.tradeoff) },
    };
    Some(Remedy { fit, ..remedy })
}
