//! The catalogue of models: compiled in, or a user's own file of the same format.
//!
//! An entry holds the keys of a model's `config.json`, so a lookup reads it as it would read the model's own file.
//! Names are looked up in an index that the build script makes; nothing is parsed at start.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::config;
use super::format::{Dtype, Quantization};
use super::model::{Model, Origin};
use super::names;

/// An entry of the catalogue that is compiled in.
#[derive(Debug)]
pub struct Row {
    /// Hub ids of this shape, the first of them its name.
    pub ids: &'static [&'static str],
    /// Parameters that an engine loads.
    pub parameters: u64,
    /// Parameters that the hub counts in the files, where they are others.
    pub stored: Option<u64>,
    /// What the difference is.
    pub why: Option<&'static str>,
    /// Elements of towers that the configuration does not say: the published count less the text model.
    pub tower: Option<u64>,
    /// The dtype of the files.
    pub dtype: Option<&'static str>,
    /// Where it was read.
    pub source: &'static str,
    /// The configuration as JSON; empty if the shape is not modelled.
    pub config: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/models.rs"));

/// Every entry that is compiled in.
pub fn rows() -> &'static [Row] {
    ROWS
}

impl Row {
    /// The configuration, if there is one.
    fn config(&self) -> Option<Value> {
        serde_json::from_str(self.config).ok()
    }

    /// The model of this entry, under one of its names.
    pub fn model(&self, id: &str) -> Model {
        build(id, self.parameters, self.tower, self.dtype, self.config(), Origin::Catalogue)
    }

    /// Whether two entries describe the same tensors; lengths of contexts do not count.
    pub fn same_shape(&self, other: &Row) -> bool {
        std::ptr::eq(self, other)
            || self.config == other.config && self.parameters == other.parameters
            || self.parameters == other.parameters && self.tower == other.tower && !self.config.is_empty() && {
                let shape = |row: &Row| row.config().and_then(|c| config::shape(&c).ok()).map(|s| s.layers);
                shape(self) == shape(other)
            }
    }
}

fn build(id: &str, parameters: u64, tower: Option<u64>, dtype: Option<&str>, config: Option<Value>, origin: Origin) -> Model {
    let config = config.unwrap_or(Value::Null);
    let mut shape = config::shape(&config).ok();
    if let (Some(shape), Some(tower)) = (&mut shape, tower) {
        shape.tower = tower;
    }
    let active = shape.as_ref().map(super::Shape::active_parameters).filter(|&active| active < parameters);
    Model {
        id: id.to_owned(),
        parameters,
        uncertainty: 0.0,
        active,
        dtype: dtype.and_then(Dtype::parse).or_else(|| config::dtype(&config)),
        quantization: config::quantization(&config).unwrap_or(Quantization::NONE),
        quantization_is_named: false,
        cache: config::cache(&config),
        stored: None,
        origin,
        base: None,
        family: config::family(&config),
        shape,
    }
}

/// What a key of the index stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Owner and name.
    Id,
    /// The name alone.
    Name,
    /// The name without the words that do not change a shape.
    Bare,
}

impl Key {
    const fn mark(self) -> char {
        match self {
            Key::Id => '=',
            Key::Name => '/',
            Key::Bare => '~',
        }
    }
}

/// The index in order: key, entry, id.
fn index(from: usize) -> impl Iterator<Item = (&'static str, &'static Row, &'static str)> {
    (from..NAMES.len()).filter_map(|at| {
        let (_, row, id) = *NAMES.get(at)?;
        let row = ROWS.get(usize::from(row))?;
        Some((key_at(at), row, *row.ids.get(usize::from(id))?))
    })
}

/// The key of a place in the index.
fn key_at(at: usize) -> &'static str {
    let begin = |at: usize| NAMES.get(at).map_or(KEYS.len(), |(begin, _, _)| *begin as usize);
    KEYS.get(begin(at)..begin(at + 1)).unwrap_or_default()
}

/// The first place in the index that is not before `key`.
fn place(key: &str) -> usize {
    let (mut low, mut high) = (0, NAMES.len());
    while low < high {
        let middle = low.midpoint(high);
        if key_at(middle) < key { low = middle + 1 } else { high = middle }
    }
    low
}

