//! What `oomdoc fit` prints: an estimate as text and as JSON, several devices as a table, a sweep.

use std::io;

use serde_json::{Map, Value, json};

use super::text::{Line, Page, Tone};
use super::{Style, escape, view, words};
use crate::memory::estimate::{Change, Estimate, Largest, Verdict};
use crate::memory::size::GIB;
use crate::memory::{Bytes, Device, Model};
use crate::post_mortem::{Basis, Component, Ledger};

/// An estimate with what was found around it.
#[derive(Debug)]
pub struct Fit<'a> {
    /// The model.
    pub model: &'a Model,
    /// The device.
    pub device: &'a Device,
    /// What it needs.
    pub estimate: Estimate,
    /// The most that still fits.
    pub largest: Largest,
    /// What would make it fit.
    pub changes: Vec<Change>,
}

/// A table of what fits: for each quantization and context an estimate, or why there is none.
#[derive(Debug)]
pub struct Sweep<'a> {
    /// The model.
    pub model: &'a Model,
    /// The device.
    pub device: &'a Device,
    /// Contexts, the columns.
    pub contexts: Vec<u64>,
    /// Quantizations with a cell for each context; none where the combination is impossible.
    pub rows: Vec<(String, Vec<Option<Estimate>>)>,
}

/// The JSON of one device.
pub fn json(fit: &Fit<'_>) -> Value {
    let e = &fit.estimate;
    let plan = &e.plan;
    let bytes = |b: Option<Bytes>| b.map_or(Value::Null, |b| json!(b.0));
    // Where the cache can be computed, none that fits is 0 and not unknown.
    let most = |n: Option<u64>| n.or(e.token.map(|_| 0));
    let mut basis = Map::new();
    for c in components(e).into_iter().filter(|c| c.name != "free") {
        basis.insert(c.name.replace('-', "_"), json!(words::basis_id(c.basis)));
    }
    let overheads: Vec<Value> = e
        .overheads
        .iter()
        .map(|c| {
            json!({
                "name": c.name,
                "bytes": c.figure.bytes.0,
                "uncertainty_bytes": c.figure.margin.0,
                "basis": c.figure.basis.as_str(),
                "in_limit": c.budgeted,
            })
        })
        .collect();
    json!({
        "model": fit.model.id,
        "model_source": fit.model.origin.as_str(),
        "engine": plan.engine.as_str(),
        "engine_version": if plan.engine == crate::memory::estimate::Engine::LlamaCpp { Value::Null } else { json!(plan.version.to_string()) },
        "device": fit.device.name,
        "verdict": e.verdict.as_str(),
        "probability": e.probability.map(|p| (p * 1000.0).round() / 1000.0),
        "weights_bytes": e.weights.bytes.0,
        "kv_bytes_per_token": bytes(e.kv_per_token()),
        "kv_bytes": if e.token.is_some() { json!(e.cache().0) } else { Value::Null },
        "kv_needed_bytes": bytes(e.needed_cache.map(|f| f.bytes)),
        "kv_tokens": e.pool.map(|p| p.tokens),
        "max_model_len": plan.length,
        "max_context_tokens": most(fit.largest.context),
        "max_batch_tokens": most(fit.largest.batch),
        "max_concurrency": most(fit.largest.concurrency),
        "activation_bytes": bytes(e.activation.map(|f| f.bytes)),
        "overhead_bytes": e.overhead().0,
        "total_bytes": e.sum().0,
        "limit_bytes": e.limit.0,
        "margin_bytes": i64::try_from(e.margin()).ok(),
        "device_bytes": e.total.0,
        "basis": basis,
        "uncertainty_bytes": {
            "weights": e.weights.margin.0,
            "activations": e.activation.map(|f| f.margin.0),
        },
        "overheads": overheads,
        "would_fit": fit.changes.iter().map(|c| json!({
            "argument": c.argument,
            "price": c.price,
            "verdict": c.estimate.verdict.as_str(),
            "total_bytes": c.estimate.sum().0,
            "probability": c.estimate.probability,
        })).collect::<Vec<_>>(),
        "assumptions": plan.assumptions,
    })
}

