//! What processes start with, and init as it can be reached from inside.

use crate::require;
use crate::support::{Case, Home, Lane};

#[test]
fn init_survives_every_signal_of_root() {
    require!(userns);
    Case::host()
        .sh("for number in $(seq 1 64); do kill -$number 1 2>/dev/null; done; kill -KILL 1; kill -STOP 1; sleep 0.1; \
             awk '/^State/ {print $2}' /proc/1/status")
        .stdout("S");
    // All at once, in a sandbox without a main process: the kernel finds nobody but the caller, whom it leaves out.
    let home = Home::new();
    let sandbox = home
        .client()
        .create(shedbox_client::SandboxSpec {
            idle: true,
            ..shedbox_client::SandboxSpec::default()
        })
        .expect("create");
    let name = sandbox.id().to_string();
    home.refused(
        ["exec", &name, "sh", "-c", "kill -STOP -1; kill -KILL -1"],
        1,
        "No such process",
    );
    assert_eq!(home.run(["exec", &name, "echo", "served"]), "served");
    sandbox.remove().expect("remove");
}

/// With the capability to trace, in a sandbox whose filter lets ptrace through.
#[test]
fn a_tracer_gets_nothing_of_init() {
    require!(userns);
    let script = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for entry in 'environ maps mem exe root cwd fd/3 auxv io map_files ns/user'.split():
    path = '/proc/1/' + entry
    try:
        os.readlink(path) if os.path.islink(path) else os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(1)
        print(entry, 'read')
    except OSError as error:
        pass
for request in (16, 0x4206):
    if libc.ptrace(request, 1, 0, 0) == 0:
        print('traced')
try:
    fd = os.open('/proc/1/mem', os.O_RDWR)
    print('opened')
except OSError:
    pass
with open('/proc/self/status') as status:
    print([line.split()[1] for line in status if line.startswith('CapEff')][0][-6:])
";
    // CAP_SYS_PTRACE is bit 19 of the set.
    Case::host()
        .option("--cap-add=SYS_PTRACE")
        .exec(["python3", "-c", script])
        .stdout("0805fb");
}

#[test]
fn init_says_nothing_of_where_it_comes_from() {
    require!(userns);
    let home = Home::new();
    let root = home.root().display().to_string();
    let case = Case::host().home(home);
    let (_case, output) = case
        .sh("cat /proc/1/cmdline /proc/1/comm; tr '\\0' '\\n' </proc/1/environ 2>&1; readlink /proc/1/exe /proc/1/cwd /proc/1/root; true")
        .output();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("shedbox-init"), "{text}");
    assert!(!text.contains(&root), "{text}");
    assert!(!text.contains('='), "{text}");
}

#[test]
fn nothing_of_the_daemons_environment_is_inside() {
    require!(userns, image "tiny");
    let home = Home::new();
    // The first command starts the daemon, which has its environment.
    let output = home
        .command(["ps"])
        .env("HOST_SECRET", "hunter2")
        .output()
        .expect("run shedbox");
    assert!(output.status.success(), "{output:?}");
    let reference = home.image("tiny");
    home.run([
        "run",
        "--detach",
        "--name=env-test",
        &reference,
        "sleep",
        "1000000",
    ]);
    let text = home.run([
        "exec",
        "env-test",
        "sh",
        "-c",
        "env; for p in /proc/[0-9]*; do tr '\\0' '\\n' 2>/dev/null <$p/environ; done; true",
    ]);
    assert!(text.contains("PATH="), "{text}");
    assert!(
        !text.contains("hunter2") && !text.contains("SHEDBOX"),
        "{text}"
    );
}

#[test]
fn a_command_starts_like_a_fresh_login_without_a_terminal() {
    require!(userns);
    Case::host()
        .sh("umask; cat /proc/self/oom_score_adj; nice; awk '/^(SigBlk|SigIgn|SigCgt|Groups)/ {print $1, $2, $3}' /proc/self/status; \
             cat /proc/self/timerslack_ns 2>/dev/null; cat /proc/self/personality; ps -o tty= -p $$; chrt -p $$ | head -1 | sed 's/.*: //'")
        .stdout(
            "0022\n0\n0\nGroups: 0 \nSigBlk: 0000000000000000 \nSigIgn: 0000000000000000 \nSigCgt: 0000000000000000 \n50000\n00000000\n?\nSCHED_OTHER",
        );
}

#[test]
fn what_the_daemon_was_started_with_does_not_pass_on() {
    require!(userns, program "setpriv");
    if Lane::current() != Lane::Root {
        require!(root);
    }
    let home = Home::new();
    let starter = format!(
        "echo -500 >/proc/self/oom_score_adj; umask 0; trap '' INT QUIT; exec nice -n -5 chrt --rr 3 {} run --detach --name=standing host sleep 1000000",
        crate::support::program().display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &starter])
        .envs(home.variables())
        .output()
        .expect("run sh");
    assert!(output.status.success(), "{output:?}");
    let text = home.run([
        "exec",
        "standing",
        "sh",
        "-c",
        "cat /proc/self/oom_score_adj /proc/1/oom_score_adj; umask; nice; chrt -p $$ | head -1 | sed 's/.*: //'; awk '/^SigIgn/ {print $2}' /proc/self/status",
    ]);
    assert_eq!(text, "0\n0\n0022\n0\nSCHED_OTHER\n0000000000000000");
}

#[test]
fn no_descriptor_leaks_into_anything() {
    require!(userns);
    let list = "ls /proc/self/fd | tr '\\n' ' '";
    let case = Case::host().sh(list).stdout("0 1 2 3 ");
    // A terminal, and the main process, which the case has started as `sleep`.
    let case = case.with("--tty").sh(list).stdout("0 1 2 3 ");
    case.sh("ls /proc/$(pgrep -x sleep | head -1)/fd | tr '\\n' ' '")
        .stdout("0 1 2 ");
}

#[test]
fn cores_stay_off_the_host() {
    require!(userns);
    Case::host()
        .sh("ulimit -c; ulimit -Hc; sh -c 'kill -SEGV $$'; ls /tmp/core* core* 2>/dev/null; true")
        .stdout("0\n0");
}
