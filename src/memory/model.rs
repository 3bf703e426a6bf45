//! What is known of a model, and where from.

use std::collections::BTreeSet;

use thiserror::Error;

use super::catalogue::{self, Key, Row, UserCatalogue};
use super::format::{Dtype, Method, Mix, Quantization, Scales};
use super::shape::{ByClass, Shape};
use super::size::Bytes;
use super::{names, quantized_names};

/// A model, as far as its memory goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name: the hub id where one is known, otherwise what was given.
    pub id: String,
    /// Parameters (elements of all stored tensors before quantization), tied matrices once.
    pub parameters: u64,
    /// How far `parameters` may be off, as a fraction: 0 if counted, 0.05 if read from a rounded figure such as `7B`.
    pub uncertainty: f64,
    /// Parameters that a token goes through, where that is fewer.
    pub active: Option<u64>,
    /// Layers and matrices, if known. Without them a cache cannot be computed.
    pub shape: Option<Shape>,
    /// The dtype that unquantized tensors are stored in; engines may load them in another.
    pub dtype: Option<Dtype>,
    /// How the stored weights are quantized.
    pub quantization: Quantization,
    /// The quantization stands in the name, and nothing says what it leaves alone.
    pub quantization_is_named: bool,
    /// What the checkpoint asks of its cache: those that are quantized with a scheme for keys and values (`kv_cache_scheme`,
    /// `kv_cache_quant_algo`).
    pub cache: Option<Dtype>,
    /// What is stored, tensor by tensor, if files were read: then nothing about weights has to be computed.
    pub stored: Option<Stored>,
    /// Where this is known from.
    pub origin: Origin,
    /// If the shape is that of another model, which the name says this one was made from: that model.
    pub base: Option<String>,
    /// The family (`model_type`), for what engines do by family.
    pub family: Option<String>,
}

/// Where the knowledge of a model comes from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Its own files.
    File,
    /// The user's own entries.
    UserFile,
    /// What a log printed.
    Log,
    /// The catalogue that is compiled in.
    Catalogue,
    /// A count that the user gave (`--params`).
    Given,
    /// A size in its name (`7B`), and nothing else.
    Name,
}

impl Origin {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::File => "file",
            Origin::UserFile => "user file",
            Origin::Log => "log",
            Origin::Catalogue => "catalogue",
            Origin::Given => "given",
            Origin::Name => "name",
        }
    }
}

/// What the files of a model hold, read from their headers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// Bytes by class, scales and zero points counted with what they belong to.
    pub bytes: ByClass<u64>,
    /// Elements by class as stored: packed tensors count their words, not their weights.
    pub elements: ByClass<u64>,
    /// Bytes by the dtype or GGUF type that tensors are stored in, largest first.
    pub by_type: Vec<(String, Bytes)>,
    /// How many files were read, and how many the index names.
    pub files: (u64, u64),
    /// The largest single tensor, which loading holds twice.
    pub largest: Bytes,
}

impl Stored {
    /// All tensors.
    pub fn total(&self) -> Bytes {
        Bytes(self.bytes.total())
    }

    /// Whether every file that the index names was there.
    pub fn is_whole(&self) -> bool {
        self.files.0 == self.files.1
    }
}

/// Why nothing is known of a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the model `{name}` is not known")]
pub struct UnknownModel {
    /// The name as given.
    pub name: String,
    /// Names of the catalogue that look like it.
    pub near: Vec<String>,
}

impl UnknownModel {
    /// What would settle it.
    pub const WOULD_SETTLE: &str =
        "Name its folder or its config.json, add it to a file of models, or give its size with --params (then its cache stays unknown).";
}

impl Model {
    /// The model that a name means: a hub id, a path, a GGUF file name, an Ollama tag, a folder of the hub's cache.
    ///
    /// A user's entries come first, then the catalogue, then a base model that the name states, and at last a size that
    /// stands in the name. What it is known from is said in [`Model::origin`] and [`Model::base`]. Nothing is read from
    /// disk; see [`files`](super::files) for that.
    pub fn find(name: &str, user: &UserCatalogue) -> Result<Model, UnknownModel> {
        let candidates = candidates(name);
        for candidate in &candidates {
            if let Some(model) = by_name(candidate, user) {
                return Ok(model);
            }
        }
        for candidate in &candidates {
            if let Some(model) = by_base(candidate).or_else(|| by_size(candidate)) {
                return Ok(model);
            }
        }
        Err(UnknownModel { name: name.chars().take(200).collect(), near: near(candidates.first().map_or("", |c| c.text.as_str())) })
    }