/// The JSON of a sweep.
pub fn sweep_json(sweep: &Sweep<'_>) -> Value {
    let cells = |(name, row): &(String, Vec<Option<Estimate>>)| {
        let cells: Vec<Value> = row
            .iter()
            .zip(&sweep.contexts)
            .map(|(cell, context)| match cell {
                Some(e) => json!({
                    "max_model_len": context,
                    "verdict": e.verdict.as_str(),
                    "probability": e.probability,
                    "total_bytes": e.sum().0,
                    "needed_bytes": needed(e).0,
                    "limit_bytes": e.limit.0,
                }),
                None => json!({"max_model_len": context, "verdict": "unknown", "impossible": true}),
            })
            .collect();
        json!({"quantization": name, "contexts": cells})
    };
    json!({"model": sweep.model.id, "device": sweep.device.name, "rows": sweep.rows.iter().map(cells).collect::<Vec<_>>()})
}

/// What must be there for the engine to start.
fn needed(e: &Estimate) -> Bytes {
    e.fixed() + e.needed_cache.map_or(Bytes::ZERO, |f| f.bytes)
}

/// The components of the budget, what is left of it last.
fn components(e: &Estimate) -> Vec<Component> {
    let part = |name, bytes: Bytes, basis| Component { name, bytes: bytes.0, basis, line: None };
    let basis = |b: crate::memory::estimate::FigureBasis| match b {
        crate::memory::estimate::FigureBasis::Logged => Basis::Logged,
        crate::memory::estimate::FigureBasis::Computed => Basis::Computed,
        crate::memory::estimate::FigureBasis::Derived => Basis::Derived,
    };
    let mut all = vec![part("weights", e.weights.bytes, basis(e.weights.basis))];
    if e.token.is_some() {
        // A pool is what the rest leaves; only llama.cpp allocates by the context alone.
        let from = if e.pool.is_some_and(|p| p.bytes >= e.cache()) { Basis::Derived } else { Basis::Computed };
        all.push(part("kv-cache", e.cache(), from));
    }
    all.extend(e.activation.map(|f| part("activations", f.bytes, basis(f.basis))));
    all.extend(e.overheads.iter().filter(|c| c.budgeted).map(|c| part(c.name, c.figure.bytes, basis(c.figure.basis))));
    let left = e.limit.saturating_sub(e.sum());
    if left > Bytes::mib(64) {
        all.push(part("free", left, Basis::Derived));
    }
    all
}

/// Writes one device's estimate.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write(fit: &Fit<'_>, style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    let page = Page::new(style);
    let e = &fit.estimate;
    let mut lines = page.headline(e.verdict.as_str(), &headline(fit), tone(e.verdict));
    lines.extend(page.wrapped("  ", &reason(fit), Tone::Plain));

    let ledger = Ledger { index: 0, total_bytes: Some(e.limit.0), components: components(e), needed: Vec::new() };
    let mut bar = view::bar(&ledger);
    bar.note = None;
    let mut memory = page.draw(&bar, "  Budget ", Some(e.limit.0));
    memory.extend(page.legend(&ledger));
    memory.extend(page.wrapped("  ", &beside(fit), Tone::Dim));
    page.section(&mut lines, "Memory", &each(e), memory);
    page.section(&mut lines, "Figures", "one standard deviation", page.grid(&figures(e)));
    page.section(&mut lines, "Most that fits", "", page.grid(&most(fit)));
    page.section(&mut lines, "What would fit", "each was computed", changes(&page, fit));
    let notes: Vec<Line> = notes(fit).iter().flat_map(|note| page.hanging("  - ", note, Tone::Plain)).collect();
    page.section(&mut lines, "Assumed", "", notes);
    page.print(&lines, out)
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Fits => Tone::Good,
        Verdict::Exceeds => Tone::Bad,
        Verdict::Tight | Verdict::Unknown => Tone::Strong,
    }
}

fn headline(fit: &Fit<'_>) -> String {
    let plan = &fit.estimate.plan;
    let engine = words::engine(plan.engine.as_str());
    let count = if plan.ranks() > 1 { format!("{} × ", plan.ranks()) } else { String::new() };
    format!("{} on {count}{} with {engine}", fit.model.id, fit.device.name)
}

