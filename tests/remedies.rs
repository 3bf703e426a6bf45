//! Whatever a log says, a printed command is one that its engine takes, and holds nothing that a shell would run beside it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::LazyLock;

use oomdoc::analysis::Analyzer;
use oomdoc::memory::catalogue::UserCatalogue;
use oomdoc::memory::{Device, Model};
use oomdoc::post_mortem::Remedy;
use oomdoc::remedies::command::{Change, Command, Trust, split};
use oomdoc::remedies::flags::{Circumstances, check};
use oomdoc::source::Reader;
use oomdoc::{Options, PostMortem};
use proptest::prelude::*;

fn analyze(log: Vec<u8>) -> PostMortem {
    static OPTIONS: LazyLock<Options> = LazyLock::new(Options::default);
    static ANALYZER: LazyLock<Analyzer<'static>> = LazyLock::new(|| Analyzer::new(&OPTIONS));
    ANALYZER.run(Reader::from_read(Box::new(std::io::Cursor::new(log))).unwrap(), "log").unwrap()
}

fn logs() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for cause in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")).unwrap() {
        for case in fs::read_dir(cause.unwrap().path()).unwrap() {
            found.extend(Some(case.unwrap().path().join("input.log")).filter(|path| path.exists()));
        }
    }
    found.sort();
    found
}

fn commands(report: &PostMortem) -> impl Iterator<Item = &str> {
    report.incidents.iter().flat_map(|incident| &incident.remedies).filter_map(|remedy| remedy.command.as_deref())
}

fn is_code(text: &str) -> bool {
    text.starts_with("from ") || text.starts_with("import ")
}

/// Beginnings of commands that put something right beside the server.
const STARTS_NO_ENGINE: [&str; 6] = ["nvidia-smi ", "pip install ", "python3 -m pip install ", "hf download ", "ollama pull ", "ollama rm "];

fn sh_takes(text: &str) -> bool {
    Process::new("sh").args(["-n", "-c", text]).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn every_command_of_every_fixture_is_taken() {
    let mut count = 0;
    for path in logs() {
        let report = analyze(fs::read(&path).unwrap());
        for text in commands(&report).filter(|text| !is_code(text)) {
            count += 1;
            let wrong = |why: &str| -> ! { panic!("{}: {why}\n{text}", path.display()) };
            if !sh_takes(text) {
                wrong("sh -n refuses it");
            }
            if STARTS_NO_ENGINE.iter().any(|start| text.starts_with(start)) {
                continue;
            }
            let words = shlex::split(&text.replace("\\\n", "")).unwrap_or_else(|| wrong("a tokenizer cannot read it"));
            let own: Vec<String> = split(text).unwrap().iter().map(|word| word.plain()).collect();
            if own != words {
                wrong("two tokenizers read it differently");
            }
            let mut command = Command::read(text, Trust::Log).unwrap_or_else(|problem| wrong(&problem.to_string()));
            command.version = command.version.or_else(|| report.deployment.engine_version.clone());
            if command.version.is_none() {
                // The version may have been told by the names of a dump, which the text does not hold.
                continue;
            }
            if let Some(problem) = check(&command, &Circumstances::default()).first() {
                wrong(&problem.to_string());
            }
        }
    }
    assert!(count > 120, "{count} commands");
}

#[test]
fn every_remedy_says_how_to_see_that_it_worked_and_what_comes_next() {
    let mut count = 0;
    for path in logs() {
        let report = analyze(fs::read(&path).unwrap());
        for remedy in report.incidents.iter().flat_map(|incident| &incident.remedies) {
            count += 1;
            let says = |text: &str| text.ends_with('.') && text.starts_with(|c: char| c.is_uppercase() || c == '`') && text.len() > 20;
            assert!(says(&remedy.verify) && says(&remedy.otherwise), "{}: {remedy:?}", path.display());
            assert!(!remedy.rationale.contains("It worked"), "{}: {remedy:?}", path.display());
            if let Some(fit) = remedy.fit.filter(|fit| fit.verdict != "exceeds") {
                let expected = oomdoc::units::size(fit.predicted_bytes);
                let is_said = remedy.verify.contains(&expected) || remedy.rationale.contains(&expected);
                assert!(is_said, "{}: {} does not say {expected}: {remedy:?}", path.display(), remedy.id);
            }
        }
    }
    assert!(count > 500, "{count} remedies");
}

#[test]
fn every_cause_has_remedies() {
    for path in logs() {
        let report = analyze(fs::read(&path).unwrap());
        for incident in &report.incidents {
            assert!(!incident.remedies.is_empty(), "{}: nothing to do about {}", path.display(), incident.cause);
        }
    }
}

/// The ids of a fixture's remedies, and the command of the first that has one.
fn fixed(fixture: &str) -> (Vec<String>, String) {
    let log = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture).join("input.log")).unwrap();
    let report = analyze(log);
    let remedies = &report.incidents[0].remedies;
    let command = remedies.iter().find_map(|remedy| remedy.command.clone()).unwrap_or_default();
    (remedies.iter().map(|remedy| remedy.id.clone()).collect(), command)
}

