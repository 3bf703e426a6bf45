//! Logs that are hostile by their form: nesting, quotes, wrappers and words without end. `cargo run --example hostile_logs`
//! lists the forms, `-- FORM BYTES` prints such a log. `scripts/check-linear.sh` counts what they cost.

#![allow(clippy::print_stdout)]

use std::env;
use std::io::{self, Write};

const OOM: &str =
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of 15.77 GiB of which 97.88 MiB is free.";

/// What is repeated, and what stands before and behind all of it. The closing part is repeated as often. `#` is a number, `@`
/// one of 300: more writers than are told apart.
struct Form(&'static str, &'static str, &'static str, &'static str);

const FORMS: &[(&str, Form)] = &[
    ("rust-options", Form("2025-03-20T10:00:00.000000Z  INFO text_generation_launcher: Args { model_id: ", "Some(", ")", " }")),
    ("rust-structs", Form("2025-03-20T10:00:00.000000Z  INFO text_generation_launcher: Args { model_id: ", "A { b: ", " }", " }")),
    ("python-lists", Form("INFO 03-20 10:00:00 [utils.py:233] non-default args: {'model': ", "[", "]", "}")),
    ("python-dicts", Form("INFO 03-20 10:00:00 [utils.py:233] non-default args: ", "{'a': ", "}", "")),
    ("namespaces", Form("INFO 03-20 10:00:00 [api_server.py:1044] args: ", "Namespace(a=", ")", "")),
    ("server-args", Form("[2025-03-20 10:00:00] server_args=ServerArgs(model_path=", "[{'a': ", "}]", ")")),
    ("engine-config", Form("INFO 03-20 10:00:00 [core.py:61] Initializing a V1 LLM engine (v0.8.5) with config: model=", "A(b=", ")", "")),
    ("json-objects", Form("{\"log\":", "{\"a\":", "}", "}")),
    ("json-lists", Form("{\"level\":\"error\",\"message\":\"x\",\"exc_info\":", "[", "]", "}")),
    ("terminal", Form("ERROR ", "\u{1b}]", "\u{7}", "")),
    ("quotations", Form("", "> ", "", "")),
    ("services", Form("", "llm-1  | ", "", "")),
    ("ranks", Form("", "[rank0]: ", "", "")),
    ("workers", Form("", "(Worker pid=1) ", "", "")),
    ("commands", Form("+ docker run ", "\"$(", ")\"", "")),
    ("open-braces", Form("", "INFO x {\n", "", "")),
    ("open-parentheses", Form("", "INFO x (\n", "", "")),
    ("frames", Form("Traceback (most recent call last):\n", "  File \"/a.py\", line 1, in f\n    f()\n", "", "")),
    (
        "chains",
        Form(
            "",
            "\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/a.py\", line 1, in f\nValueError: x\n",
            "",
            "",
        ),
    ),
    ("groups", Form("  + Exception Group Traceback (most recent call last):\n", "    +-+---------------- 1 ----------------\n", "", "")),
    ("single-quotes", Form("ERROR ", "'", "", "")),
    ("double-quotes", Form("ERROR ", "\"\\\"", "", "")),
    ("prompts", Form("ERROR ", "prompt: '", "", "")),
    ("prompt-lines", Form("", "INFO 03-20 10:00:00 prompt: 'x\n", "", "")),
    ("allocators", Form("ERROR ", "CUDA out of memory. Tried to allocate 2.00 GiB ", "", "")),
    ("tracebacks", Form("ERROR ", "Traceback (most recent call last): ", "", "")),
    ("traceback-lines", Form("", "Traceback (most recent call last):\n", "", "")),
    ("assignments", Form("ERROR ", "a=b ", "", "")),
    ("digits", Form("ERROR ", "1", "", "")),
    ("backslashes", Form("ERROR ", "\\", "", "")),
    ("words", Form("ERROR ", " x", "", "")),
    ("errors", Form("ERROR ", "ValueError: ", "", "")),
    ("returns", Form("ERROR ", "\rx", "", "")),
    ("bearers", Form("ERROR ", "bearer ", "", "")),
    ("keys", Form("ERROR ", "api_key=", "", "")),
    ("passwords", Form("ERROR ", "http://a:b", "", "")),
    ("tokens", Form("ERROR ", "eyJ", "", "")),
    ("private-keys", Form("ERROR ", "-----BEGIN PRIVATE KEY-----", "", "")),
    ("cookies", Form("ERROR ", "cookie: a=b", "", "")),
    ("flags", Form("ERROR ", "--api-", "", "")),
    ("numbered", Form("", "12: x\n", "", "")),
    ("ticks", Form("", "```\n", "", "")),
    ("bars", Form("", "|\n", "", "")),
    ("dashes", Form("", "-----\n", "", "")),
    ("objects", Form("", "{\"a\":\n", "", "")),
    ("lists", Form("", "[\n", "", "")),
    ("tags", Form("", "<a>\n", "", "")),
    ("indented", Form("", "    x\n", "", "")),
    ("parts", Form("", "2025-03-20T10:00:00.123456789Z stderr P x\n", "", "")),
    ("json-lines", Form("", "{\"log\":\"x\\n\",\"stream\":\"stderr\",\"time\":\"2025-03-20T10:00:00.123456789Z\"}\n", "", "")),
    ("progress", Form("", "Loading:  50%|#####     | 1/2 [00:01<00:01]\n", "", "")),
    ("devices", Form("", "| N/A   30C    P0    50W / 300W |   1000MiB / 16384MiB |      0%      Default |\n", "", "")),
    ("summaries", Form("", "|  PyTorch CUDA memory summary, device ID 0  |\n", "", "")),
    ("retries", Form("", "Retrying in 1s [Retry 1/5].\n", "", "")),
    ("numbered-errors", Form("", "ERROR 03-20 10:00:00 [a#.py:#] Frob#Error: no #\n", "", "")),
    ("numbered-writers", Form("", "web@-1  | ERROR x\n(Worker@ pid=@) ValueError: x\n", "", "")),
    ("restarts", Form("", "INFO 03-14 00:00:00 [api_server.py:1042] vLLM API server version 0.8.5\nValueError: #\n", "", "")),
];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let Some(name) = arguments.first() else {
        return FORMS.iter().try_for_each(|(name, _)| writeln!(out, "{name}"));
    };
    let (_, Form(before, part, closing, behind)) =
        FORMS.iter().find(|(known, _)| known == name).ok_or_else(|| io::Error::other("there is no such form"))?;
    let bytes: usize = arguments.get(1).and_then(|bytes| bytes.parse().ok()).ok_or_else(|| io::Error::other("say how many bytes"))?;
    let times = bytes / (part.len() + closing.len());
    write!(out, "{OOM}\n{before}")?;
    for number in 0..times {
        out.write_all(part.replace('#', &number.to_string()).replace('@', &(number % 300).to_string()).as_bytes())?;
    }
    (0..times).try_for_each(|_| out.write_all(closing.as_bytes()))?;
    writeln!(out, "{behind}\n{OOM}")
}
