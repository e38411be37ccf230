//! Many processes in turn.

use crate::member::{Member, tell};

#[test]
fn fifty_processes_count_without_a_miss() {
    let directory = tempfile::tempdir().expect("a directory");
    let number = directory.path().join("number");
    let store = directory.path().join("store");
    std::fs::write(&number, "0").expect("room");
    let task = ["count", store.to_str().expect("text"), number.to_str().expect("text"), "20"];
    let members: Vec<Member> = (0..50).map(|_| Member::start(&task)).collect();
    for member in members {
        member.finish();
    }
    assert_eq!(std::fs::read_to_string(&number).expect("a number"), "1000");
}

/// Prints how long a hand-over takes; the target is a median of 2 ms at most.
#[test]
fn two_processes_hand_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("store");
    let task = ["hand over", store.to_str().expect("text"), "500"];
    let mut members = [Member::start(&task), Member::start(&task)];
    for member in &mut members {
        assert_eq!(member.hear(), "ready");
    }
    for member in &mut members {
        member.go_on();
    }
    for mut member in members {
        let median: u64 = member.hear().parse().expect("microseconds");
        tell(format_args!("hand-over between two processes: {median} µs in the median"));
        assert!(median < 50_000, "{median} µs: by looking now and then, not by being woken");
        member.finish();
    }
}
