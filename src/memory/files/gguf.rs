//! The headers of GGUF files, versions 2 and 3: metadata, then name, dimensions and type of each tensor.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Damage, FilesError, MOST_FILES, Tally, damaged, open};
use crate::memory::format::{GgufType, Method, Mix, Quantization};
use crate::memory::model::Stored;
use crate::memory::shape::Class;

/// No key, and no text that is kept, is longer.
const LONGEST_KEY: u64 = 1 << 16;
/// No text is longer (vocabularies and templates are passed over).
const LONGEST_TEXT: u64 = 64 << 20;
/// No file has more keys.
const MOST_KEYS: u64 = 1 << 16;
/// No file has more tensors.
const MOST_TENSORS: u64 = 1 << 20;
/// No list has more items (vocabularies have a few hundred thousand).
const MOST_ITEMS: u64 = 1 << 26;

/// The metadata of a GGUF file: the values that are single numbers, texts, or short lists of numbers.
#[derive(Debug, Clone, Default)]
pub struct Header {
    values: BTreeMap<String, Value>,
    vocabulary: Option<u64>,
}

/// The GGUF files of a folder, the first part of each.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let failed = |source: io::Error| FilesError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)?.take(1 << 16) {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        // A projector for images is a file of its own.
        let later = part(&name).is_some_and(|(_, n, _)| n != 1);
        if name.ends_with(".gguf") && !name.starts_with("mmproj") && !later {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// `name-00002-of-00005.gguf` as name, part, parts.
fn part(name: &str) -> Option<(&str, u64, u64)> {
    let (before, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = before.rsplit_once('-')?;
    if number.len() != 5 || count.len() != 5 {
        return None;
    }
    Some((stem, number.parse().ok()?, count.parse().ok()?))
}

/// The parts of a split file that lie beside it, and how many there should be.
pub fn parts(path: &Path) -> (Vec<PathBuf>, u64) {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match part(&name) {
        Some((stem, _, count)) if count as usize <= MOST_FILES => {
            let found = (1..=count).map(|n| path.with_file_name(format!("{stem}-{n:05}-of-{count:05}.gguf"))).filter(|p| p.is_file()).collect();
            (found, count)
        }
        _ => (vec![path.to_owned()], 1),
    }
}

/// Reads the header of a file and adds its tensors.
pub fn read(path: &Path, tally: &mut Tally) -> Result<Header, FilesError> {
    let mut file = BufReader::with_capacity(1 << 16, open(path)?);
    parse(&mut file, tally).map_err(|error| match error {
        Failure::Damage(reason) => damaged(path)(reason),
        Failure::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => damaged(path)(Damage::Short),
        Failure::Io(source) => FilesError::Read { path: path.to_owned(), source },
    })
}

/// Why a header cannot be read.
#[derive(Debug)]
pub enum Failure {
    Damage(Damage),
    Io(io::Error),
}

impl From<Damage> for Failure {
    fn from(reason: Damage) -> Failure {
        Failure::Damage(reason)
    }
}

impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Failure {
        Failure::Io(source)
    }
}

/// Reads a header.
pub fn parse(file: &mut impl Read, tally: &mut Tally) -> Result<Header, Failure> {
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if &magic != b"GGUF" {
        return Err(Damage::Magic("GGUF").into());
    }
    let version = u32_of(file)?;
    if !(2..=3).contains(&version) {
        return Err(Damage::Version(version).into());
    }
    let tensors = bounded(u64_of(file)?, MOST_TENSORS, "the number of tensors")?;
    let keys = bounded(u64_of(file)?, MOST_KEYS, "the number of keys")?;
    let mut header = Header::default();
    for _ in 0..keys {
        let key = text(file, LONGEST_KEY)?;
        let kind = u32_of(file)?;
        let (value, items) = value(file, kind, 0)?;
        if key == "tokenizer.ggml.tokens" {
            header.vocabulary = items;
        }
        if let Some(value) = value {
            header.values.insert(key, value);
        }
    }
    for _ in 0..tensors {
        tensor(file, tally)?;
    }
    Ok(header)
}

fn tensor(file: &mut impl Read, tally: &mut Tally) -> Result<(), Failure> {
    let name = text(file, LONGEST_KEY)?;
    let rank = u32_of(file)?;
    if rank > 8 {
        return Err(Damage::Large("the number of dimensions").into());
    }
    let (mut row, mut rows) = (1u64, 1u64);
    for dimension in 0..rank {
        let length = u64_of(file)?;
        if dimension == 0 {
            row = length;
        } else {
            rows = rows.checked_mul(length).ok_or(Damage::Large("a tensor"))?;
        }
    }
    let id = u32_of(file)?;
    let _offset = u64_of(file)?;
    let kind = GgufType::from_id(id).ok_or(Damage::Type(id))?;
    let elements = row.checked_mul(rows).ok_or(Damage::Large("a tensor"))?;
    let bytes = kind.size(row, rows).ok_or(Damage::Large("a tensor"))?;
    tally.add(&name, kind.as_str(), elements, elements, bytes.0);
    Ok(())
}

fn bounded(value: u64, most: u64, what: &'static str) -> Result<u64, Damage> {
    if value <= most { Ok(value) } else { Err(Damage::Large(what)) }
}

fn bytes<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut buffer = [0; N];
    file.read_exact(&mut buffer)?;
    Ok(buffer)
}

