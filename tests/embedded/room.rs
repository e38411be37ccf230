//! A full disk: nothing new, but what is held can be released.

use std::path::Path;
use std::process::Command;

use coordinator::recipe::{Mode, Refusal, Request};

use crate::lock::{LOCK, acquire, ask, create, created, enter, list, names, release};
use crate::member::Member;

#[test]
fn a_full_disk_refuses_new_nodes_and_lets_go_of_held_ones() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut member = Member::start_where_it_may_mount(&["fill", directory.path().to_str().expect("text")]);
    assert_eq!(member.hear(), "full and free again");
    member.finish();
}

/// The member's part: fills a disk of its own.
pub(crate) async fn fill(disk: &Path) {
    let options = ["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs"];
    let mounted = Command::new("mount").args(options).arg(disk).status().expect("mount, of util-linux");
    assert!(mounted.success(), "a small disk for the test");
    let store = enter(&disk.join("store")).await;
    let (held, _) = acquire(&store).await;
    let mut nodes = vec![held];
    for _ in 0..200 {
        nodes
            .push(created(&ask(&store, create(&format!("{LOCK}/more-"), Mode::EphemeralSequential)).await).0);
    }
    std::fs::write(disk.join("fill"), vec![1; 16 << 20]).expect_err("the disk is full");
    let refused = loop {
        let path = format!("{LOCK}/large-");
        let large = Request::Create { path, data: vec![1; 10_000], mode: Mode::EphemeralSequential };
        match ask(&store, large).await {
            Ok(_) => nodes.push(format!("{LOCK}/{}", names(&store).await.pop().expect("a node"))),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(&refused, Refusal::Full(why) if why.contains("is full")), "{refused:?}");
    let large = names(&store).await.into_iter().filter(|name| name.starts_with("large-"));
    let mut all: Vec<String> = large.map(|name| format!("{LOCK}/{name}")).collect();
    all.extend(nodes.into_iter().filter(|node| !node.contains("large-")));
    assert_eq!(all.len(), names(&store).await.len(), "a refused node is not there, the others are");
    for node in all {
        release(&store, &node).await;
    }
    assert_eq!(names(&store).await, [""; 0]);
    std::fs::remove_file(disk.join("fill")).expect("the file");
    let landed = store.fly(vec![create(&format!("{LOCK}/n-"), Mode::EphemeralSequential), list()]).await;
    assert!(landed.replies.iter().all(Result::is_ok), "{landed:?}");
}
