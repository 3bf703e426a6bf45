//! Which pairs of neighbouring bytes a text has. A list of words costs little to look for where most have a pair that is
//! not there.

/// The pairs of a text, as far as they can be told apart.
pub struct Pairs([u64; 16]);

impl Pairs {
    /// The pairs of a text.
    pub fn of(text: &str) -> Self {
        let mut pairs = [0; 16];
        for pair in text.as_bytes().windows(2) {
            let (word, bit) = place(pair);
            pairs[word] |= bit;
        }
        Pairs(pairs)
    }

    /// False if a part cannot be in the text.
    pub fn may_hold(&self, part: &str) -> bool {
        part.as_bytes().windows(2).all(|pair| {
            let (word, bit) = place(pair);
            self.0[word] & bit != 0
        })
    }
}

fn place(pair: &[u8]) -> (usize, u64) {
    (usize::from(pair[0] & 15), 1 << (pair[1] & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_text_is_missed() {
        let text = "tried to allocate 2.00 GiB – größer als frei";
        let pairs = Pairs::of(text);
        for (from, _) in text.char_indices() {
            for (to, _) in text.char_indices().filter(|(to, _)| *to >= from) {
                assert!(pairs.may_hold(&text[from..to]));
            }
        }
        assert!(!pairs.may_hold("hf_") && !pairs.may_hold("not supported"));
    }
}
