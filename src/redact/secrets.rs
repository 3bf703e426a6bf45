//! The ways to know a secret, as data: the build script compiles the expressions, `redact` applies them.

/// Names whose value is always a secret.
pub const STRICT: &str = r"api[-_.]?keys?|access[-_]?token|auth[-_]?token|refresh[-_]?token|id[-_]token|session[-_]?token|security[-_]?token|bearer[-_]?token|hf[-_]?token|hub[-_]?token|hugging[-_]?face[-_]?(?:hub[-_]?)?token|github[-_]?token|gitlab[-_]?token|slack[-_]?token|secret[-_]?access[-_]?key|secret[-_]?key|client[-_]?secret|private[-_]?key|access[-_]?key|account[-_]?key|password|passwd|passphrase";

/// Names whose value is a secret if it looks like one.
pub const LOOSE: &str = r"token|secret|credentials?|auth|license[-_]?key";

/// One way to know a secret.
pub struct Rule {
    /// Lower-case literals, one of which is in every text that the rule applies to.
    pub anchors: &'static [&'static str],
    /// The expression; `STRICT` and `LOOSE` are replaced.
    pub pattern: &'static str,
    /// How to mask a match.
    pub mask: Mask,
}

/// How a match is masked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Group `hint` stays, the rest of the match is masked.
    Hint,
    /// The same, but only if the match, without its hint, looks random.
    Random,
    /// Groups `value*` are masked, what surrounds them stays; values that are no secrets stay too.
    Value,
    /// The same, but only values that look like secrets.
    Looks,
}

/// Short for a rule.
const fn rule(anchors: &'static [&'static str], pattern: &'static str, mask: Mask) -> Rule {
    Rule { anchors, pattern, mask }
}

