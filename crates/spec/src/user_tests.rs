use super::*;

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
# a comment
+::::::
short:x:7
adm:x:not:4:adm:/adm:/bin/false
huge:x:4294967295:0::/:/bin/sh
beyond:x:99999999999999999999:0::/:/bin/sh
  www-data:x:33:33:www:/var/www:/usr/sbin/nologin  
b\xffd:x:44:44::/home/b\xffd:/bin/sh
nohome:x:50:51
1000:x:2000:2000::/numeric:/bin/sh
dup:x:60:60::/first:/bin/sh
dup:x:61:61::/second:/bin/sh";

const GROUP: &[u8] = b"root:x:0:root
daemon:x:1:
staff:x:50:www-data,daemon
broken:x
video:x:44:www-data
again:x:44:www-data
own:x:33:www-data
bad:x:x:www-data
huge:x:2147483648:www-data
";

fn run(user: &str) -> Result<ResolvedUser> {
    resolve(&UserSpec::parse(user)?, PASSWD, GROUP)
}

fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> ResolvedUser {
    ResolvedUser {
        uid,
        gid,
        groups: groups.to_vec(),
        home: home.to_owned(),
    }
}

#[test]
fn as_runc_does() {
    for (text, expected) in [
        ("", user(0, 0, &[0], "/root")),
        ("root", user(0, 0, &[0], "/root")),
        ("0", user(0, 0, &[0], "/root")),
        (":staff", user(0, 50, &[50], "/root")),
        ("daemon", user(1, 1, &[1, 50], "/usr/sbin")),
        ("www-data", user(33, 33, &[33, 50, 44], "/var/www")),
        ("33", user(33, 33, &[33, 50, 44], "/var/www")),
        ("www-data:daemon", user(33, 1, &[1], "/var/www")),
        ("www-data:", user(33, 33, &[33, 50, 44], "/var/www")),
        ("www-data:1234", user(33, 1234, &[1234], "/var/www")),
        ("1234", user(1234, 0, &[0], "/")),
        ("1234:1234", user(1234, 1234, &[1234], "/")),
        ("nohome", user(50, 51, &[51], "/")),
        ("dup", user(60, 60, &[60], "/first")),
        // Digits are always a number, never the name `1000`.
        ("1000", user(1000, 0, &[0], "/")),
        ("44", user(44, 44, &[44], "/home/b\u{fffd}d")),
        ("2147483647", user(2_147_483_647, 0, &[0], "/")),
    ] {
        assert_eq!(run(text), Ok(expected), "{text}");
    }
}

#[test]
fn refused() {
    for (text, message) in [
        (
            "nobody",
            "unable to find user nobody: no matching entries in passwd file",
        ),
        ("adm", "unable to find user adm"),
        ("short", "unable to find user short"),
        ("huge", "unable to find user huge"),
        ("beyond", "unable to find user beyond"),
        (
            "root:nogroup",
            "unable to find group nogroup: no matching entries in group file",
        ),
        ("root:broken", "unable to find group broken"),
        ("2147483648", "must be in range 0-2147483647"),
        ("0:99999999999999999999", "must be in range 0-2147483647"),
        ("a:b:c", "invalid user `a:b:c`"),
        ("a\nb", "invalid user `a\\nb`"),
        ("-1", "unable to find user -1"),
    ] {
        let error = run(text).unwrap_err();
        assert!(
            error.message.contains(message),
            "{text:?}: {}",
            error.message
        );
    }
}

#[test]
fn empty_files() {
    assert_eq!(
        resolve(&UserSpec::parse("").unwrap(), b"", b""),
        Ok(user(0, 0, &[0], "/"))
    );
    assert!(resolve(&UserSpec::parse("root").unwrap(), b"", b"").is_err());
}

#[test]
fn shown_as_parsed() {
    for text in ["0", "root", "root:staff", "1:2", "root:7"] {
        assert_eq!(UserSpec::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn more_groups_are_names_and_numbers() {
    let more = |groups: &[&str]| {
        let groups: Result<Vec<NameOrId>> = groups
            .iter()
            .map(|text| NameOrId::parse_group(text))
            .collect();
        let mut found = run("www-data")?;
        found.add_groups(&groups?, GROUP)?;
        Ok::<_, Error>(found.groups)
    };
    assert_eq!(more(&["77", "daemon", "77"]).unwrap(), [33, 50, 44, 77, 1]);
    assert_eq!(more(&[]).unwrap(), [33, 50, 44]);
    for (wrong, word) in [
        ("nobody-has-it", "unable to find group nobody-has-it"),
        ("", "no name"),
        ("a:b", "invalid user `a:b`"),
        ("4294967295", "range"),
    ] {
        assert!(
            more(&[wrong]).unwrap_err().message.contains(word),
            "{wrong}"
        );
    }
}