/// Why, in figures.
fn reason(fit: &Fit<'_>) -> String {
    let e = &fit.estimate;
    let size = |b: Bytes| words::size(b.0);
    let context = words::thousands(e.needed_tokens);
    let share = if e.plan.fraction < 1.0 && e.plan.engine != crate::memory::estimate::Engine::Sglang {
        format!(", {} of {}", words::percent(e.plan.fraction), size(e.total))
    } else {
        String::new()
    };
    let odds = e.probability.map_or(String::new(), |p| format!(" Probability of fitting: {}.", chance(p)));
    let needed = needed(e);
    match e.verdict {
        Verdict::Unknown => {
            format!(
                "The weights alone take {} of {}{share}. Layers and heads of this model are not known, so its cache and activations cannot be computed. Its config.json would settle it.",
                size(e.weights.bytes),
                size(e.limit)
            )
        }
        Verdict::Exceeds if needed > e.limit => {
            format!(
                "Needs {} with a cache for {context} tokens, and may take {}{share}: {} too much.{odds}",
                size(needed),
                size(e.limit),
                size(needed.saturating_sub(e.limit))
            )
        }
        Verdict::Exceeds => format!(
            "Its budget of {}{share} would do with a cache for {context} tokens, but what lies beside it ({}) does not fit on the card as well.{odds}",
            size(e.limit),
            size(e.beside())
        ),
        Verdict::Fits | Verdict::Tight => {
            format!("Needs {} with a cache for {context} tokens, and may take {}{share}.{odds}", size(needed), size(e.limit))
        }
    }
}

fn each(e: &Estimate) -> String {
    if e.plan.ranks() > 1 { "each device".to_owned() } else { String::new() }
}

/// A probability in words: never quite none, never quite certain.
fn chance(probability: f64) -> String {
    match probability {
        p if p < 0.01 => "less than 1%".to_owned(),
        p if p > 0.99 => "more than 99%".to_owned(),
        p => words::percent(p),
    }
}

/// What is outside the budget.
fn beside(fit: &Fit<'_>) -> String {
    let e = &fit.estimate;
    let parts: Vec<String> =
        e.overheads.iter().filter(|c| !c.budgeted).map(|c| format!("{} {}", words::component(c.name).1, words::size(c.figure.bytes.0))).collect();
    if parts.is_empty() {
        return String::new();
    }
    let rest = e.total.saturating_sub(e.limit);
    let left = if rest > Bytes::ZERO { format!("; {} of the card are left for it", words::size(rest.0)) } else { String::new() };
    format!("Beside the budget: {}{left}.", parts.join(", "))
}

fn figures(e: &Estimate) -> Vec<(String, String)> {
    let of = |name: &str, bytes: Bytes, margin: Bytes| (name.to_owned(), format!("{} ± {}", words::size(bytes.0), brief(margin)));
    let mut all = vec![of("weights", e.weights.bytes, e.weights.margin)];
    all.extend(e.needed_cache.map(|f| of("cache needed", f.bytes, f.margin)));
    all.extend(e.kv_per_token().map(|t| ("cache of a token".to_owned(), format!("{:.1} KiB", t.0 as f64 / 1024.0))));
    all.extend(e.pool.map(|p| ("pool".to_owned(), format!("{} tokens", words::thousands(p.tokens)))));
    all.extend(e.activation.map(|f| of("activations", f.bytes, f.margin)));
    all.extend(e.overheads.iter().map(|c| of(&words::component(c.name).1, c.figure.bytes, c.figure.margin)));
    all
}

/// A margin: hundredths of a GiB.
fn brief(margin: Bytes) -> String {
    format!("{:.2}", margin.0 as f64 / GIB as f64)
}

fn most(fit: &Fit<'_>) -> Vec<(String, String)> {
    let l = &fit.largest;
    let of = |name: &str, value: Option<u64>, unit: &str| value.map(|v| (name.to_owned(), format!("{} {unit}", words::thousands(v))));
    if l.context.is_none() && fit.estimate.token.is_some() {
        return vec![("context".to_owned(), "not even one token".to_owned())];
    }
    [of("context", l.context, "tokens"), of("prefill step", l.batch, "tokens"), of("sequences of full length", l.concurrency, "at a time")]
        .into_iter()
        .flatten()
        .collect()
}

fn changes(page: &Page, fit: &Fit<'_>) -> Vec<Line> {
    if matches!(fit.estimate.verdict, Verdict::Fits | Verdict::Unknown) {
        return Vec::new();
    }
    if fit.changes.is_empty() {
        return page.wrapped(
            "  ",
            "No single change that was tried makes it fit: a smaller model, a larger card, or several changes together.",
            Tone::Plain,
        );
    }
    let row = |c: &Change| {
        let odds = c.estimate.probability.map_or(String::new(), |p| format!(" ({})", chance(p)));
        page.hanging("  - ", &format!("{}: {}{odds}, at the price of {}", c.argument, c.estimate.verdict.as_str(), c.price), Tone::Plain)
    };
    fit.changes.iter().flat_map(row).collect()
}

