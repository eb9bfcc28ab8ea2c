//! The calls behind: owners, groups, users. In a single-id map they are answered with success and do nothing; elsewhere
//! they do what they say.

use crate::require;
use crate::support::{Case, Home, Lane};

/// `many` in lanes with many ids, `single` in the other.
fn by_lane<T>(many: T, single: T) -> T {
    if Lane::current() == Lane::Single {
        single
    } else {
        many
    }
}

#[test]
fn owners_of_files() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("touch /f; ln -s f /l; chown 1000:2000 /f && chown -h app /l && chgrp extra /f && stat -c %u:%g /f /l")
        .stdout(by_lane("1000:2000\n1000:0", "0:0\n0:0"))
        // Modes are kept, whoever a file belongs to: a chown that does nothing takes no setuid bit away either.
        .sh("touch /s; chmod 4755 /s; stat -c %a /s")
        .stdout("4755");
}

#[test]
fn archives_with_foreign_owners() {
    require!(userns, image "debian");
    Case::image("debian")
        .sh("mkdir -p /a/b; echo x >/a/b/f; tar -C / --owner=4321 --group=1234 -cf /a.tar a && mkdir /out && tar -C /out -xpf /a.tar && stat -c %u:%g /out/a/b/f")
        .stdout(by_lane("4321:1234", "0:0"))
        .sh("tar -C / --owner=4321 --group=1234 -czf /a.tgz a && mkdir /py && python3 -c 'import tarfile; tarfile.open(\"/a.tgz\").extractall(\"/py\")' && stat -c %u:%g /py/a/b/f")
        .stdout(by_lane("4321:1234", "0:0"))
        .sh("cp -a /out /copy && stat -c %u:%g /copy/a/b/f && install -o www-data -g adm -m 600 /a.tar /installed && stat -c %U:%G:%a /installed")
        .stdout(by_lane("4321:1234\nwww-data:adm:600", "0:0\nroot:root:600"));
}

#[test]
fn users_are_made_and_removed() {
    require!(userns, image "debian");
    Case::image("debian")
        .sh("useradd --create-home --groups adm somebody && id somebody && groupadd team && usermod -aG team somebody && getent group team && stat -c %U /home/somebody")
        .stdout(by_lane(
            "uid=1001(somebody) gid=1001(somebody) groups=1001(somebody),4(adm)\nteam:x:1002:somebody\nsomebody",
            "uid=1001(somebody) gid=1001(somebody) groups=1001(somebody),4(adm)\nteam:x:1002:somebody\nroot",
        ))
        .sh("userdel --remove somebody 2>/dev/null; id somebody")
        .status(1);
}

#[test]
fn changes_of_user() {
    require!(userns, image "debian");
    // Without no_new_privs-proof programs there is no setuid here: these are run by root.
    Case::image("debian")
        .sh("su www-data -s /bin/sh -c 'id -u'; runuser -u app -- id -u; setpriv --reuid=1000 --regid=1000 --init-groups id -u")
        .stdout(by_lane("33\n1000\n1000", "0\n0\n0"))
        .sh("python3 -c 'import os; os.setgroups([1,2]); os.setgid(1000); os.setuid(1000); print(os.getuid(), os.getgid())'")
        .stdout(by_lane("1000 1000", "0 0"));
}

#[test]
fn devices_are_not_made() {
    require!(userns, image "debian");
    let (case, output) = Case::image("debian").sh("mknod /null c 1 3 && mknod /disk b 8 0; ls /null /disk 2>/dev/null; mkfifo /pipe && test -p /pipe && echo pipe").output();
    // With many ids the kernel says no, as in every rootless runtime; with one the call is answered and nothing is made.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "pipe\n", "{output:?}");
    case.sh("mknod /null c 1 3")
        .status(i32::from(Lane::current() != Lane::Single));
}

#[test]
fn capabilities_of_files() {
    require!(userns, image "debian");
    Case::image("debian")
        .sh("cp /bin/true /capable && setcap cap_net_bind_service=ep /capable && getcap /capable")
        .stdout("/capable cap_net_bind_service=ep");
}

