//! The real `docker` command against our socket, and beside it against a real dockerd.
//!
//! What is run and what has to come of it is data: `docker/commands/TOPIC.txt`, read by `table.rs`, where the form is
//! described. Each topic is one test with an engine of its own: ours, and as root also Debian's dockerd in namespaces of
//! its own, whose answers have to be the same as ours wherever the table does not say that they differ, and why.
//!
//! | variable | meaning |
//! |---|---|
//! | `SHEDBOX_TEST_DOCKER_CASES` | only cases whose name has this in it |
//! | `SHEDBOX_TEST_DOCKER_SEEN` | a directory in which each engine's answers are written in the form of the table |
//! | `SHEDBOX_TEST_DOCKER_LOAD` | containers of the load test (2,000 are the design's) |
//! | `SHEDBOX_TEST_DOCKER_SOAK` | seconds of the soak test (600 are the design's) |
//! | `SHEDBOX_TEST_DOCKERD` | 0: dockerd is not started, even as root |

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it has left out"
)]

mod support;

#[path = "docker/archives.rs"]
mod archives;
#[path = "docker/build.rs"]
mod build;
#[path = "docker/clients.rs"]
mod clients;
#[path = "docker/engine.rs"]
mod engine;
#[path = "docker/hostile.rs"]
mod hostile;
#[path = "docker/load.rs"]
mod load;
#[path = "docker/normal.rs"]
mod normal;
#[path = "docker/recycle.rs"]
mod recycle;
#[path = "docker/recycle_scene.rs"]
mod recycle_scene;
#[path = "docker/runner.rs"]
mod runner;
#[path = "docker/survives.rs"]
mod survives;
#[path = "docker/table.rs"]
mod table;
#[path = "docker/websocket.rs"]
mod websocket;
#[path = "docker/wire.rs"]
mod wire;

/// One test for each file of the table.
macro_rules! topics {
    ($($topic:ident)+) => {
        $(
            #[test]
            fn $topic() {
                require!(
                    userns,
                    many_ids,
                    program "docker",
                    program "busybox",
                    program "skopeo",
                    program "curl",
                    program "jq",
                    program "script"
                );
                runner::run(stringify!($topic));
            }
        )+

        /// A file that no test reads would prove nothing.
        #[test]
        fn every_file_of_the_table_is_a_topic() {
            let mut files: Vec<String> = std::fs::read_dir(table::directory())
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            files.sort();
            let mut topics = vec![$(stringify!($topic)),+];
            topics.sort_unstable();
            assert_eq!(files, topics);
        }
    };
}

topics! {
    attach
    cp
    errors
    events
    exec
    images
    inspect
    logs
    networks
    ports
    ps
    remove
    rename
    run
    start_stop
    stats
    system
    volumes
}
