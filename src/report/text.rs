//! The report for a terminal: the primary incident on one screen, the rest in a line or two each.
//!
//! Everything is laid out as [`Line`]s of plain text with tones, and only the last step adds colours, so widths are
//! counted right, nothing is said by colour alone, and no text of the log reaches the terminal unescaped.

use std::fmt::Write as _;
use std::io;
use std::ops::Range;

use owo_colors::OwoColorize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Failure, Outcome, Style, escape, quote, view, words};
use crate::post_mortem::{Basis, Contributing, Event, Evidence, Incident, Ledger, PostMortem, Remedy, Role};

/// Lines of a screen that the primary incident should fit on.
const SCREEN: usize = 44;
/// Entries that the time line shows at most, and at least.
const EVENTS: (usize, usize) = (10, 4);
/// Columns beyond which prose is hard to read.
const MEASURE: usize = 96;
/// Remedies told in full.
const REMEDIES: usize = 3;

/// How a piece of a line is shown where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Strong,
    Dim,
    Bad,
    Good,
    Mark,
    /// A segment of a bar, by its place.
    Bar(usize),
}

/// A line: pieces of visible text and their tones.
#[derive(Debug, Clone, Default)]
struct Line(Vec<(String, Tone)>);

impl Line {
    fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self::default().with(text, tone)
    }

    fn with(mut self, text: impl AsRef<str>, tone: Tone) -> Self {
        self.0.push((escape::line_keeping_blanks(text.as_ref()), tone));
        self
    }

    fn plain(self, text: impl AsRef<str>) -> Self {
        self.with(text, Tone::Plain)
    }
}

/// Writes what became of several inputs.
pub fn write_all(outcomes: &[Outcome], style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    let page = Page::new(style);
    for (at, outcome) in outcomes.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        match outcome {
            Outcome::Report(report) => {
                if outcomes.len() > 1 {
                    page.print(&[page.title(&report.source.name)], out)?;
                }
                write(report, style, out)?;
            }
            Outcome::Failure(failure) => page.print(&page.failure(failure), out)?,
        }
    }
    if outcomes.len() > 1 {
        writeln!(out)?;
        page.print(&page.wrapped("", &view::tally(outcomes), Tone::Dim), out)?;
    }
    Ok(())
}

/// Writes one post-mortem.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write(report: &PostMortem, style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    let page = Page::new(style);
    let lines = match report.incidents.first() {
        Some(incident) => page.incident(report, incident),
        None => page.calm(report),
    };
    page.print(&lines, out)
}

/// The page that is laid out.
struct Page {
    width: usize,
    color: bool,
    unicode: bool,
}

impl Page {
    fn new(style: &Style) -> Self {
        Self { width: style.width.max(32), color: style.color, unicode: style.unicode }
    }

    /// A report with an incident.
    fn incident(&self, report: &PostMortem, incident: &Incident) -> Vec<Line> {
        let mut head = self.headline(incident.cause, &incident.headline, Tone::Bad);
        head.extend(self.wrapped("  ", &view::verdict(incident), Tone::Plain));
        if let Some(running) = view::running(report) {
            head.extend(self.wrapped("  ", &running, Tone::Dim));
        }

        let known = if incident.cause == "unknown" { "What is known" } else { "Why" };
        let mut why = self.wrapped("  ", &incident.explanation, Tone::Plain);
        if incident.cause == "unknown" {
            if let Some(last) = view::last_stage(report) {
                why.extend(self.wrapped("  ", &last, Tone::Plain));
            }
        }
        let mut body = Vec::new();
        self.section(&mut body, known, "", why);
        if let Some(settle) = &report.would_settle {
            self.section(&mut body, "What would settle it", "", self.wrapped("  ", settle, Tone::Strong));
        }
        self.section(&mut body, "Proof", &report.source.name, self.proof(&incident.evidence));
        self.section(&mut body, "Memory", "", self.memory(&report.memory.devices, incident));
        self.section(&mut body, "Figures", "", self.grid(&view::figures(&incident.figures)));

        let mut tail = Vec::new();
        self.section(&mut tail, "Contributing", "", incident.contributing.iter().flat_map(|c| self.contributing(c)).collect());
        self.section(&mut tail, "What to do", "", self.remedies(&incident.remedies));
        self.section(&mut tail, "Also found", "", report.incidents.iter().skip(1).flat_map(|i| self.further(i)).collect());
        tail.extend(self.footer(report, Some(incident.cause)));

        // The time line takes what room the screen has left.
        let used = head.len() + body.len() + tail.len() + 1;
        let room = SCREEN.saturating_sub(used).clamp(EVENTS.1, EVENTS.0);
        self.section(&mut body, "Time line", "", self.timeline(&report.timeline, room));
        head.extend(body);
        head.extend(tail);
        head
    }

