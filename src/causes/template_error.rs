//! `template-error`.

use super::*;

/// The chat template failed.
pub const CAUSE: Cause = Cause {
    id: "template-error",
    family: "prompt-template",
    title: "The chat template failed",
    kinds: &[FactKind::Template],
    phase: Some(Phase::Serve),
    doc: "\
A chat template is missing, cannot be parsed, or raised on the messages it was given.

**Recognised by** TGI's `Template error: …`, vLLM's and transformers' words for a tokenizer without a template, jinja2's and
minijinja's exceptions, and the sentences that templates raise themselves (`Conversation roles must alternate …`).

**Fixed by** a template: one that comes with an instruction-tuned model, or a file given to the server (`--chat-template`,
`--tokenizer-config-path`); by messages in the order and roles that the template allows; or by the completions end point for a
base model, which has no chat format.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Template, "the chat template is missing or failed")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(s: &Situation<'_>) -> String {
    let mut text = "The server builds the prompt of a chat request with the model's template, and that failed.".to_owned();
    if s.run.ready.is_some() {
        text += " The server itself stayed up; end points that take a plain prompt are not affected.";
    }
    text
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let flag = match s.engine {
        Some("tgi") => "Give TGI a tokenizer config with a template (`--tokenizer-config-path`)",
        Some("llama.cpp") => "Give llama-server a template (`--chat-template-file`), with `--jinja` where it needs it",
        Some("transformers" | "accelerate" | "bitsandbytes" | "pytorch") => {
            "Give the tokenizer a template (`tokenizer.chat_template = …`, or `chat_template=…` where it is applied)"
        }
        _ => "Give the server a template file (`--chat-template`)",
    };
    vec![
        advice("give-template", flag, "The model's own files have none, or one that this server cannot run.", "The template must be the one the model was trained with."),
        advice("instruct-model", "Use the instruction-tuned model of the family", "Base models have no chat format.", "Another model."),
        advice("fix-messages", "Send the roles in the order that the template allows", "Many templates want user and assistant in turns, and no system role.", "A change in the client."),
    ]
}
