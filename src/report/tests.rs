//! Every format of every kind of report, and the promises that hold for all of them.

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::post_mortem::*;
use crate::redact::{cut_before, cut_behind, cut_bytes_before, cut_bytes_behind, redact, redact_report};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn blank(cause: &'static str) -> PostMortem {
    PostMortem {
        schema: SCHEMA,
        tool: Tool { name: "oomdoc", version: "0.1.0" },
        source: Source { name: "/var/log/tgi.log".into(), bytes: 18_234, lines: 212, problems: vec![] },
        cause,
        completeness: Completeness::Whole,
        would_settle: None,
        figures: Figures::default(),
        incidents: vec![],
        deployment: Deployment::default(),
        memory: Memory::default(),
        timeline: vec![],
        secrets_masked: 0,
    }
}

fn incident(cause: &'static str, family: &'static str, confidence: f64, headline: &str, explanation: &str) -> Incident {
    Incident {
        cause,
        impact: Impact::ProcessDied,
        recovered: false,
        family,
        confidence,
        phase: None,
        headline: headline.into(),
        explanation: explanation.into(),
        occurrences: 1,
        occurrences_is_lower_bound: false,
        rank: None,
        first_line: 1,
        last_line: 1,
        figures: Figures::default(),
        evidence: vec![],
        contributing: vec![],
        remedies: vec![],
    }
}

fn evidence(line: u64, role: Role, rule: &str, text: &str) -> Evidence {
    let last = line + text.lines().count() as u64 - 1;
    Evidence { line, last_line: (last > line).then_some(last), time: None, role, rule: rule.into(), text: text.into(), decisive: 0 }
}

fn remedy(id: &str, title: &str, rationale: &str, tradeoff: &str, changes: Vec<Change>) -> Remedy {
    Remedy {
        id: id.into(),
        title: title.into(),
        rationale: rationale.into(),
        tradeoff: tradeoff.into(),
        command: None,
        changes,
        verify: "It answers.".into(),
        otherwise: "Ask.".into(),
        fit: None,
    }
}

fn change(flag: &str, from: Option<&str>, to: Option<&str>) -> Change {
    Change { flag: flag.into(), from: from.map(Into::into), to: to.map(Into::into) }
}

fn event(line: u64, clock: &str, offset_ms: i64, kind: &str, duration_ms: Option<u64>, text: &str) -> Event {
    Event { line, time: None, clock: Some(clock.into()), offset_ms: Some(offset_ms), kind: kind.into(), duration_ms, text: text.into() }
}

fn component(name: &'static str, bytes: u64, basis: Basis, line: Option<u64>) -> Component {
    Component { name, bytes, basis, line }
}

