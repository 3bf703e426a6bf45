//! How to keep a failure from coming back, and what to go through before the next start: a table keyed by cause.
//!
//! The words hold for every engine. Where a setting has a flag whose name is certain, `{setting}` in a text becomes
//! the setting's words and, if the deployment says which engine it was, the flag in parentheses.

/// What to do so that it does not come back.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Advice {
    /// How to keep it from coming back.
    pub prevention: Vec<String>,
    /// What to go through before the next start.
    pub checklist: Vec<String>,
}

/// A row of the table: a cause or family, prevention, checklist.
struct Row(&'static str, &'static [&'static str], &'static [&'static str]);

/// A setting: its key, its words, and its flag in each engine where that is certain.
struct Setting(&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SETTINGS: &[Setting] = &[
    Setting(
        "prefill",
        "the token budget of one prefill",
        &[
            ("tgi", "--max-batch-prefill-tokens"),
            ("vllm", "--max-num-batched-tokens"),
            ("sglang", "--chunked-prefill-size"),
            ("llama.cpp", "--ubatch-size"),
            ("lmdeploy", "--max-prefill-token-num"),
        ],
    ),
    Setting(
        "context",
        "the context length",
        &[
            ("tgi", "--max-total-tokens"),
            ("vllm", "--max-model-len"),
            ("sglang", "--context-length"),
            ("llama.cpp", "--ctx-size"),
            ("ollama", "OLLAMA_CONTEXT_LENGTH"),
            ("lmdeploy", "--session-len"),
        ],
    ),
    Setting(
        "concurrency",
        "the number of requests at a time",
        &[
            ("tgi", "--max-concurrent-requests"),
            ("vllm", "--max-num-seqs"),
            ("sglang", "--max-running-requests"),
            ("llama.cpp", "--parallel"),
            ("ollama", "OLLAMA_NUM_PARALLEL"),
            ("lmdeploy", "--max-batch-size"),
        ],
    ),
    Setting(
        "fraction",
        "the fraction of memory that the engine takes",
        &[
            ("tgi", "--cuda-memory-fraction"),
            ("vllm", "--gpu-memory-utilization"),
            ("sglang", "--mem-fraction-static"),
            ("lmdeploy", "--cache-max-entry-count"),
        ],
    ),
    Setting(
        "quantization",
        "the quantization",
        &[
            ("tgi", "--quantize"),
            ("vllm", "--quantization"),
            ("sglang", "--quantization"),
            ("transformers", "quantization_config"),
            ("bitsandbytes", "quantization_config"),
        ],
    ),
    Setting("graphs", "graph capture", &[("tgi", "--cuda-graphs"), ("vllm", "--enforce-eager"), ("sglang", "--disable-cuda-graph")]),
    Setting(
        "parallel",
        "the tensor-parallel size",
        &[("tgi", "--num-shard"), ("vllm", "--tensor-parallel-size"), ("sglang", "--tp-size"), ("lmdeploy", "--tp")],
    ),
    Setting("dtype", "the data type", &[("tgi", "--dtype"), ("vllm", "--dtype"), ("sglang", "--dtype"), ("lmdeploy", "--dtype")]),
    Setting(
        "template",
        "the chat template",
        &[("vllm", "--chat-template"), ("sglang", "--chat-template"), ("llama.cpp", "--chat-template-file"), ("lmdeploy", "--chat-template")],
    ),
    Setting(
        "trust",
        "the consent to the model's own code",
        &[("tgi", "--trust-remote-code"), ("vllm", "--trust-remote-code"), ("sglang", "--trust-remote-code"), ("transformers", "trust_remote_code")],
    ),
    Setting("layers", "the number of layers on the GPU", &[("llama.cpp", "--n-gpu-layers"), ("ollama", "num_gpu"), ("transformers", "device_map")]),
    Setting("port", "the port", &[("tgi", "--port"), ("vllm", "--port"), ("sglang", "--port"), ("llama.cpp", "--port"), ("ollama", "OLLAMA_HOST")]),
];

const TABLE: &[Row] = &[
    // Device memory.
    Row(
        "weight-oom",
        &[
            "Compute weights before choosing a card: parameters times bytes for each, in GiB, plus about a tenth for what the engine adds.",
            "Pin {quantization} and {dtype} in the deployment instead of leaving them to defaults.",
            "Let the deployment ask for a GPU by its memory, so that it cannot be scheduled on a smaller one.",
        ],
        &[
            "The weights at this data type and quantization fit into one device's share, with room for the cache.",
            "No other process holds memory on the device.",
            "What is on disk is what was meant: a checkpoint that is already quantized, or one that is not.",
            "{parallel} matches the number of devices that the container sees.",
        ],
    ),
    Row(
        "prefill-oom",
        &[
            "Size {prefill} for the memory that is left after the weights, not for the model's longest context.",
            "Keep the limits consistent: input, total and prefill tokens are checked against one another at start.",
            "Start with the longest prompt you allow as a test before users do.",
        ],
        &[
            "{prefill} is no larger than what the free memory holds.",
            "{context} is what users need, not the model's maximum.",
            "Weights leave at least a tenth of the device for cache and activations.",
            "Images and other inputs that prefill more than text are limited too.",
        ],
    ),
    Row(
        "kv-cache-oom",
        &[
            "Set {context} explicitly: the default is the model's maximum, which is often far more than is used.",
            "Compute the cache for one full context when the model or the card changes.",
            "Watch the cache's size in the start-up log and alert when it shrinks.",
        ],
        &[
            "The cache left after weights holds at least one full context.",
            "{context} is what users need.",
            "{fraction} is as high as the device allows, and no other process shares the device.",
            "A smaller data type for the cache was considered.",
        ],
    ),
    Row(
        "sampler-oom",
        &[
            "Size {concurrency} for the vocabulary: logits take sequences times vocabulary times 4 bytes.",
            "Leave headroom next to the cache: {fraction} should not take all that is left.",
        ],
        &[
            "{concurrency} is what the load needs.",
            "{fraction} leaves room for a sampling step.",
            "Log-probabilities are limited where clients may ask for them.",
        ],
    ),
    Row(
        "graph-capture-oom",
        &["Leave headroom for graphs: {fraction} decides what is left when capture begins.", "Capture only the batch sizes that are used."],
        &[
            "{fraction} leaves room for graphs.",
            "{graphs}: the start was tried without it, to see whether the rest fits.",
            "{concurrency} is not larger than the load needs.",
        ],
    ),
    Row(
        "inference-oom",
        &[
            "Bound what a request may ask for: {context}, new tokens, batch size, image size.",
            "Record the peak of memory under load, not only after start.",
            "In scripts, generate without gradients and release what is not used between calls.",
        ],
        &[
            "{concurrency} and {context} are bounded for the memory that is left.",
            "The longest allowed request was tried alone, and as many at once as are allowed.",
            "Memory does not climb from request to request.",
        ],
    ),
    Row(
        "training-oom",
        &[
            "Estimate a step before a run: weights, gradients, optimizer state and activations at the longest sequence.",
            "Try the longest batch first, so that a run fails in its first minute and not after hours.",
        ],
        &[
            "Batch size for each device times accumulation steps gives the batch that was meant.",
            "Activations are recomputed (gradient checkpointing) where memory is short.",
            "Optimizer state fits: sharded, in fewer bits, or offloaded.",
            "Sequences are cut to a length that fits.",
        ],
    ),
    Row(
        "fragmentation-oom",
        &[
            "Use the allocator's expandable segments where the PyTorch version has them.",
            "Keep shapes few: bounded sequence lengths and batch sizes fragment less.",
        ],
        &[
            "Reserved-but-unallocated memory stays small over a run.",
            "The allocator's settings are in the process's environment, not only in the shell's.",
            "The same happens with a smaller batch, or it does not.",
        ],
    ),
    Row(
        "gpu-occupied",
        &[
            "Give one device to one engine, or give each its share explicitly: {fraction}.",
            "Let the supervisor wait until an earlier process has ended before it starts the next.",
        ],
        &[
            "The device's process list is empty before the start.",
            "No process of an earlier run is left.",
            "{fraction} times the device's memory is below what is free.",
            "The container sees the device that was meant.",
        ],
    ),
    // Host memory and storage.
    Row(
        "host-oom",
        &[
            "Give the container a memory limit that holds the load's peak, which can be the size of the whole checkpoint.",
            "Prefer safetensors: other formats are read into host memory first.",
        ],
        &[
            "The limit of the container or cgroup is above the checkpoint's size.",
            "Swap and caches that the engine reserves in host memory are counted.",
            "Nothing else on the host needs the memory while models load.",
        ],
    ),
    Row(
        "shm-exhausted",
        &["Set the size of shared memory in the deployment, not by hand.", "Bound the workers that share it."],
        &["/dev/shm in the container has at least 1 GiB for several GPUs.", "Nothing else fills it."],
    ),
    Row(
        "disk-full",
        &["Put caches of models and compilers on a volume of their own, with an alert.", "Remove models that are no longer served."],
        &[
            "The volume has room for the checkpoint twice: the download and what is made of it.",
            "The cache's path is on that volume.",
            "Incomplete downloads were removed.",
        ],
    ),
    // Placement and offload.
    Row(
        "meta-tensor-offload",
        &[
            "Do not move a model that was placed by a device map.",
            "Check after loading where the layers are, and refuse to start if some are nowhere.",
        ],
        &[
            "{layers}: the whole model fits where it is placed, or offloading is meant and supported.",
            "Nothing calls `.to()` on a model that was dispatched.",
            "Every parameter has data after loading.",
        ],
    ),
    Row(
        "quantized-offload-refused",
        &["Choose a quantization with which the whole model fits on the GPU.", "Set the memory that placement may use explicitly."],
        &[
            "{layers}: no module is placed on CPU or disk.",
            "The device has as much free memory as placement counts on.",
            "If offload is meant, the quantizer's own switch for it is set.",
        ],
    ),
    Row(
        "device-mismatch",
        &["Take the device from the model where inputs are made, never a constant.", "Test with the placement that production has."],
        &[
            "Inputs are on the device of the layer that takes them.",
            "Device strings are valid: a type and an index.",
            "Adapters and buffers moved together with the model.",
        ],
    ),
    // Prompt template.
    Row(
        "template-error",
        &["Send one chat request as part of the readiness check.", "Keep the template with the deployment when the model brings none."],
        &[
            "The tokenizer's configuration has a chat template, or {template} is given.",
            "Roles and their order are what the template accepts.",
            "Base models are asked for completions, not for chats.",
        ],
    ),
    // Numbers.
    Row(
        "integer-overflow",
        &[
            "Bound lengths and batch sizes below 32-bit limits of elements.",
            "Validate token ids against the vocabulary before they reach the engine.",
        ],
        &[
            "Engine and quantization library are at versions that are known to work together.",
            "The output does not repeat endlessly before the failure.",
            "It fails without quantization too, or it does not.",
        ],
    ),
    Row(
        "nan-logits",
        &[
            "Run in the data type that the model was trained in.",
            "Compare a known prompt's output after each change of version, data type or quantization.",
        ],
        &["{dtype} is the checkpoint's own.", "The weights' checksums are right.", "It happens with other prompts, or with one only."],
    ),
    // Configuration.
    Row(
        "context-limit-config",
        &["Set the limits together and keep them in one place.", "Tell clients the limits, and cut or refuse prompts before the engine does."],
        &[
            "{context} is within what the model was made for.",
            "{prefill} and the limits of input and total tokens do not contradict one another.",
            "Prompt plus new tokens stay below the context length.",
        ],
    ),
    Row(
        "parallelism-config",
        &["Derive the sizes from the devices that the container really sees."],
        &[
            "{parallel} divides the model's attention heads.",
            "The product of the parallel sizes is the number of devices.",
            "All devices are visible to the process.",
        ],
    ),
    Row(
        "quantization-unsupported",
        &[
            "Test a checkpoint with the engine's version and the GPU before it is deployed.",
            "Leave {quantization} out where the checkpoint says it itself.",
        ],
        &[
            "{quantization} is the one that the checkpoint was made with.",
            "The GPU's compute capability is enough for the kernel.",
            "Layer shapes divide by the group size, also with tensor parallelism.",
        ],
    ),
    Row(
        "dtype-unsupported",
        &["Set {dtype} for the oldest GPU in the fleet."],
        &["The GPU's compute capability supports {dtype}.", "The model tolerates another data type."],
    ),
    Row(
        "model-unsupported",
        &["Pin engine and library versions, and raise them before a new model is deployed."],
        &[
            "The engine's version lists the architecture.",
            "The model's configuration was not made for a newer library.",
            "The checkpoint is in a format that the engine reads.",
        ],
    ),
    Row(
        "remote-code-refused",
        &["Review and pin the revision of models that bring their own code.", "Prefer models that the library supports natively."],
        &["The model's code was read.", "{trust} is given on purpose.", "The revision is pinned."],
    ),
    Row(
        "invalid-argument",
        &["Check the command line against the engine's own help when its version changes.", "Pin the image by version, not by a moving tag."],
        &[
            "The flag exists in this version of this engine.",
            "The value has the type and range that it asks for.",
            "Quoting survives the shell and the deployment's format.",
        ],
    ),
    // Model files and hub.
    Row(
        "model-auth",
        &[
            "Keep the token in the platform's secret store and check its access when the deployment is made.",
            "Serve gated models from a mirror or a local path.",
        ],
        &[
            "The model's terms were accepted by the account that the token belongs to.",
            "The token reaches the process's environment.",
            "The token is valid and may read this repository.",
        ],
    ),
    Row(
        "model-download",
        &["Fetch models before the start, and start from a local path.", "Pin the revision."],
        &[
            "Name and revision exist on the hub.",
            "The host reaches the hub, also through its proxy.",
            "Rate limits and time-outs leave room for the files' size.",
        ],
    ),
    Row(
        "weights-invalid",
        &["Verify checksums after downloads.", "Write checkpoints to a temporary name and rename them when they are complete."],
        &["All shards that the index names are there.", "File sizes are those on the hub.", "The configuration belongs to these weights."],
    ),
    // Platform.
    Row(
        "cuda-unavailable",
        &["Run a device query as the first step of the start.", "Keep driver and runtime versions of the fleet together."],
        &[
            "The host sees the GPU.",
            "The container was started with access to it.",
            "The driver is new enough for the image's CUDA.",
            "No variable hides the devices.",
        ],
    ),
    Row(
        "gpu-arch-unsupported",
        &["Choose images and wheels for the GPUs of the fleet."],
        &[
            "The build lists this GPU's compute capability.",
            "Extensions compiled apart were built for it too.",
            "A kernel for older GPUs can be chosen.",
        ],
    ),
    Row(
        "cuda-fault",
        &[
            "Pin engine, kernels and driver to versions that were tested together.",
            "Keep the failing request, if it may be kept, to reproduce the fault.",
        ],
        &[
            "It happens again with the same input.",
            "Token ids and positions are in range.",
            "It happens with synchronous launches too, which name the right kernel.",
            "The kernel's log shows no Xid.",
        ],
    ),
    Row(
        "collective-failure",
        &["Set time-outs for the slowest load, and collect every rank's log.", "Test the interconnect before the engine."],
        &[
            "Every rank's log was read: the first to fail is the one that counts.",
            "Ranks reach one another on the interface that is used.",
            "Shared memory is large enough.",
        ],
    ),
    Row(
        "gpu-hardware",
        &["Watch Xid and ECC counters and drain a node that shows them."],
        &[
            "The node was drained.",
            "Driver and firmware are current.",
            "Temperature, power and seating were checked.",
            "The device was replaced if it happens again.",
        ],
    ),
    Row(
        "missing-dependency",
        &["Build an image with locked versions instead of installing at start."],
        &[
            "The module is installed in the environment that runs.",
            "Its version fits the others.",
            "Compilers and headers are there if something compiles at start.",
        ],
    ),
    Row(
        "port-in-use",
        &["Let the platform assign ports, or reserve them."],
        &["No earlier process still listens.", "{port} is free on the address that is bound.", "Restarts wait until the old process has ended."],
    ),
    Row(
        "internal-error",
        &["Stay on releases that were tested, and read the known issues before an upgrade.", "Keep a minimal case that shows the defect."],
        &[
            "It is not fixed in a later release.",
            "It happens with optional features turned off.",
            "A report to the project holds version, command and traceback.",
        ],
    ),
    // Operation.
    Row(
        "overload",
        &["Scale on queue length and cache use, not on GPU use.", "Refuse early: a bounded queue with a clear answer is better than time-outs."],
        &[
            "{concurrency} fits the cache.",
            "Time-outs of clients and proxies are longer than the slowest answer.",
            "Long requests cannot starve short ones.",
        ],
    ),
    Row(
        "terminated",
        &["Give start-up probes the time that loading takes on a cold cache.", "Log who stops a process, and why."],
        &[
            "The probe's limits are longer than the slowest start.",
            "The scheduler's or operator's events say who sent the signal.",
            "Work in progress gets time to finish.",
        ],
    ),
    // No cause.
    Row(
        "unknown",
        &[
            "Keep the whole log, standard error included, until the next start.",
            "Collect the kernel's and the orchestrator's logs next to the engine's.",
        ],
        &[
            "The log holds the first failing run from its start.",
            "Standard error is in the log.",
            "The kernel's log was searched for the out-of-memory killer and for Xid.",
            "The exit code is known.",
        ],
    ),
    Row("healthy", &[], &[]),
    // Families, for causes that the table does not know.
    Row(
        "device-memory",
        &["Compute weights, cache and activations before the model or the card changes."],
        &["No other process holds memory on the device.", "{context} and {concurrency} are what is needed.", "{fraction} is set on purpose."],
    ),
    Row(
        "configuration",
        &["Keep flags in one place and under review."],
        &["The flags exist in this version.", "They do not contradict one another."],
    ),
];

/// What a cause calls for; its family's row where the cause has none.
pub fn for_cause(cause: &str, family: &str, engine: Option<&str>) -> Advice {
    let find = |key: &str| TABLE.iter().find(|row| row.0 == key);
    let Some(row) = find(cause).or_else(|| find(family)) else { return Advice::default() };
    let fill = |texts: &[&str]| texts.iter().map(|text| expand(text, engine)).collect();
    Advice { prevention: fill(row.1), checklist: fill(row.2) }
}

/// A text with its settings named.
fn expand(text: &str, engine: Option<&str>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((key, after)) = after.split_once('}') else { break };
        out.push_str(before);
        if let Some(setting) = SETTINGS.iter().find(|s| s.0 == key) {
            let mut words = setting.1.to_owned();
            if out.is_empty() {
                words = super::words::heading(&words);
            }
            out.push_str(&words);
            if let Some((_, flag)) = setting.2.iter().find(|(name, _)| Some(*name) == engine) {
                out.push_str(" (`");
                out.push_str(flag);
                out.push_str("`)");
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_names_settings_that_exist() {
        for Row(key, prevention, checklist) in TABLE {
            for text in prevention.iter().chain(*checklist) {
                let mut rest = *text;
                while let Some((_, after)) = rest.split_once('{') {
                    let name = after.split('}').next().unwrap_or_default();
                    assert!(SETTINGS.iter().any(|s| s.0 == name), "{key}: {name}");
                    rest = after;
                }
                assert!(!text.contains('!'), "{key}: {text}");
                assert!(text.ends_with('.'), "{key}: {text}");
            }
        }
    }

    #[test]
    fn the_engine_decides_the_flag() {
        let text = |engine| for_cause("prefill-oom", "device-memory", engine).checklist.first().cloned();
        assert_eq!(
            text(Some("tgi")).as_deref(),
            Some("The token budget of one prefill (`--max-batch-prefill-tokens`) is no larger than what the free memory holds.")
        );
        assert_eq!(text(None).as_deref(), Some("The token budget of one prefill is no larger than what the free memory holds."));
    }

    #[test]
    fn an_unknown_cause_falls_back_to_its_family() {
        assert!(!for_cause("brand-new", "device-memory", None).checklist.is_empty());
        assert_eq!(for_cause("brand-new", "brand-new", None), Advice::default());
    }
}
