//! Reads a `config.json`: the shape of a model, its dtype and its quantization.
//!
//! The catalogue holds the same keys, so there is one reader for both. What a family does that its `config.json` does
//! not say (norms, biases, which layers slide) stands in the modules `layers`, `recurrent` and `tower`; it was read from the
//! model code of transformers and is tested by the parameter counts in the catalogue.

use serde_json::Value;
use thiserror::Error;

use super::format::Dtype;
use super::shape::{Layer, Run, Shape};

mod layers;
mod quantization;
mod recurrent;
mod sequence;
mod tower;

pub use quantization::{cache, quantization};

/// Why a `config.json` gives no shape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A key is missing that cannot be guessed.
    #[error("the configuration has no `{0}`")]
    Missing(&'static str),
    /// A value is out of any sensible range.
    #[error("the configuration's `{0}` is no sensible number")]
    Absurd(&'static str),
    /// It is no object.
    #[error("the configuration is no JSON object")]
    NotAnObject,
    /// It names a quantization that is not known.
    #[error("the quantization `{0}` is not known")]
    Quantization(String),
    /// It describes no language model.
    #[error("`{0}` is no language model that is known")]
    NotALanguageModel(String),
}

/// No dimension of a model is larger, apart from the length of its context. It keeps products of three in 64 bits.
const LARGEST: u64 = 1 << 20;

/// The keys of one object of a configuration, with the defaults of its family.
#[derive(Clone, Copy)]
struct Keys<'a> {
    object: &'a Value,
    family: &'a str,
}

impl<'a> Keys<'a> {
    fn new(object: &'a Value) -> Keys<'a> {
        Keys { object, family: object.get("model_type").and_then(Value::as_str).unwrap_or_default() }
    }

    /// The first of these keys that is a number; a number that is absurd is an error.
    fn number(&self, names: &[&'static str]) -> Result<Option<u64>, ConfigError> {
        for name in names {
            match self.object.get(name) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    let number = value.as_u64().or_else(|| value.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0 && *f < 1e18).map(|f| f as u64));
                    return match number {
                        Some(n) if n <= LARGEST => Ok(Some(n)),
                        // `sliding_window: false`, `num_experts: -1`, a list for each layer: not what was asked for.
                        None if !value.is_number() || value.as_i64() == Some(-1) => Ok(None),
                        _ => Err(ConfigError::Absurd(name)),
                    };
                }
            }
        }
        Ok(default(self.family, names.first().copied().unwrap_or_default()))
    }

    fn need(&self, names: &[&'static str]) -> Result<u64, ConfigError> {
        match self.number(names)? {
            Some(0) => Err(ConfigError::Absurd(names[0])),
            Some(n) => Ok(n),
            None => Err(ConfigError::Missing(names[0])),
        }
    }

    fn or(&self, names: &[&'static str], otherwise: u64) -> Result<u64, ConfigError> {
        Ok(self.number(names)?.unwrap_or(otherwise))
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.object.get(name).and_then(Value::as_bool)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.object.get(name).and_then(Value::as_str)
    }

    fn list(&self, name: &str) -> Option<&'a [Value]> {
        self.object.get(name).and_then(Value::as_array).map(Vec::as_slice)
    }

    fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    fn inner(&self, name: &str) -> Option<Keys<'a>> {
        self.object.get(name).filter(|value| value.is_object()).map(Keys::new)
    }

    fn hidden(&self) -> Result<u64, ConfigError> {
        self.need(&["hidden_size", "n_embd", "d_model", "dim", "model_dim"])
    }

    fn layers(&self) -> Result<u64, ConfigError> {
        match self.need(&["num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"])? {
            n if n <= 4096 => Ok(n),
            _ => Err(ConfigError::Absurd("num_hidden_layers")),
        }
    }

    fn heads(&self) -> Result<u64, ConfigError> {
        self.need(&["num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"])
    }
}

/// Defaults that configurations leave out, nested ones above all; of transformers' configuration classes.
fn default(family: &str, key: &str) -> Option<u64> {
    Some(match (family, key) {
        ("llama" | "mistral", "hidden_size") => 4096,
        ("llama" | "mistral" | "qwen2_vl", "num_hidden_layers") => 32,
        ("llama" | "mistral", "num_attention_heads") => 32,
        ("mistral", "num_key_value_heads") => 8,
        ("llama", "intermediate_size") => 11008,
        ("mistral", "intermediate_size") => 14336,
        ("llama" | "mistral", "vocab_size") => 32000,
        ("gemma3_text" | "gemma3", "num_attention_heads") => 8,
        ("gemma3_text" | "gemma3", "num_key_value_heads") => 4,
        ("gemma3_text" | "gemma3" | "gemma2" | "gemma", "head_dim") => 256,
        ("gemma3_text" | "gemma3", "vocab_size") => 262_208,
        ("gemma3_text" | "gemma3" | "gemma2", "sliding_window") => 4096,
        ("gpt2" | "gpt_bigcode", "n_positions") => 1024,
        ("whisper", "max_target_positions") => 448,
        ("whisper", "max_source_positions") => 1500,
        ("cohere2", "sliding_window") => 4096,
        _ => return None,
    })
}

