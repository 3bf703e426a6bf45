//! The report for a terminal: the primary incident on one screen, the rest in a line or two each.
//!
//! Everything is laid out as [`Line`]s of plain text with tones, and only the last step adds colours, so widths are
//! counted right, nothing is said by colour alone, and no text of the log reaches the terminal unescaped.

use std::fmt::Write as _;
use std::io;
use std::ops::Range;

use owo_colors::OwoColorize;
use unicode_width::UnicodeWidthStr;

use super::quote::wrap;
use super::{Failure, Outcome, Style, escape, quote, view, words};
use crate::post_mortem::{Basis, Contributing, Event, Evidence, Figures, Incident, Ledger, PostMortem, Remedy, Role};

/// Lines of a screen that the primary incident should fit on.
const SCREEN: usize = 46;
/// Entries of the time line and remedies told in full, from much room to little.
const ROOM: [(usize, usize); 7] = [(10, 3), (8, 3), (6, 3), (6, 2), (5, 2), (4, 2), (4, 1)];
/// Columns beyond which prose is hard to read.
const MEASURE: usize = 96;
/// Remedies that are named at most.
const REMEDIES: usize = 5;

/// How a piece of a line is shown where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Dim,
    Bad,
    Good,
    /// A segment of a bar, by its place.
    Bar(usize),
}

/// A line: pieces of visible text and their tones.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Vec<(String, Tone)>);

