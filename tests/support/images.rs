//! The images of `scripts/test-images`, as OCI layouts and as content of the read-only registry.

use std::path::PathBuf;

/// Where `scripts/test-images` puts them.
pub(crate) fn directory() -> PathBuf {
    std::env::var_os("SHEDBOX_TEST_IMAGES").map_or_else(
        || {
            // target/<profile>/shedbox, or target/<triple>/<profile>/shedbox
            let target = super::program()
                .ancestors()
                .find(|dir| dir.join("test-images").is_dir())
                .map(|dir| dir.join("test-images"));
            target.unwrap_or_else(|| {
                PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-images"))
            })
        },
        PathBuf::from,
    )
}

/// The OCI layout of an image; its tag is `latest`.
pub(crate) fn layout(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(
        path.join("index.json").is_file(),
        "{} is not an image; run `scripts/test-images {name}`",
        path.display()
    );
    path
}
