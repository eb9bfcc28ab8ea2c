//! The root file system of a sandbox as a tar stream, and what can be made of it again.

use std::io::{self, Write};

use serde_json::{Value, json};
use shedbox_spec::{Error, Kind};

use crate::Test;
use crate::ground::Ground;

pub(crate) const TESTS: &[Test] = &[
    ("export::whole", whole),
    ("export::into_another_image", into_another_image),
    ("export::failures", failures),
];

fn whole() {
    let ground = Ground::new();
    ground.import();
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("of-the-host"), "x").unwrap();
    let mounts = json!({"mounts": [
        {"type": "bind", "source": volume.path(), "target": "/data", "access": "ro"},
        {"type": "tmpfs", "target": "/tmp"},
    ]});
    for (name, start) in [("running", true), ("stopped", false)] {
        ground.create(name, "base", start, mounts.clone());
        ground.write(
            name,
            &[
                ("etc/name", "changed"),
                ("new/", ""),
                ("new/f", "1"),
                ("tmp/t", "x"),
            ],
        );
        assert_eq!(
            ground.export(name),
            [
                "data/",
                "dev/",
                "etc/",
                "etc/gone x",
                "etc/hostname ",
                "etc/hosts ",
                "etc/name changed",
                "etc/resolv.conf ",
                "new/",
                "new/f 1",
                "old/",
                "old/in x",
                "proc/",
                "sys/",
                "tmp/",
            ],
            "{name}"
        );
    }
}

fn into_another_image() {
    let ground = Ground::new();
    ground.import();
    let store = ground.engine.images().store();
    // A layer with what archives of files do not carry.
    let mut tar = tar::Builder::new(Vec::new());
    let pax = b"32 SCHILY.xattr.user.note=kept!\n";
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(pax.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, "x", &pax[..]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(3);
    header.set_mode(0o4711);
    header.set_mtime(1_500_000_000);
    tar.append_data(&mut header, "program", &b"run"[..])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    tar.append_link(&mut header, "linked", "program").unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "symlink", "/program").unwrap();
    let tar = tar.into_inner().unwrap();
    ground
        .engine
        .import_image(&tar[..], Some("programs"), Value::Null, None)
        .unwrap();
    ground.create("programs", "programs", true, json!({}));
    let lines = ground.export("programs");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.ends_with("with attributes"))
            .count(),
        1
    );
    assert_eq!(lines.iter().filter(|line| line.contains(" -> ")).count(), 2);
    let mut exported = Vec::new();
    ground.engine.export("programs", &mut exported).unwrap();
    let id = ground
        .engine
        .import_image(&exported[..], Some("again"), Value::Null, Some("exported"))
        .unwrap();
    let detail = ground.engine.inspect_image(id.as_str()).unwrap();
    let dir = store.layer_dir(&detail.layers[0]);
    let stat = |name: &str| {
        shedbox_linux::meta::stat_at(shedbox_linux::path::CURRENT, dir.join(name)).unwrap()
    };
    let program = stat("program");
    assert_eq!(
        (program.mode, program.links, program.mtime.seconds),
        (0o4711, 2, 1_500_000_000)
    );
    assert_eq!(stat("linked").ino, program.ino);
    let handle =
        shedbox_linux::path::open_handle_at(shedbox_linux::path::CURRENT, dir.join("linked"))
            .unwrap();
    let note = shedbox_linux::xattr::get(&handle, "user.note").unwrap();
    assert_eq!(note.as_deref(), Some(&b"kept!"[..]));
}

fn failures() {
    /// Takes so many bytes.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let ground = Ground::new();
    ground.import();
    ground.create("some", "base", true, json!({}));
    let error = Error::from(ground.engine.export("some", &mut Full(100)).unwrap_err());
    assert!(
        error.message.contains("write the archive of `some`"),
        "{}",
        error.message
    );
    let missing = ground.engine.export("nobody", &mut io::sink()).unwrap_err();
    assert_eq!(Error::from(missing).kind, Kind::NotFound);
    ground.create("host", "base", false, json!({"source": "host"}));
    let host = ground.engine.export("host", &mut io::sink()).unwrap_err();
    assert_eq!(Error::from(host).kind, Kind::Unsupported);
    // Nobody's failure is another one's.
    assert!(ground.export("some").contains(&"etc/name base".to_owned()));
}
