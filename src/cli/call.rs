//! One run of the command that an agent calls its member by.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tracing::info;

use super::settings::Settings;
use crate::scope::{CALL, Call};

/// So much of what a command says is kept, for the log if it fails.
const KEPT: usize = 2048;

/// A command that runs. Dropping this leaves it running: it may be a hook in the middle of its work.
pub(super) struct Calling {
    child: Result<Child, std::io::Error>,
    said: Vec<JoinHandle<String>>,
}

/// How it ended.
pub(super) enum Ended {
    Well,
    /// As a person should be told.
    Badly(String),
}

impl Calling {
    /// Starts the command. One that cannot be started has ended badly.
    pub(super) fn begin(settings: &Settings, call: &Call) -> Self {
        let locks: Vec<&str> = call.locks.iter().map(crate::model::LockName::as_str).collect();
        let (scope, member) = (&settings.scope, &settings.member);
        info!(scope, member, ?locks, decide = call.decide, "calling");
        let mut child = command(settings, &locks.join("\n"), call.decide).spawn();
        let said = match &mut child {
            Ok(child) => {
                let streams = [child.stdout.take().map(tail), child.stderr.take().map(tail)];
                streams.into_iter().flatten().collect()
            }
            Err(_) => Vec::new(),
        };
        Self { child, said }
    }

    /// Waits until it has ended; for ever, if there is none. Cancel safe.
    pub(super) async fn ended(calling: &mut Option<Self>) -> Ended {
        let Some(calling) = calling else { return std::future::pending().await };
        let status = match &mut calling.child {
            Ok(child) => child.wait().await,
            Err(error) => return Ended::Badly(format!("it cannot be started: {error}")),
        };
        match status {
            Ok(status) if status.success() => Ended::Well,
            Ok(status) => Ended::Badly(calling.complaint(status).await),
            Err(error) => Ended::Badly(error.to_string()),
        }
    }

    async fn complaint(&mut self, status: ExitStatus) -> String {
        let mut text = status.to_string();
        for said in &mut self.said {
            let said = said.await.unwrap_or_default();
            if let Some(last) = said.lines().map(str::trim).rfind(|line| !line.is_empty()) {
                text = format!("{text}, {last:?}");
            }
        }
        text
    }
}

/// The command with its environment. `juju-exec` refuses to run where that is of a hook, as it is if a hook
/// has started the agent.
fn command(settings: &Settings, locks: &str, decide: bool) -> Command {
    let (program, arguments) = settings.command.split_first().expect("it was checked");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("JUJU_CONTEXT_ID")
        .env(CALL, "1")
        .env("COORDINATOR_SCOPE", &settings.scope)
        .env("COORDINATOR_MEMBER", &settings.member)
        .env("COORDINATOR_LOCKS", locks)
        .env("COORDINATOR_DECIDE", if decide { "1" } else { "" })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Reads all that is said, and keeps the end of it.
fn tail(mut stream: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut chunk).await {
            kept.extend_from_slice(&chunk[..length]);
            kept.drain(..kept.len().saturating_sub(KEPT));
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}
