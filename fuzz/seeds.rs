//! Inputs that the fuzz targets begin with, made from the fixtures, the signatures and the catalogue: the same each time.

use std::fs;
use std::path::{Path, PathBuf};

use oomdoc::signatures::{SIGNATURES, format};

/// No seed is longer: short ones are changed and run more often.
const LONGEST: usize = 8 * 1024;

/// The seeds of a target; `root` is the repository.
pub fn of(target: &str, root: &Path) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = match target {
        "source" => sources(root),
        "gate" | "pipeline" => logs(root).into_iter().map(|log| [vec![100], log].concat()).collect(),
        "records" | "messages" | "secrets" => logs(root),
        "watch" => logs(root).into_iter().map(|log| log.chunks(700).map(|part| [part, b"\n\x07"].concat()).collect::<Vec<_>>().concat()).collect(),
        "patterns" => patterns(root),
        "dumps" => dumps(root),
        "command" => commands(),
        "quoting" => ["\0\x01it's", "\x03\0\x01\x01a b\0\0\x02\x01$(x)", "\x01\x01\"`\\\0\x01\u{202e}"].map(|text| text.as_bytes().to_vec()).to_vec(),
        "reports" => reports(),
        "model_files" => model_files(root),
        "catalogue" => catalogue(root),
        "rules" => rules(root),
        "fit" => (0..=255).step_by(5).map(|n| (0..40).map(|at: u8| at.wrapping_mul(n).wrapping_add(n)).chain(*b"fp8\0").collect()).collect(),
        "ledger" => (0..60_u8).map(|n| (0..120).map(|at: u8| at.wrapping_mul(7).wrapping_add(n.wrapping_mul(13)) % 97 + 1).collect()).collect(),
        "follow" => (0..40_u8).map(|n| (0..32).map(|at: u8| at.wrapping_mul(n).wrapping_add(31)).collect()).collect(),
        _ => Vec::new(),
    };
    if target == "secrets" {
        seeds.extend((1..9).map(|kind| {
            format!("HF_TOKEN={kind} {} --api-key=\"{}\"\n{{'a': '{}'}}", kind as u8 as char, kind as u8 as char, kind as u8 as char).into_bytes()
        }));
    }
    seeds.iter_mut().for_each(|seed| seed.truncate(LONGEST));
    seeds.sort();
    seeds.dedup();
    seeds
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()).collect()).unwrap_or_default();
    paths.sort();
    paths
}

/// Two logs of each cause.
fn logs(root: &Path) -> Vec<Vec<u8>> {
    let of_cause = |cause: PathBuf| {
        let logs = sorted(&cause).into_iter().filter_map(|case| fs::read(case.join("input.log")).ok());
        logs.filter(|log| log.len() <= LONGEST).take(2).collect::<Vec<_>>()
    };
    sorted(&root.join("fixtures")).into_iter().flat_map(of_cause).collect()
}

fn sources(root: &Path) -> Vec<Vec<u8>> {
    use std::io::Write as _;
    let mut seeds = Vec::new();
    for (log, pieces) in logs(root).into_iter().step_by(9).zip(1..) {
        let log = &log[..log.len().min(1500)];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let packed = gzip.write_all(log).and_then(|()| gzip.finish()).unwrap_or_default();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        let squeezed = bzip2.write_all(log).and_then(|()| bzip2.finish()).unwrap_or_default();
        let zstd = ruzstd::encoding::compress_to_vec(log, ruzstd::encoding::CompressionLevel::Fastest);
        let wide: Vec<u8> = String::from_utf8_lossy(log).encode_utf16().flat_map(u16::to_le_bytes).collect();
        let cut = packed[..packed.len() / 2].to_vec();
        seeds.extend([log.to_vec(), packed, squeezed, zstd, wide, cut].map(|bytes| [vec![pieces], bytes].concat()));
    }
    seeds
}

/// Every signature's examples behind its number.
fn patterns(root: &Path) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for file in entries(root) {
        for entry in file.signature {
            let Some(at) = SIGNATURES.iter().position(|signature| signature.id == entry.id) else { continue };
            let number = u16::try_from(at).unwrap_or_default().to_be_bytes();
            seeds.extend(entry.example.all().iter().map(|text| [number.as_slice(), text.as_bytes()].concat()));
        }
    }
    seeds
}

fn entries(root: &Path) -> Vec<format::File> {
    sorted(&root.join("src/signatures")).iter().filter_map(|path| toml::from_str(&fs::read_to_string(path).ok()?).ok()).collect()
}

