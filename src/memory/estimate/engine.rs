//! Who divides the memory: engines, their versions, and what a server was asked to do, with the defaults that the engine
//! would choose where nothing was asked.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::memory::device::{Arch, Vendor};
use crate::memory::format::{Dtype, Method, Quantization};
use crate::memory::size::Rate;
use crate::memory::{Bytes, Device, Model, Origin};

/// An engine whose division of memory is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// vLLM.
    Vllm,
    /// Hugging Face text-generation-inference.
    Tgi,
    /// SGLang.
    Sglang,
    /// llama.cpp, and Ollama, which runs it.
    LlamaCpp,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Engine; 4] = [Engine::Vllm, Engine::Tgi, Engine::Sglang, Engine::LlamaCpp];

    /// Its name, as in `deployment.engine`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Engine::Vllm => "vllm",
            Engine::Tgi => "tgi",
            Engine::Sglang => "sglang",
            Engine::LlamaCpp => "llama.cpp",
        }
    }

    /// Its name as its makers write it.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::Vllm => "vLLM",
            Engine::Tgi => "TGI",
            Engine::Sglang => "SGLang",
            Engine::LlamaCpp => "llama.cpp",
        }
    }

    /// The version that is assumed where none is given: the newest one whose arithmetic was checked.
    pub const fn newest(self) -> Version {
        match self {
            Engine::Vllm => Version(0, 20, 2),
            Engine::Tgi => Version(3, 3, 7),
            Engine::Sglang => Version(0, 5, 13),
            Engine::LlamaCpp => Version(0, 0, 0),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An engine that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the memory of `{0}` is not modelled; vllm, tgi, sglang, llama.cpp and ollama are")]
pub struct UnknownEngine(pub String);

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Engine, UnknownEngine> {
        Ok(match text.trim().to_ascii_lowercase().as_str() {
            "vllm" => Engine::Vllm,
            "tgi" | "text-generation-inference" => Engine::Tgi,
            "sglang" | "sgl" => Engine::Sglang,
            "llama.cpp" | "llamacpp" | "llama-cpp" | "llama_cpp" | "llama-server" | "ollama" => Engine::LlamaCpp,
            _ => return Err(UnknownEngine(text.chars().take(80).collect())),
        })
    }
}

/// The first three numbers of an engine's version: `0.6.6.post1` is 0.6.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// The first run of numbers with dots in a text such as `v0.15.2rc1.dev93` or `vllm-ascend 0.10.0rc1`; none if there
    /// is none.
    pub fn find(text: &str) -> Option<Version> {
        text.split(|c: char| c.is_whitespace() || c == '+' || c == '-').find_map(|word| {
            let mut numbers = word.trim_start_matches(['v', 'V']).split('.').map(|part| {
                let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
                (digits.parse::<u32>().ok(), digits.len() == part.len())
            });
            let (major, true) = numbers.next()? else { return None };
            let (minor, _) = numbers.next()?;
            Some(Version(major?, minor?, numbers.next().and_then(|(patch, _)| patch).unwrap_or(0)))
        })
    }
}

/// How a cache stores keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheFormat {
    /// Bits of an element of a key.
    pub keys: Rate,
    /// Bits of an element of a value.
    pub values: Rate,
    /// Bytes of a token in a layer of latent attention, where the format has a layout of its own for it
    /// (`fp8_ds_mla`: 512 bytes in fp8, four float32 scales, 64 elements in 16 bit).
    pub latent: Option<u64>,
}

impl CacheFormat {
    /// 16-bit keys and values.
    pub const HALF: CacheFormat = CacheFormat::both(Rate::bits(16));
    /// 8-bit floats; scales are a few bytes for a whole layer.
    pub const FP8: CacheFormat = CacheFormat::both(Rate::bits(8));

    const fn both(rate: Rate) -> CacheFormat {
        CacheFormat { keys: rate, values: rate, latent: None }
    }

    /// Reads the words of the engines: `auto`, `fp8_e5m2`, `bfloat16`, `q8_0`, and `q8_0/f16` for keys and values apart.
    /// None for a word that is not known.
    pub fn parse(text: &str) -> Option<CacheFormat> {
        let one = |word: &str| {
            Some(match word.trim().to_ascii_lowercase().as_str() {
                "auto" | "" => Rate::bits(16),
                // A block of 32 elements with a 16-bit scale, and a 16-bit minimum in those that end in 1.
                "q8_0" => Rate::grouped(8, 16, 32),
                "q5_1" => Rate::grouped(5, 32, 32),
                "q5_0" => Rate::grouped(5, 16, 32),
                "q4_1" => Rate::grouped(4, 32, 32),
                "q4_0" | "iq4_nl" => Rate::grouped(4, 16, 32),
                "nvfp4" => Rate::grouped(4, 8, 16),
                "fp8_inc" => Rate::bits(8),
                other => Dtype::parse(other)?.rate(),
            })
        };
        let lower = text.trim().to_ascii_lowercase();
        if lower == "fp8_ds_mla" {
            return Some(CacheFormat { latent: Some(656), ..CacheFormat::FP8 });
        }
        match lower.split_once('/') {
            Some((keys, values)) => Some(CacheFormat { keys: one(keys)?, values: one(values)?, latent: None }),
            None => one(&lower).map(CacheFormat::both),
        }
    }
}

