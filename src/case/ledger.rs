//! Where the memory of a device went when it failed.
//!
//! Only what existed at that moment is in a ledger: weights that were still being loaded, a cache that was only planned
//! and what was free when the process started are not. What is needed stands beside it.

use crate::case::Case;
use crate::case::need::{Need, is_loading};
use crate::facts::{Fact, FactKind, Stage};
use crate::memory::Bytes;
use crate::post_mortem::{Basis, Component, Figures, Ledger, Memory};

/// More than this outside the allocator is no driver's context of one process.
const LARGEST_CONTEXT: u64 = 3 << 29;
/// What a context takes where no figure tells it.
const USUAL_CONTEXT: u64 = 45 * (1 << 30) / 100;
/// Printed figures are rounded: less than one part in this many of the device says nothing.
const ROUNDING: u64 = 200;

/// The order of the parts.
const ORDER: &[&str] = &[
    "other-processes",
    "outside-the-allocator",
    "weights",
    "kv-cache",
    "activations",
    "graphs",
    "allocated-by-pytorch",
    "other-allocations",
    "reserved-unallocated",
    "beyond-the-share",
    "unexplained",
    "free",
];

/// The moment that a ledger is of.
pub struct Moment<'c> {
    /// The case.
    pub case: &'c Case,
    /// The cause, if something failed.
    pub cause: Option<&'static str>,
    /// What the process was at.
    pub stage: Option<Stage>,
    /// The facts that state the failure, the decisive one first.
    pub proof: &'c [usize],
    /// The facts of its run before it.
    pub before: &'c [usize],
    /// What the model needs.
    pub need: Option<&'c Need>,
}

impl Moment<'_> {
    fn decisive(&self) -> Option<&Fact> {
        self.proof.first().map(|&i| &self.case.facts[i])
    }

    /// The line that gives a figure.
    fn line(&self, value: u64, of: Figure) -> Option<u64> {
        let gives = |&&i: &&usize| of(&self.case.facts[i].figures) == Some(value);
        let stated = self.proof.iter().find(gives).or_else(|| self.before.iter().rev().find(gives));
        stated.filter(|_| self.cause.is_some()).map(|&i| self.case.facts[i].place.first_line)
    }

    /// What was free when it failed. What was free at the start, long before, is no part of this moment.
    fn free(&self, figures: &Figures) -> Option<u64> {
        match self.cause {
            Some(_) => {
                let stated = self.proof.iter().find_map(|&i| self.case.facts[i].figures.free_bytes);
                // Or what was printed together with what was allocated, if that is in the ledger.
                let printed = |f: &Figures| f.free_bytes.filter(|_| f.allocated_bytes.is_some() && f.allocated_bytes == figures.allocated_bytes);
                stated.or_else(|| self.before.iter().rev().find_map(|&i| printed(&self.case.facts[i].figures)))
            }
            // What a healthy server printed was free when it started.
            None => figures.free_bytes.filter(|_| figures.allocated_bytes.is_some()),
        }
    }

    /// Whether weights were not all there yet.
    fn is_loading(&self) -> bool {
        self.cause == Some("weight-oom") || self.cause.is_some() && is_loading(self.stage)
    }

    /// Whether the cache was there. The sampler's test may come before it or after it; then the sum tells.
    fn has_cache(&self) -> bool {
        self.cause.is_none() || matches!(self.stage, Some(Stage::Capture | Stage::Serve | Stage::Prefill | Stage::Decode | Stage::Sampler))
    }

    /// Whether the engine found, before allocating anything, that its plan leaves the cache too little.
    fn is_plan(&self) -> bool {
        self.cause == Some("kv-cache-oom") && !self.has_cache() && self.decisive().is_none_or(|fact| fact.figures.tried_bytes.is_none())
    }
}

type Figure = fn(&Figures) -> Option<u64>;

/// Components as they are put together.
struct Sheet<'m, 'c> {
    moment: &'m Moment<'c>,
    components: Vec<Component>,
}

impl Sheet<'_, '_> {
    fn logged(&mut self, name: &'static str, figures: &Figures, of: Figure) {
        if let Some(bytes) = of(figures) {
            self.add(name, bytes, Basis::Logged, self.moment.line(bytes, of));
        }
    }

    fn add(&mut self, name: &'static str, bytes: u64, basis: Basis, line: Option<u64>) {
        if bytes > 0 {
            self.components.push(Component { name, bytes, basis, line });
        }
    }