/// TGI 2.4.1 on a card with 8 GiB: the server is up, the warm-up is not.
fn prefill() -> PostMortem {
    let mut report = blank("prefill-oom");
    let mut it = incident(
        "prefill-oom",
        "device-memory",
        0.97,
        "Not enough memory left to warm up 4,096 prefill tokens",
        "The weights were in and the server was up. Its warm-up then ran one forward pass over 4,096 tokens to size the cache. \
         PyTorch held 7.73 GiB of the device's 8.00 GiB and the allocator kept another 231.40 MiB in pieces, so the 48.00 MiB \
         that the pass asked for next were not there.",
    );
    it.phase = Some(Phase::Profile);
    it.rank = Some(0);
    it.first_line = 118;
    it.last_line = 163;
    it.figures = Figures {
        device: Some(0),
        tried_bytes: Some(48 * MIB),
        total_bytes: Some(8 * GIB),
        free_bytes: Some(0),
        allocated_bytes: Some(8_300_072_305),
        reserved_unallocated_bytes: Some(242_640_486),
        prefill_tokens: Some(4096),
        ..Figures::default()
    };
    it.evidence = vec![
        evidence(21, Role::Context, "tgi-args", "Default `max_batch_prefill_tokens` to 4096"),
        evidence(
            118,
            Role::Cause,
            "pytorch-oom-v2",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 48.00 MiB. GPU 0 has a total capacity of 8.00 GiB of which 0 bytes is free. \
             Process 19 has 17179869184.00 GiB memory in use. Of the allocated memory 7.73 GiB is allocated by PyTorch, and 231.40 MiB is reserved by \
             PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid \
             fragmentation.  See documentation for Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)",
        ),
        evidence(
            163,
            Role::Cause,
            "tgi-warmup-prefill",
            "RuntimeError: Not enough memory to handle 4096 prefill tokens. You need to decrease `--max-batch-prefill-tokens`",
        ),
        evidence(171, Role::Symptom, "tgi-shard-failed", "Error: Backend(Warmup(Generation(\"Not enough memory to handle 4096 prefill tokens.\")))"),
    ];
    it.contributing = vec![Contributing {
        cause: "fragmentation-oom",
        confidence: 0.12,
        reason: "231.40 MiB were reserved and not in use, more than the 48.00 MiB asked for, but only 3% of the device.".into(),
    }];
    it.remedies = vec![
        remedy(
            "quantize",
            "Quantize the weights to 4 bit",
            "Weights shrink from about 7.12 GiB to about 2.1 GiB, which leaves room for the prefill and the cache.",
            "Some quality, and slower prefill.",
            vec![change("--quantize", None, Some("bitsandbytes-nf4"))],
        ),
        remedy(
            "lower-prefill",
            "Lower the prefill budget and the limits that depend on it",
            "The pass over 1,024 tokens needs a quarter of the activations. `--max-input-tokens` has to go below it.",
            "Longer prompts are refused.",
            vec![change("--max-batch-prefill-tokens", Some("4096"), Some("1024")), change("--max-input-tokens", None, Some("1000"))],
        ),
        remedy("smaller-model", "Serve a smaller model", "A model of about 2 billion parameters needs under 4 GiB in 16 bit.", "Quality.", vec![]),
        remedy("larger-gpu", "Use a GPU with 12 GiB or more", "The model and its cache fit without changes.", "Money.", vec![]),
    ];
    report.figures = it.figures.clone();
    report.incidents = vec![it];
    report.deployment = Deployment {
        engine: Some("tgi".into()),
        engine_version: Some("2.4.1".into()),
        model: Some("microsoft/Phi-3.5-mini-instruct".into()),
        tensor_parallel: Some(1),
        arguments: [("max_batch_prefill_tokens".to_owned(), json!(4096)), ("trust_remote_code".to_owned(), json!(false))].into(),
        devices: vec![Device { index: 0, name: None, total_bytes: Some(8 * GIB) }],
        ..Deployment::default()
    };
    report.memory.devices = vec![Ledger {
        index: 0,
        total_bytes: Some(8 * GIB),
        components: vec![
            component("weights", 7_642_159_104, Basis::Computed, None),
            component("allocated-by-pytorch", 657_913_201, Basis::Derived, None),
            component("reserved-unallocated", 242_640_486, Basis::Logged, Some(118)),
            component("outside-the-allocator", 47_221_801, Basis::Derived, None),
        ],
        needed: Vec::new(),
    }];
    report.timeline = vec![
        event(1, "2025-09-14T23:58:40.120000Z", 0, "run-started", None, "Args { model_id: \"microsoft/Phi-3.5-mini-instruct\" }"),
        event(3, "2025-09-14T23:58:45.001000Z", 5_000, "download-started", None, "Starting check and download process"),
        event(9, "2025-09-15T00:05:35.000000Z", 415_000, "download-file", Some(410_000), "Downloaded model-00001-of-00002.safetensors in 0:06:50."),
        event(14, "2025-09-15T00:09:18.000000Z", 638_000, "download-file", Some(223_000), "Downloaded model-00002-of-00002.safetensors in 0:03:43."),
        event(16, "2025-09-15T00:09:34.000000Z", 654_000, "download-finished", Some(649_000), "Successfully downloaded weights"),
        event(18, "2025-09-15T00:09:51.000000Z", 671_000, "load-started", None, "Using prefix caching = True"),
        event(40, "2025-09-15T00:10:56.000000Z", 736_000, "weights-loaded", Some(65_000), "Server started at unix:///tmp/text-generation-server-0"),
        event(44, "2025-09-15T00:10:57.000000Z", 737_000, "warmup-started", None, "Warming up model"),
        event(163, "2025-09-15T00:10:59.000000Z", 739_000, "failed", None, "RuntimeError: Not enough memory to handle 4096 prefill tokens."),
    ];
    report.secrets_masked = 2;
    report
}

