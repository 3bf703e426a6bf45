//! Masks secrets in everything that a report quotes.
//!
//! Logs hold tokens: engines print their arguments, tools their environment, clients their headers. A report is
//! pasted into issues and chats, so whatever looks like a secret becomes a hint of its kind: `hf_****`.
//! Two ways lead to a secret: its own shape (a vendor's prefix), and the name that it is given (`api_key=`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::ops::Range;
use std::sync::OnceLock;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::post_mortem::PostMortem;

/// What stands for a secret.
const MASK: &str = "****";
/// Bytes around a cut that are searched for a secret that it would go through; the longest are keys in several lines.
const AROUND: usize = 16 * 1024;

/// Names whose value is always a secret.
const STRICT: &str = r"api[-_.]?keys?|access[-_]?token|auth[-_]?token|refresh[-_]?token|id[-_]token|session[-_]?token|security[-_]?token|bearer[-_]?token|hf[-_]?token|hub[-_]?token|hugging[-_]?face[-_]?(?:hub[-_]?)?token|github[-_]?token|gitlab[-_]?token|slack[-_]?token|secret[-_]?access[-_]?key|secret[-_]?key|client[-_]?secret|private[-_]?key|access[-_]?key|account[-_]?key|password|passwd|passphrase";

/// Names whose value is a secret if it looks like one.
const LOOSE: &str = r"token|secret|credentials?|auth|license[-_]?key";

/// One way to know a secret.
struct Rule {
    /// Lower-case literals, one of which is in every text that the rule applies to.
    anchors: &'static [&'static str],
    /// The expression; `STRICT` and `LOOSE` are replaced.
    pattern: &'static str,
    /// How to mask a match.
    mask: Mask,
    /// The compiled expression.
    regex: OnceLock<Option<Regex>>,
}

/// How a match is masked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mask {
    /// Group `hint` stays, the rest of the match is masked.
    Hint,
    /// The same, but only if the match, without its hint, looks random.
    Random,
    /// Groups `value*` are masked, what surrounds them stays; values that are no secrets stay too.
    Value,
    /// The same, but only values that look like secrets.
    Looks,
}

/// Short for a rule.
const fn rule(anchors: &'static [&'static str], pattern: &'static str, mask: Mask) -> Rule {
    Rule { anchors, pattern, mask, regex: OnceLock::new() }
}

