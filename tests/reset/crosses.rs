//! One test for each thing that must not cross a reset. Each shows first that the thing was there.

use crate::require;
use crate::support::Case;

#[test]
fn created_files() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("echo x > /new && mkdir -p /a/b && echo y > /a/b/c && test -s /new")
        .ok()
        .reset()
        .sh("test ! -e /new && test ! -e /a")
        .ok();
}

#[test]
fn changed_files() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("cp /etc/image /tmp/was; echo changed > /etc/image; chmod 600 /etc/passwd; cat /etc/image")
        .stdout("changed")
        .reset()
        .sh("cat /etc/image; stat -c %a /etc/passwd")
        .stdout("built by scripts/test-images\n644");
}

#[test]
fn deleted_files_and_directories() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("rm /etc/image && rm -r /home && mv /var /renamed && test ! -e /home -a ! -e /etc/image -a ! -e /var")
        .ok()
        .reset()
        .sh("test -f /etc/image && test -d /home/app && test -d /var/tmp && test ! -e /renamed")
        .ok();
}

#[test]
fn a_directory_replaced_by_a_file() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("rm -r /home && echo file > /home && test -f /home")
        .ok()
        .reset()
        .sh("test -d /home/app")
        .ok();
}

#[test]
fn background_processes() {
    require!(userns, image "debian");
    // Double-forked, in a session of its own, deaf to SIGTERM and SIGHUP.
    let daemon = "import os,signal,sys,time
if os.fork(): sys.exit()
os.setsid()
if os.fork(): sys.exit()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execvp('sleep',['sleep','7777'])";
    Case::image("debian")
        .exec(["python3", "-c", daemon])
        .ok()
        .until_running("sleep 7777", 1)
        .reset()
        .until_running("sleep 7777", 0);
}

#[test]
fn memory_file_systems() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .option("--tmpfs=/scratch")
        .sh("echo x > /tmp/t && echo x > /dev/shm/s && echo x > /scratch/f && cat /tmp/t /dev/shm/s /scratch/f")
        .stdout("x\nx\nx")
        .reset()
        .sh("ls -A /tmp /dev/shm /scratch | grep -c '^[tsf]$'")
        .status(1);
}

#[test]
fn system_v_ipc() {
    require!(userns, image "debian");
    let make = "import ctypes
c=ctypes.CDLL(None,use_errno=True)
shm=c.shmget(4711,4096,0o1666); sem=c.semget(4711,1,0o1666); msg=c.msgget(4711,0o1666)
assert min(shm,sem,msg)>=0, ctypes.get_errno()
print(sum(len(open('/proc/sysvipc/'+k).readlines())-1 for k in ('shm','sem','msg')))";
    let count =
        "print(sum(len(open('/proc/sysvipc/'+k).readlines())-1 for k in ('shm','sem','msg')))";
    Case::image("debian")
        .exec(["python3", "-c", make])
        .stdout("3")
        .exec(["python3", "-c", count])
        .stdout("3")
        .reset()
        .exec(["python3", "-c", count])
        .stdout("0");
}

#[test]
fn posix_message_queues() {
    require!(userns, image "debian");
    let make = "import ctypes,os
r=ctypes.CDLL('librt.so.1',use_errno=True)
q=r.mq_open(b'/q',os.O_CREAT|os.O_RDWR,0o600,None)
assert q>=0, ctypes.get_errno()";
    Case::image("debian")
        .exec(["python3", "-c", make])
        .ok()
        .sh("ls /dev/mqueue")
        .stdout("q")
        .reset()
        .sh("ls /dev/mqueue")
        .stdout("");
}

#[test]
fn host_name() {
    require!(userns, image "tiny");
    // Without CAP_SYS_ADMIN the name cannot be changed at all; either way the next generation has the first name.
    Case::image("tiny")
        .option("--hostname=first")
        .sh("hostname second 2>/dev/null; echo third > /etc/hostname; hostname")
        .stdout("first")
        .reset()
        .sh("hostname; cat /etc/hostname")
        .stdout("first\nfirst");
}

