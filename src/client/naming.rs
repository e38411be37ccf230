//! Names of members, as others read them; and the wall clock, which is for people too.

use std::time::Duration;

use crate::error::Error;

/// Others read it in their messages, and it becomes part of nodes, which a server has bounds for.
pub(super) fn check_identifier(identifier: &str) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::invalid(format!("the identifier of this member {what}")));
    match identifier.len() {
        0 => wrong("is empty: leave it out, or give a name"),
        1..=1024 if identifier.chars().any(char::is_control) => wrong("holds a control character"),
        1..=1024 => Ok(()),
        length => wrong(&format!("is {length} bytes long: 1024 are the most")),
    }
}

/// How long a timeout may take to find out who holds, so that its message can name it.
pub(super) const NAMING: Duration = Duration::from_millis(50);

/// What another member wrote, for a message: cut, and without what would garble a terminal.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

/// A member that is in the way, for a message: one of kazoo's may have no name, and none may be
/// known in time.
pub(super) fn somebody(name: &str) -> String {
    if name.is_empty() { "somebody".to_owned() } else { quoted(name) }
}

/// The wall clock as it stands on requests, `YYYY-mm-dd HH:MM:SS.ffffffZ`: for people, and for the order
/// of requests that arrive together; it decides nothing else.
pub(crate) fn wall_clock() -> String {
    let now = time::OffsetDateTime::now_utc();
    let (date, time) = (now.date(), now.time());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.microsecond()
    )
}
