//! Names and numbers of stages.

use shedbox_dockerfile::parse;
use shedbox_dockerfile::stages::{Origin, StageError, Stages};

fn stages(text: &str) -> Stages {
    Stages::split(parse(text.as_bytes()).unwrap()).unwrap()
}

const FIVE: &str = "ARG G=1
FROM a AS base
RUN x
FROM base AS Build
COPY --from=0 /x /y
COPY --from=alpine:3 /x /y
FROM scratch AS side
FROM base AS test
RUN --mount=type=bind,from=side,target=/s y
FROM scratch
COPY --from=build /y /z
COPY z /z
";

#[test]
fn stages_start_from_stages_and_images() {
    let five = stages(FIVE);
    let bases: Vec<_> = (0..5).map(|index| five.base(index)).collect();
    let image = Origin::Image("a".to_owned());
    assert_eq!(
        bases,
        [
            image,
            Origin::Stage(0),
            Origin::Scratch,
            Origin::Stage(0),
            Origin::Scratch
        ]
    );
    assert_eq!(five.globals.len(), 1);
    assert_eq!(five.stages[1].start.original, "FROM base AS Build");
    assert_eq!(five.step_count(4), 1 + 5 + 6);
    assert_eq!(five.step_count(0), 3);
    // A stage cannot start from itself or a later one.
    assert_eq!(
        stages("FROM b AS b\nFROM c\nFROM d AS c").base(0),
        Origin::Image("b".to_owned())
    );
    assert_eq!(
        stages("FROM b AS b\nFROM c\nFROM d AS c").base(1),
        Origin::Image("c".to_owned())
    );
    // A number is no stage for FROM.
    assert_eq!(
        stages("FROM b\nFROM 0").base(1),
        Origin::Image("0".to_owned())
    );
    assert_eq!(stages("FROM b AS x\nFROM X").base(1), Origin::Stage(0));
}

#[test]
fn copies_come_from_stages_and_images() {
    let five = stages(FIVE);
    let error = |text: &str| Err(StageError::NoSuchStage(text.to_owned()));
    for (index, from, expected) in [
        (4, "0", Ok(Origin::Stage(0))),
        (4, "3", Ok(Origin::Stage(3))),
        (4, "build", Ok(Origin::Stage(1))),
        (4, "BUILD", Ok(Origin::Stage(1))),
        (4, "nginx", Ok(Origin::Image("nginx".to_owned()))),
        (0, "build", Ok(Origin::Image("build".to_owned()))),
        (4, "4", Err(StageError::CurrentStage("4".to_owned()))),
        (4, "5", error("5")),
        (4, "-1", error("-1")),
        (
            4,
            "99999999999999999999999",
            error("99999999999999999999999"),
        ),
    ] {
        assert_eq!(five.origin(index, from), expected, "{from}");
    }
    assert_eq!(
        five.origin(4, "4").unwrap_err().to_string(),
        "invalid from flag value 4: refers to current build stage"
    );
    assert_eq!(
        five.origin(4, "9").unwrap_err().to_string(),
        "invalid from flag value 9: index out of bounds"
    );
}

#[test]
fn targets_are_names_or_numbers() {
    let five = stages(FIVE);
    for (target, expected) in [
        (None, 4),
        (Some(""), 4),
        (Some("build"), 1),
        (Some("BUILD"), 1),
        (Some("2"), 2),
        (Some("4"), 4),
    ] {
        assert_eq!(five.target(target), Ok(expected), "{target:?}");
    }
    for target in ["x", "5", "-1"] {
        let error = five.target(Some(target)).unwrap_err().to_string();
        assert_eq!(error, format!("target stage {target:?} could not be found"));
    }
}

#[test]
fn the_last_stage_of_a_name_wins() {
    let twice = stages("FROM a AS x\nFROM b AS x\nFROM x\nFROM c AS x");
    assert_eq!(twice.base(2), Origin::Stage(1));
    assert_eq!(twice.origin(1, "x"), Ok(Origin::Stage(0)));
    assert_eq!(twice.target(Some("x")), Ok(3));
}

#[test]
fn only_some_stages_are_needed() {
    let five = stages(FIVE);
    for (target, all, needed) in [
        (0, &[0][..], &[0][..]),
        (1, &[0, 1], &[0, 1]),
        (2, &[0, 1, 2], &[2]),
        (3, &[0, 1, 2, 3], &[0, 2, 3]),
        (4, &[0, 1, 2, 3, 4], &[0, 1, 4]),
    ] {
        assert_eq!(five.all_until(target), all);
        assert_eq!(five.needed(target).unwrap(), needed);
    }
    assert!(stages("FROM a\nCOPY --from=0 a b").needed(0).is_err());
    assert!(Stages::split(parse(b"ARG a").unwrap()).is_err());
}