    /// A model of which only the number of parameters is known, as given by the user.
    pub fn of_size(id: &str, parameters: u64, uncertainty: f64, origin: Origin) -> Model {
        Model {
            id: id.to_owned(),
            parameters,
            uncertainty,
            active: None,
            shape: None,
            dtype: None,
            quantization: Quantization::NONE,
            quantization_is_named: false,
            cache: None,
            stored: None,
            origin,
            base: None,
            family: None,
        }
    }

    /// Reads `--params`: `6.7B`, `350M`, `1.1T`, `6738415616`. A figure with few digits is off by half its last one at
    /// the least, and by 3 % for what such figures leave out; a plain count is exact.
    pub fn given(text: &str) -> Option<Model> {
        let text = text.trim();
        if let Ok(count) = text.parse::<u64>() {
            return (count >= 1_000_000).then(|| Model::of_size(text, count, 0.0, Origin::Given));
        }
        let unit = text.chars().last()?;
        let factor = match unit.to_ascii_lowercase() {
            'm' => 1_000_000u64,
            'b' => 1_000_000_000,
            't' => 1_000_000_000_000,
            _ => return None,
        };
        let number = text.get(..text.len() - unit.len_utf8())?.trim_end();
        let (value, step) = decimal(number)?;
        let parameters = value.checked_mul(factor)? / step;
        let half_digit = 0.5 / value.max(1) as f64;
        (parameters > 0).then(|| Model::of_size(text, parameters, half_digit.max(0.03), Origin::Given))
    }
}

/// A decimal number as an integer and a power of ten.
fn decimal(text: &str) -> Option<(u64, u64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty()
        || whole.len() > 6
        || fraction.len() > 6
        || text.ends_with('.')
        || !format!("{whole}{fraction}").bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    Some((format!("{whole}{fraction}").parse().ok()?, 10u64.pow(u32::try_from(fraction.len()).ok()?)))
}

/// One reading of a name.
struct Candidate {
    /// `owner/name` or `name`.
    text: String,
    /// It stands for one file of many: a tag of Ollama's library, or a repository of GGUF files.
    of_files: bool,
}

/// Frameworks by which Kaggle sorts the files of a model.
const FRAMEWORKS: &[&str] = &["transformers", "Transformers", "pytorch", "pyTorch", "PyTorch", "gguf", "safetensors", "keras", "flax", "jax"];

/// What a name may mean, the surest reading first.
fn candidates(name: &str) -> Vec<Candidate> {
    let plain = |text: &str| Candidate { text: text.to_owned(), of_files: false };
    let name: String = name.trim().chars().take(1024).collect::<String>().replace('\\', "/");
    let mut text = name.as_str();
    let mut remote = false;
    for prefix in
        ["https://", "http://", "huggingface.co/", "hf.co/", "www.modelscope.cn/models/", "modelscope.cn/models/", "registry.ollama.ai/", "library/"]
    {
        if let Some(rest) = text.strip_prefix(prefix) {
            (text, remote) = (rest, true);
        }
    }
    let text = text.trim_end_matches('/');
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != "." && *part != "..").collect();
    // The hub's cache: models--org--name/snapshots/…
    if let Some(cached) = parts.iter().find_map(|part| part.strip_prefix("models--")) {
        let id = cached.replacen("--", "/", 1);
        let mut out = vec![plain(&id)];
        out.extend(parts.last().filter(|last| last.to_ascii_lowercase().ends_with(".gguf")).map(|last| plain(stem(last))));
        out.reverse();
        return out;
    }
    // Kaggle's: …/model/framework/variation/version, where the variation may be the whole name or a size only.
    if let [.., model, framework, variation, version] = parts.as_slice()
        && FRAMEWORKS.contains(framework)
        && version.bytes().all(|b| b.is_ascii_digit())
    {
        return vec![plain(variation), plain(&format!("{model}-{variation}"))];
    }
    let Some(last) = parts.last() else { return Vec::new() };
    let file = stem(last);
    let mut out = Vec::new();
    if file.len() < last.len() {
        // A file: its own name, then the folders that it lies in.
        out.push(plain(file));
        out.extend(parts.iter().rev().skip(1).take(2).map(|folder| plain(folder)));
        return out;
    }
    if let Some((before, tag)) = last.split_once(':') {
        let of_files = !remote || text.starts_with("library/");
        let joined = if tag == "latest" { before.to_owned() } else { format!("{before}:{tag}") };
        let owner = parts.len().checked_sub(2).and_then(|i| parts.get(i));
        out.extend(owner.map(|owner| Candidate { text: format!("{owner}/{joined}"), of_files }));
        out.push(Candidate { text: joined, of_files });
        return out;
    }
    let of_files = last.to_ascii_lowercase().ends_with("-gguf");
    let named = |text: &str| Candidate { text: text.to_owned(), of_files };
    match parts.as_slice() {
        [.., owner, last] => {
            out.push(named(&format!("{owner}/{last}")));
            out.push(named(last));
            // A folder of checkpoints lies in the folder of the model.
            let inner = ["checkpoint", "snapshot", "final", "merged", "model", "weights", "hf", "resolve", "tree", "main"];
            if inner.iter().any(|word| last.to_ascii_lowercase().starts_with(word)) {
                out.push(plain(owner));
            }
        }
        _ => out.push(named(last)),
    }
    out
}

