//! Where the servers are: the connect string, and what a socket says of a server that did not answer.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::Error;

/// The port of a server whose address names none.
const PORT: u16 = 2181;

/// Hosts and chroot, checked.
#[derive(Clone, Debug)]
pub(super) struct Address {
    text: String,
    hosts: Vec<(String, u16)>,
    chroot: String,
}

impl Address {
    /// Reads `host[:port],host[:port]…[/chroot]`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        // Not echoed: what stands before an @ may be a password.
        if text.contains('@') {
            return Err(Error::invalid(
                "a ZooKeeper address has no user or password in it (there is an @): give them as auth",
            ));
        }
        let bad = |why: &str| {
            Error::invalid(format!(
                "{text:?} is no ZooKeeper address ({why}): write host:port,host:port/chroot"
            ))
        };
        let (hosts, chroot) = text.split_at(text.find('/').unwrap_or(text.len()));
        let chroot = chroot.trim_end_matches('/');
        let names = || chroot.split('/').skip(1);
        if names().any(|name| matches!(name, "" | "." | "..")) {
            return Err(bad("the chroot has an empty or relative part"));
        }
        if chroot.chars().any(|letter| letter.is_control() || letter == ',') {
            return Err(bad(
                "the chroot has a comma or a control character; it stands once, after the last host",
            ));
        }
        let hosts: Vec<_> =
            hosts.split(',').map(|host| parse_host(host).map_err(bad)).collect::<Result<_, _>>()?;
        let hosts_text: Vec<_> = hosts.iter().map(|(host, port)| written(host, *port)).collect();
        Ok(Self { text: format!("{}{chroot}", hosts_text.join(",")), hosts, chroot: chroot.to_owned() })
    }

    /// Hosts with ports and chroot, as the client library reads them.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The path that is the root for us; empty if it is the root of the servers.
    pub(super) fn chroot(&self) -> &str {
        &self.chroot
    }

    /// The ports of the servers.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.hosts.iter().map(|(_, port)| *port).collect()
    }

    /// What a plain connection to each host says, for the message that nobody answered. Blocks up
    /// to `patience` for each host, and as long as the resolver takes.
    pub(super) fn probe(&self, patience: Duration) -> String {
        let said = self.hosts.iter().map(|(host, port)| {
            let found = match (host.as_str(), *port).to_socket_addrs() {
                Err(error) => error.to_string(),
                Ok(mut addresses) => {
                    match addresses.next().map(|one| TcpStream::connect_timeout(&one, patience)) {
                        None => "has no address".to_owned(),
                        Some(Err(error)) => error.to_string(),
                        Some(Ok(_)) => "accepts connections, but opens no session".to_owned(),
                    }
                }
            };
            format!("{}: {found}", written(host, *port))
        });
        said.collect::<Vec<_>>().join("; ")
    }
}

fn written(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn parse_host(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("a bracket is not closed")?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() {
        return Err("a host is empty");
    }
    if host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err("a host has a space in it");
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => PORT,
        Some(digits) => {
            digits.parse().ok().filter(|port| *port != 0).ok_or("a port is not a number from 1 to 65535")?
        }
        None => return Err("something follows the bracket that is no port"),
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_chroot_are_read() {
        for (text, hosts, chroot) in [
            ("zk1", "zk1:2181", ""),
            ("zk1/", "zk1:2181", ""),
            ("zk1:1,zk2:2/fleet/", "zk1:1,zk2:2/fleet", "/fleet"),
            ("[::1]:2181,[fe80::2]/a/b", "[::1]:2181,[fe80::2]:2181/a/b", "/a/b"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.as_str(), address.chroot()), (hosts, chroot), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", ",", "zk1,", "zk1:", "zk1:0", "zk1:65536", "zk1:x", "[::1", "[::1]x", "zk1//a", "zk1/../a"]
        {
            assert_eq!(Address::parse(text).unwrap_err().kind(), crate::ErrorKind::Invalid, "{text}");
        }
        for text in ["z k1", "zk1/a,zk2/b", "zk1/a\0", "zookeeper://zk1:2181"] {
            assert_eq!(Address::parse(text).unwrap_err().kind(), crate::ErrorKind::Invalid, "{text}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_not_repeated() {
        let error = Address::parse("user:planted-secret@zk1:2181").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("planted-secret"));
    }
}