/// The rules, in the order in which they are applied: whole blocks and shapes first, names last.
static RULES: [Rule; 27] = [
    rule(
        &["private key"],
        r"(?P<hint>-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)(?:[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\,:-]*)",
        Mask::Hint,
    ),
    rule(&["eyj"], r"\b(?P<hint>eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?", Mask::Hint),
    rule(&["hf_"], r"\b(?P<hint>hf_)(?:[A-Za-z0-9]{16,}|[A-Za-z0-9]{6,}(?:…|\.\.\.))", Mask::Random),
    rule(&["api_org_"], r"\b(?P<hint>api_org_)[A-Za-z0-9]{10,}", Mask::Random),
    rule(&["sk-"], r"\b(?P<hint>sk-(?:ant-(?:api\d\d-|admin\d\d-)?|proj-|svcacct-|admin-|or-v1-|lf-)?)[A-Za-z0-9_-]{16,}", Mask::Random),
    rule(&["sk_", "rk_"], r"\b(?P<hint>[sr]k_(?:live|test)_)[A-Za-z0-9]{16,}", Mask::Hint),
    rule(&["gsk_", "pplx-", "r8_"], r"\b(?P<hint>gsk_|pplx-|r8_)[A-Za-z0-9]{24,}", Mask::Random),
    rule(&["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"\b(?P<hint>gh[pousr]_)[A-Za-z0-9]{20,}", Mask::Hint),
    rule(&["github_pat_"], r"\b(?P<hint>github_pat_)[A-Za-z0-9_]{20,}", Mask::Hint),
    rule(&["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-"], r"\b(?P<hint>gl(?:pat|dt|rt|cbt|ptt)-)[A-Za-z0-9_.-]{16,}", Mask::Hint),
    rule(&["xox", "xapp-"], r"\b(?P<hint>xox[a-z]-|xapp-)[A-Za-z0-9-]{10,}", Mask::Hint),
    rule(&["hooks.slack.com"], r"(?P<hint>hooks\.slack\.com/(?:services|workflows)/)[A-Za-z0-9_/-]{10,}", Mask::Hint),
    rule(&["aiza"], r"\b(?P<hint>AIza)[A-Za-z0-9_-]{30,}", Mask::Hint),
    rule(&["ya29.", "gocspx-"], r"\b(?P<hint>ya29\.|GOCSPX-)[A-Za-z0-9_-]{20,}", Mask::Hint),
    rule(&["akia", "asia", "aroa", "aida"], r"\b(?P<hint>AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b", Mask::Hint),
    rule(&["nvapi-"], r"\b(?P<hint>nvapi-)[A-Za-z0-9_-]{20,}", Mask::Hint),
    rule(&["npm_", "pypi-", "dckr_"], r"\b(?P<hint>npm_|pypi-AgE|dckr_pat_)[A-Za-z0-9_-]{24,}", Mask::Hint),
    rule(&["wandb_v"], r"\b(?P<hint>wandb_v\d_)[A-Za-z0-9_]{20,}", Mask::Hint),
    rule(&["wandb"], r"(?i)wandb(?:[^\n]{0,60}?\b|[a-z_ .]*)(?:api_?key|key|login|netrc)\b[^\n]{0,40}?\b(?P<value>[0-9a-f]{40})\b", Mask::Value),
    rule(
        &["authorization"],
        r#"(?i)authorization\\*["']?\s*[:=]\s*(?:b?\\*["'])?(?:(?:bearer|basic|token|digest|apikey|negotiate)\s+)?(?P<value>[A-Za-z0-9._~+/=:-]{4,})"#,
        Mask::Value,
    ),
    rule(&["bearer"], r"(?i)\bbearer\s+(?P<value>[A-Za-z0-9._~+/=-]{6,})", Mask::Looks),
    rule(&["cookie"], r"(?i)\b(?:set-)?cookie\\*['\x22]?\s*:\s*\\*['\x22]?(?P<value>[^\s'\x22]+=[^\s'\x22][^'\x22\n]*)", Mask::Value),
    rule(&["://"], r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\x22]*:(?P<value>[^\s/@'\x22]+)@", Mask::Value),
    rule(
        &["sig", "token", "key", "policy", "credential"],
        r"(?i)[?&](?:sig|signature|policy|x-(?:amz|goog)-(?:signature|credential|security-token)|token|key|auth)=(?P<value>[^&\s'\x22<>]{8,})",
        Mask::Value,
    ),
    rule(
        &["key", "token", "secret", "passw", "passphrase"],
        concat!(
            r"(?i)(?:^|[^A-Za-z0-9])-{1,2}(?:(?:[a-z0-9]+[-_])*?(?:STRICT)|token)",
            r#"(?:\s+|\s*\\*["']?\s*,\s*\\*["']?)(?P<value>[^\s"',\\;|<>\[\]-][^\s"',\\;|<>\]]*)"#
        ),
        Mask::Value,
    ),
    rule(
        &["key", "token", "secret", "passw", "passphrase"],
        concat!(
            r#"(?i)(?:STRICT)\\*["']?\s?(?:=>|[:=])\s?(?:Some\(|SecretStr\(|Secret\(|Sensitive\(|b)?\s*"#,
            r#"(?:\\*"(?P<value1>[^"\\\n]+)|\\*'(?P<value2>[^'\\\n]+)|\[(?P<value3>[^\]\n]+)\]|(?P<value4>[^\s"',;()\[\]{}&|<>\\][^\s"',;)\]}&|<>]*))"#
        ),
        Mask::Value,
    ),
    rule(
        &["token", "secret", "credential", "auth", "license"],
        concat!(
            r#"(?i)\b(?:[a-z0-9]+[-_])*(?:LOOSE)\\*["']?\s?(?:=>|[:=])\s?(?:Some\(|SecretStr\(|Secret\(|b)?\s*\\*["']?"#,
            r#"(?P<value>[A-Za-z0-9._~+/=:@-]{12,})"#
        ),
        Mask::Looks,
    ),
];

impl Rule {
    /// The compiled expression; none if it does not compile, which a test rules out.
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| Regex::new(&self.pattern.replace("STRICT", STRICT).replace("LOOSE", LOOSE)).ok()).as_ref()
    }
}

/// The text with its secrets masked, and how many there were.
///
/// ```
/// let (text, count) = oomdoc::report::redact::redact("HF_TOKEN=hf_aB3dE5fG7hI9jK1lM3nO5pQ7");
/// assert_eq!((text.as_ref(), count), ("HF_TOKEN=hf_****", 1));
/// ```
pub fn redact(text: &str) -> (Cow<'_, str>, u64) {
    let lower = text.to_ascii_lowercase();
    let mut out = Cow::Borrowed(text);
    let mut count = 0;
    for rule in &RULES {
        if !rule.anchors.iter().any(|anchor| lower.contains(anchor)) {
            continue;
        }
        let Some(regex) = rule.regex() else { continue };
        let mut masked = 0;
        let replaced = regex.replace_all(&out, |found: &Captures<'_>| rule.replace(found, &mut masked)).into_owned();
        if masked > 0 {
            count += masked;
            out = Cow::Owned(replaced);
        }
    }
    (out, count)
}

/// Where a text may be cut at or before an offset without leaving half a secret, which no rule would know any more.
pub fn cut_before(text: &str, at: usize) -> usize {
    secrets_at(text, at).map_or_else(|| boundary(text, at), |secret| secret.start)
}

/// The same at or behind an offset.
pub fn cut_behind(text: &str, at: usize) -> usize {
    secrets_at(text, at).map_or_else(|| boundary(text, at), |secret| secret.end)
}

/// The secret that lies across an offset; where several do, all that they cover.
fn secrets_at(text: &str, at: usize) -> Option<Range<usize>> {
    let at = boundary(text, at);
    let from = boundary(text, at.saturating_sub(AROUND));
    let part = text.get(from..boundary(text, at + AROUND))?;
    let lower = part.to_ascii_lowercase();
    let mut covered: Option<Range<usize>> = None;
    for rule in RULES.iter().filter(|rule| rule.anchors.iter().any(|anchor| lower.contains(anchor))) {
        let Some(regex) = rule.regex() else { continue };
        for found in regex.captures_iter(part) {
            let Some(whole) = found.get(0).map(|whole| from + whole.start()..from + whole.end()) else { continue };
            let mut masked = 0;
            if whole.start >= at || at >= whole.end {
                continue;
            }
            rule.replace(&found, &mut masked);
            if masked > 0 {
                let (start, end) = covered.map_or((whole.start, whole.end), |c| (c.start.min(whole.start), c.end.max(whole.end)));
                covered = Some(start..end);
            }
        }
    }
    covered
}

/// The next character's beginning at or before an offset.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl Rule {
    /// What a match becomes.
    fn replace(&self, found: &Captures<'_>, masked: &mut u64) -> String {
        let Some(whole) = found.get(0) else { return String::new() };
        let text = whole.as_str();
        match self.mask {
            Mask::Hint | Mask::Random => {
                let hint = found.name("hint").map_or("", |h| h.as_str());
                let secret = text.get(hint.len()..).unwrap_or_default();
                if secret.trim().is_empty() || (self.mask == Mask::Random && !is_random(secret)) {
                    return text.to_owned();
                }
                *masked += 1;
                if hint.starts_with("-----") { format!("{hint} {MASK}") } else { format!("{hint}{MASK}") }
            }
            Mask::Value | Mask::Looks => {
                let value = ["value", "value1", "value2", "value3", "value4"].iter().find_map(|name| found.name(name));
                let Some(value) = value else { return text.to_owned() };
                let keep = match self.mask {
                    Mask::Looks => !looks_secret(value.as_str()),
                    _ => is_placeholder(value.as_str()) || is_prose(found, value.as_str()),
                };
                if keep {
                    return text.to_owned();
                }
                *masked += 1;
                let before = text.get(..value.start() - whole.start()).unwrap_or_default();
                let after = text.get(value.end() - whole.start()..).unwrap_or_default();
                let inner = if found.name("value3").is_some() { "'****'" } else { MASK };
                format!("{before}{inner}{after}")
            }
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
fn is_prose(found: &Captures<'_>, value: &str) -> bool {
    let Some(whole) = found.get(0) else { return false };
    let loose = match (found.name("value4"), found.name("value")) {
        (Some(v), _) => whole.as_str().get(..v.start() - whole.start()).is_some_and(|before| before.ends_with(": ")),
        (None, Some(v)) => {
            let before = whole.as_str().get(..v.start() - whole.start()).unwrap_or_default();
            before.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-').starts_with('-') && before.ends_with(char::is_whitespace)
        }
        _ => false,
    };
    loose && !value.is_empty() && value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// Whether an argument's name says that its value is a secret.
fn is_secret_name(name: &str) -> bool {
    static REGEX: OnceLock<Option<Regex>> = OnceLock::new();
    REGEX.get_or_init(|| Regex::new(&format!("(?i)(?:^|[-_.])(?:{STRICT}|authtoken|token)$")).ok()).as_ref().is_some_and(|regex| regex.is_match(name))
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
            option(&mut remedy.command, c);
            for change in &mut remedy.changes {
                text(&mut change.flag, c);
                for side in [&mut change.from, &mut change.to] {
                    if is_secret_name(&change.flag) {
                        if let Some(value) = side.as_mut().filter(|v| !is_placeholder(v)) {
                            MASK.clone_into(value);
                            *c += 1;
                        }
                    } else {
                        option(side, c);
                    }
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

/// Masks in an argument's value, all of it when its name says so.
fn value(name: &str, argument: &mut Value, count: &mut u64) {
    let secret = is_secret_name(name);
    match argument {
        Value::String(s) if secret => {
            let (masked, found) = redact(s);
            if found > 0 {
                *count += found;
                *s = masked.into_owned();
            } else if !is_placeholder(s) {
                *count += 1;
                MASK.clone_into(s);
            }
        }
        Value::String(s) => text(s, count),
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
            for (key, item) in fields.iter_mut() {
                value(if secret { name } else { key }, item, count);
            }
        }
        _ => {}
    }
}

/// Whether every rule's expression compiles.
#[cfg(test)]
pub(super) fn all_rules_compile() -> bool {
    RULES.iter().all(|rule| rule.regex().is_some())
}
