//! Masks secrets in everything that a report quotes.
//!
//! Logs hold tokens: engines print their arguments, tools their environment, clients their headers. A report is
//! pasted into issues and chats, so whatever looks like a secret becomes a hint of its kind: `hf_****`.
//! Two ways lead to a secret: its own shape (a vendor's prefix), and the name that it is given (`api_key=`).

mod secrets;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::ops::Range;
use std::sync::OnceLock;

use regex::{Captures, Regex};
use serde_json::Value;

use self::secrets::{Mask, NAME, RULES, expression};
use crate::pairs::Pairs;
use crate::post_mortem::PostMortem;
use crate::program::{self, Groups, Program};

include!(concat!(env!("OUT_DIR"), "/secrets.rs"));

/// What stands for a secret.
const MASK: &str = "****";
/// How deep values are searched for others within them.
const NESTING: usize = 16;
/// Bytes around a cut that are searched for a secret that it would go through; the longest are keys in several lines.
const AROUND: usize = 8 * 1024;

/// Every match of the rule with this number; the one after the last rule is that of names.
fn matches(number: usize, text: &str) -> Vec<Groups<'static>> {
    static REGEXES: [OnceLock<Option<Regex>>; RULES.len() + 1] = [const { OnceLock::new() }; RULES.len() + 1];
    if let Some(program) = PROGRAMS[number].filter(|program| program.is_for(text.as_bytes())) {
        return program.all_in(text.as_bytes());
    }
    let compile = || Regex::new(&expression(RULES.get(number).map_or(NAME, |rule| rule.pattern))).ok();
    let Some(regex) = REGEXES[number].get_or_init(compile) else { return Vec::new() };
    let groups = |found: Captures<'_>| {
        let named = regex.capture_names().zip(found.iter());
        named.filter_map(|(name, group)| group.map(|group| (name.unwrap_or(""), group.start(), group.end()))).collect()
    };
    regex.captures_iter(text).map(groups).collect()
}

/// The text with its secrets masked, and how many there were.
///
/// ```
/// let (text, count) = oomdoc::redact::redact("HF_TOKEN=hf_aB3dE5fG7hI9jK1lM3nO5pQ7");
/// assert_eq!((text.as_ref(), count), ("HF_TOKEN=hf_****", 1));
/// ```
pub fn redact(text: &str) -> (Cow<'_, str>, u64) {
    let mut out = Cow::Borrowed(text);
    let mut count = 0;
    for number in applying(text) {
        let rule = &RULES[number];
        let mut masked = String::new();
        let mut done = 0;
        for (start, end, mask) in masks(number, rule.mask, &out, 0) {
            let Some(before) = out.get(done..start) else { continue };
            masked.push_str(before);
            masked.push_str(mask);
            done = end;
            count += 1;
        }
        if done > 0 {
            masked.push_str(out.get(done..).unwrap_or_default());
            out = Cow::Owned(masked);
        }
    }
    (out, count)
}

/// The rules that may find something in a text.
fn applying(text: &str) -> Vec<usize> {
    let lower = text.to_ascii_lowercase();
    let pairs = Pairs::of(&lower);
    let applies = |number: &usize| RULES[*number].anchors.iter().any(|anchor| pairs.may_hold(anchor) && lower.contains(anchor));
    (0..RULES.len()).filter(applies).collect()
}

/// What a rule masks in a text, and by what.
fn masks(number: usize, mask: Mask, text: &str, depth: usize) -> Vec<(usize, usize, &'static str)> {
    let mut all = Vec::new();
    for found in matches(number, text) {
        if let Some(part) = masked_part(mask, text, &found) {
            all.push(part);
        } else if let Some((start, inside)) = value_of(&found).and_then(|(start, end)| Some((start, text.get(start..end)?)))
            && depth < NESTING
        {
            // What is no secret itself may hold one: a quotation that is not closed goes on to the end of the line.
            all.extend(masks(number, mask, inside, depth + 1).into_iter().map(|(from, to, by)| (start + from, start + to, by)));
        }
    }
    all
}

