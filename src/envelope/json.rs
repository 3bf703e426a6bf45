//! Lines that are a JSON object around the text: container runtimes, journals, cloud exports and structured loggers.

use serde_json::{Map, Value};

use super::prefix::rank_of;
use super::stamps;
use super::{Level, Origin};
use crate::time::Stamp;

type Object = Map<String, Value>;

/// What was in an object.
#[derive(Debug, Default)]
pub(super) struct Unwrapped {
    /// The text, with line breaks.
    pub(super) text: String,
    /// True if a program's logger made the object, false if something merely carried a line in it.
    pub(super) record: bool,
    /// For Docker's log files: the stream's name.
    pub(super) docker_stream: Option<String>,
    pub(super) origin: Origin,
    pub(super) stamp: Option<Stamp>,
    pub(super) level: Option<Level>,
    pub(super) logger: Option<String>,
}

/// Unwraps an object that is a log line's wrapper; any other object is nobody's wrapper and stays as it is.
pub(super) fn unwrap(text: &str) -> Option<Unwrapped> {
    let text = text.trim();
    if !text.ends_with('}') || !text.starts_with('{') {
        return None;
    }
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return None };
    of_object(&object)
}

fn of_object(object: &Object) -> Option<Unwrapped> {
    docker(object)
        .or_else(|| journal(object))
        .or_else(|| google(object))
        .or_else(|| loguru(object))
        .or_else(|| tracing(object))
        .or_else(|| azure(object))
        .or_else(|| loki(object))
        .or_else(|| nested(object))
        .or_else(|| streamed(object))
        .or_else(|| logger(object))
}

/// The lines of an export that has many on one: a list of objects, or the answer of a log store.
pub(super) fn lines_of_export(text: &str) -> Option<Vec<Unwrapped>> {
    let text = text.trim().trim_matches(',');
    // A list that is printed one object a line begins with `[`, its later lines with commas.
    if let Some(first) = text.strip_prefix('[').filter(|rest| rest.trim_start().starts_with('{') && !rest.ends_with(']')) {
        return Some(vec![unwrap(first)?]);
    }
    if !text.ends_with(['}', ']']) || text.starts_with('[') && !text[1..].trim_start().starts_with('{') {
        return None;
    }
    let lines = match serde_json::from_str(text).ok()? {
        Value::Array(items) => items.iter().filter_map(Value::as_object).filter_map(of_object).collect(),
        Value::Object(answer) => lines_of_answer(&answer).or_else(|| Some(vec![of_object(&answer)?]))?,
        _ => return None,
    };
    (!lines.is_empty()).then_some(lines)
}

/// The answers of CloudWatch, Elasticsearch, Loki, and what OpenTelemetry's collector writes.
fn lines_of_answer(answer: &Object) -> Option<Vec<Unwrapped>> {
    let objects = |list: &Value| -> Vec<Object> { list.as_array().into_iter().flatten().filter_map(Value::as_object).cloned().collect() };
    if let Some(events) = answer.get("events") {
        return Some(objects(events).iter().filter_map(of_object).collect());
    }
    if let Some(hits) = object(answer, "hits").and_then(|hits| hits.get("hits")) {
        return Some(objects(hits).iter().filter_map(of_object).collect());
    }
    if let Some(streams) = object(answer, "data").and_then(|data| data.get("result")) {
        let line = |stream: &Object, entry: &Value| -> Option<Unwrapped> {
            let container = object(stream, "stream").and_then(kubernetes);
            let [time, line, ..] = entry.as_array()?.as_slice() else { return None };
            let origin = Origin { container, ..Origin::default() };
            Some(Unwrapped { text: line.as_str()?.to_owned(), origin, stamp: stamps::of_json(time), ..Unwrapped::default() })
        };
        let of_stream = |stream: &Object| -> Vec<Unwrapped> {
            stream.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(|entry| line(stream, entry)).collect()
        };
        return Some(objects(streams).iter().flat_map(of_stream).collect());
    }
    let records = |scope: Object| objects(scope.get("logRecords").unwrap_or(&Value::Null));
    let scopes = |resource: Object| objects(resource.get("scopeLogs").unwrap_or(&Value::Null));
    let resources = objects(answer.get("resourceLogs")?);
    Some(resources.into_iter().flat_map(scopes).flat_map(records).filter_map(|record| telemetry(&record)).collect())
}

