//! Choosing one image of an index by platform.
//!
//! Names are OCI's (`GOOS`/`GOARCH` values); what people and `uname` write is brought to them first. `os.version` and
//! `os.features` are ignored: on Linux they mean nothing.

use std::fmt;

use oci_client::manifest::ImageIndexEntry;
use shedbox_spec::{Error, Result};
use shedbox_store::ImageRecord;

/// Operating system, architecture and variant of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7` and the like; absent for an architecture's usual one.
    pub variant: Option<String>,
}

impl Platform {
    /// The platform this program runs on.
    pub fn host() -> Self {
        Self::normalised("linux", std::env::consts::ARCH, "")
    }

    /// Parses `os/arch[/variant]`, or `arch` alone for Linux.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let valid = parts.iter().all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        });
        match (valid, parts.as_slice()) {
            (true, [architecture]) => Ok(Self::normalised("linux", architecture, "")),
            (true, [os, architecture]) => Ok(Self::normalised(os, architecture, "")),
            (true, [os, architecture, variant]) => Ok(Self::normalised(os, architecture, variant)),
            _ => Err(
                Error::invalid(format!("platform `{text}` is not `os/arch[/variant]`"))
                    .with_hint("for example `linux/amd64` or `linux/arm/v7`"),
            ),
        }
    }

    /// From the fields of an index entry or an image configuration.
    pub fn normalised(os: &str, architecture: &str, variant: &str) -> Self {
        let os = os.to_ascii_lowercase();
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
            ("aarch64" | "arm64", variant) => ("arm64", variant),
            ("i386" | "i686" | "x86" | "386", _) => ("386", ""),
            ("armhf", "") | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", "") | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            ("powerpc64le" | "ppc64el" | "powerpc64", variant) => ("ppc64le", variant),
            ("loongarch64", variant) => ("loong64", variant),
            (architecture, variant) => (architecture, variant),
        };
        Self {
            os,
            architecture: architecture.to_owned(),
            variant: Some(variant.to_owned()).filter(|variant| !variant.is_empty()),
        }
    }

    /// What an image of the store is for, as its configuration says.
    pub fn of_record(record: &ImageRecord) -> Self {
        Self::normalised(
            &record.os,
            &record.architecture,
            record.variant.as_deref().unwrap_or(""),
        )
    }

    /// How well `image` serves one who wants `self`: 0 is best, `None` not at all.
    ///
    /// A 32-bit ARM image of an older variant runs on a newer one; the x86-64 levels and ARMv9 do not fall back
    /// upwards: an image of a higher level is only taken when it was asked for.
    fn distance(&self, image: &Self) -> Option<u32> {
        if self.os != image.os || self.architecture != image.architecture {
            return None;
        }
        let level = |variant: &Option<String>| match variant.as_deref() {
            None => Some(if self.architecture == "arm64" { 8 } else { 1 }),
            Some(text) => text.strip_prefix('v')?.parse::<u32>().ok(),
        };
        match (level(&self.variant), level(&image.variant)) {
            (Some(wanted), Some(offered)) => wanted.checked_sub(offered),
            _ if self.variant == image.variant => Some(0),
            _ => None,
        }
    }

    /// Whether an image for `image` is what one who asks for `self` gets.
    pub fn accepts(&self, image: &Self) -> bool {
        self.distance(image).is_some()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

fn of_entry(entry: &ImageIndexEntry) -> Option<Platform> {
    let platform = entry.platform.as_ref()?;
    Some(Platform::normalised(
        &platform.os.to_string(),
        &platform.architecture.to_string(),
        platform.variant.as_deref().unwrap_or(""),
    ))
}

/// Attestations and the like: build tools list them beside the images with the platform `unknown/unknown`.
fn is_image(entry: &ImageIndexEntry) -> bool {
    of_entry(entry).is_none_or(|platform| platform.os != "unknown")
        && !entry.annotations.as_ref().is_some_and(|annotations| {
            annotations
                .get("vnd.docker.reference.type")
                .is_some_and(|kind| kind == "attestation-manifest")
        })
}

/// The platforms that an index has images for.
pub(crate) fn of_index(entries: &[ImageIndexEntry]) -> Vec<Platform> {
    entries
        .iter()
        .filter(|entry| is_image(entry))
        .filter_map(of_entry)
        .collect()
}

/// The entry that fits `wanted` best; the first of equals. An index with a single image and no platform has no choice
/// to offer, so that image is it.
///
/// On failure, the platforms that are there, in order.
pub fn choose<'a>(
    entries: &'a [ImageIndexEntry],
    wanted: &Platform,
) -> std::result::Result<&'a ImageIndexEntry, Vec<String>> {
    let images: Vec<&ImageIndexEntry> = entries.iter().filter(|entry| is_image(entry)).collect();
    let best = images
        .iter()
        .filter_map(|entry| Some((wanted.distance(&of_entry(entry)?)?, *entry)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, entry)| entry);
    match (best, images.as_slice()) {
        (Some(entry), _) => Ok(entry),
        (None, [only]) if only.platform.is_none() => Ok(only),
        _ => Err(images
            .iter()
            .map(|entry| {
                of_entry(entry).map_or_else(|| "unnamed".to_owned(), |found| found.to_string())
            })
            .collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digest: &str, platform: serde_json::Value) -> ImageIndexEntry {
        let mut value = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
        });
        if !platform.is_null() {
            value["platform"] = platform;
        }
        serde_json::from_value(value).unwrap()
    }

    fn pick(wanted: &str, offered: &[&str]) -> std::result::Result<String, Vec<String>> {
        let entries: Vec<ImageIndexEntry> = offered
            .iter()
            .map(|text| {
                let mut parts = text.split('/');
                let mut platform = serde_json::json!({
                    "os": parts.next().unwrap(), "architecture": parts.next().unwrap(), "os.version": "10.0",
                });
                if let Some(variant) = parts.next() {
                    platform["variant"] = variant.into();
                }
                entry(text, platform)
            })
            .collect();
        choose(&entries, &Platform::parse(wanted).unwrap()).map(|entry| entry.digest.clone())
    }

    #[test]
    fn parse_and_show() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/aarch64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("Linux/AMD64/v3", "linux/amd64/v3"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "linux/", "/amd64", "a/b/c/d", "linux/am d64"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variants() {
        let arms = [
            "linux/amd64",
            "linux/arm/v5",
            "linux/arm/v6",
            "linux/arm/v7",
        ];
        assert_eq!(pick("linux/arm/v7", &arms).unwrap(), "linux/arm/v7");
        assert_eq!(pick("linux/arm/v6", &arms).unwrap(), "linux/arm/v6");
        assert_eq!(pick("linux/arm/v8", &arms).unwrap(), "linux/arm/v7");
        let levels = ["linux/amd64/v3", "linux/amd64", "linux/arm64/v8"];
        assert_eq!(pick("linux/amd64", &levels).unwrap(), "linux/amd64");
        assert_eq!(pick("linux/amd64/v2", &levels).unwrap(), "linux/amd64");
        assert_eq!(pick("linux/amd64/v4", &levels).unwrap(), "linux/amd64/v3");
        assert_eq!(pick("linux/arm64", &levels).unwrap(), "linux/arm64/v8");
        assert!(pick("linux/amd64", &["linux/amd64/v3"]).is_err());
    }

    #[test]
    fn what_is_there_is_said() {
        assert_eq!(
            pick(
                "linux/s390x",
                &["linux/amd64", "unknown/unknown", "linux/arm64/v8"]
            ),
            Err(vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()])
        );
    }

    #[test]
    fn a_single_image_without_platform() {
        let only = [entry("only", serde_json::Value::Null)];
        let wanted = Platform::parse("linux/arm64").unwrap();
        assert_eq!(choose(&only, &wanted).unwrap().digest, "only");
        let two = [
            entry("a", serde_json::Value::Null),
            entry("b", serde_json::Value::Null),
        ];
        assert_eq!(choose(&two, &wanted).unwrap_err(), ["unnamed", "unnamed"]);
    }
}
