//! Other ABIs of the same machine: each has numbers of its own, and a filter that forgets one is passed by.
#![cfg(target_arch = "x86_64")]

use crate::require;
use crate::support::Case;

/// Machine code: push rbx; mov eax,edi; mov ebx,esi; mov ecx,edx; int 0x80; pop rbx; ret. What it returns is the answer
/// of the kernel to an i386 call: getpid, socketcall(SYS_SOCKET), socket(AF_ALG), socket(AF_UNIX, SOCK_STREAM).
const I386: &str = "import ctypes,mmap
m=mmap.mmap(-1,4096,prot=7); m.write(bytes.fromhex('5389f889f389d1cd805bc3'))
f=ctypes.CFUNCTYPE(ctypes.c_int,*[ctypes.c_int]*3)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
print('pid' if f(20,0,0)>0 else f(20,0,0), f(102,1,0), f(359,38,5), min(f(359,1,1),0))";

#[test]
fn i386_is_not_there() {
    require!(userns, image "debian");
    for profile in ["strict", "default", "nested"] {
        Case::image("debian")
            .option(format!("--security-opt=seccomp={profile}"))
            .exec(["python3", "-c", I386])
            .stdout("-38 -38 -38 -38");
    }
}

#[test]
fn i386_for_developers_hides_no_arguments() {
    require!(userns, image "debian");
    Case::image("debian")
        .option("--security-opt=seccomp=dev")
        .exec(["python3", "-c", I386])
        .stdout("pid -1 -97 0");
}

/// The tool of the tests above works: without a filter the kernel answers, as it does outside. Only about AF_ALG do kernels
/// differ: without the module the family is not known (-97), with it the protocol is not (-93).
#[test]
fn i386_without_a_filter() {
    require!(userns, image "debian", program "python3");
    let outside = std::process::Command::new("python3")
        .args(["-c", I386])
        .output()
        .expect("python3");
    let outside = String::from_utf8_lossy(&outside.stdout);
    let outside = outside.trim_end();
    assert!(
        ["pid -14 -97 0", "pid -14 -93 0"].contains(&outside),
        "{outside}"
    );
    Case::image("debian")
        .option("--security-opt=seccomp=unconfined")
        .exec(["python3", "-c", I386])
        .stdout(outside);
}

#[test]
fn x32_is_not_there() {
    require!(userns, image "debian");
    let script = "import ctypes
c=ctypes.CDLL(None,use_errno=True).syscall; c.restype=ctypes.c_long
for n in (39, 250, 41): print(c(ctypes.c_long(0x40000000|n),38,5,0), ctypes.get_errno())";
    for profile in ["strict", "default", "dev", "nested"] {
        Case::image("debian")
            .option(format!("--security-opt=seccomp={profile}"))
            .exec(["python3", "-c", script])
            .stdout("-1 38\n-1 38\n-1 38");
    }
}
