//! Memory does not grow with the image.

use std::fs::File;
use std::io::Write;

use crate::support::TestStore;
use crate::support::image::noise;
use crate::support::program::{RealRegistry, run};

/// The peak of this process's memory in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The registry is another process and the image is written piece by piece, so that the peak is the pull's.
#[test]
fn a_pull_takes_less_memory_than_a_layer() {
    const LAYER_MIB: u64 = 40;
    let registry = RealRegistry::start();
    let dir = registry.scratch();
    let layout = dir.join("layout");
    let layout = layout.to_str().unwrap();
    let image = format!("{layout}:big");
    run("umoci", &["init", "--layout", layout]);
    run("umoci", &["new", "--image", &image]);
    for layer in 0..3 {
        let content = dir.join(format!("file{layer}"));
        let mut file = File::create(&content).unwrap();
        for piece in 0..LAYER_MIB {
            file.write_all(&noise(layer * 1000 + piece + 1, 1 << 20))
                .unwrap();
        }
        let tar = dir.join("layer.tar");
        let tar = tar.to_str().unwrap();
        let name = format!("file{layer}");
        run("tar", &["-cf", tar, "-C", dir.to_str().unwrap(), &name]);
        run("umoci", &["raw", "add-layer", "--image", &image, tar]);
        std::fs::remove_file(content).unwrap();
    }
    registry.push(&format!("oci:{image}"), "big:1", &[]);
    let store = TestStore::new();
    let pulled = store.pull(&format!("{}/big:1", registry.host)).unwrap();
    assert_eq!(pulled.size, 3 * (LAYER_MIB << 20));
    let peak = peak_kib();
    // Well below the 120 MiB of the image; `cargo test` has other tests in this process.
    assert!(peak < 80 << 10, "{peak} KiB");
}