/// A file's name without its ending and without the number of a part.
fn stem(file: &str) -> &str {
    let lower = file.to_ascii_lowercase();
    let Some(ending) = [".gguf", ".safetensors", ".bin", ".pt", ".pth", ".json"].iter().find(|e| lower.ends_with(**e)) else { return file };
    let mut stem = &file[..file.len() - ending.len()];
    // -00001-of-00003
    if let Some((before, count)) = stem.rsplit_once("-of-")
        && let Some((name, part)) = before.rsplit_once('-')
        && [count, part].iter().all(|n| n.len() == 5 && n.bytes().all(|b| b.is_ascii_digit()))
    {
        stem = name;
    }
    stem
}

/// The entry that bears this name, as it is or less a quantization and words that do not change the shape.
fn by_name(candidate: &Candidate, user: &UserCatalogue) -> Option<Model> {
    let words = names::words(&candidate.text);
    let name = names::words(names::without_owner(&candidate.text));
    if words.is_empty() || name.is_empty() {
        return None;
    }
    let parts = quantized_names::split(&name);
    let whole = quantized_names::split(&words);
    for (full, quantization) in [(&words, None), (&whole.base, whole.quantization)] {
        if let Some(model) = user.find(full) {
            return Some(finish(model, quantization, candidate));
        }
    }
    if let Some(model) = user.find(&name).or_else(|| user.find(&parts.base)) {
        return Some(finish(model, parts.quantization, candidate));
    }
    // A name that says it is not quantized beats the entry of the model that it was made from.
    let plain = whole.quantization.filter(|q| !q.is_some());
    let exact = one(catalogue::entries(Key::Id, &words)).map(|found| (found, plain));
    let found = exact
        .or_else(|| one(catalogue::entries(Key::Id, &whole.base)).map(|found| (found, whole.quantization)))
        .or_else(|| catalogue::alias(&candidate.text, &parts.base).map(|found| (found, parts.quantization)))
        .or_else(|| one(catalogue::entries(Key::Name, &name)).map(|found| (found, None)))
        .or_else(|| one(catalogue::entries(Key::Name, &parts.base)).map(|found| (found, parts.quantization)))
        .or_else(|| one(catalogue::entries(Key::Bare, &names::bare(&parts.base))).map(|found| (found, parts.quantization)))
        .or_else(|| one(catalogue::entries(Key::Bare, &meta(&names::bare(&parts.base)))).map(|found| (found, parts.quantization)));
    let ((row, id), quantization) = found?;
    Some(finish(row.model(id), quantization, candidate))
}

/// The same words with or without the company before `llama`.
fn meta(words: &[String]) -> Vec<String> {
    match words {
        [first, rest @ ..] if first == "meta" => rest.to_vec(),
        [first, ..] if first == "llama" => [vec!["meta".to_owned()], words.to_vec()].concat(),
        _ => Vec::new(),
    }
}

