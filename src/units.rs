//! How sizes and counts are written for people, wherever they are: the one place where bytes become GiB.

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;

/// A number with a comma after every three digits.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size: GiB with two decimals, MiB below 0.10 GiB, bytes where two decimals of a MiB would show nothing.
pub fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let value = bytes as f64;
    if value < 0.005 * MIB {
        if bytes == 1 { "1 byte".to_owned() } else { format!("{} bytes", thousands(bytes)) }
    } else if value < 0.1 * GIB {
        format!("{:.2} MiB", value / MIB)
    } else {
        format!("{} GiB", grouped(value / GIB))
    }
}

/// A size that may be negative.
pub fn signed_size(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}

/// Two decimals, the whole part with commas.
fn grouped(value: f64) -> String {
    let text = format!("{value:.2}");
    match text.split_once('.') {
        Some((whole, part)) => format!("{}.{part}", whole.parse().map_or_else(|_| whole.to_owned(), thousands)),
        None => text,
    }
}
