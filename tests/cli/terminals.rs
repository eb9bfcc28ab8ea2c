//! `-t`: a terminal inside, the caller's own made raw, sizes, the detach keys.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Child;
use std::sync::{Arc, Mutex};

use shedbox_linux::{process, pty};

use crate::require;
use crate::support::{Home, eventually, unique};

/// `shedbox` on a terminal of 30 rows and 100 columns.
struct Screen {
    child: Child,
    master: File,
    /// Held open so that the state of the terminal can be looked at after the end.
    _slave: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Screen {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        // /dev/pts/ptmx is closed to users on most hosts; O_NOCTTY is 0o400.
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).custom_flags(0o400);
        let master = OwnedFd::from(options.open("/dev/ptmx").unwrap());
        let slave = pty::slave_of(&master).unwrap();
        pty::set_size(&master, 30, 100).unwrap();
        let stream = || slave.try_clone().unwrap();
        let child = home
            .command(arguments)
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, copy) = (File::from(master.try_clone().unwrap()), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                copy.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            master: master.into(),
            _slave: slave,
            shown,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    fn types(&mut self, text: &str) -> &mut Self {
        self.master.write_all(text.as_bytes()).unwrap();
        self
    }

    fn shows(&mut self, text: &str) -> &mut Self {
        eventually(&format!("`{text}` is shown"), || self.text().contains(text));
        self
    }

    fn ends(&mut self, status: i32) -> String {
        assert_eq!(
            self.child.wait().unwrap().code(),
            Some(status),
            "{}",
            self.text()
        );
        self.text()
    }
}

#[test]
fn a_main_process_on_a_terminal() {
    require!(userns);
    let home = Home::new();
    let mut screen = Screen::start(&home, &["run", "-it", "--rm", "host", "sh"]);
    screen
        .types("stty size; echo up$((1+1))\r")
        .shows("30 100")
        .shows("up2");
    pty::set_size(&screen.master, 40, 120).unwrap();
    // The terminal is not the controlling one of the program, so the kernel does not tell it.
    process::signal(screen.child.id() as i32, 28).unwrap();
    screen
        .types("until [ \"$(stty size)\" = '40 120' ]; do :; done; echo re$((1+1))sized\r")
        .shows("re2sized");
    // Ctrl-C is a byte for the terminal inside, not a signal for us.
    screen
        // It says so itself, so that the signal finds it and not the shell that is still about to fork.
        .types("sh -c 'echo run$((1+1))ning; exec sleep 1000'\r")
        .shows("run2ning")
        .types("\u{3}");
    screen.types("exit 7\r").ends(7);
    assert_eq!(home.run(["ps", "-aq"]), "");
}

#[test]
fn the_detach_keys_leave_it_running() {
    require!(userns);
    let home = Home::new();
    let name = unique("detached");
    // It would be removed with us, had we not detached.
    let mut screen = Screen::start(
        &home,
        &["run", "-it", "--rm", "--name", &name, "host", "sh"],
    );
    screen
        .types("echo up$((1+1))\r")
        .shows("up2")
        .types("\u{10}\u{11}");
    screen.shows("shedbox: detached").ends(0);
    assert_eq!(home.run(["ps", "-q"]).lines().count(), 1);
    let mut screen = Screen::start(&home, &["attach", "--detach-keys=ctrl-a,d", &name]);
    screen
        .types("echo still$((1+1))\r")
        .shows("still2")
        .types("\u{1}d")
        .ends(0);
    let mut screen = Screen::start(&home, &["attach", &name]);
    screen.types("exit 5\r").ends(5);
    eventually("--rm still holds", || home.run(["ps", "-aq"]).is_empty());
}

#[test]
fn a_command_on_a_terminal() {
    require!(userns);
    let home = Home::new();
    let name = unique("tty");
    home.run(["run", "-d", "--idle", "--name", &name, "host"]);
    let mut screen = Screen::start(&home, &["exec", "-it", &name, "sh"]);
    screen
        .types("stty size; tty\r")
        .shows("30 100")
        .shows("/dev/pts/")
        .types("exit 6\r")
        .ends(6);
    let mut screen = Screen::start(&home, &["exec", "-it", &name, "sh"]);
    screen
        .types("echo up$((1+1))\r")
        .shows("up2")
        .types("\u{10}\u{11}")
        .ends(0);
    assert!(
        home.run(["top", &name]).ends_with("sh"),
        "it goes on without us"
    );
    let piped = home
        .shedbox(["exec", "-it", &name, "true"])
        .output()
        .unwrap();
    assert_eq!(piped.status.code(), Some(125));
    assert!(
        String::from_utf8(piped.stderr)
            .unwrap()
            .contains("is not a terminal")
    );
    home.run(["rm", "-f", &name]);
}