    /// A report without an incident.
    fn calm(&self, report: &PostMortem) -> Vec<Line> {
        let unknown = report.cause == "unknown";
        let mut out = if unknown {
            self.headline("unknown", "the log does not say what failed", Tone::Bad)
        } else {
            self.headline(report.cause, view::calm_headline(report), Tone::Good)
        };
        if let Some(running) = view::running(report) {
            out.extend(self.wrapped("  ", &running, Tone::Plain));
        }
        if let Some(ready) = view::time_to_ready(&report.timeline) {
            out.extend(self.wrapped("  ", &ready, Tone::Plain));
        }
        out.extend(self.wrapped("  ", &view::checked(report), Tone::Plain));
        if let Some(settle) = &report.would_settle {
            self.section(&mut out, "What would settle it", "", self.wrapped("  ", settle, Tone::Strong));
        }
        self.section(&mut out, "Memory", "", self.bars(&report.memory.devices, None));
        self.section(&mut out, "Figures", "", self.grid(&view::figures(&report.figures)));
        self.section(&mut out, "Time line", "", self.timeline(&report.timeline, 6));
        out.extend(self.footer(report, None));
        out
    }

    /// Id and headline.
    fn headline(&self, cause: &str, headline: &str, tone: Tone) -> Vec<Line> {
        let text = escape::line(headline);
        let label = format!("{cause}: ");
        let first = self.width.saturating_sub(label.width());
        let mut rows = wrap(&text, first.min(self.measure()), self.measure().saturating_sub(2)).into_iter();
        let mut out = Vec::new();
        let row = rows.next().unwrap_or(0..0);
        out.push(Line::new(cause, tone).with(": ", Tone::Dim).with(text.get(row).unwrap_or_default(), Tone::Strong));
        for row in rows {
            out.push(Line::default().plain("  ").with(text.get(row).unwrap_or_default(), Tone::Strong));
        }
        out
    }

    /// A rule with a title, and what belongs under it; nothing when there is nothing.
    fn section(&self, out: &mut Vec<Line>, title: &str, aside: &str, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        let bar = if self.unicode { "─" } else { "-" };
        let width = self.width.min(120);
        let mut line = Line::new(bar.repeat(2), Tone::Dim).plain(" ").with(title, Tone::Strong).plain(" ");
        let mut left = width.saturating_sub(title.width() + 4);
        let aside = quote::middle(&escape::line(aside), left.saturating_sub(8));
        if aside.is_empty() || left < 16 {
            line = line.with(bar.repeat(left), Tone::Dim);
        } else {
            left = left.saturating_sub(aside.width() + 4);
            line = line.with(bar.repeat(left), Tone::Dim).plain(" ").with(aside, Tone::Dim).plain(" ").with(bar.repeat(2), Tone::Dim);
        }
        out.push(line);
        out.extend(lines);
    }