/// Where the value of a match is.
fn value_of(found: &Groups<'_>) -> Option<(usize, usize)> {
    let named = |wanted: &str| found.iter().find(|(name, ..)| *name == wanted).map(|&(_, start, end)| (start, end));
    ["value", "value1", "value2", "value3", "value4"].into_iter().find_map(named)
}

/// Where a text may be cut at or before an offset without leaving half a secret, which no rule would know any more.
pub fn cut_before(text: &str, at: usize) -> usize {
    secrets_at(text, at).map_or_else(|| boundary(text, at), |secret| secret.start)
}

/// The same at or behind an offset.
pub fn cut_behind(text: &str, at: usize) -> usize {
    secrets_at(text, at).map_or_else(|| boundary(text, at), |secret| secret.end)
}

/// The same as [`cut_before`] for bytes that need not be text.
pub fn cut_bytes_before(bytes: &[u8], at: usize) -> usize {
    secrets_in_bytes_at(bytes, at).map_or(at.min(bytes.len()), |secret| secret.start)
}

/// The same as [`cut_behind`] for bytes that need not be text.
pub fn cut_bytes_behind(bytes: &[u8], at: usize) -> usize {
    secrets_in_bytes_at(bytes, at).map_or(at.min(bytes.len()), |secret| secret.end)
}

fn secrets_in_bytes_at(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    if at >= bytes.len() {
        return None;
    }
    let from = at.saturating_sub(AROUND);
    let part = bytes.get(from..bytes.len().min(at.saturating_add(AROUND)))?;
    // Secrets are of ASCII, and what stands for the rest must be one byte each.
    let text: String = part.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let secret = secrets_at(&text, at - from)?;
    Some(from + secret.start..from + secret.end)
}

/// The secret that lies across an offset; where several do, all that they cover.
fn secrets_at(text: &str, at: usize) -> Option<Range<usize>> {
    if at >= text.len() {
        return None;
    }
    let at = boundary(text, at);
    let from = boundary(text, at.saturating_sub(AROUND));
    let part = text.get(from..boundary(text, at + AROUND))?;
    let mut covered: Option<Range<usize>> = None;
    for (whole, _) in secrets_in(part) {
        let (start, end) = (from + whole.start, from + whole.end);
        if start < at && at < end {
            covered = Some(covered.map_or(start..end, |c| c.start.min(start)..c.end.max(end)));
        }
    }
    covered
}

/// The secrets of a text: for each all that shows it, and what of that is masked.
pub(crate) fn secrets_in(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut secrets = Vec::new();
    for number in applying(text) {
        for found in matches(number, text) {
            if let (Some(&(_, first, last)), Some((start, end, _))) = (found.first(), masked_part(RULES[number].mask, text, &found)) {
                secrets.push((first..last, start..end));
            }
        }
    }
    secrets
}

/// The next character's beginning at or before an offset.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Which part of a match is masked, and what stands for it; nothing if it is no secret.
fn masked_part(mask: Mask, text: &str, found: &Groups<'_>) -> Option<(usize, usize, &'static str)> {
    let named = |wanted: &str| found.iter().find(|(name, ..)| *name == wanted).map(|&(_, start, end)| (start, end));
    let &(_, first, last) = found.first()?;
    match mask {
        Mask::Hint | Mask::Random => {
            let (_, start) = named("hint").unwrap_or((first, first));
            let secret = text.get(start..last)?;
            if secret.trim().is_empty() || mask == Mask::Random && !is_random(secret) {
                return None;
            }
            Some((start, last, if text.get(first..)?.starts_with("-----") { " ****" } else { MASK }))
        }
        Mask::Value | Mask::Looks => {
            let (start, end) = value_of(found)?;
            let value = text.get(start..end)?;
            let keep = match mask {
                Mask::Looks => !looks_secret(value),
                _ => is_placeholder(value) || is_prose(text.get(first..start)?, value, named("value4").is_some(), named("value").is_some()),
            };
            (!keep).then_some((start, end, if named("value3").is_some() { "'****'" } else { MASK }))
        }
    }
}