/// The lines of logs that print arguments.
fn dumps(root: &Path) -> Vec<Vec<u8>> {
    let shown = ["Namespace(", "Args {", "ServerArgs(", "args: {", "config: model=", "docker run", "vllm serve", "args={"];
    let mut seeds = Vec::new();
    for log in logs(root) {
        let text = String::from_utf8_lossy(&log).into_owned();
        for line in text.lines() {
            if let Some(at) = shown.iter().filter_map(|word| line.find(word)).min() {
                seeds.push(line.as_bytes()[at..].to_vec());
            }
        }
    }
    seeds
}

const COMPOSE: &str = "services:\n  llm:\n    image: vllm/vllm-openai:v0.10.2\n    command: --model acme/owl-7b --max-model-len 8192\n    environment:\n      HF_HOME: /data\n    shm_size: 1g\n";
const MANIFEST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: llm\nspec:\n  template:\n    spec:\n      containers:\n        - name: tgi\n          image: ghcr.io/huggingface/text-generation-inference:2.4.1\n          args: [\"--model-id\", \"acme/owl-7b\"]\n";
const INSPECT: &str = r#"[{"Config": {"Image": "lmsysorg/sglang:v0.4.9", "Cmd": ["python3", "-m", "sglang.launch_server", "--model-path", "acme/owl-7b"], "Env": ["HF_HOME=/data"]}, "HostConfig": {"ShmSize": 67108864}}]"#;

fn commands() -> Vec<Vec<u8>> {
    let lines = [
        "docker run --gpus all --shm-size 1g -p 8080:80 -e HF_TOKEN=x -v $PWD/data:/data \\\n ghcr.io/huggingface/text-generation-inference:2.4.1 --model-id acme/owl-7b --max-total-tokens=8192",
        "vllm serve acme/owl-7b --max-model-len 8192 --gpu-memory-utilization 0.9",
        "python3 -m vllm.entrypoints.openai.api_server --model 'acme/owl 7b' --hf-overrides '{\"a\": \"it'\\''s\"}'",
        "CUDA_VISIBLE_DEVICES=0 llama-server -m \"$HOME/models/owl.gguf\" -ngl 99 -c 8192",
        "sudo docker run -d vllm/vllm-openai:v0.10.2 --model acme/owl-7b",
        "python -m sglang.launch_server --model-path acme/owl-7b --tp 2",
        "OLLAMA_CONTEXT_LENGTH=8192 ollama serve",
        "accelerate launch --num_processes 2 train.py --lr 1e-4",
        "sh -c 'vllm serve acme/owl-7b'",
        "text-generation-launcher --model-id acme/owl-7b --quantize awq",
    ];
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (text, kind) in lines.iter().map(|line| (*line, 0)).chain([(COMPOSE, 2), (MANIFEST, 3), (INSPECT, 4)]) {
        seeds.push([&[kind, 0], text.as_bytes()].concat());
        seeds.push([&[kind, 2], b"\x004096\0\x02acme/crow-3b\0".as_slice(), text.as_bytes()].concat());
        if kind == 0 {
            seeds.push([&[1, 0], text.as_bytes()].concat());
        }
    }
    seeds
}

/// Text that wants to be more than text, in every field in turn.
fn reports() -> Vec<Vec<u8>> {
    let fragments = [
        "\u{1b}[2J\u{1b}]0;x\u{7}",
        "<script>x()</script>",
        "\"><img src=x onerror=x()>",
        "```\n<x>\n```",
        "[x](javascript:x()) ![x](http://x.example/x.png)",
        "<http://x.example/> www.x.example x@x.example https://x.example/a",
        "\n# x\n\n- x\n\n> x\n\n---\n",
        "\u{202e}x\u{200b}\u{ad}\u{2028}",
        "| x | `x` ~~x~~ *x* [^x]",
        "{{ x }} {% x %} &lt;x&gt; &#60;",
        "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}",
        "[x]: http://x.example\n[x]",
        "    <x>\n\t<y>",
        "1. x\n2) y\n+ z\n===\n",
        "\\<x\\> \\`x` \\\\<x>",
    ];
    (0..fragments.len()).map(|from| (0..40).map(|at| fragments[(from + at) % fragments.len()]).collect::<Vec<_>>().join("\0").into_bytes()).collect()
}

/// A GGUF file of these numbers and texts, with one tensor.
fn gguf() -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let numbers = [
        ("llama.block_count", 2_u32),
        ("llama.embedding_length", 64),
        ("llama.attention.head_count", 4),
        ("llama.context_length", 2048),
        ("general.file_type", 15),
    ];
    let mut out = [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &1_u64.to_le_bytes(), &(numbers.len() as u64 + 2).to_le_bytes()].concat();
    out.extend([text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text("llama")].concat());
    out.extend(
        [
            text("tokenizer.ggml.tokens"),
            9_u32.to_le_bytes().to_vec(),
            8_u32.to_le_bytes().to_vec(),
            2_u64.to_le_bytes().to_vec(),
            text("a"),
            text("b"),
        ]
        .concat(),
    );
    for (key, number) in numbers {
        out.extend([text(key), 4_u32.to_le_bytes().to_vec(), number.to_le_bytes().to_vec()].concat());
    }
    out.extend(
        [
            text("blk.0.attn_q.weight"),
            2_u32.to_le_bytes().to_vec(),
            64_u64.to_le_bytes().to_vec(),
            64_u64.to_le_bytes().to_vec(),
            12_u32.to_le_bytes().to_vec(),
            0_u64.to_le_bytes().to_vec(),
        ]
        .concat(),
    );
    out
}