fn u32_of(file: &mut impl Read) -> io::Result<u32> {
    Ok(u32::from_le_bytes(bytes(file)?))
}

fn u64_of(file: &mut impl Read) -> io::Result<u64> {
    Ok(u64::from_le_bytes(bytes(file)?))
}

fn skip(file: &mut impl Read, length: u64) -> Result<(), Failure> {
    let read = io::copy(&mut file.take(length), &mut io::sink())?;
    if read == length { Ok(()) } else { Err(Damage::Short.into()) }
}

fn text(file: &mut impl Read, longest: u64) -> Result<String, Failure> {
    let length = bounded(u64_of(file)?, longest, "a text")?;
    let mut buffer = Vec::new();
    file.take(length).read_to_end(&mut buffer)?;
    if buffer.len() as u64 != length {
        return Err(Damage::Short.into());
    }
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// A value of the metadata, if it is one that is kept, and the number of its items if it is a list.
fn value(file: &mut impl Read, kind: u32, depth: u32) -> Result<(Option<Value>, Option<u64>), Failure> {
    let plain = |value: Value| Ok((Some(value), None));
    match kind {
        0 => plain(bytes::<1>(file)?[0].into()),
        1 => plain(i8::from_le_bytes(bytes(file)?).into()),
        2 => plain(u16::from_le_bytes(bytes(file)?).into()),
        3 => plain(i16::from_le_bytes(bytes(file)?).into()),
        4 => plain(u32_of(file)?.into()),
        5 => plain(i32::from_le_bytes(bytes(file)?).into()),
        6 => plain(f32::from_le_bytes(bytes(file)?).into()),
        7 => plain((bytes::<1>(file)?[0] != 0).into()),
        8 => {
            let length = bounded(u64_of(file)?, LONGEST_TEXT, "a text")?;
            if length > 4096 {
                skip(file, length)?;
                return Ok((None, None));
            }
            let mut buffer = vec![0; length as usize];
            file.read_exact(&mut buffer)?;
            plain(String::from_utf8_lossy(&buffer).into_owned().into())
        }
        9 => list(file, depth),
        10 => plain(u64_of(file)?.into()),
        11 => plain(i64::from_le_bytes(bytes(file)?).into()),
        12 => plain(f64::from_le_bytes(bytes(file)?).into()),
        other => Err(Damage::Type(other).into()),
    }
}

fn list(file: &mut impl Read, depth: u32) -> Result<(Option<Value>, Option<u64>), Failure> {
    if depth > 2 {
        return Err(Damage::Large("the depth of a list").into());
    }
    let kind = u32_of(file)?;
    let count = bounded(u64_of(file)?, MOST_ITEMS, "a list")?;
    let width = match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    };
    // Lists that have a value for each layer are kept; vocabularies and the like are passed over.
    if let (Some(width), true) = (width, count > 4096) {
        skip(file, count * width)?;
        return Ok((None, Some(count)));
    }
    let mut items = Vec::new();
    for _ in 0..count {
        if kind == 8 {
            let length = bounded(u64_of(file)?, LONGEST_TEXT, "a text")?;
            skip(file, length)?;
            continue;
        }
        items.extend(value(file, kind, depth + 1)?.0);
    }
    Ok(((kind != 8).then_some(Value::Array(items)), Some(count)))
}

impl Header {
    fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    fn architecture(&self) -> &str {
        self.get("general.architecture").and_then(Value::as_str).unwrap_or_default()
    }

    /// A value of the architecture: `llama.block_count`.
    fn own(&self, key: &str) -> Option<&Value> {
        self.get(&format!("{}.{key}", self.architecture()))
    }

