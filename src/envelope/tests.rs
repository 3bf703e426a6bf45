#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::time::Clock;

fn lines(raw: &[impl AsRef<str>]) -> (Vec<Line>, Vec<Origin>) {
    let mut envelope = Envelope::new();
    let mut out = Vec::new();
    for (at, line) in raw.iter().enumerate() {
        envelope.push(at as u64 + 1, line.as_ref(), &mut out);
    }
    envelope.finish(&mut out);
    (out, envelope.origins().to_vec())
}

fn texts(raw: &[impl AsRef<str>]) -> Vec<String> {
    lines(raw).0.into_iter().map(|line| line.text).collect()
}

fn one(raw: &str) -> (Line, Origin) {
    let (mut lines, origins) = lines(&[raw]);
    assert_eq!(lines.len(), 1, "{raw}: {lines:#?}");
    let line = lines.remove(0);
    let origin = origins[line.origin.0 as usize].clone();
    (line, origin)
}

fn untouched(raw: &[&str]) {
    let (found, _) = lines(raw);
    assert_eq!(found.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), raw);
    assert_eq!(found.iter().map(|line| line.number).collect::<Vec<_>>(), (1..=raw.len() as u64).collect::<Vec<_>>());
}

const VLLM: &[&str] = &[
    "INFO 11-20 12:00:01 [core.py:53] Initializing a V1 LLM engine (v0.9.1) with config: model='acme/tiny-7b'",
    "INFO 11-20 12:00:02 [gpu_model_runner.py:1770] Starting to load model acme/tiny-7b...",
    "WARNING 11-20 12:00:03 [config.py:9] Casting torch.float32 to torch.bfloat16.",
    "",
    "INFO 11-20 12:00:04 [gpu_model_runner.py:1801] Model loading took 13.5 GiB and 4.2 seconds",
    "ERROR 11-20 12:00:05 [core.py:700] EngineCore failed to start. 🚨",
    "ERROR 11-20 12:00:05 [core.py:700] ValueError: No available memory for the cache blocks.",
    "INFO:     Application shutdown complete.",
];

const TGI: &[&str] = &[
    "2024-05-14T12:30:52.830987Z  INFO text_generation_launcher: Args {",
    "    model_id: \"acme/tiny-7b\",",
    "    revision: None,",
    "}",
    "2024-05-14T12:30:53.830987Z  INFO download: text_generation_launcher: Starting download process.",
    "2024-05-14T12:30:58.101010Z ERROR warmup{max_input_length=Some(4095)}:warmup: text_generation_client: router/client/src/lib.rs:33: Server error: CUDA out of memory.",
    "Error: ShardCannotStart",
    "2024-05-14T12:30:59.101010Z ERROR text_generation_launcher: Shard 0 failed to start",
];

const TRACEBACK: &[&str] = &[
    "Traceback (most recent call last):",
    "  File \"/srv/app/serve.py\", line 12, in main",
    "    engine.run(prompt | other)",
    "    ~~~~~~~~~~^^^^^^^^^^^^^^^^",
    "  File \"/srv/app/engine.py\", line 345, in run",
    "    return self.step()",
    "           ^^^^^^^^^^^",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 172.00 MiB.",
];

