//! Requests that follow each other are not held back.
//!
//! A socket holds a small packet back while an earlier one is not acknowledged (Nagle's algorithm),
//! and a server acknowledges with its answer. So, of requests that were submitted together, all but
//! the first would wait until the first is answered: a flight of two would take as long as two
//! flights. The client library leaves it at that, writes requests one by one, and gives nobody its
//! socket. So its socket is looked for, among the descriptors of this process, by its peer. Where
//! that is not possible everything takes longer, and nothing else.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, getpeername, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};

/// Has every connection of this process to one of these ports send at once what is written.
///
/// A connection of somebody else to such a port, another ZooKeeper client's, takes no harm.
pub(super) fn send_at_once(ports: &[u16]) {
    let Ok(descriptors) = std::fs::read_dir("/dev/fd") else { return };
    let numbers = descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number| leads_to(*number, ports)).collect::<Vec<_>>() {
        let Some(connection) = duplicate(number) else { continue };
        if leads_to(connection.as_raw_fd(), ports) {
            // Fails for what is no TCP connection.
            let _ = sockopt::set_tcp_nodelay(&connection, true);
        } else {
            // Another thread has closed it and opened a file by that number: to close our duplicate
            // would take this process's locks on the file away.
            std::mem::forget(connection);
        }
    }
}

fn leads_to(number: RawFd, ports: &[u16]) -> bool {
    let Ok(peer) = getpeername::<SockaddrStorage>(number) else { return false };
    let port = peer
        .as_sockaddr_in()
        .map(nix::sys::socket::SockaddrIn::port)
        .or_else(|| peer.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port));
    port.is_some_and(|port| ports.contains(&port))
}

/// A descriptor of our own for a number that belongs to somebody else: sent to ourselves, as one
/// process sends it to another, for a number may mean something else at any moment.
fn duplicate(number: RawFd) -> Option<OwnedFd> {
    let (ours, theirs) = UnixStream::pair().ok()?;
    let message = [ControlMessage::ScmRights(&[number])];
    sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"\0")], &message, MsgFlags::empty(), None).ok()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut received = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&theirs, &mut [IoSliceMut::new(&mut [0])], &mut received, RecvFlags::CMSG_CLOEXEC).ok()?;
    received.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_connections_to_these_ports_are_changed() {
        let (ours, other) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let to = |listener: &TcpListener| TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (one, two, another) = (to(&ours), to(&ours), to(&other));
        send_at_once(&[port(&ours)]);
        assert!(one.nodelay().unwrap() && two.nodelay().unwrap());
        assert!(!another.nodelay().unwrap());
        send_at_once(&[1, port(&other)]);
        assert!(another.nodelay().unwrap(), "also over IPv6");
    }
}
