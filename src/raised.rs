//! What the place that raised an exception tells, where the wording tells little: the same `ValueError` is a setting in the
//! code that checks settings, a request in the code that answers one, and a defect in a step of the engine.

use crate::facts::{Ends, Fact, FactKind, Strength};
use crate::record::traceback::{Exception, Frame};

/// Rules up to this priority read the class of an exception and the grammar of its message, not what it is about.
const BY_GRAMMAR: i8 = 3;

/// Frames of an embedded interpreter beyond this number are left out.
const MAX_EMBEDDED: usize = 100;

/// Rules from this priority on read a flag, a variable or another name of a setting.
const BY_NAME: i8 = 60;

/// Packages of servers, as their frames name them.
const SERVERS: &[&str] = &["vllm/", "sglang/", "text_generation_server/"];

/// The loops in which an engine does one step after another.
const LOOPS: &[&str] = &[
    "run_busy_loop",
    "run_engine_loop",
    "engine_step",
    "_process_engine_step",
    "execute_model_with_error_logging",
    "run_event_loop",
    "dispatch_event_loop",
    "event_loop_normal",
    "event_loop_overlap",
    "event_loop_pp",
    "forward_thread_func",
];

/// What a loop still does of the start.
const STARTS: &[&str] = &["add_lora", "load_lora_adapter", "update_weights", "collective_rpc"];

/// What answers one request, before the engine sees it.
const HANDLERS: &[&str] = &[
    "create_chat_completion",
    "create_completion",
    "create_embedding",
    "create_responses",
    "create_score",
    "create_rerank",
    "create_pooling",
    "create_classify",
    "create_tokenize",
    "create_transcription",
    "handle_request",
    "_handle_streaming_request",
    "_handle_non_streaming_request",
    "generate_request",
    "score_request",
];

/// Code that checks what was set.
const SETTINGS: &[&str] = &[
    "vllm/config/",
    "vllm/config.py",
    "vllm/engine/arg_utils.py",
    "vllm/utils/argparse_utils.py",
    "vllm/entrypoints/openai/cli_args.py",
    "vllm/envs.py",
    "sglang/srt/server_args.py",
    "sglang/srt/arg_groups/",
    "sglang/srt/configs/model_config.py",
    "sglang/srt/configs/load_config.py",
];

/// Code that reads the configurations of models, one file for each family.
const CONFIGURATIONS: &[&str] = &["vllm/transformers_utils/configs/", "sglang/srt/configs/"];

/// Code that reads what a request asks for.
const REQUESTS: &[&str] = &[
    "vllm/sampling_params.py",
    "vllm/pooling_params.py",
    "vllm/entrypoints/openai/protocol.py",
    "vllm/entrypoints/openai/chat_completion/protocol.py",
    "vllm/entrypoints/openai/completion/protocol.py",
    "vllm/entrypoints/openai/responses/protocol.py",
    "vllm/entrypoints/pooling/",
    "vllm/entrypoints/scale_out/",
    "sglang/srt/entrypoints/openai/protocol.py",
    "sglang/srt/openai_api/",
    "sglang/srt/sampling/sampling_params.py",
    "sglang/srt/managers/io_struct.py",
];

/// What an answer is made of when one request is refused.
const REFUSALS: &[&str] = &["VLLMValidationError", "RequestValidationError", "BadRequestError"];

/// Code that keeps caches, shards and schedules: what it refuses, other code has asked of it.
const INNER: &[&str] = &[
    "vllm/v1/core/",
    "vllm/v1/kv_cache_interface.py",
    "vllm/core/",
    "vllm/compilation/",
    "vllm/distributed/device_communicators/",
    "sglang/srt/mem_cache/allocator",
    "sglang/srt/mem_cache/memory_pool",
    "sglang/srt/mem_cache/unified",
    "sglang/srt/mem_cache/hybrid_cache",
    "sglang/srt/mem_cache/radix_cache",
    "sglang/srt/mem_cache/hiradix_cache",
    "sglang/srt/managers/schedule",
    "sglang/srt/model_executor/runner",
];

/// Code that programs of the user's own call.
const CALLED: &[&str] = &["vllm/entrypoints/", "sglang/lang/", "sglang/srt/entrypoints/"];

