//! A process of its own: this test program, run anew for one task.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use coordinator::recipe::{Mode, Refusal};
use coordinator::session::Moment;

use crate::lock::{LOCK, acquire, ask, connect, create, created, delete, enter, names, outlive, release};

/// What a member says begins with this, among what the test harness prints.
const MARK: &str = "member: ";

/// A member that runs.
pub(crate) struct Member {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Member {
    /// Starts a member with a task: words, the first of which names it.
    pub(crate) fn start(task: &[&str]) -> Self {
        Self::spawn(Command::new(std::env::current_exe().expect("the test program")), task)
    }

    /// Starts a member that sees mounts of its own.
    pub(crate) fn start_where_it_may_mount(task: &[&str]) -> Self {
        let mut command = Command::new("unshare");
        let rights = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
        command.arg(rights).arg(std::env::current_exe().expect("the test program"));
        Self::spawn(command, task)
    }

    fn spawn(mut command: Command, task: &[&str]) -> Self {
        let mut child = command
            .args(["--exact", "member::member", "--ignored", "--nocapture", "--test-threads", "1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a member");
        let mut input = child.stdin.take().expect("its input");
        writeln!(input, "{}", task.join("\t")).expect("it reads its task");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, input, output }
    }

    /// The next thing that it says.
    pub(crate) fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).expect("its output"), 0, "the member has ended");
            if let Some((_, said)) = line.split_once(MARK) {
                return said.trim_end().to_owned();
            }
        }
    }

    /// Lets it go on.
    pub(crate) fn go_on(&mut self) {
        self.input.write_all(b"\n").expect("it listens");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it ends");
    }

    /// Waits until it has ended well.
    pub(crate) fn finish(mut self) {
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells who runs the tests what was measured; see it with `--nocapture`.
pub(crate) fn tell(what: impl std::fmt::Display) {
    writeln!(std::io::stdout(), "{what}").expect("an output");
}

fn say(what: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{MARK}{what}").and_then(|()| output.flush()).expect("the test listens");
}

fn listen() {
    std::io::stdin().read_exact(&mut [0]).expect("the test speaks");
}

/// Not a test: what the processes do that the tests start.
#[test]
#[ignore = "the body of the processes that the other tests start"]
fn member() {
    // A member that hangs fails its test, and does not hang it.
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(200));
        std::process::exit(3);
    });
    let mut task = String::new();
    // Unbuffered: what follows is read later.
    while !task.ends_with('\n') {
        let mut byte = [0];
        std::io::stdin().read_exact(&mut byte).expect("a task");
        task.push(char::from(byte[0]));
    }
    let words: Vec<&str> = task.trim_end().split('\t').collect();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime().expect("a runtime");
    let directory = Path::new(words[1]);
    match words[0] {
        "hold" => runtime.block_on(hold(directory)),
        "wait" => runtime.block_on(wait(directory)),
        "count" => {
            let times = words[3].parse().expect("a number");
            runtime.block_on(count(directory, Path::new(words[2]), times));
        }
        "churn" => runtime.block_on(churn(directory)),
        "hand over" => runtime.block_on(hand_over(directory, words[2].parse().expect("a number"))),
        "fill" => runtime.block_on(async {
            crate::room::fill(directory).await;
            say("full and free again");
        }),
        "fork" => fork(runtime, directory),
        other => panic!("no task {other}"),
    }
}

/// Takes the lock, says its node and token, and releases it when told.
async fn hold(directory: &Path) {
    let store = enter(directory).await;
    let (path, token) = acquire(&store).await;
    say(format_args!("{path} {token}"));
    listen();
    release(&store, &path).await;
    store.close().await;
    say("released");
}

/// Waits for the node before its own, and says when that is gone.
async fn wait(directory: &Path) {
    let store = enter(directory).await;
    let before = names(&store).await.pop().expect("a holder");
    say("waiting");
    outlive(&store, &format!("{LOCK}/{before}")).await;
    say("gone");
}

/// Adds to a number in a file, under the lock, which alone makes that right.
async fn count(directory: &Path, file: &Path, times: u32) {
    let store = enter(directory).await;
    let mut last = 0;
    for _ in 0..times {
        let (path, token) = acquire(&store).await;
        assert!(token > last, "{token} is not larger than {last}");
        last = token;
        let number: u64 = std::fs::read_to_string(file).expect("a number").parse().expect("a number");
        std::fs::write(file, (number + 1).to_string()).expect("room");
        release(&store, &path).await;
    }
}

/// Takes the lock and lets it go, again and again, and makes nodes that last.
async fn churn(directory: &Path) {
    let store = enter(directory).await;
    say("churning");
    loop {
        let (path, _) = acquire(&store).await;
        let number = created(&ask(&store, create("/log-", Mode::PersistentSequential)).await).0;
        release(&store, &path).await;
        ask(&store, delete(&number)).await.expect("own node");
    }
}

/// Takes the lock in turn with another, and says how many microseconds it waited in the median.
async fn hand_over(directory: &Path, times: usize) {
    let store = enter(directory).await;
    say("ready");
    listen();
    let mut waits = Vec::new();
    for _ in 0..times {
        let start = Moment::now();
        let (path, _) = acquire(&store).await;
        waits.push(Moment::now().since(start));
        release(&store, &path).await;
    }
    waits.sort();
    say(waits[times / 2].as_micros());
}

/// Holds the lock, forks, and shows what the child can do. The child lives on until told to end.
fn fork(runtime: tokio::runtime::Runtime, directory: &Path) {
    let store = runtime.block_on(enter(directory));
    let (path, _) = runtime.block_on(acquire(&store));
    match fork::fork().expect("a fork") {
        fork::Fork::Parent(_) => {
            say(&path);
            loop {
                std::thread::park();
            }
        }
        fork::Fork::Child => {
            std::mem::forget(runtime);
            let anew = tokio::runtime::Builder::new_current_thread().enable_all().build();
            anew.expect("a runtime").block_on(async {
                let refused = ask(&store, delete(&path)).await;
                assert_eq!(refused, Err(Refusal::SessionLost), "a child cannot release its parent's lock");
                drop(store);
                let own = connect(directory).await;
                assert_eq!(names(&own).await.len(), 1, "the parent's node");
                created(&ask(&own, create(&format!("{LOCK}/child-"), Mode::EphemeralSequential)).await);
                say(format_args!("child {}", std::process::id()));
                listen();
                drop(own);
            });
            say("child ends");
            // As a forked child should, without the parent's cleaning up.
            std::process::exit(0);
        }
    }
}
