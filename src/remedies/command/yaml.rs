//! YAML read into the values of JSON, and written.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

use crate::remedies::flags::Problem;

/// Bytes of a file that are read.
const MAX_BYTES: usize = 4 << 20;
/// Values of a file: aliases make few lines many.
const MAX_VALUES: usize = 200_000;
const MAX_DEPTH: usize = 100;

/// The documents of a YAML file. Merge keys (`<<`) are resolved; tags are passed over.
///
/// # Errors
/// When it is no YAML.
pub(super) fn read(text: &str) -> Result<Vec<Value>, Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::Unreadable("the file is too large".to_owned()));
    }
    let too_much = || Problem::Unreadable("the file nests or repeats too much".to_owned());
    if !is_flat_enough(text) {
        return Err(too_much());
    }
    let documents = Yaml::load_from_str(text).map_err(|error| Problem::Unreadable(format!("the file is no YAML: {error}")))?;
    let mut left = MAX_VALUES;
    documents.iter().map(|document| value(document, &mut left, 0)).collect::<Option<_>>().ok_or_else(too_much)
}

/// Whether lists and mappings do not lie too deep in one another. Loading calls itself for each, and the parser's own limit
/// counts brackets only.
fn is_flat_enough(text: &str) -> bool {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(text) {
        match event {
            Ok((Event::SequenceStart(..) | Event::MappingStart(..), _)) => depth += 1,
            Ok((Event::SequenceEnd | Event::MappingEnd, _)) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            // What is wrong is said by loading it.
            Err(_) => return true,
        }
        if depth > MAX_DEPTH {
            return false;
        }
    }
    true
}

fn value(yaml: &Yaml<'_>, left: &mut usize, depth: usize) -> Option<Value> {
    *left = left.checked_sub(1)?;
    if depth > MAX_DEPTH {
        return None;
    }
    Some(match yaml {
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) | Yaml::Representation(value, ..) => value.as_ref().into(),
        Yaml::Sequence(values) => Value::Array(values.iter().map(|item| value(item, left, depth + 1)).collect::<Option<_>>()?),
        Yaml::Mapping(pairs) => {
            let mut map = Map::new();
            for (key, item) in pairs {
                let item = value(item, left, depth + 1)?;
                let key = match value(key, left, depth + 1)? {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                if key == "<<" {
                    let merged = if let Value::Array(items) = item { items } else { vec![item] };
                    for other in merged.iter().filter_map(Value::as_object).flatten() {
                        map.entry(other.0.clone()).or_insert_with(|| other.1.clone());
                    }
                } else {
                    map.insert(key, item);
                }
            }
            Value::Object(map)
        }
        Yaml::Tagged(_, inner) => value(inner, left, depth + 1)?,
        _ => Value::Null,
    })
}

/// Writes a value as a YAML document.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out.trim_end().to_owned()
}

fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                out.push_str(&pad);
                out.push_str(&scalar(key));
                out.push(':');
                nested(item, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&pad);
                out.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        // The first key stands behind the dash.
                        let mut inner = String::new();
                        block(item, indent + 2, &mut inner);
                        out.push(' ');
                        out.push_str(inner.trim_start());
                    }
                    _ => nested(item, indent, out),
                }
            }
        }
        other => {
            out.push_str(&pad);
            out.push_str(&leaf(other));
            out.push('\n');
        }
    }
}

fn nested(item: &Value, indent: usize, out: &mut String) {
    match item {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(item, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(item, indent + 2, out);
        }
        other => {
            out.push(' ');
            out.push_str(&leaf(other));
            out.push('\n');
        }
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}

/// A string: bare where no reader could take it for anything else.
fn scalar(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"];
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b':'))
        && !text.ends_with(':')
        && !words.contains(&text.to_ascii_lowercase().as_str());
    let flag = text.starts_with("--") && text.len() > 2 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if (bare || flag) && !text.starts_with("---") { text.to_owned() } else { Value::from(text).to_string() }
}