/// Something failed and the log does not say what.
fn unknown() -> PostMortem {
    let mut report = blank("unknown");
    report.source = Source { name: "-".into(), bytes: 900, lines: 9, problems: vec!["line 7 is not UTF-8; 2 bytes were replaced".into()] };
    report.completeness = Completeness::Both;
    report.would_settle = Some(
        "The log of the worker on rank 1, which ended first, and the kernel's log of that minute (`dmesg` or `journalctl -k`): they \
         tell a kill by the kernel from a crash."
            .into(),
    );
    let mut it = incident(
        "unknown",
        "no-cause",
        0.31,
        "A worker process ended and the log does not say why",
        "The engine reports that the worker of rank 1 is gone. No message of that worker is in the log, and no exit code.",
    );
    it.phase = Some(Phase::Load);
    it.first_line = 8;
    it.last_line = 8;
    it.evidence = vec![evidence(
        8,
        Role::Symptom,
        "vllm-worker-died",
        "ERROR 02-11 10:11:12 [multiproc_executor.py:140] Worker proc VllmWorker-1 died unexpectedly, shutting down executor.",
    )];
    report.incidents = vec![it];
    report.deployment.engine = Some("vllm".into());
    report.timeline = vec![
        event(2, "02-11 10:10:02", 0, "load-started", None, "Starting to load model /models/a ..."),
        event(8, "02-11 10:11:12", 70_000, "failed", None, "Worker proc VllmWorker-1 died unexpectedly"),
    ];
    report
}

/// A start that succeeded.
fn healthy() -> PostMortem {
    let mut report = blank("healthy");
    report.source.name = "server.log".into();
    report.figures = Figures {
        total_bytes: Some(24 * GIB),
        weights_bytes: Some(15 * GIB),
        kv_tokens: Some(35_584),
        max_model_len: Some(32_768),
        gpu_memory_utilization: Some(0.9),
        ..Figures::default()
    };
    report.deployment = Deployment {
        engine: Some("vllm".into()),
        engine_version: Some("0.8.4".into()),
        model: Some("/models/an_eight_b".into()),
        dtype: Some("bfloat16".into()),
        devices: vec![Device { index: 0, name: Some("NVIDIA L4".into()), total_bytes: Some(24 * GIB) }],
        ..Deployment::default()
    };
    report.timeline = vec![
        event(1, "10:00:00", 0, "run-started", None, "vLLM API server version 0.8.4"),
        event(30, "10:00:41", 41_000, "weights-loaded", Some(20_500), "Loading weights took 20.50 seconds"),
        event(55, "10:01:22", 82_000, "ready", None, "Application startup complete."),
    ];
    report
}

/// A crash loop that ended, and requests that failed after it; four devices.
fn two() -> PostMortem {
    let mut report = blank("kv-cache-oom");
    report.source.name = "/srv/logs/namespaces/inference-production/pods/llm-gateway-7d9f8b6c5d-x2x9q/server/previous/0.log".into();
    let mut first = incident(
        "kv-cache-oom",
        "device-memory",
        0.88,
        "One context of 131,072 tokens needs 16.00 GiB of cache, 9.31 GiB were left",
        "After the weights, 9.31 GiB were left for the cache on each device.",
    );
    first.occurrences = 6;
    first.recovered = true;
    first.rank = Some(2);
    first.phase = Some(Phase::Profile);
    first.first_line = 40;
    first.last_line = 4_120;
    first.figures.kv_available_bytes = Some(-(30 * MIB as i64));
    first.figures.kv_needed_bytes = Some(16 * GIB);
    first.figures.max_model_len = Some(131_072);
    first.figures.device = Some(2);
    first.evidence = vec![evidence(
        4_120,
        Role::Cause,
        "vllm-kv-too-small",
        "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed, which is larger than the available KV cache memory (9.31 GiB). \
         Based on the available memory, the estimated maximum model length is 76256. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
    )];
    let mut second = incident(
        "template-error",
        "prompt-template",
        0.93,
        "No chat template: 17 chat requests were refused",
        "The tokenizer brings no chat template.",
    );
    second.impact = Impact::RequestsFailed;
    second.occurrences = 17;
    second.first_line = 5_001;
    second.last_line = 5_900;
    second.evidence = vec![evidence(
        5_001,
        Role::Cause,
        "transformers-no-template",
        "ValueError: Cannot use chat template functions because tokenizer.chat_template is not set",
    )];
    second.remedies = vec![remedy("give-template", "Give the chat template with `--chat-template`", "The tokenizer has none.", "None.", vec![])];
    report.incidents = vec![first, second];
    report.deployment.engine = Some("vllm".into());
    report.deployment.devices = (0..4).map(|index| Device { index, name: Some("NVIDIA A10G".into()), total_bytes: Some(24_146_608_128) }).collect();
    report.memory.devices = (0..4)
        .map(|index| Ledger {
            index,
            total_bytes: Some(24_146_608_128),
            components: vec![
                component("weights", 9 * GIB, Basis::Logged, Some(31)),
                component("activations", 2 * GIB, Basis::Logged, Some(33)),
                component("kv-cache", 9_996_678_041, Basis::Derived, None),
                component("free", 100 * MIB, Basis::Logged, Some(33)),
            ],
            needed: Vec::new(),
        })
        .collect();
    report
}