/// Settles a guess at what an exception means by where it was raised.
pub fn settle(fact: &mut Fact, exception: &Exception) {
    if fact.strength != Strength::Weak || !is_refusal(exception) {
        return;
    }
    let by_grammar = fact.priority <= BY_GRAMMAR && matches!(fact.kind, FactKind::Argument | FactKind::Internal);
    let Some(raising) = exception.frames.iter().rev().find(|frame| is_of(frame, SERVERS)) else { return };
    let runs = |functions: &[&str]| exception.frames.iter().any(|frame| is_of(frame, SERVERS) && is_one_of(frame, functions));
    if runs(LOOPS) && !runs(STARTS) {
        // The settings and the model were accepted when the server started, and a request was when it came.
        let is_setting = fact.kind == FactKind::Argument && fact.priority < BY_NAME;
        if by_grammar || is_setting || matches!(fact.kind, FactKind::Architecture | FactKind::Parallelism) {
            fact.kind = FactKind::Internal;
            fact.ends = None;
        }
    } else if is_of(raising, REQUESTS) && is_of_words(fact.kind)
        || REFUSALS.iter().any(|class| exception.is(class))
        || runs(HANDLERS) && (by_grammar || fact.kind == FactKind::Argument)
    {
        fact.kind = FactKind::Argument;
        // In a script nobody answers: it ends.
        fact.ends = Some(Ends::Request).filter(|_| !fact.is_uncaught);
    } else if is_of(raising, SETTINGS) && fact.kind == FactKind::NoGpu {
        // What needs another platform is a choice of features, as long as the settings are read.
        fact.kind = FactKind::Argument;
    } else if by_grammar && let Some(kind) = told_by(raising, exception, fact) {
        fact.kind = kind;
        if kind == FactKind::Internal {
            fact.ends = None;
        }
    }
}

/// True for what a request is refused for in many words; what is missing or full is so for every request.
fn is_of_words(kind: FactKind) -> bool {
    matches!(kind, FactKind::Argument | FactKind::Internal | FactKind::Template | FactKind::Quantization | FactKind::Dtype | FactKind::ContextLimit)
}

/// What the code that raised an exception is about, where that says what a refusal of it means.
fn told_by(raising: &Frame, exception: &Exception, fact: &Fact) -> Option<FactKind> {
    // Words of a contract between parts of the program tell of a defect wherever they stand.
    let is_contract = fact.kind == FactKind::Internal && fact.priority > 0;
    let constructs = raising.function.starts_with("__");
    if is_of(raising, SETTINGS) {
        Some(FactKind::Argument)
    } else if is_contract {
        None
    } else if is_of(raising, &["/layers/quantization/"]) {
        Some(FactKind::Quantization)
    } else if is_of(raising, &["/models/"]) && raising.function.contains("load") {
        Some(FactKind::WeightsInvalid)
    } else if is_of(raising, CONFIGURATIONS) || is_of(raising, &["/models/"]) && (constructs || raising.function.contains("config")) {
        // What the model's configuration says, this code was not written for.
        Some(FactKind::Architecture)
    } else if is_of(raising, INNER) && !constructs || exception.is("TypeError") && !is_of(raising, CALLED) {
        Some(FactKind::Internal)
    } else {
        None
    }
}

/// The frames that a C++ program quotes of the Python in it, outermost first: `At: /p/linear.py(130): create_weights …`,
/// the innermost first, with line ends that may be escaped.
pub fn embedded_frames(flat: &str) -> Vec<Frame> {
    let Some((_, list)) = flat.split_once("At:") else { return Vec::new() };
    let list = list.replace(r"\n", " ");
    let mut words = list.split([' ', '"']).filter(|word| !word.is_empty());
    let mut frames = Vec::new();
    while let Some(word) = words.next()
        && frames.len() < MAX_EMBEDDED
    {
        let place = word.strip_suffix("):").and_then(|place| place.rsplit_once('('));
        let Some((path, line)) = place.filter(|(path, _)| path.ends_with(".py")) else { break };
        let (Ok(line), Some(function)) = (line.parse(), words.next()) else { break };
        frames.push(Frame { path: path.to_owned(), line, function: function.to_owned(), code: String::new() });
    }
    frames.reverse();
    frames
}

fn is_of(frame: &Frame, paths: &[&str]) -> bool {
    paths.iter().any(|path| frame.path.contains(path))
}

fn is_one_of(frame: &Frame, functions: &[&str]) -> bool {
    // SGLang has a loop for each way of serving: `event_loop_overlap_disagg_decode`.
    functions.iter().any(|function| frame.function == *function || function.starts_with("event_loop") && frame.function.starts_with(function))
}