/// Whether what follows a vendor's prefix is random and not words: it has a digit, or mixes upper and lower case.
fn is_random(text: &str) -> bool {
    let text = text.trim_end_matches(['…', '.']);
    let digit = text.bytes().any(|b| b.is_ascii_digit());
    let upper = text.bytes().any(|b| b.is_ascii_uppercase());
    let lower = text.bytes().any(|b| b.is_ascii_lowercase());
    let longest = text.split(['-', '_']).map(str::len).max().unwrap_or(0);
    longest >= 6 && ((digit && (upper || lower)) || (upper && lower))
}

/// Whether a value is a secret by its looks alone: long, without words' shape, with digits among letters.
fn looks_secret(text: &str) -> bool {
    if is_placeholder(text) || text.contains("://") || text.starts_with('/') || text.starts_with("./") || text.contains('<') {
        return false;
    }
    let longest = text.split(['-', '_', '.', '/', ':', '@']).map(str::len).max().unwrap_or(0);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    text.len() >= 12 && longest >= 10 && digits >= 2 && letters >= 4
}

/// Whether a value says that there is none, or where it comes from.
fn is_placeholder(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'', '`']).trim_end_matches(['.', ',', ';', ':', '!']);
    const WORDS: &[&str] = &[
        "",
        "none",
        "null",
        "nil",
        "true",
        "false",
        "undefined",
        "empty",
        "unset",
        "not",
        "is",
        "are",
        "was",
        "missing",
        "required",
        "invalid",
        "must",
        "the",
        "a",
        "for",
        "from",
        "set",
        "provided",
        "string",
        "str",
        "bytes",
        "bool",
        "int",
        "optional",
        "union",
        "list",
        "default",
        "expected",
        "found",
        "and",
        "or",
        "in",
        "to",
        "with",
        "has",
        "no",
        "incorrect",
        "failed",
        "denied",
        "unauthorized",
        "forbidden",
        "bearer",
        "basic",
        "token",
        "digest",
        "negotiate",
        "apikey",
        "option",
        "flag",
        "argument",
        "parameter",
        "when",
        "if",
        "as",
        "can",
        "should",
        "will",
        "value",
        "of",
        "by",
        "at",
    ];
    let lower = value.to_ascii_lowercase();
    let word = lower.split('[').next().unwrap_or_default();
    WORDS.contains(&word)
        || value.contains(MASK)
        || value.starts_with(['$', '<', '{', '%', '@', '*'])
        || lower.starts_with("os.environ")
        || lower.starts_with("os.getenv")
        || lower.contains("redacted")
        || lower.starts_with("env.")
        || lower.chars().all(|c| c == 'x' || c == '.' || c == '…' || c == '-')
}