/// The entry that these names mean: that of the model's own maker, otherwise the first, and only if all have one shape.
fn one(found: impl Iterator<Item = (&'static Row, &'static str)>) -> Option<(&'static Row, &'static str)> {
    let found: Vec<_> = found.collect();
    let makers: Vec<_> = found.iter().filter(|(_, id)| OWNERS.contains(&id.split('/').next().unwrap_or_default())).copied().collect();
    let among = if makers.is_empty() { found } else { makers };
    let first = *among.first()?;
    among.iter().all(|(row, _)| row.same_shape(first.0)).then_some(first)
}

fn finish(mut model: Model, quantization: Option<Quantization>, candidate: &Candidate) -> Model {
    model.quantization_is_named = quantization.is_some_and(|q| q.is_some());
    match quantization {
        // Plain "FP8" in the names of these makers means blocks of 128 × 128, of others one scale for a matrix.
        Some(quantization)
            if quantization.method == Some(Method::Fp8(Scales::Tensor)) && BLOCKS.iter().any(|owner| candidate.text.starts_with(owner)) =>
        {
            model.quantization = Quantization::new(Method::Fp8(Scales::Block { rows: 128, columns: 128 }));
        }
        Some(quantization) => model.quantization = quantization,
        // Ollama's library serves the medium 4-bit mix unless a tag says otherwise, and llama.cpp takes it of a repository.
        None if candidate.of_files => {
            model.quantization = Mix::parse("Q4_K_M").map_or(Quantization::NONE, |mix| Quantization::new(Method::Gguf(mix)));
        }
        None => {}
    }
    // The usual recipes for NVFP4 quantize the cache as well.
    if quantization.is_some_and(|q| q.method == Some(Method::Nvfp4)) && !WHOLE_CACHE.iter().any(|owner| candidate.text.starts_with(owner)) {
        model.cache = Some(Dtype::F8);
    }
    model
}

/// Makers that scale fp8 weights by block.
const BLOCKS: &[&str] = &["Qwen/", "deepseek-ai/", "zai-org/", "MiniMaxAI/", "moonshotai/"];

/// Makers whose recipes leave the cache alone.
const WHOLE_CACHE: &[&str] = &["RedHatAI/", "neuralmagic/"];

/// Owners whose names say what a model is, so that others build on them.
const OWNERS: &[&str] = &[
    "meta-llama",
    "Qwen",
    "mistralai",
    "google",
    "microsoft",
    "deepseek-ai",
    "ibm-granite",
    "tiiuae",
    "01-ai",
    "openai",
    "HuggingFaceTB",
    "allenai",
    "zai-org",
];

/// Words that say a model has not the shape of the one that it names.
const RESHAPED: &[&str] = &[
    "pruned",
    "minitron",
    "slim",
    "moe",
    "upscaled",
    "expanded",
    "merge",
    "merged",
    "franken",
    "passthrough",
    "eagle",
    "draft",
    "lora",
    "adapter",
    "mtp",
    "tiny",
    "random",
    "embedding",
    "reward",
    "distill",
    "distilled",
    "vision",
    "vl",
    "omni",
    "ocr",
    "audio",
    "speculator",
    "medusa",
    "depth",
    "width",
    "self",
];

/// A model that the name says this one was made from: family, version and size stand in it in words. The longest such
/// name counts, and only if it is one shape.
fn by_base(candidate: &Candidate) -> Option<Model> {
    let parts = quantized_names::split(&names::words(names::without_owner(&candidate.text)));
    let words = names::bare(&parts.base);
    let sizes = words.iter().filter(|word| is_size(word)).count();
    let mut best: Option<(usize, Vec<(&'static Row, &'static str)>)> = None;
    let firsts: BTreeSet<&String> = words.iter().collect();
    for (key, row, id) in firsts.iter().flat_map(|first| catalogue::bare_keys(first)) {
        let owner = id.split('/').next().unwrap_or_default();
        if !key.split('-').next().is_some_and(|first| words.iter().any(|word| word == first)) || !OWNERS.contains(&owner) {
            continue;
        }
        let base: Vec<&str> = key.split('-').collect();
        let as_many = base.iter().filter(|word| is_size(word)).count() == sizes;
        if !as_many || base.len() < 3 || !states(&words, &base) {
            continue;
        }
        match &mut best {
            Some((length, found)) if *length == base.len() => found.push((row, id)),
            Some((length, _)) if *length > base.len() => {}
            _ => best = Some((base.len(), vec![(row, id)])),
        }
    }
    let (length, found) = best?;
    let reshaped = words.iter().any(|word| RESHAPED.contains(&word.as_str()) && !found[0].1.to_ascii_lowercase().contains(word.as_str()));
    if reshaped || length > words.len() {
        return None;
    }
    let (row, id) = one(found.into_iter())?;
    let mut model = finish(row.model(id), parts.quantization, candidate);
    model.base = Some(id.to_owned());
    model.id.clone_from(&candidate.text);
    Some(model)
}

