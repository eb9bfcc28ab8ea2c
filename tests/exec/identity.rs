//! Who a command is: user, groups, capabilities, descriptors, environment.

use crate::require;
use crate::support::Case;

#[test]
fn root_by_default_with_home_and_path() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("id -u; echo $HOME; echo $PATH; pwd")
        .stdout("0\n/root\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/");
}

#[test]
fn named_and_numeric_users() {
    require!(userns, many_ids, image "tiny");
    Case::image("tiny")
        .with("--user=app")
        .sh("id -u; id -g; id -G; echo $HOME")
        .stdout("1000\n1000\n1000 2000\n/home/app")
        .with("--user=1234")
        .sh("id -u; id -g; echo $HOME")
        .stdout("1234\n0\n/")
        .with("--user=app:nogroup")
        .sh("id -u; id -g; id -G")
        .stdout("1000\n65534\n65534")
        .with("--user=1000:2000")
        .sh("id -u; id -g")
        .stdout("1000\n2000");
}

#[test]
fn a_user_that_nobody_knows() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .with("--user=nobody-knows")
        .exec(["true"])
        .stderr("unable to find user nobody-knows")
        .status(126);
}

#[test]
fn capabilities_of_root_and_of_others() {
    require!(userns, many_ids, image "tiny");
    let masks =
        "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status | tr -s '\\t\\n' ' '";
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SETFCAP
    let set = "00000000800005fb";
    let none = "0000000000000000";
    Case::image("tiny")
        .sh(masks)
        .stdout(&format!("CapInh: {none} CapPrm: {set} CapEff: {set} CapBnd: {set} CapAmb: {none} NoNewPrivs: 1 "))
        .with("--user=app")
        .sh(masks)
        .stdout(&format!("CapInh: {none} CapPrm: {none} CapEff: {none} CapBnd: {set} CapAmb: {none} NoNewPrivs: 1 "));
}

#[test]
fn no_descriptor_but_the_standard_ones() {
    require!(userns, image "tiny");
    // `ls` itself opens the directory: descriptor 3.
    Case::image("tiny")
        .exec(["ls", "/proc/self/fd"])
        .stdout("0\n1\n2\n3");
}

#[test]
fn signals_are_as_a_program_expects() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status | tr -s '\\t\\n' ' '")
        .stdout("SigBlk: 0000000000000000 SigIgn: 0000000000000000 SigCgt: 0000000000000000 ");
}

#[test]
fn environment_of_image_sandbox_and_command() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .option("--env=A=sandbox")
        .option("--env=B=sandbox")
        .with("--env=B=command")
        .sh("echo $A $B $HOSTNAME; env | grep -c SHEDBOX")
        .stderr("")
        .status(1)
        .with("--env=B=command")
        .sh("echo $A $B")
        .stdout("sandbox command");
}

#[test]
fn init_is_out_of_reach() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("kill -KILL 1; kill -STOP 1; kill -TERM 1; sleep 0.1; cat /proc/1/comm")
        .stdout("shedbox-init")
        .sh("for f in mem environ exe root/etc fd/3; do ls -l /proc/1/$f/ >/dev/null 2>&1 || cat /proc/1/$f >/dev/null 2>&1 || echo $f refused; done")
        .stdout("mem refused\nenviron refused\nexe refused\nroot/etc refused\nfd/3 refused");
}

#[test]
fn process_ids_are_the_sandboxs_own() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("cat /proc/1/comm; test $(ls /proc | grep -c '^[0-9][0-9]*$') -lt 10 && echo few")
        .stdout("shedbox-init\nfew");
}

#[test]
fn the_hosts_network_is_not_there() {
    require!(userns, image "tiny");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    Case::image("tiny")
        .sh(&format!("nc -w 1 127.0.0.1 {port} </dev/null && echo reached; ls /sys/class/net; cat /sys/class/net/lo/operstate"))
        .stdout("lo\nunknown");
}
