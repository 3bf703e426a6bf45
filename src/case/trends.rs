//! What changes over a run: memory that climbs, a cache that stays full, output that repeats itself.

use crate::case::{Case, Run};
use crate::facts::{Fact, FactKind};
use crate::units::size;

/// Readings that make a series.
const READINGS: usize = 3;
/// Growth that counts as climbing, as a share of the first reading.
const GROWTH: f64 = 0.10;
/// A cache is full from this share on.
const FULL: f64 = 0.985;

/// A trend before a failure: a sentence for people and the facts that show it.
pub struct Trend {
    /// The sentence.
    pub sentence: String,
    /// Indexes of the facts that show it.
    pub facts: Vec<usize>,
}

/// The trends of a run up to a failure.
pub fn trends(case: &Case, run: &Run, failure: usize) -> Vec<Trend> {
    let before: Vec<usize> = run.facts.iter().copied().filter(|&i| i < failure).collect();
    [climbing(case, &before), pinned(case, &before), repeating(case, &before)].into_iter().flatten().collect()
}

fn climbing(case: &Case, before: &[usize]) -> Option<Trend> {
    let (climb, first, last) = climb(case, before)?;
    let sentence = format!("Allocated memory climbed {climb} before it: something is kept from step to step.");
    Some(Trend { sentence, facts: vec![first, last] })
}

/// Memory that climbs: from where to where, and the facts that show it.
pub fn climb(case: &Case, within: &[usize]) -> Option<(String, usize, usize)> {
    let reading = |fact: &Fact| fact.figures.allocated_bytes.filter(|_| !fact.kind.is_failure() && fact.kind != FactKind::Hint);
    // Readings of one kind of line, for two kinds measure two things.
    let rule = &case.facts[*within.iter().rfind(|&&i| reading(&case.facts[i]).is_some())?].rule;
    let series: Vec<(usize, u64)> =
        within.iter().filter(|&&i| case.facts[i].rule == *rule).filter_map(|&i| reading(&case.facts[i]).map(|bytes| (i, bytes))).collect();
    let (first, last) = (series.first()?, series.last()?);
    let rises = series.windows(2).filter(|pair| pair[1].1 >= pair[0].1).count();
    if series.len() < READINGS || rises + 1 < series.len() || (last.1 as f64) < first.1 as f64 * (1.0 + GROWTH) {
        return None;
    }
    let line = |i: usize| case.facts[i].place.first_line;
    Some((format!("from {} (line {}) to {} (line {})", size(first.1), line(first.0), size(last.1), line(last.0)), first.0, last.0))
}

/// True for a metrics line that shows the cache full.
pub fn is_full(fact: &Fact) -> bool {
    fact.word("usage").and_then(|share| share.parse::<f64>().ok()).is_some_and(|share| share >= FULL)
}

/// A cache that stays full while requests are preempted or refused: its facts, when it was.
pub fn saturation(case: &Case, within: &[usize]) -> Option<(usize, usize, u64)> {
    let full: Vec<usize> = within.iter().copied().filter(|&i| case.facts[i].kind == FactKind::Metrics && is_full(&case.facts[i])).collect();
    let refused = |fact: &Fact| fact.kind == FactKind::Preempted || &*fact.rule == "web-5xx";
    let times: u64 = within.iter().map(|&i| &case.facts[i]).filter(|f| refused(f)).map(|f| f.repeats).sum();
    let (&first, &last) = (full.first()?, full.last()?);
    let readings: u64 = full.iter().map(|&i| case.facts[i].repeats).sum();
    (times > 0 && readings >= READINGS as u64).then_some((first, last, times))
}

fn pinned(case: &Case, before: &[usize]) -> Option<Trend> {
    let (first, last, times) = saturation(case, before)?;
    let line = |i: usize| case.facts[i].place.first_line;
    let sentence = format!(
        "The key-value cache was full from line {} to line {}, and requests were preempted or refused {times} times.",
        line(first),
        line(last)
    );
    Some(Trend { sentence, facts: vec![first, last] })
}

fn repeating(case: &Case, before: &[usize]) -> Option<Trend> {
    let at = before.iter().copied().rfind(|&i| &*case.facts[i].rule == "repetition")?;
    // Before anything was generated it is a program that repeats itself, not a model.
    let generates = |fact: &Fact| fact.kind == FactKind::RequestServed || matches!(fact.event.as_deref(), Some("ready" | "generation-started"));
    if !before.iter().any(|&i| i < at && generates(&case.facts[i])) {
        return None;
    }
    let fact = &case.facts[at];
    let sentence = format!("Output repeated itself before it (line {} on): the model had degenerated.", fact.place.first_line);
    Some(Trend { sentence, facts: vec![at] })
}
