//! Measures extraction alone: all layers of an OCI layout into a fresh store, several at once.
//!
//! ```text
//! cargo run --release -p shedbox-store --example ingest -- LAYOUT STORE [THREADS]
//! ```
//!
//! Prints the time in milliseconds. LAYOUT has one manifest in its index. Compare with `gzip -dc | tar x` of the same
//! blobs, as many at once.

#![expect(clippy::print_stdout, reason = "the result of a measurement")]

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use oci_spec::image::{ImageIndex, ImageManifest};
use shedbox_spec::Digest;
use shedbox_store::{IdPolicy, LayerExpect, Store, StoreOptions, UnpackLimits};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layout, root, rest @ ..] = &arguments[..] else {
        return Err("usage: ingest LAYOUT STORE [THREADS]".into());
    };
    let threads: usize = rest.first().map_or(Ok(4), |text| text.parse())?;
    let blobs = Path::new(layout).join("blobs/sha256");
    let index = ImageIndex::from_file(Path::new(layout).join("index.json"))?;
    let first = index.manifests().first().ok_or("an empty index")?;
    let manifest = ImageManifest::from_file(blobs.join(first.digest().digest()))?;
    let options = StoreOptions {
        ids: IdPolicy::Mapped {
            max_uid: 65535,
            max_gid: 65535,
        },
        limits: UnpackLimits::default(),
    };
    let root = PathBuf::from(root);
    let store = Store::open(&root.join("store"), &root.join("trash"), options)?;
    let start = Instant::now();
    let mut queue = VecDeque::new();
    for layer in manifest.layers() {
        queue.push_back(Digest::parse(layer.digest().as_ref())?);
    }
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(&store, &blobs, &queue)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a panic".to_owned())))
    })?;
    println!("{}", start.elapsed().as_millis());
    Ok(())
}

fn work(store: &Store, blobs: &Path, queue: &Mutex<VecDeque<Digest>>) -> Result<(), String> {
    loop {
        let next = queue
            .lock()
            .map_err(|_| "a panic elsewhere".to_owned())?
            .pop_front();
        let Some(blob) = next else {
            return Ok(());
        };
        let mut file = File::open(blobs.join(blob.hex())).map_err(|error| error.to_string())?;
        let expect = LayerExpect {
            blob: Some(blob),
            ..LayerExpect::default()
        };
        store
            .ingest_layer(&expect, &mut file, &mut |_| {})
            .map_err(|error| error.to_spec().message)?;
    }
}