/// The rules, in the order in which they are applied: whole blocks and shapes first, names last.
pub static RULES: [Rule; 28] = [
    rule(
        &["private key"],
        r"(?P<hint>-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)(?:[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\,:-]*)",
        Mask::Hint,
    ),
    rule(&["eyj"], r"\b(?P<hint>eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?", Mask::Hint),
    rule(&["hf_"], r"\b(?P<hint>hf_)(?:[A-Za-z0-9]{16,}|[A-Za-z0-9]{6,}(?:…|\.\.\.))", Mask::Random),
    rule(&["api_org_"], r"\b(?P<hint>api_org_)[A-Za-z0-9]{10,}", Mask::Random),
    rule(&["sk-"], r"\b(?P<hint>sk-(?:ant-(?:api\d\d-|admin\d\d-)?|proj-|svcacct-|admin-|or-v1-|lf-)?)[A-Za-z0-9_-]{16,}", Mask::Random),
    rule(&["sk_", "rk_"], r"\b(?P<hint>[sr]k_(?:live|test)_)[A-Za-z0-9]{16,}", Mask::Hint),
    rule(&["gsk_", "pplx-", "r8_"], r"\b(?P<hint>gsk_|pplx-|r8_)[A-Za-z0-9]{24,}", Mask::Random),
    rule(&["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"\b(?P<hint>gh[pousr]_)[A-Za-z0-9]{20,}", Mask::Hint),
    rule(&["github_pat_"], r"\b(?P<hint>github_pat_)[A-Za-z0-9_]{20,}", Mask::Hint),
    rule(&["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-"], r"\b(?P<hint>gl(?:pat|dt|rt|cbt|ptt)-)[A-Za-z0-9_.-]{16,}", Mask::Hint),
    rule(&["xox", "xapp-"], r"\b(?P<hint>xox[a-z]-|xapp-)[A-Za-z0-9-]{10,}", Mask::Hint),
    rule(&["hooks.slack.com"], r"(?P<hint>hooks\.slack\.com/(?:services|workflows)/)[A-Za-z0-9_/-]{10,}", Mask::Hint),
    rule(&["aiza"], r"\b(?P<hint>AIza)[A-Za-z0-9_-]{30,}", Mask::Hint),
    rule(&["ya29.", "gocspx-"], r"\b(?P<hint>ya29\.|GOCSPX-)[A-Za-z0-9_-]{20,}", Mask::Hint),
    rule(&["akia", "asia", "aroa", "aida"], r"\b(?P<hint>AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b", Mask::Hint),
    rule(&["nvapi-"], r"\b(?P<hint>nvapi-)[A-Za-z0-9_-]{20,}", Mask::Hint),
    rule(&["npm_", "pypi-", "dckr_"], r"\b(?P<hint>npm_|pypi-AgE|dckr_pat_)[A-Za-z0-9_-]{24,}", Mask::Hint),
    // Behind a letter or digit, as where a quotation mark was taken out, only what is no part of a word.
    rule(
        &["hf_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "nvapi-", "sk-"],
        r"[A-Za-z0-9](?P<hint>hf_|gh[pousr]_|github_pat_|glpat-|nvapi-|sk-(?:proj|svcacct|or-v1|ant-(?:api|admin)\d\d)-)[A-Za-z0-9]{12,}[A-Za-z0-9_-]{8,}",
        Mask::Random,
    ),
    rule(&["wandb_v"], r"\b(?P<hint>wandb_v\d_)[A-Za-z0-9_]{20,}", Mask::Hint),
    rule(&["wandb"], r"(?i)wandb(?:[^\n]{0,60}?\b|[a-z_ .]*)(?:api_?key|key|login|netrc)\b[^\n]{0,40}?\b(?P<value>[0-9a-f]{40})\b", Mask::Value),
    rule(
        &["authorization"],
        r#"(?i)authorization\\*["']?\s*[:=]\s*(?:b?\\*["'])?(?:(?:bearer|basic|token|digest|apikey|negotiate)\s+)?(?P<value>[A-Za-z0-9._~+/=:-]{4,})"#,
        Mask::Value,
    ),
    rule(&["bearer"], r"(?i)\bbearer\s+(?P<value>[A-Za-z0-9._~+/=-]{6,})", Mask::Looks),
    rule(&["cookie"], r"(?i)\b(?:set-)?cookie\\*['\x22]?\s*:\s*\\*['\x22]?(?P<value>[^\s'\x22]+=[^\s'\x22][^'\x22\n]*)", Mask::Value),
    rule(&["//"], r"(?i)(?:\b[a-z][a-z0-9+.-]{1,20}:)?//[^\s/:@'\x22]*:(?P<value>[^\s/@'\x22]+)@", Mask::Value),
    rule(
        &["sig", "token", "key", "policy", "credential"],
        r"(?i)[?&](?:sig|signature|policy|x-(?:amz|goog)-(?:signature|credential|security-token)|token|key|auth)=(?P<value>[^&\s'\x22<>]{8,})",
        Mask::Value,
    ),
    rule(
        &["key", "token", "secret", "passw", "passphrase"],
        concat!(
            r"(?i)(?:^|[^A-Za-z0-9])-{1,2}(?:(?:[a-z0-9]+[-_])*?(?:STRICT)|token)",
            r#"(?:\s+|\s*\\*["']?\s*,\s*\\*["']?)(?P<value>[^\s"',\\;|<>\[\]-][^\s"',\\;|<>\]]*)"#
        ),
        Mask::Value,
    ),
    rule(
        &["key", "token", "secret", "passw", "passphrase"],
        concat!(
            r#"(?i)(?:STRICT)\\*["']?\s?(?:=>|[:=])\s?(?:Some\(|SecretStr\(|Secret\(|Sensitive\(|b)?\s*"#,
            r#"(?:\\*"(?P<value1>[^"\\\n]+)|\\*'(?P<value2>[^'\\\n]+)|\[(?P<value3>[^\]\n]+)\]|(?P<value4>[^\s"',;()\[\]{}&|<>\\][^\s"',;)\]}&|<>]*))"#
        ),
        Mask::Value,
    ),
    rule(
        &["token", "secret", "credential", "auth", "license"],
        concat!(
            r#"(?i)\b(?:[a-z0-9]+[-_])*(?:LOOSE)\\*["']?\s?(?:=>|[:=])\s?(?:Some\(|SecretStr\(|Secret\(|b)?\s*\\*["']?"#,
            r#"(?P<value>[A-Za-z0-9._~+/=:@-]{12,})"#
        ),
        Mask::Looks,
    ),
];

/// The name of an argument whose value is a secret, whatever stands before and behind it: a quotation that is not closed
/// leaves its mark in the name.
pub const NAME: &str = "(?i)(?:STRICT|(?:^|[^a-z0-9])(?:authtoken|token))[^a-z0-9]*$";

/// A pattern with the lists of names in it.
pub fn expression(pattern: &str) -> String {
    pattern.replace("STRICT", STRICT).replace("LOOSE", LOOSE)
}
