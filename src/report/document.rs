//! A document about some inputs: a title, an overview where there are several, and a section for each. It grows by
//! one input at a time and holds none of them.

use std::io::{self, Write};

use super::escape::Segment;
use super::view::{self, Overview, Section, Tally};
use super::{Outcome, Store};

/// How the parts of a document are written.
pub trait Markup {
    /// What the document begins with; where there are several inputs, how many of which cause, and the head of the overview.
    fn top(&self, title: &[Segment], tally: Option<&Tally>) -> io::Result<String>;
    /// One row of the overview.
    fn row(&self, row: &Overview) -> io::Result<String>;
    /// The end of the overview.
    fn end_of_overview(&self) -> &'static str;
    /// Everything about one input.
    fn section(&self, section: &Section, several: bool) -> io::Result<String>;
    /// What the document ends with.
    fn bottom(&self, tool: &str) -> io::Result<String>;
}

/// A document that grows.
pub struct Growing<M> {
    markup: M,
    count: usize,
    added: usize,
    title: Vec<Segment>,
    tally: Tally,
    tool: Option<String>,
    rows: Box<dyn Store>,
    sections: Box<dyn Store>,
}

impl<M: Markup> Growing<M> {
    /// A document about so many inputs.
    pub fn new(markup: M, count: usize, store: fn() -> Box<dyn Store>) -> Self {
        let title = view::title_of_several(count);
        Growing { markup, count, added: 0, title, tally: Tally::default(), tool: None, rows: store(), sections: store() }
    }

    /// Adds what became of the next input.
    pub fn add(&mut self, outcome: &Outcome) -> io::Result<()> {
        self.added += 1;
        let section = view::section(self.added, outcome);
        if self.count == 1 {
            self.title = view::title(&section);
        }
        if let (None, Outcome::Report(report)) = (&self.tool, outcome) {
            self.tool = Some(format!("{} {}", report.tool.name, report.tool.version));
        }
        self.tally.count(outcome);
        self.rows.write_all(self.markup.row(&view::overview(self.added, outcome))?.as_bytes())?;
        self.sections.write_all(self.markup.section(&section, self.count > 1)?.as_bytes())
    }

    /// Writes it.
    pub fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        let several = self.count > 1;
        out.write_all(self.markup.top(&self.title, several.then_some(&self.tally))?.as_bytes())?;
        if several {
            copy(self.rows.as_mut(), out)?;
            out.write_all(self.markup.end_of_overview().as_bytes())?;
        }
        copy(self.sections.as_mut(), out)?;
        out.write_all(self.markup.bottom(self.tool.as_deref().unwrap_or("oomdoc"))?.as_bytes())
    }
}

/// Writes what a store holds.
fn copy(store: &mut dyn Store, out: &mut dyn Write) -> io::Result<()> {
    store.rewind()?;
    io::copy(store, out).map(drop)
}