/// A log that wants to do things.
fn hostile() -> PostMortem {
    let mut report = prefill();
    let bad = "\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} \u{202e}backwards <script>alert(1)</script> | a | `tick` ``` # *b* [x](http://evil.example) @someone #12 \
               \u{0} \u{9b}2J https://user:hunter2secret@host/ hf_AbCdEfGhIjKlMnOpQrStUvWx12";
    report.source.name = format!("/tmp/{bad}.log");
    report.source.problems = vec![bad.into()];
    report.would_settle = Some(bad.into());
    report.deployment.model = Some(bad.into());
    report.deployment.engine_version = Some(bad.into());
    report.deployment.arguments = [
        ("api_key".to_owned(), json!("correct-horse")),
        ("hf_token".to_owned(), Value::Null),
        ("list".to_owned(), json!(["--api-key", "swordfish", "--port", "80"])),
        (bad.to_owned(), json!({"a|b": bad})),
    ]
    .into();
    report.deployment.devices = vec![Device { index: 0, name: Some(bad.into()), total_bytes: Some(8 * GIB) }];
    for it in &mut report.incidents {
        it.headline = bad.into();
        it.explanation = bad.into();
        it.evidence = vec![
            evidence(7, Role::Context, "r", &format!("{bad}\n\n````\n</pre>{bad}")),
            evidence(100, Role::Cause, "r", &format!("RuntimeError: {}{bad}", "word ".repeat(200))),
            evidence(101, Role::Cause, "r", &"x".repeat(5_000)),
            evidence(102, Role::Symptom, "r", &format!("日本語のメッセージ {bad} e{}", "\u{301}".repeat(500))),
        ];
        it.contributing = vec![Contributing { cause: "fragmentation-oom", confidence: 0.2, reason: bad.into() }];
        it.remedies = vec![Remedy {
            id: "x".into(),
            title: bad.into(),
            rationale: bad.into(),
            tradeoff: bad.into(),
            command: Some(format!("docker run x '{bad}'")),
            changes: vec![change(bad, Some(bad), None)],
            verify: bad.into(),
            otherwise: bad.into(),
            fit: None,
        }];
    }
    for event in &mut report.timeline {
        event.text = bad.into();
        event.clock = Some(bad.into());
        event.kind = bad.into();
    }
    redact_report(&mut report);
    report
}

fn all() -> Vec<(&'static str, PostMortem)> {
    vec![("prefill", prefill()), ("unknown", unknown()), ("healthy", healthy()), ("two", two()), ("hostile", hostile())]
}

fn render(format: Format, outcomes: &[Outcome], style: &Style) -> String {
    let mut out = Vec::new();
    write(format, outcomes, style, &mut out).ok();
    String::from_utf8(out).unwrap_or_default()
}

fn one(format: Format, report: PostMortem) -> String {
    render(format, &[report.into()], &Style::default())
}

fn several() -> Vec<Outcome> {
    vec![two().into(), Outcome::Failure(Failure::new("gone|log", "No such file or directory (os error 2)")), healthy().into()]
}

#[test]
fn text() {
    for (name, report) in all() {
        insta::assert_snapshot!(format!("text_{name}"), one(Format::Text, report));
    }
    for width in [60, 120] {
        let style = Style { width, ..Style::default() };
        insta::assert_snapshot!(format!("text_prefill_{width}"), render(Format::Text, &[prefill().into()], &style));
    }
    let style = Style { unicode: false, ..Style::default() };
    insta::assert_snapshot!("text_prefill_ascii", render(Format::Text, &[prefill().into()], &style));
    insta::assert_snapshot!("text_several", render(Format::Text, &several(), &Style::default()));
}

#[test]
fn text_in_colour() {
    let style = Style { color: true, ..Style::default() };
    insta::assert_snapshot!("text_prefill_colour", render(Format::Text, &[prefill().into()], &style));
}

#[test]
fn markdown() {
    for (name, report) in all() {
        insta::assert_snapshot!(format!("markdown_{name}"), one(Format::Markdown, report));
    }
    insta::assert_snapshot!("markdown_several", render(Format::Markdown, &several(), &Style::default()));
}

#[test]
fn html() {
    for (name, report) in all() {
        insta::assert_snapshot!(format!("html_{name}"), body(&one(Format::Html, report)));
    }
    insta::assert_snapshot!("html_several", body(&render(Format::Html, &several(), &Style::default())));
}