    /// The model's name.
    pub fn name(&self) -> Option<&str> {
        self.get("general.name").and_then(Value::as_str).filter(|name| !name.is_empty() && name.len() < 200)
    }

    /// The mix: of the file's own word for it (`general.file_type`), or else of the type that most bytes have.
    pub fn quantization(&self, stored: &Stored) -> Quantization {
        let by_number = self.get("general.file_type").and_then(Value::as_u64).and_then(file_type);
        let by_bytes = || stored.by_type.first().map(|(name, _)| name.as_str());
        let Some(mix) = by_number.or_else(by_bytes).and_then(Mix::parse) else { return Quantization::NONE };
        Quantization::new(Method::Gguf(mix))
    }

    /// The metadata as a configuration, for the reader of `config.json`.
    pub fn config(&self, stored: &Stored) -> Value {
        let mut out = Map::new();
        out.insert("model_type".into(), family(self.architecture()).into());
        let pairs = [
            ("block_count", "num_hidden_layers"),
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("attention.head_count", "num_attention_heads"),
            ("attention.head_count_kv", "num_key_value_heads"),
            ("attention.key_length", "head_dim"),
            ("attention.sliding_window", "sliding_window"),
            ("context_length", "max_position_embeddings"),
            ("vocab_size", "vocab_size"),
            ("expert_count", "num_experts"),
            ("expert_used_count", "num_experts_per_tok"),
            ("expert_feed_forward_length", "moe_intermediate_size"),
            ("expert_shared_count", "n_shared_experts"),
            ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
            ("leading_dense_block_count", "first_k_dense_replace"),
            ("attention.kv_lora_rank", "kv_lora_rank"),
            ("attention.q_lora_rank", "q_lora_rank"),
            ("rope.dimension_count", "qk_rope_head_dim"),
            ("nextn_predict_layers", "num_nextn_predict_layers"),
            ("full_attention_interval", "full_attention_interval"),
        ];
        for (theirs, ours) in pairs {
            let Some(value) = self.own(theirs) else { continue };
            // One figure for each layer: the largest stands for all, layers without are passed over.
            let value = match value {
                Value::Array(items) => items.iter().filter_map(Value::as_u64).max().map(Value::from),
                other => Some(other.clone()),
            };
            if let Some(value) = value {
                out.insert(ours.into(), value);
            }
        }
        self.latent(&mut out);
        if !out.contains_key("vocab_size")
            && let Some(count) = self.vocabulary
        {
            out.insert("vocab_size".into(), count.into());
        }
        out.insert("tie_word_embeddings".into(), (stored.bytes[Class::LmHead] == 0).into());
        if !self.architecture().starts_with("deepseek2") {
            out.remove("qk_rope_head_dim");
        }
        Value::Object(out)
    }

    /// Heads of the latent form: their lengths are those of the uncompressed keys.
    fn latent(&self, out: &mut Map<String, Value>) {
        if !out.contains_key("kv_lora_rank") {
            return;
        }
        let number = |key: &str| self.own(key).and_then(Value::as_u64);
        let rope = number("rope.dimension_count").unwrap_or(64);
        if let Some(key) = number("attention.key_length_mla").or_else(|| number("attention.key_length")) {
            out.insert("qk_nope_head_dim".into(), key.saturating_sub(rope).into());
        }
        if let Some(value) = number("attention.value_length_mla").or_else(|| number("attention.value_length")) {
            out.insert("v_head_dim".into(), value.into());
        }
        out.remove("head_dim");
    }
}

/// transformers' name of an architecture of llama.cpp, where they differ.
fn family(architecture: &str) -> &str {
    match architecture {
        "qwen2vl" => "qwen2_vl_text",
        "qwen3moe" => "qwen3_moe",
        "qwen2moe" => "qwen2_moe",
        "qwen3next" => "qwen3_next",
        "gemma3" => "gemma3_text",
        "gemma4" => "gemma4_text",
        "gptneox" => "gpt_neox",
        "deepseek2" => "deepseek_v3",
        "gpt-oss" => "gpt_oss",
        "command-r" => "cohere",
        "phi2" => "phi",
        "starcoder" => "gpt_bigcode",
        "llama4" => "llama4_text",
        "glm4moe" => "glm4_moe",
        "granitehybrid" => "granitemoehybrid",
        "ernie4_5-moe" => "ernie4_5_moe",
        other => other,
    }
}

/// `general.file_type`, llama.cpp's `llama_ftype`.
fn file_type(number: u64) -> Option<&'static str> {
    Some(match number {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4_MOE",
        _ => return None,
    })
}