/// What a server is asked to do. What is left out gets the engine's default.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The engine.
    pub engine: Engine,
    /// Its version.
    pub version: Option<Version>,
    /// The dtype of unquantized weights and of the computation.
    pub dtype: Option<Dtype>,
    /// How weights are quantized; as the model is stored if none.
    pub quantization: Option<Quantization>,
    /// How the cache is stored.
    pub cache: Option<CacheFormat>,
    /// The longest sequence: prompt and answer together.
    pub max_model_len: Option<u64>,
    /// Sequences at a time.
    pub max_num_seqs: Option<u64>,
    /// Tokens of a prefill step: vLLM's `--max-num-batched-tokens`, TGI's `--max-batch-prefill-tokens`, SGLang's
    /// `--chunked-prefill-size`, llama.cpp's `--ubatch-size`.
    pub max_num_batched_tokens: Option<u64>,
    /// Ranks that split each layer.
    pub tensor_parallel: u64,
    /// Ranks that split the layers among them.
    pub pipeline_parallel: u64,
    /// The fraction of the device that the engine may take: `--gpu-memory-utilization`, `--cuda-memory-fraction`,
    /// `--mem-fraction-static`.
    pub fraction: Option<f64>,
    /// Bytes of weights that stay in the host's memory.
    pub offloaded: Bytes,
    /// No CUDA graphs.
    pub eager: bool,
    /// llama.cpp's older way and its fork's: latent attention is written out as keys and values for each head, and layers
    /// with a window keep the whole context.
    pub full_cache: bool,
}

impl Setup {
    /// A setup with every default.
    pub const fn new(engine: Engine) -> Setup {
        Setup {
            engine,
            version: None,
            dtype: None,
            quantization: None,
            cache: None,
            max_model_len: None,
            max_num_seqs: None,
            max_num_batched_tokens: None,
            tensor_parallel: 1,
            pipeline_parallel: 1,
            fraction: None,
            offloaded: Bytes::ZERO,
            eager: false,
            full_cache: false,
        }
    }
}

/// A setup with the engine's defaults filled in for a model on a device, and what had to be assumed for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The engine.
    pub engine: Engine,
    /// Its version, given or assumed.
    pub version: Version,
    /// Bits of unquantized weights and of activations.
    pub dtype: Dtype,
    /// How weights are quantized.
    pub quantization: Quantization,
    /// How the cache is stored.
    pub cache: CacheFormat,
    /// Tokens of the longest sequence.
    pub length: u64,
    /// Whether `length` was asked for, and is not only the engine's default.
    pub length_given: bool,
    /// Sequences at a time.
    pub sequences: u64,
    /// Tokens of a prefill step.
    pub batch: u64,
    /// Ranks that split each layer.
    pub tensor_parallel: u64,
    /// Ranks that split the layers among them.
    pub pipeline_parallel: u64,
    /// The dtype of the states of recurrent layers.
    pub state: Dtype,
    /// The fraction of the device that the engine may take.
    pub fraction: f64,
    /// See [`Setup::offloaded`].
    pub offloaded: Bytes,
    /// No CUDA graphs.
    pub eager: bool,
    /// See [`Setup::full_cache`].
    pub full_cache: bool,
    /// What was assumed, a sentence each.
    pub assumptions: Vec<String>,
}

/// Nobody asks an engine for more tokens, sequences or ranks in earnest, and products of such numbers stay numbers.
const MOST: u64 = 1 << 30;