impl Line {
    pub(super) fn new(text: impl AsRef<str>, tone: Tone) -> Self {
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

/// Writes what became of some inputs, one after another.
pub struct Several {
    page: Page,
    count: usize,
    written: usize,
    tally: view::Tally,
}

impl Several {
    /// Begins the report of so many inputs.
    pub fn new(count: usize, style: &Style) -> Self {
        Several { page: Page::new(style), count, written: 0, tally: view::Tally::default() }
    }

    /// Writes what became of the next input.
    pub fn add(&mut self, outcome: &Outcome, out: &mut dyn io::Write) -> io::Result<()> {
        if self.written > 0 {
            writeln!(out)?;
        }
        self.written += 1;
        self.tally.count(outcome);
        match outcome {
            Outcome::Report(report) => {
                if self.count > 1 {
                    self.page.print(&[self.page.title(&view::name(&report.source.name))], out)?;
                }
                self.page.print(&self.page.report(report), out)
            }
            Outcome::Failure(failure) => self.page.print(&self.page.failure(failure), out),
        }
    }

    /// Ends with how many there were of which cause.
    pub fn finish(self, out: &mut dyn io::Write) -> io::Result<()> {
        if self.count > 1 {
            writeln!(out)?;
            self.page.print(&self.page.wrapped("", &self.tally.to_string(), Tone::Dim), out)?;
        }
        Ok(())
    }
}

/// The page that is laid out.
pub(super) struct Page {
    width: usize,
    color: bool,
    unicode: bool,
}

impl Page {
    pub(super) fn new(style: &Style) -> Self {
        Self { width: style.width.max(32), color: style.color, unicode: style.unicode }
    }

    /// One post-mortem.
    fn report(&self, report: &PostMortem) -> Vec<Line> {
        match report.incidents.first() {
            Some(incident) => self.incident(report, incident),
            None => self.calm(report),
        }
    }

    /// A report with an incident.
    fn incident(&self, report: &PostMortem, incident: &Incident) -> Vec<Line> {
        let mut head = self.headline(incident.cause, &incident.headline, Tone::Bad);
        head.extend(self.wrapped("  ", &view::verdict(report, incident), Tone::Plain));
        if let Some(running) = view::running(report) {
            head.extend(self.wrapped("  ", &running, Tone::Dim));
        }

        let known = if incident.cause == "unknown" { "What is known" } else { "Why" };
        let mut why = self.wrapped("  ", &incident.explanation, Tone::Plain);
        if incident.cause == "unknown" {
            let last = view::last_stage(report).unwrap_or_default();
            why.extend(self.wrapped("  ", &last, Tone::Plain));
        }
        let mut body = Vec::new();
        self.section(&mut body, known, "", why);
        if let Some(settle) = &report.would_settle {
            self.section(&mut body, "What would settle it", "", self.wrapped("  ", settle, Tone::Strong));
        }
        let (proof, left_out) = self.proof(&incident.evidence);
        let mut aside = view::name(&report.source.name);
        if left_out > 0 {
            let all = incident.evidence.len();
            aside = format!("{}, {} of {all} pieces", quote::middle(&aside, self.width.min(120).saturating_sub(40)), all - left_out);
        }
        self.section(&mut body, "Proof", &aside, proof);
        let ledgers = order(&report.memory.devices, incident.figures.device.or(incident.rank.map(u64::from)));
        self.section(&mut body, "Memory", &self.computed(&ledgers), self.memory(&ledgers, &incident.figures));

        let mut contributing = Vec::new();
        self.section(&mut contributing, "Contributing", "", incident.contributing.iter().flat_map(|c| self.contributing(c)).collect());
        let mut end = Vec::new();
        self.section(&mut end, "Also found", "", report.incidents.iter().skip(1).flat_map(|i| self.further(i)).collect());
        end.extend(self.footer(report, Some(incident.cause)));

        // Remedies and the time line take what room the screen has left.
        let used = head.len() + body.len() + contributing.len() + end.len();
        let mut timeline = Vec::new();
        let mut todo = Vec::new();
        for (events, remedies) in ROOM {
            timeline.clear();
            todo.clear();
            self.events(&mut timeline, &report.timeline, events);
            self.section(&mut todo, "What to do", "", self.remedies(&incident.remedies, remedies));
            if used + timeline.len() + todo.len() <= SCREEN {
                break;
            }
        }
        for part in [body, timeline, contributing, todo, end] {
            head.extend(part);
        }
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
        if let Some(start) = view::start(report) {
            out.extend(self.wrapped("  ", &start, Tone::Plain));
        }
        out.extend(self.wrapped("  ", &view::checked(report), Tone::Plain));
        if let Some(settle) = &report.would_settle {
            self.section(&mut out, "What would settle it", "", self.wrapped("  ", settle, Tone::Strong));
        }
        let ledgers = order(&report.memory.devices, None);
        self.section(&mut out, "Memory", &self.computed(&ledgers), self.memory(&ledgers, &report.figures));
        self.events(&mut out, &report.timeline, 6);
        out.extend(self.footer(report, None));
        out
    }

    /// Id and headline.
    pub(super) fn headline(&self, cause: &str, headline: &str, tone: Tone) -> Vec<Line> {
        let text = quote::middle(&escape::line(headline), self.measure() * 3 - 24);
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
    pub(super) fn section(&self, out: &mut Vec<Line>, title: &str, aside: &str, lines: Vec<Line>) {
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

    /// The quoted lines, and how many pieces of evidence are not among them.
    fn proof(&self, evidence: &[Evidence]) -> (Vec<Line>, usize) {
        let causes = evidence.iter().filter(|e| e.role == Role::Cause).count();
        let chosen = quote::select(evidence, 2, 2, if causes > 0 { 0 } else { 2 });
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
                (true, true) => {
                    if causes > 1 {
                        2
                    } else {
                        4
                    }
                }
                (true, false) | (false, true) => 2,
                (false, false) => 1,
            };
            let text = fit(&line.text, room, rows);
            let decisive = if cause && line.decisive { Some(quote::decisive(&text)) } else { None };
            let label = if cause { "" } else { words::role(line.role) };
            for (at, row) in wrap(&text, room, room).into_iter().take(rows).enumerate() {
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
                        Line::new(format!("  {:>digits$} {wall} ", ""), Tone::Dim).plain(" ".repeat(before)).with(stroke.repeat(under), Tone::Bad),
                    );
                }
            }
        }
        (out, left_out)
    }

    /// Bars, and the figures that they do not show.
    fn memory(&self, ledgers: &[&Ledger], figures: &Figures) -> Vec<Line> {
        let mut out = self.bars(ledgers);
        out.extend(self.grid(&not_in_bar(view::figures(figures), ledgers)));
        out
    }

