//! What is known of a model, and where from.

use super::format::{Dtype, Quantization};
use super::shape::{ByClass, Shape};
use super::size::Bytes;

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