type Wrap = fn(usize, &str) -> String;

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Every wrapping of single lines, by name; from `compose name` on, several lines are needed to recognise it.
const WRAPPINGS: &[(&str, Wrap)] = &[
    ("docker -t", |n, t| format!("2024-11-20T12:00:{n:02}.123456789Z {t}")),
    ("docker json", |n, t| format!("{{\"log\":{},\"stream\":\"stderr\",\"time\":\"2024-11-20T12:00:{n:02}.5Z\"}}", quoted(&format!("{t}\n")))),
    ("compose", |_, t| format!("web-1  | {t}")),
    ("compose 1", |_, t| format!("web_1    | {t}")),
    ("compose colours", |_, t| format!("\u{1b}[36mweb-1  | \u{1b}[0m{t}")),
    ("cri", |n, t| format!("2024-11-20T12:00:{n:02}.12345Z stdout F {t}")),
    ("kubectl --prefix", |_, t| format!("[pod/vllm-0/server] {t}")),
    ("stern colours", |_, t| format!("\u{1b}[36mvllm-0\u{1b}[0m \u{1b}[1;36mserver\u{1b}[0m {t}")),
    ("journal short", |n, t| format!("Nov 20 12:00:{n:02} node7 vllm[123]: {t}")),
    ("journal precise", |n, t| format!("Nov  2 12:00:{n:02}.123456 node7 vllm[123]: {t}")),
    ("journal iso", |n, t| format!("2024-11-20T12:00:{n:02}+0000 node7 vllm[123]: {t}")),
    ("journal full", |n, t| format!("Wed 2024-11-20 12:00:{n:02} UTC node7 vllm[123]: {t}")),
    ("journal unix", |n, t| format!("17321040{n:02}.123456 node7 vllm[123]: {t}")),
    ("journal json", |_, t| json!({"MESSAGE": t, "__REALTIME_TIMESTAMP": "1732104000123456", "_PID": "123", "PRIORITY": "6"}).to_string()),
    ("syslog 5424", |n, t| format!("<34>1 2024-11-20T12:00:{n:02}.123Z node7 vllm 123 ID47 [a@1 b=\"c]\\\"\"] {t}")),
    ("syslog 3164", |n, t| format!("<34>Nov 20 12:00:{n:02} node7 vllm[123]: {t}")),
    ("actions", |n, t| format!("2024-11-20T12:00:{n:02}.1234567Z {t}")),
    ("gh run view", |n, t| format!("serve\tRun it\t2024-11-20T12:00:{n:02}.1234567Z {t}")),
    ("textPayload", |_, t| {
        json!({"textPayload": t, "severity": "ERROR", "timestamp": "2024-11-20T12:00:00.1Z", "resource": {"labels": {"pod_name": "vllm-0"}}})
            .to_string()
    }),
    ("cloudwatch", |_, t| json!({"timestamp": 1_732_104_000_123_u64, "message": t}).to_string()),
    ("aws logs tail", |n, t| format!("2024-11-20T12:00:{n:02}.123000+00:00 ecs/vllm/0123abcd {t}")),
    ("loki", |_, t| json!({"labels": {"pod": "vllm-0"}, "line": t, "timestamp": "2024-11-20T12:00:00Z"}).to_string()),
    ("azure", |_, t| json!({"TimeGenerated": "2024-11-20T12:00:00Z", "LogMessage": t, "PodName": "vllm-0"}).to_string()),
    ("ray", |_, t| format!("\u{1b}[36m(RayWorkerWrapper pid=9, ip=10.0.0.2)\u{1b}[0m {t}")),
    ("vllm process", |_, t| format!("\u{1b}[0;36m(Worker_DP0_TP1 pid=99)\u{1b}[0;0m {t}")),
    ("colours lost", |_, t| format!("[0;36m(EngineCore_DP0 pid=99)[0;0m {t}")),
    ("torch rank", |_, t| format!("[rank0]: {t}")),
    ("torchrun", |_, t| format!("[default0]:{t}")),
    ("mpirun", |_, t| format!("[1,0]<stderr>: {t}")),
    ("journal monotonic", |n, t| format!("[{:>12}.123456] node7 vllm[123]: {t}", n + 1000)),
    ("gitlab", |n, t| format!("2024-11-20T12:00:{n:02}.123456Z 01O {t}")),
    ("heroku", |n, t| format!("2024-11-20T12:00:{n:02}.123456+00:00 app[web.1]: {t}")),
    ("fly", |n, t| format!("2024-11-20T12:00:{n:02}Z app[0123abcd] ord [info] {t}")),
    ("logcli", |n, t| format!("2024-11-20T12:00:{n:02}Z {{app=\"llm\", pod=\"vllm-0\"}} {t}")),
    ("cloudwatch machine", |n, t| format!("2024-11-20T12:00:{n:02}.123000+00:00 i-0123456789abcdef0 {t}")),
    ("aws filter", |n, t| format!("EVENTS\t37{n}\t1732104000123\tecs/vllm/0123\t{t}\t1732104000120")),
    ("grafana", |n, t| format!("1732104000123\t2024-11-20T12:00:{n:02}.123Z\t{t}")),
    ("endpoint", |n, t| format!("2024/11/20 12:00:{n:02} ~ {t}")),
    ("pm2", |_, t| format!("0|llm  | {t}")),
    ("foreman", |n, t| format!("12:00:{n:02} llm.1   | {t}")),
    ("torchserve", |n, t| format!("2024-11-20T12:00:{n:02},123 [WARN ] W-9000-llm_1.0-stderr MODEL_LOG - {t}")),
    ("airflow", |n, t| format!("[2024-11-20T12:00:{n:02}.123+0000] {{subprocess.py:106}} INFO - {t}")),
    ("tai64n", |n, t| format!("@400000006741b0{n:02x}075bcd15 {t}")),
    ("elastic", |_, t| json!({"_index": "logs", "_source": {"@timestamp": "2024-11-20T12:00:00Z", "message": t}}).to_string()),
    ("datadog", |_, t| json!({"id": "A", "attributes": {"timestamp": "2024-11-20T12:00:00Z", "message": t}}).to_string()),
    ("splunk", |_, t| json!({"preview": false, "result": {"_raw": t, "_time": "2024-11-20 12:00:00.123 UTC"}}).to_string()),
    ("telemetry", |_, t| {
        json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1732104000123456789", "body": {"stringValue": t}}]}]}]}).to_string()
    }),
    ("kaggle", |n, t| format!("{}{}", if n == 0 { '[' } else { ',' }, json!({"stream_name": "stderr", "time": 1.5, "data": format!("{t}\n")}))),
    ("page", |_, t| format!("<span class=\"line\">{}</span>", t.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"))),
    ("crlf", |_, t| format!("{t}\r")),
    ("compose name", |_, t| format!("vllm  | {t}")),
    ("stern", |_, t| format!("vllm-0 server {t}")),
    ("quote", |_, t| format!("> {t}")),
    ("numbers |", |n, t| format!("{:>4} | {t}", n + 8)),
    ("numbers :", |n, t| format!("{}: {t}", n + 8)),
    ("numbers tab", |n, t| format!("{:>6}\t{t}", n + 8)),
    ("srun", |_, t| format!("0: {t}")),
    ("indented", |_, t| format!("    {t}")),
];

fn wrapped(wrap: Wrap, content: &[impl AsRef<str>]) -> Vec<String> {
    content.iter().enumerate().map(|(at, text)| wrap(at, text.as_ref())).collect()
}

fn check(what: &str, raw: &[String], content: &[&str]) {
    let (found, _) = lines(raw);
    let found: Vec<(u64, u64, &str)> = found.iter().map(|l| (l.number, l.last_number, l.text.as_str())).collect();
    let wanted: Vec<(u64, u64, &str)> = content.iter().enumerate().map(|(at, text)| (at as u64 + 1, at as u64 + 1, *text)).collect();
    assert_eq!(found, wanted, "{what}: {raw:#?}");
}

#[test]
fn every_wrapping_comes_off() {
    for content in [VLLM, TGI, TRACEBACK] {
        untouched(content);
        for (name, wrap) in WRAPPINGS {
            check(name, &wrapped(*wrap, content), content);
        }
    }
}

#[test]
fn every_pair_of_wrappings_comes_off() {
    let mut failed = Vec::new();
    for content in [VLLM, TGI, TRACEBACK] {
        for (outer, wrap_outer) in WRAPPINGS {
            for (inner, wrap_inner) in WRAPPINGS {
                if outer.starts_with("compose") && *inner == "numbers |" || *outer == "compose name" && outer == inner {
                    continue; // Nothing tells it from a table.
                }
                let names = format!("{outer} around {inner}");
                let raw = wrapped(*wrap_outer, &wrapped(*wrap_inner, content));
                if std::panic::catch_unwind(|| check(&names, &raw, content)).is_err() {
                    failed.push(names);
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn six_wrappings_come_off() {
    let chain: &[&str] = &["cri", "docker json", "quote", "ray", "numbers |", "torch rank"];
    let mut raw: Vec<String> = VLLM.iter().map(|line| (*line).to_owned()).collect();
    for name in chain {
        let (_, wrap) = WRAPPINGS.iter().find(|(n, _)| n == name).unwrap();
        raw = wrapped(*wrap, &raw);
    }
    check("six", &raw, VLLM);
}

#[test]
fn prefixes_say_who_and_when() {
    let (line, origin) = one("2024-11-20T12:00:01.123456789Z (Worker_DP0_PP0_TP3_EP1 pid=99) INFO 11-20 12:00:01 [a.py:1] x");
    assert_eq!(line.text, "INFO 11-20 12:00:01 [a.py:1] x");
    assert_eq!(line.stamp.unwrap().text, "2024-11-20T12:00:01.123456789Z");
    assert_eq!((origin.process.as_deref(), origin.pid, origin.rank), (Some("Worker_DP0_PP0_TP3_EP1"), Some(99), Some(3)));

    type Case = (&'static str, Option<&'static str>, Option<&'static str>, Option<u32>, Option<u32>);
    let cases: &[Case] = &[
        ("(VllmWorkerProcess pid=1234) x", None, Some("VllmWorkerProcess"), Some(1234), None),
        ("(VllmWorker rank=2 pid=12) x", None, Some("VllmWorker"), Some(12), Some(2)),
        ("(VllmWorker TP1 pid=12) x", None, Some("VllmWorker TP1"), Some(12), Some(1)),
        ("(EngineCore_DP0 pid=7) x", None, Some("EngineCore_DP0"), Some(7), None),
        ("(APIServer pid=1) x", None, Some("APIServer"), Some(1), None),
        ("(pid=123) x", None, None, Some(123), None),
        ("(pid=123, ip=10.0.0.2) x", None, None, Some(123), None),
        ("(raylet) x", None, Some("raylet"), None, None),
        ("(autoscaler +4m2s) x", None, Some("autoscaler"), None, None),
        ("(ServeReplica:default:VLLMDeployment pid=5, ip=10.0.0.2) x", None, Some("ServeReplica:default:VLLMDeployment"), Some(5), None),
        ("web-1  | x", Some("web-1"), None, None, None),
        ("[pod/vllm-0/server] x", Some("pod/vllm-0/server"), None, None, None),
        ("\u{1b}[35mvllm-0\u{1b}[0m \u{1b}[1;35mserver\u{1b}[0m x", Some("vllm-0/server"), None, None, None),
        ("Nov 20 12:00:00 node7 vllm-server[123]: x", Some("vllm-server"), None, Some(123), None),
        ("Nov 20 12:00:00 node7 kernel: x", Some("kernel"), None, None, None),
        ("[rank3]: x", None, None, None, Some(3)),
        ("[default3]:x", None, None, None, Some(3)),
        ("[1,3]<stdout>: x", None, None, None, Some(3)),
    ];
    for (raw, container, process, pid, rank) in cases {
        let (line, origin) = one(raw);
        assert_eq!(line.text, "x", "{raw}");
        assert_eq!((origin.container.as_deref(), origin.process.as_deref(), origin.pid, origin.rank), (*container, *process, *pid, *rank), "{raw}");
    }
    assert_eq!(
        one("[rank0]:[W1120 12:00:00.123 ProcessGroupNCCL.cpp:1] Warning: x").0.text,
        "[W1120 12:00:00.123 ProcessGroupNCCL.cpp:1] Warning: x"
    );
}

#[test]
fn the_innermost_stamp_is_kept() {
    let raw = "2024-11-20T12:00:09.1Z stdout F Nov 20 12:00:01 node7 vllm[1]: x";
    let stamp = one(raw).0.stamp.unwrap();
    assert_eq!(stamp.text, "Nov 20 12:00:01");
    let Clock::Wall { date: Some(date), offset: None, .. } = stamp.clock else { panic!("{stamp:?}") };
    assert_eq!((date.year, date.month, date.day), (None, 11, 20));
}

#[test]
fn a_programs_own_stamp_stays() {
    untouched(TGI);
    untouched(&["2024-11-20T12:00:00Z text", "2024-11-20T12:00:00.1Z ERROR target: text"]);
    // A doubtful stamp is a wrapper's as soon as the lines behind it show that they have their own.
    let raw: Vec<String> = VLLM.iter().chain(TRACEBACK).map(|line| format!("2024-11-20T12:00:00.123456Z {line}")).collect();
    let found = texts(&raw);
    assert_eq!(found.iter().filter(|line| line.starts_with("2024")).count(), 0, "{found:#?}");
}

#[test]
fn split_lines_are_joined() {
    let raw = [
        "2024-11-20T12:00:00.1Z stdout P one ",
        "2024-11-20T12:00:00.2Z stderr F other",
        "2024-11-20T12:00:00.3Z stdout P two ",
        "2024-11-20T12:00:00.4Z stdout F three",
    ];
    let found: Vec<_> = lines(&raw).0.into_iter().map(|l| (l.number, l.last_number, l.text)).collect();
    assert_eq!(found, [(2, 2, "other".to_owned()), (1, 4, "one two three".to_owned())]);

    let raw = [
        r#"{"log":"ab","stream":"stderr","time":"2024-11-20T12:00:00Z"}"#,
        r#"{"log":"c\n","stream":"stderr","time":"2024-11-20T12:00:00Z"}"#,
        r#"{"log":"end","stream":"stdout","time":"2024-11-20T12:00:00Z"}"#,
    ];
    let found: Vec<_> = lines(&raw).0.into_iter().map(|l| (l.number, l.last_number, l.text)).collect();
    assert_eq!(found, [(1, 2, "abc".to_owned()), (3, 3, "end".to_owned())]);

    // The cut may go through a terminal sequence, and what no part completes is no text.
    for at in 1.."\u{1b}[38;5;196m".len() {
        let (before, behind) = "\u{1b}[38;5;196m".split_at(at);
        let raw = [
            format!("2024-11-20T12:00:00.1Z stdout P one{before}"),
            format!("2024-11-20T12:00:00.2Z stdout F {behind}two{before}"),
            format!("2024-11-20T12:00:00.3Z stdout P three{before}"),
        ];
        assert_eq!(texts(&raw), ["onetwo", "three"], "{at}");
    }

    // Collectors cut the line breaks off.
    let raw: Vec<String> = VLLM.iter().map(|t| json!({"log": t, "stream": "stderr", "time": "2024-11-20T12:00:00Z"}).to_string()).collect();
    check("no breaks", &raw, VLLM);
}

#[test]
fn joined_lines_have_an_end() {
    let part = "x".repeat(100_000);
    let raw: Vec<String> = (0..25).map(|_| format!("2024-11-20T12:00:00.1Z stdout P {part}")).collect();
    let (found, _) = lines(&raw);
    assert_eq!(found.iter().map(|l| l.text.len()).sum::<usize>(), 2_500_000);
    assert!(found.iter().all(|line| line.text.len() < LONGEST_JOIN + 100_000));
}

#[test]
fn workers_of_djl() {
    for raw in ["[INFO ] PyProcess - W-196-finch-stdout: [1,0]<stdout>:ValueError: no", "WARN  PyProcess W-196-finch-stderr: ValueError: no"] {
        let (line, origin) = one(raw);
        assert_eq!((line.text.as_str(), line.level), ("ValueError: no", None), "{raw}");
        assert_eq!(origin.container.as_deref(), Some("W-196-finch"));
    }
    untouched(&["WARN  PyProcess waits for its worker: none"]);
}

#[test]
fn workers_of_runpod() {
    let (line, origin) = one("a1b2c3d4e5f6g7[info]  File \"/p/vllm/engine.py\", line 3, in run");
    assert_eq!((line.text.as_str(), line.level), ("  File \"/p/vllm/engine.py\", line 3, in run", None));
    assert_eq!(origin.container.as_deref(), Some("a1b2c3d4e5f6g7"));
    untouched(&["abcdefghijklmn[info] no worker", "a1b2[info] too short"]);
}

#[test]
fn objects_of_loggers() {
    let (line, origin) = one(
        r#"{"timestamp":"2024-05-14T12:30:52.830987Z","level":"ERROR","fields":{"message":"Shard failed","rank":1,"error":"boom"},"target":"text_generation_launcher","span":{"rank":1,"name":"shard-manager"}}"#,
    );
    assert_eq!(line.text, "Shard failed rank=1 error=boom");
    assert_eq!((line.level, line.logger.as_deref(), origin.rank), (Some(Level::Error), Some("text_generation_launcher"), Some(1)));
    assert!(line.starts_record && !line.continues_record && line.stamp.is_some());

    let raw = r#"{"timestamp":"2024-05-14T12:30:52Z","level":"ERROR","fields":{"message":"Error\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\nValueError: no\n"},"target":"t"}"#;
    let found: Vec<_> = lines(&[raw]).0.into_iter().map(|l| (l.number, l.text, l.starts_record, l.continues_record)).collect();
    let wanted = ["Error", "Traceback (most recent call last):", "  File \"a.py\", line 1, in f", "ValueError: no"];
    assert_eq!(found.len(), wanted.len());
    for (at, (number, text, starts, continues)) in found.iter().enumerate() {
        assert_eq!((*number, text.as_str(), *starts, *continues), (1, wanted[at], at == 0, at > 0));
    }

    let cases = [
        (r#"{"event":"x","level":"warning","timestamp":"2024-11-20T12:00:00Z","logger":"a.b"}"#, vec!["x"], Level::Warn, Some("a.b")),
        (r#"{"msg":"x","level":"fatal","ts":1732104000.5,"error":"no space"}"#, vec!["x error=no space"], Level::Fatal, None),
        (
            r#"{"asctime":"2024-11-20T12:00:00Z","levelname":"ERROR","name":"vllm","processName":"EngineCore_DP0","process":9,"message":"x","exc_info":"Traceback (most recent call last):\nValueError: y"}"#,
            vec!["x", "Traceback (most recent call last):", "ValueError: y"],
            Level::Error,
            Some("vllm"),
        ),
        (r#"{"message":"x","severity":"CRITICAL"}"#, vec!["x"], Level::Fatal, None),
        (
            r#"{"text":"x\n","record":{"level":{"name":"ERROR","no":40},"message":"x","name":"tgi","time":{"repr":"2024-11-20T12:00:00.1+00:00","timestamp":1732104000.1}}}"#,
            vec!["x"],
            Level::Error,
            Some("tgi"),
        ),
        (
            r#"{"event":"x","level":"error","exception":[{"exc_type":"ValueError","exc_value":"y","frames":[{"filename":"a.py","lineno":3,"name":"f"}]}]}"#,
            vec!["x", "Traceback (most recent call last):", "  File \"a.py\", line 3, in f", "ValueError: y"],
            Level::Error,
            None,
        ),
        (r#"{"jsonPayload":{"message":"x","level":"ERROR"},"severity":"INFO","timestamp":"2024-11-20T12:00:00Z"}"#, vec!["x"], Level::Error, None),
        (
            r#"{"level":"INFO","timestamp":"2024-11-20T12:00:00Z","message":"x","target":"text_generation_router","fields":{}}"#,
            vec!["x"],
            Level::Info,
            Some("text_generation_router"),
        ),
    ];
    for (raw, wanted, level, logger) in cases {
        let (found, _) = lines(&[raw]);
        assert_eq!(found.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), wanted, "{raw}");
        assert_eq!((found[0].level, found[0].logger.as_deref(), found[0].starts_record), (Some(level), logger, true), "{raw}");
    }
    let bytes = r#"{"MESSAGE":[27,91,51,49,109,104,105],"__REALTIME_TIMESTAMP":"1732104000123456","_PID":"77"}"#;
    assert_eq!(one(bytes).0.text, "hi");
    assert_eq!(one(bytes).1.pid, Some(77));
}

#[test]
fn other_objects_stay() {
    untouched(&[
        r#"{"model": "acme/tiny-7b", "max_model_len": 8192}"#,
        r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400}"#,
        r#"{"message": "hello"}"#,
        r#"{"log": "hello"}"#,
        r#"{"name": "linear", "level": 3, "time": "never"}"#,
        r#"{"log":"cut off at the en"#,
        r#"{"log":"x\n","stream":"stderr","time":"2024"#,
        "{'model': 'x', 'level': 'INFO', 'message': 'y'}",
        "{}",
        "{",
    ]);
}

#[test]
fn folded_lines_are_counted() {
    let (line, origin) = one(
        "\u{1b}[36m(RayWorkerWrapper pid=9, ip=10.0.0.2)\u{1b}[0m ERROR 11-20 12:00:00 a.py:1] no\u{1b}[32m [repeated 3x across cluster] (Ray deduplicates logs by default. Set RAY_DEDUP_LOGS=0 to disable log deduplication, or see the docs for more options.)\u{1b}[0m",
    );
    assert_eq!((line.text.as_str(), line.repeated), ("ERROR 11-20 12:00:00 a.py:1] no", 3));
    assert_eq!(origin.pid, Some(9));
    assert_eq!(one("x [repeated 12x across cluster]").0.repeated, 12);
    untouched(&["x [repeated 12x across cluster] and more]", "x [repeated often]"]);
}

#[test]
fn terminal_sequences_go() {
    let cases = [
        (
            "\u{1b}[2m2024-05-14T12:30:52.830987Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m \u{1b}[2mtgi\u{1b}[0m: x",
            "2024-05-14T12:30:52.830987Z  INFO tgi: x",
        ),
        ("\u{1b}]0;title\u{7}x", "x"),
        ("\u{1b}]8;;http://a\u{1b}\\link\u{1b}]8;;\u{1b}\\ x", "link x"),
        ("\u{1b}(Bx\u{8}\u{1}", "x"),
        ("\u{1b}[?25lx\u{1b}[K", "x"),
        ("#033[0;36mx#033[0m", "x"),
        ("^[[31mx^[[0m", "x"),
        ("[32mINFO[0m: x", "INFO: x"),
        ("a\tb", "a\tb"),
        ("rate(x[5m]) over [1m] and [0m]", "rate(x[5m]) over [1m] and [0m]"),
        ("╭─ 🚨 │ ❱ 87 │ é ╯", "╭─ 🚨 │ ❱ 87 │ é ╯"),
        ("\u{1b}", ""),
        ("\u{1b}[", ""),
        ("\u{feff}x", "x"),
    ];
    for (raw, wanted) in cases {
        assert_eq!(texts(&[raw]), [wanted], "{raw:?}");
    }
}

#[test]
fn bars_are_kept_once() {
    let bar = |n: u32| format!("Loading safetensors checkpoint shards:  {}% Completed | {n}/4 [00:0{n}<00:03,  1.20s/it]", n * 25);
    let raw = format!("(Worker_TP0 pid=9) \r{}\r{}\r{}\r", bar(0), bar(1), bar(4));
    assert_eq!(texts(&[raw]), [bar(4)]);
    let raw = format!("{}\rERROR 11-20 12:00:00 a.py:1] no\r{}", bar(0), bar(1));
    assert_eq!(texts(&[raw]), ["ERROR 11-20 12:00:00 a.py:1] no".to_owned(), bar(1)]);
    let raw = format!("{}Traceback (most recent call last):", bar(2));
    assert_eq!(texts(&[raw]), [bar(2), "Traceback (most recent call last):".to_owned()]);
    assert_eq!(texts(&["\u{1b}[2K\u{1b}[1GDownloading ⠋\u{1b}[2K\u{1b}[1GDownloading ⠙"]), ["Downloading ⠙"]);
    assert_eq!(
        texts(&["10%|█         | 1/10 [00:01<00:09,  1.00it/s]\rSomething else broke\r20%|██        | 2/10 [00:02<00:08,  1.00it/s]"]),
        ["Something else broke", "20%|██        | 2/10 [00:02<00:08,  1.00it/s]"]
    );
    assert_eq!(texts(&["\r\r"]), [""]);
    let found = lines(&["a b c\rfirst words\rlast words"]).0;
    assert!(found.iter().all(|line| line.number == 1));
}

#[test]
fn tables_and_code_are_no_prefixes() {
    untouched(&[
        "+-----------------------------------------------------------------------------+",
        "| NVIDIA-SMI 535.104.05   Driver Version: 535.104.05   CUDA Version: 12.2     |",
        "|   0  NVIDIA A100-SXM4-80GB  On  | 00000000:07:00.0 Off |                  0 |",
        "|    0   N/A  N/A      1234      C   python3                        70321MiB |",
    ]);
    untouched(&[
        "╭───────────── Traceback (most recent call last) ──────────────╮",
        "│ /opt/conda/lib/python3.10/site-packages/tgi/cli.py:90 in     │",
        "│   87 │   # Downgrade enum into str                           │",
        "│ ❱ 88 │   server.serve(                                       │",
        "+--------------------- Traceback (most recent call last) -----+",
        "|   87 |   # Downgrade enum into str                          |",
        "|   88 |   server.serve(                                      |",
    ]);
    untouched(&[
        "name | size | used",
        "---- | ---- | ----",
        "gpu-0 | 80 GB | 79 GB",
        "gpu-1 | 80 GB | 79 GB",
        "gpu-2 | 80 GB | 3 GB",
        "gpu-3 | 80 GB | 3 GB",
    ]);
    untouched(&[
        "flags_1 | flags_2 | 4",
        "12: foo",
        "text",
        "0: NVIDIA A100",
        "1: NVIDIA A100",
        "2: NVIDIA A100",
        "3: NVIDIA A100",
        "4: NVIDIA A100",
    ]);
    let devices: Vec<String> = (0..16).map(|n| format!("{n}: NVIDIA A100")).collect();
    untouched(&devices.iter().map(String::as_str).collect::<Vec<_>>());
    untouched(&["  File \"a.py\", line 1, in f", "> File \"b.py\", line 2, in g", "  File \"c.py\", line 3, in h"]);
    untouched(&[
        "0.00.366.780 W common_fit_params: failed",
        "12:00:01 x",
        "13:00:02 y",
        "[GIN] 2025/03/20 - 12:00:00 | 200 | 1.2s | 127.0.0.1 | POST \"/api/chat\"",
    ]);
    untouched(&[
        "$ docker run --gpus all acme/server",
        "# pip install x",
        "[2025-03-20 12:00:00 TP0] Load weight begin. avail mem=78.80 GB",
        "(process pid 12) x",
        "(see above) pid=3",
    ]);
    untouched(&["2024-05-14 12:30:52.830 | INFO     | server:main:12 - text", "2024-05-14 12:30:53.830 | INFO     | server:main:12 - text"]);
    untouched(&["model  | tiny", "dtype  | half", "layers | 32", "heads  | 8", "vocab  | 32000", "window | 4096", "cache  | auto"]);
    untouched(&["worker-1 loading a", "worker-1 loading b", "worker-1 loading c", "done"]);
    untouched(&["vllm-1 exited with code 137", "INFO | a | b", "INFO | c | d", "INFO | e | f", "INFO | g | h"]);
}

#[test]
fn pasted_text() {
    let mut raw = vec!["It fails:".to_owned(), "```text".to_owned()];
    raw.extend(VLLM.iter().map(|line| (*line).to_owned()));
    raw.push("```".to_owned());
    let (found, _) = lines(&raw);
    assert_eq!(found.len(), VLLM.len() + 1);
    assert_eq!((found[1].number, found[1].text.as_str()), (3, VLLM[0]));

    let raw = [
        "It fails:",
        "    INFO 11-20 12:00:01 [core.py:53] x",
        "    Traceback (most recent call last):",
        "      File \"a.py\", line 1, in f",
        "    ValueError: y",
        "Please help",
    ];
    assert_eq!(
        texts(&raw),
        [
            "It fails:",
            "INFO 11-20 12:00:01 [core.py:53] x",
            "Traceback (most recent call last):",
            "  File \"a.py\", line 1, in f",
            "ValueError: y",
            "Please help"
        ]
    );

    let mut envelope = Envelope::new();
    let mut out = Vec::new();
    for number in (5..9).chain(40..60) {
        envelope.push(number, &format!("{number}: INFO 11-20 12:00:01 x"), &mut out);
    }
    assert_eq!(out.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["INFO 11-20 12:00:01 x"; 24]);

    let grep: Vec<String> = TRACEBACK.iter().enumerate().map(|(at, line)| format!("{}:{line}", at + 101)).collect();
    assert_eq!(texts(&grep), TRACEBACK);
    // Lines picked out of a file, of a launcher that names its streams.
    let picked = [
        "1077:[default0]:WARNING:megatron.core.utils:CUDA out of memory.",
        "1078:[default0]:[rank0]: Traceback (most recent call last):",
        "1129:[default0]:[rank0]: torch.OutOfMemoryError: CUDA out of memory.",
    ];
    assert_eq!(
        texts(&picked),
        ["WARNING:megatron.core.utils:CUDA out of memory.", "Traceback (most recent call last):", "torch.OutOfMemoryError: CUDA out of memory."]
    );
}

/// The lines of a log in documents and tables, with the numbers of the lines that they stand on.
#[test]
fn documents_and_tables() {
    let found = |raw: &str| -> Vec<(u64, String)> {
        let raw: Vec<&str> = raw.split('\n').collect();
        lines(&raw).0.into_iter().map(|line| (line.number, line.text)).collect()
    };
    let texts_of = |raw: &str| -> Vec<String> { found(raw).into_iter().map(|(_, text)| text).collect() };
    for content in [VLLM, TGI, TRACEBACK] {
        let entries: Vec<_> = content.iter().map(|text| json!({"timestamp": "2024-11-20T12:00:00.1Z", "textPayload": text})).collect();
        assert_eq!(texts_of(&serde_json::to_string_pretty(&entries).unwrap()), content);
        assert_eq!(texts_of(&serde_json::to_string(&entries).unwrap()), content);
        let hits: Vec<_> = content.iter().map(|text| json!({"_source": {"@timestamp": "2024-11-20T12:00:00.1Z", "message": text}})).collect();
        let answer = json!({"took": 1, "hits": {"total": {"value": 8}, "hits": hits}});
        assert_eq!(texts_of(&serde_json::to_string_pretty(&answer).unwrap()), content);
        assert_eq!(texts_of(&answer.to_string()), content);
        let values: Vec<_> = content.iter().map(|text| json!(["1732104000123456789", text])).collect();
        assert_eq!(texts_of(&json!({"status": "success", "data": {"result": [{"stream": {"pod": "a"}, "values": values}]}}).to_string()), content);
        let output: Vec<String> = content.iter().map(|text| format!("{text}\n")).collect();
        let notebook =
            json!({"cells": [{"cell_type": "code", "outputs": [{"name": "stderr", "text": output}], "source": ["!serve"]}], "nbformat": 4});
        assert_eq!(texts_of(&serde_json::to_string_pretty(&notebook).unwrap()), content);
        let fields: Vec<String> =
            content.iter().map(|t| format!("__CURSOR=s=a\n__REALTIME_TIMESTAMP=1732104000123456\n_PID=7\nMESSAGE={t}\n")).collect();
        assert_eq!(texts_of(&fields.join("\n")), content);
        let verbose: Vec<String> = content
            .iter()
            .map(|t| format!("Wed 2024-11-20 12:00:00.123456 UTC [s=a;i=1;b=b;m=1;t=2;x=3]\n    PRIORITY=6\n    _TRANSPORT=stdout\n    MESSAGE={t}"))
            .collect();
        assert_eq!(texts_of(&verbose.join("\n")), content);
        let table: Vec<String> = content.iter().map(|t| format!("1732104000123,\"{}\",llm", t.replace('"', "\"\""))).collect();
        assert_eq!(texts_of(&format!("timestamp,message,service\n{}", table.join("\n"))), content);
        // One cell with all lines.
        let cell = content.join("\n").replace('"', "\"\"");
        let numbered: Vec<(u64, String)> = (2..).zip(content.iter().map(|t| (*t).to_owned())).collect();
        assert_eq!(found(&format!("Date,Content\n2024-11-20T12:00:00Z,\"{cell}\"\n2024-11-20T12:00:01Z,x"))[..content.len()], numbered);
    }
    let entries = json!([{"insertId": "a", "textPayload": "one\ntwo", "timestamp": "2024-11-20T12:00:00Z"}]);
    let raw = serde_json::to_string_pretty(&entries).unwrap();
    let (found, _) = lines(&raw.split('\n').collect::<Vec<_>>());
    assert_eq!(
        found.iter().map(|l| (l.number, l.text.as_str(), l.starts_record, l.continues_record)).collect::<Vec<_>>(),
        [(4, "one", true, false), (4, "two", false, true)]
    );
    assert!(found[0].stamp.is_some());
    // A configuration is no log, and what follows a document is.
    untouched(&["{", "  \"model\": \"acme/tiny-7b\",", "  \"layers\": 12", "}", VLLM[0], VLLM[1]]);
    untouched(&["a,b,c", "1,2,3"]);
    assert_eq!(texts(&["time,message", "not a row of it", VLLM[0]]), ["not a row of it", VLLM[0]]);
}

#[test]
fn what_stands_before_every_line() {
    let raw: Vec<String> = TRACEBACK.iter().map(|line| format!("server.log:{line}")).collect();
    assert_eq!(texts(&raw), TRACEBACK);
    let raw: Vec<String> = TRACEBACK.iter().enumerate().map(|(at, line)| format!("logs/server.log.1:{}:{line}", at + 1)).collect();
    assert_eq!(texts(&raw), TRACEBACK);
    let raw: Vec<String> = VLLM.iter().chain(TRACEBACK).map(|line| format!("worker-1: {line}")).collect();
    assert_eq!(texts(&raw), [VLLM, TRACEBACK].concat());
    for stamp in ["2024-11-20 12:00:00.123456789  ", "Nov 20 12:00:00 ", "[2024-11-20T12:00:00.123Z] ", "12:00:00  "] {
        let raw: Vec<String> = VLLM.iter().chain(TRACEBACK).map(|line| format!("{stamp}{line}")).collect();
        assert_eq!(texts(&raw), [VLLM, TRACEBACK].concat());
    }
    let raw: Vec<String> = TRACEBACK.iter().enumerate().map(|(at, line)| format!("{:>7} {line}", at + 1)).collect();
    assert_eq!(texts(&raw), TRACEBACK);
    assert_eq!(
        texts(&[
            "<details>",
            "<summary>Log</summary>",
            "",
            "```text",
            "a &lt;b&gt;",
            "```",
            "</details>",
            "section_end:1742464900:step\r\u{1b}[0Kdone"
        ]),
        ["", "a <b>", "done"]
    );
    untouched(&[
        "error.log: No such file or directory",
        "load_tensors: offloading 33 layers",
        "a < b && c > d",
        "2024-11-20 12:00:00,123 INFO worker.py:1 -- a",
        "2024/11/20 12:00:00 listening",
        "@alice said something",
    ]);
}

#[test]
fn labels_and_names_say_who() {
    let raw: Vec<String> = VLLM.iter().enumerate().map(|(at, line)| format!("{}: {line}", at % 2)).collect();
    let (found, origins) = lines(&raw);
    assert_eq!(found.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), VLLM);
    assert_eq!(origins[found[1].origin.0 as usize].rank, Some(1));
    let raw = ["Attaching to vllm, db", "vllm  | loading", "db    | ready | steady"];
    let (found, origins) = lines(&raw);
    assert_eq!(found[2].text, "ready | steady");
    assert_eq!(origins[found[1].origin.0 as usize].container.as_deref(), Some("vllm"));
}

#[test]
fn journal_messages_of_several_lines() {
    let prefix = "Nov 20 12:00:00 node7 vllm[123]: ";
    let raw = [
        format!("{prefix}Traceback (most recent call last):"),
        format!("{}  File \"a.py\", line 1, in f", " ".repeat(prefix.len())),
        format!("{prefix}x"),
    ];
    let (found, origins) = lines(&raw);
    assert_eq!(found[1].text, "  File \"a.py\", line 1, in f");
    assert_eq!(origins[found[1].origin.0 as usize].pid, Some(123));
}

#[test]
fn workflow_commands() {
    let (line, _) = one("2024-05-01T12:00:00.1234567Z ##[error]Process completed with exit code 137.");
    assert_eq!((line.text.as_str(), line.level), ("Process completed with exit code 137.", Some(Level::Error)));
    assert_eq!(texts(&["2024-05-01T12:00:00.1234567Z ##[group]Run it"]), ["Run it"]);
}

#[test]
fn nothing_waits_for_long() {
    for (name, wrap) in WRAPPINGS {
        let raw = wrapped(*wrap, &[VLLM, TGI, TRACEBACK, VLLM].concat());
        let mut envelope = Envelope::new();
        let mut out = Vec::new();
        for (at, line) in raw.iter().enumerate() {
            envelope.push(at as u64 + 1, line, &mut out);
            assert!(out.len() + 6 > at + 1, "{name} holds {} lines", at + 1 - out.len());
        }
    }
}

#[test]
fn origins_are_bounded() {
    let mut envelope = Envelope::new();
    let mut out = Vec::new();
    for pid in 0..5000 {
        envelope.push(pid + 1, &format!("(Worker pid={pid}) x"), &mut out);
    }
    assert_eq!(envelope.origins().len(), MOST_ORIGINS);
    assert!(out.iter().all(|line| (line.origin.0 as usize) < MOST_ORIGINS));
    assert_eq!(out.len(), 5000);
}

#[test]
fn cut_anywhere_nothing_breaks() {
    for content in [VLLM, TGI, TRACEBACK] {
        for (_, wrap) in WRAPPINGS {
            for line in wrapped(*wrap, content) {
                for at in (0..=line.len()).filter(|at| line.is_char_boundary(*at)) {
                    lines(&[&line[..at]]);
                    lines(&[&line[at..]]);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(raw in proptest::collection::vec("[ -~\\t\\r\\x1b│█é🚨\\u{85}\\u{feff}]{0,80}", 0..12)) {
        let (found, origins) = lines(&raw);
        let fences = raw.iter().filter(|line| line.contains("``") || line.contains("~~~")).count();
        prop_assert!(found.len() + fences >= raw.len());
        for line in &found {
            prop_assert!(line.number >= 1 && line.last_number <= raw.len() as u64);
            prop_assert!((line.origin.0 as usize) < origins.len());
        }
    }

    #[test]
    fn any_mixture_is_survived(picks in proptest::collection::vec((0..WRAPPINGS.len(), 0..WRAPPINGS.len(), 0..VLLM.len(), 0_usize..200), 1..20)) {
        let raw: Vec<String> = picks.iter().enumerate().map(|(at, (a, b, line, cut))| {
            let mut text = WRAPPINGS[*a].1(at, &WRAPPINGS[*b].1(at, VLLM[*line]));
            while *cut < text.len() && !text.is_char_boundary(*cut) { text.pop(); }
            if text.is_char_boundary(*cut) { text.truncate(*cut); }
            text
        }).collect();
        let (found, _) = lines(&raw);
        let mut numbers: Vec<u64> = found.iter().flat_map(|line| line.number..=line.last_number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        prop_assert!(numbers.len() <= raw.len());
    }

    #[test]
    fn lines_are_never_lost(picks in proptest::collection::vec(prop_oneof![
        Just("> x"), Just("1: x"), Just("2: y"), Just("3: z"), Just("0: x"), Just("vllm  | x"), Just("vllm-0 server x"), Just("   INFO 1 x"),
        Just(""), Just("   x"), Just("12 | y"), Just("13 | y"), Just("14 | y"), Just("plain")], 1..40)) {
        let (found, _) = lines(&picks);
        prop_assert_eq!(found.iter().map(|line| line.number).collect::<Vec<_>>(), (1..=picks.len() as u64).collect::<Vec<_>>());
    }
}