#[test]
fn causes_that_memory_does_not_decide_have_exact_fixes() {
    for (fixture, id, part) in [
        ("context-limit-config/vllm-0.6.3-longer-than-the-model", "models-length", "--max-model-len 32768"),
        ("context-limit-config/vllm-0.9.1-batched-tokens-below-context", "larger-prefill-budget", "--max-num-batched-tokens 8192"),
        ("context-limit-config/vllm-0.12-pydantic-prefill-threshold", "smaller-threshold", "--long-prefill-token-threshold 8192"),
        ("parallelism-config/vllm-0.11.0-more-ranks-than-gpus", "dividing-size", "--tensor-parallel-size 2"),
        ("parallelism-config/tgi-2.1-three-shards", "dividing-size", "--num-shard 2"),
        ("quantization-unsupported/vllm-0.5.4-bitsandbytes-load-format", "load-format", "--load-format bitsandbytes"),
        ("quantization-unsupported/tgi-1.4.3-awq-of-a-plain-model", "while-loading", "--quantize bitsandbytes-nf4"),
        ("dtype-unsupported/vllm-0.11.0-bfloat16-on-v100", "half", "--dtype half"),
        ("model-unsupported/vllm-0.4.3-gemma-2", "upgrade", "vllm=="),
        ("model-unsupported/ollama-0.12-model-was-replaced", "pull-again", "ollama pull llama3.2-vision"),
        ("invalid-argument/tgi-3.1.0-misspelt-flag", "meant-flag", "--max-input-length 4096"),
        ("model-auth/tgi-2.0.2-crash-loop-in-kubernetes", "pass-token", "-e HUGGING_FACE_HUB_TOKEN "),
        ("model-auth/tgi-2.2-not-in-the-authorized-list", "pass-token", "-e HF_TOKEN "),
        ("template-error/vllm-0.11.0-no-default", "give-template", "--chat-template '{% for message in messages %}"),
        ("gpu-occupied/transformers-other-process", "free-device", "grep -qx 20177 && kill 20177"),
        ("collective-failure/vllm-0.9.1-ncclcomminitrank", "transport", "NCCL_P2P_DISABLE=1 "),
        ("remote-code-refused/vllm-0.11.2-pydantic", "trust", "--trust-remote-code"),
        ("shm-exhausted/tgi-1.2.0-four-shards", "shm-size", "--shm-size 8g"),
        ("weight-oom/tgi-2.4.1-recovered-with-nf4", "quantize-bnb-nf4", "--quantize"),
    ] {
        let (ids, command) = fixed(fixture);
        assert!(ids.iter().any(|found| found.starts_with(id)), "{fixture}: {ids:?}");
        assert!(command.replace("\\\n ", "").contains(part), "{fixture}: {command}");
    }
}

