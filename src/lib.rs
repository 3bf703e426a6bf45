//! Reads the log of an LLM inference server that died and writes the post-mortem: what ran out or broke, why, the
//! lines that prove it, when it happened and where the memory went.
//!
//! ```
//! let log = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.62 GiB of which 1.10 GiB is free.";
//! let report = oomdoc::analyze(log.as_bytes(), &oomdoc::Options::default())?;
//! assert_eq!(report.incidents[0].figures.tried_bytes, Some(2 << 30));
//! # Ok::<(), oomdoc::source::SourceError>(())
//! ```
//!
//! The way of a log: [`source`] gives lines, [`scan`] passes over those that say nothing, [`envelope`] takes off what wraps them, [`record`] puts messages and
//! tracebacks together, [`recognise`] makes facts of them with the [`signatures`] and the grammars of [`extract`],
//! [`case`](mod@case) puts the facts in order, [`causes`] judge them, [`remedies`] write commands, [`report`] writes it down.

pub mod analysis;
pub mod case;
pub mod causes;
pub mod cli;
pub mod envelope;
pub mod extract;
pub mod facts;
pub mod memory;
mod pairs;
pub mod post_mortem;
pub mod program;
mod raised;
pub mod recognise;
pub mod record;
pub mod redact;
pub mod remedies;
pub mod report;
pub mod scan;
pub mod signatures;
pub mod source;
pub mod time;
pub mod units;
pub mod watch;

pub use analysis::{Options, analyze};
pub use post_mortem::PostMortem;