/// The entries under a key, with the id that each has it from.
pub fn entries(kind: Key, words: &[String]) -> impl Iterator<Item = (&'static Row, &'static str)> + use<> {
    let key = format!("{}{}", kind.mark(), names::key(words));
    index(place(&key)).take_while(move |(k, _, _)| *k == key).map(|(_, row, id)| (row, id))
}

/// The bare keys that begin with a word, in order, with their entries.
pub fn bare_keys(first: &str) -> impl Iterator<Item = (&'static str, &'static Row, &'static str)> {
    let begin = format!("{}{first}", Key::Bare.mark());
    let keys = index(place(&begin)).take_while(move |(key, ..)| key.starts_with(&begin));
    keys.filter_map(|(key, row, id)| Some((key.strip_prefix(Key::Bare.mark())?, row, id)))
}

/// Another name for a model that its own name does not tell: an Ollama tag, exactly as written where it has no size.
pub fn alias(text: &str, words: &[String]) -> Option<(&'static Row, &'static str)> {
    let find = |key: String| ALIASES.binary_search_by(|(k, _)| (*k).cmp(key.as_str())).ok();
    let at = find(format!("={text}")).or_else(|| find(names::key(words)))?;
    entries(Key::Id, &names::words(ALIASES.get(at)?.1)).next()
}

/// Checkpoints in 4 bits that are published of a model, by its hub id.
pub fn published(id: &str) -> impl Iterator<Item = &'static str> + use<> {
    under(PUBLISHED, id)
}

/// The tag under which the Ollama library has a model: the one that says its size, where there are several.
pub fn tag(id: &str) -> Option<&'static str> {
    under(TAGS, id).max_by_key(|tag| (tag.contains(':'), tag.contains('.')))
}

/// The names in a sorted list that stand under a hub id.
fn under(list: &'static [(&'static str, &'static str)], id: &str) -> impl Iterator<Item = &'static str> + use<> {
    let key = names::own_key(id);
    let from = list.partition_point(|(k, _)| *k < key.as_str());
    list.get(from..).unwrap_or_default().iter().take_while(move |(k, _)| *k == key).map(|(_, name)| *name)
}

/// A user's own entries.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserCatalogue {
    #[serde(default, rename = "model")]
    models: Vec<UserEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    id: Vec<String>,
    parameters: Option<u64>,
    #[serde(default, rename = "stored")]
    _stored: Option<u64>,
    #[serde(default, rename = "why")]
    _why: Option<String>,
    tower: Option<u64>,
    dtype: Option<String>,
    #[serde(default, rename = "source")]
    _source: Option<String>,
    #[serde(default)]
    config: Value,
}

/// Why a user's file of models cannot be used.
#[derive(Debug, Error)]
pub enum UserCatalogueError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too large to be a list of models.
    #[error("{} is too large for a list of models", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is no TOML of the form that is documented.
    #[error("{} is no list of models: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong where.
        message: String,
    },
    /// An entry has neither a configuration that gives a shape nor a count.
    #[error("the entry `{id}` has no `parameters`, and its `config` gives none: {reason}")]
    Empty {
        /// The entry.
        id: String,
        /// What its configuration lacks.
        reason: String,
    },
}

/// No file of models is larger.
const LARGEST_FILE: u64 = 8 << 20;

impl UserCatalogue {
    /// Reads a file of the same format as the files in `src/memory/catalogue`.
    pub fn read(path: &Path) -> Result<UserCatalogue, UserCatalogueError> {
        let failed = |source| UserCatalogueError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        File::open(path).map_err(failed)?.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > LARGEST_FILE {
            return Err(UserCatalogueError::TooLarge { path: path.to_owned() });
        }
        UserCatalogue::parse(&text, path)
    }

