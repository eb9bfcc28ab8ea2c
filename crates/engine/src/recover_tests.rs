use super::*;
use crate::record::RECORD_VERSION;

fn facts(status: Status, generation: u64) -> Facts {
    let saved = SavedState {
        version: RECORD_VERSION,
        status,
        generation,
        started_at: None,
        finished_at: None,
        result: None,
    };
    Facts {
        saved,
        init: None,
        mark: None,
        has_result: false,
        owner_gone: false,
        expired: false,
        auto_remove: false,
    }
}

#[test]
fn what_lives_is_adopted() {
    let alive = Facts {
        init: Some(3),
        ..facts(Status::Running, 3)
    };
    assert_eq!(decide(&alive), Verdict::Adopt { swap_back: false });
    assert_eq!(
        decide(&Facts {
            mark: Some(3),
            ..alive.clone()
        }),
        Verdict::Adopt { swap_back: false }
    );
    assert_eq!(
        decide(&Facts {
            auto_remove: true,
            ..alive.clone()
        }),
        Verdict::Adopt { swap_back: false }
    );
    // The reset had answered, its record was not written.
    let after = Facts {
        init: Some(4),
        mark: Some(4),
        ..facts(Status::Running, 3)
    };
    assert_eq!(decide(&after), Verdict::Adopt { swap_back: false });
}

#[test]
fn an_interrupted_reset_is_undone_or_finished() {
    let before_the_end = Facts {
        init: Some(3),
        mark: Some(4),
        ..facts(Status::Running, 3)
    };
    assert_eq!(decide(&before_the_end), Verdict::Adopt { swap_back: true });
    let after_the_end = Facts {
        mark: Some(4),
        ..facts(Status::Running, 3)
    };
    assert_eq!(decide(&after_the_end), Verdict::FinishReset);
    assert_eq!(
        decide(&Facts {
            has_result: true,
            ..after_the_end
        }),
        Verdict::Rest { ended: true }
    );
}

#[test]
fn what_died_rests_or_goes() {
    assert_eq!(
        decide(&facts(Status::Running, 3)),
        Verdict::Rest { ended: true }
    );
    assert_eq!(
        decide(&facts(Status::Exited, 3)),
        Verdict::Rest { ended: false }
    );
    assert_eq!(
        decide(&facts(Status::Created, 0)),
        Verdict::Rest { ended: false }
    );
    assert_eq!(decide(&facts(Status::Removing, 3)), Verdict::Remove);
    assert_eq!(
        decide(&Facts {
            auto_remove: true,
            ..facts(Status::Exited, 3)
        }),
        Verdict::Remove
    );
    assert_eq!(
        decide(&Facts {
            auto_remove: true,
            ..facts(Status::Created, 0)
        }),
        Verdict::Rest { ended: false }
    );
    let alive = Facts {
        init: Some(3),
        ..facts(Status::Running, 3)
    };
    assert_eq!(
        decide(&Facts {
            owner_gone: true,
            ..alive.clone()
        }),
        Verdict::Remove
    );
    assert_eq!(
        decide(&Facts {
            expired: true,
            ..alive
        }),
        Verdict::Remove
    );
}
