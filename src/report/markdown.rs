//! The report as a complete Markdown document.

use std::io;

use super::document::Markup;
use super::escape::{self, Segment, markdown_code, markdown_fence};
use super::quote::wrap;
use super::view::{Bar, Moment, Overview, Proof, Section, Tally};
use super::words;

/// Columns of a quoted line.
const COLUMNS: usize = 110;

/// Markdown, as GitHub reads it.
pub struct Markdown;

impl Markup for Markdown {
    fn top(&self, title: &[Segment], tally: Option<&Tally>) -> io::Result<String> {
        let mut page = Page::new(tally.is_some());
        page.heading(1, &inline(title));
        if let Some(tally) = tally {
            page.paragraph(&escape_words(&tally.to_string()));
            page.head_of_table(&["", "Log", "Cause", "Confidence", "What happened"]);
        }
        Ok(page.out)
    }

    fn row(&self, row: &Overview) -> io::Result<String> {
        Ok(table_row(&[
            row.number.to_string(),
            markdown_code(&row.name, true),
            if row.cause.contains(' ') { escape_words(row.cause) } else { markdown_code(row.cause, true) },
            escape_words(&row.confidence),
            cell(&row.headline),
        ]))
    }

    fn end_of_overview(&self) -> &'static str {
        "\n"
    }

    fn section(&self, section: &Section, several: bool) -> io::Result<String> {
        let mut page = Page::new(several);
        page.section(section);
        Ok(page.out)
    }

    fn bottom(&self, tool: &str) -> io::Result<String> {
        Ok(format!("Written by {}.\n", escape_words(tool)))
    }
}

/// A part of the document.
struct Page {
    out: String,
    several: bool,
}

impl Page {
    fn new(several: bool) -> Self {
        Page { out: String::new(), several }
    }

    /// Everything about one input.
    fn section(&mut self, section: &Section) {
        if self.several {
            self.heading(2, &format!("{}. {}", section.number, markdown_code(&section.name, false)));
        }
        if let Some(error) = &section.error {
            let name = markdown_code(&section.name, false);
            self.paragraph(&format!("{name} could not be read: {}", inline(&escape::prose(error))));
            return;
        }
        if self.several {
            self.paragraph(&format!("**{}**", inline(&section.headline)));
        }
        if !section.verdict.is_empty() {
            self.paragraph(&inline(&section.verdict));
        }
        self.titled("Summary");
        self.table(&["", ""], section.summary.iter().map(|(name, value)| vec![escape_words(name), cell(value)]));

        if !section.context.is_empty() {
            self.titled("Context");
            self.table(&["", ""], section.context.iter().map(|(name, value)| vec![escape_words(name), cell(value)]));
        }
        if !section.arguments.is_empty() {
            self.paragraph("Arguments that were set, as the log prints them:");
            self.table(
                &["Argument", "Value"],
                section.arguments.iter().map(|(name, value)| vec![markdown_code(name, true), markdown_code(value, true)]),
            );
        }
        self.timeline(&section.timeline);
        self.memory(&section.memory, &section.figures);
        if !section.proof.is_empty() {
            self.titled("What failed");
            self.paragraph("Lines marked with `>` are the failure itself; the numbers are the log's lines.");
            self.out.push_str(&markdown_fence("text", &wrapped(&section.proof)));
            self.out.push('\n');
        }
        self.titled(match section.state {
            "healthy" => "What was checked",
            "unknown" => "What is known",
            _ => "Root cause",
        });
        self.paragraph(&inline(&section.explanation));
        if !section.settle.is_empty() {
            self.titled("What would settle it");
            self.paragraph(&inline(&section.settle));
        }
        self.list("Contributing factors", &section.contributing, "- ");
        self.remedies(section);
        self.list("Prevention", &section.prevention, "- ");
        self.list("Checklist", &section.checklist, "- [ ] ");
        self.others(section);
        self.list("About this report", &section.about, "- ");
    }

    /// What to do.
    fn remedies(&mut self, section: &Section) {
        if section.remedies.is_empty() {
            return;
        }
        self.titled("What to do");
        for (at, remedy) in section.remedies.iter().enumerate() {
            let number = format!("{}. ", at + 1);
            let indent = " ".repeat(number.len());
            self.paragraph(&format!("{number}**{}**", inline(&remedy.title)));
            self.paragraph(&format!("{indent}{}", inline(&remedy.rationale)));
            if !remedy.price.is_empty() {
                self.paragraph(&format!("{indent}Price: {}", inline(&remedy.price)));
            }
            if !remedy.changes.is_empty() {
                self.paragraph(&format!("{indent}Change: {}", inline(&remedy.changes)));
            }
            if let Some(command) = &remedy.command {
                let lines: Vec<String> = command.lines().map(str::to_owned).collect();
                for line in markdown_fence(language(command), &lines).lines() {
                    self.out.push_str(&format!("{indent}{line}\n"));
                }
                self.out.push('\n');
            }
            self.paragraph(&format!("{indent}Check: {}", inline(&remedy.verify)));
            self.paragraph(&format!("{indent}If it still fails: {}", inline(&remedy.otherwise)));
        }
    }