/// Whether these words say family and version of `base` in a row and its size after them.
fn states(words: &[String], base: &[&str]) -> bool {
    let Some(at) = base.iter().position(|word| is_size(word)).filter(|&at| at >= 2) else { return false };
    let (family, size) = (&base[..at], base[at]);
    let Some(start) = words.windows(family.len()).position(|w| w.iter().zip(family).all(|(a, b)| a == b)) else { return false };
    let after = &words[start + family.len()..];
    let Some(sized) = after.iter().position(|word| word == size) else { return false };
    // A number right after the family is another version: Llama 3 is not Llama 3.1.
    if after.first().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    // What the base says after its size has to follow.
    base[at + 1..].iter().zip(after[sized + 1..].iter().chain(std::iter::repeat(&String::new()))).all(|(a, b)| a == b)
}

/// Whether a word is a size: `7b`, `270m`, and no length of a context such as `1m`.
fn is_size(word: &str) -> bool {
    let Some(number) = word.strip_suffix(['b', 'm']) else { return false };
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) => return false,
    };
    number > 0 && (word.ends_with('b') || number >= 10)
}

/// A size in the name and nothing else: `7B`, `1.5b`, `8x7B`. Two different sizes are none.
fn by_size(candidate: &Candidate) -> Option<Model> {
    let lower = names::without_owner(&candidate.text).to_ascii_lowercase();
    let mut found: Option<u64> = None;
    for word in lower.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')) {
        let (experts, rest) = match word.split_once('x') {
            Some((n, rest)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => (n.parse::<u64>().ok()?, rest),
            _ => (1, word),
        };
        let (number, factor) = match (rest.strip_suffix('b'), rest.strip_suffix('m')) {
            (Some(number), _) => (number, 1_000_000_000),
            (_, Some(number)) => (number, 1_000_000),
            _ => continue,
        };
        let Some((value, step)) = decimal(number) else { continue };
        let parameters = value.checked_mul(factor)?.checked_mul(experts)? / step;
        // "1M" is a length of context; no model is larger than a few trillions.
        if !(10_000_000..=5_000_000_000_000).contains(&parameters) {
            continue;
        }
        if found.is_some_and(|other| other != parameters) {
            return None;
        }
        found = Some(parameters);
    }
    let words = names::words(&lower);
    // Names of mixtures state what shares of it are shared only to those who know them.
    let uncertainty = if lower.contains('x') && words.iter().any(|w| w.ends_with('x')) { 0.25 } else { 0.12 };
    let parts = quantized_names::split(&words);
    Some(finish(Model::of_size(&candidate.text, found?, uncertainty, Origin::Name), parts.quantization, candidate))
}

/// Names of the catalogue that look like this one: those that share the most words with it.
fn near(text: &str) -> Vec<String> {
    let words = names::bare(&quantized_names::split(&names::words(names::without_owner(text))).base);
    let mut scored: Vec<(usize, &str)> = catalogue::bare_keys("")
        .filter_map(|(key, _, id)| {
            let shared = key.split('-').filter(|word| words.iter().any(|w| w == word)).count();
            let all = key.split('-').count().max(words.len());
            (shared >= 2 && 2 * shared > all).then_some((shared * 100 / all, id))
        })
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.len().cmp(&b.1.len())).then_with(|| a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, id)| *id);
    scored.into_iter().take(3).map(|(_, id)| id.to_owned()).collect()
}

#[cfg(test)]
mod tests;