    /// Reads the text of such a file; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<UserCatalogue, UserCatalogueError> {
        let read: UserCatalogue = toml::from_str(text).map_err(|e| UserCatalogueError::Parse { path: path.to_owned(), message: e.to_string() })?;
        for entry in &read.models {
            if let (None, Err(reason)) = (entry.parameters, config::shape(&entry.config)) {
                let id = entry.id.first().cloned().unwrap_or_default();
                return Err(UserCatalogueError::Empty { id, reason: reason.to_string() });
            }
        }
        Ok(read)
    }

    /// The entry with this name, with or without its owner.
    pub fn find(&self, words: &[String]) -> Option<Model> {
        let (entry, id) = self.models.iter().find_map(|entry| {
            let id = entry.id.iter().find(|id| names::words(id) == words || names::words(names::without_owner(id)) == words)?;
            Some((entry, id))
        })?;
        let computed = config::shape(&entry.config).ok().map(|s| s.parameters().total().saturating_add(entry.tower.unwrap_or(0)));
        Some(build(id, entry.parameters.or(computed)?, entry.tower, entry.dtype.as_deref(), Some(entry.config.clone()), Origin::UserFile))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The count of each entry follows from its architecture, to the last parameter.
    #[test]
    fn every_count_is_recomputed_from_its_architecture() {
        for row in rows().iter().filter(|row| !row.config.is_empty()) {
            let config: Value = serde_json::from_str(row.config).unwrap();
            let mut shape = config::shape(&config).unwrap_or_else(|e| panic!("{}: {e}", row.ids[0]));
            if let Some(tower) = row.tower {
                shape.tower = tower;
            }
            assert_eq!(shape.parameters().total(), row.parameters, "{}", row.ids[0]);
        }
    }

    /// What the files hold beyond that is said, and is little.
    /// It may add a MiB to the program, of which nothing is read but what is looked up.
    #[test]
    fn all_of_it_is_small() {
        let rows = ROWS.iter().map(|row| {
            let texts = row.ids.iter().chain(&row.why).chain(&row.dtype).map(|text| text.len() + size_of::<&str>());
            texts.sum::<usize>() + row.source.len() + row.config.len() + size_of::<Row>()
        });
        let index = KEYS.len() + size_of_val(NAMES);
        let aliases = ALIASES.iter().map(|(tag, id)| tag.len() + id.len() + 2 * size_of::<&str>()).sum::<usize>();
        let all = rows.sum::<usize>() + index + aliases;
        assert!((100_000..1 << 20).contains(&all), "{all} bytes");
    }

    #[test]
    fn what_files_hold_besides_is_said_and_little() {
        for row in rows() {
            let Some(stored) = row.stored else { continue };
            assert!(row.why.is_some(), "{}", row.ids[0]);
            let share = stored.abs_diff(row.parameters) as f64 / row.parameters as f64;
            assert!(share < if row.why.is_some_and(|w| w.contains("prediction")) { 0.05 } else { 0.011 }, "{} {share}", row.ids[0]);
        }
    }

    #[test]
    fn ids_are_unique_and_are_found() {
        let mut seen = HashSet::new();
        for row in rows() {
            for id in row.ids {
                assert!(seen.insert(id.to_lowercase()), "{id} stands twice");
                assert!(entries(Key::Id, &names::words(id)).any(|(found, _)| std::ptr::eq(found, row)), "{id}");
            }
        }
        assert!(seen.len() > 600);
    }

    #[test]
    fn every_alias_names_an_entry() {
        for (key, id) in ALIASES {
            assert!(alias(key.trim_start_matches('='), &names::words(key)).is_some(), "{key} means {id}, which is no entry");
        }
    }

    #[test]
    fn every_configuration_gives_a_known_quantization() {
        for row in rows().iter().filter(|row| !row.config.is_empty()) {
            let config: Value = serde_json::from_str(row.config).unwrap();
            config::quantization(&config).unwrap_or_else(|e| panic!("{}: {e}", row.ids[0]));
            assert!(row.dtype.is_none_or(|d| Dtype::parse(d).is_some()), "{}", row.ids[0]);
        }
    }

    #[test]
    fn a_users_entries_are_read_and_checked() {
        let path = Path::new("models.toml");
        let text = r#"
            [[model]]
            id = ["me/mine-1B"]
            config = { model_type = "llama", hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4, intermediate_size = 128, vocab_size = 100 }
        "#;
        let read = UserCatalogue::parse(text, path).unwrap();
        let model = read.find(&names::words("mine-1b")).unwrap();
        assert_eq!(model.origin, Origin::UserFile);
        assert_eq!(model.parameters, 2 * 100 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64);
        assert!(matches!(UserCatalogue::parse("[[model]]\nid = [\"x\"]\n", path), Err(UserCatalogueError::Empty { .. })));
        assert!(matches!(UserCatalogue::parse("[[model]]\nid = [\"x\"]\nsize = 7\n", path), Err(UserCatalogueError::Parse { .. })));
    }
}
