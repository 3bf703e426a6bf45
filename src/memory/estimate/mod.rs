//! What a model needs of each device, component by component, and whether that fits.
//!
//! The formulas are those of `docs/memory-model.md`, which also says how far each was off on figures that servers
//! printed. Everything here is arithmetic on a [`Model`](super::model::Model), a [`Device`](super::device::Device) and a [`Plan`]: it reads nothing and takes
//! microseconds.

pub mod activation;
pub mod cache;
pub mod engine;
pub mod fit;
pub mod formats;
pub mod margin;
pub mod overhead;
pub mod possible;
pub mod search;
pub mod tensor;
pub mod weights;

pub use engine::{CacheFormat, Engine, Plan, Setup, Version};
pub use fit::{Component, Estimate, Figure, FigureBasis, Verdict, estimate};
pub use possible::{Impossible, check};
pub use search::{Change, Largest, changes, largest};
pub use tensor::{Guess, tensor_of};