/// True for an exception that is raised to refuse something, with words. The others the interpreter raises itself.
fn is_refusal(exception: &Exception) -> bool {
    let class = exception.class.rsplit('.').next().unwrap_or("");
    let by_interpreter = ["AttributeError", "IndexError", "NameError", "UnboundLocalError", "ZeroDivisionError", "RecursionError"];
    let text = exception.text.lines.first().map_or("", |(_, line)| line.as_str());
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_of_a_call = class == "TypeError"
        && says(&["unsupported operand", "object is not", "positional argument", "keyword argument", "NoneType", "not supported between"]);
    let said = text.get(exception.class.len() + 2..).unwrap_or("");
    // A key that was looked up is one word.
    let is_a_key = class == "KeyError" && !said.contains(' ');
    !by_interpreter.contains(&class) && !is_of_a_call && !is_a_key && !said.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Text;

    fn settled(kind: FactKind, said: &str, frames: &[(&str, &str)]) -> (FactKind, Option<Ends>) {
        let frame = |&(path, function): &(&str, &str)| Frame { path: path.to_owned(), function: function.to_owned(), ..Frame::default() };
        let exception = Exception {
            class: said.split(':').next().unwrap_or("").to_owned(),
            text: Text { lines: vec![(1, said.to_owned())] },
            frames: frames.iter().map(frame).collect(),
            is_complete: true,
            ..Exception::default()
        };
        let mut fact = Fact::given(kind, "a-rule", 1, said.to_owned());
        fact.strength = Strength::Weak;
        settle(&mut fact, &exception);
        (fact.kind, fact.ends)
    }

    const OWLS: &str = "ValueError: owls are not supported together with finches";

    #[test]
    fn the_place_tells_what_a_refusal_means() {
        let step = ("/p/vllm/v1/engine/core.py", "run_busy_loop");
        let layer = ("/p/vllm/model_executor/layers/owl.py", "forward");
        assert_eq!(settled(FactKind::Argument, OWLS, &[step, layer]), (FactKind::Internal, None));
        assert_eq!(settled(FactKind::Argument, OWLS, &[layer]), (FactKind::Argument, None));
        let handler = ("/p/sglang/srt/entrypoints/openai/serving_base.py", "handle_request");
        assert_eq!(settled(FactKind::Internal, OWLS, &[handler, layer]), (FactKind::Argument, Some(Ends::Request)));
        let settings = ("/p/sglang/srt/server_args.py", "check_server_args");
        assert_eq!(settled(FactKind::Internal, "AssertionError: owls exclude finches", &[settings]), (FactKind::Argument, None));
        let model = ("/p/vllm/model_executor/models/owl.py", "__init__");
        assert_eq!(settled(FactKind::Argument, OWLS, &[model]), (FactKind::Architecture, None));
        let family = ("/p/sglang/srt/configs/owl.py", "resolve");
        assert_eq!(settled(FactKind::Internal, "KeyError: \"unknown owl 'x'\"", &[family]), (FactKind::Architecture, None));
        let weights = ("/p/sglang/srt/models/owl.py", "load_weights");
        assert_eq!(settled(FactKind::Internal, OWLS, &[weights]), (FactKind::WeightsInvalid, None));
        let quantizer = ("/p/vllm/model_executor/layers/quantization/owl.py", "create_weights");
        assert_eq!(settled(FactKind::Argument, OWLS, &[quantizer]), (FactKind::Quantization, None));
    }

    #[test]
    fn what_the_interpreter_raises_is_no_refusal() {
        let settings = ("/p/vllm/config/model.py", "__post_init__");
        assert_eq!(settled(FactKind::Internal, "KeyError: 'owl'", &[settings]), (FactKind::Internal, None));
        assert_eq!(settled(FactKind::Internal, "TypeError: 'NoneType' object is not iterable", &[settings]), (FactKind::Internal, None));
        assert_eq!(settled(FactKind::Internal, "AssertionError", &[settings]), (FactKind::Internal, None));
    }

    #[test]
    fn frames_of_an_embedded_interpreter_are_read() {
        let text = r"out of memory\n\nAt:\n  /p/vllm/layers/linear.py(130): create_weights\n  /m/model.py(15): initialize\n";
        let frames = embedded_frames(text);
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[1].path.as_str(), frames[1].line, frames[1].function.as_str()), ("/p/vllm/layers/linear.py", 130, "create_weights"));
        assert!(embedded_frames("At: noon (12): lunch").is_empty());
    }

    #[test]
    fn code_of_others_tells_nothing() {
        assert_eq!(settled(FactKind::Argument, OWLS, &[("/app/run.py", "run_busy_loop")]), (FactKind::Argument, None));
    }
}