    /// The quoted lines.
    fn proof(&self, evidence: &[Evidence]) -> Vec<Line> {
        let chosen = quote::select(evidence, 2, 2, 1);
        let left_out = evidence.len() - chosen.len();
        let quoted = quote::lines(&chosen, 3);
        let digits = quoted.iter().filter_map(|q| q.number).max().map_or(1, |n| n.to_string().len()).max(3);
        let gutter = digits + 5;
        let room = self.width.min(140).saturating_sub(gutter).max(16);
        let wall = if self.unicode { "│" } else { "|" };
        let mut out = Vec::new();
        for line in &quoted {
            if line.gap {
                let dots = if self.unicode { "⋮" } else { ":" };
                out.push(Line::new(format!("  {:>digits$} {dots}", ""), Tone::Dim));
            }
            let cause = line.role == Role::Cause;
            let (mark, tone) = if cause { ("> ", Tone::Bad) } else { ("  ", Tone::Dim) };
            let number = line.number.map(|n| n.to_string()).unwrap_or_default();
            let rows = match (cause, line.decisive) {
                (true, true) => 4,
                (true, false) | (false, true) => 2,
                (false, false) => 1,
            };
            let text = quote::shorten(&line.text, room * rows - rows * 4);
            let decisive = if cause && line.decisive { Some(quote::decisive(&text)) } else { None };
            let label = if cause { "" } else { words::role(line.role) };
            for (at, row) in wrap(&text, room, room).into_iter().take(rows + 1).enumerate() {
                let piece = text.get(row.clone()).unwrap_or_default();
                let number = if at == 0 { number.as_str() } else { "" };
                let mut shown = Line::new(if at == 0 { mark } else { "  " }, tone)
                    .with(format!("{number:>digits$} "), if cause { Tone::Strong } else { Tone::Dim })
                    .with(format!("{wall} "), Tone::Dim)
                    .with(piece, if cause { Tone::Plain } else { Tone::Dim });
                if at == 0 && !label.is_empty() && line.decisive && piece.width() + label.width() + 4 <= room {
                    let pad = room - piece.width() - label.width();
                    shown = shown.plain(" ".repeat(pad)).with(label, Tone::Dim);
                }
                out.push(shown);
                if let Some((before, under)) = decisive.as_ref().and_then(|d| overlap(&text, &row, d)) {
                    let stroke = if self.unicode { "━" } else { "^" };
                    out.push(
                        Line::new(format!("  {:>digits$} {wall} ", ""), Tone::Dim)
                            .plain(" ".repeat(before))
                            .with(stroke.repeat(under), Tone::Bad),
                    );
                }
            }
        }
        if left_out > 0 {
            let more = format!("{left_out} further piece{} of evidence: --format markdown", words::plural(left_out as u64));
            out.extend(self.wrapped("  ", &more, Tone::Dim));
        }
        out
    }

    /// The bars of the devices that matter.
    fn memory(&self, devices: &[Ledger], incident: &Incident) -> Vec<Line> {
        self.bars(devices, incident.figures.device.or(incident.rank.map(u64::from)))
    }

    /// A bar for each device, the one that matters first; beyond four a line says how many more there are.
    fn bars(&self, devices: &[Ledger], first: Option<u64>) -> Vec<Line> {
        let mut order: Vec<&Ledger> = devices.iter().filter(|d| d.components.iter().any(|c| c.bytes > 0)).collect();
        order.sort_by_key(|d| (Some(d.index) != first, d.index));
        let mut out: Vec<Line> = order.iter().take(4).enumerate().flat_map(|(at, ledger)| self.bar(ledger, at == 0)).collect();
        if order.len() > 4 {
            let more = format!("{} further devices: --format markdown", order.len() - 4);
            out.extend(self.wrapped("  ", &more, Tone::Dim));
        }
        out
    }

