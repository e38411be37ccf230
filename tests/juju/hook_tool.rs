//! The hook tools of the simulated Juju: one executable under many names.
//!
//! It sends its name, arguments, working directory and context to the simulated agent and writes
//! what comes back. As with Juju's own tools, standard input is sent only when the agent asks for
//! it, and every failure to reach the agent is exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The agent's answer to a call that needs standard input and came without.
const STANDARD_INPUT_NEEDED: i32 = -1;

struct Answer {
    code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "ERROR {error}");
            ExitCode::from(1)
        }
    }
}

fn run() -> io::Result<u8> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    let name = arguments
        .first()
        .and_then(|path| Path::new(path).file_name())
        .map(OsString::from)
        .ok_or_else(|| io::Error::other("the hook tool was started without a name"))?;
    let context = env::var_os("JUJU_CONTEXT_ID").unwrap_or_default();
    if context.is_empty() && name != "juju-exec" {
        return Err(io::Error::other("JUJU_CONTEXT_ID not set"));
    }
    arguments[0] = name;
    let mut answer = call(&context, &arguments, None)?;
    if answer.code == STANDARD_INPUT_NEEDED {
        let mut input = Vec::new();
        io::stdin().lock().read_to_end(&mut input)?;
        answer = call(&context, &arguments, Some(&input))?;
    }
    io::stdout().write_all(&answer.stdout)?;
    io::stderr().write_all(&answer.stderr)?;
    Ok(u8::try_from(answer.code).unwrap_or(1))
}

/// Where the agent listens. A daemon that calls `juju-exec` keeps the variable from its hook.
fn socket() -> io::Result<PathBuf> {
    env::var_os("JUJU_AGENT_SOCKET_ADDRESS")
        .filter(|address| !address.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::other("JUJU_AGENT_SOCKET_ADDRESS not set"))
}

fn call(context: &OsString, arguments: &[OsString], input: Option<&[u8]>) -> io::Result<Answer> {
    let mut message = Vec::new();
    put(&mut message, context.as_bytes())?;
    put(&mut message, env::current_dir()?.as_os_str().as_bytes())?;
    put(&mut message, if input.is_some() { b"1" } else { b"" })?;
    put(&mut message, input.unwrap_or_default())?;
    put(&mut message, &length(arguments.len())?)?;
    for argument in arguments {
        put(&mut message, argument.clone().into_vec().as_slice())?;
    }
    let mut stream = UnixStream::connect(socket()?)?;
    stream.write_all(&message)?;
    let mut code = [0; 4];
    stream.read_exact(&mut code)?;
    Ok(Answer { code: i32::from_le_bytes(code), stdout: take(&mut stream)?, stderr: take(&mut stream)? })
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    u32::try_from(bytes).map(u32::to_le_bytes).map_err(|_| io::Error::other("the call is larger than 4 GiB"))
}

fn put(message: &mut Vec<u8>, field: &[u8]) -> io::Result<()> {
    message.extend_from_slice(&length(field.len())?);
    message.extend_from_slice(field);
    Ok(())
}

fn take(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut field = Vec::new();
    stream.take(u64::from(u32::from_le_bytes(size))).read_to_end(&mut field)?;
    Ok(field)
}
