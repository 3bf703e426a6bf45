//! What changes over a run: memory that climbs, a cache that stays full, output that repeats itself.

use crate::case::{Case, Run};
use crate::facts::{Fact, FactKind, Stage};
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
    let climb = climb(case, before)?;
    let sentence = format!("Allocated memory climbed {} before it: something is kept from step to step.", climb.from_to);
    Some(Trend { sentence, facts: climb.facts.to_vec() })
}

/// Memory that climbs.
pub struct Climb {
    /// From where to where.
    pub from_to: String,
    /// The facts that show it: the first and the last.
    pub facts: [usize; 2],
    /// How many there are.
    pub readings: u64,
}

/// Memory that climbs, if it does.
pub fn climb(case: &Case, within: &[usize]) -> Option<Climb> {
    let reading = |&i: &usize| {
        let fact = &case.facts[i];
        let counts = !fact.kind.is_failure() && fact.kind != FactKind::Hint && works(case, i);
        fact.figures.allocated_bytes.filter(|_| counts).map(|bytes| (i, bytes))
    };
    let (latest, _) = within.iter().rev().find_map(reading)?;
    // Readings of one kind of line in the same words, for others measure something else, or at another point.
    let words = |i: usize| case.facts[i].place.text.chars().filter(|c| !c.is_ascii_digit());
    let wrote = |i: usize| (&case.facts[i].rule, case.facts[i].place.origin);
    let is_alike = |i: usize| wrote(i) == wrote(latest) && words(i).eq(words(latest));
    let series: Vec<(usize, u64)> = within.iter().filter_map(reading).filter(|&(i, _)| is_alike(i)).collect();
    let [first, second, .., last] = series.as_slice() else { return None };
    let rises = series.windows(2).filter(|pair| pair[1].1 >= pair[0].1).count();
    // From the second on: the first step allocates what all others use again.
    if rises + 1 < series.len() || (last.1 as f64) < second.1 as f64 * (1.0 + GROWTH) {
        return None;
    }
    let line = |i: usize| case.facts[i].place.first_line;
    Some(Climb {
        from_to: format!("from {} (line {}) to {} (line {})", size(first.1), line(first.0), size(last.1), line(last.0)),
        facts: [first.0, last.0],
        readings: series.iter().map(|&(i, _)| case.facts[i].repeats).sum(),
    })
}

/// True where memory is not expected to grow: at work, and in a script that shows no stages. A start allocates bit by bit.
fn works(case: &Case, i: usize) -> bool {
    match case.stages[i] {
        Some(stage) => matches!(stage, Stage::Serve | Stage::Prefill | Stage::Decode | Stage::Sampler | Stage::Train),
        None => case.facts[i].kind != FactKind::Metrics,
    }
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