/// The first remedy of a fixture that has a command.
fn first(fixture: &str) -> Remedy {
    remedies(fixture).into_iter().find(|remedy| remedy.command.is_some()).unwrap()
}

/// The remedies of a fixture's first incident.
fn remedies(fixture: &str) -> Vec<Remedy> {
    let log = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture).join("input.log")).unwrap();
    analyze(log).incidents.remove(0).remedies
}

/// The remedy whose id begins so.
fn named<'r>(remedies: &'r [Remedy], id: &str) -> &'r Remedy {
    let ids: Vec<&str> = remedies.iter().map(|remedy| remedy.id.as_str()).collect();
    remedies.iter().find(|remedy| remedy.id.starts_with(id)).unwrap_or_else(|| panic!("no {id} among {ids:?}"))
}

fn probability(remedy: &Remedy) -> f64 {
    remedy.fit.as_ref().unwrap_or_else(|| panic!("{} has no fit", remedy.id)).probability
}

#[test]
fn documents_are_corrected() {
    // Flags of TGI come in sets that satisfy one another.
    for fixture in ["weight-oom/seed-000-tgi-2.4.1-load", "prefill-oom/tgi-2.4.1-warmup"] {
        let remedy = first(fixture);
        let command = Command::read(remedy.command.as_deref().unwrap(), Trust::Log).unwrap();
        let number = |flag: &str| command.value_of(flag).unwrap().parse::<u64>().unwrap();
        assert!(number("--max-input-tokens") < number("--max-total-tokens"), "{fixture}");
        assert!(number("--max-input-tokens") <= number("--max-batch-prefill-tokens"), "{fixture}");
        assert!(probability(&remedy) >= 0.9, "{fixture}");
        assert!(command.value_of("--quantize").is_some(), "16-bit weights alone fill the card: {fixture}");
    }
    // vLLM has its own names, and the user's share of the device was half of what it needs.
    let remedy = first("weight-oom/seed-002-vllm-0.11.0-unquantized-linear");
    let text = remedy.command.unwrap();
    assert!(text.contains("--quantization bitsandbytes") && !text.contains("--quantize ") && !text.contains("--load-format awq"), "{text}");
    let log = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/weight-oom/seed-002-vllm-0.11.0-unquantized-linear/input.log")).unwrap();
    let report = analyze(log);
    let raises = |change: &Change| change.flag == "--gpu-memory-utilization" && change.from.as_deref() == Some("0.5");
    assert!(report.incidents[0].remedies.iter().flat_map(|remedy| &remedy.changes).any(raises));
    // Mixtral does not fit into 24 GB, in 4 bits neither: no command says that it does.
    let mixtral = [
        "meta-tensor-offload/seed-004-transformers-mixtral",
        "quantized-offload-refused/seed-004-transformers-mixtral",
        "inference-oom/seed-004-transformers-mixtral-generate",
    ];
    for fixture in mixtral {
        let remedies = remedies(fixture);
        assert!(remedies.iter().all(|remedy| remedy.command.is_none()), "{fixture}");
        assert!(remedies.iter().filter_map(|remedy| remedy.fit.as_ref()).all(|fit| fit.verdict == "exceeds"), "{fixture}");
    }
}