    /// One device's bar, with its legend.
    fn bar(&self, ledger: &Ledger, legend: bool) -> Vec<Line> {
        let bar = view::bar(ledger);
        let name = format!("  GPU {} ", ledger.index);
        let total = ledger.total_bytes.map(words::size).unwrap_or_default();
        let room = self.width.saturating_sub(name.width() + total.width() + 3).min(72);
        let shades: [&str; 4] = if self.unicode { ["█", "▓", "▒", "░"] } else { ["#", "=", "-", "."] };
        let mut line = Line::new(&name, Tone::Strong);
        let cells = cells(&bar.parts.iter().map(|p| p.bytes).collect::<Vec<_>>(), room);
        let limit = ledger.total_bytes.filter(|t| bar.scale > *t).map(|t| scaled(t, bar.scale, room));
        let mut at = 0;
        for (place, (part, width)) in bar.parts.iter().zip(&cells).enumerate() {
            let free = part.letter == 'F' || part.letter == '?';
            let shade = if free { if self.unicode { "·" } else { " " } } else { shades.get(place % 4).copied().unwrap_or("#") };
            let centre = width.saturating_sub(1) / 2;
            let tone = if free { Tone::Dim } else { Tone::Bar(place) };
            let mut text = String::new();
            for cell in 0..*width {
                if Some(at) == limit && cell != centre {
                    text.push(if self.unicode { '┃' } else { '|' });
                } else if cell == centre {
                    text.push(part.letter);
                } else {
                    text.push_str(shade);
                }
                at += 1;
            }
            line = line.with(text, tone);
        }
        line = line.plain(format!("  {total}"));
        let mut out = vec![line];
        if let (Some(over), Some(total)) = (bar.over, ledger.total_bytes) {
            let note = format!("The parts add up to {} more than the {} that the device has.", words::size(over), words::size(total));
            out.extend(self.wrapped("  ", &note, Tone::Plain));
        }
        let computed = bar.parts.iter().any(|p| p.basis == Some(Basis::Computed));
        let about = if self.unicode { "≈" } else { "~" };
        if legend || bar.parts.len() <= 3 {
            let cells: Vec<(String, String)> = bar
                .parts
                .iter()
                .map(|part| {
                    let mark = if part.basis == Some(Basis::Computed) { about } else { "" };
                    let mut value = format!("{mark}{}", words::size(part.bytes));
                    if let Some(share) = &part.share {
                        let _ = write!(value, " {share}");
                    }
                    (format!("{} {}", part.letter, part.name), value)
                })
                .collect();
            out.extend(self.grid(&cells));
            if computed {
                out.extend(self.wrapped("  ", &format!("{about} computed from the model's dimensions, not printed in the log"), Tone::Dim));
            }
        }
        out
    }

    /// Names and values in columns.
    fn grid(&self, cells: &[(String, String)]) -> Vec<Line> {
        let value = cells.iter().map(|(_, v)| v.width()).max().unwrap_or(0);
        let room = self.width.min(120).saturating_sub(2);
        let name = cells.iter().map(|(n, _)| n.width()).max().unwrap_or(0).min(room.saturating_sub(value + 2));
        let cell = name + 2 + value;
        let columns = ((room + 3) / (cell + 3).max(1)).clamp(1, 3);
        let rows = cells.len().div_ceil(columns);
        (0..rows)
            .map(|row| {
                let mut line = Line::default().plain("  ");
                for column in 0..columns {
                    if let Some((n, v)) = cells.get(column * rows + row) {
                        let gap = if column > 0 { "   " } else { "" };
                        line = line.plain(gap).with(pad(&quote::end(n, name), name), Tone::Dim).plain("  ").plain(left(v, value));
                    }
                }
                line
            })
            .collect()
    }

    /// The most telling entries of the time line.
    fn timeline(&self, events: &[Event], room: usize) -> Vec<Line> {
        let chosen = telling(events, room);
        let digits = chosen.iter().map(|e| e.line.to_string().len()).max().unwrap_or(1).max(3);
        let clock = chosen.iter().filter_map(|e| e.clock.as_deref()).map(|c| words::time_of_day(&escape::line(c)).width()).max().unwrap_or(0);
        let offset = chosen.iter().filter_map(|e| e.offset_ms).map(|o| words::offset(o).width()).max().unwrap_or(0);
        let kinds = chosen.iter().map(|e| what(e).width()).max().unwrap_or(0);
        let mut before = digits + 3;
        before += if clock > 0 { clock + 2 } else { 0 };
        before += if offset > 0 { offset + 2 } else { 0 };
        let width = self.width.min(120);
        let kinds = kinds.min(width.saturating_sub(before));
        let rest = width.saturating_sub(before + kinds + 2);
        let mut out: Vec<Line> = chosen
            .iter()
            .map(|event| {
                let bad = words::is_failure(&event.kind);
                let tone = if bad { Tone::Bad } else { Tone::Plain };
                let mut line = Line::new(if bad { "> " } else { "  " }, tone).with(format!("{:>digits$} ", event.line), Tone::Dim);
                if clock > 0 {
                    let text = event.clock.as_deref().map(|c| words::time_of_day(&escape::line(c))).unwrap_or_default();
                    line = line.plain(pad(&text, clock)).plain("  ");
                }
                if offset > 0 {
                    line = line.with(left(&event.offset_ms.map(words::offset).unwrap_or_default(), offset), Tone::Dim).plain("  ");
                }
                line = line.with(pad(&quote::end(&what(event), kinds), kinds), tone);
                if rest >= 16 {
                    line = line.plain("  ").with(quote::shorten(&escape::line(&event.text), rest), Tone::Dim);
                }
                line
            })
            .collect();
        if events.len() > chosen.len() {
            let more = events.len() - chosen.len();
            out.extend(self.wrapped("  ", &format!("{more} more in --format markdown"), Tone::Dim));
        }
        out
    }

