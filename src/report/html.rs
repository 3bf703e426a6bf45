//! The report as one self-contained page: no scripts, nothing fetched, everything escaped by the template engine.

use std::io;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;

use super::{Outcome, view};

/// The page; the name's ending turns on escaping.
const PAGE: (&str, &str) = ("page.html", include_str!("page.html"));

/// Writes one page for all inputs.
pub fn write(outcomes: &[Outcome], out: &mut dyn io::Write) -> io::Result<()> {
    let document = view::document(outcomes);
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(io::Error::other)?);
    environment.add_template(PAGE.0, PAGE.1).map_err(io::Error::other)?;
    let page = environment.get_template(PAGE.0).and_then(|template| template.render(Serde(&document))).map_err(io::Error::other)?;
    writeln!(out, "{}", page.trim_end())
}
