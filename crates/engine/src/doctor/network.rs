//! What user-mode networking needs.

use shedbox_linux::spawn::find_program;

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
        Some(path) => entry.ok(path, "sandboxes on networks can reach the world"),
        None => entry.degraded(
            "pasta not found",
            "sandboxes on networks reach each other and their ports are published, but nothing leads outside",
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
        None => entry.ok("can be opened", "pasta can connect sandboxes with the world"),
        Some(failure) => entry.degraded(
            failure.to_string(),
            "pasta needs this device: without it nothing leads outside, while networks and published ports work",
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