#[test]
fn what_the_documents_tried_is_there() {
    // A quantized checkpoint by its name, a smaller model, Ollama.
    let tgi = remedies("weight-oom/seed-000-tgi-2.4.1-load");
    let checkpoint = named(&tgi, "quantized-checkpoint");
    assert!(checkpoint.command.as_ref().unwrap().contains("--model-id TheBloke/deepseek-coder-6.7B-instruct-AWQ"));
    assert!(
        probability(checkpoint) >= 0.9 && probability(named(&tgi, "quantize-bnb-nf4")) >= 0.9 && probability(named(&tgi, "smaller-model")) >= 0.9
    );
    assert_eq!(named(&tgi, "other-engine").command.as_deref(), Some("ollama run deepseek-coder:6.7b"));
    // Smaller budgets alone are no more than worth a try; with quantized weights they are sure.
    let phi = remedies("prefill-oom/tgi-2.4.1-warmup");
    let alone = probability(named(&phi, "shorter-context"));
    assert!((0.5..0.9).contains(&alone), "{alone}");
    assert!(probability(named(&phi, "fewer-prefill-tokens-and-quantize-bnb-nf4")) > alone);
    assert!(probability(named(&phi, "other-engine")) >= 0.9);
    // 4 bits with more of the device, or with a shorter context; more devices; and a look at what is on disk.
    let qwen = remedies("weight-oom/seed-002-vllm-0.11.0-unquantized-linear");
    for id in ["larger-share-and-quantize-bnb-4bit", "quantize-bnb-4bit-and-shorter-context", "split", "quantized-checkpoint"] {
        assert!(probability(named(&qwen, id)) >= 0.9, "{id}");
    }
    assert!(named(&qwen, "stored-in-four-bits").title.contains("in 4 bits about"));
    // Memory that climbs is held by somebody.
    assert_eq!(remedies("inference-oom/seed-004-transformers-memory-climbs")[0].id, "release");
}

/// Memory causes that a plan can be made for.
const MEMORY: [&str; 9] = [
    "weight-oom",
    "prefill-oom",
    "kv-cache-oom",
    "sampler-oom",
    "graph-capture-oom",
    "inference-oom",
    "training-oom",
    "fragmentation-oom",
    "gpu-occupied",
];

#[test]
fn where_model_device_and_engine_are_known_something_fits_or_nothing_can() {
    let mut count = 0;
    let mut without = Vec::new();
    for path in logs() {
        let report = analyze(fs::read(&path).unwrap());
        let Some(incident) = report.incidents.first().filter(|incident| MEMORY.contains(&incident.cause)) else { continue };
        let d = &report.deployment;
        let model = d.model.as_deref().and_then(|name| Model::find(name, &UserCatalogue::default()).ok());
        let total = incident.figures.total_bytes.or_else(|| d.devices.iter().find_map(|device| device.total_bytes));
        let device = total.is_some() || d.devices.iter().any(|device| device.name.as_deref().is_some_and(|name| Device::find(name).is_ok()));
        if d.engine.is_none() || model.is_none_or(|model| model.shape.is_none()) || !device {
            continue;
        }
        count += 1;
        let fits = |remedy: &Remedy| remedy.fit.as_ref().is_some_and(|fit| matches!(fit.verdict, "fits" | "tight"));
        // A later run that came up is more than a prediction.
        if !incident.remedies.iter().any(|remedy| fits(remedy) || matches!(remedy.id.as_str(), "bigger-device" | "as-last-run")) {
            without.push(format!("{}: {:?}", path.display(), incident.remedies.iter().map(|r| &r.id).collect::<Vec<_>>()));
        }
    }
    assert!(count > 30, "{count}");
    assert!(without.is_empty(), "{count}, without:\n{}", without.join("\n"));
}