/// OpenTelemetry's `{"timeUnixNano":"..","body":{"stringValue":".."}}`
fn telemetry(line: &Object) -> Option<Unwrapped> {
    let text = string(object(line, "body")?, &["stringValue"])?;
    Some(Unwrapped { text: text.to_owned(), stamp: stamp(line, &["timeUnixNano", "observedTimeUnixNano"]), ..Unwrapped::default() })
}

/// Exports with the line inside: Elasticsearch's `_source`, Datadog's `attributes` and `content`, Splunk's `result`.
fn nested(line: &Object) -> Option<Unwrapped> {
    let inner = ["_source", "attributes", "content", "result"].iter().find_map(|key| object(line, key))?;
    let text = string(inner, &["message", "_raw", "log"])?;
    let pod = object(inner, "kubernetes").and_then(|k| Some((object(k, "pod")?, object(k, "container"))));
    let container = object(inner, "kubernetes").and_then(kubernetes).or_else(|| {
        let (pod, container) = pod?;
        let name = |of: &Object| string(of, &["name"]).map(str::to_owned);
        Some(match container.and_then(name) {
            Some(container) => format!("{}/{container}", name(pod)?),
            None => name(pod)?,
        })
    });
    let origin = Origin { container, ..Origin::default() };
    Some(Unwrapped { text: text.to_owned(), origin, stamp: stamp(inner, TIMES).or_else(|| stamp(inner, &["_time"])), ..Unwrapped::default() })
}

/// Kaggle's `{"stream_name":"stderr","time":1.5,"data":".."}`
fn streamed(line: &Object) -> Option<Unwrapped> {
    let (_, text) = (string(line, &["stream_name"])?, string(line, &["data"])?);
    Some(Unwrapped { text: text.to_owned(), ..Unwrapped::default() })
}

/// True for what exports call the text of a line.
pub(super) fn is_message(key: &str) -> bool {
    MESSAGES.contains(&key) || matches!(key, "textPayload" | "MESSAGE" | "line" | "_raw" | "LogMessage" | "LogEntry" | "log")
}

/// True for what exports call its time.
pub(super) fn is_time(key: &str) -> bool {
    TIMES.contains(&key) || key == "__REALTIME_TIMESTAMP"
}

fn string<'a>(object: &'a Object, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| object.get(*key).and_then(Value::as_str))
}

fn object<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key).and_then(Value::as_object)
}

fn small_number(value: Option<&Value>) -> Option<u32> {
    let value = value?;
    value.as_u64().and_then(|n| u32::try_from(n).ok()).or_else(|| value.as_str()?.parse().ok())
}

fn stamp(object: &Object, keys: &[&str]) -> Option<Stamp> {
    keys.iter().find_map(|key| object.get(*key).and_then(stamps::of_json))
}

const TIMES: &[&str] = &["timestamp", "@timestamp", "time", "ts", "asctime", "datetime", "date", "@t", "TimeGenerated", "eventTime", "Timestamp"];

/// Pod and container in what Kubernetes' collectors add.
fn kubernetes(labels: &Object) -> Option<String> {
    let pod = string(labels, &["pod_name", "pod", "PodName"])?;
    Some(match string(labels, &["container_name", "container", "ContainerName"]) {
        Some(container) => format!("{pod}/{container}"),
        None => pod.to_owned(),
    })
}

/// `{"log":"..\n","stream":"stderr","time":".."}`
fn docker(line: &Object) -> Option<Unwrapped> {
    let text = string(line, &["log"])?;
    if !line.contains_key("time") && !line.contains_key("stream") && !line.contains_key("kubernetes") {
        return None;
    }
    let container = object(line, "kubernetes")
        .and_then(kubernetes)
        .or_else(|| object(line, "attrs").and_then(|attrs| string(attrs, &["com.docker.compose.service", "name", "tag"])).map(str::to_owned));
    Some(Unwrapped {
        text: text.to_owned(),
        docker_stream: Some(string(line, &["stream"]).unwrap_or_default().to_owned()),
        origin: Origin { container, ..Origin::default() },
        stamp: stamp(line, &["time", "@timestamp", "timestamp", "date"]),
        ..Unwrapped::default()
    })
}