/// What was not given, and where figures come from.
fn notes(fit: &Fit<'_>) -> Vec<String> {
    let mut all = vec![format!("figures of the model from {}", source(fit.model))];
    if fit.model.uncertainty > 0.0 {
        all.push(format!("its number of parameters is known to {} only", words::percent(fit.model.uncertainty)));
    }
    let device = fit.device;
    let how = match device.basis {
        crate::memory::device::Basis::Asked => "as the driver says",
        crate::memory::device::Basis::Given => "as given",
        crate::memory::device::Basis::Measured => "as servers on such cards print it",
        crate::memory::device::Basis::Derived => "the size on the box less what drivers keep",
    };
    all.push(format!("{} of usable memory on the {}, {how}", words::size(device.total.0), device.name));
    all.extend(fit.estimate.plan.assumptions.iter().cloned());
    if fit.estimate.plan.engine == crate::memory::estimate::Engine::Tgi {
        all.push("TGI's figures were never measured, and their margins are set wider by hand".to_owned());
    }
    all
}

fn source(model: &Model) -> String {
    use crate::memory::Origin;
    let base = model.base.as_deref().map_or(String::new(), |base| format!(", by the shape of {base}"));
    let from = match model.origin {
        Origin::File => "its own files",
        Origin::UserFile => "your own entries",
        Origin::Log => "the log",
        Origin::Catalogue => "the catalogue",
        Origin::Given => "the number of parameters that was given",
        Origin::Name => "the size in its name, and nothing else",
    };
    format!("{from}{base}")
}

/// Writes several devices as a table, and why those that do not fit do not.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_table(fits: &[Fit<'_>], style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    let page = Page::new(style);
    let Some(first) = fits.first() else { return Ok(()) };
    let plan = &first.estimate.plan;
    let title = format!("{} with {}, a context of {} tokens", first.model.id, words::engine(plan.engine.as_str()), words::thousands(plan.length));
    let mut lines = vec![Line::new(escape::line(&title), Tone::Strong)];
    let mut rows =
        vec![["device".to_owned(), "verdict".to_owned(), "needs".to_owned(), "may take".to_owned(), "chance".to_owned(), "context".to_owned()]];
    for fit in fits {
        let e = &fit.estimate;
        rows.push([
            fit.device.name.clone(),
            e.verdict.as_str().to_owned(),
            words::size(needed(e).0),
            words::size(e.limit.0),
            e.probability.map_or("?".to_owned(), chance),
            fit.largest.context.map_or("-".to_owned(), words::thousands),
        ]);
    }
    lines.extend(page.table(&rows, |row| fits.get(row).map_or(Tone::Plain, |fit| tone(fit.estimate.verdict))));
    lines.extend(page.wrapped(
        "",
        "context: the longest that fits. needs: weights, activations, overheads, and the cache that the engine must have to start.",
        Tone::Dim,
    ));
    page.print(&lines, out)
}

/// Writes a sweep.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_sweep(sweep: &Sweep<'_>, style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    let page = Page::new(style);
    let engine =
        sweep.rows.iter().flat_map(|(_, row)| row.iter().flatten()).map(|e| words::engine(e.plan.engine.as_str())).next().unwrap_or("any engine");
    let mut lines = vec![Line::new(escape::line(&format!("{} on {} with {engine}", sweep.model.id, sweep.device.name)), Tone::Strong)];
    let mut rows: Vec<Vec<String>> = vec![std::iter::once("quantization".to_owned()).chain(sweep.contexts.iter().map(|c| short(*c))).collect()];
    for (name, cells) in &sweep.rows {
        let cell = |cell: &Option<Estimate>| match cell {
            None => "no".to_owned(),
            Some(e) => {
                let mark = match e.verdict {
                    Verdict::Fits => "",
                    Verdict::Tight => " tight",
                    Verdict::Exceeds => " -",
                    Verdict::Unknown => " ?",
                };
                format!("{:.1}{mark}", needed(e).as_gib())
            }
        };
        rows.push(std::iter::once(name.clone()).chain(cells.iter().map(cell)).collect());
    }
    lines.extend(page.table(&rows, |_| Tone::Plain));
    let legend =
        "GiB needed for a context of so many tokens. tight: more likely than not; -: exceeds; ?: not known; no: this card or engine cannot run it.";
    lines.extend(page.wrapped("", legend, Tone::Dim));
    page.print(&lines, out)
}

/// A number of tokens in thousands of 1024: 8k.
fn short(tokens: u64) -> String {
    if tokens.is_multiple_of(1024) { format!("{}k", tokens / 1024) } else { words::thousands(tokens) }
}