    fn contributing(&self, contributing: &Contributing) -> Vec<Line> {
        let text = format!("{} ({}): {}", contributing.cause, words::percent(contributing.confidence), contributing.reason);
        self.wrapped("  ", &text, Tone::Plain)
    }

    fn remedies(&self, remedies: &[Remedy]) -> Vec<Line> {
        let mut out = Vec::new();
        for (at, remedy) in remedies.iter().take(REMEDIES + 2).enumerate() {
            out.extend(self.hanging(&format!("  {}. ", at + 1), &remedy.title, Tone::Strong));
            if at < REMEDIES {
                let mut text = escape::line(&remedy.rationale);
                if !remedy.tradeoff.trim().is_empty() {
                    let _ = write!(text, " Price: {}", lower_first(&escape::line(&remedy.tradeoff)));
                }
                out.extend(self.wrapped("     ", &text, Tone::Plain));
                let changes = view::changes(&remedy.changes);
                if !changes.is_empty() {
                    out.extend(self.wrapped("     ", &format!("Change: {changes}."), Tone::Plain));
                }
                if let Some(command) = &remedy.command {
                    out.extend(self.command(command));
                }
            }
        }
        if remedies.len() > REMEDIES + 2 {
            let more = remedies.len() - REMEDIES - 2;
            out.extend(self.wrapped("  ", &format!("{more} more in --format markdown"), Tone::Dim));
        }
        out
    }

    /// A command, broken with backslashes where it is too long; not shown when that would change it.
    fn command(&self, command: &str) -> Vec<Line> {
        let room = self.width.saturating_sub(9);
        let shown = escape::visible(command);
        let rows = if shown == command && !command.contains('\n') && (self.unicode || command.is_ascii()) { shell_rows(command, room) } else { None };
        match rows {
            Some(rows) => {
                let last = rows.len().saturating_sub(1);
                rows.iter()
                    .enumerate()
                    .map(|(at, row)| {
                        let indent = if at == 0 { "     " } else { "       " };
                        Line::default().plain(indent).plain(row).plain(if at < last { " \\" } else { "" })
                    })
                    .collect()
            }
            None => self.wrapped("     ", "The command is too long for this width: --format markdown prints it.", Tone::Dim),
        }
    }

    /// Another incident in a line or two.
    fn further(&self, incident: &Incident) -> Vec<Line> {
        let recovered = if incident.recovered { ", recovered" } else { "" };
        let times = if incident.occurrences > 1 { format!(", {} times", words::thousands(incident.occurrences)) } else { String::new() };
        let text = format!(
            "{} ({}{times}{recovered}), line {}: {}",
            incident.cause,
            words::percent(incident.confidence),
            incident.first_line,
            escape::line(&incident.headline)
        );
        let room = self.width.saturating_sub(4).min(MEASURE) * 2 - 8;
        self.wrapped("  ", &quote::end(&text, room), Tone::Plain)
    }

    /// What the report stands on, and where there is more.
    fn footer(&self, report: &PostMortem, cause: Option<&str>) -> Vec<Line> {
        let mut out = Vec::new();
        let mut notes = words::completeness(report.completeness).to_owned();
        if report.secrets_masked > 0 {
            let _ = write!(notes, " {}", view::masked(report.secrets_masked));
        }
        let mut lines = self.wrapped("  ", &notes, Tone::Dim);
        for problem in &report.source.problems {
            lines.extend(self.wrapped("  ", &format!("Reading: {}", escape::line(problem)), Tone::Plain));
        }
        let more = match cause {
            Some(cause) => format!("More: oomdoc explain {cause}, or --format markdown for the whole report"),
            None => "More: --format markdown for the whole report".to_owned(),
        };
        lines.extend(self.wrapped("  ", &more, Tone::Dim));
        self.section(&mut out, "About", "", lines);
        out
    }