/// The page without its style sheet, which is the same in all.
fn body(page: &str) -> String {
    match (page.split_once("<style>"), page.split_once("</style>")) {
        (Some((head, _)), Some((_, rest))) => format!("{head}{rest}"),
        _ => page.to_owned(),
    }
}

#[test]
fn json() {
    for (name, report) in all() {
        insta::assert_snapshot!(format!("json_{name}"), one(Format::Json, report));
    }
    insta::assert_snapshot!("ndjson", render(Format::Ndjson, &several(), &Style::default()));
}

#[test]
fn json_is_one_object_or_an_array() {
    let value: Value = serde_json::from_str(&one(Format::Json, hostile())).unwrap_or_default();
    assert_eq!(value["schema"], SCHEMA);
    let value: Value = serde_json::from_str(&render(Format::Json, &several(), &Style::default())).unwrap_or_default();
    assert_eq!(value[0]["cause"], "kv-cache-oom");
    assert_eq!(value[1]["error"], "No such file or directory (os error 2)");
    assert_eq!(value[1]["source"]["name"], "gone|log");
    assert_eq!(render(Format::Json, &[], &Style::default()), "[]\n");
    let lines = render(Format::Ndjson, &several(), &Style::default());
    assert_eq!(lines.lines().count(), 3);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|v| v.is_object())));
}

#[test]
fn json_keeps_every_character_and_shows_none_that_is_obeyed() {
    let mut report = blank("healthy");
    report.source.name = "a\u{9b}b\u{202e}c\u{e0001}d\u{7f}\u{1b}".into();
    let out = one(Format::Json, report.clone());
    assert!(out.chars().all(|c| c == '\n' || (!c.is_control() && !super::escape::hides(c))), "{out}");
    let value: Value = serde_json::from_str(&out).unwrap_or_default();
    assert_eq!(value["source"]["name"], report.source.name);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [32, 40, 60, 79, 80, 100, 120, 200] {
        for unicode in [true, false] {
            for (name, report) in all() {
                let style = Style { width, color: false, unicode };
                for line in render(Format::Text, &[report.clone().into(), Outcome::Failure(Failure::new("x".repeat(300), "no"))], &style).lines() {
                    assert!(line.width() <= width, "{name} at {width}: {line}");
                    assert!(unicode || line.is_ascii(), "{name}: {line}");
                }
            }
        }
    }
}

#[test]
fn no_control_character_is_written() {
    for (name, report) in all() {
        for format in [Format::Text, Format::Markdown, Format::Json, Format::Ndjson, Format::Html] {
            let out = one(format, report.clone());
            assert!(out.chars().all(|c| c == '\n' || (!c.is_control() && !super::escape::hides(c))), "{name}: {out}");
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    for (name, report) in all() {
        let style = Style { color: true, ..Style::default() };
        let out = render(Format::Text, &[report.clone().into()], &style);
        assert!(out.contains("\u{1b}["), "{name}");
        assert_eq!(super::escape::visible(&out), one(Format::Text, report), "{name}");
    }
}

#[test]
fn the_primary_incident_fits_on_a_screen() {
    for (name, report) in all() {
        if name != "hostile" {
            let lines = one(Format::Text, report).lines().count();
            assert!(lines <= 46, "{name}: {lines}");
        }
    }
}

#[test]
fn nothing_of_the_log_is_active_in_markdown_or_html() {
    let html = one(Format::Html, hostile());
    assert!(!html.contains("<script") && !html.contains("http://evil.example\"") && !html.contains("href=\"http"));
    assert_eq!(html.matches("</pre>").count(), html.matches("<pre").count());
    let markdown = one(Format::Markdown, hostile());
    let mut fence: Option<String> = None;
    for line in markdown.lines() {
        let ticks: String = line.trim_start().chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if ticks.len() >= open.len() && line.trim() == ticks => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 && line.trim_start() != ticks && !line.trim_start()[ticks.len()..].contains('`') => fence = Some(ticks),
            None => {
                let outside = outside_code(line);
                assert!(!outside.contains("<script") || outside.contains("\\<script"), "{line}");
                for active in ["http://", "https://", "@someone", "](", "#12"] {
                    assert!(!outside.replace("\\]", "").replace("\\#", "").contains(active), "{active}: {line}");
                }
            }
        }
    }
    assert_eq!(fence, None);
}

/// A Markdown line without its code spans.
fn outside_code(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if before.ends_with('\\') {
            rest = &from[1..];
            continue;
        }
        let ticks: String = from.chars().take_while(|c| *c == '`').collect();
        let inner = &from[ticks.len()..];
        let mut end = None;
        let mut seek = 0;
        while let Some(found) = inner[seek..].find(&ticks) {
            let start = seek + found;
            let run = inner[start..].chars().take_while(|c| *c == '`').count();
            if run == ticks.len() {
                end = Some(start + run);
                break;
            }
            seek = start + run;
        }
        match end {
            Some(end) => rest = &inner[end..],
            None => {
                out.push_str(from);
                return out;
            }
        }
    }
    out.push_str(rest);
    out
}

