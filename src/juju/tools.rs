//! Hook tools as child processes, each with a time limit.

use std::ffi::OsString;
use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::Error;

/// What a hook tool left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit status; 0 is success.
    pub code: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: Vec<u8>,
}

/// Something that runs hook tools.
pub trait Tools: Send + fmt::Debug {
    /// Runs `arguments`, the first of which names the tool, with `stdin`, and waits for its end.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the tool cannot be started or does not end in time. A tool that ends with
    /// another status than 0 is no error here.
    fn run(&mut self, arguments: &[&str], stdin: Option<&[u8]>) -> Result<Output, Error>;

    /// The same tools for another thread, if they can be run beside these.
    fn for_thread(&self) -> Option<Box<dyn Tools>>;
}

/// The real hook tools, found through `PATH`.
#[derive(Debug)]
pub struct Processes {
    /// How long one tool may take.
    pub time_limit: Duration,
    /// Environment variables that the tools get besides those of this process.
    pub environment: Vec<(OsString, OsString)>,
}

impl Default for Processes {
    /// A tool answers within milliseconds, and after a controller's restart within seconds. Two
    /// minutes without an answer are a hook that hangs.
    fn default() -> Self {
        Self { time_limit: Duration::from_secs(120), environment: Vec::new() }
    }
}

impl Tools for Processes {
    fn run(&mut self, arguments: &[&str], stdin: Option<&[u8]>) -> Result<Output, Error> {
        // A runtime of its own for every call costs microseconds beside a process, and leaves
        // nothing behind that a fork could break.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::unavailable("no event loop for hook tools").caused_by(error))?;
        runtime.block_on(self.run_one(arguments, stdin))
    }

    fn for_thread(&self) -> Option<Box<dyn Tools>> {
        Some(Box::new(Self { environment: self.environment.clone(), ..*self }))
    }
}

impl Processes {
    async fn run_one(&self, arguments: &[&str], stdin: Option<&[u8]>) -> Result<Output, Error> {
        let tool = arguments[0];
        let mut child = Command::new(tool)
            .args(&arguments[1..])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Error::unavailable(format!("hook tool {tool} cannot be started: is this a hook?"))
                    .caused_by(error)
            })?;
        let input = child.stdin.take();
        let work = async move {
            if let (Some(mut pipe), Some(text)) = (input, stdin) {
                // A tool that does not read all its input says on its own why.
                let _ = pipe.write_all(text).await;
            }
            child.wait_with_output().await
        };
        let seconds = self.time_limit.as_secs_f64();
        let output = tokio::time::timeout(self.time_limit, work)
            .await
            .map_err(|_| {
                Error::unavailable(format!(
                    "hook tool {} has not answered in {seconds} seconds and was stopped: see the agent's log",
                    shown(arguments)
                ))
            })?
            .map_err(|error| Error::unavailable(format!("hook tool {tool} was lost")).caused_by(error))?;
        Ok(Output { code: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr: output.stderr })
    }
}

/// Runs a tool that has to succeed and returns what it printed.
pub(super) fn run(tools: &mut dyn Tools, arguments: &[&str], stdin: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    let output = tools.run(arguments, stdin)?;
    if output.code == 0 { Ok(output.stdout) } else { Err(failure(arguments, &output)) }
}

/// Runs a tool that prints JSON; one that prints nothing has said `null`.
pub(super) fn query<T: serde::de::DeserializeOwned>(
    tools: &mut dyn Tools,
    arguments: &[&str],
) -> Result<T, Error> {
    let printed = run(tools, arguments, None)?;
    let text = if printed.iter().all(u8::is_ascii_whitespace) { b"null" } else { printed.as_slice() };
    serde_json::from_slice(text).map_err(|error| {
        Error::unavailable(format!("hook tool {} printed no such JSON as it should", shown(arguments)))
            .caused_by(error)
    })
}

/// The error of a tool that ended with another status than 0.
pub(super) fn failure(arguments: &[&str], output: &Output) -> Error {
    let complaint = String::from_utf8_lossy(&output.stderr);
    Error::unavailable(format!(
        "hook tool {} failed with status {}: {}",
        shown(arguments),
        output.code,
        complaint.trim()
    ))
}

/// The call for people: values can be long, and a log line need not carry all the locks.
fn shown(arguments: &[&str]) -> String {
    let mut text = arguments.join(" ");
    if let Some((end, _)) = text.char_indices().nth(120) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes(milliseconds: u64) -> Processes {
        Processes { time_limit: Duration::from_millis(milliseconds), ..Processes::default() }
    }

    #[test]
    fn a_failing_tool_is_named_with_its_complaint() {
        let error =
            run(&mut processes(10_000), &["sh", "-c", "echo not the leader >&2; exit 1"], None).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("not the leader") && text.contains('1'), "{text}");
    }

    #[test]
    fn a_tool_that_hangs_is_stopped() {
        let error = run(&mut processes(50), &["sleep", "60"], None).unwrap_err();
        assert!(error.to_string().contains("sleep 60"), "{error}");
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let error = run(&mut processes(10_000), &["no-such-hook-tool"], None).unwrap_err();
        assert!(error.to_string().contains("no-such-hook-tool"), "{error}");
    }

    #[test]
    fn input_reaches_the_tool() {
        let large = vec![b'x'; 1 << 20];
        assert_eq!(
            run(&mut processes(10_000), &["wc", "-c"], Some(&large)).unwrap().trim_ascii(),
            b"1048576"
        );
    }
}
