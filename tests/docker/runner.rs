//! Runs the cases of a topic.

use std::fmt::Write as _;

use crate::engine::{self, Engine};
use crate::normal::{as_dockerd_says, fits};
use crate::support::lane::skip;
use crate::support::{Lane, Need};
use crate::table::{self, Case, Outcome};

/// What the table is written for: older ones speak otherwise.
const NEWEST: &str = "the docker command of version 28 or later";

/// Runs all cases of a topic by both engines; all that is wrong is told at the end.
pub(crate) fn run(topic: &str) {
    let part = std::env::var("SHEDBOX_TEST_DOCKER_CASES").unwrap_or_default();
    let lane = match Lane::current() {
        Lane::Root => "root",
        Lane::Subids | Lane::Single => "ordinary",
    };
    let no_cgroup = Need::Cgroup.missing();
    let cases: Vec<Case> = table::read(topic)
        .into_iter()
        .filter(|case| case.name.contains(&part))
        .filter(|case| case.lane.as_ref().is_none_or(|wanted| wanted == lane))
        .filter(|case| match (case.needs.as_deref(), &no_cgroup) {
            (None, _) | (Some("cgroup"), None) => true,
            (Some("cgroup"), Some(missing)) => {
                eprintln!("SKIPPED [{}]: {missing}", case.name);
                false
            }
            (Some(other), _) => panic!("[{}] needs {other}, which is nothing", case.name),
        })
        .collect();
    if cases.is_empty() {
        assert!(!part.is_empty(), "{topic} has no cases");
        return;
    }
    if !engine::is_new_enough() {
        skip(Need::Program(NEWEST), NEWEST);
        return;
    }
    let ours = Engine::ours();
    let dockerd = Engine::dockerd();
    let mut wrong = String::new();
    let mut equal = 0;
    for case in &cases {
        let mine = ours.run(case);
        note(topic, ours.name, case, &mine);
        let theirs = dockerd.as_ref().map(|dockerd| {
            let outcome = dockerd.run(case);
            note(topic, dockerd.name, case, &outcome);
            outcome
        });
        equal += usize::from(theirs.as_ref() == Some(&as_dockerd_says(&mine)));
        if let Some(why) = judge(case, &mine, theirs.as_ref()) {
            let theirs = theirs.map_or_else(String::new, |theirs| {
                format!("-- dockerd:\n{}", theirs.write())
            });
            writeln!(
                wrong,
                "[{}] {why}\n{}-- wanted:\n{}-- shedbox:\n{}{theirs}",
                case.name,
                case.script,
                case.wanted.write(),
                mine.write()
            )
            .unwrap();
        }
    }
    if dockerd.is_some() {
        eprintln!("{topic}: {equal} of {} as dockerd", cases.len());
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What is wrong.
fn judge(case: &Case, mine: &Outcome, theirs: Option<&Outcome>) -> Option<&'static str> {
    let right = fits(&case.wanted, mine);
    let mine = as_dockerd_says(mine);
    if case.bug.is_some() {
        return match theirs {
            _ if right => Some("is marked as a bug, and right"),
            Some(theirs)
                if case.differs.is_none()
                    && !fits(&as_dockerd_says(&case.wanted), &as_dockerd_says(theirs)) =>
            {
                Some("is marked as a bug, but dockerd does not do what is wanted either")
            }
            _ => None,
        };
    }
    match (right, theirs, &case.differs) {
        (false, _, _) => Some("is not as wanted"),
        (true, Some(theirs), None) if *theirs != mine => Some("is not as dockerd's"),
        (true, Some(theirs), Some(_)) if *theirs == mine => {
            Some("is marked as different, and the same as dockerd's")
        }
        _ => None,
    }
}

/// Writes what was seen where somebody who writes a case can look.
fn note(topic: &str, engine: &str, case: &Case, seen: &Outcome) {
    let Some(dir) = std::env::var_os("SHEDBOX_TEST_DOCKER_SEEN") else {
        return;
    };
    let dir = std::path::PathBuf::from(dir).join(engine);
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!("{topic}.txt"));
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    writeln!(text, "[{}]\n{}", case.name, seen.write()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_judgement_can_be_against_every_mark() {
    let outcome = |status| Outcome {
        status,
        ..Outcome::default()
    };
    let plain = Case::default();
    let differs = Case {
        differs: Some("x".to_owned()),
        ..Case::default()
    };
    let bug = Case {
        bug: Some("x".to_owned()),
        ..Case::default()
    };
    let (right, wrong) = (outcome(0), outcome(1));
    for (case, mine, theirs, good) in [
        (&plain, &right, Some(&right), true),
        (&plain, &right, None, true),
        (&plain, &wrong, Some(&wrong), false),
        (&plain, &right, Some(&wrong), false),
        (&differs, &right, Some(&wrong), true),
        (&differs, &right, Some(&right), false),
        (&differs, &right, None, true),
        (&bug, &wrong, Some(&right), true),
        (&bug, &wrong, Some(&wrong), false),
        (&bug, &wrong, None, true),
        (&bug, &right, Some(&right), false),
    ] {
        assert_eq!(judge(case, mine, theirs).is_none(), good, "{case:?}");
    }
}
