//! CVE-2017-5226, CVE-2019-10063, CVE-2023-28100: typing into the terminal of whoever is attached.

use crate::attack::Attack;
use crate::require;
use crate::support::Case;

#[test]
fn nothing_is_typed_or_pasted() {
    require!(userns, program "script");
    let attack = Attack::new(include_str!("terminal.py"));

    // Linux 6.2 can have TIOCSTI turned off for everybody; where it is on, the attack works on a terminal of ours.
    let legacy = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").unwrap_or("1".into());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), attack.argv()[2]).unwrap();
    let command = format!("python3 {}", file.path().display());
    let control = std::process::Command::new("script")
        .args(["--quiet", "--command", &command, "/dev/null"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&control.stdout).into_owned();
    let expected = if legacy.trim() == "1" { ": 0" } else { ": EIO" };
    assert!(
        text.contains(&format!("TIOCSTI, all high bits{expected}")),
        "{text}"
    );

    let (_case, output) = Case::host().with("--tty").exec(attack.argv()).output();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert_eq!(
        text.trim(),
        "terminal: /dev/pts/0 of session True\n\
         TIOCSTI: EPERM\nTIOCSTI, high bits: EPERM\nTIOCSTI, all high bits: EPERM\n\
         TIOCLINUX: EPERM\nTIOCLINUX, high bits: EPERM\nTIOCLINUX, all high bits: EPERM\n\
         TIOCSETD: EINVAL\nTIOCCONS: EPERM\nconsole: ENOENT\nown terminals: True\n\
         /dev/tty0: ENOENT\n/dev/tty1: ENOENT\n/dev/ttyS0: ENOENT\n/dev/vcs: ENOENT\n\
         terminals in sight: 2"
    );
}
