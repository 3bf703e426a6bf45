//! The command as users and scripts meet it: exit codes, inputs, outputs, options.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const DEAD: &str = "INFO 03-20 10:00:00 [api_server.py:1043] vLLM API server version 0.8.5\n\
    ERROR 03-20 10:00:09 [core.py:396] EngineCore failed to start.\n\
    ERROR 03-20 10:00:09 [core.py:396] Traceback (most recent call last):\n\
    ERROR 03-20 10:00:09 [core.py:396]   File \"/opt/venv/lib/python3.12/site-packages/vllm/v1/worker/gpu_worker.py\", line 164, in load_model\n\
    ERROR 03-20 10:00:09 [core.py:396]     self.model_runner.load_model()\n\
    ERROR 03-20 10:00:09 [core.py:396] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of 15.77 GiB of which 97.88 MiB is free. Including non-PyTorch memory, this process has 15.67 GiB memory in use. Of the allocated memory 15.20 GiB is allocated by PyTorch, and 96.11 MiB is reserved by PyTorch but unallocated.\n";
const HEALTHY: &str = "INFO 03-20 10:00:00 [api_server.py:1043] vLLM API server version 0.8.5\n\
    INFO:     Application startup complete.\n\
    INFO:     10.0.0.7:51514 - \"POST /v1/chat/completions HTTP/1.1\" 200 OK\n";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn with(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Names of what is in it.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// It said this on standard error.
    fn complains(&self, about: &str) {
        // Diagnostics are wrapped to the width of a terminal, with a margin.
        let flat = |text: &str| {
            text.split(|c: char| c.is_whitespace() || matches!(c, '│' | '×' | '╰' | '├' | '▶' | '─'))
                .filter(|w| !w.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert!(
            flat(&self.err).contains(&flat(about)) || self.err.replace(['\n', ' ', '│'], "").contains(&about.replace(' ', "")),
            "{about:?} is not in: {}",
            self.err
        );
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oomdoc"));
    command.args(args).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("RUST_BACKTRACE").env("TERM", "xterm-256color");
    command
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or_else(|| panic!("killed by a signal: {output:?}")),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn oomdoc(args: &[&str]) -> Ran {
    ran(command(args).stdin(Stdio::null()).output().unwrap())
}

fn fed(args: &[&str], input: &[u8]) -> Ran {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    ran(output)
}

// ------------------------------------------------------------------------------------------------------------ exit codes

#[test]
fn the_exit_code_says_what_was_found() {
    let folder = Folder::new();
    let (dead, healthy) = (folder.with("dead.log", DEAD), folder.with("healthy.log", HEALTHY));
    assert_eq!(oomdoc(&["analyze", &healthy]).code, 0);
    assert_eq!(oomdoc(&["analyze", &dead]).code, 1);
    assert_eq!(oomdoc(&["analyze", &healthy, &dead]).code, 1);
    assert_eq!(oomdoc(&["analyze", "--exit-zero", &dead]).code, 0);
}

#[test]
fn an_unknown_failure_is_an_incident() {
    let ran = fed(&["analyze", "--format", "json"], b"Traceback (most recent call last):\n  File \"/app/serve.py\", line 3, in <module>\n    frobnicate()\nFrobnicationError: the frob is not nicated\n");
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(!ran.json()["incidents"].as_array().unwrap().is_empty());
}

#[test]
fn an_input_that_cannot_be_read_outranks_what_was_found() {
    let folder = Folder::new();
    let (dead, missing) = (folder.with("dead.log", DEAD), folder.path("missing.log").display().to_string());
    for args in [vec!["analyze", &dead, &missing], vec!["analyze", &missing, &dead], vec!["analyze", "--exit-zero", &dead, &missing]] {
        let ran = oomdoc(&args);
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.out.contains("weight-oom"), "the readable input is reported: {}", ran.out);
        ran.complains("missing.log");
    }
}

#[test]
fn usage_errors_are_two() {
    let folder = Folder::new();
    let dead = folder.with("dead.log", DEAD);
    for (args, about) in [
        (vec!["analyze", "--frobnicate", &dead], "--frobnicate"),
        (vec!["analyze", "--format", "yaml", &dead], "yaml"),
        (vec!["analyze", "--year", "soon", &dead], "soon"),
        (vec!["analyze", "--exit-code", "many", &dead], "many"),
        (vec!["frobnicate"], "frobnicate"),
        (vec!["analyze", "--files-from", &dead, &dead], "--files-from"),
    ] {
        let ran = oomdoc(&args);
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.out.is_empty(), "{args:?}: {}", ran.out);
        ran.complains(about);
    }
    assert_eq!(oomdoc(&[]).code, 2);
}

#[test]
fn help_and_version_are_no_errors() {
    for args in [vec!["--help"], vec!["-h"], vec!["analyze", "--help"], vec!["--version"], vec!["help", "explain"]] {
        let ran = oomdoc(&args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        assert!(ran.out.contains("oomdoc"), "{args:?}");
    }
    let version = oomdoc(&["--version"]).out;
    assert_eq!(version.trim(), format!("oomdoc {}", env!("CARGO_PKG_VERSION")));
}

// ---------------------------------------------------------------------------------------------------------------- inputs

#[test]
fn a_missing_file_is_named_with_its_neighbours() {
    let folder = Folder::new();
    folder.with("server.log", DEAD);
    let wanted = folder.path("servr.log").display().to_string();
    let ran = oomdoc(&["analyze", &wanted]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    ran.complains("there is no file");
    ran.complains("server.log");
}

#[cfg(unix)]
#[test]
#[cfg(unix)]
fn a_name_is_shown_and_not_obeyed() {
    let folder = Folder::new();
    folder.with("a\u{1b}[31mb", DEAD);
    for name in ["a\u{1b}[31m", "\u{1b}]0;evil\u{7}\u{202e}.log"] {
        let ran = oomdoc(&["analyze", folder.path(name).to_str().unwrap()]);
        assert_eq!(ran.code, 2);
        assert!(!ran.err.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", ran.err);
    }
}

#[test]
fn a_file_that_may_not_be_read_is_said_so() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let secret = folder.with("secret.log", DEAD);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&secret).is_ok() {
        return; // The superuser reads everything.
    }
    let ran = oomdoc(&["analyze", &secret]);
    assert_eq!(ran.code, 2);
    ran.complains("permission denied");
}

#[test]
fn an_empty_folder_holds_no_log() {
    let folder = Folder::new();
    fs::create_dir(folder.path("logs")).unwrap();
    let ran = oomdoc(&["analyze", &folder.path("logs").display().to_string()]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    ran.complains("there is no log in the folder");
}

#[test]
fn a_folder_gives_its_logs() {
    let folder = Folder::new();
    folder.with("logs/a.log", HEALTHY);
    folder.with("logs/deeper/b.log", DEAD);
    folder.with("logs/picture.png", PNG);
    let ran = oomdoc(&["analyze", "--format", "ndjson", &folder.path("logs").display().to_string()]);
    let causes: Vec<String> = ran.lines().iter().map(|o| o["cause"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ran.code, causes), (1, vec!["healthy".to_owned(), "weight-oom".to_owned()]), "{}", ran.err);
}

#[test]
fn empty_input_is_refused_with_advice() {
    let folder = Folder::new();
    for content in ["", "\n\n  \n"] {
        let ran = oomdoc(&["analyze", &folder.with("empty.log", content)]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        ran.complains("is empty");
        ran.complains("2>&1");
    }
    let ran = fed(&["analyze"], b"");
    assert_eq!(ran.code, 2);
    ran.complains("is empty");
}

#[test]
fn what_is_no_log_is_refused_by_what_it_is() {
    let folder = Folder::new();
    let elf = fs::read(env!("CARGO_BIN_EXE_oomdoc")).unwrap();
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x1f).collect();
    for (name, content, what) in [
        ("a.log", PNG, "PNG"),
        ("b.log", &elf[..4096], "ELF"),
        ("c.log", b"PK\x03\x04\x14\0\0\0\x08\0".as_slice(), "zip"),
        ("d.log", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".as_slice(), "PDF"),
        ("e.log", noise.as_slice(), "not a log"),
    ] {
        let ran = oomdoc(&["analyze", &folder.with(name, content)]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}");
        ran.complains(what);
    }
}

#[test]
fn standard_input_is_read_without_a_path_and_for_a_dash() {
    for args in [vec!["analyze", "--format", "json"], vec!["analyze", "--format", "json", "-"]] {
        let ran = fed(&args, DEAD.as_bytes());
        assert_eq!((ran.code, ran.json()["cause"].as_str()), (1, Some("weight-oom")));
        assert_eq!(ran.json()["source"]["name"], "-");
    }
}

#[test]
fn a_dash_stands_among_files() {
    let folder = Folder::new();
    let healthy = folder.with("healthy.log", HEALTHY);
    let ran = fed(&["analyze", "--format", "ndjson", &healthy, "-"], DEAD.as_bytes());
    let causes: Vec<_> = ran.lines().iter().map(|o| o["cause"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ran.code, causes), (1, vec!["healthy".to_owned(), "weight-oom".to_owned()]));
}

#[test]
fn packed_input_is_read() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(DEAD.as_bytes()).unwrap();
    let ran = fed(&["analyze", "--format", "json"], &packed.finish().unwrap());
    assert_eq!((ran.code, ran.json()["source"]["bytes"].as_u64()), (1, Some(DEAD.len() as u64)));
    assert_eq!(ran.json()["incidents"][0]["evidence"][0]["line"], 2 + 4);
}

// --------------------------------------------------------------------------------------------------------- several inputs

#[test]
fn several_inputs_are_an_array_or_lines() {
    let folder = Folder::new();
    let (dead, healthy) = (folder.with("dead.log", DEAD), folder.with("healthy.log", HEALTHY));
    let array = oomdoc(&["analyze", "--format", "json", &dead, &healthy]).json();
    let causes: Vec<_> = array.as_array().unwrap().iter().map(|o| o["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["weight-oom", "healthy"]);
    assert!(oomdoc(&["analyze", "--format", "json", &dead]).json().is_object());
    let lines = oomdoc(&["analyze", "--format", "ndjson", &dead, &healthy]).lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["source"]["name"], healthy.as_str());
}

#[test]
fn a_list_of_files_gives_one_object_each_in_order() {
    let folder = Folder::new();
    let (dead, healthy) = (folder.with("dead.log", DEAD), folder.with("healthy.log", HEALTHY));
    let (missing, png) = (folder.path("missing.log").display().to_string(), folder.with("shot.log", PNG));
    let list = format!("{dead}\n{missing}\n{healthy}\n\n{png}\n{dead}\n");
    let file = folder.with("list", &list);
    for ran in [
        oomdoc(&["analyze", "--format", "ndjson", "--files-from", &file]),
        fed(&["analyze", "--format", "ndjson", "--files-from", "-"], list.as_bytes()),
    ] {
        assert_eq!(ran.code, 2);
        let objects = ran.lines();
        let names: Vec<_> = objects.iter().map(|o| o["source"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, [&dead, &missing, &healthy, &png, &dead]);
        let errors: Vec<bool> = objects.iter().map(|o| o["error"].is_string()).collect();
        assert_eq!(errors, [false, true, false, true, false]);
        assert_eq!(objects[4]["cause"], "weight-oom");
        ran.complains("missing.log");
    }
    let only_good = folder.with("good", format!("{healthy}\n{healthy}"));
    assert_eq!(oomdoc(&["analyze", "--format", "ndjson", "--files-from", &only_good]).code, 0);
}

#[test]
fn a_list_that_cannot_be_read_is_an_error() {
    let ran = oomdoc(&["analyze", "--files-from", "/nowhere/at/all"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    ran.complains("/nowhere/at/all");
}

#[test]
fn inputs_keep_their_order_in_ndjson_when_one_is_bad() {
    let folder = Folder::new();
    let (dead, missing) = (folder.with("dead.log", DEAD), folder.path("missing.log").display().to_string());
    let objects = oomdoc(&["analyze", "--format", "ndjson", &dead, &missing, &dead]).lines();
    let errors: Vec<bool> = objects.iter().map(|o| o["error"].is_string()).collect();
    assert_eq!(errors, [false, true, false]);
}

// ---------------------------------------------------------------------------------------------------------------- outputs

#[test]
fn a_report_goes_to_a_file_whole_or_not_at_all() {
    let folder = Folder::new();
    let dead = folder.with("dead.log", DEAD);
    let report = folder.path("report.json").display().to_string();
    fs::write(&report, "what was there before").unwrap();
    let ran = oomdoc(&["analyze", "--format", "json", "-o", &report, &dead]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let written: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(written["cause"], "weight-oom");
    assert_eq!(folder.names(), ["dead.log", "report.json"], "nothing is left beside it");
}

#[test]
fn a_folder_that_is_not_there_takes_no_report() {
    let folder = Folder::new();
    let dead = folder.with("dead.log", DEAD);
    let ran = oomdoc(&["analyze", "-o", &folder.path("no/such/report.txt").display().to_string(), &dead]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    ran.complains("cannot write");
    assert_eq!(folder.names(), ["dead.log"]);
    // Nor is a folder replaced by a file.
    fs::create_dir(folder.path("out")).unwrap();
    let ran = oomdoc(&["analyze", "-o", &folder.path("out").display().to_string(), &dead]);
    assert_eq!(ran.code, 2);
    assert_eq!(folder.names(), ["dead.log", "out"]);
}

/// Runs it with an output whose reader goes away after a byte.
fn with_closed_pipe(args: &[&str]) -> (Option<i32>, String) {
    let mut child = command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let _ = out.read(&mut [0; 1]);
    drop(out);
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), err)
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_reason_to_complain() {
    let folder = Folder::new();
    let list = folder.with("list", format!("{}\n", folder.with("dead.log", DEAD)).repeat(200));
    for args in [
        vec!["analyze", "--format", "ndjson", "--files-from", &list],
        vec!["analyze", "--files-from", &list],
        vec!["explain"],
        vec!["man"],
        vec!["completions", "bash"],
    ] {
        let (code, err) = with_closed_pipe(&args);
        assert!(code.is_some_and(|code| code <= 1), "{args:?}: {code:?}");
        assert_eq!(err, "", "{args:?}");
    }
}

#[test]
fn every_format_has_its_form() {
    let folder = Folder::new();
    let dead = folder.with("dead.log", DEAD);
    for (format, begins) in [("text", "weight-oom"), ("markdown", "#"), ("json", "{"), ("ndjson", "{\"schema\""), ("html", "<!doctype html>")] {
        let ran = oomdoc(&["analyze", "--format", format, &dead]);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{format}");
        assert!(ran.out.to_lowercase().starts_with(begins), "{format}: {}", &ran.out[..ran.out.len().min(80)]);
        assert!(ran.out.ends_with('\n'), "{format}");
    }
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let folder = Folder::new();
    let dead = folder.with("dead.log", DEAD);
    let colours = |args: &[&str], no_color: Option<&str>| {
        let mut command = command(args);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        ran(command.arg(&dead).stdin(Stdio::null()).output().unwrap()).out.contains('\u{1b}')
    };
    assert!(!colours(&["analyze"], None), "a pipe is no terminal");
    assert!(!colours(&["analyze", "--color", "auto"], Some("1")));
    assert!(!colours(&["analyze", "--color", "never"], None));
    assert!(colours(&["analyze", "--color", "always"], None));
    assert!(colours(&["analyze", "--color", "always"], Some("1")), "who asks for it gets it");
    assert!(!colours(&["analyze", "--color", "always", "--format", "json"], None));
}

// --------------------------------------------------------------------------------------------------------- other commands

#[test]
fn a_command_is_printed_in_the_users_form_and_for_the_users_shell() {
    let log = format!("{}/fixtures/context-limit-config/vllm-0.6.3-longer-than-the-model/input.log", env!("CARGO_MANIFEST_DIR"));
    let printed = |more: &[&str]| {
        let args = [&["analyze", log.as_str(), "--remedy", "1", "--print-command", "--exit-zero"], more].concat();
        let ran = oomdoc(&args);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    assert_eq!(printed(&[]), "vllm serve Qwen/Qwen2.5-7B-Instruct --max-model-len 32768\n");
    let given = ["--command", "docker run --gpus all -v $PWD/hf:/root/.cache/huggingface vllm/vllm-openai:v0.6.3 --model a/b --max-model-len 65536"];
    assert!(printed(&given).contains(" \\\n  -v \"$PWD/hf:/root/.cache/huggingface\" \\\n"));
    let shell = [given[0], given[1], "--shell", "powershell"];
    assert!(printed(&shell).contains(" `\n  -v \"${PWD}/hf:/root/.cache/huggingface\" `\n"));
    let folder = Folder::new();
    let compose = "services:\n  llm:\n    image: vllm/vllm-openai:${TAG:-v0.6.3}\n    command: --model a/b --max-model-len 65536\n";
    let compose = printed(&["--compose", &folder.with("compose.yaml", compose)]);
    assert!(compose.starts_with("services:\n  llm:\n    image: \"vllm/vllm-openai:${TAG:-v0.6.3}\"") && compose.contains("\"32768\""), "{compose}");
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n    - name: c\n      image: vllm/vllm-openai:v0.6.3\n      args: [--model, a/b]\n";
    let manifest = printed(&["--manifest", &folder.with("pod.yaml", manifest)]);
    assert!(manifest.starts_with("apiVersion: v1\nkind: Pod\n") && manifest.contains("- --max-model-len\n        - \"32768\""), "{manifest}");
    let inspect = r#"[{"Name":"/v","Config":{"Image":"vllm/vllm-openai:v0.6.3","Cmd":["--model","a/b"],"Env":[]},"HostConfig":{}}]"#;
    let inspect = printed(&["--inspect", &folder.with("inspect.json", inspect)]);
    assert!(inspect.starts_with("docker run") && inspect.contains("--max-model-len 32768"), "{inspect}");
}

#[test]
fn explain_lists_and_explains() {
    let list = oomdoc(&["explain"]);
    assert_eq!((list.code, list.err.as_str()), (0, ""));
    for cause in oomdoc::causes::CAUSES {
        assert!(list.out.contains(cause.id), "{}", cause.id);
        let one = oomdoc(&["explain", cause.id]);
        assert_eq!(one.code, 0, "{}", cause.id);
        assert!(one.out.contains(cause.title), "{}", one.out);
    }
    let wrong = oomdoc(&["explain", "weights-oom"]);
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    wrong.complains("there is no cause `weights-oom`");
    wrong.complains("did you mean");
}

#[test]
fn completions_and_manual_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = oomdoc(&["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("oomdoc") && ran.out.contains("analyze"), "{shell}");
    }
    assert_eq!(oomdoc(&["completions", "tcsh"]).code, 2);
    let man = oomdoc(&["man"]);
    assert_eq!(man.code, 0);
    assert!(man.out.contains(".TH oomdoc 1"), "{}", &man.out[..200]);
}

// ------------------------------------------------------------------------------------------------------------------ rules

const RULE: &str = "[[signature]]\nid = \"ours-license\"\nanchor = \"license server said no\"\nfact = \"custom\"\ncause = \"model-auth\"\n\
    example = \"ERROR license server said no\"\ncounter = \"INFO license server said yes\"\n";

#[test]
fn a_rule_of_ones_own_names_a_cause() {
    let folder = Folder::new();
    folder.with("rules/ours.toml", RULE);
    folder.with("rules/README.md", "not a rule");
    let rules = folder.path("rules").display().to_string();
    let log = "2025-03-20 10:00:00,000 ERROR serve: license server said no (seat 7)\n";
    let ran = fed(&["analyze", "--format", "json", "--rules", &rules], log.as_bytes());
    assert_eq!((ran.code, ran.json()["cause"].as_str()), (1, Some("model-auth")), "{}", ran.out);
    assert_eq!(ran.json()["incidents"][0]["evidence"][0]["rule"], "ours-license");
    assert_ne!(fed(&["analyze", "--format", "json"], log.as_bytes()).json()["cause"], "model-auth");
}

#[test]
fn a_rule_that_is_wrong_is_refused_with_its_place() {
    let folder = Folder::new();
    let log = folder.with("dead.log", DEAD);
    for (name, rule, about) in [
        ("syntax", "[[signature]\nid = 1".to_owned(), "ours.toml"),
        ("key", RULE.replace("anchor", "anker"), "anker"),
        ("cause", RULE.replace("model-auth", "bad-luck"), "bad-luck"),
        ("fact", RULE.replace("custom", "surprise"), "surprise"),
        ("pattern", format!("{RULE}pattern = '('\n"), "ours-license"),
        ("frame", format!("{RULE}\n[[frame]]\nfunction = \"f\"\nstage = \"serve\"\n"), "[[frame]]"),
        ("placeholder", format!("{RULE}pattern = '{{frobs}} said'\n"), "frobs"),
    ] {
        folder.with(&format!("{name}/ours.toml"), rule);
        let ran = oomdoc(&["analyze", "--rules", &folder.path(name).display().to_string(), &log]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}");
        ran.complains(about);
    }
    let ran = oomdoc(&["analyze", "--rules", "/nowhere/at/all", &log]);
    assert_eq!(ran.code, 2);
    ran.complains("/nowhere/at/all");
}

// ---------------------------------------------------------------------------------------------------- what the user knows

#[test]
fn what_the_log_lacks_can_be_given() {
    let log = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB.\n";
    let bare = fed(&["analyze", "--format", "json"], log.as_bytes()).json();
    assert!(bare["deployment"]["model"].is_null());
    let args = ["analyze", "--format", "json", "--gpu", "16GiB", "--model", "acme/chat-7b"];
    let given = fed(&args, log.as_bytes()).json();
    assert_eq!(given["deployment"]["model"], "acme/chat-7b");
    assert_eq!(given["deployment"]["devices"][0]["total_bytes"], 16_u64 << 30);
    let named = fed(&["analyze", "--format", "json", "--gpu", "NVIDIA L4"], log.as_bytes()).json();
    assert_eq!(named["deployment"]["devices"][0]["name"], "NVIDIA L4");
    let command = "docker run --gpus all ghcr.io/huggingface/text-generation-inference:2.4.1 --model-id acme/chat-7b --max-batch-prefill-tokens 4096";
    let commanded = fed(&["analyze", "--format", "json", "--command", command], log.as_bytes()).json();
    assert_eq!(commanded["deployment"]["model"], "acme/chat-7b");
}

#[test]
fn what_the_log_says_is_not_overruled() {
    let log =
        DEAD.replacen('\n', "\nINFO 03-20 10:00:01 [config.py:209] model 'acme/from-the-log', non-default args: {'model': 'acme/from-the-log'}\n", 1);
    let report = fed(&["analyze", "--format", "json", "--gpu", "80GiB"], log.as_bytes()).json();
    assert_eq!(report["figures"]["total_bytes"], 16_932_908_400_u64.max(report["figures"]["total_bytes"].as_u64().unwrap()).min(16_933_000_000));
}

#[test]
fn an_exit_code_that_is_given_counts() {
    let healthy = fed(&["analyze", "--format", "json"], HEALTHY.as_bytes());
    assert_eq!((healthy.code, healthy.json()["cause"].as_str()), (0, Some("healthy")));
    let killed = fed(&["analyze", "--format", "json", "--exit-code", "137"], HEALTHY.as_bytes());
    assert_eq!(killed.code, 1, "{}", killed.out);
    assert_eq!(killed.json()["cause"], "host-oom");
    let negative = fed(&["analyze", "--format", "json", "--exit-code", "-9"], HEALTHY.as_bytes());
    assert_eq!(negative.code, 1);
    assert_eq!(fed(&["analyze", "--exit-code", "0"], HEALTHY.as_bytes()).code, 0);
}

#[test]
fn the_year_of_stamps_without_one_can_be_given() {
    let time = |args: &[&str]| fed(args, DEAD.as_bytes()).json()["incidents"][0]["evidence"][0]["time"].clone();
    assert_eq!(time(&["analyze", "--format", "json"]), Value::Null);
    assert_eq!(time(&["analyze", "--format", "json", "--year", "2025"]), "2025-03-20T10:00:09");
}

#[test]
fn secrets_are_masked_unless_they_are_asked_for() {
    let secret = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567";
    let log = format!(
        "2025-03-20T10:00:00.000000Z  INFO text_generation_launcher: Args {{ model_id: \"acme/chat-7b\", api_key: Some(\"{secret}\") }}\n\
         OSError: You are trying to access a gated repo. 401 Client Error for url: https://huggingface.co/acme/chat-7b?token={secret}\n{DEAD}"
    );
    for format in ["text", "markdown", "json", "ndjson", "html"] {
        let masked = fed(&["analyze", "--format", format], log.as_bytes()).out;
        assert!(!masked.contains(secret), "{format}: {masked}");
    }
    let shown = fed(&["analyze", "--format", "json", "--no-redact"], log.as_bytes());
    assert!(shown.out.contains(secret), "{}", shown.out);
    assert!(fed(&["analyze", "--format", "json"], log.as_bytes()).json()["secrets_masked"].as_u64().unwrap() > 0);
}

#[test]
fn the_same_log_gives_the_same_bytes() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/weight-oom/tgi-1.4.0-crash-loop/input.log");
    let log = fs::read(fixture).unwrap_or_else(|_| DEAD.into());
    for format in ["text", "markdown", "json", "html"] {
        let run = || fed(&["analyze", "--format", format], &log).out;
        assert_eq!(run(), run(), "{format}");
    }
}

const PHI: &str = "microsoft/Phi-3.5-mini-instruct";

#[test]
fn fit_says_what_fits_by_its_exit_code() {
    let fits = oomdoc(&["fit", "Qwen/Qwen2.5-7B-Instruct", "--gpu", "RTX 4090", "--max-model-len", "8192"]);
    assert_eq!(fits.code, 0, "{}{}", fits.out, fits.err);
    assert!(fits.out.starts_with("fits: Qwen/Qwen2.5-7B-Instruct on GeForce RTX 4090 with vLLM"), "{}", fits.out);
    let exceeds = oomdoc(&["fit", PHI, "--gpu", "RTX 4060", "--engine", "tgi"]);
    assert_eq!(exceeds.code, 1, "{}{}", exceeds.out, exceeds.err);
    for part in ["exceeds:", "Budget", "W weights", "7.12 GiB", "--quantize bitsandbytes-nf4", "never measured"] {
        assert!(exceeds.out.contains(part), "{part}: {}", exceeds.out);
    }
    for run in [fits, exceeds] {
        assert!(run.out.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= 80), "{}", run.out);
    }
}

#[test]
fn fit_refuses_what_it_does_not_know_or_cannot_work() {
    for (args, about) in [
        (&["fit", "nobody/nothing", "--gpu", "24GiB"][..], "config.json"),
        (&["fit", PHI, "--gpu", "GTX 9999"], "not known"),
        (&["fit", PHI, "--gpu", "24GiB", "--quantization", "magic"], "no quantization"),
        (&["fit", PHI, "--gpu", "24GiB", "--engine", "magic"], "not modelled"),
        (&["fit", PHI, "--gpu", "24GiB", "--gpu-memory-utilization", "1.5"], "fraction"),
        (&["fit", PHI, "--gpu", "T4", "--quantization", "fp8"], "no kernels for fp8"),
        (&["fit", "Qwen/Qwen2.5-7B-Instruct", "--gpu", "H200", "--tensor-parallel", "8"], "28 attention heads cannot be split over 8"),
        (&["fit", "nobody/nothing", "--gpu", "24GiB", "--params", "many"], "no number of parameters"),
    ] {
        let run = oomdoc(args);
        assert_eq!(run.code, 2, "{args:?}: {}{}", run.out, run.err);
        run.complains(about);
    }
    // Of a model that is known by its size only, nothing but too much can be said.
    let unknown = oomdoc(&["fit", "nobody/nothing", "--gpu", "24GiB", "--params", "7B"]);
    assert_eq!(unknown.code, 2, "{}", unknown.out);
    assert!(unknown.out.contains("config.json would settle it"), "{}", unknown.out);
    assert_eq!(oomdoc(&["fit", "nobody/nothing", "--gpu", "24GiB", "--params", "70B"]).code, 1);
}

#[test]
fn fit_json_has_its_keys() {
    let keys = [
        "model",
        "engine",
        "verdict",
        "weights_bytes",
        "kv_bytes_per_token",
        "kv_bytes",
        "kv_tokens",
        "max_context_tokens",
        "activation_bytes",
        "overhead_bytes",
        "total_bytes",
        "limit_bytes",
        "margin_bytes",
        "basis",
    ];
    let one = oomdoc(&["fit", PHI, "--gpu", "24GiB", "--format", "json"]).json();
    for key in keys {
        assert!(one.get(key).is_some(), "{key}");
    }
    let sum = |keys: &[&str]| keys.iter().map(|key| one[key].as_i64().unwrap()).sum::<i64>();
    assert_eq!(one["total_bytes"].as_i64(), Some(sum(&["weights_bytes", "kv_bytes", "activation_bytes", "overhead_bytes"])));
    assert_eq!(one["margin_bytes"].as_i64(), Some(one["limit_bytes"].as_i64().unwrap() - one["total_bytes"].as_i64().unwrap()));
    let several = oomdoc(&["fit", PHI, "--gpu", "24GiB", "--gpu", "RTX 4060", "--format", "json"]);
    assert_eq!(several.code, 1, "one of them exceeds");
    assert_eq!(several.json().as_array().map(Vec::len), Some(2));
}

#[test]
fn fit_sweeps_and_compares() {
    let sweep = oomdoc(&["fit", PHI, "--gpu", "12GiB", "--sweep"]);
    assert_eq!(sweep.code, 0, "{}{}", sweep.out, sweep.err);
    for word in ["quantization", "none", "awq", "4k", "128k"] {
        assert!(sweep.out.contains(word), "{word}: {}", sweep.out);
    }
    let table = oomdoc(&["fit", PHI, "--gpu", "12GiB", "--gpu", "RTX 4090", "--max-model-len", "4096"]);
    assert!(table.out.contains("GeForce RTX 4090") && table.out.contains("may take"), "{}", table.out);
    for run in [sweep, table] {
        assert!(run.out.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= 80), "{}", run.out);
    }
}

#[test]
fn a_crash_loop_is_counted_beyond_what_is_kept() {
    let folder = Folder::new();
    let few = fed(&["analyze", "--format", "json"], DEAD.repeat(7).as_bytes()).json();
    assert_eq!(few["incidents"][0]["occurrences"], 7);
    assert_eq!(few["incidents"][0].get("occurrences_is_lower_bound"), None);
    let path = folder.with("loop.log", DEAD.repeat(450));
    let many = oomdoc(&["analyze", "--format", "json", &path]).json();
    assert_eq!(many["incidents"][0]["occurrences"], 450);
    assert_eq!(many["incidents"][0]["occurrences_is_lower_bound"], true);
    let text = oomdoc(&["analyze", &path]).out;
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains("at least 450 times"), "{text}");
}

// ------------------------------------------------------------------------------------------------------ several at a time

#[test]
fn the_bytes_are_the_same_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for n in 0..60 {
        let path = folder.path().join(format!("{n:02}.log"));
        match n % 5 {
            0 => fs::write(&path, format!("INFO: run {n}\nINFO: nothing to say\n")).unwrap(),
            1 => fs::write(&path, b"PK\x03\x04 no log").unwrap(),
            2 => {}
            3 => fs::write(&path, format!("{}{n}\nValueError: no {n}\n", "INFO quiet\n".repeat(20_000))).unwrap(),
            _ => fs::write(&path, format!("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {n}.00 MiB.\n")).unwrap(),
        }
        paths.push(path.display().to_string());
    }
    for format in ["text", "markdown", "json", "ndjson", "html"] {
        let run = |threads: &str| {
            let mut args = vec!["analyze", "--format", format, "--threads", threads];
            args.extend(paths.iter().map(String::as_str));
            oomdoc(&args)
        };
        let one = run("1");
        assert_eq!(one.code, 2);
        for threads in ["2", "7"] {
            let several = run(threads);
            assert!((several.out == one.out) && (several.err == one.err) && several.code == 2, "{format} by {threads} threads");
        }
        if format == "ndjson" {
            let names: Vec<String> = one
                .out
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["source"]["name"].as_str().unwrap().into())
                .collect();
            assert_eq!(names, paths);
        }
    }
}

#[test]
fn results_are_written_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.log");
    fs::write(&log, "OSError: [Errno 28] No space left on device: first\n").unwrap();
    for format in ["text", "json", "ndjson"] {
        for threads in ["1", "2"] {
            let mut child = command(&["analyze", "--format", format, "--threads", threads, "/not/there", log.to_str().unwrap(), "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // Standard input is open and silent all the while.
            let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            assert!(lines.any(|line| line.contains("/not/there")), "{format}");
            assert!(lines.any(|line| line.contains("on device: first")), "{format}");
            child.stdin.take().unwrap().write_all(b"OSError: [Errno 28] No space left on device: last\n").unwrap();
            assert!(lines.any(|line| line.contains("on device: last")), "{format}");
            assert_eq!(child.wait().unwrap().code(), Some(2));
        }
    }
}

#[test]
fn a_report_for_people_is_written_when_something_could_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (log, report) = (folder.path().join("a.log"), folder.path().join("report"));
    fs::write(&log, "INFO: all is well\n").unwrap();
    for format in ["text", "markdown", "html", "json", "ndjson"] {
        let run = |last: &str| {
            let _ = fs::remove_file(&report);
            let to_file = oomdoc(&["analyze", "--format", format, "-o", report.to_str().unwrap(), "nonesuch", last]);
            let printed = oomdoc(&["analyze", "--format", format, "nonesuch", last]);
            assert_eq!((to_file.code, printed.code, to_file.out.as_str()), (2, 2, ""), "{format}");
            assert_eq!(fs::read_to_string(&report).unwrap_or_default(), printed.out, "{format}");
            printed.out
        };
        assert!(run(log.to_str().unwrap()).contains("nonesuch"), "{format}");
        let is_for_people = !format.contains("json");
        assert_eq!(run("neither").is_empty(), is_for_people, "{format}");
        assert_eq!(report.exists(), !is_for_people, "{format}");
    }
}

#[test]
#[cfg(unix)]
fn how_far_it_is_is_said_on_a_terminal_only() {
    let slow = format!("(echo INFO: all is well; sleep 1.2) | {} analyze --format json > /dev/null", env!("CARGO_BIN_EXE_oomdoc"));
    let output = Command::new("sh").args(["-c", &slow]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    // `script` gives it a terminal, where there is one that takes a command so.
    let has_script = Command::new("script").arg("--version").output().is_ok_and(|script| script.stdout.starts_with(b"script from util-linux"));
    if has_script {
        let output = Command::new("script").args(["-qec", &slow, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("GB/s") && shown.ends_with("\r\u{1b}[K"), "{shown:?}");
    }
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.ndjson");
    let mut child = command(&["analyze", "--format", "ndjson", "-o", report.to_str().unwrap(), "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let entries = || fs::read_dir(folder.path()).unwrap().count();
    while entries() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(entries(), 0);
}

#[test]
fn standard_input_is_read_once() {
    let both = fed(&["analyze", "--format", "ndjson", "-", "-"], b"INFO: all is well\n");
    assert_eq!(both.code, 2);
    assert!(both.out.lines().nth(1).unwrap().contains("is empty"));
}
