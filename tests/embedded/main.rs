//! The embedded store among real processes: death, forks, power, room, rights.
#![cfg(feature = "embedded")]

mod counting;
mod death;
mod forks;
mod lock;
mod member;
mod power;
mod rights;
mod room;
