//! The ZooKeeper edge against real servers.
//!
//! Needs Java and ZooKeeper: on Debian and Ubuntu, `apt-get install zookeeper`.
#![cfg(feature = "zookeeper")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "these are tests"
)]

#[macro_use]
#[path = "../conformance/mod.rs"]
mod conformance;
mod faults;
mod fixture;
mod liveness;
mod requests;
mod security;
