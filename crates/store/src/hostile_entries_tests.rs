//! The reader of archives alone, without files: whatever the bytes are, it ends, with no more entries than there are
//! blocks and no more data than there is.

use crate::UnpackLimits;
use crate::chunks::channel;
use crate::entry::Entries;
use crate::header::BLOCK;
use crate::testing::{Item, Tar};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn seed() -> u64 {
    std::env::var("SHEDBOX_TEST_SEED").map_or(0x5eed, |text| text.parse().unwrap())
}

fn archives() -> Vec<Vec<u8>> {
    let pax: &[(&[u8], &[u8])] = &[
        (b"path", b"a/long"),
        (b"size", b"3"),
        (b"mtime", b"1.5"),
        (b"GNU.sparse.major", b"0"),
        (b"GNU.sparse.minor", b"1"),
        (b"GNU.sparse.size", b"9"),
        (b"GNU.sparse.map", b"0,3"),
        (b"SCHILY.xattr.user.x", b"y"),
    ];
    let sparse = Item {
        pax,
        data: b"abc",
        ..Item::new(b'0', "x")
    };
    let long = Item {
        data: b"l/through\0",
        ..Item::new(b'L', "long")
    };
    vec![
        Tar::default().dir("a").item(&sparse).end(),
        Tar::default()
            .item(&long)
            .file("x", "y")
            .hard_link("h", "x")
            .symlink("l", "/")
            .end(),
    ]
}

/// A few bytes changed, most of them in places that mean something; headers get a checksum that fits, otherwise that
/// would be all that is tested.
fn damage(random: &mut Random, archive: &mut Vec<u8>) {
    for _ in 0..=random.below(5) {
        let at = random.below(archive.len());
        match random.below(6) {
            0 => archive.truncate(at.max(1)),
            1 => drop(
                archive.drain(at / BLOCK * BLOCK..(at / BLOCK * BLOCK + BLOCK).min(archive.len())),
            ),
            2 => {
                let start = at / BLOCK * BLOCK;
                // Size and type.
                if let Some(block) = archive.get_mut(start..start + BLOCK) {
                    block[124 + random.below(12)] =
                        *b"01234567\x80\xff \0".get(random.below(12)).unwrap_or(&0);
                    block[156] = *b"01234567xgLKSXVM".get(random.below(16)).unwrap_or(&0);
                }
            }
            _ => archive[at] = random.next() as u8,
        }
        if archive.is_empty() {
            archive.push(0);
        }
        let start = at / BLOCK * BLOCK;
        if random.below(8) != 0
            && let Some(block) = archive.get_mut(start..start + BLOCK)
        {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

#[test]
fn damaged_archives_end() {
    let mut random = Random(seed());
    let archives = archives();
    let (mut whole, mut refused) = (0, 0);
    for case in 0..60_000 {
        let mut archive = archives[random.below(archives.len())].clone();
        damage(&mut random, &mut archive);
        let (mut sender, mut chunks) = channel(1 << 20);
        sender
            .send_all(&mut archive.as_slice(), &|error| panic!("{error}"))
            .unwrap();
        drop(sender);
        let mut entries = Entries::new(&mut chunks, UnpackLimits::default());
        let (mut count, mut bytes) = (0, 0);
        let outcome = loop {
            match entries.next() {
                Ok(None) => break Ok(()),
                Ok(Some(_)) => count += 1,
                Err(error) => break Err(error),
            }
            assert!(
                count <= archive.len() / BLOCK + 1,
                "case {case}: entries without end"
            );
            if random.below(2) == 0 {
                while let Ok(data) = entries.data()
                    && !data.is_empty()
                {
                    let length = data.len();
                    bytes += length;
                    entries.pass_on(length);
                }
            }
            assert!(bytes <= archive.len(), "case {case}: data from nowhere");
        };
        match outcome {
            Ok(()) => whole += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        whole > 1000 && refused > 1000,
        "{whole} whole, {refused} refused"
    );
}