/// `{"MESSAGE":"..","__REALTIME_TIMESTAMP":"..","_PID":".."}`; a message that is not plain text is a list of bytes.
fn journal(line: &Object) -> Option<Unwrapped> {
    let message = line.get("MESSAGE")?;
    let known = ["__REALTIME_TIMESTAMP", "__CURSOR", "_PID", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "_TRANSPORT", "PRIORITY"];
    if !known.iter().any(|key| line.contains_key(*key)) {
        return None;
    }
    let text = match message {
        Value::String(text) => text.clone(),
        Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes.iter().map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok())).collect::<Option<_>>()?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Value::Null => String::new(),
        _ => return None,
    };
    let container = string(line, &["CONTAINER_NAME", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "_COMM"]);
    Some(Unwrapped {
        text,
        origin: Origin { container: container.map(str::to_owned), pid: small_number(line.get("_PID")), ..Origin::default() },
        stamp: stamp(line, &["_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"]),
        ..Unwrapped::default()
    })
}

/// Google Cloud: `textPayload`, or `jsonPayload` around what a logger made.
fn google(line: &Object) -> Option<Unwrapped> {
    let container = object(line, "resource").and_then(|r| object(r, "labels")).and_then(kubernetes);
    let outer = stamp(line, &["timestamp", "receiveTimestamp"]);
    let mut found = if let Some(text) = string(line, &["textPayload"]) {
        // The severity of plain text is the stream's: everything on standard error is an ERROR.
        Unwrapped { text: text.to_owned(), ..Unwrapped::default() }
    } else {
        let payload = object(line, "jsonPayload")?;
        let mut found =
            tracing(payload).or_else(|| journal(payload)).unwrap_or_else(|| record(payload, string(payload, MESSAGES).unwrap_or_default()));
        if found.text.is_empty() && string(payload, MESSAGES).is_none() {
            return None;
        }
        // INFO and DEFAULT are what the collector says when it knows nothing.
        let severity = line.get("severity").and_then(level).filter(|level| *level >= Level::Warn);
        found.level = found.level.or(severity);
        found.record = found.level.is_some();
        found
    };
    found.stamp = found.stamp.or(outer);
    found.origin.container = found.origin.container.or(container);
    Some(found)
}

/// `{"text":"..","record":{"level":{"name":"INFO"},..}}`, which TGI's shards write for their launcher.
fn loguru(line: &Object) -> Option<Unwrapped> {
    let record = object(line, "record")?;
    let text = string(line, &["text"])?;
    let process = object(record, "process");
    Some(Unwrapped {
        text: text.to_owned(),
        record: true,
        origin: Origin { pid: process.and_then(|p| small_number(p.get("id"))), ..Origin::default() },
        stamp: object(record, "time").and_then(|time| stamp(time, &["repr", "timestamp"])),
        level: object(record, "level").and_then(|l| l.get("name")).and_then(level),
        logger: string(record, &["name"]).map(str::to_owned),
        ..Unwrapped::default()
    })
}

/// Rust's tracing, as TGI uses it: the message is in `fields`, or (router) beside the level.
fn tracing(line: &Object) -> Option<Unwrapped> {
    let fields = object(line, "fields")?;
    let message = string(fields, &["message"]).or_else(|| string(line, &["message"]))?;
    let level = line.get("level").and_then(level)?;
    let rank = small_number(fields.get("rank")).or_else(|| object(line, "span").and_then(|span| small_number(span.get("rank"))));
    let mut text = message.trim_end_matches(['\n', '\r']).to_owned();
    let single = !text.contains('\n');
    for (key, value) in fields {
        let printed = match value {
            _ if key == "message" => continue,
            Value::String(value) => value.clone(),
            Value::Number(value) if single => value.to_string(),
            Value::Bool(value) if single => value.to_string(),
            _ => continue,
        };
        text.push(if single { ' ' } else { '\n' });
        text.push_str(&format!("{key}={printed}"));
    }
    Some(Unwrapped {
        text,
        record: true,
        origin: Origin { rank, ..Origin::default() },
        stamp: stamp(line, TIMES),
        level: Some(level),
        logger: string(line, &["target"]).map(str::to_owned),
        ..Unwrapped::default()
    })
}

