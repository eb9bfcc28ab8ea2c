//! A home on a small file system of its own.
//!
//! Mounting takes privileges that an ordinary user has only inside a user namespace: a process makes one, with every id
//! the user may have, mounts a tmpfs in it and waits. Everything of the home runs in there, as root of that namespace.
//! The root lane does the same in a mount namespace alone.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use crate::support::{Home, Lane, Registry, eventually};

/// A home in a tmpfs of a few MiB.
pub(crate) struct SmallDisk {
    home: Home,
    holder: Child,
    /// Its end is the end of the holder.
    _input: ChildStdin,
    mount: PathBuf,
}

impl SmallDisk {
    /// A disk of `mib` MiB.
    pub(crate) fn new(mib: u64) -> Self {
        let home = Home::new().unchecked();
        let mount = home.root();
        std::fs::create_dir(&mount).expect("create the mount point");
        let mut holder = Command::new("unshare");
        holder.args(match Lane::current() {
            Lane::Root => &["--mount"][..],
            Lane::Subids => &["--mount", "--map-root-user", "--map-auto"],
            Lane::Single => &["--mount", "--map-root-user"],
        });
        // Nothing of it may stay behind, however this process ends: its input ends with us.
        let script =
            "mount -t tmpfs -o mode=700,size=$2m shedbox-test \"$1\" && echo mounted && exec cat";
        let mut holder = holder
            .args(["sh", "-c", script, "sh"])
            .arg(&mount)
            .arg(mib.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run unshare");
        let input = holder.stdin.take().expect("stdin is piped");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("hear from the holder");
        assert_eq!(line, "mounted\n", "the small disk cannot be mounted");
        Self {
            home,
            holder,
            _input: input,
            mount,
        }
    }

    /// A program where the disk is mounted.
    pub(crate) fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.holder.id()))
            .arg("--mount");
        if Lane::current() != Lane::Root {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program).envs(self.home.variables());
        command
    }

    /// `shedbox` with arguments.
    pub(crate) fn shedbox<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        self.inside("timeout")
            .arg("120")
            .arg(crate::support::program())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("run nsenter")
    }

    /// The same; it must succeed. Its standard output without the last newline.
    pub(crate) fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let output = self.shedbox(arguments.iter().copied());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "shedbox {arguments:?}: {}\n{stderr}",
            output.status
        );
        let text = String::from_utf8(output.stdout).expect("output is UTF-8");
        text.trim_end_matches('\n').to_owned()
    }

    /// The reference of a test image.
    pub(crate) fn reference(name: &str) -> String {
        Registry::shared().reference(&format!("{name}:latest"))
    }

    /// The disk as this process can reach it.
    pub(crate) fn path(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        Path::new(&root).join(self.mount.strip_prefix("/").expect("an absolute path"))
    }

    /// Free bytes.
    pub(crate) fn free(&self) -> u64 {
        let output = self
            .inside("stat")
            .args(["--file-system", "--format=%f %S"])
            .arg(&self.mount)
            .output()
            .expect("run stat");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (blocks, size) = text.trim().split_once(' ').expect("two numbers");
        blocks.parse::<u64>().expect("blocks") * size.parse::<u64>().expect("their size")
    }

    /// Leaves room for so many more files and directories.
    pub(crate) fn spare_inodes(&self, spare: u64) {
        // The daemon makes directories ahead of need meanwhile, and fewer than there are cannot be allowed.
        eventually("the disk takes that many inodes", || {
            let output = self
                .inside("stat")
                .args(["--file-system", "--format=%c %d"])
                .arg(&self.mount)
                .output()
                .expect("run stat");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (all, free) = text.trim().split_once(' ').expect("two numbers");
            let all: u64 = all.parse().expect("inodes");
            let used = all - free.parse::<u64>().expect("free inodes");
            self.remount(&format!("nr_inodes={}", used + spare))
        });
    }

    /// Gives the disk another size.
    pub(crate) fn resize(&self, mib: u64) {
        assert!(self.remount(&format!("size={mib}m")));
    }

    fn remount(&self, option: &str) -> bool {
        self.inside("mount")
            // Nothing but this: the owner it is shown with is not one that this namespace knows.
            .args(["--options-mode=ignore", "-o"])
            .arg(format!("remount,{option}"))
            .arg(&self.mount)
            .status()
            .expect("run mount")
            .success()
    }

    /// Fills all the room there is with a file of nobody's, which grows when that is done again.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path().join("filler"))
            .expect("create the filler");
        let block = vec![0xaa; 64 << 10];
        // The daemon may be giving some back.
        eventually("the disk is full", || {
            let error = loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            self.free() == 0
        });
    }

    /// Takes that file away.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("remove the filler");
    }

    /// Ends the daemon, to have the next command start one.
    pub(crate) fn restart_daemon(&self) {
        let text = std::fs::read_to_string(self.path().join("lock")).expect("read the lock");
        let pid: i32 = text.trim().parse().expect("a pid");
        shedbox_linux::process::signal(pid, 9).expect("kill the daemon");
        eventually("the daemon is gone", || {
            std::fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |line| line.is_empty())
        });
    }

    /// Names in a directory below the data directory.
    pub(crate) fn names(&self, dir: &str) -> Vec<String> {
        std::fs::read_dir(self.path().join(dir))
            .unwrap_or_else(|error| panic!("read {dir}: {error}"))
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let ids = self.run(["ps", "--all", "--quiet"]);
            let ids: Vec<&str> = ids.split_whitespace().collect();
            if !ids.is_empty() {
                self.run(["rm", "-f"].into_iter().chain(ids));
            }
        }
        if let Ok(text) = std::fs::read_to_string(self.path().join("lock"))
            && let Ok(pid) = text.trim().parse::<i32>()
        {
            // It may have left by itself.
            let _ = shedbox_linux::process::signal(pid, 15);
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
