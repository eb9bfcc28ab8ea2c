//! What user-mode networking needs.

use super::ids::find_program;
use super::{Check, Entry};

pub(super) fn checks() -> Vec<Check> {
    let tun = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    vec![
        pasta(find_program("pasta").map(|path| path.display().to_string())),
        tunnel(tun.as_ref().err()),
    ]
}

fn pasta(path: Option<String>) -> Check {
    let entry = Entry {
        id: "pasta",
        title: "User-mode network",
    };
    match path {
        Some(path) => entry.ok(path, "sandboxes can have a network of their own"),
        None => entry.degraded(
            "pasta not found",
            "`--network none` and `host` work; a network of its own needs pasta",
            "sudo apt install passt".to_owned(),
        ),
    }
}

fn tunnel(failure: Option<&std::io::Error>) -> Check {
    let entry = Entry {
        id: "tun",
        title: "/dev/net/tun",
    };
    match failure {
        None => entry.ok("can be opened", "pasta can connect a sandbox"),
        Some(failure) => entry.degraded(
            failure.to_string(),
            "`--network none` and `host` work; pasta needs this device",
            match failure.kind() {
                std::io::ErrorKind::PermissionDenied => "sudo chmod 666 /dev/net/tun".to_owned(),
                _ => "sudo modprobe tun && echo tun | sudo tee /etc/modules-load.d/tun.conf"
                    .to_owned(),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn levels() {
        assert_eq!(pasta(Some("/usr/bin/pasta".into())).level, Level::Ok);
        assert_eq!(pasta(None).level, Level::Degraded);
        assert_eq!(tunnel(None).level, Level::Ok);
        let fix = |kind: std::io::ErrorKind| tunnel(Some(&kind.into())).fix.unwrap();
        assert!(fix(std::io::ErrorKind::NotFound).starts_with("sudo modprobe"));
        assert!(fix(std::io::ErrorKind::PermissionDenied).starts_with("sudo chmod"));
    }
}
