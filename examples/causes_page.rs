//! Prints `docs/causes.md` from the causes' own documentation.

#![allow(clippy::print_stdout)]

use oomdoc::causes::CAUSES;

fn main() {
    println!("# Causes\n");
    println!("What `oomdoc` can find. `oomdoc explain ID` prints the same text. This page is generated from the causes' own");
    println!("documentation: `cargo run --example causes_page > docs/causes.md`.");
    let mut family = "";
    for cause in CAUSES {
        if cause.family != family {
            family = cause.family;
            let mut words = family.replace('-', " ");
            if let Some(first) = words.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            println!("\n## {words}");
        }
        println!("\n### `{}`: {}\n\n{}", cause.id, cause.title, cause.doc.trim());
    }
}
