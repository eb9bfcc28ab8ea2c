//! What was opened by a capability or a filter does not outlive a reset.

use crate::require;
use crate::support::Case;

#[test]
fn a_network_that_was_changed() {
    require!(userns, program "ip");
    Case::host()
        .option("--cap-add=NET_ADMIN")
        .sh("ip addr add 10.7.7.7/32 dev lo; ip link set lo down; ip -o addr | grep -c 10.7.7.7")
        .stdout("1")
        .reset()
        .sh("ip -o addr | grep -c 10.7.7.7; ip -o link show lo | grep -c UP")
        .stdout("0\n1");
}

#[test]
fn keys() {
    require!(userns, image "debian");
    // add_key to the session keyring, then search for it.
    let script = |action: &str| {
        format!(
            "import ctypes,platform
x=platform.machine()=='x86_64'
c=ctypes.CDLL(None,use_errno=True).syscall
add=lambda ring: c(248 if x else 217,b'user',b'shedbox-test',b'secret',6,ring)
find=lambda ring: c(250 if x else 219,10,ring,b'user',b'shedbox-test',0)
{action}"
        )
    };
    let add = script("print(all(add(ring)>0 for ring in (-3,-4)))");
    let find = script("print([find(ring)>0 for ring in (-3,-4)])");
    for profile in ["unconfined", "log"] {
        let option = format!("--security-opt=seccomp={profile}");
        let case = Case::image("debian")
            .option(&option)
            .exec(["python3", "-c", &add])
            .stdout("True")
            .exec(["python3", "-c", &find])
            .stdout("[True, True]");
        // Nor is it in reach of another sandbox, which the same keeper has made.
        let home = case.get_home();
        let text = home.run(["run", "--rm", &option, "host", "python3", "-c", &find]);
        assert_eq!(text.trim(), "[False, False]");
        case.reset()
            .exec(["python3", "-c", &find])
            .stdout("[False, False]");
    }
}

#[test]
fn mounts_and_a_host_name() {
    require!(userns, ordinary, image "debian");
    Case::image("debian")
        .option("--cap-add=SYS_ADMIN")
        .option("--hostname=first")
        .sh("hostname second; mount -t tmpfs none /mnt; touch /mnt/x; hostname; ls /mnt")
        .stdout("second\nx")
        .reset()
        .sh("hostname; ls /mnt")
        .stdout("first");
}