impl Plan {
    /// Fills the defaults in.
    pub fn new(setup: &Setup, model: &Model, device: &Device) -> Plan {
        let mut assumptions = Vec::new();
        let engine = setup.engine;
        let version = setup.version.unwrap_or(engine.newest());
        if setup.version.is_none() && engine != Engine::LlamaCpp {
            assumptions.push(format!("{engine} {version}, as no version is given"));
        }
        let dtype = dtype(setup, model, device, &mut assumptions);
        let made_for = model.shape.as_ref().and_then(|shape| shape.max_positions);
        let length = setup.max_model_len.unwrap_or_else(|| default_length(engine, version, made_for, &mut assumptions));
        let (batch, sequences) = batch(setup, version, length, device);
        let quantization = setup.quantization.unwrap_or(model.quantization);
        let is_of_files = matches!(model.origin, Origin::Catalogue | Origin::Name) && !model.quantization_is_named;
        if let (None, true, Some(Method::Gguf(mix))) = (setup.quantization, is_of_files, quantization.method) {
            assumptions.push(format!("the file in {}, which is taken where none is named", mix.name));
        }
        let fraction = setup.fraction.unwrap_or_else(|| default_fraction(setup, version, batch, device));
        let (length, batch, sequences) = (length.min(MOST), batch.min(MOST), sequences.min(MOST));
        Plan {
            engine,
            version,
            dtype,
            quantization,
            cache: cache(setup, version, model, &mut assumptions),
            length,
            length_given: setup.max_model_len.is_some(),
            sequences,
            batch,
            tensor_parallel: setup.tensor_parallel.clamp(1, MOST),
            pipeline_parallel: setup.pipeline_parallel.clamp(1, MOST),
            state: state(setup.engine, model.family.as_deref(), dtype),
            fraction: if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 },
            offloaded: setup.offloaded,
            eager: setup.eager,
            full_cache: setup.full_cache,
            assumptions,
        }
    }

    /// Ranks together.
    pub fn ranks(&self) -> u64 {
        self.tensor_parallel.saturating_mul(self.pipeline_parallel)
    }

    /// Whether this is vLLM from this version on.
    pub fn vllm_from(&self, version: Version) -> bool {
        self.engine == Engine::Vllm && self.version >= version
    }
}

/// 16 bit, unless float32 was asked for: vLLM, TGI and SGLang serve float32 checkpoints in 16 bit.
fn dtype(setup: &Setup, model: &Model, device: &Device, assumptions: &mut Vec<String>) -> Dtype {
    if let Some(dtype) = setup.dtype {
        return dtype;
    }
    let sixteen = if device.bf16() == Some(false) { Dtype::F16 } else { Dtype::BF16 };
    match model.dtype {
        Some(Dtype::BF16) => sixteen,
        Some(Dtype::F16) => Dtype::F16,
        Some(Dtype::F32) if setup.engine != Engine::LlamaCpp => {
            assumptions.push("the float32 checkpoint is served in 16 bit, as the engine does unless told otherwise".to_owned());
            Dtype::F16
        }
        Some(_) => sixteen,
        None => {
            assumptions.push("16-bit weights, as the model's dtype is not known".to_owned());
            sixteen
        }
    }
}

/// 16 bit, unless the checkpoint asks for fp8, and the version of vLLM obeys.
fn cache(setup: &Setup, version: Version, model: &Model, assumptions: &mut Vec<String>) -> CacheFormat {
    match (setup.cache, model.cache) {
        (Some(CacheFormat::HALF) | None, Some(Dtype::F8)) if setup.engine == Engine::Vllm && version >= Version(0, 12, 0) => {
            assumptions.push("a cache in fp8, as the checkpoint asks for it".to_owned());
            CacheFormat::FP8
        }
        (cache, _) => cache.unwrap_or(CacheFormat::HALF),
    }
}

/// States of recurrent layers are kept in the model's dtype by vLLM, unless the model's family asks for float32; others
/// keep float32.
fn state(engine: Engine, family: Option<&str>, dtype: Dtype) -> Dtype {
    let wants = family.is_some_and(|f| f.starts_with("qwen3_5") || f.starts_with("nemotron_h"));
    if engine == Engine::Vllm && !wants { dtype } else { Dtype::F32 }
}

fn default_length(engine: Engine, version: Version, made_for: Option<u64>, assumptions: &mut Vec<String>) -> u64 {
    let own = made_for.unwrap_or_else(|| {
        assumptions.push("a context of 4096 tokens, as the model's own is not known".to_owned());
        4096
    });
    match engine {
        Engine::Vllm | Engine::Sglang => own,
        // The launcher's default was 4096 at most; 3.x takes what the memory allows.
        Engine::Tgi if version < Version(3, 0, 0) => own.min(4096),
        Engine::Tgi => own,
        Engine::LlamaCpp => {
            assumptions.push(format!("a context of {} tokens, llama.cpp's default", own.min(4096)));
            own.min(4096)
        }
    }
}

/// Large cards other than the A100 get larger batches by default.
fn is_large(device: &Device) -> bool {
    device.total >= Bytes::gib(70) && !device.name.to_ascii_lowercase().contains("a100")
}