/// Segments that grow are proposed where they may help: not where they grow already, nor where all the pieces would not do.
#[test]
fn growing_segments_are_proposed_where_they_help() {
    let log = |command: &str, tried: &str| {
        format!(
            "$ {command}\n\
             INFO 11-02 10:00:00 [api_server.py:1805] vLLM API server version 0.10.2\n\
             INFO 11-02 10:00:50 [api_server.py:1890] Starting vLLM API server 0 on http://0.0.0.0:8000\n\
             INFO:     Application startup complete.\n\
             ERROR 11-02 10:01:00 [core.py:718] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {tried} GiB. GPU 0 has a total \
             capacity of 24.00 GiB of which 102.40 MiB is free. Including non-PyTorch memory, this process has 23.90 GiB memory in use. Of the \
             allocated memory 18.40 GiB is allocated by PyTorch, and 5.00 GiB is reserved by PyTorch but unallocated.\n"
        )
    };
    let plain = "vllm serve acme/finch-9b --enforce-eager";
    let growing = format!("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True {plain}");
    for (command, tried, is_proposed) in [(plain, "2.00", true), (&growing, "2.00", false), (plain, "4.90", false)] {
        let incident = analyze(log(command, tried).into_bytes()).incidents.remove(0);
        assert_eq!(incident.cause, "fragmentation-oom");
        let proposed = incident.remedies.iter().find(|remedy| remedy.id == "expandable-segments");
        assert_eq!(proposed.is_some(), is_proposed, "{command}: {:?}", incident.remedies);
        let sets = |remedy: &Remedy| remedy.command.as_deref().is_some_and(|text| text.contains("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"));
        assert!(proposed.is_none_or(sets), "{proposed:?}");
    }
    // PyTorch before 2.1 ends at once where it is told of segments that grow.
    let old = remedies("fragmentation-oom/pytorch-1.12-reserved-much-larger");
    assert!(old.iter().flat_map(|remedy| &remedy.changes).all(|change| change.to.as_deref() != Some("expandable_segments:True")), "{old:?}");
    assert_eq!(named(&old, "unsplit-blocks").changes[0].to.as_deref(), Some("max_split_size_mb:128"));
}

/// What a fit says is what its figures say.
#[test]
fn fits_agree_with_their_figures() {
    for path in logs() {
        for remedy in analyze(fs::read(&path).unwrap()).incidents.into_iter().flat_map(|incident| incident.remedies) {
            let Some(fit) = remedy.fit else { continue };
            let verdict = if fit.probability >= 0.9 {
                "fits"
            } else if fit.probability >= 0.5 {
                "tight"
            } else {
                "exceeds"
            };
            assert_eq!(fit.verdict, verdict, "{}: {}", path.display(), remedy.id);
            assert!(fit.verdict == "exceeds" || fit.predicted_bytes <= fit.limit_bytes, "{}: {}", path.display(), remedy.id);
        }
    }
}

/// Three variants of one change are one piece of advice.
#[test]
fn the_first_three_differ() {
    for path in logs() {
        for incident in analyze(fs::read(&path).unwrap()).incidents {
            let mut ids: Vec<&String> = incident.remedies.iter().take(3).map(|remedy| &remedy.id).collect();
            let all = ids.len();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), all, "{}", path.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A name that wants to be more than a word is one word, or there is no command.
    #[test]
    fn a_hostile_name_stays_a_name(
        name in prop_oneof![
            "[ -~]{1,40}",
            r"(\$\(|`|;|&&|\||>|<|'|\x22|\\|\u{202e}|\u{1b}|-|--|\n){1,6}[a-z/]{1,8}(\)|`|'|\x22)?",
            ".{1,30}",
        ],
    ) {
        let quoted = name.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
        let log = format!(
            "INFO 11-02 10:00:00 [__init__.py:241] Automatically detected platform cuda.\n\
             INFO 11-02 10:00:01 [api_server.py:1805] vLLM API server version 0.10.2\n\
             INFO 11-02 10:00:01 [utils.py:326] non-default args: {{'model': '{quoted}', 'max_model_len': 40960}}\n\
             ERROR 11-02 10:01:00 [core.py:718] ValueError: To serve at least one request with the models's max seq len (40960), \
             (6.25 GiB KV cache is needed, which is larger than the available KV cache memory (6.12 GiB). Based on the available memory, \
             the estimated maximum model length is 40096. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when \
             initializing the engine.\n"
        );
        let report = analyze(log.into_bytes());
        for text in commands(&report).filter(|text| !is_code(text)) {
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c)), "{text:?}");
            let words = shlex::split(&text.replace("\\\n", "")).ok_or_else(|| TestCaseError::fail(text.to_owned()))?;
            prop_assert_eq!(&words[..2], &["vllm".to_owned(), "serve".to_owned()]);
            prop_assert_eq!(words.len(), 5, "{}", text);
            prop_assert_eq!(words[3].as_str(), "--max-model-len");
            prop_assert!(!words[2].starts_with('-'), "{}", text);
        }
    }
}