fn model_files(root: &Path) -> Vec<Vec<u8>> {
    let header = br#"{"__metadata__":{"format":"pt"},"model.embed_tokens.weight":{"dtype":"BF16","shape":[100,64],"data_offsets":[0,12800]},"lm_head.weight":{"dtype":"F8_E4M3","shape":[100,64],"data_offsets":[12800,19200]}}"#;
    let safetensors = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    let index = br#"{"metadata": {"total_size": 12800}, "weight_map": {"a": "model.safetensors", "b": "../x.safetensors"}}"#.to_vec();
    let mut seeds = vec![[vec![1, 0], safetensors].concat(), [vec![2, 1], index].concat(), [vec![3, 3], gguf()].concat()];
    for (text, engine) in models(root).into_iter().step_by(12).zip(0_u8..) {
        let entry: Option<toml::Value> = toml::from_str(&text).ok();
        let config = entry.as_ref().and_then(|entry| entry.get("model")?.get(0)?.get("config").cloned());
        if let Some(config) = config.and_then(|config| serde_json::to_vec(&config).ok()) {
            seeds.push([vec![0, engine], config].concat());
        }
    }
    seeds
}

/// The entries of the catalogue, each as a file.
fn models(root: &Path) -> Vec<String> {
    let files = sorted(&root.join("src/memory/catalogue")).into_iter().filter_map(|path| fs::read_to_string(path).ok());
    files.flat_map(|text| text.split("[[model]]").skip(1).map(|entry| format!("[[model]]{entry}")).collect::<Vec<_>>()).collect()
}

fn catalogue(root: &Path) -> Vec<Vec<u8>> {
    let names = ["acme/owl-7b-awq", "RTX 4090", "24GiB", "Qwen/Qwen2.5-7B-Instruct", "1g.10gb", "M2 Max 64GB", "Q4_K_M"];
    let devices = "NVIDIA GeForce RTX 4090, 24564, 300, 8.9\nNVIDIA A100-SXM4-80GB, 81920, 4, 8.0\n";
    let mut seeds = vec![format!("H100\0{devices}").into_bytes()];
    for (entry, at) in models(root).into_iter().step_by(15).zip(0..) {
        seeds.push(format!("{}\0{entry}", names[at % names.len()]).into_bytes());
    }
    seeds
}

fn rules(root: &Path) -> Vec<Vec<u8>> {
    let own = "[[signature]]\nid = \"own-1\"\nanchor = \"FrobnicatorError\"\npattern = 'FrobnicatorError: the (?P<what>\\w+)'\nfact = \"custom\"\ncause = \"disk-full\"\nexample = \"FrobnicatorError: the disk\"\ncounter = \"no\"\n";
    let mut seeds = vec![format!("FrobnicatorError: the disk\0{own}").into_bytes()];
    for path in sorted(&root.join("src/signatures")) {
        let text = fs::read_to_string(path).unwrap_or_default();
        for entry in text.split("[[signature]]").skip(1).step_by(25) {
            let entry = entry.split("[[frame]]").next().unwrap_or_default();
            seeds.push(format!("ERROR it failed\0[[signature]]{entry}").into_bytes());
        }
    }
    seeds
}