#[test]
fn tables_keep_their_columns() {
    for (name, report) in all() {
        let markdown = one(Format::Markdown, report);
        let mut columns = None;
        for line in markdown.lines() {
            if line.starts_with('|') {
                let cells = line.replace("\\|", "").matches('|').count();
                assert_eq!(*columns.get_or_insert(cells), cells, "{name}: {line}");
            } else {
                columns = None;
            }
        }
    }
}

#[test]
fn sizes_never_say_gb() {
    for (name, report) in all() {
        for format in [Format::Text, Format::Markdown, Format::Html] {
            assert!(!one(format, report.clone()).contains(" GB"), "{name}");
        }
    }
}

#[test]
fn an_empty_log_is_not_called_healthy() {
    let mut report = blank("healthy");
    report.source.lines = 0;
    report.source.bytes = 0;
    assert!(one(Format::Text, report).starts_with("healthy: the log is empty, so nothing was checked\n"));
}

#[test]
fn commands_are_broken_where_a_shell_joins_them() {
    let mut report = prefill();
    let command =
        "docker run --gpus all -p 8080:80 ghcr.io/huggingface/text-generation-inference:2.4.1 --model-id 'a b  c' --max-batch-prefill-tokens 1024";
    report.incidents[0].remedies[0].command = Some(command.into());
    let out = one(Format::Text, report.clone());
    let start = out.lines().position(|l| l.trim_start().starts_with("docker run")).unwrap_or(0);
    let mut joined = String::new();
    for line in out.lines().skip(start) {
        let line = line.trim_start();
        joined.push_str(line.trim_end_matches('\\'));
        if !line.ends_with('\\') {
            break;
        }
    }
    assert_eq!(joined, command);
    assert!(one(Format::Markdown, report).contains(command));
}

