//! The report as one self-contained page: no scripts, nothing fetched, everything escaped by the template engine.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use super::document::Markup;
use super::escape::Segment;
use super::view::{Overview, Section, Tally};

/// The parts of the page; the ending of their names turns on escaping.
const PARTS: [(&str, &str); 5] = [
    ("words.html", include_str!("html/words.html")),
    ("top.html", include_str!("html/top.html")),
    ("row.html", include_str!("html/row.html")),
    ("section.html", include_str!("html/section.html")),
    ("bottom.html", include_str!("html/bottom.html")),
];

/// One page of HTML.
pub struct Html(Environment<'static>);

impl Html {
    /// Reads the templates.
    pub fn new() -> io::Result<Self> {
        let mut environment = Environment::new();
        // Each part ends with the end of its last line.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(io::Error::other)?);
        for (name, source) in PARTS {
            environment.add_template(name, source).map_err(io::Error::other)?;
        }
        Ok(Html(environment))
    }

    fn render(&self, part: &str, context: Value) -> io::Result<String> {
        self.0.get_template(part).and_then(|template| template.render(context)).map_err(io::Error::other)
    }
}

impl Markup for Html {
    fn top(&self, title: &[Segment], tally: Option<&Tally>) -> io::Result<String> {
        self.render("top.html", context! { title => Value::from(Serde(title)), tally => tally.map(Tally::to_string) })
    }

    fn row(&self, row: &Overview) -> io::Result<String> {
        self.render("row.html", context! { row => Value::from(Serde(row)) })
    }

    fn end_of_overview(&self) -> &'static str {
        "</tbody>\n</table></div>\n"
    }

    fn section(&self, section: &Section, several: bool) -> io::Result<String> {
        self.render("section.html", context! { s => Value::from(Serde(section)), several })
    }

    fn bottom(&self, tool: &str) -> io::Result<String> {
        self.render("bottom.html", context! { tool })
    }
}