#[test]
fn root_stays_within_its_permissions_as_root_does() {
    require!(userns, image "tiny");
    Case::image("tiny")
        .sh("echo x >/closed; chmod 000 /closed; cat /closed")
        .stdout("x");
}

/// What the caller asks for is not replaced silently by something else.
#[test]
fn a_user_that_cannot_be_had() {
    require!(userns, image "tiny");
    let (case, output) = Case::image("tiny")
        .with("--user=app")
        .exec(["id", "-u"])
        .output();
    if Lane::current() == Lane::Single {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(126), "{stderr}");
        assert!(
            stderr.contains("outside the id map") && stderr.contains("/etc/subuid"),
            "{stderr}"
        );
    } else {
        assert_eq!(output.stdout, b"1000\n");
    }
    let beyond = case.with("--user=2000000000").exec(["id", "-u"]);
    match Lane::current() {
        Lane::Root => beyond.stdout("2000000000"),
        Lane::Subids | Lane::Single => beyond.stderr("outside the id map").status(126),
    };
}

/// Groups that were asked for are had, or it is said that they are not.
#[test]
fn groups_that_cannot_be_had() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let run = |groups: &[&str]| {
        let arguments = ["run", "--rm"].iter().chain(groups);
        let output = home
            .shedbox(arguments.chain(&[image.as_str(), "id", "-G"]))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (status, groups, said) = run(&["--group-add=77", "--group-add=extra"]);
    let warning = "supplementary groups (77, extra) are left out";
    assert_eq!(
        (status, groups.as_str(), said.contains(warning)),
        by_lane((Some(0), "0 77 2000\n", false), (Some(0), "0\n", true)),
        "{said}"
    );
    let (status, _, said) = run(&["--group-add=nosuchgroup"]);
    if Lane::current() != Lane::Single {
        assert_eq!(status, Some(126), "{said}");
        assert!(said.contains("unable to find group nosuchgroup"), "{said}");
    }
}

/// Parameters of the sandbox's own namespaces are set in every lane, those of the host in none.
#[test]
fn kernel_parameters() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let shown = home.run([
        "run",
        "--rm",
        "--sysctl=net.core.somaxconn=77",
        &image,
        "cat",
        "/proc/sys/net/core/somaxconn",
    ]);
    assert_eq!(shown.trim(), "77");
    for (option, words) in [
        ("--sysctl=vm.swappiness=1", "separate kernel namespace"),
        ("--sysctl=net.core.nothing=1", "no such parameter"),
        (
            "--sysctl=net.core.somaxconn=many",
            "does not take this value",
        ),
        ("--sysctl=net.core.somaxconn", "it has no value"),
    ] {
        let output = home
            .shedbox(["run", "--rm", option, &image, "true"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(words),
            "{option}: {said}"
        );
    }
}

#[test]
fn the_lane_is_what_version_and_doctor_say() {
    require!(userns);
    let home = Home::new();
    let (map, word) = match Lane::current() {
        Lane::Subids => ("subordinate", "ok"),
        Lane::Single => ("single", "degraded"),
        Lane::Root => ("root", "ok"),
    };
    home.run(["ps"]); // only a daemon knows
    let version: serde_json::Value =
        serde_json::from_str(&home.run(["version", "--format=json"])).unwrap();
    assert!(
        version.to_string().contains(&format!("\"{map}\"")),
        "{version}"
    );
    let output = home.shedbox(["doctor", "--format=json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["id"] == "subordinate-ids")
        .unwrap();
    assert_eq!(ids["level"], word, "{ids}");
}

/// Loading an image with other owners says so, once, where they cannot be kept.
#[test]
fn owners_that_are_lost_are_told() {
    require!(userns, image "manylayers");
    let home = Home::new();
    let layout = crate::support::images::layout("manylayers");
    let output = home
        .shedbox(["load", "--input", layout.to_str().unwrap()])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let told = stderr
        .lines()
        .filter(|line| line.contains("warning") && line.contains("owner"))
        .count();
    assert_eq!(told > 0, Lane::current() == Lane::Single, "{stderr}");
}