    fn derived(&mut self, name: &'static str, bytes: Option<u64>) {
        self.add(name, bytes.unwrap_or(0), Basis::Derived, None);
    }

    fn sum(&self) -> u64 {
        self.components.iter().fold(0, |sum, c| sum.saturating_add(c.bytes))
    }
}

/// The ledger of the device that a failure was on.
pub fn memory(figures: &Figures, moment: &Moment<'_>) -> Memory {
    let mut sheet = Sheet { moment, components: Vec::new() };
    match figures.allocated_bytes {
        Some(allocated) => of_allocator(&mut sheet, figures, allocated),
        None => of_engine(&mut sheet, figures),
    }
    if let Some(free) = moment.free(figures) {
        let line = moment.line(free, |f| f.free_bytes);
        sheet.add("free", free, Basis::Logged, line);
    }
    explain_rest(&mut sheet, figures);
    sheet.components.sort_by_key(|c| ORDER.iter().position(|name| *name == c.name));
    let total = figures.total_bytes;
    // What does not fit into the device was not all there at one time.
    let is_possible = total.is_none_or(|total| sheet.sum() <= total.saturating_add(total / ROUNDING));
    let needed = needed(figures, moment);
    if !is_possible {
        sheet.components.clear();
    }
    if sheet.components.is_empty() && (needed.is_empty() || total.is_none()) {
        return Memory::default();
    }
    Memory { devices: vec![Ledger { index: figures.device.unwrap_or(0), total_bytes: total, components: sheet.components, needed }] }
}

/// What PyTorch's allocator states, its own allocations split as far as they are known: they are not the weights.
fn of_allocator(sheet: &mut Sheet<'_, '_>, figures: &Figures, allocated: u64) {
    let moment = sheet.moment;
    let weights = if moment.is_loading() { None } else { weights(figures, moment, allocated) };
    match weights {
        Some((bytes, basis, line)) => {
            sheet.add("weights", bytes, basis, line);
            let mut rest = allocated - bytes;
            if let Some((cache, basis, line)) = cache(figures, moment).filter(|(cache, ..)| *cache <= rest) {
                sheet.add("kv-cache", cache, basis, line);
                rest -= cache;
            }
            sheet.derived("other-allocations", Some(rest));
        }
        None => sheet.logged("allocated-by-pytorch", figures, |f| f.allocated_bytes),
    }
    match figures.reserved_unallocated_bytes {
        Some(_) => sheet.logged("reserved-unallocated", figures, |f| f.reserved_unallocated_bytes),
        None => sheet.derived("reserved-unallocated", figures.reserved_bytes.and_then(|reserved| reserved.checked_sub(allocated))),
    }
    sheet.logged("other-processes", figures, |f| f.other_processes_bytes);
}

/// Weights of the device: printed, or computed if they leave room in what was allocated.
fn weights(figures: &Figures, moment: &Moment<'_>, allocated: u64) -> Option<(u64, Basis, Option<u64>)> {
    if let Some(bytes) = figures.weights_bytes.filter(|&bytes| bytes <= allocated) {
        return Some((bytes, Basis::Logged, moment.line(bytes, |f| f.weights_bytes)));
    }
    let need = moment.need.filter(|need| need.is_computed() && !need.is_by_name())?;
    let bytes = need.weights?.bytes.0;
    (bytes <= allocated).then_some((bytes, Basis::Computed, None))
}

/// The cache, if it was there.
fn cache(figures: &Figures, moment: &Moment<'_>) -> Option<(u64, Basis, Option<u64>)> {
    if !moment.has_cache() {
        return None;
    }
    if let Some(bytes) = figures.kv_cache_bytes {
        return Some((bytes, Basis::Logged, moment.line(bytes, |f| f.kv_cache_bytes)));
    }
    if let Some(bytes) = figures.kv_available_bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
        return Some((bytes, Basis::Logged, moment.line(bytes, available)));
    }
    let token = moment.need.filter(|need| !need.is_by_name())?.token()?;
    Some(((token * figures.kv_tokens?).0, Basis::Computed, None))
}

fn available(figures: &Figures) -> Option<u64> {
    figures.kv_available_bytes.and_then(|bytes| u64::try_from(bytes).ok())
}

