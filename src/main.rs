//! The command `coordinator`.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (program, arguments) = (env::current_exe(), env::args_os());
    // How this program is started once more, by its own supervisor.
    let program = program.map_or_else(|_| "coordinator".into(), Into::into);
    coordinator::cli::run(&[program], arguments).into()
}