/// The text model of a configuration: models with towers nest it.
fn text_config(config: &Value) -> &Value {
    ["text_config", "llm_config", "language_config", "thinker_config", "llm"]
        .iter()
        .find_map(|key| config.get(key).filter(|inner| inner.is_object()))
        .map_or(config, |inner| if inner.get("text_config").is_some_and(Value::is_object) { text_config(inner) } else { inner })
}

/// The family of a model: `model_type`, that of the text model where there are towers.
pub fn family(config: &Value) -> Option<String> {
    let text = text_config(config).get("model_type").and_then(Value::as_str);
    text.or_else(|| config.get("model_type").and_then(Value::as_str)).map(|t| t.chars().take(64).collect())
}

/// The dtype of unquantized tensors (`torch_dtype`, `dtype`).
pub fn dtype(config: &Value) -> Option<Dtype> {
    [config, text_config(config)].iter().flat_map(|c| [c.get("dtype"), c.get("torch_dtype")]).find_map(|value| Dtype::parse(value?.as_str()?))
}

/// The shape that a configuration describes.
pub fn shape(config: &Value) -> Result<Shape, ConfigError> {
    if !config.is_object() {
        return Err(ConfigError::NotAnObject);
    }
    let outer = Keys::new(config);
    let mut keys = Keys::new(text_config(config));
    if keys.family.is_empty() {
        keys.family = outer.family;
    }
    let mut shape = match keys.family {
        "t5" | "mt5" | "umt5" => sequence::t5(keys)?,
        "whisper" => sequence::whisper(keys)?,
        "bart" | "mbart" | "m2m_100" | "marian" | "pegasus" => return Err(ConfigError::NotALanguageModel(keys.family.into())),
        "bert" | "roberta" | "xlm-roberta" | "mpnet" | "nomic_bert" | "electra" | "distilbert" | "camembert" => sequence::bert(keys)?,
        _ => decoder(outer, keys)?,
    };
    shape.max_positions = positions(keys).or_else(|| positions(outer));
    shape.tower = tower::elements(outer, keys)?;
    Ok(shape)
}

/// The longest context: the first key that gives one. Lengths are no dimensions, so they may be large.
fn positions(keys: Keys) -> Option<u64> {
    let names = [
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
        "n_ctx",
        "max_sequence_length",
        "model_max_length",
        "max_target_positions",
    ];
    names.iter().find_map(|name| keys.object.get(name)?.as_u64()).filter(|&n| n > 0 && n < 1 << 40)
}

/// A model that generates a token at a time: most of them.
fn decoder(outer: Keys, keys: Keys) -> Result<Shape, ConfigError> {
    let hidden = keys.hidden()?;
    let count = keys.layers()?;
    let habits = layers::Habits::of(keys);
    let mut runs: Vec<Run> = Vec::new();
    for index in 0..count {
        push(&mut runs, layers::layer(keys, &habits, index)?);
    }
    let vocabulary = keys.need(&["vocab_size", "padded_vocab_size", "n_vocab"]).or_else(|e| outer.number(&["vocab_size"])?.ok_or(e))?;
    let tied = keys.flag("tie_word_embeddings").or_else(|| outer.flag("tie_word_embeddings")).unwrap_or(habits.tied);
    let width = keys.number(&["word_embed_proj_dim"])?.filter(|&w| w != hidden).unwrap_or(0);
    let mut shape = Shape { hidden, embedding_width: width, vocabulary, tied, layers: runs, ..Shape::default() };
    shape.positions =
        if habits.learned_positions > 0 { keys.or(&["n_positions", "max_position_embeddings"], 0)? + habits.learned_positions - 1 } else { 0 };
    let norm = if habits.norm_bias { 2 * hidden } else { hidden };
    shape.norms = norm * habits.norms_outside + if habits.head_bias { vocabulary } else { 0 };
    shape.other = 2 * width * hidden;
    if keys.family == "mllama_text_model" {
        // Rows for the image token, which the output matrix has not.
        shape.other += 8 * hidden;
    }
    layers::per_layer_embeddings(keys, &mut shape)?;
    shape.draft = layers::draft(keys, &habits, &shape)?;
    Ok(shape)
}

/// Adds a layer to the runs.
fn push(runs: &mut Vec<Run>, layer: Layer) {
    match runs.last_mut() {
        Some(run) if run.layer == layer => run.count += 1,
        _ => runs.push(Run { count: 1, layer }),
    }
}
