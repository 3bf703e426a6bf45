//! Names of models, taken apart. Also used by the build script, which makes the index of the catalogue.

/// The words of a name: split at everything that is no letter or digit, and where a digit follows a letter, so that
/// `Llama3.1`, `llama-3.1` and `Llama_3_1` are the same words.
pub fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in text.chars().take(512) {
        let c = c.to_ascii_lowercase();
        if c.is_alphanumeric() {
            let joined = last.is_alphanumeric() && !(c.is_ascii_digit() && last.is_alphabetic());
            match out.last_mut() {
                Some(word) if joined => word.push(c),
                _ => out.push(c.into()),
            }
        }
        last = c;
    }
    out
}

/// Words that tell apart what a model was trained for, not how large it is.
const VARIANTS: &[&str] = &["instruct", "it", "chat", "base", "pt", "hf", "sft", "dpo", "instruction", "text"];

/// The words without those that do not change a shape.
pub fn bare(words: &[String]) -> Vec<String> {
    words.iter().filter(|word| !VARIANTS.contains(&word.as_str())).cloned().collect()
}

/// Words as a key of the index.
pub fn key(words: &[String]) -> String {
    words.join("-")
}

/// The name of a repository without its owner.
pub fn without_owner(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, name)| name)
}

/// The key of one repository, whatever it was renamed: Llama's names lost their `Meta`.
pub fn own_key(id: &str) -> String {
    let words: Vec<String> = words(id).into_iter().filter(|word| word != "meta").collect();
    key(&words)
}
