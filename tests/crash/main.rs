//! What survives: power cuts at every sync, failing writes, damaged and cut files, full disks, many threads.

mod concurrent;
mod damage;
mod edges;
mod faults;
mod local;
mod model;
mod power;
mod script;
mod stopped;