    /// A rule that separates one input's report from another's.
    fn title(&self, name: &str) -> Line {
        let bar = if self.unicode { "═" } else { "=" };
        let width = self.width.min(120);
        let name = quote::middle(&escape::line(name), width.saturating_sub(8));
        let left = width.saturating_sub(name.width() + 4);
        Line::new(bar.repeat(2), Tone::Dim).plain(" ").with(&name, Tone::Strong).plain(" ").with(bar.repeat(left), Tone::Dim)
    }

    fn failure(&self, failure: &Failure) -> Vec<Line> {
        self.hanging("", &format!("{}: could not be read: {}", escape::line(&failure.source.name), escape::line(&failure.error)), Tone::Bad)
    }

    /// Columns for prose.
    fn measure(&self) -> usize {
        self.width.min(MEASURE)
    }

    /// Prose, wrapped and indented.
    fn wrapped(&self, indent: &str, text: &str, tone: Tone) -> Vec<Line> {
        let text = escape::line(text);
        if text.is_empty() {
            return Vec::new();
        }
        let room = self.measure().saturating_sub(indent.width()).max(8);
        wrap(&text, room, room).into_iter().map(|row| Line::default().plain(indent).with(text.get(row).unwrap_or_default(), tone)).collect()
    }

    /// Prose after a label, indented by the label's width.
    fn hanging(&self, label: &str, text: &str, tone: Tone) -> Vec<Line> {
        let indent = " ".repeat(label.width());
        let mut lines = self.wrapped(&indent, text, tone);
        if let Some(first) = lines.first_mut().and_then(|l| l.0.first_mut()) {
            label.clone_into(&mut first.0);
        }
        lines
    }