#[test]
fn secrets_are_masked() {
    let cases = [
        ("token hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567 used", "token hf_**** used"),
        // A quotation that is not closed, and holds no secret itself, hides none.
        ("--api-key=\"$KEY and then api_key=hunter2abc", "--api-key=\"$KEY and then api_key=****"),
        ("api_key=$A;api_key=$B api_key=hunter2abc", "api_key=$A;api_key=$B api_key=****"),
        ("HF_TOKEN=hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567", "HF_TOKEN=hf_****"),
        ("hf_aBcDeFg…", "hf_****"),
        // Behind a letter, as where a quotation mark was taken out.
        ("chf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567", "chf_****"),
        ("eenvapi-aB3dE5fG7hI9jK1lM3nO5pQ7rS9t", "eenvapi-****"),
        ("api_org_aBcDeFgHiJkLmNoPqRsTu1", "api_org_****"),
        ("key sk-ant-api03-aB3dE5fG7hI9jK1lM3nO5pQ7-xyz", "key sk-ant-api03-****"),
        ("sk-proj-aB3dE5fG7hI9jK1lM3nO5pQ7", "sk-proj-****"),
        ("sk-aB3dE5fG7hI9jK1lM3nO5pQ7", "sk-****"),
        ("ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5", "ghp_****"),
        ("github_pat_11ABCDEFG0abcdefghij_klmnopqrstuvwxyz", "github_pat_****"),
        ("glpat-aB3dE5fG7hI9jK1lM3nO", "glpat-****"),
        ("xoxb-123456789012-abcdefghijkl", "xoxb-****"),
        ("AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q", "AIza****"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA****"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = ****"),
        ("\"SecretAccessKey\": \"wJalrXUtnFEMI/K7MDENG\"", "\"SecretAccessKey\": \"****\""),
        ("nvapi-aB3dE5fG7hI9jK1lM3nO5pQ7rS9t", "nvapi-****"),
        ("wandb login 0123456789abcdef0123456789abcdef01234567", "wandb login ****"),
        ("WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567", "WANDB_API_KEY=****"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN", "eyJ****"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ****"),
        ("'authorization': 'Basic dXNlcjpwYXNz'", "'authorization': 'Basic ****'"),
        ("curl -H 'X-Api-Key: 12ab34cd'", "curl -H 'X-Api-Key: ****'"),
        ("api_key=swordfish, port=80", "api_key=****, port=80"),
        ("'api_key': 'swordfish', 'a': 1", "'api_key': '****', 'a': 1"),
        ("{\\\"api_key\\\": \\\"swordfish\\\"}", "{\\\"api_key\\\": \\\"****\\\"}"),
        ("Args { api_key: Some(\"swordfish\"), port: 80 }", "Args { api_key: Some(\"****\"), port: 80 }"),
        ("api_key=['one', 'two'], x=1", "api_key=['****'], x=1"),
        ("serve --api-key swordfish --port 80", "serve --api-key **** --port 80"),
        ("serve --api-key=swordfish --port 80", "serve --api-key=**** --port 80"),
        ("['--api-key', 'swordfish', '--port']", "['--api-key', '****', '--port']"),
        ("ngrok_authtoken: Some(\"2abcDEF\")", "ngrok_authtoken: Some(\"****\")"),
        ("--ngrok-authtoken 2abcDEF3", "--ngrok-authtoken ****"),
        ("https://user:hunter2@proxy.example:3128/x", "https://user:****@proxy.example:3128/x"),
        ("redis://:hunter2@cache:6379", "redis://:****@cache:6379"),
        ("GET https://cdn.example/f?X-Amz-Signature=0123abcd0123abcd&x=1", "GET https://cdn.example/f?X-Amz-Signature=****&x=1"),
        ("password: hunter2", "password: ****"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY----- end", "-----BEGIN RSA PRIVATE KEY----- **** end"),
        ("token=a1B2c3D4e5F6g7H8", "token=****"),
    ];
    for (before, after) in cases {
        assert_eq!(redact(before), (after.into(), 1), "{before}");
        assert_eq!(redact(after), (after.into(), 0), "again: {after}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "api_key=None, hf_token=None, ssl_keyfile=None",
        "Args { api_key: None, ngrok_authtoken: None, max_input_tokens: Some(1024) }",
        "max_tokens=512, max_total_tokens: 4096, --max-batch-prefill-tokens 4096",
        "bos_token='<s>', eos_token: \"<|endoftext|>\", pad_token_id=128001, unk_token=<unk>",
        "tokenizer='meta-llama/Llama-3.1-8B-Instruct', tokenizer_mode=auto, token_type_ids=None",
        "model_hf_20240315checkpoint selfhf_transfer_and_more_words risk-proj-of-something-long-2",
        "commit 0123456789abcdef0123456789abcdef01234567 of model-00001-of-00002.safetensors",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "HF_HUB_ENABLE_HF_TRANSFER=1 hf_transfer hf_hub_download hf_quant_config.json",
        "task-scheduler risk-assessment disk-cache-of-something-long sk-learn",
        "Token is required (`token=True`), but no token found",
        "Invalid credentials in Authorization header",
        "Missing key(s) in state_dict: \"lm_head.weight\"",
        "RuntimeError: key 'model.layers.0' not found",
        "Bearer authentication is required",
        "https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json",
        "http://0.0.0.0:8000/v1 and 10.0.0.1:29500@eth0",
        "usage: serve [--api-key API_KEY] [--hf-token HF_TOKEN]",
        "api_key: Optional[str] = None",
        "api_key=\"EMPTY\"",
        "kv_cache_dtype=auto key_cache=torch.float16 num_kv_heads=8",
        "Failed: token 12345 is out of vocabulary; next token: 50256",
        "the secret \"hf-token\" was not found",
        "password=${DB_PASSWORD}",
        "hf_token=<redacted>",
        "AKIAMODEL and ASIAN text",
        "allowed_headers=['Authorization', 'Content-Type']",
        "--max-token 512 --pad-token 0 --eos-token-id 2",
        "pass --api-key when the server has one; --api-key is required",
        "speculative token=draft_model_proposer_name",
    ] {
        assert_eq!(redact(text), (text.into(), 0), "{text}");
    }
}

#[test]
fn every_rule_compiles() {
    assert!(crate::redact::all_rules_compile());
}

#[test]
fn a_report_is_redacted_everywhere() {
    let mut report = prefill();
    let secret = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567";
    report.secrets_masked = 0;
    report.source.name = format!("/tmp/{secret}");
    report.incidents[0].headline = secret.into();
    report.incidents[0].evidence[0].text = format!("--token {secret}");
    report.incidents[0].remedies[0].command = Some(format!("HF_TOKEN={secret} run"));
    report.incidents[0].remedies[0].changes = vec![change("--api-key", Some(&format!("<key> {secret}")), Some("swordfish"))];
    report.timeline[0].text = secret.into();
    report.deployment.arguments = [
        ("api_key".to_owned(), json!(["one", "two"])),
        ("hf_token".to_owned(), json!(secret)),
        ("pad_token".to_owned(), json!("<pad>")),
        ("password".to_owned(), json!(1234)),
        // Of quotations that were not closed.
        ("c'api_key".to_owned(), json!("swordfish")),
        ("hub_token]\"".to_owned(), json!("swordfish")),
        ("env".to_owned(), json!({"HF_TOKEN": secret, "PORT": 80})),
        ("args".to_owned(), json!(["--api-key", "swordfish", "--port", "80"])),
        ("overrides".to_owned(), json!([{secret: 1}])),
    ]
    .into();
    assert_eq!(redact_report(&mut report), 16);
    assert_eq!(report.secrets_masked, 16);
    let out = one(Format::Json, report);
    assert!(!out.contains("aBcDeF") && !out.contains("swordfish") && !out.contains("1234,") && out.contains("<pad>"), "{out}");
}

#[test]
fn sizes_that_nothing_can_hold_are_drawn() {
    let mut report = prefill();
    for part in &mut report.memory.devices[0].components {
        part.bytes = u64::MAX;
    }
    for format in [Format::Text, Format::Markdown, Format::Html] {
        assert!(!one(format, report.clone()).is_empty());
    }
}

/// A report with this text in many places keeps within the width, and no control character of it comes out.
fn is_laid_out(noise: &str, width: usize, unicode: bool) {
    let mut report = prefill();
    report.source.name = noise.to_owned();
    report.deployment.model = Some(noise.to_owned());
    report.timeline[2].text = noise.to_owned();
    report.timeline[3].clock = Some(noise.to_owned());
    let it = &mut report.incidents[0];
    it.headline = noise.to_owned();
    it.evidence[1].text = noise.to_owned();
    it.remedies[0].command = Some(noise.to_owned());
    let style = Style { width, color: false, unicode };
    for line in render(Format::Text, &[report.clone().into()], &style).split('\n') {
        assert!(line.width() <= width.max(32), "{line}");
        assert!(line.chars().all(|c| !c.is_control() && !super::escape::hides(c)), "{line}");
    }
    for format in [Format::Markdown, Format::Html, Format::Json] {
        let out = one(format, report.clone());
        let wrong: Vec<&str> = out.split('\n').filter(|line| line.chars().any(|c| c.is_control() || super::escape::hides(c))).collect();
        assert!(wrong.is_empty(), "{format:?} of {noise:?}: {wrong:?}");
    }
    let (masked, count) = redact(noise);
    assert!(count > 0 || masked == noise);
}

#[test]
fn line_ends_of_all_kinds_are_laid_out() {
    for noise in ["\r\n", "\r", "a\r\nb", "\n\r", "\u{85}", "\u{2028}", "`a`\r\n`b`", "\u{b}\u{c}"] {
        is_laid_out(noise, 20, false);
        is_laid_out(noise, 100, true);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_laid_out_within_the_width(noise in "\\PC{0,200}|(.|\n){0,120}|[a-z`. ]{0,400}", width in 20_usize..130, unicode: bool) {
        is_laid_out(&noise, width, unicode);
    }
}

#[test]
fn no_cut_goes_through_a_secret() {
    let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{}-----END RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA7yn3bRHQ5FHMQ\n".repeat(120));
    for secret in
        ["glpat-aB3dE5fG7hI9jK1lM3nO", "HF_TOKEN=hf_aB3dE5fG7hI9jK1lM3nO5pQ7", "--api-key s3cr3tv4lu3", "Authorization: Bearer abcdef123456", &key]
    {
        let text = format!("the server was started with {secret} and then it died");
        let whole = redact(&text).0.into_owned();
        assert_ne!(whole, text);
        for at in 0..=text.len() {
            let (head, tail) = (cut_before(&text, at), cut_behind(&text, at));
            assert!(head <= at.min(text.len()) && tail + 3 >= at, "{at}");
            assert_eq!((cut_bytes_before(text.as_bytes(), at), cut_bytes_behind(text.as_bytes(), at)), (head, tail));
            let shown = format!("{} … {}", redact(&text[..head]).0, redact(&text[tail..]).0);
            for part in ["aB3", "nO5", "s3cr", "4lu3", "abcdef", "123456", "MIIE", "FHMQ"] {
                assert!(whole.contains(part) || !shown.contains(part), "cut at {at}: {shown}");
            }
        }
    }
    assert_eq!((cut_before("größer", 3), cut_behind("no secret", 4)), (2, 4));
}
