//! A log may hold anything: nothing of it is obeyed by what shows the report, and nothing of it costs more than its size.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use oomdoc::analysis::Analyzer;
use oomdoc::report::{self, Format, Style};
use oomdoc::source::Reader;
use oomdoc::{Options, PostMortem};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options as Extensions, Parser, Tag};

static OPTIONS: LazyLock<Options> = LazyLock::new(Options::default);
static ANALYZER: LazyLock<Analyzer<'static>> = LazyLock::new(|| Analyzer::new(&OPTIONS));

fn analyze(bytes: impl Into<Vec<u8>>) -> Option<PostMortem> {
    Reader::from_bytes(bytes).and_then(|reader| ANALYZER.run(reader, "-")).ok()
}

const FORMATS: &[Format] = &[Format::Text, Format::Markdown, Format::Json, Format::Ndjson, Format::Html];

fn render(report: &PostMortem, format: Format, color: bool) -> String {
    let mut out = Vec::new();
    report::write(format, &[report.clone().into()], &Style { color, ..Style::default() }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

// ------------------------------------------------------------------------------------------------- what shows the report

/// Terminal sequences, markup, text that runs backwards or hides, and ends of what a report may quote it in.
const HOSTILE: &[&str] = &[
    "\u{1b}[2J\u{1b}[H\u{1b}]0;evil\u{7}",
    "\u{1b}]8;;http://evil.example/\u{1b}\\evil\u{1b}]8;;\u{1b}\\",
    "\u{1b}P+q544e\u{1b}\\",
    "\u{9b}31m\u{9d}0;evil\u{9c}",
    "\u{8}\u{8}\u{8}\u{c}\u{b}\u{e}\u{7f}\u{84}",
    "over\rwritten",
    "<script>evil()</script>",
    "<img src=x onerror=evil()>",
    "\"><svg/onload=evil()>",
    "' onmouseover='evil()",
    "</code></pre><iframe src=//evil.example>",
    "<!-- --><![CDATA[<evil>]]><?evil?>",
    "&lt;evil&gt; &#60;evil&#62;",
    "```\n<evil>\n```",
    "~~~~\n# evil\n~~~~",
    "`evil` ``evil`` *evil* _evil_ ~~evil~~ | evil | evil |",
    "[evil](javascript:evil()) ![evil](http://evil.example/x.png) [evil]: http://evil.example",
    "<http://evil.example/> www.evil.example evil@evil.example https://evil.example/a",
    "\n# evil\n\n- evil\n\n> evil\n\n---\n",
    "\u{202e}live\u{202c} \u{2066}evil\u{2069} \u{200f}\u{61c}",
    "e\u{200b}vi\u{200d}l\u{feff}\u{2060}\u{ad}\u{2028}\u{2029}\u{85}",
    "\u{e0065}\u{e0076}\u{e0069}\u{e006c}\u{e007f}",
    "Z\u{334}\u{335}\u{336}\u{337}\u{338}\u{339}\u{33a}\u{33b}\u{33c}\u{33d}\u{33e}algo",
    "{{ evil }} {% evil %} ${evil} $(evil) `evil` ; evil & evil | evil",
];

/// Logs with a fragment wherever a report may take text from: messages, names, paths, arguments, versions, loggers.
fn poisoned(fragment: &str) -> String {
    let plain = fragment.replace('\n', " ");
    format!(
        "llm-1  | INFO 03-20 10:00:00 [api_server.py:1043] vLLM API server version 0.8.5{plain}\n\
         llm-1  | INFO 03-20 10:00:01 [config.py:209] non-default args: {{'model': 'acme/{plain}', 'dtype': '{plain}', '{plain}': '{plain}', 'max_model_len': 8192}}\n\
         llm-1  | INFO 03-20 10:00:02 [core.py:61] Initializing a V1 LLM engine (v0.8.5{plain}) with config: model='acme/{plain}', dtype={plain}, quantization={plain}\n\
         llm-1  | Traceback (most recent call last):\n\
         llm-1  |   File \"/opt/{plain}/worker.py\", line 7, in {plain}\n\
         llm-1  |     {plain}\n\
         llm-1  | torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. {fragment} GPU 0 ({plain}) has a total capacity of 15.77 GiB of which 97.88 MiB is free.\n\
         llm-1  | ValueError: {fragment} {fragment}\n\
         2025-03-20T10:00:03.000000Z  INFO text_generation_launcher: Args {{ model_id: \"{plain}\", quantize: Some(\"{plain}\") }}\n\
         2025-03-20T10:00:04.000000Z ERROR {plain}: text_generation_launcher: {fragment}\n\
         [Thu Mar 20 10:00:05 2025] Memory cgroup out of memory: Killed process 7 ({plain}) total-vm:88102340kB, anon-rss:30992180kB\n\
         Error: {fragment}\n"
    )
}

/// Every fragment, as text and as a JSON logger would carry it.
fn poisoned_reports() -> Vec<(String, PostMortem)> {
    let mut reports = Vec::new();
    for fragment in HOSTILE {
        let log = poisoned(fragment);
        let carried: String = log
            .lines()
            .map(|line| {
                format!("{}\n", serde_json::json!({"log": format!("{line}\n"), "stream": "stderr", "time": "2025-03-20T10:00:00.123456789Z"}))
            })
            .collect();
        for log in [log, carried] {
            let mut report = analyze(log).unwrap();
            assert!(!report.incidents.is_empty());
            report.source.name = fragment.to_string();
            reports.push((fragment.escape_debug().to_string(), report));
        }
    }
    reports
}

fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[test]
fn no_control_or_hidden_character_reaches_any_format() {
    for (fragment, report) in poisoned_reports() {
        for format in FORMATS {
            let text = render(&report, *format, false);
            let bad = text.chars().find(|c| c.is_control() && *c != '\n' || is_hidden(*c));
            assert_eq!(bad, None, "{fragment} in {format:?}");
        }
    }
}

/// Texts are shortened for many reasons and in many places, and half a secret is known by no shape.
#[test]
fn no_secret_is_cut_into_what_no_shape_knows() {
    let secrets = [
        "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ",
        "Authorization: Bearer aBcDeFgHiJk5LmNoPqR",
        "api_key=aBcDeFgHiJk5LmNoPqR",
        "https://user:aBcDeFgHiJk5LmNoPqR@hub.example/x",
    ];
    for (secret, count) in secrets.iter().flat_map(|secret| [40, 250, 2500].map(|count| (secret, count))) {
        for shift in (0..secret.len() + 3).step_by(if count > 1000 { 16 } else { 4 }) {
            let fragment = format!("{} {}", "x".repeat(shift), format!("{secret} ").repeat(count));
            let fragment = fragment.trim_end();
            let broken_off = format!("Traceback (most recent call last):\n  File \"/opt/owl.py\", line 7, in {fragment}\n    {fragment}\n");
            let commands =
                format!("$ vllm serve acme/owl --quantization awq {fragment}\nERROR {fragment}\nvllm: error: unrecognized arguments: {fragment}\n");
            for log in [poisoned(fragment), broken_off, commands] {
                let report = analyze(log).unwrap();
                assert!(report.secrets_masked > 0);
                for &format in FORMATS {
                    let text = render(&report, format, false);
                    for part in ["hf_a", "aBcDeF", "gHiJk", "LmNoPqR", "TuVwXyZ"] {
                        let at = text.find(part).map(|at| text[at.saturating_sub(80)..].chars().take(160).collect::<String>());
                        assert_eq!(at, None, "{secret} {count} {shift} {format:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn colours_are_the_only_sequences_in_a_coloured_text() {
    for (fragment, report) in poisoned_reports() {
        let text = render(&report, Format::Text, true);
        for sequence in text.split('\u{1b}').skip(1) {
            let end = sequence.find(|c: char| !c.is_ascii_digit() && !matches!(c, ';' | '['));
            assert!(sequence.starts_with('[') && end.is_some_and(|end| sequence[end..].starts_with('m')), "{fragment}: {sequence:?}");
        }
        assert!(!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\u{1b}')), "{fragment}");
    }
}

#[test]
fn markdown_holds_no_markup_of_the_log() {
    for (fragment, report) in poisoned_reports() {
        let text = render(&report, Format::Markdown, false);
        let extensions = Extensions::ENABLE_TABLES | Extensions::ENABLE_STRIKETHROUGH | Extensions::ENABLE_FOOTNOTES;
        let mut columns = None;
        for event in Parser::new_ext(&text, extensions) {
            match &event {
                Event::Html(html) | Event::InlineHtml(html) => {
                    // Foldings are the writer's own.
                    let own = html.split_inclusive('>').all(|tag| {
                        ["<details>", "</details>", "<summary>", "</summary>", "<br>", "<sub>", "</sub>"].contains(&tag.trim()) || !tag.contains('<')
                    });
                    assert!(own && !html.contains("evil"), "{fragment}: {html:?}");
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => panic!("{fragment}: a link to {dest_url}"),
                Event::Start(Tag::Table(alignments)) => columns = Some(alignments.len()),
                Event::Start(Tag::FootnoteDefinition(name)) => panic!("{fragment}: {name}"),
                Event::Start(Tag::Strikethrough) => panic!("{fragment}: struck through"),
                _ => {}
            }
        }
        let _ = columns;
        for (index, event) in Parser::new_ext(&text, extensions).enumerate() {
            // Nothing of the log is a heading or an item of its own.
            if matches!(event, Event::Start(Tag::Heading { .. })) {
                let heading: String = Parser::new_ext(&text, extensions)
                    .skip(index + 1)
                    .take_while(|e| !matches!(e, Event::End(_)))
                    .filter_map(|e| if let Event::Text(t) = e { Some(t.to_string()) } else { None })
                    .collect();
                assert_ne!(heading.trim(), "evil", "{fragment}");
            }
        }
    }
}

#[test]
fn html_holds_no_markup_of_the_log() {
    for (fragment, report) in poisoned_reports() {
        let page = render(&report, Format::Html, false).to_lowercase();
        for tag in [
            "<script",
            "<img",
            "<svg",
            "<iframe",
            "<evil",
            "<?evil",
            "<![cdata",
            "onerror=evil()>",
            "\"evil",
            "'evil",
            "href=\"javascript",
            "href=\"http://evil",
        ] {
            // In text `<` and quotes are escaped, so that none of these can be there.
            assert!(!page.contains(tag), "{fragment}: {tag} in {}", &page[page.find(tag).unwrap().saturating_sub(80)..][..160]);
        }
        assert_eq!(page.matches("<body").count(), 1, "{fragment}");
        assert_eq!(page.matches("</html>").count(), 1, "{fragment}");
        let tags = page.matches("<pre").count();
        assert_eq!(tags, page.matches("</pre>").count(), "{fragment}");
    }
}

#[test]
fn json_is_one_value_and_keeps_to_its_line() {
    for (fragment, report) in poisoned_reports() {
        let value: serde_json::Value = serde_json::from_str(&render(&report, Format::Json, false)).unwrap();
        assert_eq!(value["source"]["name"].as_str().map(|name| name.escape_debug().to_string()), Some(fragment.clone()));
        assert_eq!(render(&report, Format::Ndjson, false).lines().count(), 1, "{fragment}");
    }
}

// ------------------------------------------------------------------------------------------------------- size and shape

/// Kibibytes of memory that no log may make the command hold: 64 MiB, and what a build that is not optimised takes more.
const RESIDENT: u64 = 72 * 1024;

/// The most memory that a process has held, in KiB, and the processor's seconds, where the system tells.
fn most_taken(pid: u32, ended: &AtomicBool) -> (u64, f64) {
    let (mut memory, mut seconds) = (0, 0.0);
    while !ended.load(Ordering::Relaxed) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        memory = memory.max(peak.unwrap_or(0));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<f64> = stat.rsplit(") ").next().unwrap_or_default().split(' ').filter_map(|field| field.parse().ok()).collect();
        // User and system time in hundredths; the state before them is a letter.
        if let [user, system] = fields.get(10..12).unwrap_or_default() {
            seconds = (user + system) / 100.0;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    (memory, seconds)
}

/// Feeds the command, which may take so much address space (MiB) and time.
fn bounded(input: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send + 'static, mebibytes: u64, limit: Duration) -> serde_json::Value {
    measured(input, mebibytes, limit).0
}

/// The same with the seconds that it took, of the processor where the system tells: others use the machine too.
fn measured(input: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send + 'static, mebibytes: u64, limit: Duration) -> (serde_json::Value, f64) {
    let script = format!("ulimit -v {}; exec \"$0\" analyze --format json", mebibytes * 1024);
    let mut child = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_oomdoc")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut stdin = std::io::BufWriter::with_capacity(1 << 16, child.stdin.take().unwrap());
    let writer = std::thread::spawn(move || {
        let _ = input(&mut stdin);
    });
    let mut err = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = err.read_to_string(&mut text);
        text
    });
    let (ended, pid) = (Arc::new(AtomicBool::new(false)), child.id());
    let watch = std::thread::spawn({
        let ended = Arc::clone(&ended);
        move || most_taken(pid, &ended)
    });
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    ended.store(true, Ordering::Relaxed);
    let status = child.wait().unwrap();
    let (resident, busy) = watch.join().unwrap();
    writer.join().unwrap();
    let errors = errors.join().unwrap();
    assert!(status.code().is_some_and(|code| code <= 1), "{status}: {errors}");
    let took = if busy > 0.0 { busy } else { start.elapsed().as_secs_f64() };
    assert!(took < limit.as_secs_f64(), "it took {took} s");
    assert!(resident < RESIDENT, "{} MiB of memory", resident >> 10);
    assert!(out.len() < 2 << 20, "a report of {} bytes", out.len());
    (serde_json::from_slice(&out).unwrap(), took)
}

const OOM: &str =
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of 15.77 GiB of which 97.88 MiB is free.";

#[test]
fn a_line_of_twenty_megabytes() {
    for (head, filler, tail) in [
        (String::new(), "x", format!(" {OOM}\n")),
        (format!("{OOM} "), "word ", "\n".to_owned()),
        (format!("{OOM}\nERROR "), "[\u{1b}[0m\u{1b}[31m", "\n".to_owned()),
        (format!("{OOM}\n{{\"log\":\""), "\\u001b[0m\\\"", "\\n\",\"stream\":\"stderr\",\"time\":\"2025-03-20T10:00:00.123456789Z\"}\n".to_owned()),
        (format!("{OOM}\n"), "\rLoading:  50%|#####     | 1/2 [00:01<00:01]", "\n".to_owned()),
        (format!("{OOM}\n"), "ERROR CUDA out of memory Traceback (most recent call last): ", "\n".to_owned()),
    ] {
        let report = bounded(
            move |out| {
                out.write_all(head.as_bytes())?;
                let block = filler.repeat(65_536 / filler.len());
                for _ in 0..20 * 1024 * 1024 / block.len() {
                    out.write_all(block.as_bytes())?;
                }
                out.write_all(tail.as_bytes())
            },
            512,
            Duration::from_secs(20),
        );
        assert_eq!(report["incidents"][0]["figures"]["tried_bytes"], 224 << 20, "{filler}");
    }
}

#[test]
fn very_many_different_errors() {
    let report = bounded(
        |out| {
            for n in 0..200_000_u32 {
                let name = n.wrapping_mul(2_654_435_761);
                writeln!(
                    out,
                    "ERROR 03-20 10:{:02}:{:02} [serve_{name:08x}.py:{n}] Request chatcmpl-{name:08x} failed: Frob{name}Error: no {n}",
                    n / 60 % 60,
                    n % 60
                )?;
            }
            Ok(())
        },
        768,
        Duration::from_secs(60),
    );
    assert!(report["incidents"].as_array().unwrap().len() < 200);
    assert!(report["timeline"].as_array().unwrap().len() < 2000);
}

/// A log of nothing but errors, of which every line has to be read: twice the lines take twice the time, not more.
#[test]
fn a_log_of_nothing_but_errors_takes_time_by_its_length() {
    let run = |lines: u32| {
        let (report, took) = measured(
            move |out| {
                for n in 0..lines / 5 {
                    writeln!(
                        out,
                        "ERROR 03-20 10:{:02}:{:02} [serving_chat.py:200] Error in request {n}\nTraceback (most recent call last):\n  File \"/opt/app/model_{}.py\", line {n}, in forward\n    x = self.mlp(x)\n{OOM}",
                        n / 60 % 60,
                        n % 60,
                        n % 7
                    )?;
                }
                Ok(())
            },
            1024,
            Duration::from_secs(60),
        );
        assert_eq!(report["incidents"][0]["figures"]["tried_bytes"], 224 << 20);
        took
    };
    let (once, thrice) = (run(50_000), run(150_000));
    assert!(thrice < once * 5.0 + 0.5, "{once:.2} s for a third of what takes {thrice:.2} s");
}

/// Many writers with many words each: what is kept of them has a bound.
#[test]
fn very_many_writers_of_very_many_errors_are_bounded() {
    let report = bounded(
        |out| {
            for n in 0..60_000_u32 {
                writeln!(out, "(Worker{w} pid={w}) {OOM} {}", "and so on ".repeat(60), w = n % 4000)?;
            }
            Ok(())
        },
        768,
        Duration::from_secs(120),
    );
    assert_eq!(report["incidents"][0]["figures"]["tried_bytes"], 224 << 20);
    let report = bounded(
        |out| {
            for n in 0..600_u32 {
                writeln!(out, "(Worker{n} pid={n}) ERROR {}", "x".repeat(100_000))?;
            }
            writeln!(out, "{OOM}")
        },
        768,
        Duration::from_secs(120),
    );
    assert!(!report["incidents"].as_array().unwrap().is_empty());
}

#[test]
fn what_unpacks_to_very_much_is_read_in_bounded_memory() {
    let pack = |block: &[u8], count: usize| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..count {
            out.write_all(block).unwrap();
        }
        out.write_all(format!("\n{OOM}\n").as_bytes()).unwrap();
        out.finish().unwrap()
    };
    for (block, count) in [(vec![b'a'; 1 << 20], 96), (vec![0; 1 << 20], 96), (b"\n".repeat(1 << 20), 2), (b"{\"a\":[".repeat(1 << 17), 64)] {
        // Lines of text come first, or it would be refused as binary.
        let mut head = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        head.write_all("INFO a log\n".repeat(4000).as_bytes()).unwrap();
        let bomb = [head.finish().unwrap(), pack(&block, count)].concat();
        let twice = {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            out.write_all(&bomb).unwrap();
            out.finish().unwrap()
        };
        assert!(twice.len() < 20_000, "{}", twice.len());
        let report = bounded(move |out| out.write_all(&twice), 512, Duration::from_secs(60));
        assert_eq!(report["incidents"][0]["figures"]["tried_bytes"], 224 << 20);
    }
}

#[test]
fn deep_nesting_is_flat_work() {
    const DEPTH: usize = 200_000;
    let nested =
        |before: &str, open: &str, close: &str, after: &str| format!("{before}{}{}{after}\n{OOM}\n", open.repeat(DEPTH), close.repeat(DEPTH));
    let mut logs = vec![
        nested("2025-03-20T10:00:00.000000Z  INFO text_generation_launcher: Args { model_id: ", "Some(", ")", " }"),
        nested("2025-03-20T10:00:00.000000Z  INFO text_generation_launcher: Args { model_id: ", "A { b: ", " }", " }"),
        nested("INFO 03-20 10:00:00 [utils.py:233] non-default args: {'model': ", "[", "]", "}"),
        nested("INFO 03-20 10:00:00 [utils.py:233] non-default args: ", "{'a': ", "}", ""),
        nested("INFO 03-20 10:00:00 [api_server.py:1044] args: Namespace(model=", "(", ")", ")"),
        nested("INFO 03-20 10:00:00 [api_server.py:1044] args: ", "Namespace(a=", ")", ""),
        nested("[2025-03-20 10:00:00] server_args=ServerArgs(model_path=", "[{'a': ", "}]", ")"),
        nested("INFO 03-20 10:00:00 [core.py:61] Initializing a V1 LLM engine (v0.8.5) with config: model=", "A(b=", ")", ""),
        nested("{\"log\":", "{\"a\":", "}", "}"),
        nested("{\"level\":\"error\",\"message\":\"x\",\"exc_info\":", "[", "]", "}"),
        nested("", "(", ")", ""),
        nested("ERROR ", "\u{1b}]", "\u{7}", ""),
        nested("", "> ", "", ""),
        nested("", "llm-1  | ", "", ""),
        nested("", "[rank0]: ", "", ""),
        nested("", "(Worker pid=1) ", "", ""),
        nested("+ docker run ", "\"$(", ")\"", ""),
        format!("{}\n{OOM}\n", "INFO x {\n".repeat(DEPTH / 20)),
        format!("Traceback (most recent call last):\n{}{OOM}\n", "  File \"/a.py\", line 1, in f\n    f()\n".repeat(DEPTH / 20)),
        format!("{OOM}\n{}", "\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/a.py\", line 1, in f\nValueError: x\n".repeat(DEPTH / 100)),
        format!("  + Exception Group Traceback (most recent call last):\n{}{OOM}\n", (0..500).map(|n| format!("{}+-+---------------- {n} ----------------\n", " ".repeat(n * 2))).collect::<String>()),
    ];
    // Objects in strings of objects, as collectors of collectors make.
    let mut wrapped = OOM.to_owned();
    for _ in 0..14 {
        wrapped = serde_json::json!({"log": format!("{wrapped}\n"), "stream": "stderr", "time": "2025-03-20T10:00:00.123456789Z"}).to_string();
    }
    logs.push(wrapped);
    for log in logs {
        let report = analyze(log).unwrap();
        for format in FORMATS {
            render(&report, *format, false);
        }
    }
}

#[test]
fn very_many_origins_and_names_are_bounded() {
    let mut log = String::new();
    for n in 0..30_000 {
        let _ = writeln!(
            log,
            "web{n}-1  | ERROR 03-20 10:00:00 [a.py:1] something of {n} failed\n(Worker{n} pid={n}) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {n}.00 MiB."
        );
    }
    let report = analyze(log).unwrap();
    assert!(render(&report, Format::Json, false).len() < 2 << 20);
}

// ------------------------------------------------------------------------------------------------------------ randomness

static FIXTURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir());
    let mut logs: Vec<_> =
        folders.flat_map(|cause| fs::read_dir(cause).unwrap().map(|e| e.unwrap().path().join("input.log"))).filter(|p| p.exists()).collect();
    logs.sort();
    logs.iter().map(|path| fs::read(path).unwrap()).filter(|log| log.len() < 12_000).collect()
});

/// One change of a log.
#[derive(Debug, Clone)]
enum Change {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    /// Moves lines, as interleaved writers do.
    Swap(prop::sample::Index, prop::sample::Index),
    /// Breaks a line in two, or joins two.
    Break(prop::sample::Index),
    Join(prop::sample::Index),
    /// A number becomes one that nothing can hold.
    Inflate(prop::sample::Index, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let numbers = prop::sample::select(vec![
        "18446744073709551615",
        "99999999999999999999999999",
        "-1",
        "1e308",
        "0.00",
        "4,294,967,296",
        "NaN",
        "\u{662}\u{663}",
    ]);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), prop::sample::select(HOSTILE)).prop_map(|(at, text)| Change::Insert(at, text.as_bytes().to_vec())),
        (at(), 1..400_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        at().prop_map(Change::Break),
        at().prop_map(Change::Join),
        (at(), numbers).prop_map(|(at, number)| Change::Inflate(at, number)),
    ]
}

fn apply(log: &mut Vec<u8>, change: &Change) {
    if log.is_empty() {
        return;
    }
    let length = log.len();
    match change {
        Change::Flip(at, byte) => log[at.index(length)] = *byte,
        Change::Insert(at, bytes) => {
            let at = at.index(length);
            log.splice(at..at, bytes.iter().copied());
        }
        Change::Remove(at, count) => {
            let at = at.index(length);
            log.drain(at..(at + count).min(length));
        }
        Change::Swap(a, b) => {
            let mut lines: Vec<Vec<u8>> = log.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
            *log = lines.join(&b'\n');
        }
        Change::Break(at) => log.insert(at.index(length), b'\n'),
        Change::Join(at) => {
            let from = at.index(length);
            if let Some(found) = log[from..].iter().position(|b| *b == b'\n') {
                log.remove(from + found);
            }
        }
        Change::Inflate(at, number) => {
            let from = at.index(length);
            if let Some(start) = log[from..].iter().position(u8::is_ascii_digit).map(|found| from + found) {
                let digits = log[start..].iter().take_while(|b| b.is_ascii_digit()).count();
                log.splice(start..start + digits, number.bytes());
            }
        }
    }
}

fn survives(log: &[u8]) {
    if let Some(report) = analyze(log) {
        for format in FORMATS {
            render(&report, *format, false);
        }
        assert!(report.incidents.iter().all(|i| (0.0..=1.0).contains(&i.confidence)));
        assert!(report.incidents.iter().flat_map(|i| &i.evidence).all(|e| (1..=report.source.lines).contains(&e.line)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        survives(&bytes);
    }

    #[test]
    fn random_text_is_survived(lines in prop::collection::vec("(ERROR |Traceback \\(most recent call last\\):|  File \"x\", line 1, in f|\\{\"log\":\"|[a-z]+: |\\[rank[0-9]\\]: |> |[0-9]+:|\\PC{0,40}|[ \t\r]{0,9}){0,6}", 0..60)) {
        survives(lines.join("\n").as_bytes());
    }

    #[test]
    fn changed_logs_are_survived(which in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..24)) {
        let mut log = FIXTURES[which.index(FIXTURES.len())].clone();
        for change in &changes {
            apply(&mut log, change);
        }
        survives(&log);
    }
}

/// What a document says of each input stands behind what it says of all, and yet none of it is held.
#[test]
fn a_document_about_very_many_inputs_is_not_held() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..1500 {
        fs::write(folder.path().join(format!("{n:04}.log")), format!("{OOM}\n")).unwrap();
    }
    for format in ["html", "markdown"] {
        let report = fs::File::create(folder.path().join(".report")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_oomdoc"))
            .args(["analyze", "--format", format])
            .arg(folder.path())
            .stdout(report.try_clone().unwrap())
            .spawn()
            .unwrap();
        let (ended, pid) = (Arc::new(AtomicBool::new(false)), child.id());
        let watch = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || most_taken(pid, &ended)
        });
        assert_eq!(child.wait().unwrap().code(), Some(1));
        ended.store(true, Ordering::Relaxed);
        let (resident, _) = watch.join().unwrap();
        let size = report.metadata().unwrap().len();
        assert!(size > 4 << 20, "a {format} of {size} bytes");
        assert!(resident < RESIDENT / 2, "{} MiB of memory for {format}", resident >> 10);
    }
    // Where there is no room for what waits, that is said, with the place.
    let output = Command::new(env!("CARGO_BIN_EXE_oomdoc"))
        .args(["analyze", "--format", "markdown"])
        .arg(folder.path())
        .env("TMPDIR", "/nonesuch")
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(output.status.code() == Some(2) && output.stdout.is_empty() && err.contains("a temporary file in /nonesuch"), "{err}");
}

// ------------------------------------------------------------------------------------- files and readers that misbehave

#[test]
fn a_file_that_shrinks_while_it_is_read_is_read_as_far_as_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("server.log");
    for delay in [0, 2, 10, 40] {
        fs::write(&log, format!("{OOM}\n{}", "INFO all is well with this request\n".repeat(1_000_000))).unwrap();
        let child =
            Command::new(env!("CARGO_BIN_EXE_oomdoc")).args(["analyze", "--format", "json"]).arg(&log).stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(1000).unwrap();
        let output = child.wait_with_output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &report["incidents"][0]["figures"]["tried_bytes"]), (Some(1), &(224_u64 << 20).into()));
    }
}