/// What the engine states of itself, as far as it was there.
fn of_engine(sheet: &mut Sheet<'_, '_>, figures: &Figures) {
    let moment = sheet.moment;
    sheet.logged("other-processes", figures, |f| f.other_processes_bytes);
    if moment.is_loading() {
        return;
    }
    match moment.need.filter(|need| need.is_computed() && !need.is_by_name()).and_then(|need| need.weights) {
        Some(computed) if figures.weights_bytes.is_none() && moment.cause.is_some() => sheet.add("weights", computed.bytes.0, Basis::Computed, None),
        _ => sheet.logged("weights", figures, |f| f.weights_bytes),
    }
    if moment.is_plan() || moment.has_cache() {
        sheet.logged("activations", figures, |f| f.activation_bytes);
        sheet.logged("graphs", figures, |f| f.graph_bytes);
        match figures.kv_cache_bytes {
            Some(_) => sheet.logged("kv-cache", figures, |f| f.kv_cache_bytes),
            None => sheet.logged("kv-cache", figures, available),
        }
    }
    sheet.logged("outside-the-allocator", figures, |f| f.non_torch_bytes);
    // What the engine leaves to others by its fraction. A plan that is too large reaches into it.
    if let (true, Some(total), Some(fraction)) = (moment.is_plan(), figures.total_bytes, figures.gpu_memory_utilization) {
        let planned = sheet.sum().max(Bytes(total).fraction(fraction).0);
        sheet.derived("beyond-the-share", total.checked_sub(planned));
    }
}

/// What the parts leave of the device, by name as far as one is certain.
fn explain_rest(sheet: &mut Sheet<'_, '_>, figures: &Figures) {
    let moment = sheet.moment;
    let Some(total) = figures.total_bytes else { return };
    if sheet.components.is_empty() {
        return;
    }
    let Some(mut rest) = total.checked_sub(sheet.sum()) else { return };
    let knows_context = sheet.components.iter().any(|c| c.name == "outside-the-allocator");
    let is_free_known = sheet.components.iter().any(|c| c.name == "free") || moment.free(figures) == Some(0);
    if figures.allocated_bytes.is_some() && !knows_context && is_free_known {
        // What the driver says of this process is not believed when the allocator alone holds more.
        let held = figures.allocated_bytes.unwrap_or(0) + figures.reserved_unallocated_bytes.unwrap_or(0);
        let of_process = figures.process_bytes.and_then(|process| process.checked_sub(held)).filter(|&bytes| bytes <= rest);
        let outside = of_process.or((rest <= LARGEST_CONTEXT).then_some(rest));
        match outside {
            Some(outside) => {
                sheet.derived("outside-the-allocator", Some(outside));
                rest -= outside;
            }
            None => {
                sheet.add("outside-the-allocator", USUAL_CONTEXT, Basis::Computed, None);
                rest -= USUAL_CONTEXT;
            }
        }
    }
    if rest <= total / ROUNDING {
        return;
    }
    let are_others = moment.cause == Some("gpu-occupied") && is_free_known && figures.other_processes_bytes.unwrap_or(0) == 0;
    sheet.derived(if are_others { "other-processes" } else { "unexplained" }, Some(rest));
}

/// What did not fit: the weights, if loading them failed; the cache of one context, if that was too large.
fn needed(figures: &Figures, moment: &Moment<'_>) -> Vec<Component> {
    let mut needed = Vec::new();
    if moment.cause == Some("weight-oom") {
        // llama.cpp names several parts of a file; only what is no less than a part that was refused is the whole.
        let logged = figures.weights_bytes.filter(|&bytes| figures.tried_bytes.is_some_and(|tried| tried <= bytes));
        match (logged, moment.need.and_then(|need| need.weights)) {
            (Some(bytes), _) => {
                needed.push(Component { name: "weights", bytes, basis: Basis::Logged, line: moment.line(bytes, |f| f.weights_bytes) })
            }
            (None, Some(weights)) => needed.push(Component { name: "weights", bytes: weights.bytes.0, basis: Basis::Computed, line: None }),
            (None, None) => {}
        }
    }
    if let (Some("kv-cache-oom"), Some(bytes)) = (moment.cause, figures.kv_needed_bytes) {
        needed.push(Component { name: "kv-cache", bytes, basis: Basis::Logged, line: moment.line(bytes, |f| f.kv_needed_bytes) });
    }
    if moment.decisive().is_some_and(|fact| fact.kind == FactKind::DeviceOccupied)
        && let Some(bytes) = figures.requested_bytes
    {
        needed.push(Component { name: "engine-share", bytes, basis: Basis::Logged, line: moment.line(bytes, |f| f.requested_bytes) });
    }
    needed
}
