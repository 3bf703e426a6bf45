//! What leaves the house: a post-mortem as text, Markdown, JSON or HTML.
//!
//! Nothing here knows how anything was found. Whatever a log brought in is treated as hostile: secrets are masked
//! by [`crate::redact`], everything else is made harmless for where it goes by `escape`.

mod advice;
pub(crate) mod escape;
pub mod fit;
mod html;
mod json;
mod markdown;
mod quote;
mod text;
mod view;
mod words;

#[cfg(test)]
mod tests;

use std::io;

use serde::Serialize;

use crate::post_mortem::PostMortem;

/// A form that a report can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal, one screen.
    Text,
    /// A complete document.
    Markdown,
    /// One object, pretty-printed; an array of several.
    Json,
    /// One compact object a line.
    Ndjson,
    /// The complete document as one page.
    Html,
}

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Its columns.
    pub width: usize,
    /// Whether it shows colours.
    pub color: bool,
    /// Whether it shows more than ASCII.
    pub unicode: bool,
}

impl Default for Style {
    /// Eighty columns without colour.
    fn default() -> Self {
        Self { width: 80, color: false, unicode: true }
    }
}

/// What became of one input.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It was read.
    Report(Box<PostMortem>),
    /// It could not be read.
    Failure(Failure),
}

impl From<PostMortem> for Outcome {
    fn from(report: PostMortem) -> Self {
        Self::Report(Box::new(report))
    }
}

/// An input that could not be read.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Which one.
    pub source: FailedSource,
    /// Why, in words.
    pub error: String,
}

/// The name of an input that could not be read.
#[derive(Debug, Clone, Serialize)]
pub struct FailedSource {
    /// The path as given.
    pub name: String,
}

impl Failure {
    /// An input that could not be read, and why.
    pub fn new(name: impl Into<String>, error: impl Into<String>) -> Self {
        Self { source: FailedSource { name: name.into() }, error: error.into() }
    }
}

/// Writes anything as one line of JSON.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_line(value: &impl Serialize, out: &mut dyn io::Write) -> io::Result<()> {
    json::write_line(value, out)
}

/// Writes what became of some inputs in a format; `style` is for text only.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write(format: Format, outcomes: &[Outcome], style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    match format {
        Format::Text => text::write_all(outcomes, style, out),
        Format::Markdown => markdown::write(outcomes, out),
        Format::Json => json::write(outcomes, out),
        Format::Ndjson => json::write_lines(outcomes, out),
        Format::Html => html::write(outcomes, out),
    }
}