/// Azure's container logs, as exported from Log Analytics.
fn azure(line: &Object) -> Option<Unwrapped> {
    let text = match string(line, &["LogMessage", "LogEntry", "Log_s"]) {
        Some(text) => text,
        None => string(object(line, "properties")?, &["Log", "log"])?,
    };
    Some(Unwrapped {
        text: text.to_owned(),
        origin: Origin { container: kubernetes(line), ..Origin::default() },
        stamp: stamp(line, TIMES),
        ..Unwrapped::default()
    })
}

/// Loki's `{"labels":{..},"line":"..","timestamp":".."}`.
fn loki(line: &Object) -> Option<Unwrapped> {
    let text = string(line, &["line"])?;
    let labels = object(line, "labels").or_else(|| object(line, "stream"))?;
    Some(Unwrapped {
        text: text.to_owned(),
        origin: Origin { container: kubernetes(labels), ..Origin::default() },
        stamp: stamp(line, TIMES),
        ..Unwrapped::default()
    })
}

const MESSAGES: &[&str] = &["message", "msg", "event", "@message", "Message", "body", "log", "@m", "short_message"];
const LEVELS: &[&str] = &["levelname", "level", "severity", "lvl", "log.level", "@level", "severity_text", "severityText", "@l", "level_name"];
const LOGGERS: &[&str] = &["logger", "name", "logger_name", "loggerName", "log.logger", "target", "caller", "source", "component"];
const TRACES: &[&str] = &["exc_info", "exception", "exc_text", "traceback", "stack_trace", "stacktrace", "stack", "error.stack_trace", "stack_info"];
/// Fields that say how something failed, which a text logger would print behind the message.
const REASONS: &[&str] = &["error", "err", "reason", "detail", "details", "exc", "error.message", "exit_code", "returncode", "signal"];

/// Any structured logger, and carriers that give no more than a stamp with the line.
fn logger(line: &Object) -> Option<Unwrapped> {
    let message = string(line, MESSAGES)?;
    let levelled = LEVELS
        .iter()
        .filter_map(|key| line.get(*key))
        .any(|value| level(value).is_some() || value.as_u64().is_some_and(|n| n >= 10) && numbered(line, value).is_some())
        || object(line, "log").and_then(|log| log.get("level")).and_then(level).is_some();
    let stamped = stamp(line, TIMES);
    if !levelled && stamped.is_none() {
        return None;
    }
    let mut found = record(line, message);
    found.record = levelled;
    Some(found)
}

fn record(line: &Object, message: &str) -> Unwrapped {
    let ecs = object(line, "log");
    let level = LEVELS
        .iter()
        .find_map(|key| line.get(*key).and_then(|value| numbered(line, value).or_else(|| level(value))))
        .or_else(|| ecs.and_then(|log| log.get("level")).and_then(level));
    let mut text = message.trim_end_matches(['\n', '\r']).to_owned();
    let mut further = Vec::new();
    for (key, value) in line {
        if TRACES.contains(&key.as_str()) {
            further.extend(trace(value));
        } else if REASONS.contains(&key.as_str()) {
            match value {
                Value::String(reason) if reason.contains('\n') => further.push(reason.clone()),
                Value::String(reason) if !reason.is_empty() && !text.contains(reason.as_str()) => {
                    let shown = format!("{key}={reason}");
                    if text.contains('\n') { further.push(shown) } else { text.push_str(&format!(" {shown}")) }
                }
                Value::Number(number) => text.push_str(&format!(" {key}={number}")),
                Value::Object(error) => further.extend(trace(&Value::Object(error.clone()))),
                _ => {}
            }
        }
    }
    for lines in further {
        text.push('\n');
        text.push_str(lines.trim_matches(['\n', '\r']));
    }
    let process = string(line, &["processName", "process_name", "vllm_process_name"]).filter(|name| *name != "MainProcess");
    let pid = ["process", "pid", "process_id", "processId"].iter().find_map(|key| small_number(line.get(*key)));
    let rank = ["rank", "tp_rank", "local_rank"].iter().find_map(|key| small_number(line.get(*key)));
    Unwrapped {
        text,
        record: true,
        docker_stream: None,
        origin: Origin {
            container: object(line, "kubernetes").and_then(kubernetes).or_else(|| string(line, &["logStreamName", "logStream"]).map(str::to_owned)),
            process: process.map(str::to_owned),
            pid,
            rank: rank.or_else(|| process.and_then(rank_of)),
        },
        stamp: stamp(line, TIMES),
        level,
        logger: string(line, LOGGERS).or_else(|| ecs.and_then(|log| string(log, &["logger"]))).map(str::to_owned),
    }
}

