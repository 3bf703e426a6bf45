//! What the files of a model say: its configuration, and the exact bytes of every tensor, from headers alone.
//!
//! Headers are hostile input: every size in them is bounded before it is believed, sums are checked, and no tensor is
//! read. A folder of a quantized model of 70 billion parameters costs a few hundred kilobytes of reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use super::catalogue::UserCatalogue;
use super::config::{self, ConfigError};
use super::format::Quantization;
use super::model::{Model, Origin, Stored};
use super::shape::Class;
use super::size::Bytes;

mod gguf;
mod safetensors;

pub use gguf::Header as GgufHeader;

/// Why files tell nothing of a model.
#[derive(Debug, Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing of a model there.
    #[error("{} holds neither a config.json nor safetensors nor a GGUF file", path.display())]
    NoModel {
        /// The folder or file.
        path: PathBuf,
    },
    /// A header is damaged or no such header.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: Damage,
    },
    /// The configuration gives no shape, and there are no tensors to count.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        reason: ConfigError,
    },
}

/// What is wrong with a header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// It ends before its end.
    #[error("the header ends too early")]
    Short,
    /// It is not what the name says.
    #[error("this is no {0} file")]
    Magic(&'static str),
    /// A size in it is absurd.
    #[error("{0} is absurdly large")]
    Large(&'static str),
    /// A version that is not known.
    #[error("version {0} of the format is not known")]
    Version(u32),
    /// A type that is not known.
    #[error("the type {0} is not known")]
    Type(u32),
    /// It is no JSON of the right form.
    #[error("the header is no valid JSON")]
    Json,
}

/// No `config.json` and no index is larger.
const LARGEST_JSON: u64 = 64 << 20;

/// No model has more files.
const MOST_FILES: usize = 4096;

/// What was read of tensors.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stored: Stored,
    by_type: BTreeMap<String, u64>,
    /// Elements before quantization, as far as types tell.
    weights: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, name: &str, type_name: &str, elements: u64, weights: u64, bytes: u64) {
        let class = class_of(name);
        self.stored.bytes[class] = self.stored.bytes[class].saturating_add(bytes);
        self.stored.elements[class] = self.stored.elements[class].saturating_add(elements);
        self.stored.largest = self.stored.largest.max(Bytes(bytes));
        self.weights = self.weights.saturating_add(weights);
        if let Some(sum) = self.by_type.get_mut(type_name) {
            *sum = sum.saturating_add(bytes);
        } else if self.by_type.len() < 64 {
            self.by_type.insert(type_name.to_owned(), bytes);
        }
    }

    fn finish(mut self) -> (Stored, u64) {
        let mut by_type: Vec<_> = self.by_type.into_iter().map(|(name, bytes)| (name, Bytes(bytes))).collect();
        by_type.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        self.stored.by_type = by_type;
        (self.stored, self.weights)
    }
}

/// What a tensor is for, by the names of safetensors and of GGUF.
fn class_of(name: &str) -> Class {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&[
        "vision",
        "visual",
        "vit.",
        "image_newline",
        "multi_modal_projector",
        "mm_projector",
        "audio_tower",
        "embed_vision",
        "embed_audio",
        "patch_merger",
    ]) || name.starts_with("v.")
        || name.starts_with("mm.")
    {
        Class::Tower
    } else if has(&[
        "norm",
        "ln_",
        "_bias",
        ".bias",
        "layernorm",
        "rope_freqs",
        "inv_freq",
        "A_log",
        "ssm_a",
        "ssm_d",
        "dt_bias",
        "sinks",
        "e_score_correction",
    ]) {
        Class::Vectors
    } else if has(&["lm_head", "embed_out"]) || name.starts_with("output.") {
        Class::LmHead
    } else if has(&["embed_tokens", "token_embd", "wte.", "word_embeddings", "tok_embeddings", "embed_in", "shared.weight"]) {
        Class::Embedding
    } else if has(&["wpe.", "position_embd", "embed_positions", "token_type", "position_embeddings"]) {
        Class::Positions
    } else if has(&["router", "mlp.gate.", "gate_inp", "block_sparse_moe.gate.", "shared_expert_gate"]) {
        Class::Router
    } else if has(&["shared_expert", "_shexp"]) {
        Class::Mlp
    } else if has(&["experts", "_exps"]) {
        Class::Experts
    } else if has(&["linear_attn", "mamba", "ssm_", "mixer.", "conv1d", "short_conv", "conv.in_proj", "conv.out_proj"]) {
        Class::Recurrent
    } else if has(&["attn", "attention", "q_proj", "k_proj", "v_proj", "o_proj", "query_key_value"]) {
        Class::Attention
    } else if has(&["mlp", "ffn", "feed_forward", "fc1", "fc2", "gate_proj", "up_proj", "down_proj", "dense_h_to_4h", "dense_4h_to_h"]) {
        Class::Mlp
    } else {
        Class::Other
    }
}

fn open(path: &Path) -> Result<File, FilesError> {
    File::open(path).map_err(|source| FilesError::Read { path: path.to_owned(), source })
}

fn damaged(path: &Path) -> impl Fn(Damage) -> FilesError + '_ {
    |reason| FilesError::Damaged { path: path.to_owned(), reason }
}

fn json(path: &Path) -> Result<Value, FilesError> {
    let mut text = Vec::new();
    open(path)?.take(LARGEST_JSON + 1).read_to_end(&mut text).map_err(|source| FilesError::Read { path: path.to_owned(), source })?;
    if text.len() as u64 > LARGEST_JSON {
        return Err(damaged(path)(Damage::Large("the file")));
    }
    serde_json::from_slice(&text).map_err(|_| damaged(path)(Damage::Json))
}