    /// What the mark before a size means, if a bar has one.
    fn computed(&self, ledgers: &[&Ledger]) -> String {
        if ledgers.iter().any(|l| l.components.iter().chain(&l.needed).any(|c| c.basis == Basis::Computed && c.bytes > 0)) {
            format!("{} computed, not in the log", self.about())
        } else {
            String::new()
        }
    }

    /// The mark before a size that was computed.
    fn about(&self) -> &'static str {
        if self.unicode { "≈" } else { "~" }
    }

    /// A bar for the first device and for those that differ from it; beyond three a line says how many there are.
    fn bars(&self, ledgers: &[&Ledger]) -> Vec<Line> {
        let Some((first, others)) = ledgers.split_first() else { return Vec::new() };
        let mut out = self.bar(first);
        out.extend(self.legend(first));
        let (alike, differ): (Vec<&Ledger>, Vec<&Ledger>) = others.iter().partition(|other| alike(first, other));
        for other in differ.iter().take(2) {
            out.extend(self.bar(other));
            out.extend(self.legend(other));
        }
        let names: Vec<String> = alike.iter().map(|l| l.index.to_string()).collect();
        match names.len() {
            0 => {}
            1..=8 => out.extend(self.wrapped("  ", &format!("About the same on GPU {}.", names.join(", ")), Tone::Dim)),
            n => out.extend(self.wrapped("  ", &format!("About the same on {n} other GPUs."), Tone::Dim)),
        }
        if differ.len() > 2 {
            out.extend(self.wrapped("  ", &format!("{} further GPUs: --format markdown", differ.len() - 2), Tone::Dim));
        }
        out
    }

    /// One device's bar.
    fn bar(&self, ledger: &Ledger) -> Vec<Line> {
        // Without the total a bar would only show its parts against one another, and look like a full device.
        if ledger.total_bytes.is_none() {
            return vec![Line::new(format!("  GPU {} ", ledger.index), Tone::Strong).with("(its total is not in the log)", Tone::Dim)];
        }
        self.draw(&view::bar(ledger), &format!("  GPU {} ", ledger.index), ledger.total_bytes)
    }

    /// A bar with a letter in each part, and a shade that its neighbours do not have.
    pub(super) fn draw(&self, bar: &view::Bar, name: &str, total: Option<u64>) -> Vec<Line> {
        let room = self.width.saturating_sub(name.width() + bar.total.width() + 3).min(72);
        let shades: [&str; 4] = if self.unicode { ["█", "▓", "▒", "░"] } else { ["#", "=", "-", "."] };
        let mut line = Line::new(name, Tone::Strong);
        let cells = cells(&bar.parts.iter().map(|p| p.bytes).collect::<Vec<_>>(), room);
        let limit = total.filter(|t| bar.scale > *t).map(|t| scaled(t, bar.scale, room));
        let mut at = 0;
        for (place, (part, width)) in bar.parts.iter().zip(&cells).enumerate() {
            let free = part.letter == 'F' || part.letter == '?';
            let shade = match (free, self.unicode) {
                (true, true) => "·",
                (true, false) => " ",
                _ => shades.get(place % 4).copied().unwrap_or("#"),
            };
            let centre = width.saturating_sub(1) / 2;
            let mut text = String::new();
            for cell in 0..*width {
                if cell == centre {
                    text.push(part.letter);
                } else if Some(at) == limit {
                    text.push_str(if self.unicode { "┃" } else { "|" });
                } else {
                    text.push_str(shade);
                }
                at += 1;
            }
            line = line.with(text, if free { Tone::Dim } else { Tone::Bar(place) });
        }
        let mut out = vec![line.plain(format!("  {}", bar.total))];
        if let Some(note) = &bar.note {
            out.extend(self.wrapped("  ", note, Tone::Plain));
        }
        out
    }

    /// What the letters of a bar stand for.
    pub(super) fn legend(&self, ledger: &Ledger) -> Vec<Line> {
        let bar = view::bar(ledger);
        let share = bar.parts.iter().filter_map(|p| p.share.as_ref()).map(|s| s.width()).max().unwrap_or(0);
        let cells: Vec<(String, String)> = bar
            .parts
            .iter()
            .map(|part| {
                let mark = if part.basis == Some(Basis::Computed) { self.about() } else { "" };
                let mut value = format!("{mark}{}", part.size);
                if share > 0 {
                    let _ = write!(value, " {}", left(part.share.as_deref().unwrap_or_default(), share));
                }
                (format!("{} {}", part.letter, part.name), value)
            })
            .collect();
        self.grid(&cells)
    }

    /// Names and values in as many columns as there is room for, three at most.
    pub(super) fn grid(&self, cells: &[(String, String)]) -> Vec<Line> {
        let room = self.width.min(120).saturating_sub(2);
        let layout = |columns: usize| -> (usize, Vec<(usize, usize)>) {
            let rows = cells.len().div_ceil(columns).max(1);
            let widths = cells
                .chunks(rows)
                .map(|column| {
                    let name = column.iter().map(|(n, _)| n.width()).max().unwrap_or(0);
                    let value = column.iter().map(|(_, v)| v.width()).max().unwrap_or(0);
                    (name, value)
                })
                .collect();
            (rows, widths)
        };
        let fits = |columns: &usize| {
            let (_, widths) = layout(*columns);
            widths.iter().map(|(n, v)| n + v + 2).sum::<usize>() + 4 * widths.len().saturating_sub(1) <= room
        };
        let (rows, mut widths) = layout([3, 2].into_iter().find(fits).unwrap_or(1));
        if let [(name, value)] = widths.as_mut_slice() {
            *name = (*name).min(room.saturating_sub(*value + 2));
        }
        (0..rows.min(cells.len()))
            .map(|row| {
                let mut line = Line::default().plain("  ");
                for (column, (name, value)) in widths.iter().enumerate() {
                    if let Some((n, v)) = cells.get(column * rows + row) {
                        let gap = if column > 0 { "    " } else { "" };
                        line = line.plain(gap).with(pad(&quote::end(n, *name), *name), Tone::Dim).plain("  ").plain(left(v, *value));
                    }
                }
                line
            })
            .collect()
    }

    /// The section of the time line, its heading saying how much of it is shown.
    fn events(&self, out: &mut Vec<Line>, events: &[Event], room: usize) {
        let aside = if events.len() > room { format!("{room} of {}", events.len()) } else { String::new() };
        self.section(out, "Time line", &aside, self.timeline(events, room));
    }

    /// The most telling entries of the time line.
    fn timeline(&self, events: &[Event], room: usize) -> Vec<Line> {
        let chosen = telling(events, room);
        let digits = chosen.iter().map(|e| e.line.to_string().len()).max().unwrap_or(1).max(3);
        let clock = chosen.iter().filter_map(|e| e.clock.as_deref()).map(|c| words::time_of_day(&escape::line(c)).width()).max().unwrap_or(0);
        let offset = chosen.iter().filter_map(|e| e.offset_ms).map(|o| words::brief_offset(o).width()).max().unwrap_or(0);
        let kinds = chosen.iter().map(|e| what(e).width()).max().unwrap_or(0);
        let mut before = digits + 3;
        before += if clock > 0 { clock + 2 } else { 0 };
        before += if offset > 0 { offset + 2 } else { 0 };
        let width = self.width.min(120);
        let kinds = kinds.min(width.saturating_sub(before));
        let rest = width.saturating_sub(before + kinds + 2);
        chosen
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
                    line = line.with(left(&event.offset_ms.map(words::brief_offset).unwrap_or_default(), offset), Tone::Dim).plain("  ");
                }
                line = line.with(pad(&quote::end(&what(event), kinds), kinds), tone);
                if rest >= 16 {
                    let text = escape::line(&event.text);
                    let from = if bad && text.width() > rest { quote::decisive(&text).start } else { 0 };
                    line = line.plain("  ").with(quote::end(text.get(from..).unwrap_or_default(), rest), Tone::Dim);
                }
                line
            })
            .collect()
    }

    fn contributing(&self, contributing: &Contributing) -> Vec<Line> {
        let text = format!("{} ({}): {}", contributing.cause, words::percent(contributing.confidence), contributing.reason);
        self.wrapped("  ", &text, Tone::Plain)
    }

    /// The first few remedies in full, the others by their titles.
    fn remedies(&self, remedies: &[Remedy], full: usize) -> Vec<Line> {
        let mut out = Vec::new();
        for (at, remedy) in remedies.iter().take(REMEDIES).enumerate() {
            out.extend(self.hanging(&format!("  {}. ", at + 1), &remedy.title, Tone::Strong));
            if at >= full {
                continue;
            }
            let mut text = escape::line(&remedy.rationale);
            if !remedy.tradeoff.trim().is_empty() {
                let _ = write!(text, " Price: {}", words::lower_first(&escape::line(&remedy.tradeoff)));
            }
            let changes = view::changes(&remedy.changes);
            if !changes.is_empty() {
                let _ = write!(text, " Change: {changes}.");
            }
            out.extend(self.wrapped("     ", &text, Tone::Plain));
            if let Some(command) = &remedy.command {
                out.extend(self.command(command));
            }
            let otherwise = match at + 1 < remedies.len() {
                // What to try next stands below.
                true => String::new(),
                false => format!(" If it still fails: {}", words::lower_first(&escape::line(&remedy.otherwise))),
            };
            let text = format!("Check: {}{otherwise}", escape::line(&remedy.verify));
            out.extend(self.wrapped("     ", &text, Tone::Dim));
        }
        if remedies.len() > REMEDIES {
            out.extend(self.wrapped("  ", &format!("{} more: --format markdown", remedies.len() - REMEDIES), Tone::Dim));
        }
        out
    }

    /// A command, broken with backslashes where it is too long; not shown when that would change it.
    fn command(&self, command: &str) -> Vec<Line> {
        let room = self.width.saturating_sub(9);
        if command.contains('\n') {
            // It is in rows already, and runs as it is printed.
            let is_safe = command.lines().all(|row| escape::visible(row) == row && (self.unicode || row.is_ascii()));
            // A row that is cut is another command.
            let has_room = command.lines().all(|row| row.chars().count() + 5 <= self.width);
            if is_safe && has_room {
                return command.lines().map(|row| Line::default().plain("     ").plain(row)).collect();
            }
        }
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
            None => self.wrapped("     ", "The command is too long for this width: --remedy N --print-command prints it.", Tone::Dim),
        }
    }

    /// Another incident in a line or two.
    fn further(&self, incident: &Incident) -> Vec<Line> {
        let recovered = if incident.recovered { ", recovered" } else { "" };
        let times = if incident.occurrences > 1 { format!(", {} times", words::occurrences(incident)) } else { String::new() };
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

    /// Rows under a heading, in columns as wide as they need to be; the first is cut where there is no room.
    pub(super) fn table<R: AsRef<[String]>>(&self, rows: &[R], tone: impl Fn(usize) -> Tone) -> Vec<Line> {
        let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
        let width = |column: usize| rows.iter().filter_map(|row| row.as_ref().get(column)).map(|cell| cell.width()).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..columns).map(width).collect();
        let rest: usize = widths.iter().skip(1).map(|w| w + 2).sum();
        if let Some(first) = widths.first_mut() {
            *first = (*first).min(self.width.saturating_sub(rest + 2).max(8));
        }
        let line = |(at, row): (usize, &R)| {
            let tone = if at == 0 { Tone::Dim } else { tone(at - 1) };
            let mut line = Line::default().plain("  ");
            for (column, (cell, width)) in row.as_ref().iter().zip(&widths).enumerate() {
                let tone = if at == 0 || column == 1 { tone } else { Tone::Plain };
                let text = if column < 2 { pad(&quote::middle(&escape::line(cell), *width), *width) } else { left(cell, *width) };
                line = line.plain(if column > 0 { "  " } else { "" }).with(text, tone);
            }
            line
        };
        rows.iter().enumerate().map(line).collect()
    }

    /// Columns for prose.
    fn measure(&self) -> usize {
        self.width.min(MEASURE)
    }

    /// Prose, wrapped and indented.
    pub(super) fn wrapped(&self, indent: &str, text: &str, tone: Tone) -> Vec<Line> {
        let text = escape::line(text);
        if text.is_empty() {
            return Vec::new();
        }
        let room = self.measure().saturating_sub(indent.width()).max(8);
        wrap(&text, room, room).into_iter().map(|row| Line::default().plain(indent).with(text.get(row).unwrap_or_default(), tone)).collect()
    }

    /// Prose after a label, indented by the label's width.
    pub(super) fn hanging(&self, label: &str, text: &str, tone: Tone) -> Vec<Line> {
        let indent = " ".repeat(label.width());
        let mut lines = self.wrapped(&indent, text, tone);
        if let Some(first) = lines.first_mut().and_then(|l| l.0.first_mut()) {
            label.clone_into(&mut first.0);
        }
        lines
    }

    /// Writes lines: cut to the width, reduced to ASCII where nothing more is shown, coloured where wanted.
    pub(super) fn print(&self, lines: &[Line], out: &mut dyn io::Write) -> io::Result<()> {
        for line in lines {
            let mut left = self.width;
            let last = line.0.iter().rposition(|(text, _)| !text.trim_end().is_empty());
            for (at, (text, tone)) in line.0.iter().enumerate() {
                if last.is_none_or(|last| at > last) {
                    break;
                }
                let text = if self.unicode { std::borrow::Cow::Borrowed(text.as_str()) } else { escape::ascii(text) };
                let text = if last == Some(at) { text.trim_end() } else { &text };
                // Stand-ins may be wider than what they stand for.
                let text = if text.width() <= left {
                    text.to_owned()
                } else if self.unicode || left < 4 {
                    quote::prefix(text, left).to_owned()
                } else {
                    format!("{}...", quote::prefix(text, left - 3).trim_end_matches('.'))
                };
                left -= text.width().min(left);
                self.paint(&text, *tone, out)?;
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

/// A text shortened until it fits into so many rows.
fn fit(text: &str, room: usize, rows: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let text = &quote::without_advice(text);
    let mut columns = room * rows;
    loop {
        let short = quote::shorten(text, columns);
        if wrap(&short, room, room).len() <= rows || columns <= room {
            return short;
        }
        columns = columns.saturating_sub(4).max(room);
    }
}

/// The devices that hold something, the one that matters first.
fn order(devices: &[Ledger], first: Option<u64>) -> Vec<&Ledger> {
    let mut order: Vec<&Ledger> = devices.iter().filter(|d| d.components.iter().any(|c| c.bytes > 0)).collect();
    order.sort_by_key(|d| (Some(d.index) != first, d.index));
    order
}

/// Whether two devices hold the same, but for a hundredth.
fn alike(a: &Ledger, b: &Ledger) -> bool {
    a.total_bytes == b.total_bytes
        && a.components.len() == b.components.len()
        && a.components.iter().zip(&b.components).all(|(a, b)| a.name == b.name && a.bytes.abs_diff(b.bytes) <= a.bytes / 100)
}

/// Figures without those that the first bar shows already.
fn not_in_bar(figures: Vec<(String, String)>, ledgers: &[&Ledger]) -> Vec<(String, String)> {
    let Some(first) = ledgers.first() else { return figures };
    let bar = view::bar(first);
    figures
        .into_iter()
        .filter(|(name, value)| {
            let total = name == "device total" && *value == bar.total;
            !total && !bar.parts.iter().any(|part| part.name == *name && part.size == *value)
        })
        .collect()
}

/// What happened and how long it took.
fn what(event: &Event) -> String {
    let kind = words::spaced(&escape::line(&event.kind));
    match event.duration_ms {
        Some(ms) => format!("{kind} ({})", words::brief(ms)),
        None => kind,
    }
}

/// The most telling entries in their order. Of neighbours that say the same (one for each rank, a bar that advances) one
/// speaks for all: the last that gives a duration, else the last.
fn telling(events: &[Event], room: usize) -> Vec<&Event> {
    let mut order: Vec<usize> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let before = order.last().and_then(|&last: &usize| events.get(last));
        match before {
            Some(same) if same.kind == event.kind && !words::is_failure(&event.kind) => {
                if event.duration_ms.is_some() || same.duration_ms.is_none() {
                    order.pop();
                    order.push(at);
                }
            }
            _ => order.push(at),
        }
    }
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
    let sum = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
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
