//! What a model and a device are, as far as memory goes: sizes, shapes, number formats, and the catalogues of both.
//!
//! Nothing here knows of logs. [`size`] is the type for bytes, [`model`] and [`shape`] say what a model consists of,
//! [`format`](mod@format) how its numbers are stored, [`device`] what it has to fit into.

pub mod catalogue;
pub mod config;
pub mod device;
pub mod estimate;
pub mod files;
pub mod format;
pub mod model;
pub mod names;
mod quantized_names;
pub mod shape;
pub mod size;

pub use device::Device;
pub use format::{Dtype, Quantization};
pub use model::{Model, Origin};
pub use shape::Shape;
pub use size::{Bytes, Rate};
