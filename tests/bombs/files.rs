//! Files: deep, many, looping, large.

use std::time::Duration;

use super::bomb::Bomb;
use crate::require;

#[test]
fn ten_thousand_directories_deep() {
    require!(userns);
    Bomb::python(
        "
import os
os.mkdir('/bomb-deep'); os.chdir('/bomb-deep')
for n in range(10000):
    os.mkdir('d'); os.chdir('d')
open('bottom', 'w').close()
print('dug')
",
    )
    .within(Duration::from_mins(1))
    .says("dug")
    .go_off();
}

/// As many as `count` in the script says, in directories of a thousand.
fn many_files(count: usize) -> String {
    format!(
        "
import os
os.mkdir('/bomb-many')
for d in range({count} // 1000):
    os.mkdir('/bomb-many/%d' % d); os.chdir('/bomb-many/%d' % d)
    for n in range(1000): os.close(os.open(str(n), os.O_CREAT | os.O_WRONLY))
print('made')
"
    )
}

/// What fits into the time: a tenth of it on the machine itself, less in a slow guest; or what `SHEDBOX_TEST_FILES` says,
/// which is 1000000 for all of them.
fn count() -> usize {
    let guest = std::env::var_os("SHEDBOX_TEST_GUEST").is_some();
    let asked = std::env::var("SHEDBOX_TEST_FILES").ok();
    asked.map_or(if guest { 5_000 } else { 100_000 }, |text| {
        text.parse()
            .expect("SHEDBOX_TEST_FILES is a number of files")
    })
}

#[test]
fn a_million_files() {
    require!(userns);
    Bomb::python(&many_files(count()))
        .within(Duration::from_mins(4))
        .says("made")
        .once()
        .go_off();
}

#[test]
fn many_names_in_one_directory() {
    require!(userns);
    Bomb::python(
        "
import os
os.mkdir('/bomb-wide'); os.chdir('/bomb-wide')
open('one', 'w').close()
for n in range(20000): os.link('one', 'x' * 200 + str(n))
print('linked')
",
    )
    .within(Duration::from_mins(1))
    .says("linked")
    .go_off();
}

#[test]
fn links_that_lead_to_themselves() {
    require!(userns);
    Bomb::python(
        "
import os
os.mkdir('/bomb-loop'); os.chdir('/bomb-loop')
os.symlink('.', 'here'); os.symlink('b', 'a'); os.symlink('a', 'b'); os.symlink('/', 'root'); os.symlink('../bomb-loop', 'up')
try: open('a')
except OSError as error: print('loop' if error.errno == 40 else error)
",
    )
    .says("loop")
    .go_off();
}

#[test]
fn files_that_claim_to_be_huge() {
    require!(userns);
    Bomb::python(
        "
import os
for n in range(100):
    fd = os.open('/bomb-sparse-%d' % n, os.O_CREAT | os.O_WRONLY); os.ftruncate(fd, 1 << 40)
print('claimed')
",
    )
    .says("claimed")
    .go_off();
}

#[test]
fn shared_memory_up_to_its_size() {
    require!(userns);
    Bomb::python(
        "
import os
written = 0
try:
    fd = os.open('/dev/shm/bomb-shm', os.O_CREAT | os.O_WRONLY)
    while True: written += os.write(fd, b'x' * 65536)
except OSError as error: print('full' if error.errno == 28 and written == 8 << 20 else (error, written))
",
    )
    .option("--shm-size=8m")
    .says("full")
    .go_off();
}

#[test]
fn a_tmpfs_up_to_its_size() {
    require!(userns);
    Bomb::python(
        "
import os
written = 0
try:
    fd = os.open('/bomb/bomb-tmpfs', os.O_CREAT | os.O_WRONLY)
    while True: written += os.write(fd, b'x' * 65536)
except OSError as error: print('full' if error.errno == 28 and written == 8 << 20 else (error, written))
",
    )
    .option("--tmpfs=/bomb:size=8m")
    .says("full")
    .go_off();
}
