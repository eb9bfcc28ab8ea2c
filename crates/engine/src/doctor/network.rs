//! What user-mode networking needs.

use std::path::Path;
use std::process::Command;

use shedbox_linux::spawn::find_program;
use shedbox_spec::gateway::PASTA_OPTIONS;

use super::{Check, Entry};

/// A pasta that is installed.
#[derive(Debug, Clone, Default)]
struct Pasta {
    path: String,
    /// As it says itself, or the package database: Debian's says that it does not know.
    version: Option<String>,
    /// What its help tells.
    help: String,
}

pub(super) fn checks() -> Vec<Check> {
    let tun = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    vec![
        pasta(find_program("pasta").map(|path| look_at(&path)).as_ref()),
        tunnel(tun.as_ref().err()),
    ]
}

fn look_at(path: &Path) -> Pasta {
    // A program that cannot be run says nothing, which is what is missing then.
    let said = |program: &Path, words: &[&str]| {
        Command::new(program)
            .args(words)
            .output()
            .map(|output| {
                let text = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&text).into_owned()
            })
            .unwrap_or_default()
    };
    let version = version_in(&said(path, &["--version"])).or_else(|| {
        let query = ["--show", "--showformat=passt ${Version}", "passt"];
        version_in(&said(Path::new("dpkg-query"), &query))
    });
    Pasta {
        path: path.display().to_string(),
        version,
        help: said(path, &["--help"]),
    }
}

/// The version in `pasta 2024_06_24.1ee2eca`: the second word of the first line, when it has a number.
fn version_in(text: &str) -> Option<String> {
    let word = text.lines().next()?.split_whitespace().nth(1)?;
    word.starts_with(|first: char| first.is_ascii_digit())
        .then(|| word.to_owned())
}

fn pasta(found: Option<&Pasta>) -> Check {
    const FIX: &str = "sudo apt install passt";
    let entry = Entry {
        id: "pasta",
        title: "User-mode network",
    };
    let without = "sandboxes on networks reach each other and their ports are published, but nothing leads outside";
    let Some(pasta) = found else {
        return entry.degraded("pasta not found", without, FIX.to_owned());
    };
    let version = pasta.version.as_ref().map_or_else(
        || "of unknown version".to_owned(),
        |version| format!("version {version}"),
    );
    let found = format!("{} {version}", pasta.path);
    let words: Vec<_> = pasta
        .help
        .split(|c: char| c.is_whitespace() || c == ',')
        .collect();
    let absent: Vec<_> = PASTA_OPTIONS
        .into_iter()
        .filter(|option| !words.contains(option))
        .collect();
    if absent.is_empty() {
        return entry.ok(found, "sandboxes on networks can reach the world");
    }
    entry.degraded(
        format!("{found}: too old, it has no {}", absent.join(", ")),
        without,
        FIX.to_owned(),
    )
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
        assert_eq!(pasta(None).level, Level::Degraded);
        assert_eq!(tunnel(None).level, Level::Ok);
        let fix = |kind: std::io::ErrorKind| tunnel(Some(&kind.into())).fix.unwrap();
        assert!(fix(std::io::ErrorKind::NotFound).starts_with("sudo modprobe"));
        assert!(fix(std::io::ErrorKind::PermissionDenied).starts_with("sudo chmod"));
    }

    #[test]
    fn a_pasta_by_what_its_help_tells() {
        let help = format!("  -I, {}\n", PASTA_OPTIONS.join(" ADDR\tsome text\n  -a, "));
        let mut found = Pasta {
            path: "/usr/bin/pasta".into(),
            version: Some("2024_06_24.1ee2eca".into()),
            help,
        };
        let check = pasta(Some(&found));
        assert_eq!(
            (check.level, check.found.as_str()),
            (Level::Ok, "/usr/bin/pasta version 2024_06_24.1ee2eca")
        );
        found.help = found.help.replace("--no-map-gw", "--map-gw");
        found.version = None;
        let check = pasta(Some(&found));
        assert_eq!(
            (check.level, check.found.as_str()),
            (
                Level::Degraded,
                "/usr/bin/pasta of unknown version: too old, it has no --no-map-gw"
            )
        );
    }

    #[test]
    fn versions_as_programs_say_them() {
        for (text, version) in [
            (
                "pasta 2024_06_24.1ee2eca\nCopyright\n",
                Some("2024_06_24.1ee2eca"),
            ),
            (
                "pasta 0.0~git20230309.7c7625d-1\n",
                Some("0.0~git20230309.7c7625d-1"),
            ),
            ("pasta unknown version\n", None),
            ("dpkg-query: no packages found matching passt\n", None),
            ("", None),
        ] {
            assert_eq!(version_in(text).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn the_pin_tells_what_is_relied_on() {
        let pins = include_str!("../../../../vendor/programs.toml");
        for option in PASTA_OPTIONS {
            assert!(pins.contains(&format!("\"{option}\"")), "{option}");
        }
    }
}