/// Whether an unquoted value after a colon or a blank is a word of a sentence, or the name in a usage line.
fn is_prose(before: &str, value: &str, is_unquoted: bool, is_argument: bool) -> bool {
    let loose = if is_unquoted {
        before.ends_with(": ")
    } else {
        let flag = before.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        is_argument && flag.starts_with('-') && before.ends_with(char::is_whitespace)
    };
    loose && !value.is_empty() && value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// Whether an argument's name says that its value is a secret.
fn is_secret_name(name: &str) -> bool {
    !matches(RULES.len(), name).is_empty()
        && !["bos", "eos", "pad", "unk", "sep", "cls", "mask", "image", "video", "audio", "stop", "start", "end"]
            .iter()
            .any(|word| name.to_ascii_lowercase().contains(&format!("{word}_token")))
}

/// Masks the secrets in every text of a report, counts them into `secrets_masked` and returns the count.
pub fn redact_report(report: &mut PostMortem) -> u64 {
    let mut count = 0;
    let c = &mut count;
    text(&mut report.source.name, c);
    report.source.problems.iter_mut().for_each(|p| text(p, c));
    option(&mut report.would_settle, c);
    for incident in &mut report.incidents {
        text(&mut incident.headline, c);
        text(&mut incident.explanation, c);
        for evidence in &mut incident.evidence {
            text(&mut evidence.text, c);
            option(&mut evidence.time, c);
        }
        for contributing in &mut incident.contributing {
            text(&mut contributing.reason, c);
        }
        for remedy in &mut incident.remedies {
            text(&mut remedy.title, c);
            text(&mut remedy.rationale, c);
            text(&mut remedy.tradeoff, c);
            text(&mut remedy.verify, c);
            text(&mut remedy.otherwise, c);
            option(&mut remedy.command, c);
            for change in &mut remedy.changes {
                text(&mut change.flag, c);
                let secret = is_secret_name(&change.flag);
                for side in [&mut change.from, &mut change.to].into_iter().flatten() {
                    named(secret, side, c);
                }
            }
        }
    }
    let deployment = &mut report.deployment;
    for field in [&mut deployment.engine, &mut deployment.engine_version, &mut deployment.model, &mut deployment.dtype, &mut deployment.quantization]
    {
        option(field, c);
    }
    for device in &mut deployment.devices {
        option(&mut device.name, c);
    }
    let arguments: BTreeMap<String, Value> = mem::take(&mut deployment.arguments);
    deployment.arguments = arguments
        .into_iter()
        .map(|(mut name, mut argument)| {
            value(&name, &mut argument, c);
            text(&mut name, c);
            (name, argument)
        })
        .collect();
    for event in &mut report.timeline {
        text(&mut event.text, c);
        text(&mut event.kind, c);
        option(&mut event.clock, c);
        option(&mut event.time, c);
    }
    report.secrets_masked += count;
    count
}

/// Masks in place.
fn text(text: &mut String, count: &mut u64) {
    let (Cow::Owned(masked), found) = redact(text) else { return };
    *text = masked;
    *count += found;
}

/// Masks in place where there is a text.
fn option(field: &mut Option<String>, count: &mut u64) {
    if let Some(field) = field {
        text(field, count);
    }
}

/// Masks in a value whose name says that it is a secret, or does not.
fn named(secret: bool, value: &mut String, count: &mut u64) {
    let before = *count;
    text(value, count);
    if secret && *count == before && !is_placeholder(value) {
        *count += 1;
        MASK.clone_into(value);
    }
}

/// Masks in an argument's value, all of it when its name says so.
fn value(name: &str, argument: &mut Value, count: &mut u64) {
    let secret = is_secret_name(name);
    match argument {
        Value::String(s) => named(secret, s, count),
        Value::Number(_) if secret => {
            *count += 1;
            *argument = Value::from(MASK);
        }
        Value::Array(items) => {
            let mut flag = String::new();
            for item in items {
                let this = item.as_str().filter(|s| s.starts_with('-')).map(|s| s.trim_start_matches('-').to_owned());
                let before = mem::take(&mut flag);
                value(if this.is_some() || before.is_empty() { name } else { &before }, item, count);
                flag = this.unwrap_or_default();
            }
        }
        Value::Object(fields) => {
            *fields = mem::take(fields)
                .into_iter()
                .map(|(mut key, mut item)| {
                    value(if secret { name } else { &key }, &mut item, count);
                    text(&mut key, count);
                    (key, item)
                })
                .collect();
        }
        _ => {}
    }
}

/// Whether every rule's expression compiles, at build time and at run time.
#[cfg(test)]
pub(super) fn all_rules_compile() -> bool {
    let patterns = RULES.iter().map(|rule| rule.pattern).chain([NAME]);
    PROGRAMS.iter().all(Option::is_some) && patterns.into_iter().all(|pattern| Regex::new(&expression(pattern)).is_ok())
}