    /// Writes lines: cut to the width, reduced to ASCII where nothing more is shown, coloured where wanted.
    fn print(&self, lines: &[Line], out: &mut dyn io::Write) -> io::Result<()> {
        for line in lines {
            let mut left = self.width;
            let last = line.0.iter().rposition(|(text, _)| !text.trim_end().is_empty());
            for (at, (text, tone)) in line.0.iter().enumerate() {
                if last.is_none_or(|last| at > last) {
                    break;
                }
                let text = if self.unicode { std::borrow::Cow::Borrowed(text.as_str()) } else { escape::ascii(text) };
                let text = if last == Some(at) { text.trim_end() } else { &text };
                let text = quote::prefix(text, left);
                left -= text.width().min(left);
                self.paint(text, *tone, out)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn paint(&self, text: &str, tone: Tone, out: &mut dyn io::Write) -> io::Result<()> {
        if !self.color || text.is_empty() {
            return write!(out, "{text}");
        }
        match tone {
            Tone::Plain => write!(out, "{text}"),
            Tone::Strong => write!(out, "{}", text.bold()),
            Tone::Dim => write!(out, "{}", text.dimmed()),
            Tone::Bad => write!(out, "{}", text.red().bold()),
            Tone::Good => write!(out, "{}", text.green().bold()),
            Tone::Mark => write!(out, "{}", text.yellow()),
            Tone::Bar(place) => match place % 5 {
                0 => write!(out, "{}", text.blue()),
                1 => write!(out, "{}", text.yellow()),
                2 => write!(out, "{}", text.magenta()),
                3 => write!(out, "{}", text.cyan()),
                _ => write!(out, "{}", text.green()),
            },
        }
    }
}

/// What happened and how long it took.
fn what(event: &Event) -> String {
    let kind = words::spaced(&escape::line(&event.kind));
    match event.duration_ms {
        Some(ms) => format!("{kind} ({})", words::duration(ms)),
        None => kind,
    }
}

/// The most telling entries in their order.
fn telling(events: &[Event], room: usize) -> Vec<&Event> {
    let mut order: Vec<usize> = (0..events.len()).collect();
    let worth = |at: usize| {
        let Some(event) = events.get(at) else { return 0 };
        let kind = event.kind.as_str();
        let base: u32 = match kind {
            k if words::is_failure(k) => 100,
            "run-started" | "started" | "ready" | "weights-loaded" => 60,
            "download-finished" | "kv-cache-allocated" | "profiling-started" | "warmup-started" | "training-started" => 45,
            "download-started" | "load-started" | "capture-started" | "capture-finished" | "profiling-finished" => 40,
            _ => 20,
        };
        base + if at == 0 || at + 1 == events.len() { 50 } else { 0 } + if event.duration_ms.is_some() { 15 } else { 0 }
    };
    order.sort_by_key(|&at| (std::cmp::Reverse(worth(at)), std::cmp::Reverse(at)));
    order.truncate(room);
    order.sort_unstable();
    order.into_iter().filter_map(|at| events.get(at)).collect()
}

/// Columns before, and columns of, the part of `row` that is in `marked`.
fn overlap(text: &str, row: &Range<usize>, marked: &Range<usize>) -> Option<(usize, usize)> {
    let start = row.start.max(marked.start);
    let end = row.end.min(marked.end);
    if start >= end {
        return None;
    }
    let before = text.get(row.start..start)?.width();
    let under = text.get(start..end)?.trim_end().width();
    (under > 0).then_some((before, under))
}

/// Rows of a text as byte ranges: broken at blanks, inside a word only where it is longer than a row.
fn wrap(text: &str, first: usize, width: usize) -> Vec<Range<usize>> {
    let width = width.max(4);
    let mut rows = Vec::new();
    let mut start = 0;
    let mut used = 0;
    let mut blank: Option<usize> = None;
    let mut room = first.max(4);
    for (at, c) in text.char_indices() {
        let columns = c.width().unwrap_or(0);
        if c == ' ' {
            blank = Some(at);
        }
        if used + columns > room {
            if c == ' ' {
                rows.push(start..at);
                start = at + 1;
                used = 0;
                blank = None;
                room = width;
                continue;
            }
            let (end, next) = match blank {
                Some(blank) if blank > start => (blank, blank + 1),
                _ => (at, at),
            };
            rows.push(start..end);
            start = next;
            blank = None;
            room = width;
            used = text.get(start..at).map_or(0, UnicodeWidthStr::width);
        }
        used += columns;
    }
    if start < text.len() || rows.is_empty() {
        rows.push(start..text.len());
    }
    rows
}

/// A command in rows that a shell joins again, or nothing when a word of it does not fit.
fn shell_rows(command: &str, room: usize) -> Option<Vec<String>> {
    let mut words: Vec<String> = vec![String::new()];
    let (mut single, mut double, mut escaped) = (false, false, false);
    for c in command.chars() {
        if c == ' ' && !single && !double && !escaped {
            words.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if !single => escaped = true,
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    if single || double || escaped {
        return None;
    }
    let mut rows: Vec<String> = Vec::new();
    for word in words.into_iter().filter(|w| !w.is_empty()) {
        if word.width() > room {
            return None;
        }
        match rows.last_mut() {
            Some(row) if row.width() + 1 + word.width() <= room => {
                row.push(' ');
                row.push_str(&word);
            }
            _ => rows.push(word),
        }
    }
    Some(rows)
}

/// Cells of a bar for each part: in proportion, and at least one.
fn cells(parts: &[u64], room: usize) -> Vec<usize> {
    let sum: u64 = parts.iter().sum();
    let mut cells: Vec<usize> = parts.iter().map(|part| scaled(*part, sum, room).max(1)).collect();
    // Rounding and the minimum make the sum miss the room: the widest part takes the difference.
    let total: usize = cells.iter().sum();
    if let Some(widest) = cells.iter_mut().max() {
        if total > room {
            *widest = widest.saturating_sub(total - room).max(1);
        } else {
            *widest += room - total;
        }
    }
    cells
}

/// `part` of `whole` in cells.
fn scaled(part: u64, whole: u64, room: usize) -> usize {
    if whole == 0 {
        return 0;
    }
    let cells = (u128::from(part) * room as u128 + u128::from(whole) / 2) / u128::from(whole);
    usize::try_from(cells).unwrap_or(room).min(room)
}

/// Text filled up with blanks on its right.
fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// Text filled up with blanks on its left.
fn left(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

/// A sentence that goes on after a colon.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && (second.is_lowercase() || second == ' ') => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
