//! What happened when: the marks, failures and ends of a case on one time line.

use crate::case::Case;
use crate::facts::{Ends, Fact, FactKind, Strength};
use crate::post_mortem::Event;
use crate::redact::cut_before;
use crate::time::{Timeline, iso};

/// Entries beyond this number are left out from the middle.
const MAX_EVENTS: usize = 120;
/// Characters of a message that an entry shows.
const SHOWN: usize = 160;

/// The time line of a case.
pub fn timeline(case: &Case) -> Vec<Event> {
    let mut clock = Timeline::new(case.year);
    let mut events: Vec<Event> = Vec::new();
    let mut begun: Vec<(String, i64)> = Vec::new();
    for fact in &case.facts {
        let stamp = fact.place.stamp.as_deref();
        let offset_ms = stamp.map(|stamp| clock.offset_ms(stamp));
        let Some(kind) = kind_of(fact) else { continue };
        let printed = fact.word("seconds").and_then(|s| s.parse::<f64>().ok()).map(|s| (s * 1000.0).round() as u64);
        let topic = kind.rsplit_once('-').map_or(kind.as_str(), |(topic, _)| topic).to_owned();
        let mut duration_ms = printed;
        if kind.ends_with("-started") {
            if let Some(offset) = offset_ms {
                begun.retain(|(open, _)| *open != topic);
                begun.push((topic, offset));
            }
        } else if kind.ends_with("-finished") || kind.ends_with("-loaded") {
            let start = if kind == "weights-loaded" { "load" } else { topic.as_str() };
            if let (Some(offset), Some(at)) = (offset_ms, begun.iter().position(|(open, _)| open == start)) {
                let (_, since) = begun.remove(at);
                duration_ms = duration_ms.or_else(|| u64::try_from(offset - since).ok());
            }
        }
        // What only introduces a message says nothing.
        let introduction = if kind == "failed" { fact.place.decisive } else { 0 };
        events.push(Event {
            line: fact.place.first_line,
            time: stamp.and_then(|stamp| iso(stamp, case.year)),
            clock: stamp.map(|stamp| stamp.text.clone()),
            offset_ms,
            kind,
            duration_ms,
            text: shortened(&fact.place.text, introduction),
        });
    }
    events.dedup_by(|later, earlier| later.kind == earlier.kind && later.text == earlier.text);
    if events.len() > MAX_EVENTS {
        let failed: Vec<Event> = events.iter().skip(MAX_EVENTS / 2).filter(|e| e.kind == "failed").take(MAX_EVENTS / 4).cloned().collect();
        let tail = events.split_off(events.len() - MAX_EVENTS / 4);
        events.truncate(MAX_EVENTS / 2);
        events.extend(failed);
        events.extend(tail);
        events.sort_by_key(|event| event.line);
        events.dedup_by_key(|event| event.line);
    }
    events
}

fn kind_of(fact: &Fact) -> Option<String> {
    if let Some(event) = &fact.event {
        return Some(event.to_string());
    }
    let kind = match fact.kind {
        FactKind::RunStart => "run-started",
        FactKind::OrderlyStop => "stopped",
        FactKind::StopSignal => "told-to-stop",
        FactKind::Completed => "completed",
        FactKind::ProcessExit => "process-ended",
        FactKind::Symptom if fact.ends == Some(Ends::Process) => "process-ended",
        kind if kind.is_failure() && fact.strength > Strength::Form || fact.is_exception && kind.is_failure() => "failed",
        _ => return None,
    };
    Some(kind.to_owned())
}

fn shortened(text: &str, introduction: usize) -> String {
    // A banner is drawn over several lines; what it says is told by one that has words.
    let has_words = |line: &&str| line.chars().filter(|c| c.is_alphanumeric()).count() >= 3;
    let first = text.lines().nth(introduction).unwrap_or("");
    let line = text
        .lines()
        .skip(introduction)
        .find(has_words)
        .unwrap_or(first)
        .trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{2580}'..='\u{259f}'));
    match line.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &line[..cut_before(line, cut)]),
        None => line.to_owned(),
    }
}
