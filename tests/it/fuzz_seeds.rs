//! Runs the fuzzer's seeds through the same functions, so that faults that were found do not come back.

use std::path::Path;

#[path = "../fuzz/src/readers/mod.rs"]
mod readers;

#[test]
fn what_the_fuzzer_starts_from_keeps_every_law() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    for (name, read) in readers::TARGETS {
        let folder = seeds.join(name);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).expect("a folder of seeds") {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a seed");
            println!("{}", path.display());
            read(&bytes);
            count += 1;
        }
        assert!(count > 0, "{} is empty", folder.display());
    }
}