#[test]
fn a_reader_that_blocks_gets_all_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..300 {
        fs::write(folder.path().join(format!("{n:03}.log")), format!("{OOM}\n")).unwrap();
    }
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_oomdoc")).args(["analyze", "--format", "ndjson"]).arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(child.try_wait().unwrap(), None, "it waits for its reader");
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 300);
}

#[test]
fn a_reader_that_goes_away_ends_a_long_batch() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..300 {
        fs::write(folder.path().join(format!("{n:03}.log")), format!("{OOM}\n")).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_oomdoc"))
        .args(["analyze", "--format", "ndjson"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

/// A file may take no byte more: as on a full disk, writing fails.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_no_half_report_and_the_old_one_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (log, report) = (folder.path().join("server.log"), folder.path().join("report"));
    fs::write(&log, format!("{OOM}\n")).unwrap();
    fs::write(&report, "the old one").unwrap();
    for format in ["text", "markdown", "json", "ndjson", "html"] {
        let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" analyze --format \"$1\" -o \"$2\" \"$3\"";
        let output = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_oomdoc"), format])
            .args([&report, &log])
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write"));
        assert_eq!(fs::read_to_string(&report).unwrap(), "the old one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_said_and_a_device_stays_one() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("server.log");
    fs::write(&log, format!("{OOM}\n")).unwrap();
    for format in ["text", "markdown", "json", "ndjson", "html"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let command = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_oomdoc"));
            command.args(["analyze", "--format", format]).arg(&log).stderr(Stdio::piped());
            command
        };
        for output in [command().stdout(full).output().unwrap(), command().args(["-o", "/dev/full"]).output().unwrap()] {
            assert_eq!(output.status.code(), Some(2), "{format}");
            assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write"), "{format}");
        }
        assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
    }
    // Behind a link the file is replaced, not the link.
    let (file, link) = (folder.path().join("report"), folder.path().join("link"));
    fs::write(&file, "the old one").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    Command::new(env!("CARGO_BIN_EXE_oomdoc")).args(["analyze", "--format", "json", "-o"]).args([&link, &log]).status().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&file).unwrap().contains("inference-oom"));
}

/// A secret in the place of any word of any log, alone or behind what stood there. Which words these are is drawn for each
/// log by what it holds, so that a new fixture changes no draw among the others; `$EVERY` makes them a hundred times as many.
#[test]
fn a_secret_in_the_place_of_any_word_is_masked() {
    let each: u64 = if std::env::var_os("EVERY").is_some() { 400 } else { 4 };
    let secrets = [
        ("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", "qTzWvYbRkLmPdXcNsFgHjKaQwErTyUiOpZ"),
        ("sk-proj-Zk3mQ9vT7xLpR2wN8bYcD4fGhJ6sAeUi", "Zk3mQ9vT7xLpR2wN8bYcD4fGhJ6sAeUi"),
        ("AKIAQX7MZB4KTR2WPLUJ", "QX7MZB4KTR2WPLUJ"),
        ("https://user:Zw8kPq3rLm@hub.example/x", "Zw8kPq3rLm"),
        ("Authorization: Bearer mF9zB5f4K1JqMxTq", "mF9zB5f4K1JqMxTq"),
        ("ghp_R4nD0mV4lu3Th4tN0b0dyKn0wsAtA11xyzQ", "R4nD0mV4lu3Th4tN0b0dyKn0wsAtA11xyzQ"),
        ("api_key=Vb7nMk2pQx9sTd4w", "Vb7nMk2pQx9sTd4w"),
        ("nvapi-Xy7Kq2mPz9Lw4Rt8Vb3Nc6Jd1Hs5Gf0A", "Xy7Kq2mPz9Lw4Rt8Vb3Nc6Jd1Hs5Gf0A"),
    ];
    let forms =
        [" SECRET", " 'SECRET'", " --SECRET", "=SECRET", " -c'SECRET", " \"SECRET\": ", " [SECRET]", " (SECRET", " SECRET/x", " SECRET:", ",SECRET,"];
    for (at, log) in FIXTURES.iter().enumerate() {
        let log = String::from_utf8_lossy(log);
        let words: Vec<usize> = log.match_indices(char::is_whitespace).map(|(at, _)| at + 1).collect();
        for turn in 0..each {
            let draw = |what: &str, of: usize| {
                let mut hasher = DefaultHasher::new();
                (&log, turn, what).hash(&mut hasher);
                hasher.finish() as usize % of
            };
            let (secret, body) = secrets[draw("secret", secrets.len())];
            let start = words[draw("word", words.len())];
            let end = log[start..].find(char::is_whitespace).map_or(log.len(), |length| start + length);
            let put = forms[draw("form", forms.len())].replace("SECRET", secret);
            let from = [start, end][draw("side", 2)];
            let poisoned = format!("{}{put}{}", &log[..from], &log[end..]);
            let Some(report) = analyze(poisoned) else { continue };
            for &format in FORMATS {
                let text = render(&report, format, false);
                for part in [&body[..10], &body[body.len() - 10..]] {
                    let shown =
                        text.find(part).map(|at| text[text.floor_char_boundary(at.saturating_sub(80))..].chars().take(160).collect::<String>());
                    assert_eq!(shown, None, "{format:?}, {put:?} at {from} of log {at}");
                }
            }
        }
    }
}