    /// The other incidents.
    fn others(&mut self, section: &Section) {
        if section.others.is_empty() {
            return;
        }
        self.titled("Other incidents");
        for other in &section.others {
            self.paragraph(&format!("**{}: {}**", markdown_code(other.cause, false), inline(&other.headline)));
            self.paragraph(&format!("{} {}", inline(&other.verdict), inline(&other.explanation)));
            if !other.proof.is_empty() {
                self.out.push_str(&markdown_fence("text", &wrapped(&other.proof)));
                self.out.push('\n');
            }
            for remedy in &other.remedies {
                self.out.push_str(&format!("- {}\n", inline(remedy)));
            }
            if !other.remedies.is_empty() {
                self.out.push('\n');
            }
        }
    }

    /// What happened when.
    fn timeline(&mut self, timeline: &[Moment]) {
        if timeline.is_empty() {
            return;
        }
        self.titled("Time line");
        let rows = timeline.iter().map(|moment| {
            let what = escape_words(&moment.what);
            vec![
                moment.line.to_string(),
                escape_words(&moment.when),
                escape_words(&moment.offset),
                if moment.failed { format!("**{what}**") } else { what },
                escape_words(&moment.took),
                markdown_code(&moment.text, true),
            ]
        });
        self.table(&["Line", "When", "Since start", "What", "Took", "Message"], rows);
    }

    /// Where the memory went, and the decisive figures.
    fn memory(&mut self, memory: &[Bar], figures: &[(String, String)]) {
        if memory.is_empty() && figures.is_empty() {
            return;
        }
        self.titled("Memory");
        for bar in memory {
            let total = if bar.total.is_empty() { String::new() } else { format!(", {}", bar.total) };
            let rows = bar.parts.iter().map(|part| {
                vec![
                    escape_words(&words::heading(&part.name)),
                    part.size.clone(),
                    escape_words(part.share.as_deref().unwrap_or_default()),
                    escape_words(&part.origin),
                ]
            });
            let name = format!("{}{total}", bar.name);
            self.table(&[&name, "Size", "Share", "Where the figure comes from"], rows);
            if let Some(note) = &bar.note {
                self.paragraph(&escape_words(note));
            }
        }
        if !figures.is_empty() {
            self.table(&["Figure", "Value"], figures.iter().map(|(name, value)| vec![escape_words(&words::heading(name)), escape_words(value)]));
        }
    }

    /// A heading of a part: one level lower where there are several inputs.
    fn titled(&mut self, title: &str) {
        self.heading(if self.several { 3 } else { 2 }, title);
    }

    fn heading(&mut self, level: usize, title: &str) {
        self.out.push_str(&format!("{} {title}\n\n", "#".repeat(level)));
    }

    fn paragraph(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push_str("\n\n");
    }

    fn list(&mut self, title: &str, items: &[Vec<Segment>], bullet: &str) {
        if items.is_empty() {
            return;
        }
        self.titled(title);
        for item in items {
            self.out.push_str(&format!("{bullet}{}\n", inline(item)));
        }
        self.out.push('\n');
    }

    fn table(&mut self, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.head_of_table(head);
        self.out.extend(rows.map(|cells| table_row(&cells)));
        self.out.push('\n');
    }

    fn head_of_table(&mut self, head: &[&str]) {
        self.out.push_str(&table_row(head));
        self.out.push_str(&table_row(&vec!["---"; head.len()]));
    }
}

/// A row of a table.
fn table_row(cells: &[impl AsRef<str>]) -> String {
    let mut line = "|".to_owned();
    for cell in cells {
        line.push_str(&format!(" {} |", cell.as_ref()).replace("  |", " |"));
    }
    line.push('\n');
    line
}

/// Quoted lines in rows that need no scrolling.
fn wrapped(proof: &[Proof]) -> Vec<String> {
    let mut out = Vec::new();
    for line in proof {
        for (at, row) in wrap(&line.text, COLUMNS, COLUMNS).into_iter().enumerate() {
            let text = line.text.get(row).unwrap_or_default();
            let gutter = if at == 0 { line.gutter.clone() } else { line.gutter.chars().map(|c| if c == '│' { c } else { ' ' }).collect() };
            out.push(format!("{gutter}{text}"));
        }
    }
    out
}

/// Prose in a paragraph.
fn inline(segments: &[Segment]) -> String {
    escape::markdown(segments, false)
}

/// Prose in a table's cell.
fn cell(segments: &[Segment]) -> String {
    escape::markdown(segments, true)
}

/// Words that may come from a log, in a table's cell.
fn escape_words(text: &str) -> String {
    escape::markdown(&escape::prose(text), true)
}

/// The language of a command as it is printed: Python code begins with what it imports, a compose file with its services.
fn language(command: &str) -> &'static str {
    let begins = |words: &[&str]| words.iter().any(|word| command.starts_with(word));
    if begins(&["import ", "from "]) {
        "python"
    } else if begins(&["services:", "apiVersion:", "name:"]) {
        "yaml"
    } else {
        "sh"
    }
}