#[test]
fn mounts() {
    require!(userns, image "tiny");
    let (case, before) = Case::image("tiny")
        .sh("cut -d' ' -f3-5 /proc/self/mountinfo | sort")
        .output();
    let before = String::from_utf8(before.stdout).unwrap();
    let places = |text: &str| {
        text.lines()
            .filter_map(|line| line.split(' ').nth(2).map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert!(
        places(&before).iter().any(|place| place == "/proc"),
        "{before}"
    );
    let (_, after) = case
        .sh("mount -t tmpfs none /tmp 2>/dev/null; umount /dev/shm 2>/dev/null; true")
        .ok()
        .reset()
        .sh("cut -d' ' -f3-5 /proc/self/mountinfo | sort")
        .output();
    let after = String::from_utf8(after.stdout).unwrap();
    let sorted = |text: &str| {
        let mut places = places(text);
        places.sort();
        places
    };
    assert_eq!(sorted(&before), sorted(&after));
}

#[test]
fn keyrings() {
    require!(userns, image "debian");
    // The user and network namespaces are kept, and user keyrings belong to the former: the calls must be closed.
    let add = "import ctypes,platform
nr={'x86_64':248,'aarch64':217}[platform.machine()]
c=ctypes.CDLL(None,use_errno=True)
print(c.syscall(nr,b'user',b'k',b'secret',6,-4), ctypes.get_errno())";
    Case::image("debian")
        .exec(["python3", "-c", add])
        .stdout("-1 1")
        .reset()
        .exec(["python3", "-c", add])
        .stdout("-1 1");
}

#[test]
fn abstract_and_path_sockets() {
    require!(userns, image "debian");
    let listen = "import os,socket,sys,time
if os.fork(): time.sleep(0.3); sys.exit()
os.setsid()
a=socket.socket(socket.AF_UNIX); a.bind('\\0abstract'); a.listen()
p=socket.socket(socket.AF_UNIX); p.bind('/tmp/path.sock'); p.listen()
t=socket.socket(); t.bind(('127.0.0.1',8099)); t.listen()
time.sleep(1000)";
    let probe = "import socket
def one(s,a):
    try: s.connect(a); return 'open'
    except OSError as e: return 'closed'
print(one(socket.socket(socket.AF_UNIX),'\\0abstract'),one(socket.socket(socket.AF_UNIX),'/tmp/path.sock'),one(socket.socket(),('127.0.0.1',8099)))";
    Case::image("debian")
        .exec(["python3", "-c", listen])
        .ok()
        .exec(["python3", "-c", probe])
        .stdout("open open open")
        .reset()
        .exec(["python3", "-c", probe])
        .stdout("closed closed closed");
}

#[test]
fn open_but_deleted_files_and_locks() {
    require!(userns, image "debian");
    let hold = "import fcntl,os,sys,time
if os.fork(): time.sleep(0.3); sys.exit()
os.setsid()
f=open('/var/tmp/lock','w'); fcntl.flock(f,fcntl.LOCK_EX); os.unlink('/var/tmp/lock')
g=open('/etc/passwd'); fcntl.flock(g,fcntl.LOCK_EX)
time.sleep(1000)";
    let probe = "import fcntl,glob,os
try: fcntl.flock(open('/etc/passwd'),fcntl.LOCK_EX|fcntl.LOCK_NB); lock='free'
except OSError: lock='held'
links=[]
for p in glob.glob('/proc/[0-9]*/fd/*'):
    try: links.append(os.readlink(p))
    except OSError: pass
print(lock, sum('(deleted)' in l and 'lock' in l for l in links))";
    Case::image("debian")
        .exec(["python3", "-c", hold])
        .ok()
        .exec(["python3", "-c", probe])
        .stdout("held 1")
        .reset()
        .exec(["python3", "-c", probe])
        .stdout("free 0");
}

#[test]
fn environment() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .option("--env=KEPT=yes")
        .sh("echo 'export LEAK=1' > /root/.profile; echo 'LEAK=1' > /etc/environment; export LEAK=1; echo $LEAK")
        .stdout("1")
        .reset()
        .sh("echo \"${LEAK-unset} $KEPT\"; test -e /root/.profile || test -e /etc/environment || echo clean")
        .stdout("unset yes\nclean");
}

#[test]
fn commands_in_flight_are_told() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny");
    case.start();
    let child = case
        .get_home()
        .command(["exec", case.name(), "sleep", "8888"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let case = case.until_running("sleep 8888", 1);
    let _case = case.reset();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(137),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("reset"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn many_times_in_a_row() {
    require!(userns, image "tiny");
    let mut case = Case::image("tiny");
    for round in 0..30 {
        case = case
            .sh(&format!(
                "test ! -e /mark && echo {round} > /mark && cat /mark"
            ))
            .stdout(&round.to_string())
            .reset();
    }
}