/// A traceback in any of the shapes that loggers give it.
fn trace(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() && text != "None" && text != "NoneType: None" => vec![text.clone()],
        Value::Array(items) => {
            let lines: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            if !lines.is_empty() {
                return vec![lines.iter().map(|line| line.trim_end_matches('\n')).collect::<Vec<_>>().join("\n")];
            }
            // structlog lists the chain from the last exception to the first.
            items.iter().rev().filter_map(Value::as_object).filter_map(exception).collect()
        }
        Value::Object(error) => exception(error).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// One exception as an object: with its text, or with frames from which Python's text is made.
fn exception(error: &Object) -> Option<String> {
    if let Some(text) = string(error, &["stacktrace", "stack_trace", "traceback", "stack", "formatted"]) {
        return Some(text.to_owned());
    }
    let kind = string(error, &["exc_type", "type", "name", "class"])?;
    let message = string(error, &["exc_value", "message", "value", "msg"]).unwrap_or_default();
    let mut text = String::new();
    if let Some(frames) = error.get("frames").and_then(Value::as_array) {
        text.push_str("Traceback (most recent call last):\n");
        for frame in frames.iter().filter_map(Value::as_object) {
            let file = string(frame, &["filename", "file"]).unwrap_or("?");
            let line = small_number(frame.get("lineno").or_else(|| frame.get("line"))).unwrap_or(0);
            let name = string(frame, &["name", "function"]).unwrap_or("?");
            text.push_str(&format!("  File \"{file}\", line {line}, in {name}\n"));
        }
    }
    text.push_str(kind);
    if !message.is_empty() {
        text.push_str(": ");
        text.push_str(message);
    }
    Some(text)
}

/// A level by its name.
fn level(value: &Value) -> Option<Level> {
    let name = match value {
        Value::String(name) => name.trim(),
        Value::Number(_) => return None,
        Value::Object(object) => string(object, &["name"])?,
        _ => return None,
    };
    Some(match name.to_ascii_uppercase().as_str() {
        "TRACE" => Level::Trace,
        "DEBUG" | "VERBOSE" | "DBG" => Level::Debug,
        "INFO" | "INFORMATION" | "NOTICE" | "SUCCESS" | "INF" => Level::Info,
        "WARN" | "WARNING" | "WRN" => Level::Warn,
        "ERROR" | "ERR" | "EXCEPTION" => Level::Error,
        "FATAL" | "CRITICAL" | "PANIC" | "EMERG" | "EMERGENCY" | "ALERT" | "DPANIC" | "CRIT" => Level::Fatal,
        _ => return None,
    })
}

/// A level by its number: Node's pino (with a host name beside it) counts ten higher than Python.
fn numbered(line: &Object, value: &Value) -> Option<Level> {
    let number = value.as_u64()?;
    let number = if line.contains_key("hostname") && line.contains_key("pid") { number.checked_sub(10)? } else { number };
    Some(match number {
        0..10 => Level::Trace,
        10..20 => Level::Debug,
        20..30 => Level::Info,
        30..40 => Level::Warn,
        40..50 => Level::Error,
        50..100 => Level::Fatal,
        _ => return None,
    })
}
