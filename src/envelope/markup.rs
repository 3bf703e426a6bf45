//! Text that was copied out of a page: entities for characters, tags around lines.

/// Tags of which a line by itself is a blank line of the log.
const OF_A_LINE: &[&str] = &["span", "div", "p", "td", "tr", "li"];
/// Tags that pages put around a log and its lines.
const TAGS: &[&str] =
    &["pre", "code", "span", "div", "p", "br", "details", "summary", "html", "body", "samp", "td", "tr", "table", "tbody", "li", "ol", "ul"];
const ENTITIES: &[(&str, &str)] = &[
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#39;", "'"),
    ("&#x27;", "'"),
    ("&#34;", "\""),
    ("&apos;", "'"),
    ("&nbsp;", " "),
    ("&amp;", "&"),
];

/// True for a line of tags and nothing else, except what stands in a summary.
pub(super) fn is_tags(text: &str) -> bool {
    let text = text.trim();
    if text.starts_with("<summary>") && text.ends_with("</summary>") || text.starts_with("<!DOCTYPE") && text.ends_with('>') {
        return true;
    }
    let mut rest = text;
    while let Some(len) = tag(rest) {
        let name = rest.trim_start_matches(['<', '/']);
        if OF_A_LINE.iter().any(|of| name.strip_prefix(of).is_some_and(|after| after.starts_with(['>', ' ']))) {
            return false;
        }
        rest = rest[len..].trim_start();
    }
    rest.is_empty() && !text.is_empty()
}

/// True for a line that begins with a tag.
pub(super) fn is_marked(text: &str) -> bool {
    tag(text).is_some()
}

/// Takes the tags off a line that begins with one, and puts characters for entities. False if there was nothing to do.
pub(super) fn unmark(text: &mut String) -> bool {
    let mut changed = false;
    if is_marked(text) {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find('<') {
            let len = tag(&rest[at..]);
            out.push_str(&rest[..at + usize::from(len.is_none())]);
            rest = &rest[at + len.unwrap_or(1)..];
        }
        out.push_str(rest);
        *text = out;
        changed = true;
    }
    if text.contains('&') {
        for (entity, character) in ENTITIES {
            if text.contains(entity) {
                *text = text.replace(entity, character);
                changed = true;
            }
        }
    }
    changed
}

/// How long the tag is that a text begins with.
fn tag(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    let name = inner.bytes().take(12).take_while(u8::is_ascii_alphanumeric).count();
    if !TAGS.contains(&inner.get(..name)?) || !inner[name..].starts_with(['>', ' ', '/']) {
        return None;
    }
    let close = inner.bytes().take(400).position(|b| b == b'>')?;
    Some(text.len() - inner.len() + close + 1)
}
