//! What leaves the house: a post-mortem as text, Markdown, JSON or HTML.
//!
//! Nothing here knows how anything was found. Whatever a log brought in is treated as hostile: secrets are masked
//! by [`crate::redact`], everything else is made harmless for where it goes by `escape`.

mod advice;
mod document;
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
use document::Growing;

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
    let mut writer = Writer::new(format, outcomes.len(), style, || Box::new(io::Cursor::new(Vec::new())))?;
    outcomes.iter().try_for_each(|outcome| writer.add(outcome, out))?;
    writer.finish(out)
}

/// Where a part of a report waits for what stands before it.
pub trait Store: io::Read + io::Write + io::Seek {}

impl<T: io::Read + io::Write + io::Seek> Store for T {}

/// Writes a report while its inputs are read: nothing of one is held when the next one comes.
pub struct Writer(Form);

enum Form {
    Text(text::Several),
    Json(json::Objects),
    Ndjson,
    Markdown(Growing<markdown::Markdown>),
    Html(Box<Growing<html::Html>>),
}

impl Writer {
    /// Begins the report of so many inputs. What a document says of all of them stands before each of them, so
    /// what it says of each waits in a `store`.
    ///
    /// # Errors
    /// When the templates of a page cannot be read.
    pub fn new(format: Format, count: usize, style: &Style, store: fn() -> Box<dyn Store>) -> io::Result<Self> {
        Ok(Writer(match format {
            Format::Text => Form::Text(text::Several::new(count, style)),
            Format::Json => Form::Json(json::Objects::new(count)),
            Format::Ndjson => Form::Ndjson,
            Format::Markdown => Form::Markdown(Growing::new(markdown::Markdown, count, store)),
            Format::Html => Form::Html(Box::new(Growing::new(html::Html::new()?, count, store))),
        }))
    }

    /// Takes what became of the next input.
    ///
    /// # Errors
    /// When `out` or the store cannot be written to.
    pub fn add(&mut self, outcome: &Outcome, out: &mut dyn io::Write) -> io::Result<()> {
        match &mut self.0 {
            Form::Text(form) => form.add(outcome, out),
            Form::Json(form) => form.add(outcome, out),
            Form::Ndjson => json::write_line(outcome, out),
            Form::Markdown(form) => form.add(outcome),
            Form::Html(form) => form.add(outcome),
        }
    }

    /// Ends the report.
    ///
    /// # Errors
    /// When `out` cannot be written to, or the store not be read.
    pub fn finish(self, out: &mut dyn io::Write) -> io::Result<()> {
        match self.0 {
            Form::Text(form) => form.finish(out),
            Form::Json(form) => form.finish(out),
            Form::Ndjson => Ok(()),
            Form::Markdown(form) => form.finish(out),
            Form::Html(form) => form.finish(out),
        }
    }
}
