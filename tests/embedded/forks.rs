//! A forked child has no part in its parent's session.

use std::time::Duration;

use crate::lock::{enter, names};
use crate::member::Member;

#[tokio::test]
async fn a_child_neither_ends_nor_prolongs_its_parents_session() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path().join("store");
    let store = enter(&directory).await;
    let mut parent = Member::start(&["fork", directory.to_str().expect("text")]);
    // Parent and child speak in any order.
    let said = [parent.hear(), parent.hear()];
    let held = said.iter().find(|said| said.starts_with('/')).expect("what the parent holds").clone();
    let child = said.iter().find_map(|said| said.strip_prefix("child ")).expect("the child").to_owned();
    assert_eq!(names(&store).await.len(), 2, "the parent's node and the child's");
    parent.kill();
    assert!(std::path::Path::new(&format!("/proc/{child}")).exists(), "the child lives on");
    let left = names(&store).await;
    assert!(left.len() == 1 && left[0].starts_with("child-"), "{held} ended with the parent: {left:?}");
    // What the child has is sound without the parent.
    parent.go_on();
    assert_eq!(parent.hear(), "child ends");
    tokio::time::timeout(Duration::from_secs(5), async {
        while !names(&store).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the child's session has ended");
}

#[tokio::test]
async fn a_child_that_ends_leaves_its_parents_session() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path().join("store");
    let store = enter(&directory).await;
    let mut parent = Member::start(&["fork", directory.to_str().expect("text")]);
    let said = [parent.hear(), parent.hear()];
    let held = said.iter().find(|said| said.starts_with('/')).expect("what the parent holds");
    parent.go_on();
    assert_eq!(parent.hear(), "child ends");
    tokio::time::timeout(Duration::from_secs(5), async {
        while names(&store).await.len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the child's session has ended");
    let left = names(&store).await;
    assert!(left.len() == 1 && held.ends_with(&left[0]), "{held}: {left:?}");
    parent.kill();
    assert_eq!(names(&store).await, [""; 0]);
}