/// Tokens of a prefill step, and sequences at a time, as the engines choose them.
fn batch(setup: &Setup, version: Version, length: u64, device: &Device) -> (u64, u64) {
    let (tokens, sequences) = match setup.engine {
        Engine::Vllm if version >= Version(0, 8, 0) => {
            let large = is_large(device);
            // A server's defaults; `LLM(...)` in a script takes twice to four times as many tokens.
            (if large { 8192 } else { 2048 }, if large && version >= Version(0, 8, 5) { 1024 } else { 256 })
        }
        // The first engine: prefill in chunks only for long contexts, otherwise a whole prompt must fit in a batch.
        Engine::Vllm if version >= Version(0, 6, 4) && length > 32768 => (2048, 256),
        Engine::Vllm if version >= Version(0, 5, 5) && length > 32768 => (512, 256),
        Engine::Vllm => (length.max(2048), 256),
        Engine::Tgi => (4096, 1),
        Engine::Sglang => {
            let gib = device.total.as_gib();
            let tokens = match gib {
                g if g < 35.0 => 2048,
                g if g < 60.0 => 4096,
                g if g < 160.0 => 8192,
                _ => 16384,
            };
            (tokens, graph_batch(gib, setup.tensor_parallel))
        }
        Engine::LlamaCpp => (512, 1),
    };
    let tokens = setup.max_num_batched_tokens.unwrap_or(tokens).max(1);
    (tokens, setup.max_num_seqs.unwrap_or(sequences).max(1))
}

/// The largest batch that SGLang captures a graph for, by the size of the card and the ranks.
fn graph_batch(gib: f64, ranks: u64) -> u64 {
    let few = ranks < 4;
    match gib {
        g if g < 20.0 => 8,
        g if g < 35.0 => {
            if few {
                24
            } else {
                80
            }
        }
        g if g < 60.0 => {
            if few {
                32
            } else {
                160
            }
        }
        _ => {
            if few {
                256
            } else {
                512
            }
        }
    }
}

fn default_fraction(setup: &Setup, version: Version, batch: u64, device: &Device) -> f64 {
    match setup.engine {
        Engine::Vllm if version >= Version(0, 20, 0) => 0.92,
        Engine::Vllm => 0.9,
        Engine::Tgi | Engine::LlamaCpp => 1.0,
        Engine::Sglang => sglang_fraction(setup, version, batch, device),
    }
}

/// SGLang leaves aside what it expects of activations and graphs, by a rule that changed twice.
fn sglang_fraction(setup: &Setup, version: Version, batch: u64, device: &Device) -> f64 {
    let total = device.total.as_gib();
    let ranks = setup.tensor_parallel.saturating_mul(setup.pipeline_parallel) as f64;
    if version >= Version(0, 5, 3) {
        let mib = 512.0 + batch.max(2048) as f64 * 1.5 + graph_batch(total, setup.tensor_parallel) as f64 * 2.0 + ranks / 8.0 * 1024.0;
        return (1.0 - mib / 1024.0 / total.max(1.0)).max(0.1);
    }
    if version >= Version(0, 4, 8) {
        let aside = match total {
            t if t < 35.0 => 2.8 + ranks / 10.0,
            t if t < 90.0 => 9.5 + ranks / 2.0,
            t if t < 160.0 => 12.0 + ranks / 2.0,
            _ => 32.0,
        };
        return (1.0 - aside / total.max(1.0)).max(0.1);
    }
    match setup.tensor_parallel {
        16.. => 0.79,
        8.. => 0.81,
        4.. => 0.85,
        2.. => 0.87,
        _ => 0.88,
    }
}

/// Whether the device is an NVIDIA card for servers of the Hopper generation or later, linked by NVSwitch as a rule.
pub(super) fn is_hopper_or_later(device: &Device) -> bool {
    match device.arch {
        Arch::Cuda(9..=10, _) => device.total >= Bytes::gib(70),
        // A size and no name: of the cards that large, most by far.
        Arch::Unknown => device.total >= Bytes::gib(70) && device.vendor == Vendor::Unknown,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found() {
        for (text, version) in [
            ("0.19.0", Version(0, 19, 0)),
            ("v0.15.2rc1.dev93", Version(0, 15, 2)),
            ("0.6.6.post1", Version(0, 6, 6)),
            ("vllm-ascend 0.10.0rc1", Version(0, 10, 0)),
            ("ollama 0.30", Version(0, 30, 0)),
        ] {
            assert_eq!(Version::find(text), Some(version), "{text}");
        }
        assert_eq!(Version::find("7c96971 (2025-07)"), None);
    }

    #[test]
    fn cache_formats_are_read() {
        assert_eq!(CacheFormat::parse("auto"), Some(CacheFormat::HALF));
        assert_eq!(CacheFormat::parse("fp8_e5m2"), Some(CacheFormat::FP8));
        assert_eq!(CacheFormat::parse("q8_0/f16").map(|f| (f.keys.as_bits(), f.values.as_bits())), Some((8.5, 16.0)));
        assert_eq!(CacheFormat::parse("q3_nonsense"), None);
    }
}
