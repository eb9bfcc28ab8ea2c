//! The header `X-Docker-Container-Path-Stat`: what is at a path, as base64 of JSON, with a mode in Go's bits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;
use shedbox_spec::control::FileStat;

/// Name of the header.
pub const HEADER: &str = "x-docker-container-path-stat";

/// Its value.
pub fn value(stat: &FileStat) -> String {
    let mtime = Timestamp::from_second(stat.mtime).unwrap_or_default();
    let json = json!({
        "name": stat.name,
        "size": stat.size,
        "mode": go_mode(stat.mode),
        "mtime": mtime.to_string(),
        "linkTarget": stat.link_target.clone().unwrap_or_default(),
    });
    STANDARD.encode(json.to_string())
}

/// `st_mode` in the bits of Go's `fs.FileMode`. Source: Go's `io/fs`, `os.fillFileStatFromSys`.
pub fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        0o020_000 => (1 << 26) | (1 << 21),
        _ => 0,
    };
    let bit = |set: u32, go: u32| if mode & set == 0 { 0 } else { 1 << go };
    kind | (mode & 0o777) | bit(0o4000, 23) | bit(0o2000, 22) | bit(0o1000, 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_in_gos_bits() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o040_755), (1 << 31) | 0o755);
        assert_eq!(go_mode(0o120_777), (1 << 27) | 0o777);
        assert_eq!(go_mode(0o041_777), (1 << 31) | (1 << 20) | 0o777);
        assert_eq!(go_mode(0o104_755), (1 << 23) | 0o755);
    }
}