impl Model {
    /// Reads a model from its folder, its `config.json`, one of its safetensors files or their index, or a GGUF file
    /// (the other parts of a split one are found beside it).
    pub fn open(path: &Path) -> Result<Model, FilesError> {
        let is_folder = fs::metadata(path).map_err(|source| FilesError::Read { path: path.to_owned(), source })?.is_dir();
        let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        if name.ends_with(".gguf") {
            return gguf_model(path);
        }
        let folder = if is_folder { path } else { path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")) };
        if !is_folder && !name.ends_with(".json") && !name.ends_with(".safetensors") {
            return Err(FilesError::NoModel { path: path.to_owned() });
        }
        let configuration = folder.join("config.json");
        let configuration = if name.ends_with(".json") && !name.ends_with(".index.json") { path.to_owned() } else { configuration };
        let (files, named) = safetensors::files(folder)?;
        if !configuration.is_file() && files.is_empty() {
            return match gguf::files(folder)?.first() {
                Some(first) => gguf_model(first),
                None => Err(FilesError::NoModel { path: path.to_owned() }),
            };
        }
        let config = if configuration.is_file() { json(&configuration)? } else { Value::Null };
        let mut tally = Tally::default();
        for file in &files {
            safetensors::read(file, &mut tally)?;
        }
        tally.stored.files = (files.len() as u64, named);
        from_config(folder, &configuration, config, (!files.is_empty()).then_some(tally))
    }
}

/// A model from its configuration and, if there were files, from what they hold.
fn from_config(folder: &Path, path: &Path, config: Value, tally: Option<Tally>) -> Result<Model, FilesError> {
    let shape = config::shape(&config);
    let quantization = config::quantization(&config);
    let (stored, weights) = match tally.map(Tally::finish) {
        Some((stored, weights)) => (Some(stored), weights),
        None => (None, 0),
    };
    let shape = match (shape, &stored) {
        (Ok(shape), _) => Some(shape),
        // Tensors say what the weights take, even if nothing says what the cache would.
        (Err(_), Some(_)) => None,
        (Err(reason), None) => return Err(FilesError::Config { path: path.to_owned(), reason }),
    };
    let quantization = match (quantization, &stored) {
        (Ok(quantization), _) => quantization,
        (Err(_), Some(_)) => Quantization::NONE,
        (Err(reason), None) => return Err(FilesError::Config { path: path.to_owned(), reason }),
    };
    let computed = shape.as_ref().map(|s| s.parameters().total());
    let parameters = match (&stored, quantization.is_some()) {
        (Some(stored), false) if stored.is_whole() => weights,
        _ => computed.unwrap_or(weights),
    };
    let dtype = config::dtype(&config).or_else(|| {
        let (name, _) = stored.as_ref()?.by_type.iter().find(|(name, _)| matches!(name.as_str(), "BF16" | "F16" | "F32"))?;
        super::Dtype::parse(name)
    });
    let id = config
        .get("_name_or_path")
        .and_then(Value::as_str)
        .filter(|name| name.contains('/') && name.len() < 200)
        .map_or_else(|| folder.to_string_lossy().into_owned(), str::to_owned);
    Ok(Model {
        id,
        parameters,
        uncertainty: 0.0,
        active: shape.as_ref().map(super::Shape::active_parameters).filter(|&active| active < parameters),
        family: config::family(&config),
        shape,
        dtype,
        quantization,
        quantization_is_named: false,
        cache: config::cache(&config),
        stored,
        origin: Origin::File,
        base: None,
    })
}

/// A model from a GGUF file and those that it was split into.
fn gguf_model(path: &Path) -> Result<Model, FilesError> {
    let (parts, named) = gguf::parts(path);
    let mut tally = Tally::default();
    let mut first: Option<gguf::Header> = None;
    for part in &parts {
        let header = gguf::read(part, &mut tally)?;
        first.get_or_insert(header);
    }
    let header = first.unwrap_or_default();
    tally.stored.files = (parts.len() as u64, named);
    let (stored, weights) = tally.finish();
    let config = header.config(&stored);
    let shape = config::shape(&config).ok();
    Ok(Model {
        id: header.name().map_or_else(|| path.to_string_lossy().into_owned(), str::to_owned),
        parameters: weights,
        uncertainty: 0.0,
        active: shape.as_ref().map(super::Shape::active_parameters).filter(|&active| active < weights),
        shape,
        dtype: Some(super::Dtype::F16),
        quantization: header.quantization(&stored),
        quantization_is_named: false,
        cache: None,
        stored: Some(stored),
        origin: Origin::File,
        base: None,
        family: config::family(&config),
    })
}

/// The model that a user names: files if there are any at that path, otherwise [`Model::find`].
///
/// A path that exists but holds no model is an error of its own, and so is a name that is not known.
pub fn resolve(name: &str, user: &UserCatalogue) -> Result<Model, ResolveError> {
    let path = Path::new(name);
    // A bare word is a name, even if a file happens to be called so.
    let looks_like_path = name.contains(['/', '\\'])
        || name.starts_with('.')
        || BTreeSet::from(["json", "gguf", "safetensors"]).contains(path.extension().and_then(|e| e.to_str()).unwrap_or(""));
    if looks_like_path && path.exists() {
        return match Model::open(path) {
            Ok(model) => Ok(model),
            Err(FilesError::NoModel { .. }) => Ok(Model::find(name, user)?),
            Err(error) => Err(error.into()),
        };
    }
    Ok(Model::find(name, user)?)
}

/// Why a model that was named cannot be used.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// Its files tell nothing.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Its name tells nothing.
    #[error(transparent)]
    Unknown(#[from] super::model::UnknownModel),
}

#[cfg(test)]
mod tests;
